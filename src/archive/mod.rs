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
mod changes;
mod checkpoint;
mod commit;
mod commits;
mod copied;
mod ends;
#[cfg(test)]
mod ends_tests;
mod files;
#[cfg(test)]
mod forged_tests;
mod growth;
mod head;
mod header;
mod heads;
mod inspect;
mod log;
#[cfg(test)]
mod model_tests;
mod needs;
mod parts;
mod proof;
mod race;
mod rebuild;
mod repeats;
mod schemas;
mod status;
mod superseded;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
};

use object_store::ObjectStore;

use crate::{
    document::{TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    monitor::{Event, Finding, Monitor, NoMonitor},
    schema::TableSchema,
    store,
    sum::Sum,
};

pub(crate) use self::{
    copied::{Brought, shown_version, unbroken_end},
    header::probe,
    inspect::{Blame, FoundCommit, WrittenHead},
    needs::READERS,
    parts::Part as ListPart,
    superseded::lists,
};
pub use self::{
    files::LiveFiles,
    head::{
        Head,
        base::{Depth, Gap, LossyEncoding, Proven, Suspicion},
        coverage::{Coverage, Covers, Span},
        tables::{Counts, TableState},
        trust::DoubtedSpan,
    },
    header::{FORMAT, Header},
    proof::{ProvenBy, TableProof},
    status::{Status, TableStatus, WalkStatus},
};
use self::{
    files::WantedFiles,
    header::StoredHeader,
    log::{Log, Put},
    race::RebaseOutcome,
};
pub use crate::store::{Location, Settings};

// What the program, the tests and the benches of this project see beyond that. There is no promise at all.
#[doc(hidden)]
pub use self::{
    commit::{
        Commit, Draft, LeftOut, RemovedFile, Replacement, ReplacementReason, Run, SchemaSize, TableEntry, digest,
    },
    head::{
        Latest,
        base::{
            Base, BaseMaker, BaseTable, Comparison, ComponentRows, Doubt, Proof, ProofSource, SelectionEntry, Suspect,
            Withdrawal, WithdrawalReason,
        },
        owed::OwedBase,
        tables::{Month, SchemaVersion},
    },
    needs::Needs,
    schemas::Schemas,
    status::{DELTAS_KEPT, SNAPSHOT_KEPT},
};
#[doc(hidden)]
pub use crate::store::STAGING_KEPT;

/// An open archive. Holds no state of it but the header: heads are values, passed in and given back.
#[derive(Debug)]
pub struct Archive {
    log: Log,
    schemas: Schemas,
    url: String,
    header: StoredHeader,
    /// The version of a checkpoint that should be there and is not; 0 if none. The next commit writes it.
    missing: AtomicU64,
    /// Whether the checkpoint that should be there was looked for.
    looked: AtomicBool,
    /// What `manifest.json` shows, as far as it is known.
    shown: Mutex<Option<ShownManifest>>,
    /// What the last opening found at the ends of the chain.
    altered: Mutex<Option<Finding>>,
    /// Hears what readers and writers found, and went on.
    monitor: Arc<dyn Monitor>,
}

/// What `manifest.json` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShownManifest {
    version: u64,
    /// All that holds, but for where time stands.
    substance: Sum,
}

/// What keeps an archive in order, and can be planned as often as another writer was faster.
///
/// A trait, and no closure: of the futures of a closure nobody can promise that they may be sent between threads.
#[doc(hidden)]
pub trait Maintenance: Send {
    /// What is to be committed on this head; None, if there is nothing to do.
    fn plan(&mut self, head: &Head) -> impl Future<Output = Result<Option<Draft>>> + Send;
}

