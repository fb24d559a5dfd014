//! What is exported, and how.

use std::sync::Arc;

use derive_setters::Setters;
use object_store::ObjectStore;
use serde::Serialize;

use crate::{budget::MemoryBudget, document::Timestamp, selection::Selection};

/// What is exported, and how.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Where the files are written; it must be empty.
    pub target: Arc<dyn ObjectStore>,
    /// The moment.
    pub at: Timestamp,
    /// These tables.
    pub selection: Selection,
    /// The format of the files.
    pub format: ExportFormat,
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Tables of which the rows that cannot be read are left out, and listed. Otherwise damage is an error.
    pub accept_damage: Option<Selection>,
    /// Whether tables may be in doubt at the moment: the archive may show something else of them than the deployment held
    /// ([`doubted_at`](crate::read::doubted_at)). Otherwise that is an error, unless they are only
    /// [unwatched](crate::read::DoubtedTable::unwatched).
    pub accept_doubt: bool,
}

impl ExportOptions {
    /// All tables as they were at a moment.
    pub fn new(target: Arc<dyn ObjectStore>, format: ExportFormat, at: Timestamp) -> Self {
        Self {
            target,
            at,
            selection: Selection::default(),
            format,
            budget: MemoryBudget::default(),
            accept_damage: None,
            accept_doubt: false,
        }
    }
}

/// A format of plain files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Apache Parquet, zstd.
    Parquet,
    /// A document a line, as Convex exports it: 42 is an int64, 42.0 a float64.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
}

impl ExportFormat {
    /// What file names end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}
