//! Second stage: pages → rows per table → files and commits. It decides where both end; the next stage only does it.
//!
//! The snapshot walks one table after another: rows go on to their file at once. Deltas interleave all tables: rows are
//! gathered as batches, and written table by table when it is time to commit, so that few files are ever open.
//!
//! Files end between two `_ts`, commits at the ends of pages. Where, follows from the pages and the sizes alone, except
//! for the periodic commit (time) and the size of snapshot files (how far the writer is).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use tokio::sync::mpsc;

use super::{
    Given,
    fetch::Fetched,
    rows::{Incoming, Known, Rows},
    steps::{FileProgress, Halt, Step, Steps},
};
use crate::{
    archive::{Base, Draft, Head, Run, TableEntry},
    codec::add_misfits,
    content::DigestShare,
    convex::{DocumentSpan, Page, Shapes, Source},
    data::NewFile,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    layout,
    monitor::{Event, Monitor},
    position::{BaseId, DeltaCursor, Phase, Progress, Scope, Walk},
    schema::{Misfits, TableSchema},
    selection::Selection,
};

/// Bytes of a page of deltas after which the weight of what is gathered is looked at again.
const LOOK: usize = 1 << 20;

/// What was gathered in all.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Gathered {
    pub(super) pages: u64,
    pub(super) page_bytes: u64,
}

pub(super) struct Gather {
    tables: Tables,
    shapes: Shapes,
    progress: Progress,
    /// The id of the archive's first base, if this run begins it.
    base: BaseId,
    files: FileNames,
    snapshot: Option<SnapshotFile>,
    /// The table in which an earlier run stopped the walk: a row of another one, or the end, says that it is finished.
    stopped_in: Option<usize>,
    /// By the number of their table.
    deltas: BTreeMap<usize, Rows>,
    /// Delta files that ended before their commit.
    ended: Vec<(usize, Rows)>,
    pending: Pending,
    selection: Selection,
    limits: Limits,
    digest: DigestShare,
    source: Arc<dyn Source>,
    monitor: Arc<dyn Monitor>,
    sum: Gathered,
}

/// Since the last commit.
struct Pending {
    since: Instant,
    /// What the deployment answered last.
    answer: Option<Answer>,
    component_rows: bool,
    completed: Vec<Base>,
    misfits: Vec<(usize, Misfits)>,
}

#[derive(Clone, Copy)]
struct Answer {
    at: Timestamp,
    encoding: Encoding,
    caught_up: bool,
}

struct Limits {
    gathered: usize,
    target_file_bytes: u64,
    commit_every: Duration,
}

/// The file of the table that the snapshot is at.
struct SnapshotFile {
    /// The number of its table.
    table: usize,
    rows: Rows,
    /// Bytes of the batches that were sent on, and how far the writer is; absent until the first batch.
    sent: Option<(u64, Arc<FileProgress>)>,
}

struct FileNames {
    run: String,
    counter: u32,
}

/// What is known of each table, by number: looked up once a page, not once a document.
#[derive(Default)]
struct Tables {
    numbers: BTreeMap<TableRef, usize>,
    folders: BTreeMap<TableRef, String>,
    list: Vec<Known>,
}

impl Tables {
    fn number(&mut self, table: &TableRef, shapes: &mut Shapes) -> usize {
        if let Some(number) = self.numbers.get(table) {
            return *number;
        }
        let known = Known {
            table: table.clone(),
            folder: layout::folder(table, &self.folders),
            schema: TableSchema::empty(),
            misfits: Misfits::new(),
            changed: true,
            shape: shapes.tables.get_mut(table).and_then(Option::take),
        };
        self.add(known)
    }

    fn add(&mut self, known: Known) -> usize {
        self.numbers.insert(known.table.clone(), self.list.len());
        self.folders.insert(known.table.clone(), known.folder.clone());
        self.list.push(known);
        self.list.len() - 1
    }
}

impl Gather {
    pub(super) fn new(head: &Head, progress: Progress, run: &Run, given: &Given<'_>) -> Self {
        let options = given.options;
        let mut shapes = given.shapes.clone();
        let mut tables = Tables::default();
        for t in head.tables() {
            tables.add(Known {
                table: t.table.clone(),
                folder: t.folder.clone(),
                schema: t.schema.clone(),
                misfits: t.misfits.clone(),
                changed: false,
                shape: shapes.tables.get_mut(&t.table).and_then(Option::take),
            });
        }
        let stopped_in = progress.walk.as_ref().and_then(|walk| {
            // All before it are done.
            head.tables().position(|t| t.unfinished.files > 0 && !walk.done.contains(&t.table))
        });
        Self {
            tables,
            shapes,
            progress,
            base: layout::base_id(now(), &run.id),
            files: FileNames { run: run.id.clone(), counter: 0 },
            snapshot: None,
            stopped_in,
            deltas: BTreeMap::new(),
            ended: Vec::new(),
            pending: Pending::begin(),
            selection: options.selection.clone(),
            limits: Limits {
                gathered: options.budget.gathered() as usize,
                target_file_bytes: options.target_file_bytes,
                commit_every: options.commit_every,
            },
            digest: options.content_digest,
            source: Arc::clone(&given.source),
            monitor: Arc::clone(&given.monitor),
            sum: Gathered::default(),
        }
    }

