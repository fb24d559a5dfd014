//! What must hold on every store. The comparison with the deployment is made by an independent reader, value by value.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::to_bytes,
    extract::Request,
    middleware::{self, Next},
    response::IntoResponse,
};
use convex_archiver::{
    Encoding, ErrorKind, Selection, TableRef, Timestamp, Value,
    archive::{CommitOutcome, Draft, Run},
    server::{Documents, demo_documents},
    sync::{Stop, SyncOptions},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    place::{PREFIX, Place, Store},
    tools::world::World,
};

const ORACLE: &str = "pyarrow_reads.py";

/// An independent reader compares what lies in the place with what the deployment holds.
pub(crate) async fn same(world: &World, place: &Place, prefix: &str) {
    let copy = place.copied(prefix).await;
    world.compare(ORACLE, copy.path().to_str().unwrap());
}

/// Many small commits.
pub(crate) fn hasty() -> SyncOptions {
    SyncOptions::default().commit_every(Duration::from_millis(5))
}

pub(crate) async fn documents_and_their_changes_arrive_whole_and_below_the_prefix(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    assert!(world.catch_up(&url).await.first_run);
    same(&world, &place, PREFIX).await;
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        let report = world.catch_up(&url).await;
        assert!(!report.first_run && report.tombstones > 0);
    }
    same(&world, &place, PREFIX).await;
    let objects = place.objects().await;
    assert!(objects.iter().all(|name| name.starts_with(PREFIX)), "{objects:?}");
    for name in ["archive.json", "manifest.json", "log/00000000000000000001.json"] {
        assert!(objects.contains(&format!("{PREFIX}/{name}")), "{name} in {objects:?}");
    }
    assert!(place.unfinished().await.is_empty());
}

pub(crate) async fn an_archive_can_be_the_whole_bucket_or_folder(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(""));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.catch_up(&url).await;
    same(&world, &place, "").await;
    assert!(place.objects().await.contains(&"archive.json".to_owned()));
}

pub(crate) async fn a_stopped_run_is_gone_on_with(place: Place) {
    // About eighty pages.
    let slow = |request: Request, next: Next| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        next.run(request).await
    };
    let world = World::behind(20, 16, |routes| routes.layer(middleware::from_fn(slow))).await;
    let url = place.url(PREFIX);
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let mut runs = 0u32;
    loop {
        runs += 1;
        let options = hasty().stop(Stop::default());
        let stop = options.stop.clone();
        let (report, ()) = tokio::join!(world.sync(&url, &options), async {
            // Longer with each run: on a machine that does much else a run may need as long to begin.
            tokio::time::sleep(Duration::from_millis(300) + Duration::from_millis(100) * runs).await;
            stop.request();
        });
        if report.unwrap().caught_up {
            break;
        }
        assert!(runs < 200);
    }
    assert!(runs > 1, "the first run was meant to be stopped");
    same(&world, &place, PREFIX).await;
}

pub(crate) async fn two_syncs_at_once_make_one_history(place: Place) {
    let (world, url) = (World::start(50, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.archive(&url).await.unwrap();
    let options = hasty();
    let (a, b) = tokio::join!(world.sync(&url, &options), world.sync(&url, &options));
    let ends = [a, b];
    let lost: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert!(lost.len() == 1 && lost[0].kind() == ErrorKind::Conflict, "{ends:?}");
    one_history(&world, &place).await;
}

/// By the program itself: ten processes, none of which knows of the others.
pub(crate) async fn ten_syncs_at_once_create_one_archive_and_one_history(place: Place) {
    let slow = |request: Request, next: Next| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        next.run(request).await
    };
    let world = World::behind(50, 64, |routes| routes.layer(middleware::from_fn(slow))).await;
    let url = place.url(PREFIX);
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let ends = futures::future::join_all((0..10).map(|_| world.program(&url, &["--commit-every", "5ms"]))).await;
    let lost = ends.iter().filter(|end| end.code == Some(4)).count();
    let won = ends.iter().filter(|end| end.code == Some(0)).count();
    assert!(lost > 0 && won > 0 && lost + won == 10, "{ends:#?}");
    one_history(&world, &place).await;
}

/// Nothing is lost or there twice, and the archive goes on.
pub(crate) async fn one_history(world: &World, place: &Place) {
    let url = place.url(PREFIX);
    world.catch_up(&url).await;
    // The chain of digests is checked by whoever opens it.
    let head = world.archive(&url).await.unwrap().head().await.unwrap();
    assert_eq!(head.coverage().bases.len(), 1);
    same(world, place, PREFIX).await;
}

const COMMITS: u64 = 2500;

/// The commits are made in memory and laid there past the library: making them is not the point.
pub(crate) async fn a_log_of_2500_commits_is_opened_and_gone_on_with(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let memory = Arc::new(InMemory::new());
    let archive = world.archive_in(Arc::clone(&memory) as Arc<dyn ObjectStore>).await;
    world.sync_to(&archive, &SyncOptions::default()).await.unwrap();
    let (mut head, mut run) = (archive.head().await.unwrap(), Run::begin());
    while head.version() < COMMITS {
        let draft = Draft {
            caught_up: true,
            ..head.unchanged(Encoding::ConvexEncodedJson, Selection::default(), Timestamp(1))
        };
        head = match archive.commit(&head, &mut run, draft).await.unwrap() {
            CommitOutcome::Committed(head) => *head,
            taken => panic!("nobody else writes: {taken:?}"),
        };
    }
    let mut objects = Vec::new();
    for object in memory.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let bytes = memory.get(&object.location).await.unwrap().bytes().await.unwrap();
        objects.push((format!("{PREFIX}/{}", object.location), bytes.to_vec()));
    }
    place.write_all(objects).await;
    // Nothing says where the end of the log is: all of it is listed.
    place.remove(&format!("{PREFIX}/manifest.json")).await;
    let opened = world.archive(&url).await.unwrap();
    let found = opened.head().await.unwrap();
    assert_eq!((found.version(), found.digest()), (COMMITS, head.digest()));
    assert_eq!(opened.head_at(1000).await.unwrap().version(), 1000);
    world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
    assert!(world.catch_up(&url).await.version > COMMITS);
    same(&world, &place, PREFIX).await;
}

