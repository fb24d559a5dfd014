//! What is printed of a run.

use std::time::Duration;

use convex_archiver::{DeploymentIdentity, Error, Result, Timestamp, lease::Holder, sync::SyncReport};
use serde::Serialize;

use super::{
    super::{
        compact,
        exit::{self, ErrorDescription},
        healed,
        outcome::Outcome,
        output,
        telemetry::Screen,
        units::{self, bytes, counted, long},
        words,
    },
    overlap,
    record::{RunFacts, RunRecord, SyncedArchive},
};

/// What an archive does not hold, as the first report says.
const NOT_HELD: [&str; 4] = [
    "the contents of stored files, and the system tables (_storage among them)",
    "the deployment's code, schema definitions and indexes",
    "environment variables and authentication settings",
    "scheduled functions and cron jobs",
];

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    run: &'a RunFacts,
    #[serde(flatten)]
    sync: &'a SyncReport,
    selection: String,
    more_waiting: bool,
    requests: u64,
    /// Requests that repeated one which had failed.
    retries: u64,
    /// What Convex bills as egress.
    response_bytes: u64,
    /// Requests of the store; None of a folder.
    store_requests: Option<u64>,
    lag_seconds: Option<u64>,
    deltas_left_seconds: Option<u64>,
    /// Absent if it is off.
    audit_every_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_in_archive: Option<[&'a str; 4]>,
}

/// Of a run that was stopped before it had begun, as JSON.
#[derive(Serialize)]
struct Stopped<'a> {
    #[serde(flatten)]
    run: &'a RunFacts,
    caught_up: bool,
    more_waiting: bool,
    commits: u64,
}

/// Of a run that found another one at work, as JSON.
#[derive(Serialize)]
struct Overlapping<'a> {
    #[serde(flatten)]
    run: &'a RunFacts,
    running: Running<'a>,
    commits: u64,
}

/// The run that is at work.
#[derive(Serialize)]
struct Running<'a> {
    run: &'a str,
    host: &'a str,
    started: String,
}

/// Of a run that failed, as JSON.
#[derive(Serialize)]
struct Failure<'a> {
    #[serde(flatten)]
    run: &'a RunFacts,
    deployment: Option<DeploymentIdentity>,
    version: Option<u64>,
    error: ErrorDescription,
}

/// Prints the report; with -q, unless there is something to look at, only as JSON.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_report(
    done: &SyncedArchive,
    outcome: Outcome,
    json: bool,
    record: &RunRecord,
    screen: &Screen,
) -> Result<()> {
    let SyncedArchive { sync, traffic, selection, audit_every, .. } = done;
    let (now, facts) = (Timestamp::now(), record.facts(outcome));
    let lag = sync.lag(now);
    let report = Report {
        run: &facts,
        sync,
        selection: selection.to_string(),
        more_waiting: !sync.caught_up,
        requests: traffic.requests,
        retries: traffic.retries,
        response_bytes: traffic.response_bytes,
        store_requests: record.location().and_then(|location| location.requests()),
        lag_seconds: lag.map(|l| l.as_secs()),
        deltas_left_seconds: sync.deltas_left(now).map(|left| left.as_secs()),
        audit_every_seconds: audit_every.map(|every| every.as_secs()),
        not_in_archive: sync.first_run.then_some(NOT_HELD),
    };
    record.reported(&report)?;
    if json {
        return output::print_json(&report);
    }
    if screen.quiet() && outcome == Outcome::Done {
        return Ok(());
    }
    output::print(&text(done, lag, &facts))
}

/// Prints that the run was stopped before anything had begun.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_stopped(json: bool, record: &RunRecord, screen: &Screen) -> Result<Outcome> {
    let outcome = Outcome::Done;
    let report = Stopped { run: &record.facts(outcome), caught_up: false, more_waiting: true, commits: 0 };
    record.reported(&report)?;
    if json {
        output::print_json(&report)?;
    } else if !screen.quiet() {
        output::print("Stopped before the deployment answered. Nothing was archived; run again.\n")?;
    }
    Ok(outcome)
}

/// Prints that another run is at work. It is not among the reports that are told.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_running(holder: &Holder, json: bool, record: &RunRecord, screen: &Screen) -> Result<Outcome> {
    let outcome = Outcome::Done;
    record.was_overlapping();
    if json {
        let running = Running { run: &holder.run, host: &holder.host, started: holder.started.to_string() };
        output::print_json(&Overlapping { run: &record.facts(outcome), running, commits: 0 })?;
    } else if !screen.quiet() {
        let what = overlap::running(holder);
        output::print(&format!("Nothing was done: {what}. With --wait, sync waits until that run has ended.\n"))?;
    }
    Ok(outcome)
}

/// Prints why the run failed.
pub(super) fn print_failure(error: &Error, json: bool, record: &RunRecord, screen: &Screen) -> Outcome {
    let described = ErrorDescription::from(error);
    let outcome = Outcome::Failed(described.exit_code);
    record.failed(described.kind);
    exit::print(&described, screen);
    let (run, deployment, version) = (record.facts(outcome), record.identity(), record.version());
    let report = Failure { run: &run, deployment, version, error: described };
    // What cannot be spelled, or written to stdout, cannot be reported there either.
    let _ = record.reported(&report);
    if json {
        let _ = output::print_json(&report);
    }
    outcome
}

/// The report, for people.
fn text(done: &SyncedArchive, lag: Option<Duration>, facts: &RunFacts) -> String {
    let SyncedArchive { sync: report, traffic, archive, selection, audit_every } = done;
    let state = match (report.caught_up, report.commits) {
        (true, _) => "caught up: the deployment has nothing more",
        (false, 0) => "stopped before anything was committed; more is waiting: run again",
        (false, _) => "stopped at a commit; more is waiting: run again",
    };
    let wrote = format!(
        "{} and {} of {}",
        counted(report.documents, "document"),
        counted(report.tombstones, "tombstone"),
        counted(report.tables, "table")
    );
    let took = facts.seconds;
    let mut facts = vec![
        ("Archive", format!("{archive}, version {}", report.version)),
        ("State", state.to_owned()),
        ("Wrote", wrote),
        ("", format!("{}, {}", counted(report.files, "file"), bytes(report.file_bytes))),
        ("Read", format!("{}, {}", counted(traffic.requests, "request"), bytes(traffic.response_bytes))),
    ];
    if !selection.is_everything() {
        facts.insert(1, ("Selection", selection.to_string()));
    }
    if report.rescued_rows > 0 {
        facts.push(("Rescued", format!("values of {} in _rescued", counted(report.rescued_rows, "row"))));
    }
    let joined = &report.compacted;
    if joined.inputs > 0 {
        facts.push(("Joined", format!("{} into {}", counted(joined.inputs, "small file"), joined.outputs)));
    }
    facts.extend(compact::bases(false, joined));
    facts.extend(report.gaps.iter().map(|gap| ("Lost", words::missing(gap))));
    facts.extend(healed::lines(report));
    facts.extend(healed::watching(report, *audit_every));
    facts.extend(output::findings(&report.findings));
    if let Some(through) = report.through {
        facts.push(("Through", units::time(through)));
    }
    if let Some(lag) = lag {
        facts.push(("Lag", long(lag)));
    }
    facts.push(("Took", format!("{took:.1} s, {}", counted(report.commits, "commit"))));
    facts.push(("Digest", report.digest.clone()));
    let mut text = output::facts(facts);
    if report.first_run {
        text.push_str("\nThis archive holds the documents of all selected tables. It does not hold:\n");
        text.extend(NOT_HELD.iter().map(|what| format!("  - {what}\n")));
    }
    text
}
