//! [`RestoreOutput`]: what is printed of a restore or its plan.

use std::path::Path;

use convex_archiver::{
    FindingCounts, Result, TableRef,
    archive::Span,
    read::{
        CommonMoment, DamagedFile, DoubtedTable, Generation, MissingSpan, NumberConflict, RestoreOptions,
        RestoreReport, RestoreTarget, RestoredTable,
    },
};
use serde::Serialize;

use super::{
    super::{
        doubt::about_doubt,
        output,
        past::{self, moment},
        units::{bytes, count, counted},
        words,
    },
    into::Imported,
};

/// What no restore contains.
const NEVER: [&str; 4] = [
    "the contents of stored files, and the system tables (_storage among them)",
    "the deployment's code, schema definitions and indexes: deploy those of that time first",
    "environment variables and authentication settings",
    "scheduled functions and cron jobs",
];

const NEW_BASE: &str = "an import writes no tombstones: the next sync of an archive of the target detects the import";

/// A report, as JSON.
#[derive(Serialize)]
pub(super) struct RestoreOutput<'a> {
    archive: &'a str,
    as_of: String,
    as_of_ts: String,
    /// Later than `as_of`, if tables have held it back.
    asked: String,
    held_back_by: &'a [TableRef],
    left_out: &'a [TableRef],
    /// Of a plan there is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    documents: u64,
    bytes: u64,
    tables: Vec<TableContents<'a>>,
    first_written_later: &'a [TableRef],
    complete: bool,
    not_covered: Vec<UncoveredTable<'a>>,
    covered_before: Option<String>,
    covered_after: Option<String>,
    number_conflicts: &'a [NumberConflict],
    gaps_before: Vec<Gap<'a>>,
    archived: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    damaged: &'a [DamagedFile],
    /// Of which tables the archive may show something else than the deployment held.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    doubted: &'a [DoubtedTable],
    proven_before: Option<String>,
    proven_after: Option<String>,
    came_without_types: bool,
    findings: &'a FindingCounts,
    never_contains: [&'static str; 4],
    /// Where `--into` led.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<Imported>,
    /// Of a restore that holds no table there is nothing to import.
    import: Option<&'static str>,
    /// Convex takes single documents only where their ids were never used.
    import_only_elsewhere: bool,
    afterwards: &'static str,
    #[serde(skip)]
    report: &'a RestoreReport,
    #[serde(skip)]
    common: &'a CommonMoment,
    #[serde(skip)]
    options: &'a RestoreOptions,
}

#[derive(Serialize)]
struct TableContents<'a> {
    table: &'a TableRef,
    number: Option<u32>,
    documents: u64,
    bytes: u64,
    base: String,
    emptied: bool,
    left_behind: &'a [Generation],
    documents_with_system_ids: u64,
    system_ids: u64,
    declares_files: bool,
}

#[derive(Serialize)]
struct UncoveredTable<'a> {
    table: &'a TableRef,
    covered: Vec<[String; 2]>,
}

#[derive(Serialize)]
struct Gap<'a> {
    tables: &'a [TableRef],
    after: String,
    to: String,
}

impl<'a> RestoreOutput<'a> {
    pub(super) fn new(
        archive: &'a str,
        options: &'a RestoreOptions,
        common: &'a CommonMoment,
        report: &'a RestoreReport,
        written: Option<(&'a Path, u64)>,
        imported: Option<Imported>,
    ) -> Self {
        let spans = |spans: &[Span]| spans.iter().map(|span| [span.from.to_string(), span.to.to_string()]).collect();
        Self {
            archive,
            as_of: report.at.to_string(),
            as_of_ts: report.at.0.to_string(),
            asked: common.asked.to_string(),
            held_back_by: &common.held_back_by,
            left_out: &common.left_out,
            output: written.map(|(path, _)| path),
            output_bytes: written.map(|(_, bytes)| bytes),
            documents: report.documents(),
            bytes: report.bytes(),
            tables: report.tables.iter().map(table).collect(),
            first_written_later: &report.later,
            complete: report.complete,
            covered_before: report.covered_before.map(|ts| ts.to_string()),
            covered_after: report.covered_after.map(|ts| ts.to_string()),
            not_covered: report
                .not_covered
                .iter()
                .map(|n| UncoveredTable { table: &n.table, covered: spans(&n.covered) })
                .collect(),
            number_conflicts: &report.conflicts,
            gaps_before: report
                .gaps
                .iter()
                .map(|MissingSpan { tables, from, to, .. }| Gap { tables, after: from.to_string(), to: to.to_string() })
                .collect(),
            archived: report.archived.to_string(),
            damaged: &report.damaged,
            doubted: &report.doubted,
            proven_before: report.proven_before.map(|ts| ts.to_string()),
            proven_after: report.proven_after.map(|ts| ts.to_string()),
            came_without_types: report.untyped,
            findings: &report.findings,
            never_contains: NEVER,
            imported,
            import: import(options, report),
            import_only_elsewhere: !options.ids.is_empty(),
            afterwards: NEW_BASE,
            report,
            common,
            options,
        }
    }

    /// For scripts, or for people.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        output::print(&self.printed(json)?)
    }

