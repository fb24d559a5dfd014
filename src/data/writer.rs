//! [`FileWriter`]: record batches → one Parquet object.
//!
//! ```text
//! write() ─ one batch queued ─> encode thread: Parquet, SHA-256 ─ one part queued ─> upload task ─> store
//! ```
//!
//! # Why a thread of its own
//! Encoding is half of the CPU of a sync; on the runtime it would hold up the very uploads that it feeds. The thread is
//! owned by its channels: it ends by itself when the writer is finished, failed or dropped, and is joined through its
//! outcome, since a `Drop` that waits for it could wait for a task of its own runtime.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use object_store::{ObjectStore, path::Path};
use parquet::{arrow::ArrowWriter, errors::ParquetError, file::metadata::KeyValue};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    CONTENT, DataFile,
    blocks::Blocks,
    properties::{self, Rows},
    tally::Tally,
    upload::{Part, PartSink, SentFile, upload},
};
use crate::{
    budget::MemoryBudget,
    content::ContentDigest,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    monitor::Monitor,
    position::{BaseId, Phase},
};

/// A file of fewer rows is spelled as a small one.
const FEW_ROWS: usize = 1_024;

/// What is known of a file before its first row.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The table whose rows it will hold.
    pub table: TableRef,
    /// Path inside the archive, unique for ever: see `layout`.
    pub path: String,
    /// `snapshot` or `delta`.
    pub phase: Phase,
    /// The base that a snapshot file belongs to.
    pub base: Option<BaseId>,
    /// The first day of the UTC month in whose partition it lies, `2026-11-01`.
    pub month: String,
    /// The encoding in which its documents came.
    pub encoding: Encoding,
    /// Whether it only repeats rows that other files hold.
    pub repeats: bool,
    /// The table's schema id under which it is written.
    pub schema_id: u32,
}

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Level of zstd, 1 to 22.
    pub compression_level: i32,
    /// Encoded bytes at which a row group is closed.
    pub row_group_bytes: usize,
    /// Bytes of an upload's part. S3 takes no less than 5 MiB; a smaller object is put at once.
    pub part_bytes: usize,
}

impl From<MemoryBudget> for WriterOptions {
    /// The shares of the budget, and zstd 1.
    fn from(budget: MemoryBudget) -> Self {
        Self { compression_level: 1, row_group_bytes: budget.row_group(), part_bytes: budget.upload_part() }
    }
}

/// Writes one data file.
///
/// Guarantees:
/// 1. The object appears in the store whole, and only by [`close`](Self::close); dropped or failed, it does not appear,
///    and an upload that was opened is aborted.
/// 2. An error of the encoder or the store is returned by the next call, with table and path.
/// 3. It holds at most two batches and a small one, about twice the row group, and three parts.
#[derive(Debug)]
pub struct FileWriter {
    file: NewFile,
    bytes: Arc<AtomicU64>,
    /// None once it has failed.
    running: Option<Pipeline>,
}

#[derive(Debug)]
struct Pipeline {
    work: mpsc::Sender<Work>,
    encoded: oneshot::Receiver<Result<EncodedFile, EncoderStop>>,
    upload: JoinHandle<Result<()>>,
    /// Dropped with the writer: the upload ends and is aborted.
    cancel: oneshot::Sender<Infallible>,
}

#[derive(Debug)]
enum Work {
    Batch(RecordBatch),
    Finish { content: Option<ContentDigest> },
}

#[derive(Debug)]
struct EncodedFile {
    sent: SentFile,
    tally: Tally,
}

#[derive(Debug)]
enum EncoderStop {
    /// The encoder's own failure.
    Failed(Error),
    /// Nobody wants the file any more: the writer was dropped, or the upload failed and knows why.
    Abandoned,
}

