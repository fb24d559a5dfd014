//! [`RequestedTables`]: which tables a request asks for, as a [`Deployment`](super::Deployment) is told.

use super::{
    era::Components,
    selection::{RequestedSelection, SelectedColumns},
};
use crate::document::TableRef;

static EVERYTHING: RequestedSelection = RequestedSelection::Everything;

/// The tables that a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct RequestedTables<'a> {
    selection: &'a RequestedSelection,
    components: Components,
    deltas: bool,
}

impl<'a> RequestedTables<'a> {
    /// All of them.
    pub fn everything() -> Self {
        Self { selection: &EVERYTHING, components: Components::Everywhere, deltas: false }
    }

    pub(crate) fn new(selection: &'a RequestedSelection, components: Components, deltas: bool) -> Self {
        Self { selection, components, deltas }
    }

    /// Whether this table is asked for.
    pub fn contains(&self, table: &TableRef) -> bool {
        self.components.show(table, self.deltas) && !matches!(self.selection.of(table), SelectedColumns::Nothing)
    }

    /// Whether tables of the root are asked for beside those that are `known`.
    pub fn reaches_beyond(&self, known: impl Fn(&TableRef) -> bool) -> bool {
        self.selection.reaches_beyond(known)
    }
}
