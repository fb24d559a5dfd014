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
    assert_eq!(prove(&[(5, ProofSource::Beginning), (9, ProofSource::Row), (8, ProofSource::Row)]), Some((5, 9, true)));
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

proptest! {
    /// Moment by moment, and by the rule about what may be superseded, which looks at all of them withdrawn.
    #[test]
    fn own_bases_that_are_needless_leave_together_and_no_moment_is_less_covered(
        mut c in coverage(),
        made in proptest::collection::vec(any::<bool>(), 4),
        unmarked in proptest::sample::subsequence(vec!["0", "1", "2", "3"], 0..=1),
        table in proptest::sample::select(tables()),
    ) {
        for (base, own) in c.bases.iter_mut().zip(made) {
            base.made = if own { BaseMaker::Archive } else { BaseMaker::Deployment };
        }
        c.unmarked = unmarked.into_iter().map(|id| BaseId(id.to_owned())).collect();
        let needless: Vec<_> = c.needless(&table).into_iter().cloned().collect();
        let mut after = c.clone();
        after.withdrawals.extend(needless.iter().map(|base| Withdrawal {
            base: base.id.clone(),
            scope: Scope::Tables(vec![table.clone()]),
            why: WithdrawalReason::Superseded,
        }));
        prop_assert_eq!(after.spans(&table), c.spans(&table));
        for base in &needless {
            prop_assert!(base.made == BaseMaker::Archive && !base.cuts(&table) && !c.unmarked.contains(&base.id));
            prop_assert!(c.serves(base, &table) && after.is_repeated(base, &table));
        }
        // Of those that stay none is needless.
        prop_assert_eq!(after.needless(&table), Vec::<&Base>::new());
    }
}
