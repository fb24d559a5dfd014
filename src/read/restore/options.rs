//! What is restored.

use std::collections::BTreeSet;

use super::target::RestoreTarget;
use crate::{budget::MemoryBudget, document::Timestamp, selection::Selection};
use derive_setters::Setters;

/// What is restored.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The moment.
    pub at: Timestamp,
    /// These tables.
    pub selection: Selection,
    /// Just these documents, wherever they are; all, if there are none. An import takes them only in a deployment that never
    /// had them: Convex refuses an `_id` that its table has or had.
    pub ids: BTreeSet<String>,
    /// Where the ZIP is written: a path, or what [`RestoreTarget::open`] makes of an URL. A plan writes none.
    #[setters(into)]
    pub output: RestoreTarget,
    /// Whether it may be there already.
    pub overwrite: bool,
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Tables of which the rows that cannot be read are left out, and listed. Otherwise damage is an error. Not of single
    /// documents.
    pub accept_damage: Option<Selection>,
}
