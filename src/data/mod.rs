//! Data files: immutable Parquet objects. One exists, as far as the archive is concerned, only if a manifest names it.
//!
//! [`FileWriter`] turns record batches into one object and says what it holds: a [`DataFile`], for a commit.
//! [`FileReader`] gives the batches back, whole or by column, `_ts` and `_id`. Every batch has the same frame: the
//! own columns of `schema` in fixed places.
//!
//! Guarantee: what comes out of a file is what went in, or an error that names the file. Every byte is compared with a checksum
//! before it is decoded (`blocks` says how); whoever reads all of a file compares its SHA-256 as well.

mod blocks;
mod check;
mod created;
mod frame;
mod object;
mod properties;
mod reader;
mod stored;
mod tally;
mod transfer;
mod upload;
mod wanted;
mod whole;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    document::{Encoding, TableRef, Timestamp},
    position::{BaseId, Phase},
};

pub(crate) use self::{
    check::{FileContext, RowsCheck},
    stored::StoredFile,
    transfer::{IfExists, TransferError, transfer},
    whole::is_intact,
};
pub use self::{
    created::CreationTime,
    reader::FileReader,
    wanted::WantedRows,
    whole::whole,
    writer::{FileWriter, NewFile, WriterOptions},
};

/// The key of the [`ContentDigest`](crate::ContentDigest) in a footer. Not in commits: a sum over one document is a hash of
/// personal data for ever, and the SHA-256 of the file binds it anyway.
const CONTENT: &str = "convex.content";

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
    #[doc(hidden)]
    pub base: Option<BaseId>,
    /// The first day of the UTC month in whose partition it lies, `2026-11-01`.
    pub month: String,
    /// The encoding in which its documents came. Of two rows with one `_id` and `_ts` one that came with types counts.
    pub encoding: Encoding,
    /// Whether it only repeats rows that other files hold: a file of a base that the archive made itself, and that is no
    /// cut. Table formats, which cannot leave out rows that stand twice, leave such files out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
    /// Stored bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the stored bytes.
    pub sha256: String,
    /// Its end, which readers begin with.
    #[doc(hidden)]
    pub footer: Footer,
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
    /// Smallest `_creationTime`; absent if no row has one (all are tombstones), or one is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(hidden)]
    pub min_created: Option<CreationTime>,
    /// Largest `_creationTime`; absent where the smallest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(hidden)]
    pub max_created: Option<CreationTime>,
    /// Smallest `_id`, by bytes. Absent where it had to be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_id: Option<String>,
    /// Largest `_id`, by bytes. Absent where it had to be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_id: Option<String>,
    /// Whether the `_id`s ascend strictly from row to row.
    pub ids_ascend: bool,
    /// The table's schema id under which it was written.
    pub schema: u32,
    /// How often its rows were written again since they came, at most, to join small files. Decides what is joined next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub joined: u8,
    /// Per column, by its field id, or by its path where it has none, per kind of value: how many values did not fit. Decides
    /// about siblings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    /// The data commit that brought these rows. In a commit only where it is another one; always in
    /// `archive::LiveFiles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_by: Option<u64>,
    /// Reserved: how the stored bytes are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
}

impl DataFile {
    /// Whether it holds changes as a run brought them: nobody has joined it with others.
    pub(crate) fn is_fresh(&self) -> bool {
        self.phase == Phase::Delta && self.joined == 0
    }

    /// Whether it has rows on both sides of the S of a base.
    pub(crate) fn lies_across(&self, s: Timestamp) -> bool {
        self.min_ts <= s && s < self.max_ts
    }
}

/// For fields that stand in JSON only where they say something.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The end of a data file: all that follows the pages and Bloom filters of the last row group, that is the indexes of the
/// pages, the Parquet metadata, and the 8 bytes that close it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Its length, bytes.
    pub bytes: u64,
    /// CRC-32C (Castagnoli, as in iSCSI) of these bytes.
    pub crc32c: u32,
}
