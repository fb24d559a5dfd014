//! Who is at work on an archive: `lease.json`, so that a run that a scheduler starts while another one goes on ends at once, and downloads nothing.
//!
//! It is advisory. Two runs that begin at one moment both find it free; then the slower one loses the race for a commit, as without it. Nothing that
//! is committed depends on it.
//!
//! # A heartbeat, and no clock
//! Whoever holds it writes the object again every [`PERIOD`], with a number that grows. Whoever finds one that is not ended watches for two periods, by its own
//! monotonic clock: if the number moves, its holder is alive; if not, the holder has died, and the lease is taken over. The clocks of the two
//! machines are never compared.
//!
//! It is released by writing it once more: a writer may not be allowed to delete. A run that is over within seconds never writes it.

use std::{sync::Arc, time::Duration};

use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::{
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout,
    store::{self, store_error},
};

/// How often whoever holds it says that it is alive.
pub const PERIOD: Duration = Duration::from_secs(20);
/// As runs do it.
const PACE: Pace = Pace { period: PERIOD, short: Duration::from_secs(5), look: Duration::from_secs(2) };

/// How fast it goes.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How often whoever holds it writes.
    period: Duration,
    /// A run that is over so soon writes nothing.
    short: Duration,
    /// How often whoever watches looks.
    look: Duration,
}

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// The name of the run, 8 hexadecimal digits.
    pub run: String,
    /// The machine, as it calls itself; empty, if it does not say.
    pub host: String,
    /// When the run began, by that machine's clock.
    pub started: Timestamp,
}

impl Holder {
    /// A run on this machine.
    pub fn new(run: impl Into<String>, host: impl Into<String>, started: Timestamp) -> Self {
        Self { run: run.into(), host: host.into(), started }
    }
}

/// The object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    #[serde(flatten)]
    holder: Holder,
    beat: u64,
    ended: bool,
}

/// What came of the question for the lease.
#[derive(Debug)]
pub enum Claim {
    /// Nobody else is at work: it is held from now on.
    Held(Holding),
    /// This one is at work.
    Running(Holder),
}

/// A lease that is held. Dropped, it stays behind as that of a run that has died.
#[derive(Debug)]
pub struct Holding {
    store: Arc<dyn ObjectStore>,
    holder: Holder,
    beating: JoinHandle<()>,
    /// How often the object was written: if ever, it has to be ended. Locked while it is being written.
    written: Arc<tokio::sync::Mutex<u64>>,
}

/// Asks for the lease of the archive whose prefix is the root of `store`, for a run. Takes two periods if its holder has died.
///
/// # Errors
/// Access, Unavailable, as the store says.
pub async fn claim(store: &Arc<dyn ObjectStore>, run: Holder) -> Result<Claim> {
    claim_at(store, run, PACE).await
}

async fn claim_at(store: &Arc<dyn ObjectStore>, run: Holder, pace: Pace) -> Result<Claim> {
    let free = |run| Ok(Claim::Held(Holding::begin(store, run, pace.short, pace.period)));
    let Some(found) = read(store).await? else { return free(run) };
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < 2 * pace.period {
        tokio::time::sleep(pace.look).await;
        match read(store).await? {
            None => return free(run),
            Some(now) if now != found => return Ok(Claim::Running(now.holder)),
            Some(_) => {}
        }
    }
    // Its holder has died: the next one is not to wait for it again.
    Ok(Claim::Held(Holding::begin(store, run, Duration::ZERO, pace.period)))
}

/// The lease, if it is one that has not ended. What cannot be read is none.
async fn read(store: &Arc<dyn ObjectStore>) -> Result<Option<Lease>> {
    let text = match store::get(store, layout::LEASE).await {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::Corrupt => None,
        Err(error) => return Err(error),
    };
    let lease = text.and_then(|text| serde_json::from_slice::<Lease>(&text).ok());
    Ok(lease.filter(|lease| !lease.ended))
}

