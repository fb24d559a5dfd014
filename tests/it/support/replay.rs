//! A real deployment's recorded answers, given again over real HTTP, and what they say as plain maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use convex_archiver::{Encoding, Revision, TableRef, Timestamp};
use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};

use super::States;
use crate::conformance::{Server, row};

/// One request and its answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    stage: u64,
    path: String,
    query: BTreeMap<String, String>,
    status: u16,
    content_type: Option<String>,
    body: String,
    /// Only where the request had other credentials, or none.
    auth: Option<String>,
}

/// What was recorded. `tests/data/recordings/README.md` says how.
#[derive(Debug)]
pub(crate) struct Recording {
    exchanges: Vec<Exchange>,
    /// The state at some moments, as list_snapshot gave it then.
    pub(crate) states: BTreeMap<Timestamp, States>,
}

fn lines(name: &str) -> Vec<String> {
    let path = format!("{}/tests/data/recordings/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn state_of(rows: impl IntoIterator<Item = (TableRef, Revision)>) -> States {
    let mut state = States::new();
    for (table, revision) in rows {
        let before = state.entry(table).or_default().insert(revision.id.clone(), revision);
        assert!(before.is_none(), "a document twice in one state");
    }
    state
}

impl Recording {
    /// Reads `NAME.jsonl.gz`.
    pub(crate) fn read(name: &str) -> Self {
        let exchanges = lines(name).iter().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { exchanges, states: BTreeMap::new() }
    }

    /// Reads `NAME.jsonl.gz` and the true states beside it.
    pub(crate) fn read_with_states(name: &str) -> Self {
        let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in lines(&format!("{name}.state")) {
            let mut line: Json = serde_json::from_str(&line).unwrap();
            line["doc"]["_component"] = json!("");
            line["doc"]["_table"] = line["table"].clone();
            rows.entry(Timestamp(line["at"].as_i64().unwrap())).or_default().push(row(&line["doc"]));
        }
        let states = rows.into_iter().map(|(at, rows)| (at, state_of(rows))).collect();
        Self { states, ..Self::read(name) }
    }

    /// The answer of the highest stage that is not after `stage`.
    fn answer(&self, stage: u64, path: &str, query: &BTreeMap<String, String>) -> Option<&Exchange> {
        let same = |e: &&Exchange| e.stage <= stage && e.auth.is_none() && e.path == path && e.query == *query;
        self.exchanges.iter().filter(same).max_by_key(|e| e.stage)
    }

    fn page(&self, stage: u64, path: &str, query: &[(&str, String)]) -> Json {
        let mut query: BTreeMap<_, _> = query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        query.insert("format".to_owned(), Encoding::ConvexEncodedJson.as_str().to_owned());
        let found = self.answer(stage, path, &query);
        serde_json::from_str(&found.unwrap_or_else(|| panic!("{path} {query:?} was not recorded")).body).unwrap()
    }

    /// S and the state of the walk of stage 1.
    pub(crate) fn walk(&self) -> (Timestamp, States) {
        let (mut rows, mut query) = (Vec::new(), Vec::new());
        loop {
            let page = self.page(1, "/api/list_snapshot", &query);
            rows.extend(page["values"].as_array().unwrap().iter().map(row));
            if page["hasMore"] == false {
                return (Timestamp(page["snapshot"].as_i64().unwrap()), state_of(rows));
            }
            let cursor = page["cursor"].as_str().unwrap().to_owned();
            query = vec![("snapshot", page["snapshot"].to_string()), ("cursor", cursor)];
        }
    }

    /// The cursor at the end of `stage` and the revisions after S up to there.
    pub(crate) fn deltas(&self, stage: u64) -> (Timestamp, Vec<(TableRef, Revision)>) {
        let (mut rows, mut cursor) = (Vec::new(), self.walk().0.0);
        for stage in 1..=stage {
            loop {
                let page = self.page(stage, "/api/document_deltas", &[("cursor", cursor.to_string())]);
                rows.extend(page["values"].as_array().unwrap().iter().map(row));
                cursor = page["cursor"].as_i64().unwrap();
                if page["hasMore"] == false {
                    break;
                }
            }
        }
        (Timestamp(cursor), rows)
    }
}

/// A row as it was recorded.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "_component")]
    component: String,
    #[serde(rename = "_table")]
    table: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_ts")]
    ts: i64,
    #[serde(rename = "_deleted", default)]
    deleted: bool,
}

