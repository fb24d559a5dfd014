//! Who hands out a table's state at a moment in doubt refuses, and names where nothing is; who only looks, tells.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convex_archiver::{
    Error, ErrorKind, Event, MemoryBudget, Monitor, NoMonitor, Selection, TableRef, Timestamp, Value,
    archive::{Archive, Head, ProvenBy, Status, TableStatus},
    read::{
        DoubtedTable, ExportFormat, ExportOptions, History, LogOptions, RestoreOptions, RestoreReport, Transactions,
        UndoOptions, doubted_at, doubted_within, export, plan_restore, plan_undo, restore, undo, undo_by_mutation,
    },
    server::{ImportMode, RouterOptions},
    sync::{OnSuspicion, Stop, SyncOptions, SyncReport, sync},
};
use object_store::memory::InMemory;

use crate::support::{
    World,
    clock::{BEGINNING, named},
    pages,
};

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

/// A deployment whose clock never stands still: two questions have two answers.
async fn world(options: RouterOptions) -> World {
    World::clocked(BEGINNING, 7, options).await.0
}

/// A server without Data Sync: tables are compared by their ids.
fn blind() -> RouterOptions {
    pages(10, 100).data_sync_cursor(false)
}

fn insert(world: &World, table: &str, n: i64) -> String {
    let mut ids: Vec<_> =
        (0..n).map(|n| world.deployment.transaction(|tx| tx.insert(&named(table), fields(n))).unwrap().1).collect();
    ids.pop().unwrap()
}

async fn synced(world: &World, on_suspicion: OnSuspicion) -> SyncReport {
    let options = SyncOptions::default().audit_every(Some(Duration::ZERO)).on_suspicion(on_suspicion);
    let report = world.sync_with(&options).await.unwrap();
    assert!(report.caught_up);
    report
}

/// An archive as it is now.
struct Read {
    archive: Archive,
    head: Head,
    work: tempfile::TempDir,
}

impl Read {
    async fn of(world: &World) -> Self {
        let archive = world.archive().await;
        Self { head: archive.head().await.unwrap(), archive, work: tempfile::tempdir().unwrap() }
    }

    fn through(&self) -> Timestamp {
        self.head.coverage().through.unwrap()
    }

    fn tables(&self) -> Vec<TableRef> {
        self.head.tables().map(|state| state.table.clone()).collect()
    }

    fn doubted(&self, at: Timestamp) -> Vec<String> {
        doubted_at(&self.head, &self.tables(), at).iter().map(|doubted| doubted.table.to_string()).collect()
    }

    fn status(&self, table: &str) -> TableStatus {
        let status = Status::of(&self.head, self.through());
        status.tables.into_iter().find(|status| status.table == named(table)).unwrap()
    }

    async fn restored(&self, options: RestoreOptions) -> Result<RestoreReport, Error> {
        let options = options.output(self.work.path().join("out.zip")).overwrite(true);
        restore(&self.archive, &self.head, &options, &NoMonitor).await.map(|(report, _)| report)
    }

    async fn plan(&self, at: Timestamp) -> RestoreReport {
        let options = RestoreOptions::default().at(at);
        plan_restore(&self.archive, &self.head, &options, &NoMonitor).await.unwrap()
    }

    /// What a restore of all tables is refused for; an export is, for the same.
    async fn refused(&self, at: Timestamp) -> String {
        let error = self.restored(RestoreOptions::default().at(at)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!self.work.path().join("out.zip").exists());
        let options = ExportOptions::new(Arc::new(InMemory::new()), ExportFormat::Ndjson, at);
        let of_export = export(&self.archive, &self.head, &options, &NoMonitor).await.unwrap_err();
        assert_eq!((of_export.kind(), of_export.to_string()), (error.kind(), error.to_string()));
        error.to_string()
    }
}

/// A moment within a span.
fn before(ts: Timestamp) -> Timestamp {
    Timestamp(ts.0 - 1)
}

fn offer(ts: Timestamp) -> String {
    format!("--as-of {} (", ts.0)
}

