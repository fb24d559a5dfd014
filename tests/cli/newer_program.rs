//! An archive in which the newest commit was written by a program of tomorrow.

use std::{fs, path::PathBuf};

use convex_archiver::Sum;
use serde_json::Value;

use crate::support::{Ended, archiver, run};

const TOMORROW: &str = "convex-archiver/9.9.9";

struct Archive {
    dir: tempfile::TempDir,
}

impl Archive {
    /// What `demo` leaves, the newest commit of which needs these words.
    fn needing(readers: &str, writers: &str) -> Self {
        let archive = Self { dir: tempfile::tempdir().unwrap() };
        let empty = archive.dir.path().join("bin");
        fs::create_dir(&empty).unwrap();
        run(archiver(["demo", "--dir", "a"]).current_dir(archive.dir.path()).env("PATH", &empty)).with(0);
        let newest = archive.newest_commit();
        let text = fs::read_to_string(&newest).unwrap();
        let commit: Value = serde_json::from_str(&text).unwrap();
        let [before, after] = [(String::new(), String::new()), (quoted(readers), quoted(writers))]
            .map(|(readers, writers)| format!("{{\"readers\":[{readers}],\"writers\":[{writers}]}}"));
        // What holds after it is the same but for the words: their line counts in the sum.
        let line = |needs: &str| Sum::of(format!("{{\"needs\":{needs}}}").as_bytes());
        let state: Sum = serde_json::from_value(commit["state"].clone()).unwrap();
        let forged = state.minus(line(&before)).plus(line(&after));
        let text = text
            .replace(&format!("\"needs\":{before}"), &format!("\"needs\":{after}"))
            .replace(&state.sum.to_string(), &forged.sum.to_string())
            .replace(commit["program"].as_str().unwrap(), TOMORROW);
        fs::write(&newest, text).unwrap();
        fs::remove_file(archive.path().join("manifest.json")).unwrap();
        archive
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a")
    }

    fn newest_commit(&self) -> PathBuf {
        let log = fs::read_dir(self.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
        let is_commit = |path: &PathBuf| path.file_name().unwrap().len() == "00000000000000000001.json".len();
        log.filter(is_commit).max().unwrap()
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut command = archiver([]);
        run(command.args(args).current_dir(self.dir.path()).env("CONVEX_ARCHIVE", self.path()))
    }
}

fn quoted(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!("\"{word}\"") }
}

fn readers() -> Vec<Vec<&'static str>> {
    vec![
        vec!["status"],
        vec!["tables"],
        vec!["tables", "--count"],
        vec!["get", "http", "x"],
        vec!["history", "http", "x"],
        vec!["log"],
        vec!["diff", "1", "2"],
        vec!["schema", "http"],
        vec!["views", "--engine", "duckdb"],
        vec!["views", "--engine", "dbt"],
        vec!["views", "--engine", "spark"],
        vec!["schema", "--format", "dbt"],
        vec!["query", "SELECT 1"],
        vec!["restore", "--plan"],
        vec!["restore", "--output", "x.zip"],
        vec!["export", "--output", "x"],
        vec!["copy", "--to", "y"],
        vec!["serve", "--listen", "127.0.0.1:0"],
    ]
}

fn says_who_can(ended: Ended, word: &str) {
    let said = &ended.with(1).stderr;
    assert!(said.contains(TOMORROW) && said.contains(word), "{said}");
    assert!(!said.contains("copy") && !said.contains("damaged"), "nothing is wrong with it: {said}");
}

#[test]
fn no_verb_reads_on_over_a_word_for_readers_that_it_does_not_know() {
    let archive = Archive::needing("encryption", "");
    for args in readers() {
        says_who_can(archive.run(&args), "encryption");
    }
    let json = archive.run(&["status", "--json"]).with(1).json();
    assert_eq!(json["error"]["kind"], "unsupported");
}

#[test]
fn readers_read_on_over_a_word_for_writers_and_a_sync_writes_nothing() {
    let archive = Archive::needing("", "erasure");
    archive.run(&["status"]).with(0);
    archive.run(&["tables", "--count"]).with(0);
    archive.run(&["restore", "--output", "x.zip"]).with(0);
    let before: Vec<_> = fs::read_dir(archive.path().join("log")).unwrap().map(|e| e.unwrap().file_name()).collect();
    // What repeats the log would have to be written by who knows the word.
    says_who_can(archive.run(&["copy", "--to", "y"]), "erasure");
    // Nobody answers there: it is refused before anybody is asked.
    let mut sync = archiver(["sync", "--deployment", "http://127.0.0.1:9"]);
    let sync = sync.env("CONVEX_DEPLOY_KEY", "otter-1|a1b2c3d4e5f6").env("CONVEX_ARCHIVE", archive.path());
    says_who_can(run(sync), "erasure");
    let after: Vec<_> = fs::read_dir(archive.path().join("log")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before.len(), after.len());
}
