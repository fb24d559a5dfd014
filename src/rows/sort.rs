//! [`Sorter`]: rows that come in any order → rows sorted by `_id`, then `_ts`, whatever their number.
//!
//! Rows are held up to a limit. What is more is sorted and goes, as a *run*, into a temporary file without a name, which
//! vanishes with the process; at the end the runs are merged. Many runs are first merged into longer ones, so that a row
//! is written a few times at most, and few runs are ever read at once.
//!
//! # Why runs and not ranges
//! The other way to hold little is to read the files once for each range of `_id`s. That needs no disk, but its work grows
//! with the square of the data: ten times as many changes are read ten times as often, from a store that charges for it.
//! Runs read each file once.

use std::fs::File;

use arrow::datatypes::SchemaRef;

use super::{
    keyed::{KeyedBatch, PickedRows},
    merge::{Input, Keep, Merge},
    run::{RunWriter, open},
};
use crate::{budget::MemoryBudget, error::Result};

/// Runs of one length that are merged into one.
const RUNS: usize = 64;
/// What the place of a row takes while rows are sorted, bytes.
const ENTRY: usize = size_of::<Entry>() + size_of::<(usize, usize)>();

/// How much may be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows before they are sorted away, bytes.
    pub(crate) sorting: usize,
    /// Rows that a run hands on at once, bytes.
    pub(crate) run_batch: usize,
    /// Rows that a file hands on at once, bytes.
    pub(crate) file_batch: usize,
    /// Runs of one length.
    pub(crate) runs: usize,
    /// Rows handed on at once.
    pub(crate) rows: usize,
}

impl From<MemoryBudget> for Limits {
    fn from(budget: MemoryBudget) -> Self {
        Self {
            sorting: budget.sorting() as usize,
            run_batch: budget.merge_batch(),
            file_batch: budget.read_batch(),
            runs: RUNS,
            rows: 8_192,
        }
    }
}

/// Takes rows and gives them back sorted.
pub(crate) struct Sorter {
    limits: Limits,
    keep: Keep,
    /// The columns of the runs.
    schema: SchemaRef,
    held: Vec<KeyedBatch>,
    /// Bytes of `held`, and of what sorting it takes.
    weight: usize,
    /// Those of `levels[n]` hold what `runs^n` sorted-away batches held. In the order in which their rows came.
    levels: Vec<Vec<File>>,
    /// The heaviest row that was sorted away, bytes.
    heaviest: usize,
}

impl Sorter {
    /// A sorter of rows that have the columns of `schema`, or of an older schema of the table.
    pub(crate) fn new(schema: SchemaRef, keep: Keep, limits: Limits) -> Self {
        Self { limits, keep, schema, held: Vec::new(), weight: 0, levels: Vec::new(), heaviest: 0 }
    }

    /// Takes the next rows: they count more than those before with the same `_id` and `_ts`.
    ///
    /// # Errors
    /// Resource, if a temporary file cannot be written.
    pub(crate) fn push(&mut self, rows: KeyedBatch) -> Result<()> {
        self.weight += rows.weight() + rows.len() * ENTRY;
        self.held.push(rows);
        if self.weight >= self.limits.sorting {
            self.make_room()?;
        }
        Ok(())
    }

    /// Throws away what newer rows have overridden, and sorts the rest away unless little is left.
    fn make_room(&mut self) -> Result<()> {
        let sources = std::mem::take(&mut self.held);
        let before = std::mem::take(&mut self.weight);
        let total: usize = sources.iter().map(KeyedBatch::len).sum();
        let picked = PickedRows { rows: sorted(&sources, self.keep), sources };
        if picked.rows.len() * 4 <= total {
            let rows = KeyedBatch::new(picked.to_batch(&self.schema)?)?;
            self.weight = rows.weight() + rows.len() * ENTRY;
            self.held.push(rows);
            if self.weight * 2 <= before {
                return Ok(());
            }
            return self.make_run();
        }
        let run = self.write(picked)?;
        self.add_run(run, 0)
    }

