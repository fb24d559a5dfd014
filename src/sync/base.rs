//! Bases beside the first: which one an archive that has caught up still owes, and what becomes of one that grew too old.
//!
//! Servers before August 2026 leave the rows of components out of deltas without a word, so until the first such row the
//! deltas of a component prove nothing (FORMAT.md, "Coverage"). Once it has come, the tables of components get a base of
//! their own, and are covered from there on.

use std::collections::BTreeSet;

use crate::{
    archive::{CommitOutcome, Draft, Head, RemovedFile, Run},
    convex::Source,
    document::TableRef,
    error::Result,
    layout,
    position::{Scope, Walk},
};

use super::{Given, Work, gather::now};

/// The walk to begin now, if one is owed. The deployment is asked for its components anew: the run may have begun hours
/// ago, and a component that came since would be taken for one without rows.
///
/// It is at the delta cursor: every table with rows up to there is known, so the scope can name the tables that it does
/// *not* hold, and any table that shows up later was empty then.
pub(super) async fn owed(head: &Head, run: &Run, source: &dyn Source) -> Result<Option<Walk>> {
    let Some(cursor) = head.progress().delta.as_ref().filter(|_| head.coverage().components_lack_base()) else {
        return Ok(None);
    };
    let shapes = source.shapes().await?;
    let known = || head.tables().map(|state| &state.table);
    let mut components: BTreeSet<&str> = known().chain(shapes.tables.keys()).map(TableRef::component).collect();
    components.remove("");
    // If the deployment cannot list its tables, there may be components that nobody knows of: everything is walked then.
    let components: Vec<String> = components.into_iter().filter(|_| shapes.complete).map(ToOwned::to_owned).collect();
    let began = now();
    Ok(Some(Walk {
        base: layout::base_id(began, &run.id),
        ts: cursor.ts,
        month: layout::month_of(began),
        scope: Scope::Except(known().filter(|table| table.component().is_empty()).cloned().collect()),
        position: source.snapshot_of(&components, cursor.ts),
        done: Vec::new(),
    }))
}

/// Whether the walk that is open can be given up: the archive has a base without it.
pub(super) fn is_spare(head: &Head) -> bool {
    head.progress().walk.is_some() && !head.coverage().bases.is_empty()
}

/// Gives up the walk that is open: the deployment no longer keeps its snapshot, and the deltas must not wait for it. One
/// commit ends it and removes its files; once the archive has caught up, it is owed again.
pub(super) async fn abandon(work: &mut Work, given: &Given<'_>) -> Result<()> {
    let (Some(walk), Some(latest)) = (work.head.progress().walk.clone(), work.head.latest()) else { return Ok(()) };
    let mut live = given.archive.live_files(&work.head).await?;
    let mut remove = Vec::new();
    while let Some(file) = live.next().await? {
        if file.base.as_ref() == Some(&walk.base) {
            remove.push(RemovedFile::from(&file));
        }
    }
    let mut draft = Draft::unchanged(&work.head, latest.encoding, latest.selection.clone(), now());
    draft.checked_at = latest.checked_at;
    draft.progress.walk = None;
    draft.remove = remove;
    match given.archive.commit(&work.head, &mut work.run, draft).await? {
        CommitOutcome::Committed(head) => work.head = *head,
        CommitOutcome::Conflict { version } => return Err(super::write::lost_race(given.archive, version)),
    }
    work.sum.commits += 1;
    Ok(())
}
