//! [`export()`]: the state at a moment as plain files, for those who want the documents and nothing of the archive's
//! machinery. An archive's own folder holds every revision and every tombstone.
//!
//! ```text
//! tables/messages/part-00000.parquet                     folders as in the archive: unique, whatever the case of names
//! components/waitlist/tables/users/part-00000.parquet
//! export.json                                            written last: what was exported, as of when
//! ```
//!
//! # What each format keeps
//! `ndjson` is Convex's own export format, lossless. `parquet` has the archive's typed columns; absent and null are both
//! NULL; each row is as a file of today would hold it. `csv` has a column a field, nested values as JSON text; absent and null are
//! both empty, an empty text is `""`. In both, what has no place in a column is in `_rescued`, a column that is there only in tables
//! that need it.

mod files;
mod options;
mod report;
mod text;

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use self::{files::FileSet, text::Csv};
pub use self::{
    options::{ExportFormat, ExportOptions},
    report::{ExportReport, ExportedTable},
};
use crate::{
    archive::{Archive, Head},
    codec::TableDecoder,
    document::Encoding,
    error::{Error, Result, ResultExt},
    monitor::{Event, FindingCounter, FindingCounts, Monitor},
    rows::{
        common::all_covered,
        damage::Damage,
        doubt::{doubted_at, refuse_doubted},
        files::FilesByTable,
        generations::left_behind,
        state::{Columns, State, StateBatch, StateOptions},
    },
    schema::OwnColumn,
    store::store_error,
};

/// The object that says what was exported: there once all files are.
const SUMMARY: &str = "export.json";

/// Writes the state of the selected tables to `target`, which must be empty. `export.json` comes last: without it an export is not
/// complete.
///
/// # Errors
/// Usage, if the target holds something; NotFound, if a selected table is not covered at the moment, or is in doubt and that was not
/// accepted; Corrupt, if a cell is not what it
/// should be; as reading the archive's files and writing to the target has them.
pub async fn export(
    archive: &Archive,
    head: &Head,
    options: &ExportOptions,
    monitor: &dyn Monitor,
) -> Result<ExportReport> {
    let target = &options.target;
    let monitor = &FindingCounter::new(monitor);
    let selected = head.tables().filter(|state| options.selection.contains(&state.table)).collect::<Vec<_>>();
    // Before anything is written.
    let tables: Vec<_> = selected.iter().map(|state| &state.table).collect();
    all_covered(head, &tables, options.at, "--as-of ")?;
    if !options.accept_doubt {
        refuse_doubted(head, &tables, options.at, Some("--as-of "))?;
    }
    must_be_empty(target).await?;
    let mut report = ExportReport {
        as_of: options.at,
        as_of_ts: options.at.0.to_string(),
        format: options.format,
        tables: Vec::with_capacity(selected.len()),
        damaged: Vec::new(),
        doubted: doubted_at(head, tables, options.at),
        findings: FindingCounts::default(),
    };
    let damage = Damage::default();
    let mut files = FilesByTable::open(archive, head).await?;
    for (number, known) in (1..).zip(&selected) {
        let table = &known.table;
        monitor.report(Event::Reading { table, number, tables: selected.len() as u64 });
        let accepted = damage.of(table, options.accept_damage.as_ref());
        let all = StateOptions { budget: options.budget, columns: Columns::All, damage: accepted.clone(), after: None };
        let of_table = files.of(table).await?;
        let left_behind = left_behind(archive, head, &of_table, options.at, options.budget, accepted).await?;
        let state = State::of_files(archive, head, &of_table, options.at, &all)?;
        let rescued = known.visible().rescued_rows > 0;
        let (set, documents) = table_files(state, rescued, &known.folder, options, target, monitor)
            .await
            .context(|| format!("table {table}"))?;
        let (table, folder, bytes) = (table.clone(), known.folder.clone(), set.bytes());
        report.tables.push(ExportedTable { table, folder, files: set.into_names(), documents, bytes, left_behind });
    }
    report.findings = monitor.counts();
    report.damaged = damage.files();
    let summary = serde_json::to_vec_pretty(&report)
        .map_err(|e| Error::internal("cannot write the summary of the export as JSON: report it").with_source(e))?;
    let put = target.put(&Path::from(SUMMARY), summary.into()).await;
    put.map_err(|e| store_error(e, &format!("cannot write {SUMMARY}")))?;
    Ok(report)
}

