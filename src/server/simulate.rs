//! A deployment in memory: every revision of every document, in one log of transactions.
//!
//! It is seeded: the same steps with the same clock give the same ids, the same tablets and the same log. Nothing is ever
//! forgotten, so the state at any moment can be asked for, and memory grows with every write.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Deployment, LogRow, LogRows, Shape, Tablet, id::table_number, transaction::Transaction};
use crate::{
    document::{Revision, TableRef, Timestamp, Value},
    error::{Error, Result},
};

type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// A deployment in memory, for the demo and for tests.
pub struct SimulatedDeployment {
    name: String,
    clock: Clock,
    state: Mutex<State>,
}

/// Guarantees: `log` is sorted by `_ts` (then tablet, then `_id`), every `_ts` is at most `newest`, and one table of a name is
/// not dropped at most.
pub(crate) struct State {
    /// The newest moment that was written at or told to anybody: later writes come after it.
    newest: Timestamp,
    pub(crate) tables: Vec<SimulatedTable>,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) rng: StdRng,
}

pub(crate) struct SimulatedTable {
    pub(crate) tablet: Tablet,
    /// Part of every `_id`; unique within a component.
    pub(crate) number: u32,
    created: Timestamp,
    dropped: Option<Timestamp>,
    /// By `_id`, each with its revisions in the order in which they were written.
    pub(crate) documents: BTreeMap<String, Vec<Arc<Revision>>>,
}

pub(crate) struct LogEntry {
    pub(crate) ts: Timestamp,
    /// Index into the tables and what was written; `None` for a row of a system table.
    pub(crate) change: Option<(usize, Arc<Revision>)>,
}

impl SimulatedDeployment {
    /// An empty deployment on the system's clock.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        Self::with_clock(name, seed, || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
        })
    }

    /// An empty deployment on a clock of the caller's. It may stand still or go back: moments of the log never do.
    pub fn with_clock(
        name: impl Into<String>,
        seed: u64,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let state = State { newest: Timestamp(0), tables: Vec::new(), log: Vec::new(), rng };
        Self { name: name.into(), clock: Box::new(clock), state: Mutex::new(state) }
    }

    /// Writes what `write` asks for, as one transaction: all at one `_ts`, or nothing if it errs. Answers the `_ts` and
    /// what `write` returned.
    pub fn transaction<T>(&self, write: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<(Timestamp, T)> {
        let mut state = self.state();
        let ts = Timestamp((self.clock)().0.max(state.newest.0 + 1));
        let known = state.tables.len();
        let mut transaction = Transaction::new(&mut state, ts);
        match write(&mut transaction) {
            Ok(answer) => {
                transaction.commit();
                state.newest = ts;
                Ok((ts, answer))
            }
            Err(error) => {
                state.tables.truncate(known);
                Err(error)
            }
        }
    }

    /// Makes a table without documents.
    pub fn create_table(&self, table: &TableRef) -> Result<Timestamp> {
        Ok(self.transaction(|t| t.create_table(table))?.0)
    }

    /// Drops a table as the dashboard does: its documents get no tombstones, and the log does not tell of it any more.
    ///
    /// # Errors
    /// Usage, if there is no such table.
    pub fn drop_table(&self, table: &TableRef) -> Result<Timestamp> {
        let (ts, index) = self.transaction(|t| {
            t.write_hidden_rows(1);
            t.index_of(table)
        })?;
        self.state().tables[index].dropped = Some(ts);
        Ok(ts)
    }

    /// All live documents at a moment, by table and `_id`: what a complete snapshot has to show. Empty tables are listed.
    pub fn state_at(&self, at: Timestamp) -> BTreeMap<TableRef, BTreeMap<String, Arc<Revision>>> {
        let state = self.state();
        let tables = state.tables.iter().filter(|table| table.exists_at(at));
        tables.map(|table| (TableRef::clone(&table.tablet.table), table.live_at(at, None).collect())).collect()
    }

    /// Every revision of the tables that exist now, in the order of the log: what complete deltas have to show.
    pub fn revisions(&self) -> Vec<(Arc<TableRef>, Arc<Revision>)> {
        let state = self.state();
        let rows = state.log.iter().filter_map(|entry| state.shown(entry));
        rows.collect()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside a test's closure leaves the state as it was: transactions write at their end only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The table of this name that exists now.
    pub(crate) fn find(&self, table: &TableRef) -> Option<usize> {
        self.tables.iter().position(|t| t.dropped.is_none() && *t.tablet.table == *table)
    }

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
        self.tables.push(SimulatedTable { tablet, number, created: ts, dropped: None, documents: BTreeMap::new() });
        Ok(self.tables.len() - 1)
    }

    fn shown(&self, entry: &LogEntry) -> Option<(Arc<TableRef>, Arc<Revision>)> {
        let (table, revision) = entry.change.as_ref()?;
        let table = &self.tables[*table];
        table.dropped.is_none().then(|| (Arc::clone(&table.tablet.table), Arc::clone(revision)))
    }
}

