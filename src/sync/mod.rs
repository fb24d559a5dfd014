//! The verb `sync`: deployment → archive. Begins an archive, goes on where the last run stopped, and catches up.
//!
//! ```text
//! fetch ── pages ──> gather ── rows, file by file ──> write ──> one commit
//! asks for the next   splits them by table, decodes,   Parquet,   rows and progress
//! page early          decides where files and          upload     together
//!                     commits end
//! ```
//!
//! # Guarantees
//! 1. A commit holds whole pages only, up to one whose reach is known, and the position after it: whatever ends a run, the
//!    next one goes on there, and no revision is lost or written twice.
//! 2. A stop (a signal, a time limit) and a failure of the *deployment* end the run at a commit of everything that had
//!    arrived. A failure of the store or a page that makes no sense end it at the last commit.
//! 3. Nothing grows with the table, the number of tables or the length of the history: pages that wait, rows that are
//!    gathered and rows that are queued each have a share of the [`MemoryBudget`](crate::MemoryBudget), one file is open at a
//!    time, and a few are being completed.
//! 4. Every run that got an answer, and learned how far it reaches, commits at least once, also when nothing changed.
//!
//! # Why three stages
//! Each waits only for the one behind it, so there is nothing to deadlock; decoding, encoding and the network overlap;
//! and commits are made strictly one after another by the one stage that owns the head.

mod advisory;
mod base;
mod catch_up;
mod clock;
mod commit;
pub(crate) mod compare;
pub(crate) mod compared;
mod correct;
mod deltas;
mod explain;
mod fetch;
mod file_rows;
mod gap;
mod gather;
mod heal;
mod input;
mod notice;
mod options;
mod report;
mod run;
mod same_database;
mod selected;
mod steps;
mod stop;
mod tables;
mod walk;
mod watch;
mod write;

use std::sync::Arc;

#[doc(hidden)]
pub use self::selected::refuse_empty_selection;
use self::{
    catch_up::{catch_up, close_walk},
    clock::Clock,
    explain::{Before, explain},
    input::RunInput,
    run::SyncRun,
    watch::Watch,
};
pub use self::{
    options::{OnGap, OnSuspicion, SyncOptions},
    report::{Correction, Explanation, HealedTable, SuspectTable, SyncReport},
    stop::Stop,
};
use crate::{
    archive::{Archive, Base, Coverage, Gap, Head},
    codec::Oddities,
    compact::{CompactOptions, CompactReport, join_files, make_bases},
    convex::{Shapes, Source},
    document::TableRef,
    error::{Error, ErrorKind, Result},
    identity::DeploymentIdentity,
    layout::CHECKPOINT_EVERY,
    monitor::{Event, Finding, FindingCounter, Monitor},
    vacuum::{VacuumOptions, vacuum_behind},
};

/// What the deployment says of itself, if it is the archive's own; and who it is, if it has moved.
async fn ask(
    source: &dyn Source,
    archive: &Archive,
    head: &Head,
    options: &SyncOptions,
) -> Result<(Shapes, Option<DeploymentIdentity>)> {
    let identity = source.identity().await?;
    let same = head.deployment().is_same(&identity);
    let accepted = options.accept_deployment.as_deref().is_some_and(|text| {
        let text = text.trim_end_matches('/');
        identity.origin == text || identity.name.as_deref() == Some(text)
    });
    if !same && !accepted {
        return Err(Error::usage(format!(
            "the archive {} belongs to the deployment {}, but this key and URL belong to {identity}; use another \
             archive for it. If it is the same database under another name or URL, add --accept-deployment {}",
            archive.url(),
            head.deployment(),
            identity.origin,
        )));
    }
    Ok((source.shapes().await?, (!same).then_some(identity)))
}

/// # Errors
/// Usage, if the archive has another selection and that was not accepted, or the source leaves out what is selected.
fn check_selection(source: &dyn Source, archive: &Archive, head: &Head, options: &SyncOptions) -> Result<()> {
    if !options.selection.narrows(&source.selection()) {
        return Err(Error::usage(format!(
            "`{}` is to be archived, but the source sends only `{}`: give both the same selection",
            options.selection,
            source.selection()
        )));
    }
    match head.latest().map(|latest| &latest.selection) {
        Some(before) if *before != options.selection && !options.accept_selection => Err(Error::usage(format!(
            "the archive {} has the selection `{before}`, but `{}` was requested; use the same --include and \
             --exclude, or add --accept-selection: tables that are no longer selected then get a recorded gap, and \
             newly selected ones get a new base",
            archive.url(),
            options.selection
        ))),
        _ => Ok(()),
    }
}

