//! Pages for the benches of the stages: small and deterministic, in the six table shapes of `benches/compare`, and real
//! ones, recorded from a deployment. A bench includes this with `mod support;`.
#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]
#![allow(unreachable_pub, missing_docs, clippy::expect_used, reason = "not part of the library")]

#[path = "../compare/documents.rs"]
#[allow(clippy::pedantic, clippy::unwrap_used, reason = "plain generator, standard library only")]
mod documents;
pub(crate) mod imaginary;
mod source;

use std::{collections::BTreeMap, io::Read};

use bytes::Bytes;
use convex_archiver::{
    Phase,
    testing::convex::{Parts, split},
};
use criterion::Throughput;
use flate2::read::GzDecoder;
use serde::Deserialize;

use self::documents::{Documents, Form, Rng, TABLES, seed};
pub use self::source::Premade;

/// Of every so many documents of `benches/compare` one. By default 10,000 in all, 5 MB; `BENCH_SHARE=20` makes ten times as
/// many, so that files have the sizes of real ones.
#[allow(clippy::disallowed_methods, reason = "a bench is a program of its own")]
fn share() -> u64 {
    std::env::var("BENCH_SHARE").map_or(200, |share| share.parse().expect("BENCH_SHARE is a number"))
}

/// Documents of a page, as the server sends them at most.
const PAGE: usize = 1_024;
/// S of the snapshots; deltas begin after it.
const S: i64 = 1_790_000_000_000_000_000;

/// Answers of one endpoint, in order.
#[derive(Clone)]
pub struct Pages {
    pub name: String,
    pub phase: Phase,
    pub bodies: Vec<Bytes>,
}

impl Pages {
    fn new(name: impl Into<String>, phase: Phase) -> Self {
        Self { name: name.into(), phase, bodies: Vec::new() }
    }

    pub fn split(&self) -> Vec<Parts> {
        self.bodies.iter().map(|body| split(body, self.phase).expect("a page")).collect()
    }

    pub fn documents(&self) -> u64 {
        self.split().iter().map(|parts| parts.documents.len() as u64).sum()
    }

    /// Bytes of the bodies, and documents.
    pub fn throughput(&self) -> Throughput {
        let bytes = self.bodies.iter().map(|body| body.len() as u64).sum();
        Throughput::ElementsAndBytes { elements: self.documents(), bytes }
    }

    fn push(&mut self, documents: &[u8], more: bool, cursor: i64) {
        let documents = String::from_utf8_lossy(documents);
        let end = match self.phase {
            Phase::Snapshot if more => format!(r#""snapshot":{S},"cursor":"{}""#, self.bodies.len() + 1),
            Phase::Snapshot => format!(r#""snapshot":{S},"cursor":null"#),
            Phase::Delta => format!(r#""cursor":{cursor}"#),
        };
        self.bodies.push(format!(r#"{{"values":[{documents}],{end},"hasMore":{more}}}"#).into());
    }
}

/// Snapshot pages of one table shape.
fn table(t: usize, last: bool) -> Pages {
    let (documents, mut r) = (Documents::new(), seed(t));
    let mut pages = Pages::new(TABLES[t].0, Phase::Snapshot);
    let all: Vec<u64> = (0..TABLES[t].1 / share()).collect();
    let mut chunks = all.chunks(PAGE).peekable();
    while let Some(chunk) = chunks.next() {
        let mut text = Vec::new();
        for i in chunk {
            if !text.is_empty() {
                text.push(b',');
            }
            documents.write(&mut text, t, *i, &mut r, Form::Snapshot);
        }
        pages.push(&text, chunks.peek().is_some() || !last, 0);
    }
    pages
}

/// Snapshot pages of each table shape.
pub fn tables() -> Vec<Pages> {
    (0..TABLES.len()).map(|t| table(t, true)).collect()
}

/// The snapshot of all table shapes, one after another.
pub fn snapshot() -> Pages {
    let mut all = Pages::new("six tables", Phase::Snapshot);
    for t in 0..TABLES.len() {
        all.bodies.extend(table(t, t + 1 == TABLES.len()).bodies);
    }
    all
}

/// The same documents as deltas, interleaved; each shape dealt out into `copies` tables.
pub fn deltas(copies: u64) -> Pages {
    let documents = Documents::new();
    let mut pages = Pages::new(format!("{} tables interleaved", 6 * copies), Phase::Delta);
    let mut tables: Vec<(Rng, u64, u64)> = (0..6).map(|t| (seed(t), TABLES[t].1 / share(), 0)).collect();
    let mut left: u64 = tables.iter().map(|table| table.1).sum();
    let (mut r, mut ts, mut text, mut held) = (Rng(7), S, Vec::new(), 0);
    while left > 0 {
        let (mut k, mut t) = (r.below(left), 0);
        while k >= tables[t].1 {
            k -= tables[t].1;
            t += 1;
        }
        ts += 1 + r.below(50_000_000) as i64;
        let (rng, rest, i) = &mut tables[t];
        if !text.is_empty() {
            text.push(b',');
        }
        documents.write(&mut text, t, *i, rng, Form::Delta(ts as u64, copies));
        (*rest, *i, left, held) = (*rest - 1, *i + 1, left - 1, held + 1);
        if held == PAGE || left == 0 {
            pages.push(&text, left > 0, ts);
            (text, held) = (Vec::new(), 0);
        }
    }
    pages
}

#[derive(Deserialize)]
struct Exchange {
    path: String,
    query: BTreeMap<String, String>,
    body: String,
}

/// What a real deployment answered (`tests/data/recordings/README.md`): a snapshot of 4,467 documents, and 2,321 changes.
pub fn recorded() -> (Pages, Pages) {
    const FORMAT: &str = "convex_encoded_json";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/browser-compat.jsonl.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the recording");
    GzDecoder::new(file).read_to_string(&mut text).expect("a gzip file");
    let mut snapshot = Pages::new("browser-compat", Phase::Snapshot);
    let mut deltas = Pages::new("browser-compat deltas", Phase::Delta);
    let mut seen = Vec::new();
    for line in text.lines().skip(1) {
        let Exchange { path, query, body } = serde_json::from_str(line).expect("an exchange");
        if query.get("format").is_none_or(|format| format != FORMAT) || seen.contains(&(path.clone(), query.clone())) {
            continue;
        }
        match path.as_str() {
            // The walk from the explicit snapshot on; the one without is the same.
            "/api/list_snapshot" if query.contains_key("snapshot") => snapshot.bodies.push(body.into()),
            "/api/document_deltas" if !body.starts_with(r#"{"values":[],"#) => deltas.bodies.push(body.into()),
            _ => continue,
        }
        seen.push((path, query));
    }
    assert_eq!((snapshot.documents(), deltas.documents()), (4_467, 2_321));
    (snapshot, deltas)
}
