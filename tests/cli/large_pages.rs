//! Pages larger than the memory, to the real program: a page has no limit but its 1,024 documents of 1 MiB.
//!
//! The deployment makes them up while they are read, so that nothing holds or stores them.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    routing::get,
};
use futures::{StreamExt, stream};

use crate::support::{KEY, Running, archiver, run, run_measured, served, status};

const S: i64 = 1_795_434_575_833_065_791;
const MIB: u64 = 1 << 20;

/// A table of equal documents, which are one page.
#[derive(Clone)]
struct Table {
    name: &'static str,
    /// Its fields as JSON, each with a comma before it.
    fields: Bytes,
    documents: u64,
}

impl Table {
    fn new(name: &'static str, fields: String, documents: u64) -> Self {
        Self { name, fields: fields.into(), documents }
    }

    /// Documents as Convex allows them at most: long text; 16 levels of 1,024 keys; 8,192 items of which no two follow
    /// each other with the same type.
    fn worst(documents: u64) -> [Self; 3] {
        let text = r#"3 \"quotes\", a \\ and {[é]} "#.repeat(37_000);
        let keys = |level: usize| (0..1023).map(|n| format!(r#""k{n:03}":"{level:052}","#)).collect::<String>();
        let deep = (0..15)
            .fold(format!("{{{}\"z\":null}}", keys(15)), |inner, level| format!("{{{}\"z\":{inner}}}", keys(level)));
        let items =
            ["null", "true", "1.5", r#"{"$integer":"AAAAAAAAAAA="}"#, r#""text""#, "[]", r#"{"a":{"b":[1,"2"]}}"#];
        let items: Vec<_> = (0..8192).map(|n| items[n % items.len()]).collect();
        [
            Self::new("texts", format!(r#","text":"{text}""#), documents),
            Self::new("deep", format!(r#","deep":{deep}"#), documents / 20),
            Self::new("drifted", format!(r#","items":[{}]"#, items.join(",")), documents / 20),
        ]
    }

    /// The documents of a page, with `more` behind `_ts`; each `transaction` of them were written at once, from `ts` on.
    fn values(self, ts: i64, transaction: u64, more: &'static str) -> impl futures::Stream<Item = Bytes> {
        stream::iter(0..self.documents).flat_map(move |n| {
            let comma = if n == 0 { "" } else { "," };
            let (name, ts) = (self.name, ts + (n / transaction) as i64);
            let head = format!(
                r#"{comma}{{"_component":"","_table":"{name}","_ts":{ts}{more},"_creationTime":1.5,"_id":"{n:032}""#
            );
            stream::iter([head.into(), self.fields.clone(), Bytes::from_static(b"}")])
        })
    }
}

/// What is archived.
struct Deployment {
    /// A page each.
    snapshot: Vec<Table>,
    /// One page, in transactions of 16 MiB, the most that Convex takes.
    deltas: Vec<Table>,
    /// No page of the snapshot ever ends.
    stalls: bool,
}

#[derive(serde::Deserialize)]
struct Asked {
    cursor: Option<String>,
}

fn page(values: impl futures::Stream<Item = Bytes> + Send + 'static, rest: String) -> Body {
    let begin = stream::iter([Bytes::from_static(b"{\"values\":[")]);
    let whole = begin.chain(values).chain(stream::iter([Bytes::from(rest)]));
    Body::from_stream(whole.map(Ok::<_, std::io::Error>))
}

async fn list_snapshot(State(deployment): State<Arc<Deployment>>, Query(asked): Query<Asked>) -> Body {
    let number: usize = asked.cursor.map_or(0, |cursor| cursor.parse().unwrap());
    let more = number + 1 < deployment.snapshot.len();
    let cursor = if more { format!("\"{}\"", number + 1) } else { "null".to_owned() };
    let rest = format!(r#"],"snapshot":{S},"cursor":{cursor},"hasMore":{more}}}"#);
    let values = deployment.snapshot[number].clone().values(S - 1, u64::MAX, "");
    if deployment.stalls { page(values.chain(stream::pending()), rest) } else { page(values, rest) }
}

async fn document_deltas(State(deployment): State<Arc<Deployment>>, Query(asked): Query<Asked>) -> Body {
    let after: i64 = asked.cursor.unwrap().parse().unwrap();
    let (mut through, mut values) = (after, Vec::new());
    for table in deployment.deltas.iter().filter(|_| after == S) {
        let comma = if values.is_empty() { "" } else { "," };
        let (first, documents) = (through + 1, table.documents);
        through += documents.div_ceil(16) as i64;
        let documents = table.clone().values(first, 16, r#","_deleted":false"#);
        values.push(stream::iter([Bytes::from_static(comma.as_bytes())]).chain(documents));
    }
    let rest = format!(r#"],"cursor":{through},"hasMore":{}}}"#, !values.is_empty());
    page(stream::iter(values).flatten(), rest)
}

impl Deployment {
    /// Serves it; its URL.
    async fn serve(self) -> String {
        let routes = Router::new()
            .route("/api/list_snapshot", get(list_snapshot))
            .route("/api/document_deltas", get(document_deltas))
            .route("/api/json_schemas", get(async || "{}"))
            .with_state(Arc::new(self));
        served(routes).await
    }
}

fn sync(url: &str, archive: &Path, args: &[&str]) -> Command {
    let mut command = archiver(["sync", "--json", "--deployment", url]);
    command.args(args).arg("--archive").arg(archive).env("CONVEX_DEPLOY_KEY", KEY);
    command
}

/// Archives the worst documents under a memory limit, bytes; prints what it took of it.
#[allow(clippy::print_stdout, reason = "the number is what one runs the larger test for")]
async fn fits(limit: u64, documents: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (archive, temporary) = (dir.path().join("a"), dir.path().join("t"));
    std::fs::create_dir(&temporary).unwrap();
    let deployment =
        Deployment { snapshot: Table::worst(documents).into(), deltas: Table::worst(128).into(), stalls: false };
    let tables = deployment.snapshot.iter().chain(&deployment.deltas);
    let expected = tables.map(|table| table.documents).sum::<u64>();
    let url = deployment.serve().await;
    let limit_text = format!("{}MiB", limit / MIB);
    let args = ["--memory-limit", &limit_text, "--temp-dir", temporary.to_str().unwrap()];
    let (ended, peak) = run_measured(&mut sync(&url, &archive, &args));
    let report = ended.with(0).json();
    println!("{limit_text}: at most {} MiB, {} MiB of pages", peak / MIB, report["page_bytes"].as_u64().unwrap() / MIB);
    assert_eq!((&report["documents"], &report["caught_up"]), (&expected.into(), &true.into()));
    assert!(report["page_bytes"].as_u64().unwrap() > documents * MIB, "{report}");
    assert_eq!(status(&archive)["total"]["rows"], expected);
    assert!((1..=limit).contains(&peak), "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_600_mib_fits_into_256() {
    fits(256 * MIB, 600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the largest page that Convex makes: half a minute and 1 GiB of temporary files"]
async fn a_page_of_1_gib_fits_into_256_mib() {
    fits(256 * MIB, 1024).await;
}

/// A table that fits, and one that has to be spooled with the least memory.
fn small_and_large() -> Deployment {
    let [large, ..] = Table::worst(30);
    let small = Table::new("small", r#","n":1.0"#.to_owned(), 10);
    Deployment { snapshot: vec![small, large], deltas: Vec::new(), stalls: false }
}

/// Runs a command in a shell that does `first`.
fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$@\""), "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_temporary_files_the_pages_before_count_and_a_rerun_with_room_completes() {
    let url = small_and_large().serve().await;
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    // What the shell does first, the folder, what the message says of it.
    let table = [
        ("trap '' XFSZ; ulimit -f 4000", full.to_str().unwrap(), "is full: free space there"),
        (":", "/no/such/folder", "the folder for temporary files, /no/such/folder, does not exist: create it"),
        // Also root cannot make a file there.
        (":", "/proc", "temporary files"),
    ];
    for (n, (first, folder, text)) in table.into_iter().enumerate() {
        let archive = dir.path().join(n.to_string());
        let least = ["--memory-limit", "64MiB"];
        let mut command = sync(&url, &archive, &least);
        let mut command = after(first, command.env("TMPDIR", folder));
        let ended = tokio::task::block_in_place(|| run(&mut command)).with(1);
        let error = ended.json()["error"].clone();
        assert_eq!(error["kind"], "resource", "{ended:?}");
        for text in [text, folder, "an answer of more than", "--temp-dir, TMPDIR"] {
            assert!(error["message"].as_str().unwrap().contains(text), "{text}: {error}");
        }
        let before = status(&archive);
        assert_eq!((&before["phase"], &before["snapshot"]["written"]["rows"]), (&"snapshot".into(), &10.into()));
        let report = tokio::task::block_in_place(|| run(&mut sync(&url, &archive, &least))).with(0).json();
        assert_eq!((&report["documents"], &report["caught_up"]), (&30.into(), &true.into()));
        assert_eq!(status(&archive)["total"]["rows"], 40);
    }
    // With room in memory nobody misses the folder.
    let mut command = sync(&url, &dir.path().join("roomy"), &[]);
    command.env("TMPDIR", "/no/such/folder");
    assert_eq!(tokio::task::block_in_place(|| run(&mut command)).with(0).json()["documents"], 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_page_is_spooled_it_leaves_no_temporary_file() {
    let url = Deployment { stalls: true, ..small_and_large() };
    let url = Deployment { snapshot: url.snapshot[1..].to_vec(), ..url }.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("t");
    std::fs::create_dir(&temporary).unwrap();
    let args = ["--memory-limit", "64MiB", "--temp-dir", temporary.to_str().unwrap()];
    let mut running = Running::start(&mut sync(&url, &dir.path().join("a"), &args));
    let files = format!("/proc/{}/fd", running.id());
    let is_spooled = || {
        let mut files =
            std::fs::read_dir(&files).unwrap().filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        files.any(|file| file.starts_with(&temporary))
    };
    while !is_spooled() {
        assert!(!running.has_ended());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running.kill());
    assert!(std::fs::read_dir(&temporary).unwrap().next().is_none());
}