#[tokio::test]
async fn a_moment_before_the_rows_of_a_failed_import_were_taken_out_is_refused_unless_that_is_accepted() {
    let world = world(blind()).await;
    insert(&world, "t", 20);
    let of_kept = insert(&world, "kept", 3);
    let through = synced(&world, OnSuspicion::Heal).await.through.unwrap();
    let mut import = world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..30).map(fields).collect()).unwrap();
    import.fail();
    insert(&world, "kept", 1);
    let healed = &synced(&world, OnSuspicion::Heal).await.healed[0];
    assert_eq!((&healed.table, healed.after), (&named("t"), through));
    let (at, read) = (healed.at, Read::of(&world).await);
    let within = before(at);

    for moment in [through, at] {
        let report = read.restored(RestoreOptions::default().at(moment)).await.unwrap();
        assert!(!report.has_findings() && report.doubted.is_empty() && report.complete, "{moment}: {report:?}");
        assert_eq!(read.doubted(moment), [] as [String; 0]);
        std::fs::remove_file(read.work.path().join("out.zip")).unwrap();
    }
    assert_eq!(read.doubted(within), ["t"]);
    let refused = read.refused(within).await;
    for words in [
        "for table t the archive may differ from what the deployment held at",
        "found that the table differed (it is known to be correct until",
        &format!("all selected tables are proven: {}", offer(through)),
        &offer(at),
        "--exclude t;",
        "--accept-doubt",
    ] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert!(!refused.contains("run sync"), "{refused}");

    let plan = read.plan(within).await;
    assert!(plan.has_findings() && plan.is_doubted() && !plan.complete, "{plan:?}");
    assert_eq!((plan.proven_before, plan.proven_after), (Some(through), Some(at)));
    let DoubtedTable { table, span, unwatched, .. } = &plan.doubted[0];
    assert_eq!((table, span.after, span.to, *unwatched), (&named("t"), through, Some(at), false));
    let accepted = read.restored(RestoreOptions::default().at(within).accept_doubt(true)).await.unwrap();
    assert_eq!((&accepted.doubted, &accepted.tables), (&plan.doubted, &plan.tables));
    assert_eq!(accepted.documents(), 20 + 30 + 4);
    let target = ExportOptions::new(Arc::new(InMemory::new()), ExportFormat::Ndjson, within).accept_doubt(true);
    let exported = export(&read.archive, &read.head, &target, &NoMonitor).await.unwrap();
    assert!(exported.is_doubted() && exported.doubted == plan.doubted);

    // Without the table, or of a document that is not in it, nothing is in doubt.
    let others = RestoreOptions::default().at(within).selection(Selection::new([] as [&str; 0], ["t"]).unwrap());
    assert!(!read.restored(others).await.unwrap().is_doubted());
    let one = RestoreOptions::default().at(within).ids([of_kept].into());
    assert!(!read.restored(one).await.unwrap().is_doubted());
    let rows = world.deployment.revisions();
    let of_t = rows.iter().find(|(table, _)| **table == named("t")).unwrap().1.id.clone();
    let refused = read.restored(RestoreOptions::default().at(within).ids([of_t.clone()].into())).await.unwrap_err();
    assert!(refused.to_string().contains("at which it is proven"), "{refused}");

    // Those who look tell the span.
    let history = History::open(&read.archive, &read.head, &named("t"), &of_t, MemoryBudget::default()).await.unwrap();
    assert_eq!(history.doubted(), plan.doubted);
    let log = async |since: Timestamp, until: Timestamp| {
        let options = LogOptions::default().since(Some(since)).until(Some(until));
        Transactions::open(&read.archive, &read.head, &options).await.unwrap().doubted().to_vec()
    };
    assert_eq!(log(through, at).await, plan.doubted);
    assert_eq!(log(Timestamp(0), through).await, []);
    assert_eq!(log(at, read.through()).await, []);
    let status = read.status("t");
    assert_eq!((status.suspect, status.doubts), (None, vec![plan.doubted[0].span.clone()]));
}

