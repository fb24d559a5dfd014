//! One number for memory, and who may hold how much of it.
//!
//! # Why shares and not one lock
//! Permits that are given back only when a file closes would deadlock: page N + 1 would wait for permits held by rows
//! that only page N + 1 can complete. So each holder has a share, fixed from the start, at which it stops growing by
//! itself: a page that is larger lies in a temporary file, gathered rows are cut into files, a row group is closed, a full
//! queue makes the producer wait (its consumer never waits for the producer). The shares add up to less than the limit;
//! what is left is for what no share counts: the program itself, connections, the allocator's slack.
//!
//! # The log
//! How far the log is read ahead, and how many changes of files are held, is the same whatever the limit, so these are constants.
//! They need no share of their own: the stage that writes data files does this between two of them, when nothing of a row
//! group or an upload is held, and even at the least limit those have more. Not counted, but part of what is left, are
//! `manifest.json`, checkpoints and parts: each is made in memory and put at once. The first two take some hundred bytes for a
//! table and month, a part half a KiB for a file of one table in one month.
//!
//! # Exports
//! Text is uploaded in parts of a constant size, beside the shares of those who read.

use crate::error::{Error, Result};

const MIB: u64 = 1 << 20;

/// The memory limit of one run, in bytes, and the shares of those who hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    limit: u64,
}

impl Default for MemoryBudget {
    /// 256 MiB.
    fn default() -> Self {
        Self { limit: 256 * MIB }
    }
}

impl MemoryBudget {
    /// The least that a run can do with, in bytes: 64 MiB.
    pub const MINIMUM: u64 = 64 * MIB;

    /// Commits of the log that are read ahead. A commit has half a KiB for each file that it names: of 500 tables
    /// a quarter of a MiB, at most a few. Columns stand in objects of their own.
    pub(crate) const COMMITS_AHEAD: usize = 4;

    /// Files that commits added and removed since the parts were written, bytes; more is sorted away into temporary files.
    pub(crate) const CHANGES: usize = 4 << 20;

    /// Bytes of one part of the upload of an exported text, the smallest that S3 takes. One is filled while one is on its
    /// way.
    pub(crate) const EXPORT_PART: usize = 5 << 20;

    /// Bytes of one part of the upload of a ZIP, of which one is filled while one is on its way: a 16th, 5 MiB (the least that S3
    /// takes) to 64 MiB. There are 10,000 at most, so that the limit bounds the ZIP: 156 GiB at 256 MiB.
    pub(crate) fn zip_part(self) -> usize {
        (self.limit / 16).clamp(5 * MIB, 64 * MIB) as usize
    }

    /// Pieces of a ZIP that are compressed or wait to be written, with what that takes. A 16th.
    pub(crate) fn deflating(self) -> usize {
        (self.limit / 16) as usize
    }

    /// A budget of `limit` bytes.
    ///
    /// # Errors
    /// Usage, below [`MemoryBudget::MINIMUM`].
    pub fn new(limit: u64) -> Result<Self> {
        if limit < Self::MINIMUM {
            return Err(Error::usage(format!("a memory limit of {limit} bytes is too small: give at least 64MiB")));
        }
        Ok(Self { limit })
    }

    /// For one of two who do the same at once.
    pub(crate) fn half(self) -> Self {
        Self { limit: self.limit / 2 }
    }

    /// The whole limit.
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// The largest page that is held in memory, bytes of its body; of a larger one, which lies in a temporary file, the
    /// part that is read. A quarter.
    pub fn page(self) -> u64 {
        self.limit / 4
    }

    /// The largest answer to what is advice only: shapes of tables, which are kept for the whole run. A 32nd.
    pub fn shapes(self) -> u64 {
        self.limit / 32
    }

    /// Bytes of all pages that wait to be decoded, beyond which no further one is asked for. An eighth: at most one page
    /// of the largest size beyond it.
    pub fn pages_waiting(self) -> u64 {
        self.limit / 8
    }

    /// Rows that wait for their file, all tables together, bytes of their text and their Arrow buffers: a quarter less 8 MiB, which
    /// is an eighth at the least limit. The more, the fewer and larger are the files of deltas, and a small file costs nearly as much
    /// as a large one.
    pub fn gathered(self) -> u64 {
        self.limit / 4 - 8 * MIB
    }

    /// Decoded rows on their way to the writer, bytes of their Arrow buffers. An eighth.
    pub fn queued(self) -> u64 {
        self.limit / 8
    }

    /// Rows of a state's changes that are held before they are sorted away into a temporary file, bytes of their Arrow
    /// buffers. An eighth; as much again while they are sorted away.
    pub fn sorting(self) -> u64 {
        self.limit / 8
    }

    /// Decoded rows of one data file that are handed on at once, bytes of their Arrow buffers: a 128th, at most 4 MiB.
    /// Each file that is being read holds three of them beside its row group.
    pub fn read_batch(self) -> usize {
        (self.limit / 128).min(4 * MIB) as usize
    }

    /// Rows that one sorted run hands on at once, bytes of their Arrow buffers: a 1,024th. At most 128 runs are merged.
    pub fn merge_batch(self) -> usize {
        (self.limit / 1024) as usize
    }

    /// Encoded bytes of the open row group at which it is closed: a 32nd, at most 32 MiB.
    pub fn row_group(self) -> usize {
        (self.limit / 32).min(32 * MIB) as usize
    }

    /// Bytes of one part of a multipart upload: 5 MiB (the least that S3 takes) to 8 MiB.
    pub fn upload_part(self) -> usize {
        (self.limit / 32).clamp(5 * MIB, 8 * MIB) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_room_below_every_limit() {
        for mib in [64, 100, 256, 4096] {
            let b = MemoryBudget::new(mib * MIB).unwrap();
            // A writer holds its open row group about twice (values and encoded pages) and three parts.
            let held = b.page() + b.pages_waiting() + b.gathered() + b.queued() + 2 * b.row_group() as u64;
            assert!(held + 3 * b.upload_part() as u64 <= b.limit() * 95 / 100, "{mib}");
        }
        for mib in [64, 100, 256, 4096] {
            let b = MemoryBudget::new(mib * MIB).unwrap();
            // A state sorts, or merges; two files are read meanwhile, each with the largest row group that is written.
            let reads = 2 * (3 * b.read_batch() + b.row_group()) as u64;
            let merges = 129 * b.merge_batch() as u64 + b.sorting();
            assert!(reads + merges.max(2 * b.sorting()) <= b.limit() * 60 / 100, "{mib}");
        }
        assert!(MemoryBudget::new(MIB).is_err());
    }

    #[test]
    fn the_log_takes_no_more_than_the_writer_has_given_back() {
        let least = MemoryBudget::new(MemoryBudget::MINIMUM).unwrap();
        // Commits that name 2,000 files.
        let log = (MemoryBudget::COMMITS_AHEAD << 20) + MemoryBudget::CHANGES;
        assert!(log <= 2 * least.row_group() + 3 * least.upload_part());
    }

    #[test]
    fn the_parts_of_an_export_fit_beside_what_is_read() {
        // Readers have 60 percent.
        assert!(2 * MemoryBudget::EXPORT_PART as u64 <= MemoryBudget::MINIMUM * 40 / 100);
        for mib in [64, 100, 256, 4096] {
            let b = MemoryBudget::new(mib * MIB).unwrap();
            assert!((2 * b.zip_part() + b.deflating()) as u64 <= b.limit() * 40 / 100, "{mib}");
        }
    }
}
