//! The verb `diff`.

use std::fmt::Write;

use clap::Args;
use convex_archiver::{
    Error, Result, TableRef, Timestamp,
    read::{DiffOptions, DocumentDiff, Moment, TableDiff, compare, diff},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    config::ArchiveArgs,
    field_changes::{Field, fields, lines},
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past, SelectionArgs, moment},
    units::count,
};

/// Compares two moments: how many documents of each table were inserted, updated and deleted
///
/// Moments are as in --as-of of get. Tables that the archive does not cover at one of them are an error: leave them out with --exclude.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver diff 2026-11-23 2026-11-24 --archive s3://bucket/happy-otter
  convex-archiver diff '1 hour ago' now --archive ./archive --table messages --documents
  convex-archiver diff '1 hour ago' now --archive ./archive --documents --json | jq -c .changes")]
pub(crate) struct DiffArgs {
    /// The earlier moment
    #[arg(value_name = "T1")]
    from: Moment,
    /// The later moment
    #[arg(value_name = "T2")]
    to: Moment,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Show the documents, field by field
    #[arg(long)]
    documents: bool,
    /// Print one JSON object, also when it fails; with --documents JSON lines, a document each, and the object last
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The sums, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    from: String,
    from_ts: String,
    to: String,
    to_ts: String,
    tables: Vec<Sums<'a>>,
}

#[derive(Serialize)]
struct Sums<'a> {
    table: &'a TableRef,
    inserted: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
}

/// A document, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    table: &'a TableRef,
    id: &'a str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Field>,
}

pub(super) async fn run(args: &DiffArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let (from, to) = (past.at(Some(args.from))?, past.at(Some(args.to))?);
    if from > to {
        return Err(Error::usage(format!("{} lies after {}: exchange them", moment(from), moment(to))));
    }
    let selection = args.tables.selection(&past.head)?;
    let tables: Vec<_> =
        past.head.tables().map(|state| state.table.clone()).filter(|t| selection.contains(t)).collect();
    if tables.is_empty() {
        return Err(Error::not_found("the archive has no such table: see tables for those that it has"));
    }
    let options = DiffOptions::default().from(from).to(to).tables(tables).documents(args.documents).budget(budget);
    let mut lines = output::Lines::new();
    let told = tell(args, &past, &options, &mut lines).await;
    lines.end(told).map(|()| Outcome::Done)
}

async fn tell(args: &DiffArgs, past: &Past, options: &DiffOptions, lines: &mut output::Lines) -> Result<()> {
    if !args.json {
        lines.print(&output::facts([("From", moment(options.from)), ("To", moment(options.to))]))?;
    }
    let tell = |document: DocumentDiff| {
        if args.json { lines.print_json(&line(&document)?) } else { lines.print(&text(&document)) }
    };
    let tables = diff(&past.archive, &past.head, options, tell).await?;
    if !args.json {
        return lines.print(&format!("\n{}", sums(&tables)));
    }
    let report = report(past.archive.url(), options.from, options.to, &tables);
    // One line among lines, one object alone.
    if args.documents { lines.print_json(&report) } else { output::print_json(&report) }
}

fn report<'a>(archive: &'a str, from: Timestamp, to: Timestamp, tables: &'a [TableDiff]) -> Report<'a> {
    let table = |t: &'a TableDiff| Sums {
        table: &t.table,
        inserted: t.inserted,
        updated: t.updated,
        deleted: t.deleted,
        unchanged: t.unchanged,
    };
    Report {
        archive,
        from: from.to_string(),
        from_ts: from.0.to_string(),
        to: to.to_string(),
        to_ts: to.0.to_string(),
        tables: tables.iter().map(table).collect(),
    }
}

fn change(document: &DocumentDiff) -> &'static str {
    match (&document.before, &document.after) {
        (None, _) => "inserted",
        (_, None) => "deleted",
        _ => "updated",
    }
}

fn line(document: &DocumentDiff) -> Result<Line<'_>> {
    let whole = |revision: &Option<_>| revision.as_ref().map_or(Ok(None), past::document);
    let before = document.before.as_ref().and_then(|revision| revision.document.as_ref());
    let after = document.after.as_ref().and_then(|revision| revision.document.as_ref());
    let changes = before.zip(after).map(|(before, after)| compare(before, after)).unwrap_or_default();
    Ok(Line {
        table: &document.table,
        id: &document.id,
        change: change(document),
        before: whole(&document.before)?,
        after: whole(&document.after)?,
        changes: fields(&changes)?,
    })
}

fn text(document: &DocumentDiff) -> String {
    let nothing = std::collections::BTreeMap::new();
    let fields = |revision: &'_ Option<convex_archiver::Revision>| revision.as_ref().and_then(|r| r.document.clone());
    let (before, after) = (fields(&document.before), fields(&document.after));
    let mut text = format!("\n{} {} {}\n", document.table, document.id, change(document));
    lines(&mut text, &compare(before.as_ref().unwrap_or(&nothing), after.as_ref().unwrap_or(&nothing)), true);
    text
}

fn sums(tables: &[TableDiff]) -> String {
    let header = ["Table", "Inserted", "Updated", "Deleted", "Unchanged"].map(str::to_owned).to_vec();
    let row = |t: &TableDiff| {
        let sums = [t.inserted, t.updated, t.deleted, t.unchanged].map(count);
        std::iter::once(t.table.to_string()).chain(sums).collect()
    };
    let mut text = String::new();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(tables.iter().map(row)).collect();
    let _ = write!(text, "{}", output::table(&rows));
    text
}
