//! Archives whose log, sums and checksums fit, and whose data files are not what they should be: as a defect of a writer would leave
//! them, or somebody who can write to the store. Only who reads the rows sees it.

use std::{collections::BTreeMap, sync::Arc};

use object_store::memory::InMemory;

use super::{ProblemKind, Suffers, VerifyDepth, VerifyOptions, VerifyReport, verify};
use crate::{
    archive::{Archive, Base, BaseTable, CommitOutcome, Draft, Head, Run, TableEntry},
    budget::MemoryBudget,
    codec::{TableDecoder, observe},
    content::DigestShare,
    data::{DataFile, FileWriter, NewFile},
    document::{Encoding, TableRef, Timestamp},
    identity::DeploymentIdentity,
    monitor::NoMonitor,
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope},
    schema::{DocumentShape, Misfits, TableSchema, evolve},
    selection::Selection,
};

/// S of the base.
const S: i64 = 1_000;
const ENCODING: Encoding = Encoding::ConvexEncodedJson;
/// The ids of documents of one table, in their order.
const IDS: [&str; 2] = ["j5700221pceb603t7je2hkqn0s8jrtmp", "j57ctvgn8g1g4g69wrh7hgjdmn8jrcng"];

fn table() -> TableRef {
    TableRef::new("", "a").unwrap()
}

