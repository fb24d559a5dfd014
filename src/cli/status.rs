//! The verb `status`.

mod conditions;
mod runs;
mod trust;
mod verified;

use std::{fmt::Write, sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    Encoding, Phase, Result, Timestamp,
    archive::{Archive, Counts, Location, Status},
    runs::{KEPT, reports},
    verify::{Verification, verifications},
};
use serde::Serialize;

use self::conditions::{Condition, Failed, clock_ahead};
use super::{
    config::{self, ArchiveArgs},
    outcome::Outcome,
    output,
    telemetry::FindingLog,
    units::{self, bytes, count, counted, long, time},
    words::{ROWS, covered, missing},
};

/// Shows the state of an archive: progress, lag, tables, what is covered and what is missing
///
/// Needs no deploy key: it reads the archive only.
///
/// Lag is how far the archive is behind its deployment. If the last run caught up, it is the time since that run.
/// Otherwise it is the time since the newest change in the archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver status --archive s3://bucket/happy-otter
  convex-archiver status --archive ./archive --json | jq '.tables[] | {name: .table.name, rows}'
  convex-archiver status --archive ./archive --fail-on lag=6h,window=3d,gap || echo 'look at it'

Conditions of --fail-on:
  lag=TIME     the lag is longer than this. Also holds while a selected table is uncovered, once the
               window has passed, and if the last check lies in the future according to this
               machine's clock, because the lag is then unknown
  window=TIME  the deployment will drop changes that the archive lacks in less than this. Also holds
               if the last check lies in the future according to this machine's clock
  gap          the archive has a gap, healed or not: a span of changes that it knows to be missing
  uncovered    a selected table is not covered up to the end: either a snapshot has to be completed,
               or the table is in a component and the deployment has not proven that it sends
               changes of components
  empty        the archive holds no documents
  unproven=TIME  a selected table was last proven equal to the deployment longer ago than this, or
               never. Also holds if the last check lies in the future according to this machine's
               clock
  suspect      a selected table may differ from the deployment, and no sync has compared it yet
  unverified   no verification of the archive is recorded, or one found problems and no later one of
               the same depth found none
  unverified=TIME  the same, or the last verification is older than this

Exit codes: 3 if a condition holds; the reasons are printed first.")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    /// The same as --fail-on lag=TIME
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    max_lag: Option<Duration>,
    /// Exit with 3 if one of these conditions holds: lag=TIME, window=TIME, gap, uncovered, empty, unproven=TIME,
    /// suspect, unverified, unverified=TIME; separated by commas, and may be repeated
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    fail_on: Vec<Condition>,
    /// Also show the last runs of sync, newest first: when, how long, what they wrote, and how they ended. The archive
    /// keeps the reports of the last 200 runs
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "20", value_parser = clap::value_parser!(u16).range(1..=KEPT as i64))]
    runs: Option<u16>,
}

/// The status, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// Absent if nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_on: Option<&'a [Failed]>,
    archive: &'a str,
    format: u32,
    #[serde(flatten)]
    status: &'a Status,
    /// How far the last check lies in the future of this machine's clock, if it does.
    clock_ahead_seconds: Option<u64>,
    /// The last verifications, the newest first.
    verified: Vec<verified::Told<'a>>,
    /// The reports of the last syncs, the newest first. Absent if nobody asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<&'a [serde_json::Value]>,
}

