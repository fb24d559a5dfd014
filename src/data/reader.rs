//! [`FileReader`]: the batches of a data file, whole or in part, from any store, by ranged reads.
//!
//! The Parquet decoder asks for byte ranges and is handed them; it does no I/O of its own.

use std::{collections::VecDeque, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, stream};
use object_store::ObjectStore;
use parquet::{
    DecodeResult,
    arrow::{
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        push_decoder::ParquetPushDecoder,
    },
};

use super::{
    DataFile,
    object::Object,
    wanted::{Wanted, group_may_hold},
};
use crate::error::{Error, Result};

/// Reads one data file.
///
/// Holds the wanted columns of one row group, compressed, one batch, and the last 64 KiB of the object. Row groups whose
/// statistics say that no row can be wanted are not read, nor, where single documents are wanted, pages and row groups
/// whose statistics or Bloom filter say so. Of damage it sees what Parquet sees; `sha256` of a [`DataFile`] is not
/// checked here.
#[derive(Debug)]
pub struct FileReader {
    object: Object,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    wanted: Wanted,
    /// Row groups that are still to be read.
    groups: VecDeque<usize>,
    /// Of the row group that is being read.
    decoder: Option<ParquetPushDecoder>,
    failed: bool,
}

impl FileReader {
    /// Reads the footer of `file`.
    ///
    /// # Errors
    /// NotFound, if the object is gone; Corrupt, if it is damaged or has not the size that `file` says; Access and
    /// Unavailable, as the store says.
    pub async fn open(store: Arc<dyn ObjectStore>, file: &DataFile, wanted: &Wanted) -> Result<Self> {
        Self::open_object(store, &file.path, file.bytes, wanted).await
    }

    /// The same, of the object at `path` that has `bytes` bytes.
    pub(crate) async fn open_object(
        store: Arc<dyn ObjectStore>,
        path: &str,
        bytes: u64,
        wanted: &Wanted,
    ) -> Result<Self> {
        let mut object = Object::new(store, path, bytes)?;
        let metadata = Arc::new(object.metadata(wanted.ids.is_some()).await?);
        let metadata = object.decode(|| ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default()))?;
        let schema = object.decode(|| Ok(Arc::new(metadata.schema().project(&wanted.places(metadata.schema()))?)))?;
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| group_may_hold(group, wanted)).map(|(i, _)| i).collect();
        Ok(Self { object, metadata, schema, wanted: wanted.clone(), groups, decoder: None, failed: false })
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
        if std::mem::replace(&mut self.failed, true) {
            return Err(Error::internal("a data file that could not be read was read on").context(self.object.path()));
        }
        let batch = self.step().await?;
        self.failed = false;
        Ok(batch)
    }

    async fn step(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut decoder = match self.decoder.take() {
                Some(decoder) => decoder,
                None => match self.groups.pop_front() {
                    None => return Ok(None),
                    Some(group) => match self.open_group(group).await? {
                        Some(decoder) => decoder,
                        None => continue,
                    },
                },
            };
            match self.object.decode(|| decoder.try_decode())? {
                DecodeResult::Data(batch) => {
                    self.decoder = Some(decoder);
                    return Ok(Some(batch));
                }
                DecodeResult::Finished => {}
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.object.get(&ranges).await?;
                    self.object.decode(|| decoder.push_ranges(ranges, bytes))?;
                    self.decoder = Some(decoder);
                }
            }
        }
    }

    /// The decoder of a row group; `None` if a look at it says that it holds nothing that is wanted.
    async fn open_group(&mut self, group: usize) -> Result<Option<ParquetPushDecoder>> {
        self.object.decode(|| self.wanted.decoder(&self.metadata, group, None)).map(Some)
    }

    /// The same as a stream; it ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut reader| async move { Ok(reader.next().await?.map(|batch| (batch, reader))) })
    }
}
