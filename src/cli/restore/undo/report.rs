//! [`UndoOutput`]: what is printed of an undo or its plan.

use std::path::{Path, PathBuf};

use convex_archiver::{
    FindingCounts, Result, TableRef,
    read::{CommonMoment, DoubtedTable, UndoBatches, UndoOptions, UndoReport, UndoneDocument, UndoneTable},
};
use serde::Serialize;

use super::super::{
    super::{
        doubt::about_doubt,
        outcome::Outcome,
        output,
        past::{self, moment},
        units::{bytes, count, counted},
    },
    into::Imported,
};

const AFTERWARDS: &str = "an import writes no tombstones for what it replaces: run sync afterwards, which detects this \
    and corrects the tables in the archive";

/// What came of it.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// It was only told.
    Planned {
        /// What would be written.
        mutation: bool,
    },
    /// There was nothing to write.
    Nothing,
    /// A ZIP.
    Zip {
        /// Where.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A folder with a mutation.
    Batches(UndoBatches),
}

/// What came into the tables while they were imported.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Caught {
    /// The file that holds it.
    pub(super) file: PathBuf,
    /// How many revisions it has.
    pub(super) revisions: u64,
}

/// A report, as JSON.
#[derive(Serialize)]
pub(super) struct UndoOutput<'a> {
    archive: &'a str,
    from: String,
    from_ts: String,
    to: String,
    to_ts: String,
    now: String,
    now_ts: String,
    held_back_by: &'a [TableRef],
    left_out: &'a [TableRef],
    /// Of a plan there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<u64>,
    undone: u64,
    tables: Vec<TableOutput>,
    came_without_types: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubted: Vec<DoubtedTable>,
    findings: FindingCounts,
    /// Of a mutation, and where nothing is undone, there is none.
    import: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<Imported>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_meanwhile: Option<Caught>,
    #[serde(skip)]
    report: UndoReport,
    #[serde(skip)]
    written: Written,
    #[serde(skip)]
    common: &'a CommonMoment,
    #[serde(skip)]
    options: &'a UndoOptions,
}

#[derive(Serialize)]
struct TableOutput {
    table: TableRef,
    number: Option<u32>,
    put_back: u64,
    reverted: u64,
    removed: u64,
    changed_since: u64,
    stay_inserted: u64,
    as_then: u64,
    of_dropped: u64,
    documents: u64,
}

impl From<&UndoneTable> for TableOutput {
    fn from(t: &UndoneTable) -> Self {
        Self {
            table: t.table.clone(),
            number: t.number,
            put_back: t.put_back,
            reverted: t.reverted,
            removed: t.removed,
            changed_since: t.changed_since,
            stay_inserted: t.stay_inserted,
            as_then: t.as_then,
            of_dropped: t.of_dropped,
            documents: t.documents,
        }
    }
}

/// A document, as JSON.
#[derive(Serialize)]
pub(super) struct DocumentLine<'a> {
    table: &'a TableRef,
    id: &'a str,
    undo: &'static str,
    now_ts: Option<String>,
}

/// A document, for scripts.
pub(super) fn line(document: &UndoneDocument) -> DocumentLine<'_> {
    DocumentLine {
        table: &document.table,
        id: &document.id,
        undo: document.fate.as_str(),
        now_ts: document.now.map(|ts| ts.0.to_string()),
    }
}

/// A document, for people.
pub(super) fn text(document: &UndoneDocument) -> String {
    let now = document.now.map_or("not in the table now".to_owned(), |ts| format!("last written {}", moment(ts)));
    format!("{} {} {} ({now})\n", document.table, document.id, document.fate.as_str().replace('_', " "))
}

