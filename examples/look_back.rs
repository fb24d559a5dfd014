//! Looks back without any engine: what happened, transaction by transaction; one document before and after it was deleted; every
//! revision of it, field by field.
//!
//! `cargo run --example look_back -- [ARCHIVE]`

#![allow(clippy::print_stdout, reason = "an example prints")]

mod support;

use std::collections::BTreeMap;

use convex_archiver::{
    MemoryBudget, Result, TableRef, Timestamp,
    read::{History, LogOptions, Lookup, Transactions, compare, get, in_full},
};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;

    let mut log = Transactions::open(&archive, &head, &LogOptions::default()).await?;
    let mut transactions = 0;
    while let Some(transaction) = log.next().await? {
        transactions += 1;
        println!("{}: {} changes", in_full(transaction.ts), transaction.changes.len());
    }
    assert!(transactions > 0);

    let table = TableRef::new("", support::TABLE)?;
    let (id, before) = support::a_deletion(&archive, &head).await?;
    let then = get(&archive, &head, &table, &id, before).await?;
    let after = get(&archive, &head, &table, &id, Timestamp(before.0 + 1)).await?;
    let (Lookup::Document(then), Lookup::Deleted(at)) = (then, after) else { panic!("{id} was there, and then not") };
    println!("{id} was written at {} and deleted at {}", in_full(then.ts), in_full(at));

    let mut history = History::open(&archive, &head, &table, &id, MemoryBudget::default()).await?;
    let mut last = None;
    while let Some(revision) = history.next().await? {
        let document = revision.document.clone().unwrap_or_default();
        for change in compare(last.as_ref().unwrap_or(&BTreeMap::new()), &document) {
            println!("  {}: {:?} -> {:?}", change.path, change.before, change.after);
        }
        last = Some(document);
    }
    Ok(())
}