impl FileWriter {
    /// Begins a file whose batches have `schema`. Nothing is sent before the first part is full. `monitor`
    /// hears of an upload that could not be aborted.
    ///
    /// # Errors
    /// Internal, outside a tokio runtime or with a path that no store takes; Resource, if there is no thread to be had.
    pub fn open(
        store: Arc<dyn ObjectStore>,
        file: NewFile,
        schema: SchemaRef,
        options: WriterOptions,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        let path = Path::parse(&file.path)
            .map_err(|e| Error::internal(format!("`{}` is not a path of a store", file.path)).with_source(e))?;
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("a data file is written outside the runtime").with_source(e))?;
        let bytes = Arc::new(AtomicU64::new(0));
        let (work, work_queue) = mpsc::channel(1);
        let (parts, part_queue) = mpsc::channel(1);
        let (cancel, cancelled) = oneshot::channel();
        let (outcome, encoded) = oneshot::channel();
        let progress = Arc::clone(&bytes);
        std::thread::Builder::new()
            .name("encode".into())
            // Whoever dropped the writer does not want to know.
            .spawn(move || drop(outcome.send(encode(work_queue, parts, &schema, options, &progress))))
            .map_err(|e| Error::resource("cannot start a thread to write a data file").with_source(e))?;
        let upload = runtime.spawn(upload(store, path, part_queue, cancelled, monitor));
        Ok(Self { file, bytes, running: Some(Pipeline { work, encoded, upload, cancel }) })
    }

    /// The file that is being written.
    pub fn file(&self) -> &NewFile {
        &self.file
    }

    /// Takes the next rows, waiting while the encoder is busy with earlier ones. A batch without rows is nothing.
    ///
    /// Dropping the future before it is ready leaves the batch unwritten and the writer usable.
    ///
    /// # Errors
    /// Whatever went wrong with this or an earlier batch, in the encoder (Internal) or the store (Access, Unavailable,
    /// …). The file is abandoned then.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let Some(running) = &self.running else { return Err(self.named(failed_before())) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if !running.upload.is_finished() && running.work.send(Work::Batch(batch)).await.is_ok() {
            return Ok(());
        }
        let Some(running) = self.running.take() else { return Err(self.named(failed_before())) };
        let error = match running.end().await {
            Err(error) => error,
            Ok(_) => Error::internal("a data file was complete before its last row"),
        };
        Err(self.named(error))
    }

    /// Stored bytes so far and the anticipated bytes of the open row group: what tells when to begin another file. Counts
    /// the batches that are encoded, so it lags by at most two, and a small one.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Completes the object; it is in the store when this returns. `misfits`: per column, by its field id, or by its path where
    /// it has none, per kind of value, how many values of the rows did not fit. `content`, of the documents as they came, stands in the footer.
    ///
    /// # Errors
    /// As [`write`](Self::write); Internal, if there was no row. Nothing appears in the store then, except when the
    /// store completed the object and its answer was lost.
    pub async fn close(
        mut self,
        misfits: BTreeMap<String, BTreeMap<String, u64>>,
        content: Option<ContentDigest>,
    ) -> Result<DataFile> {
        let Some(running) = self.running.take() else { return Err(self.named(failed_before())) };
        // If the encoder is gone, its outcome says why.
        let _ = running.work.send(Work::Finish { content }).await;
        let EncodedFile { sent, tally } = running.end().await.map_err(|e| self.named(e))?;
        let created = tally.created.bounds();
        Ok(DataFile {
            table: self.file.table,
            path: self.file.path,
            phase: self.file.phase,
            base: self.file.base,
            month: self.file.month,
            encoding: self.file.encoding,
            repeats: self.file.repeats,
            bytes: sent.bytes,
            sha256: sent.sha256,
            footer: sent.footer,
            rows: tally.rows,
            tombstones: tally.tombstones,
            rescued_rows: tally.rescued_rows,
            min_ts: Timestamp(tally.min_ts),
            max_ts: Timestamp(tally.max_ts),
            min_created: created.map(|(min, _)| min),
            max_created: created.map(|(_, max)| max),
            min_id: Some(tally.min_id),
            max_id: Some(tally.max_id),
            ids_ascend: tally.ids_ascend,
            schema: self.file.schema_id,
            joined: 0,
            misfits,
            brought_by: None,
            encryption: None,
        })
    }

    /// Gives the file up and waits until an open upload is aborted (at most a few seconds). Dropping does the same
    /// without waiting, which the end of the program may cut short.
    pub async fn abandon(mut self) {
        if let Some(Pipeline { work, upload, cancel, .. }) = self.running.take() {
            drop((work, cancel));
            // It fails by design.
            let _ = upload.await;
        }
    }

    fn named(&self, error: Error) -> Error {
        error.context(format!("table {}, file {}", self.file.table, self.file.path))
    }
}

