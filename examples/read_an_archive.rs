//! Reads the files of an archive, row by row: which tables there are, and every revision of one of them with its values as Convex
//! has them. For a state at a moment see `state_at_a_moment`.
//!
//! `cargo run --example read_an_archive -- [ARCHIVE [TABLE]]`

#![allow(clippy::print_stdout, reason = "an example prints")]
#![allow(clippy::disallowed_methods, reason = "an example is a program of its own")]

mod support;

use std::sync::Arc;

use convex_archiver::{Encoding, FileReader, Result, RowReader, Value, WantedRows, write_value};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;
    let wanted = std::env::args().nth(2);
    for table in head.tables() {
        let counts = table.visible();
        println!(
            "{}: {} rows in {} files, {} columns",
            table.table, counts.rows, counts.files, table.schema.size.fields
        );
    }

    let mut live = archive.live_files(&head).await?;
    let mut shown = 0;
    while let Some(file) = live.next().await? {
        if wanted.as_ref().is_some_and(|name| *name != file.table.to_string()) {
            continue;
        }
        let columns = archive.schema(&head, &file.table).await?;
        let mut reader = FileReader::open(Arc::clone(archive.store()), &file, &WantedRows::default()).await?;
        while let Some(batch) = reader.next().await? {
            let rows = RowReader::new(&columns, &batch)?;
            for row in 0..batch.num_rows() {
                let revision = rows.revision(row)?;
                shown += 1;
                if shown > 5 {
                    continue;
                }
                let mut text = String::new();
                match revision.document {
                    Some(document) => write_value(&mut text, &Value::Object(document), Encoding::ExportJson),
                    None => text.push_str("deleted"),
                }
                println!("{} {} {}: {text:.100}", file.table, revision.id, revision.ts);
            }
        }
    }
    println!("{shown} revisions");
    assert!(shown > 0);
    Ok(())
}
