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
    TableRef, Value,
    server::{ImportMode, RouterOptions},
    sync::{SyncOptions, SyncReport},
};

use object_store::ObjectStoreExt;

use crate::support::{
    World, assert_same_state,
    clock::BEGINNING,
    deployment_state,
    fed::{self, Fed},
    pages,
};

pub(crate) const MINUTE: i64 = 60 * 1_000_000_000;

/// A deployment on a clock that the test moves, and its archive.
pub(crate) struct Watched {
    pub(crate) world: World,
    clock: Arc<AtomicI64>,
}

impl Watched {
    pub(crate) async fn new(options: RouterOptions) -> Self {
        let (world, clock) = World::clocked(BEGINNING, 7, options).await;
        Self { world, clock }
    }

    pub(crate) fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::SeqCst);
    }

    pub(crate) fn insert(&self, table: &str, n: i64) {
        for n in 0..n {
            self.world.deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap();
        }
    }

    pub(crate) async fn sync(&self) -> SyncReport {
        let report = self.world.sync_with(&SyncOptions::default().audit_every(Some(Duration::ZERO))).await.unwrap();
        assert!(report.caught_up);
        report
    }

    /// The archive shows at its cursor what the deployment had then.
    pub(crate) async fn assert_true(&self) {
        let held = self.world.held().await;
        let through = held.through();
        assert_same_state(&held.state_at(through), &deployment_state(&self.world.deployment, through));
    }
}

pub(crate) fn named(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

pub(crate) fn fields(n: i64) -> std::collections::BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

/// What was healed: table, what, extra, missing.
pub(crate) fn healed(report: &SyncReport) -> Vec<(String, String, u64, u64)> {
    let healed = report.healed.iter();
    healed.map(|h| (h.table.to_string(), format!("{:?}", h.what), h.extra, h.missing)).collect()
}

/// A server without Data Sync: tables are compared by their ids.
pub(crate) fn blind() -> RouterOptions {
    pages(10, 100).data_sync(false).data_sync_cursor(false)
}

/// One with Data Sync, which names tables.
pub(crate) fn watched() -> RouterOptions {
    pages(10, 100)
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
    drops(watched()).await;
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
    replaces(watched()).await;
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
    fills_during_the_snapshot(watched()).await;
}

/// An import that fails leaves documents in the log that never became true.
async fn fails(options: RouterOptions) -> Vec<SyncReport> {
    let w = Watched::new(options).await;
    w.insert("t", 20);
    w.sync().await;
    let mut import = w.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    for chunk in 0..8 {
        import.insert(&named("t"), (0..100).map(|n| fields(chunk * 100 + n)).collect()).unwrap();
    }
    import.fail();
    let mut reports = vec![w.sync().await];
    w.pass(61 * MINUTE);
    w.insert("t", 1);
    reports.push(w.sync().await);
    w.assert_true().await;
    // What it left is told by the log for 14 days.
    for days in [0, 2, 15] {
        w.pass(days * 24 * 60 * MINUTE + MINUTE);
        w.insert("t", 1);
        reports.push(w.sync().await);
        w.assert_true().await;
    }
    assert_eq!(reports.last().unwrap().suspects, []);
    reports
}

#[tokio::test]
async fn documents_that_a_failed_import_left_are_removed_and_told_once() {
    for options in [blind(), watched()] {
        let reports = fails(options).await;
        let told: Vec<_> = reports.iter().flat_map(healed).collect();
        assert_eq!(told, [("t".into(), "Leftovers".into(), 800, 0)]);
        assert_eq!(reports.iter().filter(|report| report.has_findings()).count(), 1);
    }
}

/// As long as an import may still end well its documents are shown, and the table is suspect.
#[tokio::test]
async fn an_import_that_is_under_way_makes_its_table_suspect_until_it_has_ended() {
    let w = Watched::new(watched()).await;
    w.insert("t", 3);
    w.insert("other", 3);
    let report = w.sync().await;
    assert_eq!((report.suspects.len(), report.guarded), (0, report.through));
    let mut import = w.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..4).map(fields).collect()).unwrap();
    w.pass(MINUTE);
    let report = w.sync().await;
    let suspects: Vec<_> = report.suspects.iter().map(|s| (s.table.to_string(), s.why.as_str())).collect();
    assert_eq!(suspects, [("t".to_owned(), "import")]);
    assert_eq!((healed(&report), report.has_findings(), report.guarded), (vec![], false, report.through));
    // Not compared anew in each run.
    w.pass(MINUTE);
    let version = report.version;
    let report = w.sync().await;
    assert_eq!((report.version, report.suspects.len()), (version + 1, 1));
    import.finish().unwrap();
    w.pass(MINUTE);
    let report = w.sync().await;
    assert_eq!(healed(&report), [("t".into(), "Replaced".into(), 3, 0)]);
    assert_eq!((report.suspects, report.guarded), (vec![], report.through));
    w.assert_true().await;
}

