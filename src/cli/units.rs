//! Sizes and durations as people write and read them.

use std::time::Duration;

use convex_archiver::Timestamp;
use indicatif::{HumanBytes, HumanCount};

/// Bytes: `256MiB`, `1GiB`, `500MB`, `4096`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|_| "write a number and a unit, such as 256MiB, 1GiB or 500MB".to_owned())
}

/// A duration: `3m`, `90s`, `1h30m`, `14d`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write numbers and units, such as 10s, 3m, 1h30m, 14d or 250ms".to_owned())
}

/// A duration that is not nothing.
pub(crate) fn some_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|d| if d.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(d) })
}

/// `1.50 MiB`
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `1,234,567`
pub(crate) fn count(n: u64) -> String {
    HumanCount(n).to_string()
}

/// `1 table`, `3 tables`
pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The two largest units, in words (as no crate has them): `13 days 2 hours`, `4 minutes 1 second`, `0 seconds`.
pub(crate) fn long(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (name, seconds) in [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)] {
        let n = rest / seconds;
        rest %= seconds;
        if n > 0 {
            parts.push(counted(n, name));
        }
        // Nobody wants days and seconds.
        if parts.len() == 2 || (parts.len() == 1 && n == 0) {
            break;
        }
    }
    if parts.is_empty() { counted(0, "second") } else { parts.join(" ") }
}

/// `2026-11-24 08:19:06 UTC`
pub(crate) fn time(ts: Timestamp) -> String {
    ts.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("256MiB", Some(256 << 20)),
            ("1gib", Some(1 << 30)),
            ("500MB", Some(500_000_000)),
            ("", None),
            ("MiB", None),
            ("1.5GiB", Some(3 << 29)),
            ("-1", None),
            ("12 parsecs", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, expected) in [
            ("3m", Some(180_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("14d", Some(14 * 86_400_000)),
            ("1w", Some(7 * 86_400_000)),
            ("6 hours", Some(6 * 3_600_000)),
            ("1 day 2 hours", Some(26 * 3_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("3 m", Some(180_000)),
            ("1h30", None),
            ("99999999999999999999s", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
        assert!(some_duration("0s").is_err());
    }

    #[test]
    fn durations_are_told_by_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (61, "1 minute 1 second"),
            (3_600, "1 hour"),
            (86_400 + 3, "1 day"),
            (13 * 86_400 + 7_260, "13 days 2 hours"),
        ] {
            assert_eq!(long(Duration::from_secs(seconds)), expected);
        }
    }
}
