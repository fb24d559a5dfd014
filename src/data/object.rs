//! One stored object, read by ranges. What goes wrong in the store stays an error of the store; whatever else goes wrong
//! means that the object is damaged.
//!
//! # Why panics are caught here
//! The decoder panics on some harm (seen on a few of a thousand flipped bytes). A data file is outside input, and verify
//! has to survive what it looks for. A decoder that panicked is dropped, so its state is never seen again.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    DecodeResult,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};

use crate::{
    error::{Error, Result},
    store::store_error,
};

/// What is read first: in most files the whole footer, and all of a small file.
const TAIL: u64 = 64 << 10;

/// An object whose size is known.
#[derive(Debug)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    /// Its end, which was read for the footer.
    tail: Bytes,
}

impl Object {
    /// An object that should have `bytes` bytes.
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: &str, bytes: u64) -> Result<Self> {
        let path =
            Path::parse(path).map_err(|e| Error::corrupt(format!("`{path}` is no path of a store")).with_source(e))?;
        Ok(Self { store, path, bytes, tail: Bytes::new() })
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        self.path.as_ref()
    }

    /// Reads the footer, with where the pages are, and what the pages of `_id` hold if `page_statistics`.
    pub(super) async fn metadata(&mut self, page_statistics: bool) -> Result<ParquetMetaData> {
        let policy = if page_statistics { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let mut decoder = self
            .decode(|| ParquetMetaDataPushDecoder::try_new(self.bytes))?
            .with_column_index_policy(policy)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        let tail = self.bytes.saturating_sub(TAIL)..self.bytes;
        self.tail = self.read_tail(tail.clone()).await?;
        self.decode(|| decoder.push_range(tail, self.tail.clone()))?;
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
    pub(super) fn decode<T>(&self, step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(e)) => Err(self.corrupt("it is no readable Parquet file").with_source(e)),
            Err(_) => Err(self.corrupt("the Parquet decoder stumbled over it")),
        }
    }

    /// The first read also sees whether the object has its size.
    async fn read_tail(&self, range: Range<u64>) -> Result<Bytes> {
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

    /// The bytes of these ranges; those that lie in the end of the object have been read already.
    pub(super) async fn get(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.bytes) {
            return Err(self.corrupt("its footer points beyond its end"));
        }
        let begin = self.bytes - self.tail.len() as u64;
        if ranges.iter().all(|range| range.start >= begin) {
            let here = |at: u64| (at - begin) as usize;
            return Ok(ranges.iter().map(|range| self.tail.slice(here(range.start)..here(range.end))).collect());
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

    pub(super) fn corrupt(&self, what: &str) -> Error {
        Error::corrupt(format!("the data file is damaged, {what}: restore it from a copy")).context(self.path.as_ref())
    }
}
