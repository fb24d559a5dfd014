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

mod base;
mod fetch;
mod gap;
mod gather;
mod rows;
mod steps;
mod write;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    archive::{Archive, CommitOutcome, Counts, Draft, Gap, Head, Owed, Run},
    budget::MemoryBudget,
    content::DigestShare,
    convex::{Shapes, Source},
    document::{TableRef, Timestamp, time_text},
    error::{Error, Result},
    identity::DeploymentIdentity,
    monitor::{Event, Monitor},
    position::{Phase, Progress},
    selection::Selection,
};

/// Snapshots that may turn out too old in one run: one that was open, and one at a cursor that was old itself.
const SNAPSHOTS_REFUSED: u32 = 2;

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
    /// Of which documents each data file keeps a digest, by which a reader proves that none was changed on its way through
    /// columns.
    pub content_digest: DigestShare,
    /// The tables that are archived. Rows of others are dropped, whoever sends them.
    pub selection: Selection,
    /// Whether an archive of another selection may go on with this one: what leaves has a gap from here, what joins gets a new
    /// base.
    pub accept_selection: bool,
    /// The name or origin of a deployment with which an archive of another name or address may go on: it is the same database,
    /// moved.
    pub accept_deployment: Option<String>,
    /// What to do if the deployment no longer keeps the changes after the archive's cursor.
    pub on_gap: OnGap,
    /// Ends the run at a commit.
    pub stop: Stop,
}

/// What to do about changes that the deployment no longer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Record the gap, go on with the changes after it, and take a new base: [`SyncReport::gaps`] tells.
    #[default]
    Heal,
    /// Fail, and leave the archive as it is.
    Fail,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            budget: MemoryBudget::default(),
            target_file_bytes: 128 << 20,
            commit_every: Duration::from_secs(180),
            compression_level: 1,
            content_digest: DigestShare::default(),
            selection: Selection::default(),
            accept_selection: false,
            accept_deployment: None,
            on_gap: OnGap::default(),
            stop: Stop::default(),
        }
    }
}

/// A request to end a run at its next commit, by somebody or by the clock. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: Arc<watch::Sender<bool>>,
    at: Option<Instant>,
}

impl Default for Stop {
    /// Only once it is asked for.
    fn default() -> Self {
        Self { asked: Arc::new(watch::Sender::new(false)), at: None }
    }
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        self.asked.send_replace(true);
    }

    /// The same request, which also comes by itself after `time` from now, whether the run has caught up or not.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { at: Instant::now().checked_add(time), ..self }
    }

    /// Ready once the end was asked for, or the time is over.
    pub async fn requested(&self) {
        let over = async {
            match self.at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut asked = self.asked.subscribe();
        tokio::select! {
            // The sender lives as long as `self`, so waiting cannot fail.
            _ = asked.wait_for(|stop| *stop) => {}
            () = over => {}
        }
    }
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SyncReport {
    /// The deployment.
    pub deployment: DeploymentIdentity,
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
    /// Gaps that this run found and recorded, or that an earlier one did which ended before the new base was complete: a
    /// finding, whatever else went well.
    pub gaps: Vec<Gap>,
    /// The archive's version now.
    pub version: u64,
    /// SHA-256 of the newest commit.
    pub digest: String,
    /// The delta cursor: the archive covers up to here. Absent until the first snapshot is complete. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub through: Option<Timestamp>,
    /// When the deployment answered last. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub checked_at: Option<Timestamp>,
}

impl SyncReport {
    /// How far the archive is behind at `now`: since the deployment answered last if it had nothing more (an idle one
    /// writes nothing that could be behind), else since the `_ts` reached. Absent until the first snapshot is complete.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        let since = if self.caught_up { self.checked_at } else { self.through };
        since
            .filter(|_| self.through.is_some())
            .map(|ts| Duration::from_nanos(now.0.saturating_sub(ts.0).try_into().unwrap_or(0)))
    }
}

/// What the deployment says of itself, if it is the archive's own; and who it is, if it has moved.
async fn ask(
    source: &dyn Source,
    archive: &Archive,
    head: &Head,
    options: &SyncOptions,
) -> Result<(Shapes, Option<DeploymentIdentity>)> {
    let identity = source.identity().await?;
    let same = head.deployment().is_same(&identity);
    let accepted = options.accept_deployment.as_deref().is_some_and(|text| {
        let text = text.trim_end_matches('/');
        identity.origin == text || identity.name.as_deref() == Some(text)
    });
    if !same && !accepted {
        return Err(Error::usage(format!(
            "the archive {} belongs to the deployment {}, and this key and URL lead to {identity}; use another archive for it. If it \
             is the same database under another name or address, say so with --accept-deployment {}",
            archive.url(),
            head.deployment(),
            identity.origin,
        )));
    }
    Ok((source.shapes().await?, (!same).then_some(identity)))
}

