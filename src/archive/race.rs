//! The rule about a lost race: what becomes of a draft whose number another writer took. Pure.
//!
//! Progress that has moved ends a data commit: what it brought was read from a place that is no longer the end. Maintenance in
//! between mostly does not: it says nothing of the deployment, so the data stay true.
//!
//! Some maintenance is a conflict for it all the same: an erasure or a correction of a table of whose base the data commit has rows
//! or which it completes, an own base that it would have to correct, a withdrawal of a base that it withdraws itself. The model of
//! the format mends such a draft: it leaves out what was erased, makes the base a correction, withdraws what the correction ends.
//! The code gives this one commit up, which is safe: the next run goes on where the archive stands. A replacement other than a compaction that lost an input ends it too.
//!
//! Maintenance is carried over data commits too, or a compaction of minutes would lose to every sync for ever; but only what
//! stays true whatever came: files that hold the rows of others which still live, and the state of a table at a moment of
//! which nothing new was said. All other maintenance is planned anew, on the new head.

use std::collections::BTreeSet;

use super::{
    commit::{Draft, ReplacementReason},
    head::{
        Head,
        base::{Base, BaseMaker, WithdrawalReason},
    },
    log::StoredCommit,
};
use crate::{data::DataFile, document::TableRef, position::BaseId};

/// What becomes of a draft that found its number taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RebaseOutcome {
    /// It may be tried again, as this.
    Retry(Box<Draft>),
    /// Another writer has moved the archive on.
    Conflict,
    /// It is maintenance that has to be planned anew.
    Anew,
}

/// What becomes of `ours`, made for `before`, now that the archive stands at `now`; `between` are the commits since.
pub(super) fn rebase(ours: &Draft, before: &Head, between: &[StoredCommit], now: &Head) -> RebaseOutcome {
    if !ours.maintenance {
        let heard = between.iter().any(|stored| !is_silent(&stored.commit.draft, before));
        if heard || erases_of(ours, between) || corrects_of(ours, between) || own_bases_differ(ours, between) {
            return RebaseOutcome::Conflict;
        }
        let mut draft = ours.clone();
        return if drop_stale(&mut draft, between, now) {
            RebaseOutcome::Retry(Box::new(draft))
        } else {
            RebaseOutcome::Conflict
        };
    }
    let mut draft = ours.clone();
    draft.progress = now.progress().clone();
    draft.selection = now.coverage().selected();
    if let Some(latest) = now.latest() {
        (draft.checked_at, draft.caught_up, draft.encoding) = (latest.checked_at, latest.caught_up, latest.encoding);
    }
    let only_files = draft.gaps.is_empty()
        && draft.doubts.is_empty()
        && draft.unmarked.is_empty()
        && draft.erased.is_empty()
        && draft.replaced.iter().all(|group| group.why == ReplacementReason::Compaction);
    let own = |base: &Base| base.made == BaseMaker::Archive && base.cuts.is_empty();
    let own_bases = draft.bases.iter().all(own)
        && draft.withdrawn.iter().all(|w| w.why == WithdrawalReason::Superseded)
        && (draft.withdrawn.is_empty() || !draft.bases.is_empty());
    if !only_files || !own_bases || draft.bases.iter().any(|base| !stands(base, between, now)) {
        return RebaseOutcome::Anew;
    }
    let whole = drop_stale(&mut draft, between, now);
    let empty = draft.add.is_empty() && draft.remove.is_empty() && draft.bases.is_empty();
    if whole && !empty { RebaseOutcome::Retry(Box::new(draft)) } else { RebaseOutcome::Anew }
}

/// Whether the commit left everything where it was but the set of files that hold the same rows.
fn is_silent(draft: &Draft, before: &Head) -> bool {
    draft.maintenance
        || (draft.progress == *before.progress()
            && draft.selection == before.coverage().selected()
            && draft.tables.is_empty()
            && draft.bases.is_empty()
            && draft.gaps.is_empty()
            && draft.deployment.is_none()
            && draft.proofs.is_empty()
            && draft.add.iter().all(|file| outputs(draft).any(|path| *path == file.path)))
}

