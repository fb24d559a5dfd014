//! Random archives for the tests of this module, made by the real writer and committed by the real log; and everything
//! that they hold as plain lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::array::RecordBatch;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom, seq::SliceRandom};

use crate::{
    archive::{Archive, Base, CommitOutcome, Draft, Gap, Head, Run, TableEntry},
    budget::MemoryBudget,
    codec::{TableDecoder, observe, parse_value, write_value},
    content::DigestShare,
    data::{DataFile, FileWriter, Footer, NewFile, WriterOptions},
    document::{Encoding, Revision, TableRef, Timestamp, Value},
    identity::DeploymentIdentity,
    monitor::NoMonitor,
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope},
    schema::{DocumentShape, Misfits, TableSchema, evolve},
    selection::Selection,
};

/// The first S of every history.
pub(crate) const ORIGIN: i64 = 1_000;

/// One row as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) table: TableRef,
    /// S, in files of a base.
    pub(crate) base: Option<Timestamp>,
    /// Whether it came with types: it counts before one that did not.
    pub(crate) typed: bool,
    pub(crate) revision: Revision,
}

/// An archive, and what is in it.
pub(crate) struct World {
    pub(crate) archive: Archive,
    pub(crate) head: Head,
    pub(crate) tables: Vec<TableRef>,
    /// All revisions that the deployment ever had, in the order of `_ts`.
    pub(crate) log: Vec<(TableRef, Revision)>,
    /// All rows that the archive holds.
    pub(crate) rows: Vec<Row>,
    /// Rows that came without types, so that they are not what the deployment had.
    pub(crate) untyped: usize,
    run: Run,
    rng: StdRng,
    files: u32,
}

pub(crate) fn table(name: &str) -> TableRef {
    TableRef::new("", name).unwrap()
}

fn scalar(rng: &mut StdRng) -> Value {
    match rng.random_range(0..7) {
        0 => Value::Null,
        1 => Value::Boolean(rng.random()),
        2 => Value::Int64(*[0, -1, i64::MAX, i64::MIN].choose(rng).unwrap()),
        3 => Value::Float64(f64::from_bits(*[0, 1 << 63, 0x7ff8_0000_0000_0001, 0x3ff8 << 48].choose(rng).unwrap())),
        4 => Value::Bytes(vec![1; rng.random_range(0..3)]),
        5 => Value::String("x".repeat(rng.random_range(0..300))),
        _ => Value::String("y".to_owned()),
    }
}

fn value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..5) {
        0 if depth > 0 => Value::Array((0..rng.random_range(0..3)).map(|_| value(rng, depth - 1)).collect()),
        1 if depth > 0 => object(rng, depth - 1),
        _ => scalar(rng),
    }
}

fn object(rng: &mut StdRng, depth: usize) -> Value {
    let keys = ["a", "b", "Z", "odd key"];
    Value::Object((0..rng.random_range(0..4)).map(|i| (keys[i].to_owned(), value(rng, depth))).collect())
}

/// A document; fields come and change with time.
fn document(rng: &mut StdRng, id: &str, ts: i64) -> BTreeMap<String, Value> {
    let names = ["body", "A", "n", "list", "profile", "late"];
    let mut fields = BTreeMap::from([
        ("_id".to_owned(), Value::String(id.to_owned())),
        ("_creationTime".to_owned(), Value::Float64(0.5)),
    ]);
    for (i, name) in names.iter().enumerate() {
        if i as i64 * 8 < ts - ORIGIN + 20 && rng.random_bool(0.6) {
            // Mostly of one type, so that there are columns.
            let value = match (i, rng.random_bool(0.8)) {
                (0, true) => Value::String("text ".repeat(rng.random_range(0..20))),
                (1, true) => Value::Boolean(rng.random()),
                (2, true) => Value::Float64(1.5),
                (3, true) => Value::Array((0..rng.random_range(0..3)).map(|_| object(rng, 1)).collect()),
                (4, true) => object(rng, 2),
                _ => value(rng, 2),
            };
            fields.insert((*name).to_owned(), value);
        }
    }
    fields
}

/// Live documents of a table by id.
pub(crate) type Documents = BTreeMap<String, Revision>;

fn text_of(document: &BTreeMap<String, Value>, encoding: Encoding) -> String {
    let mut text = String::new();
    write_value(&mut text, &Value::Object(document.clone()), encoding);
    text
}

/// A revision as it comes without types: int64, bytes and odd numbers are text.
fn without_types(revision: Revision) -> Revision {
    let document = revision.document.map(|document| {
        match parse_value(&text_of(&document, Encoding::Json), Encoding::Json).unwrap() {
            Value::Object(document) => document,
            other => panic!("a document has become {other:?}"),
        }
    });
    Revision { document, ..revision }
}

