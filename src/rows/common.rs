//! [`CommonMoment`]: the one moment at which several tables are read, and what to do where one of them is not covered.
//!
//! # Which moment `now` is
//! The newest of the archive, if every table covers it. Otherwise the newest that every table covers, if that is at most an
//! hour older: components of servers that do not tell their changes are covered at the S of their base only, so that a whole
//! and healthy archive may have a newest moment that it does not cover for all. What is older than an hour is for a person to
//! choose, and so the newest moment stays, for which the verb then refuses.
//!
//! A table that the archive is no longer told to keep does not count, unless it was named: no moment of today covers it.

use crate::{
    archive::{Coverage, Covers, Head},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    selection::Selection,
};

use super::moment::{Moment, covered, forgotten, in_full};

/// How much older than the newest moment the one may be that is taken for it, nanoseconds.
const AT_MOST_OLDER: i64 = 3_600_000_000_000;

/// Tables that an error names.
const NAMED: usize = 10;

/// The moment at which several tables are read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommonMoment {
    /// The moment, the same for all tables.
    pub at: Timestamp,
    /// The tables that are read: those that were asked for, but for `left_out`.
    pub selection: Selection,
    /// The moment that was asked for: where it was `now`, as far as the archive reaches.
    pub asked: Timestamp,
    /// The tables that are not covered at `asked`, so that `at` is earlier.
    pub held_back_by: Vec<TableRef>,
    /// Tables that the archive holds, is no longer told to keep, and does not cover at the moment.
    pub left_out: Vec<TableRef>,
}

impl Moment {
    /// The moment that is meant at `now`, nanoseconds, of all these tables together. For [`Moment::Through`] it is up to an hour
    /// older than the archive reaches, if some tables are not covered at its end.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve). Whether the moment is covered is for the verb to find.
    pub fn resolve_for(self, head: &Head, now: Timestamp, selection: &Selection) -> Result<CommonMoment> {
        let asked = self.resolve(head, now)?;
        if self != Self::Through {
            let selection = selection.clone();
            return Ok(CommonMoment { at: asked, selection, asked, held_back_by: Vec::new(), left_out: Vec::new() });
        }
        let selected: Vec<_> = head.tables().map(|state| &state.table).filter(|t| selection.contains(t)).collect();
        newest(head.coverage(), &selected, asked, selection)
    }
}

/// The rule for `now`.
fn newest(
    coverage: &Coverage,
    selected: &[&TableRef],
    through: Timestamp,
    selection: &Selection,
) -> Result<CommonMoment> {
    let kept = coverage.selected();
    let counts = |table: &&TableRef| kept.contains(table) || selection.includes_by_name(table);
    let (mut counted, mut others): (Vec<_>, Vec<_>) = selected.iter().copied().partition(counts);
    if counted.is_empty() {
        // Or else nothing would be read of what was asked for.
        std::mem::swap(&mut counted, &mut others);
    }
    let at = coverage.newest_of_all(counted.iter().copied(), through);
    let at = at.filter(|at| through.0.saturating_sub(at.0) <= AT_MOST_OLDER).unwrap_or(through);
    let lacking = |tables: Vec<&TableRef>, at| -> Vec<TableRef> {
        tables.into_iter().filter(|table| !is_covered(coverage, table, at)).cloned().collect()
    };
    let held_back_by = if at == through { Vec::new() } else { lacking(counted, through) };
    let left_out = lacking(others, at);
    Ok(CommonMoment { at, selection: selection.without(&left_out)?, asked: through, held_back_by, left_out })
}

fn is_covered(coverage: &Coverage, table: &TableRef, at: Timestamp) -> bool {
    matches!(coverage.covers(table, at), Covers::Covered(_))
}

/// The nearest moments at which tables are covered, all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NearestMoments {
    pub(crate) before: Option<Timestamp>,
    pub(crate) after: Option<Timestamp>,
}

