//! `forget`: what the plan says leaves, what is asked of before is refused, and a slip of the unit costs nothing.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    reports::is,
    support::{Ended, Simulation, archiver, run},
};

fn forget(archive: &Path, args: &[&str]) -> Ended {
    run(archiver(["forget", "--archive"]).arg(archive).args(args))
}

#[test]
fn a_slip_of_the_unit_is_refused_and_a_young_archive_has_nothing_to_forget() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "30"]);
    run(&mut simulation.sync(&archive)).with(0);
    let version = || run(archiver(["status", "--json", "--archive"]).arg(&archive)).with(0).json()["version"].clone();
    let before = version();
    for (keep, why) in [
        ("2m", "m is a minute"),
        ("13d", "at least 14d"),
        ("0y", "at least 14d"),
        ("two years", "numbers and units"),
        ("-2y", ""),
    ] {
        let refused = forget(&archive, &["--keep-within", keep]).with(2);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert!(forget(&archive, &[]).with(2).stderr.contains("--keep-within"));
    for plan in [&["--plan"][..], &[]] {
        let args = [&["--keep-within", "1 year 6 months", "--json"][..], plan].concat();
        let report = forget(&archive, &args).with(0).json();
        is("forget", &report);
        assert_eq!(
            (report["files"].as_u64(), report["tables"].as_array().map(Vec::len)),
            (Some(0), Some(0)),
            "{report}"
        );
        assert_eq!(report["keep_within_seconds"], 47_337_696);
    }
    let told = forget(&archive, &["--keep-within", "2y"]).with(0).stdout;
    assert!(told.contains("nothing: the archive has nothing older"), "{told}");
    assert_eq!(version(), before);
    assert_eq!(forget(&archive, &["--keep-within", "2y", "--table", "nobody"]).with(1).stdout, "");
    let nowhere = forget(&dir.path().join("nowhere"), &["--keep-within", "2y"]).with(1);
    assert!(nowhere.stderr.contains("does not exist"), "{nowhere:?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// How many documents the tables have at the newest moment, and the transactions after `since`.
fn shown(archive: &Path, since: &str) -> (Vec<Value>, String) {
    let tables = run(archiver(["tables", "--count", "--json", "--archive"]).arg(archive)).json();
    let count = |table: &Value| serde_json::json!([table["table"], table["documents"]]);
    let log = run(archiver(["log", "--json", "--ids", "--since", since, "--archive"]).arg(archive));
    (tables["tables"].as_array().unwrap().iter().map(count).collect(), log.stdout)
}

/// The archive that is kept has months, corrections, a lost base, documents without types, a table that left and came back, and an open walk.
#[test]
fn of_an_archive_with_a_past_what_is_kept_stays_and_what_is_older_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/archives/0/archive")), &archive);
    let verify = || run(archiver(["verify", "--read-data", "--json", "--dry-run", "--archive"]).arg(&archive));
    verify().with(0);
    let args = ["--keep-within", "14d", "--json"];
    let plan = forget(&archive, &[&args[..], &["--plan"]].concat()).json();
    is("forget", &plan);
    let limit = plan["limit"].as_str().unwrap().to_owned();
    assert!(plan["files"].as_u64() > Some(0) && plan["version"].is_null(), "{plan}");
    let before = shown(&archive, &limit);
    let done = forget(&archive, &args).json();
    is("forget", &done);
    for field in ["limit", "files", "rows", "bytes", "bases"] {
        assert_eq!(done[field], plan[field], "{field}: {plan:#} {done:#}");
    }
    assert_eq!(shown(&archive, &limit), before);
    verify().with(0);
    let told = forget(&archive, &["--keep-within", "14d"]).stdout;
    assert!(told.contains("nothing: the archive has nothing older") || told.contains("held up"), "{told}");

    let tables = done["tables"].as_array().unwrap();
    let kept = tables
        .iter()
        .find(|table| table["new_base"] == true && table["table"]["component"].is_null())
        .unwrap_or_else(|| panic!("{done:#}"));
    let (table, from) = (kept["table"]["name"].as_str().unwrap(), kept["kept_from"].as_str().unwrap());
    let output = dir.path().join("out");
    let export = |at: &str| {
        let mut command =
            archiver(["export", "--format", "ndjson", "--accept-doubt", "--as-of", at, "--table", table, "--output"]);
        run(command.arg(&output).arg("--archive").arg(&archive))
    };
    assert_ne!(export(from).code, Some(1));
    fs::remove_dir_all(&output).unwrap();
    let refused = export("2026-10-01T00:00:00Z").with(1);
    assert!(refused.stderr.contains("was forgotten (`forget`)"), "{refused:?}");
    let id = "j570000000000000000000000000000a";
    let get = run(archiver(["get", table, id, "--as-of", "2026-10-01", "--archive"]).arg(&archive)).with(1);
    assert!(get.stderr.contains("was forgotten (`forget`)"), "{get:?}");
    let log = run(archiver(["log", "--table", table, "--archive"]).arg(&archive));
    assert!(log.stderr.contains("were forgotten after"), "{log:?}");
    let status = run(archiver(["status", "--archive"]).arg(&archive)).stdout;
    assert!(status.contains("Forgotten: after ") && status.contains("older than the history that is kept"), "{status}");
}
