//! What is older than what is to be kept leaves, and nothing else: every moment that is kept is answered as before, and every earlier one is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    DigestShare, Encoding, ErrorKind, NoMonitor, TableRef, Timestamp, Value,
    archive::{Archive, BaseMaker, Covers, Head, WithdrawalReason},
    compact::{CompactOptions, OwnBaseRule, compact},
    forget::{ForgetOptions, ForgetReport, HeldUp, forget, plan_forget},
    read::{State, StateOptions},
    sync::SyncOptions,
    vacuum::{VacuumOptions, vacuum},
    verify::{VerifyDepth, VerifyOptions, verify},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{
    States, World,
    answers::answers,
    assert_same_state,
    clock::{DAY, MINUTE, named},
    deployment_state, pages,
    states::read_state,
};

/// Long ago, so that years of a history are over.
const BEGINNING: i64 = 1_695_434_575_000_000_000;
const TABLES: [&str; 3] = ["a", "b", "c"];

fn fields(n: i64) -> BTreeMap<String, Value> {
    [("n".to_owned(), Value::Int64(n))].into()
}

/// A world whose clock somebody moves.
async fn world(seed: u64) -> (World, Arc<AtomicI64>) {
    let (world, clock) = World::clocked(BEGINNING, seed, pages(100, 100)).await;
    for table in TABLES {
        for n in 0..5 {
            world.deployment.transaction(|tx| tx.insert(&named(table), fields(n)).map(drop)).unwrap();
        }
    }
    (world, clock)
}

/// Some documents of the table are written again, one is deleted, and one comes.
fn write(world: &World, table: &str, n: i64) {
    let table = named(table);
    let live = world.deployment.state_at(Timestamp(i64::MAX)).remove(&table).unwrap_or_default();
    for id in live.keys().skip(n as usize % 3).take(2) {
        world.deployment.transaction(|tx| tx.replace(&table, id, fields(n))).unwrap();
    }
    if let Some(id) = live.keys().next_back().filter(|_| n % 2 == 0) {
        world.deployment.transaction(|tx| tx.delete(&table, id)).unwrap();
    }
    world.deployment.transaction(|tx| tx.insert(&table, fields(n)).map(drop)).unwrap();
}

fn plain() -> SyncOptions {
    SyncOptions::default().compact(None).vacuum_after(None).content_digest(DigestShare::All)
}

/// A run a day, and the moment that each has reached.
async fn days(world: &World, clock: &AtomicI64, count: i64, table: &str) -> Vec<Timestamp> {
    let mut moments = Vec::new();
    for day in 0..count {
        clock.fetch_add(DAY, Ordering::SeqCst);
        write(world, table, day);
        moments.push(world.sync_with(&plain()).await.unwrap().through.unwrap());
    }
    moments
}

fn keep(days: u64) -> ForgetOptions {
    ForgetOptions::new(Duration::from_secs(days * 24 * 3600)).content_digest(DigestShare::All)
}

fn now(clock: &AtomicI64) -> Timestamp {
    Timestamp(clock.load(Ordering::SeqCst))
}

async fn forgotten(archive: &Archive, head: &Head, options: &ForgetOptions, now: Timestamp) -> (Head, ForgetReport) {
    forget(archive, head, options, now, Arc::new(NoMonitor)).await.unwrap()
}

async fn assert_sound(world: &World) {
    let options = VerifyOptions::default().depth(VerifyDepth::Data).dry_run(true);
    let report = verify(Arc::clone(&world.store), "memory:///archive", &options, Timestamp::now(), Arc::new(NoMonitor));
    assert_eq!(report.await.unwrap().problems, []);
}

