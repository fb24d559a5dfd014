//! The verb `status`.

use std::{fmt::Write, sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    Encoding, Phase, Result, Timestamp,
    archive::{Archive, Counts, Location, Status},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs},
    outcome::Outcome,
    output,
    telemetry::FindingLog,
    units::{self, bytes, count, counted, long, time},
    words::{covered, missing},
};

/// Tells how far an archive is: progress, lag, tables, what is covered and what is missing
///
/// Needs no deploy key: it reads the archive only.
///
/// Lag: how far the archive is behind its deployment. If the last run had caught up, the time since it asked; else the
/// time since the last change that it has.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver status --archive s3://bucket/happy-otter
  convex-archiver status --archive ./archive --json | jq '.tables[] | {name: .table.name, rows}'
  convex-archiver status --archive ./archive --max-lag 6h -q || echo 'the archive falls behind'")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Print one JSON object, also when it fails
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 3 if the lag is longer, or not all tables are covered yet: a snapshot has to be completed
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    max_lag: Option<Duration>,
}

/// The status, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    format: u32,
    #[serde(flatten)]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lag_exceeded: Option<bool>,
}

pub(super) async fn run(args: &StatusArgs) -> Result<Outcome> {
    let location = Location::open(&args.archive.url, &config::settings())?;
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await?;
    let archive = archive.with_monitor(Arc::new(FindingLog));
    let status = Status::of(&archive.head().await?, Timestamp::now());
    let exceeded = args.max_lag.map(|most| status.lag.is_none_or(|lag| lag > most));
    if args.json {
        let format = archive.header().format;
        output::print_json(&Report { archive: archive.url(), format, status: &status, max_lag_exceeded: exceeded })?;
    } else {
        output::print(&text(&status, archive.url()))?;
    }
    match (exceeded, args.max_lag) {
        (Some(true), Some(most)) => {
            let lag = status
                .lag
                .map_or_else(|| "not all tables are covered yet".to_owned(), |l| format!("the lag is {}", long(l)));
            tracing::warn!("{lag}: more than --max-lag allows ({})", long(most));
            Ok(Outcome::Findings)
        }
        _ => Ok(Outcome::Done),
    }
}

/// The status, for people.
pub(super) fn text(status: &Status, archive: &str) -> String {
    let mut facts = vec![
        ("Archive", format!("{archive}, version {}", status.version)),
        ("Deployment", status.deployment.to_string()),
        ("Phase", phase(status)),
    ];
    if !status.selection.is_everything() {
        facts.push(("Selection", status.selection.to_string()));
    }
    if let Some(cursor) = &status.cursor {
        facts.push(("Cursor", cursor.clone()));
    }
    if let Some(through) = status.through {
        facts.push(("Through", time(through)));
    }
    if let Some(at) = status.checked_at {
        let state = if status.caught_up { "the deployment had nothing more" } else { "more was waiting" };
        facts.push(("Checked", format!("{}, {state}", time(at))));
    }
    if status.encoding == Some(Encoding::Json) {
        let text =
            "json, which loses types: int64 and bytes are archived as the text that the deployment sends; upgrade it";
        facts.push(("Encoding", text.to_owned()));
    }
    if let Some(lag) = status.lag {
        facts.push(("Lag", long(lag)));
    }
    if let Some(left) = status.deltas_left {
        let text = if left.is_zero() {
            "over: a deployment keeps its changes for 14 days, and may have dropped some that the archive lacks"
                .to_owned()
        } else {
            format!("{} left for the next sync: a deployment keeps its changes for 14 days", long(left))
        };
        facts.push(("Window", text));
    }
    facts.push(("Digest", status.digest.clone()));
    let mut text = output::facts(facts);
    if !status.tables.is_empty() {
        text.push('\n');
        text.push_str(&tables(status));
        text.push('\n');
        text.push_str(&coverage(status));
    }
    text
}

fn phase(status: &Status) -> String {
    match (&status.snapshot, status.phase) {
        (Some(walk), _) => {
            let left = if walk.left.is_zero() {
                "the deployment no longer serves it (5 days)".to_owned()
            } else {
                format!("to be finished within {}", long(walk.left))
            };
            format!(
                "snapshot of {}: {} done, {} so far; {left}",
                time(walk.ts),
                counted(walk.tables_done, "table"),
                counted(walk.written.rows, "row")
            )
        }
        (None, Phase::Snapshot) => "nothing archived yet".to_owned(),
        (None, Phase::Delta) if status.base_owed => {
            "deltas; then a new base: not all tables are covered at the cursor".to_owned()
        }
        (None, Phase::Delta) => "deltas: the snapshot is complete, changes follow".to_owned(),
    }
}

fn tables(status: &Status) -> String {
    let header = ["Table", "Rows", "Tombstones", "Files", "Bytes", "Columns", "Rescued"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    let row = |name: String, c: &Counts, columns: String| {
        vec![name, count(c.rows), count(c.tombstones), count(c.files), bytes(c.bytes), columns, count(c.rescued_rows)]
    };
    rows.extend(status.tables.iter().map(|t| row(t.table.to_string(), &t.counts, t.columns.to_string())));
    let several = status.tables.len() > 1;
    if several {
        rows.push(row("all".to_owned(), &status.total, String::new()));
    }
    if let Some(walk) = &status.snapshot {
        let all = several.then_some(&walk.written);
        let written = status.tables.iter().map(|t| &t.unfinished).chain(all).map(|c| count(c.rows));
        let column = std::iter::once("Snapshot rows".to_owned()).chain(written);
        rows.iter_mut().zip(column).for_each(|(row, cell)| row.push(cell));
    }
    output::table(&rows)
}

/// Which moments are in the archive, and which are not.
fn coverage(status: &Status) -> String {
    let mut text = covered(status.tables.iter().map(|t| (&t.table, t.covered.as_slice())));
    for gap in &status.gaps {
        let _ = writeln!(text, "Missing: {}", missing(gap));
    }
    for untyped in &status.untyped {
        let what = match &untyped.base {
            Some(_) => format!("the snapshot of {}", time(untyped.to)),
            None => format!("changes after {} to {}", time(untyped.after), time(untyped.to)),
        };
        let _ =
            writeln!(text, "Types lost: {what}: the deployment knew no encoding that tells int64 and bytes from text");
    }
    if status.tables.iter().any(|t| t.component_doubt && !t.covered.is_empty()) {
        text.push_str(
            "Of components only the snapshot is sure: some deployments send no changes of them, and none has\n\
             come yet. The first one that comes settles it.\n",
        );
    }
    text
}