fn outputs(draft: &Draft) -> impl Iterator<Item = &String> {
    draft.replaced.iter().flat_map(|group| &group.outputs)
}

/// Whether an erasure in between names a table of which the data commit brings rows of a base: they were read before.
fn erases_of(ours: &Draft, between: &[StoredCommit]) -> bool {
    let mut erased = between.iter().flat_map(|stored| {
        let draft = &stored.commit.draft;
        let groups = draft.replaced.iter().filter(|group| group.why == ReplacementReason::Erasure);
        groups.flat_map(|group| &group.inputs).filter_map(|path| draft.remove.iter().find(|file| file.path == *path))
    });
    erased.any(|file| ours.add.iter().any(|ours| ours.base.is_some() && ours.table == file.table))
}

/// Whether a correction in between is of a table of which the data commit completes a base: that was compared with a state which is
/// no more.
fn corrects_of(ours: &Draft, between: &[StoredCommit]) -> bool {
    let mut corrected = between.iter().flat_map(|stored| &stored.commit.draft.bases).flat_map(|base| &base.cuts);
    corrected.any(|table| ours.bases.iter().any(|base| base.scope.contains(table)))
}

/// Whether the data commit no longer says all that it must of the archive's own bases: one came in between that it corrects, or one
/// that it withdraws was withdrawn.
fn own_bases_differ(ours: &Draft, between: &[StoredCommit]) -> bool {
    let corrects = |own: &Base| {
        let mut before = ours.bases.iter().filter(|cut| cut.ts <= own.ts);
        own.made == BaseMaker::Archive && before.any(|cut| cut.cuts.iter().any(|table| own.scope.contains(table)))
    };
    between.iter().map(|stored| &stored.commit.draft).any(|theirs| {
        let withdraws = |base: &BaseId| theirs.withdrawn.iter().any(|w| w.base == *base);
        theirs.bases.iter().any(corrects) || ours.withdrawn.iter().any(|w| withdraws(&w.base))
    })
}

/// Takes out compactions of which an input is dead, or which would lie across the S of a base or walk that came. False, if
/// something else than a compaction lost an input.
fn drop_stale(draft: &mut Draft, between: &[StoredCommit], now: &Head) -> bool {
    let gone: BTreeSet<&String> =
        between.iter().flat_map(|stored| &stored.commit.draft.remove).map(|file| &file.path).collect();
    let came = between.iter().flat_map(|stored| &stored.commit.draft.bases).map(|base| (base.ts, &base.scope));
    let walk = now.progress().walk.as_ref().map(|walk| (walk.ts, &walk.scope));
    let moments: Vec<_> = came.chain(walk).collect();
    let across = |file: &DataFile| {
        file.base.is_none() && moments.iter().any(|(s, scope)| file.lies_across(*s) && scope.contains(&file.table))
    };
    let stale: Vec<bool> = draft
        .replaced
        .iter()
        .map(|group| {
            group.inputs.iter().any(|path| gone.contains(path))
                || draft.add.iter().any(|file| group.outputs.contains(&file.path) && across(file))
        })
        .collect();
    let mut groups = draft.replaced.iter().zip(&stale);
    if groups.any(|(group, stale)| *stale && group.why != ReplacementReason::Compaction) {
        return false;
    }
    let (mut dropped, mut kept) = (BTreeSet::new(), Vec::new());
    for (group, stale) in std::mem::take(&mut draft.replaced).into_iter().zip(stale) {
        if stale {
            dropped.extend(group.inputs.into_iter().chain(group.outputs));
        } else {
            kept.push(group);
        }
    }
    draft.replaced = kept;
    draft.add.retain(|file| !dropped.contains(&file.path));
    draft.remove.retain(|file| !dropped.contains(&file.path));
    draft.remove.iter().all(|file| !gone.contains(&file.path))
}

