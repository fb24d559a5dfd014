//! What was exported.

use serde::Serialize;

use super::options::ExportFormat;
use crate::{
    document::{TableRef, Timestamp, time_text},
    monitor::FindingCounts,
    rows::{damage::DamagedFile, doubt::DoubtedTable, generations::Generation},
};

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// The moment, the same for all tables.
    #[serde(serialize_with = "time_text::one")]
    pub as_of: Timestamp,
    /// Its `_ts`, as text: 19 digits do not survive JavaScript.
    pub as_of_ts: String,
    /// The format of the files.
    pub format: ExportFormat,
    /// The tables, in their order.
    pub tables: Vec<ExportedTable>,
    /// Data files of which not all could be read, and that was accepted: documents are missing, or as they were before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedFile>,
    /// Tables of which the archive may show something else than the deployment held at the moment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubted: Vec<DoubtedTable>,
    /// What was told to the monitor, by kind.
    pub findings: FindingCounts,
}

impl ExportReport {
    /// Whether something speaks against a table at the moment: it was exported because that was accepted.
    pub fn is_doubted(&self) -> bool {
        self.doubted.iter().any(|doubted| !doubted.unwatched)
    }
}

/// A table of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedTable {
    /// The table.
    pub table: TableRef,
    /// The folder of its files.
    pub folder: String,
    /// Names of the files in it: one at least, also without documents.
    pub files: Vec<String>,
    /// Documents.
    pub documents: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Those of the documents that earlier tables of that name have left behind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<Generation>,
}
