//! Bases of the archive's own, where the changes of a table have outgrown its newest base: one table, one commit.
//!
//! Such a base is no cut: every moment keeps the base that served it, and what the base holds other files hold too (`repeats`). Its S is the cursor
//! of the head on which it is planned, so that no file of changes lies across it. Own bases that are now needless are withdrawn in the same commit,
//! `superseded`, and their files leave: those of which an older base serves every moment.
//!
//! A commit that came in between and says something of the table (a base, a gap, a doubt) ends the plan: what was written belongs to nothing, and the
//! next run plans anew. Data and joined files do not: the race rule carries the base over them.

use std::{collections::BTreeSet, sync::Arc};

use super::{CompactOptions, CompactReport, outgrown, outgrown::Behind};
use crate::{
    archive::{
        Archive, Base, Covers, Draft, Head, Maintenance, RemovedFile, Run, TableState, Withdrawal, WithdrawalReason,
    },
    document::{TableRef, Timestamp},
    error::{ErrorKind, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    own_base::{BaseWriter, NewBase, OwnBase, encoding_of_one_generation},
    position::Scope,
    rows::files::TableFiles,
};

/// Tables whose lists of files a sync reads in one run, to count what came.
const COUNTED_AT_ONCE: usize = 4;

/// A table whose changes have outgrown its base.
struct Due {
    table: TableRef,
    behind: Behind,
    /// Stored bytes that are read for it.
    bytes: u64,
}

/// What would be made.
pub(super) async fn plan(archive: &Archive, head: &Head, options: &CompactOptions) -> Result<CompactReport> {
    let mut report = CompactReport::default();
    for due in due(archive, head, options).await? {
        let Some(cursor) = cursor(head) else { break };
        if encoding_of_one_generation(head, &TableFiles::of(archive, head, &due.table).await?, cursor).is_none() {
            report.bases_mixed += 1;
        } else {
            report.bases += 1;
            report.base_rows += due.behind.documents();
            report.base_input_bytes += due.bytes;
        }
    }
    Ok(report)
}

/// Makes the bases that are due, as far as a run does that. The head at the end, and what was done.
pub(super) async fn make(
    archive: &Archive,
    head: &Head,
    options: &CompactOptions,
    now: Timestamp,
    monitor: &Arc<dyn Monitor>,
) -> Result<(Head, CompactReport)> {
    let (mut head, mut report) = (head.clone(), CompactReport::default());
    for due in due(archive, &head, options).await? {
        let paid = options.everything || is_paid_for(&head, &due, options);
        if !paid {
            report.bases_later += 1;
            continue;
        }
        match make_one(archive, &head, &due.table, options, now, monitor).await {
            Ok(Made::Base { head: next, rows, bytes }) => {
                report.bases += 1;
                report.base_rows += rows;
                report.base_bytes += bytes;
                report.base_input_bytes += due.bytes;
                report.version = Some(next.version());
                head = *next;
            }
            Ok(Made::Mixed) => report.bases_mixed += 1,
            Ok(Made::Stale(next)) => {
                report.bases_later += 1;
                head = *next;
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                report.bases_damaged += 1;
                let (table, why) = (due.table.to_string(), error.to_string());
                monitor.report(Event::Finding(&Finding::NotCompacted { table, why }));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((head, report))
}

enum Made {
    Base {
        head: Box<Head>,
        rows: u64,
        bytes: u64,
    },
    /// Its rows came in several encodings, and a base has files of one; or they bear the numbers of several tables.
    Mixed,
    /// Somebody said something of the table meanwhile.
    Stale(Box<Head>),
}

async fn make_one(
    archive: &Archive,
    head: &Head,
    table: &TableRef,
    options: &CompactOptions,
    now: Timestamp,
    monitor: &Arc<dyn Monitor>,
) -> Result<Made> {
    let Some(at) = cursor(head) else { return Ok(Made::Mixed) };
    let files = TableFiles::of(archive, head, table).await?;
    let Some(encoding) = encoding_of_one_generation(head, &files, at) else { return Ok(Made::Mixed) };
    let mut run = Run::begin();
    let writer = BaseWriter {
        archive,
        head,
        budget: options.budget,
        compression_level: options.compression_level,
        target_file_bytes: options.target_file_bytes,
        content_digest: options.content_digest,
        monitor: Arc::clone(monitor),
    };
    let new = NewBase { table, at, is_cut: false, run: &run, now };
    let own = writer.write(&new, &files, encoding, &[]).await?;
    let id = own.base.id.clone();
    let (rows, bytes) = own.files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
    let mut making = Making { archive, table, own: Some(own), now };
    let head = Box::new(archive.update(head, &mut run, &mut making).await?);
    Ok(if head.coverage().bases.iter().any(|base| base.id == id) {
        Made::Base { head, rows, bytes }
    } else {
        Made::Stale(head)
    })
}

/// A base that is complete in the store, on its way into a commit.
struct Making<'a> {
    archive: &'a Archive,
    table: &'a TableRef,
    /// None, once it was planned: what comes to be planned again is no longer the state of its table.
    own: Option<OwnBase>,
    now: Timestamp,
}

impl Maintenance for Making<'_> {
    async fn plan(&mut self, head: &Head) -> Result<Option<Draft>> {
        let (Some(own), Some(draft)) = (self.own.take(), head.maintenance(self.now)) else { return Ok(None) };
        let OwnBase { base, files } = own;
        let coverage = head.coverage();
        let needless: BTreeSet<_> = coverage.needless(self.table).into_iter().map(|base| &base.id).collect();
        let mut remove = Vec::new();
        if !needless.is_empty() {
            let mut live = self.archive.live_files_of(head, self.table).await?;
            while let Some(file) = live.next().await? {
                if file.base.as_ref().is_some_and(|id| needless.contains(id)) {
                    remove.push(RemovedFile::of(&file)?);
                }
            }
        }
        let withdrawn = needless.into_iter().map(|base| Withdrawal {
            base: base.clone(),
            scope: Scope::Tables(vec![self.table.clone()]),
            why: WithdrawalReason::Superseded,
        });
        Ok(Some(Draft { add: files, bases: vec![base], withdrawn: withdrawn.collect(), remove, ..draft }))
    }
}

/// The tables that are to get a base, and of which the lists of files were read.
async fn due(archive: &Archive, head: &Head, options: &CompactOptions) -> Result<Vec<Due>> {
    let (mut due, mut tables) = (Vec::new(), candidates(head, options));
    if !options.everything && !tables.is_empty() {
        // In turn, so that those of which too little came do not hold up the others.
        let begin = (head.version() as usize).wrapping_mul(COUNTED_AT_ONCE) % tables.len();
        tables.rotate_left(begin);
        tables.truncate(COUNTED_AT_ONCE);
    }
    for (state, base) in tables {
        let counted = count(archive, head, state, base).await?;
        if options.own_bases.is_outgrown(counted.behind) {
            due.push(counted);
        }
    }
    Ok(due)
}

/// The tables whose changes may have outgrown their base, as far as the head tells: nothing is read.
fn candidates<'a>(head: &'a Head, options: &CompactOptions) -> Vec<(&'a TableState, &'a Base)> {
    let Some(cursor) = cursor(head) else { return Vec::new() };
    let (rule, walk) = (&options.own_bases, head.progress().walk.as_ref());
    let candidate = |state: &'a TableState| {
        let table = &state.table;
        let Covers::Covered(base) = head.coverage().covers(table, cursor) else { return None };
        // Changes of all time: never fewer rows, and never fewer tombstones, than those after the base.
        let all = Behind { base: rows_of(base, table), rows: state.delta.rows, tombstones: state.delta.tombstones };
        let month = layout::month_of(base.ts);
        let changed = || state.months.range(month..).any(|(_, month)| month.version > base.version);
        let apart = cursor.0.saturating_sub(base.ts.0) >= rule.apart && base.ts < cursor;
        // The walk that is open brings one.
        let walked = walk.is_some_and(|walk| walk.scope.contains(table));
        (rule.is_outgrown(all) && apart && !walked && changed()).then_some((state, base))
    };
    head.tables().filter(|state| options.selection.contains(&state.table)).filter_map(candidate).collect()
}

