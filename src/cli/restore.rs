//! The verb `restore`.

mod output;

use std::{
    collections::BTreeSet,
    fs::File,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use convex_archiver::{
    Error, Result,
    read::{Moment, RestoreOptions, RestoreTarget, plan_restore, restore_unless},
};

use self::output::RestoreOutput;
use super::{
    config::{self, ArchiveArgs},
    doubt::DoubtArgs,
    outcome::Outcome,
    past::{DamageArgs, LimitArgs, Past, SelectionArgs},
    progress::Progress,
    signals,
    telemetry::Screen,
};

/// Writes the documents as they were at a moment to a ZIP that `npx convex import` takes
///
/// All tables at the same moment. Works from the archive alone. --plan first tells what would be in it, and what would not. The same version of an archive and the same moment give the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver restore --plan --as-of '1 day ago' --archive s3://bucket/happy-otter
  convex-archiver restore --as-of '1 day ago' --output yesterday.zip --archive s3://bucket/happy-otter
  npx convex import --replace-all --deployment staging yesterday.zip

  convex-archiver restore --output s3://backups/happy-otter/today.zip --archive s3://bucket/happy-otter
  convex-archiver restore --output - --archive ./archive | ssh backup 'cat > today.zip'

  convex-archiver restore --as-of 2026-11-24 --table messages --output messages.zip --archive ./archive
  convex-archiver restore --as-of 2026-11-24 --id j57d8m… --output one.zip --archive ./archive

Exit codes: 3 if something is to be looked at before the import, such as documents that a dropped table has left behind, or a moment
that is earlier than 'now' because a table is not covered; with --plan also what a restore would be refused for.")]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// When: 2026-11-24T07:45:39Z, 2026-11-24 (00:00 UTC), a _ts in nanoseconds, '2 hours ago', or 'now': the newest
    /// moment that all tables cover, if it is at most an hour older than the archive reaches
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    as_of: Moment,
    /// The ZIP to write, which appears whole or not at all: a path, s3://bucket/name.zip, gs://…, az://…; or - for the
    /// standard output, and then the report goes to stderr
    #[arg(long, short, value_name = "FILE", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// Replace the file or object if it is there
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
    #[command(flatten)]
    damage: DamageArgs,
    #[command(flatten)]
    doubt: DoubtArgs,
    /// Print one JSON object, also when it fails
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

impl RestoreArgs {
    /// Whether stdout is for the ZIP, so that nothing else may be printed there.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// Where the ZIP goes; None of a plan.
    fn target(&self) -> Result<Option<RestoreTarget>> {
        let Some(output) = &self.output else { return Ok(None) };
        if self.is_to_stdout() {
            return Ok(Some(RestoreTarget::Stream(Arc::new(stdout()?))));
        }
        let target = match output.to_str() {
            Some(url) if url.contains("://") => RestoreTarget::open(url, &config::settings())?,
            _ => RestoreTarget::from(output),
        };
        Ok(Some(target))
    }
}

/// # Errors
/// Usage, if it is a terminal.
fn stdout() -> Result<File> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return Err(Error::usage("--output -: a ZIP is not for a terminal; redirect it, or name a file"));
    }
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&stdout).try_clone_to_owned();
    handle.map(File::from).map_err(|e| Error::resource("the standard output cannot be written to").with_source(e))
}

pub(super) async fn run(args: &RestoreArgs, screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let target = args.target()?;
    let past = Past::open(&args.archive).await?;
    let common = past.common(args.as_of, &args.tables.selection(&past.head)?)?;
    let ids: BTreeSet<String> = args.id.iter().cloned().collect();
    let options = RestoreOptions::default().at(common.at).selection(common.selection.clone()).ids(ids).budget(budget);
    let options = options.output(target.clone().unwrap_or_default()).overwrite(args.force);
    let options = options.accept_damage(args.damage.accepted()?).accept_doubt(args.doubt.accept_doubt);
    let interrupted = signals::interrupted()?;
    let progress = Progress::reading(screen);
    let done = if target.is_some() {
        let restored = restore_unless(interrupted, &past.archive, &past.head, &options, &progress).await;
        restored.map(|restored| restored.map(|(report, bytes)| (report, Some(bytes))))
    } else {
        tokio::select! {
            biased;
            () = interrupted => Ok(None),
            plan = plan_restore(&past.archive, &past.head, &options, &progress) => plan.map(|plan| Some((plan, None))),
        }
    };
    progress.finish();
    let Some((mut report, bytes)) = done? else {
        tracing::warn!(
            "interrupted: {}",
            if args.is_to_stdout() { "what was written is no whole ZIP" } else { "nothing was written" }
        );
        return Ok(Outcome::Interrupted);
    };
    report.findings = past.findings.counts().plus(&report.findings);
    let written = args.output.as_deref().zip(bytes);
    let output = RestoreOutput::new(past.archive.url(), &options, &common, &report, written);
    if args.is_to_stdout() {
        output.print_aside(args.json)?;
    } else {
        output.print(args.json)?;
    }
    let is_moved = !common.held_back_by.is_empty();
    Ok(if report.has_findings() || is_moved { Outcome::Findings } else { Outcome::Done })
}
