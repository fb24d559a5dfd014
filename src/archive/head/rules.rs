//! What a commit must not do: the guarantees of [`Head`], one by one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Head,
    base::{Base, BaseMaker, WithdrawalReason},
};
use crate::{
    archive::commit::{Commit, Draft, LeftOut, RemovedFile, Replacement, ReplacementReason},
    data::DataFile,
    document::{TableRef, Timestamp},
    layout,
    position::{BaseId, Phase},
};

/// The replacements of a commit, checked: what each path of theirs is.
pub(super) struct Groups<'a> {
    inputs: BTreeMap<&'a str, &'a RemovedFile>,
    outputs: BTreeSet<&'a str>,
}

impl<'a> Groups<'a> {
    /// # Errors
    /// If a path stands in the commit twice, or a replacement does not hold exactly the rows of what it replaces.
    pub(super) fn of(draft: &'a Draft) -> Result<Self, String> {
        let added: BTreeMap<&str, &DataFile> = draft.add.iter().map(|file| (file.path.as_str(), file)).collect();
        let removed: BTreeMap<&str, &RemovedFile> =
            draft.remove.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut paths = BTreeSet::new();
        for path in draft.add.iter().map(|f| &f.path).chain(draft.remove.iter().map(|f| &f.path)) {
            if !paths.insert(path) {
                return Err(format!("{path} occurs in it twice"));
            }
        }
        let mut groups = Self { inputs: BTreeMap::new(), outputs: BTreeSet::new() };
        for group in &draft.replaced {
            let mut inputs = Vec::new();
            for path in &group.inputs {
                let file = removed.get(path.as_str()).ok_or_else(|| format!("{path} is replaced but not removed"))?;
                if groups.inputs.insert(path, file).is_some() {
                    return Err(format!("{path} is replaced twice"));
                }
                inputs.push(*file);
            }
            let mut outputs = Vec::new();
            for path in &group.outputs {
                let file =
                    added.get(path.as_str()).ok_or_else(|| format!("{path} replaces others but is not added"))?;
                if !groups.outputs.insert(path) {
                    return Err(format!("{path} replaces others twice"));
                }
                outputs.push(*file);
            }
            check_group(group, &inputs, &outputs)?;
        }
        Ok(groups)
    }

    /// Whether the added file holds rows of files that it replaces.
    pub(super) fn is_output(&self, path: &str) -> bool {
        self.outputs.contains(path)
    }

    /// The first file that a replacement removes.
    pub(super) fn first_input(&self, group: &Replacement) -> Option<&'a RemovedFile> {
        group.inputs.first().and_then(|path| self.inputs.get(path.as_str()).copied())
    }
}

/// Why a file or a replacement is refused whose numbers cannot all be true. A sum that is too large for its type counts as such.
pub(super) const CONTRADICT: &str = "its numbers contradict each other";

/// The rows of a replacement are exactly those of its inputs, as far as commits tell.
fn check_group(group: &Replacement, inputs: &[&RemovedFile], outputs: &[&DataFile]) -> Result<(), String> {
    let Some(first) = inputs.first() else { return Err("a replacement replaces nothing".into()) };
    let named = |what: &str| format!("the replacement of {} {what}", first.path);
    let kind = (&first.table, first.phase, &first.base, first.encoding, &first.month);
    let same = inputs.iter().all(|f| (&f.table, f.phase, &f.base, f.encoding, &f.month) == kind)
        && outputs.iter().all(|f| (&f.table, f.phase, &f.base, f.encoding, &f.month) == kind);
    if !same {
        return Err(named("mixes tables, months, phases, bases or encodings"));
    }
    if group.left.is_some() && group.why != ReplacementReason::Erasure {
        return Err(named("leaves rows out but is not an erasure"));
    }
    let none = LeftOut { rows: 0, tombstones: 0, rescued_rows: 0 };
    let left = group.left.unwrap_or(none);
    let sum = |rows: (u64, u64, u64), file: (u64, u64, u64)| {
        Some((rows.0.checked_add(file.0)?, rows.1.checked_add(file.1)?, rows.2.checked_add(file.2)?))
    };
    let before = inputs.iter().map(|f| (f.rows, f.tombstones, f.rescued_rows)).try_fold((0, 0, 0), sum);
    let left = (left.rows, left.tombstones, left.rescued_rows);
    let after = outputs.iter().map(|f| (f.rows, f.tombstones, f.rescued_rows)).try_fold(left, sum);
    let (Some(before), Some(after)) = (before, after) else { return Err(CONTRADICT.into()) };
    if before != after {
        return Err(named("does not hold the rows that it replaces"));
    }
    let least = inputs.iter().map(|f| f.min_ts).min();
    let most = inputs.iter().map(|f| f.max_ts).max();
    if outputs.iter().any(|f| Some(f.min_ts) < least || Some(f.max_ts) > most) {
        return Err(named("has moments outside of what it replaces"));
    }
    Ok(())
}

