//! The head of the manifest: what all commits up to a version say together, without the list of live files. Pure.
//!
//! [`Head`] is the value and its questions. A commit is folded into it in `fold`, by the rules in `rules`; `lines` spells what it
//! holds and sums it up; `text` is the object in which it is written down; `draft` makes the next commit.

pub(super) mod base;
pub(super) mod coverage;
mod draft;
mod fold;
pub(super) mod lines;
pub(super) mod owed;
mod rules;
pub(super) mod tables;
pub(super) mod text;
pub(super) mod trust;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::{
    base::Base,
    coverage::Coverage,
    tables::{Counts, TableState},
};
use super::{
    commit::{Commit, Draft, Run},
    needs::{Needs, PROGRAM},
};
use crate::{
    data::DataFile,
    document::{Encoding, TableRef, Timestamp},
    error::Result,
    identity::DeploymentIdentity,
    position::{BaseId, Progress},
    selection::Selection,
    sum::Sum,
};

/// The fold of all commits up to a version. Small and held: live files are many and streamed
/// ([`Archive::live_files`](super::Archive::live_files)), and the columns of tables are read when they are needed
/// ([`Archive::schema`](super::Archive::schema)).
///
/// Guarantees, checked at every [`apply`](Head::apply):
/// 1. Versions follow each other without a hole, and each commit names the digest of the one before it.
/// 2. There is a delta cursor from the first commit on. That commit sets it to S of its walk; afterwards it never moves
///    back. Nothing in the archive has a `_ts` beyond it, and no base lies beyond it.
/// 3. At most one walk is open. While it is, its base, S, month and scope stay and its finished tables only become more;
///    it ends with its base complete or with all its files removed. A base id is used once, and no base lies before the
///    first S.
/// 4. A table keeps its folder, no two share one, and its schema only grows.
/// 5. A snapshot file belongs to the open walk or to a base that is completed with it, and has no `_ts` beyond S. New
///    delta rows lie behind the cursor before the commit and at or below the one after it, inside one month.
/// 6. Every file lies in the folder of its table, and was written under a schema that the table has had. What is counted
///    off had been counted.
/// 7. Gaps are not empty and never end beyond the cursor.
/// 8. The counter of a run ascends.
/// 9. A file leaves for a reason: others of the same commit hold exactly its rows, its base is withdrawn or its walk given
///    up, or a gap of the same commit covers it.
/// 10. A completed base says which tables had documents and how many; its files hold just those.
/// 11. A cut withdraws what the archive made of the state that it corrects, but for cuts, and a base that is no cut is
///     superseded only where another serves the same moments, or for such a cut. A base is withdrawn once for a table, or once
///     more after it was superseded.
/// 12. Maintenance says nothing of the deployment.
/// 13. Suspect tables are known, and nothing beyond the cursor is compared or guarded.
/// 14. The sum over all that holds is the one that the commit states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    version: u64,
    /// Of the stored bytes of commit `version`; of `archive.json` at version 0.
    digest: String,
    needs: Needs,
    deployment: DeploymentIdentity,
    latest: Option<Latest>,
    progress: Progress,
    /// S of the first walk.
    origin: Option<Timestamp>,
    coverage: Coverage,
    /// Up to here nothing happened, beside what the suspects tell, that the change log does not tell.
    guarded: Option<Timestamp>,
    /// Schema objects that were erased.
    erased: BTreeSet<String>,
    /// Shared between heads: a commit copies only the tables that it changes.
    tables: BTreeMap<TableRef, Arc<TableState>>,
    /// Over all lines.
    sum: Sum,
    anchor: AnchorCell,
}

/// What the newest commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Who wrote it.
    pub run: Run,
    /// The program that wrote it.
    pub program: String,
    /// Wall time of the writer, nanoseconds since 1970.
    pub at: Timestamp,
    /// When the deployment was last asked and answered, nanoseconds since 1970.
    pub checked_at: Timestamp,
    /// Whether it had nothing more then.
    pub caught_up: bool,
    /// The encoding in force.
    pub encoding: Encoding,
    /// The selection in force.
    pub selection: Selection,
}

impl Latest {
    /// What `commit` says of itself.
    fn of(commit: &Commit) -> Self {
        let Draft { at, checked_at, caught_up, encoding, ref selection, .. } = commit.draft;
        Self {
            run: commit.run.clone(),
            program: commit.program.clone(),
            at,
            checked_at,
            caught_up,
            encoding,
            selection: selection.clone(),
        }
    }
}