impl NearestMoments {
    pub(crate) fn of(head: &Head, tables: &[&TableRef], at: Timestamp) -> Self {
        let (coverage, tables) = (head.coverage(), tables.iter().copied());
        Self { before: coverage.newest_of_all(tables.clone(), at), after: coverage.first_of_all(tables, at) }
    }
}

/// All these tables are covered at `at`; of none, that no other table was there. `flag` is what stands before a moment on the command
/// line.
///
/// # Errors
/// NotFound, naming those that are not, the nearest moments at which all are, and the flag that leaves those tables out.
pub(crate) fn all_covered(head: &Head, tables: &[&TableRef], at: Timestamp, flag: &str) -> Result<()> {
    let coverage = head.coverage();
    let lacking: Vec<_> = tables.iter().copied().filter(|table| !is_covered(coverage, table, at)).collect();
    let Some(first) = lacking.first() else {
        if tables.is_empty() && !coverage.covers_unseen(false, at) {
            return Err(Error::not_found(format!(
                "the archive does not cover {}; run `status` to see what it covers",
                in_full(at)
            )));
        }
        return Ok(());
    };
    let why = forgotten(head, &lacking, at);
    let what = match lacking.len() {
        1 => format!("table {first} is not covered at {}{why}", in_full(at)),
        n => format!("{n} tables are not covered at {}{why} ({})", in_full(at), listed(&lacking, ", ")),
    };
    let nearest = NearestMoments::of(head, tables, at);
    let offer = |moment: Timestamp, where_: &str| format!("{flag}{} ({moment}, {where_})", moment.0);
    let offers = [(nearest.before, "before it"), (nearest.after, "after it")];
    let offers: Vec<_> = offers.iter().filter_map(|(moment, place)| moment.map(|m| offer(m, place))).collect();
    let way = if offers.is_empty() {
        covered(&coverage.spans(first))
    } else {
        let all = if tables.len() == 1 { "it is" } else { "all selected tables are" };
        format!("use the nearest moment at which {all} covered: {}", offers.join(" or "))
    };
    let rest = if lacking.len() == tables.len() {
        String::new()
    } else {
        let them = if lacking.len() == 1 { "the table" } else { "these tables" };
        format!("; or leave {them} out, --exclude {}", excluding(&lacking, tables))
    };
    Err(Error::not_found(format!("{what}: {way}{rest}")))
}

/// What `--exclude` takes so that those of the tables are left out.
pub(super) fn excluding(lacking: &[&TableRef], tables: &[&TableRef]) -> String {
    let of_components = |tables: &[&TableRef]| tables.iter().filter(|t| !t.component().is_empty()).count();
    if of_components(lacking) < 2 || of_components(lacking) < of_components(tables) {
        return listed(lacking, " --exclude ");
    }
    let root: Vec<_> = lacking.iter().copied().filter(|table| table.component().is_empty()).collect();
    if root.is_empty() { "'*/**'".to_owned() } else { format!("'*/**' --exclude {}", listed(&root, " --exclude ")) }
}

