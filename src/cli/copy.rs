//! The verb `copy`.
//!
//! # Why `--to`
//! Every verb says by --archive, or by CONVEX_ARCHIVE, which archive it is about: here the one that is copied. The destination is an archive
//! as well, so it is said by a flag with the same kind of text. A bare argument would be taken for the source by whoever knows `cp`; --output
//! is a file or a folder that a verb makes, and not a place that is written to again and again.

use std::{fmt::Write, sync::Arc, time::Instant};

use clap::Args;
use convex_archiver::{
    Error, FindingCounter, FindingCounts, Monitor, Result, Timestamp,
    archive::{Archive, Location, Settings},
    copy::{CopyOptions, CopyReport, CopySide, copy},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs},
    outcome::Outcome,
    output,
    past::LimitArgs,
    progress::Progress,
    signals,
    telemetry::{self, Screen},
    units::{bytes, count, counted},
};

/// The beginning of the names of the destination's own variables.
const OWN: &str = "CONVEX_ARCHIVER_COPY_";

/// Problems that are printed for people; --json has all that are kept.
const SHOWN: usize = 50;

/// Copies the archive to a second place, or brings that copy up to date
///
/// The copy is an archive of its own, with the same commits and the same files: every verb works on it. Run it again after each sync, or once a day: it copies only what is
/// new. The digest of every file is checked on the way, so damage is never copied. It can be stopped at any time; the
/// next run resumes. Syncs of the source may run at the same time. Nothing is written to the source. If the source is
/// lost, let syncs write to the copy: it becomes the archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver copy --archive s3://bucket/happy-otter --to gs://other-bucket/happy-otter
      creates the copy, or brings it up to date

  convex-archiver copy --archive s3://bucket/happy-otter --to /mnt/backup/happy-otter --plan
      shows how much would be copied

  CONVEX_ARCHIVER_COPY_AWS_PROFILE=vault \\
  convex-archiver copy --archive s3://bucket/happy-otter --to s3://vault/happy-otter
      a bucket of another account

Credentials: source and destination both use the variables of their cloud, such as
AWS_ACCESS_KEY_ID. If both are in the same kind of cloud and need different credentials, add the
prefix CONVEX_ARCHIVER_COPY_ to the names for the destination. If one such AWS_ variable is set, the
destination uses no AWS_ variable without the prefix; the same holds for GOOGLE_ and AZURE_.

To compare the two: status prints the same Digest for both, and verify --expect-head checks it.

Exit codes: 0 if the copy is complete or there was nothing to do; 2 if the destination holds
something else, or a sync has written to it; 3 if an object is damaged or missing. The rest is then
copied, and the copy stays at its version until the object is repaired.")]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Location of the copy: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a path
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only show what would be copied
    #[arg(long)]
    plan: bool,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    to: &'a str,
    exit_code: u8,
    plan: bool,
    #[serde(flatten)]
    copied: &'a CopyReport,
    seconds: f64,
    findings: &'a FindingCounts,
}

pub(super) async fn run(args: &CopyArgs, screen: &Screen) -> Result<Outcome> {
    let begin = Instant::now();
    let options = CopyOptions::default().budget(args.limits.budget()?).plan(args.plan);
    let settings = config::settings();
    let source = Location::open(&args.archive.url, &settings)?;
    let to = destination(&source, args, &settings.of_second_place(OWN))?;
    let interrupted = signals::interrupted()?;
    let progress = Arc::new(Progress::reading(screen));
    let findings = Arc::new(FindingCounter::new(Arc::clone(&progress)));
    let monitor = Arc::clone(&findings) as Arc<dyn Monitor>;
    if !args.plan {
        // A first copy writes everywhere.
        let is_first = Archive::open(Arc::clone(to.store()), to.url()).await.is_err();
        let clean = if is_first { Location::clean_all_staging } else { Location::clean_staging };
        clean(&to, Timestamp::now(), monitor.as_ref())?;
    }
    let copied = tokio::select! {
        biased;
        () = interrupted => None,
        copied = copy_all(&source, &to, &options, monitor) => Some(copied),
    };
    progress.finish();
    let Some(copied) = copied else {
        tracing::warn!("interrupted: run it again to resume");
        return Ok(Outcome::Interrupted);
    };
    let copied = copied?;
    let findings = findings.counts();
    let is_sound = copied.problem_count == 0 && !telemetry::is_log_in_doubt();
    let outcome = if is_sound { Outcome::Done } else { Outcome::Findings };
    if args.json {
        output::print_json(&Report {
            archive: source.url(),
            to: to.url(),
            exit_code: outcome.code(),
            plan: args.plan,
            copied: &copied,
            seconds: begin.elapsed().as_millis() as f64 / 1000.0,
            findings: &findings,
        })?;
    } else if !screen.quiet() || outcome != Outcome::Done {
        output::print(&text(source.url(), to.url(), args.plan, &copied, &findings))?;
    }
    Ok(outcome)
}