/// # Errors
/// Usage, if the archive has another selection and that was not accepted, or the source leaves out what is selected.
fn check_selection(source: &dyn Source, archive: &Archive, head: &Head, options: &SyncOptions) -> Result<()> {
    if !options.selection.narrows(&source.selection()) {
        return Err(Error::usage(format!(
            "`{}` is to be archived, but the source sends `{}` only: give both the same selection",
            options.selection,
            source.selection()
        )));
    }
    match head.latest().map(|latest| &latest.selection) {
        Some(before) if *before != options.selection && !options.accept_selection => Err(Error::usage(format!(
            "the archive {} holds the selection `{before}`, and `{}` is asked for; give it the same --include and --exclude, or \
             say --accept-selection: what leaves has a gap from now on, what joins gets a new base",
            archive.url(),
            options.selection
        ))),
        _ => Ok(()),
    }
}

/// Brings `archive` up to date with `source`.
///
/// # Errors
/// Usage, if the archive belongs to another deployment or holds another selection: no page is asked for then. Conflict, if
/// another writer moved the archive on. Window, if the deployment no longer keeps the changes after the cursor and
/// [`OnGap::Fail`] is asked for. Otherwise whatever source or store answered; what had been committed before stays.
pub async fn sync(
    source: Arc<dyn Source>,
    archive: &Archive,
    options: &SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let head = archive.head().await?;
    check_selection(source.as_ref(), archive, &head, options)?;
    let asked = tokio::select! {
        biased;
        () = options.stop.requested() => None,
        answered = ask(source.as_ref(), archive, &head, options) => Some(answered?),
    };
    let first_run = head.progress().delta.is_none();
    let Some((shapes, moved)) = asked else {
        // Nobody has answered, so nothing is committed.
        let advisory = write::Advisory::of(head.version());
        let work = Work { head, run: Run::begin(), advisory, moved: None, sum: Sum::default() };
        return Ok(work.report(first_run, false));
    };
    for message in shapes.warnings.iter().chain(&never_fitting(&shapes, &options.selection)) {
        monitor.report(Event::Warning { message });
    }
    let given = Given { source, archive, shapes, options, monitor };
    let advisory = write::Advisory::of(head.version());
    let unhealed = unhealed(&head);
    let mut work = Work { head, run: Run::begin(), advisory, moved, sum: Sum { unhealed, ..Sum::default() } };
    let changed = work.head.latest().is_some_and(|latest| latest.selection != options.selection);
    if changed || work.moved.is_some() {
        // Its cursor, and what it says of tables without rows, are of before.
        base::close(&mut work, &given, "the selection or the deployment has changed").await?;
        work.run = Run::begin();
    }
    let caught_up = work.catch_up(&given).await?;
    Ok(work.report(first_run, caught_up))
}

/// A warning for each table that is selected or left out by name, if the deployment lists its tables and has none of that name.
fn never_fitting(shapes: &Shapes, selection: &Selection) -> Vec<String> {
    let names = if shapes.complete { selection.fitting_none_of(shapes.tables.keys()) } else { Vec::new() };
    let warning =
        |name| format!("the deployment has no table `{name}`, which the selection names: is it spelled right?");
    names.into_iter().map(warning).collect()
}

/// Gaps behind which no base of all tables has followed yet: the run that found them ended too early.
fn unhealed(head: &Head) -> Vec<Gap> {
    let coverage = head.coverage();
    let follows = |gap: &&Gap| !coverage.bases.iter().any(|base| base.ts >= gap.to && base.scope.holds_unseen());
    coverage.gaps.iter().filter(follows).cloned().collect()
}

/// What a run is given.
struct Given<'a> {
    source: Arc<dyn Source>,
    archive: &'a Archive,
    shapes: Shapes,
    options: &'a SyncOptions,
    monitor: Arc<dyn Monitor>,
}

/// What a run has reached so far.
struct Work {
    head: Head,
    run: Run,
    advisory: write::Advisory,
    /// Who the deployment is now, until a commit says so.
    moved: Option<DeploymentIdentity>,
    sum: Sum,
}

#[derive(Default)]
struct Sum {
    pages: u64,
    page_bytes: u64,
    commits: u64,
    rows: Counts,
    tables: BTreeSet<TableRef>,
    /// Found and recorded by this run.
    gaps: Vec<Gap>,
    /// Recorded before it.
    unhealed: Vec<Gap>,
}

