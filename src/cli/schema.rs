//! The verb `schema`.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use convex_archiver::{
    Error, Result, TableRef, Timestamp,
    read::{
        ColumnInfo, Moment, TableColumns, columns_of, known_table,
        views::{SchemaFormat, dbt_sources, schema_text},
    },
};
use serde::Serialize;

use super::{
    config::ArchiveArgs,
    outcome::Outcome,
    output,
    past::{self, Past, moment},
    units::{self, counted},
};

/// Shows the columns of a table: types, since when they exist, the tables that ids point to, and values that fit no
/// column
///
/// A column is created when its field is first seen, and never changes its type. Values of other types are kept in
/// `_rescued` and counted per type. The fields of objects are shown below them; `*` stands for every item of an array.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver schema messages --archive s3://bucket/happy-otter
  convex-archiver schema waitlist/users --archive ./archive --as-of 2026-11-01
  convex-archiver schema messages --archive ./archive --format polars > messages.py
  convex-archiver schema --archive ./archive --format dbt > models/convex.yml
  convex-archiver schema messages --archive ./archive --json |
    jq -r '.columns[] | [.path, .type] | @tsv'")]
pub(crate) struct SchemaArgs {
    /// TABLE, or COMPONENT/TABLE. May be omitted only with --format dbt, which then covers all tables
    #[arg(value_parser = past::table)]
    table: Option<TableRef>,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Show only the columns that existed at this moment; as in --as-of of get
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
    /// Print the newest schema of the files instead, for readers that would otherwise use the schema of the first file.
    /// Values that arrived before their column existed are in `_rescued` of the files; `export --format parquet` puts
    /// them into their columns
    #[arg(long, value_name = "READER", conflicts_with_all = ["as_of", "json"])]
    format: Option<Format>,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Python: a pyarrow.Schema, and state(at), a pyarrow.Table of the documents at a moment
    Pyarrow,
    /// Python: a schema for polars.scan_parquet, and state(at), a LazyFrame of the documents at a moment
    Polars,
    /// Python: DDL for spark.read.schema
    Spark,
    /// CREATE TABLE, in DuckDB's types
    Sql,
    /// The schema as described in FORMAT.md
    Json,
    /// Sources for dbt (YAML), with tests, for the views of `views --engine dbt`
    Dbt,
}

impl Format {
    /// How the schema of one table is spelled; None for dbt, which has all tables in one file.
    fn of_one_table(self) -> Option<SchemaFormat> {
        match self {
            Self::Pyarrow => Some(SchemaFormat::Pyarrow),
            Self::Polars => Some(SchemaFormat::Polars),
            Self::Spark => Some(SchemaFormat::Spark),
            Self::Sql => Some(SchemaFormat::Sql),
            Self::Json => Some(SchemaFormat::Json),
            Self::Dbt => None,
        }
    }
}

/// The columns, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    as_of: String,
    as_of_ts: String,
    #[serde(flatten)]
    columns: &'a TableColumns,
}

pub(super) async fn run(args: &SchemaArgs) -> Result<Outcome> {
    let Some(table) = &args.table else {
        return match args.format {
            Some(Format::Dbt) => sources(&Past::open(&args.archive).await?, None).await,
            _ => Err(Error::usage("name a table: TABLE, or COMPONENT/TABLE; only --format dbt works without one")),
        };
    };
    let past = Past::open(&args.archive).await?;
    if let Some(format) = args.format {
        known_table(&past.head, table)?;
        let Some(format) = format.of_one_table() else { return sources(&past, Some(table)).await };
        let schema = past.archive.schema(&past.head, table).await?;
        output::print(&schema_text(table, &schema, format, past.archive.url())?)?;
        return Ok(Outcome::Done);
    }
    let at = past.at(args.as_of)?;
    let columns = columns_of(&past.archive, &past.head, table, args.as_of.map(|_| at)).await?;
    if args.json {
        let (as_of, as_of_ts) = (at.to_string(), at.0.to_string());
        output::print_json(&Report { archive: past.archive.url(), as_of, as_of_ts, columns: &columns })?;
    } else {
        output::print(&text(&columns, at))?;
    }
    Ok(Outcome::Done)
}

/// Prints the sources for dbt: of one table, or of all.
async fn sources(past: &Past, table: Option<&TableRef>) -> Result<Outcome> {
    let mut columns = past.archive.all_schemas(&past.head).await?;
    columns.retain(|one, _| table.is_none_or(|table| one == table));
    output::print(&dbt_sources(&past.head, &columns))?;
    Ok(Outcome::Done)
}

fn text(columns: &TableColumns, at: Timestamp) -> String {
    let mut text = format!("{} as of {}\n\n", columns.table, moment(at));
    let header = ["Field", "Type", "Since", "Points to", "Rescued"].map(str::to_owned).to_vec();
    let row = |column: &ColumnInfo| {
        vec![
            column.path.clone(),
            column.kind.clone(),
            column.since.map(units::time).unwrap_or_default(),
            column.references.clone().unwrap_or_default(),
            kinds(&column.rescued),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(columns.columns.iter().map(row)).collect();
    text.push_str(&output::texts(&rows));
    for (path, found) in &columns.without_column {
        let _ = writeln!(text, "{path} has no column: {} in _rescued", kinds(found));
    }
    let (rescued, rows) = (columns.rescued_rows, columns.rows);
    let _ = writeln!(text, "\n{} of {} have values in _rescued", units::count(rescued), counted(rows, "row"));
    text
}

fn kinds(found: &std::collections::BTreeMap<String, u64>) -> String {
    let kinds = found.iter().map(|(kind, n)| format!("{} {kind}", units::count(*n)));
    kinds.collect::<Vec<_>>().join(", ")
}
