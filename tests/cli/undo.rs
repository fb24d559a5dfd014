//! `restore --undo`, against the simulation.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ended, Simulation, archiver, run};

/// An archive with a bad second in its past.
struct BadDay {
    dir: tempfile::TempDir,
    /// `_ts` before it.
    before: String,
}

impl BadDay {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let simulation = Simulation::start(["--generate", "200", "--writes-per-second", "200"]);
        let archive = dir.path().join("a");
        std::fs::create_dir(dir.path().join("work")).unwrap();
        let first = run(simulation.sync(&archive).arg("--json")).with(0).json();
        std::thread::sleep(std::time::Duration::from_secs(1));
        run(&mut simulation.sync(&archive)).with(0);
        let before = first["through"].as_str().unwrap().to_owned();
        Self { dir, before }
    }

    fn undo(&self, args: &[&str]) -> Ended {
        let mut command = archiver(["restore", "--undo", "--from", &self.before, "--exclude", "*/**"]);
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

#[test]
fn a_plan_names_what_comes_back_and_the_zip_is_for_a_replacement() {
    let day = BadDay::new();
    let plan = day.undo(&["--to", "now", "--plan", "--json"]).with(0).json();
    assert!(sum(&plan, "put_back") > 0 && sum(&plan, "reverted") > 0 && sum(&plan, "changed_since") == 0, "{plan}");
    assert_eq!((&plan["import"], &plan["output"]), (&"npx convex import --replace".into(), &Value::Null));
    let told = day.undo(&["--to", "now", "--plan", "--documents"]).with(0).stdout;
    let named = |what: &str| told.lines().filter(|line| line.contains(what)).count() as u64;
    assert_eq!(named(" put back (not there now)"), sum(&plan, "put_back"));
    assert_eq!(named(" reverted (last written "), sum(&plan, "reverted"));

    let told = day.undo(&["--to", "now", "--output", "undo.zip"]).with(0).stdout;
    for words in ["Import   npx convex import --replace undo.zip", "start a new archive", "--inserted removes them"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(!told.contains("--append") && !told.contains("--replace-all"), "{told}");
    let again = day.undo(&["--to", "now", "--output", "undo.zip"]).with(2);
    assert!(again.stderr.contains("--force"), "{again:?}");
    assert_eq!(files(&day.path("")), ["undo.zip"]);
}

#[test]
fn documents_that_were_changed_again_are_told_and_a_mutation_leaves_the_deleted_ones() {
    let day = BadDay::new();
    // A moment in the middle of the changes.
    let log = run(archiver(["log", "--json", "--archive"]).arg(day.dir.path().join("a"))).with(0).stdout;
    let moments: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["ts"].as_str().unwrap().to_owned())
        .collect();
    let middle = &moments[moments.len() / 2];
    let plan = day.undo(&["--to", middle, "--plan", "--json"]).with(3).json();
    assert!(sum(&plan, "changed_since") > 0, "{plan}");
    let all = day.undo(&["--to", middle, "--plan", "--json", "--over-later-writes"]).with(0).json();
    assert_eq!(sum(&all, "changed_since"), 0);
    assert!(all["undone"].as_u64() > plan["undone"].as_u64());

    let written = day.undo(&["--to", middle, "--as", "mutation", "--output", "undo", "--json"]).with(3).json();
    assert_eq!((&written["tables"], &written["import"]), (&plan["tables"], &Value::Null));
    assert_eq!(files(&day.path("undo")), ["README.txt", "apply.mjs", "batches", "undo.ts"]);
    assert_eq!(written["batches"], files(&day.path("undo/batches")).len());
    let readme = std::fs::read_to_string(day.path("undo/README.txt")).unwrap();
    let deleted = format!("NOT undone: {} deleted documents", sum(&plan, "put_back"));
    for words in [deleted.as_str(), "npx convex run undo:apply \"$(cat \"$batch\")\""] {
        assert!(readme.contains(words), "{words} in {readme}");
    }
    let again = day.undo(&["--to", middle, "--as", "mutation", "--output", "undo"]).with(2);
    assert!(again.stderr.contains("absent or empty"), "{again:?}");
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let day = BadDay::new();
    for (args, code, words) in [
        (&["--output", "b.zip"][..], 2, "--to"),
        (&["--to", "1999-01-01", "--output", "b.zip"], 2, "lies after"),
        (&["--from", "1999-01-01", "--to", "now", "--output", "b.zip"], 2, "cannot be used multiple times"),
        (&["--to", "now", "--as-of", "now", "--output", "b.zip"], 2, "--as-of"),
        (&["--to", "now", "--match", "author", "--plan"], 2, "FIELD=VALUE"),
        (&["--to", "now", "--id", "nobody", "--plan"], 2, "no document id"),
        (&["--to", "now", "--as", "mutation", "--output", "-"], 2, "a folder on this machine"),
        (&["--to", "now", "--table", "nothing", "--plan"], 1, "no table nothing"),
    ] {
        let ended = day.undo(args).with(code);
        assert!(ended.stderr.contains(words), "{words} in {ended:?}");
    }
    let archive = day.dir.path().join("a");
    let undo = |from: &str| {
        run(archiver([
            "restore",
            "--undo",
            "--from",
            from,
            "--to",
            "now",
            "--output",
            "b.zip",
            "--exclude",
            "*/**",
            "--archive",
        ])
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
