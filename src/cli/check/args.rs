//! [`CheckArgs`]: the flags, whose comments are the help.

use std::path::PathBuf;

use clap::Args;

use super::super::config::{ArchiveArgs, DeploymentArgs};

/// Checks everything that the first night needs, before it
///
/// Looks at the deploy key and its permission, the plan, the tables, this machine's clock, the store's credentials and what they may do, room for
/// temporary files, and how much the first snapshot will read. Each finding says what to do.
///
/// To see whether the store takes what sync writes, check writes one object, runs/check.json in the archive's place, and removes it again; where nothing
/// may be deleted it stays, and is harmless. With --read-only it writes nothing. Of the deployment it reads some ids and at most 16 MiB of documents.
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
    /// What sync will be told: these tables only
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(super) include: Vec<String>,
    /// What sync will be told: all tables but these
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    pub(super) exclude: Vec<String>,
    /// Write nothing to the store. What only a write can show stays unknown
    #[arg(long)]
    pub(super) read_only: bool,
    /// Where sync will put temporary files [default: TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER")]
    pub(super) temp_dir: Option<PathBuf>,
}

const SELECTION: &str = "Selection";

const EXAMPLES: &str = "\
Examples:
  convex-archiver check --archive s3://bucket/happy-otter
  convex-archiver check --archive s3://bucket/happy-otter --exclude 'log_*' --json

Exit codes: 0 if sync will work as far as can be seen; 3 if something must be mended first.";
