//! The verb `history`.

use std::fmt::Write;

use clap::Args;
use convex_archiver::{
    Error, Result, Revision, TableRef, Timestamp, Value,
    read::{DoubtedTable, FieldChange, History, compare},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    config::ArchiveArgs,
    doubt,
    field_changes::{Field, fields, lines},
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past, moment},
};

/// Shows every revision of one document, field by field
///
/// The oldest comes first. The first revision that the archive has is shown in full; for each later one, only what it
/// changed: `+` a field was added, `-` a field was removed, `~` a field was changed. `gone` means that the document is
/// missing from a later snapshot without a recorded deletion: either the deletion fell into a gap, or the table was
/// dropped.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  convex-archiver history j57d8m… --archive s3://bucket/happy-otter
  convex-archiver history messages j57d8m… --archive ./archive --json | jq -c '{written, change}'"
)]
pub(crate) struct HistoryArgs {
    /// TABLE, or COMPONENT/TABLE. Can be left out: the id carries the number of its table
    #[arg(value_parser = past::table)]
    table: Option<TableRef>,
    /// The document's `_id`
    id: String,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Print JSON lines, one per revision; on failure, an object with the error
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// A revision, as JSON.
#[derive(Serialize)]
struct Line {
    written: String,
    written_ts: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Field>,
    /// Why that may not have been so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubted: Vec<DoubtedTable>,
}

pub(super) async fn run(args: &HistoryArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let tables = past.tables_of(args.table.as_ref(), &args.id)?;
    for (table, left) in tables.iter().zip((0..tables.len()).rev()) {
        let mut history = History::open(&past.archive, &past.head, table, &args.id, budget).await?;
        let oldest = history.next().await?;
        // One of the others may have it.
        if oldest.is_none() && left > 0 {
            continue;
        }
        past::warn_of(history.missing(), "revisions");
        doubt::warn_of(history.doubted());
        let mut lines = output::Lines::new();
        let told = tell(args, table, &mut history, oldest, &mut lines).await;
        return lines.end(told).map(|()| Outcome::Done);
    }
    Err(Error::internal("there is no table to look in: report it"))
}

async fn tell(
    args: &HistoryArgs,
    table: &TableRef,
    history: &mut History,
    oldest: Option<Revision>,
    out: &mut output::Lines,
) -> Result<()> {
    // The last revision, and whether it is still there as far as is known.
    let mut before: Option<Revision> = None;
    let mut known = false;
    let gone = |history: &History, before: Option<&Revision>, next: Option<Timestamp>| {
        let live = before.filter(|revision| revision.document.is_some())?;
        history.gone_between(live.ts, next)
    };
    let mut next = oldest;
    while let Some(revision) = next {
        if let Some(s) = gone(history, before.as_ref(), Some(revision.ts)) {
            tell_gone(args, s, out)?;
            before = None;
        }
        let change = change(known, before.as_ref(), &revision);
        let changes = changes(before.as_ref(), &revision);
        if args.json {
            out.print_json(&Line {
                written: revision.ts.to_string(),
                written_ts: revision.ts.0.to_string(),
                change,
                document: past::document(&revision)?,
                changes: fields(&changes)?,
                doubted: doubt::holding(history.doubted(), table, revision.ts).cloned().collect(),
            })?;
        } else {
            let mut text = if known { "\n".to_owned() } else { String::new() };
            let _ = writeln!(text, "{}  {change}", moment(revision.ts));
            lines(&mut text, &changes, before.is_some());
            out.print(&text)?;
        }
        (before, known) = (Some(revision), true);
        next = history.next().await?;
    }
    if let Some(s) = gone(history, before.as_ref(), None) {
        tell_gone(args, s, out)?;
    }
    if known {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "the archive has no revision of a document {} in {table}; check the table and the id",
        args.id.escape_debug()
    )))
}

/// A snapshot lacks it.
fn tell_gone(args: &HistoryArgs, s: Timestamp, out: &mut output::Lines) -> Result<()> {
    let change = "gone";
    if args.json {
        let (written, written_ts) = (s.to_string(), s.0.to_string());
        return out.print_json(&Line {
            written,
            written_ts,
            change,
            document: None,
            changes: Vec::new(),
            doubted: Vec::new(),
        });
    }
    out.print(&format!(
        "\n{}  {change}: missing from the snapshot of that moment; its deletion is not in the archive\n",
        moment(s)
    ))
}

/// `known`: whether a revision came before; `before`: the last one, unless the document is known to have gone since.
fn change(known: bool, before: Option<&Revision>, revision: &Revision) -> &'static str {
    match (before.is_some_and(|before| before.document.is_some()), &revision.document) {
        (_, None) => "deleted",
        (true, Some(_)) => "updated",
        (false, Some(_)) if known => "inserted again",
        // It may have been there before the archive was.
        (false, Some(_)) => "first seen",
    }
}

fn changes<'a>(before: Option<&'a Revision>, after: &'a Revision) -> Vec<FieldChange<'a>> {
    static NOTHING: std::collections::BTreeMap<String, Value> = std::collections::BTreeMap::new();
    let before = before.and_then(|before| before.document.as_ref()).unwrap_or(&NOTHING);
    match &after.document {
        Some(after) => compare(before, after),
        // What went is what was there before: no need to say it again.
        None => Vec::new(),
    }
}
