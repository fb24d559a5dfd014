//! What the head knows of each table, and sums over its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{document::TableRef, schema::TableSchema};

use super::commit::{RemovedFile, TableEntry};

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table.
    pub table: TableRef,
    /// Its folder.
    pub folder: String,
    /// Its newest schema.
    pub schema: TableSchema,
    /// Live files of complete bases.
    pub base: Counts,
    /// Live delta files.
    pub delta: Counts,
    /// Files of the open walk: not yet visible to readers.
    #[serde(default, skip_serializing_if = "Counts::is_zero")]
    pub unfinished: Counts,
    /// Per field path, per kind of value: how many values that came did not fit. Decides about siblings; never lowered,
    /// and files that replace others do not count again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Sums over files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Rows, tombstones included.
    pub rows: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
}

impl TableState {
    pub(super) fn new(entry: &TableEntry) -> Self {
        Self {
            table: entry.table.clone(),
            folder: entry.folder.clone(),
            schema: entry.schema.clone(),
            base: Counts::default(),
            delta: Counts::default(),
            unfinished: Counts::default(),
            misfits: BTreeMap::new(),
        }
    }

    /// What readers see of it.
    pub fn visible(&self) -> Counts {
        self.base.plus(self.delta)
    }

    pub(super) fn count_misfits(&mut self, misfits: &BTreeMap<String, BTreeMap<String, u64>>) {
        for (path, kinds) in misfits {
            let sums = self.misfits.entry(path.clone()).or_default();
            for (kind, n) in kinds {
                let sum = sums.entry(kind.clone()).or_default();
                *sum = sum.saturating_add(*n);
            }
        }
    }
}

impl Counts {
    pub(super) fn of(file: &RemovedFile) -> Self {
        let RemovedFile { bytes, rows, tombstones, rescued_rows, .. } = *file;
        Self { files: 1, bytes, rows, tombstones, rescued_rows }
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The sum. Saturates: no archive holds 2^64 bytes.
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
            rows: self.rows.saturating_add(other.rows),
            tombstones: self.tombstones.saturating_add(other.tombstones),
            rescued_rows: self.rescued_rows.saturating_add(other.rescued_rows),
        }
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            files: self.files.checked_sub(other.files)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
            rows: self.rows.checked_sub(other.rows)?,
            tombstones: self.tombstones.checked_sub(other.tombstones)?,
            rescued_rows: self.rescued_rows.checked_sub(other.rescued_rows)?,
        })
    }
}

/// Tables are stored as a list: their key is no string.
pub(super) mod as_list {
    use std::{collections::BTreeMap, sync::Arc};

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{TableRef, TableState};

    pub(in crate::archive) fn serialize<S: Serializer>(
        tables: &BTreeMap<TableRef, Arc<TableState>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(tables.values().map(Arc::as_ref))
    }

    pub(in crate::archive) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<TableRef, Arc<TableState>>, D::Error> {
        let list = Vec::<TableState>::deserialize(d)?;
        Ok(list.into_iter().map(|t| (t.table.clone(), Arc::new(t))).collect())
    }
}
