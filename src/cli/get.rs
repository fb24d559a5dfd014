//! The verb `get`.

use clap::Args;
use convex_archiver::{
    Error, Result, TableRef, Timestamp, Value,
    read::{DoubtedTable, Lookup, Moment, doubted_at, get},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    config::ArchiveArgs,
    doubt::{about_doubt, warn_of},
    outcome::Outcome,
    output,
    past::{self, Past, moment},
};

/// Shows one document as it was at a moment
///
/// Reads only a few pages of the files that may hold it, not the whole table. Exits with 1 if the document did not
/// exist at that moment, or had been deleted.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  convex-archiver get j57d8m… --archive s3://bucket/happy-otter
  convex-archiver get waitlist/users kd7f2n… --archive ./archive --as-of '2 days ago'
  convex-archiver get messages j57d8m… --archive ./archive --json | jq .document"
)]
pub(crate) struct GetArgs {
    /// TABLE, or COMPONENT/TABLE. Can be left out: the id carries the number of its table
    #[arg(value_parser = past::table)]
    table: Option<TableRef>,
    /// The document's `_id`
    id: String,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Moment: '2026-11-24 07:45:39' (UTC, or with a zone), 2026-11-24 (00:00 UTC), '2 hours ago' or 2h, yesterday (24
    /// hours ago), a _ts in nanoseconds, or 'now' (as far as the archive reaches)
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    as_of: Moment,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
}

/// The document, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    table: &'a TableRef,
    /// Text, and `_ts` as text too: 19 digits do not survive JavaScript.
    as_of: String,
    as_of_ts: String,
    written: String,
    written_ts: String,
    document: Option<Box<RawValue>>,
    /// Why the archive may show something else than the deployment held.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    doubted: &'a [DoubtedTable],
}

pub(super) async fn run(args: &GetArgs) -> Result<Outcome> {
    let past = Past::open(&args.archive).await?;
    let at = past.at(Some(args.as_of))?;
    let tables = past.tables_of(args.table.as_ref(), &args.id)?;
    let (table, found) = find(&past, &tables, &args.id, at).await?;
    let doubted = doubted_at(&past.head, [table], at);
    if !matches!(found, Lookup::Document(_)) {
        warn_of(&doubted);
    }
    let revision = match found {
        Lookup::Document(revision) => revision,
        Lookup::Deleted(ts) => {
            let why = format!("it was deleted at {}; choose an earlier --as-of", moment(ts));
            return Err(gone(args, table, at, &why));
        }
        Lookup::Nothing => {
            let id = args.id.escape_debug();
            return Err(gone(
                args,
                table,
                at,
                &format!("run `history {table} {id}` to see what the archive has of it"),
            ));
        }
    };
    if args.json {
        output::print_json(&Report {
            archive: past.archive.url(),
            table,
            as_of: at.to_string(),
            as_of_ts: at.0.to_string(),
            written: revision.ts.to_string(),
            written_ts: revision.ts.0.to_string(),
            document: past::document(&revision)?,
            doubted: &doubted,
        })?;
        return Ok(Outcome::Done);
    }
    let mut facts = vec![("As of", moment(at)), ("Written", moment(revision.ts))];
    if args.table.is_none() {
        facts.insert(0, ("Table", table.to_string()));
    }
    let mut text = output::facts(facts);
    text.push('\n');
    if let Some(document) = revision.document {
        text.push_str(&pretty(&Value::Object(document))?);
        text.push('\n');
    }
    for line in about_doubt(&doubted) {
        text.extend(["\n* ", &line, "\n"]);
    }
    output::print(&text)?;
    Ok(Outcome::Done)
}

/// Over several lines.
fn pretty(value: &Value) -> Result<String> {
    let read = serde_json::from_str::<serde_json::Value>(&past::value(value));
    let pretty = read.and_then(|json| serde_json::to_string_pretty(&json));
    pretty.map_err(|e| Error::internal("a document cannot be printed: report it").with_source(e))
}

/// The table of these that had the document, and what became of it. Where none had it, one that could not be looked into is an error: the
/// document may have been there.
async fn find<'a>(past: &Past, tables: &'a [TableRef], id: &str, at: Timestamp) -> Result<(&'a TableRef, Lookup)> {
    let mut failed = None;
    for table in tables {
        match get(&past.archive, &past.head, table, id, at).await {
            Ok(Lookup::Nothing) => {}
            Ok(found) => return Ok((table, found)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match (failed, tables.first()) {
        (Some(error), _) => Err(error),
        (None, Some(table)) => Ok((table, Lookup::Nothing)),
        (None, None) => Err(Error::internal("there is no table to look in: report it")),
    }
}

fn gone(args: &GetArgs, table: &TableRef, at: Timestamp, why: &str) -> Error {
    let id = &args.id;
    Error::not_found(format!("no document {} in {table} at {}: {why}", id.escape_debug(), moment(at)))
}
