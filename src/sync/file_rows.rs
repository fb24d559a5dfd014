//! The rows of one file of one table, from the first document until the file ends.
//!
//! The first documents are kept as text until their shapes have fixed the file's schema; from then on they go straight
//! into its columns.

use std::collections::VecDeque;

use arrow::array::RecordBatch;

use super::tables::KnownTable;
use crate::{
    codec::{Oddities, TableDecoder, observe},
    content::{ContentDigest, DigestShare},
    convex::{DocumentSpan, Page},
    document::{Encoding, Timestamp},
    error::{Result, ResultExt},
    schema::{Misfits, evolve, hint},
};

/// Text of the first documents, bytes, whose shapes fix the schema.
const SAMPLE: usize = 1 << 20;
/// At most this many of them: decoded, each takes a place in every column that all of them together make.
const SAMPLE_DOCUMENTS: usize = 2048;
/// Weight of a batch, bytes: small ones are as fast as large ones, and cost less memory.
const BATCH: usize = 2 << 20;
/// A file ends early once this many values came that the next one may have a column for …
const NEWCOMERS: u64 = 1_000;
/// … and it holds this many bytes of text, so that values which never get a column do not make tiny files.
const EARLY: usize = 8 << 20;
/// What the builders of a column hold before their first row, bytes.
const COLUMN: usize = 600;

/// Rows of one file.
#[derive(Debug)]
pub(super) struct FileRows {
    base: Option<Timestamp>,
    digest: DigestShare,
    state: State,
    /// Batches that are full, oldest first, and what they weigh.
    ready: VecDeque<RecordBatch>,
    ready_weight: usize,
    /// Bytes of documents so far.
    text: usize,
    /// Leaf columns that it has or will have, as far as is known.
    leaves: usize,
    pub(super) schema_id: u32,
    /// In which its documents come: a commit, and so each of its files, has one.
    pub(super) encoding: Encoding,
    pub(super) first_ts: Timestamp,
    pub(super) last_ts: Timestamp,
}

#[derive(Debug)]
enum State {
    Sample { text: String, documents: Vec<SampleRow> },
    Decode(Box<TableDecoder>),
}

#[derive(Debug)]
struct SampleRow {
    end: usize,
    read: usize,
    encoding: Encoding,
    ts: Timestamp,
    deleted: bool,
}

/// One revision as it stands in its page.
#[derive(Debug, Clone, Copy)]
pub(super) struct IncomingRow<'a> {
    pub(super) text: &'a str,
    /// How many bytes of it say nothing that is not said here.
    pub(super) read: usize,
    pub(super) encoding: Encoding,
    pub(super) ts: Timestamp,
    pub(super) deleted: bool,
}

impl<'a> IncomingRow<'a> {
    /// A revision of `page`, with its text.
    pub(super) fn of(page: &Page, document: &DocumentSpan, text: &'a str) -> Self {
        Self { text, read: document.read, encoding: page.encoding, ts: document.ts, deleted: document.deleted }
    }
}

impl FileRows {
    /// The rows of a file of a table, which begins with a revision of `first_ts`; `base` is S in the files of a base.
    pub(super) fn new(base: Option<Timestamp>, first_ts: Timestamp, encoding: Encoding, known: &KnownTable) -> Self {
        Self {
            base,
            digest: known.digest,
            state: State::Sample { text: String::new(), documents: Vec::new() },
            ready: VecDeque::new(),
            ready_weight: 0,
            text: 0,
            leaves: known.schema.leaves(),
            schema_id: known.schema.id,
            encoding,
            first_ts,
            last_ts: first_ts,
        }
    }

    /// Takes one revision.
    pub(super) fn push(&mut self, row: IncomingRow<'_>, known: &mut KnownTable) -> Result<()> {
        self.take(row, known).context(|| format!("table {}", known.table))
    }

    fn take(&mut self, row: IncomingRow<'_>, known: &mut KnownTable) -> Result<()> {
        self.text += row.text.len();
        self.last_ts = row.ts;
        match &mut self.state {
            State::Decode(_) => self.decode(row),
            State::Sample { text, documents } => {
                let IncomingRow { read, encoding, ts, deleted, .. } = row;
                text.push_str(row.text);
                documents.push(SampleRow { end: text.len(), read, encoding, ts, deleted });
                if text.len() >= SAMPLE || documents.len() >= SAMPLE_DOCUMENTS {
                    return self.fix(known);
                }
                Ok(())
            }
        }
    }

    fn decode(&mut self, row: IncomingRow<'_>) -> Result<()> {
        let State::Decode(decoder) = &mut self.state else { return Ok(()) };
        decoder.push_from(row.read, row.text, row.encoding, row.ts, row.deleted)?;
        if decoder.weight() >= BATCH {
            self.ready_weight += decoder.weight();
            self.ready.extend(decoder.flush()?);
        }
        Ok(())
    }

    /// Fixes the schema of the file and decodes what waited for it.
    fn fix(&mut self, known: &mut KnownTable) -> Result<()> {
        let State::Sample { text, documents } = &mut self.state else { return Ok(()) };
        let (text, documents) = (std::mem::take(text), std::mem::take(documents));
        let begins = std::iter::once(0).chain(documents.iter().map(|d| d.end));
        let rows = || {
            begins.clone().zip(&documents).map(|(begin, d)| IncomingRow {
                text: &text[begin..d.end],
                read: d.read,
                encoding: d.encoding,
                ts: d.ts,
                deleted: d.deleted,
            })
        };
        let mut seen = known.shape.as_deref().map(hint).unwrap_or_default();
        for row in rows().filter(|row| !row.deleted) {
            observe(row.text, row.encoding, &mut seen)?;
        }
        let schema = evolve(&known.schema, &seen, &known.misfits);
        if schema != known.schema {
            known.schema = schema;
            known.changed = true;
        }
        self.leaves = known.schema.leaves();
        self.schema_id = known.schema.id;
        let decoder = TableDecoder::new(&known.schema, self.base).with_content(&known.table, self.digest);
        self.state = State::Decode(Box::new(decoder));
        rows().try_for_each(|row| self.decode(row))
    }