    /// Works through all pages. On a thread of its own: decoding is what it does, and it waits by blocking.
    pub(super) fn run(mut self, mut pages: mpsc::Receiver<Fetched>, mut steps: Steps) -> Result<Gathered> {
        let mut work = || {
            while let Some(fetched) = pages.blocking_recv() {
                self.page(&fetched, &mut steps)?;
            }
            // The end of the pages: caught up, stopped, or the deployment failed. What came until then counts.
            if self.pending.answer.is_some() { self.commit(&mut steps) } else { Ok(()) }
        };
        match work() {
            Ok(()) | Err(Halt::WriterEnded) => Ok(self.sum),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn page(&mut self, fetched: &Fetched, steps: &mut Steps) -> Result<(), Halt> {
        let Fetched { page, at, .. } = fetched;
        let caught_up = page.phase == Phase::Delta && !page.more;
        // A commit names one encoding.
        if self.pending.answer.is_some_and(|answer| answer.encoding != page.encoding) {
            self.commit(steps)?;
        }
        self.pending.answer = Some(Answer { at: *at, encoding: page.encoding, caught_up });
        self.sum.pages += 1;
        self.sum.page_bytes += page.body.len();
        self.monitor.report(Event::Page {
            phase: page.phase,
            documents: page.documents.len() as u64,
            bytes: page.body.len(),
            through: page.through,
        });
        match page.phase {
            Phase::Snapshot => self.snapshot_page(page, steps)?,
            Phase::Delta => self.delta_page(page, steps)?,
        }
        let walk_ended = page.phase == Phase::Snapshot && page.next.is_none();
        let late = self.pending.since.elapsed() >= self.limits.commit_every;
        if walk_ended || caught_up || late || self.weight() >= self.limits.gathered {
            self.commit(steps)?;
        }
        Ok(())
    }

    /// Rows of the snapshot go to the file of their table; the position moves with them.
    fn snapshot_page(&mut self, page: &Page, steps: &mut Steps) -> Result<(), Halt> {
        let s = page.through;
        let walk = self.progress.walk.get_or_insert_with(|| Walk {
            base: self.base.clone(),
            ts: s,
            month: layout::month_of(now()),
            scope: Scope::All,
            position: self.source.snapshot_start(),
            done: Vec::new(),
        });
        if walk.ts != s {
            let asked = walk.ts;
            return Err(Error::protocol(format!("the snapshot of {asked} went on with a page of that of {s}")).into());
        }
        // S of the first walk is where the deltas begin.
        if self.progress.delta.is_none() {
            self.progress.delta = Some(DeltaCursor { position: self.source.deltas_after(s), ts: s });
        }
        let scope = walk.scope.clone();
        let numbers = self.numbers(page, |table| scope.contains(table));
        let mut texts = page.texts()?;
        for document in &page.documents {
            let Some(table) = numbers[document.table as usize] else { continue };
            if self.snapshot.as_ref().is_none_or(|file| file.table != table) {
                self.finish_table(steps)?;
                self.begin_table(table, document.ts)?;
            }
            let Some(file) = &mut self.snapshot else { continue };
            file.rows.push(incoming(page, document, texts.text(document)?), &mut self.tables.list[table])?;
            self.send_snapshot_batches(steps)?;
        }
        if self.snapshot.as_ref().is_some_and(|file| file.is_complete(&self.limits)) {
            self.end_snapshot_file(steps)?;
        }
        match (&page.next, &mut self.progress.walk) {
            (Some(next), Some(walk)) => walk.position = next.clone(),
            _ => {
                self.finish_table(steps)?;
                self.finish_stopped();
                let walk = self.progress.walk.take();
                self.pending.completed.extend(walk.map(|w| Base::new(w.base, w.ts, w.scope)));
            }
        }
        Ok(())
    }

    /// The numbers of the page's tables; `None` for those that are not selected, or not wanted.
    fn numbers(&mut self, page: &Page, wanted: impl Fn(&TableRef) -> bool) -> Vec<Option<usize>> {
        let mut number = |table: &TableRef| {
            (self.selection.contains(table) && wanted(table)).then(|| self.tables.number(table, &mut self.shapes))
        };
        page.tables.iter().map(&mut number).collect()
    }

    fn begin_table(&mut self, number: usize, first_ts: Timestamp) -> Result<()> {
        match self.stopped_in {
            Some(stopped) if stopped == number => self.stopped_in = None,
            _ => self.finish_stopped(),
        }
        let table = &self.tables.list[number].table;
        let done = self.progress.walk.as_ref().map_or(&[][..], |walk| &walk.done);
        if done.contains(table) {
            return Err(Error::protocol(format!("the snapshot came back to table {table}, which it had finished")));
        }
        let walked = |scope: &Scope| self.shapes.tables.keys().filter(|table| scope.contains(table)).count() as u64;
        let scope = self.progress.walk.as_ref().map(|walk| &walk.scope).filter(|_| self.shapes.complete);
        let tables = scope.map(walked);
        self.monitor.report(Event::Table { table, tables, number: done.len() as u64 + 1 });
        self.snapshot = Some(self.snapshot_file(number, first_ts));
        Ok(())
    }

    fn snapshot_file(&self, table: usize, first_ts: Timestamp) -> SnapshotFile {
        let base = self.progress.walk.as_ref().map(|walk| walk.ts);
        SnapshotFile { table, rows: Rows::new(base, first_ts, self.digest, &self.tables.list[table]), sent: None }
    }

    /// Sends the full batches of the open snapshot file on; the first one opens it in the store.
    fn send_snapshot_batches(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        let Some(file) = &mut self.snapshot else { return Ok(()) };
        while let Some(batch) = file.rows.batch() {
            let size = batch.get_array_memory_size() as u64;
            if let Some((sent, _)) = &mut file.sent {
                *sent += size;
            } else {
                let Some(walk) = &self.progress.walk else {
                    return Err(Error::internal("rows of a snapshot without a walk").into());
                };
                let known = &self.tables.list[file.table];
                let counter = self.files.next();
                let new = NewFile {
                    path: layout::snapshot_file(&known.folder, &walk.month, &walk.base, counter, &self.files.run),
                    table: known.table.clone(),
                    phase: Phase::Snapshot,
                    base: Some(walk.base.clone()),
                    month: walk.month.clone(),
                    schema_id: file.rows.schema_id,
                };
                let progress = Arc::new(FileProgress::default());
                file.sent = Some((size, Arc::clone(&progress)));
                steps.send(Step::Open { file: new, schema: batch.schema(), progress })?;
            }
            steps.send_rows(batch)?;
        }
        Ok(())
    }

    /// Ends the open snapshot file; the next row of its table begins another.
    fn end_snapshot_file(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        let Some(file) = &mut self.snapshot else { return Ok(()) };
        file.rows.end(&mut self.tables.list[file.table])?;
        self.send_snapshot_batches(steps)?;
        let Some(file) = self.snapshot.take() else { return Ok(()) };
        if file.sent.is_some() {
            let misfits = file.rows.misfits();
            self.pending.misfits.push((file.table, misfits.clone()));
            steps.send(Step::Close { misfits, content: file.rows.content() })?;
        }
        self.snapshot = Some(self.snapshot_file(file.table, file.rows.last_ts));
        Ok(())
    }

    /// No further row of the table in which an earlier run stopped will come.
    fn finish_stopped(&mut self) {
        if let (Some(number), Some(walk)) = (self.stopped_in.take(), &mut self.progress.walk) {
            walk.done.push(self.tables.list[number].table.clone());
        }
    }

    /// No further row of the table that the snapshot is at will come.
    fn finish_table(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        self.end_snapshot_file(steps)?;
        if let (Some(file), Some(walk)) = (self.snapshot.take(), &mut self.progress.walk) {
            walk.done.push(self.tables.list[file.table].table.clone());
        }
        Ok(())
    }

    /// Rows of deltas are gathered; the cursor moves with them, also when there are none.
    fn delta_page(&mut self, page: &Page, steps: &mut Steps) -> Result<(), Halt> {
        self.pending.component_rows |= page.tables.iter().any(|table| !table.component().is_empty());
        let numbers = self.numbers(page, |_| true);
        let mut texts = page.texts()?;
        let (mut looked_at, mut last) = (0, None);
        for document in &page.documents {
            // One page may be larger than all that is to be gathered: files may end inside it, commits may not.
            if document.range.start - looked_at >= LOOK && last != Some(document.ts) {
                looked_at = document.range.start;
                if self.weight() >= self.limits.gathered {
                    self.write_gathered(steps)?;
                }
            }
            last = Some(document.ts);
            let Some(table) = numbers[document.table as usize] else { continue };
            // A delta file never spans two months, and ends early where the next one would have columns for what this
            // one rescues; both only between two `_ts`.
            let ends = |rows: &Rows| {
                rows.last_ts != document.ts && (rows.wants_columns() || !layout::same_month(rows.last_ts, document.ts))
            };
            if self.deltas.get(&table).is_some_and(ends) {
                self.ended.extend(self.deltas.remove_entry(&table));
            }
            let known = &mut self.tables.list[table];
            let begin = || Rows::new(None, document.ts, self.digest, known);
            let rows = self.deltas.entry(table).or_insert_with(begin);
            rows.push(incoming(page, document, texts.text(document)?), known)?;
        }
        let Some(position) = page.next.clone() else {
            return Err(Error::internal("a page of deltas names no next position").into());
        };
        self.progress.delta = Some(DeltaCursor { position, ts: page.through });
        Ok(())
    }

    /// Bytes of all gathered rows, estimated from above.
    fn weight(&self) -> usize {
        self.deltas.values().chain(self.ended.iter().map(|(_, rows)| rows)).map(Rows::weight).sum()
    }

    /// Ends all files and commits them with the progress.
    fn commit(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        self.end_snapshot_file(steps)?;
        self.write_gathered(steps)?;
        let Pending { answer, component_rows, completed, misfits, .. } =
            std::mem::replace(&mut self.pending, Pending::begin());
        let Some(answer) = answer else { return Ok(()) };
        for (table, misfits) in misfits {
            add_misfits(&mut self.tables.list[table].misfits, &misfits);
        }
        let changed = self.tables.list.iter_mut().filter(|known| known.schema.id > 0 && known.changed);
        let tables = changed.map(|known| TableEntry {
            table: known.table.clone(),
            folder: known.folder.clone(),
            schema: {
                known.changed = false;
                known.schema.clone()
            },
        });
        let draft = Draft {
            at: now(),
            checked_at: answer.at,
            caught_up: answer.caught_up,
            encoding: answer.encoding,
            selection: self.selection.clone(),
            progress: self.progress.clone(),
            tables: tables.collect(),
            add: Vec::new(),
            remove: Vec::new(),
            bases: completed,
            gaps: Vec::new(),
            deployment: None,
            component_rows,
        };
        steps.send(Step::Commit(Box::new(draft)))
    }

    /// Writes all gathered rows, a file a table.
    fn write_gathered(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        let ended = std::mem::take(&mut self.ended);
        for (table, rows) in ended.into_iter().chain(std::mem::take(&mut self.deltas)) {
            self.write_deltas(table, rows, steps)?;
        }
        Ok(())
    }

    fn write_deltas(&mut self, table: usize, mut rows: Rows, steps: &mut Steps) -> Result<(), Halt> {
        let known = &mut self.tables.list[table];
        rows.end(known)?;
        let counter = self.files.next();
        let mut file = Some(NewFile {
            path: layout::delta_file(&known.folder, rows.first_ts, counter, &self.files.run),
            table: known.table.clone(),
            phase: Phase::Delta,
            base: None,
            month: layout::month_of(rows.first_ts),
            schema_id: rows.schema_id,
        });
        while let Some(batch) = rows.batch() {
            if let Some(file) = file.take() {
                steps.send(Step::Open { file, schema: batch.schema(), progress: Arc::default() })?;
            }
            steps.send_rows(batch)?;
        }
        let misfits = rows.misfits();
        self.pending.misfits.push((table, misfits.clone()));
        steps.send(Step::Close { misfits, content: rows.content() })
    }
}

impl Pending {
    fn begin() -> Self {
        Self { since: Instant::now(), answer: None, component_rows: false, completed: Vec::new(), misfits: Vec::new() }
    }
}

impl SnapshotFile {
    fn is_complete(&self, limits: &Limits) -> bool {
        let full = |(sent, progress): &(u64, Arc<FileProgress>)| {
            progress.stored_of(*sent) >= limits.target_file_bytes || self.rows.wants_columns()
        };
        self.sent.as_ref().is_some_and(full)
    }
}

impl FileNames {
    fn next(&mut self) -> u32 {
        self.counter += 1;
        self.counter - 1
    }
}

/// A revision of a page, with its text.
fn incoming<'a>(page: &Page, document: &DocumentSpan, text: &'a str) -> Incoming<'a> {
    Incoming { text, encoding: page.encoding, ts: document.ts, deleted: document.deleted }
}

/// Wall time.
pub(super) fn now() -> Timestamp {
    Timestamp(Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
}
