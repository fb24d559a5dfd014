//! For the tests of this module: commits to order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    data::{DataFile, Replaces},
    document::{Encoding, TableRef, Timestamp},
    identity::DeploymentIdentity,
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope, Walk},
    schema::TableSchema,
    selection::Selection,
};

use super::{Archive, Base, Commit, CommitOutcome, Draft, Gap, Head, RemovedFile, Run, TableEntry};

/// S of the first walk in every history here.
pub(super) const S: i64 = 1000;

pub(super) fn deployment() -> DeploymentIdentity {
    DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() }
}

pub(super) fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

pub(super) fn entry(name: &str) -> TableEntry {
    TableEntry { table: table(name), folder: format!("tables/{name}"), schema: TableSchema::empty() }
}

pub(super) fn base_id() -> BaseId {
    BaseId("20261120T101500Z-00000000".into())
}

/// Delta file `n` of a table with rows from `min` to `max`.
pub(super) fn delta(name: &str, n: u64, min: i64, max: i64) -> DataFile {
    DataFile {
        table: table(name),
        path: format!("tables/{name}/convex_phase=delta/convex_month=1970-01-01/{n:05}.parquet"),
        phase: Phase::Delta,
        base: None,
        bytes: 100 + n,
        sha256: "0".repeat(64),
        rows: 2,
        tombstones: 1,
        rescued_rows: 0,
        min_ts: Timestamp(min),
        max_ts: Timestamp(max),
        min_id: "a".into(),
        max_id: "b".into(),
        ids_ascend: true,
        schema: 0,
        misfits: BTreeMap::from([("/x".to_owned(), BTreeMap::from([("string".to_owned(), 1)]))]),
        replaces: None,
        brought_by: None,
        encryption: None,
        content_digest: String::new(),
    }
}

/// Snapshot file `n` of a table.
pub(super) fn snapshot(name: &str, n: u64) -> DataFile {
    DataFile {
        path: format!("tables/{name}/convex_phase=snapshot/convex_month=1970-01-01/{n:05}.parquet"),
        phase: Phase::Snapshot,
        base: Some(base_id()),
        tombstones: 0,
        ..delta(name, n, 1, S)
    }
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
    Draft {
        at: Timestamp(5000),
        checked_at: Timestamp(5000),
        caught_up: true,
        encoding: Encoding::ConvexEncodedJson,
        selection: Selection::default(),
        progress,
        tables: Vec::new(),
        add: Vec::new(),
        remove: Vec::new(),
        bases: Vec::new(),
        gaps: Vec::new(),
        deployment: None,
        component_rows: false,
    }
}

pub(super) fn first_draft() -> Draft {
    let progress = Progress { delta: Some(cursor(S)), walk: Some(walk()) };
    Draft { tables: vec![entry("a")], add: vec![snapshot("a", 0)], ..draft(progress) }
}

pub(super) fn first_commit() -> Commit {
    let head = Head::before_all(deployment(), "0".repeat(64));
    first_draft().after(&head, Run { id: "00000000".into(), counter: 1 })
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
            bases: vec![Base::new(base_id(), Timestamp(S), Scope::All)],
            ..draft(Progress { delta: Some(cursor(S)), walk: None })
        },
        _ if n.is_multiple_of(10) => {
            let inputs = [3, 5].map(|k| delta("a", n - k, ts(n - k - 1) + 1, ts(n - k)));
            let paths = inputs.iter().map(|f| f.path.clone()).collect();
            let joined = DataFile {
                rows: 4,
                tombstones: 2,
                replaces: Some(Replaces { paths, why: "compaction".into() }),
                brought_by: Some(n - 3),
                ..delta("a", n, inputs[1].min_ts.0, inputs[0].max_ts.0)
            };
            let remove = inputs.iter().map(RemovedFile::from).collect();
            // Nothing comes, but the deployment was asked.
            Draft { add: vec![joined], remove, ..draft(Progress { delta: Some(cursor(ts(n))), walk: None }) }
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
            CommitOutcome::Conflict { .. } => panic!("nobody else writes"),
        }
    }
    Ok(head)
}

/// The files that live at `version` of the fixed history.
pub(super) fn expected_files(version: u64) -> Vec<DataFile> {
    let mut live = BTreeMap::new();
    let mut head = Head::before_all(deployment(), String::new());
    for n in 1..=version {
        let commit = next_draft(&head).after(&head, Run { id: "00000000".into(), counter: n });
        head = head.apply(&commit, n.to_string()).unwrap();
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
        |(table, n, min, max, id, replaces)| DataFile {
            min_id: id.clone(),
            max_id: id,
            base: (n % 2 == 0).then(base_id),
            replaces: replaces.then(|| Replaces { paths: vec!["x".into()], why: "compaction".into() }),
            brought_by: replaces.then_some(n),
            ..delta(&table, n % 1000, min, max)
        },
    );
    let files = || proptest::collection::vec(file.clone(), 0..4);
    let gap = (any::<i64>(), any::<i64>()).prop_map(|(from, to)| Gap {
        scope: Scope::Except(vec![table("x")]),
        from: Timestamp(from),
        to: Timestamp(to),
        why: "window".into(),
    });
    let head = (1u64.., any::<u64>(), any::<i64>(), any::<bool>(), proptest::option::of(gap));
    (head, files(), files(), proptest::option::of(".{0,8}")).prop_map(
        |((version, counter, at, flag, gap), add, remove, name)| Commit {
            version,
            previous: "ab".repeat(32),
            run: Run { id: "5f3a9c01".into(), counter },
            program: "convex-archiver/0".into(),
            draft: Draft {
                at: Timestamp(at),
                caught_up: flag,
                tables: if flag { vec![entry("t")] } else { Vec::new() },
                add,
                remove: remove.iter().map(RemovedFile::from).collect(),
                bases: vec![Base::new(base_id(), Timestamp(at), Scope::Tables(vec![table("t")]))],
                gaps: gap.into_iter().collect(),
                deployment: name.map(|n| DeploymentIdentity { name: Some(n), ..deployment() }),
                component_rows: flag,
                ..draft(Progress { delta: Some(cursor(at)), walk: flag.then(walk) })
            },
        },
    )
}
