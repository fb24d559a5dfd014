//! Data Sync as our server offers it, over HTTP: what was seen of a real one, line by line. `fed.rs` holds the same server
//! against a recording.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    MemoryBudget, Selection, TableRef, Timestamp, Value,
    server::{
        ArchivedDeployment, Contents, Deployment, Documents, ImportMode, RouterOptions, SeededWriter, SimulateOptions,
        SimulatedDeployment,
    },
};
use serde_json::{Value as Json, json};

use crate::{
    conformance::{Server, values},
    support::{KEY, World, pages},
};

pub(crate) const SYNC: &str = "/api/v1/data/sync";
pub(crate) const ACTIVE: &str = "/api/v1/data/list_active_syncs";
pub(crate) const CONVERT: &str = "/api/data_sync_cursor_from_deltas";
const BEGIN: i64 = 1_795_434_575_000_000_000;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A deployment with a clock that is moved by hand, and pages of six values.
struct Scene {
    deployment: Arc<SimulatedDeployment>,
    clock: Arc<AtomicI64>,
    server: Server,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        Self::with(seed, RouterOptions::default().key(KEY.to_owned()).data_sync_page(6).data_sync_rows(14)).await
    }

    async fn with(seed: u64, options: RouterOptions) -> Self {
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let read = Arc::clone(&clock);
        let deployment =
            SimulatedDeployment::with_clock("otter-1", seed, move || Timestamp(read.load(Ordering::SeqCst)));
        let deployment = Arc::new(deployment);
        let server = Server::start(Arc::clone(&deployment) as Arc<dyn Deployment>, options).await;
        Self { deployment, clock, server }
    }

    fn pass(&self, nanoseconds: i64) {
        self.clock.fetch_add(nanoseconds, Ordering::SeqCst);
    }

    fn insert(&self, name: &str, count: i64) -> Vec<String> {
        let inserted = self.deployment.transaction(|t| {
            (0..count).map(|n| t.insert(&table(name), [("n".to_owned(), Value::Int64(n))].into())).collect()
        });
        inserted.unwrap().1
    }

    async fn refusal(&self, path: &str, body: Json) -> (u16, String) {
        let (status, body) = self.server.post(path, &body).await;
        let code = serde_json::from_str::<Json>(&body).unwrap()["code"].as_str().unwrap().to_owned();
        (status, code)
    }

    /// What list_active_syncs tells of a sync.
    async fn status(&self, sync: &Follower) -> Json {
        let listed = self.server.page(ACTIVE, &[]).await;
        let found = listed["syncs"].as_array().unwrap().iter().find(|one| one["syncId"] == json!(sync.sync_id));
        found.unwrap()["status"].clone()
    }

    /// Tables that json_schemas knows.
    async fn tables(&self) -> usize {
        let columns = self.server.page("/api/get_table_column_names", &[]).await;
        columns["byComponent"].as_object().unwrap().values().map(|tables| tables.as_array().unwrap().len()).sum()
    }

    /// What a snapshot shows at a moment, values in export_json.
    async fn snapshot(&self, at: i64) -> Held {
        let at = at.to_string();
        let mut held = Held::new();
        for row in values(&self.server.walk("export_json", &[("snapshot", &at)]).await) {
            let mut row = row.as_object().unwrap().clone();
            let [component, table] = ["_component", "_table"].map(|name| row.remove(name).unwrap());
            row.remove("_ts");
            let table = TableRef::new(component.as_str().unwrap(), table.as_str().unwrap()).unwrap();
            held.entry(table).or_default().insert(row["_id"].as_str().unwrap().to_owned(), row.into());
        }
        held
    }
}

fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn documents(count: i64) -> Vec<BTreeMap<String, Value>> {
    (0..count).map(|n| [("new".to_owned(), Value::Int64(n))].into()).collect()
}

/// `_id` to document, by table. Tables without documents are left out.
pub(crate) type Held = BTreeMap<TableRef, BTreeMap<String, Json>>;