/// Guarantee 7, and the same of doubts.
pub(super) fn check_spans(draft: &Draft) -> Result<(), String> {
    let cursor = draft.progress.delta.as_ref().map(|d| d.ts);
    if let Some(gap) = draft.gaps.iter().find(|g| g.to <= g.from || Some(g.to) > cursor) {
        return Err(format!("the gap after {} is empty or ends beyond the cursor", gap.from));
    }
    match draft.doubts.iter().find(|d| d.to <= d.after || Some(d.to) > cursor) {
        Some(doubt) => Err(format!("the doubt after {} is empty or ends beyond the cursor", doubt.after)),
        None => Ok(()),
    }
}

/// Whether the base corrects the table: it is a cut for it, and what the archive showed before is in doubt up to its S.
fn corrects(draft: &Draft, cut: &Base, table: &TableRef) -> bool {
    cut.cuts(table) && draft.doubts.iter().any(|doubt| doubt.to == cut.ts && doubt.scope.contains(table))
}

impl Head {
    /// Guarantee 13.
    pub(super) fn check_notices(&self, draft: &Draft) -> Result<(), String> {
        let cursor = draft.progress.delta.as_ref().map(|d| d.ts);
        let known =
            |table: &TableRef| self.tables.contains_key(table) || draft.tables.iter().any(|t| t.table == *table);
        if let Some(suspect) = draft.suspects.iter().find(|s| Some(s.after) > cursor || !known(&s.table)) {
            return Err(format!("the suspect {} is unknown, or proven equal beyond the cursor", suspect.table));
        }
        let moments = draft.compared.iter().map(|comparison| comparison.ts).chain(draft.guarded);
        match moments.into_iter().find(|ts| Some(*ts) > cursor) {
            Some(ts) => Err(format!("it proves the state at {ts}, which is beyond the cursor")),
            None => Ok(()),
        }
    }

    /// Guarantees 1 and 8.
    pub(super) fn check_place(&self, commit: &Commit) -> Result<(), String> {
        if commit.version != self.version + 1 {
            return Err(format!("it is commit {}, but {} was expected", commit.version, self.version + 1));
        }
        if commit.previous != self.digest {
            return Err(format!("it follows {}, but the one before it is {}", commit.previous, self.digest));
        }
        match &self.latest {
            Some(l) if l.run.id == commit.run.id && l.run.counter >= commit.run.counter => {
                Err(format!("the counter of run {} went from {} to {}", l.run.id, l.run.counter, commit.run.counter))
            }
            _ => Ok(()),
        }
    }

    /// Guarantee 2.
    pub(super) fn check_cursor(&self, commit: &Commit) -> Result<(), String> {
        let progress = &commit.draft.progress;
        let Some(delta) = &progress.delta else { return Err("it has no delta cursor".into()) };
        if delta.position.phase() != Phase::Delta {
            return Err("its delta cursor is a position of a snapshot".into());
        }
        match self.cursor() {
            Some(before) if delta.ts < before => {
                Err(format!("the delta cursor went back from {before} to {}", delta.ts))
            }
            Some(_) => Ok(()),
            None => {
                let walk = progress.walk.as_ref().map(|w| w.ts);
                let begins = walk.into_iter().chain(commit.draft.bases.iter().map(|b| b.ts)).any(|s| s == delta.ts);
                if begins { Ok(()) } else { Err("the first delta cursor is not the moment of a walk".into()) }
            }
        }
    }

