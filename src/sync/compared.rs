//! What a comparison that was no part of a sync says in the archive: which tables are equal, and which are suspect from now on.
//!
//! A comparison is of one moment, which has passed: it stays true whatever is committed meanwhile. So a lost race is only another try on the
//! new head. A sync that runs at the same time is not disturbed: such a commit leaves progress and bases where they are (FORMAT.md, "Two
//! writers"), unless it names a table for the first time.

use std::sync::Arc;

use super::{
    advisory::Advisory,
    clock::Clock,
    compare::is_comparable,
    notice::{self, says_nothing_yet, touched_doubts},
    watch::Watch,
};
use crate::{
    archive::{Archive, CommitOutcome, Comparison, Depth, Draft, Head, Run, Suspect, Suspicion},
    convex::Source,
    document::{TableRef, Timestamp},
    error::{Error, Result},
    monitor::Monitor,
    position::Scope,
};

/// How often a commit is tried on a newer head.
const TRIES: usize = 5;

/// What was found.
pub(crate) struct FoundTables {
    /// The moment, nanoseconds.
    pub(crate) at: Timestamp,
    /// How closely.
    pub(crate) depth: Depth,
    /// Tables that are equal.
    pub(crate) equal: Vec<TableRef>,
    /// Tables that differ.
    pub(crate) differ: Vec<TableRef>,
    /// Of those the ones whose ids are equal, and some value is not.
    pub(crate) altered: Vec<TableRef>,
}

/// Says it in a commit. The version that the commit made; None, if there was nothing to say.
///
/// # Errors
/// Conflict, if other writers were faster several times. Otherwise as the store answers.
pub(crate) async fn record(
    source: Arc<dyn Source>,
    archive: &Archive,
    before: &Head,
    found: &FoundTables,
    monitor: Arc<dyn Monitor>,
) -> Result<Option<u64>> {
    let clock = Clock::new(source, Arc::clone(&monitor));
    let mut version = before.version();
    for _ in 0..TRIES {
        let head = archive.head().await?;
        let watch = Watch::read(archive).await?;
        let Some(draft) = draft(before, &head, found, &watch, clock.answered(None)?)? else { return Ok(None) };
        match archive.commit(&head, &mut Run::begin(), draft).await? {
            CommitOutcome::Committed(head) => {
                let mut head = *head;
                Advisory::begin().write(archive, &mut head, monitor.as_ref()).await;
                return Ok(Some(head.version()));
            }
            CommitOutcome::Stale(_) => return Err(Error::internal("a comparison is not maintenance: report it")),
            CommitOutcome::Conflict { version: theirs } => version = theirs,
        }
    }
    Err(Error::conflict(format!(
        "the result of a comparison could not be recorded: other writers committed to {} at the same time, {TRIES} \
         times in a row, last version {version}. Nothing is lost; run again once they have finished",
        archive.url(),
    )))
}

/// What is to be said on `head`; None, if nothing is.
fn draft(before: &Head, head: &Head, found: &FoundTables, watch: &Watch, now: Timestamp) -> Result<Option<Draft>> {
    let mut draft = notice::draft(head, now)?;
    // A base that was lost meanwhile, or one that corrected the table, made another state of that moment.
    let stands =
        |table: &&TableRef| is_comparable(head, table, found.at) && !is_corrected(before, head, table, found.at);
    // Ids say nothing of what is suspected of such a table.
    let proves = |table: &&TableRef| {
        let state = head.table(table);
        let wants_base = state.and_then(|state| state.suspect.as_ref()).is_some_and(Suspicion::wants_base);
        state.is_some() && (found.depth == Depth::Values || !wants_base)
    };
    let mut equal: Vec<_> = found.equal.iter().filter(proves).filter(stands).cloned().collect();
    equal.sort();
    draft.doubts = touched_doubts(head, &equal, found.at, watch);
    if !equal.is_empty() {
        let settles = watch.settles_for(head, found.at);
        draft.compared.push(Comparison { scope: Scope::Tables(equal), ts: found.at, depth: found.depth, settles });
    }
    let new = |table: &&TableRef| says_nothing_yet(head, table);
    let why = |table: &TableRef| if found.altered.contains(table) { Suspect::ALTERED } else { "differs" };
    let news: Vec<_> =
        found.differ.iter().filter(new).filter(stands).map(|table| (table.clone(), why(table))).collect();
    notice::say_at_odds(head, &mut draft, news);
    let silent = draft.compared.is_empty() && draft.suspects.is_empty();
    Ok((!silent).then_some(draft))
}

/// Whether a base that was completed since corrects the table at this moment or later.
fn is_corrected(before: &Head, head: &Head, table: &TableRef, at: Timestamp) -> bool {
    let known = &before.coverage().bases;
    let new = head.coverage().bases.iter().filter(|base| known.iter().all(|known| known.id != base.id));
    new.filter(|base| base.cuts(table)).any(|base| base.ts >= at)
}
