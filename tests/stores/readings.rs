//! What was archived on a store is read back from it: every reader works on every store, without the deployment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, Revision, Selection, TableRef, Timestamp, Value,
    archive::{Archive, Head, Location},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    read::{
        DiffOptions, ExportFormat, ExportOptions, History, LogOptions, Lookup, RestoreOptions, RestoreTarget, State,
        StateOptions, Transactions, diff, export, get, restore, restore_unless,
    },
    server::{ArchivedDeployment, RouterOptions, SimulatedDeployment, demo_documents, read_snapshot_zip, router},
    sync::{SyncOptions, sync},
};
use object_store::{ObjectStoreExt, path::Path};

use crate::{
    place::{PREFIX, Place, Store},
    suite::noise,
    tools::{process::environment, world::World},
};

type States = BTreeMap<TableRef, BTreeMap<String, Revision>>;

async fn opened(url: &str) -> (Archive, Head) {
    let location = Location::open(url, &environment()).unwrap();
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await.unwrap();
    let head = archive.head().await.unwrap();
    (archive, head)
}

async fn states(archive: &Archive, head: &Head, at: Timestamp) -> States {
    let mut states = States::new();
    for table in head.tables().map(|state| &state.table) {
        let documents = states.entry(table.clone()).or_default();
        let mut state = State::open(archive, head, table, at, &StateOptions::default()).await.unwrap();
        while let Some(batch) = state.next().await.unwrap() {
            documents.extend((0..batch.len()).map(|row| (batch.id(row).to_owned(), batch.revision(row).unwrap())));
        }
    }
    states
}

fn expected(deployment: &SimulatedDeployment, at: Timestamp) -> States {
    let of_table =
        |documents: BTreeMap<_, Arc<Revision>>| documents.into_iter().map(|(id, r)| (id, (*r).clone())).collect();
    deployment.state_at(at).into_iter().map(|(table, documents)| (table, of_table(documents))).collect()
}

pub(crate) async fn what_is_archived_is_read_back_restored_exported_and_served(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.catch_up(&url).await;
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        world.catch_up(&url).await;
    }
    let (archive, head) = opened(&url).await;
    let (first, through) = (head.coverage().bases[0].ts, head.coverage().through.unwrap());
    let revisions = world.deployment.revisions();
    let deletion = revisions.iter().find(|(_, r)| r.document.is_none()).unwrap();
    let (table, id, before) = (&deletion.0, &deletion.1.id, Timestamp(deletion.1.ts.0 - 1));

    // States, and what is different between them.
    for at in [first, before, through] {
        assert!(states(&archive, &head, at).await == expected(&world.deployment, at), "another state at {at}");
    }
    let options =
        DiffOptions::default().from(before).to(through).tables(vec![]).documents(false).budget(MemoryBudget::default());
    let sums = diff(&archive, &head, &options, |_| Ok(())).await.unwrap();
    let then = expected(&world.deployment, before);
    assert_eq!(sums.iter().map(|t| t.deleted + t.updated + t.unchanged).sum::<u64>(), count(&then));

    // One document, its history, and the transactions.
    let Lookup::Document(found) = get(&archive, &head, table, id, before).await.unwrap() else {
        panic!("it was there")
    };
    assert_eq!(*found, then[&**table][id]);
    assert_eq!(get(&archive, &head, table, id, through).await.unwrap(), Lookup::Deleted(deletion.1.ts));
    let mut history = History::open(&archive, &head, table, id, MemoryBudget::default()).await.unwrap();
    let mut last = None;
    while let Some(revision) = history.next().await.unwrap() {
        last = Some(revision);
    }
    assert_eq!(last.unwrap(), *deletion.1);
    let mut log = Transactions::open(&archive, &head, &LogOptions::default()).await.unwrap();
    let mut changes = 0;
    while let Some(transaction) = log.next().await.unwrap() {
        changes += transaction.changes.len();
    }
    assert_eq!(changes, revisions.iter().filter(|(_, r)| r.ts > first).count());

    // A ZIP on this machine, and plain files on the store.
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("a.zip");
    let options = RestoreOptions::default().at(before);
    restore(&archive, &head, &options.clone().output(&zip), &NoMonitor).await.unwrap();
    let restored = read_snapshot_zip(&zip).unwrap();
    let documents = |states: &States| -> BTreeMap<TableRef, Vec<BTreeMap<String, Value>>> {
        let of_table =
            |documents: &BTreeMap<_, Revision>| documents.values().filter_map(|r| r.document.clone()).collect();
        states.iter().map(|(table, documents)| (table.clone(), of_table(documents))).collect()
    };
    assert!(restored == documents(&then), "another restore");
    let target = Location::create(&place.url("plain"), &environment()).unwrap();
    let options = ExportOptions::new(Arc::clone(target.store()), ExportFormat::Ndjson, before);
    let exported = export(&archive, &head, &options, &NoMonitor).await.unwrap();
    for table in exported.tables {
        let mut lines = 0;
        for file in &table.files {
            let path = Path::from(format!("{}/{file}", table.folder));
            let text = target.store().get(&path).await.unwrap().bytes().await.unwrap();
            lines += std::str::from_utf8(&text).unwrap().lines().count();
        }
        assert_eq!((lines as u64, lines), (table.documents, then[&table.table].len()));
    }

    // Served, and archived again beside it.
    let deployment =
        ArchivedDeployment::open(archive, Some(before), &Selection::default(), MemoryBudget::default()).await.unwrap();
    let window = Duration::MAX;
    let options = RouterOptions::default().snapshot_window(window).deltas_window(window);
    let key = DeployKey::new(&options.key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, router(Arc::new(deployment), options)).await });
    let access = Access::new(&served, key, false).unwrap();
    let client = Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap();
    let copy = Location::create(&place.url("copy"), &environment()).unwrap();
    let identity = client.identity().await.unwrap();
    let copy = Archive::create(Arc::clone(copy.store()), copy.url(), identity, Timestamp(1)).await.unwrap();
    sync(Arc::new(client), &copy, &SyncOptions::default(), Arc::new(NoMonitor)).await.unwrap();
    task.abort();
    let (copy, head) = opened(&place.url("copy")).await;
    let served = states(&copy, &head, head.coverage().through.unwrap()).await;
    assert!(served == then, "another state is served");
}

