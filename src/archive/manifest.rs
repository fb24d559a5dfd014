//! The head of the manifest: what all commits up to a version say together, without the list of live files. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    data::DataFile,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    position::{BaseId, Phase, Progress},
    schema::TableSchema,
};

use super::{
    commit::{Commit, RemovedFile, Run, Selection, TableEntry},
    coverage::{Base, Coverage, narrow},
    growth,
};

/// The fold of all commits up to a version. Small and held: live files are many and streamed
/// ([`Archive::live_files`](super::Archive::live_files)).
///
/// Guarantees, checked at every [`apply`](Head::apply):
/// 1. Versions follow each other without a hole, and each commit names the digest of the one before it.
/// 2. There is a delta cursor from the first commit on. That commit sets it to S of its walk; afterwards it never moves
///    back. Nothing in the archive has a `_ts` beyond it but the rows of bases.
/// 3. At most one walk is open. While it is, its base, S, month and scope stay and its finished tables only become more;
///    it ends with its base complete or with all its files removed. A base id is used once, and no base lies before the
///    first S.
/// 4. A table keeps its folder, no two share one, and its schema only grows.
/// 5. A snapshot file belongs to the open walk or to a base that is completed with it, and has no `_ts` beyond S. New
///    delta rows lie behind the cursor before the commit and at or below the one after it, inside one month.
/// 6. Every file lies in the folder of its table, and was written under a schema that the table has had. What is counted
///    off had been counted.
/// 7. Gaps are not empty and never end beyond the cursor.
/// 8. The counter of a run ascends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    version: u64,
    /// Of the stored bytes of commit `version`; of `archive.json` at version 0.
    digest: String,
    deployment: DeploymentIdentity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<Latest>,
    progress: Progress,
    /// S of the first walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Timestamp>,
    coverage: Coverage,
    #[serde(with = "as_list")]
    tables: BTreeMap<TableRef, TableState>,
}

/// What the newest commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Who wrote it.
    pub run: Run,
    /// The program that wrote it.
    pub program: String,
    /// Wall time of the writer, nanoseconds since 1970.
    pub at: Timestamp,
    /// When the deployment was last asked and answered, nanoseconds since 1970.
    pub checked_at: Timestamp,
    /// Whether it had nothing more then.
    pub caught_up: bool,
    /// The encoding in force.
    pub encoding: Encoding,
    /// The selection in force.
    pub selection: Selection,
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The table.
    pub table: TableRef,
    /// Its folder.
    pub folder: String,
    /// Its newest schema.
    pub schema: TableSchema,
    /// Live files of complete bases.
    pub base: Counts,
    /// Live delta files.
    pub delta: Counts,
    /// Files of the open walk: not yet visible to readers.
    #[serde(default, skip_serializing_if = "Counts::is_zero")]
    pub unfinished: Counts,
    /// Per field path, per kind of value: how many values that came did not fit. Decides about siblings; never lowered,
    /// and files that replace others do not count again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Sums over files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Rows, tombstones included.
    pub rows: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
}

impl Head {
    /// Before the first commit of the archive whose header has this digest.
    pub(super) fn before_all(deployment: DeploymentIdentity, header_digest: String) -> Self {
        Self {
            version: 0,
            digest: header_digest,
            deployment,
            latest: None,
            progress: Progress::default(),
            origin: None,
            coverage: Coverage::default(),
            tables: BTreeMap::new(),
        }
    }

    /// The version that it describes; 0 before the first commit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// SHA-256 of the newest commit's stored bytes; of `archive.json` before the first commit.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The deployment that the archive belongs to.
    pub fn deployment(&self) -> &DeploymentIdentity {
        &self.deployment
    }

