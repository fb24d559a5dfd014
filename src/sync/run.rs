//! What a run has reached so far.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    advisory::Advisory,
    compare::TableComparison,
    report::{HealedTable, SuspectTable, SyncReport},
    watch::Watch,
};
use crate::{
    archive::{Archive, CommitOutcome, Counts, Draft, Gap, Head, Run, TableState},
    codec::Oddities,
    compact::CompactReport,
    document::TableRef,
    error::{Error, Result},
    identity::DeploymentIdentity,
    monitor::FindingCounts,
};

/// What a run has reached so far.
pub(super) struct SyncRun {
    pub(super) head: Head,
    /// Who writes. Ids of bases and names of files hold it, and both are given once: so each pass is written by another.
    pub(super) writer: Run,
    pub(super) advisory: Advisory,
    /// Who the deployment is now, until a commit says so.
    moved: Option<DeploymentIdentity>,
    first: bool,
    /// The archive as it was when the run began, as long as nobody has looked whether the deployment is still the same database.
    pub(super) doubted: Option<Head>,
    pub(super) counts: RunCounts,
    /// Who watches what the change log does not tell.
    pub(super) watch: Watch,
    /// Tables that are walked because they differ, and how.
    pub(super) correcting: BTreeMap<TableRef, TableComparison>,
    /// Tables that are walked because somebody asked for it.
    pub(super) asked: BTreeSet<TableRef>,
    /// What was joined of small files.
    pub(super) compacted: CompactReport,
    /// Tables whose comparison is left to the next run.
    pub(super) postponed: Vec<TableRef>,
}

/// What a run did.
#[derive(Default)]
pub(super) struct RunCounts {
    pub(super) pages: u64,
    pub(super) page_bytes: u64,
    pub(super) oddities: Oddities,
    commits: u64,
    pub(super) rows: Counts,
    /// Those of which rows were written.
    pub(super) tables: BTreeSet<TableRef>,
    /// Found and recorded by this run.
    pub(super) gaps: Vec<Gap>,
    pub(super) healed: Vec<HealedTable>,
}

impl SyncRun {
    /// One that has done nothing yet. `moved`: who the deployment is now, if it is not the one that the archive names.
    pub(super) fn begin(head: Head, moved: Option<DeploymentIdentity>) -> Self {
        Self {
            advisory: Advisory::begin(),
            first: head.progress().delta.is_none(),
            doubted: head.progress().delta.is_some().then(|| head.clone()),
            head,
            writer: Run::begin(),
            moved,
            counts: RunCounts::default(),
            watch: Watch::default(),
            correcting: BTreeMap::new(),
            asked: BTreeSet::new(),
            postponed: Vec::new(),
            compacted: CompactReport::default(),
        }
    }

    /// Every commit of a run; the first says who the deployment is now, if it has moved.
    ///
    /// # Errors
    /// Conflict, if another sync was faster.
    pub(super) async fn commit(&mut self, archive: &Archive, draft: Draft) -> Result<()> {
        let draft = Draft { deployment: self.moved.clone(), ..draft };
        match archive.commit(&self.head, &mut self.writer, draft).await? {
            CommitOutcome::Committed(head) => self.head = *head,
            CommitOutcome::Stale(_) => return Err(Error::internal("data of a deployment are no maintenance")),
            CommitOutcome::Conflict { version } => {
                return Err(Error::conflict(format!(
                    "another run wrote version {version} of {} at the same time; its work is kept, and the work of \
                     this run since its last commit is discarded; run again once that run has finished, and run only \
                     one sync at a time on an archive",
                    archive.url(),
                )));
            }
        }
        self.moved = None;
        self.counts.commits += 1;
        Ok(())
    }

    /// What to tell of it. `unhealed`: gaps of earlier runs that are a finding of this one too.
    pub(super) fn report(self, unhealed: Vec<Gap>, caught_up: bool) -> SyncReport {
        let Self { head, counts, first, postponed, compacted, .. } = self;
        SyncReport {
            deployment: head.deployment().clone(),
            first_run: first,
            caught_up,
            pages: counts.pages,
            page_bytes: counts.page_bytes,
            tables: counts.tables.len() as u64,
            documents: counts.rows.rows - counts.rows.tombstones,
            tombstones: counts.rows.tombstones,
            rescued_rows: counts.rows.rescued_rows,
            files: counts.rows.files,
            file_bytes: counts.rows.bytes,
            commits: counts.commits,
            compacted,
            gaps: unhealed.into_iter().chain(counts.gaps).collect(),
            healed: counts.healed,
            suspects: suspects(&head),
            postponed,
            explained: Vec::new(),
            guarded: head.guarded(),
            findings: FindingCounts::default(),
            version: head.version(),
            digest: head.digest().to_owned(),
            through: head.covered_through(),
            checked_at: head.latest().map(|l| l.checked_at),
        }
    }
}

/// The tables that may differ from the deployment now.
fn suspects(head: &Head) -> Vec<SuspectTable> {
    let suspect = |state: &TableState| {
        let suspicion = state.suspect.clone()?;
        Some(SuspectTable { table: state.table.clone(), after: suspicion.after, why: suspicion.why })
    };
    head.tables().filter_map(suspect).collect()
}
