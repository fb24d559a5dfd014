//! How a sync is done.

use std::time::Duration;

use super::stop::Stop;
use crate::{
    archive::Head,
    budget::MemoryBudget,
    compact::{CompactOptions, OwnBaseRule},
    content::DigestShare,
    selection::Selection,
};
use derive_setters::Setters;

/// How a sync is done.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct SyncOptions {
    /// Memory, bytes, and who may hold how much of it.
    pub budget: MemoryBudget,
    /// Stored bytes at which a snapshot file ends. Delta files end with their commit and are smaller.
    pub target_file_bytes: u64,
    /// Progress is committed at least this often while there is any.
    pub commit_every: Duration,
    /// Level of zstd, 1 to 22.
    pub compression_level: i32,
    /// Of which documents each data file keeps a digest, by which a reader proves that none was changed on its way through
    /// columns.
    pub content_digest: DigestShare,
    /// The tables that are archived. Rows of others are dropped, whoever sends them.
    pub selection: Selection,
    /// Whether an archive of another selection may go on with this one: what leaves has a gap from here, what joins gets a new
    /// base.
    pub accept_selection: bool,
    /// The name or origin of a deployment with which an archive of another name or address may go on: it is the same database,
    /// moved.
    pub accept_deployment: Option<String>,
    /// What to do if the deployment no longer keeps the changes after the archive's cursor.
    pub on_gap: OnGap,
    /// Of a deployment that does not prove that it sends what components change: how old the newest base of their tables may grow
    /// before a run takes another.
    pub component_base_every: Duration,
    /// Of a deployment whose imports nobody can watch (it has no Data Sync): how long a table may go without all its ids being compared.
    /// Zero: in every run. None: only what is suspect is compared.
    pub audit_every: Option<Duration>,
    /// What to do about a table that something touched which the change log does not tell.
    pub on_suspicion: OnSuspicion,
    /// Tables of the archive that get a new base once the run has caught up, whatever is known of them: fetched by list_snapshot as they
    /// were at one moment. The old base serves until the commit that completes the new one.
    pub rebase: Option<Selection>,
    /// Stored bytes of small files that the run may join, before it asks for anything; None: it joins none. What is left waits for the next run.
    /// Once it has caught up it also makes bases of the archive's own, where changes have outgrown the newest one; on average over the runs it
    /// reads no more for them than this.
    pub compact: Option<u64>,
    /// What commits of so long ago have replaced is deleted at the end of a run, now and then and a little of it; None: nothing is. Credentials that
    /// may not delete are no error.
    pub vacuum_after: Option<Duration>,
    /// The archive's head, of whoever has read it already, with this same [`Archive`](crate::archive::Archive): then only what came since is asked for.
    #[doc(hidden)]
    pub head: Option<Head>,
    /// So many small files are joined; for tests.
    #[doc(hidden)]
    pub fan_in: usize,
    /// When a table gets a base of the archive's own; for tests.
    #[doc(hidden)]
    pub own_bases: OwnBaseRule,
    /// Ends the run at a commit.
    pub stop: Stop,
}

/// What to do about a table that may differ from the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSuspicion {
    /// Compare it, and correct it.
    #[default]
    Heal,
    /// Compare it, and tell. The archive says which tables are suspect.
    Warn,
    /// Fail, and leave the archive as it is before the commit that would say so.
    Fail,
}

/// What to do about changes that the deployment no longer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Record the gap, go on with the changes after it, and take a new base: [`SyncReport::gaps`](super::SyncReport::gaps) tells.
    #[default]
    Heal,
    /// Fail, and leave the archive as it is.
    Fail,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            budget: MemoryBudget::default(),
            target_file_bytes: 128 << 20,
            commit_every: Duration::from_secs(180),
            compression_level: 1,
            content_digest: DigestShare::default(),
            selection: Selection::default(),
            accept_selection: false,
            accept_deployment: None,
            on_gap: OnGap::default(),
            component_base_every: Duration::from_secs(24 * 60 * 60),
            audit_every: Some(Duration::from_secs(24 * 60 * 60)),
            on_suspicion: OnSuspicion::default(),
            rebase: None,
            compact: Some(32 << 20),
            vacuum_after: Some(Duration::from_secs(7 * 24 * 60 * 60)),
            head: None,
            fan_in: CompactOptions::default().fan_in,
            own_bases: OwnBaseRule::default(),
            stop: Stop::default(),
        }
    }
}
