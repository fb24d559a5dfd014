//! `repair`: what is damaged comes back byte for byte as long as anything tells what it was, and what nobody has is recorded and nothing else
//! lost with it.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use convex_archiver::{
    DataFile, DigestShare, ErrorKind, MemoryBudget, NoMonitor, Selection, TableRef, Timestamp,
    archive::{Archive, Covers},
    compact::{CompactOptions, compact},
    repair::{RepairOptions, RepairReport, RepairSource, repair},
    sync::SyncOptions,
    testing::layout,
    verify::{ProblemKind, VerifyDepth, VerifyOptions, VerifyReport, verify},
};
use futures::FutureExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::support::{
    World,
    faults::FaultyStore,
    harmed::{Objects, document, flipped, flips, harms, objects, store_of, table, world},
    pages,
    states::{covered_state, read_state},
};

type Store = Arc<dyn ObjectStore>;

fn deep() -> RepairOptions {
    RepairOptions::default().read_data(true)
}

async fn mend(store: &Store, options: &RepairOptions) -> RepairReport {
    repair(Arc::clone(store), "memory:///archive", options, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap()
}

async fn check(store: &Store) -> VerifyReport {
    let deep = VerifyOptions::default().depth(VerifyDepth::Data).dry_run(true);
    verify(Arc::clone(store), "memory:///archive", &deep, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap()
}

#[track_caller]
fn assert_sound(story: &str, report: &VerifyReport) {
    assert_eq!(report.problems, [], "{story}: {report:#?}");
}

async fn put(store: &Store, path: &str, bytes: Option<Bytes>) {
    let at = Path::from(path);
    match bytes {
        Some(bytes) => drop(store.put(&at, bytes.into()).await.unwrap()),
        None => store.delete(&at).await.unwrap(),
    }
}

/// The newest object whose path has these pieces.
fn last(all: &Objects, has: &[&str]) -> String {
    all.keys().filter(|path| has.iter().all(|part| path.contains(part))).max().unwrap().clone()
}

/// Paths whose bytes differ, but for the manifest, which need not have the same ones.
fn different(these: &Objects, those: &Objects) -> Vec<String> {
    let paths: BTreeSet<&String> = these.keys().chain(those.keys()).collect();
    let differ = paths.into_iter().filter(|path| these.get(*path) != those.get(*path));
    differ.filter(|path| *path != layout::MANIFEST).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_harm_to_every_kind_of_object_is_mended_with_a_copy_and_what_the_log_tells_without_one() {
    let world = world().await;
    let all = objects(&world.store).await;
    let copy = store_of(&all).await;
    let newest = check(&world.store).await.version;
    let other = &all[&layout::commit(3)];
    let places = [
        (ProblemKind::Commit, layout::commit(newest)),
        (ProblemKind::Commit, layout::commit(66)),
        (ProblemKind::Commit, layout::commit(64)),
        (ProblemKind::Commit, layout::commit(1)),
        (ProblemKind::Checkpoint, layout::checkpoint(64)),
        (ProblemKind::Manifest, layout::MANIFEST.to_owned()),
        (ProblemKind::Part, last(&all, &["parts/tables/a/"])),
        (ProblemKind::Schemas, last(&all, &[".schemas."])),
        (ProblemKind::Header, layout::HEADER.to_owned()),
        (ProblemKind::File, last(&all, &["tables/a/", "phase=snapshot"])),
        (ProblemKind::File, last(&all, &["tables/a/", "phase=delta"])),
    ];
    for (place, (kind, path)) in places.into_iter().enumerate() {
        let every = [harms(&all[&path], other), flips(&all[&path])].concat();
        // Of each place some, in turn.
        for (harm, harmed) in (0..3).map(|n| every[(2 * n + place) % every.len()].clone()) {
            let story = format!("{path} {harm}");
            put(&world.store, &path, harmed).await;
            let broken = objects(&world.store).await;

            // Nobody but the log is asked.
            let told_by_log = matches!(kind, ProblemKind::Checkpoint | ProblemKind::Manifest | ProblemKind::Part);
            let plan = mend(&world.store, &deep().plan(true)).await;
            assert!(!plan.is_whole() || told_by_log, "{story}: {plan:#?}");
            assert_eq!(plan.repaired.len(), usize::from(told_by_log), "{story}: {plan:#?}");
            assert!(objects(&world.store).await == broken, "{story}: a plan changes nothing");
            let alone = mend(&world.store, &deep()).await;
            if told_by_log {
                assert!(alone.is_whole(), "{story}: {alone:#?}");
                assert_eq!(alone.repaired[0].from, RepairSource::Log, "{story}");
                assert_sound(&story, &check(&world.store).await);
                assert!(different(&objects(&world.store).await, &all).is_empty(), "{story}");
                put(&world.store, &path, broken.get(&path).cloned()).await;
            } else {
                assert!(!alone.is_whole() && alone.repaired.is_empty() && !alone.loss_recorded, "{story}: {alone:#?}");
                assert!(objects(&world.store).await == broken, "{story}: nothing that nobody knows is written");
            }

            let with_copy = deep().copy(Some(Arc::clone(&copy)));
            let plan = mend(&world.store, &with_copy.clone().plan(true)).await;
            assert_eq!(plan.repaired.len(), 1, "{story}: {plan:#?}");
            assert!(objects(&world.store).await == broken, "{story}: a plan changes nothing");
            let report = mend(&world.store, &with_copy).await;
            assert!(report.is_whole() && report.repaired.len() == 1, "{story}: {report:#?}");
            assert_eq!((&report.repaired[0].object, report.repaired[0].objects), (&path, 1), "{story}");
            assert!(different(&objects(&world.store).await, &all).is_empty(), "{story}");
            assert_sound(&story, &check(&world.store).await);
            put(&world.store, layout::MANIFEST, Some(all[layout::MANIFEST].clone())).await;
        }
    }
    assert!(objects(&copy).await == all, "the copy is only read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_harms_at_once_are_mended_with_a_copy_however_they_fall() {
    let world = world().await;
    let all = objects(&world.store).await;
    let copy = store_of(&all).await;
    // What nobody needs any more is not looked at.
    let mut live: BTreeSet<String> = BTreeSet::new();
    for name in ["a", "b", "gone"] {
        live.extend(live_files(&world, name).await.into_iter().map(|file| file.path));
    }
    let is_needed = |path: &&String| live.contains(*path) || path.starts_with("log/") || !path.contains('/');
    let needed: Vec<&String> = all.keys().filter(is_needed).filter(|path| *path != "sentinel.json").collect();
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut broken = all.clone();
        for _ in 0..rng.random_range(1..30) {
            let path = *needed.choose(&mut rng).unwrap();
            let bytes = &all[path];
            let ways = [harms(bytes, &all[needed[0]]), flips(bytes)].concat();
            match ways.choose(&mut rng).unwrap().1.clone() {
                Some(bytes) => drop(broken.insert(path.clone(), bytes)),
                None => drop(broken.remove(path)),
            }
        }
        let store = store_of(&broken).await;
        let report = mend(&store, &deep().copy(Some(Arc::clone(&copy)))).await;
        let story = format!("seed {seed}");
        let different = different(&objects(&store).await, &all);
        // Without the manifest nothing names the newest commit: only one that follows on a sound one can be known again.
        let is_end_lost = report.version == 0 || different.iter().any(|path| path.starts_with("log/"));
        if is_end_lost {
            assert!(!report.is_whole(), "{story}: {report:#?} {different:?}");
            continue;
        }
        assert!(report.is_whole(), "{story}: {report:#?}");
        assert_sound(&story, &check(&store).await);
        assert!(different.is_empty(), "{story}: {different:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_are_lost_at_the_end_or_in_a_row_come_back_from_the_copy() {
    let world = world().await;
    let all = objects(&world.store).await;
    let copy = store_of(&all).await;
    let newest = check(&world.store).await.version;
    for lost in [newest - 1..=newest, 10..=20, 63..=65, 1..=1] {
        let mut broken = all.clone();
        lost.clone().for_each(|version| drop(broken.remove(&layout::commit(version))));
        let store = store_of(&broken).await;
        let report = mend(&store, &deep().copy(Some(Arc::clone(&copy)))).await;
        assert!(report.is_whole(), "{lost:?}: {report:#?}");
        assert_eq!(report.repaired[0].objects, lost.clone().count() as u64, "{lost:?}: {report:#?}");
        assert!(objects(&store).await == all, "{lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_none_is_refused_and_one_that_is_damaged_itself_is_not_believed() {
    let world = world().await;
    let all = objects(&world.store).await;
    let elsewhere = World::new(pages(10, 10)).await;
    elsewhere.deployment.transaction(|t| t.insert(&table("a"), document(1)).map(drop)).unwrap();
    elsewhere.sync().await;
    let nothing = store_of(&Objects::new()).await;
    for (copy, kind, word) in [
        (&elsewhere.store, ErrorKind::Usage, "another archive"),
        (&nothing, ErrorKind::NotFound, "the copy: there is no archive"),
    ] {
        let options = deep().copy(Some(Arc::clone(copy)));
        let ended = repair(Arc::clone(&world.store), "a", &options, Timestamp::now(), Arc::new(NoMonitor)).await;
        let error = ended.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(word), "{error}");
    }
    for path in [
        layout::commit(5),
        last(&all, &[".schemas."]),
        last(&all, &["tables/b/", "phase=delta"]),
        last(&all, &["tables/b/", "phase=snapshot"]),
    ] {
        let mut broken = all.clone();
        broken.insert(path.clone(), flipped(&all[&path], all[&path].len() / 2));
        let store = store_of(&broken).await;
        broken.insert(path.clone(), flipped(&all[&path], all[&path].len() / 3));
        let report = mend(&store, &deep().copy(Some(store_of(&broken).await))).await;
        assert!(!report.is_whole() && report.repaired.is_empty(), "{path}: {report:#?}");
        assert_eq!(objects(&store).await[&path], flipped(&all[&path], all[&path].len() / 2), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_recorded_when_it_is_accepted_and_whatever_is_covered_then_is_true() {
    let world = world().await;
    let all = objects(&world.store).await;
    for path in [
        last(&all, &["tables/a/", "phase=delta"]),
        last(&all, &["tables/b/", "phase=delta"]),
        last(&all, &["tables/a/", "phase=snapshot"]),
        last(&all, &["tables/b/", "phase=snapshot"]),
    ] {
        let store = store_of(&all).await;
        put(&store, &path, Some(flipped(&all[&path], all[&path].len() / 2))).await;
        let told = mend(&store, &deep()).await;
        let [lost] = &told.lost[..] else { panic!("{path}: {told:#?}") };
        assert!(lost.object == path && !told.loss_recorded && told.left.is_empty(), "{told:#?}");
        assert_eq!(lost.base.is_some(), path.contains("phase=snapshot"));
        let report = mend(&store, &deep().accept_loss(true)).await;
        assert!(report.loss_recorded && report.lost == told.lost, "{report:#?}");
        assert_eq!(report.lacking, std::slice::from_ref(&lost.table), "{path}");
        assert_sound(&path, &check(&store).await);

        // Every moment is as it was, or is refused.
        let archive = Archive::open(Arc::clone(&store), "memory:///archive").await.unwrap();
        let head = archive.head().await.unwrap();
        let whole = world.archive().await.head().await.unwrap();
        let (origin, through) = (head.origin().unwrap(), head.covered_through().unwrap());
        for at in [origin, Timestamp(origin.0 / 2 + through.0 / 2), Timestamp(lost.from.0 - 1), lost.to, through] {
            assert_eq!(read_state(&archive, &head, at).await, covered_state(&world.deployment, &head, at), "{path}");
            for state in whole.tables().filter(|state| state.table != lost.table) {
                let covered = |head: &convex_archiver::archive::Head| {
                    matches!(head.coverage().covers(&state.table, at), Covers::Covered(_))
                };
                assert_eq!(covered(&head), covered(&whole), "{path}: {} is as it was", state.table);
            }
        }
        let again = mend(&store, &deep().accept_loss(true)).await;
        assert!(again.is_whole() && again.repaired.is_empty(), "{again:#?}");
        assert_eq!(again.version, report.version, "nothing is left to do");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_a_new_base_brings_the_newest_state_back() {
    let world = world().await;
    let all = objects(&world.store).await;
    let path = last(&all, &["tables/a/", "phase=delta"]);
    put(&world.store, &path, None).await;
    let report = mend(&world.store, &RepairOptions::default().accept_loss(true)).await;
    assert_eq!(report.lacking, [table("a")]);
    world.sync_with(&SyncOptions::default().rebase(Some(Selection::new(["a"], []).unwrap()))).await.unwrap();
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let through = head.covered_through().unwrap();
    assert!(matches!(head.coverage().covers(&table("a"), through), Covers::Covered(_)));
    assert_eq!(read_state(&archive, &head, through).await, covered_state(&world.deployment, &head, through));
    assert_sound("healed", &check(&world.store).await);
}

/// Joins what there is, few files at a time.
async fn join(world: &World, fan_in: usize) {
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let options = CompactOptions::default().fan_in(fan_in);
    let (head, done) = compact(&archive, &head, &options, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap();
    assert!(done.outputs > 0, "{done:?}");
    archive.write_manifest(&head).await.unwrap();
}

async fn live_files(world: &World, name: &str) -> Vec<DataFile> {
    let archive = world.archive().await;
    let mut live = archive.live_files_of(&archive.head().await.unwrap(), &table(name)).await.unwrap();
    let mut files = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        files.push(file);
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joined_file_is_made_again_of_what_it_had_joined_through_several_tiers() {
    let world = World::new(pages(1_000, 1_000)).await;
    let options = SyncOptions::default().compact(None).content_digest(DigestShare::All);
    world.sync_with(&options).await.unwrap();
    let mut seen = Vec::new();
    for n in 0..12 {
        world.deployment.transaction(|t| t.insert(&table("a"), document(n)).map(drop)).unwrap();
        world.sync_with(&options).await.unwrap();
        if n % 3 == 2 {
            seen.extend(live_files(&world, "a").await);
            join(&world, 3).await;
            seen.extend(live_files(&world, "a").await);
        }
    }
    let now = live_files(&world, "a").await;
    let [twice] = now.iter().filter(|file| file.joined == 2).collect::<Vec<_>>()[..] else { panic!("{now:#?}") };
    let within = |of: &DataFile, joined: u8| -> BTreeSet<String> {
        let inside = |file: &&DataFile| file.joined == joined && of.min_ts <= file.min_ts && file.max_ts <= of.max_ts;
        seen.iter().filter(inside).map(|file| file.path.clone()).collect()
    };
    let inputs: Vec<String> = within(twice, 1).into_iter().collect();
    let of_input = |path: &str| seen.iter().find(|file| file.path == path).unwrap();
    let run = within(of_input(&inputs[0]), 0).pop_first().unwrap();
    assert!(inputs.len() > 1 && within(twice, 0).len() == 9, "{inputs:?}");

    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let through = head.covered_through().unwrap();
    let expected = read_state(&archive, &head, through).await;
    let all = objects(&world.store).await;
    // All inputs are there; one is not, but those are that it had joined; one of these is gone for good.
    for (also, is_lost) in [(vec![], false), (vec![&inputs[1]], false), (vec![&inputs[0], &run], true)] {
        let store = store_of(&all).await;
        put(&store, &twice.path, Some(flipped(&all[&twice.path], all[&twice.path].len() / 2))).await;
        for path in &also {
            put(&store, path, None).await;
        }
        let broken = objects(&store).await;
        let plan = mend(&store, &deep().plan(true)).await;
        assert!(objects(&store).await == broken, "a plan changes nothing");
        let report = mend(&store, &deep()).await;
        assert_eq!((plan.lost.len(), report.lost.len()), (usize::from(is_lost), usize::from(is_lost)), "{also:?}");
        if is_lost {
            continue;
        }
        assert!(report.is_whole() && report.repaired[0].from == RepairSource::JoinedFiles, "{also:?}: {report:#?}");
        assert_eq!(report.version, head.version() + 1);
        assert_sound("joined again", &check(&store).await);
        let mended = Archive::open(store, "memory:///archive").await.unwrap();
        let now = mended.head().await.unwrap();
        assert_eq!(read_state(&mended, &now, through).await, expected, "{also:?}");
        assert_eq!(now.visible().rows, head.visible().rows);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_works_in_little_memory() {
    let world = world().await;
    let all = objects(&world.store).await;
    let path = last(&all, &["tables/a/", "phase=snapshot"]);
    put(&world.store, &path, Some(flipped(&all[&path], 200))).await;
    let options = deep().budget(MemoryBudget::new(64 << 20).unwrap()).copy(Some(store_of(&all).await));
    assert!(mend(&world.store, &options).await.is_whole());
    assert_eq!(objects(&world.store).await[&path], all[&path]);
}

/// An archive of two tables with small files of changes, and some that were joined once.
async fn joined_world() -> World {
    let world = World::new(pages(1_000, 1_000)).await;
    let options = SyncOptions::default().compact(None).content_digest(DigestShare::All);
    world.sync_with(&options).await.unwrap();
    for n in 0..8 {
        write_to_both(&world, n);
        world.sync_with(&options).await.unwrap();
        if n == 5 {
            join(&world, 3).await;
        }
    }
    world
}

fn write_to_both(world: &World, n: u64) {
    for name in ["a", "b"] {
        world.deployment.transaction(|t| t.insert(&table(name), document(n)).map(drop)).unwrap();
    }
}

/// A file of changes of the table `a` that was joined so often, and its bytes. In the store they are damaged from now on.
async fn harm_one(world: &World, joined: u8) -> (DataFile, Bytes) {
    let files = live_files(world, "a").await;
    let file = files.into_iter().find(|file| file.base.is_none() && file.joined == joined).unwrap();
    let bytes = objects(&world.store).await[&file.path].clone();
    put(&world.store, &file.path, Some(flipped(&bytes, bytes.len() / 2))).await;
    (file, bytes)
}

/// What others do while an archive is repaired: a sync commits, and all files that are sound are joined.
async fn others_write(world: &World) {
    write_to_both(world, 100);
    let options = SyncOptions::default().compact(None).content_digest(DigestShare::All);
    assert!(world.sync_with(&options).await.unwrap().caught_up);
    join(world, 2).await;
}

/// Others write before each call of a repair in turn. A file is damaged whose rows lie in those that it had joined as well, or one that nobody else has; or
/// the others bring its bytes back and join it with others, so that it no longer lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_other_writers_a_repair_loses_nothing_and_repairs_only_what_still_lives() {
    let accepting = deep().accept_loss(true);
    let (mut planned_anew, mut dropped) = (0, 0);
    for (joined, comes_back) in [(1, false), (0, false), (0, true), (1, true)] {
        let world = joined_world().await;
        let before = world.archive().await.head().await.unwrap().version();
        harm_one(&world, joined).await;
        let counted = FaultyStore::new(Arc::clone(&world.store), None);
        let alone = mend(&(Arc::new(counted.clone()) as Store), &accepting).await;
        assert!(alone.left.is_empty() && alone.loss_recorded == (joined == 0), "{alone:#?}");
        let calls = counted.calls().len();
        for number in (0..calls).step_by(1 + calls / 12).chain(calls - 9..calls) {
            let world = Arc::new(joined_world().await);
            let (harmed, bytes) = harm_one(&world, joined).await;
            let work = {
                let (world, path) = (Arc::clone(&world), harmed.path.clone());
                async move {
                    if comes_back {
                        put(&world.store, &path, Some(bytes)).await;
                    }
                    others_write(&world).await;
                }
            };
            let busy = FaultyStore::with_meanwhile(Arc::clone(&world.store), None, number, work.boxed());
            let report = mend(&(Arc::new(busy.clone()) as Store), &accepting).await;
            busy.meanwhile(usize::MAX).await;
            let story = format!("{joined} {comes_back}, {number} of {calls}: {report:#?}");
            // What others found damaged they left as it was, so nothing is left to do but what they hid from the repair.
            let again = mend(&world.store, &accepting).await;
            assert!(again.left.is_empty(), "{story}: {again:#?}");
            assert_sound(&story, &check(&world.store).await);

            let archive = world.archive().await;
            let head = archive.head().await.unwrap();
            let through = head.covered_through().unwrap();
            let lacks = |table: &TableRef, at| matches!(head.coverage().covers(table, at), Covers::NotCovered(_));
            let is_lost = lacks(&table("a"), harmed.max_ts);
            // A file whose rows nobody else has is lost, unless it came back before that was recorded.
            assert!(is_lost <= (joined == 0) && (comes_back || is_lost == (joined == 0)), "{story}: {again:#?}");
            assert!(live_files(&world, "a").await.iter().all(|file| file.path != harmed.path), "{story}");
            for at in [head.origin().unwrap(), Timestamp(harmed.min_ts.0 - 1), harmed.max_ts, through] {
                let shown = read_state(&archive, &head, at).await;
                assert_eq!(shown, covered_state(&world.deployment, &head, at), "{story}");
                // Behind a loss a sync may have taken a new base.
                assert!(!lacks(&table("a"), at) || (is_lost && at >= harmed.min_ts), "{at}: {story}");
                assert!(!lacks(&table("b"), at), "{at}: {story}");
            }
            planned_anew += u64::from(report.version > before + 1 && !comes_back);
            dropped += u64::from(!report.lost.is_empty() && !is_lost);
        }
    }
    // Both ways to lose the race happen: what others committed stays, and what no longer lives is left alone.
    assert!(planned_anew > 0 && dropped > 0, "{planned_anew} {dropped}");
}