/// A client that does what pages say.
#[derive(Default)]
pub(crate) struct Follower {
    pub(crate) selection: Option<Json>,
    pub(crate) cursor: Option<String>,
    pub(crate) sync_id: String,
    pub(crate) held: Held,
    /// Every truncate since the last time somebody looked.
    pub(crate) truncates: Vec<String>,
    requests: usize,
}

impl Follower {
    fn selecting(selection: Json) -> Self {
        Self { selection: Some(selection), ..Self::default() }
    }

    pub(crate) async fn page(&mut self, server: &Server) -> Json {
        let mut body = json!({ "cursor": self.cursor });
        if let Some(selection) = &self.selection {
            body["selection"] = selection.clone();
        }
        let (status, text) = server.post(SYNC, &body).await;
        assert_eq!(status, 200, "{text}");
        let page: Json = serde_json::from_str(&text).unwrap();
        self.take(&page);
        page
    }

    /// Does what a page says.
    pub(crate) fn take(&mut self, page: &Json) {
        for truncate in page["truncates"].as_array().unwrap() {
            let table = named(truncate);
            self.held.remove(&table);
            self.truncates.push(table.to_string());
        }
        for value in page["values"].as_array().unwrap() {
            let of_table = self.held.entry(named(value)).or_default();
            let id = value["value"]["_id"].as_str().unwrap().to_owned();
            if value["deleted"] == true {
                assert_eq!(value["value"], json!({ "_id": id }), "nothing else of a document that is gone");
                of_table.remove(&id);
            } else {
                of_table.insert(id, value["value"].clone());
            }
        }
        self.held.retain(|_, documents| !documents.is_empty());
        assert_eq!(page["pagination"]["hasMore"], true);
        let cursor = page["pagination"]["nextCursor"].as_str().unwrap();
        assert!(cursor.bytes().all(|b| b.is_ascii_hexdigit()));
        self.cursor = Some(cursor.to_owned());
        page["syncId"].as_str().unwrap().clone_into(&mut self.sync_id);
        self.requests += 1;
    }

    /// Until nothing is left; answers the moment and which tables were emptied.
    pub(crate) async fn follow(&mut self, server: &Server) -> (i64, Vec<String>) {
        self.requests = 0;
        loop {
            let page = self.page(server).await;
            if page["status"]["type"] == "upToDate" {
                let mut truncates = std::mem::take(&mut self.truncates);
                truncates.sort();
                return (page["status"]["snapshotTs"].as_i64().unwrap(), truncates);
            }
        }
    }

    fn ids(&self, name: &str) -> BTreeSet<String> {
        self.held.get(&table(name)).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }
}

