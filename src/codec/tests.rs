//! The law, through real Parquet bytes.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    document::{Encoding, Timestamp, Value},
    schema::{DocumentShape, Misfits, SIBLING_AFTER, TableSchema, evolve, hint},
};

type Document = BTreeMap<String, Value>;

const KEYS: [&str; 18] = [
    "a",
    "A",
    "b",
    "c",
    "",
    "/",
    "~",
    "~1",
    ".",
    "0",
    "1",
    "*",
    "a b",
    "a__string",
    "f_61",
    "_x",
    "convex_phase",
    "j5700221pceb603t7je2hkqn0s8jrtmp",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Boolean),
        2 => select(vec![0, 1, -1, i64::MAX, i64::MIN, 1 << 53]).prop_map(Value::Int64),
        2 => select(vec![0, 1 << 63, 0x7ff8_0000_0000_0000, 0x7ff8_0000_0000_0001, 0xfff0_0000_0000_0000, 0x3ff0_0000_0000_0000, 1, 0x7fef_ffff_ffff_ffff])
            .prop_map(|bits: u64| Value::Float64(f64::from_bits(bits))),
        1 => any::<f64>().prop_map(Value::Float64),
        3 => select(vec!["", "x", "null", "\u{0}\"\\\n", "é\u{1F600}", "[]"]).prop_map(|s| Value::String(s.into())),
        1 => proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            2 => proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            1 => (inner.clone(), 1usize..4).prop_map(|(v, n)| Value::Array(vec![v; n])),
            2 => proptest::collection::btree_map(select(&KEYS[..4]), inner.clone(), 0..4).prop_map(object),
            1 => proptest::collection::btree_map(select(&KEYS[..]), inner, 0..4).prop_map(object),
        ]
    })
}

