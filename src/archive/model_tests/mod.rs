//! The code against the model of the format (`tests/model`): a [`Head`] lives through the model's histories, and takes,
//! refuses, rebases and answers as the model does.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "the environment tells tests how much to do")]

mod spell;

#[allow(dead_code, reason = "the model's own tests need more of it")]
#[path = "../../../tests/model/mod.rs"]
mod model;

use std::{collections::BTreeMap, io::Write};

use self::model::{
    archive as plain,
    draft::{self as plan, File, Path},
    harms::HARMS,
    history::{Counts, Landing, Twin, live, seeds},
    race::{Outcome, land},
    rules::Rules,
    truth::TABLES,
};
use super::{
    Commit, Covers, Head, RemovedFile, Run,
    head::text::ReadHead,
    log::StoredCommit,
    race::{RebaseOutcome, rebase},
    testing,
};
use crate::{data::DataFile, sum::Sum};

/// What no fold of commits finds, or what is no harm in the format.
const NOT_IN_A_COMMIT: &[(&str, &str)] = &[
    (
        "a path is added that was there before",
        "the writer's duty: a head knows no paths, and the stream of live files sees only a path that lives still",
    ),
    ("rows do not ascend", "the writer's duty: rows are in the file, and who reads it sorts what it must"),
    ("maintenance says where data stand", "it repeats where they stand"),
];

/// What a net must have caught that is to hold anything.
const CAUGHT: &[&str] = &[
    "Compaction is carried",
    "Compaction is planned anew",
    "Forget is planned anew",
    "OwnBase is carried",
    "OwnBase is planned anew",
    "Sync is a conflict",
    "Sync is carried",
    "WalkGoesOn is carried",
    "WalkOpens is a conflict in the code only",
];

/// Lost races that no history of the first thousand comes upon: data against an erasure, an own base against a compaction across its
/// moment, a correction against an own base.
const RARE: [u64; 3] = [1_760, 1_798, 2_445];

/// The archive, beside the model's.
struct TestArchive {
    /// Heads of the model and of the archive, by version.
    heads: Vec<(plain::Head, Head)>,
    log: Vec<StoredCommit>,
    /// All files that ever were added, as they leave.
    files: BTreeMap<Path, RemovedFile>,
    live: BTreeMap<Path, (File, DataFile)>,
    harmed: bool,
    counts: Counts,
}

/// Says what differs.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, code: &T) -> Result<(), String> {
    if model == code { Ok(()) } else { Err(format!("{what}: the model says {model:?}, the code {code:?}")) }
}

impl TestArchive {
    fn new(harmed: bool) -> Self {
        let head = Head::before_all(testing::deployment(), "0".into()).expect("an empty head");
        Self {
            heads: vec![(plain::Head::new(Rules::ALL), head)],
            log: Vec::new(),
            files: BTreeMap::new(),
            live: BTreeMap::new(),
            harmed,
            counts: Counts::new(),
        }
    }

    fn head(&self) -> &Head {
        &self.heads.last().expect("there is a head").1
    }

    /// The commit of `plan` after the newest head, with all that it says itself.
    fn commit(&self, plan: &plan::Draft) -> Result<(Commit, Head), String> {
        let head = self.head();
        let run = Run { id: format!("{:08x}", head.version() + 1), counter: 1 };
        let (mut commit, next) =
            head.follow(spell::draft(plan, head, &self.files), run, None).map_err(|e| e.to_string())?;
        let next = next.with_digest(commit.version.to_string());
        // What bases say of their rows, `follow` has counted.
        for base in &plan.bases {
            let said = commit.draft.bases.iter_mut().find(|b| b.id == spell::base_id(base.id));
            said.expect("it is in the commit").tables = spell::said(base);
        }
        let applied = head.clone().apply(&commit, commit.version.to_string()).map_err(|e| e.to_string())?;
        if applied == next { Ok((commit, next)) } else { Err("a commit is folded in two ways".into()) }
    }

