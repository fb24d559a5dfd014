//! Finding a head: the newest, or that of a version.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    Archive, ShownManifest, advisory, checkpoint,
    commits::{self, End},
    ends::{altered, is_commit_altered},
    head::Head,
    header::StoredHeader,
    log,
};
use crate::{
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout::{self, CHECKPOINT_EVERY},
    monitor::Finding,
};

/// Readers look for a hole behind the newest commit once it is so old: before, another writer may be at work there.
const SETTLED: Duration = Duration::from_secs(60 * 60);

/// An object that is farther behind the newest commit than so many numbers, with none between, is none of ours: five-minute
/// runs take three days for as many.
pub(super) const FAR: u64 = 1_000;

/// What `manifest.json` shows.
enum Shown {
    /// A head that the log proves.
    Head(Box<Head>),
    /// Another digest of the commit of its version than the commit has.
    AnotherDigest { version: u64, is_commit_altered: bool },
    /// Nothing that can be believed.
    Nothing,
}

impl Archive {
    /// The newest head. It begins with the one that `manifest.json` shows, if the commit of that version proves it, and goes
    /// on commit by commit; nothing is listed then.
    ///
    /// # Errors
    /// Corrupt, if a commit is missing, or one cannot follow on what is before it. Unsupported, if a newer program is
    /// needed to read on.
    pub async fn head(&self) -> Result<Head> {
        self.begin_to_look_at_ends();
        let (shown, beginning) = futures::try_join!(self.shown_head(), self.look_at_beginning())?;
        if let Some(end) = beginning {
            self.note_altered(end);
        }
        let head = match shown {
            Shown::Head(head) => self.follow(*head, 0).await?,
            Shown::Nothing => self.listed_head().await?,
            Shown::AnotherDigest { version, is_commit_altered } => {
                let head = self.listed_head().await?;
                if is_commit_altered && head.version() == version {
                    let why = "manifest.json names a different digest for it";
                    self.note_altered(altered(layout::commit(version), why));
                } else {
                    let why = format!("it names a different digest for commit {version}");
                    self.tell(&Finding::ManifestDamaged { why });
                }
                head
            }
        };
        self.look_behind(&head).await?;
        Ok(head)
    }

    /// The newest head, from one that was read a while ago: only what came since is asked for.
    ///
    /// # Errors
    /// As of [`head`](Self::head).
    pub(crate) async fn newest_after(&self, head: Head) -> Result<Head> {
        let head = self.follow(head, 0).await?;
        self.look_behind(&head).await?;
        Ok(head)
    }

    /// Looks for a hole behind the newest commit, if no other writer can be at work there.
    async fn look_behind(&self, head: &Head) -> Result<()> {
        let settled = |at: Timestamp| i128::from(Timestamp::now().0) - i128::from(at.0) > SETTLED.as_nanos() as i128;
        if head.latest().is_some_and(|latest| settled(latest.at)) {
            self.log.check_end(head.version()).await?;
        }
        Ok(())
    }

    /// The newest head, found without `manifest.json`.
    async fn listed_head(&self) -> Result<Head> {
        let listing = self.log.list().await?;
        let (start, damaged) = self.first_sound(listing.checkpoints).await?;
        let head = self.follow(start, listing.newest).await?;
        if let Some(newest) = damaged.into_iter().find(|version| *version <= head.version()) {
            // It is written again with the next commit.
            self.missing.fetch_max(newest, Ordering::Relaxed);
        }
        Ok(head)
    }

    /// The head at the end of the log, which a listing said reaches to `least`.
    async fn follow(&self, start: Head, least: u64) -> Result<Head> {
        let End { head, empty } = commits::follow(&self.log, start).await?;
        if let Some(version) = empty {
            self.note_altered(altered(
                layout::commit(version),
                "it is empty; if there is no copy of it, delete it, and a sync will fetch again what it may have \
                 contained",
            ));
        } else if head.version() < least {
            self.pass_strays(head.version()).await?;
        }
        Ok(head)
    }

