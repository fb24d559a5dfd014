//! Tables that may differ from the deployment are compared with it, and what differs is corrected: once the deployment has nothing more,
//! and no base is owed.
//!
//! list_snapshot alone tells the truth, at an S that is never beyond the delta cursor. What comes of a comparison:
//! - *Equal*: the commit says so. If something did touch the table, the moments before are in doubt all the same: what was written to a table
//!   that was then replaced or dropped, and was not read before, has vanished from the change log.
//! - *Too much, and nothing else*: the archive makes a base of its own rows without those. Nothing is downloaded. While an import may still be
//!   filling the table that is put off: it may end well.
//! - *Nothing is left* of a table that was dropped or cleared: an empty base.
//! - *Something is missing or different*: list_snapshot of the table at S.
//!
//! Each such base is a *cut*, and the span from the last proven moment to S is in *doubt* (FORMAT.md, "Trust").
//!
//! # Who is compared
//! Suspects. Where nobody watches, also every table, once in [`audit_every`](super::SyncOptions::audit_every) by all its ids, and in each run
//! by its first page: that is the whole of a small table, and shows where a large one lies.
//!
//! A comparison that does not fit into what the run may still download waits for the next run. The tables that were proven longest ago come
//! first, so run after run all are reached.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    compare::{self, Compared, TableComparison, compare, is_comparable},
    correct::{begin_walk, commit, correct_by, draft, new_cut, own_base_of},
    input::RunInput,
    notice::{self, says_nothing_yet, touched_doubts},
    options::OnSuspicion,
    run::SyncRun,
    same_database,
};
use crate::{
    archive::{Base, BaseMaker, Comparison, Covers, Depth, Suspect, Suspicion, TableState},
    document::{TableRef, Timestamp},
    error::{ErrorKind, Result},
    monitor::{Event, Finding},
    position::{Progress, Scope},
};

/// What to do next.
pub(super) enum Next {
    /// Nothing more.
    Done,
    /// Another pass from here.
    Pass(Progress),
}

/// What was done in this run so far.
#[derive(Default)]
pub(super) struct Healing {
    /// Whether the cursor was moved behind the sentinel's answer.
    moved: bool,
    /// Whether the cursor was moved because the deployment no longer serves snapshots of its moment.
    renewed: bool,
    /// Tables that were compared.
    seen: BTreeSet<TableRef>,
    /// Whether the bases that somebody asked for were begun.
    rebased: bool,
}

/// A comparison that has to be made.
struct Due {
    table: TableRef,
    /// Where the table lay last, if a look at its first page may be enough.
    place: Option<String>,
}

