//! [`Moment`]: what a person says of time (`--as-of`), and whether the archive covers it.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::{
    archive::{Base, Covers, Gap, Head, Span, TableState, WithdrawalReason},
    document::{TableRef, Timestamp},
    error::{Error, Result},
};

/// A moment as a person says it.
///
/// | text | means |
/// |---|---|
/// | `2026-11-24T07:45:39.5Z`, `2026-11-24 08:45:39 +01:00`, `2026-11-24 07:45 UTC` | that time, up to nanoseconds |
/// | `2026-11-24 07:45:39`, `2026-11-24T07:45` | the same: without a zone it is UTC |
/// | `2026-11-24`, `today` | that day, 00:00 UTC |
/// | `1795511357140932891` | `_ts`, nanoseconds |
/// | `2 hours ago`, `3d`, `1h30m ago` | so long before now |
/// | `yesterday` | 24 hours before now |
/// | `now` | as far as the archive reaches |
///
/// Whatever this program prints as a moment is read back, `2026-11-24T07:45:39Z (_ts 1795506339000000000)` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Exactly then.
    At(Timestamp),
    /// So many nanoseconds before now.
    Ago(i64),
    /// The last midnight, UTC.
    Today,
    /// As far as the archive reaches.
    Through,
}

const DAY: i64 = 86_400_000_000_000;

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
                .ok_or_else(|| Error::usage("that is before 1678, the earliest time that this program supports")),
            Self::Today => Ok(Timestamp(now.0 - now.0.rem_euclid(DAY))),
            Self::Through => head
                .coverage()
                .through
                .ok_or_else(|| Error::not_found("the archive holds nothing yet; run sync, then check `status`")),
        }
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let odd = || {
            Error::usage(format!(
                "`{}` is not a moment: write 2026-11-24 07:45:39 (UTC, or with a zone), 2026-11-24, `2 hours ago`, \
                 `yesterday`, `now`, or a _ts in \
                 nanoseconds",
                text.escape_debug()
            ))
        };
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "now" => return Ok(Self::Through),
            "today" => return Ok(Self::Today),
            "yesterday" => return Ok(Self::Ago(DAY)),
            _ => {}
        }
        if let Some(number) = number(text) {
            return number.map_err(|meant| meant.unwrap_or_else(odd)).map(|ts| Self::At(Timestamp(ts)));
        }
        if let Some(ts) = clock_time(text) {
            return Ok(Self::At(ts));
        }
        duration(lower.strip_suffix("ago").unwrap_or(&lower)).map(Self::Ago).ok_or_else(odd)
    }
}

/// A bare number: None, if it is none. The error is a sentence, if it looks like another unit than nanoseconds.
fn number(text: &str) -> Option<Result<i64, Option<Error>>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let Ok(number) = text.parse::<i64>() else { return Some(Err(None)) };
    // Since 1973. Smaller numbers are nanoseconds of 1970, as 0 is.
    let unit = match number {
        100_000_000..100_000_000_000 => Some(("seconds", 1_000_000_000)),
        100_000_000_000..100_000_000_000_000 => Some(("milliseconds", 1_000_000)),
        100_000_000_000_000..100_000_000_000_000_000 => Some(("microseconds", 1_000)),
        _ => None,
    };
    let Some((unit, factor)) = unit else { return Some(Ok(number)) };
    let meant = number.checked_mul(factor).map(Timestamp);
    Some(Err(meant.map(|meant| {
        Error::usage(format!(
            "{number} would be a _ts in 1970, because a bare number means nanoseconds. It looks like {unit}, which \
             would be {meant}: write that, or {}",
            meant.0
        ))
    })))
}

/// A day, or a time of a day; with what is printed behind it.
fn clock_time(text: &str) -> Option<Timestamp> {
    let (text, printed) = match text.split_once(" (_ts ") {
        Some((text, ts)) => (text, Some(ts.strip_suffix(')')?.parse::<i64>().ok()?)),
        None => (text, None),
    };
    let time = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => time_of_day(text),
    };
    let ts = time?.timestamp_nanos_opt()?;
    printed.is_none_or(|printed| printed == ts).then_some(Timestamp(ts))
}

fn time_of_day(text: &str) -> Option<DateTime<Utc>> {
    let utc = ["UTC", "utc", "GMT", "Z", "z"].iter().find_map(|zone| text.strip_suffix(zone)).map(str::trim_end);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(utc.unwrap_or(text), format) {
            return Some(time.and_utc());
        }
        for zone in ["%z", " %z"] {
            if let Ok(time) = DateTime::parse_from_str(text, &format!("{format}{zone}")) {
                return Some(time.to_utc());
            }
        }
    }
    None
}

/// `2 hours`, `3d`, `1h30m`, `1 day 2 hours`: nanoseconds.
fn duration(text: &str) -> Option<i64> {
    i64::try_from(humantime::parse_duration(text.trim()).ok()?.as_nanos()).ok()
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
        _ => Err(Error::not_found("the archive holds no complete snapshot yet; run sync, then check `status`")),
    }
}

/// Which moments are covered, as a sentence.
pub(super) fn covered(spans: &[Span]) -> String {
    if spans.is_empty() {
        return "no moment is covered yet; run `status` to see the progress".to_owned();
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
            ("2026-11-24 07:45", Some(Moment::At(Timestamp(1_795_506_300_000_000_000)))),
            ("2026-11-24T07:45", Some(Moment::At(Timestamp(1_795_506_300_000_000_000)))),
            ("2026-11-24T07:45:39", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24 07:45:39 UTC", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24 07:45:39UTC", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24 07:45:39.5 GMT", Some(Moment::At(Timestamp(1_795_506_339_500_000_000)))),
            ("2026-11-24 08:45:39 +01:00", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24 08:45 +0100", Some(Moment::At(Timestamp(1_795_506_300_000_000_000)))),
            ("2026-11-24 02:45:39-05:00", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24T07:45:39Z (_ts 1795506339000000000)", Some(Moment::At(Timestamp(1_795_506_339_000_000_000)))),
            ("2026-11-24T07:45:39Z (_ts 1795506339000000001)", None),
            ("2026-11-24 25:45", None),
            ("2026-11-24 07:45 CET", None),
            ("9999-01-01", None),
            ("yesterday", Some(Moment::Ago(DAY))),
            ("Today", Some(Moment::Today)),
            ("1d", Some(Moment::Ago(DAY))),
            ("6 hours", Some(Moment::Ago(6 * HOUR))),
            ("1795506339", None),
            ("1795506339000", None),
            ("1795506339000000", None),
        ] {
            assert_eq!(text.parse::<Moment>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_number_in_another_unit_is_refused_with_what_it_would_mean() {
        for (text, unit) in
            [("1795506339", "seconds"), ("1795506339000", "milliseconds"), ("1795506339000000", "microseconds")]
        {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            for part in [&format!("looks like {unit},"), "2026-11-24T07:45:39.000000000Z", "or 1795506339000000000"] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn a_moment_is_printed_in_full() {
        let text = in_full(Timestamp(1_795_506_339_000_000_001)).to_string();
        assert_eq!(text, "2026-11-24T07:45:39.000000001Z (_ts 1795506339000000001)");
    }
}
