//! The verb `repair`.

use std::{fmt::Write, sync::Arc};

use clap::Args;
use convex_archiver::{
    Result, ResultExt, Timestamp,
    archive::Location,
    repair::{LostRevisions, RepairOptions, RepairReport, RepairSource, RepairedObject, repair},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs},
    outcome::Outcome,
    output,
    past::{self, LimitArgs},
    progress::Progress,
    signals,
    telemetry::Screen,
    units::{count, counted},
    verify::problem_lines,
    words,
};

/// Objects that are printed for people; --json has all.
const SHOWN: usize = 50;

/// Repairs what verify finds, as far as other objects or a copy still have the data
///
/// Checkpoints, lists of files and manifest.json are written again from the log. Commits and data files are taken from
/// a copy of the archive (--from), each only if its digest is the one in the log. A joined data file is recreated from
/// the smaller files that it replaced, which are kept for a week. Objects that exist nowhere any more are listed, and
/// recorded as lost only with --accept-loss. Nothing is deleted, and syncs may run at the same time. Run it with --plan
/// first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Location of a copy of the archive, from which intact objects are taken; written like --archive
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Read every data file to find those that are damaged inside
    #[arg(long)]
    read_data: bool,
    /// Record data files that exist nowhere any more as lost. From then on, requests for the moments concerned are
    /// refused with an error that names the gap. A new base from the deployment (sync --rebase TABLE) brings the newest
    /// state back
    #[arg(long)]
    accept_loss: bool,
    /// Only show what would be done
    #[arg(long)]
    plan: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

const EXAMPLES: &str = "\
Examples:
  convex-archiver repair --archive s3://bucket/happy-otter --read-data --plan
      shows what is wrong and what would be done about it

  convex-archiver repair --archive s3://bucket/happy-otter --from gs://elsewhere/happy-otter
      takes damaged or missing objects from a copy

  convex-archiver repair --archive s3://bucket/happy-otter --accept-loss
  convex-archiver sync --archive s3://bucket/happy-otter --rebase messages
      without a copy: records the loss, and gets the newest state from the deployment

Exit codes: 0 if nothing is wrong any more; 3 if something is still wrong or lost; with --plan, 3 if something is \
wrong.";

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    done: &'a RepairReport,
}

pub(super) async fn run(args: &RepairArgs, screen: &Screen) -> Result<Outcome> {
    let settings = config::settings();
    let location = Location::open(&args.archive.url, &settings)?;
    let copy = args.from.as_ref().map(|url| Location::open(url, &settings)).transpose().context(|| "--from")?;
    let options = RepairOptions::default()
        .budget(args.limits.budget()?)
        .read_data(args.read_data)
        .copy(copy.map(|copy| Arc::clone(copy.store())))
        .accept_loss(args.accept_loss)
        .plan(args.plan);
    let interrupted = signals::interrupted()?;
    let progress = Arc::new(Progress::reading(screen));
    let monitor = Arc::clone(&progress);
    let done = tokio::select! {
        biased;
        () = interrupted => None,
        done = repair(Arc::clone(location.store()), location.url(), &options, Timestamp::now(), monitor) => Some(done),
    };
    progress.finish();
    let Some(done) = done else {
        tracing::warn!("interrupted: repairs already made stay; run it again to resume");
        return Ok(Outcome::Interrupted);
    };
    let done = done?;
    let has_work = args.plan && !done.repaired.is_empty();
    let outcome = if done.is_whole() && !has_work { Outcome::Done } else { Outcome::Findings };
    if args.json {
        output::print_json(&Report { archive: location.url(), exit_code: outcome.code(), done: &done })?;
    } else if !screen.quiet() || outcome != Outcome::Done {
        output::print(&text(location.url(), &done))?;
    }
    Ok(outcome)
}

fn text(archive: &str, done: &RepairReport) -> String {
    let mut text = String::new();
    // A String takes everything.
    for repaired in done.repaired.iter().take(SHOWN) {
        let _ = writeln!(text, "* {}\n", of_repaired(repaired, done.plan));
    }
    for lost in done.lost.iter().take(SHOWN) {
        let _ = writeln!(text, "* {}\n", of_lost(lost));
    }
    for problem in done.left.iter().take(SHOWN) {
        let _ = writeln!(text, "* {}\n", problem_lines(problem).join("\n  "));
    }
    let mut facts = vec![("Archive", format!("{archive}, version {}", done.version))];
    let whole = counted(done.repaired.len() as u64, "repair");
    facts.push(match (done.repaired.len(), done.plan) {
        (0, _) if done.is_whole() => ("Repaired", "nothing: no problems found".to_owned()),
        (0, _) => ("Repaired", "nothing".to_owned()),
        (_, true) => ("Would do", whole),
        (_, false) => ("Repaired", whole),
    });
    if !done.lost.is_empty() {
        let files = counted(done.lost.len() as u64, "data file");
        facts.push((
            "Lost",
            match (done.loss_recorded, done.plan) {
                (true, _) => format!("{files}; recorded in the archive as lost"),
                (false, _) => {
                    format!(
                        "{files}; not recorded. If no copy has them (--from), record the loss with repair --accept-loss"
                    )
                }
            },
        ));
    }
    if !done.lacking.is_empty() {
        let tables = words::list(done.lacking.iter());
        let flags: Vec<String> = done.lacking.iter().map(|table| format!("--rebase {table}")).collect();
        facts.push(("Lacking", format!("to get the newest state of {tables} back, run sync {}", flags.join(" "))));
    }
    if !done.left.is_empty() {
        facts.push(("Still wrong", counted(done.left.len() as u64, "problem")));
    }
    if done.version == 0 {
        let what = if done.plan { "planned" } else { "repaired" };
        facts.push((
            "Note",
            format!("no reader finds the newest version; until the log is complete, nothing else can be {what}"),
        ));
    }
    if done.more > 0 {
        facts.push(("More", format!("{} problems that this repair did not examine: run it again", count(done.more))));
    }
    text + &output::facts(facts)
}

fn of_repaired(repaired: &RepairedObject, plan: bool) -> String {
    let RepairedObject { object, objects, .. } = repaired;
    let what =
        if *objects > 1 { format!("{object} and {} after it", counted(objects - 1, "object")) } else { object.clone() };
    let would = if plan { "would be " } else { "was " };
    match repaired.from {
        RepairSource::Log => format!("{what} {would}written again from the log"),
        RepairSource::Copy => format!("{what} {would}taken from the copy"),
        RepairSource::JoinedFiles => format!("{what} {would}recreated from the files that it had joined"),
        RepairSource::NotNeeded => format!("{what} {would}removed from the list of files: no reader needs it"),
    }
}

fn of_lost(lost: &LostRevisions) -> String {
    let LostRevisions { object, table, from, to, revisions, .. } = lost;
    let span = format!("{} to {}", past::moment(*from), past::moment(*to));
    let with = match (lost.base, lost.documents) {
        (Some(s), Some(documents)) => {
            format!("; the base of {} is lost with it, {}", past::moment(s), counted(documents, "document"))
        }
        _ => String::new(),
    };
    format!("{object} is lost: {} of table {table}, {span}{with}", counted(*revisions, "revision"))
}
