//! Whole tables at once: inserted, and the way from what a deployment holds to other documents.

use std::collections::{BTreeMap, BTreeSet};

use super::{deployment::SimulatedDeployment, load::Documents, state::Fields};
use crate::{
    codec::write_value,
    document::{Encoding, TableRef, Timestamp, Value},
    error::{Error, Result},
};

/// Documents written in one transaction, when many are.
const TRANSACTION: usize = 100;

/// One write.
enum Change {
    Insert(Fields),
    Replace(String, Fields),
    Delete(String),
}

/// What is left of the way to other documents: taken step by step, so that a server can answer in between.
pub(crate) struct Way(std::vec::IntoIter<(TableRef, Change)>);

impl Way {
    /// One transaction of it; `None` at the end.
    pub(crate) fn step(&mut self, deployment: &SimulatedDeployment) -> Result<Option<Timestamp>> {
        let changes: Vec<_> = self.0.by_ref().take(TRANSACTION).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        let (ts, ()) = deployment.transaction(|t| {
            for (table, change) in changes {
                match change {
                    Change::Insert(fields) => t.insert(&table, fields).map(|_| ())?,
                    Change::Replace(id, fields) if t.get(&table, &id).is_some() => t.replace(&table, &id, fields)?,
                    // Other writes go on between the steps, and may have deleted it.
                    Change::Replace(_, fields) => t.insert(&table, fields).map(|_| ())?,
                    Change::Delete(id) if t.get(&table, &id).is_some() => t.delete(&table, &id)?,
                    Change::Delete(_) => {}
                }
            }
            Ok(())
        })?;
        Ok(Some(ts))
    }
}

impl SimulatedDeployment {
    /// Inserts whole tables, a hundred documents a transaction. Tables without documents are made too.
    pub fn insert_all(&self, documents: Documents) -> Result<()> {
        // Where ids are given, they tell the numbers of tables: those without documents take what is left.
        let given = |documents: &Vec<Fields>| documents.first().is_some_and(|first| first.contains_key("_id"));
        let mut documents: Vec<_> = documents.into_iter().collect();
        if documents.iter().any(|(_, documents)| given(documents)) {
            documents.sort_by_key(|(_, documents)| documents.is_empty());
        }
        for (table, documents) in documents {
            if !given(&documents) {
                self.create_table(&table)?;
            }
            let mut documents = documents.into_iter().peekable();
            while documents.peek().is_some() {
                self.transaction(|t| {
                    documents.by_ref().take(TRANSACTION).try_for_each(|fields| t.insert(&table, fields).map(|_| ()))
                })?;
            }
        }
        Ok(())
    }

    /// Brings the deployment from what it holds to `wanted` with as few writes as there are differences: documents are the
    /// same if they agree in the field `by`. Answers the number of writes. Afterwards every table holds exactly what
    /// `wanted` says, tables that it does not name are empty.
    ///
    /// # Errors
    /// Usage, if a wanted document lacks the field, or two of a table have the same value in it.
    pub fn change_to(&self, wanted: Documents, by: &str) -> Result<usize> {
        let mut way = self.way_to(keyed(wanted, by)?, by);
        let writes = way.0.len();
        while way.step(self)?.is_some() {}
        Ok(writes)
    }

    pub(crate) fn way_to(&self, mut wanted: KeyedDocuments, by: &str) -> Way {
        let state = self.state_at(Timestamp(i64::MAX));
        let tables: BTreeSet<TableRef> = state.keys().chain(wanted.keys()).cloned().collect();
        let mut changes = Vec::new();
        for table in tables {
            let mut by_key = wanted.remove(&table).unwrap_or_default();
            // In the order of the keys, so that inserts, updates and deletes are mixed, and the order does not depend on ids.
            let mut of_table = Vec::new();
            for (id, revision) in state.get(&table).into_iter().flatten() {
                let Some(old) = &revision.document else { continue };
                let told_by = old.get(by).map(key).unwrap_or_default();
                match by_key.remove(&told_by) {
                    None => of_table.push((told_by, Change::Delete(id.clone()))),
                    Some(new) if content(&new).eq(content(old)) => {}
                    Some(new) => of_table.push((told_by, Change::Replace(id.clone(), new))),
                }
            }
            of_table.extend(by_key.into_iter().map(|(key, new)| (key, Change::Insert(new))));
            of_table.sort_by(|(a, _), (b, _)| a.cmp(b));
            changes.extend(of_table.into_iter().map(|(_, change)| (table.clone(), change)));
        }
        Way(changes.into_iter())
    }
}

/// Whole tables, each document under what it is told apart by.
pub(crate) type KeyedDocuments = BTreeMap<TableRef, BTreeMap<String, Fields>>;

/// Documents under their field `by`.
///
/// # Errors
/// Usage, if a document lacks the field, or two of a table have the same value in it.
pub(crate) fn keyed(documents: Documents, by: &str) -> Result<KeyedDocuments> {
    let mut tables = KeyedDocuments::new();
    for (table, documents) in documents {
        let mut by_key = BTreeMap::new();
        for document in documents {
            let Some(told_by) = document.get(by).map(key) else {
                return Err(Error::usage(format!("a document of table {table} has no field `{by}` to tell it by")));
            };
            if by_key.contains_key(&told_by) {
                return Err(Error::usage(format!("two documents of table {table} have {told_by} in field `{by}`")));
            }
            by_key.insert(told_by, document);
        }
        tables.insert(table, by_key);
    }
    Ok(tables)
}

/// What two documents are told apart by.
fn key(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, Encoding::ExportJson);
    text
}

/// The fields that are not the system's.
fn content(document: &Fields) -> impl Iterator<Item = (&String, &Value)> {
    document.iter().filter(|(name, _)| !name.starts_with('_'))
}
