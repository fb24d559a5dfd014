//! Rows of batches that were written under several schemas of one table → one batch of the newest of them.
//!
//! Columns, struct fields and list items are matched by field id, never by name; what a batch lacks is NULL: absent.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt64Array, new_null_array},
    compute::{interleave_record_batch, take_record_batch},
    datatypes::{DataType, Field, Fields, SchemaRef},
    error::ArrowError,
};

use super::encode::field_id;
use crate::error::{Error, Result};

/// What a value takes beside its text, bytes: a number or an offset, and whether it is there.
const PLACE: usize = 9;

/// The batch of these rows, (source, row) each, in this order, in the columns of `target`: the newest schema, or the same
/// part of it that all sources have.
///
/// # Errors
/// Corrupt, if a source has a column of another type than `target`.
pub(crate) fn pick(sources: &[&RecordBatch], rows: &[(usize, usize)], target: &SchemaRef) -> Result<RecordBatch> {
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(target)));
    }
    if let Some((source, row)) = in_a_row(rows) {
        return conform(&sources[source].slice(row, rows.len()), target);
    }
    if sources.iter().all(|source| source.schema_ref().fields() == target.fields()) {
        return interleave_record_batch(sources, rows).map_err(failed);
    }
    // Only the rows that are wanted take places in the columns that their file lacks.
    let mut wanted = vec![Vec::new(); sources.len()];
    let mut places = Vec::with_capacity(rows.len());
    for (source, row) in rows {
        places.push((*source, wanted[*source].len()));
        wanted[*source].push(*row as u64);
    }
    let taken = sources.iter().zip(wanted).map(|(source, rows)| {
        let rows = take_record_batch(source, &UInt64Array::from(rows)).map_err(failed)?;
        conform(&rows, target)
    });
    let taken = taken.collect::<Result<Vec<_>>>()?;
    interleave_record_batch(&taken.iter().collect::<Vec<_>>(), &places).map_err(failed)
}

/// The first of the rows, if they follow each other in one source.
fn in_a_row(rows: &[(usize, usize)]) -> Option<(usize, usize)> {
    let first = *rows.first()?;
    let follow = rows.iter().enumerate().all(|(i, row)| *row == (first.0, first.1 + i));
    follow.then_some(first)
}

/// The same rows in the columns of `target`.
pub(crate) fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref().fields() == target.fields() {
        return Ok(batch.clone());
    }
    let columns = children(batch.schema_ref().fields(), batch.columns(), target.fields(), batch.num_rows())?;
    RecordBatch::try_new(Arc::clone(target), columns).map_err(failed)
}

/// The columns of `target`, by field id.
fn children(fields: &Fields, columns: &[ArrayRef], target: &Fields, rows: usize) -> Result<Vec<ArrayRef>> {
    let column = |wanted: &Arc<Field>| {
        let id = field_id(wanted).ok_or_else(|| Error::internal(format!("column {} has no id", wanted.name())))?;
        match fields.iter().position(|field| field_id(field) == Some(id)) {
            None => Ok(new_null_array(wanted.data_type(), rows)),
            Some(at) => {
                array(&columns[at], wanted.data_type()).map_err(|e| e.context(format!("column `{}`", wanted.name())))
            }
        }
    };
    target.iter().map(column).collect()
}

fn array(from: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if from.data_type() == target {
        return Ok(Arc::clone(from));
    }
    match (from.data_type(), target) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            let from = from.as_struct();
            let columns = children(fields, from.columns(), wanted, from.len())?;
            let made = StructArray::try_new(wanted.clone(), columns, from.nulls().cloned()).map_err(failed)?;
            Ok(Arc::new(made))
        }
        (DataType::List(_), DataType::List(wanted)) => {
            let from = from.as_list::<i32>();
            let items = array(from.values(), wanted.data_type())?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(wanted), offsets, items, nulls).map_err(failed)?))
        }
        (found, _) => Err(Error::corrupt(format!("holds {found} where the schema says {target}"))),
    }
}

/// What each row takes in the columns of `target`, bytes, about.
pub(crate) fn weigh(batch: &RecordBatch, target: &SchemaRef) -> Vec<usize> {
    let lacking = leaves(target.fields()).saturating_sub(leaves(batch.schema_ref().fields()));
    let mut weights = vec![PLACE * lacking; batch.num_rows()];
    for column in batch.columns() {
        for (row, weight) in weights.iter_mut().enumerate() {
            *weight += weight_of(column.as_ref(), row, row + 1);
        }
    }
    weights
}

fn leaves(fields: &Fields) -> usize {
    let leaf = |field: &Arc<Field>| match field.data_type() {
        DataType::Struct(inner) => leaves(inner),
        DataType::List(item) => leaves(&Fields::from(vec![Arc::clone(item)])),
        _ => 1,
    };
    fields.iter().map(leaf).sum()
}

/// What the values from `from` to `to` take.
fn weight_of(array: &dyn Array, from: usize, to: usize) -> usize {
    let text = |offsets: &[i32]| (offsets[to] - offsets[from]) as usize + PLACE * (to - from);
    match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>().value_offsets()),
        DataType::Binary => text(array.as_binary::<i32>().value_offsets()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            PLACE * (to - from) + weight_of(list.values().as_ref(), offsets[from] as usize, offsets[to] as usize)
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| weight_of(column.as_ref(), from, to)).sum()
        }
        _ => PLACE * (to - from),
    }
}

fn failed(e: ArrowError) -> Error {
    Error::internal("rows of several files could not be put together").with_source(e)
}
