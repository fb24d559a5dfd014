//! Where changes have outgrown a base the archive makes one of its own, and nothing else changes: not an answer, at no moment, whatever comes meanwhile.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    DigestShare, Encoding, NoMonitor, Phase, Timestamp, Value,
    archive::{Archive, Base, BaseMaker, Covers, Head, WithdrawalReason},
    compact::{CompactOptions, CompactReport, OwnBaseRule, compact, plan_compact},
    sync::SyncOptions,
    verify::{VerifyDepth, VerifyOptions, verify},
};
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{
    World,
    answers::answers,
    assert_same_state,
    clock::{BEGINNING, MINUTE, named},
    deployment_state, pages,
};

const RULE: OwnBaseRule = OwnBaseRule { floor: 20, apart: 0 };

/// A world whose clock somebody moves, with a table that is written again and again, and one that is quiet.
async fn world() -> (World, Arc<AtomicI64>) {
    let (world, clock) = World::clocked(BEGINNING, 7, pages(100, 100)).await;
    for table in ["busy", "quiet"] {
        for n in 0..6 {
            world.deployment.transaction(|tx| tx.insert(&named(table), fields(n)).map(drop)).unwrap();
        }
    }
    world.sync_with(&without_bases()).await.unwrap();
    (world, clock)
}

fn fields(n: i64) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::from([("n".to_owned(), Value::Int64(n)), ("f".to_owned(), Value::Float64(-0.0))]);
    if n % 7 == 3 {
        // Does not fit its column.
        fields.insert("n".to_owned(), Value::String("late".to_owned()));
    }
    if n % 10 == 9 {
        fields.insert(format!("later{}", n / 20), Value::Null);
    }
    fields
}

/// Every document of the table is written again, one is deleted, and two come.
fn write(world: &World, table: &str, run: i64) {
    let table = named(table);
    let live = world.deployment.state_at(Timestamp(i64::MAX)).remove(&table).unwrap_or_default();
    for (n, id) in (0..).zip(live.keys()) {
        world.deployment.transaction(|tx| tx.replace(&table, id, fields(10 * run + n))).unwrap();
    }
    if let Some(id) = live.keys().nth(run as usize % 3) {
        world.deployment.transaction(|tx| tx.delete(&table, id)).unwrap();
    }
    for n in 0..2 - run % 2 {
        world.deployment.transaction(|tx| tx.insert(&table, fields(run + n)).map(drop)).unwrap();
    }
}

fn without_bases() -> SyncOptions {
    SyncOptions::default().compact(None).content_digest(DigestShare::All)
}

/// Runs, and the moment that each has reached.
async fn runs(world: &World, clock: &AtomicI64, count: i64, options: &SyncOptions) -> Vec<Timestamp> {
    let mut moments = Vec::new();
    for run in 0..count {
        clock.fetch_add(5 * MINUTE, Ordering::SeqCst);
        write(world, "busy", run);
        moments.push(world.sync_with(options).await.unwrap().through.unwrap());
    }
    moments
}

fn thorough() -> CompactOptions {
    CompactOptions::default().own_bases(RULE).content_digest(DigestShare::All)
}

async fn compacted(archive: &Archive, head: &Head, options: &CompactOptions) -> (Head, CompactReport) {
    compact(archive, head, options, Timestamp(BEGINNING + 900 * MINUTE), Arc::new(NoMonitor)).await.unwrap()
}

fn own_bases(head: &Head) -> Vec<&Base> {
    head.coverage().bases.iter().filter(|base| base.made == BaseMaker::Archive).collect()
}

