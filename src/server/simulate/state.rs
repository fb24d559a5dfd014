//! What a simulated deployment holds: every table that ever was, every revision, and the log of all of them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use rand::{Rng, rngs::StdRng};

use crate::{
    document::{Revision, TableRef, Timestamp, Value},
    error::{Error, Result},
    server::deployment::Tablet,
};

/// A document's fields.
pub(crate) type Fields = BTreeMap<String, Value>;

/// Guarantees: `log` is sorted by `_ts` (then tablet, then `_id`), and every `_ts` is at most `newest`.
pub(crate) struct State {
    /// The newest moment that was written at or told to anybody: later writes come after it.
    pub(super) newest: Timestamp,
    /// Never removed: what was dropped can still be asked for at an earlier moment.
    pub(crate) tables: Vec<SimulatedTable>,
    /// The tables that exist now, by name: indexes into `tables`.
    pub(crate) names: BTreeMap<Arc<TableRef>, usize>,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) rng: StdRng,
}

pub(crate) struct SimulatedTable {
    pub(crate) tablet: Tablet,
    /// Part of every `_id`; unique within a component.
    pub(crate) number: u32,
    pub(super) created: Timestamp,
    pub(crate) dropped: Option<Timestamp>,
    /// By `_id`, each with its revisions in the order in which they were written.
    pub(crate) documents: BTreeMap<String, Vec<Arc<Revision>>>,
}

pub(crate) struct LogEntry {
    pub(crate) ts: Timestamp,
    /// Index into the tables and what was written; `None` for a row of a system table.
    pub(crate) change: Option<(usize, Arc<Revision>)>,
}

impl State {
    /// Makes a table; `number` where its documents' ids tell it already.
    pub(crate) fn create(&mut self, table: &TableRef, number: Option<u32>, ts: Timestamp) -> Result<usize> {
        let siblings = || self.tables.iter().filter(|t| t.tablet.table.component() == table.component());
        // User tables of a component are numbered from 10001 on.
        let fresh = siblings().map(|t| t.number + 1).max().unwrap_or(0).max(10_001);
        let number = number.unwrap_or(fresh);
        if let Some(other) = siblings().find(|t| t.dropped.is_none() && t.number == number) {
            let other = &other.tablet.table;
            return Err(Error::usage(format!(
                "ids of table {table} bear the number of table {other}: leave `_id` out"
            )));
        }
        let tablet = Tablet { id: self.rng.random(), table: Arc::new(table.clone()) };
        let index = self.tables.len();
        self.names.insert(Arc::clone(&tablet.table), index);
        self.tables.push(SimulatedTable { tablet, number, created: ts, dropped: None, documents: BTreeMap::new() });
        Ok(index)
    }

    pub(super) fn shown(&self, entry: &LogEntry) -> Option<(Arc<TableRef>, Arc<Revision>)> {
        let (table, revision) = entry.change.as_ref()?;
        let table = &self.tables[*table];
        table.dropped.is_none().then(|| (Arc::clone(&table.tablet.table), Arc::clone(revision)))
    }
}

impl SimulatedTable {
    pub(super) fn exists_at(&self, at: Timestamp) -> bool {
        self.created <= at && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// The documents that live at `at`, in `_id` order, strictly after `after`.
    pub(crate) fn live_at(
        &self,
        at: Timestamp,
        after: Option<&str>,
    ) -> impl Iterator<Item = (String, Arc<Revision>)> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.documents.range::<str, _>((from, Bound::Unbounded)).filter_map(move |(id, revisions)| {
            let newest = revisions.iter().rev().find(|r| r.ts <= at)?;
            newest.document.is_some().then(|| (id.clone(), Arc::clone(newest)))
        })
    }
}
