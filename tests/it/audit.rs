//! The archive beside the deployment: no alarm without a difference, no difference without an alarm, and what is corrected.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, ErrorKind, NoMonitor, Phase, Position, Result, Selection, TableRef, Timestamp, Value,
    archive::{Depth, Head},
    audit::{AuditOptions, AuditReport, AuditResult, Difference, DifferingDocument, audit, plan_audit, repair},
    convex::{Client, IdPage, Page, Shapes, SnapshotScope, Source},
    read::compare,
    server::{ImportMode, RouterOptions, SimulatedDeployment},
    sync::{Correction, OnSuspicion, SyncOptions},
};

use crate::support::{
    World, assert_same_state,
    clock::{BEGINNING, named},
    deployment_state, pages,
    source::Ending,
};

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n)), ("text".to_owned(), Value::String(format!("no {n}")))].into()
}

/// A server without Data Sync.
fn blind() -> RouterOptions {
    pages(300, 100).data_sync_cursor(false)
}

async fn world(options: RouterOptions) -> (Arc<World>, Arc<AtomicI64>) {
    let (world, clock) = World::clocked(BEGINNING, 7, options).await;
    (Arc::new(world), clock)
}

fn insert(world: &World, table: &str, n: i64) {
    for n in 0..n {
        world.deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap();
    }
}

/// A sync that compares nothing of its own accord.
async fn sync(world: &World) {
    let report = world.sync_with(&SyncOptions::default().audit_every(None)).await.unwrap();
    assert!(report.caught_up);
}

async fn audited_by(
    world: &World,
    source: Arc<dyn Source>,
    options: AuditOptions,
) -> Result<(AuditReport, Vec<DifferingDocument>)> {
    let archive = world.archive().await;
    let plan = plan_audit(source.as_ref(), &archive, &Selection::default(), options.full).await?;
    let mut told = Vec::new();
    let tell = |document| {
        told.push(document);
        Ok(())
    };
    let report = audit(source, &archive, &plan, &options, Arc::new(NoMonitor), tell).await?;
    Ok((report, told))
}

async fn audited(world: &World, options: AuditOptions) -> (AuditReport, Vec<DifferingDocument>) {
    audited_by(world, Arc::new(world.client()), options).await.unwrap()
}

fn by_ids() -> AuditOptions {
    AuditOptions::default()
}

async fn head(world: &World) -> Head {
    world.archive().await.head().await.unwrap()
}

/// Missing, extra, different and altered documents of a table.
fn sums(report: &AuditReport, table: &str) -> [u64; 4] {
    let found = report.tables.iter().find(|audited| audited.table == named(table)).unwrap();
    let sums = [found.missing, found.extra, found.different, found.altered];
    assert_eq!(found.result, if sums == [0; 4] { AuditResult::Equal } else { AuditResult::Differs });
    sums
}

async fn assert_true(world: &World) {
    let held = world.held().await;
    let through = held.through();
    assert_same_state(&held.state_at(through), &deployment_state(&world.deployment, through));
}

/// Writes to the deployment with each question for ids or documents, or lets the archive be brought up to date.
struct Busy {
    inner: Client,
    world: Arc<World>,
    syncs: bool,
}

impl Busy {
    async fn disturb(&self) {
        let t = named("t");
        self.world.deployment.transaction(|tx| tx.insert(&t, fields(-1))).unwrap();
        let all = self.world.deployment.state_at(Timestamp(i64::MAX));
        let (first, last) = (all[&t].keys().next().unwrap(), all[&t].keys().next_back().unwrap());
        self.world.deployment.transaction(|tx| tx.replace(&t, first, fields(-2))).unwrap();
        self.world.deployment.transaction(|tx| tx.delete(&t, last)).unwrap();
        if self.syncs {
            sync(&self.world).await;
        }
    }
}

#[async_trait]
impl Source for Busy {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.inner.identity().await
    }
    async fn shapes(&self) -> Result<Shapes> {
        self.inner.shapes().await
    }
    fn snapshot_start(&self) -> Position {
        self.inner.snapshot_start()
    }
    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.inner.snapshot_of(scope, ts)
    }
    async fn ids(&self, table: &TableRef, ts: Timestamp, cursor: Option<&str>) -> Result<Option<IdPage>> {
        self.disturb().await;
        self.inner.ids(table, ts, cursor).await
    }
    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.inner.deltas_after(ts).await
    }
    async fn page(&self, at: &Position) -> Result<Page> {
        self.disturb().await;
        self.inner.page(at).await
    }
}

