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
    Base, ComponentRows, Doubt, Gap, LossyEncoding, Proof, ProofSource, SelectionEntry, Withdrawal, WithdrawalReason,
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
        let of = Of::Table(table);
        let others = self.bases.iter().filter(|other| other.rank() < base.rank() && self.serves(other, table));
        others.max_by_key(|other| other.rank()).is_some_and(|other| {
            let gap = self.gaps_of(of).any(|(from, to)| from < base.ts && to > other.ts && from < to);
            let between = other.rank()..=base.rank();
            let cut = |base: &Base| base.cuts(table) && between.contains(&base.rank()) && base.id != other.id;
            !gap && !self.bases.iter().any(cut)
        })
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn tables() -> Vec<TableRef> {
        [("", "a"), ("", "b"), ("c", "a")].map(|(c, n)| TableRef::new(c, n).unwrap()).into()
    }

    fn scope() -> impl Strategy<Value = Scope> {
        let some = proptest::sample::subsequence(tables(), 0..=3);
        prop_oneof![
            2 => Just(Scope::All),
            1 => some.clone().prop_map(Scope::Tables),
            1 => some.prop_map(Scope::Except),
        ]
    }

    fn coverage() -> impl Strategy<Value = Coverage> {
        let cuts = proptest::sample::subsequence(tables(), 0..=2);
        let base = (0i64..20, scope(), selection(), cuts).prop_map(|(ts, scope, selected, cuts)| Base {
            cuts,
            selected,
            ..Base::new(BaseId(String::new()), Timestamp(ts), scope, Vec::new())
        });
        let bases = proptest::collection::vec(base, 0..4).prop_map(|mut bases| {
            for (n, base) in bases.iter_mut().enumerate() {
                (base.id, base.version) = (BaseId(n.to_string()), n as u64 + 1);
            }
            bases
        });
        let withdrawal = (0..4, scope()).prop_map(|(n, scope): (i32, Scope)| Withdrawal {
            base: BaseId(n.to_string()),
            scope,
            why: WithdrawalReason::Lost,
        });
        let gap = (0i64..20, 1i64..6, scope()).prop_map(|(from, length, scope)| Gap {
            scope,
            from: Timestamp(from),
            to: Timestamp(from + length),
            why: "window".into(),
        });
        let selections = proptest::collection::btree_map(0i64..20, selection(), 0..3);
        let withdrawals = proptest::collection::vec(withdrawal, 0..2);
        let gaps = proptest::collection::vec(gap, 0..3);
        let through = proptest::option::weighted(0.9, 0i64..24);
        (through, bases, withdrawals, gaps, selections, proptest::option::of(0i64..20)).prop_map(
            |(through, bases, withdrawals, gaps, selections, since)| Coverage {
                through: through.map(Timestamp),
                bases,
                withdrawals,
                gaps,
                selections: selections.into_iter().map(selected).collect(),
                component_rows: since.map(component_rows),
                ..Coverage::default()
            },
        )
    }

    fn selected((after, tables): (i64, Selection)) -> SelectionEntry {
        SelectionEntry { after: Timestamp(after), tables, version: 0 }
    }

    fn component_rows(since: i64) -> ComponentRows {
        ComponentRows { since: Timestamp(since), seen: Timestamp(since), asked: false }
    }

    fn selection() -> impl Strategy<Value = Selection> {
        let text = prop_oneof![4 => Just("**"), 1 => Just("a"), 1 => Just("** !a"), 1 => Just("c/**")];
        text.prop_map(|text| text.parse().unwrap())
    }

    /// The rule read aloud: every single moment after S up to T must have been seen.
    fn oracle(c: &Coverage, table: &TableRef, at: i64) -> Option<(i64, u64)> {
        if c.through.is_none_or(|t| at > t.0) {
            return None;
        }
        let missing = |m: i64| {
            let said = c.gaps.iter().any(|g| g.scope.contains(table) && g.from.0 < m && m <= g.to.0);
            let in_force = c.selections.iter().rfind(|s| s.after.0 < m);
            said || in_force.is_some_and(|s| !s.tables.contains(table))
                || (!table.component().is_empty() && c.component_rows.is_none_or(|rows| m <= rows.since.0))
        };
        let holds = |b: &&Base| b.scope.contains(table) && b.selected.contains(table);
        let cut = |s: i64, version: u64| {
            let mut cuts = c.bases.iter().filter(|b| b.cuts.contains(table));
            cuts.any(|b| b.ts.0 <= at && (b.ts.0 > s || (b.ts.0 == s && b.version > version)))
        };
        let withdrawn = |b: &Base| c.withdrawals.iter().any(|w| w.base == b.id && w.scope.contains(table));
        let usable = |b: &&Base| b.ts.0 <= at && (b.ts.0 + 1..=at).all(|m| !missing(m)) && !withdrawn(b);
        c.bases
            .iter()
            .filter(holds)
            .filter(usable)
            .map(|b| (b.ts.0, b.version))
            .filter(|(s, version)| !cut(*s, *version))
            .max()
    }

    proptest! {
        #[test]
        fn covers_what_the_rule_says_moment_by_moment(c in coverage(), table in proptest::sample::select(tables())) {
            let mut covered = BTreeSet::new();
            for at in -1..30 {
                match (c.covers(&table, Timestamp(at)), oracle(&c, &table, at)) {
                    (Covers::Covered(base), Some(s)) => {
                        prop_assert_eq!((base.ts.0, base.version), s);
                        covered.insert(at);
                    }
                    (Covers::NotCovered(spans), None) => prop_assert_eq!(spans, c.spans(&table)),
                    (ours, theirs) => prop_assert!(false, "at {at}: {ours:?}, the oracle says {theirs:?}"),
                }
            }
            let spans = c.spans(&table);
            prop_assert!(spans.windows(2).all(|w| w[0].to.0 + 1 < w[1].from.0));
            let listed: BTreeSet<_> = spans.iter().flat_map(|s| s.from.0..=s.to.0).collect();
            prop_assert_eq!(listed, covered);
        }
    }

    proptest! {
        #[test]
        fn the_moments_of_all_tables_are_found_as_trying_each_moment_finds_them(
            c in coverage(),
            some in proptest::sample::subsequence(tables(), 0..=3),
            asked in -1i64..30,
        ) {
            let all_have = |at: &i64| some.iter().all(|table| oracle(&c, table, *at).is_some());
            let newest = (-2..=asked).rev().find(all_have).map(Timestamp);
            prop_assert_eq!(c.newest_of_all(some.iter(), Timestamp(asked)), newest);
            let first = (asked..31).find(all_have).map(Timestamp);
            prop_assert_eq!(c.first_of_all(some.iter(), Timestamp(asked)), first);
        }
    }

    /// A selection that may also be of tables that no scope names.
    fn wide_selection() -> impl Strategy<Value = Selection> {
        let text = prop_oneof![
            4 => Just("**"), 1 => Just("a"), 1 => Just("** !a"), 1 => Just("c/**"), 1 => Just("** !z"), 1 => Just("z a"),
            1 => Just("**/z"), 1 => Just("** !c/z"),
        ];
        text.prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_table_never_seen_is_said_to_be_empty_only_where_every_such_table_is_covered(
            mut c in coverage(),
            selections in proptest::collection::btree_map(0i64..20, wide_selection(), 0..3),
            of_bases in proptest::collection::vec(wide_selection(), 4),
        ) {
            c.selections = selections.into_iter().map(selected).collect();
            c.bases.iter_mut().zip(of_bases).for_each(|(base, selected)| base.selected = selected);
            let all_are = |component: bool, at| {
                let names = if component { [("c", "z"), ("c", "y"), ("d", "z")] } else { [("", "z"), ("", "y"), ("", "w")] };
                let unseen = names.map(|(component, name)| TableRef::new(component, name).unwrap());
                unseen.iter().filter(|t| c.selected().contains(t)).all(|t| matches!(c.covers(t, at), Covers::Covered(_)))
            };
            let everything = c.selections.iter().map(|s| &s.tables).chain(c.bases.iter().map(|b| &b.selected));
            let everything = everything.into_iter().all(Selection::is_everything);
            for (component, at) in [false, true].into_iter().flat_map(|component| (-1..30).map(move |at| (component, Timestamp(at)))) {
                let said = c.covers_unseen(component, at);
                prop_assert!(!said || all_are(component, at), "component {component} at {at}: {c:?}");
                // Where nothing was ever left out, it is said wherever it is so.
                prop_assert!(!everything || said == all_are(component, at), "component {component} at {at}: {c:?}");
            }
        }
    }

    #[test]
    fn a_component_is_covered_after_its_first_delta_row_only_from_a_later_base_on() {
        let [root, _, inner] = <[_; 3]>::try_from(tables()).unwrap();
        let base = |ts| Base::new(BaseId(format!("b{ts}")), Timestamp(ts), Scope::All, Vec::new());
        let mut c = Coverage { through: Some(Timestamp(50)), bases: vec![base(10)], ..Coverage::default() };
        let span = |from, to| Span { from: Timestamp(from), to: Timestamp(to) };
        assert_eq!(c.spans(&root), [span(10, 50)]);
        assert_eq!(c.spans(&inner), [span(10, 10)]);
        c.component_rows = Some(component_rows(30));
        assert_eq!(c.spans(&inner), [span(10, 10)]);
        c.bases.push(base(40));
        assert_eq!(c.spans(&inner), [span(10, 10), span(40, 50)]);
    }

    #[test]
    fn a_server_that_lost_the_route_which_told_proves_nothing_any_more_and_one_that_never_had_it_still_does() {
        let prove = |proofs: &[(i64, ProofSource)]| {
            let mut coverage = Coverage::default();
            proofs.iter().for_each(|(ts, by)| coverage.record_proof(Proof { ts: Timestamp(*ts), by: *by }));
            coverage.component_rows.map(|rows| (rows.since.0, rows.seen.0, rows.asked))
        };
        assert_eq!(prove(&[(5, ProofSource::Beginning), (9, ProofSource::End)]), Some((5, 5, true)));
        assert_eq!(
            prove(&[(5, ProofSource::Beginning), (9, ProofSource::Row), (8, ProofSource::Row)]),
            Some((5, 9, true))
        );
        assert_eq!(prove(&[(5, ProofSource::Beginning), (9, ProofSource::Gone)]), None);
        assert_eq!(prove(&[(5, ProofSource::Row), (7, ProofSource::Gone)]), Some((5, 5, false)));
        assert_eq!(
            prove(&[(5, ProofSource::Row), (7, ProofSource::End), (8, ProofSource::Gone), (9, ProofSource::Row)]),
            Some((9, 9, false))
        );
    }

    #[test]
    fn a_table_never_seen_was_empty_wherever_a_base_of_all_but_some_is_intact() {
        let base = |ts, scope| Base::new(BaseId(format!("b{ts}")), Timestamp(ts), scope, Vec::new());
        let some = Scope::Tables(tables());
        let mut c = Coverage { through: Some(Timestamp(50)), bases: vec![base(10, some)], ..Coverage::default() };
        let unseen = |c: &Coverage, at| [false, true].map(|component| c.covers_unseen(component, Timestamp(at)));
        assert_eq!(unseen(&c, 50), [false, false], "a base of some tables says nothing of others");
        c.bases.push(base(20, Scope::Except(tables())));
        assert_eq!((unseen(&c, 19), unseen(&c, 20), unseen(&c, 50)), ([false; 2], [true; 2], [true, false]));
        c.component_rows = Some(component_rows(20));
        assert_eq!(unseen(&c, 50), [true; 2]);
        c.gaps.push(Gap { scope: Scope::All, from: Timestamp(30), to: Timestamp(40), why: "window".into() });
        assert_eq!((unseen(&c, 30), unseen(&c, 50)), ([true; 2], [false; 2]));
        c.bases.push(base(40, Scope::All));
        let select = |after, text: &str| selected((after, text.parse().unwrap()));
        c.selections.push(select(42, "** !a"));
        assert_eq!(unseen(&c, 50), [true; 2], "what is left was selected before");
        let mut at_s = c.clone();
        at_s.bases.last_mut().unwrap().selected = "** !x".parse().unwrap();
        assert_eq!(unseen(&at_s, 50), [false; 2], "it widened without a moment between");
        c.selections.push(select(44, "** !b"));
        assert_eq!((unseen(&c, 43), unseen(&c, 50)), ([false; 2], [false; 2]), "`a` comes back, and what else?");
        c.bases.push(Base { selected: "** !b".parse().unwrap(), ..base(44, Scope::All) });
        assert_eq!(unseen(&c, 50), [true; 2]);
    }
}