impl Recording {
    /// One component at a moment for which no walk was recorded: **composed** from the recorded walk and the recorded
    /// deltas, whose rows it gives as they are. The real server would give the same documents, page by page.
    fn compose_walk(&self, stage: u64, query: &BTreeMap<String, String>) -> Option<String> {
        let (component, at) = (query.get("component")?, query.get("snapshot")?.parse::<i64>().ok()?);
        let mut newest: BTreeMap<(String, String), (Raw, String)> = BTreeMap::new();
        let walks = self.exchanges.iter().filter(|e| e.path == "/api/list_snapshot" && e.stage == 1);
        let deltas = self.exchanges.iter().filter(|e| e.path == "/api/document_deltas" && e.stage <= stage);
        for exchange in walks.chain(deltas) {
            if exchange.status != 200 || exchange.query.get("format") != query.get("format") {
                continue;
            }
            let page: BTreeMap<String, &RawValue> = serde_json::from_str(&exchange.body).unwrap();
            for text in serde_json::from_str::<Vec<&RawValue>>(page["values"].get()).unwrap() {
                let raw: Raw = serde_json::from_str(text.get()).unwrap();
                let key = (raw.table.clone(), raw.id.clone());
                if raw.component == *component
                    && raw.ts <= at
                    && newest.get(&key).is_none_or(|(known, _)| known.ts <= raw.ts)
                {
                    newest.insert(key, (raw, text.get().replace(r#","_deleted":false"#, "")));
                }
            }
        }
        let rows: Vec<_> = newest.into_values().filter(|(raw, _)| !raw.deleted).map(|(_, text)| text).collect();
        Some(format!(r#"{{"values":[{}],"snapshot":{at},"cursor":null,"hasMore":false}}"#, rows.join(",")))
    }
}

impl Recording {
    /// A poll where the last one of the stage had ended, which was not recorded: **composed**. Nothing has happened since,
    /// and the real server was seen to give an idle cursor back unchanged.
    fn compose_idle_poll(&self, stage: u64, path: &str, query: &BTreeMap<String, String>) -> Option<String> {
        let cursor = query.get("cursor").filter(|_| path == "/api/document_deltas")?;
        let ended = format!(r#""cursor":{cursor},"hasMore":false}}"#);
        let mut polls = self.exchanges.iter().filter(|e| e.path == path && e.stage <= stage && e.status == 200);
        let last = polls.rfind(|e| e.query.get("format") == query.get("format"))?;
        (self.answer(stage, path, query).is_none() && last.body.ends_with(&ended))
            .then(|| format!(r#"{{"values":[],{ended}"#))
    }
}

/// A deployment that gives a recording's answers.
pub(crate) struct Replay {
    pub(crate) server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    recording: Arc<Recording>,
    stage: AtomicU64,
    /// The formats that are understood; all of them, if there is none.
    formats: Mutex<Vec<Encoding>>,
    unknown: Mutex<BTreeSet<String>>,
}

impl Replay {
    /// Serves `recording` as it was in stage 1.
    pub(crate) async fn start(recording: &Arc<Recording>) -> Self {
        let shared = Arc::new(Shared {
            recording: Arc::clone(recording),
            stage: AtomicU64::new(1),
            formats: Mutex::default(),
            unknown: Mutex::default(),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        Self { server: Server::serve(routes).await, shared }
    }

    /// Goes to another stage.
    pub(crate) fn set_stage(&self, stage: u64) {
        self.shared.stage.store(stage, Ordering::SeqCst);
    }

    /// Understands these formats only.
    pub(crate) fn set_formats(&self, formats: &[Encoding]) {
        *self.shared.formats.lock().unwrap() = formats.to_vec();
    }

    /// Requests that were not recorded.
    pub(crate) fn unknown(&self) -> BTreeSet<String> {
        self.shared.unknown.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let stage = shared.stage.load(Ordering::SeqCst);
    let formats = shared.formats.lock().unwrap().clone();
    let known = |format: &String| formats.is_empty() || formats.iter().any(|known| known.as_str() == format);
    if !query.get("format").is_none_or(known) {
        let body = r#"{"code":"BadFormat","message":"format param must be one of [`json`]."}"#;
        return (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "application/json")], body).into_response();
    }
    if uri.path() == "/api/list_snapshot"
        && let Some(body) = shared.recording.compose_walk(stage, &query)
    {
        return ([(CONTENT_TYPE, "application/json")], body).into_response();
    }
    if let Some(body) = shared.recording.compose_idle_poll(stage, uri.path(), &query) {
        return ([(CONTENT_TYPE, "application/json")], body).into_response();
    }
    match shared.recording.answer(stage, uri.path(), &query) {
        Some(found) => {
            let status = StatusCode::from_u16(found.status).unwrap();
            (status, [(CONTENT_TYPE, found.content_type.clone().unwrap_or_default())], found.body.clone())
                .into_response()
        }
        None => {
            shared.unknown.lock().unwrap().insert(uri.to_string());
            (StatusCode::NOT_FOUND, "this was not recorded").into_response()
        }
    }
}
