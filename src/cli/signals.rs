//! SIGINT and SIGTERM: the first ends the run at a commit, the second at once.

use std::time::{Duration, Instant};

use convex_archiver::{Error, Result, sync::Stop};

use super::outcome;

/// So soon, the same signal again is no second one. Ctrl-C reaches every process of a terminal's job, and `npx` passes on what it got, too.
const ECHO: Duration = Duration::from_millis(500);

/// Turns the first signal into a request to stop, from now on until the program ends; the second ends it, and `last` is what is
/// done before.
pub(crate) fn stop_at_a_commit(last: impl FnOnce() + Send + 'static) -> Result<Stop> {
    let stop = Stop::default();
    let requested = stop.clone();
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::warn!("{name}: ending at the next commit (send it again to end at once; commits are kept)");
        requested.request();
        let first = Instant::now();
        while signals.next().await == name && first.elapsed() < ECHO {}
        last();
        std::process::exit(outcome::INTERRUPTED.into());
    });
    Ok(stop)
}

/// From now on a reader that goes away is an error of the write, and ends nothing. So it is in Rust, unless the program has tried in vain to begin again
/// with one arena (`memory`).
pub(crate) fn outlive_readers() {
    // Where it cannot be had, everything stays as it is.
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe()));
}

/// Ready at the first signal from now on.
pub(crate) fn interrupted() -> Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        signals.next().await;
    })
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e| Error::resource("cannot listen for signals").with_source(e);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "termination requested",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[allow(clippy::unnecessary_wraps)] // As on Unix.
    fn listen() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
        "interrupted"
    }
}
