//! Where nothing can be written: a log that is lost never stops a run, and a report that is lost is a failure, once the work is done.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{KEY, Simulation, a_document, archiver, run, status};

/// What is wrong with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Its disk is full.
    Full,
    /// Its reader has gone.
    Unread,
    /// It was closed before the program began.
    Closed,
}

const WRONG: [Wrong; 3] = [Wrong::Full, Wrong::Unread, Wrong::Closed];

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn unread() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// `command` with a stream on which nothing can be written: 1 or 2, as shells count them.
fn without(stream: u8, wrong: Wrong, command: &Command) -> Command {
    // A closed one can be had from a shell only.
    let redirection = if wrong == Wrong::Closed { format!(" {stream}>&-") } else { String::new() };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\"{redirection}")).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    command.get_current_dir().map(|dir| shell.current_dir(dir));
    let broken = match wrong {
        Wrong::Full => Stdio::from(full()),
        Wrong::Unread => Stdio::from(unread()),
        Wrong::Closed => Stdio::null(),
    };
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if stream == 1 {
        shell.stdout(broken)
    } else {
        shell.stderr(broken)
    };
    shell
}

/// How it ended, and what it said on the other stream.
fn ended(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_log_that_cannot_be_written_stops_no_sync() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = Simulation::start(["--generate", "50"]);
    let talks: [&[&str]; 5] = [&[], &["-q"], &["-v"], &["-vv"], &["--log-format", "json"]];
    for (n, (wrong, talk)) in WRONG.into_iter().flat_map(|w| talks.map(|talk| (w, talk))).enumerate() {
        let archive = dir.path().join(n.to_string());
        let mut sync = simulation.sync(&archive);
        sync.args(talk).arg("--json");
        let (code, said) = ended(without(2, wrong, &sync));
        assert_eq!(code, Some(0), "{wrong:?} {talk:?}: {said}");
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        let status = status(&archive);
        assert_eq!((&status["version"], &status["total"]["rows"]), (&report["version"], &report["documents"]));
        assert!(report["documents"].as_u64().unwrap() >= 50);
    }
}

#[test]
fn a_log_that_cannot_be_written_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "10"]);
    for wrong in WRONG {
        let mut sync = archiver(["sync", "--json", "--deployment", &simulation.url]);
        sync.arg("--archive").arg(&archive).env("CONVEX_DEPLOY_KEY", "otter-1|ffffeeeeddddcccc");
        let (code, said) = ended(without(2, wrong, &sync));
        assert!(code == Some(2) && said.contains("does not know this deploy key"), "{wrong:?} {code:?}: {said}");
        let (code, _) = ended(without(2, wrong, &archiver(["sync", "--no-such-flag"])));
        assert_eq!(code, Some(2), "{wrong:?}");
        let (code, _) = ended(without(2, wrong, archiver(["status", "--archive"]).arg(&archive)));
        assert_eq!(code, Some(1), "{wrong:?}");
    }
}

/// Bars are drawn there until it is closed, and lines are logged above them.
#[test]
fn a_terminal_that_is_closed_in_the_middle_stops_no_sync() {
    const CLOSES: &str = "\
import os, pty, subprocess, sys
ours, terminal = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal, start_new_session=True)
os.close(terminal)
os.read(ours, 1)
os.close(ours)
sys.exit(child.wait())
";
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "200", "--snapshot-page", "20", "--latency", "20ms"]);
    let sync = simulation.sync(&archive);
    let mut python = Command::new("python3");
    python.arg("-c").arg(CLOSES).arg(sync.get_program()).args(sync.get_args());
    python.env("RUST_LOG", "debug").env("TERM", "xterm");
    assert_eq!(python.status().unwrap().code(), Some(0));
    assert_eq!(status(&archive)["total"]["rows"], 200);
}

/// An archive, and the id of a document in it.
fn archive(dir: &Path) -> (PathBuf, String) {
    let archive = dir.join("a");
    let simulation = Simulation::start(["--generate", "20", "--writes-per-second", "200"]);
    for _ in 0..2 {
        run(&mut simulation.sync(&archive)).with(0);
    }
    let id = a_document(&archive, "messages");
    (archive, id)
}

