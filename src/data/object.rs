//! One stored object, read by ranges. What goes wrong in the store stays an error of the store; whatever else goes wrong
//! means that the object is damaged.
//!
//! Guarantee: the footer was compared with the checksum that the commit names before it is decoded, and every other byte with
//! that of its block in the footer before it is handed out. Whoever reads all of it compares the SHA-256 besides, as it streams.
//!
//! # Why both
//! The checksums find every accident that we know of before anything is decoded, whatever part is read. The SHA-256 binds the file
//! to the log: another file under its name, whose checksums fit, is found by nothing else. It is known at the end only.
//!
//! # Why panics are caught here
//! The decoder panics on some harm (seen on a few of a thousand flipped bytes). Checksums find it first; but whoever forges a
//! file can forge them too, and no data file shall bring the program down. A decoder that panicked is dropped, so its state is
//! never seen again.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    DecodeResult,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};

use sha2::{Digest, Sha256};

use super::{
    StoredFile,
    blocks::{BLOCK, Blocks, crc32c},
};
use crate::{
    error::{Error, Result},
    store::store_error,
};

/// Bytes that are read first at least, if the footer is not larger: all of a small file.
const TAIL: u64 = 64 << 10;

/// An object whose size and footer are known.
#[derive(Debug)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    file: StoredFile,
    /// Its end from the beginning of a block on, which was read for the footer.
    tail: Bytes,
    /// Of what stands before the footer.
    blocks: Blocks,
    /// Of what was read so far, if all of it will be.
    whole: Option<Whole>,
}

/// The SHA-256 of an object that is read from its beginning to its end.
#[derive(Debug, Default)]
struct Whole {
    hash: Sha256,
    /// Bytes that it has taken.
    taken: u64,
}

impl Whole {
    /// Takes what it has not taken of `bytes`, which stand at `from`: not behind what it has taken.
    fn take(&mut self, from: u64, bytes: &[u8]) {
        let known = self.taken.saturating_sub(from) as usize;
        if let Some(new) = bytes.get(known..) {
            self.hash.update(new);
            self.taken += new.len() as u64;
        }
    }
}

impl Object {
    /// The object that `file` names.
    pub(super) fn new(store: Arc<dyn ObjectStore>, file: StoredFile) -> Result<Self> {
        let path = Path::parse(&file.path)
            .map_err(|e| Error::corrupt(format!("`{}` is not a path of a store", file.path)).with_source(e))?;
        Ok(Self { store, path, file, tail: Bytes::new(), blocks: Blocks::default(), whole: None })
    }

    /// From now on all of it is read, in order: then [`end`](Self::end) compares its SHA-256.
    pub(super) fn read_whole(&mut self) {
        self.whole = Some(Whole::default());
    }

    /// From now on only parts of it are read.
    pub(super) fn read_in_part(&mut self) {
        self.whole = None;
    }

    /// All of it was read that is wanted. Reads what is left, if all of it is.
    ///
    /// # Errors
    /// Corrupt, if it is not what was written.
    pub(super) async fn end(&mut self) -> Result<()> {
        let body = self.file.bytes - self.file.footer.bytes;
        if self.whole.as_ref().is_some_and(|whole| whole.taken < body) {
            self.get(std::slice::from_ref(&(body..body))).await?;
        }
        let Some(mut whole) = self.whole.take() else { return Ok(()) };
        whole.take(self.file.bytes - self.tail.len() as u64, &self.tail);
        if format!("{:x}", whole.hash.finalize()) == self.file.sha256 { Ok(()) } else { Err(self.replaced()) }
    }

    /// Its bytes are others.
    pub(super) fn replaced(&self) -> Error {
        self.corrupt("its bytes are not those that were written (SHA-256)")
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        self.path.as_ref()
    }

