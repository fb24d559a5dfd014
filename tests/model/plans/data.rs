//! The writer of data: pages of the change log, walks, gaps, drops, selections.

use std::collections::BTreeSet;

use rand::Rng;

use super::{
    super::{
        draft::{Base, Draft, File, Gap, GapReason, Kind, Made, Progress, Walk, month},
        truth::{Row, TABLES, Table, Ts},
    },
    Planner,
};

impl Planner<'_> {
    /// The first commit: opens the first walk.
    pub(super) fn begin(&mut self) -> Draft {
        let mut draft = self.empty(Kind::Begin, false);
        let ts = self.world.now();
        let all: BTreeSet<_> = (0..TABLES).collect();
        let selection = if self.rng.random_bool(0.8) { all } else { self.some_of(&all) };
        draft.progress = Some(Progress { cursor: ts, walk: None });
        draft.selection = Some(selection.clone());
        self.open_walk(ts, selection, &mut draft);
        self.page(&mut draft);
        draft
    }

    /// Nothing has changed, or nobody has looked further.
    pub(super) fn look(&self) -> Draft {
        let mut draft = self.empty(Kind::Look, false);
        draft.progress.clone_from(&self.head.progress);
        draft
    }

    /// Pages of the change log, and perhaps files joined with them.
    pub(super) fn sync(&mut self) -> Draft {
        let mut draft = self.empty(Kind::Sync, false);
        let to = self.somewhere();
        self.deltas(to, &mut draft);
        if self.rng.random_bool(0.3) {
            self.join(2, &mut draft);
            self.join_new_rows(&mut draft);
        }
        draft
    }

    /// Other tables from now on.
    pub(super) fn select(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::Select, false);
        let selection = self.some_of(&(0..TABLES).collect());
        if self.head.progress.as_ref()?.walk.is_some() || selection == self.head.selection() {
            return None;
        }
        draft.selection = Some(selection);
        let to = self.somewhere();
        self.deltas(to, &mut draft);
        Some(draft)
    }

    /// Opens a walk, or goes on with the one that is open.
    pub(super) fn walk(&mut self) -> Draft {
        let open = self.head.progress.as_ref().is_some_and(|p| p.walk.is_some());
        let mut draft = self.empty(if open { Kind::WalkGoesOn } else { Kind::WalkOpens }, false);
        if open {
            draft.progress.clone_from(&self.head.progress);
        } else {
            let ts = self.somewhere();
            let tables = self.some_of(&self.head.selection());
            if self.head.rules.no_base_lies_beyond_the_cursor {
                self.deltas(ts, &mut draft);
            } else {
                draft.progress.clone_from(&self.head.progress);
            }
            self.open_walk(ts, tables, &mut draft);
        }
        self.page(&mut draft);
        draft
    }

    pub(super) fn give_up(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::WalkIsGivenUp, false);
        let progress = self.head.progress.as_ref().filter(|p| p.walk.is_some())?;
        draft.progress = Some(Progress { walk: None, ..progress.clone() });
        Some(draft)
    }

    /// The open walk is older than the deployment keeps: what is finished is a base, the rest is walked anew.
    pub(super) fn too_old(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::WalkIsTooOld, false);
        let walk = self.head.progress.as_ref()?.walk.clone()?;
        let now = self.world.now();
        let rest: BTreeSet<_> = self.head.selection().difference(&walk.done).copied().collect();
        if now <= walk.ts || rest.is_empty() {
            return None;
        }
        self.deltas(now, &mut draft);
        self.close(&walk, walk.done.clone(), &mut draft);
        self.open_walk(now, rest, &mut draft);
        Some(draft)
    }

    /// The cursor is older than the deployment keeps: a gap, and everything is walked anew.
    pub(super) fn window(&mut self) -> Option<Draft> {
        let mut draft = self.empty(Kind::Window, false);
        let (from, to) = (self.head.cursor(), self.world.now());
        let progress = self.head.progress.as_ref().filter(|_| from < to)?;
        draft.progress = Some(Progress { cursor: to, walk: None });
        if self.head.rules.jumps_leave_gaps {
            draft.gaps.push(Gap { tables: (0..TABLES).collect(), from, to, why: GapReason::Window });
        }
        if let Some(walk) = progress.walk.clone().filter(|_| self.rng.random_bool(0.5)) {
            self.close(&walk, walk.done.clone(), &mut draft);
        }
        self.open_walk(to, self.head.selection(), &mut draft);
        self.page(&mut draft);
        Some(draft)
    }

    /// The table was dropped at the last moment: an empty base, which no earlier one outlives. Of a table that is not selected
    /// nobody hears.
    pub(super) fn dropped(&mut self, table: Table) -> Option<Draft> {
        if !self.head.selection().contains(&table) {
            return None;
        }
        let mut draft = self.empty(Kind::Drop, false);
        let ts = self.world.now();
        self.deltas(ts, &mut draft);
        let cuts = self.head.rules.drops_are_cuts.then_some(table).into_iter().collect();
        let tables = [(table, 0)].into();
        draft.bases.push(Base { id: self.path(), ts, made: Made::Deployment, cuts, tables, version: 0 });
        Some(draft)
    }

    /// A moment up to which the change log is read: mostly the last.
    fn somewhere(&mut self) -> Ts {
        let (cursor, now) = (self.head.cursor(), self.world.now());
        if self.rng.random_bool(0.6) { now } else { self.rng.random_range(cursor..=now) }
    }

    fn some_of(&mut self, tables: &BTreeSet<Table>) -> BTreeSet<Table> {
        let some: BTreeSet<_> = tables.iter().copied().filter(|_| self.rng.random_bool(0.6)).collect();
        if some.is_empty() { tables.clone() } else { some }
    }

    /// What the change log says up to a moment, in new files.
    fn deltas(&mut self, to: Ts, draft: &mut Draft) {
        let walk = self.head.progress.as_ref().and_then(|p| p.walk.clone());
        draft.progress = Some(Progress { cursor: to, walk });
        let selection = draft.selection.clone().unwrap_or_else(|| self.head.selection());
        let minds = self.head.rules.files_end_with_their_month;
        for table in selection {
            let rows = self.world.deltas(table, self.head.cursor(), to).to_vec();
            for rows in rows.chunk_by(|a, b| month(a.ts) == month(b.ts) || !minds) {
                let at = if self.rng.random_bool(0.3) { self.rng.random_range(0..rows.len()) } else { 0 };
                for rows in [&rows[..at], &rows[at..]].into_iter().filter(|r| !r.is_empty()) {
                    let (path, month) = (self.path(), month(rows[0].ts));
                    draft.add.push(File { path, table, month, base: None, repeats: false, rows: rows.to_vec() });
                }
            }
        }
    }

    /// Without the rule: new rows lie in the file that joins old ones.
    fn join_new_rows(&mut self, draft: &mut Draft) {
        if self.head.rules.new_rows_stay_out_of_groups {
            return;
        }
        let outputs: BTreeSet<_> = draft.replaced.iter().flat_map(|g| &g.outputs).copied().collect();
        let (mut joined, new): (Vec<_>, Vec<_>) = draft.add.drain(..).partition(|f| outputs.contains(&f.path));
        for file in new {
            match joined.iter_mut().find(|j| (j.table, j.month) == (file.table, file.month)) {
                Some(join) => join.rows.extend(file.rows),
                None => joined.push(file),
            }
        }
        draft.add = joined;
    }

    fn open_walk(&mut self, ts: Ts, tables: BTreeSet<Table>, draft: &mut Draft) {
        let walk = Walk { base: self.path(), ts, tables, done: BTreeSet::new(), came: 0 };
        draft.progress.as_mut().expect("data have progress").walk = Some(walk);
    }

    /// Goes on with the walk of the draft, for some pages or to its end.
    fn page(&mut self, draft: &mut Draft) {
        let progress = draft.progress.as_mut().expect("data have progress");
        let mut walk = progress.walk.take().expect("a walk is open");
        let mut pages = if self.rng.random_bool(0.4) { 100 } else { self.rng.random_range(0..4) };
        while let Some(table) = walk.table().filter(|_| pages > 0) {
            let documents = self.world.at(table, walk.ts);
            let rows = documents.iter().map(|(id, ts)| Row { ts: *ts, id: *id, tombstone: false });
            let page = self.rng.random_range(1..4);
            let mut rows: Vec<_> = rows.skip(walk.came).take(page).collect();
            walk.came += page;
            if self.head.rules.walks_leave_out_erased_rows {
                rows.retain(|r| !self.head.is_erased(table, r));
            }
            if !rows.is_empty() {
                let (path, month) = (self.path(), month(walk.ts));
                draft.add.push(File { path, table, month, base: Some(walk.base), repeats: false, rows });
            }
            if walk.came >= documents.len() {
                walk.done.insert(table);
                walk.came = 0;
            }
            pages -= 1;
        }
        if walk.table().is_none() {
            self.close(&walk, walk.tables.clone(), draft);
        } else {
            draft.progress.as_mut().expect("data have progress").walk = Some(walk);
        }
    }

    /// Completes a base of these tables. The deployment has told it, so it is compared with what the archive holds.
    fn close(&mut self, walk: &Walk, tables: BTreeSet<Table>, draft: &mut Draft) {
        draft.progress.as_mut().expect("data have progress").walk = None;
        if tables.is_empty() {
            return;
        }
        let held = self.head.with_deltas_of(draft);
        let differs = |table: Table| match held.state(table, walk.ts) {
            Some(state) => state != self.truth(table, walk.ts),
            // Nothing is left to compare it with. But what the archive made itself of what was there may still serve.
            None => {
                let made = held.in_force(table).any(|b| b.repeats() && b.ts >= walk.ts);
                made && held.last_proven(table, walk.ts) < walk.ts
            }
        };
        let mut differing: BTreeSet<_> = tables.iter().copied().filter(|t| differs(*t)).collect();
        for table in &differing {
            self.doubt(*table, walk.ts, draft);
        }
        if !self.head.rules.differing_bases_are_cuts {
            differing.clear();
        }
        let tables = tables.into_iter().map(|t| (t, 0)).collect();
        draft.bases.push(Base {
            id: walk.base,
            ts: walk.ts,
            made: Made::Deployment,
            cuts: differing,
            tables,
            version: 0,
        });
    }
}
