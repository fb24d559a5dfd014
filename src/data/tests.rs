use std::{collections::BTreeMap, collections::HashMap, sync::Arc, time::Duration};

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
        StructArray,
    },
    buffer::OffsetBuffer,
    compute,
    datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef},
};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    },
    basic::{Compression, Encoding, Type},
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData},
};
use sha2::{Digest, Sha256};

use super::{
    CreationTime, DataFile, FileReader, FileWriter, Footer, NewFile, WantedRows, WriterOptions,
    blocks::{BLOCK, Checksums, crc32c},
    properties::{Rows, choose},
    whole,
};
use crate::{
    document::{TableRef, Timestamp},
    error::{Error, ErrorKind, Result},
    monitor::NoMonitor,
    position::{BaseId, Phase},
    store::faults::{Fault, FaultyStore},
};

const PATH: &str = "tables/orders/revisions/convex_phase=snapshot/convex_month=2026-11-01/a-00000-b.parquet";
const OPTIONS: WriterOptions = WriterOptions { compression_level: 1, row_group_bytes: 8 << 20, part_bytes: 5 << 20 };

fn field(name: &str, data_type: DataType, nullable: bool, id: i32) -> Field {
    let id = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
    Field::new(name, data_type, nullable).with_metadata(id)
}

fn item_fields() -> Fields {
    vec![field("sku", DataType::Utf8, true, 32), field("price", DataType::Float64, true, 33)].into()
}

/// Our frame, and a field of each type; `items` is a list of structs, `profile` a struct with a list in it.
fn schema() -> SchemaRef {
    let items = DataType::List(Arc::new(field("element", DataType::Struct(item_fields()), true, 31)));
    let roles = DataType::List(Arc::new(field("element", DataType::Utf8, true, 42)));
    let profile = vec![field("roles", roles, true, 41), field("visits", DataType::Int64, true, 43)];
    Arc::new(Schema::new(vec![
        field("_id", DataType::Utf8, false, 1),
        field("_creationTime", DataType::Float64, true, 2),
        field("_ts", DataType::Int64, false, 3),
        field("_tombstone", DataType::Boolean, false, 4),
        field("_base", DataType::Int64, true, 5),
        field("body", DataType::Utf8, true, 20),
        field("status", DataType::Utf8, true, 21),
        field("ratio", DataType::Float64, true, 22),
        field("qty", DataType::Float64, true, 23),
        field("serial", DataType::Int64, true, 24),
        field("paid", DataType::Boolean, true, 25),
        field("data", DataType::Binary, true, 26),
        field("items", items, true, 30),
        field("profile", DataType::Struct(profile.into()), true, 40),
        field("_nulls", DataType::Utf8, true, 6),
        field("_rescued", DataType::Utf8, true, 7),
    ]))
}

/// A scrambled but fixed number for `i`.
fn noise(i: i64) -> u64 {
    let z = (i as u64).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB)
}