    /// The newest head takes the commit.
    fn take(&mut self, draft: &plan::Draft, after: &plain::Head) -> Result<(), String> {
        let (commit, head) =
            self.commit(draft).map_err(|why| format!("the code refuses what the model takes: {why}"))?;
        for path in &draft.remove {
            self.live.remove(path);
        }
        for file in &draft.add {
            let added = DataFile { brought_by: Some(commit.version), ..spell::file(file) };
            self.files.insert(file.path, RemovedFile::of(&added).expect("a file can be spelled"));
            self.live.insert(file.path, (file.clone(), added));
        }
        let digest = head.digest().to_owned();
        self.log.push(StoredCommit { commit, digest });
        self.heads.push((after.clone(), head));
        Ok(())
    }

    /// The heads say the same.
    fn compare(&self) -> Result<(), String> {
        let (model, head) = self.heads.last().expect("there is a head");
        for table in 0..TABLES {
            let name = spell::table(table);
            for at in model.origin - 1..=model.cursor() + 1 {
                let serves = model.base_for(table, at).map(|base| spell::base_id(base.id));
                let covers = match head.coverage().covers(&name, spell::moment(at)) {
                    Covers::Covered(base) => Some(base.id.clone()),
                    Covers::NotCovered(_) => None,
                };
                same(&format!("the base of table {table} at {at}"), &serves, &covers)?;
            }
            let mut months: BTreeMap<String, Sum> = BTreeMap::new();
            for (_, file) in self.live.values().filter(|(file, _)| file.table == table) {
                let line = super::commit::json_text(file).expect("a file can be spelled");
                months.entry(file.month.clone()).or_default().add(&line);
            }
            let state = head.table(&name).expect("the first commit has named it");
            let summed = state.months.iter().map(|(name, month)| (name.clone(), month.lines)).collect();
            same(&format!("the live files of table {table}"), &months, &summed)?;
        }
        let said: Vec<_> = model.bases.iter().map(|base| (spell::base_id(base.id), spell::said(base))).collect();
        let bases = head.coverage().bases.iter().map(|base| (base.id.clone(), base.tables.clone())).collect();
        same("the rows of bases", &said, &bases)?;
        let paths: Vec<_> = model.live.keys().collect();
        same("live files", &paths, &self.live.keys().collect())?;
        let visible: Vec<_> = model.visible().map(|file| file.path).collect();
        let shown = self.live.iter().filter(|(_, (_, file))| head.shows(file)).map(|(path, _)| *path).collect();
        same("visible files", &visible, &shown)?;
        let rows = |files: Vec<&File>| (files.len() as u64, files.iter().map(|f| f.rows.len() as u64).sum::<u64>());
        let live = head.live();
        same("sums of live files", &rows(model.live.values().collect()), &(live.files, live.rows))?;
        same("the cursor", &Some(spell::moment(model.cursor())), &head.coverage().through)
    }

    /// The head is what it was, written down and read back.
    fn read_back(&self) -> Result<(), String> {
        let (head, newest) = (self.head(), self.log.last().expect("there is a commit"));
        let text = head.to_text("a").map_err(|e| e.to_string())?;
        let read = ReadHead::parse("manifest.json", &text).map_err(|e| e.to_string())?;
        let read = read.proven_by(&newest.commit, &newest.digest).ok_or("a head is not proven by its commit")?;
        same("the head that was read back", head, &read)
    }

    /// What becomes of the draft that another writer's commits came before.
    fn race(&mut self, landing: &Landing<'_>) -> Result<(), String> {
        let (planned, outcome) = (landing.planned, landing.outcome);
        let version = planned.planned_on.version;
        let (seen, before) = &self.heads[version];
        // What the writer wants, made ready for the head that it sees.
        let Outcome::Lands(fitted) = land(planned, seen, &[], &mut (1 << 40)) else { return Ok(()) };
        let ours = spell::draft(&fitted, before, &self.files);
        let rebased = rebase(&ours, before, &self.log[version..], self.head());
        let end = match (outcome, &rebased) {
            (Outcome::Lands(draft), RebaseOutcome::Retry(again)) => {
                let (draft, mut again) = (spell::draft(draft, self.head(), &self.files), (**again).clone());
                again.sort();
                same("the draft that is carried", &draft, &again)?;
                "is carried"
            }
            (Outcome::Conflict, RebaseOutcome::Conflict) => "is a conflict",
            (Outcome::Anew | Outcome::Nothing, RebaseOutcome::Anew) => "is planned anew",
            (Outcome::Lands(_), RebaseOutcome::Conflict) if may_conflict(planned, landing.between) => {
                "is a conflict in the code only"
            }
            _ => return Err(format!("the model says {outcome:?}, the code {rebased:?}")),
        };
        *self.counts.entry(format!("{:?} {end}", planned.kind)).or_default() += 1;
        Ok(())
    }

