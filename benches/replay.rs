//! The stage *log replay*: opening an archive of many commits. `cargo bench --bench replay`; throughput is in elements,
//! each a commit that is folded or a live file that is streamed.
//!
//! The archive stands one commit before a checkpoint, the longest way from the one before: 1,023 commits of 10 files each,
//! over 100 tables, in a store in memory.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod support;

use std::{hint::black_box, sync::Arc};

use convex_archiver::{
    Timestamp,
    archive::{Archive, CommitOutcome, Draft, Head, Run},
    testing::layout,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

use self::support::imaginary;

const COMMITS: u64 = 1_023;
const TABLES: u64 = 100;
const FILES: u64 = 10;
const COLUMNS: i32 = 20;
/// Of the first commit; each later one reaches a second further.
const S: i64 = 1_790_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Commit 1 is an empty base with all tables; the others bring delta files.
fn draft(head: &Head) -> Draft {
    let version = head.version() + 1;
    let reached = |version: u64| Timestamp(S + (version as i64 - 1) * SECOND);
    if version == 1 {
        return imaginary::first_draft(head, reached(1), (0..TABLES).map(|n| imaginary::entry(n, COLUMNS)).collect());
    }
    let (min, max) = (Timestamp(reached(version - 1).0 + 1), reached(version));
    let file = |n: u64| {
        let counter = version * FILES + n;
        let table = imaginary::entry(counter % TABLES, COLUMNS);
        imaginary::delta_file(table, min, max, counter as u32, "5f3a9c01")
    };
    Draft { add: (0..FILES).map(file).collect(), ..imaginary::draft(head, max) }
}

async fn archive(store: Arc<dyn ObjectStore>) -> Archive {
    let archive =
        Archive::create(store, "memory:///archive", imaginary::identity(), Timestamp(1)).await.expect("an archive");
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
