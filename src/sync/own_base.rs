//! A base that the archive makes of its own state: the documents of a table at a moment, without those that the deployment does not have.
//! Nothing is downloaded.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch},
    compute::filter_record_batch,
};

use super::{input::RunInput, run::SyncRun};
use crate::{
    archive::{Archive, Base, BaseMaker, Head},
    codec::ContentSum,
    content::DigestShare,
    data::{DataFile, FileWriter, NewFile, WriterOptions},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    layout,
    position::{Phase, Scope},
    rows::{
        files::TableFiles,
        state::{Columns, State, StateOptions},
    },
    schema::Misfits,
};

/// The base and its files, written and not yet in a commit.
pub(super) struct OwnBase {
    pub(super) base: Base,
    pub(super) files: Vec<DataFile>,
}

/// The encoding in which all rows of a table came; None, if they came in several: a base has one a file, and is asked for anew then.
pub(super) async fn encoding_of(archive: &Archive, head: &Head, table: &TableRef) -> Result<Option<Encoding>> {
    let mut live = archive.live_files_of(head, table).await?;
    let mut found = None;
    while let Some(file) = live.next().await? {
        if found.is_some_and(|known| known != file.encoding) {
            return Ok(None);
        }
        found = Some(file.encoding);
    }
    Ok(found)
}

/// A base without documents: what a table is that was dropped or cleared.
pub(super) fn empty(run: &SyncRun, input: &RunInput<'_>, table: &TableRef, at: Timestamp) -> OwnBase {
    OwnBase { base: base_of(run, input, table, at), files: Vec::new() }
}

fn base_of(run: &SyncRun, input: &RunInput<'_>, table: &TableRef, at: Timestamp) -> Base {
    let id = layout::base_id(input.clock.now(), &run.writer.id);
    let scope = Scope::Tables(vec![table.clone()]);
    Base { made: BaseMaker::Archive, cuts: vec![table.clone()], ..Base::new(id, at, scope, Vec::new()) }
}

/// The state of `table` at `at` without the documents of these ids, which ascend.
pub(super) async fn without(
    run: &SyncRun,
    input: &RunInput<'_>,
    table: &TableRef,
    at: Timestamp,
    extras: &[String],
    encoding: Encoding,
) -> Result<OwnBase> {
    let (archive, head, options) = (input.archive, &run.head, input.options);
    let base = base_of(run, input, table, at);
    let known = head.table(table).ok_or_else(|| Error::internal(format!("table {table} is unknown: report it")))?;
    let all = StateOptions { columns: Columns::All, budget: options.budget, ..StateOptions::default() };
    let files = TableFiles::of(archive, head, table).await?;
    let mut state = State::of_files(archive, head, &files, at, &all)?;
    let month = layout::month_of(input.clock.now());
    let (schema, columns) = (state.schema().clone(), state.arrow_schema().clone());
    let new_file = |counter: u32| NewFile {
        path: layout::snapshot_file(&known.folder, &month, &base.id, counter, &run.writer.id),
        table: table.clone(),
        phase: Phase::Snapshot,
        base: Some(base.id.clone()),
        month: month.clone(),
        encoding,
        repeats: false,
        schema_id: schema.id,
    };
    let writer_options = WriterOptions { compression_level: options.compression_level, ..options.budget.into() };
    let open = |counter| {
        let store = Arc::clone(archive.store());
        let writer = FileWriter::open(
            store,
            new_file(counter),
            Arc::clone(&columns),
            writer_options,
            Arc::clone(&input.monitor),
        );
        writer.map(|writer| (writer, ContentSum::new(table, options.content_digest)))
    };
    let mut extras = extras.iter().peekable();
    let mut written = Vec::new();
    let mut file: Option<(FileWriter, ContentSum)> = None;
    while let Some(batch) = state.next().await? {
        let stays: BooleanArray = (0..batch.len())
            .map(|row| {
                while extras.peek().is_some_and(|extra| extra.as_str() < batch.id(row)) {
                    extras.next();
                }
                Some(extras.peek().is_none_or(|extra| extra.as_str() != batch.id(row)))
            })
            .collect();
        let rows = batch.to_record_batch()?;
        let rows =
            filter_record_batch(&rows, &stays).map_err(|e| Error::internal("rows cannot be picked").with_source(e))?;
        if rows.num_rows() == 0 {
            continue;
        }
        let rows = of_base(&rows, at)?;
        let (writer, sum) = match &mut file {
            Some(file) => file,
            none => none.insert(open(written.len() as u32)?),
        };
        if options.content_digest != DigestShare::Off {
            sum.take_rows(&schema, &rows)?;
        }
        writer.write(rows).await?;
        if writer.bytes() >= options.target_file_bytes
            && let Some((writer, sum)) = file.take()
        {
            written.push(writer.close(Misfits::new(), sum.digest()).await?);
        }
    }
    if let Some((writer, sum)) = file {
        written.push(writer.close(Misfits::new(), sum.digest()).await?);
    }
    Ok(OwnBase { base, files: written })
}

/// The rows, as those of a base with this S.
fn of_base(rows: &RecordBatch, s: Timestamp) -> Result<RecordBatch> {
    let bad = |e| Error::internal("rows of a state have other columns than their table").with_source(e);
    let place = rows.schema().index_of("_base").map_err(bad)?;
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(Int64Array::from_value(s.0, rows.num_rows())) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns).map_err(bad)
}
