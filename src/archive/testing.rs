//! For the tests of this module: commits to order.

use std::{collections::BTreeMap, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use proptest::prelude::*;

use crate::{
    data::{DataFile, Footer},
    document::{Encoding, TableRef, Timestamp},
    identity::DeploymentIdentity,
    monitor::{Event, Monitor},
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope, Walk},
    schema::TableSchema,
    selection::Selection,
    sum::Sum,
};

use super::{
    Archive, Base, BaseMaker, BaseTable, Commit, CommitOutcome, Comparison, Depth, Doubt, Draft, Gap, Head, LeftOut,
    Needs, Proof, ProofSource, RemovedFile, Replacement, ReplacementReason, Run, Suspect, TableEntry, Withdrawal,
    WithdrawalReason,
};

/// S of the first walk in every history here.
pub(super) const S: i64 = 1000;

pub(super) fn deployment() -> DeploymentIdentity {
    DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() }
}

pub(super) fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

pub(super) fn entry(name: &str) -> TableEntry {
    TableEntry::new(table(name), format!("tables/{name}"), None, TableSchema::empty())
}

pub(super) fn base_id() -> BaseId {
    BaseId("20261120T101500Z-00000000".into())
}

/// Delta file `n` of a table with rows from `min` to `max`.
pub(crate) fn delta(name: &str, n: u64, min: i64, max: i64) -> DataFile {
    DataFile {
        table: table(name),
        path: format!("tables/{name}/revisions/convex_phase=delta/convex_month=1970-01-01/{n:05}.parquet"),
        phase: Phase::Delta,
        base: None,
        month: "1970-01-01".into(),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        bytes: 100 + n,
        sha256: "0".repeat(64),
        footer: Footer { bytes: 8, crc32c: 0 },
        rows: 2,
        tombstones: 1,
        rescued_rows: 0,
        min_ts: Timestamp(min),
        max_ts: Timestamp(max),
        min_created: None,
        max_created: None,
        min_id: Some("a".into()),
        max_id: Some("b".into()),
        ids_ascend: true,
        schema: 0,
        joined: 0,
        misfits: BTreeMap::from([("/x".to_owned(), BTreeMap::from([("string".to_owned(), 1)]))]),
        brought_by: None,
        encryption: None,
    }
}

/// Snapshot file `n` of a table.
pub(super) fn snapshot(name: &str, n: u64) -> DataFile {
    DataFile {
        path: format!("tables/{name}/revisions/convex_phase=snapshot/convex_month=1970-01-01/{n:05}.parquet"),
        phase: Phase::Snapshot,
        base: Some(base_id()),
        tombstones: 0,
        ..delta(name, n, 1, S)
    }
}

/// The file, as a commit removes it that commit `version` brought.
pub(super) fn removed(file: &DataFile, version: u64) -> RemovedFile {
    RemovedFile::of(&DataFile { brought_by: Some(version), ..file.clone() }).unwrap()
}

/// The commit joins `inputs`, with the commits that brought them, into `output`.
pub(super) fn join(draft: &mut Draft, inputs: &[(DataFile, u64)], output: DataFile) {
    draft.replaced.push(Replacement {
        inputs: inputs.iter().map(|(file, _)| file.path.clone()).collect(),
        outputs: vec![output.path.clone()],
        why: ReplacementReason::Compaction,
        left: None,
    });
    draft.remove.extend(inputs.iter().map(|(file, version)| removed(file, *version)));
    draft.add.push(output);
}

pub(super) fn cursor(ts: i64) -> DeltaCursor {
    DeltaCursor { position: Position::new(Phase::Delta, ts.to_string()), ts: Timestamp(ts) }
}

pub(super) fn walk() -> Walk {
    Walk {
        base: base_id(),
        ts: Timestamp(S),
        month: "1970-01-01".into(),
        scope: Scope::All,
        position: Position::new(Phase::Snapshot, "{}"),
        done: Vec::new(),
    }
}

pub(super) fn draft(progress: Progress) -> Draft {
    let head = Head::before_all(deployment(), String::new()).unwrap();
    let unchanged = head.unchanged(Encoding::ConvexEncodedJson, Selection::default(), Timestamp(5000));
    Draft { caught_up: true, progress, ..unchanged }
}

