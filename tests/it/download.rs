//! The limit of the download: a run ends at a commit, later runs go on, and what does not fit into one run is compared in another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    NoMonitor, Selection, Timestamp, Value,
    audit::{AuditOptions, AuditResult, audit, plan_audit},
    sync::{Stop, SyncOptions},
};

use crate::support::{
    World, assert_same_state,
    clock::{BEGINNING, DAY, named},
    deployment_state, pages,
};

/// Bytes of an answer for ids, about, a document.
const ID: u64 = 110;

/// A deployment without Data Sync, and its clock.
async fn world() -> (World, Arc<AtomicI64>) {
    World::clocked(BEGINNING, 7, pages(300, 100).data_sync_cursor(false)).await
}

fn insert(world: &World, table: &str, count: i64) {
    for n in 0..count {
        let fields = BTreeMap::from([("n".to_owned(), Value::Int64(n))]);
        world.deployment.transaction(|tx| tx.insert(&named(table), fields)).unwrap();
    }
}

fn limited(bytes: u64) -> SyncOptions {
    SyncOptions::default().stop(Stop::default().after_download(bytes))
}

async fn assert_true(world: &World) {
    let held = world.held().await;
    let through = held.through();
    assert_same_state(&held.state_at(through), &deployment_state(&world.deployment, through));
}

#[tokio::test]
async fn a_run_ends_at_a_commit_once_it_has_read_enough_and_later_runs_go_on() {
    let (world, _) = world().await;
    insert(&world, "a", 1500);
    insert(&world, "b", 700);
    let mut runs = 0;
    loop {
        let report = world.sync_with(&limited(1)).await.unwrap();
        runs += 1;
        // The page that reaches the limit is archived; one or two that were asked for meanwhile may be.
        assert!((1..=3).contains(&report.pages), "{report:?}");
        if report.caught_up {
            break;
        }
        assert!(report.commits > 0 && runs < 100, "{report:?}");
    }
    assert!(runs > 3, "{runs}");
    assert_true(&world).await;
    // What is large enough changes nothing.
    insert(&world, "a", 300);
    assert!(world.sync_with(&limited(64 << 20)).await.unwrap().caught_up);
    assert_true(&world).await;
}

#[tokio::test]
async fn a_comparison_that_does_not_fit_is_left_to_the_next_run_and_all_are_reached() {
    let (world, clock) = world().await;
    let tables = ["a", "b", "c"];
    tables.iter().for_each(|table| insert(&world, table, 1500));
    assert!(world.sync_with(&SyncOptions::default()).await.unwrap().caught_up);
    let proven = async || {
        let head = world.archive().await.head().await.unwrap();
        let of = |table: &&str| head.table(&named(table)).unwrap().proven.map(|proven| proven.ts);
        tables.iter().map(of).collect::<Vec<_>>()
    };
    clock.fetch_add(2 * DAY, Ordering::SeqCst);
    let begin = Timestamp(clock.load(Ordering::SeqCst));
    // One table fits.
    let mut postponed = Vec::new();
    for _ in 0..3 {
        let report = world.sync_with(&limited(1500 * ID * 3 / 2)).await.unwrap();
        assert!(report.caught_up && report.findings.of("not_compared") == 0, "{report:?}");
        postponed.push(report.postponed.len());
    }
    assert_eq!(postponed, [2, 1, 0]);
    assert!(proven().await.iter().all(|proven| proven.is_some_and(|ts| ts > begin)));
    // None ever fits: that is told.
    clock.fetch_add(2 * DAY, Ordering::SeqCst);
    let report = world.sync_with(&limited(1500 * ID / 2)).await.unwrap();
    assert_eq!((report.postponed.len(), report.findings.of("not_compared")), (3, 3), "{report:?}");
}

#[tokio::test]
async fn an_audit_leaves_out_what_goes_beyond_its_limit_and_later_ones_reach_it() {
    let (world, _) = world().await;
    for (table, count) in [("a", 400), ("b", 400), ("c", 400), ("large", 2500)] {
        insert(&world, table, count);
    }
    let options = SyncOptions::default().audit_every(None);
    assert!(world.sync_with(&options).await.unwrap().caught_up);
    let limit = 1000 * ID;
    let audited = async |limit: Option<u64>| {
        let (source, archive) = (Arc::new(world.client()), world.archive().await);
        let plan = plan_audit(source.as_ref(), &archive, &Selection::default(), false).await.unwrap();
        let options = AuditOptions::default().max_download(limit);
        audit(source, &archive, &plan, &options, Arc::new(NoMonitor), |_| Ok(())).await.unwrap()
    };
    let mut equal = BTreeSet::new();
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let report = audited(Some(limit)).await;
        assert!(report.tables.iter().map(|table| table.bytes).sum::<u64>() <= limit && !report.is_equal());
        assert!(report.tables.is_sorted_by_key(|table| table.table.clone()));
        let now: BTreeSet<_> = report.with(AuditResult::Equal).map(|table| table.table.to_string()).collect();
        let large = report.tables.iter().find(|table| table.table == named("large")).unwrap();
        assert!(large.why.as_ref().unwrap().contains("more than --max-download"), "{large:?}");
        rounds.push(now.len());
        equal.extend(now);
    }
    assert_eq!((rounds, equal.len()), (vec![2, 2], 3));
    assert!(audited(None).await.is_equal());
}
