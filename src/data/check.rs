//! [`RowsCheck`]: whether the rows of a data file are those of which its commit speaks. Pure: it is given all rows of the file, and
//! says what is wrong.

use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch},
    datatypes::Int64Type,
};

use super::{DataFile, frame::Frame, tally::Tally};
use crate::{
    document::{Timestamp, is_document_id},
    error::{Error, Result},
    position::Phase,
    schema::OwnColumn,
};

/// Sentences about one file that are kept: whoever has that many needs no more.
const MOST: usize = 8;

/// What is known of a file beside what its commit says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileContext {
    /// S of its base, nanoseconds; None for deltas, and where the base is not known.
    pub(crate) base: Option<Timestamp>,
    /// Whether the documents of its table have ids as Convex makes them.
    pub(crate) convex_ids: bool,
}

/// Counts the rows of a file, and compares them with what its commit says.
#[derive(Debug)]
pub(crate) struct RowsCheck<'a> {
    file: &'a DataFile,
    context: FileContext,
    tally: Tally,
    /// The `_ts` of the last row, while they ascend.
    last_ts: Option<i64>,
    wrong: Vec<String>,
}

impl<'a> RowsCheck<'a> {
    pub(crate) fn new(file: &'a DataFile, context: FileContext) -> Self {
        Self { file, context, tally: Tally::default(), last_ts: None, wrong: Vec::new() }
    }

    /// Takes the next rows, in their order.
    ///
    /// # Errors
    /// Corrupt, if they have not the columns that every file has.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let unframed = |e: Error| Error::corrupt("its columns are not those of a data file").with_source(e);
        self.tally.add(batch).map_err(unframed)?;
        let frame = Frame::of(batch).map_err(unframed)?;
        if frame.id.null_count() + frame.ts.null_count() + frame.tombstone.null_count() > 0 {
            return Err(Error::corrupt("a row of it has no _id, _ts or _tombstone"));
        }
        let nulls = batch.column_by_name(OwnColumn::Nulls.name());
        let set = |row: usize| {
            frame.creation_time.is_valid(row)
                || frame.rescued.is_valid(row)
                || nulls.is_some_and(|nulls| nulls.is_valid(row))
        };
        let rows = 0..batch.num_rows();
        if let Some(row) = rows.clone().find(|row| frame.tombstone.value(*row) && set(*row)) {
            self.note(format!("the tombstone of {} has values", frame.id.value(row)));
        }
        if let Some(row) = rows.clone().find(|row| !frame.tombstone.value(*row) && frame.creation_time.is_null(*row)) {
            self.note(format!("the document {} has no _creationTime", frame.id.value(row)));
        }
        if self.context.convex_ids
            && let Some(row) = rows.clone().find(|row| !is_document_id(frame.id.value(*row)))
        {
            self.note(format!("`{}` is not the id of a document", frame.id.value(row).escape_debug()));
        }
        self.check_base(batch);
        if self.file.phase == Phase::Delta {
            self.check_order(frame.ts);
        }
        Ok(())
    }

    /// `_base` is S in the files of a base, and nothing in deltas.
    fn check_base(&mut self, batch: &RecordBatch) {
        let column = batch.column_by_name(OwnColumn::Base.name());
        let Some(bases) = column.and_then(|column| column.as_primitive_opt::<Int64Type>()) else {
            self.note("it has no column _base".to_owned());
            return;
        };
        let is_wrong = match (self.file.phase, self.context.base) {
            (Phase::Delta, _) => bases.null_count() < bases.len(),
            (Phase::Snapshot, Some(s)) => bases.null_count() > 0 || bases.iter().flatten().any(|base| base != s.0),
            (Phase::Snapshot, None) => bases.null_count() > 0,
        };
        if is_wrong {
            self.note("its _base is not the moment of its base".to_owned());
        }
    }

    fn check_order(&mut self, moments: &Int64Array) {
        for ts in moments.values() {
            if self.last_ts.is_some_and(|last| last > *ts) {
                self.note("its rows are not in the order of _ts".to_owned());
            }
            self.last_ts = Some(*ts);
        }
    }

    fn note(&mut self, wrong: String) {
        if self.wrong.len() < MOST && !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }

    /// All rows were given: what is wrong, a sentence each.
    pub(crate) fn end(mut self) -> Vec<String> {
        let Self { file, tally, .. } = &self;
        let mut wrong = Vec::new();
        let mut number = |what: &str, said: u64, found: u64| {
            if said != found {
                wrong.push(format!("its commit says {said} {what}, but it has {found}"));
            }
        };
        number("rows", file.rows, tally.rows);
        number("tombstones", file.tombstones, tally.tombstones);
        number("rows with rescued values", file.rescued_rows, tally.rescued_rows);
        if tally.rows > 0 && (file.min_ts.0, file.max_ts.0) != (tally.min_ts, tally.max_ts) {
            wrong.push("its first or last _ts is not the one that its commit says".to_owned());
        }
        let created = tally.created.bounds().unzip();
        if (file.min_created, file.max_created) != created {
            wrong.push("its first or last _creationTime is not the one that its commit says".to_owned());
        }
        let said = |said: &Option<String>, found: &str| said.as_ref().is_none_or(|said| said == found);
        if !said(&file.min_id, &tally.min_id) || !said(&file.max_id, &tally.max_id) {
            wrong.push("its first or last _id is not the one that its commit says".to_owned());
        }
        if file.ids_ascend != tally.ids_ascend {
            wrong.push("its commit is wrong about whether its ids ascend".to_owned());
        }
        wrong.into_iter().for_each(|wrong| self.note(wrong));
        self.wrong
    }
}
