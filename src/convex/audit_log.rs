//! The deployment's audit log: what somebody did to whole tables, which the change log does not tell. **It explains, and never detects.**
//!
//! # What it can tell
//! Of an import that was completed: its mode, its tables, and those that it deleted. Of tables or components that were deleted: their names. That
//! tables were cleared, without a name. And who did it.
//!
//! # Why it never detects
//! An import that failed or was cancelled has no entry, though it leaves documents in the change log. Without the permission
//! `deployment:auditLog:view`, or a plan that has an audit log, nobody can read it: a server of one's own always refuses. A plan keeps it for some
//! time only. So what is wrong is found without it, and whoever cannot read it misses an explanation, nothing else.

use async_trait::async_trait;

use crate::{
    document::{TableRef, Timestamp},
    error::Result,
};

/// What can be asked of a deployment's audit log.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// What happened to whole tables from `from` on, oldest first; not more than some pages of the log tell. An import that appends is left
    /// out, since the change log tells it.
    ///
    /// # Errors
    /// As the deployment answers, at once: nothing is asked again.
    async fn events(&self, from: Timestamp) -> Result<Vec<AuditLogEvent>>;
}

/// Something that was done to whole tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLogEvent {
    /// When it was written down: nanoseconds, of which Convex tells whole milliseconds.
    pub at: Timestamp,
    /// `snapshot_import`, `delete_tables`, `clear_tables` or `delete_component`.
    pub action: String,
    /// Who did it, as far as that is told: `member 7`, `system`. Never an address.
    pub who: Option<String>,
    /// Tables that it names.
    pub tables: Vec<TableRef>,
    /// The component that it names, of which every table is meant.
    pub component: Option<String>,
    /// The mode of an import: `Replace`, `ReplaceAll` or `RequireEmpty`.
    pub mode: Option<String>,
}

impl AuditLogEvent {
    /// Whether it names the table.
    pub fn names(&self, table: &TableRef) -> bool {
        let inside = |component: &str| {
            let rest = table.component().strip_prefix(component);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.tables.contains(table) || self.component.as_deref().is_some_and(inside)
    }

    /// Whether it names nothing, so that any table may be meant.
    pub fn is_nameless(&self) -> bool {
        self.tables.is_empty() && self.component.is_none()
    }
}