/// Counts what is read of the table now, from the lists of the months since its base.
async fn count(archive: &Archive, head: &Head, state: &TableState, base: &Base) -> Result<Due> {
    let table = &state.table;
    let months = state.months.range(layout::month_of(base.ts)..).map(|(month, _)| (table.clone(), month.clone()));
    let mut files = archive.live_files_in(head, months.collect()).await?;
    let mut due =
        Due { table: table.clone(), behind: Behind { base: rows_of(base, table), ..Behind::default() }, bytes: 0 };
    while let Some(file) = files.next().await? {
        let is_behind = file.base.is_none() && file.max_ts > base.ts;
        if is_behind {
            due.behind.rows += file.rows;
            due.behind.tombstones += file.tombstones;
        }
        if is_behind || file.base.as_ref() == Some(&base.id) {
            due.bytes += file.bytes;
        }
    }
    Ok(due)
}

/// Whether a sync may make the base now.
fn is_paid_for(head: &Head, due: &Due, options: &CompactOptions) -> bool {
    let newest = cursor(head).and_then(|cursor| match head.coverage().covers(&due.table, cursor) {
        Covers::Covered(base) => Some(base.version),
        Covers::NotCovered(_) => None,
    });
    let commits = newest.map_or(0, |version| head.version().saturating_sub(version));
    outgrown::is_paid_for(due.bytes, commits, options.bytes.unwrap_or(u64::MAX))
}

fn rows_of(base: &Base, table: &TableRef) -> u64 {
    base.tables.iter().find(|said| said.table == *table).map_or(0, |said| said.rows)
}

fn cursor(head: &Head) -> Option<Timestamp> {
    head.progress().delta.as_ref().map(|delta| delta.ts)
}