/// Rows `from..to`: `_ts` is the row's number, every 10th a tombstone, every 7th with something rescued.
fn batch(from: i64, to: i64) -> RecordBatch {
    let rows = || from..to;
    let count = (to - from) as usize;
    let text = |f: &dyn Fn(i64) -> Option<String>| Arc::new(rows().map(f).collect::<StringArray>()) as ArrayRef;
    let DataType::List(item) = schema().field(12).data_type().clone() else { unreachable!() };
    let twice = || rows().flat_map(|i| [2 * i, 2 * i + 1]);
    let items = StructArray::new(
        item_fields(),
        vec![
            Arc::new(twice().map(|i| Some(format!("SKU-{}", noise(i) % 5))).collect::<StringArray>()),
            Arc::new(
                twice().map(|i| Some(if i % 3 == 0 { f64::NAN } else { noise(i) as f64 })).collect::<Float64Array>(),
            ),
        ],
        None,
    );
    let pairs = || OffsetBuffer::from_lengths(std::iter::repeat_n(2, count));
    let DataType::Struct(profile) = schema().field(13).data_type().clone() else { unreachable!() };
    let DataType::List(role) = profile[0].data_type().clone() else { unreachable!() };
    let roles = Arc::new(twice().map(|i| Some(["admin", "owner"][i as usize % 2])).collect::<StringArray>());
    let visits = Arc::new(rows().map(|i| Some(i % 4)).collect::<Int64Array>());
    let roles = Arc::new(ListArray::new(role, pairs(), roles, None));
    let columns: Vec<ArrayRef> = vec![
        text(&|i| Some(format!("{i:08}{:016x}", noise(i)))),
        Arc::new(rows().map(|i| Some(i as f64)).collect::<Float64Array>()),
        Arc::new(rows().map(Some).collect::<Int64Array>()),
        Arc::new(rows().map(|i| Some(i % 10 == 0)).collect::<BooleanArray>()),
        Arc::new(rows().map(|_| Some(77)).collect::<Int64Array>()),
        text(&|i| Some(format!("a body of its own, {:x}{:x}", noise(i), noise(i + 1)))),
        text(&|i| Some(["paid", "open"][i as usize % 2].to_owned())),
        Arc::new(
            rows().map(|i| Some(if i % 5 == 0 { f64::NAN } else { noise(i) as f64 / 3.0 })).collect::<Float64Array>(),
        ),
        Arc::new(rows().map(|i| Some((i % 3) as f64)).collect::<Float64Array>()),
        Arc::new(rows().map(|i| Some(noise(i) as i64)).collect::<Int64Array>()),
        Arc::new(rows().map(|i| (i % 4 != 0).then_some(i % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(rows().map(|i| Some(noise(i).to_le_bytes())).collect::<BinaryArray>()),
        Arc::new(ListArray::new(item, pairs(), Arc::new(items), None)),
        Arc::new(StructArray::new(profile, vec![roles, visits], None)),
        text(&|i| (i % 3 == 0).then(|| format!("[\"/{i}\"]"))),
        text(&|i| (i % 7 == 0).then(|| "{\"/x\":1}".to_owned())),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn new_file() -> NewFile {
    NewFile {
        table: TableRef::new("", "orders").unwrap(),
        path: PATH.into(),
        phase: Phase::Snapshot,
        base: Some(BaseId("20261101T000000Z-5f3a9c01".into())),
        month: "2026-11-01".into(),
        encoding: crate::document::Encoding::ConvexEncodedJson,
        repeats: false,
        schema_id: 3,
    }
}

async fn write(store: Arc<dyn ObjectStore>, batches: &[RecordBatch], options: WriterOptions) -> Result<DataFile> {
    let mut writer = FileWriter::open(store, new_file(), batches[0].schema(), options, Arc::new(NoMonitor))?;
    for batch in batches {
        writer.write(batch.clone()).await?;
    }
    writer.close(BTreeMap::new(), None).await
}

async fn stored(store: &dyn ObjectStore) -> Bytes {
    store.get(&Path::from(PATH)).await.unwrap().bytes().await.unwrap()
}

fn footer(bytes: &Bytes) -> Arc<ParquetMetaData> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    Arc::clone(ArrowReaderMetadata::load(bytes, options).unwrap().metadata())
}

fn hundred_batches() -> Vec<RecordBatch> {
    (0..100).map(|i| batch(i * 100, i * 100 + 100)).collect()
}

async fn read(store: Arc<dyn ObjectStore>, file: &DataFile, selection: &WantedRows) -> Result<RecordBatch> {
    let mut reader = FileReader::open(store, file, selection).await?;
    let schema = reader.schema().clone();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await? {
        assert_ne!(batch.num_rows(), 0);
        batches.push(batch);
    }
    Ok(compute::concat_batches(&schema, &batches).unwrap())
}

#[tokio::test]
async fn says_of_the_file_what_was_written_and_its_digest_is_that_of_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn ObjectStore>; 2] =
        [Arc::new(InMemory::new()), Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())];
    for store in stores {
        for part_bytes in [5 << 20, 10_000] {
            let options = WriterOptions { part_bytes, ..OPTIONS };
            let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
            let bytes = stored(store.as_ref()).await;
            assert_eq!(file.bytes, bytes.len() as u64);
            assert_eq!(file.sha256, format!("{:x}", Sha256::digest(&bytes)));
            let end = &bytes[bytes.len() - file.footer.bytes as usize..];
            assert_eq!(file.footer.crc32c, crc32c(end));
            let groups = footer(&bytes).row_groups().to_vec();
            let pages = groups.iter().flat_map(RowGroupMetaData::columns).map(ColumnChunkMetaData::byte_range);
            let filters = groups
                .iter()
                .map(|group| group.column(0))
                .map(|id| (id.bloom_filter_offset().unwrap() as u64, id.bloom_filter_length().unwrap() as u64));
            let before = pages.chain(filters).map(|(at, length)| at + length).max();
            assert_eq!(before, Some(file.bytes - file.footer.bytes), "all that follows the last page and filter");
            assert_eq!((file.rows, file.tombstones, file.rescued_rows), (10_000, 1_000, 1_429));
            assert_eq!((file.min_ts, file.max_ts), (Timestamp(0), Timestamp(9_999)));
            assert!(file.min_id.unwrap().starts_with("00000000") && file.max_id.unwrap().starts_with("00009999"));
            assert_eq!((file.min_created, file.max_created), (CreationTime::new(0.0), CreationTime::new(9_999.0)));
            assert_eq!(file.month, "2026-11-01");
            assert!(file.ids_ascend);
            assert_eq!((file.schema, file.phase, file.path.as_str()), (3, Phase::Snapshot, PATH));
        }
    }
}

#[tokio::test]
async fn creation_times_bound_the_documents_if_all_are_finite() {
    let with = |times: [Option<f64>; 3]| {
        let mut columns = batch(0, 3).columns().to_vec();
        columns[1] = Arc::new(Float64Array::from(times.to_vec()));
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    let none = [None; 3];
    let some = [Some(7.25), None, Some(-3.5)];
    for (batches, bounds) in [
        (vec![none], None),
        (vec![some], Some((-3.5, 7.25))),
        (vec![none, some, [Some(8.5), None, Some(0.0)], none], Some((-3.5, 8.5))),
        (vec![some, [Some(f64::NAN), None, Some(1.0)], some], None),
        (vec![[Some(-f64::NAN), Some(1.0), None], some], None),
        (vec![some, [Some(f64::NEG_INFINITY), Some(1.0), None]], None),
    ] {
        let batches: Vec<_> = batches.into_iter().map(with).collect();
        let file = write(Arc::new(InMemory::new()), &batches, OPTIONS).await.unwrap();
        let said = file.min_created.zip(file.max_created).map(|(min, max)| (min.ms(), max.ms()));
        assert_eq!((said, file.min_created.is_some()), (bounds, file.max_created.is_some()));
    }
}

#[tokio::test]
async fn notices_ids_that_do_not_ascend_within_a_batch_or_between_two() {
    let reversed = {
        let rows = batch(0, 50);
        let order: Int64Array = (0..50).rev().collect();
        compute::take_record_batch(&rows, &order).unwrap()
    };
    let cases = [
        vec![batch(0, 50), batch(50, 100)],
        vec![batch(50, 100), batch(0, 50)],
        vec![batch(0, 50), batch(49, 100)],
        vec![reversed, batch(50, 100)],
    ];
    for (batches, ascend) in cases.iter().zip([true, false, false, false]) {
        let file = write(Arc::new(InMemory::new()), batches, OPTIONS).await.unwrap();
        assert_eq!(file.ids_ascend, ascend);
        assert!(file.min_id.unwrap().starts_with("00000000") && file.max_id.unwrap().starts_with("00000099"));
        assert_eq!((file.min_ts, file.max_ts), (Timestamp(0), Timestamp(99)));
    }
}

#[tokio::test]
async fn a_small_file_is_one_put_and_a_large_one_has_parts_of_one_size() {
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
    let file = write(store.clone(), &hundred_batches(), OPTIONS).await.unwrap();
    assert_eq!(store.sent(), [("put", Some(file.bytes as usize))]);

    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
    let options = WriterOptions { part_bytes: 100_000, row_group_bytes: 150_000, ..OPTIONS };
    let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
    let sent = store.sent();
    let parts = file.bytes as usize / 100_000;
    assert!(parts > 2);
    assert_eq!(sent[0], ("begin", None));
    assert!(sent[1..=parts].iter().all(|call| *call == ("part", Some(100_000))), "{sent:?}");
    assert_eq!(sent[parts + 1..], [("part", Some(file.bytes as usize % 100_000)), ("complete", None)]);
}

#[tokio::test]
async fn a_failure_of_any_store_call_is_returned_and_leaves_neither_upload_nor_object() {
    let options = WriterOptions { part_bytes: 100_000, row_group_bytes: 150_000, ..OPTIONS };
    let clean = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
    write(clean.clone(), &hundred_batches(), options).await.unwrap();
    for k in 0..clean.calls().len() {
        let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), Some(Fault::fails(k))));
        let error = write(store.clone(), &hundred_batches(), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{k}: {error}");
        assert!(error.to_string().contains("table orders") && error.to_string().contains(PATH), "{error}");
        assert_eq!(store.count("abort"), usize::from(k > 0), "{k}: {:?}", store.calls());
        assert!(store.get(&Path::from(PATH)).await.is_err(), "{k}");
    }
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), Some(Fault::fails(0))));
    let error = write(store, &[batch(0, 10)], OPTIONS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Waits for what happens in the background.
async fn eventually(mut seen: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen");
}

#[tokio::test]
async fn dropped_while_the_store_never_answers_it_aborts_the_upload() {
    let options = WriterOptions { part_bytes: 20_000, row_group_bytes: 20_000, ..OPTIONS };
    let batches = hundred_batches();
    for k in 0..3 {
        let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), Some(Fault::hangs(k))));
        // The writer is dropped inside, wherever it waits: in write() or in close().
        let waiting = write(store.clone(), &batches, options);
        assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err(), "{k}");
        // Whoever never got an upload has none to abort.
        eventually(|| store.count("abort") == usize::from(k > 0)).await;
        assert_eq!(store.count("complete"), 0);
    }
}

