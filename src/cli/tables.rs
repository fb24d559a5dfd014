//! The verb `tables`.

use clap::Args;
use convex_archiver::{
    Result, Timestamp,
    archive::Covers,
    read::{FilesByTable, Moment, TableSummary, base_at, count, tables},
};
use serde::Serialize;

use super::{
    config::ArchiveArgs,
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past, moment},
    units, words,
};

/// Lists the tables of an archive: their size, when they were written, and at which moments they are covered
///
/// The number of rows counts every revision in the archive. --count shows how many documents a table had at a moment,
/// for which it reads the `_id`s of the tables.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver tables --archive s3://bucket/happy-otter
  convex-archiver tables --archive ./archive --count --as-of '1 day ago'
  convex-archiver tables --archive ./archive --json | jq -r '.tables[].table.name'")]
pub(crate) struct TablesArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Count the documents; a table that is not covered at that moment gets no count
    #[arg(long)]
    count: bool,
    /// Moment at which to count them, as in --as-of of get
    #[arg(long, value_name = "MOMENT", requires = "count")]
    as_of: Option<Moment>,
    /// Print one JSON object, even on failure
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    tables: past::SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// The tables, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of_ts: Option<String>,
    tables: Vec<Table<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    #[serde(flatten)]
    summary: &'a TableSummary,
    covered: Vec<CoveredSpan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<u64>,
}

#[derive(Serialize)]
struct CoveredSpan {
    from: String,
    to: String,
}

pub(super) async fn run(args: &TablesArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let selection = args.tables.selection(&past.head)?;
    let mut summaries = tables(&past.archive, &past.head).await?;
    summaries.retain(|summary| selection.contains(&summary.table));
    let at = if args.count { Some(past.at(args.as_of)?) } else { None };
    let mut documents = vec![None; summaries.len()];
    if let Some(at) = at {
        let mut files = FilesByTable::open(&past.archive, &past.head).await?;
        for (summary, documents) in summaries.iter().zip(&mut documents) {
            if let Covers::Covered(_) = past.head.coverage().covers(&summary.table, at) {
                let of_table = files.of(&summary.table).await?;
                *documents = Some(count(&past.archive, &past.head, &of_table, at, budget).await?);
            }
        }
        if let (Some(first), true) = (summaries.first(), documents.iter().all(Option::is_none)) {
            // It names the moments that are.
            base_at(&past.head, &first.table, at)?;
        }
    }
    if args.json {
        let table = |(summary, documents): (_, &Option<u64>)| table(summary, *documents);
        let tables = summaries.iter().zip(&documents).map(table).collect();
        let (as_of, as_of_ts) = (at.map(|at| at.to_string()), at.map(|at| at.0.to_string()));
        output::print_json(&Report { archive: past.archive.url(), as_of, as_of_ts, tables })?;
    } else {
        output::print(&text(&summaries, &documents, at))?;
    }
    Ok(Outcome::Done)
}

fn table(summary: &TableSummary, documents: Option<u64>) -> Table<'_> {
    let covered =
        summary.covered.iter().map(|s| CoveredSpan { from: s.from.to_string(), to: s.to.to_string() }).collect();
    Table { summary, covered, documents }
}

fn text(summaries: &[TableSummary], documents: &[Option<u64>], at: Option<Timestamp>) -> String {
    let mut header =
        ["Table", "Rows", "Tombstones", "Columns", "First revision", "Last revision"].map(str::to_owned).to_vec();
    if at.is_some() {
        header.insert(1, "Documents".to_owned());
    }
    let time = |ts: Option<Timestamp>| ts.map(units::time).unwrap_or_default();
    let row = |(summary, documents): (&TableSummary, &Option<u64>)| {
        let mut row = vec![summary.table.to_string()];
        if at.is_some() {
            row.push(documents.map_or("not covered".to_owned(), units::count));
        }
        row.extend([
            units::count(summary.counts.rows),
            units::count(summary.counts.tombstones),
            summary.columns.to_string(),
            time(summary.first),
            time(summary.last),
        ]);
        row
    };
    let rows: Vec<_> = std::iter::once(header).chain(summaries.iter().zip(documents).map(row)).collect();
    let mut text = at.map(|at| format!("As of {}\n\n", moment(at))).unwrap_or_default();
    text.push_str(&output::table(&rows));
    text.push('\n');
    if at.is_none() {
        text.push_str(words::ROWS);
    }
    text.push_str(&words::covered(summaries.iter().map(|s| (&s.table, s.covered.as_slice()))));
    text
}
