//! What a repair did, or would do.

use serde::Serialize;

use crate::{
    document::{TableRef, Timestamp},
    verify::Problem,
};

/// What was wrong with an archive, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// Whether nothing was done, and this is what would be.
    pub plan: bool,
    /// The newest version of the archive; 0, if none can be told.
    pub version: u64,
    /// What is whole again, by object.
    pub repaired: Vec<RepairedObject>,
    /// What nobody has any more: told, and with [`accept_loss`](super::RepairOptions::accept_loss) recorded.
    pub lost: Vec<LostRevisions>,
    /// Whether the archive says from now on that this is lost.
    pub loss_recorded: bool,
    /// Tables whose newest state the archive lacks with what is lost: a new base of them brings it back.
    pub lacking: Vec<TableRef>,
    /// What is still wrong.
    pub left: Vec<Problem>,
    /// Problems beyond those that one repair looks at: another one goes on.
    pub more: u64,
}

/// An object that is whole again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairedObject {
    /// Its path inside the archive; of several in a row that of the first.
    pub object: String,
    /// How many objects in a row.
    pub objects: u64,
    /// The table, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableRef>,
    /// From what.
    pub from: RepairSource,
}

/// Where what was damaged comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairSource {
    /// The log tells it.
    Log,
    /// The copy has it.
    Copy,
    /// The smaller files that it had joined are still there.
    JoinedFiles,
    /// No reader needs it, so the archive names it no more.
    NotNeeded,
}

/// Revisions that are lost with a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostRevisions {
    /// The data file that is damaged or missing.
    pub object: String,
    /// Its table.
    pub table: TableRef,
    /// The first `_ts`, nanoseconds.
    #[serde(rename = "from_ts")]
    pub from: Timestamp,
    /// The last `_ts`, nanoseconds.
    #[serde(rename = "to_ts")]
    pub to: Timestamp,
    /// Revisions in the file.
    pub revisions: u64,
    /// The base of which it is a part and which is lost with it: its S, nanoseconds. Absent for a file of changes.
    #[serde(rename = "base_ts", skip_serializing_if = "Option::is_none")]
    pub base: Option<Timestamp>,
    /// The documents of the table in that base: all of them are lost with the file.
    #[serde(rename = "base_documents", skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
}

impl RepairReport {
    /// Whether all that was wrong is whole again, or would be, and nothing is lost.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.lost.is_empty() && self.more == 0
    }
}
