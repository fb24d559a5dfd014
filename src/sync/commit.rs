//! What the next commit will say beside its files, collected page by page. The one place that drafts a commit of data.

use std::time::{Duration, Instant};

use super::{fetch::FetchedPage, tables::Tables};
use crate::{
    archive::{Base, Draft, Head, Proof, ProofSource},
    codec::Oddities,
    document::{Encoding, Timestamp},
    position::{Phase, Progress},
    schema::Misfits,
    selection::Selection,
};

/// What came since the last commit.
pub(super) struct NextCommit {
    since: Instant,
    /// What the deployment answered last.
    answer: Option<Answer>,
    component_rows: bool,
    proofs: Vec<Proof>,
    completed: Vec<Base>,
    misfits: Vec<(usize, Misfits)>,
    oddities: Oddities,
    /// Whether a route of the deployment has told that it sends the rows of components: before, or in this pass.
    asked: bool,
}

#[derive(Clone, Copy)]
struct Answer {
    at: Timestamp,
    encoding: Encoding,
    caught_up: bool,
    /// Whether it is known how far it reaches.
    reaches: bool,
}

impl NextCommit {
    /// The first of a pass on an archive at `head`.
    pub(super) fn first(head: &Head) -> Self {
        let asked = head.coverage().component_rows.is_some_and(|rows| rows.asked);
        Self { asked, ..Self::begin() }
    }

    fn begin() -> Self {
        Self {
            since: Instant::now(),
            answer: None,
            component_rows: false,
            proofs: Vec::new(),
            completed: Vec::new(),
            misfits: Vec::new(),
            oddities: Oddities::default(),
            asked: false,
        }
    }

    /// Whether documents of `encoding` are for another commit: each names one.
    pub(super) fn is_of_another(&self, encoding: Encoding) -> bool {
        self.answer.is_some_and(|answer| answer.encoding != encoding)
    }

    /// Whether it may be made: a page came, and it is known how far the last one reaches.
    pub(super) fn is_whole(&self) -> bool {
        self.answer.is_some_and(|answer| answer.reaches)
    }

    /// A page came.
    pub(super) fn answered(&mut self, fetched: &FetchedPage) {
        let FetchedPage { page, at, .. } = fetched;
        self.answer = Some(Answer {
            at: *at,
            encoding: page.encoding,
            caught_up: fetched.ends_the_log(),
            reaches: page.through.is_some(),
        });
        let of_component = || page.tables.iter().any(|table| !table.component().is_empty());
        self.component_rows |= page.phase == Phase::Delta && of_component();
        for proof in &fetched.proofs {
            // That a server lacks the route says something only where one was known to have it.
            if proof.by != ProofSource::Gone || self.asked {
                self.proofs.push(*proof);
            }
            self.asked = proof.by != ProofSource::Gone;
        }
    }

    /// A walk has ended.
    pub(super) fn complete(&mut self, base: Base) {
        self.completed.push(base);
    }

    /// A file of the table with this number ends, and so much did not fit in its columns.
    pub(super) fn count_misfits(&mut self, table: usize, misfits: Misfits) {
        self.misfits.push((table, misfits));
    }

    /// A file ends, and so many odd documents were among its own.
    pub(super) fn count_oddities(&mut self, oddities: Oddities) {
        self.oddities = self.oddities.plus(oddities);
    }

    /// The odd documents since the last commit.
    pub(super) fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Whether it is time for a periodic commit.
    pub(super) fn is_late(&self, commit_every: Duration) -> bool {
        self.since.elapsed() >= commit_every
    }

    /// The commit of what came, which leaves the archive at `progress`; another begins. None if no page came.
    pub(super) fn draft(
        &mut self,
        tables: &mut Tables,
        progress: Progress,
        selection: &Selection,
        now: Timestamp,
    ) -> Option<Draft> {
        let begun = Self { asked: self.asked, ..Self::begin() };
        let Self { answer, component_rows, mut proofs, completed, misfits, .. } = std::mem::replace(self, begun);
        let answer = answer?;
        for (table, misfits) in misfits {
            tables.count_misfits(table, &misfits);
        }
        let cursor = progress.delta.as_ref().map(|delta| delta.ts);
        proofs.extend(cursor.filter(|_| component_rows).map(|ts| Proof { ts, by: ProofSource::Row }));
        Some(Draft {
            checked_at: answer.at,
            caught_up: answer.caught_up,
            progress,
            tables: tables.take_changed(),
            bases: completed,
            proofs,
            // The writer knows the files.
            ..tables.head().unchanged(answer.encoding, selection.clone(), now)
        })
    }
}
