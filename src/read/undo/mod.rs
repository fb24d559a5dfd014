//! [`plan_undo`], [`undo`] and [`undo_by_mutation`]: what changed between two moments is undone, document by document, and
//! what was written since stays.
//!
//! # Why the ZIP holds whole tables
//! Convex refuses to append an `_id` that its table has or had: "Cannot recreate document with _id … that was deleted", "…
//! already exists". An import with `--replace` fills a new table, and takes every `_id`. So each table of the ZIP is the table as
//! it is now, with the documents of the undo put back.
//!
//! # Why there is a mutation, too
//! A mutation that calls `ctx.db.replace` changes single documents while the app runs, and the change log tells of it. It cannot
//! bring deleted documents back under their ids.
//!
//! # Two passes
//! The first reads keys only, and says which tables are touched. The second reads those again, with all columns, and writes. Both
//! see one version of the archive, and so the same.

mod caught;
mod field_match;
mod later;
mod mutation;
mod options;
mod readme;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

use std::{collections::BTreeSet, path::Path};

pub use self::{
    caught::caught,
    field_match::FieldMatch,
    mutation::UndoBatches,
    options::UndoOptions,
    report::{UndoFate, UndoReport, UndoneDocument, UndoneTable},
};
use self::{
    mutation::Batches,
    table::{TableUndo, Undo, Written, number_at},
};
use super::restore::{
    came_without_types,
    entries::{documents, generated_schema, write_numbers},
    zip::SnapshotZip,
};
use crate::{
    archive::{Archive, Head},
    document::{TableRef, table_number},
    error::{Error, Result},
    monitor::{Event, FindingCounter, FindingCounts, Monitor},
    rows::{
        common::all_covered,
        doubt::{DoubtedTable, doubted_at, refuse_doubted},
        files::{FilesByTable, TableFiles},
        moment::{base_at, in_full},
    },
};

/// Tells what an undo would change. `tell` gets each document that is undone, or was changed again since, in the order of tables
/// and ids.
///
/// # Errors
/// NotFound, if a selected table is not covered at one of the moments, or a wanted document is known at none of them; Usage, if
/// the moments are not in order; whatever `tell` returns; as reading the archive's files has them.
pub async fn plan_undo(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    monitor: &dyn Monitor,
    mut tell: impl FnMut(UndoneDocument) -> Result<()>,
) -> Result<UndoReport> {
    let monitor = &FindingCounter::new(monitor);
    let selected = selected(head, options)?;
    let undo = Undo { archive, head, options, monitor };
    let UndoOptions { from, to, now, .. } = *options;
    let mut report = UndoReport {
        from,
        to,
        now,
        tables: Vec::new(),
        untyped: false,
        doubted: Vec::new(),
        findings: FindingCounts::default(),
    };
    let mut unknown = options.ids.clone();
    let mut files = FilesByTable::open(archive, head).await?;
    let tables = selected.len() as u64;
    for (place, table) in (1..).zip(&selected) {
        let files = files.of(table).await?;
        if !may_hold(&files, options) {
            continue;
        }
        report.doubted.extend(doubts(head, table, options));
        monitor.report(Event::Reading { table, number: place, tables });
        let number = number_at(archive, head, &files, now, options.budget).await?;
        let (done, known) = TableUndo::walk(&undo, &files, number, Written::Nowhere, &mut tell).await?;
        unknown.retain(|id| !known.contains(id));
        if done.undone() > 0 {
            report.untyped |= is_untyped(head, table, options)?;
        }
        if done.has_changed() {
            report.tables.push(done);
        }
    }
    if let Some(id) = unknown.first() {
        return Err(Error::not_found(format!(
            "no document {id} at {}, {} or {}: run history TABLE {id} to see what the archive has",
            in_full(from),
            in_full(to),
            in_full(now)
        )));
    }
    report.findings = monitor.counts();
    Ok(report)
}

/// Writes the ZIP of an undo to [`UndoOptions::output`], where it appears whole or not at all. It holds each touched table as it is
/// now, with the documents of the undo put back, reverted or left out. The same version of an archive and the same options give
/// the same bytes. Returns its bytes, too; None if there is nothing to undo, and then nothing is written.
///
/// # Errors
/// As [`plan_undo`]; Usage, if the output is there already and must not be overwritten; NotFound, if a table is in doubt at one of
/// the moments, and that was not accepted; as writing has them.
pub async fn undo(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    monitor: &dyn Monitor,
) -> Result<(UndoReport, Option<u64>)> {
    let undone = undo_unless(std::future::pending(), archive, head, options, monitor).await?;
    undone.ok_or_else(|| Error::internal("an undo was given up without a reason: report it"))
}

/// The same, given up once `stop` is ready: then it is None, and nothing is left, in a store neither.
#[doc(hidden)]
pub async fn undo_unless(
    stop: impl Future<Output = ()>,
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    monitor: &dyn Monitor,
) -> Result<Option<(UndoReport, Option<u64>)>> {
    // Before anything is read, so that a place that is taken is told at once.
    let mut zip = SnapshotZip::create(&options.output, options.overwrite, options.budget).await?;
    let whole = async {
        let report = plan_undo(archive, head, options, monitor, |_| Ok(())).await?;
        check_doubt(head, options, &report)?;
        if report.undone() == 0 {
            return Ok((report, None));
        }
        write_zip(archive, head, options, &report, &mut zip, monitor).await?;
        Ok((report, Some(zip.finish().await?)))
    };
    let done = tokio::select! {
        biased;
        () = stop => None,
        done = whole => Some(done),
    };
    if !matches!(done, Some(Ok((_, Some(_))))) {
        zip.give_up(monitor).await;
    }
    done.transpose()
}

