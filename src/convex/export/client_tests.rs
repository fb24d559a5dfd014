//! Real HTTP against servers on this machine that answer by a script.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream};

use super::*;
use crate::{
    convex::{DeployKey, recording::Recording},
    document::TableRef,
    error::ErrorKind,
    monitor::{Event, NoMonitor},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_795_434_575_833_065_791;

/// One answer of a script.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: bool,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into(), cut: false }
}

impl Answer {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The connection breaks after the body written so far.
    fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    fn into_response(self) -> Response {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).unwrap());
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = Bytes::from(self.body);
        let body = if self.cut {
            // The pause lets head and body go out before the connection breaks.
            let end = async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Err(std::io::Error::other("cut"))
            };
            Body::from_stream(stream::iter([Ok(body)]).chain(stream::once(end)))
        } else {
            Body::from(body)
        };
        response.body(body).unwrap()
    }
}

/// What the server was asked.
struct SeenRequest {
    uri: String,
    headers: HeaderMap,
    body: String,
}

#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Answer>>,
    seen: Mutex<Vec<SeenRequest>>,
    address: Mutex<String>,
}

impl Script {
    /// A client of a deployment that gives these answers, one after the other.
    async fn client(answers: Vec<Answer>) -> (Client, Arc<Self>) {
        Self::client_with(answers, Arc::new(NoMonitor)).await
    }

    async fn client_with(answers: Vec<Answer>, monitor: Arc<dyn Monitor>) -> (Client, Arc<Self>) {
        let script = Arc::new(Self { answers: Mutex::new(answers), ..Self::default() });
        let handler = |State(script): State<Arc<Self>>, uri: Uri, headers: HeaderMap, body: String| async move {
            script.seen.lock().unwrap().push(SeenRequest { uri: uri.to_string(), headers, body });
            let mut answers = script.answers.lock().unwrap();
            if answers.is_empty() {
                answer(410, "the script has ended").into_response()
            } else {
                answers.remove(0).into_response()
            }
        };
        let address = serve(Router::new().fallback(handler).with_state(script.clone())).await;
        script.address.lock().unwrap().clone_from(&address);
        (client(&address, monitor), script)
    }

    fn uris(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.uri.clone()).collect()
    }
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn access(address: &str) -> Access {
    Access::new(address, DeployKey::new(&format!("local-1|{SECRET}")).unwrap(), false).unwrap()
}

fn client(address: &str, monitor: Arc<dyn Monitor>) -> Client {
    let retry = RetryPolicy {
        base: Duration::from_millis(2),
        longest: Duration::from_millis(10),
        budget: Duration::from_secs(4),
        ..RetryPolicy::default()
    };
    Client::new(access(address), ClientOptions { budget: small(), retry, ..ClientOptions::default() }, monitor).unwrap()
}

/// The least memory: a page of 16 MiB is held, one of more is spooled.
fn small() -> MemoryBudget {
    MemoryBudget::new(MemoryBudget::MINIMUM).unwrap()
}

/// Everything that could be printed of an error.
fn whole(error: &Error) -> String {
    let mut all = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(all, "\n{inner}\n{inner:?}");
        cause = inner.source();
    }
    all
}

