//! On what a status may be alerted: conditions, and why each of them holds.

use std::{fmt, str::FromStr, time::Duration};

use convex_archiver::{
    Timestamp,
    archive::{Status, TableStatus},
    verify::Verification,
};
use serde::Serialize;

use super::{
    super::{
        units::{self, counted, long},
        words,
    },
    verified,
};

/// Clocks of two machines may differ by so much without anybody having to look.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What is said of a window that is over.
pub(super) const WINDOW_OVER: &str =
    "over: a deployment keeps its changes for 14 days and may have dropped some that the archive lacks";

/// What to fail on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// The archive is further behind than this.
    Lag(Duration),
    /// Less than this is left until the deployment drops changes that the archive lacks.
    Window(Duration),
    /// It has a gap.
    Gap,
    /// A selected table is not covered up to the end.
    Uncovered,
    /// It holds no document.
    Empty,
    /// A selected table was last proven longer ago than this.
    Unproven(Duration),
    /// A selected table may differ from the deployment.
    Suspect,
    /// It was last verified longer ago than this, or never; or a verification found problems.
    Unverified(Option<Duration>),
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| units::duration(text);
        match text.trim().split_once('=') {
            Some(("lag", most)) => time(most).map(Self::Lag),
            Some(("window", least)) => time(least).map(Self::Window),
            Some(("unproven", most)) => time(most).map(Self::Unproven),
            Some(("unverified", most)) => time(most).map(Some).map(Self::Unverified),
            None => match text.trim() {
                "gap" => Ok(Self::Gap),
                "uncovered" => Ok(Self::Uncovered),
                "empty" => Ok(Self::Empty),
                "suspect" => Ok(Self::Suspect),
                "unverified" => Ok(Self::Unverified(None)),
                _ => Err(no_condition()),
            },
            Some(_) => Err(no_condition()),
        }
    }
}

fn no_condition() -> String {
    "use lag=TIME, window=TIME, gap, uncovered, empty, unproven=TIME, suspect, unverified or unverified=TIME".to_owned()
}

/// A condition that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failed {
    /// `lag`, `window`, `gap`, `uncovered`, `empty`, `unproven`, `suspect`, `unverified`; `clock` where a time cannot be
    /// told.
    pub(super) condition: &'static str,
    pub(super) reason: String,
}

/// `lag: the lag is 7 hours, more than 6 hours`
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition, self.reason)
    }
}

/// Those that hold at `now`, each once, in the order in which they were asked for.
pub(super) fn failed(
    conditions: &[Condition],
    status: &Status,
    verified: &[Verification],
    now: Timestamp,
) -> Vec<Failed> {
    let mut failed: Vec<Failed> = Vec::new();
    for condition in conditions {
        for found in holds(*condition, status, verified, now) {
            if !failed.contains(&found) {
                failed.push(found);
            }
        }
    }
    failed
}

fn holds(condition: Condition, status: &Status, verifications: &[Verification], now: Timestamp) -> Vec<Failed> {
    let because = |condition, reason: Option<String>| reason.map(|reason| Failed { condition, reason });
    let clock = || because("clock", clock_ahead(status, now).map(clock));
    let window = |least: Duration| because("window", window(status, least));
    let uncovered = || because("uncovered", uncovered(status));
    let found = match condition {
        Condition::Lag(most) => {
            let lag = status.lag.filter(|lag| *lag > most);
            let lag = lag.map(|lag| format!("the lag is {}, more than {}", long(lag), long(most)));
            vec![because("lag", lag), uncovered(), window(Duration::ZERO), clock()]
        }
        Condition::Window(least) => vec![window(least), clock()],
        Condition::Gap => {
            let found = status.gaps.iter().filter(|gap| !gap.is_forgotten());
            let gaps = found.map(words::missing).collect::<Vec<_>>();
            vec![because("gap", (!gaps.is_empty()).then(|| gaps.join("; ")))]
        }
        Condition::Uncovered => vec![uncovered()],
        Condition::Empty => {
            let empty = status.total.rows == status.total.tombstones;
            vec![because("empty", empty.then(|| "the archive holds no documents".to_owned()))]
        }
        Condition::Unproven(most) => vec![because("unproven", unproven(status, most)), clock()],
        Condition::Suspect => vec![because("suspect", suspect(status))],
        Condition::Unverified(most) => vec![because("unverified", verified::unverified(verifications, most, now))],
    };
    found.into_iter().flatten().collect()
}

/// Why less is left than `least`: none is left of a window that is over.
fn window(status: &Status, least: Duration) -> Option<String> {
    let left = status.deltas_left?;
    if left.is_zero() {
        return Some(format!("the window is {WINDOW_OVER}"));
    }
    (left < least).then(|| {
        format!(
            "the deployment will drop changes that the archive lacks in {}, which is less than {}",
            long(left),
            long(least)
        )
    })
}

