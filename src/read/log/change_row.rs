//! Rows that each say what one revision did: they come table by table, and are sorted by `_ts`, over all tables.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};

use super::{
    change::{Change, DocumentChange},
    window::WindowTable,
};
use crate::{
    error::{Error, Result},
    rows::{keyed::KeyedBatch, sort::Sorter},
    schema::OwnColumn,
};

/// Column of [`change_row_schema`].
const CHANGE: &str = "change";

/// Rows as they are sorted by `_ts`, over all tables: as `_id` they have `_ts`, number of the table and `_id`.
pub(super) fn change_row_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(OwnColumn::Id.name(), DataType::Utf8, false),
        Field::new(OwnColumn::Ts.name(), DataType::Int64, false),
        Field::new(OwnColumn::Tombstone.name(), DataType::Boolean, false),
        Field::new(CHANGE, DataType::Int64, false),
    ]))
}

/// Digits of a `_ts`, so that they compare like the numbers; and of the number of a table.
const TS_DIGITS: usize = 20;
const TABLE_DIGITS: usize = 8;

/// Puts the rows of one table into the sorter.
pub(super) struct ChangeRows<'a> {
    table: usize,
    sorter: &'a mut Sorter,
    keys: Vec<String>,
    ts: Vec<i64>,
    changes: Vec<i64>,
}

impl<'a> ChangeRows<'a> {
    pub(super) fn new(table: usize, sorter: &'a mut Sorter) -> Self {
        Self { table, sorter, keys: Vec::new(), ts: Vec::new(), changes: Vec::new() }
    }

    pub(super) fn push(&mut self, ts: i64, id: &str, change: Change) -> Result<()> {
        let (order, table) = ((ts as u64) ^ (1 << 63), self.table);
        self.keys.push(format!("{order:0TS_DIGITS$}{table:0TABLE_DIGITS$}{id}"));
        self.ts.push(ts);
        self.changes.push(change as i64);
        if self.keys.len() == 2_048 { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let rows = self.keys.len();
        let keys = StringArray::from_iter_values(std::mem::take(&mut self.keys));
        let (ts, changes) = (std::mem::take(&mut self.ts), std::mem::take(&mut self.changes));
        let tombstones = BooleanArray::from(vec![false; rows]);
        let batch = RecordBatch::try_new(
            change_row_schema(),
            vec![
                Arc::new(keys),
                Arc::new(Int64Array::from(ts)),
                Arc::new(tombstones),
                Arc::new(Int64Array::from(changes)),
            ],
        );
        self.sorter
            .push(KeyedBatch::new(batch.map_err(|e| Error::internal("changes cannot be sorted").with_source(e))?)?)
    }
}

/// Reads back what was put there.
pub(super) fn read_change_row(sorted: &KeyedBatch, row: usize, tables: &[WindowTable]) -> Result<DocumentChange> {
    let lost = || Error::internal("sorted changes cannot be read back");
    let rest = sorted.id(row).get(TS_DIGITS..).ok_or_else(lost)?;
    let (number, id) = rest.split_at_checked(TABLE_DIGITS).ok_or_else(lost)?;
    let table = number.parse().ok().and_then(|number: usize| tables.get(number)).ok_or_else(lost)?;
    let column = sorted.batch.column_by_name(CHANGE).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let change = column.and_then(|column| Change::ALL.get(column.value(row) as usize)).ok_or_else(lost)?;
    Ok(DocumentChange { table: table.table.clone(), id: id.to_owned(), change: *change })
}
