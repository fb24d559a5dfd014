//! [`AuditArgs`]: the flags, whose comments are the help.

use clap::Args;
use convex_archiver::{Result, Selection};

use super::super::{
    config::{ArchiveArgs, DeploymentArgs},
    past::LimitArgs,
    units,
};

/// Compares the archive with the deployment
///
/// Compares every table of the archive with the deployment as it was at the newest moment that the archive has, so
/// writes during the audit make no difference. By default only ids and the times of the last changes are read, about
/// 110 bytes per document; that finds every document that is missing, left over or outdated. The result is recorded in
/// the archive.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(super) archive: ArchiveArgs,
    /// Read every document and compare all its values. This costs as much as a new snapshot
    #[arg(long)]
    pub(super) full: bool,
    /// List every document that differs, field by field. This reads the tables that differ a second time, in full
    #[arg(long)]
    pub(super) documents: bool,
    /// If tables differ, run a sync that corrects them. It also archives everything new
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) repair: bool,
    /// Read at most about this much (uncompressed), and leave out tables that exceed it. The tables compared longest
    /// ago come first, so later audits reach the others
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(super) max_download: Option<u64>,
    /// Do not record the result in the archive
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one JSON object, even on failure; with --documents, JSON lines with one document each, and the object last
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these tables: `messages`, `waitlist/users` in a component, `log_*`, `waitlist/**`; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    table: Vec<String>,
    /// All tables except these; may be repeated, and takes precedence over --table
    #[arg(long, value_name = "PATTERN", help_heading = SELECTION)]
    exclude: Vec<String>,
    #[command(flatten)]
    pub(super) deployment: DeploymentArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

const SELECTION: &str = "Selection";

const EXAMPLES: &str = "\
Examples:
  convex-archiver audit --archive s3://bucket/happy-otter
      needs a sync within the last 5 days, because a deployment serves its past for that long

  convex-archiver audit --archive ./archive --table messages --documents
      shows each document that differs

  convex-archiver audit --archive ./archive --full --repair --json
      compares every value and corrects tables that differ

Exit codes: 0 if every table is equal or was repaired; 3 if one differs or could not be compared.";

impl AuditArgs {
    /// The tables that are meant.
    ///
    /// # Errors
    /// Usage, if something said can be no table.
    pub(super) fn selection(&self) -> Result<Selection> {
        Selection::new(&self.table, &self.exclude)
    }
}
