//! Objects that no version needs any more which is younger than a moment: found in the log, without a listing.
//!
//! A commit that removes a file, or changes what lives in a month of a table, leaves the file and the list of before behind. They are still needed
//! by who reads an older version, by checkpoints of before, and by a `manifest.json` that is behind. So nothing counts that is younger than it may
//! be, nothing from the checkpoint before the newest one on, and nothing that `manifest.json` has not passed.
//!
//! The log is gone through in steps of one checkpoint interval, so the work of a step is that of so many commits, whatever the length of the history.

use std::{collections::BTreeSet, sync::PoisonError};

use super::{Archive, commits, head::Head, log};
use crate::{
    document::Timestamp,
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

impl Archive {
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
            let draft = &stored.commit.draft;
            let added = draft.add.iter().map(|file| (&file.table, &file.month));
            let removed = draft.remove.iter().map(|file| (&file.table, &file.month));
            for (table, month) in added.chain(removed).collect::<BTreeSet<_>>() {
                let state = before.table(table);
                let changed = state.and_then(|state| Some((&state.folder, state.months.get(month)?.version)));
                paths.extend(changed.map(|(folder, version)| layout::part(folder, month, version)));
            }
            paths.extend(draft.remove.iter().map(|file| file.path.clone()));
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
