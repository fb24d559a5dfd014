//! [`State`]: the documents of a table at a moment, in the order of their `_id`s, in bounded memory.
//!
//! ```text
//! files of the base, in order ───────────── decoded ahead ─┐
//! deltas in (S, T] ─ decoded ahead ─> sorted into runs ────┴─ merged: the newest revision of each _id, no tombstones
//! ```
//!
//! # Why the base is not sorted
//! Its files lie in the order of `_id` already, and do not overlap: they are read one after another and nothing of them
//! is held. A file that is marked as not ascending, or whose `_id`s overlap with another's, is sorted like deltas.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use derive_setters::Setters;
use object_store::ObjectStore;

use super::{
    damage::Damage,
    feed::Feed,
    files::{Part, TableFiles},
    keyed::PickedRows,
    merge::Keep,
    moment::base_at,
    sort::Limits,
    sorted::{Plan, columns, key_columns, sorted},
};
use crate::{
    archive::{Archive, Base, Head},
    budget::MemoryBudget,
    codec::RowReader,
    data::WantedRows,
    document::{Encoding, Revision, TableRef, Timestamp},
    error::{Result, ResultExt},
    position::BaseId,
    schema::TableSchema,
};

/// How a state is read.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct StateOptions {
    /// The memory that it may take; two states at once take twice as much of it.
    pub budget: MemoryBudget,
    /// What is wanted of each document.
    pub columns: Columns,
    /// Only documents whose `_id` is larger, by bytes.
    pub after: Option<String>,
    /// Where rows that cannot be read are listed; they are left out. Without it damage is an error.
    pub damage: Option<Damage>,
}

/// What is wanted of each document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Columns {
    /// All of it.
    #[default]
    All,
    /// `_id` and `_ts`: enough to count, and to compare two states, since one `_ts` of one `_id` is one revision.
    Keys,
}

/// The documents of one table at one moment.
///
/// Guarantees:
/// 1. `_id`s ascend strictly, by bytes, over all batches; of each the newest revision at or before the moment, and none
///    that is a tombstone.
/// 2. What is held is bounded by the budget, whatever the number and size of documents and revisions, but for some 300
///    bytes per data file of the table. What does not fit lies in temporary files without a name.
/// 3. Dropped at any time, it ends its threads and leaves nothing.
pub struct State {
    table: TableRef,
    at: Timestamp,
    base: Base,
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    parts: Arc<[Part]>,
    batches: Feed<PickedRows>,
}

/// Some documents of a state.
#[derive(Debug)]
pub struct StateBatch {
    picked: PickedRows,
    /// All files of the table.
    parts: Arc<[Part]>,
    base: BaseId,
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
}

impl State {
    /// The state of `table` at `at`.
    ///
    /// # Errors
    /// NotFound, if the archive has no such table, or does not cover it at that moment: the message names the moments
    /// that it covers. What goes wrong while reading comes with [`next`](Self::next).
    pub async fn open(
        archive: &Archive,
        head: &Head,
        table: &TableRef,
        at: Timestamp,
        options: &StateOptions,
    ) -> Result<Self> {
        // Before the files are looked up, which may take a while.
        base_at(head, table, at)?;
        let files = TableFiles::of(archive, head, table).await?;
        Self::of_files(archive, head, &files, at, options)
    }

    /// The same, where the table's files are known.
    #[doc(hidden)]
    pub fn of_files(
        archive: &Archive,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        options: &StateOptions,
    ) -> Result<Self> {
        let limits = Limits::from(options.budget);
        Self::within(archive.store(), head, files, at, options, limits)
    }

    /// The keys of its documents, and of those that were deleted.
    pub(crate) fn of_keys_and_tombstones(
        archive: &Archive,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        budget: MemoryBudget,
        damage: Option<Damage>,
    ) -> Result<Self> {
        let keys = StateOptions { budget, columns: Columns::Keys, after: None, damage };
        Self::planned(archive.store(), head, files, at, &keys, budget.into(), true)
    }

    /// No state, but every revision that was written after `after`, up to `through`, tombstones too: by `_id`, then `_ts`.
    pub(crate) fn revisions(
        archive: &Archive,
        head: &Head,
        files: &TableFiles,
        after: Timestamp,
        through: Timestamp,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let (_, base) = base_at(head, &files.table, through)?;
        let options = StateOptions { budget, ..StateOptions::default() };
        // No file belongs to it.
        let moments = Base { id: BaseId(String::new()), ts: after, ..base.clone() };
        let all = plan(files, &files.schema, &moments, through, &options, budget.into())?;
        let plan = Plan { in_order: Vec::new(), keep: Keep::EachTs, tombstones: true, ..all };
        let arrow = Arc::clone(&plan.columns);
        let batches = sorted(archive.store(), plan)?;
        let (schema, parts) = (Arc::clone(&files.schema), Arc::clone(&files.parts));
        Ok(Self { table: files.table.clone(), at: through, base: base.clone(), schema, arrow, parts, batches })
    }

