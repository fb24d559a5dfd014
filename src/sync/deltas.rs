//! The deltas' half of the gathering. They interleave all tables: rows are gathered as batches, and written table by table when
//! it is time to commit, so that few files are ever open.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    commit::NextCommit,
    file_rows::{FileRows, IncomingRow},
    steps::{FileProgress, Halt, Step, Steps},
    tables::Tables,
};
use crate::{convex::Page, error::Error, layout, position::DeltaCursor, schema::misfits_by_id, selection::Selection};

/// Bytes of a page after which the weight of what is gathered is looked at again.
const LOOK: usize = 1 << 20;

/// The rows that are gathered, and how far the log has been read.
pub(super) struct GatheredDeltas {
    cursor: Option<DeltaCursor>,
    /// The files that will hold them, by the number of their table.
    files: BTreeMap<usize, FileRows>,
    /// Those that ended before their commit.
    ended: Vec<(usize, FileRows)>,
    /// Bytes that may be gathered.
    most: usize,
}

impl GatheredDeltas {
    /// Goes on behind `cursor`.
    pub(super) fn new(cursor: Option<DeltaCursor>, most: usize) -> Self {
        Self { cursor, files: BTreeMap::new(), ended: Vec::new(), most }
    }

    /// The first walk told where they begin.
    pub(super) fn begin(&mut self, cursor: DeltaCursor) {
        self.cursor = Some(cursor);
    }

    /// How far the log has been read.
    pub(super) fn progress(&self) -> Option<DeltaCursor> {
        self.cursor.clone()
    }

    /// Rows of a page are gathered. The cursor moves with them, also when there are none, once it is known how far they reach.
    pub(super) fn page(
        &mut self,
        page: &Page,
        selection: &Selection,
        tables: &mut Tables,
        next: &mut NextCommit,
        steps: &mut Steps,
    ) -> Result<(), Halt> {
        let numbers = tables.numbers_of(page, |table| selection.contains(table))?;
        let mut texts = page.texts()?;
        let (mut looked_at, mut last) = (0, None);
        for document in &page.documents {
            // One page may be larger than all that is to be gathered: files may end inside it, commits may not.
            if document.range.start - looked_at >= LOOK && last != Some(document.ts) {
                looked_at = document.range.start;
                if self.are_enough() {
                    self.write(tables, next, steps)?;
                }
            }
            last = Some(document.ts);
            let Some(table) = numbers[document.table as usize] else { continue };
            // A delta file never spans two months, and ends early where the next one would have columns for what this
            // one rescues; both only between two `_ts`.
            let ends = |rows: &FileRows| {
                rows.last_ts != document.ts && (rows.wants_columns() || !layout::same_month(rows.last_ts, document.ts))
            };
            if self.files.get(&table).is_some_and(ends) {
                self.ended.extend(self.files.remove_entry(&table));
            }
            let known = tables.get_mut(table);
            let rows =
                self.files.entry(table).or_insert_with(|| FileRows::new(None, document.ts, page.encoding, known));
            rows.push(IncomingRow::of(page, document, texts.text(document)?), known)?;
        }
        let Some(position) = page.next.clone() else {
            return Err(Error::internal("a page of deltas does not name the next position").into());
        };
        if let Some(ts) = page.through {
            self.cursor = Some(DeltaCursor { position, ts });
        }
        Ok(())
    }

    /// Whether as much is gathered as may be; estimated from above.
    pub(super) fn are_enough(&self) -> bool {
        let rows = self.files.values().chain(self.ended.iter().map(|(_, rows)| rows));
        rows.map(FileRows::weight).sum::<usize>() >= self.most
    }

    /// Writes all gathered rows, a file a table.
    pub(super) fn write(&mut self, tables: &mut Tables, next: &mut NextCommit, steps: &mut Steps) -> Result<(), Halt> {
        let ended = std::mem::take(&mut self.ended);
        for (table, rows) in ended.into_iter().chain(std::mem::take(&mut self.files)) {
            write_file(table, rows, tables, next, steps)?;
        }
        Ok(())
    }
}

fn write_file(
    table: usize,
    mut rows: FileRows,
    tables: &mut Tables,
    next: &mut NextCommit,
    steps: &mut Steps,
) -> Result<(), Halt> {
    let known = tables.get_mut(table);
    rows.end(known)?;
    let mut file = Some(steps.delta_file(known, &rows));
    while let Some(batch) = rows.batch() {
        if let Some(file) = file.take() {
            steps.send(Step::Open { file, schema: batch.schema(), progress: Arc::<FileProgress>::default() })?;
        }
        steps.send_rows(batch)?;
    }
    let misfits = rows.misfits();
    next.count_misfits(table, misfits.clone());
    next.count_oddities(rows.oddities());
    steps.send(Step::Close { misfits: misfits_by_id(&misfits, &tables.get(table).schema), content: rows.content() })
}
