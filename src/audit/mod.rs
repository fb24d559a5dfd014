//! The verb `audit`: the archive beside the live deployment.
//!
//! # What is compared
//! A state of the archive at a moment S beside list_snapshot at S, table by table: the only source that tells the truth of imports, drops and
//! replacements. S is the archive's delta cursor. It has passed, so nothing has to be waited for, and whatever is written while the audit
//! runs lies behind it: no false alarm.
//!
//! By default `_id` alone is read, since (`_id`, `_ts`) names a revision. A full audit reads every document and compares each value by its
//! canonical text.
//!
//! # What comes of it
//! A commit says which tables are equal at S, and which are suspect from now on (FORMAT.md, "Trust"). [`repair`] is a sync, which compares
//! the suspects at its own cursor and corrects them.

mod plan;
mod report;
mod values;

use std::sync::Arc;

use derive_setters::Setters;

pub use self::{
    plan::{AuditPlan, plan_audit},
    report::{AuditReport, AuditResult, AuditedTable, Difference, DifferingDocument, DifferingId},
};
use self::{
    report::{CANNOT_ASK, UNORDERED},
    values::ValueWalk,
};
use crate::{
    archive::{Archive, Depth},
    budget::MemoryBudget,
    convex::Source,
    document::{TableRef, Timestamp},
    error::{ErrorKind, Result, ResultExt},
    monitor::{Event, Monitor},
    selection::Selection,
    sync::{
        OnSuspicion, SyncOptions, SyncReport,
        compare::{self, Compared, TableComparison, is_comparable},
        compared::{FoundTables, record},
        sync,
    },
};

/// How an audit is done.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct AuditOptions {
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Compare every value, and not ids alone.
    pub full: bool,
    /// Tell each document that differs, as both have it.
    pub documents: bool,
    /// Leave the archive as it is: nothing of what was found is recorded.
    pub dry_run: bool,
    /// Bytes of answers, uncompressed, that it may read, about: a table that would go beyond them is not compared. Those that were compared
    /// longest ago come first, so audit after audit all are reached.
    pub max_download: Option<u64>,
}

/// Compares the archive with the deployment, as planned. `tell` gets each document that differs, in the order of tables and ids, if
/// [`AuditOptions::documents`] are wanted.
///
/// # Errors
/// Window, if the moment is older than the deployment answers for: sync has to run first. Conflict, if the result could not be recorded.
/// Otherwise whatever source or store answered, and whatever `tell` returns.
pub async fn audit(
    source: Arc<dyn Source>,
    archive: &Archive,
    plan: &AuditPlan,
    options: &AuditOptions,
    monitor: Arc<dyn Monitor>,
    mut tell: impl FnMut(DifferingDocument) -> Result<()>,
) -> Result<AuditReport> {
    let (mut tables, mut read) = (Vec::with_capacity(plan.tables.len()), 0);
    for table in plan.oldest_first() {
        let bytes = plan.bytes_of(table, options.full);
        if let Some(limit) = options.max_download.filter(|limit| read + bytes > *limit) {
            tables.push(AuditedTable::new(table).not_compared(beyond_the_limit(bytes, read, limit)));
            continue;
        }
        monitor.report(Event::Comparing { table });
        let done = of_one_table(source.as_ref(), archive, plan, options, table, &mut tell).await;
        let done = done.or_else(|error| match error.kind() {
            // What cannot be read cannot be compared; the other tables can.
            ErrorKind::Corrupt => Ok(AuditedTable::new(table).not_compared(error.to_string())),
            ErrorKind::Window => Err(error.context(too_old(plan.at))),
            _ => Err(error),
        })?;
        monitor.report(Event::Documents { documents: done.documents, bytes: done.bytes });
        read += done.bytes;
        tables.push(done);
    }
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    let depth = if options.full { Depth::Values } else { Depth::Ids };
    let mut report = AuditReport { at: plan.at, depth, tables, all_tables_known: plan.all_tables_known, version: None };
    if !options.dry_run {
        let of = |result| report.with(result).map(|table| table.table.clone()).collect();
        let found = FoundTables {
            at: plan.at,
            depth,
            equal: of(AuditResult::Equal),
            differ: of(AuditResult::Differs),
            altered: report.tables.iter().filter(|table| table.is_only_altered()).map(|t| t.table.clone()).collect(),
        };
        report.version = record(source, archive, &plan.head, &found, monitor).await?;
    }
    Ok(report)
}