/// Whether an own base still tells the state of its tables at its S, and no delta file lies across it now.
fn stands(base: &Base, between: &[StoredCommit], now: &Head) -> bool {
    let named = |table: &TableRef| base.scope.contains(table);
    let in_scope =
        |holds: &dyn Fn(&TableRef) -> bool| now.tables().any(|state| named(&state.table) && holds(&state.table));
    between.iter().all(|stored| {
        let draft = &stored.commit.draft;
        let spoken = draft.bases.iter().any(|other| in_scope(&|table| other.scope.contains(table)))
            || draft.gaps.iter().any(|gap| in_scope(&|table| gap.scope.contains(table)))
            || draft.doubts.iter().any(|doubt| in_scope(&|table| doubt.scope.contains(table)))
            || draft.withdrawn.iter().any(|w| in_scope(&|table| w.scope.contains(table)));
        let rewritten = draft
            .replaced
            .iter()
            .filter(|group| group.why != ReplacementReason::Compaction)
            .any(|group| draft.remove.iter().any(|file| group.inputs.contains(&file.path) && named(&file.table)));
        let across =
            draft.add.iter().any(|file| file.base.is_none() && named(&file.table) && file.lies_across(base.ts));
        !(spoken || rewritten || across)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        archive::{
            Commit, Doubt, Gap, Run,
            testing::{
                base_id, cursor, delta, deployment, draft, first_draft, join, next_draft, removed, snapshot, table,
            },
        },
        document::Timestamp,
        position::{Progress, Scope},
    };

    /// Live delta files, the commit that brought each, and the rows that it holds: what the oracle looks at.
    type Live = BTreeMap<String, (DataFile, u64, Vec<u64>)>;

    /// A history with delta files of `a`, one a commit, and what lives at its end.
    fn history(files: u64) -> (Head, Live) {
        let mut head = Head::before_all(deployment(), "0".into()).unwrap();
        let mut live = Live::new();
        head = step(&head, first_draft()).1;
        let second = next_draft(&head);
        head = step(&head, second).1;
        for n in 0..files {
            let file = delta("a", n, 1001 + 10 * n as i64, 1010 + 10 * n as i64);
            let progress = Progress { delta: Some(cursor(file.max_ts.0)), walk: None };
            head = step(&head, Draft { add: vec![file.clone()], ..draft(progress) }).1;
            live.insert(file.path.clone(), (file, head.version(), vec![n]));
        }
        (head, live)
    }

    fn step(head: &Head, draft: Draft) -> (StoredCommit, Head) {
        let version = head.version() + 1;
        let run = Run { id: format!("{version:08x}"), counter: version };
        let (commit, next): (Commit, Head) = head.follow(draft, run, None).unwrap();
        let digest = version.to_string();
        (StoredCommit { commit, digest: digest.clone() }, next.with_digest(digest))
    }

    /// Joins some of the live files into one; the new one is called `n`.
    fn compact(draft: &mut Draft, live: &Live, chosen: &[prop::sample::Index], n: u64) {
        let paths: BTreeSet<_> = chosen.iter().filter_map(|i| live.keys().nth(i.index(live.len().max(1)))).collect();
        let inputs: Vec<_> = paths.iter().map(|path| (live[*path].0.clone(), live[*path].1)).collect();
        let (Some(min), Some(max)) =
            (inputs.iter().map(|(f, _)| f.min_ts.0).min(), inputs.iter().map(|(f, _)| f.max_ts.0).max())
        else {
            return;
        };
        let sum = |of: fn(&DataFile) -> u64| inputs.iter().map(|(f, _)| of(f)).sum();
        let joined = DataFile { rows: sum(|f| f.rows), tombstones: sum(|f| f.tombstones), ..delta("a", n, min, max) };
        join(draft, &inputs, joined);
    }

    /// Plain reading of a commit: takes the removed files away and adds the new ones with their rows.
    fn apply(live: &mut Live, draft: &Draft, version: u64, own_rows: &BTreeMap<String, Vec<u64>>) {
        let before = live.clone();
        for file in &draft.remove {
            live.remove(&file.path).expect("it was live");
        }
        for file in &draft.add {
            let group = draft.replaced.iter().find(|group| group.outputs.contains(&file.path));
            let rows = match group {
                Some(group) => group.inputs.iter().flat_map(|path| before[path].2.clone()).collect(),
                None => own_rows[&file.path].clone(),
            };
            assert!(live.insert(file.path.clone(), (file.clone(), version, rows)).is_none(), "it was not live");
        }
    }

    fn rows(live: Live) -> Vec<u64> {
        let mut rows: Vec<_> = live.into_values().flat_map(|(_, _, rows)| rows).collect();
        rows.sort_unstable();
        rows
    }

    type Choices = Vec<Vec<prop::sample::Index>>;

    fn choices(most: usize) -> impl Strategy<Value = Choices> {
        proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 1..4), 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// We bring a file of new rows and compact some old ones, while others compact as they like.
        #[test]
        fn after_a_lost_race_against_maintenance_every_row_is_there_once(
            files in 1u64..8, others in choices(4), mine in choices(3),
        ) {
            let (before, mut live) = history(files);
            let new = delta("b", 50, 5001, 5009);
            let own = BTreeMap::from([(new.path.clone(), vec![50])]);
            let progress = Progress { delta: Some(cursor(5009)), walk: None };
            let entry = crate::archive::testing::entry("b");
            let mut ours = Draft { add: vec![new.clone()], tables: vec![entry], ..draft(progress) };
            let mut left = live.clone();
            for (n, chosen) in (60..).zip(&mine) {
                compact(&mut ours, &left, chosen, n);
                left.retain(|path, _| ours.remove.iter().all(|file| file.path != *path));
            }
            let (mut head, mut between) = (before.clone(), Vec::new());
            for (n, chosen) in (100..).zip(&others) {
                let mut draft = head.maintenance(Timestamp(6000)).unwrap();
                compact(&mut draft, &live, chosen, n);
                let (stored, next) = step(&head, draft);
                apply(&mut live, &stored.commit.draft, next.version(), &own);
                between.push(stored);
                head = next;
            }
            let RebaseOutcome::Retry(again) = rebase(&ours, &before, &between, &head) else {
                return Err(TestCaseError::fail("maintenance is no conflict"));
            };
            prop_assert!(again.add.contains(&new));
            prop_assert_eq!(&again.progress, &ours.progress);
            let (stored, next) = step(&head, *again);
            apply(&mut live, &stored.commit.draft, next.version(), &own);
            prop_assert_eq!(next.live().rows, before.live().rows + new.rows);
            prop_assert_eq!(rows(live), (0..files).chain([50]).collect::<Vec<_>>());
        }

        /// The other way round: we compact, and others bring data and compact.
        #[test]
        fn a_compaction_is_carried_over_data_and_drops_only_what_lost_an_input(
            files in 1u64..8, others in choices(4), mine in choices(3),
        ) {
            let (before, mut live) = history(files);
            let mut ours = before.maintenance(Timestamp(6000)).unwrap();
            let mut left = live.clone();
            for (n, chosen) in (60..).zip(&mine) {
                compact(&mut ours, &left, chosen, n);
                left.retain(|path, _| ours.remove.iter().all(|file| file.path != *path));
            }
            let (mut head, mut between, mut own) = (before.clone(), Vec::new(), BTreeMap::new());
            for (n, chosen) in (100..).zip(&others) {
                let at = 5000 + 10 * n as i64;
                let new = delta("a", n + 100, at + 1, at + 10);
                own.insert(new.path.clone(), vec![n]);
                let progress = Progress { delta: Some(cursor(at + 10)), walk: None };
                let mut data = Draft { add: vec![new], ..draft(progress) };
                compact(&mut data, &live, chosen, n);
                let (stored, next) = step(&head, data);
                apply(&mut live, &stored.commit.draft, next.version(), &own);
                between.push(stored);
                head = next;
            }
            let gone = |path: &String| !live.contains_key(path);
            let stale = ours.replaced.iter().filter(|group| group.inputs.iter().any(gone)).count();
            match rebase(&ours, &before, &between, &head) {
                RebaseOutcome::Retry(again) => {
                    prop_assert_eq!(again.replaced.len(), ours.replaced.len() - stale);
                    prop_assert_eq!(&again.progress, head.progress());
                    let (stored, next) = step(&head, *again);
                    apply(&mut live, &stored.commit.draft, next.version(), &own);
                    prop_assert_eq!(next.live().rows, head.live().rows);
                }
                RebaseOutcome::Anew => prop_assert_eq!(ours.replaced.len(), stale),
                RebaseOutcome::Conflict => prop_assert!(false, "maintenance is never in conflict"),
            }
            prop_assert_eq!(rows(live), (0..files).chain((100..).take(others.len())).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_moved_progress_is_a_conflict_for_data_and_an_empty_commit_is_not() {
        let (before, _) = history(3);
        let same = before.progress().clone();
        let moved = Progress { delta: Some(cursor(2000)), walk: None };
        let ours = draft(Progress { delta: Some(cursor(3000)), walk: None });
        for (progress, conflict) in [(same, false), (moved, true)] {
            let (stored, now) = step(&before, draft(progress));
            let rebased = rebase(&ours, &before, &[stored], &now);
            assert_eq!(rebased == RebaseOutcome::Conflict, conflict);
        }
    }

    fn own_base(head: &Head) -> Draft {
        let s = head.progress().delta.as_ref().unwrap().ts;
        let id = BaseId("own".into());
        let file = DataFile { base: Some(id.clone()), repeats: true, ..snapshot("a", 70) };
        let scope = Scope::Tables(vec![table("a")]);
        let base = Base { made: BaseMaker::Archive, ..Base::new(id, s, scope, Vec::new()) };
        Draft { add: vec![file], bases: vec![base], ..head.maintenance(Timestamp(6000)).unwrap() }
    }

    #[test]
    fn an_own_base_is_carried_over_data_and_compactions_and_planned_anew_once_something_was_said_of_its_table() {
        let (before, live) = history(4);
        let ours = own_base(&before);
        let progress = |ts| Progress { delta: Some(cursor(ts)), walk: None };
        let compaction = |inputs: &[&str], output: DataFile| {
            let inputs: Vec<_> = inputs.iter().map(|path| (live[*path].0.clone(), live[*path].1)).collect();
            let mut draft = before.maintenance(Timestamp(6000)).unwrap();
            join(&mut draft, &inputs, DataFile { rows: 4, tombstones: 2, ..output });
            draft
        };
        let path = |n| delta("a", n, 1, 1).path;
        let gap = |scope| Gap { scope, from: Timestamp(1040), to: Timestamp(1050), why: "window".into() };
        let other = Scope::Tables(vec![table("b")]);
        let mine = Scope::Tables(vec![table("a")]);
        let lost = Draft {
            gaps: vec![Gap { scope: mine.clone(), from: Timestamp(1000), to: Timestamp(1010), why: "lost".into() }],
            remove: vec![removed(&live[&path(0)].0, live[&path(0)].1)],
            ..before.maintenance(Timestamp(6000)).unwrap()
        };
        for (what, between, carried) in [
            ("data", draft(progress(1050)), true),
            ("a compaction", compaction(&[&path(0), &path(1)], delta("a", 90, 1001, 1020)), true),
            ("a gap of another table", Draft { gaps: vec![gap(other)], ..draft(progress(1050)) }, true),
            ("a gap", Draft { gaps: vec![gap(mine)], ..draft(progress(1050)) }, false),
            ("lost deltas", lost, false),
            ("another own base", own_base_named(&before, "other"), false),
        ] {
            let (stored, now) = step(&before, between);
            let rebased = rebase(&ours, &before, &[stored], &now);
            assert_eq!(matches!(rebased, RebaseOutcome::Retry(_)), carried, "{what}: {rebased:?}");
            if let RebaseOutcome::Retry(again) = rebased {
                let (_, after) = step(&now, *again);
                assert_eq!(after.live().rows, now.live().rows + 2, "{what}");
            }
        }
    }

    fn own_base_named(head: &Head, id: &str) -> Draft {
        let mut draft = own_base(head);
        draft.bases[0].id = BaseId(id.into());
        draft.add[0].base = Some(BaseId(id.into()));
        draft.add[0].path.push_str(id);
        draft
    }

    #[test]
    fn data_that_correct_a_table_conflict_with_an_own_base_that_came_at_or_behind_their_s() {
        let (before, _) = history(4);
        let s = before.progress().delta.as_ref().unwrap().ts;
        let id = BaseId("told".into());
        let scope = Scope::Tables(vec![table("a")]);
        let mut ours = draft(before.progress().clone());
        ours.bases.push(Base { cuts: vec![table("a")], ..Base::new(id, s, scope.clone(), Vec::new()) });
        ours.doubts.push(Doubt { scope, after: Timestamp(1000), to: s, why: "import".into() });
        for (own, conflict) in [(s, true), (Timestamp(1020), false)] {
            let mut base = own_base(&before);
            base.bases[0].ts = own;
            let (stored, now) = step(&before, base);
            let rebased = rebase(&ours, &before, &[stored], &now);
            assert_eq!(rebased == RebaseOutcome::Conflict, conflict, "{own}: {rebased:?}");
            if let RebaseOutcome::Retry(again) = rebased {
                step(&now, *again);
            }
        }
    }

    #[test]
    fn a_compaction_across_the_moment_of_a_base_that_came_is_dropped() {
        let (before, live) = history(4);
        let mut ours = before.maintenance(Timestamp(6000)).unwrap();
        let path = |n| delta("a", n, 1, 1).path;
        let input = |n| (live[&path(n)].0.clone(), live[&path(n)].1);
        join(&mut ours, &[input(0), input(1)], DataFile { rows: 4, tombstones: 2, ..delta("a", 90, 1001, 1020) });
        join(&mut ours, &[input(2), input(3)], DataFile { rows: 4, tombstones: 2, ..delta("a", 91, 1021, 1040) });
        // Between the second and the third lies an S now: at 1020 nothing is across, at 1030 the second join is.
        for (s, kept) in [(1020, 2), (1030, 1)] {
            let mut base = own_base(&before);
            base.bases[0].ts = Timestamp(s);
            let (stored, now) = step(&before, base);
            let RebaseOutcome::Retry(again) = rebase(&ours, &before, &[stored], &now) else {
                panic!("one join stands")
            };
            assert_eq!(again.replaced.len(), kept, "{s}");
            step(&now, *again);
        }
    }

    #[test]
    fn other_maintenance_is_planned_anew_and_never_committed_with_a_part_left_out() {
        let (before, live) = history(3);
        let path = delta("a", 0, 1, 1).path;
        let mut lost = before.maintenance(Timestamp(6000)).unwrap();
        lost.gaps.push(Gap { scope: Scope::All, from: Timestamp(1000), to: Timestamp(1010), why: "lost".into() });
        lost.remove.push(removed(&live[&path].0, live[&path].1));
        let mut expired = before.maintenance(Timestamp(6000)).unwrap();
        let why = WithdrawalReason::Expired;
        expired.withdrawn.push(crate::archive::Withdrawal { base: base_id(), scope: Scope::All, why });
        let (stored, now) = step(&before, draft(Progress { delta: Some(cursor(2000)), walk: None }));
        for ours in [lost, expired] {
            assert_eq!(rebase(&ours, &before, std::slice::from_ref(&stored), &now), RebaseOutcome::Anew);
        }
    }
}
