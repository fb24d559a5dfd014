//! What an archive cannot know, because the deployment did not tell it.

use std::collections::{BTreeMap, BTreeSet};

use convex_archiver::{TableRef, Timestamp, archive::Head};

/// What the deployment did not tell, as a test knows it.
#[derive(Debug, Clone)]
pub(crate) struct NotTold {
    /// Up to here changes of components were left out.
    pub(crate) components: Timestamp,
    /// Tables that were dropped, and up to when all of them was told before.
    pub(crate) dropped: BTreeMap<TableRef, Timestamp>,
    /// Cursors of runs that had caught up: what was dropped until then is known to be.
    pub(crate) compared: BTreeSet<Timestamp>,
}

impl Default for NotTold {
    fn default() -> Self {
        Self { components: Timestamp(i64::MIN), dropped: BTreeMap::new(), compared: BTreeSet::new() }
    }
}

impl NotTold {
    /// Whether each revision of the table was told.
    pub(crate) fn tells_rows_of(&self, table: &TableRef) -> bool {
        !self.dropped.contains_key(table)
    }

    /// Whether an archive that covers the table at this moment must be right. Between two runs nobody can know when a table was dropped, and what
    /// was made and dropped meanwhile.
    pub(crate) fn is_known(&self, head: &Head, table: &TableRef, at: Timestamp) -> bool {
        self.dropped
            .get(table)
            .is_none_or(|until| (at <= *until || self.compared.contains(&at)) && head.doubted_at(table, at).is_none())
    }
}
