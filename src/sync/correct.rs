//! How a correction is made and said: a base that is a *cut*, the doubt before it, and what is told of it once it is committed.

use std::sync::Arc;

use super::{
    compare::TableComparison,
    input::RunInput,
    notice,
    report::{Correction, HealedTable},
    run::SyncRun,
};
use crate::{
    archive::{Base, BaseMaker, Comparison, Covers, Depth, Doubt, Draft, Head, Run, Withdrawal, WithdrawalReason},
    convex::SnapshotScope,
    document::{TableRef, Timestamp},
    error::Result,
    layout,
    monitor::{Event, Finding},
    own_base::{BaseWriter, NewBase, OwnBase, encoding_of},
    position::{Progress, Scope, Walk},
    rows::files::TableFiles,
};

/// The base of the archive's own that corrects the table; None, if only the deployment can tell it.
pub(super) async fn own_base_of(
    run: &SyncRun,
    input: &RunInput<'_>,
    comparison: &TableComparison,
) -> Result<Option<OwnBase>> {
    let (table, at) = (&comparison.table, comparison.at);
    if comparison.documents == 0 {
        return Ok(Some(new_cut(&run.writer, input, table, at).empty()));
    }
    let Some(extras) = &comparison.extras else { return Ok(None) };
    let files = TableFiles::of(input.archive, &run.head, table).await?;
    let Some(encoding) = encoding_of(&run.head, &files, at) else { return Ok(None) };
    let &RunInput { archive, options, ref monitor, .. } = input;
    let writer = BaseWriter {
        archive,
        head: &run.head,
        budget: options.budget,
        compression_level: options.compression_level,
        target_file_bytes: options.target_file_bytes,
        content_digest: options.content_digest,
        monitor: Arc::clone(monitor),
    };
    writer.write(&new_cut(&run.writer, input, table, at), &files, encoding, extras).await.map(Some)
}

/// A base of the archive's own that corrects its table.
pub(super) fn new_cut<'a>(run: &'a Run, input: &RunInput<'_>, table: &'a TableRef, at: Timestamp) -> NewBase<'a> {
    NewBase { table, at, is_cut: true, run, now: input.clock.now() }
}

/// Commits a base of the archive's own that corrects its table.
pub(super) async fn correct_by(
    run: &mut SyncRun,
    input: &RunInput<'_>,
    own: OwnBase,
    comparison: Option<&TableComparison>,
) -> Result<()> {
    let OwnBase { base, files } = own;
    let Some(table) = base.cuts.first().cloned() else { return Ok(()) };
    let mut draft = draft(run, input)?;
    if let Some(file) = files.first() {
        draft.encoding = file.encoding;
    }
    let (at, settles) = (base.ts, run.watch.settles(base.ts));
    draft.bases.push(base);
    draft.add = files;
    let after = say_correction(&run.head, &mut draft, &table, at, Depth::Ids, settles);
    let rows = run.head.table(&table).map_or(0, |state| state.delta.rows);
    commit(run, input, draft).await?;
    run.watch.found_equal(&table);
    if !settles {
        run.watch.compared(&table, at);
    }
    let gone = run.watch.is_listed(&table) == Some(false);
    if gone {
        run.watch.found_gone(&table, rows);
    }
    tell(run, input, &table, after, at, comparison, gone);
    Ok(())
}

/// What a commit says that corrects `table` at `s`: the doubt, and that what the archive had made of the wrong state no longer serves. The
/// moment up to which the table was known to be right.
fn say_correction(
    head: &Head,
    draft: &mut Draft,
    table: &TableRef,
    s: Timestamp,
    depth: Depth,
    settles: bool,
) -> Timestamp {
    let suspect = head.table(table).and_then(|state| state.suspect.as_ref());
    let scope = Scope::Tables(vec![table.clone()]);
    let after = suspect.map_or_else(|| notice::last_proven(head, table, s), |suspect| suspect.after);
    if after < s {
        let why = suspect.map_or("differs", |suspect| suspect.why.as_str()).to_owned();
        draft.doubts.push(Doubt { scope: scope.clone(), after, to: s, why });
    }
    let coverage = head.coverage();
    // Only what is in doubt can be superseded.
    let made = |base: &&Base| after < s && base.made == BaseMaker::Archive && base.ts >= s && !base.cuts(table);
    for base in coverage.bases.iter().filter(made).filter(|base| coverage.serves(base, table)) {
        let why = WithdrawalReason::Superseded;
        draft.withdrawn.push(Withdrawal { base: base.id.clone(), scope: scope.clone(), why });
    }
    draft.compared.push(Comparison { scope, ts: s, depth, settles });
    after
}

