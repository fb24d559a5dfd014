//! [`SyncArgs`]: the flags, whose comments are the help, and the options that they mean.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use convex_archiver::{
    DigestShare, MemoryBudget, Result, Selection,
    sync::{OnGap, OnSuspicion, Stop, SyncOptions},
};

use super::{
    super::{
        config::{ArchiveArgs, DeploymentArgs},
        units,
    },
    listeners::ListenerArgs,
};

/// Archives a deployment, or brings its archive up to date
///
/// The first run creates the archive, reads all tables as they were at one moment (the snapshot), and then every later
/// change (deltas). Each later run resumes where the last one stopped and catches up. A deployment keeps its changes
/// for 14 days, so run sync at least every few days.
///
/// The last log line on stderr sums up the run, even if it failed. With -q, a successful run prints nothing.
///
/// SIGTERM or Ctrl-C ends the run at a commit, with exit code 0 and "more is waiting"; the next run resumes there. If
/// the process is killed at any time, nothing that was committed is lost and nothing is written twice.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    pub(super) archive: ArchiveArgs,
    /// Print the report as one JSON object, even if the run fails
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
    /// Archive only these tables: `messages`, `waitlist/users` in a component, `log_*`, `waitlist/**`; may be repeated.
    /// The archive remembers its selection, so later runs need neither flag
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(crate) include: Vec<String>,
    /// Archive all tables except these; may be repeated, and takes precedence over --include
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(crate) exclude: Vec<String>,
    /// Continue although --include or --exclude changed. Tables that are no longer selected get a recorded gap; newly selected
    /// ones get a new base. `--include '**'` selects everything again
    #[arg(long, help_heading = SELECTION)]
    pub(crate) accept_selection: bool,
    /// Continue although the archive names another deployment; give the name or URL of the present one. Only if the
    /// same database has moved, not if its documents were imported into another one
    #[arg(long, value_name = "NAME or URL")]
    pub(crate) accept_deployment: Option<String>,
    /// What to do if the last sync was so long ago that the deployment no longer has the changes after it (it keeps 14
    /// days)
    #[arg(long, value_enum, value_name = "WHAT", default_value = "heal")]
    pub(crate) on_gap: GapChoice,
    /// What to do about a table that was touched by something that the change log does not record (an import, a
    /// replacement, a drop)
    #[arg(long, value_enum, value_name = "WHAT", default_value = "heal", help_heading = NOTICING)]
    pub(crate) on_suspicion: SuspicionChoice,
    /// How often all ids of a table are compared with the deployment, if the server has no Data Sync with which to
    /// detect imports and drops: `24h`, `0` for every run, or `off` (then every report says so). A comparison reads
    /// about 110 bytes per document
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = audit_every, help_heading = NOTICING)]
    pub(crate) audit_every: AuditEvery,
    /// Once the run has caught up, take a new snapshot of these tables (patterns as in --include), or of all tables if
    /// none is named. Readers see the old snapshot until the new one is complete. For tables that you do not trust;
    /// `audit` shows which differ
    #[arg(long, value_name = "TABLE", num_args = 0.., help_heading = NOTICING)]
    pub(crate) rebase: Option<Vec<String>>,
    /// For servers that do not prove that they send changes in components (those from before 2026-08-17): take a new
    /// snapshot of the tables in components once the newest one is older than this. Each snapshot is a moment that can
    /// be restored
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = units::some_duration)]
    pub(crate) component_base_every: Duration,
    /// Do not join small files of earlier runs, and do not write new bases of tables with very many changes. Without
    /// this flag each run does a little of both, on average up to 32 MiB, so that an archive of many runs stays quick to read
    #[arg(long, help_heading = LIMITS)]
    pub(crate) no_compact: bool,
    /// Do not delete files that only versions older than 7 days need. Without this flag a run does so now and then, if
    /// its credentials may delete
    #[arg(long, help_heading = LIMITS)]
    pub(crate) no_vacuum: bool,
    /// Memory limit, at least 64MiB. A page from the deployment that is larger than a quarter of it goes to --temp-dir
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size, help_heading = LIMITS)]
    pub(crate) memory_limit: u64,
    /// End the run at a commit after this time, whether or not it has caught up
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, help_heading = LIMITS)]
    pub(crate) max_duration: Option<Duration>,
    /// End the run at a commit once this much was downloaded (uncompressed), whether or not it has caught up; at least
    /// 16MiB. Tables that are due to be compared with the deployment but exceed it are left to the next run
    #[arg(long, value_name = "SIZE", value_parser = download, help_heading = LIMITS)]
    pub(crate) max_download: Option<u64>,
    /// If another sync is running on the archive, wait until it has ended instead of exiting with 0 at once
    #[arg(long)]
    pub(super) wait: bool,
    /// Keep running and sync at this interval until SIGTERM or Ctrl-C, for use without a scheduler, such as with docker
    /// compose. A failed run does not end it
    #[arg(long, value_name = "TIME", value_parser = units::some_duration)]
    pub(super) every: Option<Duration>,
    /// With --every: exit with the exit code of the last run after this many failed runs in a row. If the first run
    /// finds that a flag, variable, key or permission is wrong, it exits at once
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), requires = "every")]
    pub(super) max_failures: u32,
    /// Commit at least this often; a crash loses at most this much work
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = units::some_duration, help_heading = LIMITS)]
    pub(crate) commit_every: Duration,
    /// Target size of a snapshot file. Files of changes end with their commit and are smaller
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = file_size, help_heading = LIMITS)]
    pub(crate) target_file_size: u64,
    /// Compression level of zstd, 1 to 22: higher is smaller and slower
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=22), help_heading = LIMITS)]
    pub(crate) compression_level: i32,
    /// Folder for temporary files: pages that are too large for the memory (two at a time), and the list of the
    /// archive's files that changed since its parts were written, once it exceeds 4 MiB. Most deployments need no space
    /// there; with documents of 1 MiB a page has 1 to 2 GiB. The files are unlinked at once, so nothing is left behind
    /// [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER", help_heading = LIMITS)]
    pub(super) temp_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) listeners: ListenerArgs,
}

