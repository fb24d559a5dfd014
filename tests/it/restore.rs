//! What was restored and imported elsewhere is what the archive held; an import takes every restore.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, Result, Selection, TableRef, Timestamp, Value,
    read::{
        CommonMoment, DiffOptions, ExportFormat, ExportOptions, Moment, RestoreOptions, RestoreReport, RestoreTarget,
        diff, export, in_full, plan_restore, restore, restore_unless,
    },
    server::{Components, SeededWriter, SimulatedDeployment, demo_documents, read_snapshot_zip},
    sync::{OnSuspicion, SyncOptions},
};

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

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

    /// The same, of tables in doubt too.
    async fn doubted(world: &World) -> Self {
        Self::of(world, &RestoreOptions::default().at(through(world).await).accept_doubt(true)).await.unwrap()
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
    // Nobody corrects it.
    world.sync_with(&SyncOptions::default().on_suspicion(OnSuspicion::Warn)).await.unwrap();
    let restored = Restored::doubted(&world).await;
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
        Restored::of(&world, &RestoreOptions::default().accept_doubt(true).at(at).ids(ids)).await
    };
    for ids in [&[&dropped][..], &[&dropped, &kept]] {
        let error = of(ids).await.err().unwrap();
        assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("an earlier table notes"), "{error}");
    }
    assert_eq!(of(&[&kept]).await.unwrap().report.documents(), 1);

    // An export holds all that the archive shows, and tells it.
    let head = earlier.head().await.unwrap();
    let options = ExportOptions::new(Arc::new(InMemory::new()), ExportFormat::Ndjson, at).accept_doubt(true);
    let exported = export(&earlier, &head, &options, &NoMonitor).await.unwrap();
    let left_behind: Vec<_> =
        exported.tables.iter().map(|t| (t.table.name(), t.left_behind.clone(), t.documents)).collect();
    assert_eq!(left_behind, [("notes", told.left_behind.clone(), 3), ("other", vec![], 1)]);

    // Also where the table that took its place holds nothing any more.
    world.deployment.transaction(|t| t.delete(&notes, &kept)).unwrap();
    world.sync_with(&SyncOptions::default().on_suspicion(OnSuspicion::Warn)).await.unwrap();
    let restored = Restored::doubted(&world).await;
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
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("not a regular file"), "{error}");
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
        ("x".into(), ErrorKind::Usage, "not a document id"),
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
    let offer =
        format!("use the nearest moment at which all selected tables are covered: --as-of {} ({at}, before it)", at.0);
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(&offer), "{error}");
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

const MINUTE: i64 = 60_000_000_000;

/// A deployment that tells no changes of components, whose clock is set by hand.
async fn world_without_component_changes() -> (World, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(1_790_000_000_000_000_000));
    let now = Arc::clone(&clock);
    let deployment = SimulatedDeployment::with_clock("otter-1", 7, move || Timestamp(now.load(Ordering::SeqCst)));
    (World::of(deployment, pages(100, 64).components(Components::NotInDeltas)).await, clock)
}