    /// No row will follow: every row is in a batch then.
    pub(super) fn end(&mut self, known: &mut KnownTable) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        self.fix(known).context(|| format!("table {}", known.table))?;
        if let State::Decode(decoder) = &mut self.state {
            self.ready.extend(decoder.flush()?);
        }
        Ok(())
    }

    /// The next full batch.
    pub(super) fn batch(&mut self) -> Option<RecordBatch> {
        let batch = self.ready.pop_front();
        if self.ready.is_empty() {
            self.ready_weight = 0;
        }
        batch
    }

    /// Whether no revision has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.text == 0
    }

    /// Per field path and kind, how many values did not fit.
    pub(super) fn misfits(&self) -> Misfits {
        match &self.state {
            State::Decode(decoder) => decoder.misfits().clone(),
            State::Sample { .. } => Misfits::new(),
        }
    }

    /// How many odd documents came.
    pub(super) fn oddities(&self) -> Oddities {
        match &self.state {
            State::Decode(decoder) => decoder.oddities(),
            State::Sample { .. } => Oddities::default(),
        }
    }

    /// What came; `None` if it was not summed.
    pub(super) fn content(&self) -> Option<ContentDigest> {
        match &self.state {
            State::Decode(decoder) => decoder.content(),
            State::Sample { .. } => None,
        }
    }

    /// Whether another file would have columns for much of what this one rescues.
    pub(super) fn wants_columns(&self) -> bool {
        match &self.state {
            State::Decode(decoder) => decoder.newcomers() >= NEWCOMERS && self.text >= EARLY,
            State::Sample { .. } => false,
        }
    }

    /// Bytes that are held here, estimated from above.
    pub(super) fn weight(&self) -> usize {
        let open = match &self.state {
            State::Decode(decoder) => decoder.weight(),
            // It will be decoded beside its text.
            State::Sample { text, documents } => 2 * text.len() + 32 * documents.len(),
        };
        open + self.ready_weight + self.leaves * COLUMN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document::TableRef, schema::TableSchema};

    fn known(shape: Option<&str>) -> KnownTable {
        KnownTable {
            table: TableRef::new("", "t").unwrap(),
            folder: "t".to_owned(),
            schema: TableSchema::empty(),
            misfits: Misfits::new(),
            digest: DigestShare::default(),
            changed: false,
            shape: shape.map(ToOwned::to_owned),
        }
    }

    fn push(rows: &mut FileRows, known: &mut KnownTable, fields: &str, deleted: bool) {
        let text = format!(r#"{{"_id":"i","_creationTime":1.0{fields}}}"#);
        let row = IncomingRow { text: &text, read: 0, encoding: Encoding::ExportJson, ts: Timestamp(1), deleted };
        rows.push(row, known).unwrap();
    }

    fn columns(known: &KnownTable) -> Vec<&str> {
        known.schema.fields.iter().map(|f| f.column.as_str()).collect()
    }

    #[test]
    fn the_schema_is_fixed_by_the_hint_and_the_first_documents_and_kept_to_the_end() {
        let mut known = known(Some(r#"{"properties":{"hinted":{"type":"string"}}}"#));
        let mut rows = FileRows::new(None, Timestamp(1), Encoding::ExportJson, &known);
        push(&mut rows, &mut known, r#","gone":1"#, true);
        for _ in 1..SAMPLE_DOCUMENTS {
            push(&mut rows, &mut known, r#","seen":1"#, false);
        }
        assert_eq!((columns(&known), known.changed), (vec!["hinted", "seen"], true));
        push(&mut rows, &mut known, r#","late":1"#, false);
        rows.end(&mut known).unwrap();
        let mut count = 0;
        while let Some(batch) = rows.batch() {
            count += batch.num_rows();
        }
        assert_eq!((count, rows.schema_id, columns(&known)), (SAMPLE_DOCUMENTS + 1, 1, vec!["hinted", "seen"]));

        known.changed = false;
        let mut rows = FileRows::new(None, Timestamp(1), Encoding::ExportJson, &known);
        push(&mut rows, &mut known, r#","late":1"#, false);
        rows.end(&mut known).unwrap();
        assert_eq!((columns(&known), known.changed), (vec!["hinted", "seen", "late"], true));
    }

    #[test]
    fn a_file_with_little_text_never_ends_early() {
        let mut known = known(None);
        let mut rows = FileRows::new(None, Timestamp(1), Encoding::ExportJson, &known);
        for _ in 0..SAMPLE_DOCUMENTS {
            push(&mut rows, &mut known, "", false);
        }
        for _ in 0..NEWCOMERS {
            push(&mut rows, &mut known, r#","late":1"#, false);
        }
        assert!(!rows.wants_columns());
        let long = format!(r#","late":"{}""#, "x".repeat(EARLY));
        push(&mut rows, &mut known, &long, false);
        assert!(rows.wants_columns());
    }
}
