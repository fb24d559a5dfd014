//! What a commit may say, and what holds afterwards. A commit that breaks a rule is damage: readers stop there.

use std::collections::BTreeSet;

use super::{
    archive::Head,
    draft::{BaseId, Draft, File, Group, GroupReason, Made, Path, Progress, WithdrawalReason, month},
    truth::{Row, Table},
};

/// Why a commit is refused.
pub(crate) type Refusal = String;

/// Refuses with a sentence unless something holds.
fn need(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(sentence()) }
}

impl Head {
    /// Takes the next commit.
    pub(crate) fn apply(&mut self, draft: &Draft) -> Result<(), Refusal> {
        self.check_progress(draft)?;
        self.check_leaving(draft)?;
        self.check_groups(draft)?;
        self.check_withdrawals(draft)?;
        self.check_spans(draft)?;
        let mut after = self.clone();
        after.take(draft);
        after.check_added(self, draft)?;
        after.check_bases(self, draft)?;
        *self = after;
        Ok(())
    }

    /// Believes the commit.
    fn take(&mut self, draft: &Draft) {
        let cursor = self.progress.as_ref().map(|p| p.cursor);
        self.version += 1;
        for group in &draft.replaced {
            // An erasure lessens what the base said.
            let input = group.inputs.iter().find_map(|p| self.live.get(p));
            if let Some((base, table)) = input.and_then(|f| Some((f.base?, f.table))) {
                let said = self.bases.iter_mut().filter(|b| b.id == base).find_map(|b| b.tables.get_mut(&table));
                said.into_iter().for_each(|rows| *rows -= group.left);
            }
        }
        for path in &draft.remove {
            self.live.remove(path);
        }
        for file in &draft.add {
            self.paths.insert(file.path);
            self.live.insert(file.path, file.clone());
        }
        if let Some(progress) = &draft.progress {
            self.progress = Some(progress.clone());
            self.origin = if cursor.is_none() { progress.cursor } else { self.origin };
        }
        if let Some(tables) = &draft.selection {
            self.selections.push((cursor.unwrap_or(self.origin - 1), tables.clone()));
        }
        let version = self.version;
        self.bases.extend(draft.bases.iter().cloned().map(|b| super::draft::Base { version, ..b }));
        self.withdrawn.extend(draft.withdrawn.iter().map(|w| ((w.base, w.table), w.why)));
        self.gaps.extend(draft.gaps.iter().cloned());
        self.doubts.extend(draft.doubts.iter().cloned());
        self.erased.extend(draft.erased.iter().copied());
        for file in self.live.values_mut().filter(|f| f.base.is_some_and(|b| draft.unmarked.contains(&b))) {
            file.repeats = false;
        }
    }

    fn check_progress(&self, draft: &Draft) -> Result<(), Refusal> {
        if draft.maintenance {
            return need(self.progress.is_some() && draft.progress.is_none() && draft.selection.is_none(), || {
                "maintenance says nothing of the deployment".into()
            });
        }
        let Some(Progress { cursor, walk }) = &draft.progress else { return Err("data without progress".into()) };
        need(*cursor >= self.cursor(), || format!("the cursor goes back to {cursor}"))?;
        let before = self.progress.as_ref().and_then(|p| p.walk.as_ref());
        let Some(walk) = walk else { return Ok(()) };
        need(walk.table().is_some(), || "a walk is open that has nothing to do".into())?;
        need(walk.ts <= *cursor, || format!("a walk at {} lies beyond the cursor {cursor}", walk.ts))?;
        match before.filter(|b| b.base == walk.base) {
            Some(b) => need(b.ts == walk.ts && b.tables == walk.tables && walk.done.is_superset(&b.done), || {
                "a walk changed on its way".into()
            }),
            None => need(self.bases.iter().all(|b| b.id != walk.base), || "a base's id is used again".into()),
        }
    }

