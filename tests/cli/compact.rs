//! `compact`, and what a sync does of it.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, Simulation, archiver, run};

fn compact(archive: &Path, args: &[&str]) -> Ended {
    run(archiver(["compact", "--archive"]).arg(archive).args(args))
}

fn files(archive: &Path) -> u64 {
    let tables = run(archiver(["tables", "--json", "--archive"]).arg(archive)).with(0).json();
    let of = |table: &Value| table["files"].as_u64().unwrap();
    tables["tables"].as_array().unwrap().iter().map(of).sum()
}

/// All revisions, in the order of tables, ids and `_ts`.
fn history(archive: &Path) -> String {
    run(archiver(["log", "--json", "--ids", "--archive"]).arg(archive)).with(0).stdout
}

#[test]
fn an_archive_of_many_runs_is_planned_joined_once_and_shows_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "60", "--writes-per-second", "400"]);
    for _ in 0..14 {
        run(simulation.sync(&archive).arg("--no-compact")).with(0);
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    drop(simulation);
    let (before, shown) = (files(&archive), history(&archive));
    let plan = compact(&archive, &["--plan", "--json"]).with(0).json();
    let (inputs, outputs) = (plan["inputs"].as_u64().unwrap(), plan["outputs"].as_u64().unwrap());
    assert!(inputs >= 12 && outputs > 0 && plan["output_bytes"] == 0, "{plan}");
    assert_eq!(files(&archive), before);
    let told = compact(&archive, &[]).with(0).stdout;
    assert!(told.contains(&format!("Joined   {inputs} files of ")), "{told}");
    assert_eq!(files(&archive), before - inputs + outputs);
    assert_eq!(history(&archive), shown);
    assert!(compact(&archive, &[]).with(0).stdout.contains("nothing: there are no small files to join"));
    assert_eq!(compact(&archive, &["--table", "nobody"]).with(1).stdout, "");
}