/// A way to the deployment on which a text becomes another of the same length.
struct Altering {
    inner: Client,
    from: &'static str,
    to: &'static str,
}

#[async_trait]
impl Source for Altering {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.inner.identity().await
    }
    async fn shapes(&self) -> Result<Shapes> {
        self.inner.shapes().await
    }
    fn snapshot_start(&self) -> Position {
        self.inner.snapshot_start()
    }
    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.inner.snapshot_of(scope, ts)
    }
    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.inner.deltas_after(ts).await
    }
    async fn page(&self, at: &Position) -> Result<Page> {
        let mut page = self.inner.page(at).await?;
        let text = String::from_utf8(page.body.held().unwrap().to_vec()).unwrap();
        page.body = bytes::Bytes::from(text.replace(self.from, self.to)).into();
        Ok(page)
    }
}

#[tokio::test]
async fn equal_archives_give_no_alarm_however_much_is_written_meanwhile() {
    let (world, _) = world(blind()).await;
    insert(&world, "t", 2000);
    insert(&world, "small", 3);
    sync(&world).await;
    insert(&world, "t", 40);
    sync(&world).await;
    let cursor = head(&world).await.covered_through().unwrap();
    for full in [false, true] {
        let (report, told) = audited(&world, by_ids().full(full).documents(true)).await;
        assert!(report.is_equal() && told.is_empty(), "{report:#?}");
        let t = &report.tables[1];
        assert_eq!((t.documents, t.requests, report.at), (2040, 7, cursor));
        // What the plan says of costs rests on it.
        assert!(full || (95..=115).contains(&(t.bytes / t.documents)), "{}", t.bytes / t.documents);
        let proven = head(&world).await.table(&named("t")).unwrap().proven.unwrap();
        assert_eq!((proven.ts, proven.depth), (cursor, if full { Depth::Values } else { Depth::Ids }));
    }
    for (syncs, full) in [(false, false), (false, true), (true, false)] {
        let before = head(&world).await;
        let busy = Busy { inner: world.client(), world: Arc::clone(&world), syncs };
        let (done, _) = audited_by(&world, Arc::new(busy), by_ids().full(full)).await.unwrap();
        assert!(done.is_equal(), "{syncs} {full}: {done:#?}");
        assert_eq!(done.at, before.covered_through().unwrap());
        // A sync went on in between, and the comparison is recorded all the same.
        let after = head(&world).await;
        assert_eq!(after.covered_through() > before.covered_through(), syncs);
        assert_eq!(after.table(&named("t")).unwrap().proven.unwrap().ts, done.at);
        assert_eq!(done.version, Some(after.version()));
    }
    assert_true(&world).await;
}

/// A table that was replaced, one that an import into it failed for, one that was dropped and one that came without the archive's knowledge.
async fn at_odds(world: &World) {
    for table in ["replaced", "filled", "kept"] {
        insert(world, table, 20);
    }
    sync(world).await;
    let mut import = world.deployment.begin_import(ImportMode::Replace, &[named("replaced"), named("late")]).unwrap();
    import.insert(&named("replaced"), (0..7).map(fields).collect()).unwrap();
    import.insert(&named("late"), (0..3).map(fields).collect()).unwrap();
    let mut failing = world.deployment.begin_import(ImportMode::Replace, &[named("filled")]).unwrap();
    failing.insert(&named("filled"), (0..50).map(fields).collect()).unwrap();
    insert(world, "kept", 1);
    // The hidden rows are passed over while they are hidden.
    sync(world).await;
    import.finish().unwrap();
    failing.fail();
    insert(world, "kept", 1);
    sync(world).await;
}