fn object(fields: BTreeMap<&str, Value>) -> Value {
    Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn document() -> impl Strategy<Value = Document> {
    let field = prop_oneof![6 => select(&KEYS[..3]), 1 => select(&KEYS[..]), 1 => select(&["k1", "k2", "k3"][..])];
    proptest::collection::btree_map(field, value(), 0..5).prop_map(|fields| {
        let mut document: Document =
            fields.into_iter().filter(|(k, _)| !k.starts_with('_')).map(|(k, v)| (k.to_owned(), v)).collect();
        document.insert("_id".into(), Value::String("id".into()));
        document.insert("_creationTime".into(), Value::Float64(1.7e12 + 0.5));
        document
    })
}

/// One file: documents, after how many of them a batch ends, how many of the first fix the schema, the encoding, and
/// how much the misfits before it count.
type File = (Vec<Document>, usize, usize, bool, u64);

fn file() -> impl Strategy<Value = File> {
    (
        proptest::collection::vec(document(), 1..7),
        1usize..5,
        0usize..4,
        any::<bool>(),
        select(vec![0, 1, SIBLING_AFTER]),
    )
}

fn text_of(document: &Document, encoding: Encoding) -> String {
    let mut text = String::new();
    write_value(&mut text, &Value::Object(document.clone()), encoding);
    text
}

fn through_parquet(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.close().unwrap();
    ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap().map(Result::unwrap).collect()
}

/// Writes the files of a table one after another, as a sync does; gives its newest schema and the files' rows.
fn write_table(files: &[File]) -> (TableSchema, Vec<Vec<RecordBatch>>) {
    let (mut schema, mut misfits) = (TableSchema::empty(), Misfits::new());
    let mut written = Vec::new();
    for (documents, batch, sample, export, weight) in files {
        let encoding = if *export { Encoding::ExportJson } else { Encoding::ConvexEncodedJson };
        let mut seen = DocumentShape::default();
        for document in documents.iter().take(*sample) {
            observe(&text_of(document, encoding), encoding, &mut seen).unwrap();
        }
        schema = evolve(&schema, &seen, &misfits);
        let mut decoder = TableDecoder::new(&schema, None);
        let mut batches = Vec::new();
        for documents in documents.chunks(*batch) {
            for document in documents {
                decoder.push(&text_of(document, encoding), encoding, Timestamp(7), false).unwrap();
            }
            batches.push(decoder.flush().unwrap().unwrap());
        }
        for (path, kinds) in decoder.misfits() {
            for (kind, n) in kinds {
                *misfits.entry(path.clone()).or_default().entry(kind.clone()).or_default() += n * weight;
            }
        }
        written.push(batches);
    }
    (schema, written)
}

/// The cells of a row: `_nulls` as paths, `_rescued` as path and text length.
fn cells(batch: &RecordBatch, row: usize) -> (Vec<String>, Vec<(String, usize)>) {
    let cell = |name| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let nulls = cell("_nulls").map(|c| serde_json::from_str::<Vec<String>>(&c).unwrap()).unwrap_or_default();
    let rescued = cell("_rescued").map(|c| {
        let object: Vec<(String, Box<serde_json::value::RawValue>)> = serde_json::from_str::<
            serde_json::Map<String, serde_json::Value>,
        >(&c)
        .unwrap()
        .keys()
        .cloned()
        .zip(serde_json::from_str::<BTreeMap<String, Box<serde_json::value::RawValue>>>(&c).unwrap().into_values())
        .collect();
        object.into_iter().map(|(path, raw)| (path, raw.get().len())).collect()
    });
    (nulls, rescued.unwrap_or_default())
}

fn check_cells(document: &Document, nulls: &[String], rescued: &[(String, usize)]) {
    let mut paths: Vec<&String> = nulls.iter().chain(rescued.iter().map(|(p, _)| p)).collect();
    assert!(nulls.is_sorted() && rescued.is_sorted_by(|a, b| a.0 < b.0));
    paths.sort();
    for (i, path) in paths.iter().enumerate() {
        assert!(paths[i + 1..].iter().all(|p| p != path && !p.starts_with(&format!("{path}/"))), "{paths:?}");
    }
    for (name, value) in document.iter().filter(|(name, _)| !name.starts_with('_')) {
        let top = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let below = |p: &str| p == top || p.starts_with(&format!("{top}/"));
        let quoted = |p: &str| serde_json::to_string(p).unwrap().len();
        let sum: usize = nulls.iter().filter(|p| below(p)).map(|p| quoted(p) + 1).sum::<usize>()
            + rescued.iter().filter(|(p, _)| below(p)).map(|(p, n)| quoted(p) + n + 2).sum::<usize>();
        let mut text = String::new();
        write_value(&mut text, value, Encoding::ExportJson);
        // Escapes in paths are the only thing that is not counted exactly.
        assert!(sum <= text.len() + 1024 + quoted(&top) + 2, "{name}: {sum} for {}", text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_value_comes_back_through_parquet_after_any_drift(files in proptest::collection::vec(file(), 1..4)) {
        let (schema, written) = write_table(&files);
        for ((documents, ..), batches) in files.iter().zip(&written) {
            let mut expected = documents.iter();
            for batch in through_parquet(batches) {
                let reader = RowReader::new(&schema, &batch).unwrap();
                for row in 0..batch.num_rows() {
                    let document = expected.next().unwrap();
                    let (nulls, rescued) = cells(&batch, row);
                    check_cells(document, &nulls, &rescued);
                    let revision = reader.revision(row).unwrap();
                    prop_assert_eq!(revision.document.as_ref(), Some(document), "nulls {:?} rescued {:?} schema {:?}", nulls, rescued, &schema);
                }
            }
            prop_assert!(expected.next().is_none());
        }
    }

    #[test]
    fn text_in_either_encoding_reads_back_and_transcodes(value in value()) {
        for encoding in [Encoding::ConvexEncodedJson, Encoding::ExportJson] {
            let mut text = String::new();
            write_value(&mut text, &value, encoding);
            prop_assert_eq!(&parse_value(&text, encoding).unwrap(), &value);
            let (mut export, mut transcoded) = (String::new(), String::new());
            write_value(&mut export, &value, Encoding::ExportJson);
            json::transcode(&mut parse::Json::new(&text, encoding), &mut transcoded).unwrap();
            prop_assert_eq!(export, transcoded);
        }
    }
}

fn one_document(schema: &TableSchema, text: &str) -> (RecordBatch, Document) {
    let mut decoder = TableDecoder::new(schema, None);
    decoder.push(text, Encoding::ExportJson, Timestamp(7), false).unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    let document = RowReader::new(schema, &batch).unwrap().revision(0).unwrap().document.unwrap();
    (batch, document)
}

#[test]
fn a_field_that_would_blow_up_the_cells_is_rescued_whole() {
    // Known: a list of structs. Then 1,024 items with 4 values that do not fit, each below 6 keys of 60 characters.
    let deep = (0..6)
        .fold(r#"{"w":1,"x":1,"y":1,"z":1}"#.to_owned(), |inner, _| format!(r#"{{"{}":{inner}}}"#, "k".repeat(60)));
    let mut shape = hint("");
    observe(&format!(r#"{{"a":[{deep}]}}"#), Encoding::ExportJson, &mut shape).unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let wrong = deep.replace('1', r#""""#);
    let items = vec![wrong; 1024].join(",");
    let text = format!(r#"{{"_id":"i","_creationTime":1.5,"a":[{items}]}}"#);
    let (batch, document) = one_document(&schema, &text);
    let (nulls, rescued) = cells(&batch, 0);
    assert_eq!((nulls.len(), rescued.len()), (0, 1));
    assert_eq!(rescued[0].0, "/a");
    assert_eq!(Value::Object(document), parse_value(&text, Encoding::ExportJson).unwrap());
    // The column was taken back, children included.
    assert!(batch.column_by_name("a").unwrap().is_null(0));
}

#[test]
fn many_deep_nulls_are_bounded_too() {
    let mut shape = hint("");
    observe(
        r#"{"a":[{"bbbbbbbbbbbbbbbbbbbb":{"cccccccccccccccccccccccccccc":{"d":1.0}}}]}"#,
        Encoding::ExportJson,
        &mut shape,
    )
    .unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let item = r#"{"bbbbbbbbbbbbbbbbbbbb":{"cccccccccccccccccccccccccccc":{"d":null}}}"#;
    let text = format!(r#"{{"_id":"i","_creationTime":1.5,"a":[{}]}}"#, vec![item; 8192].join(","));
    let (batch, document) = one_document(&schema, &text);
    let (nulls, rescued) = cells(&batch, 0);
    check_cells(&document, &nulls, &rescued);
    assert_eq!(Value::Object(document), parse_value(&text, Encoding::ExportJson).unwrap());
}

#[test]
fn a_key_that_stands_twice_is_refused_in_any_order() {
    let schema = TableSchema::empty();
    for text in [
        r#"{"_id":"i","_creationTime":1.0,"a":1,"a":2}"#,
        r#"{"_id":"i","_creationTime":1.0,"a":1,"b":2,"a":null}"#,
        r#"{"_id":"i","_creationTime":1.0,"o":{"b":1,"a":2,"b":3}}"#,
        r#"{"_id":"i","_creationTime":1.0,"_id":"i"}"#,
    ] {
        let error =
            TableDecoder::new(&schema, None).push(text, Encoding::ConvexEncodedJson, Timestamp(1), false).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
    assert!(
        TableDecoder::new(&schema, None)
            .push(r#"{"_id":"i","_creationTime":1.0,"b":1,"a":2}"#, Encoding::ConvexEncodedJson, Timestamp(1), false)
            .is_ok()
    );
}

#[test]
fn a_tombstone_has_its_id_and_nothing_else() {
    let schema = TableSchema::empty();
    let mut decoder = TableDecoder::new(&schema, None);
    decoder
        .push(r#"{"_table":"t","_id":"gone","_deleted":true}"#, Encoding::ConvexEncodedJson, Timestamp(9), true)
        .unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    let revision = RowReader::new(&schema, &batch).unwrap().revision(0).unwrap();
    assert_eq!((revision.id.as_str(), revision.ts, revision.document), ("gone", Timestamp(9), None));
}

#[test]
fn lists_of_a_kind_that_came_later_go_whole_to_their_sibling() {
    let mut shape = hint("");
    observe(r#"{"tags":["x"]}"#, Encoding::ExportJson, &mut shape).unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let mut decoder = TableDecoder::new(&schema, None);
    decoder.push(r#"{"_id":"i","_creationTime":1.0,"tags":[1,2]}"#, Encoding::ExportJson, Timestamp(1), false).unwrap();
    assert_eq!(decoder.misfits()["/tags"]["array_int64"], 1);
    let due = Misfits::from([("/tags".into(), BTreeMap::from([("array_int64".into(), SIBLING_AFTER)]))]);
    let grown = evolve(&schema, &DocumentShape::default(), &due);
    assert_eq!(grown.fields[1].column, "tags__array_int64");
    let (batch, _) = one_document(&grown, r#"{"_id":"i","_creationTime":1.0,"tags":[1,null]}"#);
    assert!(batch.column_by_name("tags").unwrap().is_null(0));
    assert!(batch.column_by_name("tags__array_int64").unwrap().is_valid(0));
    for either in ["[]", "[null]"] {
        let (batch, _) = one_document(&grown, &format!(r#"{{"_id":"i","_creationTime":1.0,"tags":{either}}}"#));
        assert!(batch.column_by_name("tags").unwrap().is_valid(0), "{either} goes to the oldest list");
    }
}