#[tokio::test]
async fn the_nearest_moments_are_those_at_which_no_selected_table_is_in_doubt() {
    let world = world(blind()).await;
    insert(&world, "dropped", 5);
    insert(&world, "replaced", 25);
    let first = synced(&world, OnSuspicion::Heal).await.through.unwrap();
    world.deployment.drop_table(&named("dropped")).unwrap();
    let second = synced(&world, OnSuspicion::Heal).await.healed[0].at;
    let mut import = world.deployment.begin_import(ImportMode::Replace, &[named("replaced")]).unwrap();
    import.insert(&named("replaced"), (0..7).map(fields).collect()).unwrap();
    import.finish().unwrap();
    let third = synced(&world, OnSuspicion::Heal).await.healed[0].at;
    let read = Read::of(&world).await;
    for (at, doubted, nearest) in [
        (first, &[][..], (None, None)),
        (before(second), &["dropped"], (Some(first), Some(second))),
        (second, &[], (None, None)),
        (before(third), &["replaced"], (Some(second), Some(third))),
        (third, &[], (None, None)),
    ] {
        assert_eq!(read.doubted(at), doubted, "{at}");
        let plan = read.plan(at).await;
        assert_eq!((plan.proven_before, plan.proven_after), nearest, "{at}");
        assert_eq!(plan.has_findings(), !doubted.is_empty(), "{at}");
    }
    let refused = read.refused(before(second)).await;
    assert!(refused.contains("no longer listed the table") && refused.contains("--exclude dropped"), "{refused}");
    let all = doubted_within(&read.head, &read.tables(), &(first..=third));
    assert_eq!(all.len(), 2);
    assert_eq!(doubted_within(&read.head, &read.tables(), &(second..=second)), []);
}

