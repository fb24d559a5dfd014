//! What happens in a history: plain data, made from a seed.

use std::time::Duration;

use convex_archiver::{
    Encoding, TableRef,
    server::{Fault as Refused, Posts},
    sync::OnGap,
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use crate::support::faults::{Fault, How};

const HOUR: i64 = 3_600_000_000_000;

/// How a sync is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) snapshot_page: usize,
    pub(crate) delta_page: usize,
    pub(crate) memory_mib: u64,
    /// A commit after every page, or only where one is needed.
    pub(crate) commit_every: Duration,
    /// A file after every batch, or one.
    pub(crate) target_file_bytes: u64,
    /// Transactions while it runs, one before each page.
    pub(crate) writes_meanwhile: usize,
    /// So many small files of changes are joined.
    pub(crate) fan_in: usize,
    /// A table gets a base of the archive's own once so many rows came, and more than it has.
    pub(crate) own_base_floor: u64,
    pub(crate) on_gap: OnGap,
    /// Whether the archive may go on with a deployment that has moved.
    pub(crate) accepts_a_move: bool,
}

/// What the deployment does wrong.
#[derive(Debug, Clone)]
pub(crate) enum Wrong {
    /// It answers this, over HTTP.
    Answers(Refused),
    /// It knows these encodings only, and does this with requests that tell a selection.
    Knows(Vec<Encoding>, Posts),
    /// It is gone after so many pages.
    Gone(usize),
    /// The page of this number is asked for twice, and the second answer counts: a lost answer.
    Twice(usize),
    /// So many nanoseconds pass before the page of this number.
    Waits(usize, i64),
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// So many transactions.
    Write(usize),
    /// A document in this table, new or not.
    Appear(TableRef),
    /// The tables that are archived from now on.
    Select(&'static str),
    /// The deployment goes to another address.
    Move,
    /// The server leaves out the changes of components: of an old one, only as the first step.
    Old,
    /// Or no more.
    Upgrade,
    /// Time, nanoseconds.
    Pass(i64),
    Sync(Pace),
    /// A sync whose store does one thing wrong.
    Faulty(Pace, Fault),
    /// A sync from a deployment that does one thing wrong.
    Wrong(Pace, Wrong),
    /// A sync that is asked to stop at this page.
    Stopped(Pace, u64),
    /// A second sync, all of it, before a store call of the first.
    Two(Pace, Pace, usize),
    /// The table of this number leaves the deployment, which tells nobody.
    Drop(usize),
    /// Upkeep, perhaps in stores that do one thing wrong.
    Upkeep(Upkeep, Option<(Side, Fault)>),
    /// A sync, all of it, before a store call of upkeep.
    Within(Upkeep, Pace, usize),
    /// Upkeep, all of it, before a store call of a sync.
    During(Pace, Upkeep, usize),
}

/// What is done to an archive beside syncs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Upkeep {
    /// So many small files are joined, and tables get bases once so many rows came.
    Compact(usize, u64),
    /// What nobody needs since so many days goes.
    Vacuum(u64),
    /// The copy is brought up to date.
    Copy,
    /// The same as [`Vacuum`](Self::Vacuum), of the copy.
    VacuumCopy(u64),
    /// History of so many days is kept; so many files leave at once.
    Forget(u64, usize),
}

/// The archive, or its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Archive,
    Copy,
}

pub(crate) fn pace(rng: &mut StdRng) -> Pace {
    Pace {
        snapshot_page: rng.random_range(1..40),
        delta_page: rng.random_range(1..40),
        memory_mib: *[64, 100, 256].choose(rng).unwrap(),
        commit_every: *[Duration::ZERO, Duration::from_secs(1_000_000)].choose(rng).unwrap(),
        target_file_bytes: *[1, 128 << 20].choose(rng).unwrap(),
        writes_meanwhile: *[0, 0, 6].choose(rng).unwrap(),
        fan_in: rng.random_range(2..6),
        own_base_floor: *[0, 3, 20, 1_000].choose(rng).unwrap(),
        on_gap: *[OnGap::Heal, OnGap::Heal, OnGap::Heal, OnGap::Fail].choose(rng).unwrap(),
        accepts_a_move: rng.random_range(0..4) > 0,
    }
}

/// One that does what can be done.
pub(crate) fn willing(rng: &mut StdRng) -> Pace {
    Pace { on_gap: OnGap::Heal, accepts_a_move: true, ..pace(rng) }
}

/// From minutes to weeks: now and then more than the deployment keeps.
fn time(rng: &mut StdRng) -> i64 {
    let hours = *[0, 1, 24, 24, 6 * 24, 6 * 24, 20 * 24].choose(rng).unwrap();
    hours * HOUR + rng.random_range(0..HOUR)
}

fn table(rng: &mut StdRng) -> TableRef {
    let component = *["", "", "waitlist", "waitlist/inner", "Waitlist"].choose(rng).unwrap();
    TableRef::new(component, *["users", "Users", "con", "rare"].choose(rng).unwrap()).unwrap()
}

