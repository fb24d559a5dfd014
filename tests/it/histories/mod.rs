//! Random histories against plain maps: whatever happens between a deployment and its archive, and in whatever order, after
//! every step the archive says nothing that is not true, and lacks nothing that it could have.
//!
//! A history is a list of [`steps`], plain data made from a seed: transactions, tables that appear, days that pass, and
//! syncs with random pages, over real HTTP, from a deployment that fails in the ways of the protocol, into a store that fails
//! before a call, after it, or loses the process at it, sometimes with a second sync in the middle of the first; servers that
//! leave out what components change, deployments that move. In the histories of [`upkeep`] the archive is joined, vacuumed, copied and
//! forgotten as well, and tables are dropped. The clock is the history's own. What a seed does not fix is the order in which the files of one commit reach the store.
//!
//! A failing seed prints itself and its steps. `CONVEX_ARCHIVER_SEEDS=17..18 cargo test --test it histories` runs it alone (`histories::an_archive`
//! those with upkeep), `0..50000` many.

mod history;
mod steps;
mod told;
mod upkeep;

use std::{io::Write, ops::Range};

use futures::future::LocalBoxFuture;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinSet,
};

use self::{history::History, steps::Step, told::Told};

/// Seeds in CI.
const SEEDS: Range<u64> = 0..1000;
const STEPS: usize = 9;

/// What that many histories come upon.
const SEEN: [&str; 11] = [
    "syncs",
    "failed",
    "conflicts",
    "small files joined",
    "bases of its own",
    "gaps",
    "snapshots that grew too old",
    "later bases",
    "selections",
    "moves",
    "upgrades",
];

/// Seeds in CI, of histories in which the archive is kept up as well.
const SEEDS_OF_UPKEEP: Range<u64> = 0..40;
/// Of 10,000 those that found something: what `forget` told of a commit that was too late, and a sync that it ended.
const ONCE_FAILED: [u64; 4] = [1078, 1624, 3702, 9011];
const STEPS_OF_UPKEEP: usize = 20;

/// What these come upon, so often at least in a hundred of them.
const SEEN_IN_UPKEEP: [(&str, u64); 12] = [
    ("pieces of upkeep that failed", 20),
    ("small files joined by compact", 50),
    ("bases made by compact", 2),
    ("vacuums that deleted something", 25),
    ("older versions read", 30),
    ("copies that went on with an older one", 50),
    ("files that a copy which died had left", 10),
    ("tables forgotten", 8),
    ("moments refused", 15),
    ("drops", 8),
    ("bases of its own", 30),
    ("gaps", 5),
];

/// Prints the seed and its steps when the history fails.
struct Story(u64, Vec<Step>);

impl Drop for Story {
    #[allow(clippy::print_stderr, reason = "a failing seed must be known")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let steps: Vec<_> = self.1.iter().map(|step| format!("\n    {step:?}")).collect();
            eprintln!("seed {} failed at the last of {}", self.0, steps.concat());
        }
    }
}

/// So many steps, each made by `step`, from an opening to syncs that nothing disturbs: however it went, these make it whole.
async fn live(seed: u64, count: usize, step: fn(&mut StdRng) -> Step) -> Told {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut history = History::new(seed);
    let mut story = Story(seed, Vec::new());
    let last = [Step::Sync(steps::willing(&mut rng)), Step::Sync(steps::willing(&mut rng))];
    let opening = steps::opening(&mut rng);
    let steps: Vec<_> = (0..count).map(|_| step(&mut rng)).chain(last).collect();
    for step in opening.into_iter().chain(steps) {
        story.1.push(step.clone());
        Box::pin(history.take(step)).await;
        history.check().await;
    }
    history.check_whole().await;
    if history.is_kept_up() {
        history.check_upkeep().await;
    }
    history.told
}

/// Lives the histories of these seeds and tells what they came upon. Unoptimized their futures need deep stacks.
fn live_all(seeds: Vec<u64>, live: fn(u64) -> LocalBoxFuture<'static, Told>) -> (u64, Told) {
    let threads = Builder::new_multi_thread().worker_threads(2).thread_stack_size(16 << 20).enable_all().build();
    threads.unwrap().block_on(live_a_few_at_a_time(seeds, live))
}

#[allow(clippy::explicit_write, reason = "written past the harness, which shows what a test prints only if it fails")]
async fn live_a_few_at_a_time(seeds: Vec<u64>, live: fn(u64) -> LocalBoxFuture<'static, Told>) -> (u64, Told) {
    let wanted = std::env::var("CONVEX_ARCHIVER_SEEDS").ok();
    let seeds = wanted.map_or(seeds, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        (from.parse().unwrap()..to.parse().unwrap()).collect()
    });
    let count = seeds.len() as u64;
    let (mut running, mut told) = (JoinSet::new(), Told::default());
    for seed in seeds {
        // Each on a thread of its own.
        running.spawn_blocking(move || Handle::current().block_on(live(seed)));
        if running.len() >= 4 {
            told += running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = running.join_next().await {
        told += done.unwrap();
    }
    writeln!(std::io::stderr(), "{count} random histories: {told}").unwrap();
    (count, told)
}

#[test]
fn after_every_step_of_every_random_history_the_archive_is_true_and_at_the_end_it_is_whole() {
    let (count, told) = live_all(SEEDS.collect(), |seed| Box::pin(live(seed, STEPS, steps::step)));
    // A net that catches nothing is none.
    assert!(count < 500 || SEEN.iter().all(|what| told.times(what) > 0), "{told}");
}

#[test]
fn an_archive_that_is_joined_vacuumed_copied_and_forgotten_at_random_moments_is_true_and_so_is_its_copy() {
    let seeds = SEEDS_OF_UPKEEP.chain(ONCE_FAILED).collect();
    let (count, told) = live_all(seeds, |seed| Box::pin(live(seed, STEPS_OF_UPKEEP, steps::step_with_upkeep)));
    let is_seen = |(what, in_a_hundred): &(&str, u64)| told.times(what) * 100 >= in_a_hundred * count;
    assert!(count < 40 || SEEN_IN_UPKEEP.iter().all(is_seen), "{told}");
}
