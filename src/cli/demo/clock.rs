//! The demo's own week. The deployment lives in November 2026 whenever the demo runs, so that its moments and ids are the same for
//! everybody, and what the README shows can be typed as it stands there.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use convex_archiver::{Event, Finding, Monitor, Timestamp};

/// When the documents arrive and when they change, UTC. A sync runs an hour later, each day.
pub(super) const DAYS: [Timestamp; 3] = [day(23), day(24), day(25)];

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Nine in the morning of a day of November 2026, UTC.
const fn day(day: i64) -> Timestamp {
    // The first of November 2026 in days since 1970.
    const NOVEMBER: i64 = 20_758;
    Timestamp((NOVEMBER + day - 1) * 24 * HOUR + 9 * HOUR)
}

/// An hour before a day's writes, as a person types it.
pub(super) fn before(day: Timestamp) -> String {
    typed(Timestamp(day.0 - HOUR))
}

/// An hour after a day's writes began, as a person types it.
pub(super) fn after(day: Timestamp) -> String {
    typed(Timestamp(day.0 + HOUR))
}

fn typed(moment: Timestamp) -> String {
    moment.to_datetime().format("%Y-%m-%d %H:%M").to_string()
}

/// The time at the deployment. It stands still while the deployment is archived. While a day's writes arrive, each transaction takes a second.
#[derive(Clone, Default)]
pub(super) struct DemoClock(Arc<Hands>);

#[derive(Default)]
struct Hands {
    now: AtomicI64,
    /// What a reading adds.
    step: AtomicI64,
}

impl DemoClock {
    pub(super) fn read(&self) -> Timestamp {
        Timestamp(self.0.now.fetch_add(self.0.step.load(Relaxed), Relaxed))
    }

    /// The writes of this day arrive, then it is an hour later.
    pub(super) fn during<T>(&self, day: Timestamp, writes: impl FnOnce() -> T) -> T {
        self.0.now.store(day.0, Relaxed);
        self.0.step.store(SECOND, Relaxed);
        let written = writes();
        self.0.step.store(0, Relaxed);
        self.0.now.store(day.0 + HOUR, Relaxed);
        written
    }
}

/// Passes on everything but that the clocks differ: here they have to.
pub(super) struct AnotherWeek(pub(super) Arc<dyn Monitor>);

impl Monitor for AnotherWeek {
    fn report(&self, event: Event<'_>) {
        if !matches!(event, Event::Finding(Finding::ClocksDiffer { .. })) {
            self.0.report(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_is_that_of_the_readme() {
        assert_eq!(DAYS.map(before), ["2026-11-23 08:00", "2026-11-24 08:00", "2026-11-25 08:00"]);
        assert_eq!(after(DAYS[1]), "2026-11-24 10:00");
    }
}
