//! Imports into a deployment: [`OpenImport`] fills hidden tables, and puts them in the place of the old ones at its end.
//!
//! What an import writes has a `_ts` before the moment at which it is seen in a snapshot, and what it replaces gets no
//! tombstones. Half done, failed or cancelled it shows all the same, in the change log alone. `serve` has none of this by
//! itself: a caller imports as it writes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    audit_log,
    deployment::{Database, SimulatedDeployment},
    state::{Fields, HIDDEN_FOR, State},
    transaction::NewDocument,
};
use crate::{
    document::{TableRef, Timestamp},
    error::{Error, Result},
};

/// What an import does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportMode {
    /// It is refused if one of its tables has documents; otherwise as [`Replace`](Self::Replace).
    RequireEmpty,
    /// It adds to the tables as they are, transaction by transaction.
    Append,
    /// It replaces its tables, all at one moment.
    Replace,
    /// It replaces its tables, and drops every other one, in every component.
    ReplaceAll,
}

/// An import that is under way. Several may be open at once.
///
/// A hidden table is made for each of its tables when it reaches that table, by [`insert`](Self::insert). It bears the
/// table's name, and the number that the documents' `_id`s tell, else the number of the table that it is to replace.
/// [`finish`](Self::finish) puts the hidden tables in the place of the old ones. Whatever else ends the import, the hidden
/// tables stay hidden until they are 14 days old by the deployment's clock, and then vanish. To drop it is to
/// [`cancel`](Self::cancel) it; it must not be dropped inside a transaction.
#[must_use = "dropping it cancels it"]
pub struct OpenImport {
    database: Arc<Database>,
    mode: ImportMode,
    tables: Vec<TableRef>,
    /// Indexes of the hidden tables that it has made.
    hidden: BTreeMap<TableRef, usize>,
    failed: bool,
}

impl SimulatedDeployment {
    /// Begins an import into these tables, which may be new.
    ///
    /// # Errors
    /// Usage, if a table is named twice, or would have to be empty and is not.
    pub fn begin_import(&self, mode: ImportMode, tables: &[TableRef]) -> Result<OpenImport> {
        if let Some(table) =
            tables.iter().enumerate().find_map(|(i, table)| tables[..i].contains(table).then_some(table))
        {
            return Err(Error::usage(format!("table {table} is named twice in one import")));
        }
        let state = self.state();
        let has_documents = |table: &&TableRef| {
            let table = state.names.get(*table).map(|index| &state.tables[*index]);
            table.is_some_and(|table| table.live_at(Timestamp(i64::MAX), None).next().is_some())
        };
        if mode == ImportMode::RequireEmpty
            && let Some(table) = tables.iter().find(has_documents)
        {
            return Err(Error::usage(format!("table {table} has documents: append to it or replace it")));
        }
        let database = Arc::clone(self.database());
        Ok(OpenImport { database, mode, tables: tables.to_vec(), hidden: BTreeMap::new(), failed: false })
    }

    /// Empties tables as `clear_tables` of the streaming import does: by an import of nothing in their place. Their documents
    /// get no tombstones.
    ///
    /// # Errors
    /// Usage, if a table is named twice.
    pub fn clear_tables(&self, tables: &[TableRef]) -> Result<Timestamp> {
        let (ts, _) = self.begin_import(ImportMode::Replace, tables)?.complete()?;
        self.state().audit_log.push(audit_log::cleared(ts));
        Ok(ts)
    }
}

impl OpenImport {
    /// Writes documents in one transaction, and answers its `_ts` and their `_id`s. `_id` and `_creationTime` may be given.
    /// The table is reached even if there are none.
    ///
    /// # Errors
    /// Usage, with what Convex says where that is known, if it would not take a document. Then nothing of this transaction is
    /// written, and the import has failed.
    pub fn insert(&mut self, table: &TableRef, documents: Vec<Fields>) -> Result<(Timestamp, Vec<String>)> {
        self.check_open()?;
        let inserted = self.write(table, documents);
        self.failed = inserted.is_err();
        inserted
    }

