//! [`RunRecord`]: what is told of a run however it ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use convex_archiver::{
    DeploymentIdentity, Result, Selection, Timestamp, archive::Location, convex::Traffic, lease::Holder,
    sync::SyncReport,
};
use rand::Rng;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{outcome::Outcome, output, progress::Progress},
    overlap::host,
};

/// What came of it.
pub(super) struct SyncedArchive {
    pub(super) sync: SyncReport,
    pub(super) traffic: Traffic,
    pub(super) archive: String,
    pub(super) selection: Selection,
    /// How often tables are compared where nobody watches; None, if that is off.
    pub(super) audit_every: Option<Duration>,
}

/// One run, from its first moment on.
pub(super) struct RunRecord {
    id: String,
    started: Timestamp,
    begin: Instant,
    /// Hears of commits, also of a run that fails afterwards.
    progress: Arc<Progress>,
    known: Mutex<Known>,
}

/// What was learned on the way.
#[derive(Clone, Default)]
struct Known {
    archive: String,
    /// Where the archive is, once it is known that there is one.
    location: Option<Location>,
    deployment: Option<DeploymentIdentity>,
    done: Option<Sums>,
    /// The report in JSON, once the run has ended.
    report: Option<Value>,
    /// The kind of the error that ended it.
    error: Option<&'static str>,
    /// Whether another run was at work.
    overlaps: bool,
}

/// What was archived, in numbers.
#[derive(Clone, Copy)]
struct Sums {
    version: u64,
    caught_up: bool,
    documents: u64,
    tombstones: u64,
    files: u64,
    file_bytes: u64,
    commits: u64,
    gaps: u64,
    requests: u64,
    response_bytes: u64,
    through: Option<Timestamp>,
}

/// What every report of a run has.
#[derive(Serialize)]
pub(super) struct RunFacts {
    pub(super) run: String,
    pub(super) archive: String,
    pub(super) started: String,
    pub(super) ended: String,
    pub(super) seconds: f64,
    pub(super) exit_code: u8,
}

impl RunRecord {
    /// A run that begins now. `archive`: how the person names it.
    pub(super) fn begin(archive: &str, progress: Arc<Progress>) -> Self {
        // What names no place ends the run soon.
        let archive = Location::url_of(archive).unwrap_or_else(|_| archive.to_owned());
        Self {
            id: format!("{:08x}", rand::rng().random::<u32>()),
            started: Timestamp::now(),
            begin: Instant::now(),
            progress,
            known: Mutex::new(Known { archive, ..Known::default() }),
        }
    }

    fn learn(&self, learn: impl FnOnce(&mut Known)) {
        learn(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// There is an archive.
    pub(super) fn opened(&self, location: &Location) {
        self.learn(|known| {
            location.url().clone_into(&mut known.archive);
            known.location = Some(location.clone());
        });
    }

    /// Where the archive is; None, if the run ended before it had found one.
    pub(super) fn location(&self) -> Option<Location> {
        self.known().location
    }

    /// The run, as it holds the lease of the archive.
    pub(super) fn holder(&self) -> Holder {
        Holder::new(&self.id, host(), self.started)
    }

    /// Another run is at work: this one did nothing.
    pub(super) fn was_overlapping(&self) {
        self.learn(|known| known.overlaps = true);
    }

    /// This is what there is to be told of the run.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub(super) fn reported(&self, report: &impl Serialize) -> Result<()> {
        let report = output::value(report)?;
        self.learn(|known| known.report = Some(report));
        Ok(())
    }

    /// The report in JSON; None, as long as the run has not ended.
    pub(super) fn report(&self) -> Option<Value> {
        self.known().report
    }

    pub(super) fn deployment(&self, identity: DeploymentIdentity) {
        self.learn(|known| known.deployment = Some(identity));
    }

    pub(super) fn archived(&self, done: &SyncedArchive) {
        let SyncedArchive { sync, traffic, .. } = done;
        let sums = Sums {
            version: sync.version,
            caught_up: sync.caught_up,
            documents: sync.documents,
            tombstones: sync.tombstones,
            files: sync.files,
            file_bytes: sync.file_bytes,
            commits: sync.commits,
            gaps: sync.gaps.len() as u64,
            requests: traffic.requests,
            response_bytes: traffic.response_bytes,
            through: sync.through,
        };
        self.deployment(sync.deployment.clone());
        self.learn(|known| known.done = Some(sums));
    }

    pub(super) fn failed(&self, kind: &'static str) {
        self.learn(|known| known.error = Some(kind));
    }

    /// The newest version of the archive that the run knows of.
    pub(super) fn version(&self) -> Option<u64> {
        self.known().done.map(|done| done.version).or(self.progress.version())
    }

    pub(super) fn identity(&self) -> Option<DeploymentIdentity> {
        self.known().deployment
    }

    pub(super) fn facts(&self, outcome: Outcome) -> RunFacts {
        RunFacts {
            run: self.id.clone(),
            archive: self.known().archive,
            started: self.started.to_string(),
            ended: Timestamp::now().to_string(),
            // Milliseconds are enough.
            seconds: self.begin.elapsed().as_millis() as f64 / 1000.0,
            exit_code: outcome.code(),
        }
    }

    /// The last line of the log.
    pub(super) fn log(&self, outcome: Outcome) {
        let RunFacts { run, archive, seconds, exit_code, .. } = self.facts(outcome);
        let Known { deployment, done, error, overlaps, .. } = self.known();
        let deployment = deployment.map(|identity| identity.to_string());
        let (version, through) = (self.version(), done.and_then(|done| done.through).map(|ts| ts.to_string()));
        let message = match (outcome, done) {
            (Outcome::Done, None) if overlaps => "sync ended, another one is running",
            (Outcome::Done | Outcome::Findings, Some(done)) if done.caught_up => "sync ended, caught up",
            (Outcome::Done | Outcome::Findings, _) => "sync ended, more is waiting",
            (Outcome::Interrupted, _) => "sync interrupted",
            (Outcome::Failed(_), _) => "sync failed",
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    run,
                    archive,
                    deployment,
                    version,
                    exit_code,
                    seconds,
                    error,
                    through,
                    documents = done.map(|done| done.documents),
                    tombstones = done.map(|done| done.tombstones),
                    files = done.map(|done| done.files),
                    file_bytes = done.map(|done| done.file_bytes),
                    commits = done.map(|done| done.commits),
                    gaps = done.map(|done| done.gaps),
                    requests = done.map(|done| done.requests),
                    response_bytes = done.map(|done| done.response_bytes),
                    "{message}"
                )
            };
        }
        match outcome {
            Outcome::Done => line!(info),
            Outcome::Findings | Outcome::Interrupted => line!(warn),
            Outcome::Failed(_) => line!(error),
        }
    }
}
