//! Looking back at single documents, transactions and differences: against the plain lists of a random archive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    archive::Covers,
    budget::MemoryBudget,
    document::{Revision, TableRef, Timestamp},
    error::ErrorKind,
    rows::testing::{Documents, ORIGIN, Row, World},
};

/// Runs `check` on a few random archives.
fn archives(seed: u64, check: impl AsyncFnOnce(&World, &mut StdRng)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::random(seed).await;
        check(&world, &mut StdRng::seed_from_u64(seed)).await;
    });
}

fn known_tables(world: &World) -> Vec<TableRef> {
    world.tables.iter().filter(|table| world.head.table(table).is_some()).cloned().collect()
}

fn ids(world: &World) -> BTreeSet<String> {
    let ids = world.rows.iter().map(|row| row.revision.id.clone());
    // Around each an id that is not there.
    ids.flat_map(|id| [format!("{id}x"), id[..id.len() - 1].to_owned(), id]).collect()
}

/// Of each `_ts` of a document the row that counts.
fn history_of<'a>(world: &'a World, table: &TableRef, id: &str) -> BTreeMap<Timestamp, &'a Row> {
    let mut history: BTreeMap<Timestamp, &Row> = BTreeMap::new();
    for row in world.rows.iter().filter(|row| row.table == *table && row.revision.id == id) {
        let newest = history.entry(row.revision.ts).or_insert(row);
        if newest.typed <= row.typed {
            *newest = row;
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_document_at_any_moment_and_its_history_are_what_the_rows_say(seed in any::<u64>()) {
        archives(seed, async |world, rng| {
            for table in known_tables(world) {
                for id in ids(world) {
                    let mut history = History::open(&world.archive, &world.head, &table, &id, MemoryBudget::default()).await.unwrap();
                    let mut found = Vec::new();
                    while let Some(revision) = history.next().await.unwrap() {
                        found.push(revision);
                    }
                    let expected = history_of(world, &table, &id).into_values().map(|row| row.revision.clone());
                    // Two rows that both came with types, or both without, differ in nothing but where they came from.
                    assert_eq!(found, expected.collect::<Vec<_>>(), "{table} {id}");
                    for _ in 0..4 {
                        let at = Timestamp(rng.random_range(ORIGIN - 2..=world.cursor() + 2));
                        check_get(world, &table, &id, at).await;
                    }
                }
            }
        });
    }

    #[test]
    fn a_log_tells_each_revision_of_the_deltas_once_and_what_it_did(seed in any::<u64>()) {
        archives(seed, async |world, rng| {
            for _ in 0..6 {
                let mut moment = || rng.random_bool(0.7).then(|| Timestamp(rng.random_range(ORIGIN - 3..=world.cursor() + 3)));
                let (since, until) = (moment(), moment());
                let tables: Vec<_> = known_tables(world).into_iter().filter(|_| rng.random_bool(0.7)).collect();
                check_log(world, LogOptions { since, until, tables, ..LogOptions::default() }).await;
            }
        });
    }

    #[test]
    fn a_difference_is_that_of_the_two_maps(seed in any::<u64>()) {
        archives(seed, async |world, rng| {
            for _ in 0..6 {
                let mut moment = || Timestamp(rng.random_range(ORIGIN..=world.cursor()));
                let (from, to) = (moment(), moment());
                let all = known_tables(world);
                let tables: Vec<_> = all.iter().filter(|_| rng.random_bool(0.5)).cloned().collect();
                let asked = if tables.is_empty() { all } else { tables.clone() };
                let options = DiffOptions { from, to, tables, documents: rng.random(), budget: MemoryBudget::default() };
                check_diff(world, &asked, options).await;
            }
        });
    }
}

async fn check_get(world: &World, table: &TableRef, id: &str, at: Timestamp) {
    let found = get(&world.archive, &world.head, table, id, at).await;
    let base = match world.head.coverage().covers(table, at) {
        Covers::Covered(base) => base.ts,
        Covers::NotCovered(_) => {
            assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
            return;
        }
    };
    let document = world.archived_at(table, base, at).remove(id);
    let deltas = world.rows.iter().filter(|row| row.table == *table && row.base.is_none() && row.revision.id == id);
    let last = deltas.map(|row| row.revision.ts).filter(|ts| *ts > base && *ts <= at).max();
    let expected = match (document, last) {
        (Some(document), _) => Lookup::Document(Box::new(document)),
        (None, Some(ts)) => Lookup::Deleted(ts),
        (None, None) => Lookup::Nothing,
    };
    assert_eq!(found.unwrap(), expected, "{table} {id} {at}");
}

async fn check_log(world: &World, options: LogOptions) {
    let empty = options.since.zip(options.until).is_some_and(|(since, until)| since > until);
    let opened = Transactions::open(&world.archive, &world.head, &options).await;
    if empty {
        assert_eq!(opened.err().unwrap().kind(), ErrorKind::Usage);
        return;
    }
    let mut log = opened.unwrap();
    let span = log.span().clone();
    let mut found = BTreeMap::new();
    let mut last = None;
    while let Some(transaction) = log.next().await.unwrap() {
        assert!(
            last.replace(transaction.ts).is_none_or(|last| last < transaction.ts) && span.contains(&transaction.ts)
        );
        assert!(!transaction.changes.is_empty());
        let keys: Vec<_> = transaction.changes.iter().map(|c| (c.table.clone(), c.id.clone())).collect();
        assert!(keys.is_sorted());
        for DocumentChange { table, id, change } in transaction.changes {
            assert!(found.insert((transaction.ts, table, id), change).is_none(), "told twice");
        }
    }
    let mut expected = BTreeMap::new();
    let wanted = |row: &&Row| options.tables.is_empty() || options.tables.contains(&row.table);
    for row in world.rows.iter().filter(wanted).filter(|row| row.base.is_none() && span.contains(&row.revision.ts)) {
        let Revision { id, ts, document } = &row.revision;
        expected
            .insert((*ts, row.table.clone(), id.clone()), what_it_did(world, row, *span.start(), document.is_none()));
    }
    assert_eq!(found, expected, "{options:?}");
}

fn what_it_did(world: &World, row: &Row, since: Timestamp, deleted: bool) -> Change {
    let (table, id, ts) = (&row.table, &row.revision.id, row.revision.ts);
    if deleted {
        return Change::Deleted;
    }
    if let Covers::Covered(_) = world.head.coverage().covers(table, Timestamp(ts.0 - 1)) {
        let was_there = world.deployment_at(table, ts.0 - 1).contains_key(id);
        return if was_there { Change::Updated } else { Change::Inserted };
    }
    // What the archive remembers since the last base before the span.
    let bases = world.head.coverage().bases.iter().filter(|base| base.holds(table));
    let from = bases.map(|base| base.ts).filter(|s| *s < since).max().unwrap_or(Timestamp(i64::MIN));
    let known = world.rows.iter().filter(|r| r.table == *table && r.revision.id == *id && r.revision.ts < ts);
    let known = known.filter(|r| r.base.unwrap_or(r.revision.ts) >= from);
    match known.max_by_key(|r| r.revision.ts).map(|r| r.revision.document.is_some()) {
        Some(true) => Change::Updated,
        Some(false) => Change::Inserted,
        None => Change::Written,
    }
}

async fn check_diff(world: &World, asked: &[TableRef], options: DiffOptions) {
    let state = |table: &TableRef, at| match world.head.coverage().covers(table, at) {
        Covers::Covered(base) => Some(world.archived_at(table, base.ts, at)),
        Covers::NotCovered(_) => None,
    };
    let mut documents = Vec::new();
    let found = diff(&world.archive, &world.head, &options, |document| {
        documents.push(document);
        Ok(())
    });
    let found = found.await;
    let states: Option<Vec<(Documents, Documents)>> =
        asked.iter().map(|table| Some((state(table, options.from)?, state(table, options.to)?))).collect();
    // Of no table: whether any other table was there can be said where the archive reaches.
    let reaches = |at| world.head.coverage().covers_unseen(false, at);
    let refused = asked.is_empty() && !(reaches(options.from) && reaches(options.to));
    let Some(states) = states.filter(|_| !refused) else {
        assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
        return;
    };
    let (mut expected, mut expected_documents) = (Vec::new(), Vec::new());
    for (table, (before, after)) in asked.iter().zip(&states) {
        let mut sums = TableDiff { table: table.clone(), inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
        for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (was, is) = (before.get(id), after.get(id));
            match (was, is) {
                (None, _) => sums.inserted += 1,
                (_, None) => sums.deleted += 1,
                (Some(was), Some(is)) if was.ts == is.ts => {
                    sums.unchanged += 1;
                    continue;
                }
                _ => sums.updated += 1,
            }
            let (table, id) = (table.clone(), id.clone());
            expected_documents.push(DocumentDiff { table, id, before: was.cloned(), after: is.cloned() });
        }
        expected.push(sums);
    }
    assert_eq!(found.unwrap(), expected);
    assert_eq!(documents, if options.documents { expected_documents } else { Vec::new() });
}

#[test]
fn the_random_archives_hold_what_these_tests_are_about() {
    let mut rng = StdRng::seed_from_u64(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut bases, mut gaps, mut ties, mut tombstones) = (0, 0, 0, 0);
    for _ in 0..40 {
        let world = runtime.block_on(World::random(rng.random()));
        bases += world.head.coverage().bases.len() - 1;
        gaps += world.head.coverage().gaps.len();
        ties += usize::from(has_a_tie(&world));
        tombstones += world.rows.iter().filter(|row| row.revision.document.is_none()).count();
    }
    assert!(bases > 20 && gaps > 20 && ties > 10 && tombstones > 50, "{bases} {gaps} {ties} {tombstones}");
}

/// Whether a revision came both with and without types, and differs.
fn has_a_tie(world: &World) -> bool {
    let mut rows = BTreeMap::new();
    for row in &world.rows {
        let key = (&row.table, &row.revision.id, row.revision.ts);
        rows.entry(key).or_insert_with(Vec::new).push((row.typed, &row.revision.document));
    }
    rows.values().any(|rows| {
        let of = |typed| rows.iter().find(|row| row.0 == typed).map(|row| row.1);
        of(true).zip(of(false)).is_some_and(|(typed, untyped)| typed != untyped)
    })
}
