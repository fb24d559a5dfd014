//! The columns that every batch and every data file has, whatever the table: fixed names in fixed places.
//!
//! ```text
//! 0 _id  1 _creationTime  2 _ts  3 _tombstone  4 _base  5… one column per field …  n-2 _nulls  n-1 _rescued
//! ```

use arrow::{
    array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};

use crate::error::{Error, Result};

/// The document's id: text, never NULL. Place 0.
pub const ID: &str = "_id";
/// The document's creation time as Convex has it: float64, milliseconds. Place 1.
pub const CREATION_TIME: &str = "_creationTime";
/// The revision's `_ts`: int64, nanoseconds, never NULL. Place 2.
pub const TS: &str = "_ts";
/// Whether the revision is a tombstone: never NULL. Place 3.
pub const TOMBSTONE: &str = "_tombstone";
/// S in the files of a base, NULL in deltas: int64, nanoseconds. Place 4.
pub const BASE: &str = "_base";
/// Explicit nulls: a JSON array of JSON Pointers, NULL when there is none. The last place but one.
pub const NULLS: &str = "_nulls";
/// What did not fit: JSON text, NULL when there is none. The last place.
pub const RESCUED: &str = "_rescued";

const LEADING: [&str; 5] = [ID, CREATION_TIME, TS, TOMBSTONE, BASE];

/// The columns of a batch that say what its rows are.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) id: &'a StringArray,
    pub(super) ts: &'a Int64Array,
    pub(super) tombstone: &'a BooleanArray,
    pub(super) rescued: &'a StringArray,
}

impl<'a> Frame<'a> {
    /// Finds them.
    ///
    /// # Errors
    /// Internal, if the batch is framed otherwise: whoever made it has a defect.
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self> {
        let schema = batch.schema_ref();
        let last = schema.fields().len().wrapping_sub(1);
        let places = LEADING.iter().copied().enumerate().chain([(last.wrapping_sub(1), NULLS), (last, RESCUED)]);
        for (place, name) in places {
            if schema.fields().get(place).map(|f| f.name().as_str()) != Some(name) {
                return Err(Error::internal(format!("a batch has no column {name} at place {place}")));
            }
        }
        let wrong = |name| Error::internal(format!("column {name} of a batch has the wrong type"));
        let frame = Self {
            id: batch.column(0).as_string_opt().ok_or_else(|| wrong(ID))?,
            ts: batch.column(2).as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(TS))?,
            tombstone: batch.column(3).as_boolean_opt().ok_or_else(|| wrong(TOMBSTONE))?,
            rescued: batch.column(last).as_string_opt().ok_or_else(|| wrong(RESCUED))?,
        };
        Ok(frame)
    }
}
