//! Readers of a document that was written over and over stay within their memory.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use convex_archiver::{
    TableRef, Value,
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
};
use rand::{SeedableRng, distr::Alphanumeric, distr::SampleString, rngs::StdRng};

use crate::support::{KEY, archiver, run, run_measured, served};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 64 * MIB;
const REVISIONS: usize = 1_000;
const TEXT: usize = 200_000;

/// Archives one document with all its revisions; its id.
async fn archive_of_one_document(archive: &Path) -> String {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 7));
    let options = RouterOptions::default().key(KEY.to_owned());
    let url = served(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options)).await;
    let table = TableRef::new("", "hot").unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut fields =
        || BTreeMap::from([("text".to_owned(), Value::String(Alphanumeric.sample_string(&mut rng, TEXT)))]);
    let (_, id) = deployment.transaction(|t| t.insert(&table, fields())).unwrap();
    let sync = || {
        let mut command = archiver(["-q", "sync", "--deployment", &url, "--archive"]);
        command.arg(archive).env("CONVEX_DEPLOY_KEY", KEY);
        tokio::task::block_in_place(|| run(&mut command)).with(0);
    };
    sync();
    for _ in 1..REVISIONS {
        deployment.transaction(|t| t.replace(&table, &id, fields())).unwrap();
    }
    sync();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mib_of_revisions_of_one_document_are_read_within_64() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let id = archive_of_one_document(&archive).await;
    let zip = dir.path().join("a.zip");
    let (zip, folder) = (zip.to_str().unwrap(), dir.path().join("b"));
    let folder = folder.to_str().unwrap();
    let tables = run(archiver(["tables", "--json", "--archive"]).arg(&archive)).with(0).json();
    let first = tables["tables"][0]["covered"][0]["from"].as_str().unwrap();
    for args in [
        &["history", "hot", &id, "--json"][..],
        &["log", "--json"],
        &["diff", first, "now", "--documents"],
        &["tables", "--count"],
        &["restore", "--output", zip],
        &["export", "--output", folder],
    ] {
        let mut command = archiver(["-q"]);
        command.args(args).args(["--memory-limit", "64MiB", "--archive"]).arg(&archive);
        let (ended, peak) = run_measured(&mut command);
        let ended = ended.with(0);
        assert!(args[0] != "history" || ended.stdout.lines().count() == REVISIONS);
        assert!((1..=LIMIT).contains(&peak), "{args:?}: {} MiB", peak / MIB);
    }
}
