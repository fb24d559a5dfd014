//! `restore --undo`, against the simulation.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use convex_archiver::{
    TableRef, Timestamp,
    server::{RouterOptions, SimulatedDeployment, router},
};
use serde_json::Value;

use crate::support::{Ended, KEY, archiver, run, served};

type Fields = BTreeMap<String, convex_archiver::Value>;

/// An archive with a bad moment in its past.
struct BadDay {
    dir: tempfile::TempDir,
    /// `_ts` before it.
    before: String,
    /// `_ts` after it, and before what people did since.
    after: String,
}

impl BadDay {
    /// Of 50 notes two are deleted, three changed and one is new; since then one of those changed was changed again.
    async fn new() -> Self {
        let notes = TableRef::new("", "notes").unwrap();
        let number = |n: i64| -> Fields { [("n".to_owned(), convex_archiver::Value::Int64(n))].into() };
        let deployment = Arc::new(SimulatedDeployment::new("otter-1", 4));
        deployment.insert_all([(notes.clone(), (0..50).map(number).collect())].into()).unwrap();
        let options = RouterOptions::default().key(KEY.to_owned());
        let url = served(router(Arc::clone(&deployment) as _, options)).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        let (key, archive) = (dir.path().join("key"), dir.path().join("a"));
        std::fs::write(&key, KEY).unwrap();
        let sync = || {
            let mut command = archiver(["sync", "--json", "--deployment", &url]);
            let sync = command.arg("--deploy-key-file").arg(&key).arg("--archive").arg(&archive);
            run(sync).with(0).json()["through"].as_str().unwrap().to_owned()
        };
        let before = sync();
        let ids: Vec<_> = deployment.state_at(Timestamp(i64::MAX))[&notes].keys().cloned().collect();
        deployment
            .transaction(|t| {
                ids[..2].iter().try_for_each(|id| t.delete(&notes, id))?;
                ids[2..5].iter().try_for_each(|id| t.replace(&notes, id, number(100)))?;
                t.insert(&notes, number(7))
            })
            .unwrap();
        let after = sync();
        deployment.transaction(|t| t.replace(&notes, &ids[4], number(200))).unwrap();
        sync();
        Self { dir, before, after }
    }

    fn undo(&self, args: &[&str]) -> Ended {
        let mut command = archiver(["restore", "--undo", "--from", &self.before]);
        run(command.args(args).env("CONVEX_ARCHIVE", self.dir.path().join("a")).current_dir(self.path("")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }
}

fn sum(report: &Value, name: &str) -> u64 {
    report["tables"].as_array().unwrap().iter().map(|table| table[name].as_u64().unwrap()).sum()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_names_what_comes_back_and_the_zip_is_for_a_replacement() {
    let day = BadDay::new().await;
    let plan = day.undo(&["--to", "now", "--plan", "--json"]).with(0).json();
    let counts = ["put_back", "reverted", "removed", "changed_since", "stay_inserted"].map(|name| sum(&plan, name));
    assert_eq!(counts, [2, 3, 0, 0, 1], "{plan}");
    assert_eq!((&plan["import"], &plan["output"]), (&"npx convex import --replace".into(), &Value::Null));
    let told = day.undo(&["--to", "now", "--plan", "--documents"]).with(0).stdout;
    let named = |what: &str| told.lines().filter(|line| line.contains(what)).count() as u64;
    assert_eq!(named(" put back (not in the table now)"), sum(&plan, "put_back"));
    assert_eq!(named(" reverted (last written "), sum(&plan, "reverted"));

    let told = day.undo(&["--to", "now", "--output", "undo.zip"]).with(0).stdout;
    for words in ["Import   npx convex import --replace undo.zip", "run sync afterwards", "--inserted removes them"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(!told.contains("--append") && !told.contains("--replace-all"), "{told}");
    let again = day.undo(&["--to", "now", "--output", "undo.zip"]).with(2);
    assert!(again.stderr.contains("--force"), "{again:?}");
    assert_eq!(files(&day.path("")), ["undo.zip"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn documents_that_were_changed_again_are_told_and_a_mutation_leaves_the_deleted_ones() {
    let day = BadDay::new().await;
    let after = day.after.as_str();
    let plan = day.undo(&["--to", after, "--plan", "--json"]).with(3).json();
    let counts = |report: &Value| ["put_back", "reverted", "changed_since"].map(|name| sum(report, name));
    assert_eq!(counts(&plan), [2, 2, 1], "{plan}");
    let all = day.undo(&["--to", after, "--plan", "--json", "--over-later-writes"]).with(0).json();
    assert_eq!(counts(&all), [2, 3, 0], "{all}");

    let written = day.undo(&["--to", after, "--as", "mutation", "--output", "undo", "--json"]).with(3).json();
    assert_eq!((&written["tables"], &written["import"]), (&plan["tables"], &Value::Null));
    assert_eq!(files(&day.path("undo")), ["README.txt", "apply.mjs", "batches", "undo.ts"]);
    assert_eq!(written["batches"], files(&day.path("undo/batches")).len());
    let readme = std::fs::read_to_string(day.path("undo/README.txt")).unwrap();
    let deleted = format!("NOT undone: {} deleted documents", sum(&plan, "put_back"));
    for words in [deleted.as_str(), "npx convex run undo:apply \"$(cat \"$batch\")\""] {
        assert!(readme.contains(words), "{words} in {readme}");
    }
    let again = day.undo(&["--to", after, "--as", "mutation", "--output", "undo"]).with(2);
    assert!(again.stderr.contains("does not exist or is empty"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let day = BadDay::new().await;
    for (args, code, words) in [
        (&["--output", "b.zip"][..], 2, "--to"),
        (&["--to", "1999-01-01", "--output", "b.zip"], 2, "is after 1999-01-01"),
        (&["--from", "1999-01-01", "--to", "now", "--output", "b.zip"], 2, "cannot be used multiple times"),
        (&["--to", "now", "--as-of", "now", "--output", "b.zip"], 2, "--as-of"),
        (&["--to", "now", "--match", "author", "--plan"], 2, "FIELD=VALUE"),
        (&["--to", "now", "--id", "nobody", "--plan"], 2, "not a document id"),
        (&["--to", "now", "--as", "mutation", "--output", "-"], 2, "a folder on this machine"),
        (&["--to", "now", "--table", "nothing", "--plan"], 1, "no table nothing"),
    ] {
        let ended = day.undo(args).with(code);
        assert!(ended.stderr.contains(words), "{words} in {ended:?}");
    }
    let archive = day.dir.path().join("a");
    let undo = |from: &str| {
        run(archiver(["restore", "--undo", "--from", from, "--to", "now", "--output", "b.zip", "--archive"])
            .arg(&archive)
            .current_dir(day.path("")))
    };
    // The nearest moment that is covered is offered.
    let refused = undo("1999-01-01").with(1);
    assert!(refused.stderr.contains("--from 1") && refused.stderr.contains("not covered"), "{refused:?}");
    // Nothing changed: nothing is written.
    let nothing = undo("now").with(0);
    assert!(nothing.stdout.contains("nothing to undo"), "{nothing:?}");
    run(archiver(["restore", "--from", "now", "--plan", "--archive"]).arg(&archive)).with(2);
    assert_eq!(files(&day.path("")), [] as [String; 0]);
}
