//! Which `_ts` is covered for which table, and from which base. Pure.
//!
//! The rule (FORMAT.md, "Coverage"): the state of a table at T, for T up to the delta cursor, is the newest base that
//! holds the table with S at or below T, such that no gap (from, to] of the table overlaps (S, T], overridden by the
//! deltas in (S, T]. Without such a base T is not covered: a gap poisons every T after it until the next base.

use serde::{Deserialize, Serialize};

use crate::{
    document::{TableRef, Timestamp},
    position::{BaseId, Scope},
};

/// A complete base: every table of its scope as it was at `ts`; one without files was empty then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its id, that of the walk that made it.
    pub id: BaseId,
    /// S, nanoseconds.
    pub ts: Timestamp,
    /// Its tables. In a commit relative to the selection of the commit; in [`Coverage`] already narrowed to it.
    pub scope: Scope,
}

/// A span (from, to] of `_ts` that the archive knows it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The tables concerned.
    pub scope: Scope,
    /// What comes after this is missing, nanoseconds.
    pub from: Timestamp,
    /// This and what is before is missing; absent while the gap is open: everything after `from`. A later record with
    /// the same `scope`, `from` and `why` closes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// One word: `window` (older than the deployment kept), `selection` (the table was not selected).
    pub why: String,
}

/// All that commits said of bases and gaps, and how far deltas reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The delta cursor's `_ts`: nothing later is covered. Absent before the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    /// Complete bases in the order in which they were completed.
    pub bases: Vec<Base>,
    /// Gaps in the order in which they were recorded.
    pub gaps: Vec<Gap>,
    /// The delta cursor after the first commit that had seen a row of a component in deltas. Servers that do not send
    /// component rows in deltas look like quiet ones: before this moment the deltas of a component prove nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_rows_since: Option<Timestamp>,
}

/// A closed span of `_ts`: `from` and `to` are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    Covered(&'a Base),
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

    /// Whether a table that no commit has named so far is known to have been empty at `at`: one at the root, or one of a
    /// component.
    pub fn covers_unseen(&self, component: bool, at: Timestamp) -> bool {
        self.intact_base(Of::Unseen { component }, at).is_some()
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
            .filter(|b| b.scope.contains(table))
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

    /// The base of the newest S at or below `at` that holds the table; among bases of one S the one completed last.
    fn newest_base(&self, of: Of<'_>, at: Timestamp) -> Option<&Base> {
        let bases = self.bases.iter().filter(|b| b.ts <= at && of.is_in(&b.scope));
        bases.max_by_key(|b| b.ts)
    }

    /// The last moment for which deltas after `base` are complete; before the base's own S if it lies beyond the deltas.
    fn intact_until(&self, of: Of<'_>, base: &Base) -> Timestamp {
        let Some(through) = self.through else { return Timestamp(i64::MIN) };
        let gaps = self.gaps_of(of).filter(|(from, to)| from < to && *to > base.ts);
        gaps.map(|(from, _)| from.max(base.ts)).fold(through, Timestamp::min)
    }

    /// The gaps (from, to] of the table, with the doubt about components; an open one ends at the end of time.
    fn gaps_of<'a>(&'a self, of: Of<'a>) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
        let open = Timestamp(i64::MAX);
        let doubt = of.is_of_component().then(|| (Timestamp(i64::MIN), self.component_rows_since.unwrap_or(open)));
        let said = self.gaps.iter().filter(move |g| of.is_in(&g.scope)).map(move |g| (g.from, g.to.unwrap_or(open)));
        said.chain(doubt)
    }

    /// Adds a gap, or closes the open one that it names.
    pub(super) fn record(&mut self, gap: &Gap) {
        let open = self
            .gaps
            .iter_mut()
            .find(|g| g.to.is_none() && g.from == gap.from && g.scope == gap.scope && g.why == gap.why);
        match open {
            Some(open) => open.to = gap.to,
            None => self.gaps.push(gap.clone()),
        }
    }
}

