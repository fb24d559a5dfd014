//! `check`: what is as it should be, what is not and what to do about it, and that nothing is left behind.

use std::{collections::BTreeMap, fs, path::Path};

use axum::{Router, http::StatusCode, response::IntoResponse};
use serde_json::Value;

use crate::{
    reports,
    support::{Ended, KEY, Simulation, archiver, run, served},
};

fn check(url: &str, archive: &Path) -> std::process::Command {
    let mut command = archiver(["check", "--json", "--deployment", url]);
    command.arg("--archive").arg(archive).env("CONVEX_DEPLOY_KEY", KEY);
    command
}

/// How each thing is; the worst, where something was looked at twice.
fn results(ended: &Ended) -> BTreeMap<String, String> {
    let report = ended.json();
    reports::is("check", &report);
    let mut found = BTreeMap::new();
    for check in report["checks"].as_array().unwrap() {
        let text = |name: &str| check[name].as_str().unwrap().to_owned();
        let worst = found.entry(text("subject")).or_insert_with(|| text("result"));
        if text("result") == "wrong" {
            assert!(!text("fix").is_empty(), "{check}");
            *worst = text("result");
        }
    }
    found
}

fn told<'a>(report: &'a Value, subject: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["subject"] == subject);
    checks.map(|check| check["told"].as_str().unwrap()).collect()
}

#[test]
fn where_all_is_well_it_says_so_estimates_the_first_snapshot_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("new/archive");
    let simulation = Simulation::start(["--generate", "20000"]);
    let ended = run(&mut check(&simulation.url, &archive)).with(0);
    let found = results(&ended);
    for (subject, result) in &found {
        let expected = match subject.as_str() {
            "first_snapshot" => "note",
            // As this machine has it, or not.
            "duckdb" | "temporary_space" => continue,
            _ => "good",
        };
        assert_eq!(result, expected, "{subject}: {ended:?}");
    }
    assert_eq!(found.len(), 16, "all but credentials: {found:?}");
    assert!(!dir.path().join("new").exists(), "folders that were made for the probe go with it");
    let report = ended.json();
    // What it really is.
    fs::create_dir(dir.path().join("new")).unwrap();
    let synced = run(simulation.sync(&archive).arg("--json")).with(0).json();
    for (name, truth) in [("documents", &synced["documents"]), ("bytes", &synced["page_bytes"])] {
        let (range, truth) = (&report["first_snapshot"][name], truth.as_f64().unwrap());
        let (low, high) = (range["low"].as_f64().unwrap(), range["high"].as_f64().unwrap());
        assert!(low <= truth && truth <= high, "{name}: {truth} of {range}");
        assert!(high < 3.0 * low, "{name}: {range} tells nothing");
    }
    assert!(!told(&report, "tables")[0].is_empty());
    // With an archive there is nothing to estimate, and what it holds stays.
    let before = files(&archive);
    let ended = run(&mut check(&simulation.url, &archive)).with(0);
    assert_eq!(results(&ended)["archive"], "good");
    assert!(told(&ended.json(), "archive")[0].contains("covered through"), "{ended:?}");
    assert!(ended.json().get("first_snapshot").is_none());
    assert_eq!(files(&archive), before);
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn with_read_only_nothing_is_written_and_what_that_leaves_open_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulation = Simulation::start([]);
    let ended = run(check(&simulation.url, &archive).arg("--read-only")).with(0);
    let found = results(&ended);
    for subject in ["store_write", "store_conditional_write", "store_overwrite", "store_delete"] {
        assert_eq!(found[subject], "unknown", "{subject}");
    }
    assert!(!archive.exists());
    let text = run(archiver(["check", "--read-only", "--deployment", &simulation.url, "--archive"])
        .arg(&archive)
        .env("CONVEX_DEPLOY_KEY", KEY))
    .with(0)
    .stdout;
    assert!(text.contains("\nunknown  Write ") && text.contains("4 things are not known"), "{text}");
}

