//! [`Damage`]: the rows of data files that could not be read and were left out, because the user said so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

use crate::{
    data::StoredFile,
    document::{TableRef, Timestamp, time_text},
    error::Error,
    selection::Selection,
};

/// A data file of which not all could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedFile {
    /// Its table.
    pub table: TableRef,
    /// Its path inside the archive.
    pub path: String,
    /// Revisions of it that could not be read. 0, if all could, though it is not the file that was written.
    pub lost: u64,
    /// All revisions that it should hold.
    pub rows: u64,
    /// The smallest `_ts` in it, nanoseconds.
    #[serde(serialize_with = "time_text::one")]
    pub from: Timestamp,
    /// The largest `_ts` in it, nanoseconds.
    #[serde(serialize_with = "time_text::one")]
    pub to: Timestamp,
    /// What is wrong with it.
    pub why: String,
}

/// The list of what readers left out. Its clones are one list.
#[derive(Debug, Clone, Default)]
pub struct Damage(Arc<Mutex<BTreeMap<String, DamagedFile>>>);

impl Damage {
    /// Itself for a table that is among `accepted`; None for others: then damage is an error.
    pub(crate) fn of(&self, table: &TableRef, accepted: Option<&Selection>) -> Option<Self> {
        accepted.filter(|accepted| accepted.contains(table)).map(|_| self.clone())
    }

    /// What was found so far, sorted by path; each file once, with the most that some reader could not read of it.
    pub fn files(&self) -> Vec<DamagedFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn add(&self, file: &StoredFile, lost: u64, why: &Error) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.entry(file.path.clone()).or_insert_with(|| DamagedFile {
            table: (*file.table).clone(),
            path: file.path.clone(),
            lost,
            rows: file.rows,
            from: file.min_ts,
            to: file.max_ts,
            why: why.to_string(),
        });
        known.lost = known.lost.max(lost);
    }
}
