//! What a run knows of each table: where it lives, its columns as they grow, and what the deployment says of its shape. The one
//! place that reads tables out of the head.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use crate::{
    archive::{Head, Schemas, TableEntry},
    codec::add_misfits,
    content::DigestShare,
    convex::{Page, Shapes},
    document::TableRef,
    error::Result,
    layout,
    position::{Scope, Walk},
    schema::{Misfits, TableSchema, misfits_by_path},
};

/// What a run knows of a table beside its rows.
#[derive(Debug)]
pub(super) struct KnownTable {
    pub(super) table: TableRef,
    pub(super) folder: String,
    pub(super) schema: TableSchema,
    /// As the manifest counts them, this run's commits included.
    pub(super) misfits: Misfits,
    /// The share of its documents that are summed as they come.
    pub(super) digest: DigestShare,
    /// Not yet in a commit.
    pub(super) changed: bool,
    /// What the deployment says of its documents, as JSON text.
    pub(super) shape: Option<String>,
}

/// The tables by number: looked up once a page, not once a document. What the archive knows of one is read when the first row of
/// it comes: most tables of a large deployment have none in a run.
pub(super) struct Tables {
    head: Head,
    schemas: Schemas,
    runtime: Handle,
    digest: DigestShare,
    numbers: BTreeMap<TableRef, usize>,
    folders: BTreeMap<TableRef, String>,
    list: Vec<KnownTable>,
    /// What the deployment says; the shape of each table that is in the list has moved there.
    shapes: Shapes,
}

impl Tables {
    /// Those of `head`, whose columns are read with the help of `runtime`.
    pub(super) fn of(head: &Head, schemas: Schemas, runtime: Handle, digest: DigestShare, shapes: Shapes) -> Self {
        Self {
            head: head.clone(),
            schemas,
            runtime,
            digest,
            numbers: BTreeMap::new(),
            folders: head.folders(),
            list: Vec::new(),
            shapes,
        }
    }

    /// The number of `table`, which may be new. Blocks, if its columns have to be read.
    fn number(&mut self, table: &TableRef) -> Result<usize> {
        if let Some(number) = self.numbers.get(table) {
            return Ok(*number);
        }
        let shape = self.take_shape(table);
        let known = match self.head.table(table) {
            Some(state) => {
                let schema = self.runtime.block_on(self.schemas.of(&self.head, state))?;
                KnownTable {
                    table: table.clone(),
                    folder: state.folder.clone(),
                    misfits: misfits_by_path(&state.misfits, &schema),
                    schema: schema.as_ref().clone(),
                    digest: self.digest,
                    changed: false,
                    shape,
                }
            }
            None => KnownTable {
                table: table.clone(),
                folder: layout::folder(table, &self.folders),
                schema: TableSchema::empty(),
                misfits: Misfits::new(),
                digest: self.digest,
                changed: true,
                shape,
            },
        };
        Ok(self.add(known))
    }

    /// The numbers of the page's tables; `None` for those that are not wanted.
    pub(super) fn numbers_of(&mut self, page: &Page, wanted: impl Fn(&TableRef) -> bool) -> Result<Vec<Option<usize>>> {
        page.tables.iter().map(|table| wanted(table).then(|| self.number(table)).transpose()).collect()
    }

    /// The head at which the pass began.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn get(&self, number: usize) -> &KnownTable {
        &self.list[number]
    }

    pub(super) fn get_mut(&mut self, number: usize) -> &mut KnownTable {
        &mut self.list[number]
    }

    /// Counts what did not fit in a file that is about to be committed.
    pub(super) fn count_misfits(&mut self, number: usize, misfits: &Misfits) {
        add_misfits(&mut self.list[number].misfits, misfits);
    }

    /// New tables, and tables whose schema has grown, since the last time.
    pub(super) fn take_changed(&mut self) -> Vec<TableEntry> {
        let changed = self.list.iter_mut().filter(|known| known.schema.id > 0 && known.changed);
        let entry = |known: &mut KnownTable| {
            known.changed = false;
            TableEntry::new(known.table.clone(), known.folder.clone(), None, known.schema.clone())
        };
        changed.map(entry).collect()
    }

    /// How many tables of `scope` the deployment has, if it lists them all.
    pub(super) fn listed(&self, scope: &Scope) -> Option<u64> {
        let tables = || self.shapes.tables.keys().filter(|table| scope.contains(table)).count() as u64;
        self.shapes.complete.then(tables)
    }

    fn take_shape(&mut self, table: &TableRef) -> Option<String> {
        self.shapes.tables.get_mut(table).and_then(Option::take)
    }

    fn add(&mut self, known: KnownTable) -> usize {
        self.numbers.insert(known.table.clone(), self.list.len());
        self.folders.insert(known.table.clone(), known.folder.clone());
        self.list.push(known);
        self.list.len() - 1
    }
}

/// The table in which an earlier run stopped `walk`: all before it are done.
pub(super) fn stopped_in(head: &Head, walk: &Walk) -> Option<TableRef> {
    let stopped = head.tables().find(|state| state.unfinished.files > 0 && !walk.done.contains(&state.table));
    stopped.map(|state| state.table.clone())
}
