//! A large archive: what a run writes and what a reader reads grows with what changed or is asked for, not with what there
//! is.
//!
//! 1,000 tables of 50 files each. One of each table is real; the others are told by commits only, since neither the head nor
//! a part opens a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    DataFile, DeltaCursor, Encoding, Footer, NoMonitor, Phase, Position, Progress, Selection, TableRef, Timestamp,
    Value,
    archive::{Archive, CommitOutcome, Head, Run},
    server::SimulatedDeployment,
    sync::{SyncOptions, SyncReport, sync},
    testing::layout,
};
use object_store::ObjectStore;

use crate::support::{
    World,
    counted::{CountedStore, Request, Verb},
    pages,
};

const TABLES: usize = 1_000;
/// Of each table, the real one included.
const FILES: i64 = 50;
/// Tables in which a document is written before the last run.
const CHANGED: usize = 40;
/// 2026-01-20.
const FIRST: i64 = 1_768_900_000_000_000_000;
/// Between two commits: the files lie in eight months.
const STEP: i64 = 4 * 86_400_000_000_000 + 1;

fn table(n: usize) -> TableRef {
    TableRef::new("", format!("table_{n:04}")).unwrap()
}

fn document(n: usize) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("n".to_owned(), Value::Int64(n as i64)),
        ("text".to_owned(), Value::String(format!("number {n}"))),
    ])
}

fn told(head: &Head, n: usize, ts: Timestamp, counter: i64) -> DataFile {
    let state = head.table(&table(n)).unwrap();
    DataFile {
        table: state.table.clone(),
        path: layout::delta_file(&state.folder, ts, counter as u32, "5f3a9c01"),
        phase: Phase::Delta,
        base: None,
        month: layout::month_of(ts),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        bytes: 100_000,
        sha256: format!("{:064x}", counter * TABLES as i64 + n as i64),
        footer: Footer { bytes: 4_000, crc32c: 0x1234_5678 },
        rows: 1_000,
        tombstones: 10,
        rescued_rows: 0,
        min_ts: ts,
        max_ts: ts,
        min_created: None,
        max_created: None,
        min_id: Some("j5700221pceb603t7je2hkqn0s8jrtmp".to_owned()),
        max_id: Some("j57ctvgn8g1g4g69wrh7hgjdmn8jrcng".to_owned()),
        ids_ascend: false,
        schema: state.schema.size.schema,
        joined: 0,
        misfits: BTreeMap::new(),
        brought_by: None,
        encryption: None,
    }
}

/// A deployment of all tables, and its archive: a real first run, then commits by hand.
async fn large() -> World {
    let clock = Arc::new(AtomicI64::new(FIRST));
    let now = Arc::clone(&clock);
    let deployment = SimulatedDeployment::with_clock("otter-1", 3, move || Timestamp(now.load(Ordering::SeqCst)));
    deployment.transaction(|t| (0..TABLES).try_for_each(|n| t.insert(&table(n), document(n)).map(drop))).unwrap();
    let world = World::of(deployment, pages(1_000, 1_000)).await;
    world.sync().await;
    let archive = world.archive().await;
    let (mut head, mut run) = (archive.head().await.unwrap(), Run::begin());
    let first = head.progress().delta.as_ref().unwrap().ts.0;
    for n in 1..FILES {
        let ts = Timestamp(first + n * STEP);
        let cursor = DeltaCursor { position: Position::new(Phase::Delta, ts.0.to_string()), ts };
        let mut draft = head.unchanged(Encoding::ConvexEncodedJson, Selection::default(), Timestamp::now());
        draft.progress = Progress { delta: Some(cursor), walk: None };
        draft.add = (0..TABLES).map(|table| told(&head, table, ts, n)).collect();
        head = match archive.commit(&head, &mut run, draft).await.unwrap() {
            CommitOutcome::Committed(next) => *next,
            taken => panic!("nobody else writes: {taken:?}"),
        };
    }
    archive.write_manifest(&head).await.unwrap();
    assert_eq!(head.live().files, TABLES as u64 * FILES as u64);
    clock.store(first + FILES * STEP, Ordering::SeqCst);
    world
}

/// A run as of a process of its own, and what it asked of the store.
async fn run(world: &World) -> (SyncReport, Vec<Request>) {
    let store = CountedStore::new(Arc::clone(&world.store));
    let archive = world.archive_in(Arc::clone(&store) as Arc<dyn ObjectStore>).await.unwrap();
    let report = sync(Arc::new(world.client()), &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.unwrap();
    assert!(report.caught_up && report.gaps.is_empty());
    (report, store.take_requests())
}

fn bytes<'a>(requests: impl IntoIterator<Item = &'a Request>) -> u64 {
    requests.into_iter().map(|request| request.bytes).sum()
}

