//! What the change log does not tell: drops, replacements, clears, imports that end well and that do not. The archive notices, heals, and
//! keeps its history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    TableRef, Timestamp, Value,
    server::{ImportMode, RouterOptions, SimulatedDeployment},
    sync::{SyncOptions, SyncReport},
};

use crate::support::{World, assert_same_state, deployment_state, pages};

const BEGINNING: i64 = 1_795_434_575_000_000_000;
const MINUTE: i64 = 60 * 1_000_000_000;

/// A deployment on a clock that the test moves, and its archive.
struct Watched {
    world: World,
    clock: Arc<AtomicI64>,
}

impl Watched {
    async fn new(options: RouterOptions) -> Self {
        let clock = Arc::new(AtomicI64::new(BEGINNING));
        let now = Arc::clone(&clock);
        // It never stands still: two questions have two answers.
        let deployment =
            SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(now.fetch_add(1000, Ordering::SeqCst)));
        Self { world: World::of(deployment, options).await, clock }
    }

    fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::SeqCst);
    }

    fn insert(&self, table: &str, n: i64) {
        for n in 0..n {
            self.world.deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap();
        }
    }

    async fn sync(&self) -> SyncReport {
        let report = self.world.sync_with(&SyncOptions::default().audit_every(Some(Duration::ZERO))).await.unwrap();
        assert!(report.caught_up);
        report
    }

    /// The archive shows at its cursor what the deployment had then.
    async fn assert_true(&self) {
        let held = self.world.held().await;
        let through = held.through();
        assert_same_state(&held.state_at(through), &deployment_state(&self.world.deployment, through));
    }
}

fn named(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn fields(n: i64) -> std::collections::BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

/// What was healed: table, what, extra, missing.
fn healed(report: &SyncReport) -> Vec<(String, String, u64, u64)> {
    let healed = report.healed.iter();
    healed.map(|h| (h.table.to_string(), format!("{:?}", h.what), h.extra, h.missing)).collect()
}

/// A server without Data Sync.
fn blind() -> RouterOptions {
    pages(10, 100).data_sync_cursor(false)
}

async fn drops(options: RouterOptions) {
    let w = Watched::new(options).await;
    w.insert("kept", 3);
    w.insert("gone", 5);
    w.sync().await;
    w.world.deployment.drop_table(&named("gone")).unwrap();
    let report = w.sync().await;
    assert_eq!(healed(&report), [("gone".into(), "Dropped".into(), 5, 0)]);
    assert!(!report.has_findings());
    w.assert_true().await;
    // Once told, it is no news.
    w.pass(MINUTE);
    assert_eq!(healed(&w.sync().await), []);
    // Its name is used again, by another table.
    w.insert("gone", 2);
    let report = w.sync().await;
    assert_eq!(healed(&report), []);
    w.assert_true().await;
    w.world.deployment.drop_table(&named("gone")).unwrap();
    w.insert("gone", 4);
    w.sync().await;
    w.assert_true().await;
    assert_eq!(healed(&w.sync().await), []);
}

#[tokio::test]
async fn a_dropped_table_is_empty_from_then_on_and_may_come_back() {
    drops(blind()).await;
}

async fn replaces(options: RouterOptions) {
    let w = Watched::new(options).await;
    w.insert("t", 25);
    w.sync().await;
    let mut import = w.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..7).map(fields).collect()).unwrap();
    import.finish().unwrap();
    let report = w.sync().await;
    assert_eq!(healed(&report), [("t".into(), "Replaced".into(), 25, 0)]);
    assert!(!report.has_findings());
    w.assert_true().await;
    w.world.deployment.clear_tables(&[named("t")]).unwrap();
    assert_eq!(healed(&w.sync().await), [("t".into(), "Replaced".into(), 7, 0)]);
    w.assert_true().await;
    assert_eq!(healed(&w.sync().await), []);
}

#[tokio::test]
async fn a_replaced_and_a_cleared_table_lose_their_old_documents() {
    replaces(blind()).await;
}

/// An import that is under way during a snapshot and a sync, and ends well.
async fn fills_during_the_snapshot(options: RouterOptions) {
    let w = Watched::new(options).await;
    w.insert("t", 3);
    let mut import = w.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..4).map(fields).collect()).unwrap();
    w.sync().await;
    w.assert_true().await;
    import.insert(&named("t"), (4..6).map(fields).collect()).unwrap();
    w.pass(MINUTE);
    w.sync().await;
    import.finish().unwrap();
    w.pass(MINUTE);
    w.sync().await;
    w.assert_true().await;
    w.sync().await;
    w.assert_true().await;
}

#[tokio::test]
async fn an_import_that_fills_during_the_first_snapshot_arrives_whole() {
    fills_during_the_snapshot(blind()).await;
}

/// An import that fails leaves documents in the log that never became true.
async fn fails(options: RouterOptions) -> SyncReport {
    let w = Watched::new(options).await;
    w.insert("t", 20);
    w.sync().await;
    let mut import = w.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    for chunk in 0..8 {
        import.insert(&named("t"), (0..100).map(|n| fields(chunk * 100 + n)).collect()).unwrap();
    }
    import.fail();
    w.sync().await;
    w.pass(61 * MINUTE);
    w.insert("t", 1);
    let report = w.sync().await;
    w.assert_true().await;
    w.pass(MINUTE);
    w.insert("t", 1);
    assert_eq!(healed(&w.sync().await), []);
    w.assert_true().await;
    report
}

#[tokio::test]
async fn documents_that_a_failed_import_left_are_removed() {
    fails(blind()).await;
}
