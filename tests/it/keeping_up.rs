//! Runs that end with more waiting, night after night: whether that is said, while a snapshot is walked and afterwards.

use std::time::Duration;

use convex_archiver::{
    Finding, Timestamp,
    check::check_keeping_up,
    runs::keep_report,
    server::{SeededWriter, demo_documents},
    sync::{Stop, SyncOptions},
};
use serde_json::json;

use crate::support::{World, pages};

const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

/// A run that ends soon.
fn short() -> SyncOptions {
    SyncOptions::default().stop(Stop::default().after_download(1)).commit_every(Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_end_in_time_is_told_with_how_many_documents_there_are() {
    let world = World::new(pages(100, 100)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    assert!(!world.sync_with(&short()).await.unwrap().caught_up);
    let (archive, client, now) = (world.archive().await, world.client(), Timestamp::now());
    assert_eq!(check_keeping_up(&archive, &client, now).await.unwrap(), None, "it has only begun");
    let after = |days: i64| Timestamp(now.0 + days * DAY);
    let found = check_keeping_up(&archive, &client, after(1)).await.unwrap();
    let Some(Finding::SnapshotTooSlow { seen, documents, days, .. }) = found else { panic!("{found:?}") };
    // Pages have a hundred documents, so that tables are counted by a hundred ids: about a fifth off at worst, and the low end is taken.
    assert!(seen > 0 && seen < 700, "{seen}");
    assert!((1_000..=1_581).contains(&documents), "{documents} of 1,581");
    assert_eq!(days, (documents as f64 / seen as f64).ceil() as u64);
    // Once it is complete there is nothing to say.
    assert!(world.sync().await.caught_up);
    let found = check_keeping_up(&world.archive().await, &client, after(1)).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_falls_further_behind_each_night_is_told_by_the_reports_that_it_keeps() {
    let world = World::new(pages(100, 10)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.sync().await;
    let mut writer = SeededWriter::new(3);
    for _ in 0..200 {
        writer.write(&world.deployment).unwrap();
    }
    assert!(!world.sync_with(&short()).await.unwrap().caught_up);
    let (archive, client, now) = (world.archive().await, world.client(), Timestamp::now());
    let later = Timestamp(now.0 + 3 * DAY);
    assert_eq!(check_keeping_up(&archive, &client, later).await.unwrap(), None, "nothing is known of other runs");
    for (days, lag) in [(0, 3_600), (1, 86_400), (2, 172_800)] {
        let started = Timestamp(now.0 + days * DAY).to_datetime().to_rfc3339();
        let report = json!({ "started": started, "more_waiting": true, "lag_seconds": lag });
        keep_report(archive.store(), &report).await.unwrap();
    }
    let found = check_keeping_up(&archive, &client, later).await.unwrap();
    let Some(Finding::FallsBehind { runs: 4, before_hours: 1, now_hours: 72, days_left: Some(days), .. }) = found
    else {
        panic!("{found:?}")
    };
    // 11 days are left, and it falls behind by almost a day each day.
    assert_eq!(days, 11);
}
