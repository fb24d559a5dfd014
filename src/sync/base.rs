//! Bases beside the first: which one an archive that has caught up owes, and what becomes of a walk that grew too old.
//!
//! A table is covered at the cursor if some base before it is, and no gap lies between (FORMAT.md, "Coverage"). It is not
//! - after a gap, since the deployment kept its changes for less time than the archive stayed away;
//! - if it was not selected before;
//! - if the walk that should have brought its base grew too old before it came to the table;
//! - in a component, until the deployment is known to send the rows of components in deltas: servers before August 2026 leave them
//!   out without a word. It is known once a row came, or since the deployment has what only later servers have. From then on a base
//!   proves something.
//!
//! Of a deployment that proves nothing the tables of components are walked once a day all the same: what they were at those
//! moments can be restored.
//!
//! # Why at the delta cursor
//! A walk that grew too old could be followed at once by another at a newer moment, with the changes waiting behind it for
//! days more. Here the changes come first: they are kept for 14 days only, and at the cursor the tables that need no walk
//! are known by name, so the scope can say which ones it does *not* hold, and any table that shows up later was empty then.

use std::collections::BTreeSet;

use crate::{
    archive::{Base, BaseMaker, Covers, Draft, Head, OwedBase, RemovedFile, Run},
    convex::{SnapshotScope, Source},
    document::{TableRef, Timestamp},
    error::Result,
    layout,
    monitor::{Event, Finding},
    position::{Scope, Walk},
};

use super::input::RunInput;

/// The walk to begin now, if one is owed, or `by_age` due. The deployment is asked for its components anew: the run may have begun hours
/// ago, and a component that came since would be taken for one without rows.
pub(super) async fn begin(head: &Head, writer: &Run, input: &RunInput<'_>, by_age: bool) -> Result<Option<Walk>> {
    let (mut owed, Some(cursor)) = (head.owed(), &head.progress().delta) else { return Ok(None) };
    if by_age && owed == OwedBase::Nothing && are_components_due(head, cursor.ts, input) {
        owed = OwedBase::Components;
    }
    let components = match owed {
        OwedBase::Nothing => return Ok(None),
        OwedBase::Components => components(head, input.source.as_ref()).await?,
        OwedBase::Tables => Vec::new(),
    };
    let covered = |table: &&TableRef| matches!(head.coverage().covers(table, cursor.ts), Covers::Covered(_));
    let covered: Vec<_> = head.tables().map(|state| &state.table).filter(covered).cloned().collect();
    let scope = if covered.is_empty() { Scope::All } else { Scope::Except(covered) };
    let asked = if components.is_empty() {
        SnapshotScope::Tables(scope.clone())
    } else {
        SnapshotScope::Components(components)
    };
    let began = input.clock.now();
    input.monitor.report(Event::NewBase { ts: cursor.ts, components: owed == OwedBase::Components });
    Ok(Some(Walk {
        base: layout::base_id(began, &writer.id),
        ts: cursor.ts,
        month: layout::month_of(began),
        scope,
        position: input.source.snapshot_of(&asked, cursor.ts),
        done: Vec::new(),
    }))
}

/// Whether the deployment has tables of components, does not prove that it sends their changes, and the newest base of one of
/// them is older than it may be.
fn are_components_due(head: &Head, cursor: Timestamp, input: &RunInput<'_>) -> bool {
    let coverage = head.coverage();
    if coverage.component_rows.is_some() {
        return false;
    }
    let selected = coverage.selected();
    let tables = head.tables().map(|state| &state.table).chain(input.shapes.tables.keys());
    let mut of_components = tables.filter(|table| !table.component().is_empty() && selected.contains(table));
    let longest = i64::try_from(input.options.component_base_every.as_nanos()).unwrap_or(i64::MAX);
    of_components.any(|table| {
        // One of the archive's own only repeats what came.
        let told = |base: &&Base| base.made == BaseMaker::Deployment && coverage.serves(base, table);
        let bases = coverage.bases.iter().filter(told);
        bases.map(|base| base.ts).max().is_none_or(|newest| cursor.0.saturating_sub(newest.0) > longest)
    })
}

/// The deployment's components. If it cannot list its tables, there may be components that nobody knows of, and none is
/// named: everything is walked then.
async fn components(head: &Head, source: &dyn Source) -> Result<Vec<String>> {
    let shapes = source.shapes().await?;
    if !shapes.complete {
        return Ok(Vec::new());
    }
    let known = head.tables().map(|state| &state.table);
    let mut components: BTreeSet<&str> = known.chain(shapes.tables.keys()).map(TableRef::component).collect();
    components.remove("");
    Ok(components.into_iter().map(ToOwned::to_owned).collect())
}

/// Ends the walk that is open, because of `why`: the commit to make. What the walk has finished becomes a base; the files of the
/// table in which it stood are removed.
///
/// Nothing is open if the walk was refused from its first page: a cursor may be old although nothing has happened since (a page
/// that is just full ends at its last change). The next pass moves the cursor, and another walk begins there.
pub(super) async fn close(head: &Head, input: &RunInput<'_>, why: &str) -> Result<Option<Draft>> {
    let (Some(walk), Some(latest)) = (head.progress().walk.clone(), head.latest()) else { return Ok(None) };
    input.monitor.report(Event::Finding(&Finding::SnapshotCutShort { why: why.to_owned() }));
    let Walk { base, ts, mut done, .. } = walk;
    let mut draft = head.unchanged(latest.encoding, latest.selection.clone(), input.clock.now());
    draft.checked_at = latest.checked_at;
    draft.progress.walk = None;
    // Of few tables: those in which the walk stood.
    for state in head.tables().filter(|state| state.unfinished.files > 0 && !done.contains(&state.table)) {
        let mut live = input.archive.live_files_of(head, &state.table).await?;
        while let Some(file) = live.next().await? {
            if file.base.as_ref() == Some(&base) {
                draft.remove.push(RemovedFile::of(&file)?);
            }
        }
    }
    if !done.is_empty() {
        done.sort();
        draft.bases.push(Base::new(base, ts, Scope::Tables(done), Vec::new()));
    }
    Ok(Some(draft))
}
