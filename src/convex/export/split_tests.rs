//! The oracle parses every page whole with serde_json and looks names up in maps.

use std::{collections::BTreeMap, io::Write};

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::{
    convex::{export::spooled::split_spool, recording::Recording, wire::body::Spool},
    error::ErrorKind,
    temporary,
};

#[derive(serde::Deserialize)]
struct OraclePage<'a> {
    #[serde(borrow)]
    values: Vec<&'a RawValue>,
    snapshot: Option<i64>,
    cursor: Option<serde_json::Value>,
    #[serde(rename = "hasMore")]
    has_more: bool,
}

/// Holds `split` against the oracle.
fn agrees(body: &str, phase: Phase) {
    let parts = split(body.as_bytes(), phase).unwrap_or_else(|e| panic!("{e}\n{body}"));
    let oracle: OraclePage<'_> = serde_json::from_str(body).unwrap();
    assert_eq!(parts.more, oracle.has_more);
    let end = match phase {
        Phase::Snapshot => End::Snapshot {
            snapshot: Timestamp(oracle.snapshot.unwrap()),
            cursor: oracle.cursor.as_ref().and_then(|c| c.as_str()).map(str::to_owned),
        },
        Phase::Delta => End::Delta { cursor: Timestamp(oracle.cursor.unwrap().as_i64().unwrap()) },
    };
    assert_eq!(parts.end, end);
    assert_eq!(parts.documents.len(), oracle.values.len(), "{body}");
    for (span, raw) in parts.documents.iter().zip(oracle.values) {
        assert_eq!(&body[span.range.clone()], raw.get());
        let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(raw.get()).unwrap();
        let component = map.get("_component").map_or("", |c| c.as_str().unwrap());
        let table = TableRef::new(component, map["_table"].as_str().unwrap()).unwrap();
        assert_eq!(parts.tables[span.table as usize], table);
        assert_eq!(Some(span.ts.0), map["_ts"].as_i64());
        assert_eq!(span.deleted, phase == Phase::Delta && map["_deleted"].as_bool().unwrap());
        if span.read > 0 {
            let mut map = map;
            map.retain(|key, _| !matches!(key.as_str(), "_component" | "_table" | "_ts"));
            if phase == Phase::Delta {
                map.remove("_deleted");
            }
            let rest = &raw.get()[span.read..];
            assert!(rest.starts_with('"'), "{rest}");
            assert_eq!(serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&format!("{{{rest}")).unwrap(), map);
        }
    }
    let mut tables = parts.tables.clone();
    tables.sort();
    tables.dedup();
    assert_eq!(tables.len(), parts.tables.len(), "each table once");
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => prop::sample::select(vec![" ", "\n", "\t\r\n  "])]
}

/// A JSON string full of what could be mistaken for structure.
fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\\\"",
        "\\\\",
        "{",
        "}",
        "[",
        "]",
        "a",
        "é",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\u0022",
        "\\n",
        ",",
        ":",
        "_ts",
        "😀",
        "\\/",
        "\\\",\\\"_ts\\\":1",
        "hasMore",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        string(),
        prop::sample::select(vec!["null", "true", "false", "0", "-1.5e-7", "1795434088275042781", "33.0", "{}", "[]"])
            .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},")))),
            (prop::collection::vec((string(), inner), 0..5), space()).prop_map(|(members, s)| {
                let members: Vec<_> = members.into_iter().map(|(k, v)| format!("{k}{s}:{v}")).collect();
                format!("{{{s}{}{s}}}", members.join(","))
            }),
        ]
    })
}

