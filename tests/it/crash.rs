//! A crash after every single store call: then a rerun, and nothing is lost, twice or damaged.

use std::{collections::BTreeMap, io::Read, sync::Arc, time::Duration};

use convex_archiver::{
    ErrorKind, NoMonitor, Result, TableRef, Timestamp, Value,
    archive::{Archive, Commit, Location, Settings},
    convex::Source,
    server::{OpenTransaction, SimulatedDeployment},
    sync::{SyncOptions, SyncReport, sync},
    testing::layout,
    verify::{VerifyOptions, verify},
};
use flate2::read::GzDecoder;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::support::{
    World,
    faults::{Fault, FaultyStore, How},
    pages,
};

/// A deployment of several tables, one of a component.
async fn world() -> World {
    let deployment = SimulatedDeployment::new("otter-1", 11);
    for (component, name, documents) in [("", "messages", 6), ("", "users", 3), ("waitlist", "users", 2)] {
        let table = TableRef::new(component, name).unwrap();
        deployment.transaction(|t| (0..documents).try_for_each(|n| t.insert(&table, numbered(n)).map(drop))).unwrap();
    }
    World::of(deployment, pages(4, 4)).await
}

pub(crate) fn numbered(n: i64) -> BTreeMap<String, Value> {
    BTreeMap::from([("n".to_owned(), Value::Int64(n)), ("text".to_owned(), Value::String(format!("number {n}")))])
}

fn a_commit_after_every_page() -> SyncOptions {
    SyncOptions::default().commit_every(Duration::ZERO)
}

/// What a process does from its start.
pub(crate) async fn run(world: &World, store: Arc<dyn ObjectStore>, options: &SyncOptions) -> Result<SyncReport> {
    let client = Arc::new(world.client());
    let archive = Archive::open_or_create(store, "memory:///archive", client.identity().await?, Timestamp(1)).await?;
    sync(client, &archive, options, Arc::new(NoMonitor)).await
}

pub(crate) async fn objects(store: &dyn ObjectStore) -> BTreeMap<Path, Vec<u8>> {
    let mut objects = BTreeMap::new();
    for meta in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location, bytes.to_vec());
    }
    objects
}

/// Every commit names files that are there, whole, and the log has no hole.
fn assert_log_is_sound(objects: &BTreeMap<Path, Vec<u8>>, newest: u64) {
    let hex = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let mut previous = hex(&objects[&Path::from(layout::HEADER)]);
    for version in 1..=newest {
        let bytes = &objects[&Path::from(layout::commit(version))];
        let commit: Commit = serde_json::from_slice(bytes).unwrap();
        assert_eq!((commit.version, &commit.previous), (version, &previous));
        for file in &commit.draft.add {
            let stored = objects.get(&Path::from(file.path.as_str()));
            assert_eq!(stored.map(|s| hex(s)), Some(file.sha256.clone()), "{} of commit {version}", file.path);
        }
        previous = hex(bytes);
    }
    assert!(!objects.contains_key(&Path::from(layout::commit(newest + 1))));
}

/// `manifest.json` and every checkpoint name parts that are there.
fn assert_parts_are_there(objects: &BTreeMap<Path, Vec<u8>>, story: &str) {
    for (path, bytes) in objects {
        let text = match layout::parse_log(path.as_ref()) {
            Some(layout::LogObject::Checkpoint(_)) => {
                let mut text = Vec::new();
                GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).unwrap();
                text
            }
            _ if path.as_ref() == layout::MANIFEST => bytes.clone(),
            _ => continue,
        };
        let head: Json = serde_json::from_slice(&text).unwrap();
        for entry in head["tables"].as_array().unwrap() {
            let state = &entry["table"];
            for (month, last) in state["months"].as_object().into_iter().flatten() {
                let part = layout::part(state["folder"].as_str().unwrap(), month, last["version"].as_u64().unwrap());
                assert!(objects.contains_key(&Path::from(part.as_str())), "{path} names {part}: {story}");
            }
        }
    }
}

/// The stores to crash on: each call makes another one with the same objects.
trait Stores {
    fn next(&mut self) -> Arc<dyn ObjectStore>;
}

struct Memory(InMemory);

impl Stores for Memory {
    fn next(&mut self) -> Arc<dyn ObjectStore> {
        Arc::new(self.0.fork())
    }
}

/// Empty folders on a local disk, opened as the program opens them.
struct Disk(Vec<tempfile::TempDir>);

impl Stores for Disk {
    fn next(&mut self) -> Arc<dyn ObjectStore> {
        self.0.push(tempfile::tempdir().unwrap());
        let path = self.0.last().unwrap().path().to_str().unwrap();
        Arc::clone(Location::create(path, &Settings::default()).unwrap().store())
    }
}

