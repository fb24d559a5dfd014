//! Third stage: writes the files and makes the commits, strictly one after another. It alone owns the head.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use object_store::ObjectStore;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    correct,
    input::RunInput,
    notice,
    options::OnSuspicion,
    run::SyncRun,
    same_database,
    steps::{FileProgress, Step},
};
use crate::{
    archive::{Archive, Counts, Draft, TableEntry},
    data::{DataFile, FileWriter, WriterOptions},
    document::{Timestamp, table_number},
    error::{Error, Result},
    monitor::{Event, Monitor},
    store,
};

/// Files that are completed at the same time. A store answers a put, and a disk a sync, after milliseconds in which nothing
/// else would happen, and deltas of hundreds of tables end as many files at once. They hold what was gathered; a snapshot
/// file is as large as many others and is rarely among them.
const CLOSING: usize = 8;
/// Columns that they have together, unless it is one file: a column of an open file takes some 100 KiB, whatever it holds.
const CLOSING_COLUMNS: usize = 512;
/// A file that was complete so long ago is looked for before a commit names it: who clears away what no commit names leaves
/// younger ones alone.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

struct Writer<'a> {
    input: &'a RunInput<'a>,
    archive: &'a Archive,
    run: &'a mut SyncRun,
    options: WriterOptions,
    monitor: Arc<dyn Monitor>,
    /// Files to which no row will come, oldest first: their last bytes are on the way.
    closing: VecDeque<ClosingFile>,
    open: Option<OpenFile>,
    /// Complete, and not yet in a commit; and since when, by the wall clock: it goes on where a machine sleeps.
    files: Vec<(DataFile, Timestamp)>,
}

/// The file to which rows come.
struct OpenFile {
    writer: FileWriter,
    progress: Arc<FileProgress>,
    columns: usize,
}

/// A file to which no row will come.
struct ClosingFile {
    done: JoinHandle<Result<DataFile>>,
    columns: usize,
}