    /// Objects of the log behind `newest`, with none between: tells of one that is far away, which nobody of ours put there.
    ///
    /// # Errors
    /// Corrupt, if one is near: those between are lost.
    async fn pass_strays(&self, newest: u64) -> Result<()> {
        match self.log.next_after(newest).await? {
            Some(next) if next - newest > FAR => {
                self.tell(&Finding::StrayObject { path: layout::commit(next) });
                Ok(())
            }
            Some(_) => Err(log::missing(newest + 1)),
            None => Ok(()),
        }
    }

    /// What `manifest.json` shows.
    async fn shown_head(&self) -> Result<Shown> {
        self.set_shown(None);
        let Some(manifest) = advisory::read(self.store(), self.monitor.as_ref()).await? else {
            return Ok(Shown::Nothing);
        };
        let version = manifest.head.version();
        if version == 0 {
            return Ok(Shown::Nothing);
        }
        let Some(stored) = self.log.read(version).await? else {
            self.tell(&Finding::ManifestAhead { version });
            return Ok(Shown::Nothing);
        };
        let text = manifest.text;
        if manifest.head.digest() != stored.digest {
            let same = advisory::archive(&text).is_some_and(|archive| archive == self.header().archive);
            let is_commit_altered = is_commit_altered(manifest.head.digest(), &stored.digest, same);
            return Ok(Shown::AnotherDigest { version, is_commit_altered });
        }
        let Some(head) = manifest.head.proven_by(&stored.commit, &stored.digest) else {
            let why = format!("it does not match commit {version}");
            self.tell(&Finding::ManifestDamaged { why });
            return Ok(Shown::Nothing);
        };
        if advisory::follows(&text, &head, &self.header().archive)? {
            self.set_shown(Some(ShownManifest { version, substance: head.substance()? }));
        } else {
            let why = "the part that it repeats for SQL does not match the rest".to_owned();
            self.tell(&Finding::ManifestDamaged { why });
        }
        Ok(Shown::Head(Box::new(head)))
    }

    /// The head of the first of these checkpoints that is there and sound; the beginning of the log, if none is. And those that
    /// are damaged.
    async fn first_sound(&self, versions: impl IntoIterator<Item = u64>) -> Result<(Head, Vec<u64>)> {
        let mut damaged = Vec::new();
        for at in versions {
            match self.checkpoint(at).await {
                Ok(Some(head)) => return Ok((head, damaged)),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    damaged.push(at);
                    self.tell(&Finding::CheckpointDamaged { version: at, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        let StoredHeader { header, digest } = &self.header;
        Ok((Head::before_all(header.deployment.clone(), digest.clone())?, damaged))
    }

    /// The head of a checkpoint, proven by the commit of its version; None, if there is no such checkpoint.
    pub(super) async fn checkpoint(&self, version: u64) -> Result<Option<Head>> {
        let Some(read) = checkpoint::read(self.store(), version).await? else { return Ok(None) };
        let stored = self.log.read(version).await?.ok_or_else(|| log::missing(version))?;
        match read.proven_by(&stored.commit, &stored.digest) {
            Some(head) => Ok(Some(head)),
            None => Err(checkpoint::damaged(&layout::checkpoint(version))),
        }
    }

    /// The head as it was at `version`.
    ///
    /// # Errors
    /// NotFound, if the archive has no such version yet.
    pub async fn head_at(&self, version: u64) -> Result<Head> {
        if version > 0 && !self.log.has(version).await? {
            return Err(Error::not_found(format!("the archive has no version {version}")));
        }
        let checkpoints = (1..=version / CHECKPOINT_EVERY).rev().map(|n| n * CHECKPOINT_EVERY);
        let (from, _) = self.first_sound(checkpoints).await?;
        commits::fold(&self.log, from, version).await
    }
}
