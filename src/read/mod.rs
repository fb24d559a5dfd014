//! Verbs that look at the past. Everything here works from the archive alone, without the deployment, on every store, and
//! says at which `_ts` it reads.
//!
//! [`Moment`] is what a person says of time; [`State`] is a table at a moment, and what restore, export, comparison and our
//! own server stand on.

mod columns;
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
pub mod views;

pub use self::{
    columns::{ColumnInfo, TableColumns, columns_of},
    diff::{DiffOptions, DocumentDiff, TableDiff, diff},
    export::{ExportFormat, ExportOptions, ExportReport, ExportedTable, export},
    get::{Found, get},
    history::History,
    log::{Change, DocumentChange, LogOptions, Transaction, Transactions},
    replay::{Replay, Written},
    restore::{NotCovered, NumberConflict, RestoreOptions, RestoreReport, RestoredTable, plan_restore, restore},
    tables::{TableSummary, count, tables},
};
pub use crate::rows::{
    compare::{FieldChange, FieldPath, Step, compare},
    files::{FilesByTable, TableFiles},
    generations::Generation,
    moment::{Missing, Moment, base_at, in_full, known_table},
    state::{Columns, State, StateBatch, StateDocuments, StateOptions},
};