pub(super) fn first_draft() -> Draft {
    let progress = Progress { delta: Some(cursor(S)), walk: Some(walk()) };
    Draft { tables: vec![entry("a")], add: vec![snapshot("a", 0)], ..draft(progress) }
}

pub(super) fn first_commit() -> Commit {
    let head = Head::before_all(deployment(), "0".repeat(64)).unwrap();
    head.follow(first_draft(), Run { id: "00000000".into(), counter: 1 }, None).unwrap().0
}

/// The next commit of one fixed history, told by the version alone: a walk in two commits, then deltas of two tables, and
/// every tenth commit compacts the last two files of table `a`.
pub(super) fn next_draft(head: &Head) -> Draft {
    let n = head.version() + 1;
    let ts = |version: u64| S + 10 * (version as i64 - 2);
    match n {
        1 => first_draft(),
        2 => Draft {
            add: vec![snapshot("a", 1)],
            bases: vec![Base::new(base_id(), Timestamp(S), Scope::All, Vec::new())],
            ..draft(Progress { delta: Some(cursor(S)), walk: None })
        },
        _ if n.is_multiple_of(10) => {
            let inputs = [5, 3].map(|k| (delta("a", n - k, ts(n - k - 1) + 1, ts(n - k)), n - k));
            let joined =
                DataFile { rows: 4, tombstones: 2, ..delta("a", n, inputs[0].0.min_ts.0, inputs[1].0.max_ts.0) };
            // Nothing comes, but the deployment was asked.
            let mut draft = draft(Progress { delta: Some(cursor(ts(n))), walk: None });
            join(&mut draft, &inputs, joined);
            draft
        }
        _ => {
            let name = if n.is_multiple_of(2) { "b" } else { "a" };
            let tables = if n == 4 { vec![entry("b")] } else { Vec::new() };
            let progress = Progress { delta: Some(cursor(ts(n))), walk: None };
            Draft { tables, add: vec![delta(name, n, ts(n - 1) + 1, ts(n))], ..draft(progress) }
        }
    }
}

/// Goes on with the fixed history up to `version`.
pub(super) async fn advance(archive: &Archive, mut head: Head, run: &mut Run, version: u64) -> crate::Result<Head> {
    while head.version() < version {
        match archive.commit(&head, run, next_draft(&head)).await? {
            CommitOutcome::Committed(next) => head = *next,
            other => panic!("nobody else writes: {other:?}"),
        }
    }
    Ok(head)
}

/// The files that live at `version` of the fixed history.
pub(super) fn expected_files(version: u64) -> Vec<DataFile> {
    let mut live = BTreeMap::new();
    let mut head = Head::before_all(deployment(), String::new()).unwrap();
    for n in 1..=version {
        let run = Run { id: "00000000".into(), counter: n };
        let (commit, next) = head.follow(next_draft(&head), run, None).unwrap();
        head = next.with_digest(n.to_string());
        for file in commit.draft.remove {
            live.remove(&(file.table, file.path)).unwrap();
        }
        for mut file in commit.draft.add {
            file.brought_by.get_or_insert(n);
            assert!(live.insert((file.table.clone(), file.path.clone()), file).is_none());
        }
    }
    live.into_values().collect()
}

pub(super) async fn all_files(archive: &Archive, head: &Head) -> crate::Result<Vec<DataFile>> {
    let mut live = archive.live_files(head).await?;
    let mut files = Vec::new();
    while let Some(file) = live.next().await? {
        files.push(file);
    }
    Ok(files)
}

