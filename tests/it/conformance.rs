//! What every [`Deployment`] must look like behind the router, over plain HTTP.
//!
//! The suite is [`conforms`]; each implementation's test calls it. The oracle is what the trait itself tells.

use std::{collections::BTreeSet, io::Read, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use convex_archiver::{
    Revision, TableRef, Timestamp, Value,
    server::{
        Contents, Deployment, JsonSchemas, RouterOptions, SeededWriter, SimulateOptions, SimulatedDeployment, Tablet,
        demo_documents, router,
    },
};
use serde_json::{Value as Json, json};

const KEY: &str = "otter-1|secret";
const FOREVER: Duration = Duration::from_secs(200 * 365 * 24 * 3600);

/// A router on a port of its own; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    /// Most tests bring a client of their own.
    http: std::sync::OnceLock<reqwest::Client>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn options(snapshot_page: usize, delta_page: usize) -> RouterOptions {
    RouterOptions::default()
        .key(KEY.to_owned())
        .snapshot_page(snapshot_page)
        .delta_page(delta_page)
        .snapshot_window(FOREVER)
        .deltas_window(FOREVER)
}

impl Server {
    pub(crate) async fn start(deployment: Arc<dyn Deployment>, options: RouterOptions) -> Self {
        Self::serve(router(deployment, options)).await
    }

    /// Any routes.
    pub(crate) async fn serve(routes: axum::Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, http: std::sync::OnceLock::new(), task }
    }

    /// Other routes at the same address.
    pub(crate) async fn restart(&mut self, deployment: Arc<dyn Deployment>, options: RouterOptions) {
        self.task.abort();
        // It was ended: what it says is no matter.
        let _ = (&mut self.task).await;
        let listener = tokio::net::TcpListener::bind(self.url.strip_prefix("http://").unwrap()).await.unwrap();
        let routes = router(deployment, options);
        self.task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(reqwest::Client::new)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        let request = self.http().get(format!("{}{path}", self.url)).query(query);
        self.send(request.header("Authorization", format!("Convex {KEY}"))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> (u16, String) {
        let request = self.http().post(format!("{}{path}", self.url)).body(body.to_string());
        let request = request.header("Content-Type", "application/json");
        self.send(request.header("Authorization", format!("Convex {KEY}"))).await
    }

    pub(crate) async fn page(&self, path: &str, query: &[(&str, &str)]) -> Json {
        let (status, body) = self.get(path, query).await;
        assert_eq!(status, 200, "{path} {query:?}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn refusal(&self, path: &str, query: &[(&str, &str)]) -> (u16, String) {
        let (status, body) = self.get(path, query).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        assert!(!body["message"].as_str().unwrap().is_empty());
        (status, body["code"].as_str().unwrap().to_owned())
    }

    /// All pages of a snapshot.
    pub(crate) async fn walk(&self, format: &str, more: &[(&str, &str)]) -> Vec<Json> {
        let mut pages = vec![self.page("/api/list_snapshot", &[&[("format", format)], more].concat()).await];
        while let Some(last) = pages.last().filter(|last| last["hasMore"] == true) {
            let (snapshot, cursor) = (last["snapshot"].to_string(), last["cursor"].as_str().unwrap());
            let mut query = vec![("format", format), ("snapshot", &*snapshot), ("cursor", cursor)];
            query.extend(more.iter().filter(|(name, _)| *name != "snapshot"));
            let next = self.page("/api/list_snapshot", &query).await;
            assert_eq!(next["snapshot"], last["snapshot"]);
            pages.push(next);
        }
        assert_eq!(pages.last().unwrap()["cursor"], Json::Null);
        pages
    }

    /// All pages of the deltas after a cursor.
    pub(crate) async fn deltas(&self, format: &str, after: i64, more: &[(&str, &str)]) -> Vec<Json> {
        let (mut pages, mut cursor) = (Vec::<Json>::new(), after);
        while pages.last().is_none_or(|last| last["hasMore"] == true) {
            let at = cursor.to_string();
            let query = [&[("format", format), ("cursor", &*at)], more].concat();
            let page = self.page("/api/document_deltas", &query).await;
            cursor = page["cursor"].as_i64().unwrap();
            pages.push(page);
        }
        pages
    }
}

pub(crate) fn values(pages: &[Json]) -> Vec<Json> {
    pages.iter().flat_map(|page| page["values"].as_array().unwrap().clone()).collect()
}

/// `convex_encoded_json` → value.
fn value(json: &Json) -> Value {
    let bytes = |text: &Json| STANDARD.decode(text.as_str().unwrap()).unwrap();
    let eight = |text: &Json| <[u8; 8]>::try_from(bytes(text)).unwrap();
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => Value::Float64(n.as_f64().unwrap()),
        Json::String(s) => Value::String(s.clone()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(fields) => match fields.iter().next().map(|(name, text)| (name.as_str(), text)) {
            Some(("$integer", text)) => Value::Int64(i64::from_le_bytes(eight(text))),
            Some(("$float", text)) => Value::Float64(f64::from_le_bytes(eight(text))),
            Some(("$bytes", text)) => Value::Bytes(bytes(text)),
            _ => Value::Object(fields.iter().map(|(name, field)| (name.clone(), value(field))).collect()),
        },
    }
}

/// A row of a page → its table and revision.
pub(crate) fn row(json: &Json) -> (TableRef, Revision) {
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    let mut fields = json.as_object().unwrap().clone();
    for metadata in ["_component", "_table", "_ts", "_deleted"] {
        fields.remove(metadata);
    }
    let deleted = json.get("_deleted") == Some(&Json::Bool(true));
    if deleted {
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["_id"], "a tombstone has nothing but its id");
    }
    let document = (!deleted).then(|| fields.iter().map(|(name, field)| (name.clone(), value(field))).collect());
    let revision = Revision { id: text("_id"), ts: Timestamp(json["_ts"].as_i64().unwrap()), document };
    (TableRef::new(text("_component"), text("_table")).unwrap(), revision)
}

async fn tablets(deployment: &dyn Deployment, at: Timestamp) -> Vec<Tablet> {
    let mut tablets = deployment.tables(at).await.unwrap();
    tablets.sort_by_key(|tablet| tablet.id);
    tablets
}

/// The whole suite, on any deployment that nobody writes to meanwhile.
async fn conforms(deployment: Arc<dyn Deployment>) {
    conforms_after(deployment, Timestamp(0)).await;
}

/// The same, of one whose change log begins after that cursor.
pub(crate) async fn conforms_after(deployment: Arc<dyn Deployment>, begin: Timestamp) {
    for snapshot_page in [1, 7, 1024] {
        a_snapshot_shows_every_document_once_in_order(&deployment, snapshot_page).await;
    }
    for delta_page in [1, 5, 128] {
        deltas_show_the_log_in_whole_transactions(&deployment, begin, delta_page).await;
    }
    the_encodings_agree(&deployment).await;
    selections_choose_tables_and_columns(&deployment, begin).await;
    posts_answer_as_gets(&deployment).await;
    schemas_and_column_names_list_every_table_with_its_fields(&deployment).await;
    refuses_with_the_codes_of_a_real_deployment(&deployment).await;
    nothing_is_told_without_the_key(&deployment).await;
}

async fn a_snapshot_shows_every_document_once_in_order(deployment: &Arc<dyn Deployment>, page_size: usize) {
    let server = Server::start(Arc::clone(deployment), options(page_size, 128)).await;
    let pages = server.walk("convex_encoded_json", &[]).await;
    let at = Timestamp(pages[0]["snapshot"].as_i64().unwrap());
    let (mut expected, mut expected_pages) = (Vec::new(), 0);
    for tablet in tablets(&**deployment, at).await {
        let documents = deployment.documents(&tablet, at, None, usize::MAX).await.unwrap();
        // A table ends with a short page, be it an empty one.
        expected_pages += documents.len() / page_size + 1;
        expected.extend(documents.iter().map(|d| (TableRef::clone(&tablet.table), Revision::clone(d))));
    }
    assert_eq!(values(&pages).iter().map(row).collect::<Vec<_>>(), expected);
    assert_eq!(pages.len(), expected_pages.max(1));
    for page in &pages {
        let rows: Vec<_> = page["values"].as_array().unwrap().iter().map(row).collect();
        assert!(rows.len() <= page_size);
        assert!(rows.is_sorted_by(|(a, x), (b, y)| a == b && x.id < y.id), "one table a page, by _id");
        assert!(page["values"].as_array().unwrap().iter().all(|v| v.get("_deleted").is_none()));
        assert_eq!(page["hasMore"] == true, page["cursor"].is_string());
    }
    // The same position can be asked for again.
    if let [first, second, ..] = &pages[..] {
        let (snapshot, cursor) = (at.0.to_string(), first["cursor"].as_str().unwrap());
        let query = [("format", "convex_encoded_json"), ("snapshot", &snapshot), ("cursor", cursor)];
        assert_eq!(server.page("/api/list_snapshot", &query).await, *second);
    }
}

async fn deltas_show_the_log_in_whole_transactions(
    deployment: &Arc<dyn Deployment>,
    begin: Timestamp,
    page_size: usize,
) {
    let server = Server::start(Arc::clone(deployment), options(1024, page_size)).await;
    let now = deployment.now().await.unwrap();
    let log = deployment.log(begin, now, usize::MAX).await.unwrap();
    assert!(!log.more);
    let pages = server.deltas("convex_encoded_json", begin.0, &[]).await;
    let shown = log.rows.iter().filter_map(|row| row.change.as_ref());
    let shown: Vec<_> = shown.map(|(table, revision)| (TableRef::clone(table), Revision::clone(revision))).collect();
    assert_eq!(values(&pages).iter().map(row).collect::<Vec<_>>(), shown);
    let (mut rows_of, mut after) = (log.rows.iter().peekable(), 0);
    for page in &pages {
        let cursor = page["cursor"].as_i64().unwrap();
        assert!(cursor >= after);
        let stamps: Vec<_> = page["values"].as_array().unwrap().iter().map(|v| v["_ts"].as_i64().unwrap()).collect();
        assert!(
            stamps.is_sorted() && stamps.iter().all(|ts| (after + 1..=cursor).contains(ts)),
            "a transaction was split"
        );
        // Rows read: at least a page's, and no transaction more than was needed for that.
        let mut read = Vec::new();
        while let Some(row) = rows_of.next_if(|row| row.ts.0 <= cursor) {
            read.push(row.ts);
        }
        let before_the_last_transaction = read.iter().filter(|ts| Some(*ts) != read.last()).count();
        assert!(before_the_last_transaction < page_size);
        assert!(page["hasMore"] == false || read.len() >= page_size);
        after = cursor;
    }
    // Read to its end, the log is complete until now; the future is not.
    let idle = server.page("/api/document_deltas", &[("cursor", &after.to_string())]).await;
    assert!(idle["values"].as_array().unwrap().is_empty() && idle["hasMore"] == false);
    assert!(idle["cursor"].as_i64().unwrap() >= now.0);
    let future = server.page("/api/document_deltas", &[("cursor", "9000000000000000000")]).await;
    assert!(
        future["cursor"].as_i64().unwrap() < 9_000_000_000_000_000_000,
        "a cursor from the future moves back to now"
    );
    assert_eq!((&future["values"], &future["hasMore"]), (&json!([]), &json!(false)));
}

async fn the_encodings_agree(deployment: &Arc<dyn Deployment>) {
    let server = Server::start(Arc::clone(deployment), options(1024, 128)).await;
    let at = deployment.now().await.unwrap().0.to_string();
    let encoded = values(&server.walk("convex_encoded_json", &[("snapshot", &at)]).await);
    let walk = |format| {
        let (server, at) = (&server, &at);
        async move { values(&server.walk(format, &[("snapshot", at)]).await) }
    };
    assert_eq!(walk("convex_json").await, encoded);
    let (export, clean) = (walk("export_json").await, walk("json").await);
    assert_eq!(walk("convex_clean_json").await, clean);
    for ((encoded, export), clean) in encoded.iter().zip(&export).zip(&clean) {
        assert!(agree(encoded, export, clean), "{encoded}\n{export}\n{clean}");
    }
}

/// Whether three spellings mean one value.
fn agree(encoded: &Json, export: &Json, clean: &Json) -> bool {
    match value(encoded) {
        Value::Int64(i) => *export == json!(i) && *clean == json!(i.to_string()),
        Value::Float64(f) if f.is_finite() => {
            // Metadata are integers in all three.
            [export, clean].iter().all(|n| n.as_f64().unwrap().to_bits() == f.to_bits())
        }
        Value::Float64(f) => export == encoded && clean.as_str() == Some(&format!("{f}").replace("inf", "Infinity")),
        Value::Bytes(b) => export == encoded && *clean == json!(STANDARD.encode(b)),
        Value::Array(items) => {
            let [e, x, c] = [encoded, export, clean].map(|j| j.as_array().unwrap());
            x.len() == items.len() && c.len() == items.len() && (0..e.len()).all(|i| agree(&e[i], &x[i], &c[i]))
        }
        Value::Object(fields) => {
            let [e, x, c] = [encoded, export, clean].map(|j| j.as_object().unwrap());
            x.len() == fields.len() && c.len() == fields.len() && e.keys().all(|k| agree(&e[k], &x[k], &c[k]))
        }
        Value::Null | Value::Boolean(_) | Value::String(_) => export == encoded && clean == encoded,
    }
}

async fn selections_choose_tables_and_columns(deployment: &Arc<dyn Deployment>, begin: Timestamp) {
    let server = Server::start(Arc::clone(deployment), options(1024, 128)).await;
    let at = deployment.now().await.unwrap();
    let snapshot = at.0.to_string();
    let all = values(&server.walk("json", &[("snapshot", &snapshot)]).await);
    let of = |component: &str, name: Option<&str>| -> Vec<Json> {
        let fits = |v: &&Json| v["_component"] == component && name.is_none_or(|name| v["_table"] == name);
        all.iter().filter(fits).cloned().collect()
    };
    for tablet in tablets(&**deployment, at).await {
        let (component, name) = (tablet.table.component(), tablet.table.name());
        for spelling in ["tableName", "table_name"] {
            let query = [("snapshot", &*snapshot), (spelling, name), ("component", component)];
            assert_eq!(values(&server.walk("json", &query).await), of(component, Some(name)));
            // Without a component it is the root's table.
            assert_eq!(values(&server.walk("json", &query[..2]).await), of("", Some(name)));
        }
        let query = [("snapshot", &*snapshot), ("component", component)];
        assert_eq!(values(&server.walk("json", &query).await), of(component, None));
        let deltas = values(&server.deltas("json", begin.0, &[("tableName", name), ("component", component)]).await);
        assert!(deltas.iter().all(|v| v["_component"] == component && v["_table"] == name));

        let selection = json!({
            component: {name: {"_id": "incl", "_other": "excl"}, "_other": "excluded"},
            "_other": "excluded",
        });
        let body = json!({"selection": selection, "snapshot": at.0, "format": "json"});
        let (status, text) = server.post("/api/list_snapshot", &body).await;
        assert_eq!(status, 200, "{text}");
        let page: Json = serde_json::from_str(&text).unwrap();
        for chosen in page["values"].as_array().unwrap() {
            let names: Vec<_> = chosen.as_object().unwrap().keys().collect();
            assert_eq!(names, ["_component", "_id", "_table", "_ts"]);
            assert_eq!((&chosen["_component"], &chosen["_table"]), (&json!(component), &json!(name)));
        }
        assert_eq!(page["values"].as_array().unwrap().len(), of(component, Some(name)).len().min(1024));
    }
    // What cannot be read chooses everything.
    for odd in
        [[("tablename", "x"), ("x", "y")], [("tableName", "x"), ("table_name", "x")], [("selection", "{}"), ("a", "")]]
    {
        let query = [&[("snapshot", &*snapshot)], &odd[..]].concat();
        assert_eq!(values(&server.walk("json", &query).await), all);
    }
    for nothing in [[("tableName", "no_such_table")], [("component", "no_such_component")], [("tableName", "_storage")]]
    {
        let page = server.page("/api/list_snapshot", &nothing).await;
        assert_eq!((&page["values"], &page["cursor"], &page["hasMore"]), (&json!([]), &Json::Null, &json!(false)));
        assert!(values(&server.deltas("json", begin.0, &nothing).await).is_empty());
    }
}

async fn posts_answer_as_gets(deployment: &Arc<dyn Deployment>) {
    let server = Server::start(Arc::clone(deployment), options(5, 5)).await;
    let at = deployment.now().await.unwrap().0;
    let first = server.page("/api/list_snapshot", &[("snapshot", &at.to_string()), ("format", "export_json")]).await;
    let (_, posted) = server.post("/api/list_snapshot", &json!({"snapshot": at, "format": "export_json"})).await;
    assert_eq!(serde_json::from_str::<Json>(&posted).unwrap(), first);
    let body = json!({"cursor": at, "unknown": [1]});
    assert_eq!(server.post("/api/document_deltas", &body).await.0, 200);
    let malformed = server.post("/api/document_deltas", &json!([])).await;
    assert!(malformed.0 == 400 && malformed.1.contains("BadJsonBody"), "{malformed:?}");
    let without_type = server.http().post(format!("{}/api/list_snapshot", server.url)).body("{}");
    let answer = server.send(without_type.header("Authorization", format!("Convex {KEY}"))).await;
    assert!(answer.0 == 400 && answer.1.contains("BadJsonBody"), "{answer:?}");
}

async fn schemas_and_column_names_list_every_table_with_its_fields(deployment: &Arc<dyn Deployment>) {
    let server = Server::start(Arc::clone(deployment), options(1024, 128)).await;
    let query = [("deltaSchema", "true"), ("byComponent", "true"), ("format", "convex_encoded_json")];
    let schemas = server.page("/api/json_schemas", &query).await;
    let columns = server.page("/api/get_table_column_names", &[]).await;
    let listed: BTreeSet<_> = schemas
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(c, tables)| tables.as_object().unwrap().keys().map(move |t| TableRef::new(c, t).unwrap()))
        .collect();
    let at = deployment.now().await.unwrap();
    let existing = tablets(&**deployment, at).await;
    assert_eq!(listed.iter().collect::<Vec<_>>(), {
        let mut tables: Vec<_> = existing.iter().map(|tablet| &*tablet.table).collect();
        tables.sort();
        tables
    });
    for document in values(&server.walk("json", &[]).await) {
        let (component, table) = (document["_component"].as_str().unwrap(), document["_table"].as_str().unwrap());
        let schema = &schemas[component][table];
        assert_eq!(schema["additionalProperties"], false);
        let document = document.as_object().unwrap();
        assert!(document.keys().all(|name| schema["properties"].get(name).is_some()), "{table}");
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|name| document.contains_key(name.as_str().unwrap())), "{table}");
        let of_table =
            columns["byComponent"][component].as_array().unwrap().iter().find(|t| t["name"] == table).unwrap();
        let names = of_table["columns"].as_array().unwrap();
        let fields = document.keys().filter(|name| !["_component", "_table", "_ts"].contains(&name.as_str()));
        assert!(fields.into_iter().all(|name| names.contains(&json!(name))), "{table}");
    }
}

