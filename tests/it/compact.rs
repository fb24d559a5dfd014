//! Small files become few, and nothing else changes: not a row, at no moment, whatever is damaged or comes meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    DataFile, DigestShare, NoMonitor, Phase, Timestamp, Value,
    archive::{Archive, Commit, Head},
    compact::{CompactOptions, compact, plan_compact},
    sync::SyncOptions,
    testing::layout,
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use crate::support::{
    World, assert_same_state,
    clock::{BEGINNING, DAY, MINUTE, named},
    deployment_state, pages,
};

/// A world whose clock somebody moves.
async fn world() -> (World, Arc<AtomicI64>) {
    let (world, clock) = World::clocked(BEGINNING, 7, pages(100, 100)).await;
    // What comes from now on comes as changes.
    for table in ["t", "u", "other"] {
        write(&world, table, 0);
    }
    world.sync_with(&unjoined()).await.unwrap();
    (world, clock)
}

/// Writes that give the table another shape now and then, and a document that is deleted.
fn write(world: &World, table: &str, run: i64) {
    let table = named(table);
    let mut fields = BTreeMap::from([("n".to_owned(), Value::Int64(run)), ("f".to_owned(), Value::Float64(-0.0))]);
    if run % 3 == 0 {
        fields.insert(format!("later{}", run / 6), Value::String(format!("no {run}")));
    }
    if run % 4 == 1 {
        // Does not fit its column.
        fields.insert("n".to_owned(), Value::String("late".to_owned()));
    }
    let id = world.deployment.transaction(|tx| tx.insert(&table, fields.clone())).unwrap().1;
    world.deployment.transaction(|tx| tx.replace(&table, &id, fields)).unwrap();
    if run % 2 == 0 {
        world.deployment.transaction(|tx| tx.delete(&table, &id)).unwrap();
    }
}

fn unjoined() -> SyncOptions {
    SyncOptions::default().compact(None).content_digest(DigestShare::All)
}

async fn runs(world: &World, clock: &AtomicI64, count: i64, options: &SyncOptions) {
    for run in 0..count {
        clock.fetch_add(5 * MINUTE, Ordering::SeqCst);
        write(world, "t", run);
        if run % 2 == 0 {
            write(world, "u", run);
        }
        assert!(world.sync_with(options).await.unwrap().caught_up);
    }
}

async fn files(archive: &Archive, head: &Head) -> Vec<DataFile> {
    let mut live = archive.live_files(head).await.unwrap();
    let mut files = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        files.push(file);
    }
    files
}

async fn deltas(world: &World, table: &str) -> Vec<DataFile> {
    let archive = world.archive().await;
    let mut files = files(&archive, &archive.head().await.unwrap()).await;
    files.retain(|file| file.table == named(table) && file.phase == Phase::Delta);
    files.sort_by_key(|file| file.min_ts);
    files
}

/// Every row of every file is there, and every state is what the deployment held.
async fn assert_true(world: &World, moments: &[Timestamp]) {
    let held = world.held().await;
    held.assert_equal(&world.deployment);
    for at in moments {
        assert_same_state(&held.state_at(*at), &deployment_state(&world.deployment, *at));
    }
}

