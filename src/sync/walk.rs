//! The snapshot half of the gathering: one table after another, so that rows go on to their file at once.

use std::sync::Arc;

use super::{
    commit::NextCommit,
    fetch::{FetchedPage, snapshot_without_moment},
    file_rows::{FileRows, IncomingRow},
    steps::{FileProgress, Halt, Step, Steps},
    tables::{Tables, stopped_in},
};
use crate::{
    archive::{Base, Head},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    layout,
    monitor::{Event, Monitor},
    position::{BaseId, Scope, Walk},
    schema::misfits_by_id,
    selection::Selection,
};

/// The walk that is open, if one is, and the file that it writes.
pub(super) struct SnapshotWalk {
    walk: Option<Walk>,
    /// The id of the archive's first base, if this run begins it.
    first_base: BaseId,
    /// The table in which an earlier run stopped the walk: a row of another one, or the end, says that it is finished.
    stopped_in: Option<TableRef>,
    file: Option<SnapshotFile>,
    /// Stored bytes at which a file ends.
    target_file_bytes: u64,
    monitor: Arc<dyn Monitor>,
}

/// The file of the table that the snapshot is at.
struct SnapshotFile {
    /// The number of its table.
    table: usize,
    rows: FileRows,
    /// Bytes of the batches that were sent on, and how far the writer is; absent until the first batch.
    sent: Option<(u64, Arc<FileProgress>)>,
}

impl SnapshotWalk {
    /// Goes on with `walk`, or begins the archive's first one with the first page that comes; `writer` is the run's id.
    pub(super) fn new(
        head: &Head,
        walk: Option<Walk>,
        writer: &str,
        target_file_bytes: u64,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        Self {
            stopped_in: walk.as_ref().and_then(|walk| stopped_in(head, walk)),
            walk,
            first_base: layout::base_id(Timestamp::now(), writer),
            file: None,
            target_file_bytes,
            monitor,
        }
    }

    /// How far the walk is; none once it has ended.
    pub(super) fn progress(&self) -> Option<Walk> {
        self.walk.clone()
    }

    /// Rows of a page go to the file of their table; the position moves with them.
    pub(super) fn page(
        &mut self,
        fetched: &FetchedPage,
        selection: &Selection,
        tables: &mut Tables,
        next: &mut NextCommit,
        steps: &mut Steps,
    ) -> Result<(), Halt> {
        let FetchedPage { page, asked, .. } = fetched;
        let s = page.through.ok_or_else(snapshot_without_moment)?;
        let walk = self.walk.get_or_insert_with(|| Walk {
            base: self.first_base.clone(),
            ts: s,
            month: layout::month_of(fetched.at),
            scope: Scope::All,
            position: asked.clone(),
            done: Vec::new(),
        });
        if walk.ts != s {
            let asked = walk.ts;
            return Err(Error::protocol(format!(
                "a page of the snapshot of {asked} was requested, but one of the snapshot of {s} was sent"
            ))
            .into());
        }
        let scope = walk.scope.clone();
        let numbers = tables.numbers_of(page, |table| selection.contains(table) && scope.contains(table))?;
        let mut texts = page.texts()?;
        for document in &page.documents {
            let Some(table) = numbers[document.table as usize] else { continue };
            if self.file.as_ref().is_none_or(|file| file.table != table) {
                self.finish_table(tables, next, steps)?;
                self.begin_table(table, document.ts, page.encoding, tables)?;
            }
            let Some(file) = &mut self.file else { continue };
            let row = IncomingRow::of(page, document, texts.text(document)?);
            file.rows.push(row, tables.get_mut(table))?;
            self.send_batches(tables, steps)?;
        }
        if self.file.as_ref().is_some_and(|file| file.is_complete(self.target_file_bytes)) {
            self.end_file(tables, next, steps)?;
        }
        match (&page.next, &mut self.walk) {
            (Some(position), Some(walk)) => walk.position = position.clone(),
            _ => {
                self.finish_table(tables, next, steps)?;
                self.finish_stopped();
                self.walk
                    .take()
                    .into_iter()
                    .for_each(|walk| next.complete(Base::new(walk.base, walk.ts, walk.scope, Vec::new())));
            }
        }
        Ok(())
    }

