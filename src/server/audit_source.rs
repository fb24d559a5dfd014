//! [`AuditLogSource`]: what the audit log's route needs of a deployment, beside what the other routes ask for.

use serde_json::Value as Json;

use crate::document::Timestamp;

/// A deployment that keeps an audit log.
pub trait AuditLogSource: Send + Sync {
    /// All entries, oldest first. None is ever removed.
    fn entries(&self) -> Vec<AuditLogEntry>;
}

/// Something that was done to the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLogEntry {
    /// When.
    pub at: Timestamp,
    /// What, in one word of Convex.
    pub action: &'static str,
    /// Who.
    pub actor: Actor,
    /// What else there is to tell; its form depends on the action.
    pub metadata: Json,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A member, by a request whose address is kept.
    MemberByRequest,
    /// A member, for whom the deployment did it later: an import.
    Member,
    /// The deployment itself.
    System,
}
