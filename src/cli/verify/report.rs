//! What is printed of a verification.

use std::{fmt::Write, time::Duration};

use convex_archiver::{
    Result,
    verify::{Problem, ProblemCounts, Repair, Suffers, VerifyDepth, VerifyReport},
};
use serde::Serialize;

use super::super::{
    outcome::Outcome,
    output, past,
    telemetry::Screen,
    units::{bytes, count, counted},
};

/// Problems that are printed for people; --json has all that are kept.
const SHOWN: usize = 50;

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    verified: &'a VerifyReport,
    seconds: f64,
}

/// Prints it; with -q, unless something is wrong, only as JSON.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print(
    archive: &str,
    found: &VerifyReport,
    outcome: Outcome,
    took: Duration,
    json: bool,
    screen: &Screen,
) -> Result<()> {
    if json {
        let seconds = took.as_millis() as f64 / 1000.0;
        return output::print_json(&Report { archive, exit_code: outcome.code(), verified: found, seconds });
    }
    if screen.quiet() && outcome == Outcome::Done {
        return Ok(());
    }
    output::print(&text(archive, found, took))
}

fn text(archive: &str, found: &VerifyReport, took: Duration) -> String {
    let mut text = String::new();
    for problem in found.problems.iter().take(SHOWN) {
        // A String takes everything.
        let _ = writeln!(text, "* {}\n", problem_lines(problem).join("\n  "));
    }
    let left = found.total.problems - found.problems.len().min(SHOWN) as u64;
    if left > 0 {
        let _ = writeln!(text, "* and {} more (--json has more of them)\n", count(left));
    }
    let mut facts = vec![
        ("Archive", format!("{archive}, version {}", found.version)),
        ("Result", result(&found.total)),
        ("Log", of_log(found)),
    ];
    if let Some(objects) = &found.objects {
        let of = found.tables.as_ref().map_or_else(String::new, |tables| format!(" of {tables}"));
        facts.push((
            "Objects",
            format!("{}{of} exist with the right size, {}", counted(objects.files, "data file"), bytes(objects.bytes)),
        ));
    }
    match (&found.data, found.depth) {
        (Some(data), _) => facts.push(("Data", of_data(found, data))),
        (None, VerifyDepth::Data) => facts.push(("Data", "not read: the version of the archive is unknown".to_owned())),
        (None, _) => facts.push(("Data", "not read (use --read-data to read them)".to_owned())),
    }
    if let Some(version) = found.expected_head {
        let behind = found.version.saturating_sub(version);
        let newer = if behind == 0 { "the newest".to_owned() } else { format!("{} before the newest", count(behind)) };
        facts.push(("Expected", format!("the digest is that of commit {version}, {newer}")));
    }
    if let Some(unneeded) = found.objects.as_ref().map(|objects| &objects.unneeded).filter(|u| u.objects > 0) {
        let what = format!(
            "{}, {}, such as {}: not part of this version, which is not damage",
            counted(unneeded.objects, "object"),
            bytes(unneeded.bytes),
            unneeded.examples.first().map_or("", String::as_str)
        );
        facts.push(("Not needed", what));
    }
    facts.extend(found.notes.iter().map(|note| ("Note", note.clone())));
    if let Some(digest) = &found.digest {
        facts.push(("Digest", digest.clone()));
    }
    facts.push(("Took", format!("{:.1} s", took.as_secs_f64())));
    text + &output::facts(facts)
}

fn of_log(found: &VerifyReport) -> String {
    let log = &found.log;
    format!(
        "{}, {}, {}, {}",
        counted(log.commits, "commit"),
        counted(log.checkpoints, "checkpoint"),
        counted(log.parts, "file list"),
        counted(log.schemas, "schema object")
    )
}

fn of_data(found: &VerifyReport, data: &convex_archiver::verify::VerifiedData) -> String {
    let share = found.sample.map_or_else(String::new, |sample| {
        format!(" (about {}% of all, chosen with seed {})", sample.percent, sample.seed)
    });
    let unique = match data.unique_tables {
        0 => String::new(),
        tables => format!("; each revision once in {}", counted(tables, "table")),
    };
    format!(
        "{}{share}, {} read and decoded, {}; {} compared with the data that the deployment sent{unique}",
        counted(data.files, "file"),
        counted(data.rows, "row"),
        bytes(data.bytes),
        counted(data.compared_rows, "row")
    )
}

fn result(total: &ProblemCounts) -> String {
    if total.problems == 0 {
        return "no problems".to_owned();
    }
    let parts = [
        (total.state, "in the newest state"),
        (total.history, "only in history"),
        (total.nothing, "without effect on the data"),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n)));
    format!("{}: {}", counted(total.problems, "problem"), parts.collect::<Vec<_>>().join(", "))
}

/// A problem, some lines.
pub(in super::super) fn problem_lines(problem: &Problem) -> Vec<String> {
    let mut lines = vec![problem.what.clone()];
    let mut concerns = Vec::new();
    if let Some(table) = &problem.table {
        concerns.push(format!("table {table}"));
    }
    if let Some(revisions) = problem.revisions {
        concerns.push(counted(revisions, "revision"));
    }
    match (problem.from, problem.to) {
        (Some(from), Some(to)) => concerns.push(format!("{} to {}", past::moment(from), past::moment(to))),
        (Some(from), None) => concerns.push(format!("after {}", past::moment(from))),
        (None, Some(to)) => concerns.push(format!("up to {}", past::moment(to))),
        (None, None) => {}
    }
    if !concerns.is_empty() {
        lines.push(format!("Concerns: {}", concerns.join(", ")));
    }
    lines.push(format!(
        "Affects: {}",
        match problem.suffers {
            Suffers::State => "the newest state",
            Suffers::History => "history, not the newest state",
            Suffers::Nothing => "nothing: other objects contain the same, or it is not needed",
        }
    ));
    let repairs: Vec<String> = problem.repairs.iter().map(Repair::to_string).collect();
    lines.push(match repairs.as_slice() {
        [] => "Repair: none; report it".to_owned(),
        repairs => format!("Repair: {}", repairs.join("; or ")),
    });
    lines
}