#[tokio::test]
async fn a_suspicion_that_is_open_refuses_now_and_says_that_the_next_sync_compares() {
    let world = world(blind()).await;
    insert(&world, "gone", 5);
    insert(&world, "kept", 5);
    let through = synced(&world, OnSuspicion::Heal).await.through.unwrap();
    world.deployment.drop_table(&named("gone")).unwrap();
    insert(&world, "kept", 1);
    let suspects = synced(&world, OnSuspicion::Warn).await.suspects;
    assert_eq!((suspects.len(), suspects[0].why.as_str()), (1, "dropped"));
    let read = Read::of(&world).await;
    let refused = read.refused(read.through()).await;
    for words in [&offer(through), "run sync, which compares the table", "no longer listed the table"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let plan = read.plan(read.through()).await;
    assert_eq!((plan.proven_before, plan.proven_after), (Some(through), None));
    assert_eq!((plan.doubted[0].span.to, plan.doubted[0].unwatched), (None, false));
    assert!(read.restored(RestoreOptions::default().at(through)).await.is_ok());
    let status = read.status("gone");
    assert_eq!(status.suspect.as_ref(), Some(&plan.doubted[0].span));
    assert_eq!(status.proven.map(|proven| (proven.through, proven.by)), Some((through, ProvenBy::Ids)));
    assert!(read.status("kept").suspect.is_none());

    let healed = synced(&world, OnSuspicion::Heal).await.healed;
    assert_eq!(healed[0].table, named("gone"));
    let read = Read::of(&world).await;
    assert_eq!(read.doubted(read.through()), [] as [String; 0]);
    assert!(read.refused(before(healed[0].at)).await.contains(&offer(healed[0].at)));
}

/// Asks the run to stop with the first page.
struct StopAtOnce(Stop);

impl Monitor for StopAtOnce {
    fn report(&self, event: Event<'_>) {
        if matches!(event, Event::Page { .. }) {
            self.0.request();
        }
    }
}

#[tokio::test]
async fn what_a_sync_has_not_asked_yet_is_told_and_refuses_nothing() {
    let world = World::new(pages(10, 10)).await;
    insert(&world, "t", 20);
    let first = world.sync().await;
    let read = Read::of(&world).await;
    // An ordinary archive is guarded as far as it reaches.
    assert_eq!((first.guarded, read.head.guarded()), (first.through, first.through));
    assert_eq!(read.doubted(read.through()), [] as [String; 0]);
    assert_eq!(read.status("t").proven.map(|proven| proven.through), first.through);

    insert(&world, "t", 100);
    let stop = Stop::default();
    let options = SyncOptions::default().stop(stop.clone()).commit_every(Duration::ZERO);
    let monitor = Arc::new(StopAtOnce(stop));
    let report = sync(Arc::new(world.client()), &world.archive().await, &options, monitor).await.unwrap();
    assert!(!report.caught_up && report.guarded == first.guarded && report.through > first.through);
    let read = Read::of(&world).await;
    let restored = read.restored(RestoreOptions::default().at(read.through())).await.unwrap();
    assert!(!restored.has_findings() && restored.complete, "{restored:?}");
    let doubted: Vec<_> = restored.doubted.iter().map(|d| (d.span.after, d.span.to, d.unwatched)).collect();
    assert_eq!(doubted, [(first.through.unwrap(), None, true)]);
    assert_eq!(read.doubted(first.through.unwrap()), [] as [String; 0]);
    assert!(read.status("t").suspect.is_none());

    world.sync().await;
    let read = Read::of(&world).await;
    assert_eq!(read.doubted(read.through()), [] as [String; 0]);
}

#[tokio::test]
async fn an_undo_of_a_table_in_doubt_is_told_and_refused_unless_that_is_accepted() {
    let world = world(blind()).await;
    insert(&world, "t", 20);
    insert(&world, "kept", 3);
    let from = synced(&world, OnSuspicion::Heal).await.through.unwrap();
    let mut import = world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..30).map(fields).collect()).unwrap();
    import.fail();
    let healed = synced(&world, OnSuspicion::Heal).await.healed[0].at;
    insert(&world, "kept", 1);
    let (within, now) = (before(healed), synced(&world, OnSuspicion::Heal).await.through.unwrap());
    let read = Read::of(&world).await;
    let undone = async |options: UndoOptions| {
        let options = options.now(now).inserted(true).overwrite(true).output(read.work.path().join("undo.zip"));
        undo(&read.archive, &read.head, &options, &NoMonitor).await
    };
    let planned = async |options: UndoOptions| {
        plan_undo(&read.archive, &read.head, &options.now(now).inserted(true), &NoMonitor, |_| Ok(())).await.unwrap()
    };

    // At proven moments nothing is said.
    let good = UndoOptions::default().from(from).to(now);
    let (report, _) = undone(good.clone()).await.unwrap();
    assert!(report.doubted.is_empty() && report.undone() == 1, "{report:?}");

    for (options, flag) in [
        (UndoOptions::default().from(within).to(now), "--from "),
        (UndoOptions::default().from(from).to(within), "--to "),
    ] {
        let report = planned(options.clone()).await;
        assert!(report.is_doubted() && report.has_findings() && report.doubted.len() == 1, "{report:?}");
        let refused = undone(options.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let text = refused.to_string();
        for words in
            ["for table t the archive may differ", &format!("{flag}{}", healed.0), "--exclude t;", "--accept-doubt"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let (folder, of_now) = (read.work.path().join("folder"), options.clone().now(now));
        let by_mutation = undo_by_mutation(&read.archive, &read.head, &of_now, &folder, &NoMonitor).await;
        assert_eq!(by_mutation.unwrap_err().to_string(), text);
        assert!(!folder.exists());
        // Accepted, or of other tables.
        assert!(undone(options.clone().accept_doubt(true)).await.unwrap().0.is_doubted());
        let others = options.selection(Selection::new([] as [&str; 0], ["t"]).unwrap());
        assert!(undone(others).await.unwrap().0.doubted.is_empty());
    }
}

#[tokio::test]
async fn an_undo_whose_present_is_in_doubt_offers_no_other_moment() {
    let world = world(blind()).await;
    insert(&world, "t", 20);
    let from = synced(&world, OnSuspicion::Heal).await.through.unwrap();
    let mut import = world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..30).map(fields).collect()).unwrap();
    import.fail();
    let report = synced(&world, OnSuspicion::Warn).await;
    assert_eq!(report.suspects.iter().map(|suspect| suspect.why.as_str()).collect::<Vec<_>>(), ["differs"]);
    let now = report.through.unwrap();
    let read = Read::of(&world).await;
    let options = UndoOptions::default().from(from).to(from).now(now).output(read.work.path().join("undo.zip"));
    let text = undo(&read.archive, &read.head, &options, &NoMonitor).await.unwrap_err().to_string();
    assert!(text.contains("run sync, which compares the table") && !text.contains("nearest"), "{text}");
}