#[tokio::test]
async fn files_of_runs_are_joined_by_a_sync_and_by_the_verb_and_every_row_stays() {
    let (world, clock) = world().await;
    runs(&world, &clock, 11, &unjoined()).await;
    let through = world.archive().await.head().await.unwrap().coverage().through.unwrap();
    assert_eq!(deltas(&world, "t").await.len(), 11);
    let joining = SyncOptions::default().content_digest(DigestShare::All);
    // Of eleven none is joined. What a run brings is joined by the next.
    runs(&world, &clock, 1, &joining).await;
    assert_eq!(deltas(&world, "t").await.len(), 12);
    let report = world.sync_with(&joining).await.unwrap();
    let done = &report.compacted;
    assert_eq!((done.tables, done.inputs, done.outputs, done.later, done.damaged), (1, 12, 1, 0, 0), "{done:?}");
    let files = deltas(&world, "t").await;
    assert_eq!((files.len(), files[0].joined, files[0].rows), (1, 1, done.rows));
    assert!(files[0].misfits.values().flat_map(BTreeMap::values).sum::<u64>() > 0, "{files:?}");
    assert_true(&world, &[through, Timestamp(through.0 - 5 * MINUTE)]).await;

    // An archive whose syncs never joined anything.
    runs(&world, &clock, 30, &unjoined()).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let options = CompactOptions::default();
    let plan = plan_compact(&archive, &head, &options).await.unwrap();
    let (after, done) = compact(&archive, &head, &options, Timestamp(BEGINNING), Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((plan.inputs, plan.outputs, plan.input_bytes), (done.inputs, done.outputs, done.input_bytes));
    assert_eq!((done.version, after.version()), (Some(head.version() + 1), head.version() + 1));
    assert_eq!((deltas(&world, "t").await.len(), deltas(&world, "u").await.len()), (2, 1));
    assert_true(&world, &[through]).await;
    // Then there is nothing to do.
    let (again, done) = compact(&archive, &after, &options, Timestamp(BEGINNING), Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((again.version(), done.inputs, done.version), (after.version(), 0, None));
}

#[tokio::test]
async fn a_month_that_is_over_is_closed_though_its_table_is_quiet() {
    let (world, clock) = world().await;
    runs(&world, &clock, 5, &unjoined()).await;
    assert_eq!(deltas(&world, "u").await.len(), 3);
    clock.fetch_add(32 * DAY, Ordering::SeqCst);
    // Another table moves the cursor into the next month.
    for _ in 0..3 {
        write(&world, "other", 1);
        world.sync_with(&SyncOptions::default()).await.unwrap();
    }
    for table in ["t", "u"] {
        let files = deltas(&world, table).await;
        assert_eq!((files.len(), files[0].joined), (1, 1), "{table}");
    }
    assert_true(&world, &[]).await;
}

#[tokio::test]
async fn a_damaged_file_stays_is_told_and_the_others_are_joined() {
    let (world, clock) = world().await;
    runs(&world, &clock, 12, &unjoined()).await;
    let bad = deltas(&world, "t").await[3].clone();
    let path = Path::from(bad.path.as_str());
    let healthy = world.store.get(&path).await.unwrap().bytes().await.unwrap();
    let mut bytes = healthy.to_vec();
    bytes[10] ^= 1;
    world.store.put(&path, bytes.into()).await.unwrap();
    let fresh: Vec<_> = deltas(&world, "u").await;
    let report = world.sync_with(&SyncOptions::default().fan_in(6)).await.unwrap();
    assert_eq!((report.compacted.damaged, report.compacted.outputs), (1, 1));
    assert_eq!(report.findings.of("not_compacted"), 1);
    assert!(report.has_findings());
    assert_eq!((deltas(&world, "t").await.len(), fresh.len(), deltas(&world, "u").await.len()), (12, 6, 1));
    world.store.put(&path, healthy.into()).await.unwrap();
    let report = world.sync_with(&SyncOptions::default()).await.unwrap();
    assert_eq!((report.compacted.damaged, report.compacted.inputs), (0, 12));
    assert_true(&world, &[]).await;
}

#[tokio::test]
async fn two_that_join_the_same_files_at_once_join_them_once() {
    let (world, clock) = world().await;
    runs(&world, &clock, 12, &unjoined()).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let options = CompactOptions::default();
    let now = Timestamp(BEGINNING);
    let (_, first) = compact(&archive, &head, &options, now, Arc::new(NoMonitor)).await.unwrap();
    // The second planned on the same head.
    let (after, second) = compact(&archive, &head, &options, now, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((first.inputs, second.inputs, second.version), (12, 0, None));
    assert_eq!(after.version(), first.version.unwrap());
    assert_true(&world, &[]).await;

    // A sync in between, which brings rows, is no conflict.
    runs(&world, &clock, 12, &unjoined()).await;
    let head = archive.head().await.unwrap();
    runs(&world, &clock, 1, &unjoined()).await;
    let (after, done) = compact(&archive, &head, &options, now, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((done.inputs, done.version), (12 + 12, Some(after.version())));
    assert_true(&world, &[]).await;
    let paths: BTreeSet<_> = files(&archive, &after).await.into_iter().map(|file| file.path).collect();
    assert_eq!(paths.len(), files(&archive, &after).await.len());
}

#[tokio::test]
async fn a_run_joins_no_more_than_it_may_and_later_runs_the_rest() {
    let (world, clock) = world().await;
    runs(&world, &clock, 24, &unjoined()).await;
    let of_t: u64 = deltas(&world, "t").await.iter().map(|file| file.bytes).sum();
    let options = SyncOptions::default().compact(Some(of_t));
    let first = world.sync_with(&options).await.unwrap().compacted;
    assert!(first.input_bytes <= of_t && first.later == 1 && first.outputs == 1, "{first:?}");
    let second = world.sync_with(&options).await.unwrap().compacted;
    assert_eq!((second.later, second.outputs), (0, 1), "{second:?}");
    assert_true(&world, &[]).await;
}

/// How old a version is, readers and `vacuum` learn from the times in commits: so these are of one clock.
#[tokio::test]
async fn what_a_run_joins_is_dated_by_the_deployments_clock_as_its_changes_are() {
    let (world, clock) = world().await;
    // Not the time of any machine that runs this.
    clock.fetch_add(1_000 * DAY, Ordering::SeqCst);
    let begin = clock.load(Ordering::SeqCst);
    let options = SyncOptions::default().fan_in(2);
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let world = World { store, ..world };
    runs(&world, &clock, 8, &options).await;
    let reached = world.archive().await.head().await.unwrap().version();
    let mut joined = 0;
    for version in 1..=reached {
        let text = world.store_text(&layout::commit(version)).await;
        let commit: Commit = serde_json::from_str(&text).unwrap();
        joined += commit.draft.replaced.len();
        let at = commit.draft.at.0;
        assert!(
            (begin - MINUTE..clock.load(Ordering::SeqCst) + MINUTE).contains(&at),
            "{version} at {}",
            commit.draft.at
        );
    }
    assert!(joined > 0);
}
