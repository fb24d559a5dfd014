//! Finding a head: the newest, or that of a version.

use std::time::Duration;

use super::{Archive, ShownManifest, advisory, checkpoint, commits, head::Head, header::StoredHeader, log};
use crate::{
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout::{self, CHECKPOINT_EVERY},
    monitor::Finding,
};

/// Readers look for a hole behind the newest commit once it is so old: before, another writer may be at work there.
const SETTLED: Duration = Duration::from_secs(60 * 60);

impl Archive {
    /// The newest head. It begins with the one that `manifest.json` shows, if the commit of that version proves it, and goes
    /// on commit by commit; nothing is listed then.
    ///
    /// # Errors
    /// Corrupt, if a commit is missing, or one cannot follow on what is before it. Unsupported, if a newer program is
    /// needed to read on.
    pub async fn head(&self) -> Result<Head> {
        let (start, least) = match self.shown_head().await? {
            Some(head) => (head, 0),
            None => {
                let listing = self.log.list().await?;
                (self.first_sound(listing.checkpoints).await?, listing.newest)
            }
        };
        let head = commits::follow(&self.log, start).await?;
        if head.version() < least {
            return Err(log::missing(head.version() + 1));
        }
        let settled = |at: Timestamp| i128::from(Timestamp::now().0) - i128::from(at.0) > SETTLED.as_nanos() as i128;
        if head.latest().is_some_and(|latest| settled(latest.at)) {
            self.log.check_end(head.version()).await?;
        }
        Ok(head)
    }

    /// The head that `manifest.json` shows; None, if there is none that the log proves.
    async fn shown_head(&self) -> Result<Option<Head>> {
        self.set_shown(None);
        let Some(manifest) = advisory::read(self.store(), self.monitor.as_ref()).await? else { return Ok(None) };
        let version = manifest.head.version();
        if version == 0 {
            return Ok(None);
        }
        let Some(stored) = self.log.read(version).await? else {
            self.tell(&Finding::ManifestAhead { version });
            return Ok(None);
        };
        let text = manifest.text;
        let Some(head) = manifest.head.proven_by(&stored.commit, &stored.digest) else {
            let why = format!("it is not what commit {version} says");
            self.tell(&Finding::ManifestDamaged { why });
            return Ok(None);
        };
        if advisory::follows(&text, &head, &self.header().archive)? {
            self.set_shown(Some(ShownManifest { version, substance: head.substance()? }));
        } else {
            let why = "what it repeats for SQL does not follow from the rest".to_owned();
            self.tell(&Finding::ManifestDamaged { why });
        }
        Ok(Some(head))
    }

    /// The head of the first of these checkpoints that is there and sound; the beginning of the log, if none is.
    async fn first_sound(&self, versions: impl IntoIterator<Item = u64>) -> Result<Head> {
        for at in versions {
            match self.checkpoint(at).await {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.tell(&Finding::CheckpointDamaged { version: at, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        let StoredHeader { header, digest } = &self.header;
        Head::before_all(header.deployment.clone(), digest.clone())
    }

    /// The head of a checkpoint, proven by the commit of its version; None, if there is no such checkpoint.
    async fn checkpoint(&self, version: u64) -> Result<Option<Head>> {
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
        let from = self.first_sound(checkpoints).await?;
        commits::fold(&self.log, from, version).await
    }
}