fn beyond_the_limit(bytes: u64, read: u64, limit: u64) -> String {
    if bytes > limit {
        return format!(
            "it needs about {bytes} bytes, more than --max-download {limit} allows: raise the limit, or leave the \
             table out"
        );
    }
    format!(
        "it needs about {bytes} bytes, but {read} of the {limit} that --max-download allows are used: run audit again, \
         which begins with the tables compared longest ago"
    )
}

fn too_old(at: Timestamp) -> String {
    format!(
        "the archive reaches up to {at}, but the deployment serves only the last 5 days of its past: run sync first, \
         then audit"
    )
}

async fn of_one_table(
    source: &dyn Source,
    archive: &Archive,
    plan: &AuditPlan,
    options: &AuditOptions,
    table: &TableRef,
    tell: &mut impl FnMut(DifferingDocument) -> Result<()>,
) -> Result<AuditedTable> {
    let AuditPlan { head, at, .. } = plan;
    if !is_comparable(head, table, *at) {
        let why = format!(
            "the archive does not cover it at {at}: `status` shows what it covers, and sync takes a new base if one is \
             needed"
        );
        return Ok(AuditedTable::new(table).not_compared(why));
    }
    let mut walk = ValueWalk { archive, head, source, at: *at, budget: options.budget, tell: None };
    if options.full {
        walk.tell = if options.documents { Some(tell) } else { None };
        return walk.compare(table).await;
    }
    let done = match compare::compare(archive, head, source, table, *at, None, options.budget).await? {
        Compared::Whole(comparison) => of_comparison(comparison),
        Compared::CannotAsk => return Ok(AuditedTable::new(table).not_compared(CANNOT_ASK)),
        Compared::Unordered | Compared::SamePlace => return Ok(AuditedTable::new(table).not_compared(UNORDERED)),
    };
    if done.result == AuditResult::Differs && options.documents {
        walk.tell = Some(tell);
        let second = walk.compare(table).await?;
        return Ok(AuditedTable {
            requests: done.requests + second.requests,
            bytes: done.bytes + second.bytes,
            ..done
        });
    }
    Ok(done)
}

fn of_comparison(comparison: TableComparison) -> AuditedTable {
    let TableComparison { table, documents, extra, missing, different, examples, requests, bytes, .. } = comparison;
    let mut done = AuditedTable::new(&table);
    for (id, difference) in examples {
        done.note(
            &id,
            match difference {
                compare::Difference::Extra => Difference::Extra,
                compare::Difference::Missing => Difference::Missing,
                compare::Difference::Different => Difference::Different,
            },
        );
    }
    AuditedTable { documents, missing, extra, different, requests, bytes, ..done }
}

/// Corrects what an audit that was recorded found: a sync, which compares what is suspect once it has caught up. No comparison of ids sees
/// documents that have other values in the same revision, so their tables are fetched anew. `options` say how the sync is done, with
/// the archive's selection.
///
/// # Errors
/// As [`sync()`].
pub async fn repair(
    source: Arc<dyn Source>,
    archive: &Archive,
    report: &AuditReport,
    options: SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let altered: Vec<_> = report.tables.iter().filter(|table| table.altered > 0).map(|t| t.table.to_string()).collect();
    let options = options.on_suspicion(OnSuspicion::Heal);
    let options = if altered.is_empty() { options } else { options.rebase(Some(Selection::new(&altered, [])?)) };
    sync(source, archive, &options, monitor).await.context(|| format!("repair of {}", archive.url()))
}
