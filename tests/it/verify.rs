//! `verify`: every harm to every kind of object is found, nothing of a healthy archive is called damage, and what came over the wire
//! is what a file holds.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, Selection, Timestamp,
    sync::SyncOptions,
    testing::layout,
    verify::{Problem, ProblemKind, Repair, Sample, Suffers, VerifyDepth, VerifyOptions, VerifyReport, verify},
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use crate::support::{
    World,
    harmed::{document, flipped, flips, harms, objects, store_of, table, world},
    pages,
};

async fn check(store: &Arc<dyn ObjectStore>, options: &VerifyOptions) -> VerifyReport {
    verify(Arc::clone(store), "memory:///archive", options, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap()
}

fn deep() -> VerifyOptions {
    VerifyOptions::default().depth(VerifyDepth::Data).dry_run(true)
}

fn shallow() -> VerifyOptions {
    VerifyOptions::default().dry_run(true)
}

#[track_caller]
fn assert_sound(report: &VerifyReport) {
    assert_eq!(report.problems, [], "{report:#?}");
    assert_eq!(report.total.problems, 0);
}

/// The archive with another object, or without it.
async fn with(store: &Arc<dyn ObjectStore>, path: &str, bytes: Option<Bytes>, options: &VerifyOptions) -> VerifyReport {
    let at = Path::from(path);
    let good = store.get(&at).await.unwrap().bytes().await.unwrap();
    match bytes {
        Some(bytes) => drop(store.put(&at, bytes.into()).await.unwrap()),
        None => store.delete(&at).await.unwrap(),
    }
    let report = check(store, options).await;
    store.put(&at, good.into()).await.unwrap();
    report
}

/// The problem is told of this object, and of no other object of its kind.
#[track_caller]
fn assert_told(story: &str, report: &VerifyReport, kind: ProblemKind, path: &str) -> Problem {
    let told: Vec<_> = report.problems.iter().filter(|problem| problem.kind == kind).collect();
    assert!(told.len() == 1 && told[0].object == path, "{story}: {report:#?}");
    assert!(!told[0].repairs.is_empty(), "{story}: {report:#?}");
    told[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_archive_has_no_problem_and_each_level_says_what_it_read() {
    let world = world().await;
    let report = check(&world.store, &deep()).await;
    assert_sound(&report);
    let log = report.log;
    assert_eq!((log.commits, log.unfolded, log.checkpoints), (report.version, 0, 1));
    assert!(log.parts > 2 && log.schemas > 2, "{report:#?}");
    let (objects, data) = (report.objects.clone().unwrap(), report.data.unwrap());
    assert_eq!((objects.files, objects.bytes), (data.files, data.bytes));
    let held = world.held().await;
    assert_eq!(data.rows, (held.bases.len() + held.deltas.len()) as u64);
    assert!(data.compared_rows > 0 && data.unique_tables >= 3, "{report:#?}");

    let shallow = check(&world.store, &shallow()).await;
    assert!(shallow.data.is_none() && shallow.objects == report.objects);
    let log_only = check(&world.store, &deep().depth(VerifyDepth::Log)).await;
    assert!(log_only.objects.is_none() && log_only.log == log);
    let small = check(&world.store, &deep().budget(MemoryBudget::new(64 << 20).unwrap())).await;
    assert_eq!(small.data, report.data);
    let one = check(&world.store, &deep().tables(Selection::new(["a"], []).unwrap())).await;
    assert!(one.objects.unwrap().files < objects.files);
    let unknown = deep().tables(Selection::new(["nobody"], []).unwrap());
    let error =
        verify(Arc::clone(&world.store), "a", &unknown, Timestamp::now(), Arc::new(NoMonitor)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_samples_in_a_row_read_every_file_once() {
    let world = world().await;
    let all = check(&world.store, &deep()).await.data.unwrap();
    let (mut files, mut rows) = (0, 0);
    for seed in 0..10 {
        let report = check(&world.store, &deep().sample(Some(Sample::new(10, seed).unwrap()))).await;
        assert_sound(&report);
        let data = report.data.unwrap();
        assert!(data.files < all.files && data.unique_tables == 0);
        (files, rows) = (files + data.files, rows + data.rows);
    }
    assert_eq!((files, rows), (all.files, all.rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_harm_to_a_commit_below_the_newest_checkpoint_is_found_and_nothing_suffers_from_it() {
    let world = world().await;
    let all = objects(&world.store).await;
    let commit = |version: u64| &all[&layout::commit(version)];
    let log = shallow().depth(VerifyDepth::Log);
    let (mut done, mut n) = (0, 0);
    for version in 1..=63u64 {
        let bytes = commit(version);
        let every = [harms(bytes, commit(version + 1)), flips(bytes)].concat();
        // Of each commit one harm, in turn; of some all of them.
        let some: Vec<_> = if version % 21 == 2 { every } else { vec![every[n % every.len()].clone()] };
        n += 1;
        for (harm, bytes) in some {
            let story = format!("commit {version} {harm}");
            let report = with(&world.store, &layout::commit(version), bytes, &log).await;
            let told = assert_told(&story, &report, ProblemKind::Commit, &layout::commit(version));
            assert_eq!((report.total.problems, told.suffers), (1, Suffers::Nothing), "{story}: {report:#?}");
            assert_eq!(told.repairs, [Repair::Copy]);
            done += 1;
        }
    }
    assert!(done >= 46, "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_harm_to_every_other_kind_of_object_is_found() {
    let world = world().await;
    let all = objects(&world.store).await;
    let newest = check(&world.store, &shallow()).await.version;
    let commit = |version: u64| layout::commit(version);
    let last =
        |has: &[&str]| all.keys().filter(|path| has.iter().all(|part| path.contains(part))).max().unwrap().clone();
    let base = last(&["tables/a/", "phase=snapshot"]);
    let delta = last(&["tables/a/", "phase=delta"]);
    let places = [
        (ProblemKind::Commit, commit(newest), commit(newest - 1)),
        (ProblemKind::Commit, commit(66), commit(65)),
        (ProblemKind::Commit, commit(64), commit(63)),
        (ProblemKind::Checkpoint, layout::checkpoint(64), commit(64)),
        (ProblemKind::Manifest, layout::MANIFEST.to_owned(), layout::HEADER.to_owned()),
        (ProblemKind::Part, last(&["parts/tables/a/"]), commit(3)),
        (ProblemKind::Schemas, last(&[".schemas."]), commit(1)),
        (ProblemKind::Header, layout::HEADER.to_owned(), commit(1)),
        (ProblemKind::File, base.clone(), delta.clone()),
        (ProblemKind::File, delta, base),
    ];
    for (kind, path, other) in places {
        let bytes = &all[&path];
        for (harm, harmed) in [harms(bytes, &all[&other]), flips(bytes)].concat() {
            let story = format!("{path} {harm}");
            let is_flip = harm.starts_with("flipped");
            let options = if kind == ProblemKind::File && is_flip { deep() } else { shallow() };
            let report = with(&world.store, &path, harmed, &options).await;
            let told = assert_told(&story, &report, kind, &path);
            // What is no commit is told alone.
            if !matches!(kind, ProblemKind::Commit | ProblemKind::Header) {
                assert_eq!(report.total.problems, 1, "{story}: {report:#?}");
            }
            let expected = match kind {
                ProblemKind::Checkpoint | ProblemKind::Manifest | ProblemKind::Part => Some(Suffers::Nothing),
                ProblemKind::File | ProblemKind::Schemas => Some(Suffers::State),
                _ => None,
            };
            assert!(expected.is_none_or(|expected| told.suffers == expected), "{story}: {report:#?}");
            if kind == ProblemKind::File {
                assert_eq!(told.table, Some(table("a")), "{story}");
                assert!(told.revisions.is_some() && told.from.is_some(), "{story}");
                assert!(told.repairs.contains(&Repair::Rebase(table("a"))), "{story}");
            }
        }
        // A flipped bit of a data file is seen by nobody who does not read it.
        if kind == ProblemKind::File {
            let flipped = Some(flipped(bytes, bytes.len() / 2));
            assert_sound(&with(&world.store, &path, flipped, &shallow()).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_past_damage_of_every_kind_at_once() {
    let world = world().await;
    let mut all = objects(&world.store).await;
    let delta =
        all.keys().filter(|path| path.contains("tables/b/") && path.contains("phase=delta")).max().unwrap().clone();
    let base = all.keys().find(|path| path.contains("tables/a/") && path.contains("phase=snapshot")).unwrap().clone();
    for path in [layout::commit(10), layout::commit(11), layout::commit(12), delta.clone()] {
        all.remove(&path);
    }
    for path in [layout::commit(30), base.clone(), layout::checkpoint(64)] {
        let bytes = flipped(&all[&path], all[&path].len() / 2);
        all.insert(path, bytes);
    }
    let report = check(&store_of(&all).await, &deep()).await;
    let told: Vec<_> = report.problems.iter().map(|p| (p.kind, p.object.clone(), p.objects)).collect();
    for (kind, path, count) in [
        (ProblemKind::Commit, layout::commit(10), 3),
        (ProblemKind::Commit, layout::commit(30), 1),
        (ProblemKind::Checkpoint, layout::checkpoint(64), 1),
        (ProblemKind::File, delta, 1),
        (ProblemKind::File, base, 1),
    ] {
        assert!(told.contains(&(kind, path.clone(), count)), "{path}: {told:#?}");
    }
    assert_eq!(told.len(), 5, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_was_noted_is_found_in_the_log_or_missed() {
    let world = world().await;
    let before = world.sync().await;
    world.deployment.transaction(|t| t.insert(&table("a"), document(1)).map(drop)).unwrap();
    let after = world.sync().await;
    let expecting = |digest: &str| shallow().expect_head(Some(digest.to_owned()));
    for noted in [&before, &after] {
        let report = check(&world.store, &expecting(&noted.digest)).await;
        assert_sound(&report);
        assert_eq!(report.expected_head, Some(noted.version));
    }
    let rolled_back = {
        let mut all = objects(&world.store).await;
        all.remove(&layout::commit(after.version));
        all.remove(layout::MANIFEST);
        store_of(&all).await
    };
    let report = check(&rolled_back, &expecting(&after.digest)).await;
    assert_told("rolled back", &report, ProblemKind::ExpectedHead, &layout::commit(after.version - 1));
    for wrong in ["", "abc", &after.digest.to_uppercase()] {
        let ended =
            verify(Arc::clone(&world.store), "a", &expecting(wrong), Timestamp::now(), Arc::new(NoMonitor)).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_version_names_is_counted_and_no_damage() {
    let world = world().await;
    let folder = all_folder(&world.store).await;
    for path in [&format!("{folder}/stray.parquet"), "log/notes.txt", "elsewhere/x", "tables/unknown/y"] {
        world.store.put(&Path::from(path), Bytes::from_static(b"12345").into()).await.unwrap();
    }
    for path in ["runs/x.json", "sentinel.json", "_delta_log/0.json", "lease.json", "iceberg/x"] {
        world.store.put(&Path::from(path), Bytes::from_static(b"12345").into()).await.unwrap();
    }
    let before = objects(&world.store).await;
    let report = check(&world.store, &shallow()).await;
    assert_sound(&report);
    let unneeded = report.objects.unwrap().unneeded;
    let replaced = unneeded.objects - 4;
    assert!(unneeded.bytes >= 20 && !unneeded.examples.is_empty(), "{unneeded:?}");
    // Lists and files that later versions replaced.
    let replaceable = before.keys().filter(|path| path.starts_with("parts/") || path.ends_with(".parquet")).count();
    assert!(replaced < replaceable as u64);
    assert_eq!(objects(&world.store).await, before, "a dry run writes nothing");
}

async fn all_folder(store: &Arc<dyn ObjectStore>) -> String {
    let path = objects(store).await.into_keys().find(|path| path.starts_with("tables/a/")).unwrap();
    path.rsplit_once('/').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_new_bases_and_dropped_tables_are_no_damage() {
    let world = World::new(pages(7, 7)).await;
    for name in ["a", "b", "gone"] {
        world
            .deployment
            .transaction(|t| (0..20).try_for_each(|n| t.insert(&table(name), document(n)).map(drop)))
            .unwrap();
    }
    world.sync().await;
    let a = Selection::new(["a"], []).unwrap();
    world.sync_with(&SyncOptions::default().rebase(Some(a.clone()))).await.unwrap();
    assert_sound(&check(&world.store, &deep()).await);
    let options = SyncOptions::default().selection(Selection::new(["**"], ["b"]).unwrap()).accept_selection(true);
    world.sync_with(&options).await.unwrap();
    assert_sound(&check(&world.store, &deep()).await);
    world.sync_with(&SyncOptions::default().accept_selection(true)).await.unwrap();
    world.deployment.transaction(|t| t.insert(&table("b"), document(5)).map(drop)).unwrap();
    world.sync().await;
    assert_sound(&check(&world.store, &deep()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_files_cannot_be_listed_is_told_and_the_others_are_verified() {
    let world = world().await;
    let mut all = objects(&world.store).await;
    let part = all.keys().filter(|path| path.starts_with("parts/tables/a/")).max().unwrap().clone();
    let checkpoint = all.keys().find(|path| path.contains(".checkpoint.")).unwrap().clone();
    let whole = check(&world.store, &deep()).await;
    for path in [&part, &layout::commit(10), &checkpoint] {
        all.remove(path);
    }
    let report = check(&store_of(&all).await, &deep()).await;
    let told: Vec<_> = report.problems.iter().map(|p| (p.kind, p.object.as_str(), p.suffers)).collect();
    let expected = [
        (ProblemKind::Commit, layout::commit(10), Suffers::Nothing),
        (ProblemKind::Checkpoint, checkpoint, Suffers::Nothing),
        (ProblemKind::Part, part, Suffers::Nothing),
        (ProblemKind::List, "tables/a".to_owned(), Suffers::State),
    ];
    let expected: Vec<_> = expected.iter().map(|(kind, path, suffers)| (*kind, path.as_str(), *suffers)).collect();
    assert_eq!(told, expected, "{report:#?}");
    let (files, all_files) = (report.data.unwrap().files, whole.data.unwrap().files);
    assert!(files > 0 && files < all_files, "{files} of {all_files}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moments_ahead_of_the_clock_are_told_once_and_an_archive_without_commits_is_sound() {
    let world = World::new(pages(1_000, 1_000)).await;
    drop(world.archive().await);
    assert_sound(&check(&world.store, &deep()).await);
    world.deployment.transaction(|t| t.insert(&table("a"), document(1)).map(drop)).unwrap();
    world.sync().await;
    let hour = Timestamp(Timestamp::now().0 - 3_600_000_000_000);
    let early = verify(Arc::clone(&world.store), "a", &deep(), hour, Arc::new(NoMonitor)).await.unwrap();
    let told = assert_told("an hour ago", &early, ProblemKind::Clock, &layout::commit(1));
    assert_eq!((early.total.problems, told.suffers), (1, Suffers::Nothing));
    let nobody: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let none = verify(nobody, "a", &deep(), hour, Arc::new(NoMonitor)).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_new_table_whose_documents_have_no_fields_is_sound_beside_one_whose_documents_have_some() {
    let world = World::new(pages(10, 10)).await;
    world.deployment.transaction(|t| t.insert(&table("first"), document(1)).map(drop)).unwrap();
    world.sync().await;
    world.deployment.transaction(|t| t.insert(&table("bare"), BTreeMap::new()).map(drop)).unwrap();
    world.deployment.transaction(|t| t.insert(&table("full"), document(2)).map(drop)).unwrap();
    world.sync().await;
    assert_sound(&check(&world.store, &deep()).await);
}
