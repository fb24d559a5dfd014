//! Verbs that look at the past. Everything here works from the archive alone, without the deployment, on every store, and
//! says at which `_ts` it reads.
//!
//! [`Moment`] is what a person says of time; [`State`] is a table at a moment, and what restore, export, comparison and our
//! own server stand on.

mod ahead;
mod columns;
mod compare;
mod diff;
mod export;
mod feed;
mod files;
mod generations;
mod get;
mod history;
mod keyed;
mod log;
mod merge;
mod moment;
mod replay;
mod restore;
mod run;
mod sort;
mod sorted;
mod state;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod views;

pub use self::{
    columns::{ColumnInfo, TableColumns, columns_of},
    compare::{FieldChange, FieldPath, Step, compare},
    diff::{DiffOptions, DocumentDiff, TableDiff, diff},
    export::{ExportFormat, ExportOptions, ExportReport, ExportedTable, export},
    files::{FilesByTable, TableFiles},
    generations::Generation,
    get::{Found, get},
    history::History,
    log::{Change, DocumentChange, LogOptions, Transaction, Transactions},
    moment::{Missing, Moment, base_at, in_full, known_table},
    replay::{Replay, Written},
    restore::{NotCovered, NumberConflict, RestoreOptions, RestoreReport, RestoredTable, plan_restore, restore},
    state::{Columns, State, StateBatch, StateDocuments, StateOptions},
    tables::{TableSummary, count, tables},
};
