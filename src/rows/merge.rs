//! [`Merge`]: sorted inputs → one sorted sequence of rows. Copies nothing: it says which row of which batch comes next.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use arrow::array::RecordBatch;

use super::{
    feed::Feed,
    keyed::{KeyedBatch, PickedRows},
    run::{RunReader, run_failed},
};
use crate::error::{Error, Result};

/// Which of the rows of one `_id` are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The one with the largest `_ts`; among equals the one that came last.
    Newest,
    /// Each `_ts` once: the row that came last.
    EachTs,
    /// Every row.
    All,
}

impl Keep {
    /// Whether, of two rows of one `_id`, the one of `ts` goes, since one of `later` follows.
    pub(crate) fn drops(self, ts: i64, later: i64) -> bool {
        match self {
            Self::Newest => true,
            Self::EachTs => ts == later,
            Self::All => false,
        }
    }
}

/// Rows sorted by `_id`, then `_ts`.
pub(crate) enum Input {
    /// Held in memory; taken at once.
    Held(Option<PickedRows>),
    /// A temporary file.
    Run(RunReader),
    /// Data files.
    Files(Feed<RecordBatch>),
}

/// Merges one long input and many others, of which the later ones count more.
pub(crate) struct Merge {
    /// Apart from the heap, so that its rows cost one comparison each.
    first: Option<Cursor>,
    others: Vec<Cursor>,
    heap: BinaryHeap<Reverse<Next>>,
    keep: Keep,
    rows: usize,
    bytes: usize,
}

/// Where an input of the heap stands.
#[derive(PartialEq, Eq)]
struct Next {
    id: String,
    ts: i64,
    input: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.id.as_str(), self.ts, self.input).cmp(&(other.id.as_str(), other.ts, other.input))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Merge {
    /// `first` counts less than all `others`. Hands on at most `rows` at once, out of batches of not much more than
    /// `bytes` beside those where the inputs stand.
    pub(crate) fn new(first: Option<Input>, others: Vec<Input>, keep: Keep, rows: usize, bytes: usize) -> Result<Self> {
        let first = first.map(Cursor::open).transpose()?;
        let others = others.into_iter().map(Cursor::open).collect::<Result<Vec<_>>>()?;
        let heap = others.iter().enumerate().filter_map(|(input, cursor)| {
            let (id, ts) = cursor.head()?;
            Some(Reverse(Next { id: id.to_owned(), ts, input }))
        });
        Ok(Self { heap: heap.collect(), first, others, keep, rows, bytes })
    }

    /// The next rows; None after the last. Never empty. Rows of one `_id` may come in several parts, unless one of them drops the
    /// other.
    pub(crate) fn next(&mut self) -> Result<Option<PickedRows>> {
        let mut out = Out::default();
        self.first.iter_mut().chain(&mut self.others).for_each(Cursor::forget);
        let mut was_from_heap = false;
        loop {
            let first = self.first.as_ref().and_then(Cursor::head);
            let from_heap = match (first, self.heap.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                // Of equals the first counts less, so it comes before.
                (Some((id, ts)), Some(Reverse(next))) => (next.id.as_str(), next.ts) < (id, ts),
            };
            let full = out.picked.rows.len() >= self.rows || out.released >= self.bytes;
            // Those of the first input differ from one another.
            if from_heap || was_from_heap || full {
                let next = self.heap.peek().map(|Reverse(next)| (next.id.as_str(), next.ts));
                let drops = match if from_heap { next } else { first } {
                    Some((id, ts)) => out.last(id).is_some_and(|kept| self.keep.drops(kept, ts)),
                    None => false,
                };
                match drops {
                    true => drop(out.picked.rows.pop()),
                    false if full => break,
                    false => {}
                }
            }
            if from_heap {
                self.take_from_heap(&mut out)?;
            } else if let Some(first) = &mut self.first {
                out.take(first)?;
            }
            was_from_heap = from_heap;
        }
        Ok((!out.picked.rows.is_empty()).then_some(out.picked))
    }

    fn take_from_heap(&mut self, out: &mut Out) -> Result<()> {
        let Some(mut top) = self.heap.peek_mut() else { return Ok(()) };
        let cursor = &mut self.others[top.0.input];
        out.take(cursor)?;
        match cursor.head() {
            Some((id, ts)) => {
                top.0.id.clear();
                top.0.id.push_str(id);
                top.0.ts = ts;
            }
            None => drop(PeekMut::pop(top)),
        }
        Ok(())
    }
}