    fn write(&mut self, table: &TableRef, documents: Vec<Fields>) -> Result<(Timestamp, Vec<String>)> {
        if !self.tables.contains(table) {
            return Err(Error::usage(format!("the import was not begun with table {table}")));
        }
        let number = documents.first().and_then(|first| NewDocument::of(first.clone()).ok()?.number());
        if self.mode == ImportMode::Append {
            return self.append(table, number, documents);
        }
        let index = self.reach(table, number)?;
        self.database.transaction(|t| {
            documents.into_iter().map(|fields| t.insert_into(index, NewDocument::of(fields)?)).collect()
        })
    }

    fn append(
        &self,
        table: &TableRef,
        number: Option<u32>,
        documents: Vec<Fields>,
    ) -> Result<(Timestamp, Vec<String>)> {
        self.database.transaction(|t| {
            let ts = t.ts();
            if let Some(number) = number {
                check_number(t.state(), table, number)?;
            }
            let index = t.find_or_create(table, number)?;
            let insert = |fields| {
                let document = NewDocument::of(fields)?;
                let revisions = document.id().and_then(|id| t.state().tables[index].documents.get(id));
                let deleted = revisions.and_then(|all| all.last()).filter(|last| last.document.is_none());
                match deleted.filter(|deleted| deleted.ts.0.saturating_add(HIDDEN_FOR) > ts.0) {
                    Some(deleted) => {
                        Err(Error::usage(format!("Cannot recreate document with _id {} that was deleted", deleted.id)))
                    }
                    None => t.insert_into(index, document),
                }
            };
            documents.into_iter().map(insert).collect()
        })
    }

    /// The hidden table of that name; `number` if its documents tell one.
    fn reach(&mut self, table: &TableRef, number: Option<u32>) -> Result<usize> {
        if let Some(index) = self.hidden.get(table) {
            let mut state = self.database.state();
            let told = number.filter(|_| state.tables[*index].documents.is_empty());
            if let Some(number) = told.filter(|number| *number != state.tables[*index].number) {
                self.check_number(&state, table, number)?;
                state.tables[*index].number = number;
            }
            return Ok(*index);
        }
        let (_, index) = self.database.transaction(|t| {
            let state = t.state();
            let present = state.names.get(table).map(|index| state.tables[*index].number);
            if let Some(number) = number {
                self.check_number(state, table, number)?;
            }
            let number = number.or(present).unwrap_or_else(|| state.fresh_number(table));
            t.create_hidden(table, number)
        })?;
        self.hidden.insert(table.clone(), index);
        Ok(index)
    }

    /// # Errors
    /// Usage, if no table of this import may have that number.
    fn check_number(&self, state: &State, table: &TableRef, number: u32) -> Result<()> {
        let taken = |(other, index): (&TableRef, &usize)| {
            other.component() == table.component() && other != table && state.tables[*index].number == number
        };
        if let Some((other, _)) = self.hidden.iter().find(|of| taken(*of)) {
            return Err(conflict(table, other));
        }
        // Whoever has the number else will be dropped.
        if self.mode == ImportMode::ReplaceAll { Ok(()) } else { check_number(state, table, number) }
    }

    fn check_open(&self) -> Result<()> {
        if self.failed { Err(Error::usage("the import has failed before")) } else { Ok(()) }
    }

    /// Ends the import: one transaction in which the hidden tables become the tables of their names, and what they replace
    /// is dropped. Tables that were not reached yet are empty then. After [`ImportMode::Append`] there is nothing left to do.
    ///
    /// # Errors
    /// Usage, if the import has failed before, or if meanwhile another table has got the number of one of its tables.
    pub fn finish(mut self) -> Result<Timestamp> {
        let (ts, dropped) = self.complete()?;
        self.database.state().audit_log.push(audit_log::imported(ts, self.mode, &self.tables, &dropped));
        Ok(ts)
    }

