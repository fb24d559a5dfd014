//! What was restored and imported elsewhere is what the archive held; an import takes every restore.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, Result, Selection, TableRef, Timestamp, Value,
    read::{ExportFormat, ExportOptions, RestoreOptions, RestoreReport, export, plan_restore, restore},
    server::{SeededWriter, SimulatedDeployment, demo_documents, read_snapshot_zip},
};

use object_store::memory::InMemory;

use crate::support::{World, pages, unproven};

type Fields = BTreeMap<String, Value>;

fn table(component: &str, name: &str) -> TableRef {
    TableRef::new(component, name).unwrap()
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Everything that gets lost on the way where somebody is careless.
fn odd_documents() -> Vec<Fields> {
    let floats = [0x7ff8_0000_0000_0123, 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001].map(f64::from_bits);
    let floats = floats.into_iter().chain([
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MAX,
        f64::MIN_POSITIVE / 8.0,
        1e21,
        9_007_199_254_740_993.0,
        42.0,
    ]);
    let mut values: Vec<Value> = floats.map(Value::Float64).collect();
    values.extend([i64::MIN, i64::MAX, 0, 42, -1].map(Value::Int64));
    values.extend([vec![], vec![0, 255], vec![7; 1000]].map(Value::Bytes));
    values.extend(["", "\0", "line\nline \u{2028} \u{1f980} \"quoted\" \\", "$bytes"].map(|s| Value::String(s.into())));
    values.extend([
        Value::Null,
        Value::Boolean(false),
        Value::Array(vec![]),
        Value::Object(Fields::new()),
        Value::Object(object([("", Value::Null), ("a b/~", Value::Int64(1)), ("_id", Value::Bytes(vec![]))])),
        Value::Array(vec![Value::Null, Value::Array(vec![Value::Object(Fields::new())]), Value::Float64(-0.0)]),
    ]);
    let documents = values.into_iter().map(|value| object([("value", value.clone()), ("again", value)]));
    // Absent, against null.
    documents.chain([Fields::new()]).collect()
}

/// A deployment with a past, archived as it went.
async fn world() -> World {
    let world = World::new(pages(100, 64)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.deployment.create_table(&table("", "without_documents")).unwrap();
    for of in [table("", "odd"), table("waitlist", "odd"), table("waitlist/inner", "odd")] {
        world.deployment.insert_all([(of, odd_documents())].into()).unwrap();
    }
    world.sync().await;
    let mut writer = SeededWriter::new(5);
    for _ in 0..150 {
        writer.write(&world.deployment).unwrap();
    }
    let emptied = table("", "emptied");
    let (_, id) = world.deployment.transaction(|t| t.insert(&emptied, object([("n", Value::Int64(1))]))).unwrap();
    world.sync().await;
    world.deployment.transaction(|t| t.delete(&emptied, &id)).unwrap();
    world.deployment.change_to_odd();
    world.sync().await;
    world
}

/// Changes of components, so that the archive has them.
trait ChangeOdd {
    fn change_to_odd(&self);
}

impl ChangeOdd for SimulatedDeployment {
    fn change_to_odd(&self) {
        for of in [table("", "odd"), table("waitlist", "odd"), table("waitlist/inner", "odd")] {
            let ids: Vec<_> = self.state_at(Timestamp(i64::MAX))[&of].keys().cloned().collect();
            self.transaction(|t| {
                t.delete(&of, &ids[0])?;
                t.replace(&of, &ids[1], object([("value", Value::Int64(i64::MIN)), ("new", Value::Null)]))
            })
            .unwrap();
        }
    }
}

type Contents = BTreeMap<TableRef, Vec<Fields>>;

/// Equal, table by table and document by document; tables without documents count.
#[track_caller]
fn assert_same(found: &Contents, expected: &Contents) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (table, documents) in found {
        assert_eq!(documents.len(), expected[table].len(), "documents of {table}");
        for (found, expected) in documents.iter().zip(&expected[table]) {
            assert_eq!(found, expected, "{table}");
        }
    }
}

struct Restored {
    folder: tempfile::TempDir,
    report: RestoreReport,
}

impl Restored {
    async fn of(world: &World, options: &RestoreOptions) -> Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        let archive = world.archive().await;
        let head = archive.head().await.unwrap();
        let (report, bytes) =
            restore(&archive, &head, &options.clone().output(folder.path().join("a.zip")), &NoMonitor).await?;
        let restored = Self { folder, report };
        assert_eq!(std::fs::metadata(restored.path()).unwrap().len(), bytes);
        assert_eq!(std::fs::read_dir(restored.folder.path()).unwrap().count(), 1, "no temporary file is left");
        Ok(restored)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.zip")
    }

    fn documents(&self) -> Contents {
        read_snapshot_zip(&self.path()).unwrap()
    }
}