/// Any commit that can be written, sensible or not.
pub(super) fn any_commit() -> impl Strategy<Value = Commit> {
    let name = || "[a-z]{1,3}";
    let file = (name(), any::<u64>(), any::<i64>(), any::<i64>(), ".{0,8}", any::<bool>()).prop_map(
        |(table, n, min, max, id, flag)| DataFile {
            min_id: flag.then(|| id.clone()),
            max_id: flag.then_some(id),
            base: (n % 2 == 0).then(base_id),
            repeats: flag,
            brought_by: flag.then_some(n),
            ..delta(&table, n % 1000, min, max)
        },
    );
    let files = || proptest::collection::vec(file.clone(), 0..4);
    let span = || (any::<i64>(), any::<i64>()).prop_map(|(from, to)| (Timestamp(from), Timestamp(to)));
    let head = (1u64.., any::<u64>(), any::<i64>(), any::<bool>(), proptest::option::of(span()));
    (head, files(), files(), proptest::option::of(".{0,8}")).prop_map(
        |((version, counter, at, flag, gap), add, remove, name)| Commit {
            version,
            previous: "ab".repeat(32),
            run: Run { id: "5f3a9c01".into(), counter },
            program: "convex-archiver/0".into(),
            needs: Needs::default(),
            state: Sum::of(&counter.to_le_bytes()),
            schemas: flag.then(|| "cd".repeat(32)),
            draft: Draft {
                at: Timestamp(at),
                caught_up: flag,
                maintenance: !flag,
                tables: if flag { vec![entry("t")] } else { Vec::new() },
                replaced: vec![Replacement {
                    inputs: remove.iter().map(|f| f.path.clone()).collect(),
                    outputs: add.iter().map(|f| f.path.clone()).collect(),
                    why: if flag { ReplacementReason::Compaction } else { ReplacementReason::Erasure },
                    left: flag.then_some(LeftOut { rows: counter, tombstones: 1, rescued_rows: 0 }),
                }],
                add,
                remove: remove.iter().map(|file| removed(file, version)).collect(),
                bases: vec![Base {
                    made: if flag { BaseMaker::Archive } else { BaseMaker::Deployment },
                    cuts: if flag { vec![table("t")] } else { Vec::new() },
                    ..Base::new(
                        base_id(),
                        Timestamp(at),
                        Scope::Tables(vec![table("t")]),
                        vec![BaseTable { table: table("t"), rows: counter }],
                    )
                }],
                withdrawn: vec![Withdrawal { base: base_id(), scope: Scope::All, why: WithdrawalReason::Lost }],
                unmarked: vec![base_id()],
                gaps: gap
                    .map(|(from, to)| Gap { scope: Scope::Except(vec![table("x")]), from, to, why: "window".into() })
                    .into_iter()
                    .collect(),
                doubts: gap
                    .map(|(after, to)| Doubt { scope: Scope::All, after, to, why: "import".into() })
                    .into_iter()
                    .collect(),
                suspects: gap
                    .map(|(after, _)| Suspect { table: table("t"), after, why: "import".into() })
                    .into_iter()
                    .collect(),
                compared: vec![Comparison {
                    scope: Scope::All,
                    ts: Timestamp(at),
                    depth: if flag { Depth::Ids } else { Depth::Values },
                    settles: flag,
                }],
                guarded: gap.map(|(after, _)| after),
                deployment: name.map(|n| DeploymentIdentity { name: Some(n), ..deployment() }),
                proofs: flag.then_some(Proof { ts: Timestamp(at), by: ProofSource::End }).into_iter().collect(),
                erased: vec!["ef".repeat(32)],
                ..draft(Progress { delta: Some(cursor(at)), walk: flag.then(walk) })
            },
        },
    )
}

/// Keeps the kinds of the findings that it hears.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) std::sync::Mutex<Vec<&'static str>>);

impl Monitor for Heard {
    fn report(&self, event: Event<'_>) {
        if let Event::Finding(finding) = event {
            self.0.lock().unwrap().push(finding.kind());
        }
    }
}

/// An archive at `version` whose manifest and parts are written.
pub(super) async fn published(version: u64) -> (Arc<dyn ObjectStore>, Head) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let now = Timestamp(1_795_434_575_000_000_000);
    let archive = Archive::create(store.clone(), "memory", deployment(), now).await.unwrap();
    let head = archive.head().await.unwrap();
    let head = advance(&archive, head, &mut Run::begin(), version).await.unwrap();
    let head = archive.write_manifest(&head).await.unwrap();
    (store, head)
}

/// Writes an object, whatever was there.
pub(super) async fn put(store: &Arc<dyn ObjectStore>, path: &str, bytes: impl Into<bytes::Bytes>) {
    store.put(&Path::from(path), bytes.into().into()).await.unwrap();
}
