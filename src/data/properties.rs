//! How a data file is spelled in Parquet: one decision per leaf column, taken from the file's first batch, which in a small file
//! is all of it.
//!
//! # Why these choices
//! - A dictionary where values repeat makes a column small; where they do not it costs a quarter of the encoding and an
//!   open hash table per column. So a sample decides. What is no dictionary is plain, int64 delta-coded.
//! - Never DELTA_LENGTH_BYTE_ARRAY or DELTA_BYTE_ARRAY: the vectorised reader of Iceberg in Spark, which is its default,
//!   refuses every query that touches such a column. Lengths between the texts cost zstd about 1 % more bytes, and readers less
//!   CPU. Never BYTE_STREAM_SPLIT: Spark 3.5 and 4.2 refuse the file.
//! - Statistics of text cost a fifth of the encoding and repeat user values in the footer; of floats they make readers
//!   answer wrongly once there is a NaN. `_id` keeps its own, for looking up a document, and has a bloom filter.
//! - Data pages of version 1, since some readers of version 2 came late.
//! - A file of few rows costs what its columns cost, whatever is in them: a dictionary, a context of zstd to compress and one to
//!   decompress (a sixth of the CPU of 500 tables' deltas), a bloom filter for a whole row group. So where all rows are known, what
//!   has too little to gain goes without.

use std::{collections::HashSet, hash::Hash};

use ahash::RandomState;
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{Compression, Encoding, Type, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};

use crate::{
    error::{Error, Result},
    schema::OwnColumn,
};

/// Values of a column that are looked at.
const SAMPLE: usize = 8_192;
/// Bytes of a dictionary beyond which the rest of the column chunk goes without.
const DICTIONARY_BYTES: usize = 256 << 10;
/// Rows below which a file has no dictionaries: they would repeat most values, and shrink little that zstd does not.
const DICTIONARY_ROWS: usize = 256;
/// Bytes of a column below which it is not compressed, in a file whose rows are all known.
const COMPRESSED_BYTES: usize = 512;
/// What an `_id` takes at least when encoded, in bytes: its random part. Bounds the rows of a row group.
const ENCODED_ID_BYTES: usize = 20;

/// What is known of the rows of a file before it begins.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// The first of them; others follow.
    First(&'a RecordBatch),
    /// All of them.
    All(&'a RecordBatch),
}

/// The properties of a file of these rows.
///
/// # Errors
/// Usage, if zstd has no such level; Internal, if the schema has no Parquet spelling.
pub(super) fn choose(rows: Rows<'_>, compression_level: i32, row_group_bytes: usize) -> Result<WriterProperties> {
    let (first, all) = match rows {
        Rows::First(first) => (first, None),
        Rows::All(all) => (all, Some(all.num_rows())),
    };
    let is_small = |values: &ArrayRef| all.is_some() && bytes(values) < COMPRESSED_BYTES;
    let has_dictionaries = all.is_none_or(|rows| rows >= DICTIONARY_ROWS);
    let zstd = ZstdLevel::try_new(compression_level).map_err(|e| {
        Error::usage(format!("zstd has no compression level {compression_level}: give 1 to 22")).with_source(e)
    })?;
    let schema = first.schema();
    let parquet = ArrowSchemaConverter::new()
        .with_coerce_types(true)
        .convert(&schema)
        .map_err(|e| Error::internal("the schema of a file cannot be written in Parquet").with_source(e))?;
    let mut arrays = Vec::with_capacity(parquet.num_columns());
    first.columns().iter().for_each(|column| leaves(column, &mut arrays));
    if arrays.len() != parquet.num_columns() {
        return Err(Error::internal("a batch has a column type that data files do not have"));
    }

    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("convex-archiver version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(zstd))
        // Names the items of a list `element`, whatever the Arrow field is called.
        .set_coerce_types(true)
        // The encode thread closes row groups by their bytes.
        .set_max_row_group_row_count(None)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        // Of a column only what is otherwise is said below: each word of it is a search.
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_statistics_enabled(EnabledStatistics::None);
    for (column, values) in parquet.columns().iter().zip(&arrays) {
        let (path, name) = (column.path(), column.path().string());
        let is = |own: OwnColumn| name == own.name();
        let kind = column.physical_type();
        if is_small(values) {
            properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        if has_dictionaries && (is(OwnColumn::Nulls) || repeats(values)) {
            properties = properties.set_column_dictionary_enabled(path.clone(), true);
        }
        if kind == Type::INT64 {
            properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if matches!(kind, Type::INT64 | Type::BOOLEAN) || is(OwnColumn::Id) || is(OwnColumn::CreationTime) {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
        }
        if is(OwnColumn::Id) {
            let most = all.unwrap_or(usize::MAX).min((row_group_bytes / ENCODED_ID_BYTES).max(1_024));
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path.clone(), most as u64);
        }
    }
    Ok(properties.build())
}

/// The leaves of a column in Parquet's order.
fn leaves(column: &ArrayRef, into: &mut Vec<ArrayRef>) {
    match column.data_type() {
        DataType::Struct(_) => column.as_struct().columns().iter().for_each(|c| leaves(c, into)),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let (from, to) = (list.offsets()[0] as usize, list.offsets()[list.len()] as usize);
            leaves(&list.values().slice(from, to - from), into);
        }
        _ => into.push(column.clone()),
    }
}

/// What the values of a leaf column take, bytes.
fn bytes(values: &ArrayRef) -> usize {
    let text = |offsets: &[i32]| (offsets[offsets.len() - 1] - offsets[0]) as usize;
    let there = values.len() - values.null_count();
    match values.data_type() {
        DataType::Utf8 => text(values.as_string::<i32>().value_offsets()) + 4 * there,
        DataType::Binary => text(values.as_binary::<i32>().value_offsets()) + 4 * there,
        DataType::Boolean => there / 8,
        _ => 8 * there,
    }
}

/// Whether a dictionary is worth its while: of the sample at most half the values are distinct.
fn repeats(values: &ArrayRef) -> bool {
    fn half<T: Hash + Eq>(there: usize, values: impl Iterator<Item = T>) -> bool {
        // With room for all that may come: to grow costs more than to insert.
        let room = there.min(SAMPLE / 2 + 1);
        let (mut distinct, mut seen) = (HashSet::with_capacity_and_hasher(room, RandomState::default()), 0);
        for value in values.take(SAMPLE) {
            distinct.insert(value);
            seen += 1;
            if distinct.len() > SAMPLE / 2 {
                return false;
            }
        }
        seen > 0 && distinct.len() * 2 <= seen
    }
    let there = values.len() - values.null_count();
    match values.data_type() {
        DataType::Utf8 => half(there, values.as_string::<i32>().iter().flatten()),
        DataType::Binary => half(there, values.as_binary::<i32>().iter().flatten()),
        DataType::Int64 => half(there, values.as_primitive::<Int64Type>().iter().flatten()),
        DataType::Float64 => half(there, values.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits)),
        _ => false,
    }
}