/// Files of an earlier export would be read together with these.
async fn must_be_empty(target: &Arc<dyn ObjectStore>) -> Result<()> {
    match target.list(None).next().await {
        None => Ok(()),
        Some(Err(e)) => Err(store_error(e, "cannot list the destination")),
        Some(Ok(found)) => Err(Error::usage(format!(
            "the destination is not empty, it contains {}: choose an empty location for the export",
            found.location
        ))),
    }
}

/// One table: its files, and the number of its documents.
async fn table_files(
    mut state: State,
    rescued: bool,
    folder: &str,
    options: &ExportOptions,
    target: &Arc<dyn ObjectStore>,
    monitor: &dyn Monitor,
) -> Result<(FileSet, u64)> {
    let schema = Arc::clone(state.arrow_schema());
    let kept: Vec<usize> = (0..schema.fields().len()).filter(|i| is_kept(schema.field(*i).name(), rescued)).collect();
    let not_chosen = |e| Error::internal("columns cannot be chosen: report it").with_source(e);
    let csv = Csv::new(state.schema(), rescued);
    let header = if options.format == ExportFormat::Csv { csv.header() } else { String::new() };
    let plain = schema.project(&kept).map_err(not_chosen)?;
    let mut set = FileSet::new(Arc::clone(target), folder, options, Arc::new(plain), header);
    // Where nothing was rescued the columns of old files are those of a new one.
    let mut decoder = rescued.then(|| TableDecoder::new(state.schema(), None));
    let mut documents = 0;
    let outcome = async {
        while let Some(batch) = state.next().await? {
            let before = set.bytes();
            match options.format {
                ExportFormat::Parquet => {
                    let rows = match &mut decoder {
                        Some(decoder) => in_newest_columns(decoder, &batch)?,
                        None => batch.to_record_batch()?,
                    };
                    set.rows(&rows.project(&kept).map_err(not_chosen)?)?;
                }
                ExportFormat::Ndjson => {
                    let rows = batch.documents()?;
                    for row in 0..batch.len() {
                        let text = set.text();
                        rows.write_json(row, Encoding::ExportJson, text)?;
                        text.push('\n');
                    }
                }
                ExportFormat::Csv => {
                    let rows = batch.documents()?;
                    for row in 0..batch.len() {
                        csv.line(rows.revision(row)?.document.unwrap_or_default(), set.text());
                    }
                }
            }
            set.send().await?;
            documents += batch.len() as u64;
            monitor.report(Event::Documents { documents: batch.len() as u64, bytes: set.bytes() - before });
        }
        set.end().await
    };
    match outcome.await {
        Ok(()) => Ok((set, documents)),
        Err(error) => {
            set.abort(monitor).await;
            Err(error)
        }
    }
}

/// The documents as a file of today would have them: what was rescued because its column came later stands in the column.
fn in_newest_columns(decoder: &mut TableDecoder, batch: &StateBatch) -> Result<RecordBatch> {
    let rows = batch.documents()?;
    let mut text = String::new();
    for row in 0..batch.len() {
        text.clear();
        rows.write_json(row, Encoding::ExportJson, &mut text)?;
        decoder.push(&text, Encoding::ExportJson, batch.ts(row), false)?;
    }
    decoder.flush()?.ok_or_else(|| Error::internal("a state gave a batch without documents: report it"))
}

/// Whether a column belongs to the documents.
fn is_kept(column: &str, rescued: bool) -> bool {
    match column {
        _ if column == OwnColumn::Id.name() || column == OwnColumn::CreationTime.name() => true,
        _ if column == OwnColumn::Rescued.name() => rescued,
        _ => !OwnColumn::ALL.iter().any(|own| own.name() == column),
    }
}
