//! `audit`, and what `sync` says of what the change log does not tell.

use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

use convex_archiver::{
    TableRef, Value,
    server::{Deployment, ImportMode, RouterOptions, SimulatedDeployment, router},
};

use crate::{
    reports::is,
    support::{KEY, Simulation, archiver, run, served, status},
};

fn audit(url: &str, archive: &Path, args: &[&str]) -> Command {
    let mut command = archiver(["audit", "--deployment", url]);
    command.arg("--archive").arg(archive).env("CONVEX_DEPLOY_KEY", KEY).args(args);
    command
}

#[test]
fn an_equal_archive_is_said_to_be_equal_and_the_result_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    // It is written to all the time.
    let simulation = Simulation::start(["--generate", "300", "--writes-per-second", "200"]);
    run(&mut simulation.sync(&archive)).with(0);
    let version = status(&archive)["version"].as_u64().unwrap();
    let said = run(&mut audit(&simulation.url, &archive, &[])).with(0).stdout;
    for words in [
        "Compares  ids and times of change of 5 tables",
        "less than 0.01 USD",
        "equal: 5 tables",
        "Recorded  in version",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(status(&archive)["version"].as_u64(), Some(version + 1));
    let full = run(&mut audit(&simulation.url, &archive, &["--full", "--dry-run", "--json", "--exclude", "*/**"]))
        .with(0)
        .json();
    assert_eq!((&full["depth"], &full["differ"], &full["exit_code"]), (&"values".into(), &0.into(), &0.into()));
    assert_eq!((full.get("version"), status(&archive)["version"].as_u64()), (None, Some(version + 1)));
    assert!(full["documents"].as_u64() > Some(100) && full["requests"].as_u64() >= Some(4), "{full}");
    let quiet = run(audit(&simulation.url, &archive, &[]).arg("-q")).with(0);
    assert_eq!(quiet.stdout, "");
}

#[test]
fn an_archive_of_another_deployment_is_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let [one, other] = [(); 2].map(|()| Simulation::start(["--generate", "10"]));
    run(&mut one.sync(&archive)).with(0);
    let refused = run(&mut audit(&other.url, &archive, &[])).with(2);
    assert!(refused.stderr.contains("belongs to the deployment otter-1"), "{refused:?}");
}

fn named(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

/// A deployment of which nobody can tell that an import replaced a table.
async fn blind() -> (Arc<SimulatedDeployment>, String) {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 7));
    for table in ["kept", "t"] {
        for n in 0..8 {
            deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap();
        }
    }
    let options = RouterOptions::default().key(KEY.to_owned()).data_sync_cursor(false);
    let url = served(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options)).await;
    (deployment, url)
}

fn sync(url: &str, archive: &Path, args: &[&str]) -> Command {
    let mut command = archiver(["sync", "--deployment", url]);
    command.arg("--archive").arg(archive).env("CONVEX_DEPLOY_KEY", KEY).args(args);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_differs_says_where_and_how_and_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let (deployment, url) = blind().await;
    let off = || run(&mut sync(&url, &archive, &["--audit-every", "off"])).with(0).stdout;
    let said = tokio::task::block_in_place(off);
    assert!(said.contains("--audit-every is off"), "{said}");
    let mut import = deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..3).map(fields).collect()).unwrap();
    import.finish().unwrap();
    tokio::task::block_in_place(|| {
        off();
        let before = run(&mut audit(&url, &archive, &["--dry-run"])).with(3).stdout;
        assert!(before.contains("* t differs: ") && before.contains("(extra)"), "{before}");
        assert!(before.contains("1 table of 2 differ") && before.contains("and 3 more"), "{before}");
        let ended = run(&mut audit(&url, &archive, &["--documents", "--json"])).with(3);
        let lines: Vec<serde_json::Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (report, documents) = lines.split_last().unwrap();
        assert_eq!((documents.len(), &report["differ"], &report["exit_code"]), (8, &1.into(), &3.into()));
        documents.iter().for_each(|line| is("audit_document", line));
        is("audit", report);
        assert!(documents.iter().all(|d| d["difference"] == "extra" && d["archive"]["document"]["n"].is_i64()));
        let text = run(&mut audit(&url, &archive, &["--documents"])).with(3).stdout;
        assert_eq!(text.matches(" is not in the deployment").count(), 8, "{text}");

        let repaired = run(&mut audit(&url, &archive, &["--repair", "--json"])).with(0).json();
        is("audit", &repaired);
        let healed = &repaired["repair"]["healed"];
        assert_eq!((healed.as_array().unwrap().len(), &healed[0]["table"]["name"]), (1, &"t".into()));
        assert_eq!((&healed[0]["extra"], &repaired["repair"]["suspects"]), (&8.into(), &serde_json::json!([])));
        is("audit", &run(&mut audit(&url, &archive, &["--json"])).with(0).json());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_says_what_it_noticed_corrected_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let (deployment, url) = blind().await;
    let warn = ["--audit-every", "0", "--on-suspicion", "warn"];
    let said = |args: &[&str], code| run(&mut sync(&url, &archive, args)).with(code).stdout;
    tokio::task::block_in_place(|| {
        let first = said(&[], 0);
        assert!(first.contains("all ids are compared at intervals of 1 day"), "{first}");
        deployment.drop_table(&named("t")).unwrap();
        let left = said(&warn, 3);
        assert!(left.contains("Suspect") && left.contains("the deployment no longer lists it: t"), "{left}");
        assert!(left.contains("every run compares all ids"), "{left}");
        let report = run(&mut sync(&url, &archive, &["--json"])).with(0).json();
        is("sync", &report);
        assert_eq!((&report["healed"][0]["what"], &report["suspects"]), (&"dropped".into(), &serde_json::json!([])));
        assert_eq!(report["audit_every_seconds"], 86_400);
        let asked = said(&["--rebase", "kept"], 0);
        assert!(asked.contains("kept was fetched again"), "{asked}");
        let unknown = run(&mut sync(&url, &archive, &["--rebase", "nothing"])).with(2);
        assert!(unknown.stderr.contains("has no table `nothing`"), "{unknown:?}");
        let all = run(&mut sync(&url, &archive, &["--rebase", "--json"])).with(0).json();
        assert_eq!(all["healed"].as_array().unwrap().len(), 2, "{all}");
    });
}

#[test]
fn what_cannot_be_audited_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50"]);
    let none = run(&mut audit(&simulation.url, &archive, &["--json"])).with(1).json();
    assert_eq!(none["error"]["kind"], "not_found");
    run(&mut simulation.sync(&archive)).with(0);
    let mut wrong = audit(&simulation.url, &archive, &["--json"]);
    let refused = run(wrong.env("CONVEX_DEPLOY_KEY", "otter-1|ffffeeeeddddcccc")).with(2);
    assert_eq!(refused.json()["error"]["kind"], "access");
    assert!(!refused.stdout.contains("ffffeeee") && !refused.stderr.contains("ffffeeee"), "{refused:?}");
    let missed = run(&mut audit(&simulation.url, &archive, &["--table", "nothing"])).with(1);
    assert!(missed.stderr.contains("has a table `nothing`"), "{missed:?}");
    let both = run(&mut audit(&simulation.url, &archive, &["--repair", "--dry-run"])).with(2);
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
}

#[test]
fn a_moment_that_the_deployment_no_longer_tells_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "50", "--snapshot-window", "1s"]);
    run(&mut simulation.sync(&archive)).with(0);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let late = run(&mut audit(&simulation.url, &archive, &[])).with(1);
    assert!(late.stderr.contains("run sync first"), "{late:?}");
}
