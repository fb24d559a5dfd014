//! The log: every commit against those beside it, the fold of all of them against every head that is written down.
//!
//! Each commit holds the digest of the one before it, so a commit that was altered is known once the next one is read: what was found
//! of it until then waits ([`Waiting`]). Where a commit is lost or altered the fold ends, and begins again at the next checkpoint.

mod end;
mod heads;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use self::waiting::{Ahead, Hole, Link, LostSchemas, Manifest, Waiting, checkpoint_problem};
use super::{
    lists::Lists,
    report::{Problem, ProblemKind, Problems, Repair, Suffers, UnneededObjects, VerifiedLog},
};
use crate::{
    archive::{Archive, Blame, Commit, FoundCommit, Head},
    budget::MemoryBudget,
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout,
};

/// Clocks of two machines may differ by so much, nanoseconds.
const CLOCKS_DIFFER: i64 = 60_000_000_000;

/// What the log says and what is wrong with it.
pub(super) struct FoundInLog {
    /// The newest head that can be told.
    pub(super) head: Option<Head>,
    /// The newest number of the log.
    pub(super) newest: u64,
    /// SHA-256 of that commit.
    pub(super) digest: Option<String>,
    pub(super) read: VerifiedLog,
    /// The version that has the digest which was expected.
    pub(super) expected: Option<u64>,
    pub(super) unneeded: UnneededObjects,
    pub(super) notes: Vec<String>,
}

/// Looks at the whole log. `lost` is what is wrong with the header, if it cannot be read.
pub(super) async fn check(
    archive: &Archive,
    lost: Option<Error>,
    expected: Option<&str>,
    now: Timestamp,
    problems: &mut Problems,
) -> Result<FoundInLog> {
    let manifest = Manifest::read(archive).await?;
    let listed = archive.found_log().await?;
    let mut unneeded = UnneededObjects::default();
    listed.others.iter().for_each(|(path, bytes)| unneeded.add(path, *bytes));
    let has_header = lost.is_none();
    let mut walk = LogWalk {
        archive,
        // Without the header its id is not known, and what a head repeats cannot be spelled.
        id: if has_header { archive.header().archive.clone() } else { manifest.archive().unwrap_or_default() },
        manifest,
        checkpoints: listed.checkpoints,
        schemas: listed.schemas,
        waiting: has_header.then(|| Waiting::new(0, archive.header_digest().to_owned())),
        head: if has_header { Some(archive.beginning()?) } else { None },
        last_head: None,
        is_presumed: false,
        start: 0,
        cursor: None,
        hole: None,
        ahead: None,
        expected,
        expected_at: None,
        lists: Lists::default(),
        lost_schemas: Vec::new(),
        found: Vec::new(),
        open: Vec::new(),
        read: VerifiedLog::default(),
        now,
    };
    if let Some(error) = lost {
        let problem = Problem::new(ProblemKind::Header, layout::HEADER, Suffers::State, error.to_string());
        walk.found.push((None, problem.with_copy()));
    }
    let newest = listed.newest;
    let mut commits = stream::iter(1..=newest)
        .map(|version| async move { archive.found_commit(version).await.map(|found| (version, found)) })
        .buffered(MemoryBudget::COMMITS_AHEAD);
    let mut digest = None;
    while let Some((version, found)) = commits.try_next().await? {
        digest = found.as_ref().map(|found| found.digest.clone());
        walk.take(version, found).await?;
    }
    drop(commits);
    walk.end(newest, digest, unneeded, problems).await
}

/// Goes along the log.
struct LogWalk<'a> {
    archive: &'a Archive,
    id: String,
    manifest: Manifest,
    /// Those that are listed.
    checkpoints: BTreeSet<u64>,
    /// Objects with schemas that no commit has named so far.
    schemas: BTreeMap<String, u64>,
    waiting: Option<Waiting>,
    /// The fold of all commits so far; None behind one that is lost.
    head: Option<Head>,
    /// The newest one that there was.
    last_head: Option<Head>,
    /// Whether the head is one that the next commit has to prove.
    is_presumed: bool,
    /// Where readers begin, as far as it is known: the newest head that is written down and proven.
    start: u64,
    /// The delta cursor of the last commit that could be read.
    cursor: Option<Timestamp>,
    hole: Option<Hole>,
    ahead: Option<Ahead>,
    expected: Option<&'a str>,
    expected_at: Option<u64>,
    lists: Lists,
    lost_schemas: Vec<LostSchemas>,
    /// Problems, those of a commit with its number: what suffers is known at the end.
    found: Vec<(Option<u64>, Problem)>,
    /// Those of them that last until the cursor of the next commit.
    open: Vec<usize>,
    read: VerifiedLog,
    now: Timestamp,
}