/// What is handed on next.
#[derive(Default)]
struct Out {
    picked: PickedRows,
    /// Bytes of batches that no input stands at any more.
    released: usize,
}

impl Out {
    /// `_ts` of the last row, if it is of `id`.
    fn last(&self, id: &str) -> Option<i64> {
        let (source, row) = self.picked.rows.last()?;
        let source = &self.picked.sources[*source];
        (source.id(*row) == id).then(|| source.ts(*row))
    }

    /// Takes the row at which an input stands.
    fn take(&mut self, cursor: &mut Cursor) -> Result<()> {
        let (batch, row) = cursor.place();
        let slot = &mut cursor.slots[batch];
        if *slot == usize::MAX {
            *slot = self.picked.sources.len();
            self.picked.sources.push(cursor.batches[batch].clone());
        }
        self.picked.rows.push((*slot, row));
        self.released += cursor.advance()?;
        Ok(())
    }
}

/// An input, and where it stands.
struct Cursor {
    input: Input,
    batches: Vec<KeyedBatch>,
    /// (batch, row), unless all rows of one batch.
    order: Option<Vec<(usize, usize)>>,
    at: usize,
    len: usize,
    /// Where in what is handed on next a batch stands.
    slots: Vec<usize>,
}

impl Cursor {
    fn open(input: Input) -> Result<Self> {
        let mut cursor = Self { input, batches: Vec::new(), order: None, at: 0, len: 0, slots: Vec::new() };
        cursor.fill()?;
        Ok(cursor)
    }

    fn place(&self) -> (usize, usize) {
        self.order.as_ref().map_or((0, self.at), |order| order[self.at])
    }

    /// `_id` and `_ts` of the row at which it stands.
    fn head(&self) -> Option<(&str, i64)> {
        (self.at < self.len).then(|| {
            let (batch, row) = self.place();
            (self.batches[batch].id(row), self.batches[batch].ts(row))
        })
    }

    fn forget(&mut self) {
        self.slots.fill(usize::MAX);
    }

    /// Goes to the next row; the bytes of what is left behind.
    fn advance(&mut self) -> Result<usize> {
        self.at += 1;
        if self.at < self.len {
            return Ok(0);
        }
        let left = self.batches.iter().map(KeyedBatch::weight).sum();
        self.fill()?;
        Ok(left)
    }

    /// Takes the next batches of its input, if there are any.
    fn fill(&mut self) -> Result<()> {
        (self.at, self.len) = (0, 0);
        let last = self.batches.last().filter(|batch| batch.len() > 0);
        let before = last.map(|batch| batch.id(batch.len() - 1).to_owned());
        self.batches.clear();
        match &mut self.input {
            Input::Held(picked) => {
                if let Some(picked) = picked.take() {
                    self.len = picked.rows.len();
                    (self.batches, self.order) = (picked.sources, Some(picked.rows));
                }
            }
            Input::Run(reader) => {
                if let Some(batch) = reader.next().transpose().map_err(run_failed)? {
                    self.batches.push(KeyedBatch::new(batch)?);
                }
            }
            Input::Files(files) => {
                if let Some(batch) = files.next_blocking()? {
                    let batch = KeyedBatch::new(batch)?;
                    if before.is_some_and(|before| batch.len() > 0 && batch.id(0) <= before.as_str()) {
                        return Err(Error::corrupt(
                            "the files of a base are not in the order that the archive records: a file is damaged; \
                             take it from a copy of the archive",
                        ));
                    }
                    self.batches.push(batch);
                }
            }
        }
        if self.order.is_none() {
            self.len = self.batches.first().map_or(0, KeyedBatch::len);
        }
        self.slots = vec![usize::MAX; self.batches.len()];
        Ok(())
    }
}