    /// Reads the footer, with where the pages are, and what the pages of `_id` hold if `page_statistics`.
    pub(super) async fn metadata(&mut self, page_statistics: bool) -> Result<ParquetMetaData> {
        let policy = if page_statistics { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let mut decoder = self
            .decode(|| ParquetMetaDataPushDecoder::try_new(self.file.bytes))?
            .with_column_index_policy(policy)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        let Some(body) = self.file.bytes.checked_sub(self.file.footer.bytes) else {
            return Err(self.corrupt("it is shorter than its footer"));
        };
        let from = self.file.bytes.saturating_sub(TAIL).min(body) / BLOCK * BLOCK;
        self.tail = self.read_tail(from..self.file.bytes).await?;
        let footer = self.tail.slice((body - from) as usize..);
        if crc32c(&footer) != self.file.footer.crc32c {
            return Err(self.corrupt("its footer is not what was written (CRC-32C)"));
        }
        self.decode(|| decoder.push_range(body..self.file.bytes, footer))?;
        let DecodeResult::Data(metadata) = self.decode(|| decoder.try_decode())? else {
            return Err(self.corrupt("its footer is larger than its commit says"));
        };
        let blocks = note(&metadata, Blocks::KEY).and_then(Blocks::parse).filter(|blocks| blocks.cover(body));
        self.blocks = blocks.ok_or_else(|| self.corrupt("its footer has no checksums of its blocks"))?;
        Ok(metadata)
    }

    /// Whatever goes wrong in a step of the decoder, the object is damaged.
    pub(super) fn decode<T>(&self, step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(e)) => Err(self.corrupt("it is not a readable Parquet file").with_source(e)),
            Err(_) => Err(self.corrupt("the Parquet decoder failed on it")),
        }
    }

    /// The first read also sees whether the object has its size.
    async fn read_tail(&self, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = match self.store.get_opts(&self.path, options).await {
            Ok(got) => got,
            // Stores differ in how they refuse a range beyond the end: ask.
            Err(object_store::Error::Generic { store, source }) => {
                return match self.store.head(&self.path).await {
                    Ok(meta) if meta.size != self.file.bytes => Err(self.resized(meta.size)),
                    _ => Err(self.failed(object_store::Error::Generic { store, source })),
                };
            }
            Err(e) => return Err(self.failed(e)),
        };
        if got.meta.size != self.file.bytes {
            return Err(self.resized(got.meta.size));
        }
        let bytes = got.bytes().await.map_err(|e| self.failed(e))?;
        if bytes.len() as u64 != wanted {
            return Err(self.corrupt("the store returned fewer bytes than it has"));
        }
        Ok(bytes)
    }

    /// The bytes of these ranges before the footer, as they were written; those that lie in the end of the object have been
    /// read already.
    pub(super) async fn get(&mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let body = self.file.bytes - self.file.footer.bytes;
        if ranges.iter().any(|range| range.start > range.end || range.end > body) {
            return Err(self.corrupt("its footer points beyond its pages"));
        }
        let stretches = match &self.whole {
            None => stretches(ranges, body),
            // What lies between is nothing that a decoder asks for: Bloom filters.
            Some(whole) => {
                let until = ranges.iter().map(|range| range.end).max().unwrap_or(0).max(whole.taken);
                let least = ranges.iter().map(|range| range.start).min().unwrap_or(until).min(whole.taken);
                stretches(std::slice::from_ref(&(least..until)), body)
            }
        };
        let read = self.read(&stretches).await?;
        if let Some(whole) = &mut self.whole {
            stretches.iter().zip(&read).for_each(|(stretch, bytes)| whole.take(stretch.start, bytes));
        }
        for (stretch, bytes) in stretches.iter().zip(&read) {
            if let Some(block) = self.blocks.harmed(stretch.start, bytes) {
                let end = (block + BLOCK).min(body);
                return Err(self.corrupt(&format!("bytes {block} to {end} are not what was written (CRC-32C)")));
            }
        }
        let cut = |range: &Range<u64>| {
            let at = stretches.partition_point(|stretch| stretch.end < range.end);
            let begin = stretches[at].start;
            read[at].slice((range.start - begin) as usize..(range.end - begin) as usize)
        };
        Ok(ranges.iter().map(|range| if range.is_empty() { Bytes::new() } else { cut(range) }).collect())
    }

    /// The bytes of these ranges, as they are.
    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let begin = self.file.bytes - self.tail.len() as u64;
        if ranges.iter().all(|range| range.start >= begin) {
            let here = |at: u64| (at - begin) as usize;
            return Ok(ranges.iter().map(|range| self.tail.slice(here(range.start)..here(range.end))).collect());
        }
        let bytes = self.store.get_ranges(&self.path, ranges).await.map_err(|e| self.failed(e))?;
        let whole = |(range, bytes): (&Range<u64>, &Bytes)| range.end - range.start == bytes.len() as u64;
        if bytes.len() != ranges.len() || !ranges.iter().zip(&bytes).all(whole) {
            return Err(self.corrupt("the store returned fewer bytes than it has"));
        }
        Ok(bytes)
    }

    /// All its bytes, in order, as they are.
    pub(super) async fn stream(&self) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let got = self.store.get(&self.path).await.map_err(|e| self.failed(e))?;
        if got.meta.size != self.file.bytes {
            return Err(self.resized(got.meta.size));
        }
        let path = self.path.clone();
        Ok(got.into_stream().map_err(move |e| failed(&path, e)))
    }

    fn failed(&self, error: object_store::Error) -> Error {
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        if is_missing { self.file.lost("is missing").with_source(error) } else { failed(&self.path, error) }
    }

    fn resized(&self, found: u64) -> Error {
        self.corrupt(&format!("it has {found} bytes instead of {}", self.file.bytes))
    }

    pub(super) fn corrupt(&self, what: &str) -> Error {
        self.file.lost(&format!("is damaged: {what}"))
    }
}

