//! [`Replay`]: the change log once more: every revision of the deltas, of all tables, in the order of `_ts`.
//!
//! Each table has its own files, and those of one commit tell of the same moments: of 500 tables 500 files would have to be
//! open for a merge. Instead the log is read window by window: file after file, by the least `_ts` in it, what lies
//! between the end of the last window and the end of this one is collected. When that grows too large, the end moves
//! back to the middle of what is held, what lies behind is let go, and the file at hand is read again up to there. So a
//! window ends where memory or files say, always between two transactions, and a few files are open at once.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt, stream};
use object_store::ObjectStore;

use crate::{
    archive::Head,
    budget::MemoryBudget,
    codec::RowReader,
    data::WantedRows,
    document::{Revision, TableRef, Timestamp, Value},
    error::{Result, ResultExt},
    rows::{
        feed::{Feed, Outlet},
        files::{Part, TableFiles},
    },
    schema::TableSchema,
};

/// Files that are opened ahead.
const OPEN: usize = 8;
/// Revisions at which a window ends where the next file begins.
const ENOUGH: usize = 1024;

/// A revision and its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRevision {
    /// The table.
    pub table: Arc<TableRef>,
    /// What was written, a tombstone too.
    pub revision: Arc<Revision>,
}

/// The revisions of a span, oldest first; those of one `_ts` by table and `_id`. Of two rows with one `_ts` and `_id` the
/// one that counts.
///
/// Guarantee: what is held is bounded by the budget and the largest transaction, but for eight bytes per file.
pub struct Replay {
    position: Timestamp,
    through: Timestamp,
    ready: VecDeque<WrittenRevision>,
    windows: Feed<VecDeque<WrittenRevision>>,
}

impl Replay {
    /// What was written after `after`, up to and including `through`. `tables` are all tables with files, sorted.
    ///
    /// It says nothing of what is missing: see [`Coverage::missing`](crate::archive::Coverage::missing).
    pub fn of_files(
        store: &Arc<dyn ObjectStore>,
        head: &Head,
        tables: &[TableFiles],
        after: Timestamp,
        through: Timestamp,
        budget: MemoryBudget,
    ) -> Result<Self> {
        // Four windows may be there at once: one is handed out, one waits, one is ready to be sent, one is being made.
        Self::within(store, head, tables, after, through, (budget.sorting() / 4) as usize, budget.read_batch())
    }

    fn within(
        store: &Arc<dyn ObjectStore>,
        head: &Head,
        tables: &[TableFiles],
        after: Timestamp,
        through: Timestamp,
        window_bytes: usize,
        batch_bytes: usize,
    ) -> Result<Self> {
        let span = Timestamp(after.0.saturating_add(1))..=through;
        let mut files = Vec::new();
        let mut sources = Vec::new();
        for of_table in tables {
            if head.table(&of_table.table).is_none() {
                continue;
            }
            let wanted = of_table.parts.iter().enumerate().filter(|(_, part)| part.has_deltas(&span));
            let before = files.len();
            files.extend(wanted.map(|(part, _)| Place { table: sources.len() as u32, part: part as u32 }));
            if files.len() > before {
                sources.push(Source {
                    table: Arc::new(of_table.table.clone()),
                    schema: Arc::clone(&of_table.schema),
                    parts: Arc::clone(&of_table.parts),
                });
            }
        }
        let windows = if files.is_empty() {
            Feed::empty()
        } else {
            let store = Arc::clone(store);
            let work = Work { store, sources, through, window_bytes, batch_bytes };
            Feed::start(move |runtime, outlet| runtime.block_on(work.run(files, after, outlet)))?
        };
        Ok(Self { position: after, through, ready: VecDeque::new(), windows })
    }

    /// Everything up to here was told.
    pub fn position(&self) -> Timestamp {
        self.position
    }

    /// Whether it goes on after `after`, and as far as `through`.
    pub fn goes_on(&self, after: Timestamp, through: Timestamp) -> bool {
        (self.position, self.through) == (after, through)
    }

    /// The next transactions: at least `limit` revisions, if there are as many, and no transaction more than is needed for
    /// that. Whether more come after them.
    pub async fn next(&mut self, limit: usize) -> Result<(Vec<WrittenRevision>, bool)> {
        let mut page: Vec<WrittenRevision> = Vec::new();
        loop {
            if self.ready.is_empty() {
                match self.windows.next().await.context(|| "the change log")? {
                    Some(window) => self.ready = window,
                    None => {
                        self.position = self.through;
                        return Ok((page, false));
                    }
                }
            }
            let Some(next) = self.ready.front() else { continue };
            if let Some(last) = page.last().filter(|last| page.len() >= limit && last.revision.ts < next.revision.ts) {
                self.position = last.revision.ts;
                return Ok((page, true));
            }
            page.extend(self.ready.pop_front());
        }
    }
}

