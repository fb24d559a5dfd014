//! Histories, told against stores that forget, fail and race.

use std::{collections::BTreeMap, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};

use super::{
    testing::{advance, all_files, cursor, delta, deployment, draft, expected_files, next_draft, removed},
    *,
};
use crate::{
    data::DataFile,
    error::ErrorKind,
    layout,
    position::{Progress, Scope},
    store::faults::{Fault, FaultyStore},
};

const NOW: Timestamp = Timestamp(1_795_434_575_000_000_000);

async fn new_archive(store: Arc<dyn ObjectStore>) -> Archive {
    Archive::create(store, "memory", deployment(), NOW).await.unwrap()
}

async fn open(store: &Arc<dyn ObjectStore>) -> Archive {
    Archive::open(store.clone(), "memory").await.unwrap()
}

async fn delete(store: &dyn ObjectStore, path: &str) {
    store.delete(&Path::from(path)).await.unwrap();
}

async fn exists(store: &dyn ObjectStore, path: &str) -> bool {
    store.head(&Path::from(path)).await.is_ok()
}

#[tokio::test]
async fn two_hundred_commits_are_opened_from_whatever_is_left_beside_them() {
    let memory = InMemory::new();
    let store: Arc<dyn ObjectStore> = Arc::new(memory.fork());
    let archive = new_archive(store.clone()).await;
    let mut run = Run::begin();
    let mut head = archive.head().await.unwrap();
    let mut hints = BTreeMap::new();
    let mut heads = BTreeMap::from([(0, head.clone())]);
    while head.version() < 200 {
        head = advance(&archive, head.clone(), &mut run, head.version() + 1).await.unwrap();
        heads.insert(head.version(), head.clone());
        if [1, 63, 64, 100, 191, 192, 200].contains(&head.version()) {
            archive.write_manifest(&head).await.unwrap();
            let bytes = crate::store::get(&store, layout::MANIFEST).await.unwrap().unwrap();
            hints.insert(Some(head.version()), Some(bytes));
        }
    }
    hints.insert(Some(900), Some("{\"format\":0,\"version\":900,".into()));
    hints.insert(Some(901), Some("\0garbage".into()));
    hints.insert(None, None);
    let files = expected_files(200);
    for missing in [&[][..], &[64], &[128], &[192], &[128, 192], &[64, 128, 192]] {
        for version in missing {
            delete(&store, &layout::checkpoint(*version)).await;
        }
        for hint in hints.values() {
            match hint {
                Some(bytes) => {
                    store.put(&Path::from(layout::MANIFEST), bytes.clone().into()).await.unwrap();
                }
                None => delete(&store, layout::MANIFEST).await,
            }
            let archive = open(&store).await;
            assert_eq!(archive.head().await.unwrap(), head);
        }
        let archive = open(&store).await;
        assert_eq!(all_files(&archive, &head).await.unwrap(), files);
        for version in [0, 1, 2, 63, 64, 65, 130, 192, 200] {
            assert_eq!(archive.head_at(version).await.unwrap(), heads[&version]);
            assert_eq!(all_files(&archive, &heads[&version]).await.unwrap(), expected_files(version));
        }
        for version in missing {
            archive.write_checkpoint_at(*version).await.unwrap();
        }
    }
    assert_eq!(open(&store).await.head_at(201).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_writer_that_finds_a_checkpoint_missing_writes_it() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let archive = new_archive(store.clone()).await;
    let head = archive.head().await.unwrap();
    advance(&archive, head, &mut Run::begin(), 70).await.unwrap();
    let path = layout::checkpoint(64);
    let before = crate::store::get(&store, &path).await.unwrap().unwrap();
    delete(&store, &path).await;
    let archive = open(&store).await;
    let head = archive.head().await.unwrap();
    assert!(!exists(&store, &path).await, "reading writes nothing");
    advance(&archive, head, &mut Run::begin(), 71).await.unwrap();
    assert_eq!(crate::store::get(&store, &path).await.unwrap().unwrap(), before);
}

#[tokio::test]
async fn a_damaged_object_of_the_log_is_corrupt_and_named() {
    let memory = InMemory::new();
    let store: Arc<dyn ObjectStore> = Arc::new(memory);
    let archive = new_archive(store.clone()).await;
    let head = archive.head().await.unwrap();
    let head = advance(&archive, head, &mut Run::begin(), 70).await.unwrap();
    for path in [layout::checkpoint(64), layout::commit(66), layout::commit(70)] {
        let at = Path::from(path.as_str());
        let good = store.get(&at).await.unwrap().bytes().await.unwrap();
        let mut flipped = good.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        for bad in [good.slice(..middle), flipped.into(), good.slice(..good.len() - 4), "".into(), "{}\n".into()] {
            store.put(&at, bad.into()).await.unwrap();
            let archive = open(&store).await;
            let found = async {
                let head = archive.head().await?;
                all_files(&archive, &head).await
            };
            match found.await {
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Corrupt, "{path}");
                    assert!(e.to_string().contains("log/"), "{e}");
                }
                // A checkpoint only repeats what commits say: they are read instead.
                Ok(files) if path == layout::checkpoint(64) => assert_eq!(files, expected_files(70)),
                // Nothing after the newest commit vouches for it: a byte flipped inside a text is found by nobody yet.
                Ok(_) => assert_eq!(path, layout::commit(70)),
            }
        }
        store.put(&at, good.into()).await.unwrap();
    }
    delete(&store, &layout::commit(66)).await;
    assert_eq!(open(&store).await.head().await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.put(&Path::from(layout::commit(66)), "x".into()).await.unwrap();
    assert_eq!(all_files(&archive, &head).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// One process: opens or creates, goes on to `until`, writes `manifest.json`.
async fn process(store: Arc<dyn ObjectStore>, until: u64) -> Result<()> {
    let archive = Archive::open_or_create(store, "memory", deployment(), NOW).await?;
    let head = archive.head().await?;
    let head = advance(&archive, head, &mut Run::begin(), until).await?;
    archive.write_manifest(&head).await.map(drop)
}

async fn survives_every_fault(prepared: &InMemory, until: u64) {
    let counted = Arc::new(FaultyStore::new(Arc::new(prepared.fork()), None));
    process(counted.clone(), until).await.unwrap();
    let expected = expected_files(until);
    let mut failed = 0;
    for n in 0..counted.calls().len() {
        for fault in [Fault::fails(n), Fault::loses_the_answer(n)] {
            let store: Arc<dyn ObjectStore> = Arc::new(prepared.fork());
            let first = process(Arc::new(FaultyStore::new(store.clone(), Some(fault))), until).await;
            failed += usize::from(first.is_err());
            process(store.clone(), until).await.unwrap();
            let archive = open(&store).await;
            let head = archive.head().await.unwrap();
            assert_eq!(head.version(), until, "{fault:?}");
            assert_eq!(all_files(&archive, &head).await.unwrap(), expected, "{fault:?}");
            assert!(!exists(&store, &layout::commit(until + 1)).await);
        }
    }
    assert!(failed > counted.calls().len() / 2, "the faults were felt");
}

#[tokio::test]
async fn a_new_archive_survives_a_fault_at_every_call() {
    survives_every_fault(&InMemory::new(), 4).await;
}

#[tokio::test]
async fn commits_around_a_checkpoint_survive_a_fault_at_every_call() {
    let prepared = InMemory::new();
    process(Arc::new(prepared.clone()), 60).await.unwrap();
    survives_every_fault(&prepared, 66).await;
}

#[tokio::test]
async fn an_archive_whose_creator_died_before_trying_the_store_gets_no_commit_on_one_that_overwrites() {
    let store = InMemory::new();
    new_archive(Arc::new(store.clone())).await;
    let archive = open(&(Arc::new(FaultyStore::that_overwrites(Arc::new(store))) as Arc<dyn ObjectStore>)).await;
    let head = archive.head().await.unwrap();
    let error = archive.commit(&head, &mut Run::begin(), next_draft(&head)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(!exists(archive.store(), &layout::commit(1)).await);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_committed() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    new_archive(memory.clone()).await;
    let mut lost = 0;
    for n in 0..8 {
        let archive = open(&memory).await;
        let head = archive.head().await.unwrap();
        let faulty = Arc::new(FaultyStore::new(Arc::clone(&memory), Some(Fault::loses_the_answer(n))));
        let Ok(archive) = Archive::open(Arc::clone(&faulty) as Arc<dyn ObjectStore>, "memory").await else { continue };
        let outcome = archive.commit(&head, &mut Run::begin(), next_draft(&head)).await;
        let found = open(&memory).await.head().await.unwrap();
        match outcome {
            Ok(CommitOutcome::Committed(next)) => assert_eq!(found, *next),
            // Another call, without whose answer nothing is committed.
            outcome => {
                assert!(outcome.is_err());
                assert_eq!(found, head);
            }
        }
        // The answer to the put of the commit itself.
        if faulty.calls().get(n).is_some_and(|call| *call == format!("put {}", layout::commit(head.version() + 1))) {
            assert_eq!(found.version(), head.version() + 1);
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
}

/// `writers` processes that each want to commit five times, and go on from whatever they find.
async fn race(store: Arc<dyn ObjectStore>, writers: u64) {
    new_archive(store.clone()).await;
    let work = (0..writers).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let archive = open(&store).await;
            let (mut run, mut won) = (Run::begin(), Vec::new());
            while won.len() < 5 {
                let head = archive.head().await.unwrap();
                match archive.commit(&head, &mut run, next_draft(&head)).await.unwrap() {
                    CommitOutcome::Committed(head) => won.push((head.version(), run.clone())),
                    CommitOutcome::Conflict { version } => assert!(version > head.version()),
                    CommitOutcome::Stale(_) => panic!("these are data"),
                }
            }
            won
        })
    });
    let won: Vec<_> = futures::future::try_join_all(work).await.unwrap().into_iter().flatten().collect();
    let claimed: BTreeMap<_, _> = won.iter().cloned().collect();
    assert_eq!(claimed.len(), won.len(), "no version was won twice");
    assert_eq!(claimed.keys().copied().collect::<Vec<_>>(), (1..=writers * 5).collect::<Vec<_>>());
    let archive = open(&store).await;
    for (version, run) in claimed {
        assert_eq!(archive.log.read(version).await.unwrap().unwrap().commit.run, run);
    }
    let head = archive.head().await.unwrap();
    assert_eq!(all_files(&archive, &head).await.unwrap(), expected_files(writers * 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_and_ten_racing_writers_make_one_line_of_history() {
    for writers in [2, 10] {
        race(Arc::new(InMemory::new()), writers).await;
        let dir = tempfile::tempdir().unwrap();
        race(Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap().with_fsync(true)), writers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_ten_creators_one_makes_the_archive_and_all_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    let work = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { Archive::open_or_create(store, "x", deployment(), NOW).await.unwrap() })
    });
    let archives = futures::future::try_join_all(work).await.unwrap();
    assert!(archives.iter().all(|a| a.header() == archives[0].header()));
}

#[tokio::test]
async fn maintenance_that_came_first_does_not_cost_the_data() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let archive = new_archive(store.clone()).await;
    let head = archive.head().await.unwrap();
    let head = advance(&archive, head, &mut Run::begin(), 9).await.unwrap();
    // The other one compacts the files of versions 5 and 7 and leaves the progress alone.
    let Draft { add, remove, replaced, .. } = next_draft(&head);
    let compaction = Draft { add, remove, replaced, ..head.maintenance(NOW).unwrap() };
    let outcome = archive.commit(&head, &mut Run::begin(), compaction).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(h) if h.version() == 10));
    let at = head.progress().delta.as_ref().unwrap().ts.0;
    let progress = Progress { delta: Some(cursor(at + 5)), walk: None };
    let data = Draft { add: vec![delta("b", 77, at + 1, at + 5)], ..draft(progress) };
    match archive.commit(&head, &mut Run::begin(), data.clone()).await.unwrap() {
        CommitOutcome::Committed(next) => {
            assert_eq!(next.version(), 11);
            let files = all_files(&archive, &next).await.unwrap();
            assert!(files.contains(&DataFile { brought_by: Some(11), ..data.add[0].clone() }));
            assert_eq!(files.iter().map(|f| f.rows).sum::<u64>(), next.live().rows);
        }
        other => panic!("it was maintenance only: {other:?}"),
    }
    // The same once more, from the same old head: by now the progress has moved.
    let outcome = archive.commit(&head, &mut Run::begin(), data).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Conflict { version: 10 }));
}