    /// The moment, and the tables that were dropped besides.
    fn complete(&mut self) -> Result<(Timestamp, Vec<TableRef>)> {
        self.check_open()?;
        for table in self.tables.clone() {
            if self.mode != ImportMode::Append && !self.hidden.contains_key(&table) {
                self.reach(&table, None)?;
            }
        }
        let (ts, dropped) = self.database.transaction(|t| {
            for (table, index) in &self.hidden {
                let number = t.state().tables[*index].number;
                self.check_number(t.state(), table, number)?;
                t.activate(*index);
            }
            let mut others = Vec::new();
            if self.mode == ImportMode::ReplaceAll {
                others.extend(t.tables().into_iter().map(|(name, _)| name).filter(|name| !self.tables.contains(name)));
                others.iter().try_for_each(|name| t.drop_table(name))?;
            }
            Ok(others)
        })?;
        self.hidden.clear();
        Ok((ts, dropped))
    }

    /// Ends the import as a document does that Convex does not take: what was written stays in the hidden tables.
    pub fn fail(self) {}

    /// Ends the import as a user does: what was written stays in the hidden tables.
    pub fn cancel(self) {}
}

impl fmt::Debug for OpenImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, tables, hidden, failed, .. } = self;
        let mut import = f.debug_struct("OpenImport");
        import.field("mode", mode).field("tables", tables).field("hidden", hidden).field("failed", failed);
        import.finish_non_exhaustive()
    }
}

impl Drop for OpenImport {
    /// Leaves the hidden tables behind.
    fn drop(&mut self) {
        let mut state = self.database.state();
        let newest = state.newest;
        for index in self.hidden.values() {
            state.tables[*index].leave(newest);
        }
    }
}

/// # Errors
/// Usage, if another active table of the component has that number.
fn check_number(state: &State, table: &TableRef, number: u32) -> Result<()> {
    match state.table_of_number(table, number) {
        Some(other) => Err(conflict(table, &other.tablet.table)),
        None => Ok(()),
    }
}

