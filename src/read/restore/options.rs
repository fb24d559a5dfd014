//! What is restored.

use std::collections::BTreeSet;

use crate::{budget::MemoryBudget, document::Timestamp, selection::Selection};

/// What is restored.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The moment.
    pub at: Timestamp,
    /// These tables.
    pub selection: Selection,
    /// Just these documents, wherever they are; all, if there are none.
    pub ids: BTreeSet<String>,
    /// The memory that it may take.
    pub budget: MemoryBudget,
}
