//! [`RestoreReport`]: what a restore holds, and what a person should know before importing it.

use serde::Serialize;

use crate::{
    archive::Span,
    document::{TableRef, Timestamp},
    monitor::FindingCounts,
    rows::{damage::DamagedFile, doubt::DoubtedTable, generations::Generation, moment::MissingSpan},
    selection::Selection,
};

/// What a restore holds, or would hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The moment, the same for all tables.
    pub at: Timestamp,
    /// The tables in it, in their order. Of single documents (`ids`): those that hold one.
    pub tables: Vec<RestoredTable>,
    /// Whether it holds all that the deployment held in tables at the moment, as far as the archive can tell: only then may an
    /// import delete whatever it does not hold.
    pub complete: bool,
    /// Tables that were selected, but are not covered at the moment. None of a restore: it is refused then.
    pub not_covered: Vec<NotCovered>,
    /// If there are any: the nearest moment before at which all selected tables are covered …
    pub covered_before: Option<Timestamp>,
    /// … and the nearest after it.
    pub covered_after: Option<Timestamp>,
    /// Tables of one component whose ids bear one number. None of a restore: an import would refuse it.
    pub conflicts: Vec<NumberConflict>,
    /// Tables whose first document came after the moment: left out.
    pub later: Vec<TableRef>,
    /// The spans before the moment in which changes are missing. No table's state at the moment depends on one.
    pub gaps: Vec<MissingSpan>,
    /// What the archive was told to hold; tables beyond it are not in it.
    pub archived: Selection,
    /// Data files of which not all could be read, and that was accepted: documents are missing, or as they were before.
    pub damaged: Vec<DamagedFile>,
    /// Tables of which the archive may show something else than the deployment held at the moment. Of a restore, if that was accepted, or
    /// they are only [unwatched](DoubtedTable::unwatched).
    pub doubted: Vec<DoubtedTable>,
    /// If something speaks against a table: the nearest moment before at which all selected tables are covered and proven …
    pub proven_before: Option<Timestamp>,
    /// … and the nearest after it.
    pub proven_after: Option<Timestamp>,
    /// Whether documents came in an encoding that does not tell int64 and bytes from text: they are restored as text.
    pub untyped: bool,
    /// What was told to the monitor, by kind.
    pub findings: FindingCounts,
}

/// A table of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTable {
    /// The table.
    pub table: TableRef,
    /// The number that its documents' ids bear. Absent if the archive never saw a document of it: the target chooses one.
    pub number: Option<u32>,
    /// S of the base from which its state is computed.
    pub base: Timestamp,
    /// Documents.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Whether it held documents before the moment and none at it: they were deleted, or the table was dropped.
    pub emptied: bool,
    /// Documents that an earlier table of this name has left behind: they are not restored.
    pub left_behind: Vec<Generation>,
    /// Documents with ids of system tables: of stored files, or of scheduled functions.
    pub with_system_ids: u64,
    /// Such ids, known by their form.
    pub system_ids: u64,
    /// Whether the table's fields are declared to hold ids of stored files.
    pub declares_files: bool,
}

/// A table that is not covered at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCovered {
    /// The table.
    pub table: TableRef,
    /// The moments at which it is.
    pub covered: Vec<Span>,
}

/// Tables whose documents' ids bear one number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumberConflict {
    /// The number.
    pub number: u32,
    /// The tables, all of one component.
    pub tables: Vec<TableRef>,
}

impl RestoreReport {
    /// Documents of all tables.
    pub fn documents(&self) -> u64 {
        self.tables.iter().map(|table| table.documents).sum()
    }

    /// Bytes of their text.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Whether something speaks against a table at the moment.
    pub fn is_doubted(&self) -> bool {
        self.doubted.iter().any(|doubted| !doubted.unwatched)
    }

    /// Whether somebody should look before it is imported: a table is not covered or in doubt, numbers collide, documents were left
    /// behind by an earlier table of their name, or came without types, or data files are damaged.
    pub fn has_findings(&self) -> bool {
        let left_behind = self.tables.iter().any(|table| !table.left_behind.is_empty());
        !self.not_covered.is_empty()
            || !self.conflicts.is_empty()
            || left_behind
            || self.untyped
            || !self.damaged.is_empty()
            || self.is_doubted()
    }
}