impl Work {
    /// Passes until the deployment has nothing more and no base is owed: true; or until a stop: whether it had.
    async fn catch_up(&mut self, given: &Given<'_>) -> Result<bool> {
        let mut progress = self.head.progress().clone();
        let mut refused = 0;
        loop {
            let end = self.pass(given, progress).await?;
            // Ids of bases and names of files hold the run's, and both are given once.
            self.run = Run::begin();
            if let fetch::End::TooOld(phase, error) = end {
                // A deployment that goes on refusing is to be heard.
                match phase {
                    Phase::Snapshot if refused < SNAPSHOTS_REFUSED => {
                        refused += 1;
                        base::close(self, given, &error.to_string()).await?;
                    }
                    Phase::Delta if self.sum.gaps.is_empty() => {
                        let Some(gap) = gap::record(self, given, error).await? else { return Ok(false) };
                        self.sum.gaps.push(gap);
                    }
                    _ => return Err(error),
                }
                self.run = Run::begin();
                progress = self.head.progress().clone();
                continue;
            }
            if matches!(end, fetch::End::Stopped) {
                return Ok(false);
            }
            let walk = tokio::select! {
                biased;
                () = given.options.stop.requested() => return Ok(self.head.owed() == Owed::Nothing),
                walk = base::begin(&self.head, &self.run, given) => walk?,
            };
            match walk {
                Some(walk) => progress = Progress { walk: Some(walk), ..self.head.progress().clone() },
                None => return Ok(true),
            }
        }
    }

    /// One pass through the three stages: from `progress` until the deployment has nothing more.
    async fn pass(&mut self, given: &Given<'_>, progress: Progress) -> Result<fetch::End> {
        let (page_queue, pages) = mpsc::channel(1);
        let (step_queue, steps) = steps::Steps::channel(given.options.budget.queued(), Handle::current());
        let gather = gather::Gather::new(&self.head, progress.clone(), &self.run, given);
        let fetch = tokio::spawn(fetch::fetch(
            Arc::clone(&given.source),
            progress,
            page_queue,
            given.options.budget.pages_waiting(),
            given.options.stop.clone(),
        ));
        let gather = tokio::task::spawn_blocking(move || gather.run(pages, step_queue));
        let written = write::write(given, self, steps).await;

        // Each stage ends once the one behind it has ended, so the last one's failure is the cause of the others'. A request
        // to the deployment may take a quarter of an hour: nobody waits for a page that nobody will take.
        if written.is_err() {
            fetch.abort();
        }
        let panicked = |e| Error::internal("a stage of the sync panicked").with_source(e);
        let gathered = gather.await.map_err(panicked)?;
        let fetched = match fetch.await {
            Err(e) if e.is_cancelled() => Ok(fetch::End::Stopped),
            fetched => fetched.map_err(panicked)?,
        };
        written?;
        let gathered = gathered?;
        self.sum.pages += gathered.pages;
        self.sum.page_bytes += gathered.page_bytes;
        fetched
    }

    /// Every commit of a run; the first says who the deployment is now, if it has moved.
    async fn commit(&mut self, archive: &Archive, draft: Draft) -> Result<()> {
        let draft = Draft { deployment: self.moved.clone(), ..draft };
        match archive.commit(&self.head, &mut self.run, draft).await? {
            CommitOutcome::Committed(head) => self.head = *head,
            CommitOutcome::Conflict { version } => {
                return Err(Error::conflict(format!(
                    "another sync wrote version {version} of {} at the same time; its work counts, this run's since its last commit \
                     does not; run again once it has finished, and let one sync at a time run on an archive",
                    archive.url(),
                )));
            }
        }
        self.moved = None;
        self.sum.commits += 1;
        Ok(())
    }

    fn report(self, first_run: bool, caught_up: bool) -> SyncReport {
        let Self { head, sum, .. } = self;
        SyncReport {
            deployment: head.deployment().clone(),
            first_run,
            caught_up,
            pages: sum.pages,
            page_bytes: sum.page_bytes,
            tables: sum.tables.len() as u64,
            documents: sum.rows.rows - sum.rows.tombstones,
            tombstones: sum.rows.tombstones,
            rescued_rows: sum.rows.rescued_rows,
            files: sum.rows.files,
            file_bytes: sum.rows.bytes,
            commits: sum.commits,
            gaps: sum.unhealed.into_iter().chain(sum.gaps).collect(),
            version: head.version(),
            digest: head.digest().to_owned(),
            through: head.covered_through(),
            checked_at: head.latest().map(|l| l.checked_at),
        }
    }
}
