//! What a copy of an archive needs: what the commits behind a version brought, and what repeats the log, written to the copy.
//!
//! Parts, checkpoints and `manifest.json` follow from the log. So they are not taken from the source, where they may be damaged, or show an
//! older version: they are made from what the log proves, as a writer of the archive makes them. The same program makes the same bytes.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::{
    Archive, Blame, advisory,
    changes::{Change, Changes, SortedChanges},
    checkpoint,
    files::WantedFiles,
    head::Head,
    log::{self, Log},
    parts,
};
use crate::{
    budget::MemoryBudget,
    data::DataFile,
    error::{ErrorKind, Result},
    layout,
};

/// What commits brought that still holds after the last of them.
pub(crate) struct Brought {
    changes: SortedChanges,
    next: Option<Change>,
    /// Objects with schemas that the commits name and that were not erased: their commit and digest.
    pub(crate) schemas: Vec<(u64, String)>,
    /// Commits that cannot be read or do not follow on each other: path and what is wrong. Nothing is known of what they brought.
    pub(crate) damaged: Vec<(String, String)>,
}

impl Brought {
    /// The next file that was added and not removed since, sorted by table, month and path; None after the last.
    ///
    /// # Errors
    /// Resource, if a temporary file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<DataFile>> {
        loop {
            let Some(mut last) = self.next.take() else { return Ok(None) };
            self.next = self.changes.next()?;
            while let Some(later) = self.next.take_if(|next| next.key() == last.key()) {
                last = later;
                self.next = self.changes.next()?;
            }
            if let Some(file) = last.into_added() {
                return Ok(Some(file));
            }
        }
    }
}

impl Archive {
    /// What the commits behind `after`, whose digest is given, up to `head` brought. All of them are read, and each is compared with the
    /// digest that the next one names.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says; Unsupported, if a newer program is needed to read a commit.
    pub(crate) async fn brought(&self, after: u64, digest: &str, head: &Head) -> Result<Brought> {
        let (mut changes, mut schemas, mut damaged) = (Changes::default(), Vec::new(), Vec::new());
        let mut commits = stream::iter(after + 1..=head.version())
            .map(|version| async move { (version, self.log.read(version).await) })
            .buffered(MemoryBudget::COMMITS_AHEAD);
        // The digest of the object before; None, if that cannot be read.
        let mut before = Some(digest.to_owned());
        while let Some((version, read)) = commits.next().await {
            let read = match read {
                Ok(Some(read)) => Ok(read),
                Ok(None) => Err(log::missing(version)),
                Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
                Err(error) => return Err(error),
            };
            let stored = match read {
                Ok(stored) => stored,
                Err(error) => {
                    damaged.push((layout::commit(version), error.to_string()));
                    before = None;
                    continue;
                }
            };
            if let Some(found) = before.filter(|found| *found != stored.commit.previous) {
                let named = match Blame::of(&stored.commit.previous, &found) {
                    Blame::Itself => version,
                    Blame::Before => version - 1,
                };
                let path = if named == 0 { layout::HEADER.to_owned() } else { layout::commit(named) };
                let what = format!("{path} is not as it was written: commit {version} names another digest");
                damaged.push((path, what));
            }
            before = Some(stored.digest);
            if let Some(digest) = stored.commit.schemas.as_ref().filter(|digest| !head.is_erased(digest)) {
                schemas.push((version, digest.clone()));
            }
            changes.push_commit(stored.commit, |_, _| true)?;
        }
        if before.is_some_and(|found| found != head.digest()) {
            let path = layout::commit(head.version());
            let what = format!("{path} is not the one that was read before");
            damaged.push((path, what));
        }
        let mut changes = changes.sorted()?;
        let next = changes.next()?;
        Ok(Brought { changes, next, schemas, damaged })
    }

    /// Writes to a copy what repeats the log up to `head`: parts, the newest checkpoint, and `manifest.json` at the end. The copy has what
    /// repeats its log up to `after`.
    ///
    /// # Errors
    /// As reading the log and writing to the store have them.
    pub(crate) async fn write_lists_of_copy(
        &self,
        head: &Head,
        after: u64,
        to: &Arc<dyn ObjectStore>,
    ) -> Result<()> {
        let (id, due) = (&self.header().archive, log::floor(head.version()));
        let copied = Log::new(Arc::clone(to));
        let mut written = after;
        if due > 0 && !(due <= after && copied.has_checkpoint(due).await?) {
            let at = match self.checkpoint(due).await {
                Ok(Some(at)) => at,
                Ok(None) => self.head_at(due).await?,
                Err(error) if error.kind() == ErrorKind::Corrupt => self.head_at(due).await?,
                Err(error) => return Err(error),
            };
            // Of a checkpoint that was there once nobody knows which of its parts are.
            let from = if due > after { after } else { 0 };
            self.write_parts_of_copy(&at, from, to).await?;
            checkpoint::write(to, id, &at).await?;
            written = written.max(due);
        }
        if after == head.version() {
            return Ok(());
        }
        self.write_parts_of_copy(head, written, to).await?;
        advisory::write(&copied, id, head).await
    }

    /// Writes the parts of `head` that commits behind `after` changed last.
    async fn write_parts_of_copy(&self, head: &Head, after: u64, to: &Arc<dyn ObjectStore>) -> Result<()> {
        let mut keys = BTreeSet::new();
        for state in head.tables() {
            let changed = state.months.iter().filter(|(_, month)| month.version > after);
            keys.extend(changed.map(|(name, _)| (state.table.clone(), name.clone())));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let live = self.live(head, WantedFiles::Parts(keys)).await?;
        parts::write(to, head, live.into_stream()).await
    }
}

/// The version up to which a copy has what repeats its log: that which its `manifest.json` shows; 0, if there is none.
///
/// # Errors
/// Access, as the store says.
pub(crate) async fn shown_version(store: &Arc<dyn ObjectStore>) -> Result<u64> {
    let Some(version) = advisory::version(store).await? else { return Ok(0) };
    let is_there = Log::new(Arc::clone(store)).has(version).await?;
    Ok(if is_there { version } else { 0 })
}

/// The newest commit of a log up to which none is missing, as far as can be told; 0, if there is none.
///
/// # Errors
/// Access, Unavailable, as the store says.
pub(crate) async fn unbroken_end(archive: &Archive) -> Result<u64> {
    let mut end = match shown_version(archive.store()).await? {
        0 => archive.found_log().await?.unbroken,
        shown => shown,
    };
    while archive.log.has(end + 1).await? {
        end += 1;
    }
    Ok(end)
}
