//! The verb `documents`.

use clap::Args;
use convex_archiver::{
    Encoding, Result, TableRef, Timestamp,
    read::{DoubtedTable, Moment, State, StateOptions, doubted_at},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    config::ArchiveArgs,
    doubt,
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past},
    units::count,
};

/// Shows documents of a table as they were at a moment
///
/// They are shown in the order of their ids, which is random; --limit sets how many. Each is one line of JSON in
/// Convex's export format, in which 42 is an int64 and 42.0 a float64. No query engine is needed. To filter and sort,
/// use `query`; to write all documents to files, use `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver documents messages --archive s3://bucket/happy-otter
  convex-archiver documents waitlist/users --archive ./archive --as-of yesterday --limit 100
  convex-archiver documents messages --archive ./archive --limit all --json | jq -r .document._id")]
pub(crate) struct DocumentsArgs {
    /// TABLE, or COMPONENT/TABLE
    #[arg(value_parser = past::table)]
    table: TableRef,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Moment, as in --as-of of get
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    as_of: Moment,
    /// Number of documents to show, or `all`
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = limit)]
    limit: u64,
    /// Print JSON lines, each with a document and when it was written; on failure, an object with the error
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

fn limit(text: &str) -> Result<u64, String> {
    if text == "all" {
        return Ok(u64::MAX);
    }
    text.parse().map_err(|_| "write a number, or `all`".to_owned())
}

/// A document, as JSON.
#[derive(Serialize)]
struct Line {
    written: String,
    written_ts: String,
    document: Box<RawValue>,
    /// Why that may not have been so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubted: Vec<DoubtedTable>,
}

pub(super) async fn run(args: &DocumentsArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let at = past.at(Some(args.as_of))?;
    let options = StateOptions::default().budget(budget);
    let mut state = State::open(&past.archive, &past.head, &args.table, at, &options).await?;
    let doubted = doubted_at(&past.head, [&args.table], at);
    doubt::warn_of(&doubted);
    let mut lines = output::Lines::new();
    let told = tell(args, &mut state, &doubted, at, &mut lines).await;
    lines.end(told).map(|()| Outcome::Done)
}

async fn tell(
    args: &DocumentsArgs,
    state: &mut State,
    doubted: &[DoubtedTable],
    at: Timestamp,
    lines: &mut output::Lines,
) -> Result<()> {
    let (mut shown, mut more) = (0, false);
    'all: while let Some(batch) = state.next().await? {
        let documents = batch.documents()?;
        for row in 0..batch.len() {
            if shown == args.limit {
                more = true;
                break 'all;
            }
            shown += 1;
            let mut text = String::new();
            documents.write_json(row, Encoding::ExportJson, &mut text)?;
            if args.json {
                let written = batch.ts(row);
                lines.print_json(&Line {
                    written: written.to_string(),
                    written_ts: written.0.to_string(),
                    document: past::raw(text)?,
                    doubted: doubted.to_vec(),
                })?;
            } else {
                lines.print(&(text + "\n"))?;
            }
        }
    }
    if more && !args.json {
        lines.flush()?;
        tracing::info!("there are more documents than these {}; use --limit to see more, as of {at}", count(shown));
    }
    Ok(())
}