impl LogWalk<'_> {
    async fn take(&mut self, version: u64, found: Option<FoundCommit>) -> Result<()> {
        let Some(FoundCommit { digest, is_empty, commit }) = found else {
            self.settle(Link::Unknown).await?;
            self.break_fold();
            let hole = self.hole.get_or_insert(Hole { from: version, to: version, after: self.cursor });
            hole.to = version;
            return Ok(());
        };
        let link = match (&self.waiting, &commit) {
            (Some(before), Ok(commit)) if commit.previous == before.digest => Link::Fits(commit),
            (Some(before), Ok(commit)) => Link::Broken(commit, Blame::of(&commit.previous, &before.digest)),
            _ => Link::Unknown,
        };
        let is_own = matches!(link, Link::Broken(_, Blame::Itself));
        self.settle(link).await?;
        if let Some(hole) = self.hole.take() {
            self.tell_hole(&hole);
        }
        if self.expected == Some(digest.as_str()) {
            self.expected_at = Some(version);
        }
        let mut waiting = Waiting { is_empty, after: self.cursor, ..Waiting::new(version, digest) };
        waiting.altered = is_own.then(|| "the digest in it is not that of the commit before it".to_owned());
        match commit {
            Err(error) => {
                self.break_fold();
                waiting.unreadable = Some(error);
            }
            Ok(commit) => {
                self.read.commits += 1;
                self.end_open(commit.draft.progress.delta.as_ref().map(|delta| delta.ts));
                self.fold(&commit, &mut waiting).await?;
                if self.head.is_none() {
                    self.read.unfolded += 1;
                }
                waiting.commit = Some(commit);
            }
        }
        self.waiting = Some(waiting);
        Ok(())
    }

    /// Folds the commit into the head, if it follows on it, and looks at its schemas.
    async fn fold(&mut self, commit: &Commit, waiting: &mut Waiting) -> Result<()> {
        let version = commit.version;
        let follows = |head: &Head| head.version() + 1 == version && head.digest() == commit.previous;
        let Some(head) = self.head.take() else { return self.check_schemas(None, commit, waiting).await };
        self.last_head = Some(head.clone());
        if !follows(&head) {
            return self.check_schemas(None, commit, waiting).await;
        }
        let before = head.clone();
        let is_presumed = std::mem::replace(&mut self.is_presumed, false);
        match head.apply(commit, waiting.digest.clone()) {
            Ok(next) => self.head = Some(next),
            Err(_) if is_presumed => {
                self.found.push((None, checkpoint_problem(version - 1, "it does not match the commits")));
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let what = error.to_string();
                let mut problem = Problem::new(ProblemKind::Commit, layout::commit(version), Suffers::State, what);
                problem.from = waiting.after;
                problem.to = commit.draft.progress.delta.as_ref().map(|delta| delta.ts);
                problem.revisions = Some(commit.draft.add.iter().map(|file| file.rows).sum());
                waiting.tentative.push((Some(version), problem.with_copy()));
            }
            Err(error) => return Err(error),
        }
        self.check_schemas(Some(&before), commit, waiting).await
    }

    async fn check_schemas(&mut self, before: Option<&Head>, commit: &Commit, waiting: &mut Waiting) -> Result<()> {
        let Some(digest) = &commit.schemas else { return Ok(()) };
        let path = layout::schemas(commit.version, digest);
        self.schemas.remove(&path);
        match self.archive.check_schemas(before, commit).await {
            Ok(()) => self.read.schemas += 1,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let (digest, version, why) = (digest.clone(), commit.version, error.to_string());
                waiting.lost_schemas.push(LostSchemas { path, digest, version, why });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn break_fold(&mut self) {
        if let Some(head) = self.head.take() {
            self.last_head = Some(head);
        }
        self.is_presumed = false;
    }

    /// Judges the commit that waits.
    async fn settle(&mut self, link: Link<'_>) -> Result<()> {
        let Some(mut this) = self.waiting.take() else { return Ok(()) };
        let next = match &link {
            Link::Fits(commit) | Link::Broken(commit, _) => Some(*commit),
            Link::Unknown => None,
        };
        if matches!(link, Link::Broken(_, Blame::Before)) {
            this.altered.get_or_insert_with(|| "the next commit follows a different one".to_owned());
        }
        if this.version == 0 {
            if let Some(why) = this.altered {
                self.break_fold();
                // Its id is not to be relied on, either.
                self.id = self.manifest.archive().unwrap_or_default();
                let what = format!(
                    "{} is not as it was written: {why}; until it is repaired, syncs refuse to write",
                    layout::HEADER
                );
                let problem = Problem::new(ProblemKind::Header, layout::HEADER, Suffers::Nothing, what);
                self.found.push((None, problem.with_copy()));
            }
            return Ok(());
        }
        self.settle_manifest(&mut this, &link).await?;
        let is_sound = self.tell_commit(&mut this, &link)?;
        let due = self.checkpoints.contains(&this.version);
        if due {
            self.settle_checkpoint(&this, is_sound, next).await?;
        }
        Ok(())
    }

    /// Tells what is wrong with the commit; whether it can be relied on.
    fn tell_commit(&mut self, this: &mut Waiting, link: &Link<'_>) -> Result<bool> {
        let path = layout::commit(this.version);
        let what = match (&this.altered, this.unreadable.take()) {
            // Nothing speaks against it: it is of a newer program.
            (None, Some(error)) if error.kind() == ErrorKind::Unsupported => return Err(error),
            (None, None) => {
                self.found.append(&mut this.tentative);
                self.lost_schemas.append(&mut this.lost_schemas);
                if let Some(commit) = &this.commit {
                    self.cursor = commit.draft.progress.delta.as_ref().map(|delta| delta.ts).or(self.cursor);
                    self.note_clock(commit);
                }
                return Ok(true);
            }
            (Some(why), _) => format!("{path} is not as it was written: {why}"),
            (None, Some(_)) if this.is_empty => format!("{path} is empty: it was cut off"),
            (None, Some(error)) => error.to_string(),
        };
        self.break_fold();
        let mut problem = Problem::new(ProblemKind::Commit, &path, Suffers::State, what);
        problem.from = this.after;
        problem = problem.with_copy();
        if this.is_empty && matches!(link, Link::Unknown) {
            problem.repairs.push(Repair::DeleteAndSync(path));
        }
        if let Link::Fits(next) | Link::Broken(next, _) = link {
            problem.to = next.draft.progress.delta.as_ref().map(|delta| delta.ts);
        } else {
            self.open.push(self.found.len());
        }
        self.found.push((Some(this.version), problem));
        Ok(false)
    }

    /// The cursor of a commit behind those that are lost.
    fn end_open(&mut self, cursor: Option<Timestamp>) {
        for place in self.open.drain(..) {
            if let Some((_, problem)) = self.found.get_mut(place) {
                problem.to = cursor;
            }
        }
    }

    fn tell_hole(&mut self, hole: &Hole) {
        let Hole { from, to, after } = *hole;
        let path = layout::commit(from);
        let what = if from == to {
            format!("{path} is missing, although later objects exist")
        } else {
            format!(
                "{path} and the following ones up to {} are missing, although later objects exist",
                layout::commit(to)
            )
        };
        let mut problem = Problem::new(ProblemKind::Commit, path, Suffers::State, what);
        (problem.objects, problem.from) = (to - from + 1, after);
        self.open.push(self.found.len());
        self.found.push((Some(to), problem.with_copy()));
    }

    fn note_clock(&mut self, commit: &Commit) {
        let draft = &commit.draft;
        let cursor = draft.progress.delta.as_ref().map(|delta| delta.ts);
        let at = [Some(draft.at), Some(draft.checked_at), cursor].into_iter().flatten().max().unwrap_or_default();
        if at.0 > self.now.0.saturating_add(CLOCKS_DIFFER) {
            let ahead = self.ahead.get_or_insert(Ahead { first: commit.version, count: 0, at });
            (ahead.count, ahead.at) = (ahead.count + 1, ahead.at.max(at));
        }
    }
}
