//! One random history: a deployment, two writers, and the archive that both write to.

use std::{collections::BTreeMap, ops::Range};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    archive::Head,
    check::Checker,
    draft::{Draft, Erasure, Path},
    plans::{self, Plan},
    race::{Outcome, land},
    rules::Rules,
    truth::{World, some_table},
};

/// One draft, the commits that came between its planning and its landing, and what became of it.
pub(crate) struct Landing<'a> {
    pub(crate) before: &'a Head,
    pub(crate) planned: &'a Draft,
    pub(crate) between: &'a [Draft],
    pub(crate) outcome: &'a Outcome,
    pub(crate) after: &'a Head,
}

/// Another archive that lives through the same history, to be compared: whatever holds the same rules in another way.
pub(crate) trait Twin {
    /// A draft has landed, or has not.
    fn sees(&mut self, landing: &Landing<'_>) -> Result<(), String>;
}

/// What histories came upon.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A history that broke a promise.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) seed: u64,
    pub(crate) broken: String,
    pub(crate) trace: Vec<String>,
}

struct History<'a, T> {
    rng: StdRng,
    world: World,
    head: Head,
    log: Vec<Draft>,
    paths: Path,
    checker: Checker,
    /// Planned, and not yet landed.
    held: Vec<(Plan, Draft)>,
    trace: Vec<String>,
    counts: &'a mut Counts,
    twin: &'a mut T,
}

/// The seeds to live through.
#[allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do")]
pub(crate) fn seeds(usual: Range<u64>) -> Range<u64> {
    std::env::var("CONVEX_ARCHIVER_SEEDS").map_or(usual, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().expect("a number")..to.parse().expect("a number")
    })
}

/// Lives through the history of a seed.
pub(crate) fn live(seed: u64, rules: Rules, counts: &mut Counts, twin: &mut impl Twin) -> Result<(), Story> {
    let mut history = History {
        rng: StdRng::seed_from_u64(seed),
        world: World::new(),
        head: Head::new(rules),
        log: Vec::new(),
        paths: 0,
        checker: Checker::default(),
        held: Vec::new(),
        trace: Vec::new(),
        counts,
        twin,
    };
    history.run().map_err(|broken| Story { seed, broken, trace: history.trace })
}

impl<T: Twin> History<'_, T> {
    fn run(&mut self) -> Result<(), String> {
        let steps = self.rng.random_range(4..20);
        self.world.turn(&mut self.rng);
        self.take(Plan::Begin)?;
        for _ in 0..steps {
            self.world.turn(&mut self.rng);
            let plan = self.plan()?;
            if self.rng.random_bool(0.4) {
                if let Some(draft) = self.draft(plan) {
                    self.held.push((plan, draft));
                }
            } else {
                self.take(plan)?;
            }
            if !self.held.is_empty() && self.rng.random_bool(0.4) {
                let slow = self.rng.random_range(0..self.held.len());
                let (plan, draft) = self.held.swap_remove(slow);
                self.land(plan, &draft)?;
            }
        }
        Ok(())
    }

    /// While a draft of one writer is on its way, mostly the other one acts.
    fn plan(&mut self) -> Result<Plan, String> {
        let maintenance = match self.held.last() {
            Some((_, draft)) => draft.maintenance != self.rng.random_bool(0.75),
            None => self.rng.random_bool(0.5),
        };
        if maintenance { self.plan_maintenance() } else { self.plan_data() }
    }

    fn plan_data(&mut self) -> Result<Plan, String> {
        Ok(match self.rng.random_range(0..100) {
            0..5 => Plan::Look,
            5..40 => Plan::Sync,
            40..80 => Plan::Walk,
            80..83 => Plan::Select,
            83..86 => Plan::GiveUp,
            86..90 => Plan::TooOld,
            90..95 => Plan::Window,
            _ => {
                let table = some_table(&mut self.rng);
                self.world.drop(table);
                self.take(Plan::Drop(table))?;
                Plan::Sync
            }
        })
    }

    fn plan_maintenance(&mut self) -> Result<Plan, String> {
        Ok(match self.rng.random_range(0..100) {
            0..24 => Plan::Compact,
            24..50 => Plan::OwnBase,
            50..58 => Plan::OwnCorrection,
            58..70 => Plan::Correction,
            70..79 => Plan::Forget,
            79..86 => {
                // Deleted in the deployment first, and the archive knows of it.
                let table = some_table(&mut self.rng);
                let id = self.world.delete(table, &mut self.rng);
                self.read_all()?;
                Plan::Erase(Erasure { table, id, through: self.head.cursor() })
            }
            86..94 => Plan::LoseBase,
            _ => Plan::LoseFile,
        })
    }

    /// Syncs until the archive stands where the deployment does.
    fn read_all(&mut self) -> Result<(), String> {
        while self.head.cursor() < self.world.now() {
            self.take(Plan::Sync)?;
        }
        Ok(())
    }

    fn draft(&mut self, plan: Plan) -> Option<Draft> {
        plans::draft(plan, &self.head, &self.world, &mut self.rng, &mut self.paths)
    }

    /// Plans and commits with nobody in between.
    fn take(&mut self, plan: Plan) -> Result<(), String> {
        let Some(draft) = self.draft(plan) else { return Ok(()) };
        self.land(plan, &draft)
    }

    fn land(&mut self, plan: Plan, planned: &Draft) -> Result<(), String> {
        let before = self.head.clone();
        let between = self.log[planned.planned_on.version..].to_vec();
        let outcome = land(planned, &before, &between, &mut self.paths);
        self.note(planned, &between, &outcome);
        if let Outcome::Lands(draft) = &outcome {
            self.head.apply(draft).map_err(|refusal| format!("the commit is refused: {refusal}"))?;
            self.checker.check(&self.world, &before, draft, &self.head)?;
            self.log.push((**draft).clone());
        }
        let (outcome, after) = (&outcome, &self.head);
        self.twin.sees(&Landing { before: &before, planned, between: &between, outcome, after })?;
        match outcome {
            // Only once: nobody is in between.
            Outcome::Anew => self.take(plan),
            _ => Ok(()),
        }
    }

    /// For the trace, and for the sums.
    fn note(&mut self, planned: &Draft, between: &[Draft], outcome: &Outcome) {
        let kind = planned.kind;
        let end = match outcome {
            Outcome::Lands(draft) => {
                let over: Vec<_> = between.iter().map(|b| b.kind).collect();
                self.trace.push(format!("{}: {draft}, over {over:?}", self.log.len() + 1));
                let parts = |d: &Draft| (d.bases.len(), d.replaced.len());
                match between.is_empty() {
                    true => "lands",
                    false if parts(draft) == parts(planned) => "is carried",
                    false => "is carried in part",
                }
            }
            Outcome::Nothing => "is dropped",
            Outcome::Conflict => "is a conflict",
            Outcome::Anew => "is planned anew",
        };
        *self.counts.entry(format!("{kind:?} {end}")).or_default() += 1;
    }
}