/// Names; thousands of tables must not become one line.
pub(super) fn listed(tables: &[&TableRef], between: &str) -> String {
    let names: Vec<_> = tables.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match tables.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more, which `tables` shows"),
    };
    names.join(between) + &more
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        archive::{Base, Gap, SelectionEntry},
        position::{BaseId, Scope},
    };

    /// A third of an hour.
    const STEP: i64 = AT_MOST_OLDER / 3;
    const STEPS: i64 = 12;

    fn tables() -> Vec<TableRef> {
        ["a", "b", "c"].map(|name| TableRef::new("", name).unwrap()).into()
    }

    fn scope() -> impl Strategy<Value = Scope> {
        let some = proptest::sample::subsequence(tables(), 1..=3);
        prop_oneof![1 => Just(Scope::All), 2 => some.prop_map(Scope::Tables)]
    }

    fn moment(step: i64) -> Timestamp {
        Timestamp(step * STEP)
    }

    fn coverage() -> impl Strategy<Value = Coverage> {
        let base = (0..STEPS, scope()).prop_map(|(step, scope)| (moment(step), scope));
        let gap = (0..STEPS, 1i64..4, scope()).prop_map(|(from, steps, scope)| Gap {
            scope,
            from: moment(from),
            to: moment(from + steps),
            why: "window".into(),
        });
        let selected = prop_oneof![2 => Just("**"), 1 => Just("** !a"), 1 => Just("b"), 1 => Just("z")];
        let selected = proptest::option::of((0..STEPS, selected));
        (proptest::collection::vec(base, 0..4), proptest::collection::vec(gap, 0..3), selected).prop_map(
            |(bases, gaps, selected)| {
                let base = |(n, (ts, scope))| Base::new(BaseId(format!("{n}")), ts, scope, Vec::new());
                let entry = |(after, tables): (i64, &str)| SelectionEntry {
                    after: moment(after),
                    tables: tables.parse().unwrap(),
                    version: 0,
                };
                Coverage {
                    through: Some(moment(STEPS)),
                    bases: bases.into_iter().enumerate().map(base).collect(),
                    gaps,
                    selections: selected.into_iter().map(entry).collect(),
                    ..Coverage::default()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn now_is_the_newest_moment_of_all_that_are_kept_or_named_and_never_more_than_an_hour_ago(
            c in coverage(),
            asked in prop_oneof![Just("**"), Just("a b"), Just("a"), Just("** !b")],
        ) {
            let selection: Selection = asked.parse().unwrap();
            let (known, through) = (tables(), moment(STEPS));
            let selected: Vec<_> = known.iter().filter(|table| selection.contains(table)).collect();
            let found = newest(&c, &selected, through, &selection).unwrap();

            // As a person would: who counts, and then back from the newest moment step by step.
            let kept = c.selected();
            let counts = |table: &TableRef| {
                kept.contains(table) || asked.split(' ').any(|pattern| pattern == table.name())
            };
            let nobody = !selected.iter().any(|table| counts(table));
            let counted: Vec<_> = selected.iter().filter(|table| nobody || counts(table)).collect();
            let has = |table: &TableRef, step| is_covered(&c, table, moment(step));
            let steps_back = (0..=3).find(|back| counted.iter().all(|table| has(table, STEPS - back)));
            let at = STEPS - steps_back.unwrap_or(0);
            prop_assert_eq!(found.at, moment(at));
            prop_assert_eq!(found.asked, through);
            for table in &selected {
                let is_counted = counted.contains(&table);
                let held_back = at < STEPS && is_counted && !has(table, STEPS);
                prop_assert_eq!(found.held_back_by.contains(table), held_back, "{}", table);
                prop_assert_eq!(found.left_out.contains(table), !is_counted && !has(table, at), "{}", table);
                prop_assert_eq!(found.selection.contains(table), !found.left_out.contains(table));
            }
            prop_assert!(steps_back.is_none_or(|back| (back > 0) != found.held_back_by.is_empty()));
        }
    }

    #[test]
    fn a_list_of_tables_to_leave_out_can_be_pasted() {
        let table = |component: &str, name: &str| TableRef::new(component, name).unwrap();
        let all = [table("", "a"), table("c", "x"), table("c/d", "y")];
        let [a, x, y] = [&all[0], &all[1], &all[2]];
        for (lacking, expected) in [
            (vec![a], "a"),
            (vec![x], "c/x"),
            (vec![a, x], "a --exclude c/x"),
            (vec![x, y], "'*/**'"),
            (vec![a, x, y], "'*/**' --exclude a"),
        ] {
            assert_eq!(excluding(&lacking, &[a, x, y]), expected);
        }
        assert_eq!(excluding(&[x], &[a, x]), "c/x");
        let many: Vec<_> = (0..12).map(|n| table("", &format!("t{n}"))).collect();
        let many: Vec<_> = many.iter().collect();
        assert!(listed(&many, ", ").ends_with("t9 and 2 more, which `tables` shows"));
    }
}
