//! [`restore()`]: the state at a moment as a ZIP that `npx convex import` takes. [`plan_restore`]: the same without the file.
//!
//! ```text
//! README.md                                where the documents come from
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

//! # Why there is no `_storage`
//! An import takes a folder `_storage` for all stored files of the target: with `--replace` and `--replace-all` it makes a new
//! table of files, fills it with those of the ZIP, and puts it in the place of the old one; it does not look whether there are
//! any (`import_single_table` and `prepare_table_for_import` there treat the table like that of a user). So an empty
//! `_storage/documents.jsonl` would delete every file of the target. Without the folder the files stay, also with
//! `--replace-all`, which deletes tables of users only; Convex's own export without files has none either.

mod deflate;
pub(super) mod entries;
mod options;
mod readme;
mod report;
mod survey;
mod system_ids;
mod target;
pub(super) mod zip;

use self::{
    entries::{documents, generated_schema, write_numbers},
    survey::{Survey, SurveyedTable, survey},
    system_ids::{declares_files, system_ids},
    zip::SnapshotZip,
};
pub use self::{
    options::RestoreOptions,
    report::{NotCovered, NumberConflict, RestoreReport, RestoredTable},
    target::RestoreTarget,
};
use crate::{
    archive::{Archive, BaseMaker, Head},
    codec::write_value,
    document::{Encoding, Revision, Timestamp, Value, table_number},
    error::{Error, Result, ResultExt},
    monitor::{Event, FindingCounter, FindingCounts, Monitor},
    rows::{
        files::FilesByTable,
        state::{Columns, State, StateOptions},
    },
    schema::TableSchema,
};

/// Writes the state of the selected tables as a ZIP to `output`, where it appears whole or not at all. The same version of an archive
/// and the same moment give the same bytes. An archive without tables gives a ZIP without tables. Returns its bytes, too.
///
/// Dropped before it is ready, it leaves nothing on a disk; in a store an upload that nobody sees may stay open.
///
/// # Errors
/// NotFound, if a selected table is not covered at the moment, or is in doubt and that was not accepted, or a wanted document was not
/// there; Usage, if `output` is there
/// already and must not be overwritten, or an import would refuse the tables' numbers; Corrupt, if a cell is not what it should be;
/// as reading the archive's files and writing have them.
pub async fn restore(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<(RestoreReport, u64)> {
    let restored = restore_unless(std::future::pending(), archive, head, options, monitor).await?;
    restored.ok_or_else(|| Error::internal("a restore was given up without a reason: report it"))
}

/// The same, given up once `stop` is ready: then it is None, and nothing is left, in a store neither.
#[doc(hidden)]
pub async fn restore_unless(
    stop: impl Future<Output = ()>,
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<Option<(RestoreReport, u64)>> {
    let mut zip = SnapshotZip::create(&options.output, options.overwrite, options.budget).await?;
    let whole = async {
        let report = write(archive, head, options, &mut zip, monitor).await?;
        Ok((report, zip.finish().await?))
    };
    let done = tokio::select! {
        biased;
        () = stop => None,
        done = whole => Some(done),
    };
    if !matches!(done, Some(Ok(_))) {
        zip.give_up(monitor).await;
    }
    done.transpose()
}

async fn write(
    archive: &Archive,
    head: &Head,
    options: &RestoreOptions,
    zip: &mut SnapshotZip,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let survey = survey(archive, head, options).await?;
    survey.check(head, options)?;
    zip.entry(readme::NAME.to_owned()).await?;
    zip.write(readme::text(archive, head, options, &survey.doubted).as_bytes()).await?;
    let report = walk(archive, head, options, survey, Some(zip), monitor).await?;
    write_numbers(report.tables.iter().filter_map(|t| Some((&t.table, t.number?))), zip).await?;
    Ok(report)
}

/// Tells what a restore would hold, reading all of it. What a restore would be refused for is in the report.
///
/// # Errors
/// NotFound, if a wanted document was not there, or the archive has no tables and does not cover the moment; as reading the
/// archive's files has them.
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
    let Survey { tables: surveyed, not_covered, nearest, doubted, proven, conflicts, later, gaps, damage } = survey;
    let coverage = head.coverage();
    let mut report = RestoreReport {
        at: options.at,
        tables: Vec::with_capacity(surveyed.len()),
        complete: false,
        not_covered,
        covered_before: nearest.before,
        covered_after: nearest.after,
        doubted,
        proven_before: proven.before,
        proven_after: proven.after,
        conflicts,
        later,
        gaps,
        archived: coverage.selected(),
        damaged: Vec::new(),
        untyped: false,
        findings: FindingCounts::default(),
    };
    let mut files = FilesByTable::open(archive, head).await?;
    let tables = surveyed.len() as u64;
    for (number, surveyed) in (1..).zip(surveyed) {
        let table = surveyed.table.clone();
        monitor.report(Event::Reading { table: &table, number, tables });
        report.untyped |= came_without_types(head, surveyed.base, options.at);
        if let Some(zip) = &mut zip {
            zip.entry(documents(&table)).await?;
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
            let damage = damage.of(&table, options.accept_damage.as_ref());
            let all = StateOptions { budget: options.budget, columns: Columns::All, damage, after: None };
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
            generated_schema(&table, zip).await?;
        }
    }
    report.findings = monitor.counts();
    report.damaged = damage.files();
    report.complete = is_complete(head, options, &report);
    Ok(report)
}

/// Whether nothing that the deployment held in tables is missing, as far as the archive can tell.
fn is_complete(head: &Head, options: &RestoreOptions, report: &RestoreReport) -> bool {
    let coverage = head.coverage();
    let is_all = options.selection.is_everything() && options.ids.is_empty();
    // Tables that the archive has never seen were empty, at the root and in components.
    let is_known = coverage.selected().is_everything()
        && [false, true].into_iter().all(|component| coverage.covers_unseen(component, options.at));
    let left_behind = report.tables.iter().any(|table| !table.left_behind.is_empty());
    let is_whole = report.not_covered.is_empty() && report.conflicts.is_empty() && report.damaged.is_empty();
    is_all && is_known && is_whole && !left_behind && !report.is_doubted()
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
            "`{}` is not an id of table {table}: a file of the table is damaged; take that file from a copy of the \
             archive",
            id.escape_debug()
        ))
    }
}

/// Whether documents of a base at `base`, or changes after it up to `at`, came in the encoding `json`. A base of the archive's own holds what
/// came before.
pub(super) fn came_without_types(head: &Head, base: Timestamp, at: Timestamp) -> bool {
    let coverage = head.coverage();
    let own = coverage.bases.iter().any(|known| known.ts == base && known.made == BaseMaker::Archive);
    coverage.untyped.iter().any(|untyped| match &untyped.base {
        _ if own && untyped.after <= base => true,
        Some(id) => coverage.bases.iter().any(|known| known.id == *id && known.ts == base),
        None => untyped.after < at && base < untyped.to,
    })
}
