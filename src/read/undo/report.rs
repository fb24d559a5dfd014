//! [`UndoReport`]: what an undo changes, and what it leaves alone.

use crate::{
    document::{TableRef, Timestamp},
    monitor::FindingCounts,
    rows::doubt::DoubtedTable,
};

/// What an undo changes, or would change, and what it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoReport {
    /// The last moment before the changes that are undone.
    pub from: Timestamp,
    /// The moment after them.
    pub to: Timestamp,
    /// The moment that stands for now.
    pub now: Timestamp,
    /// The tables in which something changed between the two moments, in their order.
    pub tables: Vec<UndoneTable>,
    /// Whether documents came in an encoding that does not tell int64 and bytes from text: they come back as text.
    pub untyped: bool,
    /// Selected tables that are in doubt at one of the moments, each as often as there are such spans of it.
    pub doubted: Vec<DoubtedTable>,
    /// What was told to the monitor, by kind.
    pub findings: FindingCounts,
}

/// A table of an undo: how many of its documents become what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoneTable {
    /// The table.
    pub table: TableRef,
    /// The number that the ids of its documents bear now.
    pub number: Option<u32>,
    /// Deleted documents that come back.
    pub put_back: u64,
    /// Changed documents that become what they were.
    pub reverted: u64,
    /// Inserted documents that go.
    pub removed: u64,
    /// Documents that were changed again after the later moment, and are left alone.
    pub changed_since: u64,
    /// Inserted documents that stay.
    pub stay_inserted: u64,
    /// Documents that changed, but are now as they were before.
    pub as_then: u64,
    /// Documents of the earlier moment that an earlier table of this name held, which was dropped. They have ids of another table
    /// number, and cannot come back beside those of the present table.
    pub of_dropped: u64,
    /// Documents that the table holds once the undo is done.
    pub documents: u64,
}

impl UndoneTable {
    pub(super) fn new(table: TableRef, number: Option<u32>) -> Self {
        Self {
            table,
            number,
            put_back: 0,
            reverted: 0,
            removed: 0,
            changed_since: 0,
            stay_inserted: 0,
            as_then: 0,
            of_dropped: 0,
            documents: 0,
        }
    }

    /// Documents that become others.
    pub fn undone(&self) -> u64 {
        self.put_back + self.reverted + self.removed
    }

    /// Whether there is anything to tell of it.
    pub(super) fn has_changed(&self) -> bool {
        self.undone() + self.changed_since + self.stay_inserted + self.as_then + self.of_dropped > 0
    }
}

impl UndoReport {
    /// Documents of all tables that become others.
    pub fn undone(&self) -> u64 {
        self.tables.iter().map(UndoneTable::undone).sum()
    }

    /// The tables in which documents become others.
    pub(super) fn touched(&self) -> impl Iterator<Item = &UndoneTable> {
        self.tables.iter().filter(|table| table.undone() > 0)
    }

    /// Whether something speaks against a table at one of the moments.
    pub fn is_doubted(&self) -> bool {
        self.doubted.iter().any(|doubted| !doubted.unwatched)
    }

    /// Whether somebody should look before it is done: documents were changed again since, belong to a table that was dropped, or
    /// came without types, or a table is in doubt.
    pub fn has_findings(&self) -> bool {
        self.untyped || self.is_doubted() || self.tables.iter().any(|table| table.changed_since + table.of_dropped > 0)
    }
}

/// A document that changed between the two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoneDocument {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: String,
    /// What becomes of it.
    pub fate: UndoFate,
    /// The `_ts` of its revision now; None, if it is not there.
    pub now: Option<Timestamp>,
}

/// What becomes of a document that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndoFate {
    /// It was deleted and comes back.
    PutBack,
    /// It was changed and becomes what it was.
    Reverted,
    /// It was inserted and goes.
    Removed,
    /// It was changed again after the later moment, and is left alone.
    ChangedSince,
}

impl UndoFate {
    /// A stable lower-case name, as it appears in JSON reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutBack => "put_back",
            Self::Reverted => "reverted",
            Self::Removed => "removed",
            Self::ChangedSince => "changed_since",
        }
    }
}