fn named(row: &Json) -> TableRef {
    TableRef::new(row["component"].as_str().unwrap(), row["table"].as_str().unwrap()).unwrap()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// A selection of some tables of the root.
fn only(tables: &[&str]) -> Json {
    let mut root = json!({ "_other": "excluded" });
    for table in tables {
        root[table] = json!({ "_other": "included" });
    }
    json!({ "_other": "excluded", "": root })
}

#[tokio::test]
async fn a_first_walk_names_every_table_once_and_ends_with_the_state_at_its_moment() {
    let scene = Scene::new(3).await;
    let contents: Documents = Contents::Generated(60).documents(5).unwrap();
    scene.deployment.insert_all(contents).unwrap();
    scene.deployment.create_table(&table("empty")).unwrap();
    scene.pass(SECOND);
    let mut sync = Follower::default();
    let (mut begun, mut statuses) = (0, BTreeSet::new());
    let at = loop {
        scene.pass(SECOND / 100);
        let page = sync.page(&scene.server).await;
        assert!(page["values"].as_array().unwrap().len() <= 6);
        // A page begins one table beside the one that it ends; the first begins two.
        begun += page["truncates"].as_array().unwrap().len();
        assert!(page["truncates"].as_array().unwrap().len() <= if sync.requests == 1 { 2 } else { 1 });
        let status = &page["status"];
        statuses.insert(status["type"].as_str().unwrap().to_owned());
        assert_eq!(status["type"] == "snapshotting", status.get("snapshotTs").is_none());
        if status["type"] == "upToDate" {
            break status["snapshotTs"].as_i64().unwrap();
        }
    };
    assert_eq!(statuses, ["snapshotting", "stale", "upToDate"].map(str::to_owned).into());
    assert_eq!((begun, sync.truncates.iter().collect::<BTreeSet<_>>().len()), (6, 6), "the empty one too");
    assert_eq!(sync.held, scene.snapshot(at).await);
    // At rest one request tells so, with a later moment.
    sync.truncates.clear();
    scene.pass(60 * SECOND);
    let (later, truncates) = sync.follow(&scene.server).await;
    assert!(later > at && truncates.is_empty() && sync.requests == 1);
}

#[tokio::test]
async fn every_stale_or_up_to_date_page_is_the_state_at_its_moment_while_writes_go_on() {
    for seed in 0..6 {
        // Sometimes the log has to be read up in the midst of a walk.
        let freshness = std::time::Duration::from_secs(1 + seed % 3);
        let options = RouterOptions::default().key(KEY.to_owned()).data_sync_page(6).data_sync_rows(14);
        let scene = Scene::with(seed, options.data_sync_freshness(freshness)).await;
        let options = SimulateOptions::default().contents(Contents::Generated(50)).seed(seed);
        scene.deployment.insert_all(options.contents.documents(seed).unwrap()).unwrap();
        let mut writer = SeededWriter::new(seed);
        let (mut sync, mut compared, mut dropped) = (Follower::default(), 0, BTreeSet::new());
        for step in 0..120 {
            scene.pass(SECOND / 4);
            if step < 100 {
                writer.write(&scene.deployment).unwrap();
            }
            if step == 5 {
                scene.deployment.drop_table(&table("users")).unwrap();
                dropped.insert(table("users"));
            }
            if step == 8 || step == 60 {
                let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("orders")]).unwrap();
                import.insert(&table("orders"), documents(4)).unwrap();
                import.finish().unwrap();
            }
            let page = sync.page(&scene.server).await;
            if let Some(at) = page["status"]["snapshotTs"].as_i64() {
                let mut held = sync.held.clone();
                let mut known = scene.snapshot(at).await;
                // What is stale may lie before the drop or the flip, of which only the present is known.
                if page["status"]["type"] != "upToDate" {
                    for unsure in ["orders", "users"] {
                        held.remove(&table(unsure));
                        known.remove(&table(unsure));
                    }
                }
                held.retain(|table, _| !dropped.contains(table) || known.contains_key(table));
                assert_eq!(held, known, "seed {seed}, step {step}");
                compared += 1;
            }
        }
        assert!(compared > 10, "seed {seed}: {compared}");
    }
}

