//! `status`.

use crate::support::{Simulation, archiver, run};

#[test]
fn where_no_archive_is_it_says_so_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for (place, expected) in [(missing.as_path(), "no folder"), (dir.path(), "no archive")] {
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
    let simulation = Simulation::start(["--generate", "20"]);
    run(&mut simulation.sync(&archive)).with(0);
    drop(simulation);
    let status = |lag: &str| run(archiver(["status", "--max-lag", lag]).env("CONVEX_ARCHIVE", &archive));
    assert!(status("0s").with(3).stderr.contains("--max-lag"));
    let calm = status("1h").with(0);
    for word in ["Cursor", "Through", "Lag", "Window", "13 days", "messages", "analytics/events", "Covered"] {
        assert!(calm.stdout.contains(word), "{word}: {calm:?}");
    }
    assert!(calm.stdout.contains("Of components only the snapshot is sure"), "{calm:?}");
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