/// A document's members in the server's order, or shuffled and with white space and escaped keys.
fn document(phase: Phase) -> impl Strategy<Value = (i64, String)> {
    let component = prop::sample::select(vec![None, Some(""), Some("a"), Some("a/b"), Some("a\\/b")]);
    let table = prop::sample::select(vec!["messages", "Messages", "m\\u0065ssages", "_x", "t2"]);
    let key = prop::sample::select(vec!["A", "USERID", "body", "_future", "_tsx", "\\u0041", "a b", ""]);
    let fields = prop::collection::btree_map(key, value(), 0..5);
    let orders = (any::<bool>(), any::<u64>(), space(), any::<bool>());
    (component, table, 0i64..1 << 40, any::<bool>(), fields, orders).prop_map(
        move |(component, table, ts, deleted, fields, (plain, seed, space, escape))| {
            let ts = ts + 1_795_434_000_000_000_000;
            let mut members = Vec::new();
            if let Some(component) = component {
                members.push(("_component".to_owned(), format!("\"{component}\"")));
            }
            members.push(("_table".to_owned(), format!("\"{table}\"")));
            members.push(("_ts".to_owned(), ts.to_string()));
            if phase == Phase::Delta {
                members.push(("_deleted".to_owned(), deleted.to_string()));
            }
            let mut user: Vec<_> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            if !(deleted && phase == Phase::Delta) {
                user.push(("_creationTime".to_owned(), "1795434158025.7695".to_owned()));
            }
            user.push(("_id".to_owned(), "\"jd70k5pk9xbk9wwt58bb47zbf18jsasp\"".to_owned()));
            user.sort();
            members.extend(user);
            if !plain {
                // A rotation by steps that depend on the seed is shuffled enough.
                let count = members.len();
                members.swap(seed as usize % count, (seed >> 16) as usize % count);
                members.rotate_left((seed >> 32) as usize % count);
                if escape {
                    for (key, _) in &mut members {
                        *key = key.replacen('_', "\\u005f", 1);
                    }
                }
            }
            let s = if plain { "" } else { space };
            let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\"{s}:{s}{v}")).collect();
            (ts, format!("{{{s}{}{s}}}", members.join(&format!("{s},{s}"))))
        },
    )
}

fn page(phase: Phase) -> impl Strategy<Value = String> {
    let cursor = match phase {
        Phase::Snapshot => string().boxed(),
        Phase::Delta => Just(String::new()).boxed(),
    };
    let parts = (prop::collection::vec(document(phase), 0..8), cursor, any::<bool>(), value());
    (parts, space(), 0usize..5).prop_map(move |((mut documents, cursor, more, other), s, turn)| {
        documents.sort_by_key(|(ts, _)| *ts);
        let through = documents.last().map_or(5, |(ts, _)| *ts);
        let documents: Vec<_> = documents.into_iter().map(|(_, text)| text).collect();
        let mut members = vec![format!("\"values\"{s}:{s}[{s}{}{s}]", documents.join(&format!("{s},{s}")))];
        members.push(format!("\"hasMore\":{s}{more}"));
        members.push(format!("\"other\":{other}"));
        match phase {
            Phase::Snapshot => {
                members.push(format!("\"snapshot\":{through}{s}"));
                members.push(format!("\"cursor\":{}", if more { &cursor } else { "null" }));
            }
            Phase::Delta => members.push(format!("\"cursor\":{through}")),
        }
        let count = members.len();
        members.rotate_left(turn % count);
        format!("{s}{{{s}{}{s}}}{s}", members.join(","))
    })
}

