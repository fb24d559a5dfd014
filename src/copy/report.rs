//! What became of a copy, for people and for scripts.

use serde::Serialize;

use crate::document::TableRef;

/// Problems that are kept; more are counted.
const KEPT: usize = 1_000;

/// What a copy did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// The version of the source that was copied: the newest one when the copy began.
    pub version: u64,
    /// SHA-256 of its commit. The destination has the same once the copy is complete.
    pub digest: String,
    /// The version that the destination had before; absent, if there was no archive.
    pub before: Option<u64>,
    /// Whether the destination is at `version` now.
    pub complete: bool,
    /// Data files.
    pub files: CopiedFiles,
    /// Commits, schemas and the header.
    pub log: CopiedLog,
    /// What could not be copied; a thousand at most.
    pub problems: Vec<CopyProblem>,
    /// How many problems there are.
    pub problem_count: u64,
    /// How often it began again because a vacuum of the source had deleted a file that a newer version no longer needs.
    pub restarts: u32,
}

/// Data files of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopiedFiles {
    /// Files that were copied, or would be.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Files that an interrupted copy had left in the destination, and that have the digest that they should. A plan compares their size only.
    pub present: u64,
    /// Their bytes.
    pub present_bytes: u64,
}

/// Objects of the log of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopiedLog {
    /// Objects that were copied, or would be.
    pub copied: u64,
    /// Objects that an interrupted copy had left in the destination, with the same bytes.
    pub present: u64,
}

/// Something that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyProblem {
    /// Where the object is wrong.
    pub side: CopySide,
    /// The path of the object inside the archive.
    pub object: String,
    /// The table, if it is a data file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableRef>,
    /// What is wrong, and what to do.
    pub what: String,
}

/// One of the two archives of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CopySide {
    /// The archive that is copied.
    Source,
    /// The copy.
    Destination,
}

impl CopyReport {
    pub(super) fn add(&mut self, problem: CopyProblem) {
        self.problem_count += 1;
        if self.problems.len() < KEPT {
            self.problems.push(problem);
        }
    }
}

impl CopyProblem {
    pub(super) fn new(side: CopySide, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { side, object: object.into(), table: None, what: what.into() }
    }

    /// An object of the destination that holds something else than that of the source.
    pub(super) fn differs(object: &str) -> Self {
        let what = format!(
            "{object} in the destination differs from that of the source, and is left as it is; delete it there and \
             run copy again"
        );
        Self::new(CopySide::Destination, object, what)
    }
}
