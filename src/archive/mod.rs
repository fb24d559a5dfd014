//! The archive at rest: the only truth.
//!
//! An archive is a prefix in an object store: `archive.json`, a log of numbered commits, and data files. What is true is
//! what the log says; everything else (checkpoints, `manifest.json`) repeats it for speed or for people and may be stale,
//! missing or rebuilt. The format, precise enough for another reader, stands [below](#format-of-an-archive).
//!
//! # Crash consistency
//!
//! **One object decides.** A commit holds the data files of all tables *and* the place from which to go on, in one object
//! that is created if absent. There is no moment at which the rows are in and the cursor is not, and no second state to
//! keep in step. A data file that no commit names is not part of the archive.
//!
//! So a process may be killed anywhere:
//! - *Before the put of the commit*: the archive is as it was. Data files that were already uploaded are garbage that
//!   nobody names (their names hold the run's random id, so no later file ever meets them); vacuum takes them.
//! - *During the put*: stores create objects whole or not at all. On a local disk the bytes are written and synced under
//!   another name (`…json#1`), then linked to their own, then the folder is synced.
//! - *The put succeeded and its answer was lost*: the writer reads back what is there. Its own bytes, which no other
//!   writer can produce, since they hold run id and counter, mean that it is committed.
//! - *After the put*: nothing is to be repaired. A checkpoint that was due is written by whoever finds it missing; an old
//!   `manifest.json` still shows the version that it names, and is at worst a bad hint.
//!
//! **Two writers** never mix: both put the same number, the store refuses one. That one reloads; if the other had moved
//! the archive on, it reports [`CommitOutcome::Conflict`], and its files become garbage. Had there only been maintenance,
//! it takes the next number. What the store must be able to do for this (create if absent, and mean it) is tried when an
//! archive is created.
//!
//! **Damage is found, not believed.** Each commit holds the SHA-256 of the one before it, files carry theirs, and folding
//! a commit into the [`Head`] checks the guarantees listed there. What does not fit is
//! [`Corrupt`](crate::ErrorKind::Corrupt) and names the object.
//!
//! # Cancellation
//! Every future here may be dropped at any await: that is a crash of the calling task, with the consequences above.
//!
#![doc = include_str!("FORMAT.md")]

mod advisory;
mod checkpoint;
mod commit;
mod coverage;
mod files;
mod growth;
mod header;
mod log;
mod manifest;
mod owed;
mod status;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use object_store::ObjectStore;

use crate::{
    document::Timestamp,
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    monitor::{Event, Finding, Monitor, NoMonitor},
    store,
};

use self::{
    checkpoint::Checkpoint,
    header::StoredHeader,
    log::{Log, Put, Rebased, Survey},
};
pub use self::{
    commit::{Commit, Draft, RemovedFile, Run, TableEntry, digest},
    coverage::{Base, Coverage, Covers, Gap, Selected, Span, Untyped},
    files::LiveFiles,
    header::{FORMAT, Header},
    manifest::{Head, Latest},
    owed::Owed,
    status::{DELTAS_KEPT, SNAPSHOT_KEPT, Status, TableStatus, WalkStatus},
    tables::{Counts, TableState},
};

pub use crate::store::{CountingStore, Location, STAGING_KEPT, Settings, StoreTraffic};

/// This program, as commits name it.
pub(crate) const PROGRAM: &str = concat!("convex-archiver/", env!("CARGO_PKG_VERSION"));

/// An open archive. Holds no state of it but the header: heads are values, passed in and given back.
#[derive(Debug)]
pub struct Archive {
    log: Log,
    url: String,
    header: StoredHeader,
    /// The version of a checkpoint that should be there and is not; 0 if none. The next commit writes it.
    missing: AtomicU64,
    /// Hears what readers and writers found, and went on.
    monitor: Arc<dyn Monitor>,
}

/// What became of a commit.
#[derive(Debug)]
pub enum CommitOutcome {
    /// It counts from now on; the archive stands at this head.
    Committed(Box<Head>),
    /// Another writer was faster and has moved the archive on: nothing of the draft counts.
    Conflict {
        /// The version that the other writer took.
        version: u64,
    },
}

