//! Verbs that look at the past. Everything here works from the archive alone, without the deployment, on every store, and
//! says at which `_ts` it reads.
//!
//! [`Moment`] is what a person says of time; [`State`] is a table at a moment, and what restore, export, comparison and our
//! own server stand on.

mod columns;
#[cfg(test)]
mod damage_tests;
mod diff;
mod export;
mod get;
mod history;
mod log;
mod replay;
mod restore;
mod tables;
#[cfg(test)]
mod tests;
mod undo;
pub mod views;

pub use self::{
    columns::{ColumnInfo, TableColumns, columns_of},
    diff::{DiffOptions, DocumentDiff, TableDiff, diff},
    export::{ExportFormat, ExportOptions, ExportReport, ExportedTable, export},
    get::{Lookup, get},
    history::History,
    log::{Change, DocumentChange, LogOptions, Transaction, Transactions},
    restore::{
        NotCovered, NumberConflict, RestoreOptions, RestoreReport, RestoreTarget, RestoredTable, plan_restore, restore,
    },
    tables::{TableSummary, tables, tables_of_id},
    undo::{
        FieldMatch, UndoBatches, UndoFate, UndoOptions, UndoReport, UndoneDocument, UndoneTable, plan_undo, undo,
        undo_by_mutation,
    },
};
pub use crate::rows::{
    common::CommonMoment,
    compare::{FieldChange, FieldPath, Step, compare},
    damage::{Damage, DamagedFile},
    doubt::{DoubtedTable, doubted_at, doubted_within},
    generations::Generation,
    moment::{MissingSpan, Moment, in_full},
    state::{Columns, State, StateBatch, StateDocuments, StateOptions},
};

// What the program, the tests and the benches of this project see beyond that. There is no promise at all.
#[doc(hidden)]
pub use self::{
    replay::{Replay, WrittenRevision},
    restore::restore_unless,
    tables::count,
    undo::{caught, undo_unless},
};
#[doc(hidden)]
pub use crate::rows::{
    doubt::refuse_doubted,
    files::{FilesByTable, TableFiles},
    moment::{base_at, known_table},
};