    /// What leaves, leaves for a reason.
    fn check_leaving(&self, draft: &Draft) -> Result<(), Refusal> {
        for path in &draft.remove {
            let Some(file) = self.live.get(path) else { return Err(format!("file {path} leaves and is not live")) };
            let replaced = draft.replaced.iter().any(|g| g.inputs.contains(path));
            let withdrawn = draft.withdrawn.iter().any(|w| file.belongs_to(w.base, w.table));
            let walked = file.base.is_some_and(|b| self.walk_ends(draft, b, file.table));
            let lost = file.is_delta()
                && draft
                    .gaps
                    .iter()
                    .any(|g| g.tables.contains(&file.table) && g.from < file.min_ts() && file.max_ts() <= g.to);
            need(replaced || withdrawn || walked || lost, || format!("file {path} leaves without a reason"))?;
        }
        Ok(())
    }

    /// Whether the open walk ends in this commit, and leaves the table unfinished.
    fn walk_ends(&self, draft: &Draft, base: BaseId, table: Table) -> bool {
        let open = |p: &Option<Progress>| p.as_ref().and_then(|p| p.walk.as_ref()).is_some_and(|w| w.base == base);
        open(&self.progress)
            && draft.progress.is_some()
            && !open(&draft.progress)
            && !draft.bases.iter().any(|b| b.id == base && b.holds(table))
    }

    /// A group's rows are exactly its inputs'.
    fn check_groups(&self, draft: &Draft) -> Result<(), Refusal> {
        let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
        for group in &draft.replaced {
            let once =
                group.inputs.iter().all(|p| inputs.insert(*p)) && group.outputs.iter().all(|p| outputs.insert(*p));
            need(once, || "a file stands in two groups".into())?;
            need(!group.inputs.is_empty() && group.inputs.is_subset(&draft.remove), || "inputs that stay".into())?;
            let before = group.inputs.iter().map(|p| self.live.get(p)).collect::<Option<Vec<_>>>();
            let Some(before) = before else { return Err("an input is not live".into()) };
            let after: Vec<_> = draft.add.iter().filter(|f| group.outputs.contains(&f.path)).collect();
            need(after.len() == group.outputs.len(), || "an output is no file of this commit".into())?;
            let place = |f: &File| (f.table, f.month, f.base, f.repeats);
            need(before.iter().chain(&after).all(|f| place(f) == place(before[0])), || {
                "a group is of two tables, months or bases".into()
            })?;
            check_rows(group, &before, &after)?;
        }
        Ok(())
    }

    fn check_withdrawals(&self, draft: &Draft) -> Result<(), Refusal> {
        for w in &draft.withdrawn {
            let Some(base) = self.bases.iter().find(|b| b.id == w.base && b.holds(w.table)) else {
                return Err(format!("base {} is withdrawn and not there", w.base));
            };
            let before = self.withdrawn.get(&(w.base, w.table));
            need(matches!(before, None | Some(WithdrawalReason::Superseded)), || "a base is withdrawn twice".into())?;
            let superseded = w.why == WithdrawalReason::Superseded;
            need(!superseded || base.repeats() && before.is_none(), || {
                format!("base {} is superseded and not the archive's own, or a cut", w.base)
            })?;
        }
        Ok(())
    }

    fn check_spans(&self, draft: &Draft) -> Result<(), Refusal> {
        let cursor = draft.progress.as_ref().map_or(self.cursor(), |p| p.cursor);
        need(draft.gaps.iter().all(|g| g.from < g.to && g.to <= cursor), || "a gap that is none".into())?;
        need(draft.doubts.iter().all(|d| d.after < d.to && d.to <= cursor), || "a doubt that is none".into())
    }

