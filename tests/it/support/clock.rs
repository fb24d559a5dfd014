//! A world in a time of its own: nothing passes but what a test lets pass.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use convex_archiver::{
    TableRef, Timestamp,
    server::{RouterOptions, SimulatedDeployment},
};

use super::World;

/// When most worlds begin, nanoseconds: a week before the end of a month.
pub(crate) const BEGINNING: i64 = 1_795_434_575_000_000_000;
pub(crate) const MINUTE: i64 = 60_000_000_000;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;

impl World {
    /// A world that begins at this time, and its clock, which somebody moves: each look at it takes a microsecond.
    pub(crate) async fn clocked(begin: i64, seed: u64, options: RouterOptions) -> (Self, Arc<AtomicI64>) {
        let (deployment, clock) = clocked_deployment(begin, seed);
        (Self::of(deployment, options).await, clock)
    }
}

/// The same without a server.
pub(crate) fn clocked_deployment(begin: i64, seed: u64) -> (SimulatedDeployment, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(begin));
    let now = Arc::clone(&clock);
    let look = move || Timestamp(now.fetch_add(1000, Ordering::SeqCst));
    (SimulatedDeployment::with_clock("otter-1", seed, look), clock)
}

/// A table in no component.
pub(crate) fn named(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}