#[tokio::test]
async fn dropped_or_abandoned_before_close_no_object_appears() {
    let options = WriterOptions { part_bytes: 20_000, row_group_bytes: 20_000, ..OPTIONS };
    for wait in [true, false] {
        let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
        let mut writer = FileWriter::open(store.clone(), new_file(), schema(), options, Arc::new(NoMonitor)).unwrap();
        for batch in hundred_batches() {
            writer.write(batch).await.unwrap();
        }
        if wait {
            writer.abandon().await;
            assert_eq!(store.count("abort"), 1);
        } else {
            drop(writer);
            eventually(|| store.count("abort") == 1).await;
        }
        assert_eq!(store.count("complete") + store.count("put"), 0);
        assert!(store.get(&Path::from(PATH)).await.is_err());
    }
}

#[tokio::test]
async fn a_failed_upload_is_told_by_the_next_write_though_the_encoder_has_room() {
    let options = WriterOptions { part_bytes: 1_000, row_group_bytes: 1, ..OPTIONS };
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), Some(Fault::fails(1))));
    let mut writer = FileWriter::open(store.clone(), new_file(), schema(), options, Arc::new(NoMonitor)).unwrap();
    writer.write(batch(0, 2_000)).await.unwrap();
    eventually(|| store.count("abort") == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(writer.write(batch(100, 200)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // And it stays failed.
    assert_eq!(writer.write(batch(200, 300)).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(writer.close(BTreeMap::new(), None).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn rows_that_cannot_be_encoded_are_an_error_with_a_name_and_no_object() {
    let odd = batch(0, 10).project(&[0, 2, 3]).unwrap();
    let no_level = WriterOptions { compression_level: 99, ..OPTIONS };
    for (batches, options, kind) in [
        (vec![odd.clone()], OPTIONS, ErrorKind::Internal),
        (vec![batch(0, 10), odd], OPTIONS, ErrorKind::Internal),
        (vec![batch(0, 10)], no_level, ErrorKind::Usage),
        (vec![batch(0, 0)], OPTIONS, ErrorKind::Internal),
    ] {
        let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
        let error = write(store.clone(), &batches, options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(PATH), "{error}");
        assert_eq!(store.calls(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn bytes_grow_with_the_rows_and_row_groups_are_closed_by_bytes() {
    let store = Arc::new(InMemory::new());
    let options = WriterOptions { row_group_bytes: 200_000, ..OPTIONS };
    let mut writer = FileWriter::open(store.clone(), new_file(), schema(), options, Arc::new(NoMonitor)).unwrap();
    let mut seen = vec![writer.bytes()];
    for batch in hundred_batches() {
        writer.write(batch).await.unwrap();
        seen.push(writer.bytes());
    }
    assert!(seen[0] == 0 && seen[50] > 100_000 && seen[100] > seen[50], "{seen:?}");
    let file = writer.close(BTreeMap::new(), None).await.unwrap();
    assert!(seen[100] <= file.bytes + 200_000);
    let footer = footer(&stored(store.as_ref()).await);
    let sizes: Vec<i64> = footer.row_groups().iter().map(RowGroupMetaData::compressed_size).collect();
    // What is anticipated for an open page is not compressed yet.
    assert!(sizes.len() > 3 && sizes[..sizes.len() - 1].iter().all(|s| (30_000..220_000).contains(s)), "{sizes:?}");
}

/// A field id at every node; the list's own middle group is no node of ours.
fn field_ids(node: &parquet::schema::types::Type, path: &str, into: &mut Vec<String>) {
    let path = format!("{path}/{}", node.name());
    if node.name() == "list" {
        assert!(!node.get_basic_info().has_id());
    } else {
        assert!(node.get_basic_info().has_id(), "{path}");
        into.push(format!("{path} {}", node.get_basic_info().id()));
    }
    if node.is_group() {
        node.get_fields().iter().for_each(|child| field_ids(child, &path, into));
    }
}

#[tokio::test]
async fn the_footer_keeps_every_promise() {
    let store = Arc::new(InMemory::new());
    write(store.clone(), &[batch(0, 6_000), batch(6_000, 12_000)], OPTIONS).await.unwrap();
    let footer = footer(&stored(store.as_ref()).await);
    let about = footer.file_metadata();
    assert_eq!(about.created_by().unwrap(), concat!("convex-archiver version ", env!("CARGO_PKG_VERSION")));
    assert_eq!(about.version(), 1);

    let mut nodes = Vec::new();
    about.schema().get_fields().iter().for_each(|node| field_ids(node, "", &mut nodes));
    for node in [
        "/_id 1",
        "/items 30",
        "/items/list/element 31",
        "/items/list/element/sku 32",
        "/profile/roles/list/element 42",
    ] {
        assert!(nodes.iter().any(|n| n == node), "{node} in {nodes:?}");
    }

    let group = footer.row_group(0);
    let columns: BTreeMap<String, &ColumnChunkMetaData> =
        group.columns().iter().map(|c| (c.column_path().string(), c)).collect();
    let dictionary = [
        "_base",
        "status",
        "qty",
        "items.list.element.sku",
        "profile.roles.list.element",
        "profile.visits",
        "_nulls",
        "_rescued",
    ];
    for (name, column) in &columns {
        assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
        let encodings: Vec<Encoding> = column.encodings().collect();
        let with_dictionary = dictionary.contains(&name.as_str());
        assert_eq!(column.dictionary_page_offset().is_some(), with_dictionary, "{name} {encodings:?}");
        if !with_dictionary {
            let expected = match column.column_type() {
                Type::INT64 => Encoding::DELTA_BINARY_PACKED,
                _ => Encoding::PLAIN,
            };
            assert!(encodings.contains(&expected), "{name} {encodings:?}");
        }
        let everybody_reads = |encoding: &Encoding| match encoding {
            Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY => true,
            Encoding::DELTA_BINARY_PACKED => column.column_type() == Type::INT64,
            _ => false,
        };
        assert!(encodings.iter().all(everybody_reads), "{name} {encodings:?}");
        let has_statistics = match column.column_type() {
            Type::INT64 | Type::BOOLEAN => true,
            _ => name == "_id" || name == "_creationTime",
        };
        let bounds = column.statistics().is_some_and(|s| s.min_bytes_opt().is_some() && s.max_bytes_opt().is_some());
        assert_eq!(bounds, has_statistics, "{name}");
        assert_eq!(column.statistics().is_some(), has_statistics, "{name}");
        assert_eq!(column.column_index_offset().is_some(), has_statistics, "{name}");
        assert_eq!(column.bloom_filter_offset().is_some(), name == "_id", "{name}");
    }
}

#[tokio::test]
async fn a_small_file_goes_without_what_its_rows_gain_nothing_from() {
    for (batches, small) in [(vec![batch(0, 50)], true), (vec![batch(0, 49), batch(49, 50)], false)] {
        let store = Arc::new(InMemory::new());
        let file = write(store.clone(), &batches, OPTIONS).await.unwrap();
        let footer = footer(&stored(store.as_ref()).await);
        let columns = footer.row_group(0).columns();
        let column = |name: &str| columns.iter().find(|column| column.column_path().string() == name).unwrap();
        assert_eq!(column("_tombstone").compression() == Compression::UNCOMPRESSED, small);
        assert!(matches!(column("_id").compression(), Compression::ZSTD(_)));
        assert_eq!(columns.iter().all(|column| column.dictionary_page_offset().is_none()), small);
        assert!(column("_id").bloom_filter_length().is_some_and(|bytes| bytes < 200), "it is made for 50 ids");
        let whole = read(store, &file, &WantedRows::default()).await.unwrap();
        assert_eq!(whole, batch(0, 50));
    }
}

#[test]
fn list_items_are_named_element_whatever_arrow_calls_them() {
    let values = Arc::new(StringArray::from(vec!["a", "b"]));
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        OffsetBuffer::from_lengths([2]),
        values,
        None,
    );
    let batch = RecordBatch::try_from_iter([("tags", Arc::new(list) as ArrayRef)]).unwrap();
    let mut bytes = Vec::new();
    let properties = choose(Rows::First(&batch), 1, 8 << 20).unwrap();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let footer = footer(&bytes.into());
    let column = footer.row_group(0).column(0);
    assert_eq!(column.column_path().string(), "tags.list.element");
    assert!(column.encodings().any(|e| e == Encoding::PLAIN) && column.statistics().is_none());
}

#[tokio::test]
async fn a_column_that_the_first_batch_does_not_show_is_written_all_the_same() {
    let store = Arc::new(InMemory::new());
    let empty =
        RecordBatch::try_new(
            schema(),
            batch(0, 3)
                .columns()
                .iter()
                .zip(schema().fields())
                .map(|(column, field)| {
                    if field.is_nullable() {
                        arrow::array::new_null_array(field.data_type(), 3)
                    } else {
                        column.clone()
                    }
                })
                .collect(),
        )
        .unwrap();
    let file = write(store.clone(), &[empty.clone(), batch(3, 500)], OPTIONS).await.unwrap();
    let whole = read(store, &file, &WantedRows::default()).await.unwrap();
    assert_eq!(whole, compute::concat_batches(&schema(), &[empty, batch(3, 500)]).unwrap());
}

#[tokio::test]
async fn gives_back_exactly_what_was_selected() {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(local), None));
    let options = WriterOptions { row_group_bytes: 100_000, ..OPTIONS };
    let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
    let all = compute::concat_batches(&schema(), &hundred_batches()).unwrap();
    assert_eq!(read(store.clone(), &file, &WantedRows::default()).await.unwrap(), all);

    let id = |i: i64| Some(batch(i, i + 1).column(0).as_string::<i32>().value(0).to_owned());
    let ts = |t| Some(Timestamp(t));
    let none = WantedRows::default();
    let selections = [
        WantedRows { min_ts: ts(5_000), ..none.clone() },
        WantedRows { max_ts: ts(99), ..none.clone() },
        WantedRows { min_ts: ts(1_234), max_ts: ts(1_240), ..none.clone() },
        WantedRows { min_id: id(9_990), ..none.clone() },
        WantedRows { min_id: id(77), max_id: id(77), ..none.clone() },
        WantedRows { min_id: id(100), max_id: id(4_000), min_ts: ts(3_990), batch_rows: 3, ..none.clone() },
        WantedRows { min_ts: ts(20_000), ..none.clone() },
        WantedRows {
            ids: Some([id(5).unwrap(), format!("{}x", id(5).unwrap()), id(4_321).unwrap()].into()),
            ..none.clone()
        },
        WantedRows { ids: Some([id(9_999).unwrap()].into()), max_ts: ts(9_998), ..none.clone() },
        WantedRows { ids: Some((0..200).map(|i| id(i * 50).unwrap()).collect()), min_id: id(77), ..none.clone() },
        WantedRows { ids: Some([].into()), ..none.clone() },
        WantedRows { batch_bytes: 1, max_ts: ts(50), ..none.clone() },
        WantedRows { batch_bytes: 20_000, ..none.clone() },
        WantedRows { max_id: Some(String::new()), ..none },
    ];
    for mut selection in selections {
        let keep: BooleanArray = (0..all.num_rows())
            .map(|row| {
                let ts = all.column(2).as_primitive::<Int64Type>().value(row);
                let id = all.column(0).as_string::<i32>().value(row);
                Some(
                    selection.min_ts.is_none_or(|t| t.0 <= ts)
                        && selection.max_ts.is_none_or(|t| ts <= t.0)
                        && selection.min_id.as_deref().is_none_or(|t| t <= id)
                        && selection.max_id.as_deref().is_none_or(|t| id <= t)
                        && selection.ids.as_ref().is_none_or(|ids| ids.iter().any(|other| other == id)),
                )
            })
            .collect();
        let expected = compute::filter_record_batch(&all, &keep).unwrap();
        assert_eq!(read(store.clone(), &file, &selection).await.unwrap(), expected, "{selection:?}");
        selection.columns = Some(vec!["profile".into(), "serial".into(), "not there".into()]);
        assert_eq!(read(store.clone(), &file, &selection).await.unwrap(), expected.project(&[9, 13]).unwrap());
    }
}

#[tokio::test]
async fn batches_keep_to_their_bytes_whatever_the_rows_are_like() {
    // Small rows, large rows, and large ones that repeat, so that a dictionary hides how much they are.
    let sizes = [("small", 10, 4_000), ("large", 30_000, 300), ("repeated", 100_000, 300)];
    let schema = Arc::new(schema().project(&[0, 1, 2, 3, 4, 5, 14, 15]).unwrap());
    let mut batches = Vec::new();
    for (kind, bytes, rows) in sizes {
        for _ in 0..rows / 20 {
            let from = batches.len() as i64 * 20;
            let body = |i: i64| if kind == "repeated" { "r".repeat(bytes) } else { format!("{i:0bytes$}") };
            let mut columns = batch(from, from + 20).project(&[0, 1, 2, 3, 4, 5, 14, 15]).unwrap().columns().to_vec();
            columns[5] = Arc::new((from..from + 20).map(|i| Some(body(i))).collect::<StringArray>());
            batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
        }
    }
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for row_group_bytes in [200_000, 8 << 20] {
        let file = write(store.clone(), &batches, WriterOptions { row_group_bytes, ..OPTIONS }).await.unwrap();
        for batch_bytes in [1, 100_000, 1 << 20] {
            let wanted = WantedRows { batch_bytes, ..WantedRows::default() };
            let mut reader = FileReader::open(store.clone(), &file, &wanted).await.unwrap();
            let mut rows = 0;
            while let Some(batch) = reader.next().await.unwrap() {
                let text = batch.column(5).as_string::<i32>();
                let held = text.value_data().len();
                assert!(held <= 2 * batch_bytes + (1 << 20), "{held} bytes in {} rows", batch.num_rows());
                rows += batch.num_rows();
            }
            assert_eq!(rows as u64, file.rows);
        }
    }
}

#[tokio::test]
async fn reads_only_the_row_groups_that_may_hold_a_wanted_row() {
    let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), None));
    let options = WriterOptions { row_group_bytes: 300_000, ..OPTIONS };
    let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
    let reads = async |selection: WantedRows| {
        let before = store.count("ranges");
        read(store.clone(), &file, &selection).await.unwrap();
        store.count("ranges") - before
    };
    // The last one may have come with the footer.
    let block = 64 << 10;
    let tail = ((file.bytes - block) / block * block) as i64;
    let begin = |group: &RowGroupMetaData| group.column(0).byte_range().0 as i64;
    let groups = footer(&stored(store.as_ref()).await);
    let apart = groups.row_groups().iter().filter(|group| begin(group) < tail).count();
    assert!(apart > 5);
    assert_eq!(reads(WantedRows::default()).await, apart);
    // The column of the filter first, then the rest of the rows that it leaves.
    let one = WantedRows { min_ts: Some(Timestamp(10)), max_ts: Some(Timestamp(10)), ..WantedRows::default() };
    assert_eq!(reads(one).await, 2);
    assert_eq!(reads(WantedRows { min_id: Some("9".into()), ..WantedRows::default() }).await, 0);
}

#[tokio::test]
async fn a_missing_or_damaged_object_is_corrupt_and_what_it_held_is_said() {
    let store = Arc::new(InMemory::new());
    let file = write(store.clone(), &hundred_batches(), OPTIONS).await.unwrap();
    let bytes = stored(store.as_ref()).await;
    let path = Path::from(PATH);
    let check = |result: Result<RecordBatch>| {
        let error: Error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        for told in
            [PATH, "10000 revisions of table", "_ts 0 (1970-01-01T00:00:00.000000000Z) to 9999 (", "--accept-damage"]
        {
            assert!(error.to_string().contains(told), "{told}: {error}");
        }
    };

    store.delete(&path).await.unwrap();
    check(read(store.clone(), &file, &WantedRows::default()).await);

    for cut in [0, 1, 7, 1_000, bytes.len() - 1] {
        store.put(&path, bytes.slice(..cut).into()).await.unwrap();
        check(read(store.clone(), &file, &WantedRows::default()).await);
        let believed = DataFile { bytes: cut as u64, ..file.clone() };
        check(read(store.clone(), &believed, &WantedRows::default()).await);
    }
}

/// Another file of one size, whose checksums fit: only the commit's SHA-256 tells.
#[tokio::test]
async fn another_file_under_the_name_is_found_by_whoever_reads_all_of_it() {
    let options = WriterOptions { row_group_bytes: 20_000, ..OPTIONS };
    let store = Arc::new(InMemory::new());
    let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
    let other = DataFile { sha256: format!("{:x}", Sha256::digest(b"another")), ..file.clone() };
    let all = WantedRows::default();
    assert_eq!(read(store.clone(), &file, &all).await.unwrap().num_rows(), 10_000);
    let error = read(store.clone(), &other, &all).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("SHA-256"), "{error}");
    let some = WantedRows { max_ts: Some(Timestamp(4)), ..WantedRows::default() };
    assert_eq!(read(store, &other, &some).await.unwrap().num_rows(), 5, "of a part nothing but the checksums is known");
}

/// After an error a reader may go on behind the row group that is damaged.
#[tokio::test]
async fn what_stands_in_other_row_groups_than_the_damaged_one_can_be_had() {
    let options = WriterOptions { row_group_bytes: 20_000, ..OPTIONS };
    let store = Arc::new(InMemory::new());
    let file = write(store.clone(), &hundred_batches(), options).await.unwrap();
    let bytes = stored(store.as_ref()).await;
    let groups = footer(&bytes).row_groups().to_vec();
    assert!(groups.len() > 20);
    let block = |group: &RowGroupMetaData| group.column(0).byte_range().0 / BLOCK;
    for harmed in [0, groups.len() / 2, groups.len() - 1] {
        let mut copy = bytes.to_vec();
        copy[groups[harmed].column(0).byte_range().0 as usize] ^= 1;
        store.put(&Path::from(PATH), copy.into()).await.unwrap();
        let mut reader = FileReader::open(store.clone(), &file, &WantedRows::default()).await.unwrap();
        let (mut rows, mut lost) = (Vec::new(), 0);
        loop {
            match reader.next().await {
                Ok(Some(batch)) => rows.push(batch),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    let (more, of_group) = reader.pass_group();
                    lost += of_group;
                    if !more {
                        break;
                    }
                }
            }
        }
        let had: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(had as u64 + lost, file.rows);
        // Row groups of some kilobytes share a block of 64 KiB with the damaged one.
        let near = groups.iter().filter(|group| block(group).abs_diff(block(&groups[harmed])) <= 1);
        assert!(lost > 0 && lost <= near.map(|group| group.num_rows() as u64).sum(), "{harmed}: {lost}");
    }
}

/// What each way to read a file gives, or that it is damaged, which must be said of the right file.
async fn every_way(store: &Arc<InMemory>, file: &DataFile, ways: &[WantedRows]) -> Vec<Option<RecordBatch>> {
    let mut found = Vec::with_capacity(ways.len());
    for wanted in ways {
        found.push(match read(store.clone(), file, wanted).await {
            Ok(rows) => Some(rows),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(PATH), "{error}");
                None
            }
        });
    }
    found
}