/// Each table at this moment, if it is covered. The archive may lack a table that nobody has written to.
async fn assert_moment(
    world: &World,
    archive: &Archive,
    head: &Head,
    at: Timestamp,
    kept_from: &BTreeMap<TableRef, Timestamp>,
) {
    let (mut shown, mut truth) = (read_state(archive, head, at).await, deployment_state(&world.deployment, at));
    for table in TABLES.map(named) {
        let is_kept = kept_from.get(&table).is_none_or(|from| *from <= at);
        let covers = matches!(head.coverage().covers(&table, at), Covers::Covered(_));
        assert_eq!(covers, is_kept, "{table} at {at}, kept from {:?}", kept_from.get(&table));
        if !is_kept {
            shown.remove(&table);
            truth.remove(&table);
            let refused = State::open(archive, head, &table, at, &StateOptions::default()).await.map(drop);
            let error = refused.unwrap_err();
            assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("was forgotten"), "{error}");
        }
    }
    assert_same_state(&shown, &truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_answered_as_before_and_what_is_older_is_refused_and_its_bytes_are_freed() {
    let (world, clock) = world(7).await;
    let first = world.sync_with(&plain()).await.unwrap().through.unwrap();
    let mut moments = vec![first];
    moments.extend(days(&world, &clock, 30, "a").await);
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let at = now(&clock);
    let options = keep(14);
    let plan = plan_forget(&archive, &head, &options, at).await.unwrap();
    let limit = Timestamp(moments.last().unwrap().0.min(at.0) - 14 * DAY);
    assert_eq!(plan.limit, Some(limit));
    let [told] = &plan.tables[..] else { panic!("one table has something older: {plan:?}") };
    assert_eq!((&told.table, told.held_up, told.new_base, plan.bases), (&named("a"), None, true, 1));
    // The base, and sixteen files of changes: the seventeenth day ends behind the limit.
    assert_eq!((told.files, plan.files, plan.base_bytes, plan.version), (17, 17, 0, None));
    let border = told.kept_from;
    assert!(border <= limit && limit.0 - border.0 <= DAY, "{border} {limit}");
    let kept: Vec<_> = moments.iter().copied().filter(|at| *at >= border).collect();
    assert_eq!(kept.len(), 15);

    // What is answered of the moments that stay, in an archive that has only these.
    let before: Vec<States> = states(&archive, &head, &kept).await;
    let (after, done) = forgotten(&archive, &head, &options, at).await;
    assert_eq!(done.version, Some(after.version()));
    assert_eq!((done.files, done.rows, done.bytes), (plan.files, plan.rows, plan.bytes));
    assert!(done.base_rows <= plan.base_rows && done.base_bytes > 0, "{plan:?} {done:?}");
    assert_eq!(states(&archive, &after, &kept).await, before);
    let kept_from = [(named("a"), border)].into();
    for at in &moments {
        assert_moment(&world, &archive, &after, *at, &kept_from).await;
    }
    let own = after.coverage().bases.last().unwrap();
    assert!(own.made == BaseMaker::Archive && own.ts == border && own.cuts(&named("a")), "{own:?}");
    assert!(
        after.coverage().gaps.iter().all(|gap| gap.is_forgotten() && gap.to == border),
        "{:?}",
        after.coverage().gaps
    );
    assert!(after.coverage().withdrawals.iter().all(|withdrawal| withdrawal.why == WithdrawalReason::Expired));
    assert_sound(&world).await;

    // Done twice there is nothing left to do.
    let (again, nothing) = forgotten(&archive, &after, &options, at).await;
    assert_eq!((again.version(), nothing.tables.len(), nothing.version), (after.version(), 0, None));
    // Nor is what was forgotten a finding of the next run, which goes on as always.
    let report = world.sync_with(&plain()).await.unwrap();
    assert!(report.caught_up && report.gaps.is_empty() && !report.has_findings(), "{report:?}");
    moments.extend(days(&world, &clock, 3, "a").await);
    let head = archive.head().await.unwrap();
    for at in &moments {
        assert_moment(&world, &archive, &head, *at, &kept_from).await;
    }
    // The bytes are freed once they are old enough.
    let objects = || async {
        world.store.list(None).map_ok(|object| object.location.to_string()).try_collect::<BTreeSet<_>>().await.unwrap()
    };
    let stored = objects().await;
    let late = Timestamp(Timestamp::now().0 + 30 * DAY);
    archive.write_manifest(&head).await.unwrap();
    let freed = vacuum(&archive, &head, &VacuumOptions::default(), late).await.unwrap();
    assert!(freed.useless >= done.files, "{freed:?}");
    assert!(objects().await.len() < stored.len());
    assert_eq!(states(&archive, &head, &kept).await, before);
    assert_sound(&world).await;
}

async fn states(archive: &Archive, head: &Head, moments: &[Timestamp]) -> Vec<States> {
    let mut states = Vec::new();
    for at in moments {
        states.push(read_state(archive, head, *at).await);
    }
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_small_commits_in_a_second_go_and_behind_another_writer_it_comes_to_the_same() {
    let (world, clock) = world(8).await;
    world.sync_with(&plain()).await.unwrap();
    let moments = days(&world, &clock, 30, "a").await;
    let archive = world.archive().await;
    let planned_on = archive.head().await.unwrap();
    let at = now(&clock);
    let kept_from: BTreeMap<_, _> = plan_forget(&archive, &planned_on, &keep(14), at)
        .await
        .unwrap()
        .tables
        .into_iter()
        .map(|table| (table.table, table.kept_from))
        .collect();
    // Somebody joins files and brings rows meanwhile.
    clock.fetch_add(DAY / 100, Ordering::SeqCst);
    write(&world, "b", 1);
    world.sync_with(&plain()).await.unwrap();
    let all_due = CompactOptions::default().fan_in(2).own_bases(OwnBaseRule { floor: 5, apart: 0 });
    let joined = compact(&archive, &archive.head().await.unwrap(), &all_due, at, Arc::new(NoMonitor)).await.unwrap().1;
    assert!(joined.inputs > 0 && joined.bases > 0, "{joined:?}");
    let (head, done) = forgotten(&archive, &planned_on, &keep(14).files_at_once(3), at).await;
    for table in &done.tables {
        // A joined file is never cut.
        assert!(table.kept_from <= kept_from[&table.table]);
    }
    let kept_from: BTreeMap<_, _> = done.tables.iter().map(|table| (table.table.clone(), table.kept_from)).collect();
    for at in &moments {
        assert_moment(&world, &archive, &head, *at, &kept_from).await;
    }
    assert_sound(&world).await;
    let (again, nothing) = forgotten(&archive, &head, &keep(14), at).await;
    assert_eq!((again.version(), nothing.tables.len()), (head.version(), 0));
    // In small commits: the new beginning first, then the files, each time true.
    let more = days(&world, &clock, 20, "a").await;
    let head = archive.head().await.unwrap();
    let (after, done) = forgotten(&archive, &head, &keep(14).files_at_once(2), now(&clock)).await;
    assert!(after.version() > head.version() + 2, "{} {}", head.version(), after.version());
    let kept_from: BTreeMap<_, _> = done.tables.iter().map(|table| (table.table.clone(), table.kept_from)).collect();
    for at in moments.iter().chain(&more) {
        assert_moment(&world, &archive, &after, *at, &kept_from).await;
    }
    assert_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_lies_at_the_border_is_the_new_beginning_and_nothing_is_written() {
    let (world, clock) = world(9).await;
    world.sync_with(&plain()).await.unwrap();
    days(&world, &clock, 5, "a").await;
    world.sync_with(&plain().rebase(Some("a".parse().unwrap()))).await.unwrap();
    let archive = world.archive().await;
    let told = archive.head().await.unwrap().coverage().bases.last().unwrap().clone();
    assert_eq!(told.made, BaseMaker::Deployment);
    clock.fetch_add(20 * DAY, Ordering::SeqCst);
    days(&world, &clock, 2, "a").await;
    let head = archive.head().await.unwrap();
    let (after, done) = forgotten(&archive, &head, &keep(14), now(&clock)).await;
    let [table] = &done.tables[..] else { panic!("{done:?}") };
    assert_eq!((table.kept_from, table.new_base, done.bases, done.base_bytes), (told.ts, false, 0, 0));
    assert_eq!(after.coverage().bases.len(), head.coverage().bases.len());
    assert_moment(&world, &archive, &after, Timestamp(told.ts.0 - 1), &[(named("a"), told.ts)].into()).await;
    assert_moment(&world, &archive, &after, told.ts, &[(named("a"), told.ts)].into()).await;
    assert_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_archive_cannot_write_down_is_held_up_or_begins_with_an_older_base() {
    let (mut world, clock) = world(10).await;
    world.sync_with(&plain()).await.unwrap();
    days(&world, &clock, 3, "a").await;
    world.serve_as(pages(100, 100).formats(vec![Encoding::ExportJson])).await;
    days(&world, &clock, 20, "a").await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let (after, done) = forgotten(&archive, &head, &keep(14), now(&clock)).await;
    // The first base could be the beginning, and there is nothing before it.
    let held_up: Vec<_> = done.tables.iter().map(|table| (table.table.clone(), table.held_up)).collect();
    assert_eq!((after.version(), held_up), (head.version(), vec![(named("a"), Some(HeldUp::Mixed))]));
    assert_eq!((done.files, done.bases, done.version), (0, 0, None));
    world.sync_with(&plain().rebase(Some("a".parse().unwrap()))).await.unwrap();
    days(&world, &clock, 16, "a").await;
    let head = archive.head().await.unwrap();
    let (after, done) = forgotten(&archive, &head, &keep(14), now(&clock)).await;
    assert!(done.tables.len() == 1 && done.tables[0].held_up.is_none() && after.version() > head.version(), "{done:?}");
    assert_sound(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_nobody_brings_up_to_date_keeps_what_it_has() {
    let (world, clock) = world(11).await;
    world.sync_with(&plain()).await.unwrap();
    days(&world, &clock, 10, "a").await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let late = Timestamp(now(&clock).0 + 1000 * DAY);
    let (same, done) = forgotten(&archive, &head, &keep(14), late).await;
    assert_eq!((same.version(), done.tables.len()), (head.version(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_the_deployment_itself_keeps_is_refused() {
    let (world, clock) = world(12).await;
    world.sync_with(&plain()).await.unwrap();
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let two_minutes = ForgetOptions::new(Duration::from_secs(120));
    let error = forget(&archive, &head, &two_minutes, now(&clock), Arc::new(NoMonitor)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("at least the 14 days"), "{error}");
    assert_eq!(plan_forget(&archive, &head, &two_minutes, now(&clock)).await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(archive.head().await.unwrap().version(), head.version());
}

/// What is answered where nothing was ever forgotten, of the moments from `from` on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_restores_and_the_log_of_what_is_kept_stay_as_they_were() {
    let (world, clock) = world(13).await;
    world.sync_with(&plain()).await.unwrap();
    let mut moments = Vec::new();
    for day in 0..24 {
        clock.fetch_add(DAY, Ordering::SeqCst);
        TABLES.iter().for_each(|table| write(&world, table, day));
        moments.push(world.sync_with(&plain()).await.unwrap().through.unwrap());
    }
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let options = keep(14);
    let limit = plan_forget(&archive, &head, &options, now(&clock)).await.unwrap().limit.unwrap();
    let kept: Vec<_> = moments.into_iter().filter(|at| *at > limit).collect();
    let lines = |all: Vec<String>| -> Vec<String> {
        // A document's history begins with its first revision that is kept, and what is missing is told.
        all.into_iter()
            .filter(|line| line.starts_with("at ") || line.starts_with("diff") || line.starts_with("restored"))
            .collect()
    };
    let before = lines(answers(&archive, &head, &kept).await);
    let (after, done) = forgotten(&archive, &head, &options, now(&clock)).await;
    assert_eq!((done.tables.len(), done.bases), (3, 3), "{done:?}");
    assert_eq!(lines(answers(&archive, &after, &kept).await), before);
    assert!(!before.is_empty());
}

/// Something that happens in a random history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(usize),
    Drop(usize),
    Pass(i64),
    Sync,
    Rebase(usize),
    Compact(u64),
    Vacuum,
    Forget(u64, usize),
}

fn step(rng: &mut StdRng) -> Step {
    let table = rng.random_range(0..TABLES.len());
    match rng.random_range(0..100) {
        0..28 => Step::Write(table),
        28..31 => Step::Drop(table),
        31..50 => Step::Pass([MINUTE, 3 * DAY, 8 * DAY, 13 * DAY][rng.random_range(0..4)]),
        50..74 => Step::Sync,
        74..78 => Step::Rebase(table),
        78..85 => Step::Compact(rng.random_range(0..8)),
        85..88 => Step::Vacuum,
        _ => Step::Forget([14, 14, 20, 40][rng.random_range(0..4)], [1, 2, 1_000][rng.random_range(0..3)]),
    }
}

struct Story {
    seed: u64,
    steps: Vec<Step>,
}

impl Drop for Story {
    #[allow(clippy::print_stderr, reason = "a failing seed must be known")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} failed at the last of {:?}", self.seed, self.steps);
        }
    }
}

/// Tables that were forgotten, and files that left.
async fn live(seed: u64) -> (usize, u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (world, clock) = world(seed).await;
    let mut story = Story { seed, steps: Vec::new() };
    let archive = world.archive().await;
    let own_bases = OwnBaseRule { floor: 4, apart: 0 };
    let options = SyncOptions::default()
        .fan_in(3)
        .own_bases(own_bases)
        .audit_every(Some(Duration::ZERO))
        .content_digest(DigestShare::All);
    // What was covered and true at the moments of the runs.
    let mut truths: BTreeMap<Timestamp, States> = BTreeMap::new();
    let mut kept_from: BTreeMap<TableRef, Timestamp> = BTreeMap::new();
    let (mut tables, mut files) = (0, 0);
    for n in 0..40 {
        let step = if n == 0 { Step::Sync } else { step(&mut rng) };
        story.steps.push(step);
        let head = archive.head().await.unwrap();
        match step {
            Step::Write(table) => write(&world, TABLES[table], n),
            Step::Drop(table) => drop(world.deployment.drop_table(&named(TABLES[table]))),
            Step::Pass(time) => drop(clock.fetch_add(time, Ordering::SeqCst)),
            Step::Sync | Step::Rebase(_) => {
                let known = |table: &TableRef| head.table(table).is_some();
                let rebase = match step {
                    Step::Rebase(table) if known(&named(TABLES[table])) => Some(TABLES[table].parse().unwrap()),
                    _ => None,
                };
                let report = world.sync_with(&options.clone().rebase(rebase)).await.unwrap();
                assert!(report.caught_up);
                let through = report.through.unwrap();
                truths.insert(through, deployment_state(&world.deployment, through));
            }
            Step::Compact(floor) => {
                let all = CompactOptions::default().fan_in(2).own_bases(OwnBaseRule { floor, apart: 0 });
                let done = compact(&archive, &head, &all, now(&clock), Arc::new(NoMonitor)).await.unwrap().1;
                assert_eq!((done.damaged, done.bases_damaged), (0, 0));
            }
            Step::Vacuum => {
                let late = Timestamp(Timestamp::now().0 + 30 * DAY);
                vacuum(&archive, &head, &VacuumOptions::default(), late).await.unwrap();
            }
            Step::Forget(days, at_once) => {
                let options = keep(days).files_at_once(at_once);
                let plan = plan_forget(&archive, &head, &options, now(&clock)).await.unwrap();
                let (after, done) = forgotten(&archive, &head, &options, now(&clock)).await;
                let begins = |report: &ForgetReport| -> Vec<_> {
                    report.tables.iter().map(|of| (of.table.clone(), of.kept_from, of.files, of.held_up)).collect()
                };
                assert_eq!(begins(&plan), begins(&done));
                for table in done.tables.iter().filter(|table| table.held_up.is_none()) {
                    tables += 1;
                    // Nothing that is newer than the limit was touched.
                    let limit = done.limit.unwrap();
                    for span in head.coverage().spans(&table.table).iter().filter(|span| span.to >= limit) {
                        let now = after.coverage().spans(&table.table);
                        let kept = now.iter().any(|now| now.from <= span.from.max(limit) && span.to <= now.to);
                        assert!(kept, "{} was covered in {span:?}, and now in {now:?}", table.table);
                    }
                    kept_from.insert(table.table.clone(), table.kept_from);
                }
                files += done.files;
                // Where it can, it leaves nothing to do.
                let left = plan_forget(&archive, &after, &options, now(&clock)).await.unwrap();
                assert!(left.tables.iter().all(|table| table.held_up.is_some()), "{left:?}");
                assert_sound(&world).await;
            }
        }
        let head = archive.head().await.unwrap();
        for (at, truth) in &truths {
            let (mut shown, mut truth) = (read_state(&archive, &head, *at).await, truth.clone());
            for table in TABLES.map(named) {
                let covered = matches!(head.coverage().covers(&table, *at), Covers::Covered(_));
                let is_kept = kept_from.get(&table).is_none_or(|from| *from <= *at);
                assert!(is_kept || !covered, "{table} at {at} was forgotten");
                assert!(!is_kept || covered || head.table(&table).is_none(), "{table} at {at} was not to be forgotten");
                if !covered || head.doubted_at(&table, *at).is_some() {
                    shown.remove(&table);
                    truth.remove(&table);
                }
            }
            assert_same_state(&shown, &truth);
        }
    }
    assert_sound(&world).await;
    (tables, files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_random_histories_every_kept_moment_is_what_the_deployment_held_and_no_earlier_one_is_answered() {
    let seeds = std::env::var("CONVEX_ARCHIVER_SEEDS").map_or(0..30, |text| {
        let (from, to) = text.split_once("..").expect("CONVEX_ARCHIVER_SEEDS is FROM..TO");
        from.parse().unwrap()..to.parse().unwrap()
    });
    let count = seeds.end - seeds.start;
    let done: Vec<_> = stream::iter(seeds).map(|seed| Box::pin(live(seed))).buffer_unordered(4).collect().await;
    let tables: usize = done.iter().map(|(tables, _)| tables).sum();
    let files: u64 = done.iter().map(|(_, files)| files).sum();
    assert!(count < 25 || tables as u64 > count, "{tables} tables were forgotten in {count} histories");
    let _ = writeln!(std::io::stdout(), "{tables} tables were forgotten in {count} histories, {files} files left");
}