/// What it says of `requests`, by the folder in which the objects lie.
#[allow(clippy::print_stdout, reason = "the numbers are for people")]
fn print(what: &str, requests: &[Request]) {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for Request { verb, path, bytes } in requests {
        let sum = sums.entry(format!("{verb:?} {}", path.split('/').next().unwrap_or_default())).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes);
    }
    let told: Vec<_> = sums.iter().map(|(what, (n, bytes))| format!("{what}: {n} ({bytes} bytes)")).collect();
    println!("{what}: {} requests, {} bytes: {}", requests.len(), bytes(requests), told.join(", "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_and_read_of_fifty_thousand_files_is_what_changed_or_is_asked_for() {
    let world = large().await;
    // The first run notes that the deployment sends what components change.
    run(&world).await;

    let (report, requests) = run(&world).await;
    print("an idle run", &requests);
    assert_eq!((report.commits, report.files), (1, 0));
    let commit = layout::commit(report.version);
    let puts = |requests: &[Request]| -> Vec<Request> {
        requests.iter().filter(|request| request.verb == Verb::Put).cloned().collect()
    };
    let written = puts(&requests);
    assert_eq!(written.iter().filter(|put| put.path == commit).count(), 1);
    let beside = bytes(written.iter().filter(|put| put.path != commit));
    assert!(beside <= 8 << 10, "{beside} bytes beside the commit: {written:?}");
    assert!(requests.iter().all(|request| request.verb != Verb::List), "nothing is listed");
    // But the commits since the lists were written: which files live is read from them once more.
    let since = layout::commit(report.version - 1);
    let once: Vec<_> = requests.iter().filter(|request| request.path != since).collect();
    let asked: BTreeSet<_> = once.iter().map(|Request { verb, path, .. }| format!("{verb:?} {path}")).collect();
    assert_eq!(once.len(), asked.len(), "nothing is asked for twice: {requests:?}");

    // Who has read the head already asks for what came since, and opens nothing twice.
    let store = CountedStore::new(Arc::clone(&world.store));
    let archive = world.archive_in(Arc::clone(&store) as Arc<dyn ObjectStore>).await.unwrap();
    let read = SyncOptions::default().head(Some(archive.head().await.unwrap()));
    run(&world).await;
    let report = sync(Arc::new(world.client()), &archive, &read, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((report.commits, report.version), (1, read.head.as_ref().unwrap().version() + 2));
    let requests = store.take_requests();
    for path in [layout::HEADER, layout::MANIFEST, &layout::commit(1)] {
        assert_eq!(requests.iter().filter(|request| request.path == path).count(), 1, "{path}: {requests:?}");
    }

    let changed: Vec<_> = (0..CHANGED).map(|n| table(n * TABLES / CHANGED)).collect();
    let write = world.deployment.transaction(|t| changed.iter().try_for_each(|of| t.insert(of, document(1)).map(drop)));
    let (ts, ()) = write.unwrap();
    let (report, requests) = run(&world).await;
    print("a run that changes 40 tables", &requests);
    assert_eq!((report.commits, report.files), (1, CHANGED as u64));
    let written: BTreeSet<String> =
        puts(&requests).into_iter().map(|put| put.path).filter(|path| !path.ends_with(".parquet")).collect();
    let folder = |of: &TableRef| format!("tables/{}", of.name());
    let mut expected: BTreeSet<String> =
        changed.iter().map(|of| layout::part(&folder(of), &layout::month_of(ts), report.version)).collect();
    expected.extend([layout::commit(report.version), layout::MANIFEST.to_owned(), layout::SENTINEL.to_owned()]);
    assert_eq!(written, expected);
    assert_eq!(puts(&requests).len(), expected.len() + CHANGED, "each once, and a data file for each table");
    let of_parts = bytes(puts(&requests).iter().filter(|put| put.path.starts_with("parts/")));
    assert!(of_parts <= CHANGED as u64 * 4_096, "{of_parts} bytes of parts");

    let store = CountedStore::new(Arc::clone(&world.store));
    let archive = Archive::open(Arc::clone(&store) as Arc<dyn ObjectStore>, "memory:///archive").await.unwrap();
    let head = archive.head().await.unwrap();
    let mut live = archive.live_files_of(&head, &changed[7]).await.unwrap();
    let mut files = 0;
    while let Some(file) = live.next().await.unwrap() {
        assert_eq!(file.table, changed[7]);
        files += 1;
    }
    assert_eq!(files, FILES + 1);
    let requests = store.take_requests();
    print("opening for one table", &requests);
    let read: BTreeSet<String> = requests.iter().map(|request| request.path.clone()).collect();
    let months = &head.table(&changed[7]).unwrap().months;
    let mut expected: BTreeSet<String> =
        months.iter().map(|(name, month)| layout::part(&folder(&changed[7]), name, month.version)).collect();
    assert!(expected.len() >= 8, "{expected:?}");
    // The head, the commit that proves it, the one that is not there, and the one that proves the header.
    let version = head.version();
    expected.extend([layout::HEADER, layout::MANIFEST].map(str::to_owned));
    expected.extend([layout::commit(version), layout::commit(version + 1), layout::commit(1)]);
    // By the deployment's clock, which is far behind, the last commit is old: nobody is about to write what is beyond it.
    let next = version - version % layout::CHECKPOINT_EVERY + layout::CHECKPOINT_EVERY;
    expected.extend([layout::commit(version + 2), layout::checkpoint(next)]);
    assert_eq!(read, expected);
    assert_eq!(requests.len(), expected.len(), "each once: {requests:?}");
    let of_parts = bytes(requests.iter().filter(|request| request.path.starts_with("parts/")));
    assert!(of_parts <= 16 << 10, "{of_parts} bytes of parts");
}