/// Begins to walk the tables of which something is missing or different.
pub(super) fn begin_walk(
    run: &mut SyncRun,
    input: &RunInput<'_>,
    cursor: Timestamp,
    tables: Vec<(TableRef, Option<TableComparison>)>,
) -> Progress {
    let mut scope: Vec<_> = tables.iter().map(|(table, _)| table.clone()).collect();
    scope.sort();
    run.correcting = tables.into_iter().filter_map(|(table, comparison)| Some((table, comparison?))).collect();
    scope.iter().for_each(|table| input.monitor.report(Event::Refetching { table, ts: cursor }));
    let scope = Scope::Tables(scope);
    let began = input.clock.now();
    let walk = Walk {
        base: layout::base_id(began, &run.writer.id),
        ts: cursor,
        month: layout::month_of(began),
        position: input.source.snapshot_of(&SnapshotScope::Tables(scope.clone()), cursor),
        scope,
        done: Vec::new(),
    };
    Progress { walk: Some(walk), ..run.head.progress().clone() }
}

/// Says in a commit that completes a base of the deployment which suspects it corrects. What to tell of it once it is committed.
pub(super) fn correct_by_walk(run: &SyncRun, draft: &mut Draft) -> Vec<(TableRef, Timestamp, Timestamp, bool)> {
    let head = &run.head;
    let mut told = Vec::new();
    let mut bases = std::mem::take(&mut draft.bases);
    for base in bases.iter_mut().filter(|base| base.made == BaseMaker::Deployment) {
        let selection = &draft.selection;
        let suspects =
            head.tables().filter(|state| base.scope.contains(&state.table) && selection.contains(&state.table));
        let suspects: Vec<_> = suspects
            .filter(|state| {
                let asked = run.asked.contains(&state.table);
                state
                    .suspect
                    .as_ref()
                    .is_some_and(|suspect| suspect.after < base.ts || (asked && suspect.after == base.ts))
            })
            .map(|state| state.table.clone())
            .collect();
        let settles = run.watch.settles(base.ts);
        for table in &suspects {
            let after = say_correction(head, draft, table, base.ts, Depth::Values, settles);
            told.push((table.clone(), after, base.ts, settles));
        }
        // Behind a gap nothing older serves, and nothing has to be cut.
        let is_covered = |table: &TableRef| matches!(head.coverage().covers(table, base.ts), Covers::Covered(_));
        base.cuts = suspects.into_iter().filter(is_covered).collect();
    }
    draft.bases = bases;
    told
}

/// The commit that corrected these is made.
pub(super) fn corrected(run: &mut SyncRun, input: &RunInput<'_>, told: Vec<(TableRef, Timestamp, Timestamp, bool)>) {
    for (table, after, at, settles) in told {
        run.watch.found_equal(&table);
        if !settles {
            run.watch.compared(&table, at);
        }
        match run.correcting.remove(&table) {
            Some(comparison) => tell(run, input, &table, after, at, Some(&comparison), false),
            None if run.asked.contains(&table) => tell(run, input, &table, after, at, None, false),
            // It was not compared: a gap lay before, the deployment could not be asked, or an earlier run did.
            None => input.monitor.report(Event::Finding(&Finding::TableFetchedAnew { table: table.to_string() })),
        }
    }
}

/// Tells what was corrected, and counts it.
fn tell(
    run: &mut SyncRun,
    input: &RunInput<'_>,
    table: &TableRef,
    after: Timestamp,
    at: Timestamp,
    comparison: Option<&TableComparison>,
    gone: bool,
) {
    let (extra, missing, different) =
        comparison.map_or((0, 0, 0), |found| (found.extra, found.missing, found.different));
    let too_much = comparison.is_some_and(TableComparison::is_only_too_much);
    let between = comparison.and_then(|found| found.extra_between);
    let new = between.filter(|(first, _)| too_much && *first > after);
    let what = match new {
        _ if run.asked.contains(table) => Correction::Asked,
        _ if gone => Correction::Dropped,
        Some(_) if run.watch.has_excess() || !run.watch.is_watched() => Correction::Leftovers,
        _ => Correction::Replaced,
    };
    run.counts.healed.push(HealedTable { table: table.clone(), what, after, at, extra, missing, different });
    let finding = match (what, between) {
        // Whoever asked knows.
        (Correction::Asked, _) => return,
        (Correction::Leftovers, Some((from, to))) => Finding::ImportLeftovers {
            table: table.to_string(),
            documents: extra,
            from,
            to,
            watched: run.watch.is_watched(),
        },
        (Correction::Dropped, _) => Finding::TableDropped { table: table.to_string(), documents: extra },
        _ => Finding::TableReplaced { table: table.to_string(), extra, missing, different },
    };
    input.monitor.report(Event::Finding(&finding));
}

/// A draft that leaves the archive where it is.
pub(super) fn draft(run: &SyncRun, input: &RunInput<'_>) -> Result<Draft> {
    notice::draft(&run.head, input.clock.now())
}

pub(super) async fn commit(run: &mut SyncRun, input: &RunInput<'_>, draft: Draft) -> Result<()> {
    run.commit(input.archive, draft).await?;
    run.writer = Run::begin();
    Ok(())
}
