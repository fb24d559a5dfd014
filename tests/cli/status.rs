//! `status`.

use std::path::Path;

use crate::support::{Running, Simulation, archiver, run};

#[test]
fn where_no_archive_is_it_says_so_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for (place, expected) in [(missing.as_path(), "does not exist"), (dir.path(), "no archive")] {
        let ended = run(archiver(["status", "--json", "--archive"]).arg(place)).with(1);
        assert_eq!(ended.json()["error"]["kind"], "not_found");
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    assert!(!missing.exists());
}

#[test]
fn too_long_a_lag_is_a_finding_and_needs_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    // A server that may send no changes of components.
    let simulation = Simulation::start(["--generate", "20", "--server-of", "2026-06-01"]);
    run(&mut simulation.sync(&archive)).with(0);
    drop(simulation);
    let status = |lag: &str| run(archiver(["status", "--max-lag", lag]).env("CONVEX_ARCHIVE", &archive));
    assert!(status("0s").with(3).stderr.contains("the lag is"));
    // The components' tables are not sure beyond the snapshot.
    let doubt = status("1h").with(3);
    assert!(doubt.stderr.contains("2 tables not up to the end: analytics/events"), "{doubt:?}");
    let calm =
        run(archiver(["status", "--fail-on", "gap,empty", "--fail-on", "window=3d"]).env("CONVEX_ARCHIVE", &archive));
    let calm = calm.with(0);
    for word in ["Cursor", "Through", "Lag", "Window", "13 days", "messages", "analytics/events", "Covered"] {
        assert!(calm.stdout.contains(word), "{word}: {calm:?}");
    }
    assert!(calm.stdout.contains("For tables in components only the snapshot is certain"), "{calm:?}");
    assert_eq!(calm.stderr, "");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "20"]);
    run(&mut simulation.sync(&archive)).with(0);
    let mut command = archiver(["status", "--archive"]);
    let mut child = command.arg(&archive).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// The text of a status that fails, and the conditions that it names, in their order.
fn failed(archive: &Path, args: &[&str]) -> (String, Vec<String>) {
    let status = |more: &[&str]| run(archiver(["status", "--archive"]).arg(archive).args(args).args(more)).with(3);
    let (text, json) = (status(&[]), status(&["--json"]).json());
    let failed = json["failed_on"].as_array().unwrap().clone();
    let first = text.stdout.lines().take(failed.len());
    for (line, failed) in first.zip(&failed) {
        let (condition, reason) = (failed["condition"].as_str().unwrap(), failed["reason"].as_str().unwrap());
        assert_eq!(line, format!("Failed: {condition}: {reason}"));
        assert!(text.stderr.contains(reason), "{text:?}");
    }
    let conditions = failed.iter().map(|failed| failed["condition"].as_str().unwrap().to_owned());
    (text.stdout.clone(), conditions.collect())
}

#[test]
fn each_condition_fails_for_its_own_reason_and_the_reasons_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50"]);
    run(simulation.sync(&archive).args(["--exclude", "*/**"])).with(0);
    let calm = ["--fail-on", "lag=1h,window=13d,gap,uncovered,empty,unproven=1h,suspect", "--max-lag", "1h"];
    let calm = run(archiver(["status", "--json", "--archive"]).arg(&archive).args(calm)).with(0).json();
    assert_eq!(calm["failed_on"], serde_json::json!([]));
    for (condition, expected) in [("lag=0s", "lag"), ("window=20d", "window")] {
        assert_eq!(failed(&archive, &["--fail-on", condition]).1, [expected]);
    }
    assert_eq!(failed(&archive, &["--fail-on", "window=20d,empty", "--fail-on", "lag=0s"]).1, ["window", "lag"]);
    assert_eq!(failed(&archive, &["--max-lag", "0s", "--fail-on", "lag=0s"]).1, ["lag"]);
    assert_eq!(failed(&archive, &["--fail-on", "gap,unverified"]).1, ["unverified"]);
    for wrong in ["late", "lag", "lag=soon", "gap=1", "suspect=1d", "unproven", "unverified=", ""] {
        let ended = run(archiver(["status", "--fail-on", wrong, "--archive"]).arg(&archive)).with(2);
        let list = ended
            .stderr
            .contains("lag=TIME, window=TIME, gap, uncovered, empty, unproven=TIME, suspect, unverified or");
        assert!(
            list || ["lag=soon", "unverified="].contains(&wrong) && ended.stderr.contains("write numbers and units"),
            "{wrong}: {ended:?}"
        );
    }
}

