//! A database that was made anew behind its old name and URL.

use convex_archiver::{
    ErrorKind, TableRef, Value, archive::TableState, server::SimulatedDeployment, sync::SyncOptions,
};

use crate::support::{World, pages};

fn insert(deployment: &SimulatedDeployment, table: &str, n: i64) -> String {
    let table = TableRef::new("", table).unwrap();
    let fields = [("n".to_owned(), Value::Int64(n))].into();
    deployment.transaction(|tx| tx.insert(&table, fields)).unwrap().1
}

/// An archive of a deployment with a large table and two small ones.
async fn world() -> World {
    let world = World::new(pages(10, 100)).await;
    for n in 0..30 {
        insert(&world.deployment, "messages", n);
    }
    for table in ["settings", "users"] {
        insert(&world.deployment, table, 1);
    }
    world.sync().await;
    world
}

/// The server is started again, with another database.
async fn anew(world: &mut World, deployment: SimulatedDeployment) {
    world.deployment = deployment.into();
    world.serve_as(pages(10, 100)).await;
}

#[tokio::test]
async fn a_database_made_anew_is_noticed_before_anything_of_it_is_committed() {
    let mut world = world().await;
    let before = world.archive().await.head().await.unwrap();
    anew(&mut world, SimulatedDeployment::new("otter-1", 8)).await;
    // An empty one has none of the tables: they were not dropped.
    let error = world.sync_with(&SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    for table in ["settings", "users", "messages"] {
        insert(&world.deployment, table, 2);
    }
    let error = world.sync_with(&SyncOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    for told in ["created anew", "table settings", "--accept-deployment", "Nothing was committed"] {
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    let after = world.archive().await.head().await.unwrap();
    assert_eq!(
        after.tables().map(TableState::visible).collect::<Vec<_>>(),
        before.tables().map(TableState::visible).collect::<Vec<_>>()
    );

    let origin = after.deployment().origin.clone();
    let accepted = SyncOptions::default().accept_deployment(Some(origin));
    world.sync_with(&accepted).await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_replaced_or_dropped_is_no_other_database() {
    let world = world().await;
    let settings = TableRef::new("", "settings").unwrap();
    world.deployment.drop_table(&settings).unwrap();
    insert(&world.deployment, "settings", 2);
    insert(&world.deployment, "users", 2);
    assert!(world.sync().await.caught_up);
}

#[tokio::test]
async fn a_server_that_knows_no_selection_is_believed() {
    let mut world = world().await;
    world.serve_as(pages(10, 100).posts(convex_archiver::server::Posts::Refuse)).await;
    insert(&world.deployment, "users", 2);
    assert!(world.sync().await.caught_up);
}
