//! The state of a table at a moment: a base, half as many later revisions in 50 commits (each twentieth a tombstone), in a
//! store in memory. `cargo bench --bench state`; `STATE_DOCUMENTS=2000000` sets the size of the base, `STATE_LIMIT_MIB`
//! the memory limit (256). Throughput is in documents of the base and revisions.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "the environment says how much to measure")]

use std::{collections::BTreeMap, fmt::Write, hint::black_box, sync::Arc};

use convex_archiver::{
    BaseId, DataFile, DeltaCursor, DeploymentIdentity, Encoding, MemoryBudget, NoMonitor, Phase, Position, Progress,
    Scope, Selection, TableRef, TableSchema, Timestamp,
    archive::{Archive, Base, CommitOutcome, Draft, Head, Run, TableEntry},
    read::{Columns, State, StateBatch, StateOptions},
    testing::{
        codec::{TableDecoder, observe},
        data::{FileWriter, NewFile},
        schema::{DocumentShape, Misfits, evolve},
    },
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng, rngs::StdRng};

const S: i64 = 1_790_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
const COMMITS: u64 = 50;
/// Documents of a file of the base.
const FILE: u64 = 250_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn table() -> TableRef {
    TableRef::new("", "orders").expect("a name")
}

/// Ids ascend with `n`, and are otherwise random.
fn id(n: u64) -> String {
    let mut rng = StdRng::seed_from_u64(n);
    format!("j57{n:09x}{:020x}", rng.random::<u128>() >> 48)
}

fn document(text: &mut String, n: u64, rng: &mut StdRng) {
    text.clear();
    let words = ["order", "latency", "schema", "payment", "cursor", "shipment", "review", "branch"];
    let say = |n: usize, rng: &mut StdRng| {
        let mut said = String::new();
        for _ in 0..n {
            said.push_str(words[rng.random_range(0..words.len())]);
            said.push(' ');
        }
        said
    };
    let _ = write!(
        text,
        r#"{{"_id":"{}","_creationTime":{n}.5,"body":"{}","count":{},"customer":"k57{:029x}","paid":{},"items":["#,
        id(n),
        say(rng.random_range(5..40), rng),
        rng.random::<i64>(),
        rng.random_range(0..10_000u64),
        rng.random::<bool>()
    );
    for i in 0..rng.random_range(1..4) {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}{{"sku":"{}","price":{}.25}}"#, say(2, rng), rng.random_range(0..900));
    }
    let _ = write!(text, r#"],"note":{}}}"#, if rng.random_bool(0.3) { "null" } else { r#""gift""# });
}

/// One file of these documents, each with its `_ts` and whether it is deleted.
async fn file(
    archive: &Archive,
    schema: &TableSchema,
    base: Option<&Base>,
    path: String,
    rows: impl Iterator<Item = (u64, i64, bool)>,
) -> DataFile {
    let mut decoder = TableDecoder::new(schema, base.map(|base| base.ts));
    let new = NewFile {
        table: table(),
        path: format!("tables/orders/{path}"),
        phase: if base.is_some() { Phase::Snapshot } else { Phase::Delta },
        base: base.map(|base| base.id.clone()),
        month: "2026-11-01".into(),
        encoding: Encoding::ExportJson,
        repeats: false,
        schema_id: schema.id,
    };
    let store = Arc::clone(archive.store());
    let mut writer =
        FileWriter::open(store, new, Arc::clone(decoder.schema()), MemoryBudget::default().into(), Arc::new(NoMonitor))
            .expect("a writer");
    let (mut text, mut rng) = (String::new(), StdRng::seed_from_u64(1));
    for (n, ts, deleted) in rows {
        document(&mut text, n, &mut rng);
        decoder.push(&text, Encoding::ExportJson, Timestamp(ts), deleted).expect("a document");
        if decoder.weight() > 2 << 20 {
            writer.write(decoder.flush().expect("a batch").expect("rows")).await.expect("written");
        }
    }
    if let Some(batch) = decoder.flush().expect("a batch") {
        writer.write(batch).await.expect("written");
    }
    writer.close(BTreeMap::new(), None).await.expect("a file")
}

