//! [`Walk`]: a table, page by page, without beginning anew for each.

use std::sync::Arc;

use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    document::{Revision, TableRef, Timestamp},
    error::Result,
    read::{Columns, State, StateBatch, StateOptions, TableFiles},
};

/// A walk through the documents of a table at a moment, and where it stands.
pub(super) struct Walk {
    /// The last `_id` that was told.
    after: Option<String>,
    state: State,
    /// What is read and not yet told: from this row on.
    batch: Option<(StateBatch, usize)>,
}

impl Walk {
    /// Begins behind `after`.
    pub(super) fn begin(
        archive: &Archive,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        after: Option<&str>,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let after = after.map(str::to_owned);
        let options = StateOptions { budget, columns: Columns::All, after: after.clone(), damage: None };
        Ok(Self { after, state: State::of_files(archive, head, files, at, &options)?, batch: None })
    }

    /// Whether these are the documents that come next.
    pub(super) fn stands_at(&self, table: &TableRef, at: Timestamp, after: Option<&str>) -> bool {
        self.after.as_deref() == after && self.state.at() == at && self.state.table() == table
    }

    /// The next documents; fewer than `limit` at the end.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Revision>>> {
        let mut documents = Vec::new();
        while documents.len() < limit {
            let (batch, from) = match self.batch.take() {
                Some(left) => left,
                None => match self.state.next().await? {
                    Some(batch) => (batch, 0),
                    None => break,
                },
            };
            let to = batch.len().min(from.saturating_add(limit - documents.len()));
            let rows = batch.documents()?;
            for row in from..to {
                documents.push(Arc::new(rows.revision(row)?));
            }
            if to < batch.len() {
                drop(rows);
                self.batch = Some((batch, to));
            }
        }
        if let Some(last) = documents.last() {
            self.after = Some(last.id.clone());
        }
        Ok(documents)
    }
}