fn wrong(rng: &mut StdRng) -> Wrong {
    match rng.random_range(0..7) {
        0 => Wrong::Gone(rng.random_range(0..12)),
        1 => Wrong::Twice(rng.random_range(0..12)),
        6 => {
            let lossless = [Encoding::ConvexEncodedJson, Encoding::ExportJson];
            let formats = vec![*lossless.choose(rng).unwrap()];
            let posts = [Posts::Select, Posts::Ignore, Posts::Refuse];
            Wrong::Knows(formats, *posts.choose(rng).unwrap())
        }
        2 => Wrong::Waits(rng.random_range(0..12), time(rng)),
        _ => Wrong::Answers(refused(rng)),
    }
}

/// An answer that is none, on any route, for a while or for good.
fn refused(rng: &mut StdRng) -> Refused {
    let cut_off = |body: &str| Refused { body: body.to_owned(), ..Refused::status(200) };
    let answer = match rng.random_range(0..13) {
        0 => Refused::status(500),
        1 => Refused::status(408),
        2 => Refused::status(429).with_header("retry-after", "0"),
        3 => Refused::html(502),
        4 => Refused::html(200),
        5 => Refused::refusal(503, "TableSummariesUnavailable"),
        6 => Refused::refusal(400, "NoSchemaForExport"),
        7 => Refused::refusal(401, "BadAdminKey"),
        8 => Refused::refusal(403, "OperationNotPermitted"),
        9 => Refused::status(522),
        10 => cut_off(r#"{"values":[{"_component":"","_table":"users","_ts":17"#),
        11 => cut_off(r#"{"values":[],"cursor":1,"snapshot":1,"hasMore":true}"#),
        // Deltas that go backwards.
        _ => cut_off(r#"{"values":[],"cursor":1,"hasMore":false}"#),
    };
    let on = match *["", "/api/json_schemas", "/api/list_snapshot", "/api/document_deltas"].choose(rng).unwrap() {
        "" => answer,
        path => answer.on(path),
    };
    on.after(rng.random_range(0..12)).times(*[1, 2, u64::MAX].choose(rng).unwrap())
}

pub(crate) fn step(rng: &mut StdRng) -> Step {
    match rng.random_range(0..20) {
        0..4 => Step::Write(rng.random_range(1..25)),
        4 | 5 => Step::Appear(table(rng)),
        6 | 7 => Step::Pass(time(rng)),
        8 => match rng.random_range(0..4) {
            0 => Step::Move,
            1 => Step::Upgrade,
            _ => Step::Select(["**", "** !users", "users messages", "waitlist/** messages"].choose(rng).unwrap()),
        },
        9..11 => Step::Sync(pace(rng)),
        11..14 => Step::Faulty(pace(rng), fault(rng, 40)),
        14..17 => Step::Wrong(pace(rng), wrong(rng)),
        17 | 18 => Step::Stopped(pace(rng), rng.random_range(0..12)),
        _ => Step::Two(willing(rng), willing(rng), rng.random_range(0..40)),
    }
}

fn upkeep(rng: &mut StdRng) -> Upkeep {
    let days = *[2, 2, 7].choose(rng).unwrap();
    match rng.random_range(0..13) {
        0..3 => Upkeep::Compact(rng.random_range(2..4), *[0, 3, 1_000].choose(rng).unwrap()),
        3..6 => Upkeep::Vacuum(days),
        6..9 => Upkeep::Copy,
        9 => Upkeep::VacuumCopy(days),
        _ => Upkeep::Forget(*[14, 14, 14, 20].choose(rng).unwrap(), *[1, 2, 1_000].choose(rng).unwrap()),
    }
}

fn fault(rng: &mut StdRng, calls: usize) -> Fault {
    let how = *[How::Fails, How::LosesItsAnswer, How::IsRepeated].choose(rng).unwrap();
    Fault { call: rng.random_range(0..calls), how, gone: rng.random() }
}

/// A step of a history in which the archive is kept up as well.
pub(crate) fn step_with_upkeep(rng: &mut StdRng) -> Step {
    match rng.random_range(0..100) {
        0..24 => Step::Upkeep(upkeep(rng), None),
        24..36 => {
            let side = *[Side::Archive, Side::Copy].choose(rng).unwrap();
            Step::Upkeep(upkeep(rng), Some((side, fault(rng, 40))))
        }
        36..41 => Step::Within(upkeep(rng), willing(rng), rng.random_range(0..40)),
        41..46 => Step::During(willing(rng), upkeep(rng), rng.random_range(0..40)),
        46..48 => Step::Drop(rng.random_range(0..6)),
        48..66 => Step::Pass(rng.random_range(1..12) * 24 * HOUR),
        66..86 => Step::Sync(Pace { writes_meanwhile: rng.random_range(1..8), ..willing(rng) }),
        _ => step(rng),
    }
}

/// How a history begins: with nothing, or with documents in several tables.
pub(crate) fn opening(rng: &mut StdRng) -> Vec<Step> {
    let tables = *[0, 3, 6].choose(rng).unwrap();
    let mut steps: Vec<_> = (0..tables).map(|_| Step::Appear(table(rng))).collect();
    if rng.random_range(0..5) == 0 {
        steps.insert(0, Step::Old);
    }
    if tables > 0 {
        steps.push(Step::Write(rng.random_range(10..40)));
    }
    steps
}