pub(super) async fn run(args: &StatusArgs) -> Result<Outcome> {
    let location = Location::open(&args.archive.url, &config::settings())?;
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await?;
    let archive = archive.with_monitor(Arc::new(FindingLog));
    let now = Timestamp::now();
    let status = Status::of(&archive.head().await?, now);
    let verified = verifications(&archive).await.unwrap_or_else(|error| {
        tracing::warn!("cannot determine when the archive was last verified: {error}");
        Vec::new()
    });
    let runs = match args.runs {
        Some(count) => {
            let mut runs = reports(archive.store()).await?;
            runs.truncate(count.into());
            Some(runs)
        }
        None => None,
    };
    let conditions: Vec<_> = args.max_lag.map(Condition::Lag).into_iter().chain(args.fail_on.iter().copied()).collect();
    let failed = conditions::failed(&conditions, &status, &verified, now);
    if args.json {
        output::print_json(&Report {
            failed_on: (!conditions.is_empty()).then_some(&failed),
            archive: archive.url(),
            format: archive.header().format,
            status: &status,
            clock_ahead_seconds: clock_ahead(&status, now).map(|ahead| ahead.as_secs()),
            verified: verified.iter().map(|one| verified::Told::of(one, now)).collect(),
            runs: runs.as_deref(),
        })?;
    } else {
        let reasons = failed.iter().map(|failed| format!("Failed: {failed}\n"));
        let reasons = reasons.chain((!failed.is_empty()).then(|| "\n".to_owned()));
        let runs = runs.map_or_else(String::new, |runs| format!("\n{}", runs::text(&runs)));
        output::print(&(reasons.collect::<String>() + &text(&status, &verified, archive.url(), now) + &runs))?;
    }
    failed.iter().for_each(|failed| tracing::warn!(condition = failed.condition, "{}", failed.reason));
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Findings })
}

/// The status, for people.
pub(super) fn text(status: &Status, verified: &[Verification], archive: &str, now: Timestamp) -> String {
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
    if let Some(ahead) = clock_ahead(status, now) {
        facts.push(("Clock", conditions::clock(ahead)));
    }
    if status.encoding == Some(Encoding::Json) {
        let text = "json, which loses types: int64 and bytes are archived as the text that the deployment sends; \
            upgrade the deployment";
        facts.push(("Encoding", text.to_owned()));
    }
    if let Some(lag) = status.lag {
        facts.push(("Lag", long(lag)));
    }
    facts.extend(trust::guarded(status).map(|text| ("Guarded", text)));
    if let Some(left) = status.deltas_left {
        let text = if left.is_zero() {
            conditions::WINDOW_OVER.to_owned()
        } else {
            format!("{} left to run the next sync, because a deployment keeps its changes for 14 days", long(left))
        };
        facts.push(("Window", text));
    }
    facts.extend(verified::facts(verified));
    facts.push(("Digest", status.digest.clone()));
    let mut text = output::facts(facts);
    if !status.tables.is_empty() {
        text.push('\n');
        text.push_str(&tables(status));
        text.push('\n');
        text.push_str(ROWS);
        text.push_str(&coverage(status));
        text.push_str(&trust::of_tables(status));
    }
    text
}

fn phase(status: &Status) -> String {
    match (&status.snapshot, status.phase) {
        (Some(walk), _) => {
            let left = if walk.left.is_zero() {
                "the deployment no longer serves it (5 days)".to_owned()
            } else {
                format!("must be finished within {}", long(walk.left))
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
            "deltas, then a new base, because not all tables are covered at the cursor".to_owned()
        }
        (None, Phase::Delta) => "deltas: the snapshot is complete, only changes follow".to_owned(),
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
        let what = if gap.is_forgotten() { "Forgotten" } else { "Missing" };
        let _ = writeln!(text, "{what}: {}", missing(gap));
    }
    for untyped in &status.untyped {
        let what = match &untyped.base {
            Some(_) => format!("the snapshot of {}", time(untyped.to)),
            None => format!("changes after {} to {}", time(untyped.after), time(untyped.to)),
        };
        let _ = writeln!(
            text,
            "Types lost in {what}: the deployment offered no encoding that distinguishes int64 and bytes from text"
        );
    }
    if status.tables.iter().any(|t| t.component_doubt && !t.covered.is_empty()) {
        text.push_str(
            "For tables in components only the snapshot is certain: some deployments send no changes of components, \
             and none\n\
             has arrived yet. The first one that arrives settles it.\n",
        );
    }
    text
}
