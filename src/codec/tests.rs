//! The law, through real Parquet bytes.

mod model;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    content::{ContentDigest, DigestShare},
    document::{Encoding, TableRef, Timestamp, Value},
    schema::{ColumnType, DocumentShape, Kind, Misfits, SIBLING_AFTER, TableSchema, evolve, hint},
    sum::Sum,
};

type Document = BTreeMap<String, Value>;

const KEYS: [&str; 19] = [
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
    "a\"\\",
    "a b",
    "a__string",
    "f_61",
    "_x",
    "convex_phase",
    "j5700221pceb603t7je2hkqn0s8jrtmp",
];

/// Names that have much in common: their length, how they begin, how they end, what they are written as.
const ALIKE: [&str; 16] = [
    "",
    "a",
    "a\"",
    "a\":",
    "a:",
    "aa",
    "aé",
    "abcdef",
    "abcdefg",
    "abcdefgh",
    "abcdefghi",
    "abcdefgh1stuvwxyz",
    "abcdefgh2stuvwxyz",
    "abcdefgh\\stuvwxyz",
    "abcdefghi1stuvwxyz",
    "b",
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

/// The same JSON with white space around all that it may stand around.
fn spaced(text: &str) -> String {
    let (mut out, mut string, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        let structure = !string && "{}[]:,".contains(c);
        out.push_str(if structure { " " } else { "" });
        out.push(c);
        out.push_str(if structure { "\n" } else { "" });
        string ^= c == '"' && !escaped;
        escaped = string && c == '\\' && !escaped;
    }
    out
}

fn through_parquet(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.close().unwrap();
    ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap().map(Result::unwrap).collect()
}

/// A file as written: its schema, its rows, and what did not fit.
type Written = (TableSchema, Vec<RecordBatch>, Misfits);

/// Writes the files of a table one after another, as a sync does; gives its newest schema and the files.
fn write_table(files: &[File]) -> (TableSchema, Vec<Written>) {
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
        written.push((schema.clone(), batches, decoder.misfits().clone()));
    }
    (schema, written)
}

/// `_nulls` and `_rescued` of a row, as they stand there.
fn raw_cells(batch: &RecordBatch, row: usize) -> [Option<&str>; 2] {
    ["_nulls", "_rescued"].map(|name| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    })
}

/// The cells of a row: `_nulls` as paths, `_rescued` as path and text length.
fn cells(batch: &RecordBatch, row: usize) -> (Vec<String>, Vec<(String, usize)>) {
    let [nulls, rescued] = raw_cells(batch, row);
    let rescued =
        rescued.map(|c| serde_json::from_str::<BTreeMap<String, Box<serde_json::value::RawValue>>>(c).unwrap());
    let rescued = rescued.unwrap_or_default().into_iter().map(|(path, raw)| (path, raw.get().len()));
    (nulls.map(|c| serde_json::from_str(c).unwrap()).unwrap_or_default(), rescued.collect())
}

/// Every column of a row, both cells by letter, as the model says; whether the bound took a field.
fn check_row(
    schema: &TableSchema,
    document: &Document,
    batch: &RecordBatch,
    row: usize,
    misfits: &mut Misfits,
) -> bool {
    let (columns, beside) = model::document(&schema.fields, document);
    for ((field, array), expected) in schema.fields.iter().zip(&batch.columns()[5..]).zip(&columns) {
        let written = model::cell(&field.column_type, array, row);
        let short = |cell| format!("{cell:?}").chars().take(300).collect::<String>();
        assert!(&written == expected, "{}: {} for {}", field.column, short(&written), short(expected));
    }
    let (mut nulls, mut rescued) = (String::new(), String::new());
    for path in &beside.nulls {
        nulls = format!("{nulls}{}{}", if nulls.is_empty() { '[' } else { ',' }, serde_json::to_string(path).unwrap());
    }
    for (path, text) in &beside.rescued {
        let path = serde_json::to_string(path).unwrap();
        rescued = format!("{rescued}{}{path}:{text}", if rescued.is_empty() { '{' } else { ',' });
    }
    let cell = |text: String, end| (!text.is_empty()).then(|| text + end);
    let expected = [cell(nulls, "]"), cell(rescued, "}")];
    assert_eq!(raw_cells(batch, row), [expected[0].as_deref(), expected[1].as_deref()], "{document:?}");
    add_misfits(misfits, &beside.misfits);
    beside.bounded
}

