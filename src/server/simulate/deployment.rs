//! A deployment in memory: every revision of every document, in one log of transactions.
//!
//! It is seeded: the same steps with the same clock give the same ids, the same tablets and the same log. Nothing is ever
//! forgotten, so the state at any moment can be asked for, and memory grows with every write.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    audit_log,
    id::table_number,
    state::{State, Syncs},
    transaction::OpenTransaction,
};
use crate::{
    document::{Revision, TableRef, Timestamp},
    error::Result,
    server::{
        audit_source::AuditLogSource,
        deployment::{Deployment, LogRow, LogRows},
        imports::target::TakesImports,
        shape::SampledShape,
        sync_source::DataSyncSource,
        tablet::Tablet,
    },
};

type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// A deployment in memory, for the demo and for tests.
///
/// A table is *active*: it is the one of its name. Or it is *hidden*: an [`OpenImport`](super::OpenImport) fills it, or left
/// it behind. Or it was *dropped*. Snapshots and schemas know active tables alone; the change log tells the rows of hidden
/// ones too, under their table's name, as Convex does.
pub struct SimulatedDeployment {
    name: String,
    database: Arc<Database>,
}

/// What a deployment shares with the imports that are open.
pub(crate) struct Database {
    clock: Clock,
    state: Mutex<State>,
}

impl SimulatedDeployment {
    /// An empty deployment on the system's clock.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        Self::with_clock(name, seed, Timestamp::now)
    }

    /// An empty deployment on a clock of the caller's. It may stand still or go back: moments of the log never do.
    pub fn with_clock(
        name: impl Into<String>,
        seed: u64,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let state = State {
            newest: Timestamp(0),
            tables: Vec::new(),
            names: BTreeMap::new(),
            log: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            syncs: Syncs::new(&name, seed),
            audit_log: Vec::new(),
        };
        let database = Database { clock: Box::new(clock), state: Mutex::new(state) };
        Self { name, database: Arc::new(database) }
    }

    /// Writes what `write` asks for, as one transaction: all at one `_ts`, or nothing if it errs. Answers the `_ts` and
    /// what `write` returned.
    pub fn transaction<T>(&self, write: impl FnOnce(&mut OpenTransaction<'_>) -> Result<T>) -> Result<(Timestamp, T)> {
        self.database.transaction(write)
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
        let (ts, ()) = self.transaction(|t| t.drop_table(table))?;
        self.state().audit_log.push(audit_log::dropped(ts, table));
        Ok(ts)
    }

    /// All live documents at a moment, by table and `_id`: what a complete snapshot has to show. Empty tables are listed,
    /// hidden ones are not. It is the same whenever it is asked for, whatever is imported or dropped later.
    pub fn state_at(&self, at: Timestamp) -> BTreeMap<TableRef, BTreeMap<String, Arc<Revision>>> {
        let state = self.state();
        let tables = state.tables.iter().filter(|table| table.exists_at(at));
        tables.map(|table| (TableRef::clone(&table.tablet.table), table.live_at(at, None).collect())).collect()
    }

    /// Every revision of the tables that are there now, hidden ones among them, in the order of the log: what complete
    /// deltas have to show.
    pub fn revisions(&self) -> Vec<(Arc<TableRef>, Arc<Revision>)> {
        let now = self.database.present();
        let state = self.state();
        let rows = state.log.iter().filter_map(|entry| state.shown(entry, now));
        rows.collect()
    }

    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.database.state()
    }
}

impl Database {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside a test's closure leaves the state as it was: transactions write at their end only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is now, without telling anybody: a write may still come at it.
    pub(super) fn present(&self) -> Timestamp {
        let newest = self.state().newest;
        newest.max((self.clock)())
    }

