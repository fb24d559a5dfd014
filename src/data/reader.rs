//! [`FileReader`]: the batches of a data file, whole or in part, from any store, by ranged reads.
//!
//! The Parquet decoder asks for byte ranges and is handed them; it does no I/O of its own. So an error of the store stays
//! an error of the store, and whatever else goes wrong means that the object is damaged.
//!
//! # Why panics are caught here
//! The decoder panics on some harm (seen on a few of a thousand flipped bytes). A data file is outside input, and verify
//! has to survive what it looks for. A decoder that panicked is dropped, so its state is never seen again.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    datatypes::{Int64Type, SchemaRef},
};
use bytes::Bytes;
use futures::{Stream, stream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter},
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    },
    errors::ParquetError,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData},
        statistics::Statistics,
    },
    schema::types::SchemaDescriptor,
};

use super::DataFile;
use crate::{
    document::Timestamp,
    error::{Error, Result},
    schema::OwnColumn,
    store::store_error,
};

/// What is read first: in most files the whole footer.
const TAIL: u64 = 64 << 10;
/// Rows of a batch, unless told otherwise.
const BATCH_ROWS: usize = 8_192;

/// Which columns and rows of a file are wanted. The default: all.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
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
    /// Rows of a batch at most; 0 means 8,192.
    pub batch_rows: usize,
}

/// Reads one data file.
///
/// Holds the wanted columns of one row group, compressed, and one batch. Row groups whose statistics say that no row can
/// be wanted are not read. Of damage it sees what Parquet sees; `sha256` of a [`DataFile`] is not checked here.
#[derive(Debug)]
pub struct FileReader {
    object: Object,
    schema: SchemaRef,
    /// None after an error.
    decoder: Option<ParquetPushDecoder>,
}

impl FileReader {
    /// Reads the footer of `file`.
    ///
    /// # Errors
    /// NotFound, if the object is gone; Corrupt, if it is damaged or has not the size that `file` says; Access and
    /// Unavailable, as the store says.
    pub async fn open(store: Arc<dyn ObjectStore>, file: &DataFile, selection: &Wanted) -> Result<Self> {
        let path = Path::parse(&file.path)
            .map_err(|e| Error::corrupt(format!("`{}` is no path of a store", file.path)).with_source(e))?;
        let object = Object { store, path, bytes: file.bytes };
        let metadata = Arc::new(object.metadata().await?);
        let (schema, decoder) = object.decode(|| selection.decoder(metadata))?;
        Ok(Self { object, schema, decoder: Some(decoder) })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows, in the file's order, or None after the last. Never a batch without rows.
    ///
    /// Dropping the future before it is ready ends the reader, as an error does.
    ///
    /// # Errors
    /// As [`open`](Self::open); Internal, after an error.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(mut decoder) = self.decoder.take() else {
            return Err(
                Error::internal("a data file that could not be read was read on").context(self.object.path.as_ref())
            );
        };
        let batch = loop {
            match self.object.decode(|| decoder.try_decode())? {
                DecodeResult::Data(batch) => break Some(batch),
                DecodeResult::Finished => break None,
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.object.get(&ranges).await?;
                    self.object.decode(|| decoder.push_ranges(ranges, bytes))?;
                }
            }
        };
        self.decoder = Some(decoder);
        Ok(batch)
    }

    /// The same as a stream; it ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut reader| async move { Ok(reader.next().await?.map(|batch| (batch, reader))) })
    }
}

