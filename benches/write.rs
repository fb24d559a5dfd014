//! The stage *write*: record batches → one Parquet object in a store in memory, with everything on (choice per column,
//! statistics, bloom filter, SHA-256). `cargo bench --bench write`; throughput is in bytes of the Arrow buffers.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

use std::{collections::BTreeMap, collections::HashMap, hint::black_box, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
        new_null_array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use convex_archiver::{
    Encoding, MemoryBudget, NoMonitor, Phase, TableRef,
    testing::data::{FileWriter, NewFile, WriterOptions},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::memory::InMemory;

const BATCHES: usize = 30;
const ROWS: usize = 2_000;
const WORDS: [&str; 16] = [
    "order", "the", "latency", "of", "schema", "a", "payment", "to", "cursor", "in", "shipment", "and", "review", "is",
    "branch", "for",
];

/// splitmix64: the same documents on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn text(&mut self, words: u64) -> String {
        (0..words).map(|_| WORDS[self.below(16) as usize]).collect::<Vec<_>>().join(" ")
    }
}

fn field(name: &str, data_type: DataType, id: i32) -> Field {
    let id = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
    Field::new(name, data_type, true).with_metadata(id)
}

fn item_fields() -> Fields {
    vec![field("name", DataType::Utf8, 22), field("price", DataType::Float64, 23), field("qty", DataType::Float64, 24)]
        .into()
}

fn shipping_fields() -> Fields {
    vec![field("carrier", DataType::Utf8, 31), field("street", DataType::Utf8, 32)].into()
}

fn item() -> Arc<Field> {
    Arc::new(field("element", DataType::Struct(item_fields()), 21))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        field("_id", DataType::Utf8, 1).with_nullable(false),
        field("_creationTime", DataType::Float64, 2),
        field("_ts", DataType::Int64, 3).with_nullable(false),
        field("_tombstone", DataType::Boolean, 4).with_nullable(false),
        field("_base", DataType::Int64, 5),
        field("customer", DataType::Utf8, 17),
        field("note", DataType::Utf8, 18),
        field("status", DataType::Utf8, 19),
        field("items", DataType::List(item()), 20),
        field("shipping", DataType::Struct(shipping_fields()), 30),
        field("balance", DataType::Int64, 40),
        field("total", DataType::Float64, 41),
        field("paid", DataType::Boolean, 42),
        field("_nulls", DataType::Utf8, 6),
        field("_rescued", DataType::Utf8, 7),
    ]))
}

/// Orders: ids, references, prose, an enumeration, a list of objects, an object, numbers.
fn batch(number: usize, r: &mut Random) -> RecordBatch {
    let lengths: Vec<usize> = (0..ROWS).map(|_| 1 + r.below(5) as usize).collect();
    let items: usize = lengths.iter().sum();
    let strings = |make: &mut dyn FnMut(usize) -> String, n: usize| {
        Arc::new(StringArray::from_iter_values((0..n).map(make))) as ArrayRef
    };
    let floats = |make: &mut dyn FnMut() -> f64, n: usize| {
        Arc::new(Float64Array::from_iter_values((0..n).map(|_| make()))) as ArrayRef
    };
    let list = StructArray::new(
        item_fields(),
        vec![
            strings(&mut |_| r.text(3), items),
            floats(&mut || r.below(20_000) as f64 / 100.0, items),
            floats(&mut || 1.0 + r.below(9) as f64, items),
        ],
        None,
    );
    let shipping = StructArray::new(
        shipping_fields(),
        vec![
            strings(&mut |_| ["ups", "dhl", "fedex"][r.below(3) as usize].into(), ROWS),
            strings(&mut |_| r.text(3), ROWS),
        ],
        None,
    );
    let first = (number * ROWS) as i64;
    let columns: Vec<ArrayRef> = vec![
        strings(&mut |i| format!("{:012x}{:016x}", first + i as i64, r.next()), ROWS),
        floats(&mut || 1.789e12 + r.below(1 << 30) as f64 / 4_096.0, ROWS),
        Arc::new(Int64Array::from_iter_values(
            (0..ROWS as i64).map(|i| 1_789_000_000_000_000_000 + (first + i) * 37_000_000),
        )),
        Arc::new(BooleanArray::from(vec![false; ROWS])),
        Arc::new(Int64Array::from(vec![1_790_000_000_000_000_000; ROWS])),
        strings(&mut |_| format!("{:032x}", u128::from(r.below(10_000)) << 64), ROWS),
        strings(
            &mut |_| {
                let n = 8 + r.below(50);
                r.text(n)
            },
            ROWS,
        ),
        strings(&mut |_| ["paid", "shipped", "pending"][r.below(3) as usize].into(), ROWS),
        Arc::new(ListArray::new(item(), OffsetBuffer::from_lengths(lengths), Arc::new(list), None)),
        Arc::new(shipping),
        Arc::new((0..ROWS).map(|_| (r.below(10) < 6).then(|| r.next() as i64 >> r.below(40))).collect::<Int64Array>()),
        floats(&mut || r.below(1 << 20) as f64 * 1.19, ROWS),
        Arc::new((0..ROWS).map(|_| Some(r.below(2) == 0)).collect::<BooleanArray>()),
        new_null_array(&DataType::Utf8, ROWS),
        new_null_array(&DataType::Utf8, ROWS),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns of one length")
}

fn write(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let mut random = Random(7);
    let batches: Vec<RecordBatch> = (0..BATCHES).map(|n| batch(n, &mut random)).collect();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
    for level in [1, 3] {
        let options = WriterOptions { compression_level: level, ..MemoryBudget::default().into() };
        group.bench_function(format!("orders, zstd {level}"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let file = NewFile {
                        table: TableRef::new("", "orders").expect("a name"),
                        path: "tables/orders/orders.parquet".into(),
                        phase: Phase::Snapshot,
                        base: None,
                        month: "2026-11-01".into(),
                        encoding: Encoding::ConvexEncodedJson,
                        repeats: false,
                        schema_id: 1,
                    };
                    let mut writer =
                        FileWriter::open(Arc::new(InMemory::new()), file, schema(), options, Arc::new(NoMonitor))
                            .expect("a writer");
                    for batch in &batches {
                        writer.write(batch.clone()).await.expect("written");
                    }
                    black_box(writer.close(BTreeMap::new(), None).await.expect("closed"))
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write);
criterion_main!(benches);
