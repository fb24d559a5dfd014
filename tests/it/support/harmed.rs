//! An archive whose objects are harmed, one way after the other.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use convex_archiver::{DigestShare, TableRef, Value, sync::SyncOptions};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use super::{World, pages};

/// Commits of the archive at least: one checkpoint lies behind some, and before some.
const COMMITS: u64 = 68;

pub(crate) type Objects = BTreeMap<String, Bytes>;

pub(crate) fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

pub(crate) fn document(n: u64) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("n".to_owned(), Value::Int64(n as i64)),
        ("text".to_owned(), Value::String(format!("number {n}"))),
    ])
}

/// An archive with a table that was dropped, one of which documents were deleted, and one whose columns grew.
pub(crate) async fn world() -> World {
    let world = World::new(pages(1_000, 1_000)).await;
    for name in ["a", "b", "gone"] {
        world
            .deployment
            .transaction(|t| (0..20).try_for_each(|n| t.insert(&table(name), document(n)).map(drop)))
            .unwrap();
    }
    let options = SyncOptions::default().content_digest(DigestShare::All);
    let mut reached = world.sync_with(&options).await.unwrap().version;
    let counter = AtomicU64::new(100);
    while reached < COMMITS {
        let n = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut more = document(n);
        if n.is_multiple_of(20) {
            more.insert(format!("more_{n}"), Value::Boolean(true));
        }
        world.deployment.transaction(|t| t.insert(&table("a"), more.clone()).map(drop)).unwrap();
        if n.is_multiple_of(3) {
            world.deployment.transaction(|t| t.insert(&table("b"), document(n)).map(drop)).unwrap();
        }
        if n == 110 {
            world.deployment.drop_table(&table("gone")).unwrap();
        }
        reached = world.sync_with(&options).await.unwrap().version;
    }
    world
}

pub(crate) async fn objects(store: &Arc<dyn ObjectStore>) -> Objects {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut all = Objects::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.insert(object.location.to_string(), bytes);
    }
    all
}

pub(crate) async fn store_of(objects: &Objects) -> Arc<dyn ObjectStore> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (path, bytes) in objects {
        store.put(&Path::from(path.as_str()), bytes.clone().into()).await.unwrap();
    }
    store
}

pub(crate) fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// What is done to an object, beside flipped bits: its bytes afterwards.
pub(crate) fn harms(bytes: &Bytes, other: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    vec![
        ("deleted", None),
        ("emptied", Some(Bytes::new())),
        ("cut off", Some(bytes.slice(..bytes.len() / 2))),
        ("another one", Some(other.clone())),
    ]
}

pub(crate) fn flips(bytes: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    let at = |at: usize| Some(flipped(bytes, at));
    vec![
        ("flipped at a third", at(bytes.len() / 3)),
        ("flipped in the middle", at(bytes.len() / 2)),
        ("flipped near the end", at(bytes.len() - bytes.len() / 10 - 3)),
    ]
}
