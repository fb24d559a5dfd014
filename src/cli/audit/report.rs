//! What is printed of an audit: what it will read, each document that differs, and what came of it.

use std::{fmt::Write, time::Duration};

use convex_archiver::{
    FindingCounts, Result, Revision, TableRef,
    audit::{AuditPlan, AuditReport, AuditResult, AuditedTable, Difference, DifferingDocument},
    convex::Traffic,
    read::compare,
    sync::{Explanation, HealedTable, SuspectTable, SyncReport},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{
        field_changes::{Field, fields, lines as changed_lines},
        healed,
        outcome::Outcome,
        output, past,
        telemetry::Screen,
        units::{bytes, count, counted, time},
    },
    args::AuditArgs,
};

/// What was done.
pub(super) struct Done {
    pub(super) plan: AuditPlan,
    pub(super) report: AuditReport,
    pub(super) repaired: Option<SyncReport>,
    pub(super) traffic: Traffic,
    pub(super) findings: FindingCounts,
    pub(super) took: Duration,
}

/// An audit that has ended.
pub(super) struct Ended<'a> {
    pub(super) archive: &'a str,
    pub(super) args: &'a AuditArgs,
    pub(super) done: &'a Done,
    pub(super) outcome: Outcome,
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    audit: &'a AuditReport,
    at_ts: String,
    equal: usize,
    differ: usize,
    not_compared: usize,
    estimate: Estimate,
    documents: u64,
    requests: u64,
    /// What Convex bills as egress.
    response_bytes: u64,
    seconds: f64,
    findings: &'a FindingCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Repair<'a>>,
}

#[derive(Serialize)]
struct Estimate {
    documents: u64,
    bytes: u64,
    dollars: f64,
}

#[derive(Serialize)]
struct Repair<'a> {
    version: u64,
    caught_up: bool,
    healed: &'a [HealedTable],
    suspects: &'a [SuspectTable],
    explained: &'a [Explanation],
}

/// A document, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    table: &'a TableRef,
    id: &'a str,
    difference: Difference,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<Side>,
    changes: Vec<Field>,
}

/// A document as one of the two has it.
#[derive(Serialize)]
struct Side {
    ts: String,
    document: Option<Box<RawValue>>,
}

/// Says what will be read, before it is.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_begin(
    plan: &AuditPlan,
    archive: &str,
    args: &AuditArgs,
    screen: &Screen,
    lines: &mut output::Lines,
) -> Result<()> {
    let how = if args.full { "every value" } else { "ids and times of change" };
    let what = format!(
        "{how} of {}, about {}",
        counted(plan.tables.len() as u64, "table"),
        counted(plan.documents, "document")
    );
    let limit = args.max_download.filter(|limit| *limit < plan.bytes);
    let limit = limit.map_or_else(String::new, |limit| format!("; --max-download stops at {}", bytes(limit)));
    let cost = format!(
        "about {}, {} at Convex's US list prices of August 2026, beyond what the plan includes{limit}",
        bytes(plan.bytes),
        dollars(plan.dollars())
    );
    if args.json || screen.quiet() {
        tracing::info!("comparing {what}, as of {}: {cost}", time(plan.at));
        return Ok(());
    }
    let mut facts = vec![
        ("Archive", archive.to_owned()),
        ("Moment", format!("{}, the newest that the archive has", past::moment(plan.at))),
        ("Compares", what),
        ("Reads", cost),
    ];
    if !plan.all_tables_known {
        let text =
            "the deployment does not list its tables, so a table that the archive has never seen is not detected";
        facts.push(("Note", text.to_owned()));
    }
    lines.print(&output::facts(facts))?;
    lines.flush()
}

fn dollars(dollars: f64) -> String {
    if dollars < 0.01 { "less than 0.01 USD".to_owned() } else { format!("about {dollars:.2} USD") }
}

/// Prints a document that differs.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_document(document: &DifferingDocument, json: bool, lines: &mut output::Lines) -> Result<()> {
    let DifferingDocument { table, id, difference, archive, deployment } = document;
    let nothing = std::collections::BTreeMap::new();
    let of = |side: &'_ Option<Revision>| side.as_ref().and_then(|revision| revision.document.clone());
    let (before, after) = (of(archive), of(deployment));
    let changes = compare(before.as_ref().unwrap_or(&nothing), after.as_ref().unwrap_or(&nothing));
    if !json {
        let mut text = format!("\n{table} {id} {}\n", in_words(*difference));
        changed_lines(&mut text, &changes, true);
        return lines.print(&text);
    }
    let both = archive.is_some() && deployment.is_some();
    lines.print_json(&Line {
        table,
        id,
        difference: *difference,
        archive: side(archive.as_ref())?,
        deployment: side(deployment.as_ref())?,
        changes: if both { fields(&changes)? } else { Vec::new() },
    })
}

fn side(revision: Option<&Revision>) -> Result<Option<Side>> {
    let Some(revision) = revision else { return Ok(None) };
    Ok(Some(Side { ts: revision.ts.0.to_string(), document: past::document(revision)? }))
}