impl SimulatedTable {
    fn exists_at(&self, at: Timestamp) -> bool {
        self.created <= at && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// The documents that live at `at`, in `_id` order, strictly after `after`.
    pub(crate) fn live_at(
        &self,
        at: Timestamp,
        after: Option<&str>,
    ) -> impl Iterator<Item = (String, Arc<Revision>)> + '_ {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id));
        self.documents.range::<str, _>((from, Bound::Unbounded)).filter_map(move |(id, revisions)| {
            let newest = revisions.iter().rev().find(|r| r.ts <= at)?;
            newest.document.is_some().then(|| (id.clone(), Arc::clone(newest)))
        })
    }
}

#[async_trait]
impl Deployment for SimulatedDeployment {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn now(&self) -> Result<Timestamp> {
        let mut state = self.state();
        state.newest = state.newest.max((self.clock)());
        Ok(state.newest)
    }

    async fn tables(&self, at: Timestamp) -> Result<Vec<Tablet>> {
        let state = self.state();
        Ok(state.tables.iter().filter(|table| table.exists_at(at)).map(|table| table.tablet.clone()).collect())
    }

    async fn documents(
        &self,
        tablet: &Tablet,
        at: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Revision>>> {
        let state = self.state();
        let table = state.tables.iter().find(|table| table.tablet.id == tablet.id);
        let live = table.into_iter().flat_map(|table| table.live_at(at, after));
        Ok(live.take(limit).map(|(_, revision)| revision).collect())
    }

    async fn log(&self, after: Timestamp, through: Timestamp, limit: usize) -> Result<LogRows> {
        let state = self.state();
        let mut found = LogRows::default();
        for entry in &state.log[state.log.partition_point(|entry| entry.ts <= after)..] {
            if entry.ts > through {
                break;
            }
            let transaction_ended = found.rows.last().is_some_and(|last: &LogRow| last.ts != entry.ts);
            if found.rows.len() >= limit && transaction_ended {
                found.more = true;
                break;
            }
            found.rows.push(LogRow { ts: entry.ts, change: state.shown(entry) });
        }
        Ok(found)
    }

    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, Shape)>> {
        let state = self.state();
        let mut tables: Vec<_> = state.tables.iter().filter(|table| table.dropped.is_none()).collect();
        tables.sort_by_key(|table| table.tablet.id);
        let names: BTreeMap<(&str, u32), &str> = tables
            .iter()
            .map(|table| ((table.tablet.table.component(), table.number), table.tablet.table.name()))
            .collect();
        let shapes = tables.iter().map(|table| {
            let name = &table.tablet.table;
            let of_id = |id: &str| Some((*names.get(&(name.component(), table_number(id)?))?).to_owned());
            let mut shape = Shape::default();
            for (_, revision) in table.live_at(state.newest, None) {
                if let Some(document) = &revision.document {
                    shape.add_document(document, &of_id);
                }
            }
            if shape == Shape::default() {
                shape = Shape::of_empty_table(name.name());
            }
            (Arc::clone(name), shape)
        });
        Ok(shapes.collect())
    }
}

/// A document's fields.
pub(crate) type Fields = BTreeMap<String, Value>;