/// A file: number of its table, and its number there.
#[derive(Clone, Copy)]
struct Place {
    table: u32,
    part: u32,
}

/// A table that was written in the span.
struct Source {
    table: Arc<TableRef>,
    schema: Arc<TableSchema>,
    parts: Arc<[Part]>,
}

/// The work of the thread.
struct Work {
    store: Arc<dyn ObjectStore>,
    sources: Vec<Source>,
    through: Timestamp,
    window_bytes: usize,
    batch_bytes: usize,
}

impl Work {
    async fn run(
        self,
        mut files: Vec<Place>,
        mut after: Timestamp,
        outlet: &Outlet<VecDeque<WrittenRevision>>,
    ) -> Result<()> {
        files.sort_by_key(|file| self.part(*file).file.min_ts);
        while !files.is_empty() && !outlet.is_closed() {
            let window = self.window(&files, after).await?;
            after = window.end;
            let rows = self.finish(&files, window);
            if !rows.is_empty() && !outlet.send(rows).await {
                return Ok(());
            }
            files.retain(|file| self.part(*file).file.max_ts > after && after < self.through);
        }
        Ok(())
    }

    fn part(&self, file: Place) -> &Part {
        &self.sources[file.table as usize].parts[file.part as usize]
    }

    /// Everything after `after` up to some moment.
    async fn window(&self, files: &[Place], after: Timestamp) -> Result<Window> {
        let mut window = Window { end: self.through, rows: Vec::new(), weight: 0, limit: self.window_bytes, file: 0 };
        while window.file < files.len() {
            let begin = window.file;
            let end = files.partition_point(|file| self.part(*file).file.min_ts <= window.end).max(begin);
            let wanted = WantedRows {
                min_ts: Some(Timestamp(after.0.saturating_add(1))),
                max_ts: Some(window.end),
                batch_bytes: self.batch_bytes,
                ..WantedRows::default()
            };
            let opened = stream::iter(&files[begin..end]).map(|file| {
                let (store, wanted) = (Arc::clone(&self.store), &wanted);
                async move { self.part(*file).open(store, wanted).await }
            });
            let mut opened = std::pin::pin!(opened.buffered(OPEN));
            let mut shrunk = false;
            'files: while let Some(file) = files[..end].get(window.file) {
                let begins = self.part(*file).file.min_ts;
                if window.is_enough_before(begins) {
                    window.end = Timestamp(begins.0 - 1);
                    return Ok(window);
                }
                let Some(reader) = opened.next().await else { break };
                let (mut reader, source) = (reader?, &self.sources[file.table as usize]);
                while let Some(batch) = reader.next().await? {
                    let rows = RowReader::new(&source.schema, &batch)?;
                    for row in 0..batch.num_rows() {
                        window.push(rows.revision(row)?);
                        if window.weight > window.limit && window.shrink() {
                            shrunk = true;
                            break 'files;
                        }
                    }
                }
                window.file += 1;
            }
            if !shrunk {
                return Ok(window);
            }
        }
        Ok(window)
    }

    /// In order, each once.
    fn finish(&self, files: &[Place], window: Window) -> VecDeque<WrittenRevision> {
        let Window { mut rows, end, .. } = window;
        rows.retain(|row| row.revision.ts <= end);
        let table = |row: &Row| files[row.file].table;
        let rank = |row: &Row| self.part(files[row.file]).seniority();
        rows.sort_by(|a, b| {
            let (x, y) = (&a.revision, &b.revision);
            let order = (x.ts, table(a), &x.id).cmp(&(y.ts, table(b), &y.id));
            order.then_with(|| rank(b).cmp(&rank(a)))
        });
        // The one that counts comes first.
        rows.dedup_by(|later, kept| {
            let (x, y) = (&later.revision, &kept.revision);
            (x.ts, table(later), &x.id) == (y.ts, table(kept), &y.id)
        });
        let written = |row: Row| WrittenRevision {
            table: Arc::clone(&self.sources[files[row.file].table as usize].table),
            revision: Arc::new(row.revision),
        };
        rows.into_iter().map(written).collect()
    }
}

struct Row {
    /// Its place in the list of files.
    file: usize,
    revision: Revision,
}