/// The same page from a file, through a window of so many bytes.
fn split_in_a_file(body: &[u8], phase: Phase, window: usize) -> Result<Parts> {
    let mut file = temporary::file().unwrap();
    file.write_all(body).unwrap();
    split_spool(&Spool::new(file, body.len() as u64), phase, window)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_page_in_a_file_splits_as_one_in_memory_whatever_the_window(
        body in prop_oneof![page(Phase::Snapshot), page(Phase::Delta)], phase in prop::bool::ANY,
        window in 1usize..200, cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let phase = if phase { Phase::Snapshot } else { Phase::Delta };
        let agree = |body: &[u8]| match (split(body, phase), split_in_a_file(body, phase, window)) {
            (Ok(held), Ok(spooled)) => assert_eq!(held, spooled),
            (Err(held), Err(spooled)) => assert_eq!(held.kind(), spooled.kind()),
            (held, spooled) => panic!("{held:?}\n{spooled:?}"),
        };
        agree(body.as_bytes());
        agree(&body.as_bytes()[..cut.index(body.len())]);
        let mut broken = body.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        agree(&broken);
    }

    #[test]
    fn finds_in_a_snapshot_page_what_a_whole_parse_finds(body in page(Phase::Snapshot)) {
        agrees(&body, Phase::Snapshot);
    }

    #[test]
    fn finds_in_a_delta_page_what_a_whole_parse_finds(body in page(Phase::Delta)) {
        agrees(&body, Phase::Delta);
    }

    #[test]
    fn every_truncation_of_a_page_is_an_error_and_no_byte_makes_it_panic(
        body in page(Phase::Delta), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let whole = body.trim_end().len();
        for cut in 0..whole {
            let error = split(&body.as_bytes()[..cut], Phase::Delta).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Protocol);
        }
        let mut broken = body.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        let _ = split(&broken, Phase::Delta);
        let _ = split(&broken, Phase::Snapshot);
    }
}

#[test]
fn every_recorded_page_splits_as_a_whole_parse_does() {
    let mut pages = 0;
    for name in ["types", "holes", "browser-compat"] {
        for exchange in Recording::open(name).exchanges.iter().filter(|e| e.status == 200) {
            let phase = match exchange.path.as_str() {
                "/api/list_snapshot" => Phase::Snapshot,
                "/api/document_deltas" => Phase::Delta,
                _ => continue,
            };
            agrees(&exchange.body, phase);
            pages += 1;
        }
    }
    assert_eq!(pages, 175 + 16 + 113, "pages of the three recordings");
}

