//! Which bases an archive owes at its cursor. Pure.

use crate::document::TableRef;

use super::{Head, coverage::Covers};

/// What is selected, not covered at the cursor, and can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedBase {
    /// Everything is covered that can be.
    Nothing,
    /// A base of tables of components only: their rows are known to arrive since.
    Components,
    /// A base of some tables.
    Tables,
}

impl Head {
    /// What the archive owes; nothing before its first commit.
    #[doc(hidden)]
    pub fn owed(&self) -> OwedBase {
        let Some(cursor) = self.progress().delta.as_ref().map(|delta| delta.ts) else { return OwedBase::Nothing };
        let (coverage, selected) = (self.coverage(), self.coverage().selected());
        let lacks = |of_component| {
            let uncovered = |table: &TableRef| {
                table.component().is_empty() != of_component
                    && selected.contains(table)
                    && matches!(coverage.covers(table, cursor), Covers::NotCovered(_))
            };
            !coverage.covers_unseen(of_component, cursor) || self.tables().any(|state| uncovered(&state.table))
        };
        if lacks(false) {
            OwedBase::Tables
        } else if coverage.component_rows.is_some() && lacks(true) {
            OwedBase::Components
        } else {
            OwedBase::Nothing
        }
    }
}
