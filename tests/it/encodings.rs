//! A deployment that does not know an encoding is asked for the next one, and what the last one loses is said.
//!
//! The recorded answers are a real deployment's; the oracle is what it answered in convex_encoded_json.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use convex_archiver::{
    Encoding, ErrorKind, Monitor, Revision, TableRef, Timestamp, Value,
    archive::{Archive, Status},
    convex::{Access, Client, ClientOptions, DeployKey, Page, Source},
    server::{Contents, SimulatedDeployment},
    sync::{SyncOptions, sync},
    testing::codec::parse_value,
};
use object_store::memory::InMemory;

use crate::support::{
    Held, KEY, States, Warnings, World, assert_same_state, pages,
    replay::{Recording, Replay},
};

fn client(url: &str) -> (Client, Arc<Warnings>) {
    let access = Access::new(url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let warnings = Arc::new(Warnings::default());
    let monitor = Arc::clone(&warnings) as Arc<dyn Monitor>;
    (Client::new(access, ClientOptions::default(), monitor).unwrap(), warnings)
}

/// What `json` makes of a value (`crates/value/src/export.rs` of Convex's backend).
fn lossy(value: &Value) -> Value {
    match value {
        Value::Int64(n) => Value::String(n.to_string()),
        Value::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        Value::Float64(n) if n.is_nan() => Value::String("NaN".into()),
        Value::Float64(n) if n.is_infinite() => Value::String(if *n > 0.0 { "Infinity" } else { "-Infinity" }.into()),
        Value::Array(items) => Value::Array(items.iter().map(lossy).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), lossy(field))).collect())
        }
        same => same.clone(),
    }
}

fn as_it_comes(revision: &Revision, encoding: Encoding) -> Revision {
    let mut revision = revision.clone();
    if encoding == Encoding::Json {
        let fields = revision.document.iter_mut().flatten();
        fields.for_each(|(_, value)| *value = lossy(value));
    }
    revision
}

/// The revisions of a page, read in the encoding that it says it has.
fn revisions(page: &Page) -> Vec<(TableRef, Revision)> {
    let mut texts = page.texts().unwrap();
    let rows = page.documents.iter().map(|span| {
        let Value::Object(mut fields) = parse_value(texts.text(span).unwrap(), page.encoding).unwrap() else {
            panic!()
        };
        let Some(Value::String(id)) = fields.get("_id").cloned() else { panic!("no id") };
        fields.retain(|name, _| !["_component", "_table", "_ts", "_deleted"].contains(&name.as_str()));
        let document = (!span.deleted).then_some(fields);
        (page.tables[span.table as usize].clone(), Revision { id, ts: span.ts, document })
    });
    rows.collect()
}

/// What the deployment understands, what it is asked for then, and what is said about it.
fn cases() -> [(Vec<Encoding>, Encoding, Vec<&'static str>); 3] {
    use Encoding::{ConvexEncodedJson, ExportJson, Json};
    [
        (vec![ConvexEncodedJson], ConvexEncodedJson, vec![]),
        (vec![ExportJson, Json], ExportJson, vec!["export_json, which is lossless, too"]),
        (vec![Json], Json, vec!["export_json, which is lossless, too", "LOSES TYPES"]),
    ]
}

#[tokio::test]
async fn every_recorded_value_comes_through_in_the_first_encoding_that_is_understood() {
    let recording = Arc::new(Recording::read("types"));
    for (formats, encoding, told) in cases() {
        let replay = Replay::start(&recording).await;
        replay.set_formats(&formats);
        let (client, warnings) = client(&replay.server.url);
        let mut state = States::new();
        let mut at = Some(client.snapshot_start());
        while let Some(position) = at {
            let page = client.page(&position).await.unwrap();
            assert_eq!(page.encoding, encoding);
            for (table, revision) in revisions(&page) {
                state.entry(table).or_default().insert(revision.id.clone(), revision);
            }
            at = page.next;
        }
        let (s, mut expected) = recording.walk();
        let all = expected.values_mut().flat_map(|table| table.values_mut());
        all.for_each(|revision| *revision = as_it_comes(revision, encoding));
        assert_same_state(&state, &expected);

        replay.set_stage(2);
        let (mut seen, mut at) = (Vec::new(), client.deltas_after(s).await.unwrap());
        loop {
            let page = client.page(&at).await.unwrap();
            assert_eq!(page.encoding, encoding);
            seen.extend(revisions(&page));
            at = page.next.unwrap();
            if !page.more {
                break;
            }
        }
        let deltas = recording.deltas(2).1;
        let expected: Vec<_> = deltas.iter().map(|(table, r)| (table.clone(), as_it_comes(r, encoding))).collect();
        assert_eq!(seen, expected);
        let warnings = warnings.0.lock().unwrap();
        assert_eq!(warnings.len(), told.len(), "said once for the client's life: {warnings:?}");
        assert!(warnings.iter().zip(&told).all(|(warning, told)| warning.contains(told)), "{warnings:?}");
    }
}

#[tokio::test]
async fn an_archive_holds_the_values_as_they_came_and_its_commits_and_status_say_how() {
    let recording = Arc::new(Recording::read("types"));
    for (formats, encoding, _) in cases() {
        let replay = Replay::start(&recording).await;
        replay.set_formats(&formats);
        let store = Arc::new(InMemory::new());
        let archive = async || {
            let identity = client(&replay.server.url).0.identity().await.unwrap();
            let store = Arc::clone(&store) as Arc<dyn object_store::ObjectStore>;
            Archive::open_or_create(store, "memory:///archive", identity, Timestamp(1)).await.unwrap()
        };
        for stage in [1, 2] {
            replay.set_stage(stage);
            let (client, warnings) = client(&replay.server.url);
            let monitor = Arc::clone(&warnings) as Arc<dyn Monitor>;
            sync(Arc::new(client), &archive().await, &SyncOptions::default().audit_every(None), monitor).await.unwrap();
            let told = warnings.0.lock().unwrap().iter().filter(|warning| warning.contains("LOSES TYPES")).count();
            assert_eq!(told, usize::from(encoding == Encoding::Json), "once a run");
        }
        let held = Held::read(&archive().await).await;
        let status = Status::of(&held.head, Timestamp(i64::MAX));
        assert_eq!(status.encoding, Some(encoding));
        assert_eq!(serde_json::to_value(&status).unwrap()["encoding"], encoding.as_str());
        let (s, mut expected) = recording.walk();
        let all = expected.values_mut().flat_map(|table| table.values_mut());
        all.for_each(|revision| *revision = as_it_comes(revision, encoding));
        assert_same_state(&held.state_at(s), &expected);
    }
}

#[tokio::test]
async fn an_encoding_that_loses_nothing_makes_the_same_archive() {
    let deployment = SimulatedDeployment::new("otter-1", 7);
    deployment.insert_all(Contents::Generated(300).documents(7).unwrap()).unwrap();
    let formats = vec![Encoding::ExportJson, Encoding::Json];
    let world = World::of(deployment, pages(50, 50).formats(formats)).await;
    world.sync().await;
    world.assert_equal().await;
}

#[tokio::test]
async fn a_deployment_that_knows_none_of_them_is_not_supported() {
    let world = World::new(pages(5, 5).formats(vec![])).await;
    let error = world.client().page(&world.client().snapshot_start()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}