#[test]
fn says_where_a_page_is_wrong() {
    let snapshot = |values: &str| format!(r#"{{"values":[{values}],"snapshot":10,"cursor":null,"hasMore":false}}"#);
    let good = r#"{"_component":"","_table":"t","_ts":9,"_id":"x"}"#;
    let cases = [
        (String::new(), "cut off after byte 0"),
        ("<html>".into(), "expected `{` at byte 0"),
        ("\u{feff}{}".into(), "expected `{` at byte 0"),
        ("{}".into(), "no `hasMore`"),
        (r#"{"hasMore":false}"#.into(), "no `values`"),
        (r#"{"values":[],"hasMore":false}"#.into(), "no `snapshot`"),
        (r#"{"values":[],"hasMore":true,"snapshot":1,"cursor":null}"#.into(), "no `cursor` to continue from"),
        (r#"{"values":[],"hasMore":false,"snapshot":1,"snapshot":2}"#.into(), "`snapshot` twice"),
        (r#"{"values":[],"hasMore":false,"snapshot":1} x"#.into(), "expected the end of the answer at byte 43"),
        (
            r#"{"values":[],"hasMore":false,"snapshot":1.5}"#.into(),
            "an integer of 64 bits that is not negative at byte 40",
        ),
        (r#"{"values":[],"hasMore":false,"snapshot":9223372036854775808}"#.into(), "at byte 40"),
        (r#"{"values":[],"hasMore":false,"snapshot":-1}"#.into(), "at byte 40"),
        (r#"{"values":[],"hasMore":false,"snapshot":1,"new":tru}"#.into(), "the value at byte 48 is not JSON"),
        (r#"{"values":null}"#.into(), "expected `[` at byte 10"),
        (snapshot("1"), "expected `{` at byte 11"),
        (snapshot(&format!("{good},")), "expected `{` at byte 60"),
        (snapshot(r#"{"_table":"t","_ts":9}"#), "the document at byte 11 has no `_id`"),
        (snapshot(r#"{"_table":"t","_id":"x"}"#), "the document at byte 11 has no `_ts`"),
        (snapshot(r#"{"_ts":9,"_id":"x"}"#), "the document at byte 11 has no `_table`"),
        (
            snapshot(r#"{"_table":"a-b","_ts":9,"_id":"x"}"#),
            "the document at byte 11: `a-b` cannot be the name of a Convex table",
        ),
        (snapshot(r#"{"_table":"t","_ts":11,"_id":"x"}"#), "reaches only up to 1970-01-01T00:00:00.000000010Z"),
        (snapshot(r#"{"_table":"t","_ts":9,"_id":"x"]"#), "expected `,` at byte 42"),
        (snapshot(r#"{"_component":"","_table":"t","_ts":9,"_id":"x"]"#), "expected `}` at byte 58"),
    ];
    for (body, text) in cases {
        let error = split(body.as_bytes(), Phase::Snapshot).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(text), "{body}\n{error}");
    }
    let error = split(b"{\"a\":\"\xff\"}", Phase::Snapshot).unwrap_err();
    assert!(error.to_string().contains("not UTF-8 at byte 6"), "{error}");
    let delta = |values: &str| format!(r#"{{"values":[{values}],"cursor":10,"hasMore":false}}"#);
    let change = |ts: u8| format!(r#"{{"_component":"","_table":"t","_ts":{ts},"_deleted":true,"_id":"x"}}"#);
    let error = split(delta(good).as_bytes(), Phase::Delta).unwrap_err();
    assert!(error.to_string().contains("has no `_deleted`"), "{error}");
    let error = split(delta(&format!("{},{}", change(9), change(8))).as_bytes(), Phase::Delta).unwrap_err();
    assert!(error.to_string().contains("earlier than the change before it"), "{error}");
}

#[test]
fn a_document_longer_than_any_and_more_documents_than_anybody_sends_are_refused() {
    let document = r#"{"_component":"","_table":"t","_ts":9,"_id":"x"}"#;
    let page = |values: &str| format!(r#"{{"values":[{values}],"snapshot":10,"cursor":null,"hasMore":false}}"#);
    let many = page(&vec![document; MAX_DOCUMENTS + 1].join(","));
    let long = page(&format!(r#"{document},{{"_table":"t","_ts":9,"_id":"{}"}}"#, "x".repeat(MAX_DOCUMENT)));
    for (body, kind, text) in [
        (many, ErrorKind::Resource, "SNAPSHOT_LIST_LIMIT"),
        (long, ErrorKind::Protocol, "from byte 60 on: the document has"),
    ] {
        let held = split(body.as_bytes(), Phase::Snapshot).unwrap_err();
        let spooled = split_in_a_file(body.as_bytes(), Phase::Snapshot, 1 << 20).unwrap_err();
        assert_eq!((held.kind(), spooled.kind()), (kind, kind), "{held} {spooled}");
        assert!(held.to_string().contains(text.split(": ").last().unwrap()), "{held}");
        assert!(spooled.to_string().contains(text.split(": ").next().unwrap()), "{spooled}");
    }
}

#[test]
fn rows_of_unwanted_tables_are_dropped_and_the_others_keep_their_tables() {
    let row = |table: &str, id: u8| format!(r#"{{"_component":"","_table":"{table}","_ts":1,"_id":"{id}"}}"#);
    let rows = [row("a", 1), row("b", 2), row("c", 3), row("a", 4), row("c", 5)].join(",");
    let page = format!(r#"{{"values":[{rows}],"snapshot":9,"cursor":null,"hasMore":false}}"#);
    let mut parts = split(page.as_bytes(), Phase::Snapshot).unwrap();
    parts.retain(|table| table.name() != "b");
    let left: Vec<_> = parts
        .documents
        .iter()
        .map(|d| format!("{} {}", parts.tables[d.table as usize], &page[d.range.clone()][38..]))
        .collect();
    assert_eq!(left, [r#"a "_id":"1"}"#, r#"c "_id":"3"}"#, r#"a "_id":"4"}"#, r#"c "_id":"5"}"#]);
    parts.retain(|_| false);
    assert!(parts.documents.is_empty() && parts.tables.is_empty());
}
