//! The verb `audit`.

mod args;
mod report;

use std::{sync::Arc, time::Instant};

pub(super) use self::args::AuditArgs;
use self::report::{Done, Ended, print_begin, print_document, print_end};
use super::{config, outcome::Outcome, output, progress::Progress, signals, telemetry::Screen};
use convex_archiver::{
    FindingCounter, MemoryBudget, Monitor, Result, Selection,
    archive::{Archive, Location},
    audit::{AuditOptions, AuditPlan, AuditReport, AuditResult, audit, plan_audit, repair},
    convex::{Client, ClientOptions, Source},
    sync::SyncOptions,
};

/// The archive and the deployment that are compared.
struct Opened {
    archive: Archive,
    client: Arc<Client>,
    /// The tables that the archive holds.
    selection: Selection,
    budget: MemoryBudget,
}

pub(super) async fn run(args: &AuditArgs, screen: &Screen) -> Result<Outcome> {
    let begin = Instant::now();
    let interrupted = signals::interrupted()?;
    let progress = Arc::new(Progress::new(screen));
    let findings = Arc::new(FindingCounter::new(Arc::clone(&progress)));
    let mut lines = output::Lines::new();
    let told = tokio::select! {
        biased;
        () = interrupted => Ok(None),
        told = compare(args, screen, &progress, &findings, &mut lines) => told.map(Some),
    };
    progress.finish();
    let told = match told {
        Ok(None) => {
            tracing::warn!("interrupted: nothing was recorded");
            return Ok(Outcome::Interrupted);
        }
        Ok(Some((opened, plan, report))) => finish(args, opened, plan, report, &progress, &findings, begin).await,
        Err(error) => Err(error),
    };
    progress.finish();
    let told = told.and_then(|(url, done)| {
        let outcome = outcome(&done);
        let ended = Ended { archive: &url, args, done: &done, outcome };
        print_end(&ended, screen, &mut lines).map(|()| outcome)
    });
    let outcome = told.as_ref().ok().copied();
    lines.end(told.map(drop))?;
    Ok(outcome.unwrap_or(Outcome::Findings))
}

/// Up to what was found.
async fn compare(
    args: &AuditArgs,
    screen: &Screen,
    progress: &Progress,
    findings: &Arc<FindingCounter<Arc<Progress>>>,
    lines: &mut output::Lines,
) -> Result<(Opened, AuditPlan, AuditReport)> {
    let monitor = || Arc::clone(findings) as Arc<dyn Monitor>;
    let wanted = args.selection()?;
    let opened = open(args, monitor).await?;
    let plan = plan_audit(opened.client.as_ref(), &opened.archive, &wanted, args.full).await?;
    progress.finish();
    print_begin(&plan, opened.archive.url(), args, screen, lines)?;
    let options = AuditOptions::default()
        .budget(opened.budget)
        .full(args.full)
        .documents(args.documents)
        .dry_run(args.dry_run)
        .max_download(args.max_download);
    let source = Arc::clone(&opened.client) as Arc<dyn Source>;
    let tell = |document| print_document(&document, args.json, lines);
    let report = audit(source, &opened.archive, &plan, &options, monitor(), tell).await?;
    Ok((opened, plan, report))
}

async fn open(args: &AuditArgs, monitor: impl Fn() -> Arc<dyn Monitor>) -> Result<Opened> {
    let budget = args.limits.budget()?;
    let access = args.deployment.access()?.resolve(monitor()).await?;
    let location = Location::open(&args.archive.url, &config::settings())?;
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await?.with_monitor(monitor());
    let selection = archive.head().await?.latest().map(|latest| latest.selection.clone()).unwrap_or_default();
    let asked = ClientOptions::default().selection(selection.clone()).budget(budget);
    let client = Arc::new(Client::new(access, asked, monitor())?);
    Ok(Opened { archive, client, selection, budget })
}

/// Repairs, where that is wanted and something differs.
async fn finish(
    args: &AuditArgs,
    opened: Opened,
    plan: AuditPlan,
    report: AuditReport,
    progress: &Arc<Progress>,
    findings: &Arc<FindingCounter<Arc<Progress>>>,
    begin: Instant,
) -> Result<(String, Done)> {
    let Opened { archive, client, selection, budget } = opened;
    let mut repaired = None;
    if args.repair && report.with(AuditResult::Differs).next().is_some() {
        let listener = Arc::clone(progress);
        let stop = signals::stop_at_a_commit(move || listener.finish())?;
        let options = SyncOptions::default().budget(budget).selection(selection).stop(stop);
        let monitor = Arc::clone(findings) as Arc<dyn Monitor>;
        repaired = Some(repair(Arc::clone(&client) as Arc<dyn Source>, &archive, &report, options, monitor).await?);
    }
    let (traffic, findings, took) = (client.traffic(), findings.counts(), begin.elapsed());
    Ok((archive.url().to_owned(), Done { plan, report, repaired, traffic, findings, took }))
}

/// What differs, or could not be compared, is to be looked at, unless it was repaired.
fn outcome(done: &Done) -> Outcome {
    let differ = || done.report.with(AuditResult::Differs);
    let unknown = done.report.with(AuditResult::NotCompared).next().is_some();
    let left = match &done.repaired {
        None => differ().next().is_some(),
        Some(sync) => {
            !sync.caught_up
                || !sync.gaps.is_empty()
                || differ().any(|table| sync.suspects.iter().any(|left| left.table == table.table))
        }
    };
    if unknown || left { Outcome::Findings } else { Outcome::Done }
}
