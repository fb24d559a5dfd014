//! A commit is folded into the head: first it is checked as a whole, then what it says becomes so.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Head, Latest,
    base::{Base, SelectionEntry},
    rules::{self, Groups},
    tables::{Counts, SchemaVersion, TableState},
};
use crate::{
    archive::commit::{Commit, Draft, RemovedFile, TableEntry, json_text},
    data::DataFile,
    document::{Encoding, TableRef},
    error::{Error, Result},
    layout,
    position::BaseId,
    sum::Sum,
};

impl Head {
    /// The head after `commit`, whose stored bytes have this digest.
    ///
    /// # Errors
    /// Corrupt, if the commit breaks a guarantee of the type. Unsupported, if a reader must know what this program does
    /// not.
    #[doc(hidden)]
    pub fn apply(self, commit: &Commit, digest: String) -> Result<Self> {
        let path = layout::commit(commit.version);
        commit.needs.check_reader(&path, &commit.program)?;
        let next = self.folded(commit)?;
        if next.sum != commit.state {
            return Err(Error::corrupt(format!(
                "{path} does not fit the commits before it: its state has the sum {}, but it says {}",
                next.sum.sum, commit.state.sum
            )));
        }
        Ok(Self { digest, ..next })
    }

    /// The head after a commit whose sum and digest are not known yet.
    pub(super) fn folded(mut self, commit: &Commit) -> Result<Self> {
        let before = self.clone();
        self.fold(commit).map_err(|why| {
            Error::corrupt(format!("{} does not fit the commits before it: {why}", layout::commit(commit.version)))
        })?;
        self.version = commit.version;
        self.sum = self.summed_after(&before)?;
        Ok(self)
    }

    fn fold(&mut self, commit: &Commit) -> Result<(), String> {
        let draft = &commit.draft;
        self.check_place(commit)?;
        self.check_cursor(commit)?;
        self.check_walk(commit)?;
        self.check_maintenance(commit)?;
        rules::check_spans(draft)?;
        self.check_notices(draft)?;
        let groups = Groups::of(draft)?;
        self.check_reasons(draft, &groups)?;
        self.check_withdrawn_once(draft)?;
        self.needs.add(&commit.needs);
        draft.tables.iter().try_for_each(|t| self.learn(t, commit))?;
        // Removals speak of what was before. What the open walk adds is counted before the walk ends, the rest after.
        draft
            .remove
            .iter()
            .try_for_each(|f| self.remove(f, commit.version).map_err(|why| format!("{}: {why}", f.path)))?;
        let open = self.progress.walk.as_ref().map(|w| w.base.clone());
        let (of_open, rest): (Vec<_>, Vec<_>) = draft.add.iter().partition(|f| open.is_some() && f.base == open);
        let add = |head: &mut Self, files: Vec<&DataFile>| {
            let mut files = files.into_iter();
            files.try_for_each(|f| head.add(f, commit, &groups).map_err(|why| format!("{}: {why}", f.path)))
        };
        add(self, of_open)?;
        self.complete(commit, open.as_ref())?;
        add(self, rest)?;
        self.lessen_bases(draft, &groups)?;
        self.forget_empty_months(draft);
        self.coverage.gaps.extend(draft.gaps.iter().cloned());
        self.coverage.doubts.extend(draft.doubts.iter().cloned());
        self.take_notice(draft);
        self.coverage.withdrawals.extend(draft.withdrawn.iter().cloned());
        self.unmark(&draft.unmarked)?;
        self.check_withdrawn(draft)?;
        self.erased.extend(draft.erased.iter().cloned());
        if let Some(deployment) = &draft.deployment {
            self.deployment = deployment.clone();
        }
        // It is in force for what comes after the cursor before; the first walk has nothing before it.
        if draft.selection != self.coverage.selected() {
            let after = self.cursor().or(draft.progress.delta.as_ref().map(|d| d.ts)).unwrap_or_default();
            let tables = draft.selection.clone();
            self.coverage.selections.push(SelectionEntry { after, tables, version: commit.version });
        }
        if draft.encoding == Encoding::Json && !draft.maintenance {
            self.note_untyped(draft);
        }
        if let Some(given_up) = open.filter(|id| self.base(id).is_none())
            && draft.progress.walk.as_ref().is_none_or(|walk| walk.base != given_up)
        {
            self.coverage.forget_untyped(&given_up);
        }
        self.progress = draft.progress.clone();
        self.coverage.through = self.cursor();
        for proof in &draft.proofs {
            self.coverage.record_proof(*proof);
        }
        self.origin = self.origin.or(self.cursor());
        self.latest = Some(Latest::of(commit));
        Ok(())
    }

