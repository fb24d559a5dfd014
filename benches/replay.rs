//! The stage *log replay*: opening an archive of many commits. `cargo bench --bench replay`; throughput is in elements,
//! each a commit that is folded or a live file that is streamed.
//!
//! The archive stands one commit before a checkpoint, the longest way from the one before: 1,023 commits of 10 files each,
//! over 100 tables, in a store in memory.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use convex_archiver::{
    BaseId, ColumnType, CreationTime, DataFile, DeltaCursor, DeploymentIdentity, Encoding, Field, Footer, Phase,
    Position, Progress, Scope, Selection, TableRef, TableSchema, Timestamp,
    archive::{Archive, Base, CommitOutcome, Draft, Head, Run, TableEntry},
    testing::layout,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

const COMMITS: u64 = 1_023;
const TABLES: u64 = 100;
const FILES: u64 = 10;
/// Of the first commit; each later one reaches a second further.
const S: i64 = 1_790_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn table(n: u64) -> TableRef {
    TableRef::new("", format!("table_{n:03}")).expect("a name")
}

fn entry(n: u64) -> TableEntry {
    let field = |id: i32| Field {
        id,
        name: format!("field_{id}"),
        column: format!("field_{id}"),
        column_type: ColumnType::String,
        references: None,
    };
    let schema = TableSchema { id: 1, last_field_id: 36, fields: (17..=36).map(field).collect() };
    TableEntry::new(table(n), format!("tables/table_{n:03}"), None, schema)
}

fn file(table: u64, version: u64, counter: u64) -> DataFile {
    let (min, max) = (Timestamp(S + (version as i64 - 2) * SECOND + 1), Timestamp(S + (version as i64 - 1) * SECOND));
    let entry = entry(table);
    DataFile {
        path: layout::delta_file(&entry.folder, min, counter as u32, "5f3a9c01"),
        table: entry.table,
        phase: Phase::Delta,
        base: None,
        month: layout::month_of(min),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        bytes: 100_000,
        sha256: "0".repeat(64),
        footer: Footer { bytes: 4_000, crc32c: 0x1234_5678 },
        rows: 1_000,
        tombstones: 10,
        rescued_rows: 0,
        min_ts: min,
        max_ts: max,
        min_created: CreationTime::new(min.0 as f64 / 1e6),
        max_created: CreationTime::new(max.0 as f64 / 1e6),
        min_id: Some("j5700221pceb603t7je2hkqn0s8jrtmp".into()),
        max_id: Some("j57ctvgn8g1g4g69wrh7hgjdmn8jrcng".into()),
        ids_ascend: false,
        schema: 1,
        joined: 0,
        misfits: BTreeMap::default(),
        brought_by: None,
        encryption: None,
    }
}

/// Commit 1 is an empty base with all tables; the others bring delta files.
fn draft(head: &Head) -> Draft {
    let version = head.version() + 1;
    let through = Timestamp(S + (version as i64 - 1) * SECOND);
    let cursor = DeltaCursor { position: Position::new(Phase::Delta, through.to_string()), ts: through };
    let selection = Selection::default();
    let mut draft = Draft {
        progress: Progress { delta: Some(cursor), walk: None },
        ..head.unchanged(Encoding::ConvexEncodedJson, selection, through)
    };
    if version == 1 {
        draft.tables = (0..TABLES).map(entry).collect();
        let id = BaseId("20261120T101500Z-5f3a9c01".into());
        draft.bases = vec![Base::new(id, Timestamp(S), Scope::All, Vec::new())];
    } else {
        draft.add = (0..FILES).map(|n| file((version * FILES + n) % TABLES, version, version * FILES + n)).collect();
    }
    draft
}

async fn archive(store: Arc<dyn ObjectStore>) -> Archive {
    let identity = DeploymentIdentity { name: None, origin: "http://127.0.0.1:1".into() };
    let archive = Archive::create(store, "memory:///archive", identity, Timestamp(1)).await.expect("an archive");
    let (mut head, mut run) = (archive.head().await.expect("a head"), Run::begin());
    while head.version() < COMMITS {
        match archive.commit(&head, &mut run, draft(&head)).await.expect("a commit") {
            CommitOutcome::Committed(next) => head = *next,
            _ => unreachable!("nobody else writes"),
        }
    }
    archive.write_manifest(&head).await.expect("a manifest");
    archive
}

/// The same log without its checkpoints and `manifest.json`.
async fn without_checkpoints(store: &InMemory) -> Arc<dyn ObjectStore> {
    let bare = Arc::new(InMemory::new());
    let objects: Vec<_> = store.list(None).try_collect().await.expect("a listing");
    for object in objects.into_iter().filter(|o| !o.location.as_ref().contains("checkpoint")) {
        if object.location.as_ref() != layout::MANIFEST {
            let bytes = store.get(&object.location).await.expect("an object").bytes().await.expect("its bytes");
            bare.put(&object.location, bytes.into()).await.expect("a copy");
        }
    }
    bare
}

async fn open(archive: &Archive) -> Head {
    let head = archive.head().await.expect("a head");
    assert_eq!(head.version(), COMMITS);
    head
}

async fn stream(archive: &Archive, head: &Head) -> u64 {
    let mut live = archive.live_files(head).await.expect("live files");
    let mut files = 0;
    while black_box(live.next().await.expect("a file")).is_some() {
        files += 1;
    }
    files
}

fn replay(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = Arc::new(InMemory::new());
    let full = runtime.block_on(archive(Arc::clone(&store) as Arc<dyn ObjectStore>));
    let bare = runtime.block_on(async {
        Archive::open(without_checkpoints(&store).await, "memory:///bare").await.expect("an archive")
    });
    let mut group = c.benchmark_group("replay");
    group.sample_size(20);
    group.throughput(Throughput::Elements(63));
    group.bench_function("open: a checkpoint and 63 commits", |b| b.iter(|| runtime.block_on(open(&full))));
    group.throughput(Throughput::Elements(COMMITS));
    group.bench_function("open: no checkpoint, 1,023 commits", |b| b.iter(|| runtime.block_on(open(&bare))));
    let files = (COMMITS - 1) * FILES;
    group.throughput(Throughput::Elements(files));
    let head = runtime.block_on(open(&full));
    assert_eq!(runtime.block_on(stream(&full, &head)), files);
    group.bench_function("live files: a checkpoint and 63 commits", |b| {
        b.iter(|| runtime.block_on(stream(&full, &head)));
    });
    group.bench_function("live files: no checkpoint, 1,023 commits", |b| {
        b.iter(|| runtime.block_on(stream(&bare, &head)));
    });
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
