//! What a deployment no longer keeps: snapshots older than 5 days, changes older than 14. The clock is the test's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, TableRef, Timestamp, Value,
    archive::{Covers, Span},
    read::History,
    server::{RouterOptions, SimulatedDeployment},
    sync::{OnGap, Stop, SyncOptions, SyncReport, sync},
};

use crate::{
    conformance::Server,
    support::{World, pages, source::Ending},
};

const DAY: i64 = 86_400_000_000_000;
const START: i64 = 1_790_000_000_000_000_000;

/// A deployment with a clock of its own and the windows of a real one.
struct Aging {
    world: World,
    options: RouterOptions,
    clock: Arc<AtomicI64>,
}

impl Aging {
    async fn new(snapshot: usize, deltas: usize) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let ticks = Arc::clone(&clock);
        // A millisecond passes with every look.
        let tick = move || Timestamp(ticks.fetch_add(1_000_000, Ordering::Relaxed));
        let deployment = SimulatedDeployment::with_clock("otter-1", 7, tick);
        let defaults = RouterOptions::default();
        let options =
            pages(snapshot, deltas).snapshot_window(defaults.snapshot_window).deltas_window(defaults.deltas_window);
        Self { world: World::of(deployment, options.clone()).await, options, clock }
    }

    fn pass_days(&self, days: i64) {
        self.clock.fetch_add(days * DAY, Ordering::Relaxed);
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn insert(&self, name: &str, n: i64) -> Timestamp {
        let table = TableRef::new("", name).unwrap();
        let fields = BTreeMap::from([("n".to_owned(), Value::Int64(n))]);
        self.world.deployment.transaction(|tx| tx.insert(&table, fields)).unwrap().0
    }

    fn fill(&self, name: &str, documents: i64) {
        for n in 0..documents {
            self.insert(name, n);
        }
    }

    /// A sync that fails after so many pages.
    async fn sync_cut_off(&self, pages: usize) {
        let source = Arc::new(Ending::after(pages, false, self.world.client()));
        let options = SyncOptions::default().commit_every(Duration::ZERO);
        let error = sync(source, &self.world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    async fn sync(&self) -> SyncReport {
        let report = self.world.sync().await;
        assert!(report.caught_up);
        self.world.held().await.assert_true(&self.world.deployment);
        report
    }

    /// The moments of a table that the archive has.
    async fn spans(&self, name: &str) -> Vec<Span> {
        let head = self.world.held().await.head;
        head.coverage().spans(&TableRef::new("", name).unwrap())
    }
}

#[tokio::test]
async fn a_first_snapshot_that_grew_too_old_keeps_its_finished_tables_and_walks_the_others_after_the_changes() {
    let aging = Aging::new(3, 5).await;
    for name in ["a", "b", "c", "d"] {
        aging.fill(name, 5);
    }
    // A table is two pages: one is finished, the second has begun.
    aging.sync_cut_off(4).await;
    let walk = aging.world.held().await.head.progress().walk.clone().expect("a walk is open");
    assert_eq!(walk.done.len(), 1);
    aging.pass_days(6);
    aging.insert("a", 9);
    aging.insert("e", 1);
    let report = aging.sync().await;
    assert!(report.gaps.is_empty(), "no change was lost");
    let head = aging.world.held().await.head;
    let bases: Vec<_> = head.coverage().bases.iter().collect();
    assert_eq!((bases.len(), &bases[0].id, bases[0].ts), (2, &walk.base, walk.ts));
    assert!(bases[0].scope.contains(&walk.done[0]) && !bases[1].scope.contains(&walk.done[0]));
    for name in ["a", "b", "c", "d"] {
        let first = aging.spans(name).await[0].from;
        let finished = walk.done[0].name() == name;
        assert_eq!(first, if finished { walk.ts } else { bases[1].ts }, "{name}");
    }
    assert!(head.tables().all(|state| state.unfinished.files == 0));
    // And it is over.
    assert_eq!(aging.sync().await.commits, 1);
}

#[tokio::test]
async fn a_first_snapshot_that_grew_too_old_within_its_first_table_is_begun_anew() {
    let aging = Aging::new(3, 5).await;
    aging.fill("a", 9);
    aging.sync_cut_off(2).await;
    aging.pass_days(6);
    aging.insert("a", 9);
    // The deployment is gone once more, before the second snapshot.
    aging.sync_cut_off(1).await;
    let held = aging.world.held().await;
    assert!(held.head.coverage().bases.is_empty() && held.head.progress().walk.is_none());
    let report = aging.sync().await;
    assert!(!report.first_run);
    let bases = aging.world.held().await.head.coverage().bases.clone();
    assert_eq!(bases.len(), 1);
    assert!(bases[0].ts.0 > START + 6 * DAY);
}

#[tokio::test]
async fn changes_that_are_no_longer_kept_become_a_gap_and_everything_around_it_stays() {
    let aging = Aging::new(10, 3).await;
    aging.fill("a", 5);
    let before = aging.sync().await.through.unwrap();
    let mut written = Vec::new();
    for n in 0..40 {
        aging.pass_days(1);
        written.push(aging.insert("a", 100 + n));
    }
    let report = aging.sync().await;
    let [gap] = &report.gaps[..] else { panic!("{report:?}") };
    let to = gap.to;
    assert_eq!(gap.from, before);
    // A dozen questions leave a few minutes of forty days.
    let oldest = aging.now() - 14 * DAY;
    assert!((oldest - 1_000_000_000..oldest + 600_000_000_000).contains(&to.0), "{}", to.0 - oldest);
    let held = aging.world.held().await;
    assert_eq!(held.deltas.len(), written.iter().filter(|ts| **ts > to).count());
    // Before the gap, and from the new base on.
    let [first, second] = aging.spans("a").await[..] else { panic!("two spans") };
    assert_eq!((first.to, second.to), (before, report.through.unwrap()));
    assert!(second.from > to);
    let table = TableRef::new("", "a").unwrap();
    assert!(matches!(held.head.coverage().covers(&table, to), Covers::NotCovered(spans) if spans.len() == 2));
    // It was told once.
    assert!(aging.sync().await.gaps.is_empty());
    assert_eq!(aging.world.held().await.head.coverage().gaps.len(), 1);
}

#[tokio::test]
async fn a_stop_while_a_gap_is_measured_ends_the_run_and_leaves_the_archive_as_it_was() {
    let aging = Aging::new(10, 3).await;
    aging.insert("a", 1);
    let before = aging.sync().await;
    aging.pass_days(20);
    // The cursor is refused, the newest moment and some others are asked for, and then nobody answers any more.
    let source = Arc::new(Ending::after(4, true, aging.world.client()));
    let stop = Stop::default().within(Duration::from_secs(3));
    let options = SyncOptions::default().stop(stop);
    let archive = aging.world.archive().await;
    let asked = Arc::clone(&source);
    let report = sync(source, &archive, &options, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!(asked.pages.load(Ordering::Relaxed), 0, "the stop came too early to be one while the gap is measured");
    assert!(!report.caught_up && report.gaps.is_empty());
    assert_eq!(report.version, before.version);
    assert_eq!(aging.sync().await.gaps.len(), 1);
}

#[tokio::test]
async fn a_document_that_was_deleted_in_a_gap_is_gone_in_its_history_and_one_that_was_not_is_there() {
    let aging = Aging::new(10, 3).await;
    let a = TableRef::new("", "a").unwrap();
    aging.fill("a", 2);
    aging.sync().await;
    let ids: Vec<_> = aging.world.deployment.revisions().iter().map(|(_, r)| r.id.clone()).collect();
    aging.world.deployment.transaction(|tx| tx.delete(&a, &ids[0])).unwrap();
    for n in 0..40 {
        aging.pass_days(1);
        aging.insert("b", n);
    }
    assert_eq!(aging.sync().await.gaps.len(), 1);
    let archive = aging.world.archive().await;
    let head = archive.head().await.unwrap();
    let s = head.coverage().bases.last().unwrap().ts;
    for (id, gone) in ids.iter().zip([Some(s), None]) {
        let mut history = History::open(&archive, &head, &a, id, MemoryBudget::default()).await.unwrap();
        let written = history.next().await.unwrap().unwrap();
        assert!(written.document.is_some() && history.next().await.unwrap().is_none());
        assert_eq!(history.gone_between(written.ts, None), gone);
        assert_eq!(history.gone_between(written.ts, Some(s)), None);
        assert_eq!(history.missing().len(), 1);
    }
}

#[tokio::test]
async fn a_gap_that_may_not_be_healed_is_an_error_and_leaves_the_archive_as_it_was() {
    let aging = Aging::new(10, 3).await;
    aging.insert("a", 1);
    let before = aging.sync().await;
    aging.pass_days(20);
    let options = SyncOptions::default().on_gap(OnGap::Fail);
    let error = aging.world.sync_with(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Window);
    assert_eq!(aging.world.held().await.head.version(), before.version);
}

#[tokio::test]
async fn a_snapshot_and_changes_that_both_grew_too_old_leave_the_finished_tables_a_gap_and_a_new_base() {
    let aging = Aging::new(3, 5).await;
    for name in ["a", "b"] {
        aging.fill(name, 5);
    }
    aging.sync_cut_off(3).await;
    aging.pass_days(30);
    aging.insert("b", 9);
    let report = aging.sync().await;
    assert_eq!(report.gaps.len(), 1);
    let head = aging.world.held().await.head;
    let bases = &head.coverage().bases;
    assert_eq!(bases.len(), 2);
    assert_eq!(report.gaps[0].from, bases[0].ts, "the first walk's S is where the changes begin");
    let last = report.through.unwrap();
    for name in ["a", "b"] {
        assert_eq!(aging.spans(name).await.last().unwrap().to, last);
    }
}

#[tokio::test]
async fn a_deployment_that_moved_while_nobody_looked_is_named_by_the_commit_of_the_gap() {
    let aging = Aging::new(10, 3).await;
    aging.insert("a", 1);
    aging.sync().await;
    aging.pass_days(20);
    let moved = Server::start(Arc::clone(&aging.world.deployment) as _, aging.options.clone()).await;
    let options = SyncOptions::default().accept_deployment(Some(moved.url.clone()));
    let source = Arc::new(crate::support::client(&moved.url));
    let report = sync(source, &aging.world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap();
    assert_eq!((report.gaps.len(), &report.deployment.origin), (1, &moved.url));
}

#[tokio::test]
async fn a_gap_is_a_finding_until_the_base_behind_it_is_complete() {
    let aging = Aging::new(10, 3).await;
    aging.fill("a", 4);
    aging.sync().await;
    aging.pass_days(20);
    aging.insert("a", 9);
    // Sixteen questions and one page of changes; then the deployment is gone.
    aging.sync_cut_off(17).await;
    let head = aging.world.held().await.head;
    assert_eq!((head.coverage().gaps.len(), head.coverage().bases.len()), (1, 1));
    assert_eq!(aging.sync().await.gaps.len(), 1, "the run that failed could not tell");
    assert!(aging.sync().await.gaps.is_empty());
}
