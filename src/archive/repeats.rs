//! What repeats the log, for speed and for people: `manifest.json`, parts and checkpoints, and when each is written.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{Archive, ShownManifest, advisory, checkpoint, files::WantedFiles, head::Head, log, parts};
use crate::{
    document::TableRef,
    error::{ErrorKind, Result},
    layout::{CHECKPOINT_EVERY, MANIFEST},
    monitor::Finding,
    store::store_error,
};

impl Archive {
    /// Whether `manifest.json` shows less than `head` holds. Where only time has moved on, it stays until the next
    /// checkpoint.
    ///
    /// # Errors
    /// Internal, if the head cannot be spelled.
    #[doc(hidden)]
    pub fn is_manifest_due(&self, head: &Head) -> Result<bool> {
        let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let substance = head.substance()?;
        Ok(shown.is_none_or(|shown| {
            shown.substance != substance || log::floor(shown.version) != log::floor(head.version())
        }))
    }

    /// Rewrites `manifest.json` to show `head`, unless it already shows a newer version, and writes the parts that it names
    /// before. Gives the same head: what reads its files from now on begins with those parts.
    #[doc(hidden)]
    pub async fn write_manifest(&self, head: &Head) -> Result<Head> {
        let head = self.write_parts(head.clone()).await?;
        advisory::write(&self.log, &self.header().archive, &head).await?;
        self.set_shown(Some(ShownManifest { version: head.version(), substance: head.substance()? }));
        Ok(head)
    }

    /// Whether `manifest.json` and the parts of the `wanted` tables, which SQL reads without comparing sums, are right for `head`.
    /// Reads all of these parts.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says; Internal, if the head cannot be spelled.
    #[doc(hidden)]
    pub async fn are_lists_sound(&self, head: &Head, wanted: impl Fn(&TableRef) -> bool) -> Result<bool> {
        let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let substance = head.substance()?;
        if shown.is_none_or(|shown| shown.substance != substance) {
            return Ok(false);
        }
        for part in parts::anchored(head).filter(|part| wanted(&part.key.0)) {
            match parts::read(self.store(), &part).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes `manifest.json` and parts of `head` to another, empty store, from what the log proves.
    #[doc(hidden)]
    pub async fn write_lists(&self, head: &Head, to: &Arc<dyn ObjectStore>) -> Result<()> {
        let live = self.live(head, WantedFiles::All).await?;
        parts::write(to, head, live.into_stream()).await?;
        let failed = |e| store_error(e, &format!("cannot write {MANIFEST}"));
        let text = head.to_text(&self.header().archive)?;
        to.put(&Path::from(MANIFEST), text.into()).await.map(drop).map_err(failed)
    }

    /// Writes the parts of `head` that are not written.
    async fn write_parts(&self, head: Head) -> Result<Head> {
        let keys = parts::unwritten(&head).into_iter().collect();
        self.write_these_parts(head, keys).await
    }

    async fn write_these_parts(&self, head: Head, keys: BTreeSet<parts::Key>) -> Result<Head> {
        if !keys.is_empty() {
            let live = self.live(&head, WantedFiles::Parts(keys)).await?;
            parts::write(self.store(), &head, live.into_stream()).await?;
        }
        Ok(head.anchored())
    }

    /// Writes the checkpoint of `head`, and one that was found missing. The commit counts already, so a failure is only
    /// told: the next writer tries again.
    pub(super) async fn write_due_checkpoints(&self, head: Head) -> Head {
        self.look_for_checkpoint(&head).await;
        let missing = self.missing.swap(0, Ordering::Relaxed);
        if missing != 0
            && let Err(error) = self.write_checkpoint_at(missing).await
        {
            self.missing.store(missing, Ordering::Relaxed);
            self.tell(&Finding::CheckpointNotWritten { version: missing, why: error.to_string() });
        }
        if !head.version().is_multiple_of(CHECKPOINT_EVERY) {
            return head;
        }
        match self.write_checkpoint(&head).await {
            Ok(head) => head,
            Err(error) => {
                self.missing.store(head.version(), Ordering::Relaxed);
                self.tell(&Finding::CheckpointNotWritten { version: head.version(), why: error.to_string() });
                head
            }
        }
    }

    /// Once: whether the newest checkpoint that should be there is, and is sound. A writer may have died between a commit and its
    /// checkpoint; and while `manifest.json` is right nobody else reads it.
    async fn look_for_checkpoint(&self, head: &Head) {
        let due = log::floor(head.version() - 1);
        if due == 0 || self.looked.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_lost = match self.checkpoint(due).await {
            Ok(found) => found.is_none(),
            Err(error) => error.kind() == ErrorKind::Corrupt,
        };
        if is_lost {
            self.missing.store(due, Ordering::Relaxed);
        }
    }

    /// Writes the checkpoint of `version`, and lists that it names and that nobody has.
    ///
    /// # Errors
    /// Corrupt, if the log does not tell that version; Access, Unavailable, as the store says.
    pub(crate) async fn write_checkpoint_at(&self, version: u64) -> Result<()> {
        let head = self.head_at(version).await?;
        self.write_checkpoint(&head).await.map(drop)
    }

    /// Writes the checkpoint of `head`. Parts that it names and that were lost meanwhile are found by and by, and written again.
    async fn write_checkpoint(&self, head: &Head) -> Result<Head> {
        let mut keys: BTreeSet<_> = parts::unwritten(head).into_iter().collect();
        keys.extend(parts::lost(self.store(), head).await?);
        let head = self.write_these_parts(head.clone(), keys).await?;
        checkpoint::write(self.store(), &self.header().archive, &head).await?;
        Ok(head)
    }

    pub(super) fn set_shown(&self, shown: Option<ShownManifest>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}
