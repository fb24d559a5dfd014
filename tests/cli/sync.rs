//! `sync`.

use crate::support::{KEY, Running, Simulation, archiver, run, status};

#[test]
fn two_syncs_and_the_status_tell_the_same_story() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "300", "--writes-per-second", "200"]);

    let first = run(simulation.sync(&archive).arg("--json")).with(0).json();
    assert_eq!((&first["first_run"], &first["caught_up"]), (&true.into(), &true.into()));
    assert!(first["documents"].as_u64().unwrap() >= 300 && first["requests"].as_u64().unwrap() >= 7, "{first}");
    assert!(first["response_bytes"].as_u64() > first["page_bytes"].as_u64());
    assert_eq!(first["not_in_archive"].as_array().unwrap().len(), 4);

    let second = run(simulation.sync(&archive).arg("--json")).with(0).json();
    assert_eq!((&second["first_run"], &second["more_waiting"]), (&false.into(), &false.into()));
    assert!(second["through"].as_str() > first["through"].as_str());
    assert!(second.get("not_in_archive").is_none());

    let status = status(&archive);
    for member in ["version", "digest", "through", "checked_at", "caught_up"] {
        assert_eq!(status[member], second[member], "{member}");
    }
    let rows =
        |report: &serde_json::Value| report["documents"].as_u64().unwrap() + report["tombstones"].as_u64().unwrap();
    assert_eq!(status["total"]["rows"].as_u64().unwrap(), rows(&first) + rows(&second));
    assert_eq!((&status["phase"], status["tables"].as_array().unwrap().len()), (&"delta".into(), 5));
}

#[test]
fn the_report_for_people_names_what_the_archive_does_not_hold_once() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = Simulation::start(["--generate", "100"]);
    let sync = || run(&mut simulation.sync(&dir.path().join("a"))).with(0).stdout;
    let (first, second) = (sync(), sync());
    for word in ["caught up", "100 documents and 0 tombstones of 5 tables", "Through", "Lag", "Digest", "does not hold"]
    {
        assert!(first.contains(word), "{word}: {first}");
    }
    assert!(second.contains("0 documents") && !second.contains("does not hold"), "{second}");
}

#[test]
fn an_address_that_is_no_deployment_makes_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "10"]);
    let elsewhere = format!("{}/elsewhere", simulation.url);
    let mut command = archiver(["sync", "--deployment", &elsewhere]);
    let ended = run(command.arg("--archive").arg(&archive).env("CONVEX_DEPLOY_KEY", KEY)).with(2);
    assert!(ended.stderr.contains("no Convex deployment"), "{ended:?}");
    assert!(!archive.exists());
}

#[test]
fn a_wrong_key_is_refused_with_advice_and_makes_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "10"]);
    let mut command = archiver(["-vv", "sync", "--deployment", &simulation.url, "--json"]);
    let ended =
        run(command.arg("--archive").arg(&archive).env("CONVEX_DEPLOY_KEY", "otter-1|ffffeeeeddddcccc")).with(2);
    let error = &ended.json()["error"];
    assert_eq!((&error["kind"], &error["exit_code"]), (&"access".into(), &2.into()));
    assert!(error["message"].as_str().unwrap().contains("create a new one"), "{ended:?}");
    // Once on each stream.
    assert_eq!(ended.stderr.matches("create a new one").count(), 1, "{ended:?}");
    assert!(!ended.stdout.contains("ffffeeee") && !ended.stderr.contains("ffffeeee"), "{ended:?}");
    assert!(!archive.exists());
}