/// A ZIP on the store: one object, in parts, whole or not at all.
pub(crate) async fn a_restore_is_one_object_whole_or_not_at_all(place: Place) {
    let (world, url) = (World::start(10, 64).await, place.url(PREFIX));
    world.deployment.insert_all(noise()).unwrap();
    world.catch_up(&url).await;
    let (archive, head) = opened(&url).await;
    let (at, least) = (head.coverage().through.unwrap(), MemoryBudget::new(MemoryBudget::MINIMUM).unwrap());
    let target = |name: &str| RestoreTarget::open(&place.url(name), &environment()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    if let Some(folder) = place.folder() {
        std::fs::create_dir(folder.join("zips")).unwrap();
    }
    let options = RestoreOptions::default().at(at).budget(least);
    let before = place.objects().await;

    // Given up in the middle, once parts lie there.
    let to = options.clone().output(target("zips/a.zip"));
    let parts_lie_there = async {
        while place.unfinished().await.is_empty() && place.folder().is_none() {
            tokio::task::yield_now().await;
        }
    };
    assert!(restore_unless(parts_lie_there, &archive, &head, &to, &NoMonitor).await.unwrap().is_none());
    assert_eq!(place.objects().await, before);
    // Azure has no way to give up an upload: what was sent of it is not seen, and gone after a week.
    if place.store != Store::Azure {
        assert!(place.unfinished().await.is_empty(), "{:?}", place.unfinished().await);
    }

    // Whole, and the same bytes as a file.
    let (_, bytes) = restore(&archive, &head, &to, &NoMonitor).await.unwrap();
    let zip = place.read("zips/a.zip").await;
    assert!(place.parts("zips/a.zip").await.is_none_or(|parts| parts >= 3));
    assert!(zip.len() as u64 == bytes && bytes > 28_000_000);
    let path = folder.path().join("a.zip");
    restore(&archive, &head, &options.clone().output(&path), &NoMonitor).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == zip, "other bytes");
    assert_eq!(read_snapshot_zip(&path).unwrap().values().map(Vec::len).sum::<usize>(), 40);

    // What is there stays, unless it may be replaced.
    let nothing = options.clone().selection("noise".parse().unwrap()).output(target("zips/a.zip"));
    let error = restore(&archive, &head, &nothing, &NoMonitor).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--force"), "{error}");
    assert!(place.read("zips/a.zip").await == zip);
    restore(&archive, &head, &nothing.overwrite(true), &NoMonitor).await.unwrap();
    assert!(place.read("zips/a.zip").await != zip, "its README tells another selection");
    let whole = place.url("");
    assert!(RestoreTarget::open(&whole, &environment()).is_err() || place.folder().is_some());
}

fn count(states: &States) -> u64 {
    states.values().map(|documents| documents.len() as u64).sum()
}