fn conflict(table: &TableRef, other: &TableRef) -> Error {
    let (new, existing) = (table.name(), other.name());
    Error::usage(format!("New table `{new}` has IDs that conflict with existing table `{existing}`"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::{
        document::{Value, table_number},
        server::Deployment,
    };

    const BEGIN: i64 = 1_795_434_575_000_000_000;
    const DAY: i64 = 86_400_000_000_000;

    /// A deployment whose clock is moved by hand.
    fn deployment() -> (SimulatedDeployment, Arc<AtomicI64>) {
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let read = Arc::clone(&clock);
        (SimulatedDeployment::with_clock("test", 1, move || Timestamp(read.load(Ordering::SeqCst))), clock)
    }

    fn table(name: &str) -> TableRef {
        TableRef::new("", name).unwrap()
    }

    fn documents(n: std::ops::Range<i64>) -> Vec<Fields> {
        n.map(|n| [("n".to_owned(), Value::Int64(n))].into()).collect()
    }

    fn with_id(id: &str) -> Vec<Fields> {
        vec![[("_id".to_owned(), Value::String(id.to_owned()))].into()]
    }

    fn insert(d: &SimulatedDeployment, name: &str, n: std::ops::Range<i64>) -> Vec<String> {
        let documents = documents(n);
        d.transaction(|t| documents.into_iter().map(|fields| t.insert(&table(name), fields)).collect()).unwrap().1
    }

    /// What deltas after `after` show of a table: the `_ts`s.
    async fn told(d: &SimulatedDeployment, name: &str, after: Timestamp) -> Vec<Timestamp> {
        let log = d.log(after, d.now().await.unwrap(), usize::MAX).await.unwrap();
        let changes = log.rows.into_iter().filter_map(|row| row.change);
        changes.filter(|(of, _)| of.name() == name).map(|(_, revision)| revision.ts).collect()
    }

    /// What a snapshot shows of a table, or `None` if it does not know it; by every way to ask.
    async fn snapshot(d: &SimulatedDeployment, name: &str, at: Timestamp) -> Option<Vec<String>> {
        let tablets = d.tables(at).await.unwrap();
        let mut of_name = tablets.iter().filter(|tablet| tablet.table.name() == name);
        let state = d.state_at(at).remove(&table(name)).map(|documents| documents.into_keys().collect::<Vec<_>>());
        let walked = match of_name.next() {
            Some(tablet) => {
                let rows = d.documents(tablet, at, None, usize::MAX).await.unwrap();
                Some(rows.iter().map(|revision| revision.id.clone()).collect::<Vec<_>>())
            }
            None => None,
        };
        assert!(of_name.next().is_none(), "one table of a name");
        assert_eq!(state, walked);
        walked
    }

    async fn listed(d: &SimulatedDeployment) -> Vec<String> {
        let mut names: Vec<_> =
            d.shapes().await.unwrap().into_iter().map(|(table, _)| table.name().to_owned()).collect();
        names.sort();
        names
    }

    fn sorted(mut ids: Vec<String>) -> Vec<String> {
        ids.sort();
        ids
    }

    #[tokio::test]
    async fn what_an_import_writes_is_told_by_the_log_long_before_it_is_shown() {
        let (d, _) = deployment();
        let old = sorted(insert(&d, "t", 0..3));
        let before = d.now().await.unwrap();
        let mut import = d.begin_import(ImportMode::Replace, &[table("t"), table("new")]).unwrap();
        let (first, mut new) = import.insert(&table("t"), documents(10..12)).unwrap();
        let (second, more) = import.insert(&table("t"), documents(12..13)).unwrap();
        new.extend(more);
        import.insert(&table("new"), documents(0..1)).unwrap();
        let meanwhile = d.now().await.unwrap();
        assert_eq!(told(&d, "t", before).await, [first, first, second]);
        assert_eq!(told(&d, "new", before).await.len(), 1);
        assert_eq!(snapshot(&d, "t", meanwhile).await.unwrap(), old);
        assert_eq!((snapshot(&d, "new", meanwhile).await, listed(&d).await), (None, vec!["t".to_owned()]));
        assert_eq!(table_number(&old[0]), table_number(&new[0]));

        let flip = import.finish().unwrap();
        assert!(flip > second);
        // No tombstone, and the rows keep their `_ts`s; those of the old table are not told any more.
        assert_eq!(told(&d, "t", Timestamp(0)).await, [first, first, second]);
        assert_eq!(snapshot(&d, "t", flip).await.unwrap(), sorted(new));
        assert_eq!((snapshot(&d, "new", flip).await.unwrap().len(), listed(&d).await.len()), (1, 2));
        // The moment before stays as it was.
        assert_eq!(snapshot(&d, "t", meanwhile).await.unwrap(), old);
        assert_eq!(snapshot(&d, "new", meanwhile).await, None);
        assert_eq!(d.revisions().len(), 4);
        insert(&d, "t", 5..6);
        assert_eq!(told(&d, "t", flip).await.len(), 1);
    }

    #[tokio::test]
    async fn what_a_failed_or_cancelled_import_wrote_is_told_for_fourteen_days() {
        for end in [OpenImport::fail, OpenImport::cancel, drop] {
            let (d, clock) = deployment();
            let old = insert(&d, "t", 0..2);
            let before = d.now().await.unwrap();
            let mut import = d.begin_import(ImportMode::Replace, &[table("t"), table("never")]).unwrap();
            import.insert(&table("never"), documents(0..4)).unwrap();
            import.insert(&table("t"), documents(0..3)).unwrap();
            clock.fetch_add(DAY, Ordering::SeqCst);
            end(import);
            for (day, phantoms) in [(1, 3), (13, 3), (14, 0), (15, 0)] {
                clock.store(BEGIN + day * DAY + 1_000_000, Ordering::SeqCst);
                assert_eq!(told(&d, "t", before).await.len(), phantoms, "day {day}");
                assert_eq!(told(&d, "never", before).await.len(), if phantoms > 0 { 4 } else { 0 });
                let now = d.now().await.unwrap();
                assert_eq!(snapshot(&d, "t", now).await.unwrap(), sorted(old.clone()));
                assert_eq!((snapshot(&d, "never", now).await, listed(&d).await), (None, vec!["t".to_owned()]));
            }
            assert_eq!(told(&d, "t", Timestamp(0)).await.len(), 2);
            // The hidden table's name and number are not taken by it.
            insert(&d, "never", 0..1);
            assert_eq!(snapshot(&d, "never", d.now().await.unwrap()).await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_document_that_is_not_taken_fails_the_import_and_not_what_was_written_before() {
        let (d, _) = deployment();
        let odd = || vec![[("_odd".to_owned(), Value::Null)].into()];
        let mut import = d.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
        import.insert(&table("t"), documents(0..2)).unwrap();
        assert!(import.insert(&table("t"), [documents(2..4), odd()].concat()).is_err());
        assert!(import.insert(&table("t"), documents(2..4)).is_err());
        assert!(import.finish().is_err());
        assert_eq!((told(&d, "t", Timestamp(0)).await.len(), listed(&d).await.len()), (2, 0));
        let mut first_row = d.begin_import(ImportMode::Replace, &[table("u")]).unwrap();
        assert!(first_row.insert(&table("u"), odd()).is_err());
        let of = |name: &str| d.state().tables.iter().filter(|t| t.tablet.table.name() == name).count();
        assert_eq!(of("u"), 1, "the hidden table is there all the same");
        assert!(first_row.insert(&table("other"), Vec::new()).is_err());
    }

    #[tokio::test]
    async fn imports_that_are_open_at_once_do_not_see_each_other() {
        let (d, _) = deployment();
        insert(&d, "t", 0..1);
        let begin = || d.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
        let (mut a, mut b, mut c) = (begin(), begin(), begin());
        let (_, from_a) = a.insert(&table("t"), documents(10..12)).unwrap();
        let (_, from_b) = b.insert(&table("t"), documents(20..23)).unwrap();
        c.insert(&table("t"), documents(30..34)).unwrap();
        let first = b.finish().unwrap();
        c.cancel();
        let second = a.finish().unwrap();
        assert_eq!(snapshot(&d, "t", first).await.unwrap(), sorted(from_b));
        assert_eq!(snapshot(&d, "t", second).await.unwrap(), sorted(from_a));
        assert_eq!(told(&d, "t", Timestamp(0)).await.len(), 2 + 4);
    }

    #[tokio::test]
    async fn replace_all_drops_every_table_that_is_not_in_it() {
        let (d, _) = deployment();
        let (inner, number) = (TableRef::new("shop", "inner").unwrap(), table_number(&insert(&d, "alien", 0..1)[0]));
        d.create_table(&inner).unwrap();
        insert(&d, "t", 0..1);
        let elsewhere = SimulatedDeployment::new("other", 2);
        let id = insert(&elsewhere, "u", 0..1).remove(0);
        assert_eq!(table_number(&id), number);
        let refused = "New table `u` has IDs that conflict with existing table `alien`";
        for mode in [ImportMode::Replace, ImportMode::Append, ImportMode::RequireEmpty] {
            let mut import = d.begin_import(mode, &[table("u")]).unwrap();
            assert_eq!(import.insert(&table("u"), with_id(&id)).unwrap_err().to_string(), refused);
        }
        let mut import = d.begin_import(ImportMode::ReplaceAll, &[table("u"), table("t")]).unwrap();
        import.insert(&table("u"), with_id(&id)).unwrap();
        assert_eq!(listed(&d).await, ["alien", "inner", "t"]);
        let at = import.finish().unwrap();
        assert_eq!((listed(&d).await, d.state_at(at).len()), (vec!["t".to_owned(), "u".to_owned()], 2));
        assert_eq!(snapshot(&d, "t", at).await.unwrap(), [""; 0], "it was not reached, so it is empty");
        // The import before the flip is as before.
        assert_eq!(d.state_at(Timestamp(at.0 - 1)).len(), 3);
    }

    #[tokio::test]
    async fn clear_tables_replaces_by_nothing_and_leaves_no_tombstones() {
        let (d, _) = deployment();
        let number = table_number(&insert(&d, "t", 0..3)[0]).unwrap();
        let before = d.now().await.unwrap();
        let at = d.clear_tables(&[table("t")]).unwrap();
        assert_eq!(snapshot(&d, "t", at).await.unwrap(), [""; 0]);
        assert_eq!(snapshot(&d, "t", before).await.unwrap().len(), 3);
        assert_eq!(d.revisions().len(), 0);
        assert_eq!(table_number(&insert(&d, "t", 0..1)[0]), Some(number), "a replaced table keeps its number");
        d.drop_table(&table("t")).unwrap();
        assert!(table_number(&insert(&d, "t", 0..1)[0]) > Some(number), "a dropped one does not");
        assert!(d.clear_tables(&[table("t"), table("t")]).is_err());
    }

    #[tokio::test]
    async fn ids_that_are_given_tell_the_number_of_the_table() {
        let (d, _) = deployment();
        let old = insert(&d, "t", 0..2);
        d.transaction(|t| t.delete(&table("t"), &old[1])).unwrap();
        // The same ids, deleted ones too, are welcome in another tablet.
        let mut import = d.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
        for id in &old {
            import.insert(&table("t"), with_id(id)).unwrap();
        }
        assert!(import.insert(&table("t"), with_id(&old[0])).is_err());
        let mut import = d.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
        let both = old.iter().flat_map(|id| with_id(id)).collect();
        import.insert(&table("t"), both).unwrap();
        assert_eq!(snapshot(&d, "t", import.finish().unwrap()).await.unwrap(), sorted(old));
        // Another number, known only when the documents come.
        let elsewhere = SimulatedDeployment::new("other", 2);
        insert(&elsewhere, "x", 0..1);
        let id = insert(&elsewhere, "y", 0..1).remove(0);
        let mut import = d.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
        import.insert(&table("t"), Vec::new()).unwrap();
        import.insert(&table("t"), with_id(&id)).unwrap();
        assert_eq!(snapshot(&d, "t", import.finish().unwrap()).await.unwrap(), [id]);
    }

    #[tokio::test]
    async fn append_writes_to_the_table_and_never_brings_a_document_back() {
        let (d, clock) = deployment();
        let ids = insert(&d, "t", 0..2);
        d.transaction(|t| t.delete(&table("t"), &ids[0])).unwrap();
        let append = |id: &str| {
            let mut import = d.begin_import(ImportMode::Append, &[table("t")]).unwrap();
            import.insert(&table("t"), with_id(id)).map_err(|error| error.to_string())
        };
        let deleted = format!("Cannot recreate document with _id {} that was deleted", ids[0]);
        let living = format!("Cannot create document with _id {} that already exists", ids[1]);
        assert_eq!((append(&ids[0]), append(&ids[1])), (Err(deleted), Err(living.clone())));
        let before = d.now().await.unwrap();
        let mut import = d.begin_import(ImportMode::Append, &[table("t"), table("new")]).unwrap();
        let (first, _) = import.insert(&table("t"), documents(5..7)).unwrap();
        assert_eq!(snapshot(&d, "t", first).await.unwrap().len(), 3, "it is seen at once");
        let (second, _) = import.insert(&table("t"), documents(7..8)).unwrap();
        import.insert(&table("new"), documents(0..1)).unwrap();
        import.cancel();
        assert_eq!(told(&d, "t", before).await, [first, first, second]);
        assert_eq!(listed(&d).await, ["new", "t"]);
        // After two weeks nobody knows of the deletion.
        clock.fetch_add(15 * DAY, Ordering::SeqCst);
        assert_eq!(append(&ids[1]), Err(living));
        assert!(append(&ids[0]).is_ok());
    }

    #[tokio::test]
    async fn require_empty_is_refused_where_documents_are() {
        let (d, _) = deployment();
        let ids = insert(&d, "t", 0..1);
        assert!(d.begin_import(ImportMode::RequireEmpty, &[table("t")]).is_err());
        d.transaction(|t| t.delete(&table("t"), &ids[0])).unwrap();
        let mut import = d.begin_import(ImportMode::RequireEmpty, &[table("t")]).unwrap();
        import.insert(&table("t"), documents(0..2)).unwrap();
        assert_eq!(snapshot(&d, "t", import.finish().unwrap()).await.unwrap().len(), 2);
    }
}
