//! [`StoredFile`]: what a reader must know of a data file, and what it says of one that is damaged.

use std::sync::Arc;

use super::{DataFile, Footer};
use crate::{
    document::{TableRef, Timestamp},
    error::Error,
};

/// What a reader must know of a data file: some 300 bytes, so that those of a table can be held.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub(crate) table: Arc<TableRef>,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(super) footer: Footer,
    pub(super) sha256: String,
    pub(crate) rows: u64,
    pub(crate) min_ts: Timestamp,
    pub(crate) max_ts: Timestamp,
}

impl From<&DataFile> for StoredFile {
    fn from(file: &DataFile) -> Self {
        Self::new(file, Arc::new(file.table.clone()))
    }
}

impl StoredFile {
    /// What a reader must know of `file`; the name of its table is shared.
    pub(crate) fn new(file: &DataFile, table: Arc<TableRef>) -> Self {
        Self {
            table,
            path: file.path.clone(),
            bytes: file.bytes,
            footer: file.footer,
            sha256: file.sha256.clone(),
            rows: file.rows,
            min_ts: file.min_ts,
            max_ts: file.max_ts,
        }
    }

    /// Nothing can be read of it, since it `is` missing or damaged.
    pub(super) fn lost(&self, is: &str) -> Error {
        let Self { table, path, rows, min_ts, max_ts, .. } = self;
        let revisions = if *rows == 1 { "revision" } else { "revisions" };
        Error::corrupt(format!(
            "the data file {path} {is}. It holds {rows} {revisions} of table {table}, _ts {} ({min_ts}) to {} ({max_ts}). Take it from a copy of \
             the archive (repair --from COPY); with --accept-damage {table}, restore and export leave out its \
             revisions",
            min_ts.0, max_ts.0
        ))
    }
}