fn check_cells(document: &Document, nulls: &[String], rescued: &[(String, usize)]) {
    let mut paths: Vec<&String> = nulls.iter().chain(rescued.iter().map(|(p, _)| p)).collect();
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
        assert!(sum <= text.len() + 1024 + quoted(&top) + 2, "{name}: {sum} for {}", text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_value_comes_back_through_parquet_after_any_drift(files in proptest::collection::vec(file(), 1..4)) {
        let (schema, written) = write_table(&files);
        for ((documents, ..), (written_as, batches, counted)) in files.iter().zip(&written) {
            let mut expected = documents.iter();
            let (mut misfits, mut bounded) = (Misfits::new(), false);
            for batch in through_parquet(batches) {
                let reader = RowReader::new(&schema, &batch).unwrap();
                for row in 0..batch.num_rows() {
                    let document = expected.next().unwrap();
                    let (nulls, rescued) = cells(&batch, row);
                    check_cells(document, &nulls, &rescued);
                    bounded |= check_row(written_as, document, &batch, row, &mut misfits);
                    let revision = reader.revision(row).unwrap();
                    prop_assert_eq!(revision.document.as_ref(), Some(document), "nulls {:?} rescued {:?} schema {:?}", nulls, rescued, &schema);
                    for encoding in [Encoding::ExportJson, Encoding::ConvexEncodedJson, Encoding::Json] {
                        let (mut text, mut expected) = (String::new(), String::new());
                        reader.write_json(row, encoding, &mut text).unwrap();
                        write_value(&mut expected, &Value::Object(document.clone()), encoding);
                        prop_assert_eq!(text, expected);
                    }
                }
            }
            prop_assert!(expected.next().is_none());
            // What a field that the bound takes has counted is what had been read of it.
            prop_assert!(bounded || *counted == misfits, "{:?} {:?}", counted, misfits);
        }
    }

    /// In the lossy encoding too: what it sends as text is text to both ends.
    #[test]
    fn the_digest_of_what_came_is_that_of_what_a_reader_finds(
        files in proptest::collection::vec(file(), 1..4),
        encoding in select(vec![Encoding::ExportJson, Encoding::ConvexEncodedJson, Encoding::Json]),
        share in select(vec![DigestShare::All, DigestShare::All, DigestShare::Sampled]),
    ) {
        let table = TableRef::new("waitlist", "users").unwrap();
        let (mut schema, mut taken) = (TableSchema::empty(), 0);
        let mut written = Vec::new();
        for (n, (documents, batch, sample, ..)) in files.iter().enumerate() {
            // As a server sends it: keys in its own order, and names of its own among them.
            let text = |row: usize| {
                let fields = documents[row].iter().filter(|(name, _)| !name.starts_with('_')).rev();
                let mut text = format!("{{\"_ts\":1789000000000000001, \"_id\" : \"{n}-{row}\",\"_creationTime\":1.5");
                for (name, value) in fields {
                    text.push(',');
                    write_string(&mut text, name);
                    text.push(':');
                    write_value(&mut text, value, encoding);
                }
                text + ",\"_table\":\"users\"}"
            };
            let mut seen = DocumentShape::default();
            (0..documents.len().min(*sample)).for_each(|row| observe(&text(row), encoding, &mut seen).unwrap());
            schema = evolve(&schema, &seen, &Misfits::new());
            let mut decoder = TableDecoder::new(&schema, None).with_content(&table, share);
            let mut batches = Vec::new();
            for row in 0..documents.len() {
                decoder.push(&text(row), encoding, Timestamp(row as i64), row % 4 == 3).unwrap();
                if row % batch == 0 {
                    batches.push(decoder.flush().unwrap().unwrap());
                }
            }
            batches.extend(decoder.flush().unwrap());
            let content = decoder.content().unwrap();
            let expected = (0..documents.len()).filter(|row| share.takes(&format!("{n}-{row}"))).count() as u64;
            prop_assert_eq!((content.share, content.sum.count), (share, expected));
            taken += expected;
            written.push((content, batches));
        }
        // Under the newest schema, and all files together too.
        let mut all = ContentSum::new(&table, share);
        for (content, batches) in &written {
            let mut found = ContentSum::new(&table, share);
            for batch in through_parquet(batches) {
                found.take_rows(&schema, &batch).unwrap();
                all.take_rows(&schema, &batch).unwrap();
            }
            prop_assert_eq!(found.digest(), Some(*content));
        }
        let sum = written.iter().fold(Sum::default(), |sum, (content, _)| sum.plus(content.sum));
        prop_assert_eq!((all.digest().unwrap().sum, sum.count), (sum, taken));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Keys that are written as servers write them are compared in place; all others are read.
    #[test]
    fn rows_are_the_same_however_a_document_is_spelled_and_wherever_it_is_read_from(
        sample in proptest::collection::btree_map(select(&ALIKE[..]), value(), 0..12),
        documents in proptest::collection::vec(proptest::collection::btree_map(select(&ALIKE[..]), value(), 0..12), 1..4),
        turns in any::<[u8; 3]>(), encoding in select(vec![Encoding::ExportJson, Encoding::ConvexEncodedJson]),
    ) {
        let named = |fields: &BTreeMap<&str, Value>| -> Document {
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let mut seen = DocumentShape::default();
        observe(&text_of(&named(&sample), encoding), encoding, &mut seen).unwrap();
        let schema = evolve(&TableSchema::empty(), &seen, &Misfits::new());
        let mut decoders = [(); 4].map(|()| TableDecoder::new(&schema, None));
        for (fields, turn) in documents.iter().zip(turns) {
            let mut document = named(fields);
            document.insert("_creationTime".into(), Value::Float64(1.5));
            document.insert("_id".into(), Value::String("id".into()));
            let rest = text_of(&document, encoding).split_off(1);
            let front = r#"{"_component":"","_table":"t","_ts":7,"_deleted":false,"#;
            let text = format!("{front}{rest}");
            let mut turned: Vec<_> = document.iter().collect();
            turned.rotate_left(usize::from(turn) % document.len());
            let mut other = String::from("{");
            for (name, value) in turned {
                other.push_str(if other.len() > 1 { "," } else { "" });
                write_string(&mut other, name);
                other.push(':');
                write_value(&mut other, value, encoding);
            }
            other.push('}');
            let ways = [(front.len(), &text), (0, &text), (0, &spaced(&text)), (0, &other)];
            for (decoder, (read, text)) in decoders.iter_mut().zip(ways) {
                decoder.push_from(read, text, encoding, Timestamp(7), false).unwrap();
            }
        }
        let [first, others @ ..] = decoders.map(|mut decoder| {
            let batch = decoder.flush().unwrap().unwrap();
            (batch, decoder.misfits().clone(), decoder.newcomers(), decoder.oddities().beyond_limits)
        });
        for other in others {
            prop_assert_eq!(&first, &other);
        }
    }
}

#[test]
fn the_digest_is_that_of_the_text_that_the_format_says() {
    let table = TableRef::new("waitlist", "users").unwrap();
    let mut decoder = TableDecoder::new(&TableSchema::empty(), None).with_content(&table, DigestShare::All);
    let document = r#"{"b":"x\n","_creationTime":1.5,"a":{"$integer":"KgAAAAAAAAA="},"_id":"i","_table":"users"}"#;
    decoder.push(document, Encoding::ConvexEncodedJson, Timestamp(7), false).unwrap();
    decoder.push(r#"{"_id":"i","_deleted":true}"#, Encoding::ConvexEncodedJson, Timestamp(8), true).unwrap();
    let mut expected = Sum::of(br#"["waitlist/users","i",7,{"_creationTime":1.5,"_id":"i","a":42,"b":"x\n"}]"#);
    expected.add(br#"["waitlist/users","i",8,null]"#);
    assert_eq!(decoder.content(), Some(ContentDigest { share: DigestShare::All, sum: expected }));
}

#[test]
fn a_changed_cell_gives_another_digest_and_none_is_taken_where_none_is_wanted() {
    let table = TableRef::new("", "users").unwrap();
    let schema = grown(&[(r#""s":"x","n":1.5"#, &[])]);
    let rows = |fields: &str| {
        let mut decoder = TableDecoder::new(&schema, None);
        decoder.push(&with_fields(fields), Encoding::ExportJson, Timestamp(7), false).unwrap();
        decoder.flush().unwrap().unwrap()
    };
    let digest = |batch: &RecordBatch, share| {
        let mut sum = ContentSum::new(&table, share);
        sum.take_rows(&schema, batch).unwrap();
        sum.digest()
    };
    let all = [
        "",
        r#""s":"x""#,
        r#""s":null"#,
        r#""s":"null""#,
        r#""n":1.5"#,
        r#""n":1"#,
        r#""n":1.0"#,
        r#""n":-0.0"#,
        r#""n":0.0"#,
        r#""t":[]"#,
    ];
    let all: Vec<_> =
        all.iter().map(|fields| digest(&rows(fields), DigestShare::All).unwrap().sum.sum.to_string()).collect();
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
    assert_eq!(digest(&rows(""), DigestShare::Off), None);
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
        r#"{"_id":"i","_creationTime":1.0,"o":{"b":1,"b":1}}"#,
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
        .push(
            r#"{"_table":"t","_id":"gone","_creationTime":1.0,"_deleted":true,"x":null,"y":1}"#,
            Encoding::ConvexEncodedJson,
            Timestamp(9),
            true,
        )
        .unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    let revision = RowReader::new(&schema, &batch).unwrap().revision(0).unwrap();
    assert_eq!((revision.id.as_str(), revision.ts, revision.document), ("gone", Timestamp(9), None));
    for empty in ["_creationTime", "_base", "_nulls", "_rescued"] {
        assert!(batch.column_by_name(empty).unwrap().is_null(0), "{empty}");
    }
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

/// A document with these fields, as text.
fn with_fields(fields: &str) -> String {
    format!(r#"{{"_id":"i","_creationTime":1.5{}{fields}}}"#, if fields.is_empty() { "" } else { "," })
}

/// What grows out of `steps`: the fields of a first document, and the misfits before it.
fn grown(steps: &[(&str, &[(&str, &str)])]) -> TableSchema {
    let mut schema = TableSchema::empty();
    for (sample, due) in steps {
        let mut seen = DocumentShape::default();
        observe(&with_fields(sample), Encoding::ExportJson, &mut seen).unwrap();
        let mut misfits = Misfits::new();
        for (path, kind) in *due {
            misfits.entry((*path).into()).or_default().insert((*kind).into(), SIBLING_AFTER);
        }
        let grown = evolve(&schema, &seen, &misfits);
        assert!(due.is_empty() || grown != schema, "{due:?} bring siblings");
        schema = grown;
    }
    schema
}

/// Writes `rows` under what grows out of `steps`, and holds the law and the model for each. Gives what did not fit.
fn holds(steps: &[(&str, &[(&str, &str)])], rows: &[String]) -> Misfits {
    let schema = grown(steps);
    let mut decoder = TableDecoder::new(&schema, Some(Timestamp(3)));
    let mut batches = Vec::new();
    for rows in rows.chunks(3) {
        for fields in rows {
            decoder.push(&with_fields(fields), Encoding::ExportJson, Timestamp(7), false).unwrap();
        }
        batches.push(decoder.flush().unwrap().unwrap());
    }
    let mut misfits = Misfits::new();
    let mut rows = rows.iter();
    for batch in through_parquet(&batches) {
        let reader = RowReader::new(&schema, &batch).unwrap();
        for row in 0..batch.num_rows() {
            let value = parse_value(&with_fields(rows.next().unwrap()), Encoding::ExportJson).unwrap();
            let Value::Object(document) = value else { panic!("an object") };
            check_row(&schema, &document, &batch, row, &mut misfits);
            assert_eq!(reader.revision(row).unwrap().document.as_ref(), Some(&document));
        }
    }
    decoder.misfits().clone()
}

#[test]
fn what_was_appended_in_vain_leaves_nothing_behind() {
    // Two families of lists, one inside the other; every type in the structs, some of them only now and then.
    let item =
        r#"{"b":true,"i":1,"f":0.5,"s":"x","y":{"$bytes":"AAEC"},"l":[1,2],"o":{"t":"t","u":["v"]},"d":[[true]]}"#;
    let steps: &[(&str, &[(&str, &str)])] = &[
        (&format!(r#""a":[{item}],"z":true"#), &[]),
        (r#""a":[{"l":["x"]}]"#, &[("/a", "array_string"), ("/a/*/l", "array_string"), ("/a/*/b", "string")]),
        ("", &[("/a", "array_json"), ("/a/*/l", "array_boolean")]),
    ];
    let good = [
        format!(r#""a":[{item},{item}],"z":false"#),
        r#""a":[{"b":false},null,{},{"l":[]},{"l":[null]},{"b":"no","o":null}]"#.to_owned(),
        r#""a":["x",null,"y"],"z":null"#.to_owned(),
        r#""a":[{"l":[true,false,null]},{"l":["x"]},{"l":[3]},{"l":[3,"x"]},{"l":null}]"#.to_owned(),
        String::new(),
        r#""a":[]"#.to_owned(),
        r#""a":[null,null]"#.to_owned(),
        format!(r#""a":[{item},"odd",{item}]"#),
        format!(r#""a":[{item},{{"l":[[]],"d":[[1,true],[],null]}}]"#),
    ];
    // Taken back: the list of structs is tried first; and what the bound takes after some hundred items.
    let vain = [
        format!(r#""a":[{item},{item},{item},5,{item}]"#),
        format!(r#""a":[{}]"#, vec![item.replace("true", "7"); 500].join(",")),
        format!(r#""a":[{}{item}]"#, r#"{"b":0},"#.repeat(500)),
        format!(r#""a":[{item},{}]"#, vec![r#"{"l":[true,1]}"#; 500].join(",")),
        format!(r#""a":[{item},{{"l":[{}]}}]"#, vec!["true,1"; 500].join(",")),
    ];
    let mut rows = Vec::new();
    for (n, bad) in vain.iter().enumerate() {
        // In all three places of a batch, and not always behind the same row.
        rows.extend(good.iter().cycle().skip(n).take(good.len() + 1).cloned());
        rows.extend([bad.clone(), String::new(), bad.clone()]);
    }
    holds(steps, &rows);
}

#[test]
fn structs_that_the_bound_takes_back_leave_nothing_behind() {
    let many = |value: &str, n: usize| format!("[{}]", vec![value; n].join(","));
    let steps: &[(&str, &[(&str, &str)])] =
        &[(r#""o":{"b":true,"n":{"b":false,"l":[{"c":true,"s":"x"}]},"t":"t","u":["x"]}"#, &[])];
    let good = r#""o":{"b":false,"n":{"l":[{"c":false},{"s":"y"}]},"t":"u","u":["y"]}"#.to_owned();
    let bad = format!(
        r#""o":{{"b":true,"n":{{"b":true,"l":[{{"c":true,"s":"z"}},{{"c":false}}]}},"t":"v","u":{}}}"#,
        many("1", 999)
    );
    let inner = format!(r#""o":{{"b":true,"n":{{"b":true,"l":{}}}}}"#, many(r#"{"c":true,"s":1}"#, 999));
    let rows = [&bad, &good, &bad, &inner, &good, &String::new(), &inner, &inner, &good, &bad];
    holds(steps, &rows.map(Clone::clone));
    // The struct is not the oldest of its family.
    let steps: &[(&str, &[(&str, &str)])] = &[(r#""p":"x""#, &[]), (r#""p":{"u":["x"]}"#, &[("/p", "object")])];
    let list = |n| format!(r#""p":{{"u":{}}}"#, many("1", n));
    holds(steps, &[list(999), list(2), list(999), r#""p":"y""#.to_owned(), list(3)]);
}

#[test]
fn the_bound_of_a_field_knows_nothing_of_other_fields_and_attempts() {
    let many = |value: &str, n: usize| format!("[{}]", vec![value; n].join(","));
    let wrong = |n| format!(r#"[{},"{}"]"#, vec!["1"; n].join(","), "x".repeat(20 * n));
    let steps: &[(&str, &[(&str, &str)])] =
        &[(r#""a":["x"],"b":["x"],"o":{"l":[1],"n":1}"#, &[]), ("", &[("/o/l", "array_string")])];
    // The first may add much, the second may not; then an attempt that adds much, and a null behind it.
    let rows = [
        format!(r#""a":{},"b":{}"#, wrong(500), many("1", 500)),
        format!(r#""a":{},"b":{}"#, many("1", 500), wrong(500)),
        format!(r#""o":{{"l":{},"n":null}}"#, many(r#""""#, 500)),
    ];
    holds(steps, &rows);
}

/// How many values of a document could have a column in the next file.
fn newcomers(steps: &[(&str, &[(&str, &str)])], fields: &str) -> u64 {
    let mut decoder = TableDecoder::new(&grown(steps), None);
    decoder.push(&with_fields(fields), Encoding::ExportJson, Timestamp(1), false).unwrap();
    decoder.newcomers()
}

#[test]
fn newcomers_are_those_that_the_next_file_may_have_a_column_for() {
    let keys = |n| (0..n).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
    let structs: &[(&str, &[(&str, &str)])] = &[(r#""a":[{"x":1}],"o":{"x":1}"#, &[])];
    assert_eq!(newcomers(structs, r#""a":[{"y":1},{"y":2}],"o":{"y":1},"new":1"#), 4);
    assert_eq!(newcomers(structs, r#""a":[{"y":[]},{"y":null}],"o":{"X":1,"a b":1},"new":{}"#), 0);
    assert_eq!(newcomers(&[(&format!(r#""o":{{{}}}"#, keys(64)), &[])], r#""o":{"new":1}"#), 0);
    assert_eq!(newcomers(&[(&keys(1024), &[])], r#""new":1"#), 0);
    // The list of structs was tried in vain.
    let steps: &[(&str, &[(&str, &str)])] = &[(r#""a":[{"x":1}]"#, &[]), ("", &[("/a", "array_json")])];
    assert_eq!(newcomers(steps, r#""a":[{"y":1},"x"]"#), 0);
}

#[test]
fn a_null_is_no_type() {
    let schema = grown(&[(r#""a":null,"b":[null,1],"c":{"d":null,"e":true},"f":[null]"#, &[])]);
    let types: Vec<_> = schema.fields.iter().map(|f| Kind::of_column(&f.column_type).to_string()).collect();
    assert_eq!(types, ["array_int64", "object"]);
    let (batch, _) = one_document(&schema, &with_fields(r#""c":{"e":null}"#));
    assert_eq!(batch.column_by_name("c").unwrap().as_struct().num_columns(), 1);
}

#[test]
fn columns_are_found_by_id_whatever_they_are_called_and_wherever_they_stand() {
    let schema = grown(&[(r#""a":1,"b":2,"o":{"x":"s","y":"t"}"#, &[])]);
    let text = with_fields(r#""a":1,"b":2,"o":{"x":"s","y":"t"}"#);
    let (batch, document) = one_document(&schema, &text);
    // As if another tool had turned the columns round and swapped names.
    let mut renamed = schema.clone();
    let [a, b, o] = &mut renamed.fields[..] else { panic!("three fields") };
    std::mem::swap(&mut a.column, &mut b.column);
    let ColumnType::Struct(inner) = &mut o.column_type else { panic!("a struct") };
    inner[0].column = "z".into();
    inner[1].column = "x".into();
    let turned: Vec<usize> = (0..batch.num_columns()).rev().collect();
    let batch = batch.project(&turned).unwrap();
    let read = RowReader::new(&renamed, &batch).unwrap().revision(0).unwrap().document;
    assert_eq!(read, Some(document));
}

#[test]
fn a_field_that_the_bound_takes_still_counts_what_did_not_fit() {
    let numbers = (0..2000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let misfits = holds(
        &[(r#""tags":["x"],"o":{"tags":["x"]}"#, &[])],
        &[format!(r#""tags":[{numbers}],"o":{{"tags":[{numbers}]}}"#)],
    );
    assert_eq!(misfits["/tags"]["array_int64"], 1);
    assert_eq!(misfits["/o/tags"]["array_int64"], 1);
    assert_eq!(misfits.len(), 2);
}

#[test]
fn a_field_that_the_bound_takes_still_tells_of_names_that_came_later() {
    let mut shape = hint("");
    observe(r#"{"a":[{"x":1}]}"#, Encoding::ExportJson, &mut shape).unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let mut decoder = TableDecoder::new(&schema, None);
    let text = with_fields(&format!(r#""a":[{}]"#, vec![r#"{"late":1}"#; 999].join(",")));
    decoder.push(&text, Encoding::ExportJson, Timestamp(1), false).unwrap();
    assert!(decoder.newcomers() > 0);
}

#[test]
fn the_bound_counts_paths_as_they_stand_in_the_cells() {
    let key = r#"\""#.repeat(100);
    let item = |x: &str| format!(r#"{{"x":{x},"y":"{}"}}"#, "y".repeat(150));
    let sample = format!(r#""{key}":[{}]"#, item("1"));
    let items = |x| vec![item(x); 200].join(",");
    holds(&[(&sample, &[])], &[format!(r#""{key}":[{}]"#, items("null")), format!(r#""{key}":[{}]"#, items(r#""w""#))]);
    let text = with_fields(&format!(r#""{key}":[{}]"#, items("null")));
    let mut shape = hint("");
    observe(&with_fields(&sample), Encoding::ExportJson, &mut shape).unwrap();
    let (batch, document) = one_document(&evolve(&TableSchema::empty(), &shape, &Misfits::new()), &text);
    let (nulls, rescued) = cells(&batch, 0);
    check_cells(&document, &nulls, &rescued);
}

#[test]
fn the_deepest_values_and_the_widest_tables_come_back() {
    let nest = |n: usize, open: &str, leaf: &str, close: &str| open.repeat(n) + leaf + &close.repeat(n);
    let mut rows = Vec::new();
    for n in [1, 7, 14, 15, 16, 17, 62, 63] {
        rows.push(format!(r#""l":{}"#, nest(n, "[", "1", "]")));
        rows.push(format!(r#""o":{}"#, nest(n, r#"{"k":"#, "null", "}")));
        rows.push(format!(r#""new":{}"#, nest(n, r#"{"k":"#, "[]", "}").replacen("[]", "true", 1)));
        rows.push(format!(r#""m":{}"#, nest(n / 2, r#"[{"k":"#, "1", "}]")));
    }
    for n in [15, 16, 62] {
        let sample = format!(
            r#""l":{},"o":{},"m":{}"#,
            nest(n, "[", "1", "]"),
            nest(n, r#"{"k":"#, "1", "}"),
            nest(n / 2, r#"[{"k":"#, "1", "}]")
        );
        holds(&[(&sample, &[])], &rows);
    }
    let wide = (0..1024).map(|n| format!(r#""f{n}":{n}"#)).collect::<Vec<_>>().join(",");
    let twin = wide.replace("\"f", "\"F");
    holds(
        &[(&wide, &[])],
        &[twin.clone(), wide.clone(), format!("{twin},{wide}"), r#""f1023":null,"f7":"x""#.to_owned()],
    );
}

#[test]
fn the_weight_of_a_batch_is_no_less_than_what_it_holds() {
    let fields = (0..64).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
    for (sample, row) in [
        (format!(r#""a":[{{{fields}}}]"#), format!(r#""a":[{}]"#, vec!["{}"; 8000].join(","))),
        (format!(r#""a":[[{{{fields}}}]]"#), format!(r#""a":[{}]"#, vec!["[{},{}]"; 4000].join(","))),
        (format!(r#""a":[{{"o":{{{fields}}}}}]"#), format!(r#""a":[{}]"#, vec!["null"; 8000].join(","))),
        (r#""a":[[[true]]]"#.to_owned(), format!(r#""a":[{}]"#, vec!["[]"; 8000].join(","))),
        (format!(r#""o":{{{fields}}}"#), r#""o":{}"#.to_owned()),
    ] {
        let mut shape = hint("");
        observe(&with_fields(&sample), Encoding::ExportJson, &mut shape).unwrap();
        let mut decoder = TableDecoder::new(&evolve(&TableSchema::empty(), &shape, &Misfits::new()), None);
        for _ in 0..20 {
            decoder.push(&with_fields(&row), Encoding::ExportJson, Timestamp(1), false).unwrap();
        }
        let weight = decoder.weight();
        let batch = decoder.flush().unwrap().unwrap();
        let held: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
        assert!(held <= weight, "{held} for {weight}: {sample}");
    }
}

#[test]
fn a_document_of_nested_empty_objects_under_a_wide_list_cannot_take_gigabytes() {
    // 128 lists of 2,730 empty objects, 1 MiB of text, each with a place in 64 leaf columns: 22 million places.
    let fields = (0..64).map(|n| format!(r#""f{n}":1.0"#)).collect::<Vec<_>>().join(",");
    let mut shape = hint("");
    observe(&format!(r#"{{"wide":[[{{{fields}}}]],"tags":["x"]}}"#), Encoding::ExportJson, &mut shape).unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    assert_eq!(schema.leaves(), 65);
    let row = format!("[{}]", vec!["{}"; 2_730].join(","));
    let wide = format!("[{}]", vec![row; 128].join(","));
    let text = format!(r#"{{"_id":"i","_creationTime":1.5,"tags":["a","b"],"wide":{wide}}}"#);
    let (batch, document) = one_document(&schema, &text);
    assert_eq!(Value::Object(document), parse_value(&text, Encoding::ExportJson).unwrap());
    assert_eq!(cells(&batch, 0).1.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["/wide"]);
    assert!(batch.column_by_name("tags").unwrap().is_valid(0), "the fields beside it are as they were");
    let held = batch.get_array_memory_size();
    assert!(held < 32 << 20, "{held} bytes for {} of text", text.len());
}

#[test]
fn the_longest_array_in_the_widest_plain_struct_stays_in_its_column() {
    let fields = (0..64).map(|n| format!(r#""f{n}":1.0"#)).collect::<Vec<_>>().join(",");
    let mut shape = hint("");
    observe(&format!(r#"{{"wide":[{{{fields}}}]}}"#), Encoding::ExportJson, &mut shape).unwrap();
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let items = vec![r#"{"f0":1.0}"#; 8_192].join(",");
    let (batch, _) = one_document(&schema, &format!(r#"{{"_id":"i","_creationTime":1.5,"wide":[{items}]}}"#));
    assert!(batch.column_by_name("wide").unwrap().is_valid(0));
}