/// A server that gets Data Sync, and one that loses its cursor: what happened before is suspect until it was compared.
#[tokio::test]
async fn what_nobody_watched_is_suspect_until_it_was_compared() {
    let mut w = Watched::new(blind()).await;
    w.insert("t", 3);
    w.insert("other", 3);
    w.sync().await;
    w.world.serve_as(watched()).await;
    let report = w.sync().await;
    assert_eq!((report.suspects, report.guarded), (vec![], report.through));
    // While nobody asks, its cursor grows too old. A table is replaced meanwhile.
    w.world.deployment.clear_tables(&[named("t")]).unwrap();
    w.pass(15 * 24 * 60 * MINUTE);
    w.insert("other", 1);
    let report = w.sync().await;
    assert_eq!(healed(&report), [("t".into(), "Replaced".into(), 3, 0)]);
    w.assert_true().await;
    // The memory is lost.
    w.world.store.delete(&"sentinel.json".into()).await.unwrap();
    w.world.deployment.clear_tables(&[named("other")]).unwrap();
    assert_eq!(healed(&w.sync().await), [("other".into(), "Replaced".into(), 4, 0)]);
    w.assert_true().await;
}

/// An idle run makes one commit and few requests.
#[tokio::test]
async fn a_quiet_run_commits_once_and_stays_guarded() {
    let w = Watched::new(watched()).await;
    w.insert("t", 3);
    w.sync().await;
    for _ in 0..3 {
        w.pass(MINUTE);
        let report = w.sync().await;
        assert_eq!((report.commits, report.guarded), (1, report.through));
    }
    w.insert("t", 3);
    let report = w.sync().await;
    assert_eq!((report.commits, report.guarded), (1, report.through));
}

/// The recorded deployments, stage by stage: whatever is not suspect is true, and in the end everything is.
async fn recorded(name: &str, data_sync: bool) {
    let mut fed = Fed::start(name, fed::options().data_sync(data_sync).data_sync_cursor(data_sync)).await;
    let every_run = SyncOptions::default().audit_every(Some(Duration::ZERO));
    loop {
        let report = fed.world.sync_with(&every_run).await.unwrap();
        let held = fed.world.held().await;
        let through = held.through();
        let (mut shown, mut truth) = (held.state_at(through), deployment_state(&fed.world.deployment, through));
        for suspect in &report.suspects {
            shown.remove(&suspect.table);
            truth.remove(&suspect.table);
        }
        assert_same_state(&shown, &truth);
        let stage = fed.stage().number;
        assert!(report.suspects.len() <= 2, "stage {stage}: {:?}", report.suspects);
        if !fed.advance() {
            break;
        }
    }
    // What an import left behind is old enough to be taken for that.
    fed.pass(61 * MINUTE);
    fed.world.sync_with(&every_run).await.unwrap();
    let held = fed.world.held().await;
    let through = held.through();
    assert_same_state(&held.state_at(through), &deployment_state(&fed.world.deployment, through));
}

#[tokio::test]
async fn the_recording_holes_ends_in_its_true_state() {
    recorded("holes", true).await;
    recorded("holes", false).await;
}

#[tokio::test]
async fn the_recording_datasync_ends_in_its_true_state() {
    recorded("datasync", true).await;
    recorded("datasync", false).await;
}
