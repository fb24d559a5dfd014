//! The log: every commit against those beside it, the fold of all of them against every head that is written down.
//!
//! Each commit holds the digest of the one before it, so a commit that was altered is known once the next one is read: what was found
//! of it until then waits ([`Waiting`]). Where a commit is lost or altered the fold ends, and begins again at the next checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    lists::Lists,
    report::{Problem, ProblemKind, Problems, Repair, Suffers, UnneededObjects, VerifiedLog},
};
use crate::{
    archive::{Archive, Blame, Commit, FoundCommit, Head, WrittenHead},
    budget::MemoryBudget,
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout::{self, CHECKPOINT_EVERY},
};

/// Clocks of two machines may differ by so much, nanoseconds.
const CLOCKS_DIFFER: i64 = 60_000_000_000;
/// A newest checkpoint that is missing may be about to be written while the newest commit is younger than this, nanoseconds.
const SETTLED: i64 = 3_600_000_000_000;

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
        walk.found.push((None, problem.from_copy()));
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

/// `manifest.json`, as it was found.
enum Manifest {
    Written(Box<WrittenHead>),
    /// What it names is known by now.
    Settled,
    Wrong(String),
}

impl Manifest {
    async fn read(archive: &Archive) -> Result<Self> {
        match archive.found_manifest().await {
            Ok(Some(written)) => Ok(Self::Written(Box::new(written))),
            Ok(None) => Ok(Self::Wrong(format!("{} is missing", layout::MANIFEST))),
            Err(error) if is_unreadable(&error) => Ok(Self::Wrong(error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn archive(&self) -> Option<String> {
        match self {
            Self::Written(written) => written.archive(),
            Self::Settled | Self::Wrong(_) => None,
        }
    }

    fn is_of(&self, version: u64) -> bool {
        matches!(self, Self::Written(written) if written.version() == version)
    }
}

fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}

/// A commit of which the next one has not told yet whether it is as it was written. Number 0 is the header.
struct Waiting {
    version: u64,
    digest: String,
    commit: Option<Commit>,
    /// Why it is not as it was written, as far as that is known.
    altered: Option<String>,
    /// Why nothing can be made of it.
    unreadable: Option<Error>,
    is_empty: bool,
    /// What is wrong if it is as it was written.
    tentative: Vec<(Option<u64>, Problem)>,
    /// Schemas that cannot be read, if it is as it was written: path, digest, why.
    lost_schemas: Vec<LostSchemas>,
    /// `_ts` of the cursor before it.
    after: Option<Timestamp>,
}

struct LostSchemas {
    path: String,
    digest: String,
    version: u64,
    why: String,
}

impl Waiting {
    fn new(version: u64, digest: String) -> Self {
        Self {
            version,
            digest,
            commit: None,
            altered: None,
            unreadable: None,
            is_empty: false,
            tentative: Vec::new(),
            lost_schemas: Vec::new(),
            after: None,
        }
    }
}

/// What the next commit says of the one that waits.
enum Link<'a> {
    /// It follows on it.
    Fits(&'a Commit),
    /// It follows on another one.
    Broken(&'a Commit, Blame),
    /// It is missing, or cannot be read; or there is none.
    Unknown,
}

/// Some numbers of the log without an object.
struct Hole {
    from: u64,
    to: u64,
    after: Option<Timestamp>,
}

/// Commits of a clock that was ahead of ours.
struct Ahead {
    first: u64,
    count: u64,
    at: Timestamp,
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
                self.found.push((None, checkpoint_problem(version - 1, "it is not what commits say")))
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let what = error.to_string();
                let mut problem = Problem::new(ProblemKind::Commit, layout::commit(version), Suffers::State, what);
                problem.from = waiting.after;
                problem.to = commit.draft.progress.delta.as_ref().map(|delta| delta.ts);
                problem.revisions = Some(commit.draft.add.iter().map(|file| file.rows).sum());
                waiting.tentative.push((Some(version), problem.from_copy()));
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
            this.altered.get_or_insert_with(|| "the next commit follows on another one".to_owned());
        }
        if this.version == 0 {
            if let Some(why) = this.altered {
                self.break_fold();
                // Its id is not to be relied on, either.
                self.id = self.manifest.archive().unwrap_or_default();
                let what =
                    format!("{} is not as it was written: {why}; until it is, syncs refuse to write", layout::HEADER);
                let problem = Problem::new(ProblemKind::Header, layout::HEADER, Suffers::Nothing, what);
                self.found.push((None, problem.from_copy()));
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
        problem = problem.from_copy();
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

    /// The manifest, if it shows the version of the commit that waits.
    async fn settle_manifest(&mut self, this: &mut Waiting, link: &Link<'_>) -> Result<()> {
        if !self.manifest.is_of(this.version) {
            return Ok(());
        }
        let Manifest::Written(written) = std::mem::replace(&mut self.manifest, Manifest::Settled) else {
            return Ok(());
        };
        if written.digest() != this.digest {
            let same = written.archive().is_some_and(|id| id == self.id);
            let is_commit = match link {
                Link::Fits(_) => false,
                _ if this.altered.is_some()
                    || this.unreadable.as_ref().is_some_and(|e| e.kind() == ErrorKind::Corrupt) =>
                {
                    return Ok(());
                }
                _ => same && Blame::of(written.digest(), &this.digest) == Blame::Before,
            };
            if is_commit {
                this.altered = Some("manifest.json names another digest of it".to_owned());
            } else {
                let what = format!("{} names another digest of commit {}", layout::MANIFEST, this.version);
                self.tell_manifest(what);
            }
            return Ok(());
        }
        let Some(commit) = &this.commit else { return Ok(()) };
        if this.altered.is_some() {
            return Ok(());
        }
        match written.proven_by(commit, &this.digest, &self.id)? {
            None => self.tell_manifest(format!("{} is not what commit {} says", layout::MANIFEST, this.version)),
            Some((head, follows)) => {
                let same = self.head.as_ref().is_none_or(|folded| folded.version() != this.version || *folded == head);
                if !same {
                    self.tell_manifest(format!("{} is not what the commits add up to", layout::MANIFEST));
                } else if !follows && !self.id.is_empty() {
                    self.tell_manifest(format!(
                        "what {} repeats for SQL does not follow from the rest",
                        layout::MANIFEST
                    ));
                }
                self.start = self.start.max(this.version);
                self.lists.check(self.archive, &head, None, &mut self.found).await?;
                if self.head.is_none() && same {
                    self.head = Some(head);
                }
            }
        }
        Ok(())
    }

    fn tell_manifest(&mut self, what: String) {
        let problem = Problem::new(ProblemKind::Manifest, layout::MANIFEST, Suffers::Nothing, what);
        self.found.push((None, problem.repairs([Repair::Sync])));
    }

    /// The checkpoint of the commit that waits.
    async fn settle_checkpoint(&mut self, this: &Waiting, is_sound: bool, next: Option<&Commit>) -> Result<()> {
        let version = this.version;
        let written = match self.archive.found_checkpoint(version).await {
            Ok(Some(written)) => written,
            // It was listed a moment ago.
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.found.push((None, checkpoint_problem(version, error.to_string())));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(commit) = this.commit.as_ref().filter(|_| is_sound) else {
            if let Some(head) = next.and_then(|next| written.followed_by(next)) {
                (self.head, self.is_presumed) = (Some(head), true);
            }
            return Ok(());
        };
        let Some((head, follows)) = written.proven_by(commit, &this.digest, &self.id)? else {
            let what = format!("{} is not what its commit says", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
            return Ok(());
        };
        if self.head.as_ref().is_some_and(|folded| folded.version() == version && *folded != head) {
            let what = format!("{} is not what the commits add up to", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
            return Ok(());
        }
        if !follows && !self.id.is_empty() {
            let what = format!("what {} repeats does not follow from the rest", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
        }
        self.read.checkpoints += 1;
        self.start = self.start.max(version);
        self.lists.check(self.archive, &head, Some(version), &mut self.found).await?;
        self.head = Some(head);
        Ok(())
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
            format!("{path} is missing, though later objects exist")
        } else {
            format!("{path} and those behind it up to {} are missing, though later objects exist", layout::commit(to))
        };
        let mut problem = Problem::new(ProblemKind::Commit, path, Suffers::State, what);
        (problem.objects, problem.from) = (to - from + 1, after);
        self.open.push(self.found.len());
        self.found.push((Some(to), problem.from_copy()));
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

    async fn end(
        mut self,
        newest: u64,
        digest: Option<String>,
        mut unneeded: UnneededObjects,
        problems: &mut Problems,
    ) -> Result<FoundInLog> {
        let written_at =
            self.waiting.as_ref().and_then(|waiting| waiting.commit.as_ref()).map(|commit| commit.draft.at);
        self.settle(Link::Unknown).await?;
        if let Some(hole) = self.hole.take() {
            self.tell_hole(&hole);
        }
        self.end_manifest(newest);
        let mut notes = self.missing_checkpoints(newest, written_at);
        let head = self.head.take().or(self.last_head.take());
        self.lists.end(&mut self.found);
        self.end_schemas(head.as_ref());
        self.end_clock();
        if let Some(expected) = self.expected
            && self.expected_at.is_none()
        {
            let what = format!(
                "no commit has the digest {expected}: commits that were there when it was noted are gone, or it is of another archive"
            );
            let problem = Problem::new(ProblemKind::ExpectedHead, layout::commit(newest), Suffers::State, what);
            self.found.push((None, problem.repairs([Repair::CopyOfLog])));
        }
        self.schemas.iter().for_each(|(path, bytes)| unneeded.add(path, *bytes));
        if self.read.unfolded > 0 {
            notes.push(format!(
                "{} commits are as they were written, but cannot be added up, because one before them is lost",
                self.read.unfolded
            ));
        }
        for (version, mut problem) in self.found {
            // What readers begin behind, they do not need.
            if version.is_some_and(|version| version < self.start) {
                problem.suffers = Suffers::Nothing;
            }
            problems.add(problem);
        }
        self.read.parts = self.lists.sound;
        Ok(FoundInLog { head, newest, digest, read: self.read, expected: self.expected_at, unneeded, notes })
    }

    /// What the manifest shows was not met.
    fn end_manifest(&mut self, newest: u64) {
        match std::mem::replace(&mut self.manifest, Manifest::Settled) {
            Manifest::Written(written) if written.version() > newest => {
                let version = written.version();
                if written.archive().is_none_or(|id| id != self.id) {
                    self.tell_manifest(format!("{} is of another archive", layout::MANIFEST));
                    return;
                }
                let path = layout::commit(newest + 1);
                let what = format!("{path} is missing: {} shows version {version}", layout::MANIFEST);
                let mut problem = Problem::new(ProblemKind::Commit, path, Suffers::State, what).from_copy();
                (problem.objects, problem.from) = (version - newest, self.cursor);
                // Its number is free, so a sync takes it and goes on from the cursor before it.
                problem.repairs.push(Repair::Sync);
                self.found.push((Some(version), problem));
            }
            Manifest::Wrong(what) if newest > 0 => self.tell_manifest(what),
            // A commit that is lost itself: nothing proves the manifest, and that is told of the commit.
            _ => {}
        }
    }

    /// Checkpoints that should be there. Of older ones that is no damage: a writer that dies leaves none, and nobody writes them later.
    fn missing_checkpoints(&mut self, newest: u64, written_at: Option<Timestamp>) -> Vec<String> {
        let due = newest - newest % CHECKPOINT_EVERY;
        let missing = (1..=due / CHECKPOINT_EVERY)
            .map(|n| n * CHECKPOINT_EVERY)
            .filter(|version| !self.checkpoints.contains(version));
        let missing: Vec<u64> = missing.collect();
        let is_young = written_at.is_some_and(|at| self.now.0.saturating_sub(at.0) < SETTLED);
        if missing.last() == Some(&due) && (newest > due || !is_young) {
            let what = format!("{} is missing", layout::checkpoint(due));
            self.found.push((None, checkpoint_problem(due, what)));
        }
        let old = missing.iter().filter(|version| **version < due).count();
        let note = format!("{old} older checkpoints are missing: readers begin at newer ones");
        (old > 0).then_some(note).into_iter().collect()
    }

    fn end_schemas(&mut self, head: Option<&Head>) {
        for LostSchemas { path, digest, version, why } in std::mem::take(&mut self.lost_schemas) {
            if head.is_some_and(|head| head.is_erased(&digest)) {
                continue;
            }
            let needed = head.into_iter().flat_map(Head::tables);
            let needed: Vec<_> =
                needed.filter(|state| state.schema.version == version && state.schema.digest == digest).collect();
            let suffers = if needed.is_empty() { Suffers::Nothing } else { Suffers::State };
            let mut problem = Problem::new(ProblemKind::Schemas, path, suffers, why);
            problem.table = needed.first().map(|state| state.table.clone());
            problem.revisions = (!needed.is_empty()).then(|| needed.iter().map(|state| state.live().rows).sum());
            if needed.len() > 1 {
                problem.what += &format!(" ({} tables cannot be read without it)", needed.len());
            }
            self.found.push((None, problem.from_copy()));
        }
    }

    fn end_clock(&mut self) {
        let Some(Ahead { first, count, at }) = self.ahead.take() else { return };
        let what = format!(
            "{count} commits, the first of them {first}, name moments ahead of this machine's clock, up to {at}: how old the archive is \
             cannot be told"
        );
        let problem = Problem::new(ProblemKind::Clock, layout::commit(first), Suffers::Nothing, what);
        self.found.push((None, problem.repairs([Repair::Clock])));
    }
}

fn checkpoint_problem(version: u64, what: impl Into<String>) -> Problem {
    let path = layout::checkpoint(version);
    let problem = Problem::new(ProblemKind::Checkpoint, path.clone(), Suffers::Nothing, what);
    problem.repairs([Repair::Sync, Repair::Copy(path)])
}
