//! What happens to an archive when its store is in trouble, told by the program itself: how it ends, what it says, and
//! that the next run heals.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    extract::Request,
    middleware::{self, Next},
};
use convex_archiver::server::demo_documents;

use crate::{
    place::{PREFIX, Place},
    suite::{noise, one_history, same},
    tools::{
        trouble::{Trouble, What},
        world::World,
    },
};

/// Many small commits.
const HASTY: &[&str] = &["--commit-every", "5ms"];

/// How the report names the kinds of errors.
const ACCESS: &str = r#""kind": "access""#;
const UNAVAILABLE: &str = r#""kind": "unavailable""#;

/// About forty pages, from the tenth of which on `trouble` holds; then the archive has begun.
async fn from_the_tenth_page<F>(
    place: &Arc<Place>,
    trouble: impl Fn(Arc<Place>) -> F + Clone + Send + Sync + 'static,
) -> World
where
    F: Future<Output = ()> + Send,
{
    let (place, pages) = (Arc::clone(place), Arc::new(AtomicU32::new(0)));
    let begin = move |request: Request, next: Next| {
        let (place, pages, trouble) = (Arc::clone(&place), Arc::clone(&pages), trouble.clone());
        async move {
            let of_pages = request.uri().path().contains("list_snapshot");
            if of_pages && pages.fetch_add(1, Ordering::Relaxed) == 9 {
                trouble(place).await;
            }
            next.run(request).await
        }
    };
    let world = World::behind(40, 64, |routes| routes.layer(middleware::from_fn(begin))).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world
}

/// The archive has begun, and the program goes on where it stopped.
async fn heals(world: &World, place: &Place) {
    let names = place.objects().await;
    assert!(names.contains(&format!("{PREFIX}/archive.json")), "{names:?}");
    world.program(&place.url(PREFIX), HASTY).await.with(0, &[]);
    one_history(world, place).await;
}

pub(crate) async fn a_permission_lost_in_the_middle_is_an_access_error_and_the_next_run_heals(place: Place) {
    let place = Arc::new(place);
    let world = from_the_tenth_page(&place, |place| async move { place.permit(false).await }).await;
    world.program(&place.url(PREFIX), HASTY).await.with(2, &[ACCESS, "permission"]);
    place.permit(true).await;
    heals(&world, &place).await;
}

pub(crate) async fn a_read_only_place_is_an_access_error_and_stays_as_it_is(place: Place) {
    let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    place.permit(false).await;
    world.program(&url, &[]).await.with(2, &[ACCESS, "permission"]);
    assert!(place.objects().await.is_empty(), "{:?}", place.objects().await);
    // With an archive in it as well.
    place.permit(true).await;
    world.catch_up(&url).await;
    world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
    let before = place.objects().await;
    place.permit(false).await;
    world.program(&url, &[]).await.with(2, &[ACCESS, "permission"]);
    assert_eq!(place.objects().await, before);
    place.permit(true).await;
    heals(&world, &place).await;
}

/// Of the first thing that is written, of commits, of data files, of every third object; the connection ends, or the store
/// says that it failed.
pub(crate) async fn a_lost_answer_to_a_put_is_no_lost_commit(place: Place) {
    let world = World::start(40, 64).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let ends = [What::DoneAndCut, What::DoneAnd(500, "<Error><Code>InternalError</Code></Error>".into())];
    for (n, what) in ends.into_iter().enumerate() {
        let prefix = format!("{PREFIX}-{n}");
        for (run, (path, each)) in [("archive.json", 1), ("/log/", 1), (".parquet", 1), ("", 3)].into_iter().enumerate()
        {
            if run > 0 {
                world
                    .deployment
                    .change_to(demo_documents(if run.is_multiple_of(2) { 2 } else { 1 }).unwrap(), "feature")
                    .unwrap();
            }
            let (method, path) = ("PUT".to_owned(), path.to_owned());
            place.trouble(Trouble { method, path: path.clone(), each, times: 3, what: what.clone() }).await;
            world.program(&place.url(&prefix), HASTY).await.with(0, &[]);
            assert!(place.calm().await > 0, "{path}");
        }
        same(&world, &place, &prefix).await;
    }
}

/// A store that has put the parts together and is asked again knows of no upload any more.
pub(crate) async fn a_lost_answer_to_the_last_part_is_no_lost_file(place: Place) {
    let (world, url) = (World::start(4, 64).await, place.url(PREFIX));
    world.deployment.insert_all(noise()).unwrap();
    let azure = place.store == crate::place::Store::Azure;
    let (method, path) = if azure { ("PUT", "comp=blocklist") } else { ("POST", "uploadId=") };
    place
        .trouble(Trouble { method: method.into(), path: path.into(), each: 1, times: 1, what: What::DoneAndCut })
        .await;
    world.program(&url, &[]).await.with(0, &[]);
    assert_eq!(place.calm().await, 1);
    same(&world, &place, PREFIX).await;
}

fn conflict(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!("<Error><Code>{code}</Code><Message>Again.</Message></Error>") }
}

/// Codes of a 409 that are no "it exists" to a request that is not conditional.
const CONFLICTS: [&str; 4] = ["OperationAborted", "ConditionalRequestConflict", "SomethingNew", ""];

