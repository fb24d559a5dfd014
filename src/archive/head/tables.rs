//! What the head knows of each table, and sums over its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    data::{DataFile, is_default},
    document::TableRef,
    sum::Sum,
};

use super::{
    super::commit::{RemovedFile, SchemaSize, TableEntry},
    base::{Comparison, Proven, Suspect, Suspicion},
};

/// What is known of a table. Its columns are not held: [`Archive::schema`](crate::archive::Archive::schema) reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table.
    pub table: TableRef,
    /// Its folder.
    pub folder: String,
    /// The number that its ids bear, once one was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Where its newest schema is written, and how large it is.
    #[doc(hidden)]
    pub schema: SchemaVersion,
    /// Live files of complete bases, withdrawn ones included.
    pub base: Counts,
    /// Live delta files.
    pub delta: Counts,
    /// Files of the open walk: not yet visible to readers.
    #[serde(default, skip_serializing_if = "Counts::is_zero")]
    pub unfinished: Counts,
    /// Per column, by its field id, or by its path where it has none, per kind of value: how many values that came did not
    /// fit ([`misfits_by_path`](crate::schema::misfits_by_path)). Decides about siblings; never lowered,
    /// and files that replace others do not count again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    /// When it was last compared with the deployment and equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Proven>,
    /// Why it may differ from the deployment now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspicion>,
    /// Its live files by month (first day): when they last changed, and what their lines sum up to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[doc(hidden)]
    pub months: BTreeMap<String, Month>,
}

/// Where a table's newest schema is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// What commits say of it.
    #[serde(flatten)]
    pub size: SchemaSize,
    /// The commit beside which it lies; 0 while the table has no columns of its own.
    pub version: u64,
    /// SHA-256 of the object that holds it.
    pub digest: String,
}

/// The live files of a table in one month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Month {
    /// The commit that last added or removed one.
    pub version: u64,
    /// How many there are, and the sum of their lines.
    #[serde(flatten)]
    pub lines: Sum,
    /// How many of them hold changes as a run brought them, not joined with others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fresh: u64,
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
            number: entry.number,
            schema: SchemaVersion { size: SchemaSize::default(), version: 0, digest: String::new() },
            base: Counts::default(),
            delta: Counts::default(),
            unfinished: Counts::default(),
            misfits: BTreeMap::new(),
            proven: None,
            suspect: None,
            months: BTreeMap::new(),
        }
    }

    /// It may differ from the deployment. What is suspected already stays so, from the earlier moment on; what is known of why counts more
    /// than that nobody watched.
    pub(super) fn doubt(&mut self, suspect: &Suspect) {
        let Suspect { after, why, .. } = suspect;
        match &mut self.suspect {
            Some(known) => {
                known.after = known.after.min(*after);
                if Suspect::is_vague(&known.why) {
                    known.why.clone_from(why);
                }
            }
            none => *none = Some(Suspicion { after: *after, why: why.clone() }),
        }
    }

    /// It was compared, and is equal.
    pub(super) fn prove(&mut self, comparison: &Comparison) {
        let Comparison { ts, depth, settles, .. } = *comparison;
        if self.proven.is_none_or(|known| known.ts <= ts) {
            self.proven = Some(Proven { ts, depth });
        }
        match &mut self.suspect {
            Some(suspect) if suspect.after <= ts => suspect.after = ts,
            _ => return,
        }
        if settles {
            self.suspect = None;
        }
    }

    /// Live files of complete bases and of deltas. Those of withdrawn bases count while they are there, though readers do not
    /// see them.
    pub fn visible(&self) -> Counts {
        self.base.plus(self.delta)
    }

    /// All live files, those of the open walk included.
    pub fn live(&self) -> Counts {
        self.visible().plus(self.unfinished)
    }

    /// The lines of its live files.
    pub(super) fn lines(&self) -> Sum {
        self.months.values().fold(Sum::default(), |sum, month| sum.plus(month.lines))
    }

    /// A file with this line lives from `version` on.
    pub(super) fn add_line(&mut self, file: &DataFile, line: Sum, version: u64) {
        let empty = Month { version, lines: Sum::default(), fresh: 0 };
        let month = self.months.entry(file.month.clone()).or_insert(empty);
        let fresh = month.fresh.saturating_add(file.is_fresh().into());
        *month = Month { version, lines: month.lines.plus(line), fresh };
    }

    /// The file no longer lives; None, if its month has no such files.
    pub(super) fn remove_line(&mut self, file: &RemovedFile, version: u64) -> Option<()> {
        let month = self.months.get_mut(&file.month)?;
        let fresh = month.fresh.checked_sub(file.is_fresh().into())?;
        *month = Month { version, lines: month.lines.minus(file.line), fresh };
        Some(())
    }

    /// Months without a file are not listed.
    pub(super) fn forget_empty_months(&mut self) {
        self.months.retain(|_, month| month.lines.count > 0);
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

impl From<&RemovedFile> for Counts {
    fn from(file: &RemovedFile) -> Self {
        let RemovedFile { bytes, rows, tombstones, rescued_rows, .. } = *file;
        Self { files: 1, bytes, rows, tombstones, rescued_rows }
    }
}

impl From<&DataFile> for Counts {
    fn from(file: &DataFile) -> Self {
        let DataFile { bytes, rows, tombstones, rescued_rows, .. } = *file;
        Self { files: 1, bytes, rows, tombstones, rescued_rows }
    }
}

impl Counts {
    pub(crate) fn is_zero(&self) -> bool {
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