/// What became of a commit.
#[derive(Debug)]
#[doc(hidden)]
pub enum CommitOutcome {
    /// It counts from now on; the archive stands at this head.
    Committed(Box<Head>),
    /// Another writer was faster and has moved the archive on: nothing of the draft counts.
    Conflict {
        /// The version that the other writer took.
        version: u64,
    },
    /// Another writer was faster, and this maintenance has to be planned anew on this head.
    Stale(Box<Head>),
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
            None => Err(Error::usage(format!("there is already an archive at {url}; choose another location"))),
        }
    }

    /// Opens an archive.
    ///
    /// # Errors
    /// NotFound, if there is none. Corrupt, if its header is lost, or it is a copy that was not finished. Unsupported, if a newer program
    /// made it.
    pub async fn open(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Result<Self> {
        let url = url.into();
        let header = header::find(&store, &url).await?;
        Ok(Self::new(store, url, header))
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
        Self {
            log: Log::new(Arc::clone(&store)),
            schemas: Schemas::new(store),
            url,
            header,
            missing: AtomicU64::new(0),
            looked: AtomicBool::new(false),
            shown: Mutex::new(None),
            altered: Mutex::new(None),
            monitor: Arc::new(NoMonitor),
        }
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

    /// Reads the columns of tables.
    #[doc(hidden)]
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The newest columns of a table; none, if the archive does not know the table.
    ///
    /// # Errors
    /// As [`Schemas::of`].
    pub async fn schema(&self, head: &Head, table: &TableRef) -> Result<Arc<TableSchema>> {
        match head.table(table) {
            Some(state) => self.schemas.of(head, state).await,
            None => Ok(Arc::new(TableSchema::empty())),
        }
    }

    /// The newest columns of all tables: as much memory as they take.
    ///
    /// # Errors
    /// As [`Schemas::of`].
    pub async fn all_schemas(&self, head: &Head) -> Result<BTreeMap<TableRef, Arc<TableSchema>>> {
        let mut schemas = BTreeMap::new();
        for state in head.tables() {
            schemas.insert(state.table.clone(), self.schemas.of(head, state).await?);
        }
        Ok(schemas)
    }

    /// Commits `draft` after `head`: the only moment at which anything becomes true. Every data file that it adds must be
    /// complete in the store.
    ///
    /// A draft that would break a guarantee of [`Head`] is refused before anything is written.
    ///
    /// # Errors
    /// Unsupported, if a writer must know what this program does not. Corrupt, if a commit behind the head is missing.
    #[doc(hidden)]
    pub async fn commit(&self, head: &Head, run: &mut Run, draft: Draft) -> Result<CommitOutcome> {
        let (mut head, mut draft, run) = (head.clone(), draft, run.next());
        // Whoever wrote the header may have died before it tried whether the store refuses to overwrite.
        if head.version() == 0 {
            header::probe(self.store().as_ref(), layout::HEADER, self.monitor.as_ref()).await?;
        }
        loop {
            self.check_writable(&head).await?;
            let schemas = self.schemas.put(&head, head.version() + 1, &draft.tables).await?;
            let (commit, next) = head.follow(draft.clone(), run.clone(), schemas).map_err(|e| {
                Error::internal("the commit contradicts the archive; nothing was written").with_source(e)
            })?;
            self.check_removed(&head, &commit).await?;
            let bytes = commit.to_bytes()?;
            match self.log.put(commit.version, &bytes).await? {
                Put::Ours => {
                    let next = next.with_digest(digest(&bytes));
                    return Ok(CommitOutcome::Committed(Box::new(self.write_due_checkpoints(next).await)));
                }
                Put::Theirs => {
                    let version = commit.version;
                    let before = head.clone();
                    let mut between = Vec::new();
                    while let Some(theirs) = self.log.read(head.version() + 1).await? {
                        head = head.apply(&theirs.commit, theirs.digest.clone())?;
                        between.push(theirs);
                    }
                    match race::rebase(&draft, &before, &between, &head) {
                        RebaseOutcome::Retry(again) => draft = *again,
                        RebaseOutcome::Conflict => return Ok(CommitOutcome::Conflict { version }),
                        RebaseOutcome::Anew => return Ok(CommitOutcome::Stale(Box::new(head))),
                    }
                }
            }
        }
    }

    /// Commits maintenance on the newest head, and plans it anew as often as another writer makes that necessary. Gives the head
    /// at the end.
    ///
    /// # Errors
    /// Those of the plan and of [`commit`](Self::commit). Internal, if the plan is no maintenance.
    #[doc(hidden)]
    pub async fn update(&self, head: &Head, run: &mut Run, maintenance: &mut impl Maintenance) -> Result<Head> {
        let mut head = head.clone();
        loop {
            let Some(draft) = maintenance.plan(&head).await? else { return Ok(head) };
            if !draft.maintenance {
                return Err(Error::internal("data are committed as if they were maintenance"));
            }
            match self.commit(&head, run, draft).await? {
                CommitOutcome::Committed(next) => return Ok(*next),
                CommitOutcome::Stale(next) => head = *next,
                CommitOutcome::Conflict { .. } => return Err(Error::internal("maintenance is never in conflict")),
            }
        }
    }

    /// Makes sure that this program may write, and that no commit behind `head` is lost. A commit asks again, once a minute has
    /// passed; a writer asks before it writes anything at all.
    ///
    /// # Errors
    /// Unsupported, if a writer must know what this program does not. Corrupt, if a commit is lost, or an end of the chain is
    /// not as it was written.
    pub(crate) async fn check_writable(&self, head: &Head) -> Result<()> {
        head.check_writer()?;
        self.check_ends()?;
        self.log.check_end(head.version()).await
    }

    /// Refuses a commit that removes a file that is not live. Only such a commit pays for a walk over live files: those of
    /// the tables concerned.
    async fn check_removed(&self, head: &Head, commit: &Commit) -> Result<()> {
        if commit.draft.remove.is_empty() {
            return Ok(());
        }
        let mut removed: BTreeMap<&str, &RemovedFile> =
            commit.draft.remove.iter().map(|file| (file.path.as_str(), file)).collect();
        let keys = commit.draft.remove.iter().map(|file| (file.table.clone(), file.month.clone())).collect();
        let mut live = self.live(head, WantedFiles::Parts(keys)).await?;
        while let Some(file) = live.next().await? {
            if let Some(named) = removed.get(file.path.as_str())
                && RemovedFile::of(&file)? == **named
            {
                removed.remove(file.path.as_str());
            }
        }
        match removed.keys().next() {
            None => Ok(()),
            Some(path) => {
                Err(Error::internal(format!("{path} was to be removed, but is not live; nothing was written")))
            }
        }
    }

    /// The files that live at `head`, those of an unfinished base included, sorted by table, month and path.
    pub async fn live_files(&self, head: &Head) -> Result<LiveFiles> {
        self.live(head, WantedFiles::All).await
    }

    /// The files of one table that live at `head`, sorted by month and path. Only what lists files of this table is read.
    pub async fn live_files_of(&self, head: &Head, table: &TableRef) -> Result<LiveFiles> {
        self.live(head, WantedFiles::Tables(BTreeSet::from([table.clone()]))).await
    }

    /// The files of these tables and months (first days) that live at `head`, sorted by table, month and path. Only their lists are read.
    pub(crate) async fn live_files_in(&self, head: &Head, months: BTreeSet<(TableRef, String)>) -> Result<LiveFiles> {
        self.live(head, WantedFiles::Parts(months)).await
    }

    async fn live(&self, head: &Head, wanted: WantedFiles) -> Result<LiveFiles> {
        LiveFiles::open(&self.log, head, wanted, Arc::clone(&self.monitor)).await
    }

    fn tell(&self, finding: &Finding) {
        self.monitor.report(Event::Finding(finding));
    }
}
