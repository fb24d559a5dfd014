//! The verb `restore`.

mod output;

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use convex_archiver::{
    Result,
    read::{Moment, RestoreOptions, plan_restore, restore},
};

use self::output::RestoreOutput;
use super::{
    config::ArchiveArgs,
    outcome::Outcome,
    past::{LimitArgs, Past, SelectionArgs},
    progress::Progress,
    signals,
    telemetry::Screen,
};

/// Writes the documents as they were at a moment to a ZIP that `npx convex import` takes
///
/// All tables at the same moment. Works from the archive alone. --plan first tells what would be in it, and what would not. The same archive and moment give the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver restore --plan --as-of '1 day ago' --archive s3://bucket/happy-otter
  convex-archiver restore --as-of '1 day ago' --output yesterday.zip --archive s3://bucket/happy-otter
  npx convex import --replace-all --deployment staging yesterday.zip

  convex-archiver restore --as-of 2026-11-24 --table messages --output messages.zip --archive ./archive
  convex-archiver restore --as-of 2026-11-24 --id j57d8m… --output one.zip --archive ./archive

Exit codes: 3 if something is to be looked at before the import, such as documents that a dropped table has left behind; with
--plan also what a restore would be refused for.")]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// When: 2026-11-24T07:45:39Z, 2026-11-24 (00:00 UTC), a _ts in nanoseconds, '2 hours ago', 'now' (as far as the
    /// archive reaches)
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    as_of: Moment,
    /// The ZIP file to write; it appears whole or not at all
    #[arg(long, short, value_name = "FILE", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Write nothing; tell what a restore would hold, reading all of it
    #[arg(long, conflicts_with_all = ["output", "force"])]
    plan: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    /// Just the document with this `_id`, in whichever table; may be said several times
    #[arg(long, value_name = "ID", help_heading = "Selection")]
    id: Vec<String>,
    /// Print one JSON object, also when it fails
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: &RestoreArgs, screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let selection = args.tables.selection(&past.head)?;
    let ids: BTreeSet<String> = args.id.iter().cloned().collect();
    let options = RestoreOptions::default().at(past.at(Some(args.as_of))?).selection(selection).ids(ids).budget(budget);
    let interrupted = signals::interrupted()?;
    let progress = Progress::reading(screen);
    let work = async {
        match &args.output {
            Some(output) => {
                let options = options.clone().output(output).overwrite(args.force);
                let written = restore(&past.archive, &past.head, &options, &progress).await;
                written.map(|(report, bytes)| (report, Some((output.as_path(), bytes))))
            }
            None => Ok((plan_restore(&past.archive, &past.head, &options, &progress).await?, None)),
        }
    };
    let done = tokio::select! {
        biased;
        () = interrupted => None,
        done = work => Some(done),
    };
    progress.finish();
    let Some(done) = done else {
        tracing::warn!("interrupted: nothing was written");
        return Ok(Outcome::Interrupted);
    };
    let (mut report, written) = done?;
    report.findings = past.findings.counts().plus(&report.findings);
    RestoreOutput::new(past.archive.url(), &options, &report, written).print(args.json)?;
    Ok(if report.has_findings() { Outcome::Findings } else { Outcome::Done })
}
