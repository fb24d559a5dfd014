//! [`DoubtedTable`]: tables of which the archive may show something else than the deployment held, at a moment or within a span; and where
//! that ends.
//!
//! # What is refused, and what is only told
//! After a sync that came to its end a deployment that can be watched was watched up to the archive's cursor: nothing is in doubt but what the
//! sync has found. A sync that was interrupted, that is still under way, or that could not ask, leaves changes behind the moment up to which
//! somebody watched. Nothing speaks against those, and an archive of a deployment that cannot be watched at all has no others. So they are
//! [unwatched](DoubtedTable::unwatched): told, and never a reason to refuse. Where something does speak against a table (it is suspect, or
//! it was corrected later), whoever hands out its whole state refuses.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{
    common::{NearestMoments, excluding, listed},
    moment::in_full,
};
use crate::{
    archive::{BaseMaker, DoubtedSpan, Head},
    document::{TableRef, Timestamp},
    error::{Error, Result},
};

/// A table, and a span in which the archive may show something else of it than the deployment held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DoubtedTable {
    /// The table.
    pub table: TableRef,
    /// The span, and why.
    #[serde(flatten)]
    pub span: DoubtedSpan,
    /// Whether nothing speaks against the table: it is only that no sync has asked yet whether something touched it.
    pub unwatched: bool,
}

impl DoubtedTable {
    fn new(head: &Head, table: &TableRef, span: DoubtedSpan) -> Self {
        let suspect = head.table(table).is_some_and(|state| state.suspect.is_some());
        Self { table: table.clone(), unwatched: span.to.is_none() && !suspect, span }
    }
}

/// Those of the tables that are in doubt at `at`, each once, in their order.
pub fn doubted_at<'a>(head: &Head, tables: impl IntoIterator<Item = &'a TableRef>, at: Timestamp) -> Vec<DoubtedTable> {
    tables.into_iter().filter_map(|table| of_table(head, table, at)).collect()
}

/// Those of the tables that are in doubt at some moment of `span`, each as often as there are such spans of it, in their order.
pub fn doubted_within<'a>(
    head: &Head,
    tables: impl IntoIterator<Item = &'a TableRef>,
    span: &RangeInclusive<Timestamp>,
) -> Vec<DoubtedTable> {
    let overlaps = |doubt: &DoubtedSpan| doubt.after < *span.end() && doubt.to.is_none_or(|to| *span.start() < to);
    let of_one = |table: &'a TableRef| {
        let doubts = head.doubted(table).into_iter().filter(overlaps);
        doubts.map(|doubt| DoubtedTable::new(head, table, doubt)).collect::<Vec<_>>()
    };
    tables.into_iter().flat_map(of_one).collect()
}

/// What speaks most against the table at `at`.
fn of_table(head: &Head, table: &TableRef, at: Timestamp) -> Option<DoubtedTable> {
    // Of a moment at which it was proven no span counts.
    head.doubted_at(table, at)?;
    let spans = head.doubted(table).into_iter().filter(|span| span.holds(at));
    spans.map(|span| DoubtedTable::new(head, table, span)).min_by_key(|doubted| doubted.unwatched)
}