/// Answers the first two such requests of a run with 409.
async fn conflicting(world: &World, place: &Place, prefix: &str, (method, path, code): (&str, &str, &str)) {
    let what = What::Refuse(409, conflict(code));
    place.trouble(Trouble { method: method.into(), path: path.into(), each: 1, times: 2, what }).await;
    world.program(&place.url(prefix), &[]).await.with(0, &[]);
    assert_eq!(place.calm().await, 2, "{method} {path} {code}");
}

/// Nobody else can have written them, so that no writer was faster.
pub(crate) async fn a_store_that_says_409_for_a_moment_is_asked_again(place: Place) {
    let world = World::start(400, 64).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.program(&place.url(PREFIX), &[]).await.with(0, &[]);
    for code in CONFLICTS {
        for path in ["archive.json", "/log/"] {
            conflicting(&world, &place, PREFIX, ("GET", path, code)).await;
        }
        let prefix = format!("{PREFIX}-{code}");
        conflicting(&world, &place, &prefix, ("PUT", ".parquet", code)).await;
        same(&world, &place, &prefix).await;
    }
    for code in &CONFLICTS[..2] {
        // A race for the commit, too, is told by what is there afterwards.
        let prefix = format!("{PREFIX}-log-{code}");
        conflicting(&world, &place, &prefix, ("PUT", "/log/", code)).await;
        same(&world, &place, &prefix).await;
    }
}

pub(crate) async fn a_store_that_says_409_to_a_part_is_asked_again(place: Place) {
    let world = World::start(4, 64).await;
    world.deployment.insert_all(noise()).unwrap();
    let of_parts: &[_] = if place.store == crate::place::Store::Azure {
        &[("PUT", "comp=block&"), ("PUT", "comp=blocklist")]
    } else {
        &[("POST", "uploads"), ("PUT", "partNumber="), ("POST", "uploadId=")]
    };
    for (n, ((method, path), code)) in of_parts.iter().zip(CONFLICTS).enumerate() {
        let prefix = format!("{PREFIX}-{n}");
        conflicting(&world, &place, &prefix, (method, path, code)).await;
        same(&world, &place, &prefix).await;
    }
}

pub(crate) async fn a_store_that_goes_on_saying_409_is_unavailable_and_the_next_run_heals(place: Place) {
    let (world, url) = (World::start(40, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    let what = What::Refuse(409, conflict("OperationAborted"));
    place.trouble(Trouble { method: "PUT".into(), path: ".parquet".into(), what, ..Trouble::default() }).await;
    world.program(&url, &[]).await.with(5, &[UNAVAILABLE, "another operation", "nothing is lost"]);
    place.calm().await;
    heals(&world, &place).await;
}

/// The store has done what it was asked for, its answer was lost, and it is asked again: what is there is ours.
pub(crate) async fn what_exists_after_a_lost_answer_is_known_as_our_own(place: Place) {
    let world = World::start(40, 64).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    for (n, (path, status, code)) in [
        ("archive.json", 412, "PreconditionFailed"),
        ("/log/", 412, "PreconditionFailed"),
        ("/log/", 409, "ConditionalRequestConflict"),
        (".parquet", 412, "PreconditionFailed"),
        (".parquet", 409, "ObjectAlreadyExists"),
        (".parquet", 409, "OperationAborted"),
    ]
    .into_iter()
    .enumerate()
    {
        let prefix = format!("{PREFIX}-{n}");
        let what = What::DoneAnd(status, conflict(code));
        place.trouble(Trouble { method: "PUT".into(), path: path.into(), each: 1, times: 2, what }).await;
        world.program(&place.url(&prefix), &[]).await.with(0, &[]);
        assert!(place.calm().await > 0, "{path} {status} {code}");
        same(&world, &place, &prefix).await;
    }
}

pub(crate) async fn a_slow_and_busy_store_is_waited_for(place: Place) {
    let (world, url) = (World::start(40, 64).await, place.url(PREFIX));
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    place.trouble(Trouble { each: 4, what: place.busy(), ..Trouble::default() }).await;
    world.program(&url, HASTY).await.with(0, &[]);
    assert!(place.calm().await > 5);
    place.trouble(Trouble { what: What::Late(40), ..Trouble::default() }).await;
    world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
    world.program(&url, &[]).await.with(0, &[]);
    assert!(place.calm().await > 10);
    same(&world, &place, PREFIX).await;
}

pub(crate) async fn a_store_that_stays_busy_is_unavailable_and_the_next_run_heals(place: Place) {
    let place = Arc::new(place);
    let busy = |place: Arc<Place>| async move {
        place.trouble(Trouble { what: place.busy(), ..Trouble::default() }).await;
    };
    let world = from_the_tenth_page(&place, busy).await;
    let words = [UNAVAILABLE, "asks for fewer requests", "nothing is lost"];
    world.program(&place.url(PREFIX), HASTY).await.with(5, &words);
    place.calm().await;
    heals(&world, &place).await;
}

pub(crate) async fn a_network_that_breaks_in_the_middle_is_unavailable_and_the_next_run_heals(place: Place) {
    let place = Arc::new(place);
    let cut = |place: Arc<Place>| async move {
        place.trouble(Trouble { what: What::Cut, ..Trouble::default() }).await;
    };
    let world = from_the_tenth_page(&place, cut).await;
    world.program(&place.url(PREFIX), HASTY).await.with(5, &[UNAVAILABLE, "nothing is lost"]);
    place.calm().await;
    heals(&world, &place).await;
}
