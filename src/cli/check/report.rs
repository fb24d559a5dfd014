//! What is printed of a check.

use std::{fmt::Write as _, time::Duration};

use convex_archiver::{
    Result,
    check::{Check, CheckResult, FirstSnapshot, Range, Subject},
};
use serde::Serialize;

use super::super::{
    outcome::Outcome,
    output,
    units::{bytes, count, long},
};

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    checks: &'a [Check],
    #[serde(skip_serializing_if = "Option::is_none")]
    first_snapshot: Option<&'a FirstSnapshot>,
}

/// What was found.
pub(in super::super) struct Found {
    /// The archive's place.
    pub(in super::super) archive: String,
    /// The name of the deployment.
    pub(in super::super) deployment: Option<String>,
    /// In the order of their subjects.
    pub(in super::super) checks: Vec<Check>,
    pub(in super::super) first_snapshot: Option<FirstSnapshot>,
}

impl Found {
    /// Whether anything has to be mended.
    pub(in super::super) fn outcome(&self) -> Outcome {
        if self.checks.iter().any(|check| check.result == CheckResult::Wrong) {
            Outcome::Findings
        } else {
            Outcome::Done
        }
    }
}

/// Prints it.
///
/// # Errors
/// Resource, if it cannot be printed.
pub(super) fn print(found: &Found, json: bool) -> Result<()> {
    if json {
        return output::print_json(&Report {
            archive: &found.archive,
            exit_code: found.outcome().code(),
            deployment: found.deployment.as_deref(),
            checks: &found.checks,
            first_snapshot: found.first_snapshot.as_ref(),
        });
    }
    output::print(&text(&found.checks))
}

/// For people.
pub(in super::super) fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.subject.to_string().len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        // A String takes everything.
        let _ = writeln!(text, "{:7}  {:width$}  {}", word(check.result), check.subject, check.told);
        if let Some(fix) = &check.fix {
            let _ = writeln!(text, "{:7}  {:width$}  To do: {fix}", "", "");
        }
    }
    let of = |result| checks.iter().filter(|check| check.result == result).count() as u64;
    let end = match (of(CheckResult::Wrong), of(CheckResult::Unknown)) {
        (0, 0) => "No problems found.".to_owned(),
        (0, unknown) => format!("No problems found, but {} not known.", some(unknown, "thing is", "things are")),
        (wrong, _) => format!("{} to be fixed.", some(wrong, "thing has", "things have")),
    };
    text + "\n" + &end + "\n"
}

fn some(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Good => "ok",
        CheckResult::Note => "note",
        CheckResult::Unknown => "unknown",
        CheckResult::Wrong => "WRONG",
    }
}

/// The estimate as a check.
pub(super) fn first_snapshot(found: &FirstSnapshot) -> Check {
    let size = |n: f64| bytes(n as u64);
    let time = |seconds: f64| long(Duration::from_secs(seconds.ceil() as u64));
    let documents = range(found.documents, |n| count(n as u64));
    let mut told =
        format!("{documents} documents, {} to read, {}", range(found.bytes, size), range(found.seconds, time));
    if let Some(dollars) = found.dollars {
        let _ = write!(told, ", {} beyond what the plan includes", range(dollars, |d| format!("${d:.2}")));
    }
    let basis = if found.counted_tables == found.tables {
        String::new()
    } else {
        format!(" of {} of {} tables", count(found.counted_tables), count(found.tables))
    };
    let _ = write!(
        told,
        ". This is an estimate{basis}: the count is extrapolated from the first 1,024 random ids of each table, the \
         size from up to 1 MiB of each of the {} largest tables, and the time from reading that",
        count(found.measured_tables)
    );
    Check::note(Subject::FirstSnapshot, told)
}

fn range(range: Range, word: impl Fn(f64) -> String) -> String {
    let (low, high) = (word(range.low), word(range.high));
    if low == high { low } else { format!("{low} to {high}") }
}
