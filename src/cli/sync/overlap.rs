//! A run that begins while another one is at work on the archive.

use std::{sync::Arc, time::Duration};

use convex_archiver::{
    Error, Result,
    lease::{Claim, Holder, Holding, claim},
    sync::Stop,
};
use object_store::ObjectStore;

use super::super::units;

/// How long somebody who waits lets pass before asking anew.
const PAUSE: Duration = Duration::from_secs(5);

/// What the run is to do.
pub(super) enum Turn {
    /// It is its turn. Without a lease, if the store does not let it be written or read.
    Ours(Option<Holding>),
    /// Somebody else is at work.
    Theirs(Holder),
    /// It was asked to stop while it waited.
    Stopped,
}

/// Asks whose turn it is; with `wait` until it is ours.
pub(super) async fn turn(store: &Arc<dyn ObjectStore>, us: Holder, wait: bool, stop: &Stop) -> Turn {
    let asking = async {
        let mut told = false;
        loop {
            match claim(store, us.clone()).await {
                Ok(Claim::Held(holding)) => return Turn::Ours(Some(holding)),
                Ok(Claim::Running(holder)) if !wait => return Turn::Theirs(holder),
                Ok(Claim::Running(holder)) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!("waiting: {}", running(&holder));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!("cannot determine whether another sync is running: {error}");
                    return Turn::Ours(None);
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => Turn::Stopped,
        turn = asking => turn,
    }
}

/// What to tell of somebody who is at work.
pub(super) fn running(holder: &Holder) -> String {
    let Holder { run, host, started, .. } = holder;
    let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
    format!("a sync has been running on this archive since {}{on} (run {run})", units::time(*started))
}

/// Gives the lease back.
pub(super) async fn end(holding: Option<Holding>) {
    let ended: Result<(), Error> = match holding {
        Some(holding) => holding.end().await,
        None => Ok(()),
    };
    if let Err(error) = ended {
        tracing::warn!(
            "could not release the lease, so the next run waits {} s: {error}",
            2 * convex_archiver::lease::PERIOD.as_secs()
        );
    }
}

/// What this machine calls itself.
pub(super) fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    told.unwrap_or_default().trim().to_owned()
}
