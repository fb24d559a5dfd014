//! A base that the archive makes of its own state: the documents of a table at a moment, written down. Nothing is downloaded.
//!
//! Who makes one: `compact`, where changes have outgrown their base; `forget`, as a new beginning; `sync`, to correct a table, without the
//! documents that the deployment does not have.
//!
//! # Guarantees
//! 1. The files ascend by `_id`, inside and from one to the next, and their documents came in one encoding: where the rows of a state
//!    came in several, [`encoding_of`] says so, and no base can be made of it.
//! 2. Each file is complete in the store, and was read back and compared, before anything names it.
//! 3. What is held is bounded as in [`State`], and by the writer of one file.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch},
    compute::filter_record_batch,
    datatypes::SchemaRef,
};

use crate::{
    archive::{Archive, Base, BaseMaker, Covers, Head, Run},
    budget::MemoryBudget,
    codec::ContentSum,
    content::{ContentDigest, DigestShare},
    data::{DataFile, FileContext, FileReader, FileWriter, NewFile, RowsCheck, WantedRows, WriterOptions},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    layout,
    monitor::Monitor,
    position::{Phase, Scope},
    rows::{
        files::TableFiles,
        generations::numbers_at,
        state::{Columns, State, StateBatch, StateOptions},
    },
    schema::{Misfits, TableSchema},
};

/// The base and its files, written and not yet in a commit.
pub(crate) struct OwnBase {
    pub(crate) base: Base,
    pub(crate) files: Vec<DataFile>,
}

/// Which base is made.
pub(crate) struct NewBase<'a> {
    pub(crate) table: &'a TableRef,
    /// S.
    pub(crate) at: Timestamp,
    /// Whether the deltas did not tell what happened: no earlier base serves from S on.
    pub(crate) is_cut: bool,
    /// Who writes it. A run makes one base: both ids of bases and names of files hold its id, and are given once.
    pub(crate) run: &'a Run,
    pub(crate) now: Timestamp,
}

impl NewBase<'_> {
    /// Without documents: what a table is that was dropped or cleared.
    pub(crate) fn empty(&self) -> OwnBase {
        OwnBase { base: self.base(), files: Vec::new() }
    }

    fn base(&self) -> Base {
        let cuts = if self.is_cut { vec![self.table.clone()] } else { Vec::new() };
        let id = layout::base_id(self.now, &self.run.id);
        let scope = Scope::Tables(vec![self.table.clone()]);
        Base { made: BaseMaker::Archive, cuts, ..Base::new(id, self.at, scope, Vec::new()) }
    }
}

/// The encoding in which all rows came of which the state of a table at a moment is made; None, if they came in several, or the moment is
/// not covered. Of no rows at all the one in force.
pub(crate) fn encoding_of(head: &Head, files: &TableFiles, at: Timestamp) -> Option<Encoding> {
    let Covers::Covered(base) = head.coverage().covers(&files.table, at) else { return None };
    let mut encodings = files.of_state(base, at).map(|part| part.encoding);
    let first = encodings.next().or(head.latest().map(|latest| latest.encoding));
    first.filter(|first| encodings.all(|other| other == *first))
}

/// The same of a base that stands for all that came before it. None also, if the documents bear the numbers of several tables of that name: which of them
/// are the table's own, tombstones tell, and a base has none. That is left to whoever corrects the table.
pub(crate) fn encoding_of_one_generation(head: &Head, files: &TableFiles, at: Timestamp) -> Option<Encoding> {
    let Covers::Covered(base) = head.coverage().covers(&files.table, at) else { return None };
    if numbers_at(files, base, at).len() > 1 { None } else { encoding_of(head, files, at) }
}

/// How bases are written.
pub(crate) struct BaseWriter<'a> {
    pub(crate) archive: &'a Archive,
    pub(crate) head: &'a Head,
    pub(crate) budget: MemoryBudget,
    pub(crate) compression_level: i32,
    /// Stored bytes at which a file ends.
    pub(crate) target_file_bytes: u64,
    pub(crate) content_digest: DigestShare,
    pub(crate) monitor: Arc<dyn Monitor>,
}