    /// Guarantee 3, and that nothing lies beyond the cursor.
    pub(super) fn check_walk(&self, commit: &Commit) -> Result<(), String> {
        let (before, after) = (self.progress.walk.as_ref(), commit.draft.progress.walk.as_ref());
        let cursor = commit.draft.progress.delta.as_ref().map(|d| d.ts);
        let origin = self.origin.or(cursor);
        let lies = |s: Timestamp| origin.is_none_or(|o| o <= s) && cursor.is_none_or(|c| s <= c);
        let mut ids: BTreeSet<_> = self.coverage.bases.iter().map(|b| &b.id).collect();
        for base in &commit.draft.bases {
            if !ids.insert(&base.id) {
                return Err(format!("the base {} is completed a second time", base.id));
            }
            if !lies(base.ts) {
                return Err(format!("the base {} lies before the first one or beyond the cursor", base.id));
            }
            if before.is_some_and(|w| w.base == base.id && w.ts != base.ts) {
                return Err(format!("the base {} has a different moment than its walk", base.id));
            }
        }
        let Some(after) = after else { return Ok(()) };
        if ids.contains(&after.base) {
            return Err(format!("the walk of the base {} continues although the base is complete", after.base));
        }
        if after.position.phase() != Phase::Snapshot {
            return Err("its walk is at a position of deltas".into());
        }
        if !lies(after.ts) {
            return Err("its walk lies before the first one or beyond the cursor".into());
        }
        match before.filter(|w| w.base == after.base) {
            Some(b) if (b.ts, &b.month, &b.scope) != (after.ts, &after.month, &after.scope) => {
                Err("the open walk has changed its moment, month or scope".into())
            }
            Some(b) if !after.done.starts_with(&b.done) => {
                Err("a table that the walk had finished is no longer finished".into())
            }
            _ => Ok(()),
        }
    }

    /// Guarantee 12.
    pub(super) fn check_maintenance(&self, commit: &Commit) -> Result<(), String> {
        let draft = &commit.draft;
        let silent = draft.progress == self.progress
            && draft.selection == self.coverage.selected()
            && draft.tables.is_empty()
            && draft.deployment.is_none()
            && draft.proofs.is_empty()
            && draft.suspects.is_empty()
            && draft.compared.is_empty()
            && draft.guarded.is_none();
        if draft.maintenance && !silent {
            Err("it is maintenance but makes statements about the deployment".into())
        } else {
            Ok(())
        }
    }

    /// Guarantee 9.
    pub(super) fn check_reasons(&self, draft: &Draft, groups: &Groups<'_>) -> Result<(), String> {
        let open = self.progress.walk.as_ref().map(|walk| &walk.base);
        let goes_on = draft.progress.walk.as_ref().is_some_and(|walk| Some(&walk.base) == open);
        // The files of a superseded base stay while they may be the only ones that hold their rows.
        let repeats = |base: &BaseId, table: &TableRef| {
            let base = self.base(base).filter(|base| base.made == BaseMaker::Archive && !base.cuts(table));
            let unmarked = |base: &Base| self.coverage.unmarked.contains(&base.id) || draft.unmarked.contains(&base.id);
            base.is_some_and(|base| !unmarked(base))
        };
        let withdrawn = |base: &BaseId, table: &TableRef| {
            let mut said = draft.withdrawn.iter().chain(&self.coverage.withdrawals);
            let kept = |why| why == WithdrawalReason::Superseded && !repeats(base, table);
            said.any(|w| w.base == *base && w.scope.contains(table) && !kept(w.why))
        };
        for file in &draft.remove {
            let leaves = groups.inputs.contains_key(file.path.as_str())
                || match &file.base {
                    None => draft
                        .gaps
                        .iter()
                        .any(|gap| gap.scope.contains(&file.table) && gap.from < file.min_ts && file.max_ts <= gap.to),
                    Some(base) => {
                        let kept = || draft.bases.iter().any(|b| b.id == *base && b.scope.contains(&file.table));
                        withdrawn(base, &file.table) || (Some(base) == open && !goes_on && !kept())
                    }
                };
            if !leaves {
                return Err(format!(
                    "{} is removed without a reason: nothing replaces it, and neither a withdrawal nor a gap covers it",
                    file.path
                ));
            }
        }
        Ok(())
    }

