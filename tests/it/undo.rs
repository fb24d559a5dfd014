//! `restore --undo` against a simulated deployment: dropped tables, components, single documents.

use std::collections::{BTreeMap, BTreeSet};

use convex_archiver::{
    ErrorKind, NoMonitor, TableRef, Timestamp, Value,
    read::{
        FieldMatch, UndoFate, UndoOptions, UndoReport, UndoneDocument, UndoneTable, plan_undo, undo, undo_by_mutation,
    },
    server::{SimulatedDeployment, read_snapshot_zip},
};

use crate::support::{World, pages};

type Fields = BTreeMap<String, Value>;

fn table(component: &str, name: &str) -> TableRef {
    TableRef::new(component, name).unwrap()
}

fn number(n: i64) -> Fields {
    [("n".to_owned(), Value::Int64(n))].into()
}

fn insert(deployment: &SimulatedDeployment, of: &TableRef, n: i64) -> String {
    deployment.transaction(|t| t.insert(of, number(n))).unwrap().1
}

/// A moment at which everything so far has been archived.
async fn archived(world: &World) -> Timestamp {
    world.sync().await;
    world.archive().await.head().await.unwrap().coverage().through.unwrap()
}

async fn plan(world: &World, options: &UndoOptions) -> (UndoReport, Vec<UndoneDocument>) {
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let mut told = Vec::new();
    let tell = |document| {
        told.push(document);
        Ok(())
    };
    let report = plan_undo(&archive, &head, options, &NoMonitor, tell).await.unwrap();
    (report, told)
}

/// The ZIP's tables, `n` by id.
async fn zip(world: &World, options: &UndoOptions) -> BTreeMap<TableRef, BTreeMap<String, i64>> {
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let (_, bytes) = undo(&archive, &head, &options.clone().output(&path), &NoMonitor).await.unwrap();
    if bytes.is_none() {
        return BTreeMap::new();
    }
    let read = |documents: Vec<Fields>| {
        let pair = |fields: Fields| match (&fields["_id"], &fields["n"]) {
            (Value::String(id), Value::Int64(n)) => (id.clone(), *n),
            other => panic!("{other:?}"),
        };
        documents.into_iter().map(pair).collect()
    };
    read_snapshot_zip(&path).unwrap().into_iter().map(|(table, documents)| (table, read(documents))).collect()
}

