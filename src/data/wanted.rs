//! [`WantedRows`]: which columns and rows of a file are wanted, and what that means for its row groups and pages.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    datatypes::{Int64Type, SchemaRef},
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, RowFilter, RowSelection},
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder, RowGroupSelection},
    },
    basic::Type,
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
    },
    schema::types::SchemaDescriptor,
};

use crate::{document::Timestamp, schema::OwnColumn};

/// Rows of a batch, unless told otherwise.
const BATCH_ROWS: usize = 8_192;
/// Bytes of decoded `_id` and `_ts` that the decoder may keep between looking for rows and giving them.
const PREDICATE_CACHE: usize = 2 << 20;
/// Documents for which a Bloom filter is asked.
const ASKED: usize = 64;
/// What a value takes when decoded beside its text, bytes: a number or an offset, and whether it is there.
const PLACE: f64 = 9.0;

/// Which columns and rows of a file are wanted. The default: all.
#[derive(Debug, Clone, Default)]
pub struct WantedRows {
    /// Top-level columns by name, in any order; they come in the file's order. Names that the file does not have are
    /// passed over: it may be older than the column.
    pub columns: Option<Vec<String>>,
    /// Rows with `_ts` at or above.
    pub min_ts: Option<Timestamp>,
    /// Rows with `_ts` at or below.
    pub max_ts: Option<Timestamp>,
    /// Rows with `_id` at or above, by bytes.
    pub min_id: Option<String>,
    /// Rows with `_id` at or below, by bytes.
    pub max_id: Option<String>,
    /// Rows with one of these `_id`s, sorted by bytes.
    pub ids: Option<Arc<[String]>>,
    /// Rows of a batch at most; 0 means 8,192.
    pub batch_rows: usize,
    /// Bytes of a batch, decoded, that it should not exceed by more than a page of the file (1 MiB in ours), whatever the
    /// documents are like; 0 means any. A batch has at least one row.
    pub batch_bytes: usize,
}

impl WantedRows {
    /// Whether all rows are wanted, and all of each.
    pub(super) fn is_everything(&self) -> bool {
        let Self { columns, min_ts, max_ts, min_id, max_id, ids, batch_rows: _, batch_bytes: _ } = self;
        columns.is_none()
            && (min_ts.is_none() && max_ts.is_none())
            && (min_id.is_none() && max_id.is_none() && ids.is_none())
    }

    /// Places of the wanted columns.
    pub(super) fn places(&self, schema: &SchemaRef) -> Vec<usize> {
        let fields = schema.fields();
        match &self.columns {
            None => (0..fields.len()).collect(),
            Some(names) => (0..fields.len()).filter(|&i| names.iter().any(|name| name == fields[i].name())).collect(),
        }
    }

    /// The decoder of what is wanted of one row group, of the rows that `rows` selects.
    pub(super) fn decoder(
        &self,
        metadata: &ArrowReaderMetadata,
        group: usize,
        rows: Option<RowSelection>,
    ) -> Result<ParquetPushDecoder, ParquetError> {
        let parquet = metadata.parquet_schema();
        let mask = ProjectionMask::roots(parquet, self.places(metadata.schema()));
        let batch_rows = self.rows_of_batch(metadata.metadata(), group, &mask);
        ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
            .with_batch_size(batch_rows)
            .with_max_predicate_cache_size(PREDICATE_CACHE)
            .with_projection(mask)
            .with_row_group_selections(vec![RowGroupSelection::new(group, rows)])
            .with_row_filter(RowFilter::new(self.predicates(parquet)))
            .build()
    }

