//! A month of cron: 60 tables, 40 of which change with every run, archived by real syncs over HTTP from a simulation whose clock is moved.
//! `cargo bench --bench cron`; `CRON_RUNS=288 CRON_EVERY=5m` for other months, `CRON_COMPACT=off` for how it would be without.
//!
//! It tells for some runs what stands in the prefix, what the run asked of deployment and store, and its CPU time. The simulation runs in threads of its own, whose
//! CPU time is taken off. At the end it times `query` of a table, and once more after all its delta files have become one; that needs `duckdb` on the PATH.

#![allow(clippy::print_stdout, reason = "a bench is a program of its own")]
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it is told how much to do")]
#![allow(dead_code, unreachable_pub, reason = "the counted store is that of the tests")]

#[path = "../tests/it/support/counted.rs"]
mod counted;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use convex_archiver::{
    NoMonitor, TableRef, Timestamp, Value,
    archive::{Archive, Location, Settings},
    compact::{CompactOptions, compact},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
    sync::{SyncOptions, SyncReport, sync},
};

use self::counted::{CountedStore, Verb};

const TABLES: usize = 60;
const CHANGING: usize = 40;
/// Rows that a run finds in all.
const ROWS: usize = 300;
/// What is asked of a table that changes.
const SQL: &str = "SELECT count(*), sum(price), max(text) FROM table_07";
/// Documents that each table has at the beginning.
const DOCUMENTS: usize = 200;
const BEGINNING: i64 = 1_798_761_600_000_000_000; // 2027-01-01
const KEY: &str = "otter-1|secret";
/// The name of the threads of the simulation.
const SERVER: &str = "simulation";

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// CPU time so far, seconds, of this process without the threads of the simulation.
fn cpu() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_server = |thread: &std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == SERVER)
    };
    let server: f64 = threads.filter(of_server).map(|thread| cpu_of(&thread.path().join("stat"))).sum();
    cpu_of(Path::new("/proc/self/stat")) - server
}

