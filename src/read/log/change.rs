//! What transactions did.

use crate::document::{TableRef, Timestamp};

/// All that was written at one `_ts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// When.
    pub ts: Timestamp,
    /// What, sorted by table and `_id`.
    pub changes: Vec<DocumentChange>,
}

/// What a transaction did to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: String,
    /// What was done.
    pub change: Change,
}

/// What was done to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was not there before.
    Inserted,
    /// It was there before.
    Updated,
    /// It is no longer there.
    Deleted,
    /// It was inserted or updated: the archive has a gap before, and cannot tell.
    Written,
}

impl Change {
    /// All, in this order.
    pub const ALL: [Self; 4] = [Self::Inserted, Self::Updated, Self::Deleted, Self::Written];

    /// One lower-case word, `inserted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Written => "written",
        }
    }
}
