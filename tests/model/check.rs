//! The promises: what must hold after each commit, said as plainly as possible, of the archive and the deployment.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    archive::Head,
    draft::{Draft, File, GapReason, Kind, Made, WithdrawalReason},
    truth::{Id, Row, TABLES, Table, Ts, World},
};

/// A promise that does not hold.
pub(crate) type Broken = String;

fn promise(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(sentence()) }
}

/// What is remembered from commit to commit.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What the deployment told of a table at a moment that was covered, and whether the archive held something else.
    compared: BTreeMap<(Table, Ts), bool>,
}

impl Checker {
    /// What holds after a commit.
    pub(crate) fn check(&mut self, world: &World, before: &Head, draft: &Draft, after: &Head) -> Result<(), Broken> {
        self.compare(world, before, draft);
        for table in 0..TABLES {
            self.states_are_true(world, after, table)?;
            files_are_in_order(after, table)?;
            history_is_whole(world, after, table)?;
            what_is_gone_stays_gone(after, table)?;
            nothing_leaves_history_unsaid(before, draft, after, table)?;
            nothing_loses_coverage_unsaid(before, draft, after, table)?;
        }
        Ok(())
    }

    /// Who has looked knows.
    fn compare(&mut self, world: &World, before: &Head, draft: &Draft) {
        let told = draft.bases.iter().filter(|b| b.made == Made::Deployment || draft.kind == Kind::OwnCorrection);
        // Who learns of a drop learns nothing of what was before.
        let told = told.filter(|_| draft.kind != Kind::Drop);
        let held = before.with_deltas_of(draft);
        for (table, ts) in told.flat_map(|b| b.tables.keys().map(|t| (*t, b.ts))) {
            if let Some(state) = held.state(table, ts) {
                let differs = state != held.without_erased(table, world.at(table, ts));
                self.compared.entry((table, ts)).and_modify(|d| *d |= differs).or_insert(differs);
            }
        }
    }

    /// A covered state is what the deployment held, unless it is in doubt, or nobody could know.
    fn states_are_true(&self, world: &World, head: &Head, table: Table) -> Result<(), Broken> {
        let doubts: Vec<_> = head.doubts.iter().filter(|d| d.table == table).collect();
        let told: Vec<_> = head.bases.iter().filter(|b| b.made == Made::Deployment && b.holds(table)).collect();
        // A base that is lost settles nothing any more, unless it was a cut.
        let stays = told.iter().filter(|b| head.is_in_force(b, table) || b.cuts.contains(&table));
        let settled: BTreeSet<Ts> = stays.map(|b| b.ts).chain(doubts.iter().map(|d| d.to)).collect();
        let deltas = head.deltas(table);
        for at in head.origin..=head.cursor() {
            let Some(state) = head.state_over(table, at, &deltas) else { continue };
            let truth = head.without_erased(table, world.at(table, at));
            if state == truth || doubts.iter().any(|d| d.after < at && at < d.to) {
                continue;
            }
            let base = head.base_for(table, at).map(|b| (b.id, b.ts));
            let wrong = || format!("table {table} at {at} is {state:?} from base {base:?} and was {truth:?}");
            // The log does not tell what imports do: until the next base nobody can know.
            let unsettled = world.untold(table).iter().any(|a| *a <= at && settled.range(a..=&at).next().is_none());
            promise(unsettled, wrong)?;
            // But whoever looked, and saw that it differed, has said so.
            let next = self.compared.range((table, at)..(table + 1, Ts::MIN)).next();
            let seen =
                next.is_some_and(|((_, ts), differed)| *differed && !told.iter().any(|b| (at..*ts).contains(&b.ts)));
            promise(!seen, || format!("nobody doubts what was seen to differ: {}", wrong()))?;
        }
        Ok(())
    }
}

/// No delta file lies across an S, and delta files follow one another.
fn files_are_in_order(head: &Head, table: Table) -> Result<(), Broken> {
    let files = head.delta_files(table);
    for base in head.in_force(table) {
        let across = files.iter().find(|f| f.lies_across(base.ts));
        promise(across.is_none(), || format!("{across:?} lies across {}", base.ts))?;
    }
    promise(files.is_sorted_by(|a, b| a.max_ts() < b.min_ts()), || format!("delta files of {table} overlap"))
}

fn rows<'a>(files: impl Iterator<Item = &'a File>, table: Table) -> BTreeSet<(Id, Ts)> {
    files.filter(|f| f.table == table).flat_map(|f| &f.rows).map(|r| (r.id, r.ts)).collect()
}

