//! The end of the log: what can be told only once all of it was read.

use super::{
    super::report::{Problem, ProblemKind, Problems, Repair, Suffers, UnneededObjects},
    FoundInLog, LogWalk,
    waiting::{Ahead, Link, LostSchemas, Manifest, checkpoint_problem},
};
use crate::{
    archive::Head,
    document::Timestamp,
    error::Result,
    layout::{self, CHECKPOINT_EVERY},
};

/// A newest checkpoint that is missing may be about to be written while the newest commit is younger than this, nanoseconds.
const SETTLED: i64 = 3_600_000_000_000;

impl LogWalk<'_> {
    pub(super) async fn end(
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
                "no commit has the digest {expected}: commits that existed when it was noted are missing, or it \
                 belongs to another archive"
            );
            let problem = Problem::new(ProblemKind::ExpectedHead, layout::commit(newest), Suffers::State, what);
            self.found.push((None, problem.repairs([Repair::CopyOfLog])));
        }
        self.schemas.iter().for_each(|(path, bytes)| unneeded.add(path, *bytes));
        if self.read.unfolded > 0 {
            notes.push(format!(
                "{} commits are as they were written, but cannot be applied, because one before them is lost",
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
                    self.tell_manifest(format!("{} belongs to another archive", layout::MANIFEST));
                    return;
                }
                let path = layout::commit(newest + 1);
                let what = format!("{path} is missing: {} shows version {version}", layout::MANIFEST);
                let mut problem = Problem::new(ProblemKind::Commit, path, Suffers::State, what).with_copy();
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
                let more = format!(" ({} tables cannot be read without it)", needed.len());
                problem.what.push_str(&more);
            }
            self.found.push((None, problem.with_copy()));
        }
    }

    fn end_clock(&mut self) {
        let Some(Ahead { first, count, at }) = self.ahead.take() else { return };
        let what = format!(
            "{count} commits, the first of them {first}, name moments in the future according to this machine's clock, \
             up to \
             {at}, so the age of the archive is unknown"
        );
        let problem = Problem::new(ProblemKind::Clock, layout::commit(first), Suffers::Nothing, what);
        self.found.push((None, problem.repairs([Repair::Clock])));
    }
}
