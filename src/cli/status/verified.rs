//! What a status tells of verifications: when the archive was last verified, how deep, and what was found.

use std::time::Duration;

use convex_archiver::{
    Timestamp,
    verify::{ProblemCounts, Sample, Verification, VerifyDepth},
};
use serde::Serialize;

use super::super::units::{counted, long, time};

/// A verification, as JSON.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    /// When it began, RFC 3339.
    at: String,
    seconds_ago: u64,
    version: u64,
    depth: VerifyDepth,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<&'a str>,
    total: ProblemCounts,
}

impl<'a> Told<'a> {
    pub(super) fn of(one: &'a Verification, now: Timestamp) -> Self {
        let Verification { at, version, depth, sample, ref tables, total, .. } = *one;
        let seconds_ago = ago(at, now).as_secs();
        Self { at: at.to_string(), seconds_ago, version, depth, sample, tables: tables.as_deref(), total }
    }
}

fn ago(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or_default())
}

/// The facts, the newest verification first.
pub(super) fn facts(verified: &[Verification]) -> Vec<(&'static str, String)> {
    if verified.is_empty() {
        return vec![("Verified", "never".to_owned())];
    }
    verified.iter().map(|one| ("Verified", of_one(one))).collect()
}

fn of_one(one: &Verification) -> String {
    let tables = one.tables.as_ref().map_or_else(String::new, |tables| format!(" of {tables}"));
    let what = match (one.depth, one.sample) {
        (VerifyDepth::Log, _) => "the log".to_owned(),
        (VerifyDepth::Objects, _) => format!("the log and the objects{tables}"),
        (VerifyDepth::Data, None) => format!("the log, the objects and the data{tables}"),
        (VerifyDepth::Data, Some(sample)) => {
            format!("the log, the objects and about {}% of the data{tables}", sample.percent)
        }
    };
    let found = match one.total.problems {
        0 => "no problems".to_owned(),
        problems => counted(problems, "problem"),
    };
    format!("{} at version {}, {what}: {found}", time(one.at), one.version)
}

/// Why the archive does not count as verified: it never was, the last time is longer ago than `most`, or problems were found that no
/// later verification, as deep, found repaired.
pub(super) fn unverified(verified: &[Verification], most: Option<Duration>, now: Timestamp) -> Option<String> {
    let Some(last) = verified.first() else {
        return Some("no verification of the archive is recorded: run verify".to_owned());
    };
    let ago = ago(last.at, now);
    if let Some(most) = most.filter(|most| ago > *most) {
        return Some(format!("the archive was last verified {} ago, which is more than {}", long(ago), long(most)));
    }
    // One that went as far and found nothing would have taken its place.
    let found = verified.iter().find(|one| one.total.problems > 0)?;
    Some(format!(
        "the verification of {} found {}: run verify with the same depth to see whether they are repaired",
        time(found.at),
        counted(found.total.problems, "problem")
    ))
}
