//! The verb `export`.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use convex_archiver::{
    Result, ResultExt, TableRef,
    archive::Location,
    read::{ExportFormat, ExportOptions, ExportReport, Moment, export},
};
use serde::Serialize;

use super::{
    config::{self, ArchiveArgs},
    doubt::{DoubtArgs, about_doubt},
    outcome::Outcome,
    output,
    past::{self, DamageArgs, LimitArgs, Past, SelectionArgs},
    progress::Progress,
    telemetry::Screen,
    units::{bytes, count, counted},
};

/// Writes the documents as they were at a moment as plain files, one folder per table
///
/// The files hold `_id`, `_creationTime` and the fields, without revisions, tombstones and the archive's own columns,
/// for use with pandas, Spark or a BI tool. All tables are exported at the same moment. export.json is written last; an
/// export without it is incomplete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver export --as-of 2026-11-24 --output ./monday --archive s3://bucket/happy-otter
  convex-archiver export --format csv --table messages --output ./messages --archive ./archive
  convex-archiver export --output s3://lake/happy-otter/2026-11-24 --archive s3://bucket/happy-otter")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Moment: '2026-11-24 07:45:39' (UTC, or with a zone), 2026-11-24 (00:00 UTC), '2 hours ago' or 2h, yesterday, a
    /// _ts in nanoseconds, or 'now' (the newest moment at which all tables are covered, if that is at most an hour
    /// before the end of the archive)
    #[arg(long, value_name = "MOMENT", default_value = "now")]
    as_of: Moment,
    /// Where to write; must be empty: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a
    /// path
    #[arg(long, short, value_name = "URL")]
    output: String,
    /// Format of the files
    #[arg(long, value_enum, default_value = "parquet")]
    format: Format,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    damage: DamageArgs,
    #[command(flatten)]
    doubt: DoubtArgs,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What `--format` takes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Typed columns; absent and null are both NULL
    Parquet,
    /// One document per line, lossless: Convex's own export format
    Ndjson,
    /// One column per field, nested values as JSON text. A spreadsheet may run a text that begins with =, +, - or @ as a formula
    Csv,
}

/// The report, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    output: &'a str,
    /// Later than `as_of`, if tables have held it back.
    asked: String,
    held_back_by: &'a [TableRef],
    left_out: &'a [TableRef],
    #[serde(flatten)]
    export: &'a ExportReport,
}

pub(super) async fn run(args: &ExportArgs, screen: &Screen) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let format = match args.format {
        Format::Parquet => ExportFormat::Parquet,
        Format::Ndjson => ExportFormat::Ndjson,
        Format::Csv => ExportFormat::Csv,
    };
    let common = past.common(args.as_of, &args.tables.selection(&past.head)?)?;
    let target = Location::create(&args.output, &config::settings()).context(|| "--output")?;
    let options = ExportOptions::new(Arc::clone(target.store()), format, common.at);
    let options = options.selection(common.selection.clone()).budget(budget).accept_damage(args.damage.accepted()?);
    let options = options.accept_doubt(args.doubt.accept_doubt);
    let progress = Progress::reading(screen);
    let exported = export(&past.archive, &past.head, &options, &progress).await;
    progress.finish();
    let mut exported = exported.context(|| format!("export to {}", target.url()))?;
    exported.findings = past.findings.counts().plus(&exported.findings);
    let several: Vec<_> = exported.tables.iter().filter(|table| !table.left_behind.is_empty()).collect();
    let is_whole = several.is_empty() && common.held_back_by.is_empty() && exported.damaged.is_empty();
    let is_whole = is_whole && !exported.is_doubted();
    let outcome = if is_whole { Outcome::Done } else { Outcome::Findings };
    if args.json {
        output::print_json(&Report {
            archive: past.archive.url(),
            output: target.url(),
            asked: common.asked.to_string(),
            held_back_by: &common.held_back_by,
            left_out: &common.left_out,
            export: &exported,
        })?;
        return Ok(outcome);
    }
    let documents = exported.tables.iter().map(|t| t.documents).sum();
    let size = exported.tables.iter().map(|t| t.bytes).sum();
    let facts = [
        ("As of", past::common(&common)),
        (
            "Written",
            format!(
                "{} of {}, {}",
                counted(documents, "document"),
                counted(exported.tables.len() as u64, "table"),
                bytes(size)
            ),
        ),
        ("To", target.url().to_owned()),
    ];
    let facts = output::facts(facts.into_iter().chain(output::findings(&exported.findings)));
    let header = ["Table", "Documents", "Bytes", "Files"].map(str::to_owned).to_vec();
    let row = |t: &convex_archiver::read::ExportedTable| {
        vec![t.table.to_string(), count(t.documents), bytes(t.bytes), count(t.files.len() as u64)]
    };
    let rows: Vec<_> = std::iter::once(header).chain(exported.tables.iter().map(row)).collect();
    let mut text = format!("{facts}\n{}", output::table(&rows));
    let mut lines = past::about_tables(&common);
    lines.extend(past::about_damage(&exported.damaged));
    lines.extend(about_doubt(&exported.doubted));
    for table in several {
        let documents = table.left_behind.iter().map(|generation| generation.documents).sum();
        lines.push(format!(
            "{} of {} belong to an earlier table of that name, which was dropped without tombstones; restore leaves \
             them out",
            counted(documents, "document"),
            table.table
        ));
    }
    for line in lines {
        text.extend(["\n* ", &line, "\n"]);
    }
    output::print(&text)?;
    Ok(outcome)
}
