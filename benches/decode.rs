//! The stage *decode*: the text of documents → record batches, for each table shape, under a schema made from all of its
//! documents, as in a sync with its digest of one document of 64, and without (*plain*). And *observe*: what the first documents of every file cost beforehand. `cargo bench --bench decode`;
//! throughput is in bytes of the documents and in documents.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

mod support;

use std::{collections::BTreeMap, hint::black_box};

use convex_archiver::{
    DigestShare, Encoding, TableRef, TableSchema, Timestamp,
    testing::{
        codec::{TableDecoder, observe},
        schema::{DocumentShape, Misfits, evolve},
    },
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use support::Pages;

const ENCODING: Encoding = Encoding::ConvexEncodedJson;
/// Weight at which a sync takes a batch, bytes.
const BATCH: usize = 2 << 20;

/// The documents of the largest table.
fn documents(pages: &Pages) -> Vec<String> {
    let mut tables: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (body, parts) in pages.bodies.iter().zip(pages.split()) {
        for document in &parts.documents {
            let text = String::from_utf8(body[document.range.clone()].to_vec()).expect("text");
            tables.entry(parts.tables[document.table as usize].clone()).or_default().push(text);
        }
    }
    tables.into_values().max_by_key(|texts| texts.iter().map(String::len).sum::<usize>()).expect("a table")
}

fn shape(documents: &[String]) -> DocumentShape {
    let mut shape = DocumentShape::default();
    for text in documents {
        observe(text, ENCODING, &mut shape).expect("a document");
    }
    shape
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for pages in support::tables().into_iter().chain([support::recorded().0]) {
        let documents = documents(&pages);
        let schema = evolve(&TableSchema::empty(), &shape(&documents), &Misfits::new());
        let bytes = documents.iter().map(|text| text.len() as u64).sum();
        group.throughput(Throughput::ElementsAndBytes { elements: documents.len() as u64, bytes });
        let table = TableRef::new("", "documents").expect("a name");
        for (what, share) in [("", DigestShare::Sampled), ("plain ", DigestShare::Off)] {
            group.bench_function(format!("{what}{}", pages.name), |b| {
                b.iter(|| {
                    let mut decoder = TableDecoder::new(&schema, Some(Timestamp(1))).with_content(&table, share);
                    for text in &documents {
                        decoder.push(text, ENCODING, Timestamp(1), false).expect("a document");
                        if decoder.weight() >= BATCH {
                            black_box(decoder.flush().expect("a batch"));
                        }
                    }
                    black_box((decoder.flush().expect("a batch"), decoder.content()))
                });
            });
        }
        group.bench_function(format!("observe {}", pages.name), |b| b.iter(|| black_box(shape(&documents))));
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
