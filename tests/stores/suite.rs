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
    ErrorKind, TableRef, Value,
    server::{Documents, demo_documents},
    sync::{Stop, SyncOptions, SyncReport},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    place::{PREFIX, Place},
    tools::world::World,
};

const ORACLE: &str = "pyarrow_reads.py";

/// Many small commits.
fn hasty() -> SyncOptions {
    SyncOptions { commit_every: Duration::from_millis(5), ..SyncOptions::default() }
}

pub(crate) async fn documents_and_their_changes_arrive_whole_and_below_the_prefix(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    assert!(world.catch_up(&url).await.first_run);
    world.compare(ORACLE, &url);
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        let report = world.catch_up(&url).await;
        assert!(!report.first_run && report.tombstones > 0);
    }
    world.compare(ORACLE, &url);
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
    world.compare(ORACLE, &url);
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
    let mut runs = 0;
    loop {
        runs += 1;
        let options = SyncOptions { stop: Stop::default(), ..hasty() };
        let stop = options.stop.clone();
        let (report, ()) = tokio::join!(world.sync(&url, &options), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stop.request();
        });
        if report.unwrap().caught_up {
            break;
        }
        assert!(runs < 200);
    }
    assert!(runs > 1, "the first run was meant to be stopped");
    world.compare(ORACLE, &url);
}

pub(crate) async fn two_syncs_at_once_make_one_history(place: Place) {
    let (world, url) = (World::start(50, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.archive(&url).await.unwrap();
    let options = hasty();
    let (a, b) = tokio::join!(world.sync(&url, &options), world.sync(&url, &options));
    one_history(&world, &url, vec![a, b]).await;
}

pub(crate) async fn ten_syncs_at_once_create_one_archive_and_one_history(place: Place) {
    let (world, url) = (World::start(500, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let options = hasty();
    let ends = futures::future::join_all((0..10).map(|_| world.sync(&url, &options))).await;
    one_history(&world, &url, ends).await;
}

/// Of syncs that ran at once some came through, the others say what happened, and nothing is lost or there twice.
async fn one_history(world: &World, url: &str, ends: Vec<convex_archiver::Result<SyncReport>>) {
    let lost: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert!(!lost.is_empty() && lost.len() < ends.len(), "{ends:?}");
    for error in lost {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    }
    world.catch_up(url).await;
    // The chain of digests is checked by whoever opens it.
    let head = world.archive(url).await.unwrap().head().await.unwrap();
    assert_eq!(head.coverage().bases.len(), 1);
    world.compare(ORACLE, url);
}

/// A table of about 28 MB that nothing can compress.
fn noise() -> Documents {
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
    world.compare(ORACLE, &url);
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
    assert!(place.unfinished().await.is_empty(), "{:?}", place.unfinished().await);
    assert!(place.objects().await.iter().all(|name| !name.ends_with(".parquet")));
    broken.store(false, Ordering::Relaxed);
    world.catch_up(&url).await;
    world.compare(ORACLE, &url);
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
    world.compare(ORACLE, &url);
    let objects: Vec<_> = place.objects().await.iter().map(|name| name.to_ascii_lowercase()).collect();
    let folder = |name: &str| objects.iter().any(|o| o.starts_with(&format!("{PREFIX}/{name}/convex_phase=delta/")));
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
