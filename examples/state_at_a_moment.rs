//! A table as it was at a moment: its documents in the order of their ids, as Arrow batches or one by one, in bounded memory;
//! and what is different between two moments.
//!
//! `cargo run --example state_at_a_moment -- [ARCHIVE]`

#![allow(clippy::print_stdout, reason = "an example prints")]

mod support;

use convex_archiver::{
    Encoding, MemoryBudget, Result, TableRef, Timestamp,
    read::{DiffOptions, State, StateOptions, diff, in_full},
};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;
    let table = TableRef::new("", support::TABLE)?;
    let (id, before) = support::a_deletion(&archive, &head).await?;

    let mut documents = Vec::new();
    for at in [before, Timestamp(before.0 + 1)] {
        // At least 64 MiB; more sorts more changes without temporary files.
        let options = StateOptions::default().budget(MemoryBudget::new(64 << 20)?);
        let mut state = State::open(&archive, &head, &table, at, &options).await?;
        let (mut rows, mut has_it, mut first) = (0, false, String::new());
        while let Some(batch) = state.next().await? {
            rows += batch.to_record_batch()?.num_rows();
            has_it |= (0..batch.len()).any(|row| batch.id(row) == id);
            if first.is_empty() {
                batch.documents()?.write_json(0, Encoding::ExportJson, &mut first)?;
            }
        }
        println!("{}: {rows} documents; {id} is {}", in_full(at), if has_it { "there" } else { "gone" });
        println!("  {first:.100}…");
        documents.push((rows, has_it));
    }
    assert!(documents[0].1 && !documents[1].1);

    let options = DiffOptions::default()
        .from(before)
        .to(Timestamp(before.0 + 1))
        .tables(vec![table])
        .documents(true)
        .budget(MemoryBudget::default());
    let tables = diff(&archive, &head, &options, |document| {
        if document.after.is_none() {
            println!("  deleted {}", document.id);
        }
        Ok(())
    })
    .await?;
    println!("{tables:?}");
    Ok(())
}
