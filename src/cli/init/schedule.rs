//! [`Every`]: an interval that all schedulers can keep.

use std::{fmt, time::Duration};

use super::super::units::long;

/// Minutes that divide an hour, hours that divide a day, or a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Every {
    Minutes(u64),
    Hours(u64),
    Day,
}

impl Every {
    /// # Errors
    /// What to say instead.
    pub(super) fn new(time: Duration) -> Result<Self, String> {
        let seconds = time.as_secs();
        match (seconds / 60, seconds % 60) {
            (minutes @ 1..60, 0) if 60 % minutes == 0 => Ok(Self::Minutes(minutes)),
            (1440, 0) => Ok(Self::Day),
            (minutes, 0) if minutes % 60 == 0 && minutes > 0 && 1440 % minutes == 0 => Ok(Self::Hours(minutes / 60)),
            _ => {
                Err("use 1m, 5m, 10m, 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h, 1d, or another time that divides an \
                hour or a day"
                    .to_owned())
            }
        }
    }

    pub(super) fn time(self) -> Duration {
        Duration::from_secs(
            60 * match self {
                Self::Minutes(minutes) => minutes,
                Self::Hours(hours) => 60 * hours,
                Self::Day => 24 * 60,
            },
        )
    }

    /// Five fields. `minute` is that at which hourly and daily runs begin, below 60: not all at the full hour.
    pub(super) fn cron(self, minute: u64) -> String {
        match self {
            Self::Minutes(1) => "* * * * *".to_owned(),
            Self::Minutes(minutes) => format!("*/{minutes} * * * *"),
            Self::Hours(1) => format!("{minute} * * * *"),
            Self::Hours(hours) => format!("{minute} */{hours} * * *"),
            Self::Day => format!("{minute} 2 * * *"),
        }
    }

    /// `OnCalendar` of a systemd timer.
    pub(super) fn calendar(self, minute: u64) -> String {
        match self {
            Self::Minutes(minutes) => format!("*:0/{minutes}"),
            Self::Hours(1) => format!("*:{minute:02}"),
            Self::Hours(hours) => format!("0/{hours}:{minute:02}"),
            Self::Day => format!("02:{minute:02}"),
        }
    }

    /// EventBridge's `rate(…)`.
    pub(super) fn rate(self) -> String {
        let rate = |n: u64, unit: &str| format!("rate({n} {unit}{})", if n == 1 { "" } else { "s" });
        match self {
            Self::Minutes(minutes) => rate(minutes, "minute"),
            Self::Hours(hours) => rate(hours, "hour"),
            Self::Day => rate(1, "day"),
        }
    }

    /// As flags of this program take it.
    pub(super) fn flag(self) -> String {
        match self {
            Self::Minutes(minutes) => format!("{minutes}m"),
            Self::Hours(hours) => format!("{hours}h"),
            Self::Day => "1d".to_owned(),
        }
    }
}

/// `15 minutes`, `hour`: behind "every".
impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(1) => f.write_str("minute"),
            Self::Hours(1) => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            _ => f.write_str(&long(self.time())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_what_every_scheduler_can_keep() {
        for (minutes, cron, calendar, rate, flag, words) in [
            (1, "* * * * *", "*:0/1", "rate(1 minute)", "1m", "minute"),
            (5, "*/5 * * * *", "*:0/5", "rate(5 minutes)", "5m", "5 minutes"),
            (60, "17 * * * *", "*:17", "rate(1 hour)", "1h", "hour"),
            (360, "17 */6 * * *", "0/6:17", "rate(6 hours)", "6h", "6 hours"),
            (1440, "17 2 * * *", "02:17", "rate(1 day)", "1d", "day"),
        ] {
            let every = Every::new(Duration::from_secs(60 * minutes)).unwrap();
            assert_eq!((every.cron(17).as_str(), every.calendar(17).as_str()), (cron, calendar));
            assert_eq!((every.rate().as_str(), every.flag().as_str()), (rate, flag));
            assert_eq!((every.to_string().as_str(), every.time().as_secs()), (words, 60 * minutes));
        }
        for seconds in [1, 90, 7 * 60, 90 * 60, 5 * 3600, 2 * 86_400] {
            assert!(Every::new(Duration::from_secs(seconds)).is_err(), "{seconds}");
        }
    }
}