async fn refuses_with_the_codes_of_a_real_deployment(deployment: &Arc<dyn Deployment>) {
    let server = Server::start(Arc::clone(deployment), options(1024, 128)).await;
    let (snapshot, deltas, schemas) = ("/api/list_snapshot", "/api/document_deltas", "/api/json_schemas");
    let table = [
        (snapshot, ("cursor", "nonsense"), 400, "InvalidListSnapshotCursor"),
        (snapshot, ("cursor", r#"{"tablet":"AAAA","id":"x"}"#), 400, "InvalidListSnapshotCursor"),
        (snapshot, ("snapshot", "9000000000000000000"), 400, "SnapshotTooNew"),
        (snapshot, ("snapshot", "-5"), 500, "InternalServerError"),
        (snapshot, ("snapshot", "abc"), 400, "BadQueryArgs"),
        (snapshot, ("tableName", "a-b"), 500, "InternalServerError"),
        (snapshot, ("tableName", ""), 500, "InternalServerError"),
        (snapshot, ("format", "xx"), 400, "BadFormat"),
        (snapshot, ("format", "JSON"), 400, "BadFormat"),
        (deltas, ("x", "y"), 400, "DocumentDeltasCursorRequired"),
        (deltas, ("cursor", "abc"), 400, "BadQueryArgs"),
        (deltas, ("cursor", "-1"), 500, "InternalServerError"),
        (schemas, ("deltaSchema", "1"), 400, "BadQueryArgs"),
        (schemas, ("byComponent", "True"), 400, "BadQueryArgs"),
        (schemas, ("format", "xx"), 400, "BadFormat"),
    ];
    for (path, query, status, code) in table {
        assert_eq!(server.refusal(path, &[query]).await, (status, code.to_owned()), "{path} {query:?}");
    }
    let short = options(1024, 128).snapshot_window(Duration::ZERO).deltas_window(Duration::ZERO);
    let server = Server::start(Arc::clone(deployment), short).await;
    assert_eq!(server.refusal(snapshot, &[("snapshot", "1")]).await, (400, "SnapshotTooOld".to_owned()));
    assert_eq!(server.refusal(deltas, &[("cursor", "1")]).await, (400, "InvalidWindowToReadDocuments".to_owned()));
    for (form, code) in [(JsonSchemas::Failing, 400), (JsonSchemas::Blank, 200), (JsonSchemas::Flat, 200)] {
        let odd = options(1024, 128).schemas(form).summaries_unavailable_once(true);
        let server = Server::start(Arc::clone(deployment), odd).await;
        assert_eq!(server.refusal(schemas, &[]).await, (503, "TableSummariesUnavailable".to_owned()));
        let (status, body) = server.get(schemas, &[("byComponent", "true")]).await;
        assert_eq!(status, code, "{body}");
        assert_eq!(body.contains("NoSchemaForExport"), form == JsonSchemas::Failing);
        assert_eq!(body.contains(r#"{"":{"#), form == JsonSchemas::Blank, "only by component the root is named");
        assert_eq!(server.get("/api/get_table_column_names", &[]).await.0, 200);
    }
}

async fn nothing_is_told_without_the_key(deployment: &Arc<dyn Deployment>) {
    let server = Server::start(Arc::clone(deployment), options(1024, 128)).await;
    for path in [
        "/api/list_snapshot",
        "/api/document_deltas",
        "/api/json_schemas",
        "/api/get_table_column_names",
        "/api/test_streaming_export_connection",
    ] {
        let request = server.http().get(format!("{}{path}", server.url));
        assert_eq!(server.send(request).await.0, 403, "{path}");
        let request =
            server.http().get(format!("{}{path}", server.url)).header("Authorization", "Convex otter-1|wrong");
        assert_eq!(server.send(request).await.0, 401, "{path}");
    }
    assert_eq!(server.get("/api/test_streaming_export_connection", &[]).await, (200, "null".to_owned()));
    for (path, expected) in [("/instance_name", deployment.name()), ("/version", "unknown".to_owned())] {
        let request = server.http().get(format!("{}{path}", server.url));
        assert_eq!(server.send(request).await, (200, expected));
    }
    assert_eq!(server.get("/api/nope", &[]).await.0, 404);
}

/// A clock that stands still: moments move with the writes alone.
fn standing(name: &str) -> SimulatedDeployment {
    SimulatedDeployment::with_clock(name, 7, || Timestamp(1_795_434_575_000_000_000))
}

#[tokio::test]
async fn an_empty_deployment_conforms() {
    conforms(Arc::new(standing("empty"))).await;
}

#[tokio::test]
async fn a_deployment_with_a_history_conforms() {
    let options = SimulateOptions::default().contents(Contents::Generated(150)).seed(3);
    let deployment = SimulatedDeployment::from_options(&options).unwrap();
    deployment.create_table(&TableRef::new("", "empty").unwrap()).unwrap();
    let mut seeded = SeededWriter::new(3);
    let writes: Vec<_> = (0..300).map(|_| seeded.write(&deployment).unwrap()).collect();
    assert!(writes.iter().any(|w| w.inserted > 50) && writes.iter().any(|w| w.deleted > 0));
    deployment.drop_table(&TableRef::new("", "orders").unwrap()).unwrap();
    conforms(Arc::new(deployment)).await;
}

#[tokio::test]
async fn the_demo_conforms() {
    let deployment = standing("demo");
    deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    for step in [1, 2] {
        let wanted = demo_documents(step).unwrap();
        assert!(deployment.change_to(wanted.clone(), "feature").unwrap() > 500);
        assert_eq!(deployment.change_to(wanted, "feature").unwrap(), 0);
    }
    conforms(Arc::new(deployment)).await;
}

#[tokio::test]
async fn recorded_refusals_are_answered_in_the_same_words() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/types.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut options = options(1024, 128);
    options.snapshot_window = Duration::from_secs(5 * 24 * 3600);
    let deployment = SimulatedDeployment::with_clock("types", 7, || Timestamp(1_795_434_576_076_368_522));
    let server = Server::start(Arc::new(deployment), options).await;
    let mut compared = 0;
    for x in text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()) {
        // What the recording's own user directory says is not Convex's.
        if x["stage"] != 3 || x["status"] == 200 || x["auth"] == "Bearer x" {
            continue;
        }
        let mut request =
            server.http().get(format!("{}{}", server.url, x["path"].as_str().unwrap())).query(&x["query"]);
        if x.get("auth").is_none_or(|auth| auth.as_str().is_some_and(|a| a.contains("<key>"))) {
            request = request.header("Authorization", format!("Convex {KEY}"));
        } else if let Some(auth) = x["auth"].as_str().filter(|auth| !auth.is_empty()) {
            request = request.header("Authorization", auth);
        }
        if let Some(client) = x["client"].as_str() {
            request = request.header("Convex-Client", client);
        }
        let (status, body) = server.send(request).await;
        assert_eq!(
            (u64::from(status), body.as_str()),
            (x["status"].as_u64().unwrap(), x["body"].as_str().unwrap()),
            "{x}"
        );
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}
