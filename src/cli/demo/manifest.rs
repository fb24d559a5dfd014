//! `manifest.json` as a script would read it: only the members that it needs.

use std::{fs, path::Path};

use convex_archiver::{Error, Result, TableRef, layout};
use serde::{Deserialize, Serialize};

/// What is shown of it, in the order of the file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) version: u64,
    digest: String,
    phase: String,
    cursor: serde_json::Value,
    through: String,
    checked_at: String,
    caught_up: bool,
    bases: serde_json::Value,
    gaps: serde_json::Value,
    rows: u64,
    tombstones: u64,
    files: u64,
    bytes: u64,
    tables: Vec<Table>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Table {
    table: TableRef,
    rows: u64,
    tombstones: u64,
    files: Vec<File>,
}

#[derive(Clone, Serialize, Deserialize)]
struct File {
    path: String,
    rows: u64,
    tombstones: u64,
    min_ts: i64,
    max_ts: i64,
}

/// Reads the manifest of the archive in a folder.
pub(super) fn read(archive: &Path) -> Result<Manifest> {
    let path = archive.join(layout::MANIFEST);
    let text = fs::read(&path).map_err(|e| super::failed(&path, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::internal("manifest.json is not what was written: report it").with_source(e))
}

impl Manifest {
    /// The files of a table of the root component, relative to the archive.
    pub(super) fn files(&self, name: &str) -> Vec<&str> {
        let table = self.tables.iter().filter(|t| t.table.component().is_empty() && t.table.name() == name);
        table.flat_map(|t| &t.files).map(|f| f.path.as_str()).collect()
    }

    /// One table and two files of it, a file a line.
    pub(super) fn shortened(&self) -> Result<String> {
        let mut shown = self.clone();
        shown.tables.truncate(1);
        let table = shown.tables.first_mut();
        let (files_left, tables_left) = (table.as_ref().map_or(0, |t| t.files.len().saturating_sub(2)), self.tables.len() - 1);
        if let Some(table) = table {
            table.files.truncate(2);
        }
        let text = serde_json::to_string_pretty(&shown)
            .map_err(|e| Error::internal("cannot spell the manifest: report it").with_source(e))?;
        Ok(format!("{text}\n(and {files_left} more files of this table, {tables_left} more tables, their columns, folders and digests)\n"))
    }
}
