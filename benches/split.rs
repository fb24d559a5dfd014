//! The stage *split*: the bytes of a page → where its documents stand. `cargo bench --bench split`; throughput is in bytes
//! of the pages and in documents.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod support;

use std::hint::black_box;

use convex_archiver::testing::convex;
use criterion::{Criterion, criterion_group, criterion_main};

fn split(c: &mut Criterion) {
    let mut group = c.benchmark_group("split");
    let (recorded, changes) = support::recorded();
    for pages in [support::snapshot(), support::deltas(1), recorded, changes] {
        group.throughput(pages.throughput());
        group.bench_function(&pages.name, |b| {
            b.iter(|| {
                for body in &pages.bodies {
                    black_box(convex::split(black_box(body), pages.phase).expect("a page"));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, split);
criterion_main!(benches);