/// What is collected: rows after some moment, up to `end`.
struct Window {
    end: Timestamp,
    rows: Vec<Row>,
    /// Bytes of the rows.
    weight: usize,
    /// Beyond which the end moves back.
    limit: usize,
    /// The file that is read.
    file: usize,
}

impl Window {
    fn push(&mut self, revision: Revision) {
        self.weight += weigh(&revision);
        self.rows.push(Row { file: self.file, revision });
    }

    /// Whether there is enough before this moment.
    fn is_enough_before(&self, begins: Timestamp) -> bool {
        self.rows.len() >= ENOUGH && self.rows.iter().filter(|row| row.revision.ts < begins).count() >= ENOUGH
    }

    /// Moves the end back to the middle of what is held, and lets go of the file that is read: it has to be read again, up
    /// to there. Not if all is one transaction.
    fn shrink(&mut self) -> bool {
        let mut moments: Vec<_> = self.rows.iter().map(|row| row.revision.ts).collect();
        moments.sort_unstable();
        let (middle, last) = (moments[moments.len() / 2], moments[moments.len() - 1]);
        let end = if middle < last { Some(middle) } else { moments.into_iter().rfind(|ts| *ts < last) };
        let Some(end) = end else {
            self.limit = self.weight.saturating_mul(2);
            return false;
        };
        let file = self.file;
        self.end = end;
        self.rows.retain(|row| row.revision.ts <= end && row.file != file);
        self.weight = self.rows.iter().map(|row| weigh(&row.revision)).sum();
        true
    }
}

/// About the bytes that a revision takes.
fn weigh(revision: &Revision) -> usize {
    let fields = revision.document.iter().flatten();
    size_of::<Row>() + revision.id.len() + fields.map(|(name, value)| weigh_member(name, value)).sum::<usize>()
}

fn weigh_member(name: &str, value: &Value) -> usize {
    size_of::<(String, Value)>() + name.len() + weigh_value(value)
}

fn weigh_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + weigh_value(item)).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| weigh_member(name, value)).sum(),
        Value::Null | Value::Boolean(_) | Value::Int64(_) | Value::Float64(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::{super::FilesByTable, *};
    use crate::rows::testing::{ORIGIN, World};

    /// The rows of deltas that count, in the order of the log.
    fn expected(world: &World, after: i64, through: i64) -> Vec<(TableRef, Revision)> {
        let mut rows = BTreeMap::new();
        let mut of_deltas: Vec<_> = world.rows.iter().filter(|row| row.base.is_none()).collect();
        of_deltas.sort_by_key(|row| row.typed);
        for row in of_deltas.into_iter().filter(|row| (after + 1..=through).contains(&row.revision.ts.0)) {
            rows.insert((row.revision.ts, row.table.clone(), row.revision.id.clone()), row.revision.clone());
        }
        rows.into_iter().map(|((_, table, _), revision)| (table, revision)).collect()
    }

    async fn files(world: &World) -> Vec<TableFiles> {
        let mut by_table = FilesByTable::open(&world.archive, &world.head).await.unwrap();
        let mut files = Vec::new();
        while let Some(of_table) = by_table.next().await.unwrap() {
            files.push(of_table);
        }
        files
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn tells_the_log_once_in_order_and_in_whole_transactions_however_little_is_held(seed in any::<u64>()) {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let world = World::random(seed).await;
                let (files, mut rng) = (files(&world).await, StdRng::seed_from_u64(seed));
                for held in [1, 2_000, 1 << 20] {
                    let mut moment = || rng.random_range(ORIGIN - 2..=world.cursor() + 2);
                    let (after, through) = (moment(), moment());
                    let limit = rng.random_range(1..9);
                    let store = world.archive.store();
                    let (from, to) = (Timestamp(after), Timestamp(through));
                    let mut replay = Replay::within(store, &world.head, &files, from, to, held, held).unwrap();
                    let mut told = Vec::new();
                    loop {
                        let (page, more) = replay.next(limit).await.unwrap();
                        let last = page.last().map(|row| row.revision.ts);
                        let before_the_last = page.iter().filter(|row| Some(row.revision.ts) < last).count();
                        assert!(before_the_last < limit && (!more || page.len() >= limit));
                        assert_eq!(replay.position(), if more { last.unwrap() } else { to });
                        told.extend(page.into_iter().map(|row| ((*row.table).clone(), (*row.revision).clone())));
                        if !more {
                            break;
                        }
                    }
                    assert_eq!(told, expected(&world, after, through));
                }
            });
        }
    }
}