    /// The same on stderr.
    pub(super) fn print_aside(&self, json: bool) -> Result<()> {
        output::print_aside(&self.printed(json)?);
        Ok(())
    }

    fn printed(&self, json: bool) -> Result<String> {
        if json { output::json(self) } else { Ok(self.text()) }
    }

    fn text(&self) -> String {
        let mut facts = vec![("As of", past::common(self.common))];
        if let (Some(path), Some(size)) = (self.output, self.output_bytes) {
            facts.push(("Written", format!("{}, {}", path.display(), bytes(size))));
        }
        let tables = counted(self.tables.len() as u64, "table");
        let documents = counted(self.documents, "document");
        facts.push(("Holds", format!("{documents} of {tables}, {} of text", bytes(self.bytes))));
        if let Some(Imported { deployment, mode, documents }) = &self.imported {
            facts.push(("Imported", format!("{} into {deployment} ({mode})", counted(*documents, "document"))));
            facts.push(("Afterwards", self.afterwards.to_owned()));
        } else if let Some(import) = self.import {
            let file = match (self.output, &self.options.output) {
                (Some(path), RestoreTarget::File(_)) => path.display().to_string(),
                _ => "FILE".to_owned(),
            };
            let where_ = if self.import_only_elsewhere { "  # only into another deployment" } else { "" };
            facts.push(("Import", format!("{import} {file}{where_}")));
            facts.push(("Afterwards", self.afterwards.to_owned()));
        }
        facts.extend(output::findings(&self.report.findings));
        format!("{}\n{}{}{}", output::facts(facts), self.table_lines(), self.findings(), Self::never())
    }

