//! What the rows of a file are, counted while they are written.

use arrow::{
    array::{Array, RecordBatch},
    compute,
};

use super::{CreationTime, frame::Frame};
use crate::error::Result;

/// Counts and bounds of the rows so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) tombstones: u64,
    pub(super) rescued_rows: u64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) created: CreationBounds,
    pub(super) min_id: String,
    pub(super) max_id: String,
    /// Strictly, over all batches.
    pub(super) ids_ascend: bool,
}

/// Between which moments documents were created.
#[derive(Debug, Clone, Copy)]
pub(super) enum CreationBounds {
    /// No row is a document.
    None,
    Between(CreationTime, CreationTime),
    /// A moment that is not finite was among them: nothing bounds them.
    Unbounded,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rows: 0,
            tombstones: 0,
            rescued_rows: 0,
            min_ts: i64::MAX,
            max_ts: i64::MIN,
            created: CreationBounds::None,
            min_id: String::new(),
            max_id: String::new(),
            ids_ascend: true,
        }
    }
}

impl Tally {
    /// Adds the rows of `batch`, which come after all rows so far.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let frame = Frame::of(batch)?;
        let ids = || frame.id.iter().flatten();
        let (Some(first), Some(last)) = (ids().next(), ids().next_back()) else { return Ok(()) };
        let ascend = ids().zip(ids().skip(1)).all(|(a, b)| a < b);
        // Comparing each id with its neighbour is all that the usual case, a snapshot, needs.
        let (min, max) = if ascend {
            (first, last)
        } else {
            ids().fold((first, first), |(min, max), id| (min.min(id), max.max(id)))
        };
        // While all ids ascended, the largest is the last one.
        self.ids_ascend &= ascend && (self.rows == 0 || self.max_id.as_str() < first);
        if self.rows == 0 || min < self.min_id.as_str() {
            min.clone_into(&mut self.min_id);
        }
        if self.rows == 0 || max > self.max_id.as_str() {
            max.clone_into(&mut self.max_id);
        }
        self.min_ts = self.min_ts.min(compute::min(frame.ts).unwrap_or(i64::MAX));
        self.max_ts = self.max_ts.max(compute::max(frame.ts).unwrap_or(i64::MIN));
        if let (Some(min), Some(max)) = (compute::min(frame.creation_time), compute::max(frame.creation_time)) {
            self.created = self.created.and(min, max);
        }
        self.rows += batch.num_rows() as u64;
        self.tombstones += frame.tombstone.true_count() as u64;
        self.rescued_rows += (frame.rescued.len() - frame.rescued.null_count()) as u64;
        Ok(())
    }
}

impl CreationBounds {
    /// With moments from `min` to `max`, in the total order of floats: what is not finite comes first or last in it.
    fn and(self, min: f64, max: f64) -> Self {
        let (Some(min), Some(max)) = (CreationTime::new(min), CreationTime::new(max)) else { return Self::Unbounded };
        let smaller = |a: CreationTime, b: CreationTime| if a.ms().total_cmp(&b.ms()).is_le() { a } else { b };
        let larger = |a: CreationTime, b: CreationTime| if a.ms().total_cmp(&b.ms()).is_ge() { a } else { b };
        match self {
            Self::None => Self::Between(min, max),
            Self::Between(least, most) => Self::Between(smaller(least, min), larger(most, max)),
            Self::Unbounded => Self::Unbounded,
        }
    }

    /// The first and the last of these moments.
    pub(super) fn bounds(self) -> Option<(CreationTime, CreationTime)> {
        match self {
            Self::Between(min, max) => Some((min, max)),
            Self::None | Self::Unbounded => None,
        }
    }
}