impl BaseWriter<'_> {
    /// The state of the table at the base's moment, without the documents of these ids, which ascend. `encoding`: that of its rows.
    ///
    /// # Errors
    /// NotFound, if the state is not covered. Internal, if a file does not hold what was written. Otherwise as reading the state has them, and as the
    /// store says. The files that were written by then belong to nothing.
    pub(crate) async fn write(
        &self,
        new: &NewBase<'_>,
        files: &TableFiles,
        encoding: Encoding,
        without: &[String],
    ) -> Result<OwnBase> {
        let base = new.base();
        let all = StateOptions { columns: Columns::All, budget: self.budget, ..StateOptions::default() };
        let mut state = State::of_files(self.archive, self.head, files, new.at, &all)?;
        let (schema, columns) = (state.schema().clone(), Arc::clone(state.arrow_schema()));
        let mut without = without.iter().map(String::as_str).peekable();
        let mut written = Vec::new();
        let mut file: Option<OpenFile> = None;
        while let Some(batch) = state.next().await? {
            let rows = of_base(&rows_without(&batch, &mut without)?, new.at)?;
            if rows.num_rows() == 0 {
                continue;
            }
            let open = match &mut file {
                Some(file) => file,
                none => none.insert(self.open(new, &base, &schema, &columns, encoding, written.len() as u32)?),
            };
            open.sum.take_rows(&schema, &rows)?;
            open.writer.write(rows).await?;
            if open.writer.bytes() >= self.target_file_bytes
                && let Some(full) = file.take()
            {
                written.push(self.close(full, &schema, new.at).await?);
            }
        }
        if let Some(last) = file {
            written.push(self.close(last, &schema, new.at).await?);
        }
        Ok(OwnBase { base, files: written })
    }

    fn open(
        &self,
        new: &NewBase<'_>,
        base: &Base,
        schema: &TableSchema,
        columns: &SchemaRef,
        encoding: Encoding,
        counter: u32,
    ) -> Result<OpenFile> {
        let table = new.table;
        let known =
            self.head.table(table).ok_or_else(|| Error::internal(format!("table {table} is unknown: report it")))?;
        let month = layout::month_of(new.now);
        let file = NewFile {
            path: layout::snapshot_file(&known.folder, &month, &base.id, counter, &new.run.id),
            table: table.clone(),
            phase: Phase::Snapshot,
            base: Some(base.id.clone()),
            month,
            encoding,
            repeats: !new.is_cut,
            schema_id: schema.id,
        };
        let options = WriterOptions { compression_level: self.compression_level, ..self.budget.into() };
        let (store, monitor) = (Arc::clone(self.archive.store()), Arc::clone(&self.monitor));
        let writer = FileWriter::open(store, file, Arc::clone(columns), options, monitor)?;
        Ok(OpenFile { writer, sum: ContentSum::new(table, self.content_digest) })
    }

    async fn close(&self, file: OpenFile, schema: &TableSchema, s: Timestamp) -> Result<DataFile> {
        let digest = file.sum.digest();
        let made = file.writer.close(Misfits::new(), digest).await?;
        let context = FileContext { base: Some(s), ..FileContext::default() };
        let wrong = read_back(self.archive, &made, schema, context, digest, self.budget).await?;
        if wrong.is_empty() {
            return Ok(made);
        }
        let (path, wrong) = (&made.path, wrong.join("; "));
        Err(Error::internal(format!(
            "{path} does not contain the documents that were written to it, so nothing was committed: {wrong}: report \
             it"
        )))
    }
}

struct OpenFile {
    writer: FileWriter,
    sum: ContentSum,
}

/// Reads a file that was just written, and compares it with what its commit will say and with the digest of what was to be in it. What is
/// wrong, a sentence each.
///
/// # Errors
/// As reading a file has them.
pub(crate) async fn read_back(
    archive: &Archive,
    file: &DataFile,
    schema: &TableSchema,
    context: FileContext,
    expected: Option<ContentDigest>,
    budget: MemoryBudget,
) -> Result<Vec<String>> {
    let wanted = WantedRows { batch_bytes: budget.read_batch(), ..WantedRows::default() };
    let mut reader = FileReader::open(Arc::clone(archive.store()), file, &wanted).await?;
    let share = expected.map_or(DigestShare::Off, |digest| digest.share);
    let (mut found, mut rows) = (ContentSum::new(&file.table, share), RowsCheck::new(file, context));
    while let Some(batch) = reader.next().await? {
        found.take_rows(schema, &batch)?;
        rows.add(&batch)?;
    }
    let mut wrong = rows.end();
    if found.digest() != expected || reader.content()? != expected {
        wrong.push("its documents are different (the content digest differs)".to_owned());
    }
    Ok(wrong)
}

/// The rows of the batch without the documents of these ids, which ascend.
fn rows_without<'a>(
    batch: &StateBatch,
    without: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Result<RecordBatch> {
    let stays: BooleanArray = (0..batch.len())
        .map(|row| {
            while without.peek().is_some_and(|id| *id < batch.id(row)) {
                without.next();
            }
            Some(without.peek().is_none_or(|id| *id != batch.id(row)))
        })
        .collect();
    let rows = batch.to_record_batch()?;
    filter_record_batch(&rows, &stays).map_err(|e| Error::internal("rows cannot be picked").with_source(e))
}

/// The rows, as those of a base with this S.
fn of_base(rows: &RecordBatch, s: Timestamp) -> Result<RecordBatch> {
    let bad = |e| Error::internal("rows of a state have other columns than their table").with_source(e);
    let place = rows.schema().index_of("_base").map_err(bad)?;
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(Int64Array::from_value(s.0, rows.num_rows())) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).map_err(bad)
}