fn counts(table: &UndoneTable) -> [u64; 6] {
    [table.put_back, table.reverted, table.removed, table.changed_since, table.stay_inserted, table.of_dropped]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_moment_is_undone_and_what_was_written_since_stays_also_in_components() {
    let world = World::new(pages(100, 64)).await;
    let deployment = &world.deployment;
    let of = [table("", "notes"), table("shop", "notes")];
    let ids: Vec<Vec<String>> = of.iter().map(|of| (0..5).map(|n| insert(deployment, of, n)).collect()).collect();
    insert(deployment, &table("", "other"), 1);
    world.sync().await;
    // Components are covered once a change of one came.
    let touch = |of: &TableRef, id: &str, n| deployment.transaction(|t| t.replace(of, id, number(n))).unwrap();
    touch(&of[1], &ids[1][4], 4);
    let from = archived(&world).await;
    for (of, ids) in of.iter().zip(&ids) {
        deployment
            .transaction(|t| {
                t.delete(of, &ids[0])?;
                t.replace(of, &ids[1], number(100))?;
                t.replace(of, &ids[2], number(100))
            })
            .unwrap();
    }
    let inserted: Vec<_> = of.iter().map(|of| insert(deployment, of, 7)).collect();
    let to = archived(&world).await;
    for (of, ids) in of.iter().zip(&ids) {
        touch(of, &ids[2], 200);
        touch(of, &ids[3], 300);
    }
    let now = archived(&world).await;

    let options = UndoOptions::default().from(from).to(to).now(now);
    let (report, told) = plan(&world, &options).await;
    assert_eq!(report.tables.iter().map(|t| t.table.clone()).collect::<Vec<_>>(), of);
    assert!(report.tables.iter().all(|table| counts(table) == [1, 1, 0, 1, 1, 0]) && report.has_findings());
    assert_eq!(told.iter().filter(|t| t.fate == UndoFate::ChangedSince).count(), 2);
    // In the order of ids: those of the two tables are alike in nothing.
    let whole = zip(&world, &options).await;
    assert_eq!(whole.keys().cloned().collect::<Vec<_>>(), of);
    for (at, of) in of.iter().enumerate() {
        let mut expected: BTreeMap<_, _> = ids[at].iter().cloned().zip([0, 1, 200, 300, 4]).collect();
        expected.insert(inserted[at].clone(), 7);
        assert_eq!(whole[of], expected);
    }
    // All of it.
    let all = options.clone().over_later_writes(true).inserted(true);
    let (report, _) = plan(&world, &all).await;
    assert!(report.tables.iter().all(|table| counts(table) == [1, 2, 1, 0, 0, 0]) && !report.has_findings());
    assert_eq!(zip(&world, &all).await[&of[0]].values().copied().collect::<BTreeSet<_>>(), [0, 1, 2, 300, 4].into());
    // One document, and those with a value.
    let one = options.clone().ids([ids[0][1].clone()].into());
    let (report, told) = plan(&world, &one).await;
    assert_eq!((report.undone(), told[0].id.as_str()), (1, ids[0][1].as_str()));
    let matching: FieldMatch = "n=0".parse().unwrap();
    let (report, _) = plan(&world, &options.clone().matching(vec![matching])).await;
    assert!(report.tables.iter().all(|table| counts(table) == [1, 0, 0, 0, 0, 0]));
    let unknown = SimulatedDeployment::new("other", 3);
    let unknown = insert(&unknown, &of[0], 1);
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let error = plan_undo(&archive, &head, &options.clone().ids([unknown].into()), &NoMonitor, |_| Ok(())).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);

    // Batches of a component lie apart, since its own mutation takes them.
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("undo");
    let (_, written) = undo_by_mutation(&archive, &head, &options, &output, &NoMonitor).await.unwrap();
    let written = written.unwrap();
    assert_eq!((written.batches, written.replaced, written.deleted, written.large), (2, 2, 0, 0));
    for batch in ["batches/00001.json", "_components/shop/batches/00001.json"] {
        assert!(output.join(batch).is_file(), "{batch}");
    }
    let readme = std::fs::read_to_string(output.join("README.txt")).unwrap();
    assert!(readme.contains("--component shop undo:apply") && readme.contains("NOT undone: 2 deleted"), "{readme}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_a_table_that_was_dropped_do_not_stand_beside_those_of_the_present_one() {
    let world = World::new(pages(100, 64)).await;
    let (deployment, notes) = (&world.deployment, table("", "notes"));
    let old = [insert(deployment, &notes, 1), insert(deployment, &notes, 2)];
    let from = archived(&world).await;
    deployment.transaction(|t| t.delete(&notes, &old[0])).unwrap();
    world.sync().await;
    deployment.drop_table(&notes).unwrap();
    deployment.transaction(|t| t.insert(&table("", "other"), number(0))).unwrap();
    let kept = insert(deployment, &notes, 3);
    let middle = archived(&world).await;
    deployment.transaction(|t| t.replace(&notes, &kept, number(4))).unwrap();
    let to = archived(&world).await;

    let (report, _) = plan(&world, &UndoOptions::default().from(from).to(to).now(to)).await;
    let told = report.tables.iter().find(|told| told.table == notes).unwrap();
    assert_eq!((counts(told), told.number), ([0, 0, 0, 0, 1, 2], Some(10_003)));
    assert!(report.has_findings() && report.undone() == 0);
    let options = UndoOptions::default().from(middle).to(to).now(to);
    assert_eq!(zip(&world, &options).await, [(notes, [(kept, 3)].into())].into());
}