    /// Whatever the model refuses is refused.
    fn harm(&mut self, draft: &plan::Draft, before: &plain::Head) -> Result<(), String> {
        for (name, harm) in HARMS {
            let mut harmed = draft.clone();
            if NOT_IN_A_COMMIT.iter().any(|(not, _)| not == name) || harm(&mut harmed, before).is_none() {
                continue;
            }
            match self.commit(&harmed) {
                Ok(_) => return Err(format!("{name}, and the code does not mind: {harmed}")),
                Err(why) if why.contains("its state has the sum") => {
                    return Err(format!("{name}, and only the sum minds: {harmed}"));
                }
                Err(_) => *self.counts.entry(format!("{name}: is refused")).or_default() += 1,
            }
        }
        Ok(())
    }
}

/// Where a data commit that lost a race is a conflict in the code, and the model goes on: what came says something of a table of whose
/// base the draft has rows or which it completes. The header of [`race`](super::race) says why.
fn may_conflict(planned: &plan::Draft, between: &[plan::Draft]) -> bool {
    let brought =
        |t| planned.bases.iter().any(|b| b.holds(t)) || planned.add.iter().any(|f| !f.is_delta() && f.table == t);
    let says = |b: &plan::Draft, t| {
        b.erased.iter().any(|e| e.table == t)
            || b.bases.iter().any(|base| base.made == plan::Made::Archive && base.holds(t) || base.cuts.contains(&t))
            || b.withdrawn.iter().any(|w| w.table == t)
    };
    !planned.maintenance && (0..TABLES).any(|t| brought(t) && between.iter().any(|b| says(b, t)))
}

impl Twin for TestArchive {
    fn sees(&mut self, landing: &Landing<'_>) -> Result<(), String> {
        if !landing.between.is_empty() {
            self.race(landing)?;
        }
        let Outcome::Lands(draft) = landing.outcome else { return Ok(()) };
        if self.harmed {
            self.harm(draft, landing.before)?;
        }
        self.take(draft, landing.after)?;
        self.compare()?;
        if self.head().version().is_multiple_of(5) { self.read_back() } else { Ok(()) }
    }
}

#[test]
fn a_head_lives_as_the_model_does() {
    let (seeds, mut counts) = (seeds(0..1_000), Counts::new());
    for seed in seeds.clone().chain(RARE) {
        // Harms take most of the time.
        let mut archived = TestArchive::new(seed.is_multiple_of(4));
        if let Err(story) = live(seed, Rules::ALL, &mut Counts::new(), &mut archived) {
            panic!("seed {}: {}\n{}", story.seed, story.broken, story.trace.join("\n"));
        }
        for (what, times) in archived.counts {
            *counts.entry(what).or_default() += times;
        }
    }
    let told: String = counts.iter().map(|(what, times)| format!("\n  {times:8} {what}")).collect();
    let harms = HARMS.iter().map(|(name, _)| *name).filter(|name| NOT_IN_A_COMMIT.iter().all(|(not, _)| not != name));
    let caught = CAUGHT.iter().map(ToString::to_string).chain(harms.map(|name| format!("{name}: is refused")));
    let lacking: Vec<_> = caught.filter(|what| !counts.contains_key(what)).collect();
    assert!(seeds.end - seeds.start < 1_000 || lacking.is_empty(), "no history came upon {lacking:?}:{told}");
    // Past the harness, which shows what a test prints only if it fails.
    writeln!(std::io::stderr(), "{seeds:?}:{told}").expect("stderr");
}