    fn within(
        store: &Arc<dyn ObjectStore>,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        options: &StateOptions,
        limits: Limits,
    ) -> Result<Self> {
        Self::planned(store, head, files, at, options, limits, false)
    }

    fn planned(
        store: &Arc<dyn ObjectStore>,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        options: &StateOptions,
        limits: Limits,
        tombstones: bool,
    ) -> Result<Self> {
        let table = &files.table;
        let (_, base) = base_at(head, table, at)?;
        let schema = Arc::clone(&files.schema);
        let plan = Plan { tombstones, ..plan(files, &schema, base, at, options, limits)? };
        let arrow = Arc::clone(&plan.columns);
        let batches = sorted(store, plan)?;
        let parts = Arc::clone(&files.parts);
        Ok(Self { table: table.clone(), at, base: base.clone(), schema, arrow, parts, batches })
    }

    /// The table.
    pub fn table(&self) -> &TableRef {
        &self.table
    }

    /// The moment.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The base from which it is computed.
    #[doc(hidden)]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The newest schema of the table.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// The schema of [`StateBatch::to_record_batch`].
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The next documents; None after the last. Never an empty batch. Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// As reading the archive's files has them; Resource, if a temporary file cannot be written.
    pub async fn next(&mut self) -> Result<Option<StateBatch>> {
        let next = self.batches.next().await.context(|| format!("table {}", self.table))?;
        Ok(next.map(|picked| StateBatch {
            picked,
            parts: Arc::clone(&self.parts),
            base: self.base.id.clone(),
            schema: Arc::clone(&self.schema),
            arrow: Arc::clone(&self.arrow),
        }))
    }
}

impl StateBatch {
    /// Number of documents.
    pub fn len(&self) -> usize {
        self.picked.rows.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.picked.rows.is_empty()
    }

    /// `_id` of the document in `row`.
    pub fn id(&self, row: usize) -> &str {
        let (batch, row) = self.picked.place(row);
        batch.id(row)
    }

    /// `_ts` of its newest revision at the moment of the state.
    pub fn ts(&self, row: usize) -> Timestamp {
        let (batch, row) = self.picked.place(row);
        Timestamp(batch.ts(row))
    }

    /// Whether the row says that its document was deleted; never, but of a state of keys and tombstones.
    pub(crate) fn is_tombstone(&self, row: usize) -> bool {
        let (batch, row) = self.picked.place(row);
        batch.is_tombstone(row)
    }

    /// The document in `row`, lossless. For many: [`documents`](Self::documents).
    ///
    /// # Errors
    /// Corrupt, if a file has other columns than the archive says, or cells that contradict one another.
    pub fn revision(&self, row: usize) -> Result<Revision> {
        let (source, at) = self.picked.place(row);
        let reader = RowReader::new(&self.schema, &source.batch)?;
        reader.revision(at).context(|| self.file_of(row))
    }

    /// The documents, to be read one by one.
    ///
    /// # Errors
    /// Corrupt, if a file has other columns than the archive says; so it is of a state of [`Columns::Keys`].
    pub fn documents(&self) -> Result<StateDocuments<'_>> {
        let readers = self.picked.sources.iter().map(|source| RowReader::new(&self.schema, &source.batch));
        Ok(StateDocuments { batch: self, readers: readers.collect::<Result<_>>()? })
    }

    /// The file that holds `row`, for an error; rarely one of several.
    fn file_of(&self, row: usize) -> String {
        let (id, ts) = (self.id(row), self.ts(row));
        let of_state = |part: &&Part| part.base().is_none_or(|base| *base == self.base);
        let holds = |part: &&Part| part.file.min_ts <= ts && ts <= part.file.max_ts && part.may_hold(id);
        let paths: Vec<_> =
            self.parts.iter().filter(of_state).filter(holds).map(|part| part.file.path.as_str()).collect();
        format!("file {}", paths.join(" or "))
    }

    /// The documents as one batch, in the columns of the newest schema ([`State::arrow_schema`]).
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        self.picked.to_batch(&self.arrow)
    }
}