    /// Which tables are suspect from now on, and which are so no longer. What was compared counts last: a commit that corrects a table
    /// says both.
    fn take_notice(&mut self, draft: &Draft) {
        for suspect in &draft.suspects {
            if let Some(table) = self.tables.get_mut(&suspect.table) {
                Arc::make_mut(table).doubt(suspect);
            }
        }
        for comparison in &draft.compared {
            for table in self.tables.values_mut().filter(|state| comparison.scope.contains(&state.table)) {
                Arc::make_mut(table).prove(comparison);
            }
        }
        self.guarded = self.guarded.max(draft.guarded);
    }

    /// What the commit brought came without types.
    fn note_untyped(&mut self, draft: &Draft) {
        let walks = [self.progress.walk.as_ref(), draft.progress.walk.as_ref()].into_iter().flatten();
        let bases = draft.bases.iter().map(|base| (base.id.clone(), base.ts));
        let bases: Vec<_> = walks.map(|walk| (walk.base.clone(), walk.ts)).chain(bases).collect();
        for (id, s) in bases {
            if draft.add.iter().any(|file| file.base.as_ref() == Some(&id)) {
                self.coverage.record_untyped(Some(&id), s, s);
            }
        }
        // A commit that records a gap moves the cursor, and brings nothing.
        if let (Some(after), Some(to)) = (self.cursor(), draft.progress.delta.as_ref().map(|delta| delta.ts))
            && after < to
            && draft.gaps.is_empty()
        {
            self.coverage.record_untyped(None, after, to);
        }
    }

    /// Guarantee 4. That the columns only grew is checked by whoever has both schemas.
    fn learn(&mut self, entry: &TableEntry, commit: &Commit) -> Result<(), String> {
        let TableEntry { table, folder, number, columns, .. } = entry;
        let known = self.tables.get(table);
        if known.is_some_and(|t| t.folder != *folder) {
            return Err(format!("the folder of {table} was changed to {folder}"));
        }
        if known.is_none() && self.tables.values().any(|t| t.folder.eq_ignore_ascii_case(folder)) {
            return Err(format!("the folder {folder} of {table} belongs to another table"));
        }
        let before = known.map(|t| t.schema.size).unwrap_or_default();
        let grew = columns.schema > before.schema
            && columns.last_field_id >= before.last_field_id
            && columns.fields >= before.fields;
        if !grew && *columns != before {
            return Err(format!(
                "the schema {} of {table} is not an extension of schema {}",
                columns.schema, before.schema
            ));
        }
        let digest = match (&commit.schemas, grew) {
            (Some(digest), true) => Some(digest.clone()),
            (None, true) => return Err(format!("it names no object with the schema of {table}")),
            (_, false) => None,
        };
        let state = self.tables.entry(table.clone()).or_insert_with(|| Arc::new(TableState::new(entry)));
        let state = Arc::make_mut(state);
        if let Some(digest) = digest {
            state.schema = SchemaVersion { size: *columns, version: commit.version, digest };
        }
        state.number = number.or(state.number);
        Ok(())
    }