#[test]
fn each_thing_that_is_wrong_is_told_with_what_to_do_and_the_others_are_looked_at_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulation = Simulation::start([]);
    let wrong_key = run(check(&simulation.url, &archive).env("CONVEX_DEPLOY_KEY", "otter-1|not-the-key")).with(3);
    let found = results(&wrong_key);
    assert_eq!((found["permission"].as_str(), found["store_write"].as_str()), ("wrong", "good"), "{found:?}");
    assert!(!wrong_key.stdout.contains("not-the-key") && !wrong_key.stderr.contains("not-the-key"), "{wrong_key:?}");

    let no_key = run(check(&simulation.url, &archive).env_remove("CONVEX_DEPLOY_KEY")).with(3);
    assert_eq!(results(&no_key)["key"], "wrong");

    let nobody = run(&mut check("http://127.0.0.1:1", &archive)).with(3);
    assert_eq!(results(&nobody)["deployment"], "wrong");

    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let no_place = run(&mut check(&simulation.url, &blocked.join("archive"))).with(3);
    let found = results(&no_place);
    assert_eq!((found["archive"].as_str(), found["permission"].as_str()), ("wrong", "good"), "{found:?}");

    let patterns = run(check(&simulation.url, &archive).args(["--include", "mesages"])).with(3);
    assert_eq!(results(&patterns)["tables"], "wrong", "no table is left");
    let one = told(&run(&mut check(&simulation.url, &archive)).with(0).json(), "tables")[0].to_owned();
    let first = one.split(": ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let some = run(check(&simulation.url, &archive).args(["--include", &first, "--include", "mesages"])).with(0);
    let some = some.json();
    let lines = told(&some, "tables");
    assert!(lines[0].contains("Not archived: ") && lines[1].contains("`mesages`"), "{lines:?}");

    run(&mut simulation.sync(&archive)).with(0);
    let other = Simulation::start(["--name", "other-2", "--seed", "7", "--generate", "10"]);
    let moved = run(check(&other.url, &archive).env("CONVEX_DEPLOY_KEY", KEY)).with(3);
    assert_eq!(results(&moved)["archive"], "wrong", "{moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_streaming_export_is_told() {
    let refusal =
        r#"{"code":"StreamingExportNotEnabled","message":"Streaming export is only available on paid plans"}"#;
    let routes = Router::new().fallback(move || async move { (StatusCode::FORBIDDEN, refusal).into_response() });
    let url = served(routes).await;
    let dir = tempfile::tempdir().unwrap();
    let ended = run(&mut check(&url, &dir.path().join("a"))).with(3);
    assert_eq!(results(&ended)["permission"], "wrong");
    assert!(told(&ended.json(), "permission")[0].contains("plan"), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn a_key_may_come_from_a_command_which_finds_no_key_in_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulation = Simulation::start([]);
    let with = |line: &str| {
        let mut command = archiver(["check", "--json", "--deployment", &simulation.url, "--deploy-key-command", line]);
        command.arg("--archive").arg(&archive).env("CONVEX_DEPLOY_KEY", KEY).env("ANOTHER", KEY);
        run(&mut command)
    };
    let good = with(&format!("test -z \"$CONVEX_DEPLOY_KEY$ANOTHER\" && echo '{KEY}'")).with(0);
    assert!(told(&good.json(), "key")[0].starts_with("--deploy-key-command opens"), "{good:?}");
    let failed = with("echo 'sign in first' >&2; exit 4 # hidden").with(3);
    assert!(told(&failed.json(), "key")[0].contains("sign in first"), "{failed:?}");
    assert!(!failed.stdout.contains("hidden"), "the command line may hold secrets: {failed:?}");
    let odd = with("echo 'a secret that is no key'").with(3);
    assert!(!odd.stdout.contains("a secret"), "{odd:?}");
    let both =
        run(archiver(["check", "--deploy-key-command", "x", "--deploy-key-file", "y", "--archive"]).arg(&archive))
            .with(2);
    assert!(both.stderr.contains("--deploy-key-file"), "{both:?}");
}
