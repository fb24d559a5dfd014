//! What is read back of an archive is what the deployment had.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use convex_archiver::{
    MemoryBudget, TableRef, Timestamp, Value,
    archive::Covers,
    read::{
        Change, DiffOptions, History, LogOptions, Lookup, TableFiles, Transactions, columns_of, count, diff, get,
        tables,
    },
    server::{Contents, SeededWriter, demo_documents},
};
use object_store::ObjectStore;

use crate::support::{
    World, assert_same_state,
    counted::CountedStore,
    pages,
    states::{covered_state, read_state},
};

async fn assert_reads_back(world: &World) {
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let through = head.coverage().through.unwrap();
    let first = head.coverage().bases.iter().map(|base| base.ts).min().unwrap();
    let revisions = world.deployment.revisions();
    let moments: BTreeSet<_> = revisions.iter().map(|(_, r)| r.ts).filter(|ts| *ts > first && *ts <= through).collect();

    // States: at the ends, and at a few moments between.
    let some = moments.iter().step_by(moments.len() / 6 + 1).copied().chain([first, through]);
    for at in some {
        assert_same_state(&read_state(&archive, &head, at).await, &covered_state(&world.deployment, &head, at));
    }

    // Single documents.
    for (table, revision) in revisions.iter().filter(|(_, r)| r.ts > first && r.ts <= through).step_by(50) {
        if !matches!(head.coverage().covers(table, revision.ts), Covers::Covered(_)) {
            continue;
        }
        let found = get(&archive, &head, table, &revision.id, revision.ts).await.unwrap();
        let expected = match &revision.document {
            Some(_) => Lookup::Document(Box::new((**revision).clone())),
            None => Lookup::Deleted(revision.ts),
        };
        assert_eq!(found, expected);
        let mut history = History::open(&archive, &head, table, &revision.id, MemoryBudget::default()).await.unwrap();
        let mut found = Vec::new();
        while let Some(revision) = history.next().await.unwrap() {
            found.push(revision);
        }
        // What lies before the first snapshot is known as far as it was current then.
        let of_document = revisions.iter().filter(|(t, r)| t == table && r.id == revision.id && r.ts <= through);
        let before = of_document.clone().map(|(_, r)| r).rfind(|r| r.ts <= first).filter(|r| r.document.is_some());
        let expected = before.into_iter().chain(of_document.map(|(_, r)| r).filter(|r| r.ts > first));
        assert_eq!(found, expected.map(|r| (**r).clone()).collect::<Vec<_>>());
    }

    // Transactions.
    let mut log = Transactions::open(&archive, &head, &LogOptions::default()).await.unwrap();
    let mut told = Vec::new();
    while let Some(transaction) = log.next().await.unwrap() {
        for change in transaction.changes {
            let there =
                |at| world.deployment.state_at(at).get(&change.table).is_some_and(|t| t.contains_key(&change.id));
            let expected = match (there(Timestamp(transaction.ts.0 - 1)), there(transaction.ts)) {
                (false, true) => Change::Inserted,
                (true, true) => Change::Updated,
                (_, false) => Change::Deleted,
            };
            // Of components the archive does not know what was before their own base.
            let unknown = change.change == Change::Written && !change.table.component().is_empty();
            assert!(unknown || change.change == expected, "{change:?} at {}", transaction.ts);
            told.push((transaction.ts, change.table, change.id));
        }
    }
    let written = revisions.iter().filter(|(_, r)| r.ts > first && r.ts <= through);
    let mut written: Vec<_> = written.map(|(table, r)| (r.ts, (**table).clone(), r.id.clone())).collect();
    written.sort();
    assert_eq!(told, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_documents_and_their_changes_are_read_back_at_every_moment() {
    let world = World::new(pages(100, 16)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.sync().await;
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        world.sync().await;
    }
    assert_reads_back(&world).await;

    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let (first, through) = (head.coverage().bases[0].ts, head.coverage().through.unwrap());
    let (before, after) = (world.deployment.state_at(first), world.deployment.state_at(through));
    let options =
        DiffOptions::default().from(first).to(through).tables(vec![]).documents(false).budget(MemoryBudget::default());
    let diffs = diff(&archive, &head, &options, |_| Ok(())).await.unwrap();
    assert_eq!(diffs.len(), 3);
    for diff in diffs {
        let (before, after) = (&before[&diff.table], &after[&diff.table]);
        let gone = before.keys().filter(|id| !after.contains_key(*id)).count() as u64;
        let same = before.iter().filter(|(id, r)| after.get(*id).is_some_and(|now| now.ts == r.ts)).count() as u64;
        assert_eq!((diff.deleted, diff.unchanged), (gone, same));
        assert_eq!(diff.inserted + diff.updated + diff.unchanged, after.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_and_odd_documents_are_read_back_too() {
    let world = World::new(pages(20, 16)).await;
    world.deployment.insert_all(Contents::Generated(200).documents(3).unwrap()).unwrap();
    let mut writer = SeededWriter::new(3);
    for _ in 0..4 {
        for _ in 0..40 {
            writer.write(&world.deployment).unwrap();
        }
        world.sync().await;
    }
    assert_reads_back(&world).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let summaries = tables(&archive, &head).await.unwrap();
    assert!(summaries.iter().any(|table| !table.table.component().is_empty()));
    assert!(summaries.iter().all(|table| table.first.is_some() && table.first <= table.last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_found_by_reading_a_few_pages_and_not_the_table() {
    let world = World::new(pages(5_000, 5_000)).await;
    let notes = TableRef::new("", "notes").unwrap();
    let mut noise: u64 = 1;
    let mut text = |n: usize| {
        let word = |_| {
            noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            format!("{:016x}", noise ^ (noise >> 29))
        };
        (0..n).map(word).collect::<String>()
    };
    let mut ids = Vec::new();
    for _ in 0..300 {
        let write = |t: &mut convex_archiver::server::OpenTransaction<'_>| {
            (0..100).map(|_| t.insert(&notes, [("body".to_owned(), Value::String(text(50)))].into())).collect()
        };
        let (_, inserted): (_, Vec<String>) = world.deployment.transaction(write).unwrap();
        ids.extend(inserted);
    }
    world.sync().await;
    // Ten commits of changes, one to each tenth document.
    for round in 0..10 {
        for id in ids.iter().skip(round).step_by(300) {
            let fields = [("body".to_owned(), Value::String(text(2)))].into();
            world.deployment.transaction(|t| t.replace(&notes, id, fields)).unwrap();
        }
        world.sync().await;
    }

    let counted = CountedStore::new(Arc::clone(&world.store));
    let archive = world.archive_in(Arc::clone(&counted) as Arc<dyn ObjectStore>).await.unwrap();
    let head = archive.head().await.unwrap();
    let through = head.coverage().through.unwrap();
    let stored = head.table(&notes).unwrap().base.bytes;
    assert!(stored > 10_000_000, "{stored}");
    let deployment = world.deployment.state_at(through);
    counted.take();
    let look = async |id: &str, at| {
        let found = get(&archive, &head, &notes, id, at).await.unwrap();
        (found, counted.take())
    };

    // Never changed: the footers of ten small files, and a few pages of the base.
    let id = &ids[ids.len() / 2 + 20];
    let (found, (calls, bytes)) = look(id, through).await;
    assert_eq!(found, Lookup::Document(Box::new((*deployment[&notes][id]).clone())));
    assert!(calls <= 10 + 6 && bytes * 6 < stored, "{calls} calls, {bytes} of {stored} bytes");

    // Changed: nothing of the base.
    let (found, (calls, bytes)) = look(&ids[9], through).await;
    assert_eq!(found, Lookup::Document(Box::new((*deployment[&notes][&ids[9]]).clone())));
    assert!(calls <= 12 && bytes < 600_000, "{calls} calls, {bytes} bytes");

    // Before the changes: they are not looked at.
    let (found, (calls, _)) = look(&ids[9], head.coverage().bases[0].ts).await;
    assert!(matches!(found, Lookup::Document(document) if document.ts < head.coverage().bases[0].ts));
    assert!(calls <= 6, "{calls} calls");

    // Never there: the Bloom filters say so.
    let neighbour = format!("{}x", &id[..id.len() - 1]);
    let (found, (calls, bytes)) = look(&neighbour, through).await;
    assert_eq!(found, Lookup::Nothing);
    assert!(calls <= 10 + 3 && bytes * 10 < stored, "{calls} calls, {bytes} of {stored} bytes");

    // A transaction of one document looks that one up, and not the table.
    let options = LogOptions::default().since(Some(Timestamp(through.0 - 1)));
    let last = world.deployment.revisions().last().unwrap().1.ts;
    let options = options.since(Some(last));
    let mut log = Transactions::open(&archive, &head, &options).await.unwrap();
    let transaction = log.next().await.unwrap().unwrap();
    assert_eq!((transaction.changes.len(), transaction.changes[0].change), (1, Change::Updated));
    assert!(log.next().await.unwrap().is_none());
    let (_, bytes) = counted.take();
    assert!(bytes * 10 < stored, "{bytes} of {stored} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_told_with_their_birth_and_what_did_not_fit() {
    let world = World::new(pages(100, 100)).await;
    let users = TableRef::new("", "users").unwrap();
    let text = |s: &str| Value::String(s.to_owned());
    let one = |fields: &[(&str, Value)]| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        world.deployment.transaction(|t| t.insert(&users, fields)).unwrap().0
    };
    let profile = |city| Value::Object([("city".to_owned(), text(city))].into());
    one(&[("name", text("a")), ("profile", profile("x"))]);
    world.sync().await;
    let tags = Value::Array(vec![text("t")]);
    let second = one(&[("name", Value::Float64(1.0)), ("tags", tags)]);
    world.sync().await;

    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let base = head.coverage().bases[0].ts;
    let columns = columns_of(&archive, &head, &users, None).await.unwrap();
    let told: Vec<_> = columns.columns.iter().map(|c| (c.path.as_str(), c.kind.as_str(), c.since)).collect();
    assert_eq!(
        told,
        [
            ("/name", "string", Some(base)),
            ("/profile", "object", Some(base)),
            ("/profile/city", "string", Some(base)),
            ("/tags", "array_string", Some(second))
        ]
    );
    assert_eq!(columns.columns[0].rescued, BTreeMap::from([("float64".to_owned(), 1)]));
    assert_eq!((columns.rows, columns.rescued_rows), (2, 1));
    let before = columns_of(&archive, &head, &users, Some(base)).await.unwrap();
    assert_eq!(before.columns.len(), 3);
    assert!(before.columns[0].rescued.is_empty());
    let nothing = TableFiles::of(&archive, &archive.head_at(0).await.unwrap(), &users).await.unwrap();
    assert_eq!(count(&archive, &head, &nothing, base, MemoryBudget::default()).await.unwrap(), 0);
}
