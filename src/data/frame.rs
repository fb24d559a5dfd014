//! The columns that every batch and every data file has, whatever the table: fixed names in fixed places.
//!
//! ```text
//! 0 _id  1 _creationTime  2 _ts  3 _tombstone  4 _base  5… one column per field …  n-2 _nulls  n-1 _rescued
//! ```

use arrow::{
    array::{AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{Float64Type, Int64Type},
};

use crate::{
    error::{Error, Result},
    schema::OwnColumn,
};

/// The columns of a batch that say what its rows are.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) id: &'a StringArray,
    pub(super) creation_time: &'a Float64Array,
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
        let (leading, trailing) = OwnColumn::ALL.split_at(OwnColumn::LEADING);
        let places = leading.iter().enumerate().chain([last.wrapping_sub(1), last].into_iter().zip(trailing));
        for (place, own) in places {
            let name = own.name();
            if schema.fields().get(place).map(|f| f.name().as_str()) != Some(name) {
                return Err(Error::internal(format!("a batch has no column {name} at place {place}")));
            }
        }
        let wrong = |own: OwnColumn| Error::internal(format!("column {} of a batch has the wrong type", own.name()));
        Ok(Self {
            id: batch.column(0).as_string_opt().ok_or_else(|| wrong(OwnColumn::Id))?,
            creation_time: batch
                .column(1)
                .as_primitive_opt::<Float64Type>()
                .ok_or_else(|| wrong(OwnColumn::CreationTime))?,
            ts: batch.column(2).as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(OwnColumn::Ts))?,
            tombstone: batch.column(3).as_boolean_opt().ok_or_else(|| wrong(OwnColumn::Tombstone))?,
            rescued: batch.column(last).as_string_opt().ok_or_else(|| wrong(OwnColumn::Rescued))?,
        })
    }
}
