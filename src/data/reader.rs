//! [`FileReader`]: the batches of a data file, whole or in part, from any store, by ranged reads.
//!
//! The Parquet decoder asks for byte ranges and is handed them; it does no I/O of its own.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{Fields, Schema, SchemaRef},
};
use futures::{Stream, stream};
use object_store::ObjectStore;
use parquet::{
    DecodeResult,
    arrow::{
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection},
        push_decoder::ParquetPushDecoder,
    },
    bloom_filter::Sbbf,
};

use super::{
    CONTENT, DataFile, StoredFile,
    object::{Object, note},
    wanted::{Rows, WantedRows, bloom_filter, group_may_hold, pages_that_may_hold},
};
use crate::{
    content::ContentDigest,
    error::{Error, Result},
};

/// Reads one data file.
///
/// Holds the wanted columns of one row group, compressed, one batch, and the end of the object: 64 to 128 KiB, or the footer if
/// that is larger. Row groups whose statistics say that no row can be wanted are not read, nor, where single documents are
/// wanted, pages and row groups whose statistics or Bloom filter say so.
///
/// Guarantee: what it gives is what was written. Every byte that it decodes was compared with a checksum first. Where all rows and
/// columns are wanted, the SHA-256 of the whole was compared, too, before it says that there are no more.
#[derive(Debug)]
pub struct FileReader {
    object: Object,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    wanted: WantedRows,
    /// Row groups that are still to be read, and which rows of them.
    groups: VecDeque<(usize, Option<RowSelection>)>,
    /// Of the row group that is being read.
    decoder: Option<ParquetPushDecoder>,
    /// Rows of that row group that were not given yet.
    left: u64,
    failed: bool,
}

impl FileReader {
    /// Reads the footer of `file`.
    ///
    /// # Errors
    /// Corrupt, if the object is gone, damaged, or has not the size that `file` says; Access and Unavailable, as the store
    /// says.
    pub async fn open(store: Arc<dyn ObjectStore>, file: &DataFile, wanted: &WantedRows) -> Result<Self> {
        Self::open_stored(store, file.into(), wanted).await
    }

    /// The same, where no more than that is known of the file.
    pub(crate) async fn open_stored(
        store: Arc<dyn ObjectStore>,
        file: StoredFile,
        wanted: &WantedRows,
    ) -> Result<Self> {
        let mut object = Object::new(store, file)?;
        let metadata = Arc::new(object.metadata(wanted.ids.is_some()).await?);
        let metadata = object.decode(|| ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default()))?;
        let fields = metadata.schema().fields();
        // Without what the footer notes beside the columns: batches of all files of a schema are alike.
        let fields: Fields = wanted.places(metadata.schema()).into_iter().map(|place| fields[place].clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let groups: Vec<_> = groups.filter(|(_, group)| group_may_hold(group, wanted)).map(|(i, _)| i).collect();
        if wanted.is_everything() {
            object.read_whole();
        }
        let mut reader = Self {
            object,
            metadata,
            schema,
            wanted: wanted.clone(),
            groups: VecDeque::with_capacity(groups.len()),
            decoder: None,
            left: 0,
            failed: false,
        };
        for group in groups {
            reader.choose(group).await?;
        }
        Ok(reader)
    }

    /// Puts a row group on the list, unless a closer look says that it holds no wanted document.
    async fn choose(&mut self, group: usize) -> Result<()> {
        if self.wanted.ids.is_none() {
            self.groups.push_back((group, None));
            return Ok(());
        }
        let rows = match pages_that_may_hold(self.metadata.metadata(), group, &self.wanted) {
            Rows::Any => None,
            Rows::Of(rows) => Some(rows),
            Rows::None => return Ok(()),
        };
        if let Some((range, ids)) = bloom_filter(self.metadata.metadata().row_group(group), &self.wanted) {
            let bytes = self.object.get(&[range]).await?;
            let filter = self.object.decode(|| Sbbf::from_bytes(bytes.first().map_or(&[], |bytes| bytes.as_ref())))?;
            if !ids.iter().any(|id| filter.check(id.as_str())) {
                return Ok(());
            }
        }
        self.groups.push_back((group, rows));
        Ok(())
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What its writer says that the documents in it are; `None` if it took no digest of them.
    ///
    /// # Errors
    /// Corrupt, if the digest is none.
    #[doc(hidden)]
    pub fn content(&self) -> Result<Option<ContentDigest>> {
        let text = note(self.metadata.metadata(), CONTENT);
        let wrong = |e| self.object.corrupt("its content digest cannot be read").with_source(e);
        text.map(|text| serde_json::from_str(text).map_err(wrong)).transpose()
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

    /// After an error: goes on behind the row group that could not be read, and compares the SHA-256 no more. Whether another
    /// group follows, and how many rows of that one were not given.
    pub(crate) fn pass_group(&mut self) -> (bool, u64) {
        (self.decoder, self.failed) = (None, false);
        self.object.read_in_part();
        (!self.groups.is_empty(), std::mem::take(&mut self.left))
    }

    async fn step(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut decoder = match self.decoder.take() {
                Some(decoder) => decoder,
                None => match self.groups.pop_front() {
                    None => {
                        self.object.end().await?;
                        return Ok(None);
                    }
                    Some((group, rows)) => {
                        self.left = self.metadata.metadata().row_group(group).num_rows().max(0) as u64;
                        self.object.decode(|| self.wanted.decoder(&self.metadata, group, rows))?
                    }
                },
            };
            match self.object.decode(|| decoder.try_decode())? {
                DecodeResult::Data(batch) => {
                    self.decoder = Some(decoder);
                    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    let (schema, columns) = (Arc::clone(&self.schema), batch.columns().to_vec());
                    self.left = self.left.saturating_sub(batch.num_rows() as u64);
                    let batch =
                        self.object.decode(|| Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?))?;
                    return Ok(Some(batch));
                }
                DecodeResult::Finished => self.left = 0,
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.object.get(&ranges).await?;
                    self.object.decode(|| decoder.push_ranges(ranges, bytes))?;
                    self.decoder = Some(decoder);
                }
            }
        }
    }

    /// The same as a stream; it ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut reader| async move { Ok(reader.next().await?.map(|batch| (batch, reader))) })
    }
}
