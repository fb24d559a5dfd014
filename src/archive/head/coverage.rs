//! Which `_ts` is covered for which table, and from which base. Pure.
//!
//! The rule (FORMAT.md, "Coverage"): the state of a table at T, for T up to the delta cursor, is the newest base in force
//! that holds the table with S at or below T, such that no gap (from, to] of the table overlaps (S, T] and no cut lies
//! between, overridden by the deltas in (S, T]. Without such a base T is not covered: a gap or a cut poisons every T after it
//! until the next base.
//!
//! A base is in force until it is withdrawn. A cut is a base that stands where the deltas did not tell what happened; it goes
//! on to cut when its base has been withdrawn.
//!
//! Gaps are the recorded ones, the time in which the table was not selected, and of a component the time before its rows
//! were known to arrive.

use serde::Serialize;

use super::base::{
    Base, BaseMaker, ComponentRows, Doubt, Gap, LossyEncoding, Proof, ProofSource, SelectionEntry, Withdrawal,
    WithdrawalReason,
};
use crate::{
    document::{TableRef, Timestamp},
    position::{BaseId, Scope},
    selection::Selection,
};

/// All that commits said of bases and gaps, and how far deltas reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The delta cursor's `_ts`: nothing later is covered. Absent before the first commit.
    pub through: Option<Timestamp>,
    /// Complete bases in the order in which they were completed, also those that were withdrawn.
    #[doc(hidden)]
    pub bases: Vec<Base>,
    /// Which bases no longer serve, and for which tables.
    #[doc(hidden)]
    pub withdrawals: Vec<Withdrawal>,
    /// Bases of the archive's own whose files no longer only repeat what other files hold: those were lost.
    #[doc(hidden)]
    pub unmarked: Vec<BaseId>,
    /// Gaps in the order in which they were recorded.
    pub gaps: Vec<Gap>,
    /// Spans in which the archive may differ from the deployment.
    #[doc(hidden)]
    pub doubts: Vec<Doubt>,
    /// What was selected: before the first of these, everything.
    #[doc(hidden)]
    pub selections: Vec<SelectionEntry>,
    /// What came without types, in the order in which it came.
    pub untyped: Vec<LossyEncoding>,
    /// When the deployment was seen to send rows of components in deltas. Servers that do not send them look like quiet ones:
    /// before the first such moment the deltas of a component prove nothing.
    #[doc(hidden)]
    pub component_rows: Option<ComponentRows>,
}

/// A closed span of `_ts`: `from` and `to` are in it, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First.
    pub from: Timestamp,
    /// Last.
    pub to: Timestamp,
}

/// Whether a table's state at a moment is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Covers<'a> {
    /// It is: this base and the deltas after it up to the moment.
    Covered(#[doc(hidden)] &'a Base),
    /// It is not; these moments are.
    NotCovered(Vec<Span>),
}

/// Whose coverage is asked for.
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    /// A table by its name.
    Table(&'a TableRef),
    /// A table that no commit has named so far, at the root or in a component.
    Unseen { component: bool },
}

impl Of<'_> {
    fn is_in(self, scope: &Scope) -> bool {
        match self {
            Self::Table(table) => scope.contains(table),
            Self::Unseen { .. } => scope.holds_unseen(),
        }
    }

    fn is_held_by(self, base: &Base) -> bool {
        match self {
            Self::Table(table) => base.holds(table),
            Self::Unseen { .. } => base.scope.holds_unseen(),
        }
    }

    fn is_cut_by(self, base: &Base) -> bool {
        match self {
            Self::Table(table) => base.cuts(table),
            // What a commit corrects, it names.
            Self::Unseen { .. } => false,
        }
    }

    fn is_of_component(self) -> bool {
        match self {
            Self::Table(table) => !table.component().is_empty(),
            Self::Unseen { component } => component,
        }
    }
}