#[tokio::test]
async fn what_the_change_log_does_not_tell_is_found_recorded_and_repaired() {
    let (world, _) = world(blind()).await;
    at_odds(&world).await;
    let before = head(&world).await;
    let (dry, _) = audited(&world, by_ids().dry_run(true)).await;
    assert_eq!((dry.version, head(&world).await.version()), (None, before.version()));
    let (report, told) = audited(&world, by_ids().documents(true)).await;
    let at = report.at;
    let [archived, live] = [world.held().await.state_at(at), deployment_state(&world.deployment, at)];
    let mut differing = 0;
    for table in ["filled", "kept", "late", "replaced"].map(named) {
        let ids = |of: &crate::support::States| -> Vec<String> {
            of.get(&table).map(|documents| documents.keys().cloned().collect()).unwrap_or_default()
        };
        let (ours, theirs) = (ids(&archived), ids(&live));
        let missing = theirs.iter().filter(|id| !ours.contains(id)).count() as u64;
        let extra = ours.iter().filter(|id| !theirs.contains(id)).count() as u64;
        assert_eq!(sums(&report, table.name()), [missing, extra, 0, 0], "{table}");
        differing += missing + extra;
    }
    assert_eq!((told.len() as u64, sums(&report, "kept")), (differing, [0; 4]));
    assert!(differing >= 20, "{report:#?}");
    for document in &told {
        assert_eq!(document.archive.is_some(), document.difference == Difference::Extra);
        assert_eq!(document.deployment.is_some(), document.difference == Difference::Missing);
    }
    let after = head(&world).await;
    for audited in &report.tables {
        let state = after.table(&audited.table).unwrap();
        let suspect = state.suspect.as_ref().map(|suspect| (suspect.why.as_str(), suspect.after < at));
        let differs = audited.result == AuditResult::Differs;
        assert_eq!(suspect, differs.then_some(("differs", true)), "{}", audited.table);
        assert_eq!(state.proven.is_some_and(|proven| proven.ts == at), !differs);
    }
    // By values the same is found, and nothing is said twice.
    let (full, again) = audited(&world, by_ids().full(true).documents(true)).await;
    assert_eq!(again, told);
    let sums =
        |report: &AuditReport| -> Vec<_> { report.tables.iter().map(|t| (t.missing, t.extra, t.documents)).collect() };
    assert_eq!(sums(&full), sums(&report));

    let source = Arc::new(world.client());
    let options = SyncOptions::default().audit_every(None);
    let repaired = repair(source, &world.archive().await, &report, options, Arc::new(NoMonitor)).await.unwrap();
    let healed: Vec<_> = repaired.healed.iter().map(|healed| healed.table.to_string()).collect();
    let differ: Vec<_> = report.with(AuditResult::Differs).map(|audited| audited.table.to_string()).collect();
    assert_eq!(
        {
            let mut sorted = healed;
            sorted.sort();
            sorted
        },
        differ
    );
    assert_eq!(repaired.suspects, []);
    assert_true(&world).await;
    assert!(audited(&world, by_ids()).await.0.is_equal());
}

#[tokio::test]
async fn a_server_that_watches_is_audited_as_well() {
    let (world, _) = world(pages(300, 100)).await;
    insert(&world, "t", 20);
    insert(&world, "other", 2);
    sync(&world).await;
    sync(&world).await;
    assert!(audited(&world, by_ids()).await.0.is_equal());
    assert_eq!(head(&world).await.guarded(), head(&world).await.covered_through());
    world.deployment.clear_tables(&[named("t")]).unwrap();
    // The moment of the archive is before that.
    assert!(audited(&world, by_ids().full(true)).await.0.is_equal());
    // What a sync left for later an audit settles: behind a clean answer, the moments before stay in doubt.
    let warn = SyncOptions::default().on_suspicion(OnSuspicion::Warn);
    assert!(world.sync_with(&warn).await.unwrap().has_findings());
    let (report, _) = audited(&world, by_ids()).await;
    assert_eq!(sums(&report, "t"), [0, 20, 0, 0]);
    assert_eq!(head(&world).await.table(&named("t")).unwrap().suspect.as_ref().unwrap().why, "import");
    sync(&world).await;
    assert!(audited(&world, by_ids()).await.0.is_equal());
    assert_true(&world).await;
}