/// The tables that are in both.
pub(super) fn narrow(scope: &Scope, selection: &Scope) -> Scope {
    match (scope, selection) {
        (Scope::All, other) | (other, Scope::All) => other.clone(),
        (Scope::Tables(tables), other) | (other, Scope::Tables(tables)) => {
            Scope::Tables(tables.iter().filter(|t| other.contains(t)).cloned().collect())
        }
        (Scope::Except(a), Scope::Except(b)) => {
            let mut both: Vec<_> = a.iter().chain(b).cloned().collect();
            both.sort();
            both.dedup();
            Scope::Except(both)
        }
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
        let base =
            (0i64..20, scope()).prop_map(|(ts, scope)| Base { id: BaseId(ts.to_string()), ts: Timestamp(ts), scope });
        let gap = (0i64..20, proptest::option::weighted(0.8, 1i64..6), scope()).prop_map(|(from, length, scope)| Gap {
            scope,
            from: Timestamp(from),
            to: length.map(|n| Timestamp(from + n)),
            why: "window".into(),
        });
        let bases = proptest::collection::vec(base, 0..4);
        let gaps = proptest::collection::vec(gap, 0..3);
        (proptest::option::weighted(0.9, 0i64..24), bases, gaps, proptest::option::of(0i64..20)).prop_map(
            |(through, bases, gaps, since)| Coverage {
                through: through.map(Timestamp),
                bases,
                gaps,
                component_rows_since: since.map(Timestamp),
            },
        )
    }

    /// The rule read aloud: every single moment after S up to T must have been seen.
    fn oracle(c: &Coverage, table: &TableRef, at: i64) -> Option<i64> {
        if c.through.is_none_or(|t| at > t.0) {
            return None;
        }
        let missing = |m: i64| {
            let said =
                c.gaps.iter().any(|g| g.scope.contains(table) && g.from.0 < m && g.to.is_none_or(|to| m <= to.0));
            said || (!table.component().is_empty() && c.component_rows_since.is_none_or(|since| m <= since.0))
        };
        let usable = |s: i64| s <= at && (s + 1..=at).all(|m| !missing(m));
        c.bases.iter().filter(|b| b.scope.contains(table)).map(|b| b.ts.0).filter(|s| usable(*s)).max()
    }

    proptest! {
        #[test]
        fn covers_what_the_rule_says_moment_by_moment(c in coverage(), table in proptest::sample::select(tables())) {
            let mut covered = BTreeSet::new();
            for at in -1..30 {
                match (c.covers(&table, Timestamp(at)), oracle(&c, &table, at)) {
                    (Covers::Covered(base), Some(s)) => {
                        prop_assert_eq!(base.ts.0, s);
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

        #[test]
        fn a_narrowed_scope_holds_just_the_tables_of_both(a in scope(), b in scope()) {
            let both = narrow(&a, &b);
            for t in tables() {
                prop_assert_eq!(both.contains(&t), a.contains(&t) && b.contains(&t));
            }
        }
    }

    #[test]
    fn a_component_is_covered_after_its_first_delta_row_only_from_a_later_base_on() {
        let [root, _, inner] = <[_; 3]>::try_from(tables()).unwrap();
        let base = |ts| Base { id: BaseId(format!("b{ts}")), ts: Timestamp(ts), scope: Scope::All };
        let mut c = Coverage { through: Some(Timestamp(50)), bases: vec![base(10)], ..Coverage::default() };
        let span = |from, to| Span { from: Timestamp(from), to: Timestamp(to) };
        assert_eq!(c.spans(&root), [span(10, 50)]);
        assert_eq!(c.spans(&inner), [span(10, 10)]);
        c.component_rows_since = Some(Timestamp(30));
        assert_eq!(c.spans(&inner), [span(10, 10)]);
        c.bases.push(base(40));
        assert_eq!(c.spans(&inner), [span(10, 10), span(40, 50)]);
    }

    #[test]
    fn a_table_never_seen_was_empty_wherever_a_base_of_all_but_some_is_intact() {
        let base = |ts, scope| Base { id: BaseId(format!("b{ts}")), ts: Timestamp(ts), scope };
        let some = Scope::Tables(tables());
        let mut c = Coverage { through: Some(Timestamp(50)), bases: vec![base(10, some)], ..Coverage::default() };
        let unseen = |c: &Coverage, at| [false, true].map(|component| c.covers_unseen(component, Timestamp(at)));
        assert_eq!(unseen(&c, 50), [false, false], "a base of some tables says nothing of others");
        c.bases.push(base(20, Scope::Except(tables())));
        assert_eq!((unseen(&c, 19), unseen(&c, 20), unseen(&c, 50)), ([false; 2], [true; 2], [true, false]));
        c.component_rows_since = Some(Timestamp(20));
        assert_eq!(unseen(&c, 50), [true; 2]);
        c.gaps.push(Gap { scope: Scope::All, from: Timestamp(30), to: Some(Timestamp(40)), why: "window".into() });
        assert_eq!((unseen(&c, 30), unseen(&c, 50)), ([true; 2], [false; 2]));
    }

    #[test]
    fn an_open_gap_is_closed_by_the_record_that_names_it() {
        let mut c = Coverage::default();
        let mut gap = Gap { scope: Scope::All, from: Timestamp(3), to: None, why: "selection".into() };
        c.record(&gap);
        gap.to = Some(Timestamp(9));
        c.record(&gap);
        assert_eq!(c.gaps, [gap]);
    }
}
