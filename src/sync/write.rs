//! Third stage: writes the files and makes the commits, strictly one after another. It alone owns the head.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Given, Work,
    steps::{FileProgress, Step},
};
use crate::{
    archive::{Archive, Counts, Draft, Head},
    data::{DataFile, FileWriter, WriterOptions},
    error::{Error, Result},
    monitor::{Event, Monitor},
};

/// `manifest.json` is rewritten while the run goes on at most as often as its writing takes this part of the time.
const MANIFEST_SHARE: u32 = 100;
/// … and not more often than this.
const MANIFEST_PAUSE: Duration = Duration::from_secs(60);

/// Files that are completed at the same time. A store answers a put, and a disk a sync, after milliseconds in which nothing
/// else would happen, and deltas of hundreds of tables end as many files at once. They hold what was gathered; a snapshot
/// file is as large as many others and is rarely among them.
const CLOSING: usize = 8;

struct Writer<'a> {
    archive: &'a Archive,
    work: &'a mut Work,
    options: WriterOptions,
    monitor: &'a dyn Monitor,
    /// Files to which no row will come, oldest first: their last bytes are on the way.
    closing: VecDeque<JoinHandle<Result<DataFile>>>,
    open: Option<(FileWriter, Arc<FileProgress>)>,
    /// Complete, and not yet in a commit.
    files: Vec<DataFile>,
}

/// When `manifest.json` is written again, and which version it shows. It is advisory: a failure is told, and the next run
/// writes it again.
pub(super) struct Advisory {
    due: Instant,
    version: u64,
}

impl Advisory {
    pub(super) fn of(version: u64) -> Self {
        Self { due: Instant::now() + MANIFEST_PAUSE, version }
    }

    /// Writes it, if it shows another version than `head`.
    pub(super) async fn write(&mut self, archive: &Archive, head: &Head, monitor: &dyn Monitor) {
        if self.version == head.version() {
            return;
        }
        let begin = Instant::now();
        match archive.write_manifest(head).await {
            Ok(()) => self.version = head.version(),
            Err(error) => {
                let message = format!("manifest.json was not rewritten, and shows an older version: {error}");
                monitor.report(Event::Warning { message: &message });
            }
        }
        self.due = Instant::now() + MANIFEST_PAUSE.max(begin.elapsed() * MANIFEST_SHARE);
    }
}

/// Does all steps; `work` moves on with every commit. After an error nothing is open, and nothing counts since the last
/// commit.
pub(super) async fn write(given: &Given<'_>, work: &mut Work, mut steps: mpsc::Receiver<Step>) -> Result<()> {
    let &Given { archive, options, ref monitor, .. } = given;
    let options = WriterOptions { compression_level: options.compression_level, ..options.budget.into() };
    let mut writer = Writer {
        archive,
        work,
        options,
        monitor: monitor.as_ref(),
        closing: VecDeque::new(),
        open: None,
        files: Vec::new(),
    };
    while let Some(step) = steps.recv().await {
        if let Err(error) = writer.step(step).await {
            // The stages before notice that nobody takes their steps any more.
            steps.close();
            writer.abandon().await;
            return Err(error);
        }
    }
    // The stage before may have failed between two steps.
    writer.abandon().await;
    // Also after a failure of the deployment: what was committed counts.
    work.advisory.write(archive, &work.head, monitor.as_ref()).await;
    Ok(())
}

impl Writer<'_> {
    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Open { file, schema, progress } => {
                let store = Arc::clone(self.archive.store());
                self.open = Some((FileWriter::open(store, file, schema, self.options)?, progress));
            }
            Step::Rows { batch, held } => {
                let Some((file, progress)) = &mut self.open else {
                    return Err(Error::internal("rows without a file"));
                };
                let size = batch.get_array_memory_size() as u64;
                file.write(batch).await?;
                progress.tell(file.bytes(), size);
                drop(held);
            }
            Step::Close { misfits, content } => {
                let Some((file, _)) = self.open.take() else { return Err(Error::internal("no file to close")) };
                if self.closing.len() == CLOSING {
                    self.close_oldest().await?;
                }
                self.closing.push_back(tokio::spawn(file.close(misfits, content)));
            }
            Step::Commit(draft) => self.commit(*draft).await?,
        }
        Ok(())
    }

    /// Waits until the file that was to be completed first is complete.
    async fn close_oldest(&mut self) -> Result<()> {
        let Some(closing) = self.closing.pop_front() else { return Ok(()) };
        let file =
            closing.await.map_err(|e| Error::internal("the writer of a data file panicked").with_source(e))??;
        self.monitor.report(Event::File { table: &file.table, path: &file.path, rows: file.rows, bytes: file.bytes });
        self.files.push(file);
        Ok(())
    }

    async fn commit(&mut self, draft: Draft) -> Result<()> {
        while !self.closing.is_empty() {
            self.close_oldest().await?;
        }
        let files = std::mem::take(&mut self.files);
        let mut added = Counts::default();
        for file in &files {
            added = added.plus(Counts {
                files: 1,
                bytes: file.bytes,
                rows: file.rows,
                tombstones: file.tombstones,
                rescued_rows: file.rescued_rows,
            });
            self.work.sum.tables.insert(file.table.clone());
        }
        let draft = Draft { add: files, ..draft };
        self.work.commit(self.archive, draft).await?;
        self.work.sum.rows = self.work.sum.rows.plus(added);
        let head = &self.work.head;
        self.monitor.report(Event::Commit {
            version: head.version(),
            files: added.files,
            rows: added.rows,
            through: head.progress().delta.as_ref().map(|d| d.ts),
        });
        if Instant::now() >= self.work.advisory.due {
            self.work.advisory.write(self.archive, &self.work.head, self.monitor).await;
        }
        Ok(())
    }

    async fn abandon(&mut self) {
        if let Some((file, _)) = self.open.take() {
            file.abandon().await;
        }
        for closing in self.closing.drain(..) {
            // Dropped on the way, its upload is aborted; complete, it is a file that nobody names.
            closing.abort();
            let _ = closing.await;
        }
    }
}