/// # Errors
/// Usage, if the two places overlap.
fn destination(source: &Location, args: &CopyArgs, settings: &Settings) -> Result<Location> {
    let looked_at = Location::look(&args.to, settings).map_err(|e| e.context("--to"))?;
    if source.overlaps(&looked_at) {
        return Err(Error::usage(format!(
            "--to {}: the copy would be inside the archive that is copied, or contain it; choose another location",
            looked_at.url()
        )));
    }
    if args.plan { Ok(looked_at) } else { Location::create(&args.to, settings).map_err(|e| e.context("--to")) }
}

async fn copy_all(
    source: &Location,
    to: &Location,
    options: &CopyOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<CopyReport> {
    let archive = Archive::open(Arc::clone(source.store()), source.url()).await?.with_monitor(Arc::clone(&monitor));
    copy(&archive, to.store(), to.url(), options, monitor).await
}

fn text(archive: &str, to: &str, plan: bool, copied: &CopyReport, findings: &FindingCounts) -> String {
    let mut text = String::new();
    for problem in copied.problems.iter().take(SHOWN) {
        let side = match problem.side {
            CopySide::Destination => "destination",
            _ => "source",
        };
        let of = problem.table.as_ref().map_or_else(String::new, |table| format!(", table {table}"));
        // A String takes everything.
        let _ = writeln!(text, "* {side}{of}: {}", problem.what);
    }
    let left = copied.problem_count - copied.problems.len().min(SHOWN) as u64;
    if left > 0 {
        let _ = writeln!(text, "* and {} more (--json has more of them)", count(left));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let before = match copied.before {
        None => "a new copy".to_owned(),
        Some(before) => format!("version {before} before"),
    };
    let (files, log) = (&copied.files, &copied.log);
    let what = format!(
        "{}, {}, and {} of the log",
        counted(files.copied, "data file"),
        bytes(files.copied_bytes),
        counted(log.copied, "object")
    );
    let is_idle = files.copied + log.copied == 0;
    let mut facts = vec![("Archive", archive.to_owned()), ("To", format!("{to}, {before}"))];
    facts.push(match (plan, is_idle) {
        (true, true) => ("Would copy", "nothing: the copy already has this version".to_owned()),
        (true, false) => ("Would copy", what),
        (false, true) => ("Copied", "nothing: the copy already has everything".to_owned()),
        (false, false) => ("Copied", what),
    });
    if files.present + log.present > 0 {
        facts.push((
            "Was there",
            format!(
                "{}, {}, and {} of the log, left by a copy that was interrupted",
                counted(files.present, "data file"),
                bytes(files.present_bytes),
                counted(log.present, "object")
            ),
        ));
    }
    if copied.restarts > 0 {
        let times = counted(u64::from(copied.restarts), "time");
        facts.push((
            "Began again",
            format!("{times}, because a vacuum of the archive deleted files that were being copied"),
        ));
    }
    if copied.problem_count > 0 {
        let problems = counted(copied.problem_count, "problem");
        let stays = match copied.before {
            Some(before) => format!("the copy stays at version {before}"),
            None => "the copy is not an archive yet".to_owned(),
        };
        facts.push(("Not complete", format!("{problems}, listed above; {stays}. Repair them and run copy again")));
    }
    facts.push(("Version", copied.version.to_string()));
    facts.push(("Digest", copied.digest.clone()));
    facts.extend(output::findings(findings));
    text + &output::facts(facts)
}