impl Pipeline {
    /// Waits for both halves. After an error nothing of the upload is left.
    async fn end(self) -> Result<EncodedFile> {
        let Self { work, encoded, upload, cancel } = self;
        drop(work);
        let error = match encoded.await {
            Ok(Ok(encoded)) => return joined(upload.await).map(|()| encoded),
            Ok(Err(EncoderStop::Abandoned)) => None,
            Ok(Err(EncoderStop::Failed(error))) => Some(error),
            Err(_) => Some(Error::internal("the encoder of a data file panicked")),
        };
        drop(cancel);
        let uploaded = joined(upload.await);
        match (error, uploaded) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::internal("a data file was complete before its last row")),
        }
    }
}

fn joined(upload: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    upload.unwrap_or_else(|e| Err(Error::internal("the upload of a data file panicked").with_source(e)))
}

fn failed_before() -> Error {
    Error::internal("a data file that has failed was written to")
}

/// The encode thread.
fn encode(
    mut work: mpsc::Receiver<Work>,
    parts: mpsc::Sender<Part>,
    schema: &SchemaRef,
    options: WriterOptions,
    bytes: &AtomicU64,
) -> Result<EncodedFile, EncoderStop> {
    let first = match work.blocking_recv() {
        Some(Work::Batch(batch)) => batch,
        Some(Work::Finish { .. }) => {
            return Err(EncoderStop::Failed(Error::internal("a data file was closed without a row")));
        }
        None => return Err(EncoderStop::Abandoned),
    };
    let failed = |e: ParquetError| {
        // The sink fails only when the upload is gone, and that knows why.
        if parts.is_closed() {
            return EncoderStop::Abandoned;
        }
        EncoderStop::Failed(Error::internal("rows could not be encoded as Parquet").with_source(e))
    };
    // Of few rows, what comes next tells whether they are all that there will be.
    let mut ahead = (first.num_rows() < FEW_ROWS).then(|| work.blocking_recv());
    let are_all = matches!(ahead, Some(Some(Work::Finish { .. })));
    let rows = if are_all { Rows::All(&first) } else { Rows::First(&first) };
    let properties = properties::choose(rows, options.compression_level, options.row_group_bytes);
    let properties = properties.map_err(EncoderStop::Failed)?;
    let sink = PartSink::new(parts.clone(), options.part_bytes);
    let mut writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties)).map_err(failed)?;
    let mut tally = Tally::default();
    let mut next = Some(Work::Batch(first));
    let content = loop {
        match next {
            Some(Work::Batch(batch)) => {
                tally.add(&batch).map_err(EncoderStop::Failed)?;
                writer.write(&batch).map_err(failed)?;
            }
            Some(Work::Finish { content }) => break content,
            None => return Err(EncoderStop::Abandoned),
        }
        // The first is what the row group will take in the store; the second is nearer to what it takes here, and much
        // larger where a wide table's dictionaries are.
        if writer.in_progress_size() >= options.row_group_bytes || writer.memory_size() >= 2 * options.row_group_bytes {
            writer.flush().map_err(failed)?;
        }
        bytes.store((writer.bytes_written() + writer.in_progress_size()) as u64, Ordering::Relaxed);
        next = ahead.take().unwrap_or_else(|| work.blocking_recv());
    };
    writer.flush().map_err(failed)?;
    // So that the sink has all of it before it is told that the footer follows.
    writer.sync().map_err(|_| EncoderStop::Abandoned)?;
    let blocks = writer.inner_mut().begin_footer();
    let mut note = |key: &str, value| writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    note(Blocks::KEY, blocks.to_text());
    if let Some(content) = content {
        note(CONTENT, serde_json::json!(content).to_string());
    }
    let sink = writer.into_inner().map_err(failed)?;
    let sent = sink.finish().map_err(|_| EncoderStop::Abandoned)?;
    bytes.store(sent.bytes, Ordering::Relaxed);
    Ok(EncodedFile { sent, tally })
}