    /// What the newest commit says of itself; `None` before the first.
    pub fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// Where the archive stands.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Which moments are covered.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// All tables, sorted.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &TableState> {
        self.tables.values()
    }

    /// One table.
    pub fn table(&self, table: &TableRef) -> Option<&TableState> {
        self.tables.get(table)
    }

    /// The folders that tables have, for [`layout::folder`].
    pub fn folders(&self) -> BTreeMap<TableRef, String> {
        self.tables.values().map(|t| (t.table.clone(), t.folder.clone())).collect()
    }

    /// What readers see, over all tables: files of complete bases and of deltas.
    pub fn visible(&self) -> Counts {
        self.tables.values().fold(Counts::default(), |sum, t| sum.plus(t.base).plus(t.delta))
    }

    /// All live files, those of the open walk included.
    pub fn live(&self) -> Counts {
        self.tables.values().fold(self.visible(), |sum, t| sum.plus(t.unfinished))
    }

    /// Whether readers see the file: a delta, or of a complete base of its table.
    pub(super) fn shows(&self, file: &DataFile) -> bool {
        file.base.as_ref().is_none_or(|id| self.base(id).is_some_and(|b| b.scope.contains(&file.table)))
    }

    fn base(&self, id: &BaseId) -> Option<&Base> {
        self.coverage.bases.iter().find(|b| b.id == *id)
    }

    fn cursor(&self) -> Option<Timestamp> {
        self.progress.delta.as_ref().map(|d| d.ts)
    }

    /// The head after `commit`, whose stored bytes have this digest.
    ///
    /// # Errors
    /// Corrupt, if the commit breaks a guarantee of the type.
    pub fn apply(mut self, commit: &Commit, digest: String) -> Result<Self> {
        self.fold(commit).map_err(|why| {
            Error::corrupt(format!("{} cannot follow on what is before it: {why}", layout::commit(commit.version)))
        })?;
        self.version = commit.version;
        self.digest = digest;
        Ok(self)
    }

    fn fold(&mut self, commit: &Commit) -> Result<(), String> {
        let draft = &commit.draft;
        self.check_place(commit)?;
        self.check_cursor(commit)?;
        self.check_walk(commit)?;
        self.check_gaps(commit)?;
        draft.tables.iter().try_for_each(|t| self.learn(t))?;
        let mut paths = BTreeSet::new();
        for path in draft.add.iter().map(|f| &f.path).chain(draft.remove.iter().map(|f| &f.path)) {
            if !paths.insert(path) {
                return Err(format!("{path} stands in it twice"));
            }
        }
        // Removals speak of what was before. What the open walk adds is counted before the walk ends, the rest after.
        draft.remove.iter().try_for_each(|f| self.remove(f).map_err(|why| format!("{}: {why}", f.path)))?;
        let open = self.progress.walk.as_ref().map(|w| w.base.clone());
        let (of_open, rest): (Vec<_>, Vec<_>) = draft.add.iter().partition(|f| open.is_some() && f.base == open);
        let add = |head: &mut Self, files: Vec<&DataFile>| {
            files.into_iter().try_for_each(|f| head.add(f, commit).map_err(|why| format!("{}: {why}", f.path)))
        };
        add(self, of_open)?;
        self.complete(commit, open.as_ref())?;
        add(self, rest)?;
        draft.gaps.iter().for_each(|g| self.coverage.record(g));
        if let Some(deployment) = &draft.deployment {
            self.deployment = deployment.clone();
        }
        self.progress = draft.progress.clone();
        self.coverage.through = self.cursor();
        if draft.component_rows && self.coverage.component_rows_since.is_none() {
            self.coverage.component_rows_since = self.cursor();
        }
        self.origin = self.origin.or(self.cursor());
        let checked_before = self.latest.as_ref().map(|l| l.checked_at);
        self.latest = Some(Latest {
            run: commit.run.clone(),
            program: commit.program.clone(),
            at: draft.at,
            // Maintenance that slipped in between may have been told an older moment.
            checked_at: checked_before.map_or(draft.checked_at, |before| before.max(draft.checked_at)),
            caught_up: draft.caught_up,
            encoding: draft.encoding,
            selection: draft.selection.clone(),
        });
        Ok(())
    }

    /// Guarantees 1 and 8.
    fn check_place(&self, commit: &Commit) -> Result<(), String> {
        if commit.version != self.version + 1 {
            return Err(format!("it is commit {}, expected was {}", commit.version, self.version + 1));
        }
        if commit.previous != self.digest {
            return Err(format!("it follows on {}, but the one before it is {}", commit.previous, self.digest));
        }
        match &self.latest {
            Some(l) if l.run.id == commit.run.id && l.run.counter >= commit.run.counter => {
                Err(format!("the counter of run {} went from {} to {}", l.run.id, l.run.counter, commit.run.counter))
            }
            _ => Ok(()),
        }
    }

    /// Guarantee 2.
    fn check_cursor(&self, commit: &Commit) -> Result<(), String> {
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
                if begins { Ok(()) } else { Err("the first delta cursor is not the S of a walk".into()) }
            }
        }
    }

    /// Guarantee 3.
    fn check_walk(&self, commit: &Commit) -> Result<(), String> {
        let (before, after) = (self.progress.walk.as_ref(), commit.draft.progress.walk.as_ref());
        let origin = self.origin.or(commit.draft.progress.delta.as_ref().map(|d| d.ts));
        let mut ids: BTreeSet<_> = self.coverage.bases.iter().map(|b| &b.id).collect();
        for base in &commit.draft.bases {
            if !ids.insert(&base.id) {
                return Err(format!("the base {} is completed a second time", base.id));
            }
            if origin.is_some_and(|o| base.ts < o) {
                return Err(format!("the base {} lies before the first one", base.id));
            }
            if before.is_some_and(|w| w.base == base.id && w.ts != base.ts) {
                return Err(format!("the base {} has another S than its walk", base.id));
            }
        }
        let Some(after) = after else { return Ok(()) };
        if ids.contains(&after.base) {
            return Err(format!("the walk of the base {} goes on, though the base is complete", after.base));
        }
        if after.position.phase() != Phase::Snapshot {
            return Err("its walk stands at a position of deltas".into());
        }
        if origin.is_some_and(|o| after.ts < o) {
            return Err("its walk lies before the first one".into());
        }
        match before.filter(|w| w.base == after.base) {
            Some(b) if (b.ts, &b.month, &b.scope) != (after.ts, &after.month, &after.scope) => {
                Err("the open walk has changed its S, month or scope".into())
            }
            Some(b) if !after.done.starts_with(&b.done) => {
                Err("a table that the walk had finished is no longer finished".into())
            }
            _ => Ok(()),
        }
    }

    /// Guarantee 7.
    fn check_gaps(&self, commit: &Commit) -> Result<(), String> {
        let cursor = commit.draft.progress.delta.as_ref().map(|d| d.ts);
        for gap in &commit.draft.gaps {
            if gap.to.is_some_and(|to| to <= gap.from) || gap.to > cursor {
                return Err(format!("the gap after {} is empty or ends beyond the cursor", gap.from));
            }
        }
        Ok(())
    }

    /// Guarantee 4.
    fn learn(&mut self, entry: &TableEntry) -> Result<(), String> {
        let TableEntry { table, folder, schema } = entry;
        let known = self.tables.get(table);
        if known.is_some_and(|t| t.folder != *folder) {
            return Err(format!("the folder of {table} was changed to {folder}"));
        }
        if known.is_none() && self.tables.values().any(|t| t.folder.eq_ignore_ascii_case(folder)) {
            return Err(format!("the folder {folder} of {table} belongs to another table"));
        }
        growth::check(known.map(|t| &t.schema), schema).map_err(|why| format!("the schema of {table}: {why}"))?;
        match self.tables.get_mut(table) {
            Some(known) => known.schema = schema.clone(),
            None => {
                self.tables.insert(table.clone(), TableState::new(entry));
            }
        }
        Ok(())
    }

    /// Guarantees 5 and 6.
    fn add(&mut self, file: &DataFile, commit: &Commit) -> Result<(), String> {
        if file.rows == 0 || file.tombstones > file.rows || file.rescued_rows > file.rows || file.min_ts > file.max_ts {
            return Err("its numbers contradict each other".into());
        }
        match (file.phase, &file.base) {
            (Phase::Delta, None) => self.check_delta(file, commit)?,
            (Phase::Snapshot, Some(id)) => self.check_snapshot(file, id, commit)?,
            _ => return Err("a snapshot file has a base, a delta file has none".into()),
        }
        let counts = self.counts(file.base.as_ref(), &file.table)?;
        *counts = counts.plus(Counts::of(&file.into()));
        let Some(table) = self.tables.get_mut(&file.table) else { return Ok(()) };
        if !file.path.strip_prefix(&table.folder).is_some_and(|rest| rest.starts_with('/')) {
            return Err(format!("it does not lie in the folder {} of its table", table.folder));
        }
        if file.schema > table.schema.id {
            return Err(format!("its schema {} is unknown", file.schema));
        }
        if file.replaces.is_none() {
            table.count_misfits(&file.misfits);
        }
        Ok(())
    }

    fn check_delta(&self, file: &DataFile, commit: &Commit) -> Result<(), String> {
        let after = commit.draft.progress.delta.as_ref().map(|d| d.ts);
        let old = file.replaces.is_none() && self.cursor().is_none_or(|before| file.min_ts <= before);
        if old || Some(file.max_ts) > after {
            return Err("it has rows that do not lie between the cursors".into());
        }
        if layout::month_of(file.min_ts) != layout::month_of(file.max_ts) {
            return Err("it spans two months".into());
        }
        Ok(())
    }

    fn check_snapshot(&self, file: &DataFile, id: &BaseId, commit: &Commit) -> Result<(), String> {
        let draft = &commit.draft;
        let walks = [self.progress.walk.as_ref(), draft.progress.walk.as_ref()].into_iter().flatten();
        let walk = walks.filter(|w| w.base == *id).map(|w| (w.ts, &w.scope)).next();
        let fresh = draft.bases.iter().any(|b| b.id == *id) || file.replaces.is_some();
        let base = self.base(id).filter(|_| fresh).map(|b| (b.ts, &b.scope));
        let Some((s, scope)) = walk.or(base) else {
            return Err(format!("its base {id} is neither being walked nor completed"));
        };
        if file.max_ts > s || !scope.contains(&file.table) || !draft.selection.tables.contains(&file.table) {
            return Err(format!("it holds what is not in the base {id}"));
        }
        Ok(())
    }

    /// Guarantee 6. That the file is live is checked where live files are streamed.
    fn remove(&mut self, file: &RemovedFile) -> Result<(), String> {
        let counts = self.counts(file.base.as_ref(), &file.table)?;
        *counts = counts.minus(Counts::of(file)).ok_or("more is removed than there is")?;
        Ok(())
    }

    /// Where a file of that base, or of deltas, is counted.
    fn counts(&mut self, base: Option<&BaseId>, table: &TableRef) -> Result<&mut Counts, String> {
        let complete = base.map(|id| self.base(id).is_some());
        let state = self.tables.get_mut(table).ok_or_else(|| format!("its table {table} is unknown"))?;
        Ok(match complete {
            None => &mut state.delta,
            Some(true) => &mut state.base,
            Some(false) => &mut state.unfinished,
        })
    }

    /// Completes the bases of the commit, and ends the open walk if the commit no longer has it.
    fn complete(&mut self, commit: &Commit, open: Option<&BaseId>) -> Result<(), String> {
        let draft = &commit.draft;
        for base in &draft.bases {
            let base = Base { scope: narrow(&base.scope, &draft.selection.tables), ..base.clone() };
            for table in self.tables.values_mut().filter(|t| open == Some(&base.id) && base.scope.contains(&t.table)) {
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
}

impl TableState {
    fn new(entry: &TableEntry) -> Self {
        Self {
            table: entry.table.clone(),
            folder: entry.folder.clone(),
            schema: entry.schema.clone(),
            base: Counts::default(),
            delta: Counts::default(),
            unfinished: Counts::default(),
            misfits: BTreeMap::new(),
        }
    }

    /// What readers see of it.
    pub fn visible(&self) -> Counts {
        self.base.plus(self.delta)
    }

    fn count_misfits(&mut self, misfits: &BTreeMap<String, BTreeMap<String, u64>>) {
        for (path, kinds) in misfits {
            let sums = self.misfits.entry(path.clone()).or_default();
            for (kind, n) in kinds {
                let sum = sums.entry(kind.clone()).or_default();
                *sum = sum.saturating_add(*n);
            }
        }
    }
}

impl Counts {
    fn of(file: &RemovedFile) -> Self {
        let RemovedFile { bytes, rows, tombstones, rescued_rows, .. } = *file;
        Self { files: 1, bytes, rows, tombstones, rescued_rows }
    }

    fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The sum. Saturates: no archive holds 2^64 bytes.
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
            rows: self.rows.saturating_add(other.rows),
            tombstones: self.tombstones.saturating_add(other.tombstones),
            rescued_rows: self.rescued_rows.saturating_add(other.rescued_rows),
        }
    }

    fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            files: self.files.checked_sub(other.files)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
            rows: self.rows.checked_sub(other.rows)?,
            tombstones: self.tombstones.checked_sub(other.tombstones)?,
            rescued_rows: self.rescued_rows.checked_sub(other.rescued_rows)?,
        })
    }
}

/// Tables are stored as a list: their key is no string.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{TableRef, TableState};

    pub(super) fn serialize<S: Serializer>(tables: &BTreeMap<TableRef, TableState>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(tables.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<TableRef, TableState>, D::Error> {
        let list = Vec::<TableState>::deserialize(d)?;
        Ok(list.into_iter().map(|t| (t.table.clone(), t)).collect())
    }
}
