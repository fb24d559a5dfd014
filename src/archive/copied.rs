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
    log::{self, Log, StoredCommit},
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

/// What commits brought, as they are read one behind the other.
struct Gathered<'a> {
    head: &'a Head,
    changes: Changes,
    schemas: Vec<(u64, String)>,
    damaged: Vec<(String, String)>,
    /// The digest of the object before; None, if that is damaged.
    before: Option<String>,
    /// The commit before, which the next one has to prove.
    unproven: Option<StoredCommit>,
}

impl<'a> Gathered<'a> {
    fn new(digest: &str, head: &'a Head) -> Self {
        let before = Some(digest.to_owned());
        Self { head, changes: Changes::default(), schemas: Vec::new(), damaged: Vec::new(), before, unproven: None }
    }

    /// The next commit.
    fn take(&mut self, stored: StoredCommit) -> Result<()> {
        let (version, named) = (stored.commit.version, &stored.commit.previous);
        let blame = self.before.as_ref().filter(|found| *found != named).map(|found| Blame::of(named, found));
        let what = |path: &str| {
            format!("{path} is not as it was written, according to commit {version}; restore it from a copy")
        };
        match blame {
            Some(Blame::Itself) => return self.lose(version, what(&layout::commit(version))),
            Some(Blame::Before) => {
                let path = if version == 1 { layout::HEADER.to_owned() } else { layout::commit(version - 1) };
                self.damaged.push((path.clone(), what(&path)));
                self.unproven = None;
            }
            None => self.count()?,
        }
        self.before = Some(stored.digest.clone());
        self.unproven = Some(stored);
        Ok(())
    }

    /// The next commit is damaged.
    fn lose(&mut self, version: u64, why: String) -> Result<()> {
        self.damaged.push((layout::commit(version), why));
        self.before = None;
        self.count()
    }

    /// The commit before counts.
    fn count(&mut self) -> Result<()> {
        let Some(StoredCommit { commit, .. }) = self.unproven.take() else { return Ok(()) };
        if let Some(digest) = commit.schemas.as_ref().filter(|digest| !self.head.is_erased(digest)) {
            self.schemas.push((commit.version, digest.clone()));
        }
        self.changes.push_commit(commit, |_, _| true)
    }

    /// There are no more.
    fn end(mut self) -> Result<Brought> {
        if self.before.as_ref().is_some_and(|found| found != self.head.digest()) {
            let path = layout::commit(self.head.version());
            let why = format!("{path} has changed since it was read; run copy again");
            self.damaged.push((path, why));
        } else {
            self.count()?;
        }
        let mut changes = self.changes.sorted()?;
        let next = changes.next()?;
        Ok(Brought { changes, next, schemas: self.schemas, damaged: self.damaged })
    }
}

impl Archive {
    /// What the commits behind `after`, whose digest is given, up to `head` brought. All of them are read, and of each counts only what the
    /// digest that the next one names proves.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says; Unsupported, if a newer program is needed to read a commit.
    pub(crate) async fn brought(&self, after: u64, digest: &str, head: &Head) -> Result<Brought> {
        let mut gathered = Gathered::new(digest, head);
        let mut commits = stream::iter(after + 1..=head.version())
            .map(|version| async move { (version, self.log.read(version).await) })
            .buffered(MemoryBudget::COMMITS_AHEAD);
        while let Some((version, read)) = commits.next().await {
            match read {
                Ok(Some(stored)) => gathered.take(stored)?,
                Ok(None) => gathered.lose(version, log::missing(version).to_string())?,
                Err(error) if error.kind() == ErrorKind::Corrupt => gathered.lose(version, error.to_string())?,
                Err(error) => return Err(error),
            }
        }
        gathered.end()
    }

    /// Writes to a copy what repeats the log up to `head`: parts, the newest checkpoint, and `manifest.json` at the end. The copy has what
    /// repeats its log up to `after`.
    ///
    /// # Errors
    /// As reading the log and writing to the store have them.
    pub(crate) async fn write_lists_of_copy(&self, head: &Head, after: u64, to: &Arc<dyn ObjectStore>) -> Result<()> {
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
