//! A batch with its keys at hand, and rows picked from several of them.

use arrow::{
    array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{Int64Type, SchemaRef},
};

use crate::{
    codec::pick,
    error::{Error, Result},
    schema::OwnColumn,
};

/// A batch of rows with `_id`, `_ts` and `_tombstone`.
#[derive(Debug, Clone)]
pub(crate) struct KeyedBatch {
    pub(crate) batch: RecordBatch,
    ids: StringArray,
    ts: Int64Array,
    tombstones: BooleanArray,
}

impl KeyedBatch {
    /// # Errors
    /// Corrupt, if a column is missing or of another type.
    pub(crate) fn new(batch: RecordBatch) -> Result<Self> {
        let column = |own: OwnColumn| {
            let missing = || Error::corrupt(format!("a data file has no column `{}` as it should be", own.name()));
            batch.column_by_name(own.name()).filter(|column| column.null_count() == 0).ok_or_else(missing)
        };
        let other = || Error::corrupt("a data file has keys of another type");
        let ids = column(OwnColumn::Id)?.as_string_opt().ok_or_else(other)?.clone();
        let ts = column(OwnColumn::Ts)?.as_primitive_opt::<Int64Type>().ok_or_else(other)?.clone();
        let tombstones = column(OwnColumn::Tombstone)?.as_boolean_opt().ok_or_else(other)?.clone();
        Ok(Self { batch, ids, ts, tombstones })
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub(crate) fn id(&self, row: usize) -> &str {
        self.ids.value(row)
    }

    pub(crate) fn ts(&self, row: usize) -> i64 {
        self.ts.value(row)
    }

    pub(crate) fn is_tombstone(&self, row: usize) -> bool {
        self.tombstones.value(row)
    }

    /// Bytes of its buffers.
    pub(crate) fn weight(&self) -> usize {
        self.batch.get_array_memory_size()
    }
}

/// Rows of several batches, in an order of their own: (batch, row). Nothing is copied.
#[derive(Debug, Default)]
pub(crate) struct PickedRows {
    pub(crate) sources: Vec<KeyedBatch>,
    pub(crate) rows: Vec<(usize, usize)>,
}

impl PickedRows {
    pub(crate) fn place(&self, row: usize) -> (&KeyedBatch, usize) {
        let (source, row) = self.rows[row];
        (&self.sources[source], row)
    }

    /// As one batch in the columns of `target`.
    pub(crate) fn to_batch(&self, target: &SchemaRef) -> Result<RecordBatch> {
        pick(&self.sources.iter().map(|source| &source.batch).collect::<Vec<_>>(), &self.rows, target)
    }
}