/// None of these tables is in doubt at `at`, but for what is only unwatched. `flag` is what stands before a moment on the command line; None,
/// if the moment cannot be chosen.
///
/// # Errors
/// NotFound, naming those that are, why, the nearest moments at which none is, and what else can be done.
pub fn refuse_doubted(head: &Head, tables: &[&TableRef], at: Timestamp, flag: Option<&str>) -> Result<()> {
    let mut doubted = doubted_at(head, tables.iter().copied(), at);
    doubted.retain(|doubted| !doubted.unwatched);
    let Some(first) = doubted.first() else { return Ok(()) };
    let lacking: Vec<_> = doubted.iter().map(|doubted| &doubted.table).collect();
    let (one, is_all) = (doubted.len() == 1, lacking.len() == tables.len());
    let what = if one {
        format!("table {}", first.table)
    } else {
        format!("{} tables ({})", doubted.len(), listed(&lacking, ", "))
    };
    let mut reasons: Vec<_> = doubted.iter().map(|doubted| doubted.span.reason()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let why = reasons.join("; ");
    let known = if one {
        let again = first.span.to.map_or_else(String::new, |to| format!(", and again from {}", in_full(to)));
        format!(" (it is known to be correct until {}{again})", in_full(first.span.after))
    } else {
        String::new()
    };
    let mut ways = Vec::new();
    let offers = flag.map(|flag| proven_moments(head, tables, at, flag)).unwrap_or_default();
    if !offers.is_empty() {
        let all = if tables.len() == 1 { "it is" } else { "all selected tables are" };
        ways.push(format!("use the nearest moment at which {all} proven: {}", offers.join(" or ")));
    }
    if doubted.iter().any(|doubted| doubted.span.to.is_none()) {
        ways.push(format!("run sync, which compares the table{} with the deployment", if one { "" } else { "s" }));
    }
    if !is_all {
        let them = if one { "the table" } else { "these tables" };
        ways.push(format!("leave {them} out, --exclude {}", excluding(&lacking, tables)));
    }
    ways.push("add --accept-doubt to continue with what the archive has".to_owned());
    Err(Error::not_found(format!(
        "for {what} the archive may differ from what the deployment held at {}: {why}{known}: {}",
        in_full(at),
        ways.join("; or ")
    )))
}

/// The nearest moments at which none of the tables is in doubt, as they are typed.
fn proven_moments(head: &Head, tables: &[&TableRef], at: Timestamp, flag: &str) -> Vec<String> {
    let nearest = NearestMoments::proven(head, tables, at);
    let offer = |moment: Timestamp, place: &str| format!("{flag}{} ({moment}, {place})", moment.0);
    let moments = [(nearest.before, "before it"), (nearest.after, "after it")];
    moments.iter().filter_map(|(moment, place)| moment.map(|moment| offer(moment, place))).collect()
}

impl NearestMoments {
    /// The nearest moments at which all these tables are covered, and none is in doubt.
    pub(crate) fn proven(head: &Head, tables: &[&TableRef], at: Timestamp) -> Self {
        Self { before: proven(head, tables, at, Direction::Back), after: proven(head, tables, at, Direction::On) }
    }
}

/// Where to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Back,
    On,
}

/// From one moment to the next, wherever a table is not covered or in doubt.
fn proven(head: &Head, tables: &[&TableRef], mut at: Timestamp, direction: Direction) -> Option<Timestamp> {
    let (coverage, all) = (head.coverage(), tables.iter().copied());
    loop {
        let before = at;
        at = match direction {
            Direction::Back => coverage.newest_of_all(all.clone(), at)?,
            Direction::On => coverage.first_of_all(all.clone(), at)?,
        };
        for table in tables {
            while let Some(doubted) = of_table(head, table, at).filter(|doubted| !doubted.unwatched) {
                at = step(head, table, &doubted.span, at, direction)?;
            }
        }
        if at == before {
            return Some(at);
        }
    }
}

/// The next moment at which this span does not count.
fn step(head: &Head, table: &TableRef, span: &DoubtedSpan, at: Timestamp, direction: Direction) -> Option<Timestamp> {
    let coverage = head.coverage();
    let told = coverage.bases.iter().filter(|base| base.made == BaseMaker::Deployment && coverage.serves(base, table));
    let compared = head.table(table).and_then(|state| state.proven).map(|proven| proven.ts);
    let moments = told.map(|base| base.ts).chain(compared);
    match direction {
        Direction::Back => moments.chain([span.after]).filter(|moment| *moment < at).max(),
        Direction::On => moments.chain(span.to).filter(|moment| *moment > at).min(),
    }
}
