//! What a sync did, for people and for scripts.

use std::time::Duration;

use crate::{
    archive::{DELTAS_KEPT, Gap},
    compact::CompactReport,
    document::{TableRef, Timestamp, time_text},
    identity::DeploymentIdentity,
    monitor::FindingCounts,
};

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// The deployment.
    pub deployment: DeploymentIdentity,
    /// Whether this run began the archive's first snapshot.
    pub first_run: bool,
    /// Whether the deployment had nothing more. If not, more is waiting: run again.
    pub caught_up: bool,
    /// Pages read.
    pub pages: u64,
    /// Bytes of their bodies, uncompressed.
    pub page_bytes: u64,
    /// Tables of which rows were written.
    pub tables: u64,
    /// Documents written, tombstones not counted.
    pub documents: u64,
    /// Tombstones written.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
    /// Data files written.
    pub files: u64,
    /// Their stored bytes.
    pub file_bytes: u64,
    /// Commits made.
    pub commits: u64,
    /// Gaps that this run found and recorded, or that an earlier one did which ended before the new base was complete: a
    /// finding, whatever else went well.
    pub gaps: Vec<Gap>,
    /// What was joined of small files, and which bases were made.
    pub compacted: CompactReport,
    /// Tables that differed from the deployment, and were corrected.
    pub healed: Vec<HealedTable>,
    /// Tables that may differ from the deployment now.
    pub suspects: Vec<SuspectTable>,
    /// Tables that were due to be compared with the deployment, and are left to the next run: the limit of the download was reached.
    pub postponed: Vec<TableRef>,
    /// What the deployment's audit log says of the tables that this run corrected, newly suspects, or found touched and equal, oldest first. It
    /// explains, and never detects: an import that failed or was cancelled has no entry, and only a key with the permission `deployment:auditLog:view`, of a plan that
    /// has an audit log, can read it. Empty, where it cannot be read.
    pub explained: Vec<Explanation>,
    /// Up to here it is known that nothing happened but what the change log tells, and what stands in `healed` and `suspects`. Absent, where
    /// nobody can watch. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub guarded: Option<Timestamp>,
    /// What was told to the run's monitor, by kind.
    pub findings: FindingCounts,
    /// The archive's version now.
    pub version: u64,
    /// SHA-256 of the newest commit.
    pub digest: String,
    /// The delta cursor: the archive covers up to here. Absent until the first snapshot is complete. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub through: Option<Timestamp>,
    /// When the deployment answered last. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub checked_at: Option<Timestamp>,
}

impl SyncReport {
    /// Whether there is something to look at, though all went well: a gap, documents of an import that did not finish, a table that differs
    /// and was not corrected, a table that is selected by name and that the deployment does not have, or a selection that holds nothing.
    pub fn has_findings(&self) -> bool {
        let kinds = [
            "no_such_table",
            "nothing_selected",
            "import_leftovers",
            "table_differs",
            "not_compacted",
            "snapshot_too_slow",
            "falls_behind",
        ];
        !self.gaps.is_empty() || kinds.iter().any(|kind| self.findings.of(kind) > 0)
    }

    /// How far the archive is behind at `now`: since the deployment answered last if it had nothing more (an idle one
    /// writes nothing that could be behind), else since the `_ts` reached. Absent until the first snapshot is complete.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        let since = if self.caught_up { self.checked_at } else { self.through };
        since.filter(|_| self.through.is_some()).map(|ts| time_between(ts, now))
    }

    /// How long the next run has to begin within, at `now`, so that the deployment still knows the changes after the cursor; zero when that
    /// time is over. Absent as long as there is no cursor.
    pub fn deltas_left(&self, now: Timestamp) -> Option<Duration> {
        self.through.map(|ts| DELTAS_KEPT.saturating_sub(time_between(ts, now)))
    }
}

/// Zero, if the second moment is the earlier one.
fn time_between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_nanos(to.0.saturating_sub(from.0).try_into().unwrap_or(0))
}

/// A table that differed from the deployment, and was corrected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct HealedTable {
    /// The table.
    pub table: TableRef,
    /// What had happened, as far as that is known.
    pub what: Correction,
    /// Up to this it is known to have been right. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub after: Timestamp,
    /// From this on it is right again. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub at: Timestamp,
    /// Documents that the archive showed, and the deployment did not have.
    pub extra: u64,
    /// Documents that the deployment had, and the archive did not show.
    pub missing: u64,
    /// Documents of which the archive showed another revision.
    pub different: u64,
}

/// What had happened to a table that was corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// It was dropped.
    Dropped,
    /// It was replaced, cleared or imported into.
    Replaced,
    /// An import that did not finish left documents in the change log.
    Leftovers,
    /// Somebody asked for it to be fetched anew.
    Asked,
}

/// A table that may differ from the deployment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SuspectTable {
    /// The table.
    pub table: TableRef,
    /// Up to this it is known to be right. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub after: Timestamp,
    /// One word.
    pub why: String,
}

/// Something that was done to whole tables, as the deployment's audit log tells it (`GET /api/v1/list_audit_log_events`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// When it was written down, to the millisecond. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub at: Timestamp,
    /// `snapshot_import`, `delete_tables`, `clear_tables` or `delete_component`.
    pub action: String,
    /// The mode of an import: `Replace`, `ReplaceAll` or `RequireEmpty`. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Who did it, as far as that is told: `member 7`, `system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Those of these tables that it names. Empty, if it names none: `clear_tables` never does.
    pub tables: Vec<TableRef>,
}