#[test]
fn an_archive_without_documents_is_empty_and_one_without_a_snapshot_uncovered() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "0"]);
    run(&mut simulation.sync(&archive)).with(0);
    assert_eq!(failed(&archive, &["--fail-on", "empty"]).1, ["empty"]);
    let begun = dir.path().join("b");
    let simulation = Simulation::start(["--generate", "1000", "--snapshot-page", "25", "--latency", "60ms"]);
    let mut sync = Running::start(&mut simulation.sync(&begun));
    sync.wait_for("table 2 of");
    sync.signal(&["TERM"]);
    sync.end().with(0);
    assert_eq!(failed(&begun, &["--fail-on", "uncovered"]).1, ["uncovered"]);
    let (text, conditions) = failed(&begun, &["--max-lag", "1h"]);
    assert!(conditions == ["uncovered"] && text.contains("the first snapshot is not complete"), "{text}");
}

/// The archive's newest commit with other moments in it, as a machine of another clock would have written them.
fn move_clock(archive: &Path, days: i64) {
    // A digest chains commits: only the newest one can be written anew.
    let mut names: Vec<_> =
        std::fs::read_dir(archive.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| !path.to_string_lossy().contains(".schemas."));
    names.sort();
    let newest = names.last().unwrap();
    let mut commit: serde_json::Value = serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap();
    let moved: i64 = commit["checked_at"].as_str().unwrap().parse::<i64>().unwrap() + days * 86_400_000_000_000;
    commit["checked_at"] = moved.to_string().into();
    std::fs::write(newest, format!("{commit}\n")).unwrap();
    // It names the digest of the commit as it was.
    std::fs::remove_file(archive.join("manifest.json")).unwrap();
}

#[test]
fn a_last_check_in_the_future_fails_every_condition_of_time_and_is_told_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50"]);
    run(simulation.sync(&archive).args(["--exclude", "*/**"])).with(0);
    run(&mut simulation.sync(&archive)).with(0);
    move_clock(&archive, 2);
    let unasked = run(archiver(["status", "--archive"]).arg(&archive)).with(0).stdout;
    assert!(
        unasked.contains("Clock") && unasked.contains("in the future according to this machine's clock"),
        "{unasked}"
    );
    for condition in ["lag=365d", "window=1h"] {
        assert_eq!(failed(&archive, &["--fail-on", condition]).1, ["clock"]);
    }
    assert_eq!(failed(&archive, &["--max-lag", "365d"]).1, ["clock"]);
    run(archiver(["status", "--fail-on", "gap,uncovered,empty", "--archive"]).arg(&archive)).with(0);
}

#[test]
fn a_gap_fails_the_condition_gap_also_once_it_is_healed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50", "--writes-per-second", "20", "--deltas-window", "3s"]);
    run(&mut simulation.sync(&archive)).with(0);
    run(archiver(["status", "--fail-on", "gap", "--archive"]).arg(&archive)).with(0);
    std::thread::sleep(std::time::Duration::from_secs(6));
    run(&mut simulation.sync(&archive)).with(3);
    run(&mut simulation.sync(&archive)).with(0);
    let (text, conditions) = failed(&archive, &["--fail-on", "gap"]);
    assert!(conditions == ["gap"] && text.contains("the deployment no longer kept these changes"), "{text}");
}