impl Coverage {
    /// Whether the state of `table` at `at` is in the archive, and from which base.
    pub fn covers(&self, table: &TableRef, at: Timestamp) -> Covers<'_> {
        match self.intact_base(Of::Table(table), at) {
            Some(base) => Covers::Covered(base),
            None => Covers::NotCovered(self.spans(table)),
        }
    }

    /// Whether a table that no commit has named so far and that is selected now is known to have been empty at `at`: one at
    /// the root, or one of a component.
    #[doc(hidden)]
    pub fn covers_unseen(&self, component: bool, at: Timestamp) -> bool {
        let selected = self.selected();
        // Also where the selection has widened at the very S of the base, and no time lies between.
        self.intact_base(Of::Unseen { component }, at).is_some_and(|base| selected.narrows(&base.selected))
    }

    fn intact_base(&self, of: Of<'_>, at: Timestamp) -> Option<&Base> {
        // A gap that overlaps (S, T] of the newest base overlaps that of every older one, so only the newest counts.
        self.newest_base(of, at).filter(|base| at <= self.intact_until(of, base))
    }

    /// All moments at which the state of `table` is in the archive: ascending, apart from each other.
    pub fn spans(&self, table: &TableRef) -> Vec<Span> {
        let mut spans: Vec<_> = self
            .bases
            .iter()
            .filter(|b| self.serves(b, table))
            .map(|b| Span { from: b.ts, to: self.intact_until(Of::Table(table), b) })
            .filter(|s| s.from <= s.to)
            .collect();
        spans.sort_by_key(|s| (s.from, s.to));
        let mut joined: Vec<Span> = Vec::new();
        for span in spans {
            match joined.last_mut() {
                // Two neighbouring nanoseconds leave no moment between them.
                Some(last) if span.from.0 <= last.to.0.saturating_add(1) => last.to = last.to.max(span.to),
                _ => joined.push(span),
            }
        }
        joined
    }

    /// The newest moment up to `until` at which the state of each of these tables is in the archive; `until`, if there are none.
    pub(crate) fn newest_of_all<'a>(
        &self,
        tables: impl Iterator<Item = &'a TableRef> + Clone,
        until: Timestamp,
    ) -> Option<Timestamp> {
        self.step_to_all(tables, until, |spans, at| spans.iter().rfind(|span| span.to < at).map(|span| span.to))
    }

    /// The first moment from `from` on at which the state of each of these tables is in the archive.
    pub(crate) fn first_of_all<'a>(
        &self,
        tables: impl Iterator<Item = &'a TableRef> + Clone,
        from: Timestamp,
    ) -> Option<Timestamp> {
        self.step_to_all(tables, from, |spans, at| spans.iter().find(|span| span.from > at).map(|span| span.from))
    }

    /// From one moment to the next, wherever a table lacks it, until all have it.
    fn step_to_all<'a>(
        &self,
        tables: impl Iterator<Item = &'a TableRef> + Clone,
        mut at: Timestamp,
        next: impl Fn(&[Span], Timestamp) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        loop {
            let before = at;
            for table in tables.clone() {
                if let Covers::NotCovered(spans) = self.covers(table, at) {
                    at = next(&spans, at)?;
                }
            }
            if at == before {
                return Some(at);
            }
        }
    }

    /// The spans (from, to] in which changes of `table` are missing, for whatever reason, in no order; one that is open ends
    /// at the end of time.
    pub fn missing(&self, table: &TableRef) -> Vec<(Timestamp, Timestamp)> {
        self.gaps_of(Of::Table(table)).filter(|(from, to)| from < to).collect()
    }

    /// The base in force of the newest S at or below `at` that holds the table; among bases of one S that of the latest
    /// commit.
    fn newest_base(&self, of: Of<'_>, at: Timestamp) -> Option<&Base> {
        let bases = self.bases.iter().filter(|b| b.ts <= at && of.is_held_by(b) && self.is_in_force(of, b));
        bases.max_by_key(|b| b.rank())
    }

    fn is_in_force(&self, of: Of<'_>, base: &Base) -> bool {
        !self.withdrawals.iter().any(|w| w.base == base.id && of.is_in(&w.scope))
    }

    /// Whether readers of history see the base's files of the table: it is in force, or it was superseded and is unmarked, so that
    /// its files may be the only ones that hold their rows.
    #[doc(hidden)]
    pub fn shows(&self, base: &Base, table: &TableRef) -> bool {
        let mut withdrawn = self.withdrawals.iter().filter(|w| w.base == base.id && w.scope.contains(table));
        let unmarked = self.unmarked.contains(&base.id);
        base.holds(table) && withdrawn.all(|w| unmarked && w.why == WithdrawalReason::Superseded)
    }

    /// Whether the base still serves the table.
    #[doc(hidden)]
    pub fn serves(&self, base: &Base, table: &TableRef) -> bool {
        base.holds(table) && self.is_in_force(Of::Table(table), base)
    }

    /// Whether the base still serves tables that no commit has named.
    pub(crate) fn serves_unseen(&self, base: &Base) -> bool {
        let of = Of::Unseen { component: false };
        of.is_held_by(base) && self.is_in_force(of, base)
    }

    /// The last moment for which deltas after `base` are complete, and no cut lies between; before the base's own S if it
    /// lies beyond the deltas.
    fn intact_until(&self, of: Of<'_>, base: &Base) -> Timestamp {
        let Some(through) = self.through else { return Timestamp(i64::MIN) };
        let gaps = self.gaps_of(of).filter(|(from, to)| from < to && *to > base.ts);
        let cuts = self.bases.iter().filter(|cut| of.is_cut_by(cut) && cut.rank() > base.rank());
        let until = gaps.map(|(from, _)| from.max(base.ts)).fold(through, Timestamp::min);
        cuts.map(|cut| Timestamp(cut.ts.0.saturating_sub(1))).fold(until, Timestamp::min)
    }

    /// Whether a base other than `base`, of those in force, serves every moment of the table that `base` serves: no gap and
    /// no cut lies between the two.
    pub(super) fn is_repeated(&self, base: &Base, table: &TableRef) -> bool {
        self.is_repeated_without(base, table, &[])
    }

    /// The same, where some other bases no longer serve.
    fn is_repeated_without(&self, base: &Base, table: &TableRef, gone: &[&Base]) -> bool {
        let of = Of::Table(table);
        let serves = |other: &Base| self.serves(other, table) && gone.iter().all(|gone| gone.id != other.id);
        let others = self.bases.iter().filter(|other| other.rank() < base.rank() && serves(other));
        others.max_by_key(|other| other.rank()).is_some_and(|other| {
            let gap = self.gaps_of(of).any(|(from, to)| from < base.ts && to > other.ts && from < to);
            let between = other.rank()..=base.rank();
            let cut = |base: &Base| base.cuts(table) && between.contains(&base.rank()) && base.id != other.id;
            !gap && !self.bases.iter().any(cut)
        })
    }

    /// The archive's own bases of the table that may be superseded, together: of which another base in force, that is none of them, serves
    /// every moment. Not those that may be the only ones that hold their rows.
    pub(crate) fn needless(&self, table: &TableRef) -> Vec<&Base> {
        let repeats = |base: &&Base| base.made == BaseMaker::Archive && !base.cuts(table) && self.serves(base, table);
        let mut own: Vec<_> = self.bases.iter().filter(repeats).collect();
        own.retain(|base| !self.unmarked.contains(&base.id));
        own.sort_by_key(|base| base.rank());
        let mut needless = Vec::new();
        for base in own {
            if self.is_repeated_without(base, table, &needless) {
                needless.push(base);
            }
        }
        needless
    }

    /// The gaps (from, to] of the table; an open one ends at the end of time.
    fn gaps_of<'a>(&'a self, of: Of<'a>) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
        let open = Timestamp(i64::MAX);
        let since = self.component_rows.map_or(open, |rows| rows.since);
        let unproven = of.is_of_component().then_some((Timestamp(i64::MIN), since));
        let said = self.gaps.iter().filter(move |g| of.is_in(&g.scope)).map(|g| (g.from, g.to));
        let unselected = self.selections.iter().enumerate().filter_map(move |(n, selected)| match of {
            Of::Table(table) if selected.tables.contains(table) => None,
            Of::Table(_) => Some((selected.after, self.selections.get(n + 1).map_or(open, |next| next.after))),
            // Of a table that was not selected nobody knows whether it is there.
            Of::Unseen { .. } => {
                let everything = Selection::default();
                let before = n.checked_sub(1).map_or(&everything, |before| &self.selections[before].tables);
                (!selected.tables.narrows(before)).then_some((Timestamp(i64::MIN), selected.after))
            }
        });
        said.chain(unproven).chain(unselected)
    }

    /// Documents came without types: of the base `of`, or of deltas.
    pub(super) fn record_untyped(&mut self, of: Option<&BaseId>, after: Timestamp, to: Timestamp) {
        match self.untyped.iter_mut().rfind(|known| known.base.as_ref() == of) {
            // The walk goes on, or the deltas do.
            Some(known) if of.is_some() || known.to == after => known.to = to,
            _ => self.untyped.push(LossyEncoding { base: of.cloned(), after, to }),
        }
    }

    /// The walk of this base was given up.
    pub(super) fn forget_untyped(&mut self, base: &BaseId) {
        self.untyped.retain(|untyped| untyped.base.as_ref() != Some(base));
    }

    /// Notes that the deployment was seen to send rows of components, or that it no longer does.
    pub(super) fn record_proof(&mut self, proof: Proof) {
        let Proof { ts, by } = proof;
        if by == ProofSource::Gone {
            self.component_rows = self.component_rows.filter(|rows| !rows.asked);
            return;
        }
        let rows = self.component_rows.get_or_insert(ComponentRows { since: ts, seen: ts, asked: false });
        if by == ProofSource::Row {
            rows.seen = rows.seen.max(ts);
        } else {
            // That a route tells so run after run is nothing new.
            rows.asked = true;
        }
    }

    /// The selection in force.
    pub fn selected(&self) -> Selection {
        self.selections.last().map(|selected| selected.tables.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
