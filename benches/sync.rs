//! All stages together, in-process: pages made beforehand → an archive in memory. Whatever this takes more than the sum of
//! split, decode and write, the pipeline adds. `cargo bench --bench sync`; throughput is in bytes of the pages and in
//! documents. It also says how many bytes are stored, and in how many files.

#![allow(clippy::print_stdout, reason = "a bench is a program of its own")]
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod support;

use std::{hint::black_box, sync::Arc};

use convex_archiver::{
    NoMonitor, Timestamp,
    archive::Archive,
    convex::Source,
    sync::{SyncOptions, SyncReport, sync},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::memory::InMemory;

use support::{Pages, Premade};

async fn run(source: Arc<Premade>) -> SyncReport {
    let identity = source.identity().await.expect("an identity");
    let archive = Archive::create(Arc::new(InMemory::new()), "memory:///archive", identity, Timestamp(1));
    let archive = archive.await.expect("an archive");
    sync(source, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.expect("a sync")
}

fn whole(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("sync");
    group.sample_size(20);
    let mut bench = |name: &str, pages: &[&Pages], source: Premade| {
        let source = Arc::new(source);
        let documents: u64 = pages.iter().map(|pages| pages.documents()).sum();
        let bytes = pages.iter().flat_map(|pages| &pages.bodies).map(|body| body.len() as u64).sum();
        let report = runtime.block_on(run(Arc::clone(&source)));
        assert_eq!(report.documents + report.tombstones, documents, "a sync that loses documents is no result");
        println!("sync/{name}: {} bytes in {} files", report.file_bytes, report.files);
        group.throughput(Throughput::ElementsAndBytes { elements: documents, bytes });
        group.bench_function(name, |b| b.iter(|| black_box(runtime.block_on(run(Arc::clone(&source))))));
    };
    let snapshot = support::snapshot();
    bench("snapshot of six tables", &[&snapshot], Premade::new(&snapshot, None));
    for copies in [1, 84] {
        let deltas = support::deltas(copies);
        bench(&format!("deltas of {}", deltas.name), &[&deltas], Premade::after_nothing(&deltas));
    }
    let (snapshot, deltas) = support::recorded();
    bench("browser-compat and its changes", &[&snapshot, &deltas], Premade::new(&snapshot, Some(&deltas)));
    group.finish();
}

criterion_group!(benches, whole);
criterion_main!(benches);
