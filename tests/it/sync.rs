//! A deployment becomes an archive, and every later run brings it up to date.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, Error, ErrorKind, Event, MemoryBudget, Monitor, NoMonitor, Phase, Position, Result, TableRef,
    Timestamp, Value,
    archive::{Covers, Head},
    convex::{Client, Page, Shapes, SnapshotScope, Source},
    server::{SeededWriter, SimulatedDeployment, demo_documents},
    sync::{Stop, SyncOptions, sync},
    testing::schema::SIBLING_AFTER,
};

use crate::support::{
    World,
    faults::{Fault, FaultyStore, How},
    pages,
    source::{Ending, Late},
    unproven,
};

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

/// Asks the run to stop when so many pages have come.
struct StopAtPage {
    stop: Stop,
    left: AtomicI64,
}

impl Monitor for StopAtPage {
    fn report(&self, event: Event<'_>) {
        if matches!(event, Event::Page { .. }) && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.request();
        }
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_at_a_commit_and_the_next_one_goes_on() {
    let world = World::new(pages(3, 3)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let mut runs = 0;
    loop {
        let stop = Stop::default();
        let options = SyncOptions::default().stop(stop.clone()).commit_every(Duration::ZERO);
        // After the first page, the second or the third, however fast the machine is.
        let monitor = Arc::new(StopAtPage { stop, left: AtomicI64::new(1 + runs % 3) });
        let report = sync(Arc::new(world.client()), &world.archive().await, &options, monitor).await.unwrap();
        runs += 1;
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
    let options = SyncOptions::default().commit_every(Duration::from_millis(5));
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
    let options = SyncOptions::default().budget(MemoryBudget::new(MemoryBudget::MINIMUM).unwrap());
    let report = world.sync_with(&options).await.unwrap();
    assert!(report.commits > 1, "8 MB of rows do not fit into the share of 8 MiB twice: {report:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn a_delta_file_never_spans_two_months_although_one_commit_does() {
    // Half a second before December, then a transaction every tenth of a second.
    let december = 1_796_083_200_000_000_000;
    let clock = Arc::new(AtomicI64::new(december - 600_000_000));
    let ticks = Arc::clone(&clock);
    let deployment = SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(ticks.load(Ordering::Relaxed)));
    let world = World::of(deployment, pages(10, 100)).await;
    let t = table("", "messages");
    world.deployment.create_table(&t).unwrap();
    world.sync().await;
    for n in 0..10 {
        clock.fetch_add(100_000_000, Ordering::Relaxed);
        world.deployment.transaction(|tx| tx.insert(&t, fields(&[("n", Value::Int64(n))]))).unwrap();
    }
    let report = world.sync().await;
    assert_eq!((report.commits, report.files), (1, 2));
    let archive = world.archive().await;
    let mut live = archive.live_files(&archive.head().await.unwrap()).await.unwrap();
    let mut months = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        assert!(file.max_ts.0 < december || file.min_ts.0 >= december, "{file:?}");
        months.push(file.path.split('/').find(|s| s.starts_with("convex_month")).unwrap().to_owned());
    }
    assert_eq!(months, ["convex_month=2026-11-01", "convex_month=2026-12-01"]);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_type_that_keeps_coming_gets_a_column_of_its_own_in_the_file_after_the_commit() {
    let world = World::new(pages(10, 100)).await;
    let t = table("", "orders");
    let insert = |values: Vec<Value>| {
        world.deployment.transaction(|tx| {
            values.into_iter().try_for_each(|price| tx.insert(&t, fields(&[("price", price)])).map(drop))
        })
    };
    insert(vec![Value::Float64(1.5)]).unwrap();
    world.sync().await;
    insert((0..SIBLING_AFTER as i64).map(Value::Int64).collect()).unwrap();
    world.sync().await;
    let columns = async || -> Vec<String> {
        let archive = world.archive().await;
        let schema = archive.schema(&archive.head().await.unwrap(), &t).await.unwrap();
        schema.fields.iter().map(|f| f.column.clone()).collect()
    };
    assert_eq!(columns().await, ["price"]);
    insert(vec![Value::Int64(7)]).unwrap();
    world.sync().await;
    let held = world.held().await;
    assert_eq!(columns().await, ["price", "price__int64"]);
    assert_eq!(held.head.table(&t).unwrap().delta.rescued_rows, SIBLING_AFTER);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_large_table_becomes_several_files_whose_ids_ascend() {
    let world = World::new(pages(64, 64)).await;
    let t = table("", "blobs");
    let mut random = 1u64;
    for _ in 0..100 {
        world
            .deployment
            .transaction(|tx| {
                for _ in 0..16 {
                    // Bytes that do not compress.
                    let bytes = (0..4096).map(|_| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (random >> 33) as u8
                    });
                    tx.insert(&t, fields(&[("data", Value::Bytes(bytes.collect()))]))?;
                }
                Ok(())
            })
            .unwrap();
    }
    let options = SyncOptions::default().target_file_bytes(1 << 20);
    let report = world.sync_with(&options).await.unwrap();
    assert!(report.files > 1, "{report:?}");
    let archive = world.archive().await;
    let mut live = archive.live_files(&archive.head().await.unwrap()).await.unwrap();
    let mut files = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        assert!(file.ids_ascend);
        files.push((file.min_id, file.max_id));
    }
    files.sort();
    assert!(files.windows(2).all(|pair| pair[0].1 < pair[1].0), "{files:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn tables_of_components_are_covered_once_a_row_of_one_came_in_deltas_and_they_got_a_base() {
    let world = World::new(unproven(2, 5)).await;
    let (root, inner) = (table("", "users"), table("waitlist/inner", "users"));
    let insert = |t: &TableRef, n| {
        world.deployment.transaction(|tx| tx.insert(t, fields(&[("n", Value::Int64(n))]))).unwrap();
    };
    for n in 0..5 {
        insert(&root, n);
        insert(&inner, n);
        insert(&table("other", "t"), n);
    }
    let covered = |head: &Head, t: &TableRef| {
        matches!(head.coverage().covers(t, head.progress().delta.as_ref().unwrap().ts), Covers::Covered(_))
    };
    world.sync().await;
    let head = world.held().await.head;
    assert!(covered(&head, &root));
    assert!(!covered(&head, &inner), "a server that leaves components out of deltas looks just like this one");
    insert(&root, 5);
    insert(&inner, 5);
    let report = world.sync().await;
    assert!(report.caught_up);
    let held = world.held().await;
    assert!(covered(&held.head, &root) && covered(&held.head, &inner));
    assert_eq!(held.head.coverage().bases.len(), 2);
    // The second base is of components only.
    assert_eq!(held.bases.iter().filter(|(t, ..)| *t == root).count(), 5);
    assert_eq!(held.bases.iter().filter(|(t, ..)| *t == inner).count(), 5 + 6);
    world.assert_equal().await;
    // And it is owed once.
    insert(&inner, 6);
    assert_eq!(world.sync().await.commits, 1);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_component_that_came_while_the_run_went_on_is_in_the_base_of_components() {
    let world = World::new(unproven(10, 100)).await;
    let insert = |t: &TableRef| {
        world.deployment.transaction(|tx| tx.insert(t, fields(&[("n", Value::Int64(1))]))).unwrap();
    };
    world.sync().await;
    let late = table("late", "users");
    insert(&late);
    insert(&table("waitlist", "users"));
    let source = Late { inner: world.client(), component: "late", asked: false.into() };
    let archive = world.archive().await;
    sync(Arc::new(source), &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.unwrap();
    let held = world.held().await;
    assert!(matches!(held.head.coverage().covers(&late, held.through()), Covers::Covered(_)));
    assert_eq!(held.bases.iter().filter(|(t, ..)| *t == late).count(), 1);
}

#[tokio::test]
async fn a_table_that_ended_just_where_a_run_was_cut_off_is_finished_once_the_next_one_sees_another() {
    let world = World::new(pages(4, 100)).await;
    for name in ["a", "b", "c"] {
        for n in 0..2 {
            let insert = fields(&[("n", Value::Int64(n))]);
            world.deployment.transaction(|tx| tx.insert(&table("", name), insert)).unwrap();
        }
    }
    let mut done = Vec::new();
    for _ in 0..2 {
        let archive = world.archive().await;
        let source = Arc::new(Ending::after(1, false, world.client()));
        let error = sync(source, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        done.push(archive.head().await.unwrap().progress().walk.as_ref().unwrap().done.len());
    }
    assert_eq!(done, [0, 1]);
    assert!(world.sync().await.caught_up);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_store_that_fails_ends_the_run_although_the_deployment_keeps_silent() {
    let world = World::new(pages(4, 100)).await;
    let t = table("", "messages");
    for n in 0..8 {
        world.deployment.transaction(|tx| tx.insert(&t, fields(&[("n", Value::Int64(n))]))).unwrap();
    }
    world.archive().await;
    let healthy = FaultyStore::new(Arc::clone(&world.store), None);
    let archive = world.archive_in(Arc::new(healthy.clone())).await.unwrap();
    archive.head().await.unwrap();
    // All that comes after opening it and reading its head.
    let fault = Fault { call: healthy.calls().len(), how: How::Fails, gone: true };
    let broken = FaultyStore::new(Arc::clone(&world.store), Some(fault));
    let archive = world.archive_in(Arc::new(broken)).await.unwrap();
    let options = SyncOptions::default().commit_every(Duration::ZERO);
    let source = Arc::new(Ending::after(1, true, world.client()));
    let run = sync(source, &archive, &options, Arc::new(NoMonitor));
    let error =
        tokio::time::timeout(Duration::from_secs(20), run).await.expect("it waits for the deployment").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_base_of_components_that_grew_too_old_is_given_up_and_the_changes_go_on() {
    let kept = Duration::from_secs(2);
    let world = World::new(unproven(2, 5).snapshot_window(kept)).await;
    let inner = table("waitlist/inner", "users");
    let insert = |n| world.deployment.transaction(|tx| tx.insert(&inner, fields(&[("n", Value::Int64(n))]))).unwrap();
    (0..9).for_each(|n| drop(insert(n)));
    world.sync().await;
    insert(9);
    // The deployment is gone after the first page of the second base.
    let options = SyncOptions::default().commit_every(Duration::ZERO);
    let source = Arc::new(Gone { client: world.client(), after: AtomicI64::new(1) });
    let error = sync(source, &world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let walk = world.held().await.head.progress().walk.clone().expect("a walk is open");
    tokio::time::sleep(kept + Duration::from_millis(300)).await;
    insert(10);
    assert!(world.sync().await.caught_up);
    let held = world.held().await;
    assert!(held.head.progress().walk.is_none());
    assert!(held.head.coverage().bases.iter().all(|base| base.id != walk.base));
    assert_eq!(held.head.coverage().bases.len(), 2, "it was taken anew");
    assert_eq!(held.head.table(&inner).unwrap().unfinished.files, 0);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_page_that_is_larger_than_what_may_be_gathered_becomes_several_files_of_one_commit() {
    let world = World::new(pages(10, 100_000)).await;
    let t = table("", "messages");
    world.deployment.create_table(&t).unwrap();
    world.sync().await;
    for n in 0..150 {
        let body = || Value::String("x".repeat(100_000));
        world.deployment.transaction(|tx| tx.insert(&t, fields(&[("body", body()), ("n", Value::Int64(n))]))).unwrap();
    }
    let options = SyncOptions::default().budget(MemoryBudget::new(MemoryBudget::MINIMUM).unwrap());
    let report = world.sync_with(&options).await.unwrap();
    assert_eq!((report.pages, report.commits), (1, 1));
    assert!(report.files > 1, "{report:?}");
    world.assert_equal().await;
}

/// A deployment that answers so many pages of walks of components, and then no more.
struct Gone {
    client: Client,
    after: AtomicI64,
}

#[async_trait]
impl Source for Gone {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.client.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.client.shapes().await
    }

    fn snapshot_start(&self) -> Position {
        self.client.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.client.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.client.deltas_after(ts).await
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        if at.phase() == Phase::Snapshot && self.after.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return Err(Error::unavailable("gone"));
        }
        self.client.page(at).await
    }
}
