//! The verb `sync`.

mod args;
mod connect;
mod listeners;
mod metrics;
mod overlap;
mod record;
mod report;
mod tell;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use convex_archiver::{
    Event, FindingCounter, Monitor, Result, ResultExt, Timestamp,
    check::check_keeping_up,
    convex::Source,
    lease::Holder,
    sync::{Stop, SyncOptions, sync},
};
use tokio::time::Instant;

pub(super) use self::{args::SyncArgs, connect::open};
use self::{
    args::sync_options,
    connect::{Connected, connect},
    overlap::Turn,
    record::{RunRecord, SyncedArchive},
    report::{print_failure, print_report, print_running, print_stopped},
    tell::Listeners,
};
use super::{config, outcome::Outcome, progress::Progress, signals, telemetry::Screen};

/// How long a run that ends with more waiting looks whether the archive will ever catch up.
const KEEPING_UP: Duration = Duration::from_secs(10);

/// The run that goes on, for whoever ends it at once.
type Current = Arc<Mutex<Option<Arc<RunRecord>>>>;

pub(super) async fn run(args: &SyncArgs, screen: &Screen) -> Result<Outcome> {
    let current = Current::default();
    let interrupted = Arc::clone(&current);
    let stop = signals::stop_at_a_commit(move || {
        if let Some(record) = &*interrupted.lock().unwrap_or_else(PoisonError::into_inner) {
            record.log(Outcome::Interrupted);
        }
    })?;
    match args.every {
        None => run_once(args, screen, &current, stop).await,
        Some(every) => run_every(args, screen, &current, stop, every).await,
    }
}

/// A run after the other, until somebody asks for the end or too many have failed.
async fn run_every(
    args: &SyncArgs,
    screen: &Screen,
    current: &Current,
    stop: Stop,
    every: Duration,
) -> Result<Outcome> {
    let (mut failures, mut is_first) = (0, true);
    loop {
        let next = Instant::now() + every;
        // The limits of a run are its own, and the request to stop is that of all.
        let of_run = Stop::default();
        let handed_on = tokio::spawn({
            let (stop, of_run) = (stop.clone(), of_run.clone());
            async move {
                stop.requested().await;
                of_run.request();
            }
        });
        let outcome = run_once(args, screen, current, of_run).await;
        handed_on.abort();
        let outcome = outcome?;
        failures = if matches!(outcome, Outcome::Failed(_)) { failures + 1 } else { 0 };
        let is_set_up_wrong = is_first && outcome == Outcome::Failed(2);
        if failures >= args.max_failures || is_set_up_wrong {
            return Ok(outcome);
        }
        is_first = false;
        tokio::select! {
            biased;
            () = stop.requested() => return Ok(outcome),
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

async fn run_once(args: &SyncArgs, screen: &Screen, current: &Current, stop: Stop) -> Result<Outcome> {
    let progress = Arc::new(Progress::new(screen));
    let record = Arc::new(RunRecord::begin(&args.archive.url, Arc::clone(&progress)));
    *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&record));
    let mut listeners = Listeners::new(&args.listeners);
    let ended = run_recorded(args, screen, stop, &record, &progress, &mut listeners).await;
    // Of what failed before, too.
    progress.finish();
    let outcome = match ended {
        Ok(outcome) => outcome,
        Err(error) => print_failure(&error, args.json, &record, screen),
    };
    record.log(outcome);
    listeners.end(&args.archive.url, &record, outcome).await;
    Ok(outcome)
}

/// One run, up to its report.
async fn run_recorded(
    args: &SyncArgs,
    screen: &Screen,
    stop: Stop,
    record: &Arc<RunRecord>,
    progress: &Arc<Progress>,
    listeners: &mut Listeners<'_>,
) -> Result<Outcome> {
    if let Some(folder) = &args.temp_dir {
        config::use_temp_dir(folder)?;
    }
    let options = sync_options(args, stop)?;
    let findings = Arc::new(FindingCounter::new(Arc::clone(progress)));
    let done = archive_it(args, options, &findings, record, listeners).await;
    // The bars go before the report or the error comes.
    progress.finish();
    let mut done = match done? {
        Ended::Synced(done) => *done,
        Ended::Stopped => return print_stopped(args.json, record, screen),
        Ended::Running(holder) => return print_running(&holder, args.json, record, screen),
    };
    // Of client and archive, too.
    done.sync.findings = findings.counts();
    let outcome = if done.sync.has_findings() { Outcome::Findings } else { Outcome::Done };
    record.archived(&done);
    print_report(&done, outcome, args.json, record, screen)?;
    Ok(outcome)
}

/// How a run ended that did not fail.
enum Ended {
    Synced(Box<SyncedArchive>),
    /// Before the archive was open.
    Stopped,
    /// Another one is at work.
    Running(Holder),
}

/// One sync.
async fn archive_it(
    args: &SyncArgs,
    options: SyncOptions,
    listener: &Arc<FindingCounter<Arc<Progress>>>,
    record: &RunRecord,
    listeners: &mut Listeners<'_>,
) -> Result<Ended> {
    let monitor = || Arc::clone(listener) as Arc<dyn Monitor>;
    let stop = options.stop.clone();
    let connected = tokio::select! {
        biased;
        () = stop.requested() => return Ok(Ended::Stopped),
        connected = connect(args, options, record, monitor) => connected?,
    };
    let Connected { client, archive, options } = connected;
    let holding = match overlap::turn(archive.store(), record.holder(), args.wait, &stop).await {
        Turn::Ours(holding) => holding,
        Turn::Theirs(holder) => return Ok(Ended::Running(holder)),
        Turn::Stopped => return Ok(Ended::Stopped),
    };
    listeners.begin();
    let report = sync(Arc::clone(&client) as Arc<dyn Source>, &archive, &options, monitor()).await;
    overlap::end(holding).await;
    let sync = report.context(|| format!("sync to {}", archive.url()))?;
    if !sync.caught_up {
        let checked = check_keeping_up(&archive, &client, Timestamp::now());
        // Whoever has sent SIGTERM waits for the end; what takes longer is left to a later run.
        match tokio::time::timeout(KEEPING_UP, checked).await.unwrap_or(Ok(None)) {
            Ok(finding) => finding.iter().for_each(|finding| listener.report(Event::Finding(finding))),
            Err(error) => tracing::warn!("cannot determine whether the archive will catch up: {error}"),
        }
    }
    let (archive, selection, audit_every) = (archive.url().to_owned(), options.selection, options.audit_every);
    Ok(Ended::Synced(Box::new(SyncedArchive { sync, traffic: client.traffic(), archive, selection, audit_every })))
}