async fn bytes_of(store: &Arc<InMemory>, file: &DataFile) -> Result<Bytes> {
    Ok(whole(store.clone(), file).try_collect::<Vec<_>>().await?.concat().into())
}

/// Every type of column, nested ones, dictionaries, nulls; one page and many, one row group and many, a base and deltas.
fn files_of_all_kinds() -> Vec<(Vec<RecordBatch>, WriterOptions)> {
    let narrow = [0, 1, 2, 3, 4, 14, 15];
    let deltas: Vec<_> = (0..8)
        .map(|n| {
            let rows = batch(n * 50, n * 50 + 50);
            let mut columns = rows.columns().to_vec();
            columns[4] = arrow::array::new_null_array(&DataType::Int64, 50);
            columns[8] = arrow::array::new_null_array(&DataType::Float64, 50);
            RecordBatch::try_new(rows.schema(), columns).unwrap()
        })
        .collect();
    vec![
        (vec![batch(0, 1_500)], OPTIONS),
        (deltas, WriterOptions { row_group_bytes: 20_000, ..OPTIONS }),
        // 20,000 rows fill a page.
        (vec![batch(0, 21_000).project(&narrow).unwrap()], OPTIONS),
    ]
}

#[tokio::test]
async fn a_flipped_bit_anywhere_gives_the_right_rows_or_an_error_never_other_rows() {
    let mut found = 0;
    for (n, (batches, options)) in (0..).zip(files_of_all_kinds()) {
        let store = Arc::new(InMemory::new());
        let file = write(store.clone(), &batches, options).await.unwrap();
        let bytes = stored(store.as_ref()).await;
        let id = |i: i64| format!("{i:08}{:016x}", noise(i));
        let columns = Some(vec!["serial".to_owned(), "items".into(), "_nulls".into()]);
        let ways = [
            WantedRows::default(),
            WantedRows { columns, ..WantedRows::default() },
            WantedRows { ids: Some([id(399), id(20_500)].into()), ..WantedRows::default() },
            WantedRows { ids: Some(["not there".to_owned()].into()), ..WantedRows::default() },
            WantedRows { min_ts: Some(Timestamp(300)), max_ts: Some(Timestamp(320)), ..WantedRows::default() },
        ];
        let right = every_way(&store, &file, &ways).await;
        assert!(right.iter().all(Option::is_some));
        assert_eq!(bytes_of(&store, &file).await.unwrap(), bytes);
        for k in 0..340 {
            // Every tenth in the footer, which is small.
            let flip = noise(n * 1_000 + k);
            let span = if k % 10 == 0 { file.footer.bytes } else { file.bytes };
            let place = (file.bytes - 1 - flip / 8 % span) as usize;
            let mut harmed = bytes.to_vec();
            harmed[place] ^= 1 << (flip % 8);
            store.put(&Path::from(PATH), harmed.into()).await.unwrap();
            let error = bytes_of(&store, &file).await.unwrap_err();
            assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(PATH), "{error}");
            for (way, (rows, right)) in every_way(&store, &file, &ways).await.iter().zip(&right).enumerate() {
                assert!(rows.is_none() || rows == right, "file {n}, byte {place}, way {way}");
                assert!(rows.is_none() || way > 0, "file {n}, byte {place}: who reads all of it finds every flip");
                found += usize::from(rows.is_none());
            }
        }
    }
    assert!(found > 1_500, "most ways touch most bytes: {found}");
}

