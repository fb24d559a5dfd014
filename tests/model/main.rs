//! The model lives through its histories, without each of its rules, and with every harm.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "mod.rs"]
mod model;

use std::{io::Write, ops::Range};

use self::model::{
    archive::Head,
    harms::{HARMS, Harmer},
    history::{Counts, Landing, Twin, live},
    race::Outcome,
    rules::Rules,
};

const SEEDS: Range<u64> = 0..10_000;
/// A rule whose absence breaks none of so many histories is not tried.
const ENOUGH: u64 = 20_000;

/// What a net must have caught that is to hold anything.
const CAUGHT: [&str; 14] = [
    "Compaction is carried",
    "Compaction is carried in part",
    "Compaction is dropped",
    "Correction is planned anew",
    "Erase is planned anew",
    "Forget is planned anew",
    "OwnBase is carried",
    "OwnBase is dropped",
    "OwnCorrection lands",
    "Sync is a conflict",
    "Sync is carried",
    "Sync is carried in part",
    "WalkGoesOn is carried",
    "WalkIsTooOld lands",
];

/// Folds the log on its own.
#[derive(Default)]
struct Fold(Option<Head>);

impl Twin for Fold {
    fn sees(&mut self, landing: &Landing<'_>) -> Result<(), String> {
        let Outcome::Lands(draft) = landing.outcome else { return Ok(()) };
        let head = self.0.get_or_insert_with(|| landing.before.clone());
        head.apply(draft)?;
        let same = head.live == landing.after.live && head.bases == landing.after.bases;
        if same && landing.planned.planned_on.version + landing.between.len() + 1 == head.version {
            Ok(())
        } else {
            Err("the fold of the log is another".into())
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "tests are a program of their own")]
fn seeds() -> Range<u64> {
    std::env::var("CONVEX_ARCHIVER_SEEDS").map_or(SEEDS, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().expect("a number")..to.parse().expect("a number")
    })
}

#[test]
fn no_history_breaks_a_promise() {
    let (seeds, mut counts) = (seeds(), Counts::new());
    for seed in seeds.clone() {
        if let Err(story) = live(seed, Rules::ALL, &mut counts, &mut Fold::default()) {
            panic!("seed {}: {}\n{}", story.seed, story.broken, story.trace.join("\n"));
        }
    }
    let told: String = counts.iter().map(|(what, times)| format!("\n  {times:8} {what}")).collect();
    let lacking: Vec<_> = CAUGHT.iter().filter(|what| !counts.contains_key(**what)).collect();
    assert!(seeds.end - seeds.start < 1_000 || lacking.is_empty(), "no history came upon {lacking:?}:{told}");
    // Past the harness, which shows what a test prints only if it fails.
    writeln!(std::io::stderr(), "{seeds:?}:{told}").expect("stderr");
}

#[test]
fn each_rule_is_needed() {
    let mut idle = Vec::new();
    for (name, rules) in Rules::without_each() {
        let broken = (0..ENOUGH).find_map(|seed| live(seed, rules, &mut Counts::new(), &mut Fold::default()).err());
        match broken {
            Some(story) => {
                writeln!(std::io::stderr(), "without {name}, seed {}: {}", story.seed, story.broken).expect("stderr");
            }
            None => idle.push(name),
        }
    }
    assert!(idle.is_empty(), "no history of {ENOUGH} needs {idle:?}");
}

#[test]
fn no_harmed_commit_is_taken() {
    let mut harmer = Harmer::default();
    for seed in 0..1_000 {
        if let Err(story) = live(seed, Rules::ALL, &mut Counts::new(), &mut harmer) {
            panic!("seed {}: {}\n{}", story.seed, story.broken, story.trace.join("\n"));
        }
    }
    let idle: Vec<_> = HARMS.iter().map(|(name, _)| *name).filter(|name| !harmer.refused.contains_key(name)).collect();
    assert!(idle.is_empty(), "no history could be harmed so: {idle:?}");
}