/// # Errors
/// Usage, if a new base is asked for of a table that the archive does not have.
fn check_rebase(archive: &Archive, head: &Head, options: &SyncOptions) -> Result<()> {
    let Some(rebase) = &options.rebase else { return Ok(()) };
    let tables: Vec<_> = head.tables().map(|state| &state.table).collect();
    match rebase.fitting_none_of(tables.into_iter()).first() {
        Some(pattern) => Err(Error::usage(format!(
            "--rebase: the archive {} has no table `{}`; `tables` shows those that it has",
            archive.url(),
            pattern.text
        ))),
        None => Ok(()),
    }
}

/// Brings `archive` up to date with `source`.
///
/// # Errors
/// Usage, if the archive belongs to another deployment or holds another selection: no page is asked for then. Conflict, if
/// another writer moved the archive on. Window, if the deployment no longer keeps the changes after the cursor and
/// [`OnGap::Fail`] is asked for. Otherwise whatever source or store answered; what had been committed before stays.
pub async fn sync(
    source: Arc<dyn Source>,
    archive: &Archive,
    options: &SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let findings = Arc::new(FindingCounter::new(monitor));
    let done = run(source, archive, options, Arc::clone(&findings) as Arc<dyn Monitor>).await?;
    Ok(SyncReport { findings: findings.counts(), ..done })
}

/// [`sync()`], whose findings are counted by whoever calls.
async fn run(
    source: Arc<dyn Source>,
    archive: &Archive,
    options: &SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let head = match options.head.clone() {
        Some(head) => archive.newest_after(head).await?,
        None => archive.head().await?,
    };
    // Data files are written long before their commit.
    archive.check_writable(&head).await?;
    check_selection(source.as_ref(), archive, &head, options)?;
    check_rebase(archive, &head, options)?;
    let asked = tokio::select! {
        biased;
        () = options.stop.requested() => None,
        answered = ask(source.as_ref(), archive, &head, options) => Some(answered?),
    };
    let Some((shapes, moved)) = asked else {
        // Nobody has answered, so nothing is committed.
        return Ok(SyncRun::begin(head, None).report(Vec::new(), false));
    };
    for finding in shapes.findings.iter().chain(&selected::findings(&shapes, &options.selection)) {
        monitor.report(Event::Finding(finding));
    }
    let changed = head.latest().is_some_and(|latest| latest.selection != options.selection) || moved.is_some();
    let tables: Vec<_> = head.tables().map(|state| &state.table).collect();
    let unhealed = unhealed(head.coverage(), &tables);
    let clock = Arc::new(Clock::new(Arc::clone(&source), Arc::clone(&monitor)));
    let input = RunInput { source, archive, shapes, options, monitor, clock };
    let (head, compacted) = join_small_files(head, &input).await;
    let mut run = SyncRun::begin(head, moved);
    run.compacted = compacted;
    let begun = run.head.version();
    if options.accept_deployment.is_some() {
        run.doubted = None;
    }
    if changed {
        // The open walk's cursor, and what it says of tables without rows, are of before.
        close_walk(&mut run, &input, "the selection or the deployment has changed").await?;
    }
    let before = Before::of(&run.head);
    run.watch = Watch::read(archive).await?;
    run.watch.begin(&run.head, &input).await;
    let caught_up = catch_up(&mut run, &input).await?;
    if caught_up {
        make_own_bases(&mut run, &input).await;
    }
    vacuum_replaced(&run.head, begun, &input).await;
    for finding in odd_documents(run.counts.oddities) {
        input.monitor.report(Event::Finding(&finding));
    }
    let doubts = before.new_doubts(&run.head);
    let report = run.report(unhealed, caught_up);
    let explained = explain(&report, &before, &doubts, &input).await;
    Ok(SyncReport { explained, ..report })
}

/// Joins small files, as far as a run does that. Nothing of it fails the run: what could not be joined stays as it is.
async fn join_small_files(head: Head, input: &RunInput<'_>) -> (Head, CompactReport) {
    let &RunInput { archive, options, ref monitor, .. } = input;
    let Some(how) = compact_options(options) else { return (head, CompactReport::default()) };
    let done = tokio::select! {
        biased;
        () = options.stop.requested() => return (head, CompactReport::default()),
        done = join_files(archive, &head, &how, input.clock.now(), Arc::clone(monitor)) => done,
    };
    match done {
        Ok(done) => done,
        Err(error) => {
            not_compacted(&error, monitor.as_ref());
            (head, CompactReport::default())
        }
    }
}

