//! Tables of components: servers before 2026-08-11 leave their changes out of the log without a word, and look like those where no
//! component changes. What a server can prove, and what becomes of the tables where it cannot.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use convex_archiver::{
    NoMonitor, TableRef, Value,
    archive::{Covers, Head, ProofSource},
    server::{Components, RouterOptions},
    sync::{SyncOptions, sync},
};

use crate::support::{World, pages, source::Replaced, unproven};

fn table(component: &str) -> TableRef {
    TableRef::new(component, "users").unwrap()
}

fn insert(world: &World, component: &str) {
    let fields = [("n".to_owned(), Value::Int64(1))].into();
    world.deployment.transaction(|tx| tx.insert(&table(component), fields)).unwrap();
}

async fn head(world: &World) -> Head {
    world.archive().await.head().await.unwrap()
}

/// Whether a table of a component is covered as far as the archive reaches.
async fn covered(world: &World) -> bool {
    let head = head(world).await;
    let through = head.progress().delta.as_ref().unwrap().ts;
    matches!(head.coverage().covers(&table("waitlist"), through), Covers::Covered(_))
}

/// A world with a table of the root that changes, and one of a component that does not.
async fn quiet(options: RouterOptions) -> World {
    let world = World::new(options).await;
    insert(&world, "");
    insert(&world, "waitlist");
    world
}

async fn change_and_sync(world: &World) {
    insert(world, "");
    assert!(world.sync().await.caught_up);
}

#[tokio::test]
async fn a_quiet_component_is_covered_from_its_base_on_if_the_server_proves_that_it_sends_what_changes() {
    let by_code = pages(10, 10).data_sync_cursor(false);
    let by_route = pages(10, 10).bad_cursor_code(false);
    for options in [pages(10, 10), by_code, by_route] {
        let world = quiet(options).await;
        let first = world.sync().await.through.unwrap();
        for _ in 0..3 {
            change_and_sync(&world).await;
        }
        assert!(covered(&world).await);
        let head = head(&world).await;
        assert_eq!(head.coverage().bases.len(), 1, "nothing was walked twice");
        let [span] = head.coverage().spans(&table("waitlist"))[..] else { panic!("{:?}", head.coverage()) };
        assert!(span.from <= first && span.to == head.progress().delta.as_ref().unwrap().ts);
        world.assert_equal().await;
    }
}

#[tokio::test]
async fn of_a_server_that_proves_nothing_the_components_are_walked_once_a_day() {
    let world = quiet(unproven(10, 10)).await;
    world.sync().await;
    change_and_sync(&world).await;
    assert!(!covered(&world).await);
    assert_eq!(head(&world).await.coverage().bases.len(), 1, "a day has not passed");

    let each_run = SyncOptions::default().component_base_every(Duration::ZERO);
    for bases in 2..4 {
        insert(&world, "");
        world.sync_with(&each_run).await.unwrap();
        let head = head(&world).await;
        let newest = head.coverage().bases.iter().max_by_key(|base| base.ts).unwrap();
        assert_eq!(head.coverage().bases.len(), bases);
        assert!(newest.scope.contains(&table("waitlist")) && !newest.scope.contains(&table("")));
        let spans = head.coverage().spans(&table("waitlist"));
        assert_eq!(spans.len(), bases, "each is a moment that can be restored: {spans:?}");
        assert_eq!(spans.last().unwrap().to, newest.ts);
    }
    world.assert_equal().await;
}

#[tokio::test]
async fn a_server_that_was_upgraded_between_two_runs_gets_a_base_of_its_components_and_proves_from_there() {
    let old = pages(10, 10).components(Components::NotInDeltas);
    let mut world = quiet(old).await;
    world.sync().await;
    // What the old server never tells.
    insert(&world, "waitlist");
    change_and_sync(&world).await;
    assert!(!covered(&world).await);

    world.serve_as(pages(10, 10)).await;
    insert(&world, "");
    assert!(world.sync().await.caught_up);
    assert!(covered(&world).await);
    let found = head(&world).await;
    assert_eq!(found.coverage().bases.len(), 2);
    assert_eq!(found.coverage().spans(&table("waitlist")).len(), 2, "S of the first base, and from the second on");
    insert(&world, "waitlist");
    change_and_sync(&world).await;
    assert!(covered(&world).await && head(&world).await.coverage().bases.len() == 2);
    let held = world.held().await;
    assert_eq!(held.state_at(held.through())[&table("waitlist")].len(), 3);
}

#[tokio::test]
async fn a_server_that_was_replaced_by_an_older_one_proves_nothing_any_more() {
    let mut world = quiet(pages(10, 10)).await;
    let first = world.sync().await.through.unwrap();
    change_and_sync(&world).await;
    assert!(covered(&world).await);

    world.serve_as(pages(10, 10).components(Components::NotInDeltas)).await;
    insert(&world, "waitlist");
    change_and_sync(&world).await;
    assert!(!covered(&world).await, "the change was not told");
    let archive = world.archive().await;
    let commits = archive.head().await.unwrap().version();
    assert!(commits > 2);

    world.serve_as(pages(10, 10)).await;
    change_and_sync(&world).await;
    let head = head(&world).await;
    let spans = head.coverage().spans(&table("waitlist"));
    assert_eq!(spans.first().map(|span| (span.from <= first, span.from == span.to)), Some((true, true)), "{spans:?}");
    assert!(covered(&world).await && spans.len() == 2, "{spans:?}");
}

#[tokio::test]
async fn a_server_that_was_replaced_by_an_older_one_within_a_run_proves_nothing_at_its_end() {
    for (sends, is_covered) in [([true, true], true), ([true, false], false)] {
        let world = quiet(unproven(10, 10)).await;
        let source = Replaced { inner: world.client(), sends: Mutex::new(sends.into()) };
        // One commit holds all, so nothing of the run's beginning is in the archive when its end is asked.
        let options = SyncOptions::default().commit_every(Duration::from_secs(3600));
        insert(&world, "");
        sync(Arc::new(source), &world.archive().await, &options, Arc::new(NoMonitor)).await.unwrap();
        assert_eq!(head(&world).await.coverage().component_rows.is_some(), is_covered, "{sends:?}");
        // A later run learns nothing from this server.
        change_and_sync(&world).await;
        let through = head(&world).await.progress().delta.as_ref().unwrap().ts;
        assert!(!head(&world).await.coverage().spans(&table("waitlist")).iter().any(|span| span.to == through));
    }
}

#[tokio::test]
async fn each_run_notes_what_the_server_proved_at_its_beginning_and_at_its_end() {
    let world = quiet(pages(10, 10)).await;
    world.sync().await;
    change_and_sync(&world).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let text = world.store_text(&format!("log/{:020}.json", head.version())).await;
    let through = head.progress().delta.as_ref().unwrap().ts;
    for by in [ProofSource::Beginning, ProofSource::End] {
        let by = serde_json::to_string(&by).unwrap();
        assert!(text.contains(&format!("\"by\":{by}")), "{text}");
    }
    assert!(text.contains(&format!("{{\"ts\":\"{}\",\"by\":\"end\"}}", through.0)), "{text}");
    assert_eq!(head.coverage().component_rows.map(|rows| rows.seen < through), Some(true), "no row came");
}