#[tokio::test]
async fn a_value_that_was_altered_on_the_way_is_found_by_values_alone_and_fetched_anew() {
    let (world, _) = world(pages(300, 100)).await;
    insert(&world, "t", 20);
    insert(&world, "other", 2);
    let altering = Altering { inner: world.client(), from: "no 13", to: "no 31" };
    let options = SyncOptions::default().audit_every(None);
    let archive = world.archive().await;
    let synced = convex_archiver::sync::sync(Arc::new(altering), &archive, &options, Arc::new(NoMonitor)).await;
    assert!(synced.unwrap().caught_up);
    assert!(audited(&world, by_ids()).await.0.is_equal());
    let (report, told) = audited(&world, by_ids().full(true).documents(true)).await;
    assert_eq!((sums(&report, "t"), sums(&report, "other")), ([0, 0, 0, 1], [0; 4]));
    let [altered] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&altered.table, altered.difference), (&named("t"), Difference::Altered));
    let [ours, theirs] =
        [&altered.archive, &altered.deployment].map(|side| side.as_ref().unwrap().document.clone().unwrap());
    let changes = compare(&ours, &theirs);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(change.path.to_string(), "text");
    assert_eq!(
        (change.before, change.after),
        (Some(&Value::String("no 31".into())), Some(&Value::String("no 13".into())))
    );
    let why = async || head(&world).await.table(&named("t")).unwrap().suspect.clone().map(|suspect| suspect.why);
    assert_eq!(why().await.as_deref(), Some("altered"));
    // Equal ids do not end that, nor does a sync that only warns.
    assert!(audited(&world, by_ids()).await.0.is_equal());
    world.sync_with(&SyncOptions::default().on_suspicion(OnSuspicion::Warn)).await.unwrap();
    assert_eq!(why().await.as_deref(), Some("altered"));

    insert(&world, "t", 1);
    let source = Arc::new(world.client());
    let repaired = repair(source, &world.archive().await, &report, options, Arc::new(NoMonitor)).await.unwrap();
    assert!(repaired.healed.iter().any(|healed| healed.table == named("t") && healed.what == Correction::Asked));
    assert_eq!(repaired.suspects, []);
    assert!(audited(&world, by_ids().full(true)).await.0.is_equal());
    assert_true(&world).await;
}

#[tokio::test]
async fn a_new_base_that_was_asked_for_takes_the_place_of_the_old_one_at_once() {
    for options in [blind(), pages(5, 100)] {
        let (world, _) = world(options.snapshot_page(5)).await;
        insert(&world, "t", 40);
        insert(&world, "other", 4);
        sync(&world).await;
        let unknown = SyncOptions::default().rebase(Some(Selection::new(["tt"], []).unwrap()));
        let refused = world.sync_with(&unknown).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        assert!(refused.to_string().contains("no table `tt`"), "{refused}");

        insert(&world, "t", 1);
        let options = SyncOptions::default().audit_every(None).rebase(Some(Selection::new(["t"], []).unwrap()));
        // One page of changes, then one of the new base.
        let ending = Ending::after(3, false, world.client());
        let archive = world.archive().await;
        convex_archiver::sync::sync(Arc::new(ending), &archive, &options, Arc::new(NoMonitor)).await.unwrap_err();
        assert_true(&world).await;
        let bases = head(&world).await.coverage().bases.len();
        insert(&world, "t", 1);
        let report = world.sync_with(&options).await.unwrap();
        assert!(report.caught_up && report.healed.iter().any(|healed| healed.table == named("t")), "{report:?}");
        assert_eq!(report.suspects, []);
        assert!(!report.has_findings());
        assert!(head(&world).await.coverage().bases.len() > bases);
        assert_true(&world).await;
        assert!(audited(&world, by_ids().full(true)).await.0.is_equal());
        // All of them.
        let all = SyncOptions::default().audit_every(None).rebase(Some(Selection::default()));
        let report = world.sync_with(&all).await.unwrap();
        let healed: Vec<_> = report.healed.iter().map(|healed| (healed.table.to_string(), healed.what)).collect();
        assert_eq!(healed, [("other".to_owned(), Correction::Asked), ("t".to_owned(), Correction::Asked)]);
        assert_true(&world).await;
    }
}

