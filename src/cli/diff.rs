//! The verb `diff`.

use std::fmt::Write;

use clap::Args;
use convex_archiver::{
    Error, Result, TableRef,
    read::{CommonMoment, DiffOptions, DocumentDiff, DoubtedTable, Moment, TableDiff, compare, diff, doubted_at},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    config::ArchiveArgs,
    doubt::about_doubt,
    field_changes::{Field, fields, lines},
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past, SelectionArgs, moment},
    units::count,
};

/// Compares two moments: how many documents of each table were inserted, updated and deleted
///
/// Moments are written as in --as-of of get; 'now' is the newest moment at which all tables are covered, if that is at
/// most an hour before the end of the archive. A table that the archive does not cover at one of the moments is an
/// error; leave it out with --exclude.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver diff 2026-11-23 2026-11-24 --archive s3://bucket/happy-otter
  convex-archiver diff '1 hour ago' now --archive ./archive --table messages --documents
  convex-archiver diff '1 hour ago' now --archive ./archive --documents --json | jq -c .changes

Exit codes: 3 if an earlier moment was used for 'now' because a table is not covered.")]
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
    /// Print one JSON object, even on failure; with --documents, JSON lines with one document each, and the object last
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
    /// Tables because of which `now` is an earlier moment.
    held_back_by: &'a [TableRef],
    left_out: &'a [TableRef],
    tables: Vec<Sums<'a>>,
    /// Of which tables the archive may show something else than the deployment held, at one of the moments.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    doubted: &'a [DoubtedTable],
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
    let from = past.common(args.from, &args.tables.selection(&past.head)?)?;
    let to = past.common(args.to, &from.selection)?;
    if from.at > to.at {
        let why = past::about_tables(&to).join("; ");
        let advice = if why.is_empty() { "exchange them".to_owned() } else { format!("choose an earlier one; {why}") };
        return Err(Error::usage(format!("{} lies after {}: {advice}", moment(from.at), moment(to.at))));
    }
    let tables: Vec<_> =
        past.head.tables().map(|state| state.table.clone()).filter(|t| to.selection.contains(t)).collect();
    if tables.is_empty() {
        return Err(Error::not_found("the archive has no such table; run `tables` to see what it has"));
    }
    let options =
        DiffOptions::default().from(from.at).to(to.at).tables(tables).documents(args.documents).budget(budget);
    let mut lines = output::Lines::new();
    let told = tell(args, &past, &options, [&from, &to], &mut lines).await;
    let is_moved = [&from, &to].iter().any(|common| !common.held_back_by.is_empty());
    let outcome = if is_moved { Outcome::Findings } else { Outcome::Done };
    lines.end(told).map(|()| outcome)
}

async fn tell(
    args: &DiffArgs,
    past: &Past,
    options: &DiffOptions,
    moments: [&CommonMoment; 2],
    lines: &mut output::Lines,
) -> Result<()> {
    let [from, to] = moments;
    if !args.json {
        lines.print(&output::facts([("From", past::common(from)), ("To", past::common(to))]))?;
    }
    let tell = |document: DocumentDiff| {
        if args.json { lines.print_json(&line(&document)?) } else { lines.print(&text(&document)) }
    };
    let tables = diff(&past.archive, &past.head, options, tell).await?;
    let mut told = if to.held_back_by.is_empty() { from.clone() } else { to.clone() };
    told.left_out = from.left_out.iter().chain(&to.left_out).cloned().collect();
    let mut doubted = doubted_at(&past.head, &options.tables, options.from);
    for more in doubted_at(&past.head, &options.tables, options.to) {
        if !doubted.contains(&more) {
            doubted.push(more);
        }
    }
    if !args.json {
        lines.print(&format!("\n{}", sums(&tables)))?;
        let about = past::about_tables(&told).into_iter().chain(about_doubt(&doubted));
        return about.into_iter().try_for_each(|line| lines.print(&format!("\n* {line}\n")));
    }
    let report = report(past.archive.url(), options, &told, &tables, &doubted);
    // One line among lines, one object alone.
    if args.documents { lines.print_json(&report) } else { output::print_json(&report) }
}

fn report<'a>(
    archive: &'a str,
    options: &DiffOptions,
    told: &'a CommonMoment,
    tables: &'a [TableDiff],
    doubted: &'a [DoubtedTable],
) -> Report<'a> {
    let table = |t: &'a TableDiff| Sums {
        table: &t.table,
        inserted: t.inserted,
        updated: t.updated,
        deleted: t.deleted,
        unchanged: t.unchanged,
    };
    Report {
        archive,
        from: options.from.to_string(),
        from_ts: options.from.0.to_string(),
        to: options.to.to_string(),
        to_ts: options.to.0.to_string(),
        held_back_by: &told.held_back_by,
        left_out: &told.left_out,
        tables: tables.iter().map(table).collect(),
        doubted,
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
