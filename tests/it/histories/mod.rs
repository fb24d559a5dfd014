//! Random histories against plain maps: whatever happens between a deployment and its archive, and in whatever order, after
//! every step the archive says nothing that is not true, and lacks nothing that it could have.
//!
//! A history is a list of [`steps`], plain data made from a seed: transactions, tables that appear, days that pass, and
//! syncs with random pages, over real HTTP, from a deployment that fails in the ways of the protocol, into a store that fails
//! before a call, after it, or loses the process at it, sometimes with a second sync in the middle of the first; servers that
//! leave out what components change, deployments that move. The clock is the history's own. What a seed does not fix is the order in which the files of one commit reach the store.
//!
//! A failing seed prints itself and its steps. `CONVEX_ARCHIVER_SEEDS=17..18 cargo test --test it histories` runs it alone,
//! `0..50000` many.

mod history;
mod steps;

use std::{io::Write, ops::Range};

use rand::{SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use self::{history::History, steps::Step};

/// Seeds in CI.
const SEEDS: Range<u64> = 0..1000;
const STEPS: usize = 9;

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

async fn live(seed: u64) -> history::Told {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut history = History::new(seed);
    let mut story = Story(seed, Vec::new());
    // However it went, at the end a sync that nothing disturbs makes it whole.
    let last = [Step::Sync(steps::willing(&mut rng)), Step::Sync(steps::willing(&mut rng))];
    let opening = steps::opening(&mut rng);
    let steps: Vec<_> = (0..STEPS).map(|_| steps::step(&mut rng)).chain(last).collect();
    for step in opening.into_iter().chain(steps) {
        story.1.push(step.clone());
        Box::pin(history.take(step)).await;
        history.check().await;
    }
    history.check_whole().await;
    history.told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_step_of_every_random_history_the_archive_is_true_and_at_the_end_it_is_whole() {
    let seeds = std::env::var("CONVEX_ARCHIVER_SEEDS").ok();
    let seeds = seeds.map_or(SEEDS, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().unwrap()..to.parse().unwrap()
    });
    let count = seeds.end - seeds.start;
    let (mut running, mut told) = (JoinSet::new(), history::Told::default());
    for seed in seeds {
        running.spawn(live(seed));
        if running.len() >= 4 {
            told += running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = running.join_next().await {
        told += done.unwrap();
    }
    // Written past the harness, which shows what a test prints only if it fails.
    writeln!(std::io::stderr(), "{count} random histories: {told}").unwrap();
    // A net that catches nothing is none.
    assert!(count < 500 || told.has_seen_everything(), "{told}");
}