    /// Guarantees 5 and 6.
    fn add(&mut self, file: &DataFile, commit: &Commit, groups: &Groups<'_>) -> Result<(), String> {
        self.check_file(file, commit, groups.is_output(&file.path))?;
        let counts = self.counts(file.base.as_ref(), &file.table)?;
        *counts = counts.plus(file.into());
        let Some(table) = self.tables.get_mut(&file.table) else { return Ok(()) };
        let table = Arc::make_mut(table);
        if !file.path.strip_prefix(&table.folder).is_some_and(|rest| rest.starts_with('/')) {
            return Err(format!("it is not in the folder {} of its table", table.folder));
        }
        if file.schema > table.schema.size.schema {
            return Err(format!("its schema {} is unknown", file.schema));
        }
        if !groups.is_output(&file.path) {
            table.count_misfits(&file.misfits);
        }
        let line = line_of(file, commit.version).map_err(|e| e.to_string())?;
        table.add_line(file, Sum::of(&line), commit.version);
        Ok(())
    }

    /// Guarantee 6. That the file is live is checked where live files are streamed.
    fn remove(&mut self, file: &RemovedFile, version: u64) -> Result<(), String> {
        let counts = self.counts(file.base.as_ref(), &file.table)?;
        *counts = counts.minus(file.into()).ok_or("more is removed than exists")?;
        let Some(table) = self.tables.get_mut(&file.table) else { return Ok(()) };
        Arc::make_mut(table)
            .remove_line(file, version)
            .ok_or_else(|| format!("its table has no files of {}", file.month))
    }

    fn forget_empty_months(&mut self, draft: &Draft) {
        for table in draft.remove.iter().map(|file| &file.table).collect::<BTreeSet<_>>() {
            if let Some(table) = self.tables.get_mut(table) {
                Arc::make_mut(table).forget_empty_months();
            }
        }
    }

    /// Where a file of that base, or of deltas, is counted.
    fn counts(&mut self, base: Option<&BaseId>, table: &TableRef) -> Result<&mut Counts, String> {
        let complete = base.map(|id| self.base(id).is_some());
        let state = self.tables.get_mut(table).ok_or_else(|| format!("its table {table} is unknown"))?;
        let state = Arc::make_mut(state);
        Ok(match complete {
            None => &mut state.delta,
            Some(true) => &mut state.base,
            Some(false) => &mut state.unfinished,
        })
    }

    /// Completes the bases of the commit, and ends the open walk if the commit no longer has it. Guarantee 10.
    fn complete(&mut self, commit: &Commit, open: Option<&BaseId>) -> Result<(), String> {
        let draft = &commit.draft;
        for base in &draft.bases {
            let base = Base { selected: draft.selection.clone(), version: commit.version, ..base.clone() };
            self.check_rows(&base, draft, open)?;
            for table in self.tables.values_mut().filter(|t| open == Some(&base.id) && base.holds(&t.table)) {
                let table = Arc::make_mut(table);
                table.base = table.base.plus(std::mem::take(&mut table.unfinished));
            }
            self.coverage.bases.push(base);
        }
        let goes_on = draft.progress.walk.as_ref().is_some_and(|w| Some(&w.base) == open);
        match self.tables.values().find(|t| !goes_on && !t.unfinished.is_zero()) {
            Some(left) => Err(format!("files of an unfinished base are left in {}", left.table)),
            None => Ok(()),
        }
    }

    /// What an erasure leaves out, a base no longer says.
    fn lessen_bases(&mut self, draft: &Draft, groups: &Groups<'_>) -> Result<(), String> {
        for group in &draft.replaced {
            let (Some(left), Some(file)) = (group.left, groups.first_input(group)) else { continue };
            let base = self.coverage.bases.iter_mut().find(|base| Some(&base.id) == file.base.as_ref());
            let Some(base) = base else { continue };
            let said = base.tables.iter_mut().find(|said| said.table == file.table);
            let said = said.ok_or_else(|| format!("the base {} has no documents of {}", base.id, file.table))?;
            said.rows = said.rows.checked_sub(left.rows).ok_or("more is left out of a base than it said")?;
        }
        for base in &mut self.coverage.bases {
            base.tables.retain(|said| said.rows > 0);
        }
        Ok(())
    }
}

/// The line of a live file that commit `version` added: its JSON, which says who brought it.
pub(in crate::archive) fn line_of(file: &DataFile, version: u64) -> Result<Vec<u8>> {
    json_text(&DataFile { brought_by: Some(file.brought_by.unwrap_or(version)), ..file.clone() })
}