impl<'a> UndoOutput<'a> {
    pub(super) fn new(
        archive: &'a str,
        options: &'a UndoOptions,
        common: &'a CommonMoment,
        report: UndoReport,
        written: Written,
        opened: FindingCounts,
    ) -> Self {
        let (output, output_bytes, batches) = match &written {
            Written::Planned { .. } | Written::Nothing => (None, None, None),
            Written::Zip { path, bytes } => (Some(path.clone()), Some(*bytes), None),
            Written::Batches(written) => (Some(written.folder.clone()), None, Some(written.batches)),
        };
        let is_zip = matches!(written, Written::Planned { mutation: false } | Written::Zip { .. });
        Self {
            archive,
            from: report.from.to_string(),
            from_ts: report.from.0.to_string(),
            to: report.to.to_string(),
            to_ts: report.to.0.to_string(),
            now: report.now.to_string(),
            now_ts: report.now.0.to_string(),
            held_back_by: &common.held_back_by,
            left_out: &common.left_out,
            output,
            output_bytes,
            batches,
            undone: report.undone(),
            tables: report.tables.iter().map(TableOutput::from).collect(),
            came_without_types: report.untyped,
            doubted: report.doubted.clone(),
            findings: opened.plus(&report.findings),
            imported: None,
            written_meanwhile: None,
            import: (is_zip && report.undone() > 0).then_some("npx convex import --replace"),
            report,
            written,
            common,
            options,
        }
    }

    /// The same, once it was imported.
    pub(super) fn imported(self, imported: Imported, written_meanwhile: Option<Caught>) -> Self {
        Self { imported: Some(imported), written_meanwhile, ..self }
    }

    /// How the verb ends.
    pub(super) fn outcome(&self) -> Outcome {
        let is_moved = !self.common.held_back_by.is_empty();
        // A mutation leaves what was deleted.
        let is_partial = self.is_mutation() && self.sum(|t| t.put_back) > 0;
        if self.report.has_findings() || is_moved || is_partial || self.written_meanwhile.is_some() {
            Outcome::Findings
        } else {
            Outcome::Done
        }
    }

    /// For scripts, or for people.
    pub(super) fn printed(&self, json: bool) -> Result<String> {
        if json { output::json(self) } else { Ok(self.text()) }
    }

    fn is_mutation(&self) -> bool {
        matches!(self.written, Written::Planned { mutation: true } | Written::Batches(_))
    }

    fn sum(&self, of: impl Fn(&UndoneTable) -> u64) -> u64 {
        self.report.tables.iter().map(of).sum()
    }

