//! Another protocol than the streaming export needs another [`Source`](convex_archiver::convex::Source), and nothing else.

use std::{collections::BTreeMap, sync::Arc};

use convex_archiver::{
    Encoding, ErrorKind, MemoryBudget, NoMonitor, Result, TableRef, Value,
    convex::{Access, Client, ClientOptions, DeployKey},
    server::{SeededWriter, SimulatedDeployment},
    sync::{SyncOptions, SyncReport, sync},
};

use crate::support::{
    KEY, Warnings, World,
    fake_protocol::{FakeProtocol, FakeServer},
    pages,
};

/// How many pages behind a new cursor do not tell how far they reach.
const UNKNOWN: u64 = 3;

fn fake(world: &World, answers: u64, truncates: Vec<TableRef>, monitor: Arc<Warnings>) -> FakeProtocol {
    let access = Access::new(&world.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let options = ClientOptions::default().encoding(Encoding::ExportJson);
    let deployment = Client::new(access, options, Arc::new(NoMonitor)).unwrap();
    let server = FakeServer { deployment, unknown: UNKNOWN, truncates };
    FakeProtocol { server, answers: answers.into(), monitor }
}

async fn sync_with(world: &World, answers: u64, options: &SyncOptions) -> Result<SyncReport> {
    let source = fake(world, answers, Vec::new(), Arc::default());
    sync(Arc::new(source), &world.archive().await, options, Arc::new(NoMonitor)).await
}

fn write(writer: &mut SeededWriter, deployment: &SimulatedDeployment, times: usize) {
    for _ in 0..times {
        writer.write(deployment).unwrap();
    }
}

#[tokio::test]
async fn nested_documents_behind_opaque_cursors_arrive_whole_and_once() {
    let world = World::new(pages(7, 5)).await;
    let mut writer = SeededWriter::new(3);
    write(&mut writer, &world.deployment, 60);
    let first = sync_with(&world, u64::MAX, &SyncOptions::default()).await.unwrap();
    assert!(first.first_run && first.caught_up);
    world.assert_equal().await;
    for _ in 0..3 {
        write(&mut writer, &world.deployment, 40);
        let next = sync_with(&world, u64::MAX, &SyncOptions::default()).await.unwrap();
        assert!(next.caught_up && next.through > first.through);
        world.assert_equal().await;
    }
}

#[tokio::test]
async fn nothing_is_committed_before_it_is_known_how_far_the_pages_reach() {
    let world = World::new(pages(7, 5)).await;
    let mut writer = SeededWriter::new(4);
    write(&mut writer, &world.deployment, 60);
    // The first request of this protocol asks where the deltas begin: without it not even a page of the walk counts.
    let refused = sync_with(&world, 0, &SyncOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(world.held().await.head.version(), 0);

    let mut begun = None;
    for unknown in 0..UNKNOWN {
        // The cursor is asked for once only: with the first page of the walk.
        let asked = u64::from(begun.is_none());
        let cut_off = sync_with(&world, asked + unknown, &SyncOptions::default()).await.unwrap_err();
        assert_eq!(cut_off.kind(), ErrorKind::Unavailable);
        let held = world.held().await;
        assert_eq!(held.deltas.len(), 0);
        let cursor = held.head.progress().delta.clone();
        assert_eq!(begun.get_or_insert_with(|| cursor.clone()), &cursor);
        assert!(held.head.progress().walk.is_none(), "the walk was complete, and that counts");
        write(&mut writer, &world.deployment, 40);
    }
    let last = sync_with(&world, u64::MAX, &SyncOptions::default()).await.unwrap();
    assert!(last.caught_up && last.documents > 0);
    world.assert_equal().await;
}

#[tokio::test]
async fn pages_of_unknown_reach_are_written_as_they_come_and_named_once_it_is_known() {
    let world = World::new(pages(1024, 50)).await;
    let table = TableRef::new("", "messages").unwrap();
    let options = SyncOptions::default().budget(MemoryBudget::new(MemoryBudget::MINIMUM).unwrap());
    // The walk of nothing, and the cursor behind it.
    sync_with(&world, 1, &options).await.unwrap_err();
    for n in 0..100 {
        let body = || BTreeMap::from([("body".to_owned(), Value::String(format!("{n}{}", "x".repeat(4000))))]);
        world.deployment.transaction(|tx| (0..50).try_for_each(|_| tx.insert(&table, body()).map(drop))).unwrap();
    }
    let report = {
        let mut source = fake(&world, u64::MAX, Vec::new(), Arc::default());
        source.server.unknown = 90;
        sync(Arc::new(source), &world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap()
    };
    assert!(report.caught_up && report.files > report.commits, "files end where commits may not: {report:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn a_truncate_is_a_finding_and_removes_nothing() {
    let world = World::new(pages(7, 5)).await;
    let mut writer = SeededWriter::new(5);
    write(&mut writer, &world.deployment, 60);
    let table = world.deployment.revisions()[0].0.as_ref().clone();
    let warnings = Arc::<Warnings>::default();
    let source = fake(&world, u64::MAX, vec![table.clone()], Arc::clone(&warnings));
    let report = sync(Arc::new(source), &world.archive().await, &SyncOptions::default(), Arc::new(NoMonitor)).await;
    assert!(report.unwrap().caught_up);
    let told = warnings.0.lock().unwrap().clone();
    assert!(
        matches!(told.as_slice(), [one] if one.contains(&format!("table {table} may have been replaced"))),
        "{told:?}"
    );
    world.assert_equal().await;
}