impl Archive {
    /// Creates an archive in a store whose root is the archive's prefix. `url` names it in messages.
    ///
    /// # Errors
    /// Usage, if there is one already, if the store overwrites what it should only create, or if the URL has a segment
    /// `key=value`.
    pub async fn create(
        store: Arc<dyn ObjectStore>,
        url: impl Into<String>,
        deployment: DeploymentIdentity,
        now: Timestamp,
    ) -> Result<Self> {
        let url = url.into();
        store::refuse_partition_keys(&url)?;
        match header::create(&store, deployment, now).await? {
            Some(header) => Ok(Self::new(store, url, header)),
            None => Err(Error::usage(format!("there already is an archive at {url}; choose another place"))),
        }
    }

    /// Opens an archive.
    ///
    /// # Errors
    /// NotFound, if there is none. Unsupported, if a newer program made it.
    pub async fn open(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Result<Self> {
        let url = url.into();
        match header::read(&store).await? {
            Some(header) => Ok(Self::new(store, url, header)),
            None => Err(Error::not_found(format!("there is no archive at {url}; check the URL"))),
        }
    }

    /// Opens the archive, or creates it if there is none.
    pub async fn open_or_create(
        store: Arc<dyn ObjectStore>,
        url: impl Into<String>,
        deployment: DeploymentIdentity,
        now: Timestamp,
    ) -> Result<Self> {
        let url = url.into();
        if let Some(header) = header::read(&store).await? {
            return Ok(Self::new(store, url, header));
        }
        store::refuse_partition_keys(&url)?;
        match header::create(&store, deployment, now).await? {
            Some(header) => Ok(Self::new(store, url, header)),
            // Another process created it at this very moment.
            None => Self::open(store, url).await,
        }
    }

    fn new(store: Arc<dyn ObjectStore>, url: String, header: StoredHeader) -> Self {
        Self { log: Log::new(store), url, header, missing: AtomicU64::new(0), monitor: Arc::new(NoMonitor) }
    }

    /// The same archive, whose findings (a damaged checkpoint, say) are told to `monitor`; else nobody hears of them.
    #[must_use]
    pub fn with_monitor(self, monitor: Arc<dyn Monitor>) -> Self {
        Self { monitor, ..self }
    }

    /// The store; its root is the archive's prefix. For data files.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        self.log.store()
    }

    /// Where the archive is, as messages name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What `archive.json` says.
    pub fn header(&self) -> &Header {
        &self.header.header
    }

    /// The newest head.
    pub async fn head(&self) -> Result<Head> {
        let hint = advisory::hint(self.store()).await?;
        let Survey { checkpoint, newest } = self.log.survey(hint).await?;
        let due = log::floor(newest);
        self.missing.store(if checkpoint.unwrap_or(0) < due { due } else { 0 }, Ordering::Relaxed);
        let mut head = self.replay(checkpoint, newest).await?;
        // What was written since, or what the listing lacked.
        while let Some(next) = self.log.read(head.version() + 1).await? {
            head = head.apply(&next.commit, next.digest)?;
        }
        Ok(head)
    }

    /// The head as it was at `version`.
    ///
    /// # Errors
    /// NotFound, if the archive has no such version yet.
    pub async fn head_at(&self, version: u64) -> Result<Head> {
        if version > 0 && !self.log.has(version).await? {
            return Err(Error::not_found(format!("the archive has no version {version}")));
        }
        let checkpoint = self.log.checkpoint_at(version).await?;
        self.replay(checkpoint, version).await
    }

    async fn replay(&self, checkpoint: Option<u64>, until: u64) -> Result<Head> {
        let from = match checkpoint {
            Some(version) => Checkpoint::open(self.store(), version).await?.map(Checkpoint::into_head),
            None => None,
        };
        let StoredHeader { header, digest } = &self.header;
        let from = from.unwrap_or_else(|| Head::before_all(header.deployment.clone(), digest.clone()));
        let after = from.version();
        let mut head = Some(from);
        self.log
            .replay(after, until, |stored| {
                // Taken and given back: after an error nobody looks at it.
                head = head.take().map(|h| h.apply(&stored.commit, stored.digest)).transpose()?;
                Ok(())
            })
            .await?;
        head.ok_or_else(|| Error::internal("a head was lost while replaying"))
    }