fn cpu_of(stat: &Path) -> f64 {
    let stat = std::fs::read_to_string(stat).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn table(n: usize) -> TableRef {
    TableRef::new("", format!("table_{n:02}")).unwrap()
}

fn fields(run: usize, n: usize) -> BTreeMap<String, Value> {
    let text = format!("what run {run} wrote as number {n}, some words to have the size of a message");
    [
        ("run".to_owned(), Value::Int64(run as i64)),
        ("text".to_owned(), Value::String(text)),
        ("done".to_owned(), Value::Boolean(n.is_multiple_of(3))),
        ("price".to_owned(), Value::Float64(n as f64 * 1.25)),
    ]
    .into()
}

struct Month {
    deployment: Arc<SimulatedDeployment>,
    clock: Arc<AtomicI64>,
    url: String,
    folder: std::path::PathBuf,
    store: Arc<CountedStore>,
    archive_url: String,
    options: SyncOptions,
    /// Newest documents of each table, which runs change.
    ids: Vec<Vec<String>>,
}

/// What a run took.
struct Took {
    report: SyncReport,
    cpu: f64,
    wall: f64,
    api: u64,
    gets: usize,
    puts: usize,
    lists: usize,
    written: u64,
}

impl Month {
    async fn begin(folder: &Path) -> Self {
        let clock = Arc::new(AtomicI64::new(BEGINNING));
        let now = Arc::clone(&clock);
        let deployment =
            SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(now.fetch_add(1000, Ordering::SeqCst)));
        let deployment = Arc::new(deployment);
        let mut ids = Vec::new();
        for n in 0..TABLES {
            let insert = |d| deployment.transaction(|tx| tx.insert(&table(n), fields(0, d))).unwrap().1;
            ids.push((0..DOCUMENTS).map(insert).collect());
        }
        let routes =
            router(Arc::clone(&deployment) as Arc<dyn Deployment>, RouterOptions::default().key(KEY.to_owned()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name(SERVER).enable_all().build();
        let runtime = runtime.unwrap();
        let (told, address) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, routes).await
        });
        let url = format!("http://{}", address.await.unwrap());
        // It lives as long as the process.
        std::mem::forget(runtime);
        let location = Location::create(folder.to_str().unwrap(), &Settings::default()).unwrap();
        let options = SyncOptions::default();
        let is_off = setting("CRON_COMPACT", "on") == "off";
        let options = if is_off { options.compact(None) } else { options };
        let (archive_url, store) = (location.url().to_owned(), CountedStore::new(Arc::clone(location.store())));
        Self { deployment, clock, url, folder: folder.to_owned(), store, archive_url, options, ids }
    }

    /// What people write between two runs: most of it changes, and as many documents go as come. (The simulation looks at every document for each
    /// answer about schemas: tables that grew would soon be what is measured.)
    fn write(&mut self, run: usize) {
        for row in 0..ROWS {
            let n = row % CHANGING;
            let ids = &mut self.ids[n];
            let place = (run * 31 + row * 7) % ids.len();
            self.deployment
                .transaction(|tx| {
                    match row / CHANGING {
                        0 => ids.push(tx.insert(&table(n), fields(run, row))?),
                        1 => tx.delete(&table(n), &ids.swap_remove(place))?,
                        _ => tx.replace(&table(n), &ids[place], fields(run, row))?,
                    }
                    Ok(())
                })
                .unwrap();
        }
    }

    /// One run, as cron starts it: it opens the archive anew.
    async fn run(&self) -> Took {
        self.store.take_requests();
        let (begin, cpu_before) = (Instant::now(), cpu());
        let access = Access::new(&self.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        let client = Arc::new(Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap());
        let identity = client.identity().await.unwrap();
        let store = Arc::clone(&self.store) as Arc<dyn object_store::ObjectStore>;
        let archive = Archive::open_or_create(store, self.archive_url.clone(), identity, Timestamp(1)).await.unwrap();
        let source = Arc::clone(&client) as Arc<dyn Source>;
        let report = sync(source, &archive, &self.options, Arc::new(NoMonitor)).await.unwrap();
        assert!(report.caught_up && report.compacted.damaged == 0);
        let (cpu, wall) = (cpu() - cpu_before, begin.elapsed().as_secs_f64());
        let requests = self.store.take_requests();
        let of = |verbs: &[Verb]| requests.iter().filter(|request| verbs.contains(&request.verb)).count();
        let written = requests.iter().filter(|request| request.verb == Verb::Put).map(|request| request.bytes).sum();
        Took {
            cpu,
            wall,
            api: client.traffic().requests,
            gets: of(&[Verb::Get, Verb::Look]),
            puts: of(&[Verb::Put]),
            lists: of(&[Verb::List]),
            written,
            report,
        }
    }

    /// Makes one of all delta files of each table and month.
    async fn join_all(&self) {
        let store = Arc::clone(&self.store) as Arc<dyn object_store::ObjectStore>;
        let archive = Archive::open(store, self.archive_url.clone()).await.unwrap();
        let head = archive.head().await.unwrap();
        let now = Timestamp(self.clock.load(Ordering::SeqCst));
        compact(&archive, &head, &CompactOptions::default().fan_in(2), now, Arc::new(NoMonitor)).await.unwrap();
    }

    /// What `query` of a table takes, the median of nine whole processes, seconds; None without DuckDB.
    fn query(&self) -> Option<f64> {
        let mut times = Vec::new();
        for _ in 0..9 {
            let mut query = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
            query.args(["query", SQL, "--archive"]).arg(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
            let begin = Instant::now();
            if !query.status().unwrap().success() {
                return None;
            }
            times.push(begin.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Some(times[4])
    }

    /// Objects and bytes below a folder of the prefix.
    fn size(&self, below: &str) -> (u64, u64) {
        let (mut objects, mut bytes) = (0, 0);
        let mut folders = vec![self.folder.join(below)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let meta = entry.metadata().unwrap();
                if meta.is_dir() {
                    folders.push(entry.path());
                } else {
                    (objects, bytes) = (objects + 1, bytes + meta.len());
                }
            }
        }
        (objects, bytes)
    }

    /// The most delta files that a table has, all live files, and their bytes; and what opening takes.
    async fn look(&self) -> String {
        self.store.take_requests();
        let begin = Instant::now();
        let store = Arc::clone(&self.store) as Arc<dyn object_store::ObjectStore>;
        let archive = Archive::open(store, self.archive_url.clone()).await.unwrap();
        let head = archive.head().await.unwrap();
        let (opened, reads) = (begin.elapsed().as_secs_f64() * 1000.0, self.store.take_requests().len());
        let most = head.tables().map(|state| state.delta.files).max().unwrap_or(0);
        let live = head.live();
        let [(log, log_bytes), (parts, part_bytes), (all, all_bytes)] =
            ["log", "parts", ""].map(|below| self.size(below));
        let manifest = std::fs::metadata(self.folder.join("manifest.json")).unwrap().len();
        format!(
            "most delta files of a table {most}, live {} files {:.1} MB; opened by {reads} requests in {opened:.1} ms; manifest {manifest} B, \
             log {log} objects {:.1} MB, parts {parts} objects {:.1} MB, all {all} objects {:.1} MB",
            live.files,
            live.bytes as f64 / 1e6,
            log_bytes as f64 / 1e6,
            part_bytes as f64 / 1e6,
            all_bytes as f64 / 1e6
        )
    }
}

fn line(run: usize, took: &Took) -> String {
    let Took { report, cpu, wall, api, gets, puts, lists, written } = took;
    format!(
        "run {run:>5}: {:.0} ms CPU, {:.0} ms, {api} of the API, {gets} gets, {puts} puts, {lists} lists, {:.0} kB written; \
         brought {} files, {} rows, {} B; joined {} into {}, {} rows, {} B",
        cpu * 1e3,
        wall * 1e3,
        *written as f64 / 1e3,
        report.files,
        report.documents + report.tombstones,
        report.file_bytes,
        report.compacted.inputs,
        report.compacted.outputs,
        report.compacted.rows,
        report.compacted.output_bytes
    )
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let runs: usize = setting("CRON_RUNS", "4320").parse().expect("CRON_RUNS is a number");
    let every = humantime::parse_duration(&setting("CRON_EVERY", "10m")).expect("CRON_EVERY is a duration");
    let dir = tempfile::tempdir().unwrap();
    let mut month = Month::begin(&dir.path().join("a")).await;
    println!("{}", line(0, &month.run().await));
    let (mut brought, mut joined, mut windows) = (0, 0, BTreeMap::<usize, Vec<f64>>::new());
    let shown: BTreeSet<usize> = [10, 11, 12, 13, 144].into_iter().chain((288..=runs).step_by(288)).collect();
    for run in 1..=runs {
        month.clock.fetch_add(every.as_nanos() as i64, Ordering::SeqCst);
        month.write(run);
        let took = month.run().await;
        brought += took.report.file_bytes;
        joined += took.report.compacted.output_bytes;
        windows.entry((run - 1) / 144).or_default().push(took.cpu);
        if shown.contains(&run) {
            println!("{}\n           {}", line(run, &took), month.look().await);
        }
    }
    let mean = |cpus: &Vec<f64>| cpus.iter().sum::<f64>() / cpus.len() as f64 * 1e3;
    let means: Vec<_> = windows.values().map(|cpus| format!("{:.0}", mean(cpus))).collect();
    println!("mean CPU of a run, ms, by 144 runs: {}", means.join(" "));
    println!("bytes joined per byte brought: {:.2}", joined as f64 / brought as f64);
    for idle in 1..=3 {
        month.clock.fetch_add(every.as_nanos() as i64, Ordering::SeqCst);
        println!("idle {}", line(idle, &month.run().await));
    }
    let of_many = month.query();
    month.join_all().await;
    match of_many.zip(month.query()) {
        Some((many, one)) => println!(
            "{SQL}: {:.0} ms, of one delta file {:.0} ms: {:.2}x\n           {}",
            many * 1e3,
            one * 1e3,
            many / one,
            month.look().await
        ),
        None => println!("{SQL}: not measured, no duckdb on the PATH"),
    }
    month.clock.fetch_add(32 * 86_400_000_000_000, Ordering::SeqCst);
    for next in 1..=40 {
        month.clock.fetch_add(every.as_nanos() as i64, Ordering::SeqCst);
        month.deployment.transaction(|tx| tx.insert(&table(59), fields(next, 0))).unwrap();
        let took = month.run().await;
        if next % 10 == 0 {
            println!("next month {}\n           {}", line(next, &took), month.look().await);
        }
    }
}