/// Every verb that prints: its words, without the archive.
fn verbs<'a>(id: &'a str, dir: &'a str) -> Vec<(Vec<&'a str>, bool)> {
    let zip = Box::leak(format!("{dir}/out.zip").into_boxed_str());
    let export = Box::leak(format!("{dir}/out").into_boxed_str());
    let text: [(&[&str], bool); 12] = [
        (&["status"], true),
        (&["tables"], true),
        (&["schema", "messages"], true),
        (&["get", "messages", id], true),
        (&["history", "messages", id], true),
        (&["log"], true),
        (&["diff", "now", "now"], true),
        (&["restore", "--plan"], true),
        (&["views", "--engine", "duckdb"], false),
        (&["views", "--engine", "spark"], false),
        (&["views", "--engine", "dbt"], false),
        (&["schema", "--format", "dbt"], false),
    ];
    let mut verbs: Vec<(Vec<&str>, bool)> = Vec::new();
    for (words, json) in text {
        verbs.push((words.to_vec(), true));
        if json {
            verbs.push((words.iter().copied().chain(["--json"]).collect(), true));
        }
    }
    verbs.push((vec!["restore", "--force", "--output", zip], true));
    verbs.push((vec!["export", "--output", export], true));
    for words in [&["--help"][..], &["--version"], &["help", "sync"], &["sync", "--help"], &["completions", "bash"]] {
        verbs.push((words.to_vec(), false));
    }
    verbs
}

#[test]
fn a_report_that_cannot_be_printed_is_a_failure_and_one_that_nobody_reads_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, id) = archive(dir.path());
    let archive_url = archive.to_str().unwrap();
    for (words, of_archive) in verbs(&id, dir.path().to_str().unwrap()) {
        for (wrong, expected) in [(Wrong::Full, 1), (Wrong::Unread, 0), (Wrong::Closed, 0)] {
            // An export wants an empty place.
            let _ = std::fs::remove_dir_all(dir.path().join("out"));
            let mut command = archiver([]);
            command.args(&words);
            if of_archive {
                command.args(["--archive", archive_url]);
            }
            let (code, said) = ended(without(1, wrong, &command));
            assert_eq!(code, Some(expected), "{words:?} {wrong:?}: {said}");
            assert!(!said.contains("panicked"), "{words:?} {wrong:?}: {said}");
            // The work was done all the same.
            let made = match words[0] {
                "export" => dir.path().join("out/export.json"),
                "restore" if words.contains(&"--output") => dir.path().join("out.zip"),
                _ => continue,
            };
            assert!(made.exists(), "{words:?} {wrong:?}");
        }
    }
}

#[test]
fn a_sync_whose_report_cannot_be_printed_has_committed() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = Simulation::start(["--generate", "50"]);
    for (n, (wrong, expected)) in [(Wrong::Full, 1), (Wrong::Unread, 0), (Wrong::Closed, 0)].into_iter().enumerate() {
        for json in [true, false] {
            let archive = dir.path().join(format!("{n}{json}"));
            let mut sync = simulation.sync(&archive);
            if json {
                sync.arg("--json");
            }
            let (code, said) = ended(without(1, wrong, &sync));
            assert_eq!(code, Some(expected), "{wrong:?}: {said}");
            assert!(expected == 0 || said.contains("cannot write to standard output"), "{said}");
            assert!(status(&archive)["total"]["rows"].as_u64().unwrap() >= 50, "{wrong:?}");
        }
    }
}

#[test]
fn a_server_whose_welcome_cannot_be_printed_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, _) = archive(dir.path());
    let archive = archive.to_str().unwrap();
    for words in [
        &["simulate", "--listen", "127.0.0.1:0", "--key", KEY][..],
        &["serve", "--listen", "127.0.0.1:0", "--archive", archive],
        &["demo", "--dir", "demo"],
    ] {
        let mut command = archiver([]);
        command.args(words).current_dir(dir.path());
        let (code, said) = ended(without(1, Wrong::Full, &command));
        assert!(code == Some(1) && said.contains("cannot write to standard output"), "{words:?}: {said}");
    }
}
