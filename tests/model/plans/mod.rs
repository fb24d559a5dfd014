//! What writers plan: from the head that they see and what the deployment tells them to a draft. A draft may land on a later
//! head: that is `race.rs`.

mod data;
mod maintenance;

use std::collections::BTreeSet;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    archive::Head,
    draft::{Base, BaseId, Doubt, Draft, Erasure, File, Group, GroupReason, Kind, Made, Path, PlannedOn, month},
    truth::{Documents, Row, Table, Ts, World, some_table},
};

/// What a writer wants. Planned anew, it looks anew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    Begin,
    Look,
    Sync,
    Select,
    Walk,
    GiveUp,
    TooOld,
    Window,
    /// What was dropped at the last moment of the deployment.
    Drop(Table),
    Compact,
    OwnBase,
    OwnCorrection,
    Correction,
    Forget,
    /// A document that was deleted, and the archive knows of it.
    Erase(Erasure),
    LoseBase,
    LoseFile,
}

/// Plans a commit, if there is something to do.
pub(crate) fn draft(plan: Plan, head: &Head, world: &World, rng: &mut StdRng, paths: &mut Path) -> Option<Draft> {
    let mut planner = Planner { head, world, rng, paths };
    match plan {
        Plan::Begin => Some(planner.begin()),
        Plan::Look => Some(planner.look()),
        Plan::Sync => Some(planner.sync()),
        Plan::Select => planner.select(),
        Plan::Walk => Some(planner.walk()),
        Plan::GiveUp => planner.give_up(),
        Plan::TooOld => planner.too_old(),
        Plan::Window => planner.window(),
        Plan::Drop(table) => planner.dropped(table),
        Plan::Compact => planner.compact(),
        Plan::OwnBase => planner.own_base(),
        Plan::OwnCorrection => planner.correct(Made::Archive),
        Plan::Correction => planner.correct(Made::Deployment),
        Plan::Forget => planner.forget(),
        Plan::Erase(erasure) => Some(planner.erase(erasure)),
        Plan::LoseBase => planner.lose_base(),
        Plan::LoseFile => planner.lose_file(),
    }
}

/// A writer at work.
struct Planner<'a> {
    head: &'a Head,
    world: &'a World,
    rng: &'a mut StdRng,
    paths: &'a mut Path,
}

impl Planner<'_> {
    fn empty(&self, kind: Kind, maintenance: bool) -> Draft {
        Draft {
            kind,
            planned_on: PlannedOn { version: self.head.version, progress: self.head.progress.clone() },
            maintenance,
            progress: None,
            selection: None,
            add: Vec::new(),
            remove: BTreeSet::new(),
            replaced: Vec::new(),
            bases: Vec::new(),
            withdrawn: Vec::new(),
            gaps: Vec::new(),
            doubts: Vec::new(),
            unmarked: BTreeSet::new(),
            erased: Vec::new(),
        }
    }

    fn path(&mut self) -> Path {
        *self.paths += 1;
        *self.paths
    }

    /// A base of one table in one file.
    fn base_of(&mut self, table: Table, ts: Ts, made: Made, cut: bool, documents: &Documents, draft: &mut Draft) {
        let id: BaseId = self.path();
        let cuts = cut.then_some(table).into_iter().collect();
        let base = Base { id, ts, made, cuts, tables: [(table, 0)].into(), version: 0 };
        let repeats = base.repeats();
        draft.bases.push(base);
        let rows: Vec<_> = documents.iter().map(|(id, ts)| Row { ts: *ts, id: *id, tombstone: false }).collect();
        if !rows.is_empty() {
            draft.add.push(File { path: self.path(), table, month: month(ts), base: Some(id), repeats, rows });
        }
    }

    /// Says that what the archive held before `ts` may be wrong.
    fn doubt(&self, table: Table, ts: Ts, draft: &mut Draft) {
        if self.head.rules.corrections_say_doubt {
            draft.doubts.push(Doubt { table, after: self.head.last_proven(table, ts), to: ts });
        }
    }

    /// What the deployment held, as far as the archive may hold it.
    fn truth(&self, table: Table, ts: Ts) -> Documents {
        self.head.without_erased(table, self.world.at(table, ts))
    }

    /// Joins neighbouring files of one table and month, in up to so many places.
    fn join(&mut self, places: usize, draft: &mut Draft) {
        let mut taken = BTreeSet::new();
        for _ in 0..places {
            let table = some_table(self.rng);
            let files = self.head.delta_files(table);
            let minds = self.head.rules.compaction_minds_months;
            let months: Vec<_> = files.chunk_by(|a, b| a.month == b.month || !minds).filter(|c| c.len() > 1).collect();
            let Some(month) = months.choose(self.rng) else { continue };
            let from = self.rng.random_range(0..month.len() - 1);
            let to = (from + self.rng.random_range(2..4)).min(month.len());
            let (inputs, place) = (&month[from..to], month[0].month);
            let mut rows: Vec<Row> = inputs.iter().flat_map(|f| &f.rows).copied().collect();
            if !self.head.rules.compaction_keeps_order {
                rows.reverse();
            }
            let inputs: BTreeSet<_> = inputs.iter().map(|f| f.path).collect();
            let joined = File { path: *self.paths + 1, table, month: place, base: None, repeats: false, rows };
            let across = self.head.moments(table).iter().any(|s| joined.lies_across(*s));
            if across && self.head.rules.compaction_minds_moments || !inputs.is_disjoint(&taken) {
                continue;
            }
            *self.paths += 1;
            taken.extend(inputs.iter().copied());
            draft.remove.extend(inputs.iter().copied());
            draft.replaced.push(Group { inputs, outputs: [joined.path].into(), why: GroupReason::Compaction, left: 0 });
            draft.add.push(joined);
        }
    }
}