fn failed(path: &Path, error: object_store::Error) -> Error {
    store_error(error, &format!("cannot read {path}"))
}

/// The blocks in which these ranges lie, those that touch joined; before `body`.
fn stretches(ranges: &[Range<u64>], body: u64) -> Vec<Range<u64>> {
    let wanted = ranges.iter().filter(|range| !range.is_empty());
    let mut blocks: Vec<_> =
        wanted.map(|range| range.start / BLOCK * BLOCK..(range.end.div_ceil(BLOCK) * BLOCK).min(body)).collect();
    blocks.sort_by_key(|blocks| blocks.start);
    let mut stretches: Vec<Range<u64>> = Vec::with_capacity(blocks.len());
    for blocks in blocks {
        match stretches.last_mut() {
            Some(last) if blocks.start <= last.end => last.end = last.end.max(blocks.end),
            _ => stretches.push(blocks),
        }
    }
    stretches
}

/// What the footer says under `key`.
pub(super) fn note<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let notes = metadata.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == key)?.value.as_deref()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_are_whole_blocks_apart_from_each_other_and_have_every_byte_that_is_wanted(
            body in 1..2_000_000u64,
            ranges in proptest::collection::vec((any::<prop::sample::Index>(), 0..200_000u64), 0..8),
        ) {
            let ranges: Vec<_> = ranges.iter().map(|(at, length)| {
                let from = at.index(body as usize) as u64;
                from..(from + length).min(body)
            }).collect();
            let found = stretches(&ranges, body);
            let block = |at: u64| at / BLOCK;
            let mut expected: Vec<u64> = ranges.iter().filter(|range| !range.is_empty())
                .flat_map(|range| block(range.start)..=block(range.end - 1)).collect();
            expected.sort_unstable();
            expected.dedup();
            let blocks: Vec<u64> = found.iter().flat_map(|range| block(range.start)..=block(range.end - 1)).collect();
            prop_assert_eq!(blocks, expected);
            prop_assert!(found.iter().all(|range| range.start % BLOCK == 0 && (range.end % BLOCK == 0 || range.end == body)));
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