#[tokio::test]
async fn values_stand_by_themselves_in_export_json_and_transactions_stay_whole() {
    let scene = Scene::new(1).await;
    let fields = |n: i64| [("i".to_owned(), Value::Int64(n)), ("f".to_owned(), Value::Float64(33.0))].into();
    scene.deployment.transaction(|t| t.insert(&table("t"), fields(i64::MAX))).unwrap();
    let (_, text) = scene.server.post(SYNC, &json!({})).await;
    assert!(text.contains(r#""truncates":[{"component":"","table":"t"}],"values":[{"component":"","table":"t","ts":"#));
    assert!(text.contains(r#","deleted":false,"value":{"_creationTime":"#));
    assert!(text.contains(r#","f":33.0,"i":9223372036854775807}}]"#), "{text}");
    let mut sync = Follower::default();
    sync.follow(&scene.server).await;
    scene.pass(SECOND);
    let ids = scene.insert("t", 40);
    let (_, gone) = scene
        .deployment
        .transaction(|tx| {
            let id = tx.insert(&table("t"), fields(1))?;
            tx.delete(&table("t"), &id)?;
            Ok(id)
        })
        .unwrap();
    let page = sync.page(&scene.server).await;
    assert_eq!((page["values"].as_array().unwrap().len(), &page["status"]["type"]), (40, &json!("stale")));
    assert!(set(&ids).is_subset(&sync.ids("t")));
    let page = sync.page(&scene.server).await;
    assert_eq!(page["values"][0]["value"], json!({ "_id": gone }));
    assert_eq!(page["status"]["type"], "upToDate");
}

#[tokio::test]
async fn a_replaced_or_cleared_table_is_emptied_first_and_a_name_used_again_too() {
    let scene = Scene::new(1).await;
    for name in ["kept", "replaced", "cleared", "dropped"] {
        scene.insert(name, 3);
    }
    let mut sync = Follower::default();
    let (_, truncates) = sync.follow(&scene.server).await;
    assert_eq!(truncates.len(), 4);
    let dropped = sync.ids("dropped");
    let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("replaced")]).unwrap();
    import.insert(&table("replaced"), documents(2)).unwrap();
    import.finish().unwrap();
    scene.deployment.clear_tables(&[table("cleared")]).unwrap();
    scene.deployment.drop_table(&table("dropped")).unwrap();
    let mut append = scene.deployment.begin_import(ImportMode::Append, &[table("kept")]).unwrap();
    append.insert(&table("kept"), documents(2)).unwrap();
    append.finish().unwrap();
    let (at, truncates) = sync.follow(&scene.server).await;
    assert_eq!(truncates, ["cleared", "replaced"]);
    // A drop is not told.
    assert_eq!(sync.ids("dropped"), dropped);
    let mut held = sync.held.clone();
    held.remove(&table("dropped"));
    assert_eq!(held, scene.snapshot(at).await);
    assert_eq!(scene.status(&sync).await["totalTables"], 3);
    scene.insert("dropped", 1);
    let (at, truncates) = sync.follow(&scene.server).await;
    assert_eq!(truncates, ["dropped"]);
    assert_eq!(sync.held, scene.snapshot(at).await);
    // A new empty table: the truncate and no value.
    scene.deployment.create_table(&table("new")).unwrap();
    assert_eq!(sync.follow(&scene.server).await.1, ["new"]);
}

#[tokio::test]
async fn while_an_import_fills_a_sync_shows_it_and_after_the_commit_agrees_again() {
    let scene = Scene::new(1).await;
    let old = scene.insert("t", 9);
    let mut sync = Follower::default();
    sync.follow(&scene.server).await;
    let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
    let (_, mut new) = import.insert(&table("t"), documents(4)).unwrap();
    let (at, truncates) = sync.follow(&scene.server).await;
    assert_eq!((truncates, sync.ids("t")), (vec!["t".to_owned()], set(&new)));
    let shown = scene.snapshot(at).await[&table("t")].keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(shown, set(&old), "the snapshot of the very moment has the old ones");
    assert_eq!((scene.status(&sync).await["totalTables"].as_u64(), scene.tables().await), (Some(2), 1));
    new.extend(import.insert(&table("t"), documents(3)).unwrap().1);
    import.finish().unwrap();
    let (at, truncates) = sync.follow(&scene.server).await;
    assert_eq!((truncates, &sync.held), (Vec::new(), &scene.snapshot(at).await));
    assert_eq!((sync.ids("t"), scene.status(&sync).await["totalTables"].as_u64()), (set(&new), Some(1)));
}

#[tokio::test]
async fn a_first_walk_while_an_import_fills_may_stay_wrong_for_good() {
    // A truncate stands on the page with the last rows of the table before it: what goes, is a matter of page limits, and of
    // the ids of the tablets.
    for (page, old, new, expected) in [
        (6, 18, 12, [(false, 12), (true, 18)]),
        (6, 16, 9, [(true, 4 + 9), (true, 3 + 16)]),
        (100, 16, 9, [(true, 16 + 9), (true, 9 + 16)]),
    ] {
        let mut seen = BTreeSet::new();
        for seed in 0..8 {
            let options = RouterOptions::default().key(KEY.to_owned()).data_sync_page(page);
            let scene = Scene::with(seed, options).await;
            scene.insert("t", old);
            let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("t")]).unwrap();
            import.insert(&table("t"), documents(new)).unwrap();
            let mut sync = Follower::default();
            let (_, truncates) = sync.follow(&scene.server).await;
            assert_eq!(truncates, ["t", "t"], "both tablets, under one name");
            import.finish().unwrap();
            let (at, truncates) = sync.follow(&scene.server).await;
            assert!(truncates.is_empty());
            seen.insert((sync.held != scene.snapshot(at).await, sync.ids("t").len()));
        }
        assert_eq!(seen, expected.into(), "{page}");
    }
}

#[tokio::test]
async fn what_a_failed_import_wrote_is_kept_and_the_real_documents_are_lost() {
    let scene = Scene::new(1).await;
    let old = scene.insert("t", 5);
    let mut sync = Follower::default();
    sync.follow(&scene.server).await;
    let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("t"), table("never")]).unwrap();
    let (_, phantoms) = import.insert(&table("t"), documents(51)).unwrap();
    import.insert(&table("never"), documents(2)).unwrap();
    import.fail();
    let (_, truncates) = sync.follow(&scene.server).await;
    assert_eq!((truncates, sync.ids("t")), (vec!["never".to_owned(), "t".to_owned()], set(&phantoms)));
    assert_eq!((scene.status(&sync).await["totalTables"].as_u64(), scene.tables().await), (Some(3), 1));
    // A cold start in this time walks both.
    let mut cold = Follower::default();
    let (_, truncates) = cold.follow(&scene.server).await;
    assert_eq!(truncates, ["never", "t", "t"]);
    // Then they are gone, and a new sync is right. The old one is not told.
    for _ in 0..2 {
        scene.pass(8 * DAY);
        assert!(sync.follow(&scene.server).await.1.is_empty());
    }
    assert_eq!(sync.ids("t"), set(&phantoms));
    assert_eq!((scene.status(&sync).await["totalTables"].as_u64(), scene.tables().await), (Some(1), 1));
    let mut right = Follower::default();
    right.follow(&scene.server).await;
    assert_eq!((right.ids("t"), right.ids("never").len()), (set(&old), 0));
}