#[test]
fn the_key_appears_neither_in_the_command_line_nor_in_anything_that_is_said_or_stored() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "100", "--snapshot-page", "20", "--latency", "50ms"]);
    let mut sync = Running::start(simulation.sync(&archive).args(["-vv", "--json"]));
    sync.wait_for("table 1 of");
    #[cfg(target_os = "linux")]
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", sync.id())).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(secret()), "{file}");
    }
    let ended = sync.end().with(0);
    assert!(!ended.stdout.contains(secret()) && !ended.stderr.contains(secret()));
    assert!(run(archiver(["status", "--archive"]).arg(&archive)).with(0).stdout.contains("Deployment  otter-1 ("));
    let mut folders = vec![archive];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let bytes = std::fs::read(&entry).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(secret()), "{}", entry.display());
            }
        }
    }
}

fn secret() -> &'static str {
    KEY.split_once('|').unwrap().1
}

/// Flags, environment, what the message holds.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_cannot_be_meant_is_refused_before_anybody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let otter = "https://happy-otter-123.convex.cloud";
    let table: [Case; 9] = [
        (&["--deployment", otter], &[("CONVEX_DEPLOY_KEY", "prod:other-1|secret")], "the deploy key is for other-1"),
        (&[], &[("CONVEX_DEPLOY_KEY", "prod:other-1|secret"), ("CONVEX_URL", otter)], "the deploy key is for other-1"),
        (&[], &[], "which deployment?"),
        (&["--deployment", "http://example.com"], &[("CONVEX_DEPLOY_KEY", "a|secret")], "unencrypted"),
        (&["--memory-limit", "1MiB"], &[], "at least 64MiB"),
        (&["--memory-limit", "lots"], &[], "256MiB"),
        (&["--compression-level", "23"], &[], "1..=22"),
        (&["--temp-dir", "/no/such/folder"], &[], "this folder does not exist"),
        // Also root cannot make a file there.
        (&["--temp-dir", "/proc"], &[], "--temp-dir /proc"),
    ];
    for (args, env, expected) in table {
        let mut command = archiver(["sync"]);
        let command = command.args(args).envs(env.iter().copied()).env("CONVEX_ARCHIVE", &archive);
        let ended = run(command).with(2);
        assert!(ended.stderr.contains(expected) && !ended.stderr.contains("secret"), "{expected}: {ended:?}");
    }
    assert!(run(&mut archiver(["sync"])).with(2).stderr.contains("--archive"));
    assert!(!archive.exists());
}

#[test]
fn an_archive_of_another_deployment_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let [one, other] = [(); 2].map(|()| Simulation::start(["--generate", "10"]));
    run(&mut one.sync(&archive)).with(0);
    let ended = run(&mut other.sync(&archive)).with(2);
    assert!(ended.stderr.contains("belongs to the deployment otter-1"), "{ended:?}");
}

#[test]
fn changes_that_are_no_longer_kept_are_a_finding_that_status_shows_and_the_next_run_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50", "--writes-per-second", "20", "--deltas-window", "3s"]);
    run(&mut simulation.sync(&archive)).with(0);
    std::thread::sleep(std::time::Duration::from_secs(6));
    let refused = run(simulation.sync(&archive).args(["--on-gap", "fail", "--json"])).with(1).json();
    assert_eq!(refused["error"]["kind"], "window");
    assert_eq!(status(&archive)["gaps"], serde_json::json!([]));

    let healed = run(&mut simulation.sync(&archive)).with(3);
    assert!(
        healed.stdout.contains("Lost") && healed.stdout.contains("the deployment no longer kept these changes"),
        "{healed:?}"
    );
    assert!(healed.stderr.contains("are lost"), "{healed:?}");
    let status = status(&archive);
    assert_eq!((status["gaps"].as_array().unwrap().len(), &status["gaps"][0]["why"]), (1, &"window".into()));
    assert_eq!(status["tables"][0]["covered"].as_array().unwrap().len(), 2, "{status}");
    let again = run(simulation.sync(&archive).arg("--json")).with(0).json();
    assert_eq!(again["gaps"], serde_json::json!([]));
}

#[cfg(unix)]
mod signals {
    use serde_json::Value::Null;

    use super::{Running, Simulation, archiver, run, status};

