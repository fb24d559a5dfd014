//! Some tables only: what is not selected never enters the archive, and the archive knows that it lacks it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convex_archiver::{
    ErrorKind, NoMonitor, Result, TableRef, Value,
    archive::Covers,
    sync::{SyncOptions, SyncReport, sync},
};

use crate::support::{Held, World, pages, source::Ending};

fn table(path: &str) -> TableRef {
    let (component, name) = path.rsplit_once('/').unwrap_or(("", path));
    TableRef::new(component, name).unwrap()
}

fn insert(world: &World, paths: &[&str]) {
    for path in paths {
        let fields = BTreeMap::from([("n".to_owned(), Value::Int64(1))]);
        world.deployment.transaction(|tx| tx.insert(&table(path), fields)).unwrap();
    }
}

/// A sync of this selection, which the archive may not have had before.
async fn sync_of(world: &World, selection: &str, accept: bool) -> Result<SyncReport> {
    let options = SyncOptions::default().selection(selection.parse().unwrap()).accept_selection(accept);
    world.sync_with(&options).await
}

fn is_covered(held: &Held, path: &str) -> bool {
    matches!(held.head.coverage().covers(&table(path), held.through()), Covers::Covered(_))
}

/// Rows of a table in bases and in deltas.
fn rows(held: &Held, path: &str) -> (usize, usize) {
    let bases = held.bases.iter().filter(|(t, ..)| *t == table(path)).count();
    (bases, held.deltas.iter().filter(|(t, _)| *t == table(path)).count())
}

#[tokio::test]
async fn what_is_not_selected_never_enters_the_archive_and_is_not_covered() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users", "logs", "messages"]);
    sync_of(&world, "** !logs", false).await.unwrap();
    insert(&world, &["users", "logs", "users", "logs2"]);
    assert_eq!(sync_of(&world, "** !logs", false).await.unwrap().documents, 3);
    let held = world.held().await;
    assert!(held.head.table(&table("logs")).is_none());
    assert!(!is_covered(&held, "logs") && is_covered(&held, "users") && is_covered(&held, "logs2"));
    assert_eq!(held.head.coverage().bases.len(), 1);
    held.assert_true(&world.deployment);
}

#[tokio::test]
async fn another_selection_is_refused_before_anybody_is_asked_unless_it_is_accepted() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users", "logs"]);
    let before = world.sync().await;
    let error = sync_of(&world, "users", false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("`**`") && error.to_string().contains("--accept-selection"), "{error}");
    assert_eq!(world.held().await.head.version(), before.version);
}

#[tokio::test]
async fn a_table_that_leaves_has_a_gap_from_there_and_needs_no_base() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users", "logs"]);
    let left = world.sync().await.through.unwrap();
    insert(&world, &["users", "logs"]);
    sync_of(&world, "** !logs", true).await.unwrap();
    let held = world.held().await;
    assert_eq!(held.head.coverage().bases.len(), 1);
    assert_eq!((rows(&held, "logs"), rows(&held, "users")), ((1, 0), (1, 1)));
    assert!(!is_covered(&held, "logs") && is_covered(&held, "users"));
    assert_eq!(held.head.coverage().spans(&table("logs")).last().unwrap().to, left);
    held.assert_true(&world.deployment);
}

#[tokio::test]
async fn a_table_that_joins_gets_a_base_and_the_others_are_not_walked_again() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users", "logs", "logs"]);
    sync_of(&world, "users", false).await.unwrap();
    insert(&world, &["users", "logs"]);
    let report = sync_of(&world, "users logs", true).await.unwrap();
    assert!(report.caught_up);
    insert(&world, &["logs"]);
    sync_of(&world, "users logs", false).await.unwrap();
    let held = world.held().await;
    assert_eq!(held.head.coverage().bases.len(), 2);
    // Its changes arrive from the moment on at which it joined.
    assert_eq!((rows(&held, "logs"), rows(&held, "users")), ((3, 2), (1, 1)));
    assert!(is_covered(&held, "logs") && is_covered(&held, "users"));
    held.assert_true(&world.deployment);
}

#[tokio::test]
async fn a_table_that_joins_before_anything_came_after_the_snapshot_gets_a_base_all_the_same() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users", "logs"]);
    let options = SyncOptions::default().selection("users".parse().unwrap());
    // Each table is a page; the changes are not asked for any more.
    let source = Arc::new(Ending::after(2, false, world.client()));
    sync(source, &world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap_err();
    assert_eq!(world.held().await.head.coverage().bases.len(), 1);
    assert!(sync_of(&world, "**", true).await.unwrap().caught_up);
    let held = world.held().await;
    assert!(is_covered(&held, "logs") && rows(&held, "logs") == (1, 0));
    held.assert_true(&world.deployment);
}

#[tokio::test]
async fn a_selection_that_changes_in_the_middle_of_a_snapshot_keeps_the_tables_that_are_finished() {
    let world = World::new(pages(4, 4)).await;
    for name in ["a", "b", "c"] {
        insert(&world, &[name; 6]);
    }
    let source = Arc::new(Ending::after(3, false, world.client()));
    let options = SyncOptions::default().commit_every(Duration::ZERO);
    sync(source, &world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap_err();
    let done = world.held().await.head.progress().walk.clone().unwrap().done;
    assert_eq!(done.len(), 1);
    let kept = done[0].name();
    let excluded = ["a", "b", "c"].into_iter().find(|name| *name != kept).unwrap();
    assert!(sync_of(&world, &format!("** !{excluded}"), true).await.unwrap().caught_up);
    let held = world.held().await;
    assert_eq!(held.head.coverage().bases.len(), 2);
    assert_eq!(rows(&held, excluded), (0, 0));
    assert_eq!(rows(&held, kept), (6, 0), "it was not walked again");
    held.assert_true(&world.deployment);
}

#[tokio::test]
async fn a_deployment_that_moved_is_refused_until_that_is_accepted_and_then_the_archive_is_its_own() {
    let world = World::new(pages(4, 4)).await;
    insert(&world, &["users"]);
    world.sync().await;
    insert(&world, &["users"]);
    // The same database behind another port.
    let moved = crate::conformance::Server::start(Arc::clone(&world.deployment) as _, pages(4, 4)).await;
    let archive = world.archive().await;
    let run = |options: SyncOptions| {
        let source = Arc::new(crate::support::client(&moved.url));
        let archive = &archive;
        async move { sync(source, archive, &options, Arc::new(NoMonitor)).await }
    };
    let error = run(SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("--accept-deployment"), "{error}");
    let report = run(SyncOptions::default().accept_deployment(Some(moved.url.clone()))).await.unwrap();
    assert_eq!((report.documents, report.deployment.origin.as_str()), (1, moved.url.as_str()));
    // From now on the old address is the foreign one.
    assert!(run(SyncOptions::default()).await.unwrap().caught_up);
    assert_eq!(world.sync_with(&SyncOptions::default()).await.unwrap_err().kind(), ErrorKind::Usage);
    world.held().await.assert_true(&world.deployment);
}
