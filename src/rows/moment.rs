//! [`Moment`]: what a person says of time (`--as-of`), and whether the archive covers it.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::{
    archive::{Base, Covers, Gap, Head, Span, TableState, WithdrawalReason},
    document::{TableRef, Timestamp},
    error::{Error, Result},
};

/// A moment as a person says it.
///
/// | text | means |
/// |---|---|
/// | `2026-11-24T07:45:39.5Z`, `2026-11-24T08:45:39+01:00` | RFC 3339, up to nanoseconds |
/// | `2026-11-24` | that day, 00:00 UTC |
/// | `1795511357140932891` | `_ts`, nanoseconds |
/// | `2 hours ago`, `3d ago`, `1h30m ago` | so long before now |
/// | `now` | as far as the archive reaches |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Exactly then.
    At(Timestamp),
    /// So many nanoseconds before now.
    Ago(i64),
    /// As far as the archive reaches.
    Through,
}

/// Nanoseconds.
const UNITS: [(&[&str], i64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "week", "weeks"], 7 * 86_400_000_000_000),
];

impl Moment {
    /// The `_ts` that is meant at `now`, nanoseconds.
    ///
    /// # Errors
    /// NotFound, if `now` is asked of an archive without a commit; Usage, if it lies before all time.
    pub fn resolve(self, head: &Head, now: Timestamp) -> Result<Timestamp> {
        match self {
            Self::At(ts) => Ok(ts),
            Self::Ago(length) => now
                .0
                .checked_sub(length)
                .map(Timestamp)
                .ok_or_else(|| Error::usage("that is before 1678, where this program's time begins")),
            Self::Through => head
                .coverage()
                .through
                .ok_or_else(|| Error::not_found("the archive holds nothing yet; run sync, and see status")),
        }
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let odd = || {
            Error::usage(format!(
                "`{}` is no moment: say 2026-11-24T07:45:39Z, 2026-11-24 (00:00 UTC), a _ts in nanoseconds, `2 hours ago`, \
                 `3d ago` or `now`",
                text.escape_debug()
            ))
        };
        if text.eq_ignore_ascii_case("now") {
            return Ok(Self::Through);
        }
        let negative = text.strip_prefix('-').unwrap_or(text);
        if !negative.is_empty() && negative.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Timestamp).map(Self::At).map_err(|_| odd());
        }
        let lower = text.to_ascii_lowercase();
        if let Some(length) = lower.strip_suffix("ago") {
            return duration(length).map(Self::Ago).ok_or_else(odd);
        }
        let time = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
            Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
        };
        time.and_then(|time| time.timestamp_nanos_opt()).map(|ts| Self::At(Timestamp(ts))).ok_or_else(odd)
    }
}

/// `2 hours`, `3d`, `1h30m`, `1 day 2 hours`: nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, next) = after.split_at(letters);
        let length = UNITS.iter().find(|(names, _)| names.contains(&unit)).map(|(_, length)| *length)?;
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = next.trim_start();
    }
    Some(sum)
}

/// A moment in full, as reports print it: `2026-11-24T09:09:17.140932891Z (_ts 1795511357140932891)`.
pub fn in_full(ts: Timestamp) -> impl fmt::Display {
    format!("{ts} (_ts {})", ts.0)
}

/// What the archive knows of `table`, and the base from which its state at `at` is computed.
///
/// # Errors
/// NotFound, if there is no such table, or the moment is not covered: the message names the spans that are.
pub fn base_at<'a>(head: &'a Head, table: &TableRef, at: Timestamp) -> Result<(&'a TableState, &'a Base)> {
    let state = known_table(head, table)?;
    match head.coverage().covers(table, at) {
        Covers::Covered(base) => Ok((state, base)),
        Covers::NotCovered(spans) => {
            let (why, at) = (forgotten(head, &[table], at), in_full(at));
            Err(Error::not_found(format!("table {table} is not covered at {at}{why}: {}", covered(&spans))))
        }
    }
}

/// That the moment was once in the archive for one of the tables, and somebody asked for it to be forgotten; nothing, if that is not why they are
/// not covered.
pub(super) fn forgotten(head: &Head, tables: &[&TableRef], at: Timestamp) -> &'static str {
    let coverage = head.coverage();
    let is_forgotten = |table: &TableRef| {
        let expired = |base: &Base| {
            let mut said = coverage.withdrawals.iter().filter(|w| w.base == base.id && w.scope.contains(table));
            base.ts <= at && base.holds(table) && said.any(|w| w.why == WithdrawalReason::Expired)
        };
        coverage.spans(table).first().is_none_or(|span| at < span.from) && coverage.bases.iter().any(expired)
    };
    if tables.iter().any(|table| is_forgotten(table)) { ", which was forgotten (`forget`)" } else { "" }
}

/// What the archive knows of `table`.
///
/// # Errors
/// NotFound, if there is no such table.
pub fn known_table<'a>(head: &'a Head, table: &TableRef) -> Result<&'a TableState> {
    head.table(table).ok_or_else(|| no_table(head, table))
}