async fn write_zip(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    report: &UndoReport,
    zip: &mut SnapshotZip,
    monitor: &dyn Monitor,
) -> Result<()> {
    zip.entry(readme::NAME.to_owned()).await?;
    zip.write(readme::text(archive, head, options, &report.doubted).as_bytes()).await?;
    let undo = Undo { archive, head, options, monitor };
    let mut files = FilesByTable::open(archive, head).await?;
    for (place, touched) in (1..).zip(report.touched()) {
        monitor.report(Event::Reading {
            table: &touched.table,
            number: place,
            tables: report.touched().count() as u64,
        });
        let files = files.of(&touched.table).await?;
        zip.entry(documents(&touched.table)).await?;
        let written = Written::Zip(&mut *zip);
        TableUndo::walk(&undo, &files, touched.number, written, |_| Ok(())).await?;
        generated_schema(&touched.table, zip).await?;
    }
    write_numbers(report.touched().filter_map(|t| Some((&t.table, t.number?))), zip).await
}

/// Writes a mutation that undoes changes, and the batches that it is called with, into the folder `output`, which appears whole or not
/// at all; it must be absent or empty. Deleted documents are counted only: a mutation cannot give them their ids back. None, if
/// there is nothing for a mutation, and then nothing is written.
///
/// # Errors
/// As [`undo`]; Usage, if something is in the folder; Resource, if it cannot be written.
pub async fn undo_by_mutation(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    output: &Path,
    monitor: &dyn Monitor,
) -> Result<(UndoReport, Option<UndoBatches>)> {
    let mut batches = Batches::create(output)?;
    let report = plan_undo(archive, head, options, monitor, |_| Ok(())).await?;
    check_doubt(head, options, &report)?;
    if report.tables.iter().all(|table| table.reverted + table.removed == 0) {
        return Ok((report, None));
    }
    let undo = Undo { archive, head, options, monitor };
    let mut files = FilesByTable::open(archive, head).await?;
    for (place, touched) in (1..).zip(report.touched()) {
        monitor.report(Event::Reading {
            table: &touched.table,
            number: place,
            tables: report.touched().count() as u64,
        });
        let files = files.of(&touched.table).await?;
        TableUndo::walk(&undo, &files, touched.number, Written::Batches(&mut batches), |_| Ok(())).await?;
    }
    let written = batches.finish(archive, head, options, &report)?;
    Ok((report, Some(written)))
}

/// The tables that are looked at: covered at all three moments.
fn selected(head: &Head, options: &UndoOptions) -> Result<BTreeSet<TableRef>> {
    let UndoOptions { from, to, now, .. } = *options;
    if let Some((early, late)) = [(from, to), (to, now)].into_iter().find(|(early, late)| early > late) {
        return Err(Error::usage(format!(
            "{} is after {}: --from must come before --to, and both before the newest moment of the archive",
            in_full(early),
            in_full(late)
        )));
    }
    if let Some(odd) = options.ids.iter().find(|id| table_number(id).is_none()) {
        return Err(Error::usage(format!("`{}` is not a document id of Convex", odd.escape_debug())));
    }
    let tables = head.tables().map(|state| &state.table).filter(|table| options.selection.contains(table));
    let tables: Vec<_> = tables.collect();
    for (at, flag) in [(from, "--from "), (to, "--to "), (now, "")] {
        all_covered(head, &tables, at, flag)?;
    }
    Ok(tables.into_iter().cloned().collect())
}

/// What speaks against the table at one of the moments, each span once.
fn doubts(head: &Head, table: &TableRef, options: &UndoOptions) -> Vec<DoubtedTable> {
    let mut doubted: Vec<DoubtedTable> = Vec::new();
    for at in [options.from, options.to, options.now] {
        let found = doubted_at(head, [table], at);
        doubted.extend(found.into_iter().filter(|new| !doubted.contains(new)).collect::<Vec<_>>());
    }
    doubted
}

/// No table that was looked at is in doubt, unless that was accepted.
fn check_doubt(head: &Head, options: &UndoOptions, report: &UndoReport) -> Result<()> {
    if options.accept_doubt {
        return Ok(());
    }
    let selected = selected(head, options)?;
    // Of wanted documents their tables count, and nothing can be excluded.
    let is_one = |table: &&TableRef| options.ids.is_empty() || report.doubted.iter().any(|d| d.table == **table);
    let tables: Vec<_> = selected.iter().filter(is_one).collect();
    for (at, flag) in [(options.from, Some("--from ")), (options.to, Some("--to ")), (options.now, None)] {
        refuse_doubted(head, &tables, at, flag)?;
    }
    Ok(())
}

/// Whether one of the wanted documents may be in the table.
fn may_hold(files: &TableFiles, options: &UndoOptions) -> bool {
    options.ids.is_empty() || options.ids.iter().any(|id| files.parts.iter().any(|part| part.may_hold(id)))
}

/// Whether what is written came without types.
fn is_untyped(head: &Head, table: &TableRef, options: &UndoOptions) -> Result<bool> {
    for at in [options.from, options.now] {
        let (_, base) = base_at(head, table, at)?;
        if came_without_types(head, base.ts, at) {
            return Ok(true);
        }
    }
    Ok(false)
}
