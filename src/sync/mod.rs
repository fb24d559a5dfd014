//! The verb `sync`: deployment → archive. Begins an archive, goes on where the last run stopped, and catches up.
//!
//! ```text
//! fetch ── pages ──> gather ── rows, file by file ──> write ──> one commit
//! asks for the next   splits them by table, decodes,   Parquet,   rows and progress
//! page early          decides where files and          upload     together
//!                     commits end
//! ```
//!
//! # Guarantees
//! 1. A commit holds whole pages only, and the position after the last of them: whatever ends a run, the next one goes on
//!    there, and no revision is lost or written twice.
//! 2. A stop (a signal, a time limit) and a failure of the *deployment* end the run at a commit of everything that had
//!    arrived. A failure of the store or a page that makes no sense end it at the last commit.
//! 3. Nothing grows with the table, the number of tables or the length of the history: pages that wait, rows that are
//!    gathered and rows that are queued each have a share of the [`MemoryBudget`], one file is open
//!    at a time, and a few are being completed.
//! 4. Every run that got an answer commits at least once, also when nothing changed.
//!
//! # Why three stages
//! Each waits only for the one behind it, so there is nothing to deadlock; decoding, encoding and the network overlap;
//! and commits are made strictly one after another by the one stage that owns the head.

mod fetch;
mod gather;
mod rows;
mod steps;
mod write;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    archive::{Archive, Run},
    budget::MemoryBudget,
    convex::Source,
    document::{Timestamp, time_text},
    error::{Error, Result},
    monitor::{Event, Monitor},
};

/// How a sync is done.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Memory, bytes, and who may hold how much of it.
    pub budget: MemoryBudget,
    /// Stored bytes at which a snapshot file ends. Delta files end with their commit and are smaller.
    pub target_file_bytes: u64,
    /// Progress is committed at least this often while there is any.
    pub commit_every: Duration,
    /// Level of zstd, 1 to 22.
    pub compression_level: i32,
    /// The run ends at a commit after this time, whether it has caught up or not.
    pub max_duration: Option<Duration>,
    /// Ends the run at a commit.
    pub stop: Stop,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            budget: MemoryBudget::default(),
            target_file_bytes: 128 << 20,
            commit_every: Duration::from_secs(180),
            compression_level: 1,
            max_duration: None,
            stop: Stop::default(),
        }
    }
}

/// A request to end a run at its next commit. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Ready once the end was asked for.
    pub async fn requested(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SyncReport {
    /// Whether this run began the archive's first snapshot.
    pub first_run: bool,
    /// Whether the deployment had nothing more. If not, more is waiting: run again.
    pub caught_up: bool,
    /// Pages read.
    pub pages: u64,
    /// Bytes of their bodies, uncompressed.
    pub page_bytes: u64,
    /// Tables of which rows were written.
    pub tables: u64,
    /// Documents written, tombstones not counted.
    pub documents: u64,
    /// Tombstones written.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
    /// Data files written.
    pub files: u64,
    /// Their stored bytes.
    pub file_bytes: u64,
    /// Commits made.
    pub commits: u64,
    /// The archive's version now.
    pub version: u64,
    /// SHA-256 of the newest commit.
    pub digest: String,
    /// The delta cursor: the archive covers up to here. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub through: Option<Timestamp>,
    /// When the deployment answered last. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub checked_at: Option<Timestamp>,
}

/// Brings `archive` up to date with `source`.
///
/// # Errors
/// Usage, if the archive belongs to another deployment: nothing is asked then. Conflict, if another writer moved the
/// archive on. Otherwise whatever source or store answered; what had been committed before stays.
pub async fn sync(
    source: Arc<dyn Source>,
    archive: &Archive,
    options: &SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let head = archive.head().await?;
    let identity = source.identity().await?;
    if !head.deployment().is_same(&identity) {
        return Err(Error::usage(format!(
            "the archive {} belongs to the deployment {}, and this key and URL lead to {identity}; use another archive for it",
            archive.url(),
            head.deployment(),
        )));
    }
    let shapes = source.shapes().await?;
    for message in &shapes.warnings {
        monitor.report(Event::Warning { message });
    }
    let run = Run::begin();
    let first_run = head.progress().delta.is_none();
    let deadline = options.max_duration.map(|d| Instant::now() + d);
    let (page_queue, pages) = mpsc::channel(1);
    let (step_queue, steps) = steps::Steps::channel(options.budget.queued(), Handle::current());

    let gather = gather::Gather::new(&head, &run, shapes, options, Arc::clone(&source), Arc::clone(&monitor));
    let fetch = tokio::spawn(fetch::fetch(
        Arc::clone(&source),
        head.progress().clone(),
        page_queue,
        options.budget.pages_waiting(),
        options.stop.clone(),
        deadline,
    ));
    let gather = tokio::task::spawn_blocking(move || gather.run(pages, step_queue));
    let written = write::write(archive, head, run, steps, options, monitor).await;

    // Each stage ends once the one behind it has ended. The last one's failure is the cause of the others'.
    let panicked = |e| Error::internal("a stage of the sync panicked").with_source(e);
    let gathered = gather.await.map_err(panicked)?;
    let fetched = fetch.await.map_err(panicked)?;
    let written = written?;
    let gathered = gathered?;
    let latest = written.head.latest();
    let report = SyncReport {
        first_run,
        caught_up: fetched? == fetch::End::CaughtUp,
        pages: gathered.pages,
        page_bytes: gathered.page_bytes,
        tables: written.tables.len() as u64,
        documents: written.rows.rows - written.rows.tombstones,
        tombstones: written.rows.tombstones,
        rescued_rows: written.rows.rescued_rows,
        files: written.rows.files,
        file_bytes: written.rows.bytes,
        commits: written.commits,
        version: written.head.version(),
        digest: written.head.digest().to_owned(),
        through: written.head.progress().delta.as_ref().map(|d| d.ts),
        checked_at: latest.map(|l| l.checked_at),
    };
    Ok(report)
}