    fn make_run(&mut self) -> Result<()> {
        let sources = std::mem::take(&mut self.held);
        self.weight = 0;
        let run = self.write(PickedRows { rows: sorted(&sources, self.keep), sources })?;
        self.add_run(run, 0)
    }

    fn add_run(&mut self, run: File, level: usize) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        // Where single rows are heavier than a batch should be, fewer can be held at once.
        let fewer = self.limits.runs * self.limits.run_batch / self.heaviest.max(self.limits.run_batch);
        if self.levels[level].len() < fewer.clamp(2, self.limits.runs) {
            return Ok(());
        }
        let inputs = self.levels[level].drain(..).map(|run| open(run).map(Input::Run)).collect::<Result<_>>()?;
        // Nothing else is held now. Few large steps: each looks at all batches that it has rows of.
        let mut merge = Merge::new(None, inputs, self.keep, usize::MAX, self.limits.sorting)?;
        let mut writer = RunWriter::create(&self.schema)?;
        while let Some(picked) = merge.next()? {
            writer.write(&picked, &self.schema, self.limits.run_batch, &mut self.heaviest)?;
        }
        self.add_run(writer.finish()?, level + 1)
    }

    /// Writes sorted rows into a temporary file.
    fn write(&mut self, picked: PickedRows) -> Result<File> {
        let mut writer = RunWriter::create(&self.schema)?;
        writer.write(&picked, &self.schema, self.limits.run_batch, &mut self.heaviest)?;
        writer.finish()
    }

    /// All rows, sorted, and those of `first`, which is sorted already and counts less.
    pub(crate) fn merge(mut self, first: Option<Input>) -> Result<Merge> {
        let mut inputs = Vec::new();
        for level in self.levels.drain(..).rev() {
            for run in level {
                inputs.push(Input::Run(open(run)?));
            }
        }
        let sources = self.held;
        inputs.push(Input::Held(Some(PickedRows { rows: sorted(&sources, self.keep), sources })));
        Merge::new(first, inputs, self.keep, self.limits.rows, self.limits.file_batch)
    }
}

/// A row, with the beginning of its `_id`: most comparisons need no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    prefix: (u64, u64),
    batch: u32,
    row: u32,
}

/// The rows that are kept, sorted.
fn sorted(sources: &[KeyedBatch], keep: Keep) -> Vec<(usize, usize)> {
    let mut entries = Vec::with_capacity(sources.iter().map(KeyedBatch::len).sum());
    for (batch, source) in sources.iter().enumerate() {
        entries.extend((0..source.len()).map(|row| Entry {
            prefix: prefix(source.id(row)),
            batch: batch as u32,
            row: row as u32,
        }));
    }
    let id = |e: &Entry| sources[e.batch as usize].id(e.row as usize);
    let ts = |e: &Entry| sources[e.batch as usize].ts(e.row as usize);
    entries.sort_unstable_by(|a, b| {
        let ids = a.prefix.cmp(&b.prefix).then_with(|| id(a).cmp(id(b)));
        // (batch, row) is the order in which they came.
        ids.then_with(|| ts(a).cmp(&ts(b))).then_with(|| (a.batch, a.row).cmp(&(b.batch, b.row)))
    });
    let same = |a: &Entry, b: &Entry| a.prefix == b.prefix && id(a) == id(b);
    let mut rows = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if entries.get(at + 1).is_none_or(|next| !same(entry, next) || !keep.drops(ts(entry), ts(next))) {
            rows.push((entry.batch as usize, entry.row as usize));
        }
    }
    rows
}

/// The first 16 bytes, so that they compare like the text.
fn prefix(id: &str) -> (u64, u64) {
    let mut bytes = [0; 16];
    let n = id.len().min(16);
    bytes[..n].copy_from_slice(&id.as_bytes()[..n]);
    let number = u128::from_be_bytes(bytes);
    ((number >> 64) as u64, number as u64)
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
