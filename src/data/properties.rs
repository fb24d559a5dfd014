//! How a data file is spelled in Parquet: one decision per leaf column, taken from the file's first batch.
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

use std::{collections::HashSet, hash::Hash};

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
/// What an `_id` takes at least when encoded, in bytes: its random part. Bounds the rows of a row group.
const ENCODED_ID_BYTES: usize = 20;

/// The properties of a file whose first rows are `first`.
///
/// # Errors
/// Usage, if zstd has no such level; Internal, if the schema has no Parquet spelling.
pub(super) fn choose(first: &RecordBatch, compression_level: i32, row_group_bytes: usize) -> Result<WriterProperties> {
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
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for (column, values) in parquet.columns().iter().zip(&arrays) {
        let (path, name) = (column.path().clone(), column.path().string());
        let statistics = match column.physical_type() {
            Type::INT64 | Type::BOOLEAN => EnabledStatistics::Page,
            _ if name == OwnColumn::Id.name() || name == OwnColumn::CreationTime.name() => EnabledStatistics::Page,
            _ => EnabledStatistics::None,
        };
        let encoding = match column.physical_type() {
            Type::INT64 => Encoding::DELTA_BINARY_PACKED,
            _ => Encoding::PLAIN,
        };
        properties = properties
            .set_column_dictionary_enabled(path.clone(), name == OwnColumn::Nulls.name() || repeats(values))
            .set_column_encoding(path.clone(), encoding)
            .set_column_statistics_enabled(path.clone(), statistics);
        if name == OwnColumn::Id.name() {
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, (row_group_bytes / ENCODED_ID_BYTES).max(1_024) as u64);
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

/// Whether a dictionary is worth its while: of the sample at most half the values are distinct.
fn repeats(values: &ArrayRef) -> bool {
    fn half<T: Hash + Eq>(values: impl Iterator<Item = T>) -> bool {
        let (mut distinct, mut seen) = (HashSet::new(), 0);
        for value in values.take(SAMPLE) {
            distinct.insert(value);
            seen += 1;
            if distinct.len() > SAMPLE / 2 {
                return false;
            }
        }
        seen > 0 && distinct.len() * 2 <= seen
    }
    match values.data_type() {
        DataType::Utf8 => half(values.as_string::<i32>().iter().flatten()),
        DataType::Binary => half(values.as_binary::<i32>().iter().flatten()),
        DataType::Int64 => half(values.as_primitive::<Int64Type>().iter().flatten()),
        DataType::Float64 => half(values.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits)),
        _ => false,
    }
}
