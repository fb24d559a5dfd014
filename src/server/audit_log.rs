//! `/api/v1/list_audit_log_events`: what was done to whole tables, and by whom. Servers of one's own always refuse it.
//!
//! Failed and cancelled imports have no entry, here as in Convex.

use axum::response::Response;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{
    audit_source::{Actor, AuditLogEntry},
    data_sync::{open, seal},
    deployment::Deployment,
    era::AuditLogs,
    page::json,
    params::Params,
    refusal::Refusal,
    sync_source::DataSyncSource,
};
use crate::document::Timestamp;

/// Entries a page, unless it is said.
const LIMIT: i64 = 15;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    actor: Json,
    action: &'a str,
    /// Milliseconds since 1970.
    create_time: i64,
    metadata: &'a Json,
    client_ip: Option<&'a str>,
    client_user_agent: Option<&'a str>,
}

impl<'a> From<&'a AuditLogEntry> for Listed<'a> {
    fn from(entry: &'a AuditLogEntry) -> Self {
        let AuditLogEntry { at, action, actor, metadata } = entry;
        let by_request = *actor == Actor::MemberByRequest;
        Self {
            actor: match actor {
                Actor::MemberByRequest | Actor::Member => json!({ "kind": "member", "member_id": 0 }),
                Actor::System => json!({ "kind": "system" }),
            },
            action,
            create_time: milliseconds(*at),
            metadata,
            client_ip: by_request.then_some("127.0.0.1"),
            client_user_agent: by_request.then_some("simulated"),
        }
    }
}

fn milliseconds(at: Timestamp) -> i64 {
    at.0 / 1_000_000
}

/// Answers one page, the oldest entry first.
pub(crate) fn list(deployment: &dyn Deployment, kept: AuditLogs, params: &Params) -> Result<Response, Refusal> {
    let from = params.required_number("from")?;
    let limit = params.number("limit")?.unwrap_or(LIMIT);
    let cursor = params.text("cursor")?;
    let Some(source) = deployment.audit_log().filter(|_| kept == AuditLogs::Kept) else {
        let message =
            "Audit logs are not available on your current plan. See https://www.convex.dev/pricing to upgrade.";
        return Err(Refusal::forbidden("AuditLogsDisabled", message));
    };
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
    let limit = limit
        .ok_or_else(|| Refusal::bad_request("LimitOutOfRange", "The limit for audit logs must be between 1 and 100"))?;
    // Bound to the deployment as the cursors of Data Sync are.
    let secret = deployment.data_sync().map_or([0; 16], DataSyncSource::secret);
    let begin: usize = match cursor {
        None => 0,
        Some(text) => {
            let cursor = open(text, secret);
            cursor.ok_or_else(|| Refusal::bad_request("InvalidCursor", "Failed to parse cursor"))?
        }
    };
    let entries = source.entries();
    // None is ever removed, so its number stays.
    let wanted = entries.iter().enumerate().skip(begin).filter(|(_, entry)| milliseconds(entry.at) >= from);
    let wanted: Vec<_> = wanted.take(limit + 1).collect();
    let mut pagination = json!({ "hasMore": wanted.len() > limit });
    if let Some((next, _)) = wanted.get(limit) {
        pagination["nextCursor"] = seal(next, secret)?.into();
    }
    let items: Vec<_> = wanted.iter().take(limit).map(|(_, entry)| Listed::from(*entry)).collect();
    Ok(json(json!({ "items": items, "pagination": pagination }).to_string()))
}