fn snapshot_page(cursor: &str, more: bool) -> String {
    let document = format!(r#"{{"_component":"","_table":"t","_ts":{NOW},"_creationTime":1.5,"_id":"x"}}"#);
    format!(r#"{{"values":[{document}],"snapshot":{NOW},"cursor":{cursor},"hasMore":{more}}}"#)
}

fn delta_page(cursor: i64, more: bool) -> String {
    format!(r#"{{"values":[],"cursor":{cursor},"hasMore":{more}}}"#)
}

#[tokio::test]
async fn a_walk_passes_snapshot_and_cursor_on_and_hands_over_to_the_deltas() {
    let (client, script) = Script::client(vec![
        answer(200, snapshot_page(r#""{\"tablet\":\"a b\"}""#, true)),
        answer(200, snapshot_page("null", false)),
        answer(200, delta_page(NOW + 5, true)),
        answer(200, delta_page(NOW + 5, false)),
    ])
    .await;
    let first = client.page(&client.snapshot_start()).await.unwrap();
    assert_eq!((first.phase, first.more, first.through), (Phase::Snapshot, true, Some(Timestamp(NOW))));
    assert_eq!(first.tables, [TableRef::new("", "t").unwrap()]);
    assert!(first.texts().unwrap().text(&first.documents[0]).unwrap().ends_with(r#""_id":"x"}"#));
    let last = client.page(&first.next.unwrap()).await.unwrap();
    assert_eq!((last.more, &last.next), (false, &None));
    let delta = client.page(&client.deltas_after(last.through.unwrap()).await.unwrap()).await.unwrap();
    assert_eq!((delta.more, delta.documents.len(), delta.through), (true, 0, Some(Timestamp(NOW + 5))));
    let idle = client.page(&delta.next.unwrap()).await.unwrap();
    assert_eq!((idle.more, idle.next.unwrap().token()), (false, (NOW + 5).to_string().as_str()));
    let format = "format=convex_encoded_json";
    assert_eq!(
        script.uris(),
        [
            format!("/api/list_snapshot?{format}"),
            format!("/api/list_snapshot?snapshot={NOW}&cursor=%7B%22tablet%22%3A%22a+b%22%7D&{format}"),
            format!("/api/document_deltas?cursor={NOW}&{format}"),
            format!("/api/document_deltas?cursor={}&{format}", NOW + 5),
        ]
    );
    for seen in script.seen.lock().unwrap().iter() {
        assert_eq!(seen.headers["authorization"], format!("Convex local-1|{SECRET}"));
        assert_eq!(seen.headers["convex-client"], concat!("convex-archiver-", env!("CARGO_PKG_VERSION")));
        assert_eq!(seen.headers["accept-encoding"], "gzip");
    }
    let bytes = [
        snapshot_page(r#""{\"tablet\":\"a b\"}""#, true),
        snapshot_page("null", false),
        delta_page(NOW, true),
        delta_page(NOW, false),
    ];
    let response_bytes = bytes.iter().map(|page| page.len() as u64).sum();
    assert_eq!(client.traffic(), Traffic { requests: 4, retries: 0, response_bytes });
}

#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Monitor for Listener {
    fn report(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(match event {
            Event::Retry { error, attempt, .. } => format!("retry {attempt} {:?} {error}", error.kind()),
            Event::Finding(finding) => format!("warning {finding}"),
            other => format!("{other:?}"),
        });
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_with_identical_parameters_until_the_page_is_whole() {
    let page = snapshot_page("null", false);
    let half = &page.as_bytes()[..40];
    let failures = vec![
        answer(408, ""),
        answer(502, "<html>bad gateway</html>"),
        answer(200, half).cut(),
        answer(200, half).header("content-length", "4000").cut(),
        answer(500, r#"{"code":"InternalServerError","message":"x"}"#),
        answer(503, r#"{"code":"TableSummariesUnavailable","message":"x"}"#),
        answer(522, "error code: 522").header("x-convex-deprecation-state", "deprecated"),
        answer(200, page).header("x-convex-deprecation-state", "deprecated"),
    ];
    let requests = failures.len();
    let listener = Arc::new(Listener::default());
    let (client, script) = Script::client_with(failures, listener.clone()).await;
    let at = Position::new(Phase::Snapshot, format!(r#"{{"snapshot":{NOW},"cursor":"c"}}"#));
    let page = client.page(&at).await.unwrap();
    assert_eq!(page.documents.len(), 1);
    assert_eq!(
        script.uris(),
        vec![format!("/api/list_snapshot?snapshot={NOW}&cursor=c&format=convex_encoded_json"); requests]
    );
    assert_eq!(client.traffic().requests, requests as u64);
    let heard = listener.0.lock().unwrap();
    let expected =
        ["408", "HTML", "was cut off", "was cut off", "500", "503", "announces a change (deprecated)", "522"];
    assert_eq!(heard.len(), expected.len(), "{heard:#?}");
    for (line, text) in heard.iter().zip(expected) {
        assert!(line.contains(text), "{line}");
    }
}

#[tokio::test]
async fn a_selection_is_posted_and_repeated_in_the_same_words_through_a_walk() {
    let (_, script) = Script::client(vec![
        answer(200, r#"{"":{"t":{"type":"object"},"u":{"type":"object"}}}"#),
        answer(408, ""),
        answer(200, snapshot_page("\"c\"", true)),
        // Another table shows up meanwhile.
        answer(200, r#"{"":{"t":{"type":"object"},"later":{"type":"object"}}}"#),
        answer(200, snapshot_page("null", false)),
        answer(200, delta_page(NOW, false)),
    ])
    .await;
    let address = script.address.lock().unwrap().clone();
    let retry = RetryPolicy { base: Duration::from_millis(2), ..RetryPolicy::default() };
    let selection = Selection::new([], ["u", "waitlist/**"]).unwrap();
    let options = ClientOptions { selection, retry, ..ClientOptions::default() };
    let client = Client::new(access(&address), options, Arc::new(NoMonitor)).unwrap();
    client.shapes().await.unwrap();
    let first = client.page(&client.snapshot_start()).await.unwrap();
    client.shapes().await.unwrap();
    client.page(&first.next.unwrap()).await.unwrap();
    client.page(&client.deltas_after(Timestamp(NOW)).await.unwrap()).await.unwrap();
    let tree = r#""selection":{"":{"u":"excluded","_other":"included"},"waitlist":"excluded","_other":"included"}"#;
    let format = r#""format":"convex_encoded_json""#;
    let seen = script.seen.lock().unwrap();
    let bodies: Vec<_> = seen.iter().filter(|seen| !seen.body.is_empty()).map(|seen| seen.body.as_str()).collect();
    assert_eq!(
        bodies,
        [
            format!("{{{format},{tree}}}"),
            format!("{{{format},{tree}}}"),
            format!(r#"{{"snapshot":{NOW},"cursor":"c",{format},{tree}}}"#),
            format!(r#"{{"cursor":{NOW},{format},{tree}}}"#),
        ]
    );
    for posted in seen.iter().filter(|seen| !seen.body.is_empty()) {
        assert_eq!(posted.headers["content-type"], "application/json");
        assert!(!posted.uri.contains('?'));
    }
}

#[tokio::test]
async fn waits_as_long_as_a_429_asks() {
    let busy = answer(429, r#"{"code":"TooManyRequests","message":"x"}"#).header("retry-after", "1");
    let (client, _) = Script::client(vec![busy, answer(200, delta_page(NOW, false))]).await;
    let started = Instant::now();
    client.page(&client.deltas_after(Timestamp(NOW)).await.unwrap()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    let patient = answer(429, "").header("retry-after", "3600");
    let (client, _) = Script::client(vec![patient]).await;
    let error = client.page(&client.deltas_after(Timestamp(NOW)).await.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), client.traffic().requests), (ErrorKind::Unavailable, 1));
}

#[tokio::test]
async fn stops_at_once_and_says_what_to_do_when_repeating_cannot_help() {
    let json = |code: &str| format!(r#"{{"code":"{code}","message":"about {SECRET} and local-1|{SECRET}"}}"#);
    let cases = [
        (401, json("BadAdminKey"), ErrorKind::Access, "does not know this deploy key"),
        (403, json("StreamingExportNotEnabled"), ErrorKind::Access, "Convex Professional"),
        (403, json("OperationNotPermitted"), ErrorKind::Access, "`deployment:data:view`"),
        (400, json("InvalidWindowToReadDocuments"), ErrorKind::Window, "older than the deployment keeps"),
        (400, json("Unheard"), ErrorKind::Protocol, "400 Unheard: about … and …"),
        (404, String::new(), ErrorKind::Usage, "no Convex deployment"),
        (307, String::new(), ErrorKind::Usage, "redirects elsewhere"),
        (200, "<!doctype html>".into(), ErrorKind::Protocol, "an HTML page"),
        (200, "null".into(), ErrorKind::Protocol, "expected `{` at byte 0"),
        (200, String::new(), ErrorKind::Protocol, "cut off after byte 0"),
        (200, delta_page(NOW, true), ErrorKind::Protocol, "makes no progress"),
        (
            200,
            delta_page(NOW - 1_000_000_000, false),
            ErrorKind::Protocol,
            "2026-11-23T11:49:34.833065791Z. Was it restored",
        ),
        (
            200,
            format!(
                r#"{{"values":[{{"_component":"","_table":"t","_ts":{NOW},"_deleted":true,"_id":"x"}}],"cursor":{},"hasMore":false}}"#,
                NOW + 1
            ),
            ErrorKind::Protocol,
            "were requested",
        ),
    ];
    for (status, body, kind, text) in cases {
        let (client, script) = Script::client(vec![answer(status, body).header("location", "/elsewhere")]).await;
        let error = client.page(&client.deltas_after(Timestamp(NOW)).await.unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with("GET /api/document_deltas: "), "{error}");
        assert!(error.to_string().contains(text), "{error}\n{text}");
        assert!(!whole(&error).contains(SECRET), "{}", whole(&error));
        assert_eq!(script.uris().len(), 1);
    }
}

#[tokio::test]
async fn a_500_that_stays_is_asked_four_times_and_is_unavailable() {
    let script = (0..9).map(|_| answer(500, r#"{"code":"InternalServerError","message":"x"}"#)).collect();
    let (client, script) = Script::client(script).await;
    let error = client.page(&client.snapshot_start()).await.unwrap_err();
    assert_eq!((error.kind(), script.uris().len()), (ErrorKind::Unavailable, 4));
}

#[tokio::test]
async fn a_deployment_that_nobody_answers_for_is_unavailable() {
    let access =
        Access::new("http://127.0.0.1:1", DeployKey::new(&format!("local-1|{SECRET}")).unwrap(), false).unwrap();
    let retry = RetryPolicy {
        first_contact: Duration::from_millis(50),
        base: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    let client = Client::new(access, ClientOptions { retry, ..ClientOptions::default() }, Arc::new(NoMonitor)).unwrap();
    let error = client.page(&client.snapshot_start()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(client.traffic().requests > 1);
    assert!(!whole(&error).contains(SECRET));
}

#[tokio::test]
async fn a_snapshot_that_changes_or_stands_still_under_the_walk_is_refused() {
    let at = Position::new(Phase::Snapshot, format!(r#"{{"snapshot":{},"cursor":"c"}}"#, NOW + 1));
    let (client, _) = Script::client(vec![answer(200, snapshot_page("null", false))]).await;
    let error = client.page(&at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("another snapshot"), "{error}");
    let at = Position::new(Phase::Snapshot, format!(r#"{{"snapshot":{NOW},"cursor":"c"}}"#));
    let (client, _) = Script::client(vec![answer(200, snapshot_page("\"c\"", true))]).await;
    let error = client.page(&at).await.unwrap_err();
    assert!(error.to_string().contains("makes no progress"), "{error}");
}

#[tokio::test]
async fn positions_that_are_not_of_their_phase_are_never_sent() {
    let (client, script) = Script::client(vec![]).await;
    for (phase, token) in [
        (Phase::Delta, r#"{"snapshot":1,"cursor":"c"}"#),
        (Phase::Delta, "-1"),
        (Phase::Delta, ""),
        (Phase::Snapshot, "1795434575833065791"),
        (Phase::Snapshot, r#"{"cursor":"c"}"#),
    ] {
        let error = client.page(&Position::new(phase, token)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{token}");
    }
    assert!(script.uris().is_empty());
}

/// A page of documents of a MiB each, `bytes` and a little more in all.
fn large_page(bytes: u64) -> String {
    let text = "é\\\"{[".repeat((1 << 20) / 6 + 1);
    let documents: Vec<_> = (0..=bytes >> 20)
        .map(|n| format!(r#"{{"_component":"","_table":"t{}","_ts":{},"_id":"{n}","text":"{text}"}}"#, n % 3, NOW - 1))
        .collect();
    format!(r#"{{"values":[{}],"snapshot":{NOW},"cursor":null,"hasMore":false}}"#, documents.join(","))
}

#[tokio::test]
async fn a_page_beyond_its_share_of_memory_lies_in_a_file_and_reads_the_same() {
    let text = large_page(small().page());
    let announced = answer(200, text.clone());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let compressed = answer(200, gzip.finish().unwrap()).header("content-encoding", "gzip");
    // What broke off is not in the file of the next attempt.
    let half = answer(200, &text.as_bytes()[..text.len() - 100]).header("content-length", "99999999").cut();
    let (client, script) = Script::client(vec![half, announced, compressed]).await;
    let parts = crate::convex::export::split(text.as_bytes(), Phase::Snapshot).unwrap();
    for requests in [2, 3] {
        let page = client.page(&client.snapshot_start()).await.unwrap();
        assert_eq!(script.uris().len(), requests);
        assert!(page.body.held().is_none());
        assert_eq!((page.body.len(), &page.documents), (text.len() as u64, &parts.documents));
        assert_eq!(page.tables, parts.tables);
        // In their order and against it.
        let mut texts = page.texts().unwrap();
        for document in page.documents.iter().chain(page.documents.iter().rev()) {
            assert_eq!(texts.text(document).unwrap(), &text[document.range.clone()]);
        }
    }
    let (client, _) = Script::client(vec![answer(200, large_page(small().page() - (2 << 20)))]).await;
    assert!(client.page(&client.snapshot_start()).await.unwrap().body.held().is_some());
}

#[tokio::test]
async fn a_large_page_that_makes_no_sense_is_refused_as_a_small_one_is() {
    let page = large_page(small().page());
    let cut = page[..page.len() - 1].to_owned();
    let broken = page.replace(r#""_id":"9""#, r#""id":"9""#);
    let late = page.replacen(&(NOW - 1).to_string(), &(NOW + 1).to_string(), 1);
    for (page, text) in [(cut, "cut off"), (broken, "has no `_id`"), (late, "was written at")] {
        let (client, script) = Script::client(vec![answer(200, page)]).await;
        let error = client.page(&client.snapshot_start()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(script.uris().len(), 1);
    }
}

#[tokio::test]
async fn compressed_pages_count_as_what_they_unfold_to() {
    let page = format!("{}{}", snapshot_page("null", false), " ".repeat(5000));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(page.as_bytes()).unwrap();
    let (client, _) =
        Script::client(vec![answer(200, gzip.finish().unwrap()).header("content-encoding", "gzip")]).await;
    assert_eq!(client.page(&client.snapshot_start()).await.unwrap().body.held().unwrap(), page.as_bytes());
    assert_eq!(client.traffic().response_bytes, page.len() as u64);
}

#[tokio::test]
async fn shapes_come_by_component_or_flat_or_without_shapes() {
    let table = |component: &str, name: &str| TableRef::new(component, name).unwrap();
    let schema = r#"{"type":"object","properties":{"n":{"type":"number"}}}"#;
    let by_component = format!(r#"{{"":{{"a":{schema},"type":{schema}}},"c/d":{{"type":{schema}}},"empty":{{}}}}"#);
    let (client, script) = Script::client(vec![answer(200, by_component)]).await;
    let shapes = client.shapes().await.unwrap();
    let shape = Some(schema.to_owned());
    assert_eq!(
        shapes.tables.into_iter().collect::<Vec<_>>(),
        [(table("", "a"), shape.clone()), (table("", "type"), shape.clone()), (table("c/d", "type"), shape.clone())]
    );
    assert!(shapes.complete && shapes.findings.is_empty());
    assert_eq!(script.uris(), ["/api/json_schemas?deltaSchema=false&byComponent=true&format=convex_encoded_json"]);

    let (client, _) = Script::client(vec![answer(200, format!(r#"{{"a":{schema}}}"#))]).await;
    let shapes = client.shapes().await.unwrap();
    assert_eq!((shapes.tables[&table("", "a")].as_ref(), shapes.complete), (shape.as_ref(), false));

    let odd = answer(400, r#"{"code":"NoSchemaForExport","message":"x"}"#);
    let names = answer(200, r#"{"byComponent":{"":[{"name":"a","columns":["_id"]}],"c":[{"name":"b","columns":[]}]}}"#);
    let (client, script) = Script::client(vec![odd, names]).await;
    let shapes = client.shapes().await.unwrap();
    assert_eq!(shapes.tables.into_iter().collect::<Vec<_>>(), [(table("", "a"), None), (table("c", "b"), None)]);
    assert!(shapes.complete);
    assert!(
        shapes.findings.len() == 1 && shapes.findings[0].to_string().contains("400 NoSchemaForExport"),
        "{:?}",
        shapes.findings
    );
    assert_eq!(script.uris()[1], "/api/get_table_column_names");

    let odd = answer(400, r#"{"code":"NoSchemaForExport","message":"x"}"#);
    let (client, _) = Script::client(vec![odd, answer(404, "")]).await;
    let shapes = client.shapes().await.unwrap();
    assert!(!shapes.complete && shapes.tables.is_empty() && shapes.findings.len() == 1);

    let (client, _) = Script::client(vec![answer(403, r#"{"code":"OperationNotPermitted","message":"x"}"#)]).await;
    assert_eq!(client.shapes().await.unwrap_err().kind(), ErrorKind::Access);
}

type Answers = fn() -> Answer;

/// A client of a server that gives the same two answers again and again: to the shapes, and to the names of tables. It does
/// not wait long.
async fn advised(shapes: Answers, names: Answers) -> Client {
    let routes = Router::new()
        .route(JSON_SCHEMAS, axum::routing::get(async move || shapes().into_response()))
        .route(TABLE_COLUMN_NAMES, axum::routing::get(async move || names().into_response()));
    let retry =
        RetryPolicy { budget: Duration::from_millis(50), base: Duration::from_millis(5), ..RetryPolicy::default() };
    let options = ClientOptions { budget: small(), retry, ..ClientOptions::default() };
    Client::new(access(&serve(routes).await), options, Arc::new(NoMonitor)).unwrap()
}

#[tokio::test]
async fn what_the_deployment_cannot_tell_of_its_tables_is_one_warning_and_no_error() {
    let names = || answer(200, r#"{"byComponent":{"":[{"name":"a","columns":["_id"]}]}}"#);
    let unavailable = || answer(503, r#"{"code":"TableSummariesUnavailable","message":"x"}"#);
    // Announced as larger than the share, or only found to be.
    let large = || answer(200, "1".repeat(3 << 20));
    let unfolded = || {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&vec![b'1'; 3 << 20]).unwrap();
        answer(200, gzip.finish().unwrap()).header("content-encoding", "gzip")
    };
    let no_json = || answer(200, "{\"\":{\"a\":");
    let another = || answer(200, "[1,2]");
    let html = || answer(200, "<!doctype html>");
    let table: [(&str, Answers, Answers, bool); 9] = [
        ("503 TableSummariesUnavailable", unavailable, names, true),
        ("503 TableSummariesUnavailable", unavailable, unavailable, false),
        ("503 TableSummariesUnavailable", unavailable, html, false),
        ("too large", large, names, true),
        ("too large", unfolded, large, false),
        ("cannot understand", no_json, names, true),
        ("cannot understand", no_json, no_json, false),
        ("cannot understand", another, unfolded, false),
        ("cannot understand", html, names, true),
    ];
    for (why, shapes, names, complete) in table {
        let shapes = advised(shapes, names).await.shapes().await.unwrap();
        assert_eq!((shapes.complete, shapes.tables.len()), (complete, usize::from(complete)), "{why}");
        assert!(shapes.tables.values().all(Option::is_none));
        assert!(shapes.findings.len() == 1 && shapes.findings[0].to_string().contains(why), "{:?}", shapes.findings);
    }
    let forbidden = || answer(403, r#"{"code":"OperationNotPermitted","message":"x"}"#);
    for client in [advised(unavailable, forbidden).await, advised(forbidden, names).await] {
        assert_eq!(client.shapes().await.unwrap_err().kind(), ErrorKind::Access);
    }
}

#[tokio::test]
async fn what_is_no_deployment_is_noticed_by_its_shapes() {
    let (client, _) = Script::client(vec![answer(404, "<html>"), answer(404, "")]).await;
    let error = client.shapes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("no Convex deployment"), "{error}");

    let (client, _) = Script::client(vec![answer(200, "\n<!doctype html>")]).await;
    let error = client.shapes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("HTML page"), "{error}");
}

#[tokio::test]
async fn a_nameless_key_asks_the_deployment_for_its_name_and_does_without() {
    for (status, body, name) in [(200, "local-7", Some("local-7")), (404, "", None), (200, "<html>", None)] {
        let (_, script) = Script::client(vec![answer(status, body)]).await;
        let address = script.address.lock().unwrap().clone();
        let access = Access::new(&address, DeployKey::new("preview:t:p|secret-of-it").unwrap(), false).unwrap();
        let client = Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap();
        assert_eq!(client.identity().await.unwrap().name.as_deref(), name);
        assert_eq!(script.uris(), ["/instance_name"]);
    }
    let (client, script) = Script::client(vec![]).await;
    assert_eq!(client.identity().await.unwrap().name.as_deref(), Some("local-1"));
    assert!(script.uris().is_empty());
}

/// Serves a recording at a stage that the test turns.
async fn replay(name: &str) -> (Client, Arc<Mutex<u32>>) {
    let (stage, recording) = (Arc::new(Mutex::new(1)), Arc::new(Recording::open(name)));
    let handler = |State((stage, recording)): State<(Arc<Mutex<u32>>, Arc<Recording>)>,
                   uri: Uri,
                   Query(query): Query<BTreeMap<String, String>>| async move {
        match recording.answer(*stage.lock().unwrap(), uri.path(), &query) {
            Some(exchange) => answer(exchange.status, exchange.body.clone()).into_response(),
            None => answer(410, format!("not recorded: {uri}")).into_response(),
        }
    };
    let address = serve(Router::new().fallback(handler).with_state((stage.clone(), recording))).await;
    (client(&address, Arc::new(NoMonitor)), stage)
}

#[tokio::test]
async fn the_recorded_walks_come_through_whole() {
    // documents of the snapshot; revisions of each later stage
    let walks = [("browser-compat", 4467, vec![774, 774, 773]), ("types", 95, vec![53]), ("holes", 15, vec![4, 4, 0])];
    for (name, documents, revisions) in walks {
        let (client, stage) = replay(name).await;
        let shapes = client.shapes().await.unwrap();
        assert!(shapes.complete && shapes.findings.is_empty());
        let (mut at, mut seen) = (client.snapshot_start(), 0);
        let through = loop {
            let page = client.page(&at).await.unwrap();
            seen += page.documents.len();
            assert!(page.tables.iter().all(|table| shapes.tables.contains_key(table)));
            match page.next {
                Some(next) => at = next,
                None => break page.through.unwrap(),
            }
        };
        assert_eq!(seen, documents, "{name}");
        let mut at = client.deltas_after(through).await.unwrap();
        for (i, revisions) in revisions.into_iter().enumerate() {
            *stage.lock().unwrap() = i as u32 + 2;
            let mut seen = 0;
            loop {
                let page = client.page(&at).await.unwrap();
                seen += page.documents.len();
                at = page.next.unwrap();
                if !page.more {
                    break;
                }
            }
            assert_eq!(seen, revisions, "{name} stage {}", i + 2);
        }
    }
}