/// What the change log told is in exactly one delta file, and what is marked as a repetition is one.
fn history_is_whole(world: &World, head: &Head, table: Table) -> Result<(), Broken> {
    let deltas = head.deltas(table);
    let twice = deltas.windows(2).find(|w| (w[0].id, w[0].ts) == (w[1].id, w[1].ts));
    promise(twice.is_none(), || format!("two delta files of {table} have {twice:?}"))?;

    let missing: Vec<_> = head
        .gaps
        .iter()
        .filter(|g| g.tables.contains(&table))
        .map(|g| (g.from, g.to))
        .chain(head.unselected(table))
        .collect();
    let kept = |r: &&Row| !missing.iter().any(|(from, to)| *from < r.ts && r.ts <= *to) && !head.is_erased(table, r);
    let told: Vec<Row> = world.deltas(table, head.origin, head.cursor()).iter().filter(kept).copied().collect();
    let lacking: Vec<_> = told.iter().filter(|r| deltas.binary_search(r).is_err()).collect();
    promise(lacking.is_empty(), || format!("of {table} these are in no file: {lacking:?}"))?;
    let log = world.deltas(table, 0, world.now());
    let invented = deltas.iter().find(|r| log.binary_search_by_key(&r.ts, |l| l.ts).is_err());
    promise(invented.is_none(), || format!("{table} never had {invented:?}"))?;

    let (all, unmarked) = (rows(head.visible(), table), rows(head.visible().filter(|f| !f.repeats), table));
    let lost: Vec<_> = all.difference(&unmarked).collect();
    promise(lost.is_empty(), || format!("only files marked as repetitions have these of {table}: {lost:?}"))
}

/// What was erased or forgotten is in no file, seen or unseen.
fn what_is_gone_stays_gone(head: &Head, table: Table) -> Result<(), Broken> {
    let forgotten = head.gaps.iter().filter(|g| g.why == GapReason::Expired && g.tables.contains(&table));
    let forgotten = forgotten.map(|g| g.to).max();
    for file in head.live.values().filter(|f| f.table == table) {
        let erased = file.rows.iter().find(|r| head.is_erased(table, r));
        promise(erased.is_none(), || format!("{erased:?} of {table} was erased and is in {}", file.path))?;
        let of = file.base.and_then(|id| head.bases.iter().find(|b| b.id == id));
        let until = of.map_or_else(|| file.max_ts(), |b| b.ts + 1);
        let stays = forgotten.is_some_and(|to| until <= to && (file.is_delta() || of.is_some()));
        promise(!stays, || format!("file {} of {table} was forgotten: {file:?}", file.path))?;
    }
    Ok(())
}

/// A revision that was seen is seen again, unless this commit says that it is lost, forgotten or erased.
fn nothing_leaves_history_unsaid(before: &Head, draft: &Draft, after: &Head, table: Table) -> Result<(), Broken> {
    let said = draft.gaps.iter().any(|g| g.tables.contains(&table) && g.why != GapReason::Window)
        || draft.withdrawn.iter().any(|w| w.table == table && w.why != WithdrawalReason::Superseded);
    let (had, has) = (rows(before.visible(), table), rows(after.visible(), table));
    let gone: Vec<_> = had.difference(&has).collect();
    let erased =
        |(id, ts): &(Id, Ts)| draft.erased.iter().any(|e| e.names(table, &Row { ts: *ts, id: *id, tombstone: false }));
    promise(said || gone.iter().all(|r| erased(r)), || format!("these of {table} left history unsaid: {gone:?}"))
}

/// A moment that was covered stays so, unless this commit says that something is lost or forgotten, or that it was wrong.
fn nothing_loses_coverage_unsaid(before: &Head, draft: &Draft, after: &Head, table: Table) -> Result<(), Broken> {
    let lost = draft.withdrawn.iter().any(|w| w.table == table && w.why == WithdrawalReason::Lost)
        || draft.gaps.iter().any(|g| g.tables.contains(&table) && g.why == GapReason::Lost);
    let wrong = draft.doubts.iter().any(|d| d.table == table);
    if lost || wrong {
        return Ok(());
    }
    // What is forgotten was said to be.
    let forgotten =
        draft.gaps.iter().filter(|g| g.why == GapReason::Expired && g.tables.contains(&table)).map(|g| g.to);
    let from = forgotten.max().unwrap_or(before.origin);
    let covered = |head: &Head, at| head.base_for(table, at).is_some();
    let gone = (from..=before.cursor()).find(|at| covered(before, *at) && !covered(after, *at));
    promise(gone.is_none(), || format!("table {table} is no longer covered at {gone:?}"))
}