#[tokio::test]
async fn what_cannot_be_compared_says_why() {
    let (world, clock) = world(blind().snapshot_window(Duration::from_secs(60))).await;
    let source = || Arc::new(world.client());
    let nothing = audited_by(&world, source(), by_ids()).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Usage);
    insert(&world, "t", 4);
    sync(&world).await;
    let archive = world.archive().await;
    let plan = |selection: Selection| {
        let (archive, source) = (&archive, source());
        async move { plan_audit(source.as_ref(), archive, &selection, false).await }
    };
    let missed = plan(Selection::new(["tt"], []).unwrap()).await.unwrap_err();
    assert_eq!(missed.kind(), ErrorKind::NotFound);
    let planned = plan(Selection::new(["t"], []).unwrap()).await.unwrap();
    assert_eq!((planned.tables.len(), planned.documents, planned.all_tables_known), (1, 4, true));
    assert!(planned.bytes > 400 && planned.bytes < 1000 && planned.dollars() < 0.001, "{planned:?}");

    clock.fetch_add(61_000_000_000, Ordering::SeqCst);
    let late = audited_by(&world, source(), by_ids()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Window, "{late}");
    assert!(late.to_string().contains("run sync first"), "{late}");
    sync(&world).await;
    assert!(audited(&world, by_ids()).await.0.is_equal());

    let other = World::of(SimulatedDeployment::new("otter-2", 7), pages(10, 10)).await;
    let strange = audited_by(&world, Arc::new(other.client()), by_ids()).await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::Usage, "{strange}");
}

/// A deployment that cannot be asked for one table.
struct Mute(Client);

#[async_trait]
impl Source for Mute {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.0.identity().await
    }
    async fn shapes(&self) -> Result<Shapes> {
        self.0.shapes().await
    }
    fn snapshot_start(&self) -> Position {
        self.0.snapshot_start()
    }
    fn snapshot_of(&self, _: &SnapshotScope, ts: Timestamp) -> Position {
        self.0.snapshot_of(&SnapshotScope::Tables(convex_archiver::Scope::All), ts)
    }
    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.0.deltas_after(ts).await
    }
    async fn page(&self, at: &Position) -> Result<Page> {
        assert_eq!(at.phase(), Phase::Snapshot);
        self.0.page(at).await
    }
}

#[tokio::test]
async fn a_server_that_sends_everything_is_no_proof_of_one_table() {
    let (world, _) = world(blind()).await;
    insert(&world, "a", 2);
    insert(&world, "b", 2);
    sync(&world).await;
    for full in [false, true] {
        let (report, _) = audited_by(&world, Arc::new(Mute(world.client())), by_ids().full(full)).await.unwrap();
        let unknown: Vec<_> = report.with(AuditResult::NotCompared).collect();
        assert_eq!((unknown.len(), report.version), (2, None), "{report:#?}");
        assert!(unknown[0].why.as_ref().unwrap().contains("too old"));
    }
}

/// A deployment whose first page came altered, and that is so known, is fetched anew by the next sync, whoever lets it run.
#[tokio::test]
async fn the_next_sync_fetches_anew_what_an_audit_found_altered() {
    let (world, _) = world(blind()).await;
    insert(&world, "t", 20);
    let altering = Altering { inner: world.client(), from: "no 13", to: "no 31" };
    let archive = world.archive().await;
    let options = SyncOptions::default();
    convex_archiver::sync::sync(Arc::new(altering), &archive, &options, Arc::new(NoMonitor)).await.unwrap();
    assert!(!audited(&world, by_ids().full(true)).await.0.is_equal());
    let report = world.sync().await;
    assert_eq!((report.suspects, report.findings.of("table_fetched_anew")), (Vec::new(), 1));
    assert!(audited(&world, by_ids().full(true)).await.0.is_equal());
    assert_true(&world).await;
}

#[tokio::test]
async fn a_table_that_is_not_covered_is_named_and_the_others_are_compared() {
    let (world, _) = world(crate::support::unproven(10, 10)).await;
    let of_component = TableRef::new("shop", "orders").unwrap();
    world.deployment.transaction(|tx| tx.insert(&of_component, fields(1))).unwrap();
    insert(&world, "t", 2);
    sync(&world).await;
    insert(&world, "t", 2);
    sync(&world).await;
    let (report, _) = audited(&world, by_ids()).await;
    let unknown: Vec<_> = report.with(AuditResult::NotCompared).collect();
    assert_eq!((unknown.len(), &unknown[0].table), (1, &of_component));
    assert!(unknown[0].why.as_ref().unwrap().contains("does not cover it"), "{unknown:?}");
    assert_eq!(sums(&report, "t"), [0; 4]);
    assert!(report.version.is_some());
}
