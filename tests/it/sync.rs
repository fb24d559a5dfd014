//! A deployment becomes an archive, and every later run brings it up to date.

use std::{collections::BTreeMap, time::Duration};

use convex_archiver::{
    ErrorKind, MemoryBudget, TableRef, Value,
    server::{SeededWriter, SimulatedDeployment, demo_documents},
    sync::{Stop, SyncOptions},
};

use crate::support::{World, pages};

fn table(component: &str, name: &str) -> TableRef {
    TableRef::new(component, name).unwrap()
}

fn fields(fields: &[(&str, Value)]) -> BTreeMap<String, Value> {
    fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

#[tokio::test]
async fn an_empty_deployment_is_an_empty_archive_that_has_caught_up() {
    let world = World::new(pages(4, 4)).await;
    let report = world.sync().await;
    assert!(report.first_run && report.caught_up);
    assert_eq!((report.documents, report.files), (0, 0));
    assert!(report.commits >= 1);
    let held = world.held().await;
    assert!(held.head.progress().walk.is_none());
    assert_eq!(held.head.coverage().bases.len(), 1);
}

#[tokio::test]
async fn real_documents_and_their_changes_arrive_whole_and_once() {
    let world = World::new(pages(100, 16)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let first = world.sync().await;
    assert!(first.first_run && first.caught_up);
    world.assert_equal().await;
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        let report = world.sync().await;
        assert!(!report.first_run && report.caught_up);
        assert!(report.tombstones > 0);
        world.assert_equal().await;
    }
}

#[tokio::test]
async fn random_writes_drift_and_components_arrive_whole_and_once() {
    let world = World::new(pages(7, 5)).await;
    let mut writer = SeededWriter::new(3);
    for round in 0..6 {
        for _ in 0..40 {
            writer.write(&world.deployment).unwrap();
        }
        if round == 2 {
            let t = table("waitlist/inner", "users");
            world.deployment.transaction(|tx| tx.insert(&t, fields(&[("n", Value::Int64(1))]))).unwrap();
        }
        world.sync().await;
        world.assert_equal().await;
    }
}

#[tokio::test]
async fn a_run_that_found_nothing_new_still_says_when_it_looked() {
    let world = World::new(pages(4, 4)).await;
    let first = world.sync().await;
    let second = world.sync().await;
    assert_eq!(second.commits, 1);
    assert!(second.version > first.version && second.checked_at > first.checked_at);
    // The cursor is the API's own: it moved although nothing was written.
    assert!(second.through > first.through);
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_at_a_commit_and_the_next_one_goes_on() {
    let world = World::new(pages(3, 3)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let mut runs = 0;
    loop {
        let stop = Stop::default();
        let options = SyncOptions { stop: stop.clone(), commit_every: Duration::ZERO, ..SyncOptions::default() };
        let (report, ()) = tokio::join!(world.sync_with(&options), async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            stop.request();
        });
        runs += 1;
        let report = report.unwrap();
        assert!(runs < 1000);
        if report.caught_up {
            break;
        }
    }
    assert!(runs > 1, "the first run was meant to be stopped");
    world.assert_equal().await;
    // One base, whatever the number of runs.
    assert_eq!(world.held().await.head.coverage().bases.len(), 1);
}

#[tokio::test]
async fn the_archive_of_another_deployment_is_refused_before_the_first_page() {
    let world = World::new(pages(4, 4)).await;
    world.sync().await;
    let other =
        World { store: world.store.clone(), ..World::of(SimulatedDeployment::new("weasel-2", 8), pages(4, 4)).await };
    let error = other.sync_with(&SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("belongs to the deployment"), "{error}");
}

#[tokio::test]
async fn two_syncs_at_once_make_one_history_and_the_loser_says_so() {
    let world = World::new(pages(10, 10)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.archive().await;
    let options = SyncOptions { commit_every: Duration::from_millis(5), ..SyncOptions::default() };
    let (a, b) = tokio::join!(world.sync_with(&options), world.sync_with(&options));
    let failed: Vec<_> = [a, b].into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].kind(), ErrorKind::Conflict, "{}", failed[0]);
    world.sync().await;
    world.assert_equal().await;
}

#[tokio::test]
async fn little_memory_makes_more_commits_and_the_same_archive() {
    let world = World::new(pages(1024, 128)).await;
    world.sync().await;
    let t = table("", "messages");
    for n in 0..100 {
        world
            .deployment
            .transaction(|tx| {
                for k in 0..50 {
                    tx.insert(
                        &t,
                        fields(&[("body", Value::String("x".repeat(4000))), ("n", Value::Int64(n * 50 + k))]),
                    )?;
                }
                Ok(())
            })
            .unwrap();
    }
    let options = SyncOptions { budget: MemoryBudget::new(MemoryBudget::MINIMUM).unwrap(), ..SyncOptions::default() };
    let report = world.sync_with(&options).await.unwrap();
    assert!(report.commits > 1, "8 MB of rows do not fit into the share of 8 MiB twice: {report:?}");
    world.assert_equal().await;
}
