//! The verb `forget`.

use std::{sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    FindingCounts, Monitor, Result, Timestamp,
    forget::{ForgetOptions, ForgetReport, ForgottenTable, HeldUp, forget, plan_forget},
};
use serde::Serialize;

use super::{
    config::ArchiveArgs,
    outcome::Outcome,
    output,
    past::{LimitArgs, Past, SelectionArgs},
    signals,
    telemetry::Screen,
    units::{self, bytes, counted, long, time},
};

/// Permanently removes history that is older than the span to keep
///
/// Each table gets a new beginning: the last moment before the kept span at which no file has to be cut. The table's
/// state at that moment is written as a base, unless a snapshot exists there, and everything older is forgotten. All
/// later moments can be read as before; earlier ones can never be read again, so run it with --plan first. Syncs may
/// run at the same time. forget can be stopped at any time, and resumes when it is run again. `vacuum` deletes the
/// files once they are old enough.
///
/// Each time the beginning of a table moves, its state at that moment is written again, so run forget once a month
/// rather than every day.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver forget --archive s3://bucket/happy-otter --keep-within 2y --plan
      shows what would be forgotten, how much space that frees, and what the new beginnings cost

  convex-archiver forget --archive s3://bucket/happy-otter --keep-within 90d --table 'log_*'

Exit codes: 0 if everything older is forgotten or there was nothing to forget; 3 if a table was held up.")]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// How much history to keep, counted back from the newest moment in the archive: `2y`, `18months`, `90d`; at least
    /// 14d
    #[arg(long, value_name = "TIME", value_parser = keep_within)]
    keep_within: Duration,
    /// Only show what would be forgotten
    #[arg(long)]
    plan: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

fn keep_within(text: &str) -> Result<Duration, String> {
    let keep = units::duration(text)?;
    if keep < ForgetOptions::LEAST {
        // Somebody may mean months by `m`.
        Err("must be at least 14d, because the deployment itself keeps its changes that long (m is a minute, months are months)".to_owned())
    } else {
        Ok(keep)
    }
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    plan: bool,
    keep_within_seconds: u64,
    #[serde(flatten)]
    done: &'a ForgetReport,
    findings: &'a FindingCounts,
}

pub(super) async fn run(args: &ForgetArgs, screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let selection = args.tables.selection(&past.head)?;
    let options = ForgetOptions::new(args.keep_within).budget(budget).selection(selection);
    let done = if args.plan {
        plan_forget(&past.archive, &past.head, &options, Timestamp::now()).await?
    } else {
        let interrupted = signals::interrupted()?;
        let done = tokio::select! {
            biased;
            () = interrupted => None,
            done = forget_all(&past, &options) => Some(done?),
        };
        let Some(done) = done else {
            tracing::warn!("interrupted: history that was already forgotten stays forgotten; run it again to resume");
            return Ok(Outcome::Interrupted);
        };
        done
    };
    let findings = past.findings.counts();
    let is_held_up = done.tables.iter().any(|table| table.held_up.is_some());
    let outcome = if is_held_up { Outcome::Findings } else { Outcome::Done };
    let archive = past.archive.url();
    if args.json {
        output::print_json(&Report {
            archive,
            exit_code: outcome.code(),
            plan: args.plan,
            keep_within_seconds: args.keep_within.as_secs(),
            done: &done,
            findings: &findings,
        })?;
    } else if !screen.quiet() || outcome != Outcome::Done {
        output::print(&text(archive, args, &done, &findings))?;
    }
    Ok(outcome)
}

async fn forget_all(past: &Past, options: &ForgetOptions) -> Result<ForgetReport> {
    let monitor = Arc::clone(&past.findings) as Arc<dyn Monitor>;
    let (head, done) = forget(&past.archive, &past.head, options, Timestamp::now(), monitor).await?;
    if past.archive.is_manifest_due(&head)? {
        past.archive.write_manifest(&head).await?;
    }
    Ok(done)
}

fn text(archive: &str, args: &ForgetArgs, done: &ForgetReport, findings: &FindingCounts) -> String {
    let mut facts = vec![("Archive", archive.to_owned())];
    let limit = done.limit.map_or_else(
        || "nothing, because the archive is empty".to_owned(),
        |limit| format!("everything after {}", time(limit)),
    );
    facts.push(("Keeps", format!("{limit} ({})", long(args.keep_within))));
    let what = if args.plan { "Would forget" } else { "Forgot" };
    let left = format!("{}, {}, {}", counted(done.files, "file"), counted(done.rows, "row"), bytes(done.bytes));
    facts.push((what, if done.tables.is_empty() { "nothing: the archive has nothing older".to_owned() } else { left }));
    if done.bases > 0 {
        let (bases, read) = (counted(done.bases, "table"), bytes(done.base_input_bytes));
        let cost = if args.plan {
            format!("new bases of {bases}, at most {}; {read} to read", counted(done.base_rows, "row"))
        } else {
            format!(
                "new bases of {bases}, {}, {}; {read} read",
                counted(done.base_rows, "document"),
                bytes(done.base_bytes)
            )
        };
        facts.push((if args.plan { "Would write" } else { "Wrote" }, cost));
    }
    if let Some(version) = done.version {
        facts.push(("Version", version.to_string()));
        facts.push((
            "Space",
            "the files stay in the store for now; vacuum deletes them a week after they were last needed".to_owned(),
        ));
    }
    facts.extend(output::findings(findings));
    let mut text = output::facts(facts);
    if !done.tables.is_empty() {
        text.push('\n');
        text.push_str(&output::table(&rows(&done.tables)));
    }
    text
}

fn rows(tables: &[ForgottenTable]) -> Vec<Vec<String>> {
    let head = ["Table", "Begins", "Files", "Rows", "Bytes", "New base"].map(ToOwned::to_owned).to_vec();
    let row = |table: &ForgottenTable| {
        let base = match (table.held_up, table.new_base) {
            (Some(HeldUp::Walk), _) => "held up: sync is fetching it".to_owned(),
            (Some(_), _) => "held up: run sync --rebase for it first".to_owned(),
            (None, true) => units::count(table.base_rows),
            (None, false) => String::new(),
        };
        let begins = if table.held_up.is_some() { String::new() } else { time(table.kept_from) };
        vec![
            table.table.to_string(),
            begins,
            units::count(table.files),
            units::count(table.rows),
            bytes(table.bytes),
            base,
        ]
    };
    std::iter::once(head).chain(tables.iter().map(row)).collect()
}
