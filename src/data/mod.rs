//! Data files: immutable Parquet objects. One exists, as far as the archive is concerned, only if a manifest names it.
//!
//! [`FileWriter`] turns record batches into one object and says what it holds: a [`DataFile`], for a commit.
//! [`FileReader`] gives the batches back, whole or by column, `_ts` and `_id`. Every batch has the same frame: the
//! own columns of `schema` in fixed places.

mod frame;
mod object;
mod properties;
mod reader;
mod tally;
mod upload;
mod wanted;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    document::{TableRef, Timestamp},
    position::{BaseId, Phase},
};

pub use self::{
    reader::FileReader,
    wanted::Wanted,
    writer::{FileWriter, NewFile, WriterOptions},
};

/// What a commit says of a data file that it adds.
///
/// Guarantees: the object was complete in the store before the commit that names it; everything here was computed from
/// the rows and bytes that were written, never from a file's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// The table whose rows it holds.
    pub table: TableRef,
    /// Path inside the archive.
    pub path: String,
    /// `snapshot` or `delta`.
    pub phase: Phase,
    /// The base that a snapshot file belongs to; absent in deltas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseId>,
    /// Stored bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the stored bytes.
    pub sha256: String,
    /// Rows, tombstones included. Never 0.
    pub rows: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
    /// Smallest `_ts`.
    pub min_ts: Timestamp,
    /// Largest `_ts`.
    pub max_ts: Timestamp,
    /// Smallest `_id`, by bytes.
    pub min_id: String,
    /// Largest `_id`, by bytes.
    pub max_id: String,
    /// Whether the `_id`s ascend strictly from row to row.
    pub ids_ascend: bool,
    /// The table's schema id under which it was written.
    pub schema: u32,
    /// Per field path, per kind of value: how many values did not fit the field's columns. Decides about siblings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    /// Reserved: paths of the files that this one replaces, and why (compaction, erasure, re-encryption).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
    /// The data commit that brought these rows. In a commit only where it is another one; always in
    /// [`LiveFiles`](crate::archive::LiveFiles).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_by: Option<u64>,
    /// Reserved: how the stored bytes are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Reserved: order-independent digest of the revisions; empty until its text is defined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_digest: String,
}

/// Which files a file replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaces {
    /// Paths inside the archive.
    pub paths: Vec<String>,
    /// `compaction`, `erasure` or `encryption`.
    pub why: String,
}
