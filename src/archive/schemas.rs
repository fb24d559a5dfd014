//! The columns of tables, in objects beside the commits that brought them.
//!
//! They do not stand in the commits themselves: names of fields may be people's, and a commit can never be rewritten, but an
//! object beside it can be erased. Its name holds its digest, so a commit chains it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{
    commit::{TableEntry, digest, json_line, unreadable},
    head::{Head, tables::TableState},
    needs::PROGRAM,
};
use crate::{
    document::TableRef,
    error::{Error, Result},
    layout,
    schema::TableSchema,
    store::{self, PutNew},
};

/// Objects that are kept once they were read. One holds the schemas of one commit: mostly of few tables, of the first
/// commits of hundreds.
const KEPT: usize = 8;

/// An object of schemas.
#[derive(Serialize, Deserialize)]
struct Object {
    program: String,
    schemas: Vec<Schema>,
}

#[derive(Serialize, Deserialize)]
struct Schema {
    table: TableRef,
    schema: TableSchema,
}

type Known = BTreeMap<TableRef, Arc<TableSchema>>;
/// By digest, the one that was asked for last at the end.
type Kept = VecDeque<(String, Arc<Known>)>;

/// Reads and writes schemas. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Schemas {
    store: Arc<dyn ObjectStore>,
    kept: Arc<Mutex<Kept>>,
}

impl Schemas {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, kept: Arc::default() }
    }

    /// The newest schema of a table at `head`.
    ///
    /// # Errors
    /// NotFound, if it was erased. Corrupt, if the object that holds it is missing or damaged. Unsupported, if it has a type
    /// that this program does not know.
    pub async fn of(&self, head: &Head, table: &TableState) -> Result<Arc<TableSchema>> {
        let at = &table.schema;
        if at.version == 0 {
            return Ok(Arc::new(TableSchema::empty()));
        }
        let path = layout::schemas(at.version, &at.digest);
        let known = match self.kept(&at.digest) {
            Some(known) => known,
            None => self.read(head, &path, &at.digest).await?,
        };
        let schema = known.get(&table.table).filter(|schema| schema.id == at.size.schema);
        schema.cloned().ok_or_else(|| {
            Error::corrupt(format!("{path} lacks schema {} of {}; restore it from a copy", at.size.schema, table.table))
        })
    }

    /// Puts the schemas of `tables` beside commit `version`, and returns their digest; None if none of them has one that
    /// `head` does not know.
    ///
    /// # Errors
    /// Internal, if a schema did not only grow.
    pub(super) async fn put(&self, head: &Head, version: u64, tables: &[TableEntry]) -> Result<Option<String>> {
        let mut schemas = Vec::new();
        for entry in tables {
            let known = match head.table(&entry.table) {
                Some(state) => Some(self.of(head, state).await?),
                None => None,
            };
            super::growth::check(known.as_deref(), &entry.schema).map_err(|why| {
                Error::internal(format!(
                    "the schema of {} changed in a way that is not an extension: {why}; nothing was written",
                    entry.table
                ))
            })?;
            if entry.schema.id > known.map_or(0, |known| known.id) {
                schemas.push(Schema { table: entry.table.clone(), schema: entry.schema.clone() });
            }
        }
        if schemas.is_empty() {
            return Ok(None);
        }
        schemas.sort_by(|a, b| a.table.cmp(&b.table));
        let bytes = json_line(&Object { program: PROGRAM.into(), schemas })?;
        let digest = digest(&bytes);
        // Its name says what it holds: one that exists is this one.
        let path = layout::schemas(version, &digest);
        match store::put_new(&self.store, &path, bytes.clone()).await? {
            PutNew::Created => {}
            PutNew::Exists if store::get(&self.store, &path).await?.as_ref() == Some(&bytes) => {}
            PutNew::Exists => {
                return Err(Error::corrupt(format!("the content of {path} does not match its name; delete it")));
            }
        }
        Ok(Some(digest))
    }

    /// All schemas in the object at `path`, which has this digest; nothing of it is kept.
    ///
    /// # Errors
    /// Corrupt, if it is missing or damaged. Unsupported, if it has a type that this program does not know.
    pub(super) async fn found(&self, path: &str, named: &str) -> Result<BTreeMap<TableRef, Arc<TableSchema>>> {
        match store::get(&self.store, path).await? {
            Some(bytes) => parse(path, &bytes, named),
            None => Err(Error::corrupt(format!("{path} is missing; restore it from a copy"))),
        }
    }

    fn kept(&self, digest: &str) -> Option<Arc<Known>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == digest)?;
        let found = kept.remove(at)?;
        let known = Arc::clone(&found.1);
        kept.push_back(found);
        Some(known)
    }

    async fn read(&self, head: &Head, path: &str, named: &str) -> Result<Arc<Known>> {
        let Some(bytes) = store::get(&self.store, path).await? else {
            return Err(if head.is_erased(named) {
                Error::not_found(format!("the columns in {path} were erased, so their values cannot be read"))
            } else {
                Error::corrupt(format!("{path} is missing; restore it from a copy"))
            });
        };
        let known = Arc::new(parse(path, &bytes, named)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((named.to_owned(), Arc::clone(&known)));
        Ok(known)
    }
}

fn parse(path: &str, bytes: &Bytes, named: &str) -> Result<Known> {
    if digest(bytes) != named {
        return Err(Error::corrupt(format!("{path} is damaged; restore it from a copy")));
    }
    let object: Object = serde_json::from_slice(bytes).map_err(|e| unreadable(path, bytes, e))?;
    Ok(object.schemas.into_iter().map(|known| (known.table, Arc::new(known.schema))).collect())
}
