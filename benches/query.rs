//! What SQL costs before it reads rows: `query "SELECT 1"` and a count of one table, of an archive of 300 tables and some 10,000 files.
//! `cargo bench --bench query`, with `duckdb` on the PATH. The archive stays in the folder that `QUERY_ARCHIVE` names. Where `strace` is to be had, the
//! data files that are opened are counted.

#![allow(clippy::print_stdout, reason = "a bench is a program of its own")]
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it starts the program, and is told where")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use convex_archiver::{
    NoMonitor, TableRef, Timestamp, Value,
    archive::{Archive, Location, Settings},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
    sync::{SyncOptions, sync},
};

const TABLES: usize = 300;
const RUNS: i64 = 34;
const KEY: &str = "otter-1|secret";

/// Every table gets a row before every sync, and so a file with it.
async fn archived(place: &str) {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 7));
    let options = RouterOptions::default().key(KEY.to_owned());
    let routes = router(Arc::clone(&deployment) as Arc<dyn Deployment>, options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    for run in 0..RUNS {
        deployment
            .transaction(|t| {
                (0..TABLES).try_for_each(|n| {
                    let table = TableRef::new("", format!("table_{n}"))?;
                    let fields = BTreeMap::from([
                        ("run".to_owned(), Value::Int64(run)),
                        ("name".to_owned(), Value::String(format!("{run} of {n}"))),
                    ]);
                    t.insert(&table, fields).map(drop)
                })
            })
            .expect("a transaction");
        let access = Access::new(&url, DeployKey::new(KEY).expect("a key"), false).expect("access");
        let client = Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).expect("a client");
        let identity = client.identity().await.expect("an identity");
        let location = Location::create(place, &Settings::default()).expect("a place");
        let archive =
            Archive::open_or_create(Arc::clone(location.store()), location.url(), identity, Timestamp(1)).await;
        let archive = archive.expect("an archive");
        sync(Arc::new(client), &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await.expect("a sync");
    }
}

/// The data files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found
}

fn query(place: &str, sql: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
    command.args(["query", sql, "--archive", place]).stdin(Stdio::null());
    command
}

/// The median of five.
fn time(place: &str, sql: &str) -> Duration {
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            let ended = query(place, sql).stdout(Stdio::null()).status().expect("the program");
            assert!(ended.success(), "{sql}");
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[2]
}

/// How often data files are opened; `None` without strace.
fn opens(place: &str, sql: &str) -> Option<usize> {
    let plain = query(place, sql);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "trace=openat", "-o", "/dev/stderr"]).arg(plain.get_program()).args(plain.get_args());
    let output = traced.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.contains(".parquet")).count())
}

fn main() {
    let kept = std::env::var_os("QUERY_ARCHIVE").map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = kept.unwrap_or_else(|| temporary.path().join("archive"));
    let place = folder.to_str().expect("a path in UTF-8");
    if !folder.exists() {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(archived(place));
    }
    println!("query: {TABLES} tables, {} files", files(&folder).len());
    for sql in ["SELECT 1", "SELECT count(*) FROM table_7", "SELECT count(*) FROM table_7_versions", "SHOW TABLES"] {
        let opens = opens(place, sql).map_or("unknown".to_owned(), |n| n.to_string());
        println!("query: {sql}: {:.2} s, {opens} opens of data files", time(place, sql).as_secs_f64());
    }
}
