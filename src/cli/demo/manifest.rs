//! `manifest.json` as a script would read it: only the members that it needs.

use std::{fs, path::Path};

use convex_archiver::{Error, Result, TableRef, layout};
use serde::{Deserialize, Serialize};

use super::{super::units::counted, say::failed};

/// Files of a table that are shown.
const FILES: usize = 2;

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
    tables: Vec<TableEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct TableEntry {
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
    let text = fs::read(&path).map_err(|e| failed(&path, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::internal("manifest.json is not what was written: report it").with_source(e))
}

impl Manifest {
    /// One table and two files of it, a file a line.
    pub(super) fn shortened(&self) -> Result<String> {
        let mut shown = self.clone();
        shown.tables.truncate(1);
        let mut left = 0;
        for table in &mut shown.tables {
            left = table.files.len().saturating_sub(FILES) as u64;
            table.files.truncate(FILES);
        }
        let text = serde_json::to_string_pretty(&shown)
            .map_err(|e| Error::internal("cannot spell the manifest: report it").with_source(e))?;
        let (files, tables) = (counted(left, "more file"), counted(self.tables.len() as u64 - 1, "more table"));
        Ok(format!(
            "{text}\n(and {files} of this table, {tables}; of each table its folder and columns, of each file its digest)\n"
        ))
    }
}