    /// Guarantees 5 and 6, as far as the file itself tells.
    pub(super) fn check_file(&self, file: &DataFile, commit: &Commit, replaces: bool) -> Result<(), String> {
        if file.rows == 0 || file.tombstones > file.rows || file.rescued_rows > file.rows || file.min_ts > file.max_ts {
            return Err(CONTRADICT.into());
        }
        match (file.phase, &file.base) {
            (Phase::Delta, None) => self.check_delta(file, commit, replaces),
            (Phase::Snapshot, Some(id)) => self.check_snapshot(file, id, commit, replaces),
            _ => Err("a snapshot file must have a base, and a delta file must not".into()),
        }
    }

    fn check_delta(&self, file: &DataFile, commit: &Commit, replaces: bool) -> Result<(), String> {
        let after = commit.draft.progress.delta.as_ref().map(|d| d.ts);
        let old = !replaces && self.cursor().is_none_or(|before| file.min_ts <= before);
        if old || Some(file.max_ts) > after {
            return Err("it has rows that are not between the cursors".into());
        }
        if !replaces && !commit.draft.selection.contains(&file.table) {
            return Err("its table is not selected".into());
        }
        let month = layout::month_of(file.min_ts);
        if month != layout::month_of(file.max_ts) || month != file.month {
            return Err("it spans two months, or belongs to another one".into());
        }
        if file.repeats {
            return Err("it is marked as repeating others, but is not a file of a base".into());
        }
        Ok(())
    }

    fn check_snapshot(&self, file: &DataFile, id: &BaseId, commit: &Commit, replaces: bool) -> Result<(), String> {
        let draft = &commit.draft;
        let walks = [self.progress.walk.as_ref(), draft.progress.walk.as_ref()].into_iter().flatten();
        let walk = walks.filter(|w| w.base == *id).map(|w| (w.ts, &w.scope)).next();
        let known = draft.bases.iter().find(|b| b.id == *id).or_else(|| self.base(id).filter(|_| replaces));
        let Some((s, scope)) = walk.or(known.map(|b| (b.ts, &b.scope))) else {
            return Err(format!("its base {id} is neither being walked nor completed"));
        };
        let own = known.is_some_and(|b| b.made == BaseMaker::Archive);
        let selected = own || replaces || draft.selection.contains(&file.table);
        if file.max_ts > s || !scope.contains(&file.table) || !selected {
            return Err(format!("it holds what is not in the base {id}"));
        }
        if file.repeats && !(own && known.is_some_and(|b| !b.cuts(&file.table))) {
            return Err("it is marked as repeating others, but its base is not an own base, or is a cut".into());
        }
        Ok(())
    }

    /// Guarantee 10: which tables had documents, and how many.
    pub(super) fn check_rows(&self, base: &Base, draft: &Draft, open: Option<&BaseId>) -> Result<(), String> {
        let said: BTreeMap<_, _> = base.tables.iter().map(|said| (&said.table, said.rows)).collect();
        let found = self.rows_of(&base.id, draft, open, |table| base.holds(table))?;
        let found: BTreeMap<_, _> = found.iter().map(|(table, rows)| (table, *rows)).collect();
        if said.len() != base.tables.len() || said != found {
            return Err(format!("the base {} does not have the number of rows that its files have", base.id));
        }
        Ok(())
    }