#[tokio::test]
async fn a_commit_that_removes_what_is_not_live_is_refused_before_it_is_written() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let archive = new_archive(store.clone()).await;
    let head = archive.head().await.unwrap();
    let head = advance(&archive, head, &mut Run::begin(), 9).await.unwrap();
    let file = removed(&DataFile { bytes: 100, ..delta("a", 500, 1010, 1010) }, 3);
    let gap = Gap { scope: Scope::All, from: Timestamp(1009), to: Timestamp(1010), why: "lost".into() };
    let draft = Draft { remove: vec![file], gaps: vec![gap], ..head.maintenance(NOW).unwrap() };
    let error = archive.commit(&head, &mut Run::begin(), draft).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!exists(&store, &layout::commit(10)).await);
}

#[tokio::test]
async fn the_manifest_shows_one_version_and_its_parts_hold_the_live_files() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let archive = new_archive(store.clone()).await;
    let read = || async {
        let bytes = crate::store::get(&store, layout::MANIFEST).await.unwrap().unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    let mut head = archive.head().await.unwrap();
    archive.write_manifest(&head).await.unwrap();
    assert_eq!((&read().await["version"], &read().await["tables"]), (&0.into(), &serde_json::json!([])));
    let mut run = Run::begin();
    for version in [1, 2, 4, 12] {
        head = advance(&archive, head, &mut run, version).await.unwrap();
        head = archive.write_manifest(&head).await.unwrap();
        let manifest = read().await;
        assert_eq!(manifest["version"], version);
        assert_eq!(manifest["cursor"]["ts"], head.progress().delta.as_ref().unwrap().ts.0.to_string());
        let mut listed = Vec::new();
        for table in manifest["tables"].as_array().unwrap() {
            let table = &table["table"];
            for (month, of_month) in table["months"].as_object().unwrap() {
                let named: Month = serde_json::from_value(of_month.clone()).unwrap();
                let folder = table["folder"].as_str().unwrap().to_owned();
                let of = head.tables().find(|state| state.folder == folder).unwrap().table.clone();
                let part = parts::Part { key: (of, month.clone()), folder, month: named };
                listed.extend(parts::read(&store, &part).await.unwrap());
            }
        }
        assert_eq!(listed, expected_files(version), "version {version}");
        let visible = listed.iter().filter(|file| head.shows(file));
        assert_eq!(visible.map(|f| f.rows).sum::<u64>(), manifest["rows"].as_u64().unwrap());
    }
    archive.write_manifest(&archive.head_at(3).await.unwrap()).await.unwrap();
    assert_eq!(read().await["version"], 12, "an older version does not replace a newer one");
}

