//! One transaction of a [`SimulatedDeployment`](super::SimulatedDeployment).

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{
    id::{new_document_id, table_number},
    state::{Fields, LogEntry, State},
};
use crate::{
    document::{Revision, TableRef, Timestamp, Value},
    error::{Error, Result},
};

/// Writes that become visible together, at one `_ts`. A document written twice appears in the log once, as it was last; one
/// that was inserted and deleted appears as a tombstone.
pub struct OpenTransaction<'a> {
    state: &'a mut State,
    ts: Timestamp,
    /// By table and `_id`; `None` is a deletion.
    pending: BTreeMap<(usize, String), Option<Fields>>,
    inserted: u32,
    dropped: Vec<usize>,
    activated: Vec<usize>,
    hidden: usize,
}

/// A document that is to be inserted, looked through.
pub(super) struct NewDocument {
    /// The `_id` and the table number in it, if they were given.
    given: Option<(String, u32)>,
    created: Option<f64>,
    fields: Fields,
}

impl NewDocument {
    /// # Errors
    /// Usage, if Convex would not take it into any table.
    pub(super) fn of(mut fields: Fields) -> Result<Self> {
        let given = match fields.remove("_id") {
            Some(Value::String(id)) => match table_number(&id) {
                Some(number) => Some((id, number)),
                None => return Err(Error::usage(format!("`{}` is no document id of Convex", id.escape_debug()))),
            },
            Some(_) => return Err(Error::usage("`_id` must be a string")),
            None => None,
        };
        let created = match fields.remove("_creationTime") {
            Some(Value::Float64(ms)) if ms.is_finite() && ms > 0.0 => Some(ms),
            Some(_) => return Err(Error::usage("`_creationTime` must be a positive float64: milliseconds")),
            None => None,
        };
        check_names(&fields)?;
        Ok(Self { given, created, fields })
    }

    /// The `_id`, if it was given.
    pub(super) fn id(&self) -> Option<&str> {
        self.given.as_ref().map(|(id, _)| id.as_str())
    }

    /// The number of the table that the `_id` belongs to.
    pub(super) fn number(&self) -> Option<u32> {
        self.given.as_ref().map(|(_, number)| *number)
    }
}

impl<'a> OpenTransaction<'a> {
    pub(crate) fn new(state: &'a mut State, ts: Timestamp) -> Self {
        Self { state, ts, pending: BTreeMap::new(), inserted: 0, dropped: Vec::new(), activated: Vec::new(), hidden: 0 }
    }

    /// The `_ts` of everything that this transaction writes.
    pub fn ts(&self) -> Timestamp {
        self.ts
    }

    /// Makes a table without documents, unless it exists.
    pub fn create_table(&mut self, table: &TableRef) -> Result<()> {
        self.find_or_create(table, None).map(|_| ())
    }

    /// Drops a table when the transaction ends.
    ///
    /// # Errors
    /// Usage, if there is no such table.
    pub fn drop_table(&mut self, table: &TableRef) -> Result<()> {
        self.write_hidden_rows(1);
        self.dropped.push(self.index_of(table)?);
        Ok(())
    }

    /// Inserts a document, and its table where that is new; answers the `_id`. `_id` and `_creationTime` (float64, ms)
    /// may be given.
    ///
    /// # Errors
    /// Usage, if Convex would not take the document: a field with a leading `_`, an `_id` of another table or in use.
    pub fn insert(&mut self, table: &TableRef, fields: Fields) -> Result<String> {
        let document = NewDocument::of(fields)?;
        let index = self.find_or_create(table, document.number())?;
        self.insert_into(index, document)
    }

    /// Inserts a document into the table of that index.
    ///
    /// # Errors
    /// Usage, if its `_id` is of another table or in use.
    pub(super) fn insert_into(&mut self, index: usize, document: NewDocument) -> Result<String> {
        let NewDocument { given, created, mut fields } = document;
        // Convex takes it when the function begins, a little before the commit.
        let now = self.ts.0 as f64 / 1e6 - 1.0 + f64::from(self.inserted) * 0.001;
        let (table, number) = (&self.state.tables[index].tablet.table, self.state.tables[index].number);
        let id = match given {
            Some((id, given)) if given == number => id,
            Some((id, _)) => return Err(Error::usage(format!("`{id}` is no id of table {table}"))),
            None => new_document_id(number, self.ts, &mut self.state.rng),
        };
        if self.live(index, &id).is_some() {
            return Err(Error::usage(format!("Cannot create document with _id {id} that already exists")));
        }
        self.inserted += 1;
        fields.insert("_id".to_owned(), Value::String(id.clone()));
        fields.insert("_creationTime".to_owned(), Value::Float64(created.unwrap_or(now)));
        self.pending.insert((index, id.clone()), Some(fields));
        Ok(id)
    }

    /// Replaces the content of a document; it keeps `_id` and `_creationTime`, whatever `fields` says of them.
    ///
    /// # Errors
    /// Usage, if there is no such document, or Convex would not take the fields.
    pub fn replace(&mut self, table: &TableRef, id: &str, mut fields: Fields) -> Result<()> {
        let index = self.index_of(table)?;
        let old = self.live(index, id).ok_or_else(|| no_document(table, id))?;
        let kept: Vec<_> = ["_id", "_creationTime"].iter().filter_map(|name| old.get_key_value(*name)).collect();
        let kept: Vec<(String, Value)> = kept.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        fields.remove("_id");
        fields.remove("_creationTime");
        check_names(&fields)?;
        fields.extend(kept);
        self.pending.insert((index, id.to_owned()), Some(fields));
        Ok(())
    }

