//! A year of cron as a model: the real log, checkpoints, lists, manifest, plan of what is joined, and vacuum behind the log; but the data files are
//! imaginary, of one byte in a store in memory, and so is the joining of them. `cargo bench --bench year`; `YEAR_RUNS=4320 YEAR_EVERY=10m` is the month that
//! `cron` measures with real syncs, and is to be held against it.
//!
//! Bytes of a file are those of a line through two points that `cron` measured: `FILE_BYTES` and `ROW_BYTES`. Bases of the archive's own are left out: they
//! add files, and take none away.

#![allow(clippy::print_stdout, reason = "a bench is a program of its own")]
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it is told how much to do")]
#![allow(dead_code, unreachable_pub, reason = "the counted store is that of the tests")]

#[path = "../tests/it/support/counted.rs"]
mod counted;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use convex_archiver::{
    DataFile, Timestamp,
    archive::{Archive, CommitOutcome, Draft, Head, Run},
    compact::{CompactOptions, due, replace},
    testing::layout,
    vacuum::vacuum_behind,
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use self::{counted::CountedStore, support::imaginary};

const TABLES: u64 = 60;
const CHANGING: u64 = 40;
const COLUMNS: i32 = 4;
/// Rows that a run finds in all.
const ROWS: u64 = 300;
/// Bytes of a file without its rows, and of a row in it, about.
const FILE_BYTES: u64 = 4_350;
const ROW_BYTES: u64 = 25;
const BEGINNING: i64 = 1_798_761_600_000_000_000; // 2027-01-01
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn bytes_of(rows: u64) -> u64 {
    FILE_BYTES + rows * ROW_BYTES
}

/// A file that a run brings.
fn brought(n: u64, min: Timestamp, max: Timestamp, counter: u32, run: &str) -> DataFile {
    let rows = ROWS / CHANGING + u64::from(n < ROWS % CHANGING);
    // No file spans two months: what came at the very border is the next file's.
    let max = if layout::month_of(max) == layout::month_of(min) { max } else { Timestamp(max.0 - 1) };
    let file = imaginary::delta_file(imaginary::entry(n, COLUMNS), min, max, counter, run);
    DataFile { bytes: bytes_of(rows), rows, tombstones: 1, ..file }
}

/// The file that a group becomes.
fn joined(group: &[DataFile], folder: &str, counter: u32, run: &str) -> DataFile {
    let (first, last) = (group.first().unwrap(), group.last().unwrap());
    let rows = group.iter().map(|file| file.rows).sum();
    DataFile {
        path: layout::delta_file(folder, first.min_ts, counter, run),
        bytes: bytes_of(rows),
        rows,
        tombstones: group.iter().map(|file| file.tombstones).sum(),
        max_ts: last.max_ts,
        max_created: last.max_created,
        joined: group.iter().map(|file| file.joined).max().unwrap() + 1,
        brought_by: group.iter().filter_map(|file| file.brought_by).max(),
        ..first.clone()
    }
}

struct Year {
    memory: Arc<InMemory>,
    store: Arc<CountedStore>,
    archive: Archive,
    head: Head,
    options: CompactOptions,
    /// Bytes that data files would have.
    sizes: HashMap<String, u64>,
    brought_bytes: u64,
    joined_bytes: u64,
    deleted: u64,
}

impl Year {
    async fn begin() -> Self {
        let memory = Arc::new(InMemory::new());
        let store = CountedStore::new(Arc::clone(&memory) as Arc<dyn ObjectStore>);
        let all = Arc::clone(&store) as Arc<dyn ObjectStore>;
        let archive = Archive::create(all, "memory:///year", imaginary::identity(), Timestamp(1)).await.unwrap();
        let head = archive.head().await.unwrap();
        // As a sync does it.
        let options = CompactOptions::default().bytes(Some(64 << 20)).everything(false);
        let (sizes, zero) = (HashMap::new(), 0);
        let mut year = Self {
            memory,
            store,
            archive,
            head,
            options,
            sizes,
            brought_bytes: zero,
            joined_bytes: zero,
            deleted: zero,
        };
        let tables = (0..TABLES).map(|n| imaginary::entry(n, COLUMNS)).collect();
        let draft = imaginary::first_draft(&year.head, Timestamp(BEGINNING), tables);
        year.commit(draft, &mut Run::begin()).await;
        year
    }

    async fn commit(&mut self, draft: Draft, run: &mut Run) {
        match self.archive.commit(&self.head, run, draft).await.unwrap() {
            CommitOutcome::Committed(next) => self.head = *next,
            _ => unreachable!("nobody else writes"),
        }
    }