async fn archive(documents: u64) -> (Archive, Head) {
    let store = Arc::new(InMemory::new());
    let identity = DeploymentIdentity { name: None, origin: "http://127.0.0.1:1".into() };
    let archive = Archive::create(store, "memory:///archive", identity, Timestamp(1)).await.expect("an archive");
    let (mut head, mut run) = (archive.head().await.expect("a head"), Run::begin());
    let (mut text, mut rng) = (String::new(), StdRng::seed_from_u64(7));
    let mut shape = DocumentShape::default();
    for n in 0..100 {
        document(&mut text, n, &mut rng);
        observe(&text, Encoding::ExportJson, &mut shape).expect("a document");
    }
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let base = Base::new(BaseId("20261120T101500Z-5f3a9c01".into()), Timestamp(S), Scope::All, Vec::new());
    for commit in 0..=COMMITS {
        let through = Timestamp(S + commit as i64 * SECOND);
        let cursor = DeltaCursor { position: Position::new(Phase::Delta, through.to_string()), ts: through };
        let selection = Selection::default();
        let mut draft = Draft {
            progress: Progress { delta: Some(cursor), walk: None },
            ..head.unchanged(Encoding::ExportJson, selection, through)
        };
        if commit == 0 {
            let folder = "tables/orders".to_owned();
            draft.tables = vec![TableEntry::new(table(), folder, None, schema.clone())];
            for first in (0..documents).step_by(FILE as usize) {
                let rows = (first..documents.min(first + FILE)).map(|n| (n, S - 1, false));
                draft.add.push(file(&archive, &schema, Some(&base), format!("base-{first}.parquet"), rows).await);
            }
            draft.bases = vec![base.clone()];
        } else {
            let each = documents / 2 / COMMITS;
            let rows: Vec<_> = (0..each)
                .map(|i| {
                    let ts = through.0 - SECOND + 1 + i as i64 * (SECOND / (each as i64 + 1));
                    (rng.random_range(0..documents), ts, rng.random_bool(0.05))
                })
                .collect();
            draft.add = vec![file(&archive, &schema, None, format!("delta-{commit}.parquet"), rows.into_iter()).await];
        }
        head = match archive.commit(&head, &mut run, draft).await.expect("a commit") {
            CommitOutcome::Committed(next) => *next,
            _ => unreachable!("nobody else writes"),
        };
    }
    (archive, head)
}

async fn read(archive: &Archive, head: &Head, columns: Columns, mut take: impl FnMut(&StateBatch)) -> usize {
    let limit = setting("STATE_LIMIT_MIB", 256) << 20;
    let options =
        StateOptions::default().budget(MemoryBudget::new(limit).expect("a limit")).columns(columns).after(None);
    let at = head.coverage().through.expect("a cursor");
    let mut state = State::open(archive, head, &table(), at, &options).await.expect("a state");
    let mut documents = 0;
    while let Some(batch) = state.next().await.expect("documents") {
        documents += batch.len();
        take(&batch);
    }
    documents
}

fn state(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let documents = setting("STATE_DOCUMENTS", 200_000);
    let (archive, head) = runtime.block_on(archive(documents));
    let expected = runtime.block_on(read(&archive, &head, Columns::Keys, |_| ()));
    let mut group = c.benchmark_group("state");
    group.sample_size(10).throughput(Throughput::Elements(documents + documents / 2));
    group.bench_function("counted", |b| {
        b.iter(|| assert_eq!(runtime.block_on(read(&archive, &head, Columns::Keys, |_| ())), expected));
    });
    group.bench_function("as JSON text", |b| {
        let mut text = String::new();
        b.iter(|| {
            let found = runtime.block_on(read(&archive, &head, Columns::All, |batch| {
                let rows = batch.documents().expect("documents");
                for row in 0..batch.len() {
                    text.clear();
                    rows.write_json(row, Encoding::ExportJson, &mut text).expect("text");
                    black_box(&text);
                }
            }));
            assert_eq!(found, expected);
        });
    });
    group.bench_function("as record batches", |b| {
        b.iter(|| {
            let found = runtime.block_on(read(&archive, &head, Columns::All, |batch| {
                black_box(batch.to_record_batch().expect("a batch"));
            }));
            assert_eq!(found, expected);
        });
    });
    group.finish();
}

criterion_group!(benches, state);
criterion_main!(benches);