/// Which selected tables are not covered up to the end of what the archive covers.
fn uncovered(status: &Status) -> Option<String> {
    let Some(end) = status.through else {
        return Some("not all tables are covered yet: the first snapshot is not complete".to_owned());
    };
    let is_behind = |table: &&TableStatus| {
        status.selection.contains(&table.table) && table.covered.last().is_none_or(|span| span.to < end)
    };
    let behind: Vec<_> = status.tables.iter().filter(is_behind).collect();
    if behind.is_empty() {
        let owed = "not all tables are covered yet: a snapshot has to be completed";
        return status.base_owed.then(|| owed.to_owned());
    }
    let (count, tables) = (counted(behind.len() as u64, "table"), behind.iter().map(|table| &table.table));
    let doubt = if behind.iter().any(|table| table.component_doubt) {
        " (tables in components are covered only up to their snapshot until the server proves that it sends their \
         changes)"
    } else {
        ""
    };
    Some(format!("not all tables are covered yet; {count} not up to the end: {}{doubt}", words::list(tables)))
}

/// Which selected tables were last proven longer ago than `most`, or never.
fn unproven(status: &Status, most: Duration) -> Option<String> {
    let is_late = |table: &&TableStatus| {
        status.selection.contains(&table.table) && table.unproven.is_none_or(|unproven| unproven > most)
    };
    let late: Vec<_> = status.tables.iter().filter(is_late).collect();
    let never = late.iter().filter(|table| table.unproven.is_none()).count() as u64;
    let longest = late.iter().filter_map(|table| table.unproven).max();
    let (count, tables) = (counted(late.len() as u64, "table"), words::list(late.iter().map(|table| &table.table)));
    let since = match (longest, never) {
        (_, 0) => String::new(),
        (None, _) => ": never".to_owned(),
        (Some(_), n) => format!("; {n} never"),
    };
    let ago = longest.map_or_else(String::new, |longest| format!("; the oldest proof is {} old", long(longest)));
    (!late.is_empty())
        .then(|| format!("{count} not proven equal to the deployment in the last {}: {tables}{ago}{since}", long(most)))
}

/// Which selected tables are suspect, and why.
fn suspect(status: &Status) -> Option<String> {
    let suspects = status.tables.iter().filter(|table| status.selection.contains(&table.table));
    let suspects: Vec<_> = suspects.filter_map(|table| Some((&table.table, table.suspect.as_ref()?))).collect();
    let (table, span) = suspects.first()?;
    let tables = words::list(suspects.iter().map(|(table, _)| *table));
    Some(format!(
        "{} may differ from the deployment until a sync compares them: {tables} ({table} after {}: {})",
        counted(suspects.len() as u64, "table"),
        units::time(span.after),
        span.reason()
    ))
}

/// How far the last check lies in the future of this machine's clock, if it does: lag and window cannot be told then.
pub(super) fn clock_ahead(status: &Status, now: Timestamp) -> Option<Duration> {
    let ahead = u64::try_from(status.checked_at?.0.saturating_sub(now.0)).ok()?;
    Some(Duration::from_nanos(ahead)).filter(|ahead| *ahead > CLOCKS_DIFFER)
}

/// What is said of it.
pub(super) fn clock(ahead: Duration) -> String {
    format!(
        "the last check lies {} in the future according to this machine's clock, so lag and window are unknown; \
         correct the \
         clock that is wrong, here or where sync runs",
        long(ahead)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_people_write_them_and_others_name_the_list() {
        for (text, expected) in [
            ("lag=6h", Some(Condition::Lag(Duration::from_secs(21_600)))),
            ("window=3d", Some(Condition::Window(Duration::from_secs(259_200)))),
            (" gap", Some(Condition::Gap)),
            ("uncovered", Some(Condition::Uncovered)),
            ("empty", Some(Condition::Empty)),
            ("unproven=7d", Some(Condition::Unproven(Duration::from_secs(604_800)))),
            ("suspect", Some(Condition::Suspect)),
            ("unverified", Some(Condition::Unverified(None))),
            ("unverified=7d", Some(Condition::Unverified(Some(Duration::from_secs(604_800))))),
            ("unproven", None),
            ("suspect=1d", None),
            ("lag", None),
            ("gap=1", None),
            ("late", None),
            ("", None),
        ] {
            let read = text.parse::<Condition>();
            assert_eq!(read.clone().ok(), expected, "{text}");
            let list = "lag=TIME, window=TIME, gap, uncovered, empty, unproven=TIME, suspect, unverified or";
            assert!(read.is_ok() || read.unwrap_err().contains(list));
        }
    }
}
