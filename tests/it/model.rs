//! Random histories against the plain map: whatever happens between a deployment and its archive, and in whatever order,
//! after every step the archive is the deployment up to the cursor.
//!
//! A failing seed prints itself and its steps; `CONVEX_ARCHIVER_SEEDS=17..18` runs it alone, `0..100000` many.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    ErrorKind, Event, MemoryBudget, Monitor, Result, Timestamp,
    archive::Archive,
    server::{Deployment, SeededWriter, SimulatedDeployment},
    sync::{Stop, SyncOptions, SyncReport, sync},
};
use object_store::{ObjectStore, memory::InMemory};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::task::JoinSet;

use crate::{
    conformance::Server,
    support::{
        Held, client,
        faults::{Fault, FaultyStore, How},
        pages,
        source::{SamePlace, same_place},
    },
};

/// Seeds in CI.
const SEEDS: Range<u64> = 0..200;
const STEPS: usize = 8;

/// How a sync is made.
#[derive(Debug, Clone, Copy)]
struct Pace {
    snapshot_page: usize,
    delta_page: usize,
    memory_mib: u64,
    commit_every: Duration,
    target_file_bytes: u64,
    /// Transactions while it runs.
    writes_meanwhile: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many transactions.
    Write(usize),
    Sync(Pace),
    /// A sync whose store does one thing wrong.
    Faulty(Pace, Fault),
    /// A sync that is asked to stop at this page.
    Stopped(Pace, u64),
    /// Two at once.
    Two(Pace, Pace),
}

fn pace(rng: &mut StdRng) -> Pace {
    Pace {
        snapshot_page: rng.random_range(1..40),
        delta_page: rng.random_range(1..40),
        memory_mib: *[64, 100, 256].choose(rng).unwrap(),
        commit_every: Duration::from_millis(*[0, 0, 3, 1_000_000].choose(rng).unwrap()),
        target_file_bytes: *[1, 4096, 128 << 20].choose(rng).unwrap(),
        writes_meanwhile: *[0, 0, 6].choose(rng).unwrap(),
    }
}

fn step(rng: &mut StdRng) -> Step {
    match rng.random_range(0..10) {
        0..3 => Step::Write(rng.random_range(1..30)),
        3 | 4 => Step::Sync(pace(rng)),
        5 | 6 => {
            let how = *[How::Fails, How::LosesItsAnswer, How::IsRepeated].choose(rng).unwrap();
            Step::Faulty(pace(rng), Fault { call: rng.random_range(0..30), how, gone: rng.random() })
        }
        7 | 8 => Step::Stopped(pace(rng), rng.random_range(0..12)),
        _ => Step::Two(pace(rng), pace(rng)),
    }
}

/// Asks for a stop when so many pages have come.
struct StopAt {
    stop: Stop,
    pages_left: AtomicU64,
}

impl StopAt {
    fn new(pages: u64) -> Self {
        Self { stop: Stop::default(), pages_left: AtomicU64::new(pages) }
    }
}

impl Monitor for StopAt {
    fn report(&self, event: Event<'_>) {
        if matches!(event, Event::Page { .. }) && self.pages_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stop.request();
        }
    }
}