#[tokio::test]
async fn a_selection_brings_its_tables_and_columns_and_more_of_it_brings_those_alone() {
    let scene = Scene::new(1).await;
    for name in ["a", "b", "c"] {
        scene.insert(name, 3);
    }
    let mut sync = Follower::selecting(only(&["a"]));
    assert_eq!(sync.follow(&scene.server).await.1, ["a"]);
    assert_eq!(scene.status(&sync).await["totalTables"], 1);
    sync.selection = Some(only(&["a", "b"]));
    assert_eq!(sync.follow(&scene.server).await.1, ["b"]);
    sync.selection = Some(only(&["b"]));
    let before = sync.ids("a");
    scene.insert("a", 1);
    assert_eq!(sync.follow(&scene.server).await.1, [""; 0], "a table that is not asked for any more just stops");
    assert_eq!(sync.ids("a"), before);
    sync.selection = Some(only(&["a", "b"]));
    assert_eq!(sync.follow(&scene.server).await.1, ["a"]);
    assert_eq!(sync.ids("a").len(), 4);
    // `_id` alone; and one column left out.
    let columns = json!({ "_other": "excluded", "": { "_other": "excluded",
        "a": { "_id": "included", "_other": "excluded" }, "b": { "_creationTime": "excl", "_other": "incl" } } });
    let mut columns = Follower::selecting(columns);
    columns.follow(&scene.server).await;
    let fields = |name: &str| {
        let documents = &columns.held[&table(name)];
        documents.values().next().unwrap().as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!((fields("a"), fields("b")), (vec!["_id".to_owned()], vec!["_id".to_owned(), "n".to_owned()]));
    for nothing in [only(&["nosuch"]), only(&["_tables"]), json!({ "_other": "excluded" })] {
        let mut sync = Follower::selecting(nothing);
        sync.follow(&scene.server).await;
        assert_eq!((sync.requests, sync.held.len()), (1, 0));
    }
}

#[tokio::test]
async fn refuses_with_the_codes_that_were_seen() {
    let scene = Scene::new(1).await;
    scene.insert("t", 1);
    let mut sync = Follower::default();
    sync.follow(&scene.server).await;
    let cursor = sync.cursor.clone().unwrap();
    let other = SimulatedDeployment::with_clock("raven-2", 1, || Timestamp(BEGIN));
    let other = Server::start(Arc::new(other), RouterOptions::default().key(KEY.to_owned())).await;
    let foreign: Json = serde_json::from_str(&other.post(SYNC, &json!({})).await.1).unwrap();
    let mut changed = cursor.clone();
    changed.replace_range(60..61, if &cursor[60..61] == "0" { "1" } else { "0" });
    for (cursor, code) in [
        (json!("garbage"), "InvalidDataSyncCursor"),
        (json!(""), "InvalidDataSyncCursor"),
        (json!("01ff00"), "InvalidDataSyncCursor"),
        (json!(changed), "InvalidDataSyncCursor"),
        (foreign["pagination"]["nextCursor"].clone(), "InvalidDataSyncCursor"),
        (json!(BEGIN), "BadJsonBody"),
    ] {
        assert_eq!(scene.refusal(SYNC, json!({ "cursor": cursor })).await, (400, code.to_owned()), "{cursor}");
    }
    let (bad, selection) = ("BadJsonBody", "InvalidDataSyncSelection");
    let of_t = |columns: Json| json!({ "_other": "excl", "": { "_other": "excl", "t": columns } });
    for (asked, code) in [
        (json!({ "": { "t": { "_other": "included" } } }), bad),
        (json!({ "_other": "excluded", "": { "t": { "_other": "included" } } }), bad),
        (json!({ "_other": "yes" }), bad),
        (json!("t"), bad),
        (of_t(json!("included")), bad),
        (of_t(json!({ "_id": "excluded", "_other": "included" })), selection),
        (of_t(json!({ "n": "included", "_other": "excluded" })), selection),
        (only(&["my-table"]), selection),
        (json!({ "_other": "excluded", "a-b": { "_other": "included" } }), selection),
    ] {
        let body = json!({ "selection": asked });
        assert_eq!(scene.refusal(SYNC, body.clone()).await, (400, code.to_owned()), "{body}");
        let body = json!({ "selection": asked, "cursor": BEGIN });
        assert_eq!(scene.refusal(CONVERT, body.clone()).await, (400, code.to_owned()), "{body}");
    }
    for (cursor, code) in [
        (json!({}), bad),
        (json!({ "cursor": "abc" }), bad),
        (json!({ "cursor": -1 }), "InvalidDataSyncCursor"),
        (json!({ "cursor": 9_000_000_000_000_000_000_i64 }), "InvalidDataSyncCursor"),
        (json!({ "cursor": 0 }), "DataSyncCursorExpired"),
        (json!({ "cursor": 1 }), "DataSyncCursorExpired"),
    ] {
        assert_eq!(scene.refusal(CONVERT, cursor.clone()).await, (400, code.to_owned()), "{cursor}");
    }
    // Arguments of the older routes are not known here, and no body but JSON is.
    assert_eq!(scene.server.post(SYNC, &json!({ "format": "xx", "tableName": "a-b" })).await.0, 200);
    let send = |body: &'static str, content_type: Option<&'static str>, key: Option<&'static str>| {
        let mut request = scene.server.http().post(format!("{}{SYNC}", scene.server.url)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        if let Some(key) = key {
            request = request.header("Authorization", key);
        }
        scene.server.send(request)
    };
    let (key, json) = (Some("Convex otter-1|secret"), Some("application/json"));
    for (body, content_type) in [("{}", None), ("{}", Some("text/plain")), ("{", json), ("[]", json), ("", json)] {
        let (status, text) = send(body, content_type, key).await;
        assert!(status == 400 && text.contains("BadJsonBody"), "{body} {text}");
    }
    assert_eq!(send("{}", json, None).await.0, 403);
    assert_eq!(send("{}", json, Some("Convex otter-1|wrong")).await.0, 401);
    assert_eq!(scene.server.get(SYNC, &[]).await, (405, String::new()));
    // Past retention, by the deployment's clock.
    scene.pass(14 * DAY + SECOND);
    assert_eq!(scene.refusal(SYNC, json!({ "cursor": cursor })).await, (400, "DataSyncCursorExpired".to_owned()));
    assert_eq!(scene.refusal(CONVERT, json!({ "cursor": BEGIN })).await, (400, "DataSyncCursorExpired".to_owned()));
}

#[tokio::test]
async fn active_syncs_are_listed_with_how_far_they_are() {
    let scene = Scene::new(1).await;
    scene.insert("a", 10);
    scene.insert("b", 4);
    assert_eq!(scene.server.page(ACTIVE, &[]).await, json!({ "syncs": [], "pagination": { "hasMore": false } }));
    let mut sync = Follower::selecting(only(&["a"]));
    sync.page(&scene.server).await;
    assert_eq!(
        scene.status(&sync).await,
        json!({ "type": "snapshotting", "numTablesSynced": 0, "totalTables": 1, "currentComponent": "",
            "currentTable": "a", "numDocumentsInCurrentTable": 6, "totalDocumentsInCurrentTable": 10,
            "numDocumentsSynced": 6, "totalDocuments": 10 })
    );
    let (at, _) = sync.follow(&scene.server).await;
    let done = json!({ "type": "upToDate", "totalTables": 1, "numDocumentsSynced": 10, "syncedTs": at });
    assert_eq!(scene.status(&sync).await, done);
    let mut ids = vec![sync.sync_id.clone()];
    for _ in 0..4 {
        scene.pass(SECOND);
        let mut sync = Follower::default();
        sync.page(&scene.server).await;
        ids.push(sync.sync_id);
    }
    ids.reverse();
    let (mut listed, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = scene.server.page(ACTIVE, &query).await;
        let syncs = page["syncs"].as_array().unwrap();
        assert!(syncs.len() <= 2 && syncs[0]["lastUpdated"].as_i64().unwrap() >= BEGIN / 1_000_000);
        listed.extend(syncs.iter().map(|sync| sync["syncId"].as_str().unwrap().to_owned()));
        if page["pagination"]["hasMore"] == false {
            break;
        }
        cursor = Some(page["pagination"]["nextCursor"].as_str().unwrap().to_owned());
    }
    assert_eq!(listed, ids);
    for (query, code) in [
        (("limit", "0"), "LimitOutOfRange"),
        (("limit", "101"), "LimitOutOfRange"),
        (("limit", "x"), "BadQueryArgs"),
        (("cursor", "nonsense"), "InvalidCursor"),
    ] {
        let (status, body) = scene.server.get(ACTIVE, &[query]).await;
        assert!(status == 400 && body.contains(code), "{body}");
    }
    scene.pass(3 * DAY - SECOND / 2);
    sync.page(&scene.server).await;
    assert_eq!(scene.server.page(ACTIVE, &[]).await["syncs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cursor_made_of_deltas_takes_the_tablets_of_now_as_known() {
    let scene = Scene::new(1).await;
    scene.insert("replaced", 3);
    let kept = scene.insert("kept", 2);
    let cursor = scene.deployment.now().await.unwrap().0;
    scene.pass(SECOND);
    scene.deployment.clear_tables(&[table("replaced")]).unwrap();
    let later = scene.insert("kept", 2);
    let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("kept")]).unwrap();
    let (_, hidden) = import.insert(&table("kept"), documents(2)).unwrap();
    let convert = async |body: Json| {
        let (status, text) = scene.server.post(CONVERT, &body).await;
        assert_eq!(status, 200, "{text}");
        let made: Json = serde_json::from_str(&text).unwrap();
        Follower { cursor: Some(made["cursor"].as_str().unwrap().to_owned()), ..Follower::default() }
    };
    let mut sync = convert(json!({ "cursor": cursor })).await;
    let listed = scene.server.page(ACTIVE, &[]).await;
    assert!(listed["syncs"].as_array().unwrap().is_empty(), "it is a sync by its first page");
    // Nothing is said of what was replaced, and the rows of the hidden table come as if they were of the other.
    let (_, truncates) = sync.follow(&scene.server).await;
    assert_eq!((truncates, sync.ids("kept")), (Vec::new(), set(&[later, hidden].concat())));
    assert_eq!(scene.status(&sync).await["totalTables"], 3);
    assert!(kept.iter().all(|id| !sync.ids("kept").contains(id)));
    import.fail();
    // From now on one request tells whether an import touched a table, even one that failed at once.
    let now = scene.deployment.now().await.unwrap().0;
    let mut watch = convert(json!({ "cursor": now })).await;
    assert_eq!(watch.follow(&scene.server).await.1, [""; 0]);
    scene.deployment.drop_table(&table("replaced")).unwrap();
    assert_eq!(watch.follow(&scene.server).await.1, [""; 0]);
    let mut import = scene.deployment.begin_import(ImportMode::Replace, &[table("never")]).unwrap();
    assert!(import.insert(&table("never"), vec![[("_odd".to_owned(), Value::Null)].into()]).is_err());
    drop(import);
    assert_eq!(watch.follow(&scene.server).await.1, ["never"]);
    // Of the selected tables alone.
    let mut selected = convert(json!({ "cursor": now, "selection": only(&["kept"]) })).await;
    selected.selection = Some(only(&["kept"]));
    assert_eq!(selected.follow(&scene.server).await.1, [""; 0]);
    assert_eq!(scene.status(&selected).await["totalTables"], 2);
}

#[tokio::test]
async fn a_first_page_is_a_row_of_a_system_table_in_the_log() {
    let scene = Scene::new(1).await;
    scene.insert("t", 1);
    let rows = async || {
        let now = scene.deployment.now().await.unwrap();
        scene.deployment.log(Timestamp(0), now, usize::MAX).await.unwrap().rows.len()
    };
    let before = rows().await;
    let mut sync = Follower::default();
    sync.page(&scene.server).await;
    assert_eq!(rows().await, before + 1);
    sync.page(&scene.server).await;
    assert_eq!(rows().await, before + 1, "and not again within five seconds");
    scene.pass(6 * SECOND);
    sync.page(&scene.server).await;
    assert_eq!(rows().await, before + 2);
    let small = RouterOptions::default().key(KEY.to_owned()).delta_page(1);
    let server = Server::start(Arc::clone(&scene.deployment) as Arc<dyn Deployment>, small).await;
    let pages = server.deltas("json", 1.max(BEGIN - 1), &[]).await;
    assert_eq!(values(&pages).len(), 1);
    assert!(pages.len() > 2, "rows that nobody sees are read all the same");
}

#[tokio::test]
async fn where_there_is_none_the_routes_are_not_there() {
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    for (options, sync, convert) in [
        (RouterOptions::default(), 200, 400),
        (RouterOptions::default().data_sync(false), 404, 400),
        (RouterOptions::default().data_sync_cursor(false), 200, 404),
        (RouterOptions::default().server_of(day("2026-08-12")), 404, 404),
        (RouterOptions::default().server_of(day("2026-08-13")), 200, 404),
        (RouterOptions::default().server_of(day("2026-08-17")), 200, 400),
    ] {
        let scene = Scene::with(1, options.key(KEY.to_owned())).await;
        for (path, expected) in [(SYNC, sync), (CONVERT, convert)] {
            let (status, body) = scene.server.post(path, &json!({})).await;
            assert_eq!(status, expected, "{path}");
            assert_eq!(body.is_empty(), status == 404);
        }
        assert_eq!(scene.server.get(ACTIVE, &[]).await.0, sync);
    }
    // An archive has no Data Sync, whatever the options say.
    let world = World::new(pages(10, 10)).await;
    world.deployment.insert_all(Contents::Generated(5).documents(1).unwrap()).unwrap();
    world.sync().await;
    let archived =
        ArchivedDeployment::open(world.archive().await, None, &Selection::default(), MemoryBudget::default())
            .await
            .unwrap();
    let server = Server::start(Arc::new(archived), pages(10, 10)).await;
    assert_eq!(server.post(SYNC, &json!({})).await, (404, String::new()));
    assert_eq!(server.get(ACTIVE, &[]).await, (404, String::new()));
    for (body, code) in [(json!({}), "BadJsonBody"), (json!({ "cursor": 1 }), "DataSyncNotServed")] {
        let (status, text) = server.post(CONVERT, &body).await;
        assert!(status == 400 && text.contains(code), "{text}");
    }
}