    fn check_added(&self, before: &Self, draft: &Draft) -> Result<(), Refusal> {
        let mut paths: BTreeSet<Path> = BTreeSet::new();
        for file in &draft.add {
            let path = file.path;
            need(!before.paths.contains(&path) && paths.insert(path), || format!("file {path} is added twice"))?;
            need(!file.rows.is_empty(), || format!("file {path} has no rows"))?;
            let brought = !draft.is_output(path);
            match file.base {
                None => {
                    need(file.rows.is_sorted_by_key(|r| r.ts), || {
                        format!("rows of {path} do not ascend by their moments")
                    })?;
                    let inside = file.rows.iter().all(|r| month(r.ts) == file.month);
                    need(inside, || format!("file {path} spans two months"))?;
                    let new = !draft.maintenance && file.min_ts() > before.cursor() && file.max_ts() <= self.cursor();
                    need(!brought || new, || format!("file {path} does not lie between the cursors"))?;
                }
                Some(base) => {
                    let ids = file.rows.is_sorted_by(|a, b| a.id < b.id);
                    need(ids && file.rows.iter().all(|r| !r.tombstone), || format!("{path} is no file of a base"))?;
                    let walk = self.progress.as_ref().and_then(|p| p.walk.as_ref()).filter(|w| w.base == base);
                    let open = walk.filter(|w| w.tables.contains(&file.table)).map(|w| w.ts);
                    let told = draft.bases.iter().find(|b| b.id == base && b.holds(file.table)).map(|b| b.ts);
                    let ts = open.or(told);
                    need(!brought || ts.is_some_and(|s| file.max_ts() <= s), || {
                        format!("file {path} belongs to no base of this commit")
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_bases(&self, before: &Self, draft: &Draft) -> Result<(), Refusal> {
        let open = self.progress.as_ref().and_then(|p| p.walk.as_ref());
        for base in &draft.bases {
            let walk = before.progress.as_ref().and_then(|p| p.walk.as_ref()).filter(|w| w.base == base.id);
            let once = self.bases.iter().filter(|b| b.id == base.id).count() == 1;
            let new = once && open.is_none_or(|w| w.base != base.id);
            need(new, || format!("base {} is completed twice, or still walked", base.id))?;
            need(base.ts <= self.cursor(), || format!("base {} lies beyond the cursor", base.id))?;
            need(walk.is_none_or(|w| w.ts == base.ts && base.tables.keys().all(|t| w.tables.contains(t))), || {
                "a base is not what was walked".into()
            })?;
            need(!draft.maintenance || base.tables.len() == 1, || "maintenance makes a base of two tables".into())?;
            need(base.made == Made::Archive || walk.is_some() || base.ts >= before.origin, || "before all".into())?;
            let selected = self.selection();
            need(base.made == Made::Archive || base.tables.keys().all(|t| selected.contains(t)), || {
                format!("the deployment told a table of base {} that is not selected", base.id)
            })?;
        }
        // What is said of each base is what its files hold, and no file is left of what ended.
        for (id, table, said) in self.bases.iter().flat_map(|b| b.tables.iter().map(|(t, rows)| (b.id, *t, *rows))) {
            let rows: usize = self.live.values().filter(|f| f.belongs_to(id, table)).map(|f| f.rows.len()).sum();
            match self.withdrawn.get(&(id, table)) {
                None => need(rows == said, || format!("base {id} says {said} rows of {table} and has {rows}"))?,
                Some(WithdrawalReason::Superseded) => {}
                Some(_) => need(rows == 0, || format!("base {id} is withdrawn and has {rows} rows of {table}"))?,
            }
        }
        for file in self.live.values() {
            let known = |b: BaseId| self.bases.iter().any(|k| k.id == b && k.holds(file.table));
            let walked = |b: BaseId| open.is_some_and(|w| w.base == b && w.tables.contains(&file.table));
            let orphan = file.base.is_some_and(|b| !known(b) && !walked(b));
            need(!orphan, || format!("file {} belongs to a walk that ended", file.path))?;
        }
        Ok(())
    }
}

/// The rows are the same, less what an erasure says that it left out.
fn check_rows(group: &Group, before: &[&File], after: &[&File]) -> Result<(), Refusal> {
    let rows = |files: &[&File]| files.iter().flat_map(|f| &f.rows).copied().collect::<Vec<Row>>();
    let (mut had, mut has) = (rows(before), rows(after));
    had.sort_unstable();
    has.sort_unstable();
    need(group.left == 0 || group.why == GroupReason::Erasure, || "rows are left out, but not erased".into())?;
    if group.why == GroupReason::Erasure {
        need(had.len() == has.len() + group.left && group.left > 0, || "an erasure does not add up".into())?;
        had.retain(|r| has.binary_search(r).is_ok());
    }
    need(had == has, || format!("the rows of a group are not those of its inputs: {had:?} became {has:?}"))
}
