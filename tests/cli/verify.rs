//! `verify`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    reports::is,
    support::{Ended, Simulation, archiver, run, status},
};

fn verify(archive: &Path, args: &[&str]) -> Ended {
    run(archiver(["verify"]).args(args).arg("--archive").arg(archive))
}

/// An archive of some commits.
pub(crate) fn archived(archive: &Path) -> Value {
    let simulation = Simulation::start(["--generate", "200", "--writes-per-second", "100"]);
    run(&mut simulation.sync(archive)).with(0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    run(simulation.sync(archive).arg("--json")).with(0).json()
}

pub(crate) fn data_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            data_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
}

#[test]
fn a_sound_archive_is_told_so_at_every_depth_and_status_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let synced = archived(&archive);
    let failed = |condition: &str, code: i32| {
        let mut status = archiver(["status", "--json", "--fail-on", condition, "--archive"]);
        run(status.arg(&archive)).with(code).json()
    };
    assert_eq!(status(&archive)["verified"], serde_json::json!([]));
    assert_eq!(failed("unverified", 3)["failed_on"][0]["condition"], "unverified");

    let text = verify(&archive, &[]).with(0);
    for word in ["no problems", "data files exist with the right size", "not read (use --read-data"] {
        assert!(text.stdout.contains(word), "{word}: {text:?}");
    }
    assert_eq!(text.stderr, "");
    let log = verify(&archive, &["--log-only", "--dry-run", "--json"]).with(0).json();
    is("verify", &log);
    assert_eq!((&log["depth"], log.get("objects")), (&"log".into(), None));
    let deep = ["--read-data", "--expect-head", synced["digest"].as_str().unwrap(), "--json"];
    let deep = verify(&archive, &deep).with(0).json();
    is("verify", &deep);
    assert_eq!((&deep["expected_head"], &deep["version"]), (&synced["version"], &synced["version"]));
    assert!(deep["data"]["compared_rows"].as_u64().unwrap() > 0 && deep.get("sample").is_none(), "{deep}");
    let tenth = verify(&archive, &["--read-data=10%", "--json"]).with(0).json();
    is("verify", &tenth);
    assert_eq!(tenth["sample"]["percent"], 10);
    assert!(tenth["sample"]["seed"].as_u64().unwrap() > 20_000, "the day: {tenth}");
    let tables = verify(&archive, &["--read-data", "--table", "messages", "--seed", "3", "--json"]).with(0).json();
    is("verify", &tables);
    assert_eq!(tables["tables"], "messages");

    let after = status(&archive);
    is("status", &after);
    let depths: Vec<_> =
        after["verified"].as_array().unwrap().iter().map(|one| one["depth"].as_str().unwrap()).collect();
    assert_eq!(depths, ["data", "data"], "the last one of all, and the last one of a part: {after}");
    let calm = run(archiver(["status", "--fail-on", "unverified=1h,unverified", "--archive"]).arg(&archive)).with(0);
    assert!(calm.stdout.contains("Verified") && calm.stdout.contains("no problems"), "{calm:?}");
    assert_eq!(failed("unverified=0s", 3)["failed_on"][0]["condition"], "unverified");
}

#[test]
fn damage_ends_with_3_and_says_what_suffers_and_what_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    archived(&archive);
    let mut files = Vec::new();
    data_files(&archive.join("tables/messages"), &mut files);
    files.sort();
    let [lost, flipped] = [&files[0], files.last().unwrap()];
    let mut bytes = fs::read(flipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(flipped, bytes).unwrap();
    verify(&archive, &["--dry-run"]).with(0);
    fs::remove_file(lost).unwrap();

    let report = verify(&archive, &["--read-data", "--json"]).with(3).json();
    is("verify", &report);
    assert_eq!(report["total"]["problems"], 2, "{report}");
    for problem in report["problems"].as_array().unwrap() {
        let path = archive.join(problem["object"].as_str().unwrap());
        assert!(path == **lost || path == **flipped, "{problem}");
        assert_eq!((&problem["kind"], &problem["suffers"]), (&"file".into(), &"state".into()));
        assert_eq!(problem["table"]["name"], "messages");
        assert!(problem["revisions"].as_u64().unwrap() > 0 && problem["from_ts"].is_string(), "{problem}");
        let repairs: Vec<_> = problem["repairs"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert!(repairs[0].starts_with("run repair --from COPY") && repairs[2] == "run sync --rebase messages");
    }
    let text = verify(&archive, &["--read-data"]).with(3).stdout;
    for word in
        ["2 problems", "is missing", "Affects: the newest state", "or run sync --rebase messages", "table messages"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let failed = run(archiver(["status", "--fail-on", "unverified=1d", "--archive"]).arg(&archive)).with(3);
    assert!(failed.stdout.contains("found 2 problems"), "{failed:?}");
}

#[test]
fn what_cannot_be_verified_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    assert_eq!(verify(&archive, &["--json"]).with(1).json()["error"]["kind"], "not_found");
    archived(&archive);
    for (args, word) in [
        (&["--read-data=0%"][..], "write a whole percentage"),
        (&["--read-data=tenth"], "write a whole percentage"),
        (&["--seed", "1"], "--read-data"),
        (&["--log-only", "--read-data"], "cannot be used with"),
        (&["--expect-head", "3f9a"], "64 lower-case hexadecimal digits"),
    ] {
        let refused = verify(&archive, args).with(2);
        assert!(refused.stderr.contains(word), "{args:?}: {refused:?}");
    }
    let unknown = verify(&archive, &["--table", "nobody"]).with(1);
    assert!(unknown.stderr.contains("has no table `nobody`"), "{unknown:?}");
    let other = verify(&archive, &["--dry-run", "--expect-head", &"a".repeat(64), "--json"]).with(3).json();
    is("verify", &other);
    assert_eq!(other["problems"][0]["kind"], "expected_head");
}

#[test]
fn an_archive_that_cannot_remember_it_is_verified_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    archived(&archive);
    fs::remove_dir_all(archive.join("runs")).unwrap();
    fs::write(archive.join("runs"), "in the way").unwrap();
    let ended = verify(&archive, &["--json"]).with(0);
    assert!(ended.stderr.contains("cannot record this verification"), "{ended:?}");
    let report = ended.json();
    is("verify", &report);
    assert!(report["not_recorded"].is_string(), "{report}");
    run(archiver(["status", "--archive"]).arg(&archive)).with(0);
}