    async fn put(&mut self, file: &DataFile) {
        self.sizes.insert(file.path.clone(), file.bytes);
        self.memory.put(&Path::from(file.path.as_str()), "x".into()).await.unwrap();
    }

    /// What the run before left is joined, then what came is committed, the manifest is written, and what was replaced long ago is deleted.
    async fn run(&mut self, before: Timestamp, through: Timestamp) {
        let begun = self.head.version();
        let mut run = Run::begin();
        let (groups, _) = due(&self.archive, &self.head, &self.options).await.unwrap();
        let mut replaced = Vec::new();
        for (counter, group) in (0..).zip(groups) {
            let folder = self.head.table(&group[0].table).unwrap().folder.clone();
            let file = joined(&group, &folder, counter, &run.id);
            self.joined_bytes += file.bytes;
            self.put(&file).await;
            replaced.push((group, file));
        }
        self.head = replace(&self.archive, &self.head, &mut run, replaced, through).await.unwrap().0;

        let mut run = Run::begin();
        let mut draft = imaginary::draft(&self.head, through);
        for n in 0..CHANGING {
            let file = brought(n, Timestamp(before.0 + 1), through, n as u32, &run.id);
            self.brought_bytes += file.bytes;
            self.put(&file).await;
            draft.add.push(file);
        }
        self.commit(draft, &mut run).await;
        if self.archive.is_manifest_due(&self.head).unwrap() {
            self.head = self.archive.write_manifest(&self.head).await.unwrap();
        }
        if self.head.version() / layout::CHECKPOINT_EVERY > begun / layout::CHECKPOINT_EVERY {
            self.deleted += vacuum_behind(&self.archive, &self.head, WEEK, through).await.unwrap();
        }
    }

    async fn look(&self, run: u64, seconds: f64) -> String {
        self.store.take_requests();
        let begin = Instant::now();
        let all = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        let archive = Archive::open(all, "memory:///year").await.unwrap();
        let head = archive.head().await.unwrap();
        let opened = begin.elapsed().as_secs_f64() * 1e3;
        assert_eq!(head.version(), self.head.version());
        let requests = self.store.take_requests();
        let read: u64 = requests.iter().map(|request| request.bytes).sum();
        let most = head.tables().map(|state| state.delta.files).max().unwrap();
        let (mut kinds, mut all) = (BTreeMap::<String, (u64, u64)>::new(), (0, 0));
        let objects: Vec<_> = self.memory.list(None).try_collect().await.unwrap();
        for object in objects {
            let path = object.location.to_string();
            let bytes = self.sizes.get(&path).copied().unwrap_or(object.size);
            all = (all.0 + 1, all.1 + bytes);
            let kind = kinds.entry(path.split('/').next().unwrap().to_owned()).or_default();
            *kind = (kind.0 + 1, kind.1 + bytes);
        }
        let kinds: Vec<_> =
            kinds.iter().map(|(kind, (n, bytes))| format!("{kind} {n}, {:.1} MB", *bytes as f64 / 1e6)).collect();
        format!(
            "run {run:>6}, version {:>6}: {:.2} ms a run; opened by {} requests, {:.0} kB in {opened:.1} ms; most delta files of a table {most}, live {} \
             files {:.1} MB; {} objects {:.1} MB ({}); {} deleted; {:.2} bytes joined per byte brought",
            head.version(),
            seconds * 1e3,
            requests.len(),
            read as f64 / 1e3,
            head.live().files,
            head.live().bytes as f64 / 1e6,
            all.0,
            all.1 as f64 / 1e6,
            kinds.join("; "),
            self.deleted,
            self.joined_bytes as f64 / self.brought_bytes as f64
        )
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let runs: u64 = setting("YEAR_RUNS", "105120").parse().expect("YEAR_RUNS is a number");
    let every = humantime::parse_duration(&setting("YEAR_EVERY", "5m")).expect("YEAR_EVERY is a duration");
    let mut year = Year::begin().await;
    let shown: BTreeSet<u64> = [144, 288, 1440].into_iter().chain((1..=12).map(|month| month * runs / 12)).collect();
    let (mut begin, mut since) = (Instant::now(), 0);
    for run in 1..=runs {
        let at = |run: u64| Timestamp(BEGINNING + run as i64 * every.as_nanos() as i64);
        year.run(at(run - 1), at(run)).await;
        if shown.contains(&run) {
            let seconds = begin.elapsed().as_secs_f64() / (run - since) as f64;
            println!("{}", year.look(run, seconds).await);
            (begin, since) = (Instant::now(), run);
        }
        year.store.take_requests();
    }
}
