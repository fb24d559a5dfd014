//! [`restore()`]: the state at a moment as a ZIP that `npx convex import` takes. [`plan_restore`]: the same without the file.
//!
//! ```text
//! _tables/documents.jsonl                  {"name":"messages","id":10001}: the number that all ids of the table bear
//! messages/documents.jsonl                 a document a line, export_json, keys sorted, no `_ts`
//! messages/generated_schema.jsonl          "uniform": numbers are told by their spelling
//! _components/waitlist/…                   the same for a component, nested for one inside another
//! ```
//!
//! What an import does with it: `crates/application/src/snapshot_import` of Convex's backend. Without
//! `generated_schema.jsonl` it would read every number as a float64 and refuse `$bytes` and `$float`; without `_tables` it
//! would number tables by their first document.
//!
//! # Why a table without documents may have no number
//! Ids tell it, and the archive may never have seen one: of a table that never had a document it usually knows nothing at all. Such a table has its (empty) folder, but no line in `_tables`, and
//! gets the number that it has in the target, or a new one.

mod options;
mod report;
mod survey;
mod system_ids;
mod zip;

pub use self::{
    options::RestoreOptions,
    report::{NotCovered, NumberConflict, RestoreReport, RestoredTable},
};
use self::{
    survey::{Survey, SurveyedTable, survey},
    system_ids::{declares_files, system_ids},
    zip::SnapshotZip,
};
use crate::{
    archive::{Archive, Head},
    codec::write_value,
    document::{Encoding, Revision, TableRef, Timestamp, Value, table_number},
    error::{Error, Result, ResultExt},
    monitor::{Event, FindingCounter, FindingCounts, Monitor},
    rows::{
        files::FilesByTable,
        state::{Columns, State, StateOptions},
    },
    schema::TableSchema,
};

/// Writes the state of the selected tables to a ZIP file at `output`, which appears whole or not at all. The same archive and
/// moment give the same bytes. Dropped before it is ready, it leaves nothing.
///
/// # Errors
/// NotFound, if a selected table is not covered at the moment, or a wanted document was not there; Usage, if `output` is there
/// already and must not be overwritten, or an import would refuse the tables' numbers; as reading the archive's files has them.
pub async fn restore(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<(RestoreReport, u64)> {
    let mut zip = SnapshotZip::create(&options.output, options.overwrite)?;
    let report = write(archive, head, options, &mut zip, monitor).await?;
    Ok((report, zip.finish().await?))
}

async fn write(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    zip: &mut SnapshotZip,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let survey = survey(archive, head, options).await?;
    survey.check(head, options.at)?;
    let report = walk(archive, head, options, survey, Some(zip), monitor).await?;
    write_numbers(&report, zip).await?;
    Ok(report)
}

/// Tells what a restore would hold, reading all of it. What a restore would be refused for is in the report.
///
/// # Errors
/// NotFound, if no table is selected, or a wanted document was not there; as reading the archive's files has them.
pub async fn plan_restore(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let survey = survey(archive, head, options).await?;
    walk(archive, head, options, survey, None, monitor).await
}

/// Reads the surveyed tables one after another, and writes them.
async fn walk(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    survey: Survey,
    mut zip: Option<&mut SnapshotZip>,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let monitor = &FindingCounter::new(monitor);
    let Survey { tables: surveyed, not_covered, conflicts, later, gaps } = survey;
    let coverage = head.coverage();
    let mut report = RestoreReport {
        at: options.at,
        tables: Vec::with_capacity(surveyed.len()),
        not_covered,
        conflicts,
        later,
        gaps,
        archived: coverage.selected(),
        untyped: false,
        findings: FindingCounts::default(),
    };
    let mut files = FilesByTable::open(archive, head).await?;
    let tables = surveyed.len() as u64;
    for (number, surveyed) in (1..).zip(surveyed) {
        let table = surveyed.table.clone();
        monitor.report(Event::Reading { table: &table, number, tables });
        report.untyped |= came_without_types(head, surveyed.base, options.at);
        let folder = folder(&table);
        if let Some(zip) = &mut zip {
            zip.entry(format!("{folder}documents.jsonl")).await?;
        }
        let schema = archive.schema(head, &table).await?;
        let mut lines = Lines::new(&schema, surveyed, zip.as_deref_mut());
        if let Some(only) = lines.only.take() {
            for revision in only {
                lines.text.clear();
                let document = Value::Object(revision.document.unwrap_or_default());
                write_value(&mut lines.text, &document, Encoding::ExportJson);
                lines.add(&revision.id)?;
                lines.write().await?;
            }
        } else {
            let all = StateOptions { budget: options.budget, columns: Columns::All, ..StateOptions::default() };
            let mut state = State::of_files(archive, head, &files.of(&table).await?, options.at, &all)?;
            while let Some(batch) = state.next().await? {
                let documents = batch.documents()?;
                let before = (lines.done.documents, lines.done.bytes);
                for row in 0..batch.len() {
                    lines.text.clear();
                    documents
                        .write_json(row, Encoding::ExportJson, &mut lines.text)
                        .context(|| format!("table {table}"))?;
                    lines.add(batch.id(row))?;
                    lines.write().await?;
                }
                let (documents, bytes) = (lines.done.documents - before.0, lines.done.bytes - before.1);
                monitor.report(Event::Documents { documents, bytes });
            }
        }
        lines.done.emptied |= lines.done.documents == 0 && lines.done.number.is_some();
        report.tables.push(lines.done);
        if let Some(zip) = &mut zip {
            zip.entry(format!("{folder}generated_schema.jsonl")).await?;
            zip.write(b"\"uniform\"\n").await?;
        }
    }
    report.findings = monitor.counts();
    Ok(report)
}

/// The documents of one table, on their way.
struct Lines<'a> {
    done: RestoredTable,
    zip: Option<&'a mut SnapshotZip>,
    only: Option<Vec<Revision>>,
    /// One document; empty, if it is not restored.
    text: String,
}