impl World {
    /// A random history of a deployment, and an archive of it: bases, deltas, gaps in any order, some of it without types.
    pub(crate) async fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let tables = vec![table("a"), table("b")];
        let ids: Vec<_> =
            (0..rng.random_range(1..16)).map(|_| format!("j57{:029x}", rng.random::<u128>() >> 12)).collect();
        let mut log = Vec::new();
        let mut alive = BTreeSet::new();
        let mut ts = ORIGIN - 20;
        for _ in 0..rng.random_range(0..120) {
            ts += *[0, 1, 1, 1, 2, 5].choose(&mut rng).unwrap();
            let table = tables.choose(&mut rng).unwrap().clone();
            let id = ids.choose(&mut rng).unwrap().clone();
            // A transaction writes a document once.
            if log.iter().any(|(t, r): &(TableRef, Revision)| *t == table && r.id == id && r.ts.0 == ts) {
                continue;
            }
            let key = (table.clone(), id.clone());
            let deleted = alive.contains(&key) && rng.random_bool(0.3);
            let fields = (!deleted).then(|| document(&mut rng, &id, ts));
            if deleted {
                alive.remove(&key)
            } else {
                alive.insert(key)
            };
            log.push((table, Revision { id, ts: Timestamp(ts), document: fields }));
        }
        let deployment = DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() };
        let archive =
            Archive::create(Arc::new(InMemory::new()), "memory:///a", deployment, Timestamp(1)).await.unwrap();
        let head = archive.head().await.unwrap();
        let mut world =
            Self { archive, head, tables, log, rows: Vec::new(), untyped: 0, run: Run::begin(), rng, files: 0 };
        world.base(ORIGIN, ORIGIN).await;
        let end = ts.max(ORIGIN) + 3;
        while world.cursor() < end {
            match world.rng.random_range(0..9) {
                0 => {
                    let s = world.rng.random_range(ORIGIN..=world.cursor());
                    world.base(s, world.cursor()).await;
                }
                1 => world.gap(end).await,
                _ => world.deltas(end).await,
            }
        }
        world
    }

    pub(crate) fn cursor(&self) -> i64 {
        self.head.progress().delta.as_ref().map_or(ORIGIN, |delta| delta.ts.0)
    }

    /// The documents that the deployment had at `at`.
    pub(crate) fn deployment_at(&self, table: &TableRef, at: i64) -> Documents {
        let mut documents = Documents::new();
        for (_, revision) in self.log.iter().filter(|(t, r)| t == table && r.ts.0 <= at) {
            documents.insert(revision.id.clone(), revision.clone());
        }
        documents.retain(|_, revision| revision.document.is_some());
        documents
    }

    /// The rule of the format, over the plain list of rows.
    pub(crate) fn archived_at(&self, table: &TableRef, base: Timestamp, at: Timestamp) -> Documents {
        let counts = |row: &&Row| match row.base {
            Some(s) => s == base,
            None => row.revision.ts > base && row.revision.ts <= at,
        };
        let mut rows: Vec<_> = self.rows.iter().filter(|row| row.table == *table).filter(counts).collect();
        rows.sort_by_key(|row| (row.revision.ts, row.typed));
        let mut documents = Documents::new();
        for row in rows {
            documents.insert(row.revision.id.clone(), row.revision.clone());
        }
        documents.retain(|_, revision| revision.document.is_some());
        documents
    }

    fn draft(&mut self, cursor: i64) -> Draft {
        let encodings = [Encoding::ConvexEncodedJson, Encoding::ConvexEncodedJson, Encoding::Json];
        let encoding = *encodings.choose(&mut self.rng).unwrap();
        let position = Position::new(Phase::Delta, cursor.to_string());
        Draft {
            progress: Progress { delta: Some(DeltaCursor { position, ts: Timestamp(cursor) }), walk: None },
            ..self.head.unchanged(encoding, Selection::default(), Timestamp(5_000))
        }
    }

    async fn commit(&mut self, draft: Draft) {
        match self.archive.commit(&self.head, &mut self.run, draft).await.unwrap() {
            CommitOutcome::Committed(head) => self.head = *head,
            taken => panic!("nobody else writes: {taken:?}"),
        }
    }

    /// A base of all tables, or of some, at S.
    async fn base(&mut self, s: i64, cursor: i64) {
        // One S has one base: among several it would have to be said which one the oracle means.
        if self.head.coverage().bases.iter().any(|base| base.ts.0 == s) {
            return;
        }
        let mut draft = self.draft(cursor);
        let first = self.head.version() == 0;
        let tables: Vec<_> = self.tables.iter().filter(|_| first || self.rng.random_bool(0.7)).cloned().collect();
        self.files += 1;
        let base =
            Base::new(BaseId(format!("b{}", self.files)), Timestamp(s), Scope::Tables(tables.clone()), Vec::new());
        for table in tables {
            let mut documents: Vec<_> = self.deployment_at(&table, s).into_values().collect();
            let (mut groups, order) = (vec![Vec::new(); self.rng.random_range(1..4)], self.rng.random_range(0..4));
            if order == 0 {
                documents.shuffle(&mut self.rng);
            }
            let each = documents.len().div_ceil(groups.len()).max(1);
            let groups_number = groups.len();
            for (i, document) in documents.into_iter().enumerate() {
                // Order 1: files whose ids overlap.
                groups[if order == 1 { i % groups_number } else { i / each }].push(document);
            }
            for group in groups.into_iter().filter(|group| !group.is_empty()) {
                self.write(&table, Some(&base), group, draft.encoding, &mut draft).await;
            }
        }
        draft.bases.push(base);
        self.commit(draft).await;
    }

    fn log_between(&self, table: &TableRef, after: i64, to: i64) -> Vec<Revision> {
        let rows = self.log.iter().filter(|(t, r)| t == table && r.ts.0 > after && r.ts.0 <= to);
        rows.map(|(_, revision)| revision.clone()).collect()
    }

    async fn deltas(&mut self, end: i64) {
        let (from, to) = (self.cursor(), (self.cursor() + self.rng.random_range(0..25)).min(end));
        let mut draft = self.draft(to);
        for table in self.tables.clone() {
            let mut rows = self.log_between(&table, from, to);
            while !rows.is_empty() {
                let rest = rows.split_off(self.rng.random_range(1..=rows.len()));
                let rows = std::mem::replace(&mut rows, rest);
                let again: Vec<_> = rows.iter().filter(|_| self.rng.random_bool(0.3)).cloned().collect();
                self.write(&table, None, rows, draft.encoding, &mut draft).await;
                // Some rows stand in a second file, as they came or in the other way.
                if !again.is_empty() && self.rng.random_bool(0.3) {
                    let encoding = *[Encoding::ConvexEncodedJson, Encoding::Json].choose(&mut self.rng).unwrap();
                    self.write(&table, None, again, encoding, &mut draft).await;
                }
            }
        }
        self.commit(draft).await;
    }

    /// What happened meanwhile is not in the archive, for one table or all.
    async fn gap(&mut self, end: i64) {
        let (from, to) = (self.cursor(), (self.cursor() + self.rng.random_range(1..6)).min(end));
        let mut draft = self.draft(to);
        let scope = match self.rng.random_range(0..3) {
            0 => Scope::All,
            1 => Scope::Tables(vec![table("a")]),
            _ => Scope::Except(vec![table("a")]),
        };
        for table in self.tables.clone().iter().filter(|table| !scope.contains(table)) {
            let rows = self.log_between(table, from, to);
            if !rows.is_empty() {
                self.write(table, None, rows, draft.encoding, &mut draft).await;
            }
        }
        draft.gaps.push(Gap { scope, from: Timestamp(from), to: Timestamp(to), why: "window".into() });
        self.commit(draft).await;
    }

    /// One file, of rows that came in this encoding.
    async fn write(
        &mut self,
        table: &TableRef,
        base: Option<&Base>,
        revisions: Vec<Revision>,
        encoding: Encoding,
        draft: &mut Draft,
    ) {
        let typed = encoding != Encoding::Json;
        let text = |revision: &Revision| match &revision.document {
            Some(document) => text_of(document, encoding),
            None => text_of(&[("_id".to_owned(), Value::String(revision.id.clone()))].into(), encoding),
        };
        let learned = draft.tables.iter().find(|entry| entry.table == *table).map(|entry| entry.schema.clone());
        let known = match learned {
            Some(schema) => schema,
            None => self.archive.schema(&self.head, table).await.unwrap().as_ref().clone(),
        };
        let mut shape = DocumentShape::default();
        for revision in revisions.iter().filter(|revision| revision.document.is_some()) {
            observe(&text(revision), encoding, &mut shape).unwrap();
        }
        let schema = evolve(&known, &shape, &Misfits::new());
        let folder = format!("tables/{}", table.name());
        if schema != known {
            draft.tables.retain(|entry| entry.table != *table);
            draft.tables.push(TableEntry::new(table.clone(), folder.clone(), None, schema.clone()));
        }
        let mut decoder = TableDecoder::new(&schema, base.map(|base| base.ts)).with_content(table, DigestShare::All);
        let file = NewFile {
            table: table.clone(),
            path: format!("{folder}/{:05}.parquet", self.files),
            phase: if base.is_some() { Phase::Snapshot } else { Phase::Delta },
            base: base.map(|base| base.id.clone()),
            month: "1970-01-01".into(),
            encoding,
            repeats: false,
            schema_id: schema.id,
        };
        self.files += 1;
        let row_group_bytes = *[1, 8 << 20].choose(&mut self.rng).unwrap();
        let options = WriterOptions { row_group_bytes, ..MemoryBudget::default().into() };
        let store = Arc::clone(self.archive.store());
        let mut writer =
            FileWriter::open(store, file, Arc::clone(decoder.schema()), options, Arc::new(NoMonitor)).unwrap();
        for revision in &revisions {
            let deleted = revision.document.is_none();
            decoder.push(&text(revision), encoding, revision.ts, deleted).unwrap();
            if self.rng.random_bool(0.2)
                && let Some(batch) = decoder.flush().unwrap()
            {
                writer.write(batch).await.unwrap();
            }
        }
        if let Some(batch) = decoder.flush().unwrap() {
            writer.write(batch).await.unwrap();
        }
        draft.add.push(writer.close(BTreeMap::new(), decoder.content()).await.unwrap());
        self.untyped += if typed { 0 } else { revisions.len() };
        self.rows.extend(revisions.into_iter().map(|revision| Row {
            table: table.clone(),
            base: base.map(|base| base.ts),
            typed,
            revision: if typed { revision } else { without_types(revision) },
        }));
    }
}