    /// The rows of a base that `draft` completes, per table that has any: written before, or by the draft itself.
    pub(super) fn rows_of(
        &self,
        base: &BaseId,
        draft: &Draft,
        open: Option<&BaseId>,
        holds: impl Fn(&TableRef) -> bool,
    ) -> Result<BTreeMap<TableRef, u64>, String> {
        let mut rows = BTreeMap::new();
        // The files of the open walk are counted already, those of this draft too if it is folded: so they are told apart.
        if open == Some(base) {
            let unfinished = self.tables.values().filter(|t| t.unfinished.rows > 0 && holds(&t.table));
            rows.extend(unfinished.map(|t| (t.table.clone(), t.unfinished.rows)));
        } else {
            for file in draft.add.iter().filter(|f| f.base.as_ref() == Some(base) && holds(&f.table)) {
                let rows: &mut u64 = rows.entry(file.table.clone()).or_default();
                *rows = rows.checked_add(file.rows).ok_or(CONTRADICT)?;
            }
        }
        Ok(rows)
    }

    /// Own bases that are no longer only repetitions.
    pub(super) fn unmark(&mut self, bases: &[BaseId]) -> Result<(), String> {
        for id in bases {
            if !self.base(id).is_some_and(|base| base.made == BaseMaker::Archive) {
                return Err(format!("the base {id} is unmarked, but is not an own base"));
            }
            if !self.coverage.unmarked.contains(id) {
                self.coverage.unmarked.push(id.clone());
            }
        }
        Ok(())
    }

    /// A base is withdrawn once for a table; only one that was superseded may be withdrawn again, for another reason.
    pub(super) fn check_withdrawn_once(&self, draft: &Draft) -> Result<(), String> {
        for (n, withdrawal) in draft.withdrawn.iter().enumerate() {
            let known = self.coverage.withdrawals.iter().chain(&draft.withdrawn[..n]);
            for before in known.filter(|before| before.base == withdrawal.base) {
                let ends = [before.why, withdrawal.why].map(|why| why != WithdrawalReason::Superseded);
                let mut both = self.tables.keys().filter(|t| before.scope.contains(t) && withdrawal.scope.contains(t));
                if let Some(table) = both.find(|_| ends != [false, true]) {
                    return Err(format!("the base {} is withdrawn for {table} a second time", withdrawal.base));
                }
            }
        }
        Ok(())
    }

    /// Guarantee 11, once what is withdrawn is withdrawn.
    pub(super) fn check_withdrawn(&self, draft: &Draft) -> Result<(), String> {
        for withdrawal in &draft.withdrawn {
            let Some(base) = self.base(&withdrawal.base) else {
                return Err(format!("the base {} is withdrawn, but does not exist", withdrawal.base));
            };
            if withdrawal.why != WithdrawalReason::Superseded {
                continue;
            }
            if base.made != BaseMaker::Archive {
                return Err(format!("the base {} cannot be superseded: the archive did not make it", base.id));
            }
            let corrected = |table: &TableRef| {
                draft.bases.iter().any(|cut| corrects(draft, cut, table) && cut.ts <= base.ts && cut.id != base.id)
            };
            let may =
                |table: &TableRef| !base.cuts(table) && (corrected(table) || self.coverage.is_repeated(base, table));
            let mut held = self.tables.keys().filter(|t| withdrawal.scope.contains(t) && base.holds(t));
            if let Some(table) = held.find(|t| !may(t)) {
                return Err(format!(
                    "the base {} is superseded for {table}, but nothing else serves its moments",
                    base.id
                ));
            }
        }
        for cut in draft.bases.iter().filter(|base| !base.cuts.is_empty()) {
            let own = |base: &&Base| base.made == BaseMaker::Archive && base.ts >= cut.ts && base.id != cut.id;
            for base in self.coverage.bases.iter().filter(own) {
                // A base that is a cut itself stays: it was compared, or nothing before it is left to be corrected.
                let held = |t: &&TableRef| corrects(draft, cut, t) && !base.cuts(t) && self.coverage.serves(base, t);
                if let Some(table) = self.tables.keys().find(held) {
                    return Err(format!(
                        "the base {} was made of what the cut {} corrects in {table}",
                        base.id, cut.id
                    ));
                }
            }
        }
        Ok(())
    }
}
