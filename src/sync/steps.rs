//! From the second stage to the third: what to do, in order, with a bound on the rows that wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{file_rows::FileRows, tables::KnownTable};
use crate::{
    archive::Draft,
    content::ContentDigest,
    data::NewFile,
    error::Error,
    layout,
    position::{Phase, Walk},
    schema::Misfits,
};

/// Permits of a semaphore count KiB: its largest number is too small for bytes.
pub(super) const PERMIT: usize = 1024;

/// How far the writer is with a file, while it grows: told by the third stage, read by the second.
#[derive(Debug, Default)]
pub(super) struct FileProgress {
    /// Stored bytes, those of the open row group anticipated.
    stored: AtomicU64,
    /// Bytes of the batches that were taken for it.
    taken: AtomicU64,
}

impl FileProgress {
    pub(super) fn tell(&self, stored: u64, taken: u64) {
        self.stored.store(stored, Ordering::Relaxed);
        self.taken.fetch_add(taken, Ordering::Relaxed);
    }

    /// Roughly the stored bytes of the file once everything that was sent is written: what still waits is taken to
    /// shrink to a third, as most documents do.
    pub(super) fn stored_of(&self, sent: u64) -> u64 {
        let waiting = sent.saturating_sub(self.taken.load(Ordering::Relaxed));
        self.stored.load(Ordering::Relaxed) + waiting / 3
    }
}

/// What to do next. Between `Open` and `Close` come the rows of one file; there are no others.
pub(super) enum Step {
    /// Begins a file.
    Open { file: NewFile, schema: SchemaRef, progress: Arc<FileProgress> },
    /// The next rows of the open file, and the memory that they hold.
    Rows { batch: RecordBatch, held: OwnedSemaphorePermit },
    /// Ends the open file.
    Close { misfits: Misfits, content: Option<ContentDigest> },
    /// Commits what was written since the last commit, with this.
    Commit(Box<Draft>),
}

/// Why the second stage ends before its pages do.
pub(super) enum Halt {
    /// The third has ended; why, it will say itself.
    WriterEnded,
    /// A page makes no sense.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The sending end, for a thread that may block.
pub(super) struct Steps {
    queue: mpsc::Sender<Step>,
    memory: Arc<Semaphore>,
    permits: usize,
    runtime: Handle,
    names: FileNames,
}

/// Names no file twice: by the id of who writes, and a counter.
struct FileNames {
    writer: String,
    counter: u32,
}

impl FileNames {
    fn next(&mut self) -> u32 {
        self.counter += 1;
        self.counter - 1
    }
}

impl Steps {
    /// A queue in which rows of about `bytes` wait at most, of files that the run `writer` writes. Their consumer never waits
    /// for the producer, so waiting for room cannot deadlock.
    pub(super) fn channel(bytes: u64, runtime: Handle, writer: &str) -> (Self, mpsc::Receiver<Step>) {
        let (queue, steps) = mpsc::channel(256);
        let permits = (bytes as usize / PERMIT).max(1);
        let names = FileNames { writer: writer.to_owned(), counter: 0 };
        (Self { queue, memory: Arc::new(Semaphore::new(permits)), permits, runtime, names }, steps)
    }

    /// A new file of the base that `walk` becomes.
    pub(super) fn snapshot_file(&mut self, known: &KnownTable, walk: &Walk, rows: &FileRows) -> NewFile {
        let counter = self.names.next();
        NewFile {
            path: layout::snapshot_file(&known.folder, &walk.month, &walk.base, counter, &self.names.writer),
            table: known.table.clone(),
            phase: Phase::Snapshot,
            base: Some(walk.base.clone()),
            month: walk.month.clone(),
            encoding: rows.encoding,
            repeats: false,
            schema_id: rows.schema_id,
        }
    }

    /// A new file of deltas.
    pub(super) fn delta_file(&mut self, known: &KnownTable, rows: &FileRows) -> NewFile {
        let counter = self.names.next();
        NewFile {
            path: layout::delta_file(&known.folder, rows.first_ts, counter, &self.names.writer),
            table: known.table.clone(),
            phase: Phase::Delta,
            base: None,
            month: layout::month_of(rows.first_ts),
            encoding: rows.encoding,
            repeats: false,
            schema_id: rows.schema_id,
        }
    }

    pub(super) fn send(&mut self, step: Step) -> Result<(), Halt> {
        self.queue.blocking_send(step).map_err(|_| Halt::WriterEnded)
    }

    pub(super) fn send_rows(&mut self, batch: RecordBatch) -> Result<(), Halt> {
        let size = (batch.get_array_memory_size() / PERMIT + 1).min(self.permits) as u32;
        let held = self.runtime.block_on(Arc::clone(&self.memory).acquire_many_owned(size));
        let held = held.map_err(|_| Halt::WriterEnded)?;
        self.send(Step::Rows { batch, held })
    }
}
