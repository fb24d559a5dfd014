//! [`Transactions`]: what happened, transaction by transaction: all revisions of one `_ts`, over all tables.
//!
//! A revision does not say whether it inserted or updated: that depends on what was there before. So of every document
//! that the span changes, the keys of all its rows since the last base before the span are read and walked in the order
//! of `_ts`; what that says of each revision is sorted by `_ts`, over all tables. Both sorts go through temporary files
//! where they are large, so what is held does not depend on the length of the span. Where the span changes few documents, only they
//! are looked up in what was before.

mod change;
mod change_row;
mod document;
mod window;

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
};
use derive_setters::Setters;
use object_store::ObjectStore;

pub use self::change::{Change, DocumentChange, Transaction};
use self::{
    change_row::{ChangeRows, change_row_schema, read_change_row},
    document::Document,
    window::WindowTable,
};
use crate::{
    archive::{Archive, Coverage, Head},
    budget::MemoryBudget,
    data::WantedRows,
    document::{TableRef, Timestamp},
    error::{Error, Result},
    rows::{
        ahead::read_ahead,
        doubt::{DoubtedTable, doubted_within},
        feed::{Feed, Outlet},
        files::{FilesByTable, Part},
        keyed::KeyedBatch,
        merge::Keep,
        moment::{MissingSpan, known_table, missing, whole_span},
        sort::{Limits, Sorter},
        sorted::{Plan, columns, hand_on, key_columns, sorted},
    },
    schema::OwnColumn,
};

/// Changed documents of a table that are looked up; beyond this all keys are read. About 60 bytes each.
const LOOKED_UP: usize = 20_000;

/// Which transactions are wanted.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct LogOptions {
    /// From here on; None: from the first base on.
    pub since: Option<Timestamp>,
    /// Up to here; None: as far as the archive reaches.
    pub until: Option<Timestamp>,
    /// Just these tables; all, if there are none.
    pub tables: Vec<TableRef>,
    /// The memory that it may take.
    pub budget: MemoryBudget,
}

/// Transactions of a span, oldest first. Deltas only tell of transactions: what lies in a base was written before.
pub struct Transactions {
    span: RangeInclusive<Timestamp>,
    missing: Vec<MissingSpan>,
    doubted: Vec<DoubtedTable>,
    feed: Feed<Transaction>,
}

impl Transactions {
    /// The transactions that are wanted.
    ///
    /// # Errors
    /// NotFound, if there is no such table, or nothing was ever archived; Usage, if the span is empty.
    pub async fn open(archive: &Archive, head: &Head, options: &LogOptions) -> Result<Self> {
        let (first, through) = whole_span(head)?.into_inner();
        let since = options.since.map_or(first, |since| since.max(first));
        let until = options.until.map_or(through, |until| until.min(through));
        if options.since.zip(options.until).is_some_and(|(since, until)| since > until) {
            return Err(Error::usage("the span ends before it begins; swap --since and --until"));
        }
        let span = since..=until;
        let wanted = |table: &TableRef| options.tables.is_empty() || options.tables.contains(table);
        for table in &options.tables {
            known_table(head, table)?;
        }
        let asked: Vec<_> = head.tables().map(|state| &state.table).filter(|table| wanted(table)).collect();
        let doubted = doubted_within(head, asked.iter().copied(), &span);
        let missing = missing(head, asked.into_iter(), &span);
        // Before the thread begins: streaming the list needs the log.
        let mut files = FilesByTable::open(archive, head).await?;
        let mut tables = Vec::new();
        while let Some(of_table) = files.next().await? {
            if wanted(&of_table.table)
                && let Some(table) = WindowTable::new(head, of_table, &span)
            {
                tables.push(table);
            }
        }
        let work = Work {
            store: Arc::clone(archive.store()),
            coverage: head.coverage().clone(),
            span: span.clone(),
            limits: options.budget.half().into(),
        };
        let feed = Feed::start(move |_, outlet| work.run(tables, outlet))?;
        Ok(Self { span, missing, doubted, feed })
    }

    /// The moments of which it tells, both inclusive: what was asked for, as far as the archive reaches.
    pub fn span(&self) -> &RangeInclusive<Timestamp> {
        &self.span
    }

    /// Spans of it in which transactions are missing.
    pub fn missing(&self) -> &[MissingSpan] {
        &self.missing
    }

    /// Spans of it in which the archive may show something else of a table than the deployment held: it may tell of transactions that
    /// never became true, and not of a drop or a replacement.
    pub fn doubted(&self) -> &[DoubtedTable] {
        &self.doubted
    }

    /// The next transaction; None after the last.
    pub async fn next(&mut self) -> Result<Option<Transaction>> {
        self.feed.next().await
    }
}