    /// Deletes a document.
    ///
    /// # Errors
    /// Usage, if there is no such document.
    pub fn delete(&mut self, table: &TableRef, id: &str) -> Result<()> {
        let index = self.index_of(table)?;
        self.live(index, id).ok_or_else(|| no_document(table, id))?;
        self.pending.insert((index, id.to_owned()), None);
        Ok(())
    }

    /// A live document as this transaction sees it, with `_id` and `_creationTime`.
    pub fn get(&self, table: &TableRef, id: &str) -> Option<&Fields> {
        self.live(*self.state.names.get(table)?, id)
    }

    /// Adds rows of system tables to the log: counted by document_deltas, never shown.
    pub fn write_hidden_rows(&mut self, rows: usize) {
        self.hidden += rows;
    }

    /// The first live document at or after `id` that this transaction has not touched, else the first of all.
    pub(crate) fn document_near(&self, table: &TableRef, id: &str) -> Option<Arc<Revision>> {
        let index = *self.state.names.get(table)?;
        let table = &self.state.tables[index];
        let untouched = |id: &str| !self.pending.contains_key(&(index, id.to_owned()));
        let mut at_or_after =
            table.documents.range::<str, _>((Bound::Included(id), Bound::Unbounded)).chain(&table.documents);
        at_or_after.find_map(|(id, revisions)| {
            revisions.last().filter(|newest| newest.document.is_some() && untouched(id)).cloned()
        })
    }

    /// The names and numbers of the tables that exist, sorted by name.
    pub(crate) fn tables(&self) -> Vec<(TableRef, u32)> {
        let names = self.state.names.iter();
        names.map(|(name, index)| (TableRef::clone(name), self.state.tables[*index].number)).collect()
    }

    pub(crate) fn index_of(&self, table: &TableRef) -> Result<usize> {
        self.state.names.get(table).copied().ok_or_else(|| Error::usage(format!("there is no table {table}")))
    }

    /// What the deployment holds, as it was before this transaction but for new tables.
    pub(super) fn state(&mut self) -> &mut State {
        self.state
    }

    /// Makes a hidden table: a row of `_tables` and two of `_index`, like any new one.
    pub(super) fn create_hidden(&mut self, table: &TableRef, number: u32) -> Result<usize> {
        check_table(table)?;
        self.write_hidden_rows(3);
        Ok(self.state.add(table, number, self.ts))
    }

    /// Lets a hidden table take the place of the one of its name when the transaction ends.
    pub(super) fn activate(&mut self, index: usize) {
        self.write_hidden_rows(1);
        let old = self.state.names.get(&self.state.tables[index].tablet.table);
        if let Some(old) = old.filter(|old| !self.dropped.contains(old)) {
            self.dropped.push(*old);
        }
        self.activated.push(index);
    }

    /// Puts everything into the state; called once, at the end.
    pub(crate) fn commit(self) {
        let Self { state, ts, pending, dropped, activated, hidden, .. } = self;
        state.log.extend((0..hidden).map(|_| LogEntry { ts, change: None }));
        let mut rows: Vec<_> = pending.into_iter().collect();
        rows.sort_by(|((a, a_id), _), ((b, b_id), _)| {
            (state.tables[*a].tablet.id, a_id).cmp(&(state.tables[*b].tablet.id, b_id))
        });
        for ((index, id), document) in rows {
            let revision = Arc::new(Revision { id: id.clone(), ts, document });
            state.tables[index].documents.entry(id).or_default().push(Arc::clone(&revision));
            state.log.push(LogEntry { ts, change: Some((index, revision)) });
        }
        for index in dropped {
            state.tables[index].dropped = Some(ts);
            state.names.retain(|_, named| *named != index);
        }
        for index in activated {
            let table = &mut state.tables[index];
            table.activated = Some(ts);
            state.names.insert(Arc::clone(&table.tablet.table), index);
        }
    }

    fn live(&self, index: usize, id: &str) -> Option<&Fields> {
        match self.pending.get(&(index, id.to_owned())) {
            Some(pending) => pending.as_ref(),
            None => self.state.tables[index].documents.get(id)?.last()?.document.as_ref(),
        }
    }

    pub(super) fn find_or_create(&mut self, table: &TableRef, number: Option<u32>) -> Result<usize> {
        if let Some(index) = self.state.names.get(table) {
            return Ok(*index);
        }
        check_table(table)?;
        // A new table is a row of `_tables` and two of `_index`.
        self.write_hidden_rows(3);
        self.state.create(table, number, self.ts)
    }
}

fn no_document(table: &TableRef, id: &str) -> Error {
    Error::usage(format!("there is no document `{}` in table {table}", id.escape_debug()))
}

fn check_table(table: &TableRef) -> Result<()> {
    if table.name().starts_with('_') {
        return Err(Error::usage(format!("`{table}` would be a system table: names do not begin with `_`")));
    }
    Ok(())
}

fn check_names(fields: &Fields) -> Result<()> {
    match fields.keys().find(|name| name.starts_with(['_', '$'])) {
        Some(name) => Err(Error::usage(format!("Convex takes no field named `{}`", name.escape_debug()))),
        None => Ok(()),
    }
}
