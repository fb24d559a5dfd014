//! Sorting and merging against a plain sort, with limits so small that everything goes through temporary files.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use proptest::prelude::*;

use super::*;
use crate::schema::OwnColumn;

/// A row: `_id`, `_ts`, and when it came.
type Row = (u8, i64, i64);

fn schema() -> SchemaRef {
    let key = |own: OwnColumn, kind| Field::new(own.name(), kind, false);
    Arc::new(Schema::new(vec![
        key(OwnColumn::Id, DataType::Utf8),
        key(OwnColumn::Ts, DataType::Int64),
        key(OwnColumn::Tombstone, DataType::Boolean),
        Field::new("came", DataType::Int64, false),
    ]))
}

fn keyed(rows: &[Row]) -> KeyedBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|row| format!("{:03}", row.0)));
    let ts = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let came = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    let tombstones = BooleanArray::from(vec![false; rows.len()]);
    let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(ids), Arc::new(ts), Arc::new(tombstones), Arc::new(came)];
    KeyedBatch::new(RecordBatch::try_new(schema(), columns).unwrap()).unwrap()
}

fn limits(rows: usize) -> Limits {
    Limits { sorting: 2_000, run_batch: 300, file_batch: 2_000, runs: 3, rows }
}

/// Everything that comes, and the most rows and batches of any part.
fn merged(first: &[Row], later: &[Vec<Row>], keep: Keep, rows: usize) -> (Vec<Row>, usize, usize) {
    let mut sorter = Sorter::new(schema(), keep, limits(rows));
    later.iter().filter(|batch| !batch.is_empty()).for_each(|batch| sorter.push(keyed(batch)).unwrap());
    let first = (!first.is_empty()).then(|| {
        let rows = (0..first.len()).map(|row| (0, row)).collect();
        Input::Held(Some(PickedRows { sources: vec![keyed(first)], rows }))
    });
    let mut merge = sorter.merge(first).unwrap();
    let (mut all, mut most, mut sources) = (Vec::new(), 0, 0);
    while let Some(picked) = merge.next().unwrap() {
        assert!(!picked.rows.is_empty());
        (most, sources) = (most.max(picked.rows.len()), sources.max(picked.sources.len()));
        let batch = picked.to_batch(&schema()).unwrap();
        let came = batch.column(3).as_any().downcast_ref::<Int64Array>().unwrap();
        for row in 0..picked.rows.len() {
            let (keys, at) = picked.place(row);
            all.push((keys.id(at).parse().unwrap(), keys.ts(at), came.value(row)));
        }
    }
    (all, most, sources)
}

/// The same by a plain sort: which of the rows of one `_id` stay, the later ones counting more.
fn oracle(first: &[Row], later: &[Vec<Row>], keep: Keep) -> Vec<Row> {
    let mut rows: Vec<Row> = first.iter().chain(later.iter().flatten()).copied().collect();
    rows.sort_unstable();
    match keep {
        Keep::All => rows,
        Keep::EachTs => {
            rows.into_iter().map(|row| ((row.0, row.1), row)).collect::<BTreeMap<_, _>>().into_values().collect()
        }
        Keep::Newest => rows.into_iter().map(|row| (row.0, row)).collect::<BTreeMap<_, _>>().into_values().collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_comes_is_sorted_and_of_each_id_stays_what_is_to_be_kept(
        base in proptest::collection::btree_map(0u8..12, 0i64..6, 0..8),
        later in proptest::collection::vec(proptest::collection::vec((0u8..12, 0i64..6), 0..40), 0..8),
        keep in proptest::sample::select(vec![Keep::Newest, Keep::EachTs, Keep::All]),
        rows in 1usize..6,
    ) {
        let mut came = 0..;
        let first: Vec<Row> = base.into_iter().map(|(id, ts)| (id, ts, came.next().unwrap())).collect();
        let later: Vec<Vec<Row>> = later
            .into_iter()
            .map(|batch| batch.into_iter().map(|(id, ts)| (id, ts, came.next().unwrap())).collect())
            .collect();
        let (all, most, _) = merged(&first, &later, keep, rows);
        prop_assert_eq!(all, oracle(&first, &later, keep));
        prop_assert!(most <= rows);
    }
}

#[test]
fn a_document_with_many_revisions_comes_in_parts() {
    let later: Vec<Vec<Row>> =
        (0..200).map(|batch| (0..20).map(|n| (7, batch * 20 + n, batch * 20 + n)).collect()).collect();
    for keep in [Keep::EachTs, Keep::All] {
        let (all, most, sources) = merged(&[], &later, keep, 64);
        assert_eq!(all, oracle(&[], &later, keep));
        // A part holds the batches at which its inputs stood, and those that it left behind.
        assert!(most <= 64 && sources < 64, "{most} rows of {sources} batches");
    }
}
