//! The head of the manifest: what all commits up to a version say together, without the list of live files. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    data::DataFile,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    position::{BaseId, Phase, Progress},
    selection::Selection,
};

use super::{
    commit::{Commit, Draft, RemovedFile, Run, TableEntry},
    coverage::{Base, Coverage, Gap, Selected},
    growth,
    tables::{Counts, TableState, as_list},
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
    /// Shared between heads: a commit copies only the tables that it changes.
    #[serde(with = "as_list")]
    tables: BTreeMap<TableRef, Arc<TableState>>,
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

    /// S of the first walk, where the deltas begin; `None` before the first commit.
    pub fn origin(&self) -> Option<Timestamp> {
        self.origin
    }

    /// Which moments are covered.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Up to where the archive covers anything: the delta cursor's `_ts`, once there is a base.
    pub fn covered_through(&self) -> Option<Timestamp> {
        self.cursor().filter(|_| !self.coverage.bases.is_empty())
    }

    /// All tables, sorted.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &TableState> {
        self.tables.values().map(Arc::as_ref)
    }

    /// One table.
    pub fn table(&self, table: &TableRef) -> Option<&TableState> {
        self.tables.get(table).map(Arc::as_ref)
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
        file.base.as_ref().is_none_or(|id| self.base(id).is_some_and(|b| b.holds(&file.table)))
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
        check_gaps(&draft.gaps, draft.progress.delta.as_ref().map(|d| d.ts))?;
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
        self.coverage.gaps.extend(draft.gaps.iter().cloned());
        if let Some(deployment) = &draft.deployment {
            self.deployment = deployment.clone();
        }
        // It is in force for what comes after the cursor before; the first walk has nothing before it.
        if draft.selection != self.coverage.selected() {
            let after = self.cursor().or(draft.progress.delta.as_ref().map(|d| d.ts)).unwrap_or_default();
            self.coverage.selections.push(Selected { after, tables: draft.selection.clone() });
        }
        if draft.encoding == Encoding::Json {
            self.note_untyped(draft);
        }
        if let Some(given_up) = open.filter(|id| self.base(id).is_none())
            && draft.progress.walk.as_ref().is_none_or(|walk| walk.base != given_up)
        {
            self.coverage.forget_untyped(&given_up);
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
            Some(known) => Arc::make_mut(known).schema = schema.clone(),
            None => {
                self.tables.insert(table.clone(), Arc::new(TableState::new(entry)));
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
            Arc::make_mut(table).count_misfits(&file.misfits);
        }
        Ok(())
    }

    fn check_delta(&self, file: &DataFile, commit: &Commit) -> Result<(), String> {
        let after = commit.draft.progress.delta.as_ref().map(|d| d.ts);
        let old = file.replaces.is_none() && self.cursor().is_none_or(|before| file.min_ts <= before);
        if old || Some(file.max_ts) > after {
            return Err("it has rows that do not lie between the cursors".into());
        }
        if file.replaces.is_none() && !commit.draft.selection.contains(&file.table) {
            return Err("its table is not selected".into());
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
        if file.max_ts > s || !scope.contains(&file.table) || !draft.selection.contains(&file.table) {
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
        let state = Arc::make_mut(state);
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
            let base = Base { selected: draft.selection.clone(), ..base.clone() };
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
}

/// Guarantee 7.
fn check_gaps(gaps: &[Gap], cursor: Option<Timestamp>) -> Result<(), String> {
    match gaps.iter().find(|g| g.to <= g.from || Some(g.to) > cursor) {
        Some(gap) => Err(format!("the gap after {} is empty or ends beyond the cursor", gap.from)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::testing::{
            self, base_id, cursor, delta, draft, entry, first_draft, next_draft, snapshot, table, walk,
        },
        data::Replaces,
        error::ErrorKind,
        position::{Position, Scope, Walk},
    };

    fn start() -> Head {
        Head::before_all(testing::deployment(), "0".into())
    }

    fn follow(head: &Head, draft: Draft) -> Commit {
        let version = head.version + 1;
        draft.after(head, Run { id: "00000000".into(), counter: version })
    }

    /// The fixed history up to `version`.
    fn at(version: u64) -> Head {
        (0..version).fold(start(), |head, n| {
            let commit = follow(&head, next_draft(&head));
            head.apply(&commit, n.to_string()).unwrap()
        })
    }

    fn refused(head: &Head, commit: &Commit) -> String {
        let error = head.clone().apply(commit, "x".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.to_string()
    }

    #[test]
    fn sums_follow_the_files_from_the_walk_to_the_deltas() {
        let head = at(1);
        let a = head.table(&table("a")).unwrap();
        assert_eq!((a.unfinished.files, a.base.files, head.visible().files, head.live().files), (1, 0, 0, 1));
        let head = at(2);
        let a = head.table(&table("a")).unwrap();
        assert_eq!((a.unfinished.files, a.base.files, a.base.rows), (0, 2, 4));
        let head = at(40);
        let files = testing::expected_files(40);
        assert_eq!(head.live().files, files.len() as u64);
        assert_eq!(head.live().rows, files.iter().map(|f| f.rows).sum::<u64>());
        assert_eq!(head.live().bytes, files.iter().map(|f| f.bytes).sum::<u64>());
        assert_eq!(head.live().tombstones, files.iter().map(|f| f.tombstones).sum::<u64>());
        let misfits = |t: &str| head.table(&table(t)).unwrap().misfits["/x"]["string"];
        assert_eq!(misfits("a") + misfits("b"), 40 - 4, "each file once, and none that replaces others");
        assert_eq!(head.coverage().through, head.cursor());
    }

    #[test]
    fn a_head_reads_back_as_it_was_written() {
        let head = at(23);
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
    }

    /// Each row breaks one guarantee of an otherwise good commit.
    #[test]
    fn a_commit_that_breaks_a_guarantee_is_refused() {
        type Harm = fn(&mut Commit);
        let rows: &[(u64, &str, Harm)] = &[
            (3, "expected was 4", |c| c.version = 5),
            (3, "follows on", |c| c.previous = "y".into()),
            (3, "counter of run", |c| c.run.counter = 3),
            (3, "no delta cursor", |c| c.draft.progress.delta = None),
            (3, "went back", |c| c.draft.progress.delta = Some(cursor(testing::S - 1))),
            (3, "position of a snapshot", |c| {
                let position = Position::new(Phase::Snapshot, "x");
                c.draft.progress.delta.as_mut().unwrap().position = position;
            }),
            (0, "not the S of a walk", |c| c.draft.progress.delta = Some(cursor(7))),
            (0, "its table a is unknown", |c| c.draft.tables.clear()),
            (0, "neither being walked", |c| c.draft.add[0].base = Some(BaseId("other".into()))),
            (0, "has a base, a delta file has none", |c| c.draft.add[0].base = None),
            (0, "is not in the base", |c| c.draft.add[0].max_ts = Timestamp(testing::S + 1)),
            (0, "is not in the base", |c| c.draft.progress.walk.as_mut().unwrap().scope = Scope::Tables(vec![])),
            (0, "is not in the base", |c| c.draft.selection = "** !a".parse().unwrap()),
            (1, "changed its S, month or scope", |c| {
                c.draft.bases.clear();
                c.draft.progress.walk = Some(Walk { month: "1970-02-01".into(), ..walk() });
            }),
            (1, "though the base is complete", |c| c.draft.progress.walk = Some(walk())),
            (1, "another S than its walk", |c| c.draft.bases[0].ts = Timestamp(testing::S + 5)),
            (1, "left in a", |c| {
                c.draft.add.clear();
                c.draft.bases.clear();
            }),
            (1, "left in a", |c| c.draft.bases[0].scope = Scope::Except(vec![table("a")])),
            (2, "completed a second time", |c| {
                let base = Base::new(base_id(), Timestamp(testing::S), Scope::All);
                c.draft.bases.push(base);
            }),
            (2, "lies before the first", |c| {
                c.draft.bases.push(Base::new(BaseId("b".into()), Timestamp(1), Scope::All));
            }),
            (2, "lies before the first", |c| {
                c.draft.progress.walk = Some(Walk { base: BaseId("b".into()), ts: Timestamp(1), ..walk() });
            }),
            (3, "belongs to another table", |c| c.draft.tables[0].folder = "tables/A".into()),
            (4, "was changed to", |c| {
                c.draft.tables.push(crate::archive::TableEntry { folder: "x".into(), ..entry("a") });
            }),
            (4, "does not lie in the folder", |c| c.draft.add[0].path = "tables/ab/x.parquet".into()),
            (4, "is not selected", |c| {
                let table = c.draft.add[0].table.name().to_owned();
                c.draft.selection = format!("** !{table}").parse().unwrap();
            }),
            (4, "its schema 9 is unknown", |c| c.draft.add[0].schema = 9),
            (4, "contradict", |c| c.draft.add[0].rows = 0),
            (4, "between the cursors", |c| c.draft.add[0].min_ts = Timestamp(testing::S)),
            (4, "between the cursors", |c| c.draft.add[0].max_ts.0 += 1),
            (4, "two months", |c| {
                c.draft.progress.delta = Some(cursor(i64::MAX));
                c.draft.add[0].max_ts = Timestamp(i64::MAX);
            }),
            (4, "twice", |c| c.draft.add.push(c.draft.add[0].clone())),
            (4, "twice", |c| c.draft.remove.push((&c.draft.add[0]).into())),
            (4, "more is removed than there is", |c| {
                c.draft.add.clear();
                c.draft.remove = vec![RemovedFile { rows: 99, ..(&delta("a", 3, 1, 1)).into() }];
            }),
            (4, "the gap after", |c| {
                let (from, to) = (Timestamp(testing::S), Timestamp(i64::MAX));
                c.draft.gaps.push(Gap { scope: Scope::All, from, to, why: "window".into() });
            }),
            (4, "the schema of a", |c| {
                let mut grown = entry("a");
                grown.schema.last_field_id = 3;
                c.draft.tables.push(grown);
            }),
        ];
        for (version, says, harm) in rows {
            let head = at(*version);
            let mut commit = follow(&head, next_draft(&head));
            assert!(head.clone().apply(&commit, "x".into()).is_ok());
            harm(&mut commit);
            let said = refused(&head, &commit);
            assert!(said.contains(says), "expected `{says}`: {said}");
        }
    }

    #[test]
    fn a_walk_that_grew_too_old_closes_with_its_finished_tables_and_another_walks_the_rest() {
        let mut draft_0 = first_draft();
        draft_0.tables.push(entry("b"));
        draft_0.add.push(snapshot("b", 1));
        let head = start();
        let head = head.clone().apply(&follow(&head, draft_0), "1".into()).unwrap();
        let (finished, later) = (vec![table("a")], BaseId("later".into()));
        let next = Walk {
            base: later.clone(),
            ts: Timestamp(testing::S + 500),
            scope: Scope::Except(finished.clone()),
            ..walk()
        };
        let switch = Draft {
            remove: vec![(&snapshot("b", 1)).into()],
            bases: vec![Base::new(base_id(), Timestamp(testing::S), Scope::Tables(finished))],
            add: vec![DataFile { base: Some(later), max_ts: Timestamp(testing::S + 400), ..snapshot("b", 2) }],
            ..draft(Progress { delta: Some(cursor(testing::S)), walk: Some(next) })
        };
        let mut left = switch.clone();
        left.remove.clear();
        assert!(refused(&head, &follow(&head, left)).contains("left in b"));
        let head = head.clone().apply(&follow(&head, switch), "2".into()).unwrap();
        let counts = |t: &str| head.table(&table(t)).map(|t| (t.base.files, t.unfinished.files)).unwrap();
        assert_eq!((counts("a"), counts("b")), ((1, 0), (0, 1)));
        assert_eq!(head.coverage().spans(&table("a")).len(), 1);
        assert!(head.coverage().spans(&table("b")).is_empty());
    }

    #[test]
    fn a_gap_and_a_component_row_reach_the_coverage() {
        let head = at(4);
        let from = head.cursor().unwrap();
        let to = Timestamp(from.0 + 50);
        let progress = Progress { delta: Some(cursor(to.0)), walk: None };
        let gap = Gap { scope: Scope::All, from, to, why: "window".into() };
        let commit = follow(&head, Draft { gaps: vec![gap], component_rows: true, ..draft(progress) });
        let head = head.apply(&commit, "x".into()).unwrap();
        let spans = head.coverage().spans(&table("a"));
        assert_eq!(spans.iter().map(|s| (s.from.0, s.to)).collect::<Vec<_>>(), [(testing::S, from)]);
        assert_eq!(head.coverage().component_rows_since, Some(to));
    }

    #[test]
    fn what_came_without_types_is_known_by_base_and_by_span() {
        let untyped = |draft: Draft| Draft { encoding: Encoding::Json, ..draft };
        let step = |head: Head, draft: Draft| {
            let commit = follow(&head, draft);
            head.apply(&commit, commit.version.to_string()).unwrap()
        };
        let head = step(start(), untyped(first_draft()));
        let head = [2, 3].iter().fold(head, |head, _| {
            let next = next_draft(&head);
            step(head, untyped(next))
        });
        let known = |head: &Head| -> Vec<_> {
            head.coverage().untyped.iter().map(|u| (u.base.clone(), u.after.0, u.to.0)).collect()
        };
        let cursor_3 = head.cursor().unwrap().0;
        assert_eq!(known(&head), [(Some(base_id()), testing::S, testing::S), (None, testing::S, cursor_3)]);
        let head = {
            let next = next_draft(&head);
            step(head, next)
        };
        let typed_to = head.cursor().unwrap().0;
        let head = {
            let next = next_draft(&head);
            step(head, untyped(next))
        };
        assert_eq!(known(&head)[2], (None, typed_to, head.cursor().unwrap().0));
    }

    #[test]
    fn a_replacement_may_bring_rows_from_behind_the_cursor() {
        let head = at(7);
        let joined = DataFile {
            replaces: Some(Replaces { paths: vec![], why: "compaction".into() }),
            ..delta("a", 90, testing::S + 1, testing::S + 30)
        };
        let commit = follow(&head, Draft { add: vec![joined], ..draft(head.progress.clone()) });
        assert!(head.apply(&commit, "x".into()).is_ok());
    }
}