/// A span in which changes may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSpan {
    /// Of these tables.
    pub tables: Vec<TableRef>,
    /// What comes after this, nanoseconds …
    pub from: Timestamp,
    /// … up to this.
    pub to: Timestamp,
    /// Whether somebody asked for them to be forgotten.
    pub forgotten: bool,
}

/// What may be missing of these tables within a span.
pub(crate) fn missing<'a>(
    head: &Head,
    tables: impl Iterator<Item = &'a TableRef>,
    span: &RangeInclusive<Timestamp>,
) -> Vec<MissingSpan> {
    let mut all: Vec<MissingSpan> = Vec::new();
    for table in tables {
        for (from, to) in head.coverage().missing(table) {
            let is_asked = |gap: &Gap| gap.is_forgotten() && (gap.from, gap.to) == (from, to);
            let forgotten = head.coverage().gaps.iter().any(|gap| is_asked(gap) && gap.scope.contains(table));
            let (from, to) = (from.max(*span.start()), to.min(*span.end()));
            if from >= to {
                continue;
            }
            match all.iter_mut().find(|known| (known.from, known.to, known.forgotten) == (from, to, forgotten)) {
                Some(known) => known.tables.push(table.clone()),
                None => all.push(MissingSpan { tables: vec![table.clone()], from, to, forgotten }),
            }
        }
    }
    all.sort_by_key(|missing| (missing.from, missing.to));
    all
}

/// From the first base on that still serves a table, as far as the deltas reach.
pub(crate) fn whole_span(head: &Head) -> Result<RangeInclusive<Timestamp>> {
    let coverage = head.coverage();
    let serves = |base: &&Base| head.tables().any(|state| coverage.serves(base, &state.table));
    let first = coverage.bases.iter().filter(serves).map(|base| base.ts).min();
    match (first.or_else(|| coverage.bases.iter().map(|base| base.ts).min()), coverage.through) {
        (Some(first), Some(through)) => Ok(first..=through),
        _ => Err(Error::not_found("the archive holds no complete snapshot yet; run sync, and see status")),
    }
}

/// Which moments are covered, as a sentence.
pub(super) fn covered(spans: &[Span]) -> String {
    if spans.is_empty() {
        return "no moment is, yet; see status".to_owned();
    }
    let spans = spans.iter().map(|span| {
        if span.from == span.to {
            in_full(span.from).to_string()
        } else {
            format!("{} to {}", in_full(span.from), in_full(span.to))
        }
    });
    format!("choose a moment in {}", spans.collect::<Vec<_>>().join(", "))
}

fn no_table(head: &Head, table: &TableRef) -> Error {
    const SHOWN: usize = 10;
    let mut names: Vec<_> = head.tables().take(SHOWN).map(|t| t.table.to_string()).collect();
    if head.tables().len() > SHOWN {
        names.push("…".to_owned());
    }
    let has = if names.is_empty() { "it has none yet".to_owned() } else { format!("it has {}", names.join(", ")) };
    Error::not_found(format!("the archive has no table {table}: {has}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_spelling_and_nonsense_is_refused() {
        const HOUR: i64 = 3_600_000_000_000;
        const DAY: i64 = 24 * HOUR;
        for (text, expected) in [
            ("2026-11-24T07:45:39.000000001Z", Some(Moment::At(Timestamp(1_795_506_339_000_000_001)))),
            ("2026-11-24T08:45:39.000000001+01:00", Some(Moment::At(Timestamp(1_795_506_339_000_000_001)))),
            ("2026-11-24", Some(Moment::At(Timestamp(1_795_478_400_000_000_000)))),
            ("1795511357140932891", Some(Moment::At(Timestamp(1_795_511_357_140_932_891)))),
            ("0", Some(Moment::At(Timestamp(0)))),
            ("-5", Some(Moment::At(Timestamp(-5)))),
            ("now", Some(Moment::Through)),
            (" Now ", Some(Moment::Through)),
            ("2 hours ago", Some(Moment::Ago(2 * HOUR))),
            ("3d ago", Some(Moment::Ago(3 * DAY))),
            ("3dago", Some(Moment::Ago(3 * DAY))),
            ("1h30m ago", Some(Moment::Ago(HOUR + HOUR / 2))),
            ("1 week 2 Days Ago", Some(Moment::Ago(9 * DAY))),
            ("", None),
            ("ago", None),
            ("two hours ago", None),
            ("2 ago", None),
            ("hours ago", None),
            ("2 fortnights ago", None),
            ("99999999999999999999", None),
            ("9999999999 days ago", None),
            ("2026-13-01", None),
            ("2026-11-24 07:45", None),
            ("2026-11-24T07:45:39", None),
            ("9999-01-01", None),
            ("yesterday", None),
        ] {
            assert_eq!(text.parse::<Moment>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_moment_is_printed_in_full() {
        let text = in_full(Timestamp(1_795_506_339_000_000_001)).to_string();
        assert_eq!(text, "2026-11-24T07:45:39.000000001Z (_ts 1795506339000000001)");
    }
}
