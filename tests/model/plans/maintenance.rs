//! The writer of maintenance: it says nothing of the deployment.

use std::collections::BTreeSet;

use rand::{Rng, seq::IndexedRandom, seq::IteratorRandom};

use super::{
    super::{
        draft::{
            Base, Draft, Erasure, File, Gap, GapReason, Group, GroupReason, Kind, Made, Path, Withdrawal,
            WithdrawalReason,
        },
        truth::{Row, Table, Ts, some_table},
    },
    Planner,
};

impl Planner<'_> {
    pub(super) fn compact(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::Compaction, true);
        self.join(3, &mut draft);
        (!draft.is_empty()).then_some(draft)
    }

    /// The state of a table, written down; own bases that no longer serve anything alone are superseded.
    pub(super) fn own_base(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::OwnBase, true);
        let table = some_table(self.rng);
        let ts = self.border(table)?;
        let state = self.head.state(table, ts)?;
        for base in self.head.in_force(table).filter(|b| b.repeats()) {
            if self.is_served_without(base, table) || !self.head.rules.superseded_only_where_another_serves {
                draft.withdrawn.push(Withdrawal { base: base.id, table, why: WithdrawalReason::Superseded });
                draft.remove.extend(self.head.leave_with(base, table));
            }
        }
        self.base_of(table, ts, Made::Archive, false, &state, &mut draft);
        Some(draft)
    }

    /// Whether a base that stays serves every moment that this one serves.
    fn is_served_without(&self, base: &Base, table: Table) -> bool {
        let head = self.head;
        head.in_force(table).filter(|b| !b.repeats() && head.rank(b) < head.rank(base)).any(|b| {
            let gap = head.missing(table).iter().any(|(from, to)| *from < base.ts && b.ts < *to);
            let cut = head.cuts(table).any(|c| head.rank(c) > head.rank(b));
            !gap && !cut
        })
    }

    /// A table is asked for as it was at a moment that the archive covers, and it was otherwise.
    pub(super) fn correct(&mut self, made: Made) -> Option<Draft> {
        let own = made == Made::Archive;
        let mut draft = self.empty(if own { Kind::OwnCorrection } else { Kind::Correction }, true);
        let (table, cursor) = (some_table(self.rng), self.head.cursor());
        let any = !own && self.rng.random_bool(0.5);
        let ts = if any { self.rng.random_range(self.head.origin..=cursor) } else { cursor };
        let (state, truth) = (self.head.state(table, ts)?, self.truth(table, ts));
        let erased = self.head.erased.iter().filter(|e| e.table == table).map(|e| e.through).max();
        let truth = if self.head.rules.corrections_mind_erasures { truth } else { self.world.at(table, ts).clone() };
        // The archive itself can only leave out what the deployment does not hold.
        let can = !own || truth.iter().all(|(id, ts)| state.get(id) == Some(ts));
        let late = erased.is_some_and(|through| ts < through) && self.head.rules.corrections_mind_erasures;
        // The deployment is asked for what is selected only.
        let unasked = !own && !self.head.selection().contains(&table);
        if state == truth || late || !can || unasked {
            return None;
        }
        self.doubt(table, ts, &mut draft);
        self.base_of(table, ts, made, true, &truth, &mut draft);
        Some(draft)
    }

    /// What is older than a moment goes; the state at that moment is the new beginning.
    pub(super) fn forget(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::Forget, true);
        let table = some_table(self.rng);
        let ts = self.border(table)?;
        let state = self.head.state(table, ts)?;
        let waits = self.head.walk_over(table).is_some_and(|s| s < ts) && self.head.rules.forgetting_waits_for_walks;
        if waits {
            return None;
        }
        for base in self.head.bases.iter().filter(|b| b.ts < ts && b.holds(table)) {
            let again = self.head.rules.forgetting_takes_superseded_bases;
            match self.head.withdrawn.get(&(base.id, table)) {
                None => {}
                Some(WithdrawalReason::Superseded) if again => {}
                Some(_) => continue,
            }
            draft.withdrawn.push(Withdrawal { base: base.id, table, why: WithdrawalReason::Expired });
            draft.remove.extend(self.head.files_of(base, table));
        }
        let past = self.head.delta_files(table).into_iter().filter(|f| f.max_ts() <= ts);
        draft.remove.extend(past.map(|f| f.path));
        draft.gaps.push(Gap { tables: [table].into(), from: self.head.origin - 1, to: ts, why: GapReason::Expired });
        self.base_of(table, ts, Made::Archive, self.head.rules.forgetting_is_a_cut, &state, &mut draft);
        Some(draft)
    }

    /// Every file that holds a row of the document is written anew without it.
    pub(super) fn erase(&mut self, erasure: Erasure) -> Draft {
        let mut draft = self.empty(Kind::Erase, true);
        let table = erasure.table;
        let everywhere = self.head.rules.erasure_takes_every_file;
        let serving = |f: &File| f.base.is_none_or(|b| self.head.in_force(table).any(|k| k.id == b));
        let files: Vec<_> =
            self.head.live.values().filter(|f| f.table == table && (everywhere || serving(f))).cloned().collect();
        for file in files.into_iter().filter(|f| f.rows.iter().any(|r| erasure.names(table, r))) {
            let rows: Vec<Row> = file.rows.iter().filter(|r| !erasure.names(table, r)).copied().collect();
            let left = file.rows.len() - rows.len();
            let (inputs, mut outputs): (BTreeSet<Path>, _) = ([file.path].into(), BTreeSet::new());
            draft.remove.insert(file.path);
            if !rows.is_empty() {
                let path = self.path();
                outputs.insert(path);
                draft.add.push(File { path, rows, ..file });
            }
            draft.replaced.push(Group { inputs, outputs, why: GroupReason::Erasure, left });
        }
        draft.erased.push(erasure);
        draft
    }

    pub(super) fn lose_base(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::LostBase, true);
        let table = some_table(self.rng);
        let base = self.head.in_force(table).choose(self.rng)?;
        draft.withdrawn.push(Withdrawal { base: base.id, table, why: WithdrawalReason::Lost });
        draft.remove.extend(self.head.files_of(base, table));
        self.unmark(table, &mut draft);
        draft.unmarked.remove(&base.id);
        Some(draft)
    }

    pub(super) fn lose_file(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::LostFile, true);
        let table = some_table(self.rng);
        let files = self.head.delta_files(table);
        let file = files.choose(self.rng)?;
        let (from, to) = (file.min_ts() - 1, file.max_ts());
        draft.gaps.push(Gap { tables: [table].into(), from, to, why: GapReason::Lost });
        draft.remove.insert(file.path);
        self.unmark(table, &mut draft);
        Some(draft)
    }

    /// Own bases may be the only holders of their rows from now on.
    fn unmark(&self, table: Table, draft: &mut Draft) {
        if self.head.rules.losses_unmark {
            let marked = self.head.live.values().filter(|f| f.table == table && f.repeats);
            draft.unmarked.extend(marked.filter_map(|f| f.base));
        }
    }

    /// The cursor, or the end of a delta file; none that a file lies across.
    fn border(&mut self, table: Table) -> Option<Ts> {
        let files = self.head.delta_files(table);
        let whole = |ts: &Ts| !files.iter().any(|f| f.lies_across(*ts));
        let ends: Vec<_> = files.iter().map(|f| f.max_ts()).filter(whole).collect();
        let end = ends.choose(self.rng).copied().filter(|_| self.rng.random_bool(0.5));
        end.or(Some(self.head.cursor()))
    }
}