/// Nothing is wrong with what lies there.
async fn assert_sound(world: &World) {
    let options = VerifyOptions::default().depth(VerifyDepth::Data).dry_run(true);
    let report = verify(Arc::clone(&world.store), "memory:///archive", &options, Timestamp::now(), Arc::new(NoMonitor));
    assert_eq!(report.await.unwrap().problems, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_is_answered_after_at_every_moment() {
    let (world, clock) = world().await;
    let mut moments = vec![world.held().await.head.coverage().bases[0].ts];
    moments.extend(runs(&world, &clock, 5, &without_bases()).await);
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let before = answers(&archive, &head, &moments).await;
    let plan = plan_compact(&archive, &head, &thorough()).await.unwrap();
    let (first, done) = compacted(&archive, &head, &thorough()).await;
    assert_eq!((plan.bases, done.bases, done.bases_later), (1, 1, 0), "{done:?}");
    assert_eq!(plan.base_input_bytes, done.base_input_bytes);
    let documents = world.deployment.state_at(Timestamp(i64::MAX))[&named("busy")].len() as u64;
    assert!(done.base_rows == documents && plan.base_rows >= documents && done.base_bytes > 0, "{plan:?} {done:?}");
    assert_eq!(answers(&archive, &first, &moments).await, before);
    assert_sound(&world).await;

    // Its S is the cursor, and from there on it serves, also what comes later.
    let [own] = own_bases(&first)[..] else { panic!("one base") };
    assert_eq!((own.ts, own.cuts.len()), (*moments.last().unwrap(), 0));
    let serving = |head: &Head, at: Timestamp| match head.coverage().covers(&named("busy"), at) {
        Covers::Covered(base) => base.id.clone(),
        Covers::NotCovered(_) => panic!("it is covered"),
    };
    assert_eq!(serving(&first, own.ts), own.id);
    assert_ne!(serving(&first, moments[2]), own.id);
    let (again, done) = compacted(&archive, &first, &thorough()).await;
    assert_eq!((again.version(), done.bases), (first.version(), 0));

    // The next one makes it needless: its files leave with that commit.
    let later = runs(&world, &clock, 5, &without_bases()).await;
    moments.extend(&later);
    let head = archive.head().await.unwrap();
    let before = answers(&archive, &head, &moments).await;
    let (second, done) = compacted(&archive, &head, &thorough()).await;
    assert_eq!(done.bases, 1);
    assert_eq!(own_bases(&second).len(), 2);
    let [withdrawn] = &second.coverage().withdrawals[..] else { panic!("one base is withdrawn") };
    assert_eq!((&withdrawn.base, withdrawn.why), (&own.id, WithdrawalReason::Superseded));
    let mut live = archive.live_files_of(&second, &named("busy")).await.unwrap();
    let mut of_bases = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        if file.phase == Phase::Snapshot {
            of_bases.push((file.repeats, file.base.unwrap()));
        }
    }
    of_bases.sort();
    let newest = own_bases(&second)[1].id.clone();
    assert_eq!(of_bases, [(false, second.coverage().bases[0].id.clone()), (true, newest)]);
    assert_eq!(answers(&archive, &second, &moments).await, before);
    assert_sound(&world).await;
    world.held().await.assert_equal(&world.deployment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_makes_them_by_itself_and_no_compact_leaves_them_out() {
    let (world, clock) = world().await;
    runs(&world, &clock, 5, &without_bases().own_bases(RULE)).await;
    assert_eq!(own_bases(&world.held().await.head).len(), 0);
    let options = SyncOptions::default().own_bases(RULE).content_digest(DigestShare::All);
    clock.fetch_add(MINUTE, Ordering::SeqCst);
    let report = world.sync_with(&options).await.unwrap();
    assert_eq!((report.compacted.bases, report.compacted.bases_later), (1, 0), "{:?}", report.compacted);
    assert_eq!(report.compacted.version, Some(report.version));
    let head = world.archive().await.head().await.unwrap();
    assert_eq!((own_bases(&head).len(), head.version(), head.digest()), (1, report.version, report.digest.as_str()));
    // By the clock there is at most one a day.
    runs(&world, &clock, 6, &options.clone().own_bases(OwnBaseRule { apart: 24 * 60 * MINUTE, ..RULE })).await;
    assert_eq!(own_bases(&world.held().await.head).len(), 1);
    clock.fetch_add(24 * 60 * MINUTE, Ordering::SeqCst);
    let at_most_daily = options.own_bases(OwnBaseRule { apart: 24 * 60 * MINUTE, ..RULE });
    runs(&world, &clock, 1, &at_most_daily).await;
    let held = world.held().await;
    assert_eq!(own_bases(&held.head).len(), 2);
    held.assert_equal(&world.deployment);
    assert_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_too_large_for_a_run_waits_until_runs_have_paid_for_it() {
    let (world, clock) = world().await;
    runs(&world, &clock, 5, &without_bases()).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let bytes = plan_compact(&archive, &head, &thorough()).await.unwrap().base_input_bytes;
    // Each run saves a tenth of it.
    let options = SyncOptions::default().own_bases(RULE).compact(Some(bytes / 10));
    let (mut waited, mut reports) = (0, Vec::new());
    while reports.last().is_none_or(|report: &CompactReport| report.bases == 0) {
        let report = world.sync_with(&options).await.unwrap().compacted;
        waited += report.bases_later;
        reports.push(report);
        assert!(reports.len() < 20, "{reports:?}");
    }
    assert!((2..8).contains(&waited), "{reports:?}");
    assert_eq!(own_bases(&world.held().await.head).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_meanwhile_is_no_hindrance_and_what_is_said_of_the_table_ends_the_plan() {
    let (world, clock) = world().await;
    let mut moments = runs(&world, &clock, 5, &without_bases()).await;
    let archive = world.archive().await;
    let planned_on = archive.head().await.unwrap();
    // Data: the base is carried over them.
    moments.extend(runs(&world, &clock, 2, &without_bases()).await);
    let before = answers(&archive, &archive.head().await.unwrap(), &moments).await;
    let (head, done) = compacted(&archive, &planned_on, &thorough()).await;
    assert_eq!((done.bases, done.version), (1, Some(head.version())));
    assert_eq!(own_bases(&head)[0].ts, moments[4]);
    assert_eq!(answers(&archive, &head, &moments).await, before);
    // Another one made a base of the table.
    let (again, done) = compacted(&archive, &planned_on, &thorough()).await;
    assert_eq!((again.version(), done.bases, done.bases_later, done.version), (head.version(), 0, 1, None));
    assert_eq!(own_bases(&again).len(), 1);
    // And the table was dropped meanwhile.
    runs(&world, &clock, 5, &without_bases()).await;
    let planned_on = archive.head().await.unwrap();
    world.deployment.drop_table(&named("busy")).unwrap();
    clock.fetch_add(MINUTE, Ordering::SeqCst);
    assert_eq!(world.sync_with(&without_bases()).await.unwrap().healed.len(), 1);
    let (head, done) = compacted(&archive, &planned_on, &thorough()).await;
    assert_eq!((done.bases, done.bases_later), (0, 1));
    let held = world.held().await;
    assert_same_state(&held.state_at(held.through()), &deployment_state(&world.deployment, held.through()));
    // Nothing of it is outgrown any more.
    assert_eq!(compacted(&archive, &head, &thorough()).await.1.bases_later, 0);
    assert_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_several_encodings_make_no_base_until_a_base_of_one_came() {
    let (mut world, clock) = world().await;
    runs(&world, &clock, 3, &without_bases()).await;
    world.serve_as(pages(100, 100).formats(vec![Encoding::ExportJson])).await;
    runs(&world, &clock, 3, &without_bases()).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    for report in
        [plan_compact(&archive, &head, &thorough()).await.unwrap(), compacted(&archive, &head, &thorough()).await.1]
    {
        assert_eq!((report.bases, report.bases_mixed), (0, 1), "{report:?}");
    }
    let rebase = without_bases().rebase(Some("busy".parse().unwrap()));
    clock.fetch_add(MINUTE, Ordering::SeqCst);
    world.sync_with(&rebase).await.unwrap();
    runs(&world, &clock, 4, &without_bases()).await;
    let head = archive.head().await.unwrap();
    let (head, report) = compacted(&archive, &head, &thorough()).await;
    assert_eq!((report.bases, report.bases_mixed), (1, 0), "{report:?}");
    assert_eq!(own_bases(&head).len(), 1);
    world.held().await.assert_equal(&world.deployment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_damaged_file_no_base_is_made_and_that_is_told() {
    let (world, clock) = world().await;
    runs(&world, &clock, 5, &without_bases()).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let mut live = archive.live_files_of(&head, &named("busy")).await.unwrap();
    let path = Path::from(live.next().await.unwrap().unwrap().path);
    let healthy = world.store.get(&path).await.unwrap().bytes().await.unwrap();
    let mut bytes = healthy.to_vec();
    bytes[10] ^= 1;
    world.store.put(&path, bytes.into()).await.unwrap();
    let report = world.sync_with(&SyncOptions::default().own_bases(RULE).fan_in(100)).await.unwrap();
    assert_eq!((report.compacted.bases, report.compacted.bases_damaged), (0, 1), "{:?}", report.compacted);
    assert!(report.findings.of("not_compacted") == 1 && report.has_findings() && report.caught_up);
    world.store.put(&path, healthy.into()).await.unwrap();
    let (_, done) = compacted(&archive, &archive.head().await.unwrap(), &thorough()).await;
    assert_eq!((done.bases, done.bases_damaged), (1, 0));
    assert_sound(&world).await;
}
