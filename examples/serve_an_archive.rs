//! Serves an archive as the deployment it came from, as of a moment, and archives that: what reads Convex reads the archive, and a
//! lost archive is made again from a copy.
//!
//! `cargo run --example serve_an_archive -- [ARCHIVE]`

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example prints, and may give up")]

mod support;

use std::sync::Arc;

use convex_archiver::{
    MemoryBudget, NoMonitor, Result, Selection, TableRef,
    convex::Source,
    read::{RestoreOptions, get, in_full, plan_restore},
    server::ArchivedDeployment,
    sync::{SyncOptions, sync},
};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;
    let (id, before) = support::a_deletion(&archive, &head).await?;
    let documents = async |archive: &_, head: &_| -> Result<u64> {
        let options = RestoreOptions::default()
            .at(before)
            .selection(Selection::default())
            .ids([].into())
            .budget(MemoryBudget::default());
        Ok(plan_restore(archive, head, &options, &NoMonitor).await?.documents())
    };
    let expected = documents(&archive, &head).await?;

    // Clients take this moment for now. For the whole history: None, and a snapshot of the first moment that is covered.
    let deployment =
        ArchivedDeployment::open(archive, Some(before), &Selection::default(), MemoryBudget::default()).await?;
    let client = support::served(Arc::new(deployment)).await?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = support::new_archive(&folder.path().display().to_string(), client.identity().await?).await?;
    let report = sync(client, &copy, &SyncOptions::default(), Arc::new(NoMonitor)).await?;
    println!("archived again: {} documents, as of {}", report.documents, in_full(before));

    let head = copy.head().await?;
    assert_eq!(documents(&copy, &head).await?, expected);
    println!("{id}: {:.100?}…", get(&copy, &head, &TableRef::new("", support::TABLE)?, &id, before).await?);
    Ok(())
}
