//! [`CheckArgs`]: the flags, whose comments are the help.

use std::path::PathBuf;

use clap::Args;

use super::super::config::{ArchiveArgs, DeploymentArgs};

/// Checks that everything for the first sync is in place
///
/// Looks at the deploy key and its permissions, the plan, the tables, this machine's clock, the store's credentials and
/// their permissions, the disk space for temporary files, and how much the first snapshot will read. Each problem is
/// shown with what to do about it.
///
/// To find out whether sync can write to the store, check writes one object, runs/check.json at the archive's location,
/// and removes it again. If the credentials may not delete, the object stays there and is harmless. With --read-only
/// nothing is written. From the deployment, check reads some ids and at most 16 MiB of documents.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(super) archive: ArchiveArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
    /// The --include that sync will get: only these tables
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(super) include: Vec<String>,
    /// The --exclude that sync will get: all tables except these
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(super) exclude: Vec<String>,
    /// Write nothing to the store. Whether sync can write then stays unknown
    #[arg(long)]
    pub(super) read_only: bool,
    /// Folder in which sync will put temporary files [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER")]
    pub(super) temp_dir: Option<PathBuf>,
}

const SELECTION: &str = "Selection";

const EXAMPLES: &str = "\
Examples:
  convex-archiver check --archive s3://bucket/happy-otter
  convex-archiver check --archive s3://bucket/happy-otter --exclude 'log_*' --json

Exit codes: 0 if no problem was found; 3 if something must be fixed before the first sync.";
