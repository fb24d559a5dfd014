//! A deployment, or something between it and us, that answers nonsense: nothing of such a page is committed, what came
//! before it stays, and once the answers make sense again the next run completes the archive.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use convex_archiver::{
    ErrorKind, TableRef, Value,
    server::{Deployment, SimulatedDeployment, router},
    sync::SyncOptions,
};
use object_store::memory::InMemory;
use serde_json::{Value as Json, json};

use crate::{
    conformance::Server,
    support::{World, pages},
};

const SNAPSHOT: &str = "/api/list_snapshot";
const DELTAS: &str = "/api/document_deltas";

/// What a page becomes on its way.
#[derive(Clone, Copy)]
enum Change {
    /// Only the first half of it arrives, as a whole answer.
    Half,
    /// Something else.
    Is(&'static str),
    /// The first occurrence of a text in it is another.
    Text(&'static str, &'static str),
    /// `[` so many times, closed again, becomes a field.
    Nested(usize),
    /// A number is added to a member of the page.
    Add(&'static str, i64),
    /// A number is added to `_ts` of its last document.
    AddToLastTs(i64),
    /// Its documents are of another table.
    Table(&'static str),
}

impl Change {
    fn apply(self, body: &str) -> String {
        let edit = |change: &dyn Fn(&mut Json)| {
            let mut page: Json = serde_json::from_str(body).unwrap();
            change(&mut page);
            page.to_string()
        };
        let sum = |number: &Json, n: i64| json!(number.as_i64().unwrap() + n);
        let changed = match self {
            Self::Half => body[..body.len() / 2].to_owned(),
            Self::Is(text) => text.to_owned(),
            Self::Text(old, new) => body.replacen(old, new, 1),
            Self::Nested(depth) => {
                let field = format!(r#""deep":{}{},"text":"#, "[".repeat(depth), "]".repeat(depth));
                body.replacen(r#""text":"#, &field, 1)
            }
            Self::Add(member, n) => edit(&|page| page[member] = sum(&page[member], n)),
            Self::AddToLastTs(n) => edit(&|page| {
                let last = page["values"].as_array_mut().unwrap().last_mut().unwrap();
                last["_ts"] = sum(&last["_ts"], n);
            }),
            Self::Table(name) => edit(&|page| {
                page["values"].as_array_mut().unwrap().iter_mut().for_each(|document| document["_table"] = json!(name));
            }),
        };
        assert_ne!(changed, body, "the page was meant to change");
        changed
    }
}

/// Which page of an endpoint is changed, from 0, and how.
struct Defect {
    endpoint: &'static str,
    page: usize,
    change: Change,
    seen: usize,
}

type Between = Arc<Mutex<Option<Defect>>>;

async fn on_the_way(State(between): State<Between>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let (head, body) = next.run(request).await.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut between = between.lock().unwrap();
    let Some(defect) = between.as_mut().filter(|defect| defect.endpoint == path) else {
        return Response::from_parts(head, Body::from(body));
    };
    let number = defect.seen;
    defect.seen += 1;
    if number != defect.page {
        return Response::from_parts(head, Body::from(body));
    }
    let changed = defect.change.apply(std::str::from_utf8(&body).unwrap());
    let mut response = Response::new(Body::from(changed));
    *response.status_mut() = head.status;
    response
}

/// 6 + 3 documents in pages of 4: a walk of three pages, after which two tables are finished.
async fn world() -> (World, Between) {
    let deployment = Arc::new(SimulatedDeployment::new("otter-1", 3));
    for (name, documents) in [("messages", 6), ("users", 3)] {
        let table = TableRef::new("", name).unwrap();
        deployment.transaction(|t| (0..documents).try_for_each(|n| t.insert(&table, fields(n)).map(drop))).unwrap();
    }
    let between = Between::default();
    let routes = router(Arc::clone(&deployment) as Arc<dyn Deployment>, pages(4, 4));
    let routes = routes.layer(from_fn_with_state(Arc::clone(&between), on_the_way));
    let server = Server::serve(routes).await;
    (World { deployment, server, store: Arc::new(InMemory::new()) }, between)
}

fn fields(n: i64) -> BTreeMap<String, Value> {
    BTreeMap::from([("n".to_owned(), Value::Int64(n)), ("text".to_owned(), Value::String(format!("number {n}")))])
}

/// Makes one page wrong, and holds what must hold.
async fn is_refused_and_healed(name: &str, endpoint: &'static str, page: usize, change: Change) {
    let (world, between) = world().await;
    if endpoint == DELTAS {
        world.sync().await;
        let table = TableRef::new("", "messages").unwrap();
        for n in 10..22 {
            world.deployment.transaction(|t| t.insert(&table, fields(n))).unwrap();
        }
    }
    let before = world.archive().await.head().await.unwrap().version();
    *between.lock().unwrap() = Some(Defect { endpoint, page, change, seen: 0 });
    let every_page = SyncOptions::default().commit_every(Duration::ZERO);
    let error = world.sync_with(&every_page).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{name}: {error:?}");
    // It is no use to ask for it again. Two more may have been asked for before it was looked at.
    let asked = between.lock().unwrap().as_ref().unwrap().seen;
    assert!((page + 1..=page + 3).contains(&asked), "{name}: {asked}");
    let held = world.held().await;
    assert_eq!(held.head.version(), before + page as u64, "{name}: a commit for each page before");
    if endpoint == DELTAS {
        held.assert_equal(&world.deployment);
    } else {
        assert!(held.head.coverage().bases.is_empty(), "{name}");
    }
    *between.lock().unwrap() = None;
    assert!(world.sync_with(&every_page).await.unwrap().caught_up, "{name}");
    world.assert_equal().await;
    assert_eq!(world.held().await.head.coverage().bases.len(), 1, "{name}");
}

/// What no page of either endpoint may be like.
const NONSENSE: &[(&str, Change)] = &[
    ("cut off", Change::Half),
    ("no text", Change::Is("")),
    ("another page", Change::Is("<!DOCTYPE html><title>Sign in</title>")),
    ("more than a page", Change::Text(r#""values":[{"#, r#""values":[],"values":[{"#)),
    ("a key twice", Change::Text(r#""text":"#, r#""text":1.0,"text":"#)),
    ("deeper than any value", Change::Nested(65)),
    ("bytes that are no base64", Change::Text(r#""text":"#, r#""bytes":{"$bytes":"*"},"text":"#)),
    ("an int64 of one byte", Change::Text(r#"{"$integer":""#, r#"{"$integer":"AA==","x":""#)),
    ("an unknown wrapper", Change::Text(r#""$integer""#, r#""$decimal""#)),
    ("half a surrogate pair", Change::Text(r#""text":""#, r#""text":"\ud800"#)),
    ("no JSON inside a document", Change::Text(r#""text":""#, r#""text":nul,"x":""#)),
    ("a document without `_id`", Change::Text(r#""_id""#, r#""id""#)),
    ("a table with an impossible name", Change::Table("../messages")),
    ("written after the moment that the page reaches", Change::AddToLastTs(1_000_000_000_000_000)),
];

#[tokio::test]
async fn nonsense_in_a_page_of_the_snapshot_is_not_committed_and_the_walk_goes_on_once_it_is_gone() {
    for (name, change) in NONSENSE {
        is_refused_and_healed(name, SNAPSHOT, 1, *change).await;
    }
}

#[tokio::test]
async fn nonsense_in_a_page_of_deltas_is_not_committed_and_the_deltas_go_on_once_it_is_gone() {
    for (name, change) in NONSENSE {
        is_refused_and_healed(name, DELTAS, 1, *change).await;
    }
}

#[tokio::test]
async fn a_snapshot_that_comes_back_to_a_table_or_jumps_to_another_moment_is_refused() {
    let (world, _) = world().await;
    // The order of the walk is that of the tablets, which are random.
    let first = world.client();
    let page = {
        use convex_archiver::convex::Source;
        first.page(&first.snapshot_start()).await.unwrap()
    };
    let finished = if page.tables[0].name() == "messages" { "messages" } else { "users" };
    is_refused_and_healed("a finished table again", SNAPSHOT, 2, Change::Table(finished)).await;
    is_refused_and_healed("the page of another snapshot", SNAPSHOT, 1, Change::Add("snapshot", 1)).await;
}

#[tokio::test]
async fn a_change_log_that_goes_back_is_refused() {
    for (name, change) in [
        ("backwards", Change::Add("cursor", -1_000_000_000_000_000)),
        ("before its own changes", Change::Add("cursor", -1)),
        ("not in order", Change::AddToLastTs(-1_000_000_000_000_000)),
    ] {
        is_refused_and_healed(name, DELTAS, 1, change).await;
    }
}