struct History {
    deployment: Arc<SimulatedDeployment>,
    writer: SeededWriter,
    store: Arc<InMemory>,
    /// Version and cursor so far.
    reached: (u64, Timestamp),
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            deployment: Arc::new(SimulatedDeployment::new("otter-1", seed)),
            writer: SeededWriter::new(seed),
            store: Arc::new(InMemory::new()),
            reached: (0, Timestamp(0)),
        }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as Arc<dyn ObjectStore>
    }

    fn write(&mut self, transactions: usize) {
        for _ in 0..transactions {
            self.writer.write(&self.deployment).unwrap();
        }
    }

    /// One sync on `store`, with its own server.
    fn sync(
        &self,
        pace: Pace,
        store: Arc<dyn ObjectStore>,
        monitor: StopAt,
    ) -> impl Future<Output = Result<SyncReport>> + use<> {
        let deployment = Arc::clone(&self.deployment) as Arc<dyn Deployment>;
        async move {
            let server = Server::start(deployment, pages(pace.snapshot_page, pace.delta_page)).await;
            let source = Arc::new(SamePlace(client(&server.url)));
            let archive = Archive::open_or_create(store, "memory:///archive", same_place(), Timestamp(1)).await?;
            let options = SyncOptions {
                budget: MemoryBudget::new(pace.memory_mib << 20).unwrap(),
                target_file_bytes: pace.target_file_bytes,
                commit_every: pace.commit_every,
                stop: monitor.stop.clone(),
                ..SyncOptions::default()
            };
            sync(source, &archive, &options, Arc::new(monitor)).await
        }
    }

    async fn busy_sync(&mut self, pace: Pace, store: Arc<dyn ObjectStore>, stop_at: u64) -> Result<SyncReport> {
        let running = self.sync(pace, store, StopAt::new(stop_at));
        let (report, ()) = tokio::join!(running, async {
            for _ in 0..pace.writes_meanwhile {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.write(1);
            }
        });
        report
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Write(transactions) => self.write(transactions),
            Step::Sync(pace) => {
                let report = self.busy_sync(pace, self.store(), u64::MAX).await.unwrap();
                assert!(report.caught_up && report.commits > 0);
            }
            Step::Faulty(pace, fault) => {
                let faulty = Arc::new(FaultyStore::new(self.store(), Some(fault)));
                if let Err(error) = self.busy_sync(pace, faulty, u64::MAX).await {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                }
            }
            Step::Stopped(pace, at_page) => drop(self.busy_sync(pace, self.store(), at_page).await.unwrap()),
            Step::Two(a, b) => {
                let one = |pace| self.sync(pace, self.store(), StopAt::new(u64::MAX));
                let (a, b) = tokio::join!(one(a), one(b));
                let failed: Vec<_> = [a, b].into_iter().filter_map(Result::err).collect();
                assert!(failed.len() < 2, "one of two goes on: {failed:?}");
                assert!(failed.iter().all(|e| e.kind() == ErrorKind::Conflict), "{failed:?}");
            }
        }
    }

    /// The archive, if there is one, is the deployment up to the cursor, and has not gone back.
    async fn check(&mut self) {
        let archive = match Archive::open(self.store(), "memory:///archive").await {
            Ok(archive) => archive,
            Err(error) => {
                assert!(error.kind() == ErrorKind::NotFound && self.reached.0 == 0, "{error:?}");
                return;
            }
        };
        let held = Held::read(&archive).await;
        let through = held.head.progress().delta.as_ref().map_or(Timestamp(0), |delta| delta.ts);
        assert!(held.head.version() >= self.reached.0 && through >= self.reached.1);
        self.reached = (held.head.version(), through);
        match held.head.coverage().bases.len() {
            0 => assert!(held.deltas.is_empty() && (held.head.version() == 0 || held.head.progress().walk.is_some())),
            1 => held.assert_equal(&self.deployment),
            more => panic!("{more} bases"),
        }
    }
}

/// Prints the seed and its steps when the history fails.
struct Story(u64, Vec<Step>);

impl Drop for Story {
    #[allow(clippy::print_stderr, reason = "a failing seed must be known")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} failed at the last of {:#?}", self.0, self.1);
        }
    }
}

async fn history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut history = History::new(seed);
    let mut story = Story(seed, Vec::new());
    let last = Step::Sync(pace(&mut rng));
    let steps: Vec<_> = (0..STEPS).map(|_| step(&mut rng)).chain([last]).collect();
    for step in steps {
        story.1.push(step);
        history.take(step).await;
        history.check().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_step_of_every_random_history_the_archive_is_the_deployment_up_to_the_cursor() {
    let seeds = std::env::var("CONVEX_ARCHIVER_SEEDS").ok();
    let seeds = seeds.map_or(SEEDS, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().unwrap()..to.parse().unwrap()
    });
    let mut running = JoinSet::new();
    for seed in seeds {
        running.spawn(history(seed));
        if running.len() >= 4 {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