    /// How many rows a batch may have so that it keeps to `batch_bytes`: the index of the pages says how many bytes of
    /// text they decode to, and the densest page of each column counts.
    fn rows_of_batch(&self, metadata: &ParquetMetaData, group: usize, mask: &ProjectionMask) -> usize {
        let most = if self.batch_rows == 0 { BATCH_ROWS } else { self.batch_rows };
        if self.batch_bytes == 0 {
            return most;
        }
        let (pages, chunks) = (metadata.page_index_for_row_group(group), metadata.row_group(group));
        let rows = chunks.num_rows().max(1) as f64;
        let mut row_bytes = 0.0;
        for (leaf, chunk) in chunks.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
            row_bytes += PLACE * (chunk.num_values() as f64 / rows).max(1.0);
            if chunk.column_type() != Type::BYTE_ARRAY {
                continue;
            }
            let index = pages.offset_index(leaf);
            row_bytes += match index.and_then(|index| Some((index, index.unencoded_byte_array_data_bytes()?))) {
                Some((index, bytes)) => {
                    let firsts = index.page_locations().iter().map(|page| page.first_row_index);
                    let ends = firsts.clone().skip(1).chain([chunks.num_rows()]);
                    let densities = firsts.zip(ends).zip(bytes).map(|((a, b), n)| *n as f64 / (b - a).max(1) as f64);
                    densities.fold(0.0, f64::max)
                }
                // A file of another writer: its dictionaries may hide how much it is.
                None => {
                    chunk.unencoded_byte_array_data_bytes().unwrap_or(chunk.uncompressed_size()).max(0) as f64 / rows
                }
            };
        }
        ((self.batch_bytes as f64 / row_bytes) as usize).clamp(1, most)
    }

    fn predicates(&self, parquet: &SchemaDescriptor) -> Vec<Box<dyn ArrowPredicate>> {
        let mut predicates: Vec<Box<dyn ArrowPredicate>> = Vec::new();
        let only = |name: &str| ProjectionMask::columns(parquet, [name]);
        if let (min, max, true) = (self.min_ts, self.max_ts, self.min_ts.is_some() || self.max_ts.is_some()) {
            predicates.push(Box::new(ArrowPredicateFn::new(only(OwnColumn::Ts.name()), move |batch: RecordBatch| {
                let inside = |ts| min.is_none_or(|min| min.0 <= ts) && max.is_none_or(|max| ts <= max.0);
                let ts = batch.column(0).as_primitive::<Int64Type>();
                Ok(ts.iter().map(|ts| Some(ts.is_some_and(inside))).collect::<BooleanArray>())
            })));
        }
        if self.min_id.is_some() || self.max_id.is_some() || self.ids.is_some() {
            let (min, max, ids) = (self.min_id.clone(), self.max_id.clone(), self.ids.clone());
            predicates.push(Box::new(ArrowPredicateFn::new(only(OwnColumn::Id.name()), move |batch: RecordBatch| {
                let inside = |id: &str| {
                    min.as_deref().is_none_or(|min| min <= id)
                        && max.as_deref().is_none_or(|max| id <= max)
                        && ids.as_ref().is_none_or(|ids| ids.binary_search_by(|other| other.as_str().cmp(id)).is_ok())
                };
                let ids = batch.column(0).as_string::<i32>();
                Ok(ids.iter().map(|id| Some(id.is_some_and(inside))).collect::<BooleanArray>())
            })));
        }
        if self.ids.is_some() {
            // A few documents: who has none of them needs no `_ts`.
            predicates.reverse();
        }
        predicates
    }

    /// Whether there may be wanted rows where all `_id`s lie between these.
    pub(super) fn ids_may_be_between(&self, least: Option<&[u8]>, most: Option<&[u8]>) -> bool {
        let bounds = overlaps(
            least,
            most,
            self.min_id.as_ref().map(String::as_bytes),
            self.max_id.as_ref().map(String::as_bytes),
        );
        bounds
            && self.ids.as_ref().is_none_or(|ids| {
                let next = ids.partition_point(|id| least.is_some_and(|least| id.as_bytes() < least));
                ids.get(next).is_some_and(|id| most.is_none_or(|most| id.as_bytes() <= most))
            })
    }
}

