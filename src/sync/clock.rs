//! [`Clock`]: the time that a run writes down.
//!
//! A run with a clock that is wrong would blind `status` for as long as it was wrong: an archive that was checked two months from
//! now lags behind by nothing for two months. So the deployment's time bounds ours: what its answers say (`Date`, in whole
//! seconds) and how far its log reaches.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

use crate::{
    convex::Source,
    document::Timestamp,
    error::{Error, Result},
    monitor::{Event, Finding, Monitor},
};

/// Clocks that differ by less are taken to agree, nanoseconds.
const AGREES: i64 = 5 * 60 * 1_000_000_000;
/// No log reaches farther beyond both clocks, nanoseconds.
const BEYOND: i64 = 60 * 60 * 1_000_000_000;

/// The time that a run writes down: this machine's, or the deployment's where the two are far apart.
pub(super) struct Clock {
    source: Arc<dyn Source>,
    monitor: Arc<dyn Monitor>,
    /// What is added to the time of this machine, nanoseconds.
    offset: AtomicI64,
    told: AtomicBool,
}

impl Clock {
    /// What the source has answered before may say already how far the clocks are apart.
    pub(super) fn new(source: Arc<dyn Source>, monitor: Arc<dyn Monitor>) -> Self {
        let offset = AtomicI64::new(apart(source.clock_offset()));
        Self { source, monitor, offset, told: AtomicBool::new(false) }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(Timestamp::now().0.saturating_add(self.offset.load(Relaxed)))
    }

    /// The time at which the deployment gave an answer, just now, that reaches so far.
    ///
    /// # Errors
    /// Protocol, if that lies in the future of both clocks.
    pub(super) fn answered(&self, through: Option<Timestamp>) -> Result<Timestamp> {
        let ours = Timestamp::now();
        let offset = offset(ours, self.source.clock_offset(), through)?;
        self.offset.store(offset, Relaxed);
        let at = Timestamp(ours.0.saturating_add(offset));
        if offset != 0 && !self.told.swap(true, Relaxed) {
            self.monitor.report(Event::Finding(&Finding::ClocksDiffer { ours, theirs: at }));
        }
        Ok(at)
    }
}

/// By how much the deployment's clock is ahead, if that is much.
fn apart(ahead: Option<i64>) -> i64 {
    ahead.filter(|ahead| ahead.unsigned_abs() > AGREES.unsigned_abs()).unwrap_or(0)
}

/// What is to be added to `ours`, which the deployment's clock is so many nanoseconds ahead of, if that is known.
fn offset(ours: Timestamp, ahead: Option<i64>, through: Option<Timestamp>) -> Result<i64> {
    let mut offset = apart(ahead);
    let Some(beyond) = through.map(|through| through.0.saturating_sub(ours.0)) else { return Ok(offset) };
    if beyond.saturating_sub(ahead.unwrap_or(0).max(0)) > BEYOND {
        let theirs = ahead.map_or_else(String::new, |ahead| {
            format!(", the deployment's {}", Timestamp(ours.0.saturating_add(ahead)))
        });
        let reached = Timestamp(ours.0.saturating_add(beyond));
        return Err(Error::protocol(format!(
            "the deployment says that its log has reached {reached}, which is in the future: this machine's clock says {ours}{theirs}. Check \
             both clocks; nothing was committed"
        )));
    }
    if beyond - offset > AGREES {
        offset = beyond;
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployments_time_is_written_where_the_clocks_differ_and_a_log_from_the_future_is_refused() {
        const MINUTE: i64 = 60 * 1_000_000_000;
        let ours = Timestamp(1_795_434_575_000_000_000);
        for (ahead, through, expected) in [
            (None, None, Some(0)),
            (Some(4), Some(4), Some(0)),
            (Some(-4), Some(-90), Some(0)),
            // Our clock is fast, by two months; and slow.
            (Some(-86_400), Some(-86_401), Some(-86_400)),
            (Some(86_400), Some(86_399), Some(86_400)),
            // No header tells, but the log has reached what is the future here.
            (None, Some(50), Some(50)),
            (Some(0), Some(50), Some(50)),
            (None, Some(61), None),
            (Some(0), Some(61), None),
            (Some(-86_400), Some(61), None),
            (Some(86_400), Some(86_461), None),
            (Some(86_400), Some(86_450), Some(86_450)),
        ] {
            let through = through.map(|minutes: i64| Timestamp(ours.0 + minutes * MINUTE));
            let found = offset(ours, ahead.map(|minutes: i64| minutes * MINUTE), through);
            let expected = expected.map(|minutes: i64| minutes * MINUTE);
            assert_eq!(found.ok(), expected, "{ahead:?} {through:?}");
        }
    }
}