    fn table_lines(&self) -> String {
        let header = ["Table", "Documents", "Bytes", "Number"].map(str::to_owned).to_vec();
        let row = |t: &TableContents<'_>| {
            let number = t.number.map_or("-".to_owned(), |number| number.to_string());
            vec![t.table.to_string(), count(t.documents), bytes(t.bytes), number]
        };
        output::table(&std::iter::once(header).chain(self.tables.iter().map(row)).collect::<Vec<_>>())
    }

    /// What is to be looked at, and what may be worth knowing.
    fn findings(&self) -> String {
        let report = self.report;
        let mut lines = past::about_tables(self.common);
        if self.tables.is_empty() {
            lines.push("it contains no tables, so there is nothing to import".to_owned());
        }
        let is_all = self.options.selection.is_everything() && self.options.ids.is_empty();
        if is_all
            && !self.tables.is_empty()
            && !report.complete
            && report.archived.is_everything()
            && !report.has_findings()
        {
            lines.push(
                "it is not known whether components had other tables at that moment; --replace leaves those alone"
                    .to_owned(),
            );
        }
        if !self.options.ids.is_empty() {
            lines.push(
                "--append adds these documents only to a deployment that never had them. Convex refuses their _ids in \
                 a deployment where they were changed or deleted; use restore --undo there"
                    .to_owned(),
            );
        }
        for not in &report.not_covered {
            let spans: Vec<_> =
                not.covered.iter().map(|span| format!("from {} to {}", moment(span.from), moment(span.to))).collect();
            let spans = if spans.is_empty() { "at no moment".to_owned() } else { spans.join(", ") };
            lines.push(format!(
                "not covered at that moment: {}; it is covered {spans}. Choose another moment, or --exclude the table",
                not.table
            ));
        }
        let nearest = [(report.covered_before, "before"), (report.covered_after, "after")];
        for (ts, place) in nearest.into_iter().filter_map(|(ts, place)| Some((ts?, place))) {
            lines.push(format!("the nearest moment {place} at which all tables are covered: {}", moment(ts)));
        }
        for NumberConflict { number, tables } in &report.conflicts {
            lines.push(format!(
                "the ids in {} have the same table number, {number}, which an import refuses. One of these tables was \
                 dropped; --exclude that one",
                words::list(tables.iter())
            ));
        }
        for (t, generation) in report.tables.iter().flat_map(|t| t.left_behind.iter().map(move |g| (t, g))) {
            lines.push(format!(
                "left out: {} of an earlier table {} (number {}, last written {}), which was dropped without tombstones",
                counted(generation.documents, "document"),
                t.table,
                generation.number,
                moment(generation.written)
            ));
        }
        lines.extend(past::about_damage(&report.damaged));
        lines.extend(about_doubt(&report.doubted));
        let nearest = [(report.proven_before, "before"), (report.proven_after, "after")];
        for (ts, place) in nearest.into_iter().filter_map(|(ts, place)| Some((ts?, place))) {
            lines.push(format!("the nearest moment {place} at which no table is in doubt: {}", moment(ts)));
        }
        if report.is_doubted() && !self.options.accept_doubt {
            lines.push("a restore at this moment needs --accept-doubt".to_owned());
        }
        if report.untyped {
            lines.push(
                "some documents were archived in the encoding json: their int64 and bytes are restored as text"
                    .to_owned(),
            );
        }
        let emptied = named(report, |t| t.emptied);
        if !emptied.is_empty() {
            lines.push(format!(
                "empty at that moment, but not before (emptied or dropped): {}",
                words::list(emptied.iter())
            ));
        }
        if !report.later.is_empty() {
            lines
                .push(format!("left out, because they were first written later: {}", words::list(report.later.iter())));
        }
        lines.extend(files(report));
        if !report.archived.is_everything() {
            lines.push(format!("not archived, so not included: tables outside the selection {}", report.archived));
        }
        for MissingSpan { tables, from, to, .. } in &report.gaps {
            let tables = words::list(tables.iter());
            lines.push(format!(
                "changes of {tables} are missing after {} to {}; the restored state does not depend on them",
                moment(*from),
                moment(*to)
            ));
        }
        lines.iter().fold(String::new(), |text, line| format!("{text}\n* {line}"))
            + if lines.is_empty() { "" } else { "\n" }
    }

    fn never() -> String {
        NEVER.iter().fold("\nNever in a restore:\n".to_owned(), |text, line| format!("{text}  {line}\n"))
    }
}

fn table(t: &RestoredTable) -> TableContents<'_> {
    TableContents {
        table: &t.table,
        number: t.number,
        documents: t.documents,
        bytes: t.bytes,
        base: t.base.to_string(),
        emptied: t.emptied,
        left_behind: &t.left_behind,
        documents_with_system_ids: t.with_system_ids,
        system_ids: t.system_ids,
        declares_files: t.declares_files,
    }
}

fn named(report: &RestoreReport, which: impl Fn(&RestoredTable) -> bool) -> Vec<TableRef> {
    report.tables.iter().filter(|t| which(t)).map(|t| t.table.clone()).collect()
}

/// Ids of files, which an import does not bring.
fn files(report: &RestoreReport) -> Vec<String> {
    let said = |declared: bool, what: &str| {
        let tables: Vec<_> =
            report.tables.iter().filter(|t| t.system_ids > 0 && t.declares_files == declared).collect();
        let ids = tables.iter().map(|t| t.system_ids).sum();
        let names: Vec<_> = tables.iter().map(|t| t.table.clone()).collect();
        (!names.is_empty()).then(|| format!("{} {what}: {}", counted(ids, "id"), words::list(names.iter())))
    };
    [
        said(
            true,
            "that look like those of system tables, in tables whose schema declares ids of stored files; they dangle \
             unless the target still has the files",
        ),
        said(false, "that look like those of stored files or scheduled functions; they may dangle"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The command that fits: one that deletes what the ZIP does not hold only if that is nothing. None, if there is no table.
fn import(options: &RestoreOptions, report: &RestoreReport) -> Option<&'static str> {
    if report.tables.is_empty() {
        None
    } else if !options.ids.is_empty() {
        Some("npx convex import --append")
    } else if report.complete {
        Some("npx convex import --replace-all")
    } else {
        Some("npx convex import --replace")
    }
}