/// A revision: `n` of its document, or a tombstone.
#[derive(Clone, Copy)]
struct Row(&'static str, i64, Option<i64>);

impl Row {
    fn text(self) -> String {
        let Self(id, _, n) = self;
        n.map_or_else(
            || format!(r#"{{"_id":"{id}"}}"#),
            |n| format!(r#"{{"_creationTime":1.5,"_id":"{id}","n":{n},"s":"text"}}"#),
        )
    }
}

/// An archive that is made by hand.
struct Forger {
    archive: Archive,
    head: Head,
    run: Run,
    schema: TableSchema,
    files: usize,
}

impl Forger {
    async fn new() -> Self {
        let deployment = DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() };
        let archive =
            Archive::create(Arc::new(InMemory::new()), "memory:///a", deployment, Timestamp(1)).await.unwrap();
        let head = archive.head().await.unwrap();
        let mut shape = DocumentShape::default();
        observe(&Row(IDS[0], 1, Some(1)).text(), ENCODING, &mut shape).unwrap();
        let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
        Self { archive, head, run: Run::begin(), schema, files: 0 }
    }

    /// A file of `rows`, whose content digest is that of the revisions that were `told`.
    async fn file(&mut self, base: Option<Timestamp>, said: Option<Timestamp>, rows: &[Row], told: &[Row]) -> DataFile {
        let decoder = || TableDecoder::new(&self.schema, said).with_content(&table(), DigestShare::All);
        let (mut decoder, mut wire) = (decoder(), decoder());
        let push = |decoder: &mut TableDecoder, row: &Row| {
            decoder.push(&row.text(), ENCODING, Timestamp(row.1), row.2.is_none()).unwrap();
        };
        rows.iter().for_each(|row| push(&mut decoder, row));
        told.iter().for_each(|row| push(&mut wire, row));
        self.files += 1;
        let file = NewFile {
            table: table(),
            path: format!("tables/a/{:05}.parquet", self.files),
            phase: if base.is_some() { Phase::Snapshot } else { Phase::Delta },
            base: base.map(|_| BaseId("b".into())),
            month: "1970-01-01".into(),
            encoding: ENCODING,
            repeats: false,
            schema_id: self.schema.id,
        };
        let (store, options) = (Arc::clone(self.archive.store()), MemoryBudget::default().into());
        let arrow = Arc::clone(decoder.schema());
        let mut writer = FileWriter::open(store, file, arrow, options, Arc::new(NoMonitor)).unwrap();
        writer.write(decoder.flush().unwrap().unwrap()).await.unwrap();
        writer.close(BTreeMap::new(), wire.content()).await.unwrap()
    }

    async fn commit(&mut self, through: i64, add: Vec<DataFile>, base: Option<Base>) {
        let position = Position::new(Phase::Delta, through.to_string());
        let mut draft = Draft {
            progress: Progress { delta: Some(DeltaCursor { position, ts: Timestamp(through) }), walk: None },
            ..self.head.unchanged(ENCODING, Selection::default(), Timestamp(5_000))
        };
        if self.head.version() == 0 {
            draft.tables.push(TableEntry::new(table(), "tables/a".into(), Some(10_001), self.schema.clone()));
        }
        draft.add = add;
        draft.bases.extend(base);
        match self.archive.commit(&self.head, &mut self.run, draft).await.unwrap() {
            CommitOutcome::Committed(head) => self.head = *head,
            taken => panic!("nobody else writes: {taken:?}"),
        }
        self.head = self.archive.write_manifest(&self.head).await.unwrap();
    }

    /// A base of both documents.
    async fn begin(&mut self) {
        let rows = [Row(IDS[0], 5, Some(1)), Row(IDS[1], 6, Some(2))];
        let file = self.file(Some(Timestamp(S)), Some(Timestamp(S)), &rows, &rows).await;
        self.commit(S, vec![file], Some(base(2))).await;
    }

    async fn verify(&self) -> VerifyReport {
        let options = VerifyOptions::default().depth(VerifyDepth::Data);
        let store = Arc::clone(self.archive.store());
        verify(store, "memory:///a", &options, Timestamp(10_000), Arc::new(NoMonitor)).await.unwrap()
    }

    /// What is wrong with the one file that is.
    async fn wrong(&self, suffers: Suffers) -> String {
        let report = self.verify().await;
        assert_eq!(report.problems.len(), 1, "{report:#?}");
        let problem = &report.problems[0];
        assert_eq!(
            (problem.kind, problem.suffers, problem.table.as_ref()),
            (ProblemKind::File, suffers, Some(&table()))
        );
        problem.what.clone()
    }
}

fn base(rows: u64) -> Base {
    Base::new(BaseId("b".into()), Timestamp(S), Scope::All, vec![BaseTable { table: table(), rows }])
}

/// The newest revision of each document.
const CHANGES: [Row; 3] = [Row(IDS[0], 1_001, Some(3)), Row(IDS[1], 1_002, None), Row(IDS[0], 1_003, Some(4))];

#[tokio::test]
async fn what_came_over_the_wire_is_what_the_file_holds() {
    let mut sound = Forger::new().await;
    sound.begin().await;
    let file = sound.file(None, None, &CHANGES, &CHANGES).await;
    sound.commit(2_000, vec![file], None).await;
    let report = sound.verify().await;
    assert_eq!(report.problems, []);
    assert_eq!((report.data.unwrap().rows, report.data.unwrap().compared_rows), (5, 5));
    assert_eq!(report.not_recorded, None);
}

#[tokio::test]
async fn a_value_that_was_changed_on_its_way_is_found_though_every_checksum_fits() {
    for (at, forged) in [(0, Row(IDS[0], 1_001, Some(7))), (1, Row(IDS[1], 1_002, Some(7)))] {
        let mut changed = CHANGES;
        changed[at] = forged;
        let mut forger = Forger::new().await;
        forger.begin().await;
        let file = forger.file(None, None, &changed, &CHANGES).await;
        forger.commit(2_000, vec![file], None).await;
        let wrong = forger.wrong(Suffers::State).await;
        assert!(wrong.contains("not those that the deployment sent"), "{wrong}");
    }
    // In the base, which changes behind it do not override.
    let mut forger = Forger::new().await;
    let rows = [Row(IDS[0], 5, Some(1)), Row(IDS[1], 6, Some(2))];
    let told = [rows[0], Row(IDS[1], 6, Some(3))];
    let file = forger.file(Some(Timestamp(S)), Some(Timestamp(S)), &rows, &told).await;
    forger.commit(S, vec![file], Some(base(2))).await;
    assert!(forger.wrong(Suffers::State).await.contains("not those that the deployment sent"));
}

#[tokio::test]
async fn a_commit_that_says_something_else_of_a_file_than_it_holds_is_found() {
    type Lie = fn(&mut DataFile);
    let lies: [(&str, Lie); 8] = [
        ("3 rows", |file| file.rows += 1),
        ("tombstones", |file| file.tombstones -= 1),
        ("rescued", |file| file.rescued_rows += 1),
        ("_ts", |file| file.min_ts = Timestamp(1_002)),
        ("_creationTime", |file| (file.min_created, file.max_created) = (None, None)),
        ("_id", |file| file.min_id = Some("j".into())),
        ("_id", |file| file.max_id = Some("k".into())),
        ("ids ascend", |file| file.ids_ascend = !file.ids_ascend),
    ];
    for (expected, lie) in lies {
        let mut forger = Forger::new().await;
        forger.begin().await;
        let mut file = forger.file(None, None, &CHANGES[..2], &CHANGES[..2]).await;
        lie(&mut file);
        forger.commit(2_000, vec![file], None).await;
        let wrong = forger.wrong(Suffers::State).await;
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}

#[tokio::test]
async fn rows_that_break_the_duty_of_writers_are_found() {
    let turned = [CHANGES[1], CHANGES[0]];
    let odd = [Row("nobody", 1_001, Some(1))];
    for (expected, rows, said) in [
        ("not in the order of _ts", &turned[..], None),
        ("`nobody` is not the id of a document", &odd[..], None),
        ("_base", &CHANGES[..1], Some(Timestamp(S))),
    ] {
        let mut forger = Forger::new().await;
        forger.begin().await;
        let file = forger.file(None, said, rows, rows).await;
        forger.commit(2_000, vec![file], None).await;
        let wrong = forger.wrong(Suffers::State).await;
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}

#[tokio::test]
async fn a_revision_that_stands_in_two_change_files_is_found() {
    let mut forger = Forger::new().await;
    forger.begin().await;
    let first = forger.file(None, None, &CHANGES[..2], &CHANGES[..2]).await;
    let second = forger.file(None, None, &CHANGES[1..], &CHANGES[1..]).await;
    forger.commit(2_000, vec![first, second], None).await;
    let report = forger.verify().await;
    assert_eq!(report.problems.len(), 1, "{report:#?}");
    let problem = &report.problems[0];
    assert_eq!(
        (problem.kind, problem.revisions, problem.from),
        (ProblemKind::Duplicate, Some(1), Some(Timestamp(1_002)))
    );
    assert!(problem.what.contains(IDS[1]), "{problem:?}");
}