    /// See [`SimulatedDeployment::transaction`].
    pub(crate) fn transaction<T>(
        &self,
        write: impl FnOnce(&mut OpenTransaction<'_>) -> Result<T>,
    ) -> Result<(Timestamp, T)> {
        let mut state = self.state();
        let ts = Timestamp((self.clock)().0.max(state.newest.0 + 1));
        let known = state.tables.len();
        let mut transaction = OpenTransaction::new(&mut state, ts);
        match write(&mut transaction) {
            Ok(answer) => {
                transaction.commit();
                state.newest = ts;
                Ok((ts, answer))
            }
            Err(error) => {
                state.tables.truncate(known);
                state.names.retain(|_, index| *index < known);
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Deployment for SimulatedDeployment {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn imports(&self) -> Option<&dyn TakesImports> {
        Some(self)
    }

    fn clock(&self) -> Option<Timestamp> {
        Some((self.database.clock)())
    }

    async fn now(&self) -> Result<Timestamp> {
        let mut state = self.state();
        state.newest = state.newest.max((self.database.clock)());
        Ok(state.newest)
    }

    fn data_sync(&self) -> Option<&dyn DataSyncSource> {
        Some(self)
    }

    fn audit_log(&self) -> Option<&dyn AuditLogSource> {
        Some(self)
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
        // Tables as they are at the request, whatever they were when a row was written.
        let now = self.database.present();
        let state = self.state();
        let (entries, more) = state.log_entries(after, through, limit);
        let rows = entries.iter().map(|entry| LogRow { ts: entry.ts, change: state.shown(entry, now) });
        Ok(LogRows { rows: rows.collect(), more })
    }

    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>> {
        let state = self.state();
        let mut tables: Vec<_> = state.tables.iter().filter(|table| table.is_active()).collect();
        tables.sort_by_key(|table| table.tablet.id);
        let names: BTreeMap<(&str, u32), &str> = tables
            .iter()
            .map(|table| ((table.tablet.table.component(), table.number), table.tablet.table.name()))
            .collect();
        let shapes = tables.iter().map(|table| {
            let name = &table.tablet.table;
            let of_id = |id: &str| Some((*names.get(&(name.component(), table_number(id)?))?).to_owned());
            let mut shape = SampledShape::default();
            for (_, revision) in table.live_at(state.newest, None) {
                if let Some(document) = &revision.document {
                    shape.add_document(document, &of_id);
                }
            }
            if shape == SampledShape::default() {
                shape = SampledShape::of_empty_table(name.name());
            }
            (Arc::clone(name), shape)
        });
        Ok(shapes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::Value,
        server::{SeededWriter, SimulateOptions, simulate::state::Fields},
    };

    fn deployment() -> SimulatedDeployment {
        SimulatedDeployment::with_clock("test", 1, || Timestamp(1_795_434_575_000_000_000))
    }

    fn table(name: &str) -> TableRef {
        TableRef::new("", name).unwrap()
    }

    fn fields(n: i64) -> Fields {
        [("n".to_owned(), Value::Int64(n))].into()
    }

    async fn log(d: &SimulatedDeployment, after: i64, limit: usize) -> LogRows {
        d.log(Timestamp(after), d.now().await.unwrap(), limit).await.unwrap()
    }

    fn shown(rows: &LogRows) -> Vec<(String, bool)> {
        let changes = rows.rows.iter().filter_map(|row| row.change.as_ref());
        changes.map(|(_, revision)| (revision.id.clone(), revision.document.is_some())).collect()
    }

    #[tokio::test]
    async fn a_document_written_twice_in_a_transaction_is_logged_once_as_it_was_last() {
        let d = deployment();
        let t = table("t");
        let (_, (kept, gone)) = d
            .transaction(|tx| {
                let (kept, gone) = (tx.insert(&t, fields(1))?, tx.insert(&t, fields(2))?);
                tx.replace(&t, &kept, fields(3))?;
                tx.delete(&t, &gone)?;
                assert_eq!(tx.get(&t, &kept).unwrap()["n"], Value::Int64(3));
                Ok((kept, gone))
            })
            .unwrap();
        let mut expected = vec![(kept.clone(), true), (gone, false)];
        expected.sort();
        let log = log(&d, 0, usize::MAX).await;
        assert_eq!(shown(&log), expected);
        assert!(log.rows.len() > expected.len(), "the new table is rows of system tables");
        let live = &d.state_at(Timestamp(i64::MAX))[&t];
        assert_eq!(live.keys().collect::<Vec<_>>(), [&kept]);
    }

    #[tokio::test]
    async fn a_failed_transaction_leaves_nothing() {
        let d = deployment();
        let failed = d.transaction(|tx| {
            tx.insert(&table("t"), fields(1))?;
            tx.delete(&table("t"), "no such id")
        });
        assert!(failed.is_err());
        assert!(log(&d, 0, usize::MAX).await.rows.is_empty());
        assert!(d.state_at(Timestamp(i64::MAX)).is_empty());
        d.transaction(|tx| tx.insert(&table("t"), fields(1))).unwrap();
    }

    #[tokio::test]
    async fn refuses_what_convex_would_not_take() {
        let d = deployment();
        let id = d.transaction(|tx| tx.insert(&table("a"), fields(1))).unwrap().1;
        let with = |name: &str, value: Value| [(name.to_owned(), value)].into();
        for (name, odd) in [
            ("b", with("_id", Value::String(id.clone()))),
            ("a", with("_id", Value::String(id.clone()))),
            ("a", with("_id", Value::String("x".into()))),
            ("a", with("_creationTime", Value::Int64(1))),
            ("a", with("_other", Value::Null)),
            ("a", with("$x", Value::Null)),
            ("_system", fields(1)),
        ] {
            assert!(d.transaction(|tx| tx.insert(&table(name), odd.clone())).is_err(), "{name} {odd:?}");
        }
        d.transaction(|tx| tx.delete(&table("a"), &id)).unwrap();
        d.transaction(|tx| tx.insert(&table("a"), with("_id", Value::String(id)))).unwrap();
    }

    #[tokio::test]
    async fn every_moment_shows_its_own_state() {
        let d = deployment();
        let t = table("t");
        let (first, id) = d.transaction(|tx| tx.insert(&t, fields(1))).unwrap();
        let (second, ()) = d.transaction(|tx| tx.replace(&t, &id, fields(2))).unwrap();
        let (third, ()) = d.transaction(|tx| tx.delete(&t, &id)).unwrap();
        let fourth = d.drop_table(&t).unwrap();
        let n = |at: Timestamp| Some(d.state_at(at).get(&t)?.get(&id)?.document.as_ref().unwrap()["n"].clone());
        assert_eq!([first, second, third].map(n), [Some(Value::Int64(1)), Some(Value::Int64(2)), None]);
        assert!(d.state_at(Timestamp(first.0 - 1)).is_empty() && d.state_at(fourth).is_empty());
        // A walk at an earlier moment can be finished; the log tells nothing any more, though it is as long as before.
        let tablet = d.tables(second).await.unwrap().remove(0);
        assert_eq!(d.documents(&tablet, second, None, 9).await.unwrap().len(), 1);
        let log = log(&d, 0, usize::MAX).await;
        assert!(shown(&log).is_empty() && log.rows.len() > 3);
    }

    #[tokio::test]
    async fn a_transaction_larger_than_a_page_comes_whole() {
        let d = deployment();
        d.create_table(&table("t")).unwrap();
        let before = d.now().await.unwrap().0;
        d.transaction(|tx| (0..2048).try_for_each(|n| tx.insert(&table("t"), fields(n)).map(|_| ()))).unwrap();
        let whole = log(&d, before, 128).await;
        assert_eq!((whole.rows.len(), whole.more), (2048, false));
        d.transaction(|tx| tx.insert(&table("t"), fields(0))).unwrap();
        let whole = log(&d, before, 128).await;
        assert_eq!((whole.rows.len(), whole.more), (2048, true));
    }

    #[tokio::test]
    async fn nothing_is_written_at_a_moment_that_was_told() {
        let d = deployment();
        let told = d.now().await.unwrap();
        assert!(d.create_table(&table("t")).unwrap() > told);
    }

    #[test]
    fn a_table_created_again_is_another_tablet_with_another_number() {
        let d = deployment();
        let insert = || d.transaction(|tx| tx.insert(&table("t"), fields(1))).unwrap().1;
        let first = table_number(&insert()).unwrap();
        d.drop_table(&table("t")).unwrap();
        assert_eq!((first, table_number(&insert()).unwrap()), (10_001, 10_002));
    }

    #[test]
    fn the_same_seed_makes_the_same_deployment() {
        let build = |seed| {
            let d = SimulatedDeployment::with_clock("test", seed, || Timestamp(1_795_434_575_000_000_000));
            let options = SimulateOptions { seed, ..SimulateOptions::default() };
            d.insert_all(options.contents.documents(seed).unwrap()).unwrap();
            let mut writer = SeededWriter::new(seed);
            for _ in 0..50 {
                writer.write(&d).unwrap();
            }
            d.revisions()
        };
        assert_eq!(build(4), build(4));
        assert_ne!(build(4), build(5));
    }
}