/// An object whose size is known.
#[derive(Debug)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl Object {
    async fn metadata(&self) -> Result<ParquetMetaData> {
        let mut decoder = self
            .decode(|| ParquetMetaDataPushDecoder::try_new(self.bytes))?
            .with_page_index_policy(PageIndexPolicy::Skip);
        let tail = self.bytes.saturating_sub(TAIL)..self.bytes;
        let bytes = self.tail(tail.clone()).await?;
        self.decode(|| decoder.push_range(tail, bytes))?;
        loop {
            match self.decode(|| decoder.try_decode())? {
                DecodeResult::Data(metadata) => return Ok(metadata),
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.get(&ranges).await?;
                    self.decode(|| decoder.push_ranges(ranges, bytes))?;
                }
                DecodeResult::Finished => return Err(self.corrupt("its footer cannot be read")),
            }
        }
    }

    /// Whatever goes wrong in a step of the decoder, the object is damaged.
    fn decode<T>(&self, step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(e)) => Err(self.corrupt("it is no readable Parquet file").with_source(e)),
            Err(_) => Err(self.corrupt("the Parquet decoder stumbled over it")),
        }
    }

    /// The first read also sees whether the object has its size.
    async fn tail(&self, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = match self.store.get_opts(&self.path, options).await {
            Ok(got) => got,
            // Stores differ in how they refuse a range beyond the end: ask.
            Err(object_store::Error::Generic { store, source }) => {
                return match self.store.head(&self.path).await {
                    Ok(meta) if meta.size != self.bytes => Err(self.resized(meta.size)),
                    _ => Err(self.failed(object_store::Error::Generic { store, source })),
                };
            }
            Err(e) => return Err(self.failed(e)),
        };
        if got.meta.size != self.bytes {
            return Err(self.resized(got.meta.size));
        }
        got.bytes().await.map_err(|e| self.failed(e))
    }

    async fn get(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.bytes) {
            return Err(self.corrupt("its footer points beyond its end"));
        }
        let bytes = self.store.get_ranges(&self.path, ranges).await.map_err(|e| self.failed(e))?;
        let whole = |(range, bytes): (&Range<u64>, &Bytes)| range.end - range.start == bytes.len() as u64;
        if bytes.len() != ranges.len() || !ranges.iter().zip(&bytes).all(whole) {
            return Err(self.corrupt("the store gave fewer bytes than it has"));
        }
        Ok(bytes)
    }

    fn failed(&self, error: object_store::Error) -> Error {
        store_error(error, &format!("cannot read {}", self.path))
    }

    fn resized(&self, found: u64) -> Error {
        self.corrupt(&format!("it has {found} bytes instead of {}", self.bytes))
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::corrupt(format!("the data file is damaged, {what}: restore it from a copy")).context(self.path.as_ref())
    }
}

impl Wanted {
    /// The decoder of what is wanted, and the schema of its batches.
    fn decoder(&self, metadata: Arc<ParquetMetaData>) -> Result<(SchemaRef, ParquetPushDecoder), ParquetError> {
        let builder = ParquetPushDecoderBuilder::try_new_decoder(Arc::clone(&metadata))?;
        let parquet = metadata.file_metadata().schema_descr();
        let fields = builder.schema().fields();
        let wanted: Vec<usize> = match &self.columns {
            None => (0..fields.len()).collect(),
            Some(names) => (0..fields.len()).filter(|&i| names.iter().any(|name| name == fields[i].name())).collect(),
        };
        let schema = Arc::new(builder.schema().project(&wanted)?);
        let groups = metadata.row_groups();
        let groups = (0..groups.len()).filter(|&i| self.may_be_in(&groups[i])).collect();
        let decoder = builder
            .with_batch_size(if self.batch_rows == 0 { BATCH_ROWS } else { self.batch_rows })
            .with_projection(ProjectionMask::roots(parquet, wanted))
            .with_row_groups(groups)
            .with_row_filter(RowFilter::new(self.predicates(parquet)))
            .build()?;
        Ok((schema, decoder))
    }

    /// Whether the statistics allow that a wanted row is in the group.
    fn may_be_in(&self, group: &RowGroupMetaData) -> bool {
        let statistics =
            |name: &str| group.columns().iter().find(|c| c.column_path().string() == name).and_then(|c| c.statistics());
        let ts = match statistics(OwnColumn::Ts.name()) {
            Some(Statistics::Int64(s)) => overlaps(
                s.min_opt(),
                s.max_opt(),
                self.min_ts.as_ref().map(|t| &t.0),
                self.max_ts.as_ref().map(|t| &t.0),
            ),
            _ => true,
        };
        // Long values are cut in statistics, but always so that they still bound the rows.
        let id = statistics(OwnColumn::Id.name()).is_none_or(|s| {
            overlaps(
                s.min_bytes_opt(),
                s.max_bytes_opt(),
                self.min_id.as_ref().map(String::as_bytes),
                self.max_id.as_ref().map(String::as_bytes),
            )
        });
        ts && id
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
        if self.min_id.is_some() || self.max_id.is_some() {
            let (min, max) = (self.min_id.clone(), self.max_id.clone());
            predicates.push(Box::new(ArrowPredicateFn::new(only(OwnColumn::Id.name()), move |batch: RecordBatch| {
                let inside =
                    |id: &str| min.as_deref().is_none_or(|min| min <= id) && max.as_deref().is_none_or(|max| id <= max);
                let ids = batch.column(0).as_string::<i32>();
                Ok(ids.iter().map(|id| Some(id.is_some_and(inside))).collect::<BooleanArray>())
            })));
        }
        predicates
    }
}

/// Whether [least, most] and [min, max] have something in common; what is not known does not bound.
fn overlaps<T: Ord + ?Sized>(least: Option<&T>, most: Option<&T>, min: Option<&T>, max: Option<&T>) -> bool {
    let below = |a: Option<&T>, b: Option<&T>| !matches!((a, b), (Some(a), Some(b)) if a > b);
    below(min, most) && below(least, max)
}
