//! What is forged, lost or written by tomorrow's program, and what the next opening makes of it.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    commit::json_line,
    needs::PROGRAM,
    testing::{Heard, advance, all_files, cursor, draft, expected_files, published, put, table},
    *,
};
use crate::{
    error::ErrorKind,
    layout,
    position::Progress,
    schema::{ColumnType, Field},
    store::{faults::FaultyStore, get},
};

const NOW: Timestamp = Timestamp(1_795_434_575_000_000_000);

async fn open(store: &Arc<dyn ObjectStore>) -> (Archive, Arc<Heard>) {
    let heard = Arc::<Heard>::default();
    let archive = Archive::open(store.clone(), "memory").await.unwrap();
    (archive.with_monitor(Arc::clone(&heard) as Arc<dyn Monitor>), heard)
}

async fn text(store: &Arc<dyn ObjectStore>, path: &str) -> String {
    String::from_utf8(get(store, path).await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_forged_manifest_is_found_at_the_next_opening_and_written_anew() {
    let (store, head) = published(23).await;
    let good = text(&store, layout::MANIFEST).await;
    let line = |of: &str| good.lines().find(|line| line.contains(of)).unwrap().to_owned();
    let base = line("{\"base\":");
    for (what, forged) in [
        ("another base", good.replace("\"ts\":\"1000\",\"scope\"", "\"ts\":\"1001\",\"scope\"")),
        ("a missing line", good.replace(&format!("{base}\n"), "")),
        ("a doubled line", good.replace(&base, &format!("{base}\n{base}"))),
        ("another schema", good.replacen("\"schema\":{\"schema\":0", "\"schema\":{\"schema\":1", 1)),
        ("another selection", good.replacen("\"selection\":\"**\"", "\"selection\":\"a\"", 1)),
        ("another count of a part", good.replacen("\"count\":", "\"count\":1", 1)),
        ("what SQL reads", good.replacen("\"covered\":[{\"from\":\"1000\"", "\"covered\":[{\"from\":\"100\"", 1)),
        ("other sums", good.replacen("\"rows\":", "\"rows\":1", 1)),
        ("a version beyond the log", good.replacen("\"version\":23", "\"version\":92", 1)),
        ("cut off", good[..good.len() / 2].to_owned()),
    ] {
        assert_ne!(forged, good, "{what}");
        put(&store, layout::MANIFEST, forged).await;
        let (archive, heard) = open(&store).await;
        let found = archive.head().await.unwrap();
        assert_eq!(found, head, "{what}");
        let heard = heard.0.lock().unwrap().clone();
        assert!(matches!(heard.as_slice(), [kind] if kind.starts_with("manifest_")), "{what}: {heard:?}");
        assert!(archive.is_manifest_due(&found).unwrap(), "{what}");
        archive.write_manifest(&found).await.unwrap();
        assert_eq!(text(&store, layout::MANIFEST).await, good, "{what}");
    }
    let (archive, heard) = open(&store).await;
    let found = archive.head().await.unwrap();
    assert!(heard.0.lock().unwrap().is_empty() && !archive.is_manifest_due(&found).unwrap());
}

#[tokio::test]
async fn a_forged_checkpoint_is_found_and_an_older_one_taken() {
    let (store, head) = published(130).await;
    store.delete(&Path::from(layout::MANIFEST)).await.unwrap();
    let path = layout::checkpoint(128);
    let packed = get(&store, &path).await.unwrap().unwrap();
    let good = String::from_utf8(checkpoint::unpack(&path, &packed).unwrap()).unwrap();
    for forged in [
        good.replace("\"ts\":\"1000\",\"scope\"", "\"ts\":\"1001\",\"scope\""),
        good.replacen("\"misfits\":{\"/x\":{\"string\":", "\"misfits\":{\"/x\":{\"string\":1", 1),
    ] {
        assert_ne!(forged, good);
        put(&store, &path, checkpoint::pack(forged.as_bytes()).unwrap()).await;
        let (archive, heard) = open(&store).await;
        let found = archive.head().await.unwrap();
        assert_eq!(found, head);
        assert_eq!(*heard.0.lock().unwrap(), ["checkpoint_damaged"]);
        assert_eq!(all_files(&archive, &found).await.unwrap(), expected_files(130));
    }
}

#[tokio::test]
async fn a_forged_or_lost_part_is_made_again_from_the_log() {
    let (store, _) = published(23).await;
    let (archive, heard) = open(&store).await;
    let head = archive.head().await.unwrap();
    let month = head.table(&table("a")).unwrap().months["1970-01-01"];
    let path = layout::part("tables/a", "1970-01-01", month.version);
    let packed = get(&store, &path).await.unwrap().unwrap();
    let good = String::from_utf8(checkpoint::unpack(&path, &packed).unwrap()).unwrap();
    let line = good.lines().next().unwrap();
    for forged in [
        good.replacen("\"min_ts\":\"1", "\"min_ts\":\"2", 1),
        good.replacen(&format!("{line}\n"), "", 1),
        good.replacen(line, &format!("{line}\n{line}"), 1),
    ] {
        assert_ne!(forged, good);
        put(&store, &path, checkpoint::pack(forged.as_bytes()).unwrap()).await;
        assert_eq!(all_files(&archive, &head).await.unwrap(), expected_files(23));
        assert_eq!(heard.0.lock().unwrap().pop().unwrap(), "part_lost");
    }
    store.delete(&Path::from(path.as_str())).await.unwrap();
    assert_eq!(all_files(&archive, &head).await.unwrap(), expected_files(23));
    // Whoever writes the same part again puts a sound one in the place of a damaged one.
    put(&store, &path, "damaged").await;
    let fresh = archive.head_at(23).await.unwrap();
    archive.write_manifest(&fresh).await.unwrap();
    assert_eq!(get(&store, &path).await.unwrap().unwrap(), packed);
}

#[tokio::test]
async fn all_lost_parts_are_made_again_with_one_walk_over_the_log() {
    let (store, head) = published(23).await;
    for part in parts::anchored(&head) {
        store.delete(&Path::from(part.path())).await.unwrap();
    }
    let counted = FaultyStore::new(store.clone(), None);
    let (archive, heard) = open(&(Arc::new(counted.clone()) as Arc<dyn ObjectStore>)).await;
    let head = archive.head().await.unwrap();
    let before = counted.calls().len();
    assert_eq!(all_files(&archive, &head).await.unwrap(), expected_files(23));
    assert_eq!(*heard.0.lock().unwrap(), ["part_lost", "part_lost"]);
    assert_eq!(counted.calls().len() - before, 2 + 23);
    // What replaced a commit since is not believed.
    let commit = text(&store, &layout::commit(5)).await;
    put(&store, &layout::commit(5), commit.replacen("\"min_ts\":\"1", "\"min_ts\":\"2", 1)).await;
    assert_eq!(all_files(&archive, &head).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn lost_and_damaged_parts_are_written_again_with_a_checkpoint() {
    for damage in [false, true] {
        let (store, head) = published(127).await;
        let part = parts::anchored(&head).next().unwrap();
        let good = get(&store, &part.path()).await.unwrap().unwrap();
        store.delete(&Path::from(part.path())).await.unwrap();
        if damage {
            put(&store, &part.path(), "damaged").await;
        }
        let (archive, heard) = open(&store).await;
        let head = archive.head().await.unwrap();
        advance(&archive, head, &mut Run::begin(), 128).await.unwrap();
        assert_eq!(get(&store, &part.path()).await.unwrap().unwrap(), good);
        assert_eq!(*heard.0.lock().unwrap(), ["part_lost"]);
    }
}

#[tokio::test]
async fn a_commit_that_is_lost_behind_the_hint_is_never_overwritten() {
    let (store, head) = published(23).await;
    let (archive, _) = open(&store).await;
    let lost = advance(&archive, head, &mut Run::begin(), 25).await.unwrap();
    store.delete(&Path::from(layout::commit(24))).await.unwrap();
    let (archive, _) = open(&store).await;
    let progress = Progress { delta: Some(cursor(90_000)), walk: None };
    let found = match archive.head().await {
        // Old enough that nobody is at work there: readers look for a hole, too.
        Err(error) => {
            assert!(error.to_string().contains(&layout::commit(24)), "{error}");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            archive.head_at(23).await.unwrap()
        }
        Ok(_) => panic!("the commits of this history are of 1970"),
    };
    let error = archive.commit(&found, &mut Run::begin(), draft(progress)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&layout::commit(24)), "{error}");
    assert!(get(&store, &layout::commit(24)).await.unwrap().is_none(), "nothing was written");
    assert!(get(&store, &layout::commit(25)).await.unwrap().is_some());
    drop(lost);
}

/// A column of a type that comes tomorrow, beside the newest commit.
#[tokio::test]
async fn a_schema_with_an_unknown_type_needs_the_program_that_wrote_it() {
    let (store, head) = published(4).await;
    let (archive, _) = open(&store).await;
    let decimal = Field {
        id: 16,
        name: "price".into(),
        column: "price".into(),
        column_type: ColumnType::Int64,
        references: None,
    };
    let grown = TableSchema { id: 1, last_field_id: 16, fields: vec![decimal] };
    let entry = TableEntry::new(table("a"), "tables/a".into(), None, grown);
    let digest = archive.schemas.put(&head, 5, std::slice::from_ref(&entry)).await.unwrap().unwrap();
    let object = text(&store, &layout::schemas(5, &digest)).await;
    let newer = object.replace("\"int64\"", "\"decimal\"").replace(PROGRAM, "convex-archiver/9.9.9");
    let digest = super::digest(newer.as_bytes());
    put(&store, &layout::schemas(5, &digest), newer).await;
    let at = head.progress().delta.as_ref().unwrap().ts.0 + 5;
    let next = Draft { tables: vec![entry], ..draft(Progress { delta: Some(cursor(at)), walk: None }) };
    let (commit, _) = head.follow(next, Run { id: "5f3a9c01".into(), counter: 1 }, Some(digest)).unwrap();
    put(&store, &layout::commit(5), json_line(&commit).unwrap()).await;

    let (archive, _) = open(&store).await;
    let head = archive.head().await.unwrap();
    let error = archive.schema(&head, &table("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("convex-archiver/9.9.9") && !error.to_string().contains("copy"), "{error}");
    archive.schema(&head, &table("b")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_or_missing_schema_is_corrupt_and_an_erased_one_is_said_to_be() {
    let (store, head) = published(4).await;
    let (archive, _) = open(&store).await;
    let field = |id, name: &str| Field {
        id,
        name: name.into(),
        column: name.into(),
        column_type: ColumnType::String,
        references: None,
    };
    let grown = TableSchema { id: 1, last_field_id: 16, fields: vec![field(16, "name")] };
    let entry = TableEntry::new(table("a"), "tables/a".into(), Some(10_001), grown.clone());
    let mut run = Run::begin();
    let next = Draft { tables: vec![entry], ..draft(head.progress().clone()) };
    let CommitOutcome::Committed(head) = archive.commit(&head, &mut run, next).await.unwrap() else { panic!() };
    let state = head.table(&table("a")).unwrap().clone();
    assert_eq!((*archive.schema(&head, &state.table).await.unwrap()).clone(), grown);
    assert_eq!(state.number, Some(10_001));
    let path = layout::schemas(state.schema.version, &state.schema.digest);
    let good = get(&store, &path).await.unwrap().unwrap();
    put(&store, &path, good.slice(1..)).await;
    let (fresh, _) = open(&store).await;
    let error = fresh.schema(&head, &state.table).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&path), "{error}");
    store.delete(&Path::from(path.as_str())).await.unwrap();
    let error = fresh.schema(&head, &state.table).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("missing"), "{error}");
    let erased = Draft { erased: vec![state.schema.digest.clone()], ..head.maintenance(NOW).unwrap() };
    let CommitOutcome::Committed(head) = fresh.commit(&head, &mut run, erased).await.unwrap() else { panic!() };
    let error = fresh.schema(&head, &state.table).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("erased"), "{error}");
    let shrunk = TableEntry::new(
        table("a"),
        "tables/a".into(),
        None,
        TableSchema { id: 2, last_field_id: 17, fields: vec![field(17, "b")] },
    );
    let next = Draft { tables: vec![shrunk], ..draft(head.progress().clone()) };
    put(&store, &path, good).await;
    let (fresh, _) = open(&store).await;
    let error = fresh.commit(&head, &mut run, next).await.unwrap_err();
    assert!(error.to_string().contains("changed in a way that is not an extension"), "{error}");
}

#[tokio::test]
async fn an_idle_run_leaves_the_manifest_as_it_is_until_the_next_checkpoint() {
    let (store, mut head) = published(23).await;
    let (archive, _) = open(&store).await;
    assert_eq!(archive.head().await.unwrap(), head);
    let mut run = Run::begin();
    while head.version() < 66 {
        // Nothing happened, and the deployment's clock has gone on.
        let at = head.progress().delta.as_ref().unwrap().ts.0 + 7;
        let idle = draft(Progress { delta: Some(cursor(at)), walk: None });
        let CommitOutcome::Committed(next) = archive.commit(&head, &mut run, idle).await.unwrap() else { panic!() };
        head = *next;
        assert_eq!(archive.is_manifest_due(&head).unwrap(), head.version() >= 64, "{}", head.version());
    }
    let manifest = text(&store, layout::MANIFEST).await;
    assert!(manifest.starts_with("{\"format\":0,\"version\":23,"), "{manifest}");
    assert_eq!(open(&store).await.0.head().await.unwrap(), head);
}

/// Maintenance that says a gap. Another writer comes between its first plan and the commit.
struct Lost<'a> {
    archive: &'a Archive,
    planned: Vec<u64>,
    is_done: bool,
}

impl Maintenance for Lost<'_> {
    async fn plan(&mut self, head: &Head) -> Result<Option<Draft>> {
        if self.is_done {
            return Ok(None);
        }
        self.planned.push(head.version());
        if self.planned.len() == 1 {
            advance(self.archive, head.clone(), &mut Run::begin(), 10).await?;
        }
        let s = head.progress().delta.as_ref().map_or(Timestamp(0), |delta| delta.ts);
        let gap = Gap { scope: crate::Scope::All, from: Timestamp(s.0 - 1), to: s, why: "lost".into() };
        Ok(head.maintenance(NOW).map(|draft| Draft { gaps: vec![gap], ..draft }))
    }
}

#[tokio::test]
async fn maintenance_that_lost_a_race_is_planned_anew_until_it_stands() {
    let (store, head) = published(9).await;
    let (archive, _) = open(&store).await;
    let mut lost = Lost { archive: &archive, planned: Vec::new(), is_done: false };
    let after = archive.update(&head, &mut Run::begin(), &mut lost).await.unwrap();
    assert_eq!((&lost.planned, after.version()), (&vec![9, 10], 11));
    lost.is_done = true;
    let none = archive.update(&after, &mut Run::begin(), &mut lost).await.unwrap();
    assert_eq!(none.version(), 11);
}
