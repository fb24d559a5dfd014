//! The verb `sync`.

mod args;
mod connect;
mod listeners;
mod metrics;
mod record;
mod report;
mod tell;

use std::sync::Arc;

use convex_archiver::{
    FindingCounter, Monitor, Result, ResultExt,
    convex::Source,
    sync::{SyncOptions, sync},
};

pub(super) use self::{args::SyncArgs, connect::open};
use self::{
    args::sync_options,
    connect::{Connected, connect},
    record::{RunRecord, SyncedArchive},
    report::{print_failure, print_report, print_stopped},
    tell::Listeners,
};
use super::{config, outcome::Outcome, progress::Progress, signals, telemetry::Screen};

pub(super) async fn run(args: &SyncArgs, screen: &Screen) -> Result<Outcome> {
    let progress = Arc::new(Progress::new(screen));
    let record = Arc::new(RunRecord::begin(&args.archive.url, Arc::clone(&progress)));
    let listeners = Listeners::begin(&args.listeners);
    let ended = run_recorded(args, screen, &record, &progress).await;
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
    record: &Arc<RunRecord>,
    progress: &Arc<Progress>,
) -> Result<Outcome> {
    let interrupted = Arc::clone(record);
    let stop = signals::stop_at_a_commit(move || interrupted.log(Outcome::Interrupted))?;
    if let Some(folder) = &args.temp_dir {
        config::use_temp_dir(folder)?;
    }
    let options = sync_options(args, stop)?;
    let findings = Arc::new(FindingCounter::new(Arc::clone(progress)));
    let done = archive_it(args, options, &findings, record).await;
    // The bars go before the report or the error comes.
    progress.finish();
    let Some(mut done) = done? else { return print_stopped(args.json, record, screen) };
    // Of client and archive, too.
    done.sync.findings = findings.counts();
    let outcome = if done.sync.has_findings() { Outcome::Findings } else { Outcome::Done };
    record.archived(&done);
    print_report(&done, outcome, args.json, record, screen)?;
    Ok(outcome)
}

/// One sync; `None` if it was stopped before the archive was open.
async fn archive_it(
    args: &SyncArgs,
    options: SyncOptions,
    listener: &Arc<FindingCounter<Arc<Progress>>>,
    record: &RunRecord,
) -> Result<Option<SyncedArchive>> {
    let monitor = || Arc::clone(listener) as Arc<dyn Monitor>;
    let stop = options.stop.clone();
    let connected = tokio::select! {
        biased;
        () = stop.requested() => return Ok(None),
        connected = connect(args, options, record, monitor) => connected?,
    };
    let Connected { client, archive, options } = connected;
    let report = sync(Arc::clone(&client) as Arc<dyn Source>, &archive, &options, monitor()).await;
    let sync = report.context(|| format!("sync to {}", archive.url()))?;
    let (archive, selection, audit_every) = (archive.url().to_owned(), options.selection, options.audit_every);
    Ok(Some(SyncedArchive { sync, traffic: client.traffic(), archive, selection, audit_every }))
}
