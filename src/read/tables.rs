//! [`tables`]: what tables there are, and from when to when they were written.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    archive::{Archive, Counts, Head, Span},
    budget::MemoryBudget,
    document::{TableRef, Timestamp, table_number, time_text},
    error::{Error, Result},
    rows::{
        files::{TableFiles, complete_base},
        state::{Columns, State, StateOptions},
    },
};

/// A table of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSummary {
    /// The table.
    pub table: TableRef,
    /// Number of columns, fields of structs not counted.
    pub columns: usize,
    /// Its live files of bases and of deltas; those of withdrawn bases count while they are there.
    #[serde(flatten)]
    pub counts: Counts,
    /// `_ts` of the oldest revision.
    #[serde(serialize_with = "time_text::option")]
    pub first: Option<Timestamp>,
    /// `_ts` of the newest revision.
    #[serde(serialize_with = "time_text::option")]
    pub last: Option<Timestamp>,
    /// The moments at which its state is in the archive.
    #[serde(skip)]
    pub covered: Vec<Span>,
}

/// The tables whose documents can have this `_id`, by the table's number in it. Components number their tables by themselves, so there may
/// be several.
///
/// # Errors
/// Usage, if it is no document id. NotFound, if there is no such table.
pub fn tables_of_id(head: &Head, id: &str) -> Result<Vec<TableRef>> {
    let shown = id.escape_debug();
    let Some(number) = table_number(id) else {
        return Err(Error::usage(format!("`{shown}` is not the `_id` of a document: give TABLE ID, or ID alone")));
    };
    let tables: Vec<_> =
        head.tables().filter(|state| state.number == Some(number)).map(|state| state.table.clone()).collect();
    if tables.is_empty() {
        return Err(Error::not_found(format!(
            "no table of the archive has the number {number}, which the id {shown} carries. If its table was dropped or replaced since, give \
             the table too: TABLE ID"
        )));
    }
    Ok(tables)
}

/// All tables, sorted.
pub async fn tables(archive: &Archive, head: &Head) -> Result<Vec<TableSummary>> {
    let mut spans: BTreeMap<TableRef, (Timestamp, Timestamp)> = BTreeMap::new();
    let mut live = archive.live_files(head).await?;
    while let Some(file) = live.next().await? {
        if file.base.as_ref().is_none_or(|id| complete_base(head, id, &file.table).is_some()) {
            let span = spans.entry(file.table).or_insert((file.min_ts, file.max_ts));
            *span = (span.0.min(file.min_ts), span.1.max(file.max_ts));
        }
    }
    let summary = |state: &crate::archive::TableState| TableSummary {
        table: state.table.clone(),
        columns: state.schema.size.fields as usize,
        counts: state.visible(),
        first: spans.get(&state.table).map(|span| span.0),
        last: spans.get(&state.table).map(|span| span.1),
        covered: head.coverage().spans(&state.table),
    };
    Ok(head.tables().map(summary).collect())
}

/// How many documents a table had at a moment.
///
/// # Errors
/// NotFound, if there is no such table, or the moment is not covered.
pub async fn count(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    at: Timestamp,
    budget: MemoryBudget,
) -> Result<u64> {
    let options = StateOptions { budget, columns: Columns::Keys, ..StateOptions::default() };
    let mut state = State::of_files(archive, head, files, at, &options)?;
    let mut documents = 0;
    while let Some(batch) = state.next().await? {
        documents += batch.len() as u64;
    }
    Ok(documents)
}
