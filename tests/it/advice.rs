//! What the deployment tells of the shapes of its tables is advice: whatever becomes of it, the archive is complete.

use std::{sync::Arc, time::Duration};

use convex_archiver::{
    NoMonitor,
    convex::{Access, Client, ClientOptions, DeployKey, RetryPolicy},
    server::{Fault, demo_documents},
    sync::{SyncOptions, sync},
};

use crate::support::{KEY, Warnings, World, pages};

const SHAPES: &str = "/api/json_schemas";
const NAMES: &str = "/api/get_table_column_names";

#[tokio::test]
async fn without_shapes_a_sync_warns_once_and_takes_its_columns_from_the_documents() {
    let unavailable = || Fault::refusal(503, "TableSummariesUnavailable");
    let text = |body: String| Fault { body, ..Fault::status(200) };
    // What both routes answer, and a piece of the warning.
    let table = [
        (vec![unavailable().on(SHAPES), unavailable().on(NAMES)], "503 TableSummariesUnavailable"),
        (vec![unavailable().on(SHAPES)], "503 TableSummariesUnavailable"),
        (vec![text("1".repeat(9 << 20)).on(SHAPES), text("1".repeat(9 << 20)).on(NAMES)], "too large"),
        (vec![text("{\"\":{\"a\":".to_owned()).on(SHAPES), text("null".to_owned()).on(NAMES)], "cannot understand"),
        (vec![Fault::html(200).on(SHAPES)], "cannot understand"),
    ];
    for (faults, why) in table {
        let world = World::new(pages(100, 16).faults(faults)).await;
        world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
        let access = Access::new(&world.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        let wait = Duration::from_millis(10);
        let retry = RetryPolicy { base: wait, budget: 5 * wait, ..RetryPolicy::default() };
        let options = ClientOptions::default().retry(retry);
        let client = Client::new(access, options, Arc::new(NoMonitor)).unwrap();
        let warnings = Arc::new(Warnings::default());
        let report =
            sync(Arc::new(client), &world.archive().await, &SyncOptions::default(), warnings.clone()).await.unwrap();
        assert!(report.caught_up && report.documents > 1000, "{why}");
        assert_eq!(report.findings.iter().collect::<Vec<_>>(), [("shapes_unknown", 1)]);
        world.assert_equal().await;
        let warnings = warnings.0.lock().unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(why), "{why}: {warnings:?}");
    }
}
