//! Views for engines that read the archive by themselves: a script for DuckDB and one for Spark, and the columns of a table for
//! readers that take the first file's otherwise.
//!
//! `cargo run --example query_from_other_engines -- [ARCHIVE]`; with `duckdb` on the PATH it runs a query, too.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example prints, and may give up")]

mod support;

use std::{fs, process::Command};

use convex_archiver::{
    Result, TableRef,
    read::{
        known_table,
        views::{SchemaFormat, duckdb_views, schema_text, spark_views},
    },
};

#[tokio::main]
async fn main() -> Result<()> {
    let (archive, head, _scratch) = support::archive().await?;
    let (_, before) = support::a_deletion(&archive, &head).await?;
    let table = TableRef::new("", support::TABLE)?;

    // Without a moment the plain names mean as far as the archive reaches, whenever the script is run.
    let columns = archive.all_schemas(&head).await?;
    let script = duckdb_views(&head, &columns, archive.url(), Some(before));
    let spark = spark_views(archive.url(), Some(before));
    println!("{} lines for DuckDB, {} for Spark", script.lines().count(), spark.lines().count());
    known_table(&head, &table)?;
    println!("{}", schema_text(&table, &columns[&table], SchemaFormat::Sql, archive.url())?);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("views.sql");
    fs::write(&file, script).expect("room for a script");
    let query = format!("SELECT count(*) AS documents FROM {}", support::TABLE);
    match Command::new("duckdb").arg("-init").arg(&file).arg(":memory:").arg(&query).status() {
        Ok(ended) => assert!(ended.success(), "duckdb 1.5 or later"),
        Err(_) => println!("with duckdb on the PATH, this example runs: {query}"),
    }
    Ok(())
}