fn in_words(difference: Difference) -> &'static str {
    match difference {
        Difference::Missing => "is missing in the archive",
        Difference::Extra => "is not in the deployment",
        Difference::Different => "is another revision (archive -> deployment)",
        Difference::Altered => "has other values in the same revision (archive -> deployment)",
    }
}

/// Prints what came of it; with -q, unless there is something to look at, only as JSON.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print_end(ended: &Ended<'_>, screen: &Screen, lines: &mut output::Lines) -> Result<()> {
    let Ended { archive, args, done, outcome } = ended;
    let Done { plan, report, repaired, traffic, findings, took } = done;
    let number = |result| report.with(result).count();
    if args.json {
        let object = Report {
            archive,
            exit_code: outcome.code(),
            audit: report,
            at_ts: report.at.0.to_string(),
            equal: number(AuditResult::Equal),
            differ: number(AuditResult::Differs),
            not_compared: number(AuditResult::NotCompared),
            estimate: Estimate { documents: plan.documents, bytes: plan.bytes, dollars: plan.dollars() },
            documents: documents(report),
            requests: traffic.requests,
            response_bytes: traffic.response_bytes,
            seconds: took.as_millis() as f64 / 1000.0,
            findings,
            repair: repaired.as_ref().map(|sync| Repair {
                version: sync.version,
                caught_up: sync.caught_up,
                healed: &sync.healed,
                suspects: &sync.suspects,
                explained: &sync.explained,
            }),
        };
        // One line among lines, one object alone.
        return if args.documents { lines.print_json(&object) } else { lines.print(&output::json(&object)?) };
    }
    if screen.quiet() && *outcome == Outcome::Done {
        return Ok(());
    }
    lines.print(&text(ended))
}

fn documents(report: &AuditReport) -> u64 {
    report.tables.iter().map(|table| table.documents).sum()
}

/// The report, for people.
fn text(ended: &Ended<'_>) -> String {
    let Done { report, repaired, traffic, findings, took, .. } = ended.done;
    let mut text = String::from("\n");
    let header = ["Table", "Documents", "Missing", "Extra", "Different", "Altered"].map(str::to_owned).to_vec();
    let compared = report.tables.iter().filter(|table| table.result != AuditResult::NotCompared);
    let row = |t: &AuditedTable| {
        let sums = [t.documents, t.missing, t.extra, t.different, t.altered].map(count);
        std::iter::once(t.table.to_string()).chain(sums).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(compared.map(row)).collect();
    let _ = writeln!(text, "{}", output::table(&rows));
    for table in report.with(AuditResult::Differs) {
        let ids: Vec<_> = table.examples.iter().map(|e| format!("{} ({})", e.id, word(e.difference))).collect();
        let _ = writeln!(text, "* {} differs: {}{}", table.table, ids.join(", "), more(table));
    }
    for table in report.with(AuditResult::NotCompared) {
        let why = table.why.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "* {} was not compared: {why}", table.table);
    }
    let number = |result| report.with(result).count() as u64;
    let (equal, differ, unknown) =
        (number(AuditResult::Equal), number(AuditResult::Differs), number(AuditResult::NotCompared));
    let result = match (differ, unknown) {
        (0, 0) => format!("equal: {}", counted(equal, "table")),
        (_, 0) => format!("{} of {} differ", counted(differ, "table"), equal + differ),
        _ => format!("{equal} equal, {differ} different, {unknown} not compared"),
    };
    let mut facts = vec![
        ("Result", result),
        (
            "Read",
            format!(
                "{}, {}, {}",
                counted(documents(report), "document"),
                counted(traffic.requests, "request"),
                bytes(traffic.response_bytes)
            ),
        ),
        ("Took", format!("{:.1} s", took.as_secs_f64())),
    ];
    let recorded = match report.version {
        Some(version) => format!("in version {version} of the archive"),
        None if ended.args.dry_run => "no (--dry-run)".to_owned(),
        None => "no: there was nothing to record".to_owned(),
    };
    facts.push(("Recorded", recorded));
    if let Some(sync) = repaired {
        let end = if sync.caught_up { "complete" } else { "stopped at a commit; run sync to continue" };
        facts.push(("Repair", format!("{end}, version {}", sync.version)));
        facts.extend(healed::lines(sync));
    } else if differ > 0 {
        facts.push(("Advice", advice(ended.args, report)));
    }
    facts.extend(output::findings(findings));
    text + &output::facts(facts)
}

fn advice(args: &AuditArgs, report: &AuditReport) -> String {
    if args.dry_run {
        return "run audit --repair to correct it".to_owned();
    }
    if report.tables.iter().any(|table| table.altered > 0) {
        return "values differ in the same revision, so files of the archive may be damaged; the next sync fetches \
            those tables again, and so does audit --repair"
            .to_owned();
    }
    "the next sync corrects this; so does audit --repair".to_owned()
}

fn more(table: &AuditedTable) -> String {
    let all = table.missing + table.extra + table.different + table.altered;
    let left = all.saturating_sub(table.examples.len() as u64);
    if left == 0 { String::new() } else { format!(" and {} more (all with --documents)", count(left)) }
}

fn word(difference: Difference) -> &'static str {
    match difference {
        Difference::Missing => "missing",
        Difference::Extra => "extra",
        Difference::Different => "different",
        Difference::Altered => "altered",
    }
}