    /// A simulation whose snapshot takes seconds: a page is a twentieth of it.
    fn slow() -> Simulation {
        Simulation::start(["--generate", "1000", "--snapshot-page", "25", "--latency", "60ms"])
    }

    #[test]
    fn sigterm_in_the_middle_ends_at_a_commit_and_a_rerun_completes() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a");
        let simulation = slow();
        let mut sync = Running::start(simulation.sync(&archive).arg("--json"));
        sync.wait_for("table 2 of");
        sync.signal(&["TERM"]);
        let first = sync.end().with(0).json();
        assert_eq!((&first["caught_up"], &first["more_waiting"]), (&false.into(), &true.into()));
        let half = status(&archive);
        assert_eq!(half["phase"], "snapshot");
        assert_eq!(half["snapshot"]["written"]["rows"], first["documents"]);
        assert_eq!((&half["through"], &half["lag_seconds"], &first["through"]), (&Null, &Null, &Null));
        // Nothing is covered, however new the snapshot is.
        let late = run(archiver(["status", "--max-lag", "1h", "--archive"]).arg(&archive)).with(3);
        assert!(late.stderr.contains("not all tables are covered yet"), "{late:?}");
        let second = run(simulation.sync(&archive).arg("--json")).with(0).json();
        let documents = |report: &serde_json::Value| report["documents"].as_u64().unwrap();
        assert!(documents(&first) > 0);
        assert_eq!(documents(&first) + documents(&second), 1000);
        assert_eq!(status(&archive)["total"]["rows"], 1000);
    }

    #[test]
    fn a_second_interrupt_ends_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let simulation = slow();
        let mut sync = Running::start(&mut simulation.sync(&dir.path().join("a")));
        sync.wait_for("table 2 of");
        // Stopped, it finds both at once when it goes on, whatever it was doing.
        sync.signal(&["STOP", "TERM", "INT", "CONT"]);
        sync.end().with(130);
    }

    #[test]
    fn an_interrupt_before_the_first_answer_ends_at_once_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let simulation = Simulation::start(["--generate", "10", "--latency", "1h"]);
        let mut sync = Running::start(simulation.sync(&dir.path().join("a")).args(["--json", "-vv"]));
        sync.wait_for("connected to");
        sync.signal(&["INT"]);
        assert_eq!(sync.end().with(0).json()["more_waiting"], true);
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn the_slower_of_two_writers_ends_with_4_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a");
        let simulation = slow();
        let mut slower = Running::start(simulation.sync(&archive).arg("--json"));
        slower.wait_for("table 2 of");
        slower.signal(&["STOP"]);
        run(&mut simulation.sync(&archive)).with(0);
        slower.signal(&["CONT"]);
        assert_eq!(slower.end().with(4).json()["error"]["kind"], "conflict");
        assert_eq!(status(&archive)["total"]["rows"], 1000);
    }

    #[test]
    fn the_time_limit_holds_while_the_deployment_does_not_answer_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a");
        let simulation = Simulation::start(["--generate", "10"]);
        let sync = || {
            let mut command = simulation.sync(&archive);
            command.args(["--json", "--max-duration", "1s"]);
            command
        };
        let first = run(&mut sync()).with(0).json();
        let mut again = sync();
        drop(simulation);
        let limited = run(&mut again).with(0).json();
        assert_eq!((&limited["more_waiting"], &limited["version"]), (&true.into(), &first["version"]));
    }

    #[test]
    fn the_time_limit_ends_at_a_commit_too() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a");
        let simulation = slow();
        let limited = run(simulation.sync(&archive).args(["--json", "--max-duration", "1s"])).with(0).json();
        assert_eq!(limited["more_waiting"], true);
        assert_eq!(run(simulation.sync(&archive).arg("--json")).with(0).json()["more_waiting"], false);
        assert_eq!(status(&archive)["total"]["rows"], 1000);
    }
}