/// Whoever can write the object can write checksums too: what the decoder makes of nonsense, not seldom a panic, stays here.
#[tokio::test]
async fn a_forged_file_never_brings_the_reader_down() {
    let store = Arc::new(InMemory::new());
    let file = write(store.clone(), &[batch(0, 40)], OPTIONS).await.unwrap();
    let bytes = stored(store.as_ref()).await;
    let body = (file.bytes - file.footer.bytes) as usize;
    let blocks_of = |body: &[u8]| {
        let mut sums = Checksums::new();
        sums.update(body);
        sums.begin_footer().to_text()
    };
    let note = blocks_of(&bytes[..body]);
    let at = bytes.windows(note.len()).position(|text| text == note.as_bytes()).unwrap();
    let some = WantedRows { min_ts: Some(Timestamp(1)), ..WantedRows::default() };
    let mut noticed = 0;
    for place in 0..bytes.len() {
        let mut forged = bytes.to_vec();
        forged[place] ^= 0xff;
        let note = blocks_of(&forged[..body]);
        forged[at..at + note.len()].copy_from_slice(note.as_bytes());
        let footer = Footer { crc32c: crc32c(&forged[body..]), ..file.footer };
        store.put(&Path::from(PATH), forged.into()).await.unwrap();
        if let Err(error) = read(store.clone(), &DataFile { footer, ..file.clone() }, &some).await {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            noticed += 1;
        }
    }
    assert!(noticed > bytes.len() / 3, "{noticed} of {}", bytes.len());
}

#[tokio::test]
async fn a_store_that_fails_while_reading_is_unavailable_not_corrupt() {
    let inner = Arc::new(InMemory::new());
    let file = write(inner.clone(), &hundred_batches(), OPTIONS).await.unwrap();
    for k in 0..2 {
        let store = Arc::new(FaultyStore::new(inner.clone(), Some(Fault::fails(k))));
        let error = read(store, &file, &WantedRows::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}
