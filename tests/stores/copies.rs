//! `copy` between the kinds of places that there are: a bucket, a folder, and another prefix of the same bucket.

use std::sync::Arc;

use convex_archiver::{
    MemoryBudget, NoMonitor, Timestamp,
    archive::{Archive, Location},
    copy::{CopyOptions, CopyReport, copy},
    server::demo_documents,
    verify::{VerifyDepth, VerifyOptions, verify},
};
use tokio::runtime::Handle;

use crate::{
    place::{PREFIX, Place},
    suite::noise,
    tools::{process::environment, world::World},
};

/// With parts of 5 MiB.
fn little() -> MemoryBudget {
    MemoryBudget::new(64 << 20).unwrap()
}

/// Copies from an URL to another one, on a thread of its own.
async fn copied(from: &str, to: &str) -> CopyReport {
    let (from, to) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || Handle::current().block_on(copy_and_verify(&from, &to))).await.unwrap()
}

/// The copy is complete, nothing is wrong with it, and it has the digest of its source.
async fn copy_and_verify(from: &str, to: &str) -> CopyReport {
    let source = Location::open(from, &environment()).unwrap();
    let target = Location::create(to, &environment()).unwrap();
    let archive = Archive::open(Arc::clone(source.store()), source.url()).await.unwrap();
    let options = CopyOptions::default().budget(little());
    let report = copy(&archive, target.store(), target.url(), &options, Arc::new(NoMonitor)).await.unwrap();
    assert!(report.complete && report.problems.is_empty(), "{from} {to}: {report:#?}");
    let head = archive.head().await.unwrap();
    assert_eq!((report.version, report.digest.as_str()), (head.version(), head.digest()), "{from} {to}");

    let all = VerifyOptions::default()
        .depth(VerifyDepth::Data)
        .budget(little())
        .expect_head(Some(report.digest.clone()))
        .dry_run(true);
    let store = Arc::clone(target.store());
    let verified = verify(store, target.url(), &all, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap();
    assert_eq!(verified.problems, [], "{from} {to}");
    assert_eq!(verified.digest.as_deref(), Some(head.digest()), "{from} {to}");
    report
}

pub(crate) async fn copies_to_a_folder_back_and_to_another_prefix_are_the_archive_and_go_on(place: Place) {
    let (world, url) = (World::start(20, 64).await, place.url(PREFIX));
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("copy").to_str().unwrap().to_owned();
    let (back, beside) = (place.url("lake/back"), place.url("lake/convex/beside"));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    // One file that is sent in parts.
    world.deployment.insert_all(noise()).unwrap();
    world.catch_up(&url).await;
    // Each of these is a copy of the one before it.
    let ways = [(&url, &local), (&local, &back), (&back, &beside)];
    let mut versions = Vec::new();
    for (from, to) in ways {
        let report = copied(from, to).await;
        assert!(report.before.is_none() && report.files.copied > 1 && report.files.copied_bytes > 28_000_000);
        versions.push(report.version);
    }
    let large = place.objects().await.into_iter().filter(|name| name.contains("/noise/") && name.ends_with(".parquet"));
    let large: Vec<_> = large.collect();
    assert!(place.folder().is_some() || large.len() == 3, "{large:?}");
    for name in &large {
        assert!(place.parts(name).await.is_none_or(|parts| parts >= 3), "{name}");
    }

    world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
    world.catch_up(&url).await;
    for ((from, to), before) in ways.into_iter().zip(versions) {
        let report = copied(from, to).await;
        assert!(report.before == Some(before) && report.version > before, "{report:?}");
        // What was there is not sent again.
        assert!(report.files.copied > 0 && report.files.copied_bytes < 1_000_000, "{report:?}");
        let again = copied(from, to).await;
        assert_eq!((again.files.copied, again.files.present, again.log.copied), (0, 0, 0), "{again:?}");
    }
    assert!(place.unfinished().await.is_empty(), "{:?}", place.unfinished().await);
}
