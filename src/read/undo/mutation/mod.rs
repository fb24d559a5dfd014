//! [`Batches`]: a folder with a mutation, what it is called with, and how to call it.
//!
//! ```text
//! README.txt                                 the commands
//! undo.ts                                    an internal mutation, for the folder `convex/` of the app
//! apply.mjs                                  calls it with batches that are too large for a command line
//! batches/00001.json                         {"table":…,"replace":[{"expected":…,"document":…}],"delete":[…]}
//! _components/waitlist/batches/00001.json    the same for a component
//! ```
//!
//! Values are in the encoding of Convex's functions, `convex_encoded_json`. `expected` is the document as the archive has it now:
//! the mutation replaces nothing that has become another since.
//!
//! # Why batches are small
//! A function takes 16 MiB of arguments and arrays of 8,192 items. But `npx convex run` takes them on the command line, where
//! Linux allows one argument 128 KiB. Only a document that is larger by itself makes a larger batch.

mod readme;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{options::UndoOptions, report::UndoReport};
use crate::{
    archive::{Archive, Head},
    document::TableRef,
    error::{Error, Result},
    read::restore::entries::component_folder,
    store::disk_error,
};

/// Bytes of a batch, unless one document is larger.
const BYTES: usize = 96 << 10;
/// Documents of a batch.
const DOCUMENTS: usize = 500;

/// A folder of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoBatches {
    /// The folder.
    pub folder: PathBuf,
    /// Batches: calls of the mutation.
    pub batches: u64,
    /// Those that are too large for a command line.
    pub large: u64,
    /// Documents that are replaced.
    pub replaced: u64,
    /// Documents that are deleted.
    pub deleted: u64,
}

/// A folder of batches on its way. Dropped before it is finished, it leaves nothing.
pub(super) struct Batches {
    output: PathBuf,
    partial: TempDir,
    held: Option<Batch>,
    written: UndoBatches,
    /// Of the component that is being written.
    component: String,
    of_component: u64,
    components: Vec<String>,
}

/// One call of the mutation.
struct Batch {
    table: TableRef,
    replace: String,
    delete: String,
    documents: usize,
}

impl Batches {
    /// Begins beside `output`.
    ///
    /// # Errors
    /// Usage, if there is something in it, or no folder that is to hold it; Resource, if that cannot be written to.
    pub(super) fn create(output: &Path) -> Result<Self> {
        let shown = output.display();
        refuse_other(output)?;
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            return Err(Error::usage(format!("the folder {} does not exist: create it first", parent.display())));
        }
        let partial = tempfile::Builder::new().prefix(".undo-").suffix(".partial").tempdir_in(parent);
        let partial = partial.map_err(|e| disk_error(e, &format!("cannot write {shown}")))?;
        let written = UndoBatches { folder: output.to_owned(), batches: 0, large: 0, replaced: 0, deleted: 0 };
        let (component, components) = (String::new(), Vec::new());
        Ok(Self { output: output.to_owned(), partial, held: None, written, component, of_component: 0, components })
    }

    /// Replaces a document, if it is as expected.
    pub(super) fn replace(&mut self, table: &TableRef, expected: &str, document: &str) -> Result<()> {
        self.written.replaced += 1;
        let change = format!("{{\"expected\":{expected},\"document\":{document}}}");
        self.add(table, &change, |batch| &mut batch.replace)
    }

    /// Deletes a document, if it is as expected.
    pub(super) fn delete(&mut self, table: &TableRef, expected: &str) -> Result<()> {
        self.written.deleted += 1;
        self.add(table, expected, |batch| &mut batch.delete)
    }

    fn add(&mut self, table: &TableRef, change: &str, list: impl Fn(&mut Batch) -> &mut String) -> Result<()> {
        let fits = |batch: &Batch| {
            batch.table == *table && batch.documents < DOCUMENTS && batch.bytes() + change.len() < BYTES
        };
        if self.held.as_ref().is_some_and(|batch| !fits(batch)) {
            self.write()?;
        }
        let batch = self.held.get_or_insert_with(|| Batch::new(table));
        batch.documents += 1;
        let list = list(batch);
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(change);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let Some(batch) = self.held.take() else { return Ok(()) };
        if self.component != batch.table.component() || self.written.batches == 0 {
            batch.table.component().clone_into(&mut self.component);
            self.components.push(self.component.clone());
            self.of_component = 0;
        }
        self.of_component += 1;
        self.written.batches += 1;
        let Batch { table, replace, delete, .. } = &batch;
        // Names are letters, digits and underscores.
        let text = format!("{{\"table\":\"{}\",\"replace\":[{replace}],\"delete\":[{delete}]}}\n", table.name());
        self.written.large += u64::from(text.len() >= BYTES);
        let name = format!("{}batches/{:05}.json", component_folder(table.component()), self.of_component);
        self.file(&name, &text)
    }

    fn file(&self, name: &str, text: &str) -> Result<()> {
        let failed = |e| disk_error(e, &format!("cannot write {}", self.output.display()));
        let path = self.partial.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = File::create_new(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Lets the folder appear.
    ///
    /// # Errors
    /// Usage, if something has appeared there meanwhile; Resource, if it cannot be written.
    pub(super) fn finish(
        mut self,
        archive: &Archive,
        head: &Head,
        options: &UndoOptions,
        report: &UndoReport,
    ) -> Result<UndoBatches> {
        self.write()?;
        self.file("undo.ts", include_str!("undo.ts"))?;
        self.file("apply.mjs", include_str!("apply.mjs"))?;
        let put_back = report.tables.iter().map(|table| table.put_back).sum();
        self.file("README.txt", &readme::text(archive, head, options, &self.written, put_back, &self.components))?;
        refuse_other(&self.output)?;
        let failed = |e| disk_error(e, &format!("cannot write {}", self.output.display()));
        #[cfg(unix)]
        {
            // A temporary folder is for its owner only; whoever may read this one is for the umask to say.
            let folder = self.partial.path().join("batches-mode");
            fs::create_dir(&folder).map_err(failed)?;
            let mode = fs::metadata(&folder).map_err(failed)?.permissions();
            fs::remove_dir(&folder).map_err(failed)?;
            fs::set_permissions(self.partial.path(), mode).map_err(failed)?;
        }
        let partial = self.partial.keep();
        if self.output.is_dir() {
            fs::remove_dir(&self.output).map_err(failed)?;
        }
        fs::rename(&partial, &self.output).map_err(|e| {
            // What cannot be removed either is told with its name.
            drop(fs::remove_dir_all(&partial));
            failed(e)
        })?;
        Ok(self.written)
    }
}

impl Batch {
    fn new(table: &TableRef) -> Self {
        Self { table: table.clone(), replace: String::new(), delete: String::new(), documents: 0 }
    }

    fn bytes(&self) -> usize {
        self.replace.len() + self.delete.len() + 128
    }
}

/// # Errors
/// Usage, if there is a file, or a folder with something in it.
fn refuse_other(output: &Path) -> Result<()> {
    let shown = output.display();
    let Ok(there) = fs::metadata(output) else { return Ok(()) };
    if !there.is_dir() {
        return Err(Error::usage(format!("{shown} is a file: name a folder that does not exist yet")));
    }
    let failed = |e| disk_error(e, &format!("cannot access {shown}"));
    match fs::read_dir(output).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(Error::usage(format!("{shown} already exists: name a folder that does not exist or is empty"))),
    }
}
