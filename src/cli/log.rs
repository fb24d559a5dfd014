//! The verb `log`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write,
};

use clap::Args;
use convex_archiver::{
    Error, MemoryBudget, Result, TableRef,
    archive::Head,
    read::{Change, DoubtedTable, LogOptions, Moment, Transaction, Transactions},
};
use serde::Serialize;

use super::{
    config::ArchiveArgs,
    doubt,
    outcome::Outcome,
    output,
    past::{self, LimitArgs, Past, SelectionArgs, moment},
    units::{count, counted},
};

/// Lists transactions: what each inserted, updated and deleted, across tables
///
/// The oldest comes first, or with --reverse the newest. A transaction is everything that the deployment wrote at one
/// `_ts`. Transactions before the first snapshot are not known. If the archive has a gap before a revision, it cannot
/// tell whether the document was inserted or updated, and shows `written`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  convex-archiver log --archive s3://bucket/happy-otter --since '2 hours ago'
  convex-archiver log --archive ./archive --table messages --since 2026-11-01 --ids
  convex-archiver log --archive ./archive --limit 20 --reverse
  convex-archiver log --archive ./archive --json | jq -c '[.at, (.changes | length)]'")]
pub(crate) struct LogArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Earliest moment, inclusive; as in --as-of of get [default: the first snapshot]
    #[arg(long, value_name = "MOMENT")]
    since: Option<Moment>,
    /// Latest moment, inclusive [default: as far as the archive reaches]
    #[arg(long, value_name = "MOMENT")]
    until: Option<Moment>,
    /// Show only this many of the newest transactions
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Show the newest first; needs --limit
    #[arg(long, requires = "limit")]
    reverse: bool,
    /// Show the ids of the documents
    #[arg(long)]
    ids: bool,
    /// Print JSON lines, one per transaction, with its documents; on failure, an object with the error
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    tables: SelectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// A transaction, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    ts: String,
    changes: Vec<Document<'a>>,
    /// Of which of its tables the archive may tell something else than what happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doubted: Vec<DoubtedTable>,
}

#[derive(Serialize)]
struct Document<'a> {
    table: &'a TableRef,
    id: &'a str,
    change: &'static str,
}

pub(super) async fn run(args: &LogArgs) -> Result<Outcome> {
    let budget = args.limits.budget()?;
    let past = Past::open(&args.archive).await?;
    let options = LogOptions::default()
        .since(args.since.map(|moment| past.at(Some(moment))).transpose()?)
        .until(args.until.map(|moment| past.at(Some(moment))).transpose()?)
        .tables(tables(args, &past.head)?)
        .budget(budget);
    let mut log = Transactions::open(&past.archive, &past.head, &options).await?;
    past::warn_of(log.missing(), "transactions");
    doubt::warn_of(log.doubted());
    let mut lines = output::Lines::new();
    let told = tell(args, &mut log, budget, &mut lines).await;
    lines.end(told).map(|()| Outcome::Done)
}

/// The tables that are meant; none for all.
fn tables(args: &LogArgs, head: &Head) -> Result<Vec<TableRef>> {
    let selection = args.tables.selection(head)?;
    let all = selection.is_everything();
    let selected = head.tables().map(|state| &state.table).filter(|table| !all && selection.contains(table));
    Ok(selected.cloned().collect())
}

async fn tell(args: &LogArgs, log: &mut Transactions, budget: MemoryBudget, lines: &mut output::Lines) -> Result<()> {
    if !args.json {
        lines.print(&format!("From {} to {}\n", moment(*log.span().start()), moment(*log.span().end())))?;
    }
    let mut transactions = 0;
    let mut newest = Newest::new(args.limit, budget.limit() / 4);
    while let Some(transaction) = log.next().await? {
        transactions += 1;
        let text = if args.json {
            output::json_line(&line(&transaction, log.doubted()))?
        } else {
            text(&transaction, args.ids)
        };
        match &mut newest {
            Some(newest) => newest.push(text)?,
            None => lines.print(&text)?,
        }
    }
    let shown = match newest {
        Some(newest) => newest.print(args.reverse, lines)?,
        None => transactions,
    };
    if args.json {
        return Ok(());
    }
    let of_all = if shown == transactions { String::new() } else { format!(" of {}", count(transactions)) };
    lines.print(&format!("\n{}{of_all}\n", counted(shown, "transaction")))
}

/// The newest transactions, as they are printed.
struct Newest {
    texts: VecDeque<String>,
    limit: usize,
    bytes: u64,
    most: u64,
}

impl Newest {
    /// None without a limit. The texts have `most` bytes at most.
    fn new(limit: Option<usize>, most: u64) -> Option<Self> {
        limit.map(|limit| Self { texts: VecDeque::new(), limit, bytes: 0, most })
    }

    /// # Errors
    /// Resource, if they do not fit.
    fn push(&mut self, text: String) -> Result<()> {
        self.bytes += text.len() as u64;
        self.texts.push_back(text);
        if self.texts.len() > self.limit
            && let Some(oldest) = self.texts.pop_front()
        {
            self.bytes -= oldest.len() as u64;
        }
        if self.bytes <= self.most {
            return Ok(());
        }
        Err(Error::resource(format!(
            "the newest {} transactions do not fit in memory: use a smaller --limit, or --since, or a larger \
             --memory-limit",
            self.limit
        )))
    }

    /// Prints them; how many.
    fn print(self, reverse: bool, lines: &mut output::Lines) -> Result<u64> {
        let shown = self.texts.len() as u64;
        if reverse {
            self.texts.iter().rev().try_for_each(|text| lines.print(text))?;
        } else {
            self.texts.iter().try_for_each(|text| lines.print(text))?;
        }
        Ok(shown)
    }
}

fn line<'a>(transaction: &'a Transaction, doubted: &[DoubtedTable]) -> Line<'a> {
    let document = |change: &'_ convex_archiver::read::DocumentChange| change.change.as_str();
    let changes = transaction.changes.iter();
    let changes = changes.map(|c| Document { table: &c.table, id: &c.id, change: document(c) }).collect();
    let tables: BTreeSet<_> = transaction.changes.iter().map(|c| &c.table).collect();
    let doubted =
        tables.into_iter().flat_map(|table| doubt::holding(doubted, table, transaction.ts)).cloned().collect();
    Line { at: transaction.ts.to_string(), ts: transaction.ts.0.to_string(), changes, doubted }
}

fn text(transaction: &Transaction, ids: bool) -> String {
    let mut tables: BTreeMap<&TableRef, BTreeMap<Change, Vec<&str>>> = BTreeMap::new();
    for change in &transaction.changes {
        tables.entry(&change.table).or_default().entry(change.change).or_default().push(&change.id);
    }
    let mut text = format!("\n{}\n", moment(transaction.ts));
    for (table, changes) in tables {
        let sums = changes.iter().map(|(change, ids)| format!("{} {}", ids.len(), change.as_str()));
        let _ = writeln!(text, "  {table}: {}", sums.collect::<Vec<_>>().join(", "));
        for (change, names) in changes.iter().filter(|_| ids) {
            for id in names {
                let _ = writeln!(text, "    {} {id}", change.as_str());
            }
        }
    }
    text
}