/// Makes bases of the archive's own, as far as a run does that. It comes last: they may take a while, and what the deployment had is committed. Nothing
/// of it fails the run.
async fn make_own_bases(run: &mut SyncRun, input: &RunInput<'_>) {
    let &RunInput { archive, options, ref monitor, .. } = input;
    let Some(how) = compact_options(options) else { return };
    let done = tokio::select! {
        biased;
        () = options.stop.requested() => return,
        done = make_bases(archive, &run.head, &how, input.clock.now(), monitor) => done,
    };
    match done {
        Ok((head, made)) => {
            run.head = head;
            run.compacted = made.plus(&run.compacted);
            run.advisory.write(archive, &mut run.head, monitor.as_ref()).await;
        }
        Err(error) => not_compacted(&error, monitor.as_ref()),
    }
}

/// How a run compacts; None, if it does not.
fn compact_options(options: &SyncOptions) -> Option<CompactOptions> {
    let bytes = options.compact?;
    Some(
        CompactOptions::default()
            .budget(options.budget)
            .compression_level(options.compression_level)
            .target_file_bytes(options.target_file_bytes)
            .content_digest(options.content_digest)
            .bytes(Some(bytes))
            .everything(false)
            .fan_in(options.fan_in)
            .own_bases(options.own_bases),
    )
}

fn not_compacted(error: &Error, monitor: &dyn Monitor) {
    let (table, why) = (String::new(), error.to_string());
    monitor.report(Event::Finding(&Finding::NotCompacted { table, why }));
}

/// Deletes some of what commits of long ago have replaced, in runs that pass the number of a checkpoint: that is as often as there is more. Nothing of
/// it fails the run.
async fn vacuum_replaced(head: &Head, begun: u64, input: &RunInput<'_>) {
    let &RunInput { archive, options, ref monitor, .. } = input;
    let Some(min_age) = options.vacuum_after.filter(|_| head.version() / CHECKPOINT_EVERY > begun / CHECKPOINT_EVERY)
    else {
        return;
    };
    let done = tokio::select! {
        biased;
        () = options.stop.requested() => return,
        done = vacuum_behind(archive, head, min_age.max(VacuumOptions::LEAST), input.clock.now()) => done,
    };
    // Who may not delete is as it should be: somebody else vacuums.
    if let Err(error) = done
        && error.kind() != ErrorKind::Access
    {
        monitor.report(Event::Finding(&Finding::NotVacuumed { why: error.to_string() }));
    }
}

/// What was odd about documents of the run, each kind once.
fn odd_documents(oddities: Oddities) -> impl Iterator<Item = Finding> {
    let Oddities { unknown_fields, beyond_limits } = oddities;
    let unknown = (unknown_fields > 0).then_some(Finding::UnknownFields { documents: unknown_fields });
    let beyond = (beyond_limits > 0).then_some(Finding::BeyondLimits { documents: beyond_limits });
    unknown.into_iter().chain(beyond)
}

/// Gaps behind which no base that still serves has followed for some selected table: the run that found them ended too early,
/// or what had healed them was withdrawn.
fn unhealed(coverage: &Coverage, tables: &[&TableRef]) -> Vec<Gap> {
    let selected = coverage.selected();
    let healed =
        |gap: &Gap, serves: &dyn Fn(&Base) -> bool| coverage.bases.iter().any(|base| base.ts >= gap.to && serves(base));
    let open = |gap: &&Gap| {
        let mut concerned = tables.iter().filter(|table| gap.scope.contains(table) && selected.contains(table));
        concerned.any(|table| !healed(gap, &|base| coverage.serves(base, table)))
            || (gap.scope.holds_unseen() && !healed(gap, &|base| coverage.serves_unseen(base)))
    };
    // What was forgotten, nobody misses.
    coverage.gaps.iter().filter(|gap| !gap.is_forgotten()).filter(open).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::{Withdrawal, WithdrawalReason},
        document::Timestamp,
        position::{BaseId, Scope},
    };

    #[test]
    fn a_gap_of_one_table_is_healed_by_a_base_of_that_table_until_it_is_withdrawn() {
        let table = TableRef::new("", "a").unwrap();
        let scope = Scope::Tables(vec![table.clone()]);
        let gap = Gap { scope: scope.clone(), from: Timestamp(10), to: Timestamp(20), why: "lost".into() };
        let mut coverage = Coverage { gaps: vec![gap], ..Coverage::default() };
        let open = |coverage: &Coverage| unhealed(coverage, &[&table]).len();
        assert_eq!(open(&coverage), 1);
        coverage.bases.push(Base::new(BaseId("b".into()), Timestamp(20), scope.clone(), Vec::new()));
        assert_eq!(open(&coverage), 0);
        coverage.withdrawals.push(Withdrawal { base: BaseId("b".into()), scope, why: WithdrawalReason::Lost });
        assert_eq!(open(&coverage), 1);
    }
}