/// One step: what is due is compared, and what can be healed at once is; a walk is begun for the rest.
pub(super) async fn next(run: &mut SyncRun, input: &RunInput<'_>, healing: &mut Healing) -> Result<Next> {
    let Some(cursor) = run.head.progress().delta.as_ref().map(|delta| delta.ts) else { return Ok(Next::Done) };
    let (asked, due) = (asked(run, input, cursor, healing), due(run, input, cursor, healing));
    if asked.is_empty() && due.is_empty() {
        return Ok(Next::Done);
    }
    // A comparison settles something only at a moment behind the answer that showed no excess.
    if !healing.moved && run.watch.through().is_some_and(|through| through > cursor) {
        healing.moved = true;
        return Ok(Next::Pass(run.head.progress().clone()));
    }
    if !asked.is_empty() {
        return rebase(run, input, healing, cursor, asked).await;
    }
    let mut found = Found::default();
    let (all, mut is_old) = (due.len(), false);
    for Due { table, place } in due {
        healing.seen.insert(table.clone());
        if place.is_none() && !has_room_for(run, input, &table, cursor) {
            run.postponed.push(table);
            continue;
        }
        if run.head.table(&table).and_then(|state| state.suspect.as_ref()).is_some_and(Suspicion::wants_base) {
            if input.options.on_suspicion == OnSuspicion::Heal {
                found.walk(table, None);
            }
            continue;
        }
        input.monitor.report(Event::Comparing { table: &table });
        let compared = compare(
            input.archive,
            &run.head,
            input.source.as_ref(),
            &table,
            cursor,
            place.as_deref(),
            input.options.budget,
        );
        let compared = tokio::select! {
            biased;
            () = input.options.stop.requested() => break,
            compared = compared => compared,
        };
        match compared {
            Ok(Compared::Whole(comparison)) => {
                input.options.stop.downloaded(comparison.bytes);
                found.take(run, input, comparison);
            }
            Ok(Compared::SamePlace) => {}
            Ok(Compared::CannotAsk) => found.cannot_ask(run, table),
            Ok(Compared::Unordered) => found.walk(table, None),
            // What cannot be read is a matter for whoever verifies; what comes is archived all the same.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let (table, why) = (table.to_string(), error.to_string());
                input.monitor.report(Event::Finding(&Finding::NotCompared { table, why }));
            }
            // A page that is just full ends at its last change, so a cursor may be old where nothing has happened since. Another pass moves it.
            Err(error) if error.kind() == ErrorKind::Window && !healing.renewed => {
                (healing.renewed, is_old) = (true, true);
                healing.seen.remove(&table);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let whole = found.equal.len() == all;
    match found.commit(run, input, cursor, whole).await? {
        Next::Done if is_old => Ok(Next::Pass(run.head.progress().clone())),
        next => Ok(next),
    }
}

/// The tables that are to be fetched anew at the cursor because somebody asked for it: those that the archive says what they are. Others get a
/// base anyway.
fn asked(run: &SyncRun, input: &RunInput<'_>, cursor: Timestamp, healing: &Healing) -> Vec<TableRef> {
    let Some(rebase) = input.options.rebase.as_ref().filter(|_| !healing.rebased) else { return Vec::new() };
    let (head, selection) = (&run.head, &input.options.selection);
    let tables = head.tables().map(|state| &state.table);
    let wanted = |table: &&TableRef| rebase.contains(table) && selection.contains(table);
    tables.filter(wanted).filter(|table| is_comparable(head, table, cursor)).cloned().collect()
}

/// Begins to walk what somebody asked for. Until the walk is complete these tables are suspects, so that the next run knows of them if this one
/// ends too early.
async fn rebase(
    run: &mut SyncRun,
    input: &RunInput<'_>,
    healing: &mut Healing,
    cursor: Timestamp,
    tables: Vec<TableRef>,
) -> Result<Next> {
    healing.rebased = true;
    healing.seen.extend(tables.iter().cloned());
    same_database::check(run, input).await?;
    let news: Vec<_> = tables
        .iter()
        .filter(|table| says_nothing_yet(&run.head, table))
        .map(|table| (table.clone(), Suspect::ASKED))
        .collect();
    if !news.is_empty() {
        let mut draft = draft(run, input)?;
        notice::say_at_odds(&run.head, &mut draft, news);
        commit(run, input, draft).await?;
    }
    run.asked.extend(tables.iter().cloned());
    let tables = tables.into_iter().map(|table| (table, None)).collect();
    Ok(Next::Pass(begin_walk(run, input, cursor, tables)))
}

/// Whether the run may still download the ids of the table. What no run may is told.
fn has_room_for(run: &SyncRun, input: &RunInput<'_>, table: &TableRef, cursor: Timestamp) -> bool {
    let (stop, bytes) = (&input.options.stop, compare::bytes(&run.head, table, cursor));
    if let Some(limit) = stop.never_allows(bytes) {
        let why =
            format!("its ids take about {bytes} bytes, but a run may download only {limit}: raise --max-download");
        input.monitor.report(Event::Finding(&Finding::NotCompared { table: table.to_string(), why }));
    }
    stop.has_room_for(bytes)
}

/// Which tables are to be compared at the cursor.
fn due(run: &SyncRun, input: &RunInput<'_>, cursor: Timestamp, healing: &Healing) -> Vec<Due> {
    let (head, selection) = (&run.head, &input.options.selection);
    let open = |table: &TableRef| {
        !healing.seen.contains(table) && selection.contains(table) && is_comparable(head, table, cursor)
    };
    let suspects = head.tables().filter(|state| state.suspect.is_some()).map(|state| &state.table);
    let mut due: BTreeMap<TableRef, Option<String>> = suspects
        .filter(|table| open(table) && run.watch.is_due(table, cursor))
        .map(|table| (table.clone(), None))
        .collect();
    if let Some(every) = input.options.audit_every.filter(|_| !run.watch.is_watched() && !run.watch.cannot_ask()) {
        let every = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX);
        let known = head.tables().map(|state| &state.table);
        for table in known.chain(run.watch.listed()).filter(|table| open(table)) {
            let proven = head.table(table).and_then(|state| state.proven).map(|proven| proven.ts);
            let covered = matches!(head.coverage().covers(table, cursor), Covers::Covered(_));
            let told = |base: &&Base| base.made == BaseMaker::Deployment && head.coverage().serves(base, table);
            let base = head.coverage().bases.iter().filter(|_| covered).filter(told).map(|base| base.ts).max();
            let late = proven.max(base).is_none_or(|proven| cursor.0.saturating_sub(proven.0) >= every);
            let place = run.watch.place(table).filter(|_| !late).map(ToOwned::to_owned);
            due.entry(table.clone()).or_insert(place);
        }
    }
    let mut due: Vec<_> = due.into_iter().map(|(table, place)| Due { table, place }).collect();
    due.sort_by_key(|due| head.table(&due.table).and_then(|state| state.proven).map(|proven| proven.ts));
    due
}

/// What the comparisons found.
#[derive(Default)]
struct Found {
    /// Tables that are equal, and whether the archive has to say so.
    equal: Vec<(TableRef, bool)>,
    /// Tables that differ, and are left as they are.
    told: Vec<TableRef>,
    /// Tables that an import may be filling.
    filling: Vec<TableRef>,
    /// Tables that have too much, or nothing left.
    own: Vec<TableComparison>,
    /// Tables of which something is missing or different, and what is known of that.
    walk: Vec<(TableRef, Option<TableComparison>)>,
    /// Tables that are not in the deployment any more, which nobody can ask.
    dropped: Vec<TableRef>,
}

impl Found {
    fn walk(&mut self, table: TableRef, comparison: Option<TableComparison>) {
        self.walk.push((table, comparison));
    }

    /// A deployment that knows no selection: of a dropped table its list is enough, of others everything is walked.
    fn cannot_ask(&mut self, run: &mut SyncRun, table: TableRef) {
        let suspect = run.head.table(&table).is_some_and(|state| state.suspect.is_some());
        if !suspect {
            run.watch.found_unable_to_ask();
        } else if run.watch.is_listed(&table) == Some(false) {
            self.dropped.push(table);
        } else {
            self.walk(table, None);
        }
    }

    fn take(&mut self, run: &mut SyncRun, input: &RunInput<'_>, comparison: TableComparison) {
        let (table, at) = (comparison.table.clone(), comparison.at);
        let state = run.head.table(&table);
        let suspect = state.and_then(|state| state.suspect.clone());
        let proven = state.and_then(|state| state.proven).map(|proven| proven.ts);
        if let Some(place) = comparison.place.clone().filter(|_| !run.watch.is_watched()) {
            run.watch.lies_at(&table, place);
        }
        if comparison.is_equal() {
            if comparison.documents == 0 && run.watch.is_listed(&table) == Some(false) {
                let rows = state.map_or(0, |state| state.delta.rows);
                run.watch.found_gone(&table, rows);
            }
            let every = input.options.audit_every.map_or(i64::MAX, |every| every.as_nanos() as i64);
            let late = proven.is_none_or(|proven| at.0.saturating_sub(proven.0) >= every);
            self.equal.push((table, suspect.is_some() || (late && state.is_some())));
            return;
        }
        if input.options.on_suspicion != OnSuspicion::Heal {
            let TableComparison { extra, missing, different, .. } = comparison;
            input.monitor.report(Event::Finding(&Finding::TableDiffers {
                table: table.to_string(),
                extra,
                missing,
                different,
            }));
            run.watch.compared(&table, at);
            run.watch.found_different(&table);
            self.told.push(table);
            return;
        }
        let after = suspect.map(|suspect| suspect.after).or(run.head.last_proven(&table));
        let is_new = comparison.extra_between.zip(after).is_some_and(|((first, _), after)| first > after);
        let too_much = comparison.is_only_too_much();
        if too_much && is_new && run.watch.may_be_filling(at) {
            let documents = comparison.extra;
            input.monitor.report(Event::Finding(&Finding::ImportUnderWay { table: table.to_string(), documents }));
            run.watch.compared(&table, at);
            run.watch.found_different(&table);
            self.filling.push(table);
        } else if too_much && (comparison.documents == 0 || comparison.extras.is_some()) {
            self.own.push(comparison);
        } else {
            self.walk(table, Some(comparison));
        }
    }

    /// Commits what is known, and what the archive can heal by itself.
    async fn commit(self, run: &mut SyncRun, input: &RunInput<'_>, cursor: Timestamp, whole: bool) -> Result<Next> {
        let Self { equal, told, filling, own, mut walk, dropped } = self;
        if let (OnSuspicion::Fail, Some(table)) = (input.options.on_suspicion, told.first()) {
            return Err(notice::refused(table, "differs"));
        }
        if !own.is_empty() || !walk.is_empty() || !dropped.is_empty() {
            same_database::check(run, input).await?;
        }
        let said: Vec<_> = equal.iter().filter(|(_, say)| *say).map(|(table, _)| table.clone()).collect();
        // Nothing names an import, every table is a suspect, and each is what it should be.
        let is_vague =
            |state: &TableState| state.suspect.as_ref().is_some_and(|suspect| Suspect::is_vague(&suspect.why));
        if whole && run.head.tables().len() > 0 && run.head.tables().all(is_vague) {
            run.watch.all_compared(cursor);
        }
        let settles = run.watch.settles(cursor);
        let differ: Vec<_> = own
            .iter()
            .map(|of| &of.table)
            .chain(walk.iter().map(|(table, _)| table))
            .chain(&dropped)
            .cloned()
            .collect();
        let mut draft = draft(run, input)?;
        if !said.is_empty() {
            draft.compared.push(Comparison {
                scope: Scope::Tables(said.clone()),
                ts: cursor,
                depth: Depth::Ids,
                settles,
            });
        }
        draft.doubts = touched_doubts(&run.head, &said, cursor, &run.watch);
        said.iter().for_each(|table| run.watch.found_equal(table));
        let new = |table: &&TableRef| run.head.table(table).is_none_or(|state| state.suspect.is_none());
        let news = differ.iter().chain(&told).filter(new).map(|table| (table.clone(), "differs"));
        let filling =
            filling.iter().filter(|table| says_nothing_yet(&run.head, table)).map(|table| (table.clone(), "import"));
        notice::say(&run.head, &mut draft, news.chain(filling).collect());
        if !draft.compared.is_empty() || !draft.suspects.is_empty() {
            commit(run, input, draft).await?;
        }
        if !settles {
            said.iter().for_each(|table| run.watch.compared(table, cursor));
        }
        for table in dropped {
            let own = new_cut(&run.writer, input, &table, cursor).empty();
            correct_by(run, input, own, None).await?;
        }
        for comparison in own {
            match own_base_of(run, input, &comparison).await? {
                Some(own) => correct_by(run, input, own, Some(&comparison)).await?,
                None => walk.push((comparison.table.clone(), Some(comparison))),
            }
        }
        run.watch.write(input.archive, true, input.monitor.as_ref()).await;
        run.advisory.write(input.archive, &mut run.head, input.monitor.as_ref()).await;
        if walk.is_empty() {
            return Ok(Next::Done);
        }
        Ok(Next::Pass(begin_walk(run, input, cursor, walk)))
    }
}
