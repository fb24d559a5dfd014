//! The reports in JSON are what `src/cli/report.schema.json` says, field for field; `src/cli/REPORTS.md` says the same for people
//! (`UPDATE=1 cargo test --test cli reports` writes it anew).

mod schema;
mod table;

use std::path::Path;

use serde_json::Value;

use self::schema::Schema;
use crate::support::{Ended, Running, Simulation, a_document, archiver, run};

/// Every line of a report is valid as `name`, as nothing else, and it is one of those that the whole schema allows.
#[track_caller]
pub(crate) fn is(name: &str, report: &Value) {
    let schema = Schema::read();
    let wrong = schema.wrong(name, report);
    assert!(wrong.is_empty(), "{name}: {wrong:?}\n{report:#}");
    let fitting: Vec<_> = schema.reports().into_iter().filter(|other| schema.wrong(other, report).is_empty()).collect();
    assert_eq!(fitting, [name]);
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_table_for_people_is_that_of_the_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/REPORTS.md");
    let text = table::of(&Schema::read());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == text,
        "REPORTS.md is not the schema's (UPDATE=1 rewrites it)"
    );
}

#[test]
fn a_field_that_is_not_documented_and_one_that_is_missing_are_found() {
    let schema = Schema::read();
    let mut failed = serde_json::json!({
        "report_version": 1,
        "error": { "kind": "usage", "message": "a", "causes": [], "exit_code": 2 },
    });
    assert_eq!(schema.wrong("failed", &failed), [] as [String; 0]);
    failed["error"]["more"] = 1.into();
    assert_eq!(schema.wrong("failed", &failed), ["/error/more is not documented"]);
    failed["error"] = serde_json::json!({ "kind": "odd", "message": 1, "causes": [2], "exit_code": 2 });
    failed.as_object_mut().unwrap().remove("report_version");
    let wrong = ["/error/causes/0 is no string", "/error/kind is none of the values", "/error/message is no string"];
    assert_eq!(schema.wrong("failed", &failed), [&wrong[..], &["/report_version is missing"]].concat());
}

#[test]
fn the_reports_of_a_sync_are_what_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50", "--writes-per-second", "50", "--deltas-window", "3s"]);
    let sync = |archive: &Path| run(simulation.sync(archive).arg("--json"));
    for _ in 0..2 {
        is("sync", &sync(&archive).with(0).json());
    }
    std::thread::sleep(std::time::Duration::from_secs(6));
    let gap = sync(&archive).with(3).json();
    assert_eq!((gap["gaps"].as_array().unwrap().len(), &gap["exit_code"]), (1, &3.into()));
    is("sync", &gap);
    let other = Simulation::start(["--generate", "5"]);
    is("sync_failed", &run(other.sync(&archive).arg("--json")).with(2).json());
    is("sync_failed", &run(archiver(["sync", "--json", "--archive"]).arg(&archive)).with(2).json());
    is("failed", &run(&mut archiver(["sync", "--json"])).with(2).json());
    let status = |args: &[&str]| run(archiver(["status", "--json", "--archive"]).arg(&archive).args(args));
    is("status", &status(&[]).with(0).json());
    is("status", &status(&["--fail-on", "lag=0s,window=30d,gap,uncovered"]).with(3).json());
}

#[cfg(unix)]
#[test]
fn the_reports_of_a_snapshot_that_is_not_complete_are_what_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "1000", "--snapshot-page", "25", "--latency", "60ms"]);
    let mut sync = Running::start(simulation.sync(&archive).args(["--json"]));
    sync.wait_for("table 2 of");
    sync.signal(&["TERM"]);
    is("sync", &sync.end().with(0).json());
    is("status", &run(archiver(["status", "--json", "--archive"]).arg(&archive)).with(0).json());
    let silent = Simulation::start(["--generate", "10", "--latency", "1h"]);
    let mut sync = Running::start(silent.sync(&dir.path().join("b")).args(["--json", "-vv"]));
    sync.wait_for("connected to");
    sync.signal(&["INT"]);
    is("sync_stopped", &sync.end().with(0).json());
}