impl<'a> Lines<'a> {
    fn new(schema: &TableSchema, surveyed: SurveyedTable, zip: Option<&'a mut SnapshotZip>) -> Self {
        let done = RestoredTable {
            declares_files: declares_files(&schema.fields),
            table: surveyed.table,
            number: surveyed.number,
            base: surveyed.base,
            documents: 0,
            bytes: 0,
            emptied: surveyed.emptied,
            left_behind: surveyed.left_behind,
            with_system_ids: 0,
            system_ids: 0,
        };
        Self { done, zip, only: surveyed.only, text: String::new() }
    }

    /// Counts the document that is held.
    ///
    /// # Errors
    /// Corrupt, if its id is none, or bears a number that no file of the table shows.
    fn add(&mut self, id: &str) -> Result<()> {
        let number = table_number(id);
        if number.is_none() || number != self.done.number {
            self.text.clear();
            let left_behind = self.done.left_behind.iter().any(|generation| Some(generation.number) == number);
            return if left_behind { Ok(()) } else { Err(self.foreign(id)) };
        }
        let ids = system_ids(&self.text);
        self.text.push('\n');
        self.done.documents += 1;
        self.done.bytes += self.text.len() as u64;
        self.done.system_ids += ids;
        self.done.with_system_ids += u64::from(ids > 0);
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        match &mut self.zip {
            Some(zip) => zip.write(self.text.as_bytes()).await,
            None => Ok(()),
        }
    }

    fn foreign(&self, id: &str) -> Error {
        let table = &self.done.table;
        Error::corrupt(format!(
            "`{}` is no id of table {table}: a file of it is damaged; take it from a copy of the archive",
            id.escape_debug()
        ))
    }
}

/// Of every component the tables' numbers, in their order.
async fn write_numbers(report: &RestoreReport, zip: &mut SnapshotZip) -> Result<()> {
    let mut numbers: Vec<_> = report.tables.iter().filter_map(|t| Some((t.table.component(), t.number?, t))).collect();
    numbers.sort_by_key(|(component, number, _)| (*component, *number));
    let mut last = None;
    for (component, number, table) in numbers {
        if last != Some(component) {
            zip.entry(format!("{}_tables/documents.jsonl", component_folder(component))).await?;
            last = Some(component);
        }
        // Names are letters, digits and underscores.
        let line = format!("{{\"name\":\"{}\",\"id\":{number}}}\n", table.table.name());
        zip.write(line.as_bytes()).await?;
    }
    Ok(())
}

fn folder(table: &TableRef) -> String {
    format!("{}{}/", component_folder(table.component()), table.name())
}

fn component_folder(component: &str) -> String {
    component.split('/').filter(|name| !name.is_empty()).map(|name| format!("_components/{name}/")).collect()
}

/// Whether documents of a base at `base`, or changes after it up to `at`, came in the encoding `json`.
fn came_without_types(head: &Head, base: Timestamp, at: Timestamp) -> bool {
    head.coverage().untyped.iter().any(|untyped| match &untyped.base {
        Some(id) => head.coverage().bases.iter().any(|known| known.id == *id && known.ts == base),
        None => untyped.after < at && base < untyped.to,
    })
}