async fn write(store: &Arc<dyn ObjectStore>, holder: &Holder, beat: u64, ended: bool) -> Result<()> {
    let lease = Lease { holder: holder.clone(), beat, ended };
    let mut text = serde_json::to_vec(&lease)
        .map_err(|e| Error::internal("the lease cannot be written as JSON").with_source(e))?;
    text.push(b'\n');
    let failed = |e| store_error(e, &format!("cannot write {}", layout::LEASE));
    store.put(&Path::from(layout::LEASE), text.into()).await.map(drop).map_err(failed)
}

impl Holding {
    fn begin(store: &Arc<dyn ObjectStore>, holder: Holder, first: Duration, period: Duration) -> Self {
        let written = Arc::new(tokio::sync::Mutex::new(0));
        let beating = {
            let (store, holder, written) = (Arc::clone(store), holder.clone(), Arc::clone(&written));
            tokio::spawn(async move {
                tokio::time::sleep(first).await;
                loop {
                    {
                        let mut beat = written.lock().await;
                        *beat += 1;
                        // A beat that is lost is followed by another one.
                        let _ = write(&store, &holder, *beat, false).await;
                    }
                    tokio::time::sleep(period).await;
                }
            })
        };
        Self { store: Arc::clone(store), holder, beating, written }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says: then whoever comes next waits for two periods.
    pub async fn end(self) -> Result<()> {
        // Not in the middle of a beat, which might arrive behind this.
        let beat = self.written.lock().await;
        self.beating.abort();
        if *beat == 0 {
            return Ok(());
        }
        write(&self.store, &self.holder, *beat, true).await
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const FAST: Pace =
        Pace { period: Duration::from_secs(1), short: Duration::from_millis(200), look: Duration::from_millis(100) };

    fn run(name: &str) -> Holder {
        Holder::new(name, "machine", Timestamp(7))
    }

    async fn held(store: &Arc<dyn ObjectStore>, name: &str) -> Holding {
        match claim_at(store, run(name), FAST).await.unwrap() {
            Claim::Held(holding) => holding,
            Claim::Running(holder) => panic!("{holder:?} is at work"),
        }
    }

    async fn until_written(store: &Arc<dyn ObjectStore>, beat: u64) {
        while read(store).await.unwrap().is_none_or(|lease| lease.beat < beat) {
            tokio::time::sleep(FAST.look).await;
        }
    }

    #[tokio::test]
    async fn one_that_is_alive_is_named_and_one_that_has_ended_holds_up_nobody() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let first = held(&store, "a").await;
        until_written(&store, 1).await;
        match claim_at(&store, run("b"), FAST).await.unwrap() {
            Claim::Running(holder) => assert_eq!(holder, run("a")),
            Claim::Held(_) => panic!("two hold it"),
        }
        first.end().await.unwrap();
        let ended = store::get(&store, layout::LEASE).await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&ended).contains("\"ended\":true"), "{ended:?}");
        assert_eq!(read(&store).await.unwrap(), None);
        drop(held(&store, "b").await);
    }

    #[tokio::test]
    async fn that_of_a_run_that_died_is_taken_over_after_two_periods_and_is_at_once_the_new_runs() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let first = held(&store, "a").await;
        until_written(&store, 1).await;
        drop(first);
        let begin = tokio::time::Instant::now();
        let second = held(&store, "b").await;
        assert!(begin.elapsed() >= 2 * FAST.period, "{:?}", begin.elapsed());
        while read(&store).await.unwrap().unwrap().holder != run("b") {
            tokio::time::sleep(FAST.look).await;
        }
        second.end().await.unwrap();
    }

    #[tokio::test]
    async fn a_run_that_is_over_at_once_writes_nothing_and_behind_the_end_comes_no_beat() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        held(&store, "a").await.end().await.unwrap();
        assert!(!store::exists(&store, layout::LEASE).await.unwrap());
        let long = held(&store, "b").await;
        until_written(&store, 2).await;
        long.end().await.unwrap();
        tokio::time::sleep(2 * FAST.period).await;
        assert_eq!(read(&store).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_lease_is_none() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for text in ["", "{", "[]", "{\"run\":1}"] {
            store.put(&Path::from(layout::LEASE), text.into()).await.unwrap();
            drop(held(&store, "a").await);
        }
    }
}