    fn text(&self) -> String {
        let report = &self.report;
        let mut facts =
            vec![("From", moment(report.from)), ("To", moment(report.to)), ("Now", past::common(self.common))];
        let undone = [
            (self.sum(|t| t.put_back), "put back"),
            (self.sum(|t| t.reverted), "reverted"),
            (self.sum(|t| t.removed), "removed"),
        ];
        let undone: Vec<_> =
            undone.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(n))).collect();
        let undone = if undone.is_empty() { "nothing".to_owned() } else { undone.join(", ") };
        facts.push(("Undoes", undone));
        facts.extend(self.written_facts());
        facts.extend(output::findings(&self.findings));
        let table = if self.tables.is_empty() { String::new() } else { format!("\n{}", self.table()) };
        format!("{}{table}{}", output::facts(facts), self.notes())
    }

    fn written_facts(&self) -> Vec<(&'static str, String)> {
        if let Some(Imported { deployment, mode, documents }) = &self.imported {
            return vec![("Imported", format!("{} into {deployment} ({mode})", counted(*documents, "document")))];
        }
        let import = |file: &Path| ("Import", format!("npx convex import --replace {}", file.display()));
        match &self.written {
            Written::Planned { mutation: false } if self.undone > 0 => vec![import(Path::new("FILE"))],
            Written::Planned { .. } => Vec::new(),
            Written::Nothing => vec![("Written", "nothing: there is nothing to undo".to_owned())],
            Written::Zip { path, bytes: size } => {
                let file = if self.options_are_to_a_file() { path } else { Path::new("FILE") };
                vec![("Written", format!("{}, {}", path.display(), bytes(*size))), import(file)]
            }
            Written::Batches(written) => {
                let folder = written.folder.display();
                let batches = match written.batches {
                    1 => "1 batch".to_owned(),
                    n => format!("{} batches", count(n)),
                };
                vec![
                    ("Written", format!("{folder}: undo.ts and {batches}")),
                    ("Next", format!("{folder}/README.txt has the commands")),
                ]
            }
        }
    }

    fn options_are_to_a_file(&self) -> bool {
        matches!(self.options.output, convex_archiver::read::RestoreTarget::File(_))
    }

    fn table(&self) -> String {
        let header = ["Table", "Put back", "Reverted", "Removed", "Changed since", "Inserted, kept"];
        let row = |t: &UndoneTable| {
            let counts = [t.put_back, t.reverted, t.removed, t.changed_since, t.stay_inserted].map(count);
            std::iter::once(t.table.to_string()).chain(counts).collect()
        };
        let header = std::iter::once(header.map(str::to_owned).to_vec());
        output::table(&header.chain(self.report.tables.iter().map(row)).collect::<Vec<_>>())
    }

    /// What is to be looked at, and what to do before the import.
    fn notes(&self) -> String {
        let report = &self.report;
        let mut lines = past::about_tables(self.common);
        let changed = self.sum(|t| t.changed_since);
        if changed > 0 {
            let name =
                if matches!(self.written, Written::Planned { .. }) { "--documents" } else { "--plan --documents" };
            lines.push(format!(
                "left alone: {}, changed again after {} ({name} lists them; --over-later-writes undoes them too, and \
                 loses their later changes)",
                counted(changed, "document"),
                moment(report.to)
            ));
        }
        for t in report.tables.iter().filter(|t| t.of_dropped > 0) {
            lines.push(format!(
                "left out: {} of an earlier table {}, which was dropped. They cannot be combined with those of the \
                 present table. To replace the present table with the earlier one: restore --as-of {} --table {}",
                counted(t.of_dropped, "document"),
                t.table,
                report.from.0,
                t.table
            ));
        }
        let stay = self.sum(|t| t.stay_inserted);
        if stay > 0 {
            lines.push(format!("{} kept; --inserted removes them", counted(stay, "inserted document")));
        }
        let as_then = self.sum(|t| t.as_then);
        if as_then > 0 {
            lines.push(format!("{} changed and now as they were before", counted(as_then, "document")));
        }
        if report.untyped {
            lines.push(
                "some documents were archived in the encoding json: their int64 and bytes come back as text".to_owned(),
            );
        }
        lines.extend(about_doubt(&report.doubted));
        if report.is_doubted() && !self.options.accept_doubt {
            lines.push("this undo needs --accept-doubt".to_owned());
        }
        let put_back = self.sum(|t| t.put_back);
        if self.is_mutation() && put_back > 0 {
            lines.push(format!(
                "not undone: {}. A mutation cannot restore their _ids; a ZIP can (without --as mutation)",
                counted(put_back, "deleted document")
            ));
        }
        if let Some(Caught { file, revisions }) = &self.written_meanwhile {
            lines.push(format!(
                "{} to these tables arrived during the import, and the deployment has lost them; {} holds them, and so \
                 does the archive",
                counted(*revisions, "write"),
                file.display()
            ));
        }
        if self.imported.is_some() {
            lines.push(AFTERWARDS.to_owned());
        } else if !self.is_mutation() && self.undone > 0 {
            lines.push(format!(
                "the import replaces these tables in full: what the app writes to them after {} is lost. Stop those \
                 writes, sync, and run this command again just before the import",
                moment(report.now)
            ));
            if put_back == 0 {
                lines.push(
                    "nothing was deleted, so --as mutation can undo all of this while the app runs, without an import"
                        .to_owned(),
                );
            }
            lines.push(AFTERWARDS.to_owned());
        }
        lines.iter().fold(String::new(), |text, line| format!("{text}\n* {line}"))
            + if lines.is_empty() { "" } else { "\n" }
    }
}