/// The newest head before this one of which all parts are written: where the list of live files can be begun.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) version: u64,
    pub(super) tables: BTreeMap<TableRef, Arc<TableState>>,
}

/// How a head is reached says nothing of what it holds: two heads are equal whatever their anchors.
#[derive(Debug, Clone, Default)]
struct AnchorCell(Option<Arc<Anchor>>);

impl PartialEq for AnchorCell {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for AnchorCell {}

impl Head {
    /// Before the first commit of the archive whose header has this digest.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub(super) fn before_all(deployment: DeploymentIdentity, header_digest: String) -> Result<Self> {
        let mut head = Self {
            version: 0,
            digest: header_digest,
            needs: Needs::default(),
            deployment,
            latest: None,
            progress: Progress::default(),
            origin: None,
            coverage: Coverage::default(),
            guarded: None,
            erased: BTreeSet::new(),
            tables: BTreeMap::new(),
            sum: Sum::default(),
            anchor: AnchorCell::default(),
        };
        head.sum = head.summed()?;
        Ok(head)
    }

    /// The version that it describes; 0 before the first commit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 of the newest commit's stored bytes; of `archive.json` before the first commit.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The sum over the lines of all that holds.
    #[doc(hidden)]
    pub fn state(&self) -> Sum {
        self.sum
    }

    /// The deployment that the archive belongs to.
    pub fn deployment(&self) -> &DeploymentIdentity {
        &self.deployment
    }

    /// What the newest commit says of itself; `None` before the first.
    #[doc(hidden)]
    pub fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// Where the archive stands.
    #[doc(hidden)]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// S of the first walk, where the deltas begin; `None` before the first commit.
    pub fn origin(&self) -> Option<Timestamp> {
        self.origin
    }

    /// Which moments are covered.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Up to where the archive covers anything: the delta cursor's `_ts`, once there is a base.
    pub fn covered_through(&self) -> Option<Timestamp> {
        self.cursor().filter(|_| !self.coverage.bases.is_empty())
    }

    /// All tables, sorted.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &TableState> {
        self.tables.values().map(Arc::as_ref)
    }

    /// One table.
    pub fn table(&self, table: &TableRef) -> Option<&TableState> {
        self.tables.get(table).map(Arc::as_ref)
    }

    /// The folders that tables have, for [`layout::folder`](crate::layout::folder).
    pub fn folders(&self) -> BTreeMap<TableRef, String> {
        self.tables.values().map(|t| (t.table.clone(), t.folder.clone())).collect()
    }

    /// Live files of complete bases and of deltas, over all tables. Those of withdrawn bases count while they are there, though
    /// readers do not see them: [`shows`](Self::shows) tells.
    pub fn visible(&self) -> Counts {
        self.tables.values().fold(Counts::default(), |sum, t| sum.plus(t.visible()))
    }

    /// All live files, those of the open walk included.
    pub fn live(&self) -> Counts {
        self.tables.values().fold(Counts::default(), |sum, t| sum.plus(t.live()))
    }

    /// Whether readers see the file: a delta, or of a complete base that [shows](Coverage::shows) its table.
    #[doc(hidden)]
    pub fn shows(&self, file: &DataFile) -> bool {
        file.base.as_ref().is_none_or(|id| self.base(id).is_some_and(|b| self.coverage.shows(b, &file.table)))
    }

    /// # Errors
    /// Unsupported, if a writer must know what this program does not.
    pub(super) fn check_writer(&self) -> Result<()> {
        let program = self.latest.as_ref().map_or(PROGRAM, |latest| latest.program.as_str());
        self.needs.check_writer("the archive", program)
    }

    /// Whether the schema object of this digest was erased.
    pub(crate) fn is_erased(&self, schemas: &str) -> bool {
        self.erased.contains(schemas)
    }

    /// Where the list of live files can be begun; None at the beginning of the log.
    pub(super) fn anchor(&self) -> Option<&Arc<Anchor>> {
        self.anchor.0.as_ref()
    }

    /// The same head, of which all parts are written.
    pub(super) fn anchored(mut self) -> Self {
        self.anchor = AnchorCell(Some(Arc::new(Anchor { version: self.version, tables: self.tables.clone() })));
        self
    }

    fn base(&self, id: &BaseId) -> Option<&Base> {
        self.coverage.bases.iter().find(|b| b.id == *id)
    }

    fn cursor(&self) -> Option<Timestamp> {
        self.progress.delta.as_ref().map(|d| d.ts)
    }
}

#[cfg(test)]
mod tests;