/// Runs with every fault of every call for which `wanted` says so, each on a store of its own, and then to the end.
/// Returns the names of the calls of a run without a fault.
async fn crash_everywhere(
    world: &World,
    options: &SyncOptions,
    stores: &mut dyn Stores,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let healthy = FaultyStore::new(stores.next(), None);
    run(world, Arc::new(healthy.clone()), options).await.unwrap();
    let calls = healthy.calls();
    let bases = world.held_in(Arc::new(healthy)).await.head.coverage().bases.len();
    let mut number = 0;
    loop {
        let mut met = false;
        for fault in Fault::all(number) {
            let name = calls.get(number).map(String::as_str);
            let repeated = |name: &str| fault.how == How::IsRepeated && !name.starts_with("put ");
            if name.is_some_and(|name| !wanted(name) || repeated(name)) {
                met = true;
                continue;
            }
            let store = stores.next();
            let before = objects(&store).await;
            let faulty = FaultyStore::new(Arc::clone(&store), Some(fault));
            let failed = run(world, Arc::new(faulty.clone()), options).await.err();
            let name = faulty.calls().get(number).cloned();
            met |= name.is_some();
            let story = format!("{fault:?} at {name:?}, after which the run ended with {failed:?}");
            let is_commit = name.as_deref().and_then(|n| n.strip_prefix("put ")).and_then(layout::parse_log);
            if let Some(layout::LogObject::Commit(_)) = is_commit
                && fault.how != How::Fails
                && !fault.gone
            {
                assert!(failed.is_none(), "what was put is committed, whatever its answer: {story}");
            }
            assert_parts_are_there(&objects(store.as_ref()).await, &story);
            let again = run(world, Arc::clone(&store), options).await;
            let report = again.unwrap_or_else(|error| panic!("the rerun failed with {error:?}: {story}"));
            assert!(report.caught_up, "{story}");
            let after = objects(&store).await;
            assert_log_is_sound(&after, report.version);
            assert_parts_are_there(&after, &story);
            for (path, bytes) in before {
                assert!(
                    [layout::MANIFEST, layout::SENTINEL].contains(&path.as_ref()) || after[&path] == bytes,
                    "{path} has changed: {story}"
                );
            }
            let held = world.held_in(store).await;
            assert_eq!(held.head.coverage().bases.len(), bases, "{story}");
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| held.assert_equal(&world.deployment)))
                .unwrap_or_else(|_| panic!("the archive is not the deployment: {story}"));
        }
        number += 1;
        if !met {
            return calls;
        }
    }
}

fn count(calls: &[String], what: &str) -> usize {
    calls.iter().filter(|name| name.starts_with(what)).count()
}

/// The deployment changes in twenty transactions: inserts, updates, deletes, a field that changes its type.
fn change(world: &World) {
    let table = TableRef::new("waitlist", "users").unwrap();
    let mut ids = Vec::new();
    for n in 0..20 {
        let write = |t: &mut OpenTransaction<'_>| match n % 4 {
            0 | 1 => t.insert(&table, numbered(n)).map(|id| ids.push(id)),
            2 => t.replace(&table, &ids[0], BTreeMap::from([("n".to_owned(), Value::String(n.to_string()))])),
            _ => t.delete(&table, &ids.remove(0)),
        };
        world.deployment.transaction(write).unwrap();
    }
}

#[tokio::test]
async fn a_first_sync_that_crashes_at_any_store_call_is_whole_after_the_rerun() {
    let mut stores = Memory(InMemory::new());
    let calls = crash_everywhere(&world().await, &a_commit_after_every_page(), &mut stores, |_| true).await;
    // Creation, data files, commits, manifest: that the crashes met what they should.
    assert!(count(&calls, "put log/") >= 5 && count(&calls, "put tables/") >= 3, "{calls:?}");
    // The header is put, and tried again at creation and before the first commit.
    assert_eq!((count(&calls, "put manifest.json"), count(&calls, "put archive.json")), (1, 3));
}

#[tokio::test]
async fn a_first_sync_onto_a_disk_that_crashes_at_any_store_call_is_whole_after_the_rerun() {
    crash_everywhere(&world().await, &a_commit_after_every_page(), &mut Disk(Vec::new()), |_| true).await;
}

/// An archive that is about to reach a checkpoint, of a deployment that has changed.
async fn before_a_checkpoint(world: &World, options: &SyncOptions) -> InMemory {
    let store = Arc::new(InMemory::new());
    let mut version = 0;
    while version < layout::CHECKPOINT_EVERY - 3 {
        version = run(world, Arc::clone(&store) as Arc<dyn ObjectStore>, options).await.unwrap().version;
    }
    change(world);
    store.fork()
}