/// Whether the statistics allow that a wanted row is in the group.
pub(super) fn group_may_hold(group: &RowGroupMetaData, wanted: &WantedRows) -> bool {
    let statistics =
        |name: &str| group.columns().iter().find(|c| c.column_path().string() == name).and_then(|c| c.statistics());
    let ts = match statistics(OwnColumn::Ts.name()) {
        Some(Statistics::Int64(s)) => overlaps(
            s.min_opt(),
            s.max_opt(),
            wanted.min_ts.as_ref().map(|t| &t.0),
            wanted.max_ts.as_ref().map(|t| &t.0),
        ),
        _ => true,
    };
    // Long values are cut in statistics, but always so that they still bound the rows.
    let id = statistics(OwnColumn::Id.name())
        .is_none_or(|s| wanted.ids_may_be_between(s.min_bytes_opt(), s.max_bytes_opt()));
    ts && id
}

/// Which rows of a row group may be wanted.
pub(super) enum Rows {
    /// Any: nothing is known of the pages.
    Any,
    /// These.
    Of(RowSelection),
    /// None.
    None,
}

/// Which rows of the group lie in pages of `_id` that may hold a wanted document.
pub(super) fn pages_that_may_hold(metadata: &ParquetMetaData, group: usize, wanted: &WantedRows) -> Rows {
    let (index, chunks) = (metadata.page_index_for_row_group(group), metadata.row_group(group));
    let known = chunks.columns().iter().position(|c| c.column_path().string() == OwnColumn::Id.name()).and_then(
        |leaf| match (index.column_index(leaf)?, index.offset_index(leaf)?) {
            (ColumnIndexMetaData::BYTE_ARRAY(values), places) => Some((values, places.page_locations())),
            _ => None,
        },
    );
    let Some((values, places)) = known else { return Rows::Any };
    let firsts = places.iter().map(|page| page.first_row_index.max(0) as usize);
    let ends = firsts.clone().skip(1).chain([chunks.num_rows().max(0) as usize]);
    let pages = firsts.zip(ends).enumerate();
    let pages = pages.filter(|(page, _)| wanted.ids_may_be_between(values.min_value(*page), values.max_value(*page)));
    let ranges: Vec<_> = pages.map(|(_, (first, end))| first..end).filter(|rows| !rows.is_empty()).collect();
    if ranges.is_empty() {
        return Rows::None;
    }
    Rows::Of(RowSelection::from_consecutive_ranges(ranges.into_iter(), chunks.num_rows().max(0) as usize))
}

/// Where the group's Bloom filter of `_id` is, and the wanted documents that it is to be asked for; `None` if it is not
/// worth its while.
pub(super) fn bloom_filter<'a>(group: &RowGroupMetaData, wanted: &'a WantedRows) -> Option<(Range<u64>, &'a [String])> {
    let column = group.columns().iter().find(|c| c.column_path().string() == OwnColumn::Id.name())?;
    let (offset, length) = (column.bloom_filter_offset()?, column.bloom_filter_length()?);
    let (offset, length) = (u64::try_from(offset).ok()?, u64::try_from(length).ok()?);
    let ids = wanted.ids.as_deref()?;
    let statistics = column.statistics();
    let least = statistics.and_then(Statistics::min_bytes_opt);
    let most = statistics.and_then(Statistics::max_bytes_opt);
    let from = ids.partition_point(|id| least.is_some_and(|least| id.as_bytes() < least));
    let to = ids.partition_point(|id| most.is_none_or(|most| id.as_bytes() <= most));
    let ids = ids.get(from..to)?;
    // Of many one is nearly always said to be there.
    (ids.len() <= ASKED).then_some((offset..offset.checked_add(length)?, ids))
}

/// Whether [least, most] and [min, max] have something in common; what is not known does not bound.
fn overlaps<T: Ord + ?Sized>(least: Option<&T>, most: Option<&T>, min: Option<&T>, max: Option<&T>) -> bool {
    let below = |a: Option<&T>, b: Option<&T>| !matches!((a, b), (Some(a), Some(b)) if a > b);
    below(min, most) && below(least, max)
}
