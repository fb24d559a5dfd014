//! What a revision did, told by what was known of its document before. Pure.

use super::change::Change;
use crate::{
    archive::{Coverage, Covers},
    document::{TableRef, Timestamp},
};

/// What is known of a document before a revision.
#[derive(Default)]
pub(super) struct Document {
    pub(super) id: String,
    /// S of the bases that hold it.
    bases: Vec<i64>,
    /// `_ts` of the last delta, and whether it deleted.
    last_delta: Option<(i64, bool)>,
    /// `_ts` of the last row of any kind, and whether it deleted; and the last one before that `_ts`.
    last: Option<(i64, bool)>,
    before: Option<(i64, bool)>,
}

impl Document {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// The next row, in the order of `_ts`. What it did, if it is a delta and no repetition of the last.
    pub(super) fn step(
        &mut self,
        coverage: &Coverage,
        table: &TableRef,
        ts: i64,
        base: Option<i64>,
        deleted: bool,
    ) -> Option<Change> {
        if self.last.is_some_and(|(last, _)| last < ts) {
            self.before = self.last;
        }
        self.last = Some((ts, deleted));
        if let Some(s) = base {
            self.bases.push(s);
            return None;
        }
        if self.last_delta.is_some_and(|(last, _)| last == ts) {
            return None;
        }
        let change = self.change(coverage, table, ts, deleted);
        self.last_delta = Some((ts, deleted));
        Some(change)
    }

    fn change(&self, coverage: &Coverage, table: &TableRef, ts: i64, deleted: bool) -> Change {
        if deleted {
            return Change::Deleted;
        }
        let was_there = match coverage.covers(table, Timestamp(ts.saturating_sub(1))) {
            Covers::Covered(base) => Some(match self.last_delta {
                Some((last, deleted)) if last > base.ts.0 => !deleted,
                _ => self.bases.contains(&base.ts.0),
            }),
            Covers::NotCovered(_) => self.before.map(|(_, deleted)| !deleted),
        };
        match was_there {
            Some(true) => Change::Updated,
            Some(false) => Change::Inserted,
            None => Change::Written,
        }
    }
}
