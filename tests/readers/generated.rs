//! Histories by chance, with types that drift, fields that come late, objects whose keys are data, and a gap: SQL says of each field, document and
//! moment as much as the deployment held, and beside a column stands only what does not fit it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    TableRef, Timestamp, Value,
    read::views::{duckdb_views, spark_views},
    server::SimulatedDeployment,
};

use crate::tools::{expected, process::block_on, python, world::World};

type Fields = BTreeMap<String, Value>;

const DAY: i64 = 86_400_000_000_000;
const START: i64 = 1_790_000_000_000_000_000;

/// Numbers by chance, the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A value of this kind, and now and then null.
    fn value(&mut self, kind: u64) -> Value {
        if self.one_in(12) {
            return Value::Null;
        }
        match kind % 8 {
            0 => Value::String(self.of(&["", "x", "5", "null", "\"\\ \u{1f980}", "~1/"]).into()),
            1 => Value::Float64(self.of(&[0.0, -0.0, 1.5, 1e16, 1e300, f64::NAN, f64::INFINITY, 5e-324])),
            2 => Value::Int64(self.of(&[0, 1, -1, i64::MIN, i64::MAX])),
            3 => Value::Boolean(self.one_in(2)),
            4 => Value::Bytes(vec![0, 255, self.below(256) as u8]),
            5 => {
                let inner = self.below(3);
                Value::Array((0..self.below(4)).map(|_| self.value(inner)).collect())
            }
            6 => Value::Array((0..self.below(3)).map(|_| self.profile(0)).collect()),
            _ => self.profile(1),
        }
    }

    /// An object with names that people give; the later the round, the more of them.
    fn profile(&mut self, round: u64) -> Value {
        let mut object = Fields::new();
        for (n, name) in ["city", "since", "score", "tags", "place", "odd name"].into_iter().enumerate() {
            // That name no struct can have: too often, and the object is JSON text from then on.
            let is_odd = name == "odd name";
            if (n as u64) < 2 + round && !self.one_in(4) && (!is_odd || self.one_in(8)) {
                let kind = if name == "place" { 7 } else { n as u64 };
                let value = if kind == 7 && round > 0 { self.profile(round - 1) } else { self.value(kind % 7) };
                object.insert(name.into(), value);
            }
        }
        Value::Object(object)
    }

    /// An object whose keys are data.
    fn votes(&mut self, many: u64) -> Value {
        let keys: Vec<_> = (0..self.below(4)).map(|_| format!("user_{}", self.below(many))).collect();
        Value::Object(keys.into_iter().map(|key| (key, self.value(1))).collect())
    }

    /// A document of a table as it looks in this round: its fields have types of their own, which drift.
    fn document(&mut self, table: u64, round: u64, padded: bool) -> Fields {
        let mut document = Fields::new();
        let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
        for n in 0..8 {
            let kind = table * 3 + n;
            // The upper half comes late.
            if (n < 4 || round > n % 4) && !self.one_in(3) {
                let drifts = round > 1 && n % 2 == 1 && self.one_in(3);
                put(&format!("f{n}"), self.value(if drifts { kind + round } else { kind }));
            }
        }
        put("profile", self.profile(round));
        put("votes", self.votes(8 + 40 * round));
        let inner = [("votes", self.votes(8 + 40 * round)), ("closed", self.value(3))];
        put("stats", Value::Object(inner.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
        if padded {
            put("text", Value::String("x".repeat(900)));
        }
        document
    }
}

struct Generated {
    folder: tempfile::TempDir,
    place: String,
    world: World,
}

/// Archives such a history in several syncs. Before the last but one, changes are lost.
async fn archived(seed: u64) -> Generated {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("archive").to_str().unwrap().to_owned();
    let clock = Arc::new(AtomicI64::new(START));
    let look = Arc::clone(&clock);
    let tick = move || Timestamp(look.fetch_add(1_000_001, Ordering::Relaxed));
    let world = World::aging(SimulatedDeployment::with_clock("otter-1", 7, tick), seed.is_multiple_of(2)).await;
    let mut chance = Chance(seed);
    let tables: Vec<_> =
        (0..3).map(|n| TableRef::new(if n == 2 { "parts" } else { "" }, format!("t{n}")).unwrap()).collect();
    for round in 0..5 {
        for (n, table) in (0..).zip(&tables) {
            // The first file of the second table is longer than the part of it that gives birth to columns.
            let padded = n == 1 && round == 0;
            let documents = if padded { 1_400 } else { 60 + 100 * u64::from(round == 3) };
            world
                .deployment
                .transaction(|t| {
                    let mut ids = Vec::new();
                    for _ in 0..documents {
                        ids.push(t.insert(table, chance.document(n, round, padded))?);
                    }
                    // Those behind that part look as others do later. (Files are sorted by `_id`.)
                    ids.sort();
                    for id in ids.iter().rev().take(if padded { 60 } else { 0 }) {
                        t.replace(table, id, chance.document(n, 3, false))?;
                    }
                    Ok(())
                })
                .unwrap();
            let live: Vec<String> = world.deployment.state_at(Timestamp(i64::MAX))[table].keys().cloned().collect();
            for id in live.iter().filter(|_| chance.one_in(9)).collect::<Vec<_>>() {
                let deleted = chance.one_in(3);
                let document = chance.document(n, round, false);
                let change = world
                    .deployment
                    .transaction(|t| if deleted { t.delete(table, id) } else { t.replace(table, id, document) });
                change.unwrap();
            }
        }
        if round == 3 {
            clock.fetch_add(20 * DAY, Ordering::Relaxed);
        }
        let report = world.catch_up(&place).await;
        assert_eq!(report.gaps.is_empty(), round != 3, "{report:?}");
    }
    Generated { folder, place, world }
}

impl Generated {
    fn read(&self, path: &Path, script: &str, views: (&str, &str), says: &str) {
        let facts: PathBuf = self.folder.path().join("expected.ndjson");
        expected::write(&self.world.deployment, &facts);
        let written = self.folder.path().join(views.0);
        std::fs::write(&written, views.1).unwrap();
        let mut python = Command::new(python::python());
        let arguments = [Path::new(&self.place).to_owned(), facts, written];
        let said = python::try_run_in(python.env("PYTHONPATH", path), script, &arguments).unwrap();
        assert!(said.contains(says), "{said}");
    }
}

/// Two histories, one of a deployment that tells shapes; others, where the environment says so.
fn seeds() -> std::ops::Range<u64> {
    std::env::var("CONVEX_ARCHIVER_SEEDS").map_or(0..2, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().unwrap()..to.parse().unwrap()
    })
}

/// Tells the story of each history, one after the other.
fn of_each_seed(story: impl AsyncFn(u64)) {
    for seed in seeds() {
        println!("seed {seed}");
        block_on(story(seed));
    }
}

#[test]
fn duckdb_says_as_much_as_the_documents_of_histories_by_chance() {
    of_each_seed(async |seed| {
        let generated = archived(seed).await;
        let archive = generated.world.archive(&generated.place).await.unwrap();
        let head = archive.head().await.unwrap();
        let views = duckdb_views(&head, &archive.all_schemas(&head).await.unwrap(), &generated.place, None);
        for (version, path) in [("1.5.5", Path::new("")), ("2.0.0", python::next())] {
            let says = format!("DuckDB {version}: ");
            generated.read(path, "readers/generated_reads.py", ("views.sql", &views), &says);
        }
    });
}

#[test]
fn spark_says_as_much_as_the_documents_of_histories_by_chance() {
    of_each_seed(async |seed| {
        let generated = archived(seed).await;
        let views = spark_views(&generated.place, None);
        let path = if seed.is_multiple_of(2) { Path::new("") } else { python::next() };
        generated.read(path, "readers/generated_spark.py", ("convex_views.py", &views), "Spark ");
    });
}