/// Does all steps; `run` moves on with every commit. After an error nothing is open, and nothing counts since the last
/// commit.
pub(super) async fn write(input: &RunInput<'_>, run: &mut SyncRun, mut steps: mpsc::Receiver<Step>) -> Result<()> {
    let &RunInput { archive, options, ref monitor, .. } = input;
    let options = WriterOptions { compression_level: options.compression_level, ..options.budget.into() };
    let mut writer = Writer {
        input,
        archive,
        run,
        options,
        monitor: Arc::clone(monitor),
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
    run.advisory.write(archive, &mut run.head, monitor.as_ref()).await;
    Ok(())
}

/// Looks whether the files that were complete long ago are still there.
///
/// # Errors
/// Unavailable, if one is not.
async fn check_old(store: &dyn ObjectStore, files: &[(DataFile, Timestamp)], now: Timestamp) -> Result<()> {
    let old = |since: Timestamp| i128::from(now.0) - i128::from(since.0) > OLD.as_nanos() as i128;
    for (file, _) in files.iter().filter(|(_, since)| old(*since)) {
        if !store::exists(store, &file.path).await? {
            let path = &file.path;
            return Err(Error::unavailable(format!(
                "{path} was written more than a day ago and was deleted before a commit named it; run again, nothing \
                 is lost"
            )));
        }
    }
    Ok(())
}

impl Writer<'_> {
    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Open { file, schema, progress } => {
                let (store, monitor) = (Arc::clone(self.archive.store()), Arc::clone(&self.monitor));
                let columns = schema.flattened_fields().len();
                while self.columns_closing() + columns > CLOSING_COLUMNS && !self.closing.is_empty() {
                    self.close_oldest().await?;
                }
                let writer = FileWriter::open(store, file, schema, self.options, monitor)?;
                self.open = Some(OpenFile { writer, progress, columns });
            }
            Step::Rows { batch, held } => {
                let Some(OpenFile { writer: file, progress, .. }) = &mut self.open else {
                    return Err(Error::internal("rows without a file"));
                };
                let size = batch.get_array_memory_size() as u64;
                file.write(batch).await?;
                progress.tell(file.bytes(), size);
                drop(held);
            }
            Step::Close { misfits, content } => {
                let Some(OpenFile { writer: file, columns, .. }) = self.open.take() else {
                    return Err(Error::internal("no file to close"));
                };
                if self.closing.len() == CLOSING {
                    self.close_oldest().await?;
                }
                self.closing.push_back(ClosingFile { done: tokio::spawn(file.close(misfits, content)), columns });
            }
            Step::Commit(draft) => self.commit(*draft).await?,
        }
        Ok(())
    }

    /// Columns of the files that are being completed.
    fn columns_closing(&self) -> usize {
        self.closing.iter().map(|file| file.columns).sum()
    }

    /// Waits until the file that was to be completed first is complete.
    async fn close_oldest(&mut self) -> Result<()> {
        let Some(closing) = self.closing.pop_front() else { return Ok(()) };
        let file =
            closing.done.await.map_err(|e| Error::internal("the writer of a data file panicked").with_source(e))??;
        self.monitor.report(Event::File { table: &file.table, path: &file.path, rows: file.rows, bytes: file.bytes });
        self.files.push((file, Timestamp::now()));
        Ok(())
    }

    async fn commit(&mut self, draft: Draft) -> Result<()> {
        while !self.closing.is_empty() {
            self.close_oldest().await?;
        }
        let files = std::mem::take(&mut self.files);
        check_old(self.archive.store().as_ref(), &files, Timestamp::now()).await?;
        let files: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
        let mut added = Counts::default();
        for file in &files {
            added = added.plus(file.into());
            self.run.counts.tables.insert(file.table.clone());
        }
        let mut draft = self.with_numbers(Draft { add: files, ..draft }).await?;
        self.notice(&mut draft).await?;
        if !draft.add.is_empty() || !draft.suspects.is_empty() {
            same_database::check(self.run, self.input).await?;
        }
        let idle = draft.add.is_empty();
        let corrected = correct::correct_by_walk(self.run, &mut draft);
        self.run.commit(self.archive, draft).await?;
        correct::corrected(self.run, self.input, corrected);
        self.run.watch.write(self.archive, idle, self.monitor.as_ref()).await;
        self.run.counts.rows = self.run.counts.rows.plus(added);
        let head = &self.run.head;
        self.monitor.report(Event::Commit {
            version: head.version(),
            files: added.files,
            rows: added.rows,
            through: head.progress().delta.as_ref().map(|d| d.ts),
        });
        self.run.advisory.write_if_due(self.archive, &mut self.run.head, self.monitor.as_ref()).await;
        Ok(())
    }

    /// Says what the change log does not tell, once it has told everything: which tables are suspect, and that somebody watched.
    ///
    /// # Errors
    /// Protocol, if a table is suspect, and that is not to be archived.
    async fn notice(&mut self, draft: &mut Draft) -> Result<()> {
        let Some(cursor) = draft.progress.delta.as_ref().filter(|_| draft.caught_up).map(|delta| delta.ts) else {
            return Ok(());
        };
        let heard = self.run.watch.ask(&self.run.head, cursor, self.input).await;
        draft.guarded = heard.guarded;
        let suspects = notice::suspects(&self.run.head, draft, &heard, &self.run.watch);
        if let (OnSuspicion::Fail, Some((table, why))) = (self.input.options.on_suspicion, suspects.first()) {
            return Err(notice::refused(table, why));
        }
        notice::say(&self.run.head, draft, suspects);
        Ok(())
    }

    /// Says which number the ids of a table bear, once one was seen, and when another one comes.
    async fn with_numbers(&self, mut draft: Draft) -> Result<Draft> {
        let head = &self.run.head;
        let mut found = BTreeMap::new();
        // Which row is the newest would have to be read. So the first number that is not known yet counts, and later files do not
        // override it; files with nothing but tombstones may speak of a table that is gone.
        for file in draft.add.iter().filter(|file| file.rows > file.tombstones) {
            let known = head.table(&file.table).and_then(|state| state.number);
            let numbers = [&file.min_id, &file.max_id].into_iter().flatten().filter_map(|id| table_number(id));
            for number in numbers.filter(|number| Some(*number) != known) {
                found.entry(file.table.clone()).or_insert(number);
            }
        }
        for (table, number) in found {
            if let Some(entry) = draft.tables.iter_mut().find(|entry| entry.table == table) {
                entry.number = Some(number);
            } else if let Some(state) = head.table(&table) {
                let schema = self.archive.schema(head, &table).await?.as_ref().clone();
                draft.tables.push(TableEntry::new(table, state.folder.clone(), Some(number), schema));
            }
        }
        Ok(draft)
    }

    async fn abandon(&mut self) {
        if let Some(OpenFile { writer, .. }) = self.open.take() {
            writer.abandon().await;
        }
        for ClosingFile { done: closing, .. } in self.closing.drain(..) {
            // Dropped on the way, its upload is aborted; complete, it is a file that nobody names.
            closing.abort();
            let _ = closing.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

    use super::*;
    use crate::{archive::testing::delta, error::ErrorKind};

    #[tokio::test]
    async fn a_file_that_was_complete_a_day_ago_is_looked_for_before_it_is_committed() {
        let store = InMemory::new();
        let file = delta("a", 1, 1, 1);
        let since = Timestamp(1_795_434_575_000_000_000);
        let [young, old] = [0, 1].map(|more| Timestamp(since.0 + OLD.as_nanos() as i64 + more));
        let files = [(file.clone(), since)];
        check_old(&store, &files, young).await.unwrap();
        let error = check_old(&store, &files, old).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains(&file.path), "{error}");
        store.put(&Path::from(file.path.as_str()), "".into()).await.unwrap();
        check_old(&store, &files, old).await.unwrap();
    }
}