#[test]
fn the_reports_of_those_that_look_back_are_what_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "200", "--writes-per-second", "300"]);
    let first = run(simulation.sync(&archive).arg("--json")).with(0).json();
    std::thread::sleep(std::time::Duration::from_secs(1));
    run(&mut simulation.sync(&archive)).with(0);
    drop(simulation);
    let ask = |args: &[&str]| run(archiver(["--quiet"]).args(args).args(["--json", "--archive"]).arg(&archive));
    let (before, id) = (first["through"].as_str().unwrap(), a_document(&archive, "messages"));

    is("tables", &ask(&["tables"]).with(0).json());
    is("tables", &ask(&["tables", "--count", "--exclude", "*/**"]).with(0).json());
    for table in ["messages", "users", "analytics/events"] {
        is("schema", &ask(&["schema", table]).with(0).json());
    }
    is("get", &ask(&["get", "messages", &id]).with(0).json());
    is("failed", &ask(&["get", "messages", "nobody"]).with(1).json());
    let documents = lines(&ask(&["documents", "messages", "--limit", "7"]).with(0));
    assert_eq!(documents.len(), 7);
    documents.iter().for_each(|line| is("documents", line));
    let log = lines(&ask(&["log"]).with(0));
    assert!(log.len() > 20);
    log.iter().for_each(|line| is("log", line));
    // Of one that was updated, and one that was deleted.
    for change in ["updated", "deleted"] {
        let mut changes = log.iter().flat_map(|line| line["changes"].as_array().unwrap());
        let found = changes.rfind(|c| c["change"] == change && c["table"]["name"] == "messages");
        let history = lines(&ask(&["history", "messages", found.unwrap()["id"].as_str().unwrap()]).with(0));
        assert!(history.len() > 1);
        history.iter().for_each(|line| is("history", line));
    }
    is("compact", &ask(&["compact", "--plan"]).with(0).json());
    is("compact", &ask(&["compact"]).with(0).json());
    is("vacuum", &ask(&["vacuum"]).with(0).json());
    let to = dir.path().join("copy");
    for plan in [&["--plan"][..], &[], &[]] {
        is("copy", &ask(&[&["copy", "--to", to.to_str().unwrap()], plan].concat()).with(0).json());
    }
    is("diff", &ask(&["diff", before, "now", "--exclude", "*/**"]).with(0).json());
    let documents = lines(&ask(&["diff", before, "now", "--documents", "--exclude", "*/**"]).with(0));
    let (last, documents) = documents.split_last().unwrap();
    is("diff", last);
    assert!(documents.len() > 20);
    documents.iter().for_each(|line| is("diff_document", line));

    let (zip, folder) = (dir.path().join("out.zip"), dir.path().join("out"));
    is("restore", &ask(&["restore", "--plan", "--exclude", "*/**"]).with(0).json());
    is("restore", &ask(&["restore", "--exclude", "*/**", "--output", zip.to_str().unwrap()]).with(0).json());
    let undo = |args: &[&str]| {
        let undo = ["restore", "--undo", "--from", before, "--to", "now", "--exclude", "*/**"];
        ask(&[&undo, args].concat())
    };
    is("undo", &undo(&["--plan"]).with(0).json());
    let documents = lines(&undo(&["--plan", "--documents"]).with(0));
    let (last, documents) = documents.split_last().unwrap();
    is("undo", last);
    assert!(documents.len() > 3);
    documents.iter().for_each(|line| is("undo_document", line));
    let (undone, mutation) = (dir.path().join("undo.zip"), dir.path().join("undo"));
    is("undo", &undo(&["--output", undone.to_str().unwrap()]).with(0).json());
    // Exit code 3, if something was deleted: a mutation cannot bring that back.
    is("undo", &undo(&["--as", "mutation", "--output", mutation.to_str().unwrap()]).json());
    // Components are not sure at the end.
    is("restore", &ask(&["restore", "--plan"]).json());
    is("export", &ask(&["export", "--exclude", "*/**", "--output", folder.to_str().unwrap()]).with(0).json());
}
