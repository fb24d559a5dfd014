//! The verb `vacuum`.

use std::{sync::Arc, time::Duration};

use clap::Args;
use convex_archiver::{
    FindingCounts, Monitor, Result, Timestamp,
    archive::Location,
    vacuum::{VacuumOptions, VacuumReport, vacuum},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs},
    outcome::Outcome,
    output,
    past::Past,
    telemetry::Screen,
    units::{self, bytes, counted, long},
};

/// Deletes files that the archive no longer needs
///
/// It deletes files that were replaced by joined ones, files of runs that died before they could commit, and old lists
/// of files. Files that were needed more recently than --min-age are kept, because a reader of an earlier version may
/// still need them. The documents and their history do not change, and syncs may run at the same time. Objects whose
/// names are not those of this program are left alone. Every sync also deletes files that only older versions needed,
/// if its credentials may delete; only vacuum finds the files of dead runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver vacuum --archive s3://bucket/happy-otter --plan
      shows what would be deleted, and how much space that frees

  convex-archiver vacuum --archive ./archive --min-age 30d

Unfinished uploads are not objects, so vacuum does not see them: let a lifecycle rule of the bucket
abort them. On a local disk they are files, and are removed once they have not been touched for a
day.")]
pub(crate) struct VacuumArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Only show what would be deleted
    #[arg(long)]
    plan: bool,
    /// How long to keep files after they were last needed; at least 2d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = min_age)]
    min_age: Duration,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
}

fn min_age(text: &str) -> Result<Duration, String> {
    let age = units::duration(text)?;
    if age < VacuumOptions::LEAST {
        Err("must be at least 2d, because readers and runs may need younger files".to_owned())
    } else {
        Ok(age)
    }
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    plan: bool,
    min_age_seconds: u64,
    #[serde(flatten)]
    found: &'a VacuumReport,
    findings: &'a FindingCounts,
}

pub(super) async fn run(args: &VacuumArgs, screen: &Screen) -> Result<Outcome> {
    let past = Past::open(&args.archive).await?;
    let options = VacuumOptions::default().min_age(args.min_age).plan(args.plan);
    let found = vacuum(&past.archive, &past.head, &options, Timestamp::now()).await?;
    if !args.plan {
        let monitor = Arc::clone(&past.findings) as Arc<dyn Monitor>;
        let location = Location::open(&args.archive.url, &config::settings())?;
        let cleaned = location.clean_all_staging(Timestamp::now(), monitor.as_ref())?;
        if cleaned > 0 {
            tracing::info!("removed {} that killed processes had left behind", counted(cleaned, "unfinished file"));
        }
    }
    let (archive, findings) = (past.archive.url(), Arc::clone(&past.findings).counts());
    if args.json {
        let min_age_seconds = args.min_age.as_secs();
        output::print_json(&Report { archive, plan: args.plan, min_age_seconds, found: &found, findings: &findings })?;
    } else if !screen.quiet() {
        output::print(&text(archive, args, &found, &findings))?;
    }
    Ok(Outcome::Done)
}

fn text(archive: &str, args: &VacuumArgs, found: &VacuumReport, findings: &FindingCounts) -> String {
    let objects = |count, size| format!("{}, {}", counted(count, "object"), bytes(size));
    let what = if args.plan { "Would delete" } else { "Deleted" };
    let mut facts = vec![
        ("Archive", archive.to_owned()),
        (what, objects(found.useless, found.useless_bytes)),
        ("Too young", format!("{} (younger than {})", objects(found.young, found.young_bytes), long(args.min_age))),
        ("Kept", objects(found.kept, found.kept_bytes)),
    ];
    if found.strays > 0 {
        let examples = found.stray_examples.join(", ");
        let more = if found.strays > found.stray_examples.len() as u64 { ", …" } else { "" };
        let strays = objects(found.strays, found.stray_bytes);
        facts.push(("Strays", format!("{strays} that this program did not write; left alone: {examples}{more}")));
    }
    facts.extend(output::findings(findings));
    output::facts(facts)
}