/// What `--on-gap` takes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum GapChoice {
    /// Record the gap, continue with the changes after it, take a new base of all tables, and exit with 3
    Heal,
    /// Fail and leave the archive as it is
    Fail,
}

impl From<GapChoice> for OnGap {
    fn from(choice: GapChoice) -> Self {
        match choice {
            GapChoice::Heal => Self::Heal,
            GapChoice::Fail => Self::Fail,
        }
    }
}

/// What `--on-suspicion` takes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SuspicionChoice {
    /// Compare it with the deployment and correct it
    Heal,
    /// Compare it, report it and exit with 3
    Warn,
    /// Fail before anything about it is committed
    Fail,
}

impl From<SuspicionChoice> for OnSuspicion {
    fn from(choice: SuspicionChoice) -> Self {
        match choice {
            SuspicionChoice::Heal => Self::Heal,
            SuspicionChoice::Warn => Self::Warn,
            SuspicionChoice::Fail => Self::Fail,
        }
    }
}

/// What `--audit-every` takes: None is `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuditEvery(pub(super) Option<Duration>);

fn audit_every(text: &str) -> Result<AuditEvery, String> {
    match text {
        "off" => Ok(AuditEvery(None)),
        "0" => Ok(AuditEvery(Some(Duration::ZERO))),
        text => {
            units::duration(text).map(|time| AuditEvery(Some(time))).map_err(|why| format!("{why}; or use 0 or off"))
        }
    }
}

const SELECTION: &str = "Selection";
const NOTICING: &str = "What the change log does not record";
const LIMITS: &str = "Limits";

const EXAMPLES: &str = "\
Examples:
  export CONVEX_DEPLOY_KEY='prod:happy-otter-123|…'      (dashboard, Settings, Deploy keys)
  convex-archiver sync --archive s3://bucket/happy-otter

  convex-archiver sync --archive ./archive --deployment http://127.0.0.1:3210 \\
                       --deploy-key-file admin.key
      a self-hosted deployment, to a folder

  convex-archiver sync --archive s3://bucket/happy-otter --max-duration 50m --json
      for a timer that starts sync every hour

  convex-archiver sync --archive s3://bucket/happy-otter --rebase users messages
      takes a new snapshot of two tables

Exit codes: 3 also if --include names a table that the deployment does not have, or if no table is
selected any more. A first run that would archive nothing exits with 2 and creates no archive.

Credentials for S3 come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or from
AWS_PROFILE; set AWS_ENDPOINT_URL for S3-compatible stores. Those for gs:// come from
GOOGLE_APPLICATION_CREDENTIALS, those for az:// from AZURE_STORAGE_CONNECTION_STRING, or from
AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY.";

fn file_size(text: &str) -> Result<u64, String> {
    let size = units::size(text)?;
    if size < 1 << 20 { Err("must be at least 1MiB".to_owned()) } else { Ok(size) }
}

/// The tables that are to be fetched anew.
fn rebase(args: &SyncArgs) -> Result<Option<Selection>> {
    let Some(patterns) = &args.rebase else { return Ok(None) };
    Selection::new(patterns, []).map(Some)
}

/// How a sync is done, but for the selection that an archive has.
pub(super) fn sync_options(args: &SyncArgs, stop: Stop) -> Result<SyncOptions> {
    Ok(SyncOptions::default()
        .budget(MemoryBudget::new(args.memory_limit)?)
        .target_file_bytes(args.target_file_size)
        .commit_every(args.commit_every)
        .compression_level(args.compression_level)
        .content_digest(DigestShare::default())
        .selection(Selection::new(&args.include, &args.exclude)?)
        .accept_selection(args.accept_selection)
        .accept_deployment(args.accept_deployment.clone())
        .on_gap(args.on_gap.into())
        .on_suspicion(args.on_suspicion.into())
        .audit_every(args.audit_every.0)
        .compact(SyncOptions::default().compact.filter(|_| !args.no_compact))
        .vacuum_after(SyncOptions::default().vacuum_after.filter(|_| !args.no_vacuum))
        .rebase(rebase(args)?)
        .component_base_every(args.component_base_every)
        .stop(limited(stop, args)))
}

/// The request to stop, which also comes at the run's limits.
fn limited(stop: Stop, args: &SyncArgs) -> Stop {
    let stop = args.max_duration.map_or(stop.clone(), |time| stop.within(time));
    args.max_download.map_or(stop.clone(), |bytes| stop.after_download(bytes))
}

/// Less than a few pages would end a run before it could commit anything.
fn download(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 16 << 20;
    units::size(text).and_then(|size| if size < LEAST { Err("at least 16MiB".to_owned()) } else { Ok(size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_audits_is_a_time_nothing_or_off() {
        let hours = |hours: u64| Some(AuditEvery(Some(Duration::from_secs(hours * 3600))));
        for (text, expected) in [
            ("24h", hours(24)),
            ("0", hours(0)),
            ("0s", hours(0)),
            ("off", Some(AuditEvery(None))),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(audit_every(text).ok(), expected, "{text}");
        }
    }
}
