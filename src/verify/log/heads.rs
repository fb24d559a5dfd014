//! The heads that are written down, `manifest.json` and checkpoints, against the commit of their version and the fold.

use super::{
    super::report::{Problem, ProblemKind, Repair, Suffers},
    LogWalk,
    waiting::{Link, Manifest, Waiting, checkpoint_problem},
};
use crate::{
    archive::{Blame, Commit},
    error::{ErrorKind, Result},
    layout,
};

impl LogWalk<'_> {
    /// The manifest, if it shows the version of the commit that waits.
    pub(super) async fn settle_manifest(&mut self, this: &mut Waiting, link: &Link<'_>) -> Result<()> {
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
                this.altered = Some("manifest.json names a different digest for it".to_owned());
            } else {
                let what = format!("{} names a different digest for commit {}", layout::MANIFEST, this.version);
                self.tell_manifest(what);
            }
            return Ok(());
        }
        let Some(commit) = &this.commit else { return Ok(()) };
        if this.altered.is_some() {
            return Ok(());
        }
        match written.proven_by(commit, &this.digest, &self.id)? {
            None => self.tell_manifest(format!("{} does not match commit {}", layout::MANIFEST, this.version)),
            Some((head, follows)) => {
                let same = self.head.as_ref().is_none_or(|folded| folded.version() != this.version || *folded == head);
                if !same {
                    self.tell_manifest(format!("{} does not match the commits", layout::MANIFEST));
                } else if !follows && !self.id.is_empty() {
                    self.tell_manifest(format!(
                        "the part of {} that repeats data for SQL does not match the rest",
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

    pub(super) fn tell_manifest(&mut self, what: String) {
        let problem = Problem::new(ProblemKind::Manifest, layout::MANIFEST, Suffers::Nothing, what);
        self.found.push((None, problem.repairs([Repair::Rewrite])));
    }

    /// The checkpoint of the commit that waits.
    pub(super) async fn settle_checkpoint(
        &mut self,
        this: &Waiting,
        is_sound: bool,
        next: Option<&Commit>,
    ) -> Result<()> {
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
            let what = format!("{} does not match its commit", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
            return Ok(());
        };
        if self.head.as_ref().is_some_and(|folded| folded.version() == version && *folded != head) {
            let what = format!("{} does not match the commits", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
            return Ok(());
        }
        if !follows && !self.id.is_empty() {
            let what = format!("the part of {} that repeats data does not match the rest", layout::checkpoint(version));
            self.found.push((None, checkpoint_problem(version, what)));
        }
        self.read.checkpoints += 1;
        self.start = self.start.max(version);
        self.lists.check(self.archive, &head, Some(version), &mut self.found).await?;
        self.head = Some(head);
        Ok(())
    }
}