/// The work of the thread.
struct Work {
    store: Arc<dyn ObjectStore>,
    coverage: Coverage,
    span: RangeInclusive<Timestamp>,
    /// Of each of the two sorts.
    limits: Limits,
}

impl Work {
    fn run(self, tables: Vec<WindowTable>, outlet: &Outlet<Transaction>) -> Result<()> {
        let mut sorter = Sorter::new(change_row_schema(), Keep::Newest, self.limits);
        for (number, table) in tables.iter().enumerate() {
            if outlet.is_closed() {
                return Ok(());
            }
            self.classify(table, &mut ChangeRows::new(number, &mut sorter))
                .map_err(|e| e.context(format!("table {}", table.table)))?;
        }
        let mut rows = Feed::start(move |_, outlet| hand_on(None, sorter, true, outlet))?;
        let mut transaction: Option<Transaction> = None;
        while let Some(picked) = rows.next_blocking()? {
            for at in 0..picked.rows.len() {
                let (source, row) = picked.place(at);
                let ts = Timestamp(source.ts(row));
                if transaction.as_ref().is_some_and(|open| open.ts != ts)
                    && let Some(done) = transaction.take()
                    && !outlet.send_blocking(done)
                {
                    return Ok(());
                }
                let open = transaction.get_or_insert_with(|| Transaction { ts, changes: Vec::new() });
                open.changes.push(read_change_row(source, row, &tables)?);
            }
        }
        if let Some(done) = transaction {
            outlet.send_blocking(done);
        }
        Ok(())
    }

    /// Says of each revision of the span what it did.
    fn classify(&self, table: &WindowTable, change_rows: &mut ChangeRows<'_>) -> Result<()> {
        let mut wanted = WantedRows {
            columns: Some(key_columns()),
            batch_rows: self.limits.rows,
            batch_bytes: self.limits.file_batch,
            min_ts: Some(*self.span.start()),
            max_ts: Some(*self.span.end()),
            ..WantedRows::default()
        };
        let ids = self.changed(table, &wanted)?;
        let may_hold = |part: &&Part| {
            ids.as_ref().is_none_or(|ids| {
                let Some((least, largest)) = &part.ids else { return true };
                let next = ids.partition_point(|id| id < least);
                ids.get(next).is_some_and(|id| id <= largest)
            })
        };
        (wanted.min_ts, wanted.ids) = (None, ids.clone());
        let mut unsorted = Vec::new();
        for part in table.known.iter().filter(may_hold) {
            // Of a base every row counts, whatever its `_ts`.
            let min_ts = part.base().is_none().then_some(table.known_since);
            unsorted.push((part.clone(), WantedRows { min_ts, ..wanted.clone() }));
        }
        let columns = columns(&table.schema, true)?;
        let plan = Plan {
            in_order: Vec::new(),
            unsorted,
            columns,
            keep: Keep::All,
            tombstones: true,
            limits: self.limits,
            damage: None,
        };
        let mut rows = sorted(&self.store, plan)?;
        let mut document = Document::default();
        while let Some(picked) = rows.next_blocking()? {
            for (source, row) in &picked.rows {
                let keys = &picked.sources[*source];
                if document.id != keys.id(*row) {
                    document = Document::new(keys.id(*row));
                }
                let (ts, deleted) = (keys.ts(*row), keys.is_tombstone(*row));
                let change = document.step(&self.coverage, &table.table, ts, base_of(keys, *row), deleted);
                if let Some(change) = change.filter(|_| self.span.contains(&Timestamp(ts))) {
                    change_rows.push(ts, &document.id, change)?;
                }
            }
        }
        change_rows.flush()
    }

    /// The documents that the span changes, sorted; None, if they are many.
    fn changed(&self, table: &WindowTable, wanted: &WantedRows) -> Result<Option<Arc<[String]>>> {
        let mut ids = BTreeSet::new();
        let parts = table.window.iter().map(|part| (part.clone(), wanted.clone())).collect();
        let mut batches = read_ahead(Arc::clone(&self.store), parts, None)?;
        while let Some(batch) = batches.next_blocking()? {
            let keys = KeyedBatch::new(batch)?;
            for row in 0..keys.len() {
                if !ids.contains(keys.id(row)) {
                    ids.insert(keys.id(row).to_owned());
                }
            }
            if ids.len() > LOOKED_UP {
                return Ok(None);
            }
        }
        Ok(Some(ids.into_iter().collect()))
    }
}

/// S of a row of a base.
fn base_of(keys: &KeyedBatch, row: usize) -> Option<i64> {
    let column = keys.batch.column_by_name(OwnColumn::Base.name())?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}
