//! A table whose changes have outgrown it gets a base of the archive's own, as the program does it by itself: after 100,000 changes, a day after the
//! base before.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    TableRef, Timestamp, Value,
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
};
use serde_json::Value as Json;

use crate::support::{Ended, KEY, archiver, run, served};

const DAY: i64 = 24 * 3_600 * 1_000_000_000;
const DOCUMENTS: i64 = 50;
/// How often each document changes.
const CHANGES: i64 = 2_010;

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n)), ("name".to_owned(), Value::String(format!("name {}", n % 7)))].into()
}

struct Busy {
    dir: tempfile::TempDir,
    url: String,
}

impl Busy {
    fn run(&self, args: &[&str]) -> Ended {
        let mut command = archiver([]);
        command.args(args).current_dir(self.dir.path()).env("CONVEX_ARCHIVE", self.dir.path().join("a"));
        command.env("CONVEX_SELF_HOSTED_URL", &self.url).env("CONVEX_SELF_HOSTED_ADMIN_KEY", KEY);
        tokio::task::block_in_place(|| run(&mut command)).with(0)
    }

    /// All documents at these moments, and the history of one.
    fn answers(&self, moments: &[String], id: &str) -> Vec<String> {
        let documents = |at: &String| self.run(&["documents", "busy", "--as-of", at, "--limit", "100"]).stdout;
        let mut answers: Vec<_> = moments.iter().map(documents).collect();
        answers.push(self.run(&["history", "busy", id, "--json"]).stdout);
        answers
    }
}

fn bases(report: &Json) -> (u64, u64) {
    (report["bases"].as_u64().unwrap(), report["base_rows"].as_u64().unwrap())
}

fn files_of_bases(archive: &Path) -> usize {
    let folder = archive.join("tables/busy/revisions/convex_phase=snapshot");
    let months = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    months.map(|month| std::fs::read_dir(month.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_makes_a_base_where_changes_have_outgrown_the_last_one_and_every_answer_stays() {
    let clock = Arc::new(AtomicI64::new(Timestamp::now().0 - 2 * DAY));
    let now = Arc::clone(&clock);
    let deployment =
        SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(now.fetch_add(1_000, Ordering::SeqCst)));
    let deployment = Arc::new(deployment);
    let (busy, quiet) = (TableRef::new("", "busy").unwrap(), TableRef::new("", "quiet").unwrap());
    let insert = |table: &TableRef, n| deployment.transaction(|tx| tx.insert(table, fields(n))).unwrap().1;
    let ids: Vec<_> = (0..DOCUMENTS).map(|n| insert(&busy, n)).collect();
    insert(&quiet, 1);
    let options = RouterOptions::default().key(KEY.to_owned());
    let url = served(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options)).await;
    let user = Busy { dir: tempfile::tempdir().unwrap(), url };
    let archive = user.dir.path().join("a");
    user.run(&["sync"]);
    let first = clock.load(Ordering::SeqCst);

    clock.store(Timestamp::now().0 - DAY / 24, Ordering::SeqCst);
    let mut written = Vec::new();
    for change in 1..=CHANGES {
        let documents = || (0..DOCUMENTS).zip(&ids);
        let replaced =
            deployment.transaction(|tx| documents().try_for_each(|(n, id)| tx.replace(&busy, id, fields(change * n))));
        written.push(replaced.unwrap().0.0);
    }
    user.run(&["sync", "--no-compact"]);
    let moments = [first, written[written.len() / 2], written[written.len() - 1]].map(|ts| ts.to_string());
    let before = user.answers(&moments, &ids[7]);
    assert!(before.iter().all(|answer| answer.lines().count() >= DOCUMENTS as usize), "{before:?}");
    let files = files_of_bases(&archive);

    let plan = user.run(&["compact", "--plan", "--json"]).json();
    assert_eq!(bases(&plan).0, 1, "{plan}");
    insert(&quiet, 2);
    let report = user.run(&["sync", "--json"]).json();
    assert_eq!(bases(&report["compacted"]), (1, DOCUMENTS as u64), "{report}");
    assert_eq!(files_of_bases(&archive), files + 1);

    assert_eq!(before, user.answers(&moments, &ids[7]));
    assert_eq!(bases(&user.run(&["compact", "--plan", "--json"]).json()).0, 0, "one is enough");
    user.run(&["verify", "--read-data"]);
}