async fn now_of(world: &World, selection: &str) -> CommonMoment {
    let head = world.archive().await.head().await.unwrap();
    Moment::Through.resolve_for(&head, Timestamp(0), &selection.parse().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_holds_now_back_for_an_hour_and_then_it_is_refused_with_both_ways_out() {
    let (world, clock) = world_without_component_changes().await;
    let (notes, inner, other) = (table("", "notes"), table("waitlist", "users"), table("other", "t"));
    let insert = |of: &TableRef| world.deployment.transaction(|t| t.insert(of, Fields::new())).unwrap().0;
    for of in [&notes, &inner, &other] {
        insert(of);
    }
    let later = async |minutes: i64| {
        clock.fetch_add(minutes * MINUTE, Ordering::SeqCst);
        let ts = insert(&notes);
        world.sync().await;
        assert_eq!(through(&world).await, ts);
        ts
    };
    world.sync().await;
    let base = world.archive().await.head().await.unwrap().coverage().bases[0].ts;
    for minutes in [1, 58] {
        let newest = later(minutes).await;
        let common = now_of(&world, "**").await;
        assert_eq!((common.at, common.asked, &common.left_out), (base, newest, &vec![]));
        assert_eq!(common.held_back_by, [other.clone(), inner.clone()]);
        let restored = Restored::of(&world, &RestoreOptions::default().at(common.at)).await.unwrap();
        assert_eq!(restored.documents(), documents_at(&world.deployment, base));
        assert!(restored.report.complete);
        // Whom it does not hold back goes on to the newest.
        let root = now_of(&world, "** !*/**").await;
        assert_eq!((root.at, root.held_back_by), (newest, vec![]));
    }

    let newest = later(2).await;
    let common = now_of(&world, "**").await;
    assert_eq!((common.at, &common.held_back_by), (newest, &vec![]));
    let options = RestoreOptions::default().at(common.at);
    let error = Restored::of(&world, &options).await.err().unwrap().to_string();
    for words in [
        format!("2 tables are not covered at {}", in_full(newest)),
        format!(
            "use the nearest moment at which all selected tables are covered: --as-of {} ({base}, before it);",
            base.0
        ),
        "leave these tables out, --exclude '*/**'".to_owned(),
    ] {
        assert!(error.contains(&words), "{words} in {error}");
    }
    // Either way works as it was said, and the plan tells the same.
    Restored::of(&world, &options.clone().at(base)).await.unwrap();
    let without = options.clone().selection("** !*/**".parse().unwrap());
    let restored = Restored::of(&world, &without).await.unwrap();
    assert!(!restored.report.complete, "an import must not delete the components");
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let plan = plan_restore(&archive, &head, &options, &NoMonitor).await.unwrap();
    assert_eq!((plan.not_covered.len(), plan.covered_before, plan.covered_after), (2, Some(base), None));
    assert!(!plan.complete && plan.has_findings());

    // An earlier moment has an offer on its other side; of one table there is nothing to leave out.
    let early = options.clone().at(Timestamp(base.0 - 1)).selection("waitlist/users".parse().unwrap());
    let error = Restored::of(&world, &early).await.err().unwrap().to_string();
    assert!(error.ends_with(&format!("at which it is covered: --as-of {} ({base}, after it)", base.0)), "{error}");

    // An export and a comparison say it likewise.
    let to = ExportOptions::new(Arc::new(InMemory::new()), ExportFormat::Ndjson, newest);
    let error = export(&archive, &head, &to, &NoMonitor).await.unwrap_err().to_string();
    assert!(error.contains(&format!("--as-of {} ", base.0)) && error.contains("--exclude '*/**'"), "{error}");
    let error = diff(&archive, &head, &DiffOptions::default().from(base).to(newest), |_| Ok(())).await.unwrap_err();
    assert!(error.to_string().contains(&format!("selected tables are covered: {} (", base.0)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_no_longer_kept_is_left_out_of_now_unless_it_is_named() {
    let world = World::new(pages(100, 64)).await;
    let (notes, old) = (table("", "notes"), table("", "old"));
    let insert = |of: &TableRef| world.deployment.transaction(|t| t.insert(of, Fields::new())).unwrap().0;
    insert(&old);
    insert(&notes);
    world.sync().await;
    let last = through(&world).await;
    let narrow = SyncOptions::default().selection("** !old".parse().unwrap()).accept_selection(true);
    world.sync_with(&narrow).await.unwrap();
    insert(&notes);
    world.sync_with(&narrow).await.unwrap();
    let newest = through(&world).await;

    let common = now_of(&world, "**").await;
    assert_eq!((common.at, &common.held_back_by, &common.left_out), (newest, &vec![], &vec![old.clone()]));
    let options = RestoreOptions::default().at(common.at).selection(common.selection);
    let restored = Restored::of(&world, &options).await.unwrap();
    assert_eq!(restored.documents().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&notes));
    assert!(!restored.report.complete, "an import must not delete it");

    // Whoever names it gets the last moment that has it.
    let common = now_of(&world, "old notes").await;
    assert!(common.at <= last && common.at < newest && common.left_out.is_empty());
    assert_eq!(common.held_back_by, std::slice::from_ref(&old));
    let options = RestoreOptions::default().at(common.at).selection(common.selection);
    assert_eq!(Restored::of(&world, &options).await.unwrap().documents().len(), 2);
    // Also by a pattern that fits nothing else.
    assert_eq!(now_of(&world, "o*").await.held_back_by, [old]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_without_tables_is_restored_as_a_zip_without_tables() {
    let world = World::new(pages(100, 64)).await;
    world.sync().await;
    let at = through(&world).await;
    let restored = Restored::of(&world, &RestoreOptions::default().at(at)).await.unwrap();
    assert_eq!(restored.documents(), Contents::new());
    assert!(!restored.report.has_findings());
    let mut zip = zip::ZipArchive::new(std::fs::File::open(restored.path()).unwrap()).unwrap();
    let text = std::io::read_to_string(zip.by_index(0).unwrap()).unwrap();
    let head = world.archive().await.head().await.unwrap();
    for words in ["memory:///archive, version ", head.digest(), &in_full(at).to_string(), "otter-1"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(zip.len(), 1, "{text}");
    // Where nothing is known there is nothing to restore.
    let before = RestoreOptions::default().at(Timestamp(1));
    let error = Restored::of(&world, &before).await.err().unwrap();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("does not cover"), "{error}");
    // An export, likewise.
    let (archive, store) = (world.archive().await, Arc::new(InMemory::new()));
    let options = ExportOptions::new(Arc::clone(&store) as Arc<dyn ObjectStore>, ExportFormat::Csv, at);
    assert!(export(&archive, &head, &options, &NoMonitor).await.unwrap().tables.is_empty());
    assert!(store.head(&"export.json".into()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_restore_of_all_that_there_was_is_complete() {
    let world = world().await;
    let at = through(&world).await;
    let all = RestoreOptions::default().at(at);
    let odd = world.deployment.state_at(at)[&table("", "odd")].keys().next().unwrap().clone();
    for (options, complete) in [
        (all.clone(), true),
        (all.clone().selection("** !odd".parse().unwrap()), false),
        (all.clone().selection("odd".parse().unwrap()), false),
        (all.clone().ids([odd].into()), false),
    ] {
        assert_eq!(Restored::of(&world, &options).await.unwrap().report.complete, complete, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_a_store_appears_whole_or_not_at_all_and_with_the_bytes_of_a_file() {
    let world = world().await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let options = RestoreOptions::default().at(through(&world).await);
    let file = Restored::of(&world, &options).await.unwrap();
    let store = Arc::new(InMemory::new());
    let target = |name: &str| RestoreTarget::Object {
        store: Arc::clone(&store) as Arc<dyn ObjectStore>,
        path: name.into(),
        url: format!("memory:///{name}"),
    };
    let to = options.clone().output(target("a.zip"));
    {
        let mut restoring = std::pin::pin!(restore(&archive, &head, &to, &NoMonitor));
        assert!(futures::poll!(&mut restoring).is_pending());
    }
    let stopped = restore_unless(std::future::ready(()), &archive, &head, &to, &NoMonitor).await.unwrap();
    assert!(stopped.is_none() && store.head(&"a.zip".into()).await.is_err());
    let (report, bytes) = restore(&archive, &head, &to, &NoMonitor).await.unwrap();
    assert_eq!(report, file.report);
    let written = store.get(&"a.zip".into()).await.unwrap().bytes().await.unwrap();
    assert!(written.len() as u64 == bytes && written == std::fs::read(file.path()).unwrap(), "other bytes");
    let error = restore(&archive, &head, &to, &NoMonitor).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Usage && error.to_string().contains("memory:///a.zip already exists"),
        "{error}"
    );
    restore(&archive, &head, &to.overwrite(true), &NoMonitor).await.unwrap();
}