/// An archive of table `a` with a base of one file: these documents, in the columns that fit them, with the cells that `spoil` makes
/// of theirs.
pub(crate) async fn archive_of_one_file(
    documents: &[&str],
    spoil: impl FnOnce(RecordBatch) -> RecordBatch,
) -> (Archive, Head) {
    let deployment = DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() };
    let archive = Archive::create(Arc::new(InMemory::new()), "memory:///a", deployment, Timestamp(1)).await.unwrap();
    let head = archive.head().await.unwrap();
    let (a, encoding) = (table("a"), Encoding::ConvexEncodedJson);
    let mut shape = DocumentShape::default();
    documents.iter().for_each(|text| observe(text, encoding, &mut shape).unwrap());
    let schema = evolve(&TableSchema::empty(), &shape, &Misfits::new());
    let base = Base::new(BaseId("b".into()), Timestamp(ORIGIN), Scope::All, Vec::new());
    let mut decoder = TableDecoder::new(&schema, Some(base.ts));
    documents.iter().for_each(|text| decoder.push(text, encoding, base.ts, false).unwrap());
    let file = NewFile {
        table: a.clone(),
        path: "tables/a/00000.parquet".into(),
        phase: Phase::Snapshot,
        base: Some(base.id.clone()),
        month: "1970-01-01".into(),
        encoding,
        repeats: false,
        schema_id: schema.id,
    };
    let (store, options) = (Arc::clone(archive.store()), MemoryBudget::default().into());
    let arrow = Arc::clone(decoder.schema());
    let mut writer = FileWriter::open(store, file, arrow, options, Arc::new(NoMonitor)).unwrap();
    writer.write(spoil(decoder.flush().unwrap().unwrap())).await.unwrap();
    let position = Position::new(Phase::Delta, ORIGIN.to_string());
    let mut draft = Draft {
        progress: Progress { delta: Some(DeltaCursor { position, ts: base.ts }), walk: None },
        ..head.unchanged(encoding, Selection::default(), Timestamp(5_000))
    };
    draft.tables.push(TableEntry::new(a, "tables/a".into(), None, schema));
    draft.add.push(writer.close(BTreeMap::new(), None).await.unwrap());
    draft.bases.push(base);
    match archive.commit(&head, &mut Run::begin(), draft).await.unwrap() {
        CommitOutcome::Committed(head) => (archive, *head),
        taken => panic!("nobody else writes: {taken:?}"),
    }
}

/// A file of a base with `_id`s between these.
pub(crate) fn part(min_id: &str, max_id: &str) -> super::files::Part {
    let file = DataFile {
        table: table("a"),
        path: format!("{min_id}-{max_id}"),
        phase: Phase::Snapshot,
        base: Some(BaseId("b".into())),
        month: "1970-01-01".into(),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        bytes: 1,
        sha256: String::new(),
        footer: Footer::default(),
        rows: 1,
        tombstones: 0,
        rescued_rows: 0,
        min_ts: Timestamp(1),
        max_ts: Timestamp(1),
        min_created: None,
        max_created: None,
        min_id: Some(min_id.into()),
        max_id: Some(max_id.into()),
        ids_ascend: true,
        schema: 1,
        joined: 0,
        misfits: BTreeMap::new(),
        brought_by: None,
        encryption: None,
    };
    let table = Arc::new(file.table.clone());
    super::files::Part::new(file, &table)
}
