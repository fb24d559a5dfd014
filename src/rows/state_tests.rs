use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    super::{
        moment::in_full,
        testing::{Documents, ORIGIN, World, part, table},
    },
    *,
};
use crate::{archive::Covers, codec::write_value, document::Value, error::ErrorKind};

fn limits(rng: &mut StdRng) -> Limits {
    Limits {
        sorting: *[1, 3_000, 20_000, 1 << 20].choose(rng).unwrap(),
        run_batch: *[1, 700, 1 << 20].choose(rng).unwrap(),
        file_batch: *[1, 700, 1 << 20].choose(rng).unwrap(),
        runs: rng.random_range(2..5),
        rows: *[1, 3, 8_192].choose(rng).unwrap(),
    }
}

/// Reads a state to its end, every way that there is, and checks that they agree.
async fn read(state: State) -> Result<Documents> {
    let mut state = state;
    let (schema, arrow) = (state.schema().clone(), Arc::clone(state.arrow_schema()));
    let mut documents = Documents::new();
    while let Some(batch) = state.next().await? {
        assert!(!batch.is_empty());
        let rows = batch.documents()?;
        let unified = batch.to_record_batch()?;
        assert_eq!((unified.num_rows(), unified.schema_ref()), (batch.len(), &arrow));
        let unified = RowReader::new(&schema, &unified)?;
        for row in 0..batch.len() {
            let revision = rows.revision(row)?;
            assert_eq!(unified.revision(row)?, revision);
            assert_eq!((batch.id(row), batch.ts(row)), (revision.id.as_str(), revision.ts));
            let (mut text, mut expected) = (String::new(), String::new());
            rows.write_json(row, Encoding::ExportJson, &mut text)?;
            write_value(&mut expected, &Value::Object(revision.document.clone().unwrap()), Encoding::ExportJson);
            assert_eq!(text, expected);
            assert!(documents.last_key_value().is_none_or(|(last, _)| *last < revision.id), "ids ascend");
            documents.insert(revision.id.clone(), revision);
        }
    }
    assert!(state.next().await?.is_none());
    Ok(documents)
}

async fn keys(mut state: State) -> Vec<(String, Timestamp)> {
    let mut keys = Vec::new();
    while let Some(batch) = state.next().await.unwrap() {
        keys.extend((0..batch.len()).map(|row| (batch.id(row).to_owned(), batch.ts(row))));
    }
    keys
}

async fn check(world: &World, rng: &mut StdRng) {
    let last = world.cursor();
    for table in &world.tables {
        let files = TableFiles::of(&world.archive, &world.head, table).await.unwrap();
        let open = |at, options: &StateOptions, limits| {
            State::within(world.archive.store(), &world.head, &files, at, options, limits)
        };
        for at in (ORIGIN - 2..=last + 2).map(Timestamp) {
            // Each case other moments: all would take minutes.
            if rng.random_bool(0.6) {
                continue;
            }
            let (limits, mut options) = (limits(rng), StateOptions::default());
            let known = world.head.table(table).is_some();
            let base = match world.head.coverage().covers(table, at) {
                Covers::Covered(base) if known => base,
                Covers::Covered(_) => {
                    let error = open(at, &options, limits).err().unwrap();
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    continue;
                }
                Covers::NotCovered(spans) => {
                    let error = open(at, &options, limits).err().unwrap();
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    for span in spans.iter().filter(|_| known) {
                        assert!(error.to_string().contains(&in_full(span.from).to_string()), "{error}");
                    }
                    continue;
                }
            };
            let mut expected = world.archived_at(table, base.ts, at);
            if world.untyped == 0 {
                assert_eq!(expected, world.deployment_at(table, at.0), "the oracle itself");
            }
            if rng.random_bool(0.3) {
                let after = world.rows.choose(rng).map_or_else(String::new, |row| row.revision.id.clone());
                expected.retain(|id, _| *id > after);
                options.after = Some(after);
            }
            let found = read(open(at, &options, limits).unwrap()).await.unwrap();
            assert_eq!(found, expected, "{table} at {at}, {limits:?}, {options:?}");
            options.columns = Columns::Keys;
            let found = keys(open(at, &options, limits).unwrap()).await;
            assert_eq!(found, expected.into_values().map(|r| (r.id, r.ts)).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_state_of_every_table_at_every_moment_is_what_the_plain_map_says(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::random(seed).await;
            check(&world, &mut StdRng::seed_from_u64(seed)).await;
        });
    }
}

#[test]
fn only_files_that_ascend_and_share_no_id_are_read_in_order() {
    let part = |min: &str, max: &str, ascend| {
        let mut part = part(min, max);
        part.ids_ascend = ascend;
        part
    };
    for (files, expected) in [
        (vec![part("a", "b", true), part("c", "d", true)], vec![true, true]),
        (vec![part("a", "b", true), part("b", "d", true)], vec![false, false]),
        (vec![part("a", "b", false), part("c", "d", true)], vec![false, true]),
        // The first reaches over the second to the third.
        (vec![part("a", "f", true), part("b", "c", true), part("e", "g", true)], vec![false, false, false]),
        (vec![part("a", "c", true), part("b", "d", true), part("e", "g", true)], vec![false, false, true]),
        (vec![], vec![]),
    ] {
        assert_eq!(in_order(&files.iter().collect::<Vec<_>>()), expected, "{files:?}");
    }
}

#[tokio::test]
async fn a_state_that_is_dropped_early_leaves_no_thread_behind() {
    let world = World::random(4).await;
    let files = TableFiles::of(&world.archive, &world.head, &table("a")).await.unwrap();
    for _ in 0..20 {
        let at = Timestamp(world.cursor());
        let Ok(mut state) = State::of_files(&world.archive, &world.head, &files, at, &StateOptions::default()) else {
            return;
        };
        drop(state.next().await);
    }
    // The runtime waits for its threads when it is dropped: this test ends.
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_with_those_that_are() {
    let world = World::random(1).await;
    let ghost = table("ghost");
    let error =
        State::open(&world.archive, &world.head, &ghost, Timestamp(world.cursor()), &StateOptions::default()).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no table ghost"), "{error}");
}