/// The documents of a [`StateBatch`].
pub struct StateDocuments<'a> {
    batch: &'a StateBatch,
    readers: Vec<RowReader<'a>>,
}

impl StateDocuments<'_> {
    /// The document in `row`, lossless.
    ///
    /// # Errors
    /// Corrupt, if its cells contradict one another.
    pub fn revision(&self, row: usize) -> Result<Revision> {
        let (source, at) = self.batch.picked.rows[row];
        self.readers[source].revision(at).context(|| self.batch.file_of(row))
    }

    /// Appends the document in `row` as JSON text in `encoding`, keys sorted: without making a tree of it where that can be
    /// avoided.
    ///
    /// # Errors
    /// As [`revision`](Self::revision); Corrupt also if a cell that should hold JSON text holds none.
    pub fn write_json(&self, row: usize, encoding: Encoding, out: &mut String) -> Result<()> {
        let (source, at) = self.batch.picked.rows[row];
        self.readers[source].write_json(at, encoding, out).context(|| self.batch.file_of(row))
    }
}

/// Which files are read for a state, and how.
fn plan(
    files: &TableFiles,
    schema: &TableSchema,
    base: &Base,
    at: Timestamp,
    options: &StateOptions,
    limits: Limits,
) -> Result<Plan> {
    let keys = options.columns == Columns::Keys;
    // The least `_id` that is larger: the same with the least character behind it.
    let min_id = options.after.as_ref().map(|after| format!("{after}\0"));
    let within = |part: &&Part| match (&min_id, &part.ids) {
        (Some(least), Some((_, largest))) => least <= largest,
        _ => true,
    };
    let mut wanted = WantedRows {
        columns: keys.then(key_columns),
        batch_rows: limits.rows,
        batch_bytes: limits.file_batch,
        ..WantedRows::default()
    };
    let with = |wanted: &WantedRows, part: &Part| {
        let least = part.ids.as_ref().map(|(least, _)| least);
        let min_id = min_id.clone().filter(|wanted| least.is_none_or(|least| wanted > least));
        (part.clone(), WantedRows { min_id, ..wanted.clone() })
    };
    let mut of_base: Vec<_> = files.parts.iter().filter(|part| part.is_of(base)).filter(within).collect();
    of_base.sort_by(|a, b| (&a.ids, &a.file.path).cmp(&(&b.ids, &b.file.path)));
    let apart = in_order(&of_base);
    let (ordered, mut rest): (Vec<_>, Vec<_>) = of_base.into_iter().zip(apart).partition(|(_, in_order)| *in_order);
    rest.sort_by(|(a, _), (b, _)| a.seniority().cmp(&b.seniority()));
    let in_order = ordered.into_iter().map(|(part, _)| with(&wanted, part)).collect();
    let mut unsorted: Vec<_> = rest.into_iter().map(|(part, _)| with(&wanted, part)).collect();

    let moments = Timestamp(base.ts.0.saturating_add(1))..=at;
    let deltas = files.parts.iter().filter(|part| at > base.ts && part.has_deltas(&moments)).filter(within);
    let mut deltas: Vec<_> = deltas.collect();
    deltas.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
    for part in deltas {
        let bounds = (!part.is_within(&moments)).then_some(&moments);
        (wanted.min_ts, wanted.max_ts) = (bounds.map(|m| *m.start()), bounds.map(|m| *m.end()));
        unsorted.push(with(&wanted, part));
    }
    let columns = columns(schema, keys)?;
    let damage = options.damage.clone();
    Ok(Plan { in_order, unsorted, columns, keep: Keep::Newest, tombstones: false, limits, damage })
}

/// Which of the files, sorted by their least `_id`, ascend and share no `_id` with another. Where the ids of one were erased,
/// none does.
fn in_order(parts: &[&Part]) -> Vec<bool> {
    let bounds: Option<Vec<_>> = parts.iter().map(|part| part.ids.as_ref()).collect();
    let Some(bounds) = bounds else { return vec![false; parts.len()] };
    let mut in_order: Vec<_> = parts.iter().map(|part| part.ids_ascend).collect();
    // The one that reaches farthest so far.
    let mut farthest = 0;
    for next in 1..parts.len() {
        if bounds[next].0 <= bounds[farthest].1 {
            (in_order[next], in_order[farthest]) = (false, false);
        }
        if bounds[next].1 > bounds[farthest].1 {
            farthest = next;
        }
    }
    in_order
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
