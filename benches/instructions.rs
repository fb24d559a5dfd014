//! One sync of pages in memory into an archive in memory, to be counted by valgrind: `benches/instructions.py` runs it and says
//! what was counted. By itself it prints how much there was to do.

#![allow(clippy::print_stdout, reason = "a bench is a program of its own")]
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod support;

use std::sync::Arc;

use convex_archiver::{
    NoMonitor, Timestamp,
    archive::Archive,
    convex::Source,
    sync::{SyncOptions, sync},
};
use object_store::memory::InMemory;

use support::Premade;

/// `PAGES` says which pages, and `SYNCS` how many syncs of them: the pages alone are made with none.
#[allow(clippy::disallowed_methods, reason = "a bench is a program of its own")]
fn main() {
    let said = |name, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let (pages, source) = match said("PAGES", "snapshot").as_str() {
        "deltas" => after_nothing(1),
        "tables" => after_nothing(84),
        _ => {
            let pages = support::snapshot();
            let source = Premade::new(&pages, None);
            (pages, source)
        }
    };
    let (source, documents) = (Arc::new(source), pages.documents());
    println!("{} bytes, {documents} documents", pages.bodies.iter().map(bytes::Bytes::len).sum::<usize>());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for _ in 0..said("SYNCS", "1").parse().expect("SYNCS is a number") {
        let source = Arc::clone(&source);
        let report = runtime.block_on(async move {
            let identity = source.identity().await.expect("an identity");
            let archive = Archive::create(Arc::new(InMemory::new()), "memory:///archive", identity, Timestamp(1));
            let archive = archive.await.expect("an archive");
            sync(source, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.expect("a sync")
        });
        assert_eq!(report.documents + report.tombstones, documents, "a sync that loses documents is no result");
        println!("{} bytes in {} files", report.file_bytes, report.files);
    }
}

fn after_nothing(copies: u64) -> (support::Pages, Premade) {
    let pages = support::deltas(copies);
    let source = Premade::after_nothing(&pages);
    (pages, source)
}
