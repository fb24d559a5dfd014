//! What our own reader answers of an archive, as plain JSON: for readers that know nothing of this library, and for readers of a
//! later day. The same archive gives the same bytes.
//!
//! | file | a line |
//! |---|---|
//! | `head.ndjson` | `{"version", "digest", "count", "sum", "through"}`: the newest commit, its state, and the cursor |
//! | `tables.ndjson` | `{"table", "covered": [[FROM, TO]…], "documents"}`: how many documents have a history |
//! | `states.ndjson` | `{"table", "at", "documents": {"ID": TS…} or null, "sum"}`: null is not covered; the sum is over the texts of the content digest |
//! | `history.ndjson` | `{"table", "id", "revisions": [{"ts", "document"}…]}`, values as in [`expected`](super::expected) |

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use convex_archiver::{
    Encoding, MemoryBudget, Sum, TableRef, Timestamp,
    archive::{Archive, Covers, Head},
    read::{History, State, StateOptions},
    testing::{
        codec::RowReader,
        data::{FileReader, WantedRows},
    },
};
use serde_json::{Map, Value as Json, json};

use super::expected;

/// Which of the possible questions are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Of all moments at which something was written every how manieth; those at which coverage changes always.
    pub(crate) moments: usize,
    /// Of all documents every how manieth.
    pub(crate) documents: usize,
}

/// Writes the files into `folder`.
pub(crate) async fn write(archive: &Archive, folder: &Path, asked: Asked) {
    let head = archive.head().await.unwrap();
    let through = head.coverage().through;
    let (mut tables, mut states, mut histories) = (Vec::new(), Vec::new(), Vec::new());
    let held = Held::of(archive, &head).await;
    for state in head.tables() {
        let table = &state.table;
        let known = &held.0[table];
        let mut documents = 0;
        for (n, id) in known.ids.iter().enumerate() {
            // Files of an open walk and of withdrawn bases have some that nobody sees.
            let revisions = history(archive, &head, table, id).await;
            documents += usize::from(!revisions.is_empty());
            if n % asked.documents == 0 {
                histories.push(json!({ "table": table.to_string(), "id": id, "revisions": revisions }));
            }
        }
        let covered: Vec<_> = head.coverage().spans(table).iter().map(|span| [span.from.0, span.to.0]).collect();
        tables.push(json!({ "table": table.to_string(), "covered": covered, "documents": documents }));
        for at in known.moments(&head, table, asked.moments) {
            states.push(state_at(archive, &head, table, at).await);
        }
    }
    let sum = head.state();
    let newest = json!({
        "version": head.version(),
        "digest": head.digest(),
        "count": sum.count,
        "sum": sum.sum.to_string(),
        "through": through.map(|ts| ts.0),
    });
    for (name, lines) in [("head", vec![newest]), ("tables", tables), ("states", states), ("history", histories)] {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(folder.join(format!("{name}.ndjson")), text).unwrap();
    }
}

/// What the live files of each table hold, whoever sees it.
struct Held(BTreeMap<TableRef, OfTable>);

#[derive(Default)]
struct OfTable {
    ids: BTreeSet<String>,
    written: BTreeSet<i64>,
}

impl Held {
    async fn of(archive: &Archive, head: &Head) -> Self {
        let mut held: BTreeMap<_, _> = head.tables().map(|state| (state.table.clone(), OfTable::default())).collect();
        let mut files = archive.live_files(head).await.unwrap();
        while let Some(file) = files.next().await.unwrap() {
            let schema = archive.schema(head, &file.table).await.unwrap();
            let mut reader =
                FileReader::open(std::sync::Arc::clone(archive.store()), &file, &WantedRows::default()).await.unwrap();
            let of_table = held.get_mut(&file.table).unwrap();
            while let Some(batch) = reader.next().await.unwrap() {
                let rows = RowReader::new(&schema, &batch).unwrap();
                for row in 0..batch.num_rows() {
                    let revision = rows.revision(row).unwrap();
                    of_table.ids.insert(revision.id);
                    of_table.written.insert(revision.ts.0);
                }
            }
        }
        Self(held)
    }
}

impl OfTable {
    /// Where coverage may change, what lies on both sides of that, and some of the moments at which something was written.
    fn moments(&self, head: &Head, table: &TableRef, every: usize) -> BTreeSet<Timestamp> {
        let coverage = head.coverage();
        let bases = coverage.bases.iter().map(|base| base.ts);
        let missing = coverage.missing(table);
        let edges = missing.iter().flat_map(|(from, to)| [*from, *to]).chain(bases).chain(coverage.through);
        let around = edges.flat_map(|edge| [-1, 0, 1].map(|by| Timestamp(edge.0.saturating_add(by))));
        let far = |ts: &Timestamp| (1..i64::MAX).contains(&ts.0);
        around.filter(far).chain(self.written.iter().step_by(every).map(|ts| Timestamp(*ts))).collect()
    }
}

async fn state_at(archive: &Archive, head: &Head, table: &TableRef, at: Timestamp) -> Json {
    if let Covers::NotCovered(_) = head.coverage().covers(table, at) {
        return json!({ "table": table.to_string(), "at": at.0, "documents": null });
    }
    let mut state = State::open(archive, head, table, at, &StateOptions::default()).await.unwrap();
    let (mut documents, mut sum, name) = (Map::new(), Sum::default(), json!(table.to_string()));
    while let Some(batch) = state.next().await.unwrap() {
        let texts = batch.documents().unwrap();
        for row in 0..batch.len() {
            let (id, ts) = (batch.id(row), batch.ts(row).0);
            let mut text = format!("[{name},{},{ts},", json!(id));
            texts.write_json(row, Encoding::ExportJson, &mut text).unwrap();
            text.push(']');
            sum.add(text.as_bytes());
            documents.insert(id.to_owned(), ts.into());
        }
    }
    json!({ "table": name, "at": at.0, "documents": documents, "sum": sum.sum.to_string() })
}

async fn history(archive: &Archive, head: &Head, table: &TableRef, id: &str) -> Vec<Json> {
    let mut history = History::open(archive, head, table, id, MemoryBudget::default()).await.unwrap();
    let mut revisions = Vec::new();
    while let Some(revision) = history.next().await.unwrap() {
        let document = revision.document.as_ref().map(|fields| expected::object(fields.iter()));
        revisions.push(json!({ "ts": revision.ts.0, "document": document }));
    }
    revisions
}