#[tokio::test]
async fn there_is_no_archive_where_none_was_created_and_only_one_where_one_was() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    assert_eq!(Archive::open(store.clone(), "s3://a/b").await.unwrap_err().kind(), ErrorKind::NotFound);
    let refused = Archive::create(store.clone(), "s3://a/k=v", deployment(), NOW).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    new_archive(store.clone()).await;
    assert_eq!(
        Archive::create(store.clone(), "s3://a/b", deployment(), NOW).await.unwrap_err().kind(),
        ErrorKind::Usage
    );
    assert_eq!(open(&store).await.head().await.unwrap().version(), 0);
}

#[tokio::test]
async fn a_log_that_adds_a_live_file_or_removes_one_that_is_not_is_corrupt_with_and_without_a_checkpoint() {
    for version in [9, 63, 64, 71] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let archive = new_archive(store.clone()).await;
        let head = archive.head().await.unwrap();
        let head = advance(&archive, head, &mut Run::begin(), version).await.unwrap();
        let live = expected_files(version);
        let real = live.iter().find(|f| f.base.is_none()).unwrap();
        let at = head.progress().delta.as_ref().unwrap().ts.0;
        let progress = Progress { delta: Some(cursor(at + 5)), walk: None };
        let (min_ts, max_ts) = (Timestamp(at + 1), Timestamp(at + 5));
        let again = DataFile { min_ts, max_ts, ..real.clone() };
        let unknown = RemovedFile { path: "tables/a/x".into(), ..RemovedFile::of(real).unwrap() };
        let altered = RemovedFile { bytes: real.bytes - 1, ..RemovedFile::of(real).unwrap() };
        let from = Timestamp(real.min_ts.0 - 1);
        let gap = Gap { scope: Scope::All, from, to: real.max_ts, why: "lost".into() };
        let lost = |file| Draft { remove: vec![file], gaps: vec![gap.clone()], ..draft(progress.clone()) };
        for (harm, says) in [
            (Draft { add: vec![again], ..draft(progress.clone()) }, "already live"),
            (lost(unknown), "not live"),
            (lost(altered), "not live"),
        ] {
            let (commit, _) = head.follow(harm, Run { id: "5f3a9c01".into(), counter: 1 }, None).unwrap();
            let path = layout::commit(version + 1);
            store.put(&Path::from(path.as_str()), commit.to_bytes().unwrap().into()).await.unwrap();
            let harmed = archive.head().await.unwrap();
            let error = all_files(&archive, &harmed).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&path) && error.to_string().contains(says), "{error}");
        }
    }
}