    /// Commits `draft` after `head`: the only moment at which anything becomes true. Every data file that it adds must be
    /// complete in the store.
    ///
    /// A draft that would break a guarantee of [`Head`] is refused before anything is written.
    pub async fn commit(&self, head: &Head, run: &mut Run, draft: Draft) -> Result<CommitOutcome> {
        let mut head = head.clone();
        let mut commit = draft.after(&head, run.next());
        let (progress, selection) = (head.progress().clone(), head.coverage().selected());
        // Whoever wrote the header may have died before it tried whether the store refuses to overwrite.
        if head.version() == 0 {
            header::probe(self.store().as_ref()).await?;
        }
        loop {
            let bytes = commit.to_bytes()?;
            let next = head.clone().apply(&commit, digest(&bytes)).map_err(|e| {
                Error::internal("the commit contradicts the archive; nothing was written").with_source(e)
            })?;
            self.check_removed(&head, &commit).await?;
            match self.log.put(commit.version, &bytes).await? {
                Put::Ours => {
                    self.write_due_checkpoints(&next).await;
                    return Ok(CommitOutcome::Committed(Box::new(next)));
                }
                Put::Theirs => {
                    let version = commit.version;
                    let mut between = Vec::new();
                    while let Some(theirs) = self.log.read(head.version() + 1).await? {
                        head = head.apply(&theirs.commit, theirs.digest.clone())?;
                        between.push(theirs);
                    }
                    match log::rebase(&commit, &progress, &selection, &between) {
                        Rebased::Retry(again) => commit = *again,
                        Rebased::Conflict => return Ok(CommitOutcome::Conflict { version }),
                    }
                }
            }
        }
    }

    /// Refuses a commit that removes a file that is not live. Only such a commit pays for the walk over live files.
    async fn check_removed(&self, head: &Head, commit: &Commit) -> Result<()> {
        let mut removed = commit.draft.remove.iter().peekable();
        if removed.peek().is_none() {
            return Ok(());
        }
        let mut live = self.live_files(head).await?;
        // Both are sorted by table and path.
        while let (Some(next), Some(file)) = (removed.peek(), live.next().await?) {
            if RemovedFile::from(&file) == **next {
                removed.next();
            }
        }
        match removed.next() {
            None => Ok(()),
            Some(file) => {
                Err(Error::internal(format!("{} is to be removed, but is not live; nothing was written", file.path)))
            }
        }
    }

    /// The files that live at `head`, those of an unfinished base included, sorted by table and path.
    pub async fn live_files(&self, head: &Head) -> Result<LiveFiles> {
        LiveFiles::open(&self.log, head).await
    }

    /// Rewrites `manifest.json` to show `head`, unless it already shows a newer version.
    pub async fn write_manifest(&self, head: &Head) -> Result<()> {
        let files = self.live_files(head).await?;
        advisory::write(self.store(), self.header(), head, files).await
    }

    /// Writes the checkpoint of `head`, and one that was found missing. The commit counts already, so a failure is only
    /// said: the next writer tries again.
    async fn write_due_checkpoints(&self, head: &Head) {
        let missing = self.missing.swap(0, Ordering::Relaxed);
        if missing != 0
            && let Err(error) = self.write_checkpoint_at(missing).await
        {
            self.missing.store(missing, Ordering::Relaxed);
            self.tell(&Finding::CheckpointNotWritten { version: missing, why: error.to_string() });
        }
        if head.version().is_multiple_of(layout::CHECKPOINT_EVERY)
            && let Err(error) = self.write_checkpoint(head).await
        {
            self.missing.store(head.version(), Ordering::Relaxed);
            self.tell(&Finding::CheckpointNotWritten { version: head.version(), why: error.to_string() });
        }
    }

    fn tell(&self, finding: &Finding) {
        self.monitor.report(Event::Finding(finding));
    }

    async fn write_checkpoint_at(&self, version: u64) -> Result<()> {
        let head = self.head_at(version).await?;
        self.write_checkpoint(&head).await
    }

    async fn write_checkpoint(&self, head: &Head) -> Result<()> {
        let files = self.live_files(head).await?;
        checkpoint::write(self.store(), head, files).await
    }
}
