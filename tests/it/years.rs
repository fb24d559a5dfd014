//! Servers of other years: what they send is archived whole, and what they do not send is not claimed.

use std::{sync::Arc, time::Duration};

use chrono::NaiveDate;
use convex_archiver::{
    Encoding, TableRef, Timestamp,
    archive::Status,
    convex::Source,
    server::{
        Components, Contents, Fault, JsonSchemas, Posts, RouterOptions, SeededWriter, SimulatedDeployment,
        TableParameter,
    },
};

use crate::support::{World, pages};

async fn world(options: RouterOptions) -> World {
    let deployment = SimulatedDeployment::new("otter-1", 7);
    deployment.insert_all(Contents::Generated(200).documents(7).unwrap()).unwrap();
    World::of(deployment, options).await
}

fn write(world: &World) {
    let mut writer = SeededWriter::new(7);
    for _ in 0..60 {
        writer.write(&world.deployment).unwrap();
    }
}

/// All rows of tables of the root, and none of components: a server without components has none.
async fn assert_root_is_equal(world: &World) {
    let held = world.held().await;
    let at = held.through();
    let mut expected = world.deployment.state_at(at);
    expected.retain(|table, documents| table.component().is_empty() && !documents.is_empty());
    let state = held.state_at(at);
    let held: Vec<_> = state.iter().map(|(table, rows)| (table.clone(), rows.len())).filter(|(_, n)| *n > 0).collect();
    let expected: Vec<_> = expected.iter().map(|(table, rows)| (table.clone(), rows.len())).collect();
    assert_eq!(held, expected);
}

#[tokio::test]
async fn rows_without_component_and_schemas_without_by_component_are_the_roots() {
    let old = pages(50, 20).components(Components::Unknown).schemas(JsonSchemas::Flat);
    let old = old.server_of(NaiveDate::from_ymd_opt(2025, 7, 1).unwrap());
    let world = world(old.snapshot_window(Duration::MAX).deltas_window(Duration::MAX)).await;
    let shapes = world.client().shapes().await.unwrap();
    assert!(!shapes.complete && shapes.tables.keys().all(|table| table.component().is_empty()));
    world.sync().await;
    write(&world);
    assert!(world.sync().await.caught_up);
    assert_root_is_equal(&world).await;
}

#[tokio::test]
async fn a_server_that_sends_no_changes_of_components_leaves_them_in_doubt() {
    let old = pages(50, 20).server_of(NaiveDate::from_ymd_opt(2026, 8, 10).unwrap());
    let world = world(old.snapshot_window(Duration::MAX).deltas_window(Duration::MAX)).await;
    world.sync().await;
    write(&world);
    assert!(world.sync().await.caught_up);
    let status = Status::of(&world.held().await.head, Timestamp(i64::MAX));
    assert!(status.tables.iter().any(|t| !t.table.component().is_empty()));
    for table in &status.tables {
        let of_component = !table.table.component().is_empty();
        assert_eq!(table.component_doubt, of_component, "{}", table.table);
        assert_eq!(table.covered.iter().all(|span| span.from == span.to), of_component, "{}", table.table);
    }
    assert_root_is_equal_to_state(&world).await;
}

/// The root's tables are as the deployment has them now.
async fn assert_root_is_equal_to_state(world: &World) {
    let held = world.held().await;
    let at = held.through();
    let (state, expected) = (held.state_at(at), world.deployment.state_at(at));
    for (table, rows) in expected.iter().filter(|(table, _)| table.component().is_empty()) {
        assert_eq!(state.get(table).map_or(0, std::collections::BTreeMap::len), rows.len(), "{table}");
    }
}

#[tokio::test]
async fn without_its_name_and_version_a_deployment_is_known_by_its_key() {
    let world = world(pages(50, 20).instance_name(false).instance_version(None)).await;
    assert_eq!(world.client().identity().await.unwrap().name.as_deref(), Some("otter-1"));
    let nameless = Arc::new(world.client());
    assert_eq!(nameless.traffic().requests, 0, "the key tells it");
}

#[test]
fn each_day_has_the_switches_of_its_time() {
    let of = |year, month, day| RouterOptions::default().server_of(NaiveDate::from_ymd_opt(year, month, day).unwrap());
    let days = |options: &RouterOptions| {
        (options.snapshot_window.as_secs() / 86_400, options.deltas_window.as_secs() / 86_400)
    };
    let first = of(2025, 8, 1);
    assert_eq!((first.posts, first.table_parameter), (Posts::Ignore, TableParameter::Camel));
    assert_eq!(first.formats, [Encoding::ConvexEncodedJson, Encoding::Json]);
    assert_eq!((days(&first), first.components), ((30, 79), Components::NotInDeltas));
    let winter = of(2026, 3, 11);
    assert_eq!((winter.posts, winter.table_parameter, days(&winter)), (Posts::Select, TableParameter::Snake, (5, 30)));
    assert!(winter.formats.contains(&Encoding::ExportJson) && !winter.bad_cursor_code);
    let now = of(2026, 9, 1);
    assert_eq!(
        (now.table_parameter, now.components, days(&now)),
        (TableParameter::Both, Components::Everywhere, (5, 14))
    );
    let roots = RouterOptions::default().components(Components::Unknown);
    assert_eq!(roots.server_of(NaiveDate::MAX).components, Components::Unknown);
}

#[tokio::test]
async fn a_proxy_that_answers_in_html_for_a_while_costs_a_retry() {
    let faults = vec![Fault::html(502).on("/api/list_snapshot").after(1).times(1)];
    let world = world(pages(50, 20).faults(faults)).await;
    assert!(world.sync().await.caught_up);
    let table = TableRef::new("", "users").unwrap();
    assert!(world.held().await.head.table(&table).is_some());
}
