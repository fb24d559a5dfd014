//! [`StateWalk`]: a state, document by document, to be merged with others.

use super::state::{State, StateBatch};
use crate::{
    document::{Revision, Timestamp},
    error::Result,
};

/// A state, and where one stands in it.
pub(crate) struct StateWalk {
    state: State,
    batch: Option<StateBatch>,
    row: usize,
}

impl StateWalk {
    /// Stands at the first document.
    pub(crate) async fn begin(mut state: State) -> Result<Self> {
        let batch = state.next().await?;
        Ok(Self { state, batch, row: 0 })
    }

    /// `_id` and `_ts` of the document; None after the last.
    pub(crate) fn key(&self) -> Option<(&str, Timestamp)> {
        self.batch.as_ref().map(|batch| (batch.id(self.row), batch.ts(self.row)))
    }

    /// `_ts` of the document, if it is the one of this id.
    pub(crate) fn ts_of(&self, id: &str) -> Option<Timestamp> {
        self.key().filter(|(own, _)| *own == id).map(|(_, ts)| ts)
    }

    /// The document.
    pub(crate) fn revision(&self) -> Result<Option<Revision>> {
        self.batch.as_ref().map(|batch| batch.revision(self.row)).transpose()
    }

    /// Goes to the next document.
    pub(crate) async fn step(&mut self) -> Result<()> {
        self.row += 1;
        if self.batch.as_ref().is_some_and(|batch| self.row >= batch.len()) {
            self.batch = self.state.next().await?;
            self.row = 0;
        }
        Ok(())
    }

    /// Goes on, if it stands at this id.
    pub(crate) async fn pass(&mut self, id: &str) -> Result<()> {
        if self.ts_of(id).is_some() { self.step().await } else { Ok(()) }
    }
}
