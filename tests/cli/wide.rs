//! Many tables with many columns stay within the memory limit.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use convex_archiver::{
    TableRef, Value,
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
};

use crate::support::{KEY, archiver, run, run_measured, served};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
const TABLES: usize = 60;
const FIELDS: usize = 960;
const DOCUMENTS: usize = 50;

/// A number, a text, a truth, and so on; `salt` makes them others.
fn fields(salt: usize) -> BTreeMap<String, Value> {
    let value = |n: usize| match n % 3 {
        0 => Value::Float64(((n * 7_919 + salt * 104_729) % 1_000_003) as f64 / 7.0),
        1 => Value::String(format!("value {}", (n * 7_919 + salt * 104_729) % 1_000_003)),
        _ => Value::Boolean((n + salt).is_multiple_of(5)),
    };
    (0..FIELDS).map(|n| (format!("field_{n:04}"), value(n))).collect()
}

#[track_caller]
fn within_the_limit(args: &[&str], url: &str, archive: &Path) {
    let mut command = archiver(["-q"]);
    command.args(args).arg("--archive").arg(archive).env("CONVEX_DEPLOY_KEY", KEY).env("CONVEX_URL", url);
    let (ended, peak) = run_measured(&mut command);
    ended.with(0);
    assert!((1..=LIMIT).contains(&peak), "{args:?}: {} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_tables_of_961_columns_are_archived_and_restored_within_256_mib() {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 7));
    let options = RouterOptions::default().key(KEY.to_owned());
    let url = served(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options)).await;
    let tables: Vec<_> = (0..TABLES).map(|n| TableRef::new("", format!("t{n:02}")).unwrap()).collect();
    let mut ids = Vec::new();
    for (n, table) in tables.iter().enumerate() {
        for m in 0..DOCUMENTS {
            let (_, id) = deployment.transaction(|t| t.insert(table, fields(n * DOCUMENTS + m))).unwrap();
            ids.push((table, id));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    within_the_limit(&["sync"], &url, &archive);
    for (n, (table, id)) in ids.iter().enumerate() {
        deployment.transaction(|t| t.replace(table, id, fields(n + 1))).unwrap();
    }
    within_the_limit(&["sync"], &url, &archive);
    let zip = dir.path().join("a.zip");
    within_the_limit(&["restore", "--output", zip.to_str().unwrap()], &url, &archive);
    let told = run(archiver(["status", "--json", "--archive"]).arg(&archive)).with(0).json();
    assert_eq!(told["total"]["rows"], 2 * TABLES * DOCUMENTS, "{told}");
}
