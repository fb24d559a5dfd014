//! Which data files of a table count for what.

use std::{ops::RangeInclusive, sync::Arc};

use object_store::ObjectStore;

use crate::{
    archive::{Archive, Base, Head, LiveFiles, Schemas},
    data::{DataFile, FileReader, StoredFile, WantedRows},
    document::{Encoding, TableRef, Timestamp},
    error::Result,
    position::BaseId,
    schema::TableSchema,
};

/// What readers need of a data file: some 500 bytes, so that those of a table can be held.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) file: StoredFile,
    base: Option<BaseId>,
    /// The least and the largest `_id`; None, if they were erased.
    pub(crate) ids: Option<(String, String)>,
    pub(crate) ids_ascend: bool,
    /// The encoding in which its documents came.
    pub(crate) encoding: Encoding,
}

impl Part {
    pub(crate) fn new(file: DataFile, table: &Arc<TableRef>) -> Self {
        Self {
            file: StoredFile::new(&file, Arc::clone(table)),
            base: file.base,
            ids: file.min_id.zip(file.max_id),
            ids_ascend: file.ids_ascend,
            encoding: file.encoding,
        }
    }

    /// A reader of its rows.
    pub(crate) async fn open(&self, store: Arc<dyn ObjectStore>, wanted: &WantedRows) -> Result<FileReader> {
        FileReader::open_stored(store, self.file.clone(), wanted).await
    }

    /// Whether it is a delta file with rows of these moments.
    pub(crate) fn has_deltas(&self, of: &RangeInclusive<Timestamp>) -> bool {
        self.base.is_none() && self.file.min_ts <= *of.end() && *of.start() <= self.file.max_ts
    }

    /// Whether all its rows are of these moments.
    pub(crate) fn is_within(&self, moments: &RangeInclusive<Timestamp>) -> bool {
        moments.contains(&self.file.min_ts) && moments.contains(&self.file.max_ts)
    }

    /// Of two rows with one `_id` and `_ts` that of the larger file counts: one that came with types. Otherwise they are
    /// equal.
    pub(crate) fn seniority(&self) -> (bool, &str) {
        (self.encoding != Encoding::Json, &self.file.path)
    }

    /// Whether it may hold a document of this id.
    pub(crate) fn may_hold(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|(least, largest)| least.as_str() <= id && id <= largest.as_str())
    }

    /// Whether it belongs to this base.
    pub(crate) fn is_of(&self, base: &Base) -> bool {
        self.base.as_ref() == Some(&base.id)
    }

    /// The base that it belongs to.
    pub(crate) fn base(&self) -> Option<&BaseId> {
        self.base.as_ref()
    }
}

/// The base of this id, if it is complete, holds the table, and its files are to be seen.
pub(crate) fn complete_base<'a>(head: &'a Head, id: &BaseId, table: &TableRef) -> Option<&'a Base> {
    let coverage = head.coverage();
    coverage.bases.iter().find(|base| base.id == *id && coverage.shows(base, table))
}

/// The live files of one table.
#[derive(Debug, Clone)]
pub struct TableFiles {
    /// The table.
    pub table: TableRef,
    /// Its newest columns.
    pub schema: Arc<TableSchema>,
    pub(crate) parts: Arc<[Part]>,
}

/// The live files of one table after another, in the order of tables: one look at the list for all of them.
pub struct FilesByTable {
    head: Head,
    schemas: Schemas,
    live: LiveFiles,
    next: Option<DataFile>,
}

impl FilesByTable {
    /// The files that live at `head`.
    pub async fn open(archive: &Archive, head: &Head) -> Result<Self> {
        let mut live = archive.live_files(head).await?;
        let next = live.next().await?;
        Ok(Self { head: head.clone(), schemas: archive.schemas().clone(), live, next })
    }

    /// The files of the next table that has any; None after the last.
    pub async fn next(&mut self) -> Result<Option<TableFiles>> {
        let Some(first) = self.next.take() else { return Ok(None) };
        let table = first.table.clone();
        let shared = Arc::new(table.clone());
        let mut parts = vec![Part::new(first, &shared)];
        while let Some(file) = self.live.next().await? {
            if file.table != table {
                self.next = Some(file);
                break;
            }
            parts.push(Part::new(file, &shared));
        }
        with_schema(&self.head, &self.schemas, table, parts).await.map(Some)
    }

    /// The files of `table`, perhaps none. Tables are asked for in their order; those between are passed over.
    pub async fn of(&mut self, table: &TableRef) -> Result<TableFiles> {
        while self.next.as_ref().is_some_and(|file| file.table < *table) {
            self.next = self.live.next().await?;
        }
        let is_next = self.next.as_ref().is_some_and(|file| file.table == *table);
        let files = if is_next { self.next().await? } else { None };
        match files {
            Some(files) => Ok(files),
            None => with_schema(&self.head, &self.schemas, table.clone(), Vec::new()).await,
        }
    }
}

async fn with_schema(head: &Head, schemas: &Schemas, table: TableRef, parts: Vec<Part>) -> Result<TableFiles> {
    let schema = match head.table(&table) {
        Some(state) => schemas.of(head, state).await?,
        None => Arc::new(TableSchema::empty()),
    };
    Ok(TableFiles { table, schema, parts: parts.into() })
}

impl TableFiles {
    /// The live files of one table. For many tables: [`FilesByTable`].
    pub async fn of(archive: &Archive, head: &Head, table: &TableRef) -> Result<Self> {
        let mut live = archive.live_files_of(head, table).await?;
        let (mut parts, shared) = (Vec::new(), Arc::new(table.clone()));
        while let Some(file) = live.next().await? {
            parts.push(Part::new(file, &shared));
        }
        Ok(Self { table: table.clone(), schema: archive.schema(head, table).await?, parts: parts.into() })
    }

    /// Those of changes.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.base.is_none())
    }

    /// Those of which the state at `at` is made, which `base` serves.
    pub(crate) fn of_state<'a>(&'a self, base: &'a Base, at: Timestamp) -> impl Iterator<Item = &'a Part> + 'a {
        let moments = Timestamp(base.ts.0.saturating_add(1))..=at;
        self.parts.iter().filter(move |part| part.is_of(base) || (at > base.ts && part.has_deltas(&moments)))
    }

    /// The first moment of which they tell: S of the first complete base with a document, or the first change.
    pub fn first(&self, head: &Head) -> Option<Timestamp> {
        let moments = self.parts.iter().filter_map(|part| match &part.base {
            None => Some(part.file.min_ts),
            Some(id) => complete_base(head, id, &self.table).map(|base| base.ts),
        });
        moments.min()
    }
}
