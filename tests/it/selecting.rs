//! What is not selected never leaves a deployment that understands selections, and is archived from none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use convex_archiver::{
    ErrorKind, Monitor, Selection, TableRef, Timestamp, Value,
    archive::Archive,
    convex::{Access, Client, ClientOptions, DeployKey, Page, SnapshotScope, Source},
    server::{Components, Contents, Fault, Posts, RouterOptions, SeededWriter, SimulatedDeployment},
    sync::{SyncOptions, sync},
};

use crate::support::{KEY, Warnings, World, pages, source::Ending};

/// `messages`, `users`, `orders`, `analytics/events` and `analytics/daily/counters`, and a log of changes to them.
async fn world(options: RouterOptions) -> World {
    let deployment = SimulatedDeployment::new("otter-1", 7);
    deployment.insert_all(Contents::Generated(200).documents(7).unwrap()).unwrap();
    let world = World::of(deployment, options).await;
    let mut writer = SeededWriter::new(7);
    for _ in 0..60 {
        writer.write(&world.deployment).unwrap();
    }
    world
}

fn client(world: &World, selection: &Selection) -> (Client, Arc<Warnings>) {
    let access = Access::new(&world.server.url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let warnings = Arc::new(Warnings::default());
    let options = ClientOptions::default().selection(selection.clone());
    (Client::new(access, options, Arc::clone(&warnings) as Arc<dyn Monitor>).unwrap(), warnings)
}

/// Rows by table: of a whole walk, then of all deltas from the beginning of time.
type Rows = [BTreeMap<TableRef, usize>; 2];

fn count(page: &Page, rows: &mut BTreeMap<TableRef, usize>) {
    let before: usize = rows.values().sum();
    for document in &page.documents {
        *rows.entry(page.tables[document.table as usize].clone()).or_default() += 1;
    }
    let used: BTreeSet<_> = page.documents.iter().map(|document| document.table).collect();
    assert_eq!(used.len(), page.tables.len(), "tables without rows");
    assert_eq!(rows.values().sum::<usize>() - before, page.documents.len());
}

/// Everything that the client sees, and whether each body held what is selected and nothing else.
async fn read(client: &Client, selection: &Selection) -> (Rows, bool) {
    let (mut rows, mut clean) = (Rows::default(), true);
    let mut look = |page: &Page, rows: &mut BTreeMap<TableRef, usize>| {
        count(page, rows);
        let body: serde_json::Value = serde_json::from_slice(page.body.held().unwrap()).unwrap();
        for row in body["values"].as_array().unwrap() {
            let component = row["_component"].as_str().unwrap_or_default();
            let table = TableRef::new(component, row["_table"].as_str().unwrap()).unwrap();
            clean &= selection.contains(&table);
        }
    };
    let [walked, changed] = &mut rows;
    let mut at = Some(client.snapshot_start());
    while let Some(position) = at {
        let page = client.page(&position).await.unwrap();
        look(&page, walked);
        at = page.next;
    }
    let mut at = client.deltas_after(Timestamp(0)).await.unwrap();
    loop {
        let page = client.page(&at).await.unwrap();
        look(&page, changed);
        if !page.more {
            break;
        }
        at = page.next.unwrap();
    }
    (rows, clean)
}

fn expected(world: &World, selection: &Selection) -> Rows {
    let mut rows = Rows::default();
    for (table, documents) in world.deployment.state_at(Timestamp(i64::MAX)) {
        if selection.contains(&table) && !documents.is_empty() {
            rows[0].insert(table, documents.len());
        }
    }
    for (table, _) in world.deployment.revisions().iter().filter(|(table, _)| selection.contains(table)) {
        *rows[1].entry(TableRef::clone(table)).or_default() += 1;
    }
    rows
}

fn selections() -> Vec<Selection> {
    let table: [(&[&str], &[&str]); 9] = [
        (&["users"], &[]),
        (&[], &["users"]),
        (&["*"], &[]),
        (&["*/**"], &[]),
        (&["analytics/**"], &["analytics/events"]),
        (&["**/*s"], &["orders", "analytics/daily/*"]),
        (&["**/*e*"], &["**/event?"]),
        (&["no_such_table", "no/such/component"], &[]),
        (&["Users"], &[]),
    ];
    table.map(|(include, exclude)| Selection::new(include, exclude).unwrap()).into()
}

#[tokio::test]
async fn what_is_not_selected_never_leaves_a_deployment_that_understands_selections() {
    let world = world(pages(7, 5)).await;
    for selection in selections() {
        let (client, warnings) = client(&world, &selection);
        let shapes = client.shapes().await.unwrap();
        assert!(shapes.tables.keys().all(|table| selection.contains(table)), "{selection}");
        let (rows, clean) = read(&client, &selection).await;
        assert_eq!((rows, clean), (expected(&world, &selection), true), "{selection}");
        assert!(warnings.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_deployment_that_takes_no_selection_sends_everything_and_is_filtered_here_with_one_warning() {
    let refuses = |fault: Fault| pages(7, 5).faults(vec![fault]);
    // POSTs are refused in one way or another, or taken without heeding the selection.
    let table = [
        (pages(7, 5).posts(Posts::Refuse), "does not accept a selection (405)"),
        (refuses(Fault::refusal(400, "BadJsonBody").times(1)), "does not accept a selection (400 BadJsonBody)"),
        (refuses(Fault::html(404).times(1).on("/api/list_snapshot")), "does not accept a selection (404)"),
        (pages(7, 5).posts(Posts::Ignore), "ignores the selection"),
    ];
    let selection = Selection::new(["users", "analytics/**"], []).unwrap();
    for (options, told) in table {
        let world = world(options).await;
        let (client, warnings) = client(&world, &selection);
        let (rows, clean) = read(&client, &selection).await;
        assert_eq!((rows, clean), (expected(&world, &selection), false), "{told}");
        let warnings = warnings.0.lock().unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(told) && warnings[0].contains("bills"), "{warnings:?}");
    }
}

#[tokio::test]
async fn a_walk_of_some_components_gets_all_that_is_selected_of_them_whenever_the_deployment_shows_that_it_heeds_nothing()
 {
    let selection = Selection::new(["**/*s"], ["analytics/daily/*"]).unwrap();
    let components = ["analytics", "analytics/daily", "other"];
    let mut noticed_late = 0;
    for (posts, seed) in
        [Posts::Select, Posts::Ignore, Posts::Refuse].into_iter().flat_map(|p| (0..20).map(move |s| (p, s)))
    {
        // The seed says in which order the tables are walked.
        let deployment = SimulatedDeployment::new("otter-1", seed);
        for (component, name) in [("", "users"), ("analytics", "events"), ("analytics", "views"), ("other", "logs")] {
            let table = TableRef::new(component, name).unwrap();
            for _ in 0..3 {
                deployment.transaction(|tx| tx.insert(&table, BTreeMap::new())).unwrap();
            }
        }
        let world = World::of(deployment, pages(1, 1).posts(posts)).await;
        let (client, warnings) = client(&world, &selection);
        let ts = world.deployment.revisions().last().unwrap().1.ts;
        let mut at = Some(client.snapshot_of(&SnapshotScope::Components(components.map(Into::into).to_vec()), ts));
        let (mut rows, mut pages) = (BTreeMap::new(), 0);
        while let Some(position) = at {
            let before = warnings.0.lock().unwrap().len();
            let page = client.page(&position).await.unwrap();
            noticed_late += usize::from(pages > 0 && warnings.0.lock().unwrap().len() > before);
            pages += 1;
            count(&page, &mut rows);
            at = page.next;
        }
        let mut expected = expected(&world, &selection)[0].clone();
        expected.retain(|table, _| !table.component().is_empty());
        assert_eq!((rows.len(), rows), (3, expected), "{posts:?} {seed}");
    }
    assert!(noticed_late > 0);
}

#[tokio::test]
async fn a_table_that_begins_later_is_archived_if_a_pattern_fits_it() {
    let world = world(pages(100, 100)).await;
    let selection = Selection::new(["late_*", "users"], ["late_secret"]).unwrap();
    let archive = world.archive().await;
    let options = SyncOptions::default().selection(selection.clone());
    let tables = async || {
        let (client, _) = client(&world, &selection);
        sync(Arc::new(client), &archive, &options, Arc::new(Warnings::default())).await.unwrap();
        let reopened: Archive = world.archive().await;
        reopened.head().await.unwrap().tables().map(|t| t.table.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(tables().await, ["users"]);
    for name in ["late_fruit", "late_secret", "later"] {
        let table = TableRef::new("", name).unwrap();
        world.deployment.transaction(|tx| tx.insert(&table, BTreeMap::new()).map(|_| ())).unwrap();
    }
    assert_eq!(tables().await, ["late_fruit", "users"]);
}

#[tokio::test]
async fn a_server_from_before_selections_and_components_gives_what_is_selected_of_its_root() {
    let day = chrono::NaiveDate::from_ymd_opt(2025, 8, 1).unwrap();
    let options = pages(7, 5).components(Components::Unknown).server_of(day);
    let options = options.deltas_window(Duration::MAX);
    let world = world(options).await;
    let selection = Selection::new(["**/*s"], []).unwrap();
    let (client, _) = client(&world, &selection);
    let mut root = expected(&world, &selection);
    root.iter_mut().for_each(|rows| rows.retain(|table, _| table.component().is_empty()));
    assert_eq!(read(&client, &selection).await.0, root);
}

/// In the first run the deployment cannot list its tables, so that more is asked for than is selected, and the walk may stop
/// within a table that the second run would not ask for: there a deployment ends a walk without a word.
#[tokio::test]
async fn a_walk_that_is_gone_on_with_by_somebody_who_knows_the_tables_misses_none_of_them() {
    let selection: Selection = "log_*".parse().unwrap();
    let (mut cut_off, tables) = (0, ["log_a", "big", "log_b", "other"]);
    for pages_before in 1..=12 {
        let once = |path: &str| Fault::refusal(400, "NoSchemaForExport").on(path).times(1);
        let faults = vec![once("/api/json_schemas"), once("/api/get_table_column_names")];
        let world =
            World::of(SimulatedDeployment::new("otter-1", pages_before as u64), pages(4, 4).faults(faults)).await;
        for name in tables {
            let table = TableRef::new("", name).unwrap();
            for n in 0..10 {
                let fields = BTreeMap::from([("n".to_owned(), Value::Int64(n))]);
                world.deployment.transaction(|tx| tx.insert(&table, fields)).unwrap();
            }
        }
        let options = SyncOptions::default().selection(selection.clone()).commit_every(Duration::ZERO);
        let archive = world.archive().await;
        let first = Arc::new(Ending::after(pages_before, false, client(&world, &selection).0));
        cut_off += usize::from(sync(first, &archive, &options, Arc::new(Warnings::default())).await.is_err());
        let second = Arc::new(client(&world, &selection).0);
        assert!(sync(second, &archive, &options, Arc::new(Warnings::default())).await.unwrap().caught_up);
        let held = world.held().await;
        held.assert_true(&world.deployment);
        assert_eq!(held.bases.len(), 20, "after {pages_before} pages");
    }
    assert!(cut_off > 6);
}

#[tokio::test]
async fn a_client_that_leaves_out_what_is_to_be_archived_is_refused() {
    let world = world(pages(20, 20)).await;
    let narrow = Arc::new(client(&world, &"users".parse().unwrap()).0);
    let archive = world.archive().await;
    let error = sync(narrow, &archive, &SyncOptions::default(), Arc::new(Warnings::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert_eq!(archive.head().await.unwrap().version(), 0);
}

#[tokio::test]
async fn a_name_and_a_pattern_that_fit_no_table_are_warnings() {
    let world = world(pages(20, 20)).await;
    let selection: Selection = "** !massages !*_2".parse().unwrap();
    let options = SyncOptions::default().selection(selection.clone());
    let warnings = Arc::new(Warnings::default());
    let source = Arc::new(client(&world, &selection).0);
    sync(source, &world.archive().await, &options, Arc::clone(&warnings) as _).await.unwrap();
    let said = warnings.0.lock().unwrap().clone();
    assert_eq!(said.len(), 2, "{said:?}");
    ["`massages`", "`*_2`"].iter().for_each(|name| assert!(said.iter().any(|said| said.contains(name)), "{said:?}"));
}