    /// Ends the open file; the next row of its table begins another.
    pub(super) fn end_file(
        &mut self,
        tables: &mut Tables,
        next: &mut NextCommit,
        steps: &mut Steps,
    ) -> Result<(), Halt> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.rows.end(tables.get_mut(file.table))?;
        self.send_batches(tables, steps)?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let encoding = file.rows.encoding;
        if file.sent.is_some() {
            let misfits = file.rows.misfits();
            next.count_misfits(file.table, misfits.clone());
            next.count_oddities(file.rows.oddities());
            steps.send(Step::Close {
                misfits: misfits_by_id(&misfits, &tables.get(file.table).schema),
                content: file.rows.content(),
            })?;
        }
        self.file = Some(self.new_file(file.table, file.rows.last_ts, encoding, tables));
        Ok(())
    }

    fn begin_table(&mut self, number: usize, first_ts: Timestamp, encoding: Encoding, tables: &Tables) -> Result<()> {
        match self.stopped_in {
            Some(ref stopped) if *stopped == tables.get(number).table => self.stopped_in = None,
            _ => self.finish_stopped(),
        }
        let table = &tables.get(number).table;
        let done = self.walk.as_ref().map_or(&[][..], |walk| &walk.done);
        if done.contains(table) {
            return Err(came_back_to(table));
        }
        let listed = self.walk.as_ref().and_then(|walk| tables.listed(&walk.scope));
        self.monitor.report(Event::Table { table, tables: listed, number: done.len() as u64 + 1 });
        self.file = Some(self.new_file(number, first_ts, encoding, tables));
        Ok(())
    }

    fn new_file(&self, table: usize, first_ts: Timestamp, encoding: Encoding, tables: &Tables) -> SnapshotFile {
        let base = self.walk.as_ref().map(|walk| walk.ts);
        SnapshotFile { table, rows: FileRows::new(base, first_ts, encoding, tables.get(table)), sent: None }
    }

    /// Sends the full batches of the open file on; the first one opens it in the store.
    fn send_batches(&mut self, tables: &Tables, steps: &mut Steps) -> Result<(), Halt> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while let Some(batch) = file.rows.batch() {
            let size = batch.get_array_memory_size() as u64;
            if let Some((sent, _)) = &mut file.sent {
                *sent += size;
            } else {
                let Some(walk) = &self.walk else {
                    return Err(Error::internal("rows of a snapshot without a walk").into());
                };
                let new = steps.snapshot_file(tables.get(file.table), walk, &file.rows);
                let progress = Arc::new(FileProgress::default());
                file.sent = Some((size, Arc::clone(&progress)));
                steps.send(Step::Open { file: new, schema: batch.schema(), progress })?;
            }
            steps.send_rows(batch)?;
        }
        Ok(())
    }

    /// No further row of the table in which an earlier run stopped will come.
    fn finish_stopped(&mut self) {
        if let (Some(table), Some(walk)) = (self.stopped_in.take(), &mut self.walk) {
            walk.done.push(table);
        }
    }

    /// No further row of the table that the snapshot is at will come.
    fn finish_table(&mut self, tables: &mut Tables, next: &mut NextCommit, steps: &mut Steps) -> Result<(), Halt> {
        self.end_file(tables, next, steps)?;
        if let (Some(file), Some(walk)) = (self.file.take(), &mut self.walk) {
            walk.done.push(tables.get(file.table).table.clone());
        }
        Ok(())
    }
}

fn came_back_to(table: &TableRef) -> Error {
    Error::protocol(format!("the snapshot returned to table {table}, which it had finished"))
}

impl SnapshotFile {
    fn is_complete(&self, target_file_bytes: u64) -> bool {
        let full = |(sent, progress): &(u64, Arc<FileProgress>)| {
            progress.stored_of(*sent) >= target_file_bytes || self.rows.wants_columns()
        };
        self.sent.as_ref().is_some_and(full)
    }
}
