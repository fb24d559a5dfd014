//! What a real deployment answered, against what we answer for the same documents (`tests/data/recordings/types.jsonl.gz`).

use std::{collections::BTreeMap, io::Read, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use super::{
    era::{Components, JsonSchemas},
    json_schemas::{column_names, schemas},
    page::PageWriter,
    selection::SelectedColumns,
    shape::SampledShape,
    simulate::{Fields, table_number},
};
use crate::document::{Encoding, Revision, TableRef, Timestamp, Value};

const ENCODINGS: [Encoding; 3] = [Encoding::Json, Encoding::ConvexEncodedJson, Encoding::ExportJson];

fn recording() -> Vec<Json> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/types.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The values of all recorded pages of an endpoint in a stage and encoding.
fn rows(recording: &[Json], stage: u8, path: &str, encoding: Encoding) -> Vec<Json> {
    let pages = recording.iter().filter(|x| {
        x["stage"] == stage && x["path"] == path && x["query"]["format"] == encoding.as_str() && x["status"] == 200
    });
    let mut rows = Vec::new();
    for page in pages {
        let page: Json = serde_json::from_str(page["body"].as_str().unwrap()).unwrap();
        rows.extend(page["values"].as_array().unwrap().iter().cloned());
    }
    rows
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => Value::Float64(n.as_f64().unwrap()),
        Json::String(s) => Value::String(s.clone()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(fields) => {
            let eight = |text: &Json| <[u8; 8]>::try_from(bytes(text)).unwrap();
            match fields.iter().next().map(|(name, text)| (name.as_str(), text)) {
                Some(("$integer", text)) => Value::Int64(i64::from_le_bytes(eight(text))),
                Some(("$float", text)) => Value::Float64(f64::from_le_bytes(eight(text))),
                Some(("$bytes", text)) => Value::Bytes(bytes(text)),
                _ => Value::Object(fields.iter().map(|(name, field)| (name.clone(), value(field))).collect()),
            }
        }
    }
}

fn bytes(text: &Json) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn revision(row: &Json) -> (TableRef, Revision) {
    let row = row.as_object().unwrap();
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    let fields = row.iter().filter(|(name, _)| !["_component", "_table", "_ts", "_deleted"].contains(&name.as_str()));
    let fields: Fields = fields.map(|(name, field)| (name.clone(), value(field))).collect();
    let deleted = row.get("_deleted") == Some(&json!(true));
    let revision = Revision {
        id: text("_id"),
        ts: Timestamp(row["_ts"].as_i64().unwrap()),
        document: (!deleted).then_some(fields),
    };
    (TableRef::new(text("_component"), text("_table")).unwrap(), revision)
}

#[test]
fn writes_every_recorded_page_byte_for_byte_in_each_encoding() {
    let recording = recording();
    let lossless = |x: &Json, encoding: Encoding| {
        let mut query = x["query"].clone();
        query["format"] = json!(encoding.as_str());
        let same = |y: &&Json| y["stage"] == x["stage"] && y["path"] == x["path"] && y["query"] == query;
        recording.iter().find(same).map(|y| y["body"].as_str().unwrap().to_owned())
    };
    let mut compared = 0;
    for x in &recording {
        let deltas = x["path"] == "/api/document_deltas";
        if x["query"]["format"] != "convex_encoded_json" || !(deltas || x["path"] == "/api/list_snapshot") {
            continue;
        }
        let page: Json = serde_json::from_str(x["body"].as_str().unwrap()).unwrap();
        for encoding in ENCODINGS {
            let Some(expected) = lossless(x, encoding) else { continue };
            let mut writer = PageWriter::new(encoding, deltas, Components::Everywhere);
            for (table, revision) in page["values"].as_array().unwrap().iter().map(revision) {
                writer.push(&table, &revision, SelectedColumns::AllColumns);
            }
            let values = writer.into_text();
            assert_eq!(values, expected[..values.len()]);
            assert_eq!(expected[values.len()..].chars().next(), Some(']'));
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn infers_the_recorded_schemas_from_the_recorded_documents() {
    let recording = recording();
    let text = |path: &str, query: Json| {
        let found = recording.iter().find(|x| x["stage"] == 1 && x["path"] == path && x["query"] == query);
        found.unwrap()["body"].as_str().unwrap().to_owned()
    };
    // The tables are listed by tablet, which only the answer itself tells.
    let columns = text("/api/get_table_column_names", json!({}));
    let mut shapes = BTreeMap::new();
    let rows = rows(&recording, 1, "/api/list_snapshot", Encoding::ConvexEncodedJson);
    let rows: BTreeMap<_, _> =
        rows.iter().map(revision).map(|(table, r)| ((table, r.id), r.document.unwrap())).collect();
    let numbers: BTreeMap<_, _> = rows
        .keys()
        .map(|(table, id)| ((table.component(), table_number(id).unwrap()), table.name().to_owned()))
        .collect();
    for ((table, _), document) in &rows {
        let of_id = |id: &str| numbers.get(&(table.component(), table_number(id)?)).cloned();
        shapes.entry(table).or_insert_with(SampledShape::default).add_document(document, &of_id);
    }
    let mut listed = Vec::new();
    let parsed: Json = serde_json::from_str(&columns).unwrap();
    for (component, tables) in parsed["byComponent"].as_object().unwrap() {
        for table in tables.as_array().unwrap() {
            let table = TableRef::new(component, table["name"].as_str().unwrap()).unwrap();
            let shape = shapes.remove(&table).unwrap_or_else(|| SampledShape::of_empty_table(table.name()));
            listed.push((Arc::new(table), shape));
        }
    }
    assert_eq!(column_names(&listed), columns);
    for encoding in ENCODINGS {
        for (delta_schema, by_component) in [(false, false), (false, true), (true, false), (true, true)] {
            let ours = schemas(&listed, JsonSchemas::Inferred, encoding, delta_schema, by_component).unwrap();
            let query = json!({
                "deltaSchema": delta_schema.to_string(),
                "format": encoding.as_str(),
                "byComponent": by_component.to_string(),
            });
            assert_eq!(ours, text("/api/json_schemas", query));
        }
    }
}
