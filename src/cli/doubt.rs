//! Tables in doubt, as they are told: `--accept-doubt`, and a line for people.

use clap::Args;
use convex_archiver::{TableRef, archive::DoubtedSpan, read::DoubtedTable};

use super::{past::moment, words};

/// Whether tables may be in doubt.
#[derive(Debug, Args)]
#[command(next_help_heading = "Doubt")]
pub(crate) struct DoubtArgs {
    /// Continue even if a table in the archive may differ from what the deployment held at that moment (because an
    /// import or a drop was noticed only later), list these tables, and exit with 3. Without this flag it is an error,
    /// which names the nearest moments that are not in doubt
    #[arg(long)]
    pub(crate) accept_doubt: bool,
}

/// What is in doubt, a line for each span and reason.
pub(crate) fn about_doubt(doubted: &[DoubtedTable]) -> Vec<String> {
    let mut groups: Vec<(&DoubtedSpan, bool, Vec<&TableRef>)> = Vec::new();
    for DoubtedTable { table, span, unwatched, .. } in doubted {
        match groups.iter_mut().find(|(known, mild, _)| (*known, mild) == (span, unwatched)) {
            Some((.., tables)) => tables.push(table),
            None => groups.push((span, *unwatched, vec![table])),
        }
    }
    groups.iter().map(|(span, unwatched, tables)| line(span, *unwatched, tables)).collect()
}

fn line(span: &DoubtedSpan, unwatched: bool, tables: &[&TableRef]) -> String {
    let (tables, after) = (words::list(tables.iter().copied()), moment(span.after));
    if unwatched {
        return format!(
            "not yet checked: {tables} after {after}. There is no sign of a difference, but no sync has asked yet \
             whether an import or a drop touched it"
        );
    }
    let what = "the archive may differ from what the deployment held";
    match span.to {
        Some(to) => format!("in doubt: {tables} after {after} and before {}: {what}: {}", moment(to), span.reason()),
        None => format!("in doubt: {tables} after {after}, until a sync compares it: {what}: {}", span.reason()),
    }
}

/// Warns of it.
pub(crate) fn warn_of(doubted: &[DoubtedTable]) {
    about_doubt(doubted).iter().for_each(|line| tracing::warn!("{line}"));
}

/// What of the spans holds a moment of one table: for a line of a report.
pub(crate) fn holding<'a>(
    doubted: &'a [DoubtedTable],
    table: &'a TableRef,
    at: convex_archiver::Timestamp,
) -> impl Iterator<Item = &'a DoubtedTable> {
    doubted.iter().filter(move |doubted| doubted.table == *table && doubted.span.holds(at))
}
