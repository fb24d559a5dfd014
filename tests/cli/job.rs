//! `sync` as a job: what it says where, and how the last line of its log tells the end.

use serde_json::Value;

use crate::support::{Ended, Running, Simulation, archiver, run, status};

/// The last line of a log in JSON.
fn last_line(ended: &Ended) -> Value {
    serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap()
}

#[test]
fn a_quiet_run_that_went_well_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "20"]);
    for _ in 0..2 {
        let ended = run(simulation.sync(&archive).arg("-q")).with(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }
    assert!(run(simulation.sync(&archive).args(["-q", "--json"])).with(0).json()["caught_up"].as_bool().unwrap());
    assert!(run(&mut simulation.sync(&archive)).with(0).stdout.contains("caught up"));
    let found =
        run(simulation.sync(&archive).args(["-q", "--include", "users", "--include", "x", "--accept-selection"]));
    let found = found.with(3);
    assert!(found.stdout.contains("Findings") && found.stderr.contains("has no table `x`"), "{found:?}");
    let failed = run(archiver(["-q", "sync", "--archive"]).arg(&archive)).with(2);
    assert!(failed.stdout.is_empty() && failed.stderr.contains("which deployment?"), "{failed:?}");
}

#[test]
fn the_last_line_of_the_log_is_the_report_in_fields() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50"]);
    let ended = run(simulation.sync(&archive).args(["--json", "--log-format", "json"])).with(0);
    let (report, line) = (ended.json(), last_line(&ended));
    for field in [
        "run",
        "archive",
        "version",
        "exit_code",
        "documents",
        "tombstones",
        "files",
        "file_bytes",
        "commits",
        "requests",
    ] {
        assert_eq!(line[field], report[field], "{field}: {line}");
    }
    assert_eq!((&line["level"], &line["exit_code"]), (&"INFO".into(), &0.into()));
    assert!(
        line["deployment"].as_str().unwrap().contains("otter-1") && line["seconds"].as_f64().unwrap() > 0.0,
        "{line}"
    );
    assert!(report["started"].as_str().unwrap() < report["ended"].as_str().unwrap());
    let text = run(&mut simulation.sync(&archive)).with(0).stderr;
    let text = text.lines().last().unwrap();
    assert!(text.contains("sync ended, caught up") && text.contains("exit_code=0") && text.contains("run="), "{text}");
}

#[test]
fn the_last_line_of_the_log_of_a_failed_run_tells_how_it_failed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50"]);
    run(&mut simulation.sync(&archive)).with(0);
    let other = Simulation::start(["--generate", "50"]);
    for log in ["text", "json"] {
        let ended = run(other.sync(&archive).args(["-q", "--json", "--log-format", log])).with(2);
        let report = ended.json();
        assert_eq!((&report["exit_code"], &report["error"]["exit_code"]), (&2.into(), &2.into()));
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.contains("sync failed") && last.contains(report["run"].as_str().unwrap()), "{last}");
        if log == "json" {
            let line = last_line(&ended);
            assert_eq!(
                (&line["error"], &line["exit_code"], &line["level"]),
                (&"usage".into(), &2.into(), &"ERROR".into())
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn the_last_line_of_a_run_that_was_interrupted_twice_tells_that_too() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "1000", "--snapshot-page", "25", "--latency", "60ms"]);
    let mut sync = Running::start(simulation.sync(&archive).args(["--log-format", "json", "--commit-every", "1ms"]));
    sync.wait_for("commit 2");
    sync.signal(&["STOP", "TERM", "INT", "CONT"]);
    let line = last_line(&sync.end().with(130));
    assert_eq!((&line["exit_code"], &line["message"]), (&130.into(), &"sync interrupted".into()));
    assert_eq!(line["version"], status(&archive)["version"]);
}

#[test]
fn a_command_line_that_is_wrong_is_a_report_too_where_one_was_asked_for() {
    for args in [&["sync", "--json"][..], &["status", "--no-such-flag", "--json"], &["-q", "get", "--json", "a"]] {
        let ended = run(archiver([]).args(args)).with(2);
        let error = &ended.json()["error"];
        assert_eq!((&error["kind"], &error["exit_code"]), (&"usage".into(), &2.into()), "{args:?}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains("Usage:") && !message.starts_with("error"), "{message}");
        assert!(ended.stderr.contains("Usage:"), "{ended:?}");
    }
    // Its rows are not reports.
    for args in [&["query", "--json", "--no-such-flag"][..], &["sync"], &["no-such-verb", "--json"]] {
        assert_eq!(run(archiver([]).args(args)).with(2).stdout, "", "{args:?}");
    }
}
