//! Objects that no version needs any more which is younger than a moment: found in the log, without a listing.
//!
//! A commit that removes a file, or changes what lives in a month of a table, leaves the file and the list of before behind. They are still needed
//! by who reads an older version, by checkpoints of before, and by a `manifest.json` that is behind. So nothing counts that is younger than it may
//! be, nothing from the checkpoint before the newest one on, and nothing that `manifest.json` has not passed.
//!
//! The log is gone through in steps of one checkpoint interval, so the work of a step is that of so many commits, whatever the length of the history.

use std::{collections::BTreeSet, sync::PoisonError};

use super::{Archive, commit::Draft, commits, head::Head, log};
use crate::{
    document::{TableRef, Timestamp},
    error::Result,
    layout::{self, CHECKPOINT_EVERY},
};

/// What one step of the log leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SupersededObjects {
    /// The step ends with this commit.
    pub(crate) through: u64,
    /// Data files, lists of files and checkpoints, by path.
    pub(crate) paths: Vec<String>,
}

/// What readers of older versions may still need.
#[derive(Debug, Default)]
pub(crate) struct NeededObjects {
    /// Data files and lists of files that were replaced not long enough ago, and lists that `manifest.json` or a kept checkpoint names.
    pub(crate) paths: BTreeSet<String>,
    /// Checkpoints from this version on are kept.
    pub(crate) checkpoints_from: u64,
}

impl Archive {
    /// What readers of versions that were the newest at `until` or later may need, beside what lives at `head`. Its memory is that of the paths that
    /// were replaced since.
    ///
    /// # Errors
    /// As [`superseded`](Self::superseded).
    pub(crate) async fn needed_since(&self, head: &Head, until: Timestamp) -> Result<NeededObjects> {
        let newest = log::floor(head.version());
        let checkpoints_from = newest.saturating_sub(CHECKPOINT_EVERY);
        let mut needed = NeededObjects { checkpoints_from, ..NeededObjects::default() };
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).map_or(0, |shown| shown.version);
        let first_kept = if newest == 0 { head.version() } else { checkpoints_from.max(CHECKPOINT_EVERY) };
        let since = self.last_before(head.version(), until).await?.min(shown).min(first_kept);
        let names_lists =
            |version: u64| version == shown || (version >= first_kept && version.is_multiple_of(CHECKPOINT_EVERY));
        let before = self.head_at(since).await?;
        needed.paths.extend(lists(&before).filter(|_| names_lists(since)));
        let mut folded = Some(before);
        commits::replay(&self.log, since, head.version(), |stored| {
            let Some(before) = folded.take() else { return Ok(()) };
            let (version, draft) = (stored.commit.version, &stored.commit.draft);
            if draft.at >= until || version > shown {
                needed.paths.extend(left_behind(&before, draft));
            }
            let after = before.apply(&stored.commit, stored.digest)?;
            needed.paths.extend(lists(&after).filter(|_| names_lists(version)));
            folded = Some(after);
            Ok(())
        })
        .await?;
        Ok(needed)
    }

    /// The last commit that is older than `until`, found by halving: 0, if there is none.
    async fn last_before(&self, newest: u64, until: Timestamp) -> Result<u64> {
        let (mut older, mut younger) = (0, newest + 1);
        while younger - older > 1 {
            let middle = older + (younger - older) / 2;
            let stored = self.log.read(middle).await?.ok_or_else(|| log::missing(middle))?;
            if stored.commit.draft.at < until { older = middle } else { younger = middle }
        }
        Ok(older)
    }

    /// What the commits of the step behind `after` have left behind; None, if some of it may still be needed. `after` is the end of a step, or 0. `until`:
    /// commits must be at least so old.
    ///
    /// # Errors
    /// Corrupt, if a commit is missing or does not follow; Access, Unavailable, as the store says.
    pub(crate) async fn superseded(
        &self,
        head: &Head,
        after: u64,
        until: Timestamp,
    ) -> Result<Option<SupersededObjects>> {
        let through = after + CHECKPOINT_EVERY;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).map_or(0, |shown| shown.version);
        // Of two checkpoints: if the newest is damaged, readers begin with the one before.
        let kept = log::floor(head.version()).saturating_sub(CHECKPOINT_EVERY);
        if through > kept.min(shown) {
            return Ok(None);
        }
        let last = self.log.read(through).await?.ok_or_else(|| log::missing(through))?;
        if last.commit.draft.at > until {
            return Ok(None);
        }
        let mut folded = Some(self.head_at(after).await?);
        let mut paths = Vec::new();
        commits::replay(&self.log, after, through, |stored| {
            let Some(before) = folded.take() else { return Ok(()) };
            paths.extend(left_behind(&before, &stored.commit.draft));
            folded = Some(before.apply(&stored.commit, stored.digest)?);
            Ok(())
        })
        .await?;
        if after > 0 {
            paths.push(layout::checkpoint(after));
        }
        Ok(Some(SupersededObjects { through, paths }))
    }
}

/// What a commit behind `before` leaves behind: the files that it removes, and the lists of the months that it changes.
fn left_behind(before: &Head, draft: &Draft) -> Vec<String> {
    let added = draft.add.iter().map(|file| (&file.table, &file.month));
    let removed = draft.remove.iter().map(|file| (&file.table, &file.month));
    let changed: BTreeSet<_> = added.chain(removed).collect();
    let list = |(table, month): (&TableRef, &String)| {
        let state = before.table(table)?;
        Some(layout::part(&state.folder, month, state.months.get(month)?.version))
    };
    changed.into_iter().filter_map(list).chain(draft.remove.iter().map(|file| file.path.clone())).collect()
}

/// The lists that a head names.
pub(crate) fn lists(head: &Head) -> impl Iterator<Item = String> {
    head.tables()
        .flat_map(|state| state.months.iter().map(|(month, said)| layout::part(&state.folder, month, said.version)))
}
