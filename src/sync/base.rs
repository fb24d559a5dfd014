//! Which base an archive that has caught up still owes.
//!
//! Servers before August 2026 leave the rows of components out of deltas without a word, so until the first such row the
//! deltas of a component prove nothing (FORMAT.md, "Coverage"). Once it has come, the tables of components get a base of
//! their own, and are covered from there on.

use std::collections::BTreeSet;

use crate::{
    archive::{Head, Run},
    convex::Source,
    document::TableRef,
    error::Result,
    layout,
    position::{Scope, Walk},
};

use super::gather::now;

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
