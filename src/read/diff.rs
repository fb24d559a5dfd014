//! [`diff`]: what is different between two moments, by merging two states.
//!
//! One `_ts` of one `_id` is one revision: where both states have it, the document is the same, whatever it holds.

use std::cmp::Ordering;

use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    document::{Revision, TableRef, Timestamp},
    error::Result,
    rows::{
        common::all_covered,
        files::{FilesByTable, TableFiles},
        moment::known_table,
        state::{Columns, State, StateOptions},
        walk::StateWalk,
    },
};
use derive_setters::Setters;

/// What is compared, and how.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct DiffOptions {
    /// The earlier moment.
    pub from: Timestamp,
    /// The later moment.
    pub to: Timestamp,
    /// Just these tables; all, if there are none.
    pub tables: Vec<TableRef>,
    /// Whether the documents are read, or counted only.
    pub documents: bool,
    /// The memory that it may take.
    pub budget: MemoryBudget,
}

/// How many documents of a table are different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDiff {
    /// The table.
    pub table: TableRef,
    /// Documents that are there at the later moment only.
    pub inserted: u64,
    /// Documents that are there at both, in another revision. Also those that were deleted and came back.
    pub updated: u64,
    /// Documents that are there at the earlier moment only.
    pub deleted: u64,
    /// Documents that are there at both, in the same revision.
    pub unchanged: u64,
}

/// A document that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentDiff {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: String,
    /// As it was at the earlier moment; None, if it was not there.
    pub before: Option<Revision>,
    /// As it is at the later one.
    pub after: Option<Revision>,
}

/// Compares two moments, table by table. `tell` gets each document that is different, in the order of their `_id`s, if
/// [`DiffOptions::documents`] are wanted.
///
/// # Errors
/// NotFound, if a table is not there or not covered at one of the moments; whatever `tell` returns.
pub async fn diff(
    archive: &Archive,
    head: &Head,
    options: &DiffOptions,
    mut tell: impl FnMut(DocumentDiff) -> Result<()>,
) -> Result<Vec<TableDiff>> {
    let mut tables = options.tables.clone();
    if tables.is_empty() {
        tables = head.tables().map(|state| state.table.clone()).collect();
    }
    tables.sort();
    tables.dedup();
    // Before anything is read.
    for table in &tables {
        known_table(head, table)?;
    }
    for at in [options.from, options.to] {
        all_covered(head, &tables.iter().collect::<Vec<_>>(), at, "")?;
    }
    let mut files = FilesByTable::open(archive, head).await?;
    let mut diffs = Vec::with_capacity(tables.len());
    for table in tables {
        diffs.push(of_one_table(archive, head, &files.of(&table).await?, options, &mut tell).await?);
    }
    Ok(diffs)
}

async fn of_one_table(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    options: &DiffOptions,
    tell: &mut impl FnMut(DocumentDiff) -> Result<()>,
) -> Result<TableDiff> {
    let columns = if options.documents { Columns::All } else { Columns::Keys };
    let state_options = StateOptions { budget: options.budget.half(), columns, ..StateOptions::default() };
    let state = |at| State::of_files(archive, head, files, at, &state_options);
    let mut before = StateWalk::begin(state(options.from)?).await?;
    let mut after = StateWalk::begin(state(options.to)?).await?;
    let table = files.table.clone();
    let mut diff = TableDiff { table, inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
    loop {
        let order = match (before.key(), after.key()) {
            (None, None) => return Ok(diff),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let same = order == Ordering::Equal && before.key().map(|(_, ts)| ts) == after.key().map(|(_, ts)| ts);
        let count = match order {
            Ordering::Less => &mut diff.deleted,
            Ordering::Greater => &mut diff.inserted,
            Ordering::Equal if same => &mut diff.unchanged,
            Ordering::Equal => &mut diff.updated,
        };
        *count += 1;
        if options.documents && !same {
            let was = (order != Ordering::Greater).then(|| before.revision()).transpose()?.flatten();
            let is = (order != Ordering::Less).then(|| after.revision()).transpose()?.flatten();
            let id = was.as_ref().or(is.as_ref()).map(|revision| revision.id.clone()).unwrap_or_default();
            tell(DocumentDiff { table: diff.table.clone(), id, before: was, after: is })?;
        }
        if order != Ordering::Greater {
            before.step().await?;
        }
        if order != Ordering::Less {
            after.step().await?;
        }
    }
}
