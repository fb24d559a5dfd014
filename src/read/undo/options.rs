//! [`UndoOptions`]: what is undone, and how.

use std::collections::BTreeSet;

use derive_setters::Setters;

use super::{super::restore::RestoreTarget, field_match::FieldMatch};
use crate::{budget::MemoryBudget, document::Timestamp, selection::Selection};

/// What is undone, and how.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct UndoOptions {
    /// The last moment before the changes that are undone.
    pub from: Timestamp,
    /// The moment after them.
    pub to: Timestamp,
    /// The newest moment that the archive covers: the deployment as it is now, as far as the archive knows.
    pub now: Timestamp,
    /// Only changes of these tables.
    pub selection: Selection,
    /// Only changes of these documents, wherever they are; of all, if there are none.
    pub ids: BTreeSet<String>,
    /// Only changes of documents that matched all of these at `from`; of documents inserted later, at `to`.
    pub matching: Vec<FieldMatch>,
    /// Whether documents that were changed again after `to` are undone as well: those later changes are lost.
    pub over_later_writes: bool,
    /// Whether documents inserted after `from` are removed.
    pub inserted: bool,
    /// Whether tables may be in doubt at one of the three moments: the archive may show something else of them than the deployment held
    /// ([`doubted_at`](crate::read::doubted_at)). Otherwise that is an error, unless they are only not watched yet. A plan tells of both.
    pub accept_doubt: bool,
    /// Where the ZIP is written. A plan writes none.
    #[setters(into)]
    pub output: RestoreTarget,
    /// Whether it may be there already.
    pub overwrite: bool,
    /// The memory that it may take.
    pub budget: MemoryBudget,
}