/// Of sixty reads of old commits some are as good as all.
fn is_new(name: &str) -> bool {
    match name.strip_prefix("get ").and_then(layout::parse_log) {
        Some(layout::LogObject::Commit(n)) => !(3..60).contains(&n),
        _ => true,
    }
}

#[tokio::test]
async fn a_later_sync_that_crashes_at_any_store_call_over_a_checkpoint_is_whole_after_the_rerun() {
    let (world, options) = (world().await, a_commit_after_every_page());
    let mut stores = Memory(before_a_checkpoint(&world, &options).await);
    let calls = crash_everywhere(&world, &options, &mut stores, is_new).await;
    assert_eq!(count(&calls, "put log/00000000000000000064.checkpoint"), 1, "{calls:?}");
    assert!(count(&calls, "put log/") >= 6, "{calls:?}");
}

#[tokio::test]
async fn of_two_writers_one_that_crashes_at_any_store_call_leaves_no_head_that_names_a_missing_part() {
    let (world, options) = (Arc::new(world().await), a_commit_after_every_page());
    let mut stores = Memory(before_a_checkpoint(&world, &options).await);
    let alone = FaultyStore::new(stores.next(), None);
    run(&world, Arc::new(alone.clone()), &options).await.unwrap();
    let calls = alone.calls();
    assert!(count(&calls, "put parts/") >= 1 && count(&calls, "put manifest.json") >= 1, "{calls:?}");
    for (number, name) in calls.iter().enumerate().filter(|(_, name)| is_new(name)) {
        // All of the other's run comes before this call, which then fails, or whose answer is lost; or nothing is wrong.
        let faults = Fault::all(number).filter(|fault| fault.how != How::IsRepeated);
        for fault in faults.map(Some).chain([None]) {
            let store = stores.next();
            let other = {
                let (world, store, options) = (Arc::clone(&world), Arc::clone(&store), options.clone());
                Box::pin(async move {
                    let report = run(&world, store, &options).await.unwrap();
                    assert!(report.caught_up);
                })
            };
            let first = FaultyStore::with_meanwhile(Arc::clone(&store), fault, number, other);
            let ended = run(&world, Arc::new(first), &options).await;
            let story =
                format!("{fault:?} at {name:?}, where the other came, after which the first ended with {ended:?}");
            let left = objects(store.as_ref()).await;
            assert_parts_are_there(&left, &story);
            assert!(
                ended.is_ok() || fault.is_some() || ended.is_err_and(|e| e.kind() == ErrorKind::Conflict),
                "{story}"
            );
            let report = run(&world, Arc::clone(&store), &options).await.unwrap();
            let after = objects(store.as_ref()).await;
            assert_log_is_sound(&after, report.version);
            assert_parts_are_there(&after, &story);
            world.held_in(store).await.assert_equal(&world.deployment);
        }
    }
}

#[tokio::test]
async fn an_upload_in_parts_that_crashes_at_any_part_is_whole_after_the_rerun() {
    let world = World::new(pages(4, 4)).await;
    let table = TableRef::new("", "blobs").unwrap();
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..30 {
        let mut bytes = vec![0; 700_000];
        random.fill_bytes(&mut bytes);
        let fields = BTreeMap::from([("bytes".to_owned(), Value::Bytes(bytes))]);
        world.deployment.transaction(|t| t.insert(&table, fields)).unwrap();
    }
    let in_parts = |name: &str| ["begin ", "part ", "complete ", "abort "].iter().any(|what| name.starts_with(what));
    let options = SyncOptions::default();
    let calls = crash_everywhere(&world, &options, &mut Memory(InMemory::new()), in_parts).await;
    assert!(count(&calls, "part ") >= 2, "{calls:?}");
}

/// Whoever opens an archive while another writer makes it finds none, or all of it: nothing is damaged.
#[tokio::test]
async fn an_archive_that_is_made_while_somebody_opens_or_verifies_it_is_not_called_damaged() {
    let world = Arc::new(world().await);
    let mut opened = 0;
    for number in 0..6 {
        for verifies in [false, true] {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let made = {
                let (world, store) = (Arc::clone(&world), Arc::clone(&store));
                Box::pin(async move {
                    run(&world, store, &SyncOptions::default()).await.unwrap();
                })
            };
            let busy = Arc::new(FaultyStore::with_meanwhile(store, None, number, made));
            let ended = if verifies {
                let options = VerifyOptions::default().dry_run(true);
                let report = verify(busy, "memory:///archive", &options, Timestamp::now(), Arc::new(NoMonitor)).await;
                report.map(|report| assert_eq!(report.problems, [], "{number}"))
            } else {
                Archive::open(busy, "memory:///archive").await.map(drop)
            };
            match ended {
                Ok(()) => opened += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{number} {verifies}: {error}"),
            }
        }
    }
    assert!(opened > 2);
}