async fn through(world: &World) -> Timestamp {
    world.archive().await.head().await.unwrap().coverage().through.unwrap()
}

fn documents_at(deployment: &SimulatedDeployment, at: Timestamp) -> Contents {
    let of_table = |documents: BTreeMap<_, Arc<convex_archiver::Revision>>| {
        documents.into_values().filter_map(|revision| revision.document.clone()).collect()
    };
    // Of a table that never had a document the archive does not know.
    let known = deployment.state_at(at).into_iter().filter(|(table, _)| table.name() != "without_documents");
    known.map(|(table, documents)| (table, of_table(documents))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_imported_elsewhere_and_archived_again_is_the_same_value_for_value() {
    let world = world().await;
    let at = through(&world).await;
    let restored = Restored::of(&world, &RestoreOptions::default().at(at)).await.unwrap();
    let expected = documents_at(&world.deployment, at);
    assert_same(&restored.documents(), &expected);
    assert!(!restored.report.has_findings() && restored.report.documents() > 1500);
    let emptied: Vec<_> = restored.report.tables.iter().filter(|t| t.emptied).map(|t| t.table.clone()).collect();
    assert_eq!(emptied, [table("", "emptied")]);

    let other = World::of(SimulatedDeployment::new("other-1", 99), unproven(50, 16)).await;
    other.deployment.insert_all(restored.documents()).unwrap();
    other.sync().await;
    assert_same(&documents_at(&other.deployment, Timestamp(i64::MAX)), &expected);
    let again = RestoreOptions::default().at(through(&other).await);
    let again = Restored::of(&other, &again).await;
    // Of components the second archive has seen no change yet.
    let error = again.err().expect("changes of components are not known to arrive");
    assert!(error.to_string().contains("--exclude"), "{error}");
    other.deployment.change_to_odd();
    world.deployment.change_to_odd();
    for world in [&world, &other] {
        world.sync().await;
    }
    let zips = [Restored::all(&world).await, Restored::all(&other).await];
    let [first, second] = zips.map(|zip| {
        // Of a table that was empty from its first day the second archive does not know.
        zip.documents().into_iter().filter(|(_, documents)| !documents.is_empty()).collect()
    });
    assert_same(&first, &second);
}

impl Restored {
    async fn all(world: &World) -> Self {
        Self::of(world, &RestoreOptions::default().at(through(world).await)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_moment_is_restored_and_its_bytes_depend_on_nothing_else() {
    let world = world().await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let base = head.coverage().bases.iter().map(|base| base.ts).min().unwrap();
    let moments: Vec<_> = world.deployment.revisions().iter().map(|(_, r)| r.ts).filter(|ts| *ts > base).collect();
    let selection = Selection::new::<&str>([], ["*/**"]).unwrap();
    for at in [base, moments[moments.len() / 3], moments[moments.len() / 2]] {
        let options = RestoreOptions::default().at(at).selection(selection.clone());
        let restored = Restored::of(&world, &options).await.unwrap();
        let mut expected = documents_at(&world.deployment, at);
        expected.retain(|table, _| table.component().is_empty());
        for table in &restored.report.later {
            assert!(expected.remove(table).is_none_or(|documents| documents.is_empty()));
        }
        assert_same(&restored.documents(), &expected);
        let small = options.clone().budget(MemoryBudget::new(64 << 20).unwrap());
        let again = Restored::of(&world, &small).await.unwrap();
        assert!(std::fs::read(restored.path()).unwrap() == std::fs::read(again.path()).unwrap(), "other bytes");
        // And the plan said so.
        assert_eq!(plan_restore(&archive, &head, &options, &NoMonitor).await.unwrap(), restored.report);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_a_dropped_table_left_behind_are_told_and_left_out() {
    let world = World::new(pages(100, 64)).await;
    let notes = table("", "notes");
    let insert =
        |n: i64| world.deployment.transaction(|t| t.insert(&notes, object([("n", Value::Int64(n))]))).unwrap().1;
    let dropped = insert(1);
    insert(2);
    world.sync().await;
    world.deployment.drop_table(&notes).unwrap();
    world.deployment.transaction(|t| t.insert(&table("", "other"), Fields::new())).unwrap();
    let kept = insert(3);
    world.sync().await;
    let restored = Restored::all(&world).await;
    let ids: Vec<_> = restored.documents()[&notes].iter().map(|fields| fields["_id"].clone()).collect();
    assert_eq!(ids, [Value::String(kept.clone())]);
    let told = restored.report.tables.iter().find(|t| t.table == notes).unwrap();
    assert_eq!(told.left_behind.iter().map(|g| (g.number, g.documents)).collect::<Vec<_>>(), [(10_001, 2)]);
    assert!(restored.report.has_findings());

    // Alone they are refused: an import would not take their number, of those that are there it would.
    let at = through(&world).await;
    let earlier = world.archive().await;
    let of = async |ids: &[&String]| {
        let ids = ids.iter().map(|id| (*id).clone()).collect();
        Restored::of(&world, &RestoreOptions::default().at(at).ids(ids)).await
    };
    for ids in [&[&dropped][..], &[&dropped, &kept]] {
        let error = of(ids).await.err().unwrap();
        assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("an earlier table notes"), "{error}");
    }
    assert_eq!(of(&[&kept]).await.unwrap().report.documents(), 1);

    // An export holds all that the archive shows, and tells it.
    let head = earlier.head().await.unwrap();
    let options = ExportOptions::new(Arc::new(InMemory::new()), ExportFormat::Ndjson, at);
    let exported = export(&earlier, &head, &options, &NoMonitor).await.unwrap();
    let left_behind: Vec<_> =
        exported.tables.iter().map(|t| (t.table.name(), t.left_behind.clone(), t.documents)).collect();
    assert_eq!(left_behind, [("notes", told.left_behind.clone(), 3), ("other", vec![], 1)]);

    // Also where the table that took its place holds nothing any more.
    world.deployment.transaction(|t| t.delete(&notes, &kept)).unwrap();
    world.sync().await;
    let restored = Restored::all(&world).await;
    let empty = restored.report.tables.iter().find(|t| t.table == notes).unwrap();
    assert_eq!((empty.documents, empty.number, &empty.left_behind), (0, Some(10_003), &told.left_behind));
    assert!(restored.report.has_findings() && restored.documents()[&notes].is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_a_table_that_was_emptied_and_dropped_may_be_that_of_another() {
    let world = World::new(pages(100, 64)).await;
    let (a, b) = (table("", "a"), table("", "b"));
    let insert = || world.deployment.transaction(|t| t.insert(&a, Fields::new())).unwrap().1;
    let ids = [insert(), insert()];
    world.sync().await;
    for id in &ids {
        world.deployment.transaction(|t| t.delete(&a, id)).unwrap();
    }
    // Or else their tombstones vanish with the table.
    world.sync().await;
    world.deployment.drop_table(&a).unwrap();
    let of_b = object([("_id", Value::String(ids[1].clone())), ("_creationTime", Value::Float64(1.0))]);
    world.deployment.insert_all([(b.clone(), vec![of_b])].into()).unwrap();
    world.sync().await;
    let restored = Restored::all(&world).await;
    assert!(!restored.report.has_findings());
    let told: Vec<_> =
        restored.report.tables.iter().map(|t| (t.table.name(), t.number, t.documents, t.emptied)).collect();
    assert_eq!(told, [("a", None, 0, true), ("b", Some(10_001), 1, false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_given_up_leaves_nothing() {
    let world = world().await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let options = RestoreOptions::default().at(through(&world).await).output(folder.path().join("a.zip"));
    {
        let mut restoring = std::pin::pin!(restore(&archive, &head, &options, &NoMonitor));
        assert!(futures::poll!(&mut restoring).is_pending());
        assert_eq!(files(), 1, "a temporary file");
    }
    assert_eq!(files(), 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_has_the_mode_of_any_file_and_a_link_to_an_older_one_stays() {
    use std::os::unix::fs::PermissionsExt;
    let world = world().await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [any, older, link] = ["any", "older.zip", "link.zip"].map(|name| folder.path().join(name));
    std::fs::write(&any, "").unwrap();
    std::fs::write(&older, "").unwrap();
    std::os::unix::fs::symlink(&older, &link).unwrap();
    let options = RestoreOptions::default().at(through(&world).await);
    restore(&archive, &head, &options.clone().output(&link).overwrite(true), &NoMonitor).await.unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    read_snapshot_zip(&older).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&older), mode(&any));
    std::fs::set_permissions(&older, std::fs::Permissions::from_mode(0o600)).unwrap();
    restore(&archive, &head, &options.clone().output(&older).overwrite(true), &NoMonitor).await.unwrap();
    assert_eq!(mode(&older) & 0o777, 0o600, "what was private stays private");
    let new = folder.path().join("new.zip");
    restore(&archive, &head, &options.clone().output(&new), &NoMonitor).await.unwrap();
    assert_eq!(mode(&new), mode(&any));
    let error = restore(&archive, &head, &options.clone().output(Path::new("/dev/null")).overwrite(true), &NoMonitor)
        .await
        .unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("no regular file"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_documents_are_restored_and_missing_ones_are_refused() {
    let world = world().await;
    let at = through(&world).await;
    let state = documents_at(&world.deployment, at);
    let id = |fields: &Fields| match &fields["_id"] {
        Value::String(id) => id.clone(),
        _ => unreachable!(),
    };
    let (a, b) = (state[&table("", "odd")][3].clone(), state[&table("waitlist", "odd")][5].clone());
    let ids: BTreeSet<_> = [id(&a), id(&b)].into();
    let options = RestoreOptions::default().at(at).ids(ids);
    let restored = Restored::of(&world, &options).await.unwrap();
    assert_eq!(restored.documents(), [(table("", "odd"), vec![a]), (table("waitlist", "odd"), vec![b])].into());

    let deleted = world.deployment.revisions().into_iter().rfind(|(_, r)| r.document.is_none()).unwrap().1;
    for (id, kind, says) in [
        (deleted.id.clone(), ErrorKind::NotFound, "it was deleted at"),
        ("x".into(), ErrorKind::Usage, "no document id"),
    ] {
        let options = RestoreOptions::default().at(at).ids([id].into());
        let error = Restored::of(&world, &options).await.err().unwrap();
        assert!(error.kind() == kind && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_not_overwritten_and_a_refused_restore_leaves_nothing() {
    let world = world().await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let run = async |at: Timestamp, path: &Path, force: bool| {
        let options = RestoreOptions::default().at(at);
        restore(&archive, &head, &options.clone().output(path).overwrite(force), &NoMonitor).await.map(drop)
    };
    let at = through(&world).await;
    let error = run(Timestamp(at.0 + 1), &path, false).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("choose a moment in"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(&path, "mine").unwrap();
    let error = run(at, &path, false).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--force"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert_eq!(run(at, folder.path(), true).await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(run(at, &folder.path().join("no/a.zip"), true).await.unwrap_err().kind(), ErrorKind::Usage);
    run(at, &path, true).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    read_snapshot_zip(&path).unwrap();
}