/// A table of about 28 MB that nothing can compress.
pub(crate) fn noise() -> Documents {
    let mut rng = StdRng::seed_from_u64(1);
    let document = |n: i64| {
        let mut bytes = vec![0; 700_000];
        rng.fill(bytes.as_mut_slice());
        BTreeMap::from([("n".to_owned(), Value::Int64(n)), ("noise".to_owned(), Value::Bytes(bytes))])
    };
    Documents::from([(TableRef::new("", "noise").unwrap(), (0..40).map(document).collect())])
}

pub(crate) async fn large_files_arrive_in_parts(place: Place) {
    let (world, url) = (World::start(4, 64).await, place.url(PREFIX));
    world.deployment.insert_all(noise()).unwrap();
    let report = world.catch_up(&url).await;
    assert_eq!((report.files, report.documents), (1, 40));
    assert!(report.file_bytes > 28_000_000);
    let objects = place.objects().await;
    let file = objects.iter().find(|name| name.ends_with(".parquet")).unwrap();
    assert!(place.parts(file).await.is_none_or(|parts| parts >= 3));
    assert!(place.unfinished().await.is_empty());
    same(&world, &place, PREFIX).await;
}

/// A page holds what no deployment can hold, at a moment at which the upload of a file has begun.
pub(crate) async fn a_failed_run_leaves_no_upload_open(place: Place) {
    let (place, broken) = (Arc::new(place), Arc::new(AtomicBool::new(true)));
    let url = place.url(PREFIX);
    let (answering, breaking) = (Arc::clone(&place), Arc::clone(&broken));
    let nonsense = move |request: Request, next: Next| {
        let (place, broken) = (Arc::clone(&answering), Arc::clone(&breaking));
        async move {
            let answer = next.run(request).await;
            if !broken.load(Ordering::Relaxed) || place.unfinished().await.is_empty() {
                return answer;
            }
            let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            String::from_utf8_lossy(&body).replace(r#""$bytes":""#, r#""$bytes":"!"#).into_response()
        }
    };
    let world = World::behind(1, 64, |routes| routes.layer(middleware::from_fn(nonsense))).await;
    world.deployment.insert_all(noise()).unwrap();
    let error = world.sync(&url, &SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    // Azure has no way to give up an upload: what was sent of it is not seen, and gone after a week.
    if place.store != Store::Azure {
        assert!(place.unfinished().await.is_empty(), "{:?}", place.unfinished().await);
    }
    assert!(place.objects().await.iter().all(|name| !name.ends_with(".parquet")));
    broken.store(false, Ordering::Relaxed);
    world.catch_up(&url).await;
    same(&world, &place, PREFIX).await;
}

pub(crate) async fn tables_that_differ_by_case_or_are_devices_keep_apart(place: Place) {
    let (world, url) = (World::start(3, 3).await, place.url(PREFIX));
    let tables = [
        ("", "users"),
        ("", "Users"),
        ("", "USERS"),
        ("", "con"),
        ("", "LPT1"),
        ("", "tables"),
        ("", "components"),
        ("users", "users"),
        ("Users", "users"),
        ("users/tables", "log"),
        ("aux", "nul"),
    ];
    for (round, (component, name)) in tables.iter().chain(&tables).enumerate() {
        let table = TableRef::new(*component, *name).unwrap();
        let fields = || BTreeMap::from([("of".to_owned(), Value::String(format!("{round} {table}")))]);
        world.deployment.transaction(|tx| (0..5).try_for_each(|_| tx.insert(&table, fields()).map(drop))).unwrap();
        if round + 1 == tables.len() {
            world.catch_up(&url).await;
        }
    }
    world.catch_up(&url).await;
    same(&world, &place, PREFIX).await;
    let objects: Vec<_> = place.objects().await.iter().map(|name| name.to_ascii_lowercase()).collect();
    let folder =
        |name: &str| objects.iter().any(|o| o.starts_with(&format!("{PREFIX}/{name}/revisions/convex_phase=delta/")));
    for name in ["tables/users", "tables/users-2", "tables/users-3", "components/users/tables/users"] {
        assert!(folder(name), "{name} in {objects:?}");
    }
    assert!(!folder("tables/con") && !folder("tables/lpt1") && !folder("components/aux/tables/nul"), "{objects:?}");
}

pub(crate) async fn an_archive_is_not_created_below_a_partition_key(place: Place) {
    let world = World::start(3, 3).await;
    let error = world.sync(&place.url("app=shop/archive"), &SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("`app=shop`"), "{error}");
    assert!(place.objects().await.is_empty());
}

pub(crate) async fn the_archive_of_another_deployment_is_left_alone(place: Place) {
    let (world, other, url) = (World::start(3, 3).await, World::named("weasel-2").await, place.url(PREFIX));
    world.catch_up(&url).await;
    let before = place.objects().await;
    let error = other.sync(&url, &SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
    assert_eq!(place.objects().await, before);
}
