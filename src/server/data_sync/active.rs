//! `/api/v1/data/list_active_syncs`: the syncs of the last days and how far they are.

use axum::response::Response;

use super::cursor::{open, seal};
use crate::{
    document::Timestamp,
    server::{deployment::Deployment, page::json, params::Params, refusal::Refusal, sync_source::DataSyncSource},
};

/// How long ago the last page of an active sync may be.
const ACTIVE: i64 = 3 * 24 * 60 * 60 * 1_000_000_000;

/// Syncs a page, unless it is said.
const LIMIT: i64 = 50;

/// Answers one page, the sync that was asked for last first.
pub(crate) async fn active_syncs(
    deployment: &dyn Deployment,
    source: &dyn DataSyncSource,
    params: &Params,
) -> Result<Response, Refusal> {
    let limit = params.number("limit")?.unwrap_or(LIMIT);
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
    let limit = limit.ok_or_else(|| {
        let message = "The limit for listing active syncs must be between 1 and 100";
        Refusal::bad_request("LimitOutOfRange", message)
    })?;
    let secret = source.secret();
    let after: Option<(Timestamp, String)> = match params.text("cursor")? {
        None => None,
        Some(text) => {
            let cursor = open(text, secret);
            Some(cursor.ok_or_else(|| Refusal::bad_request("InvalidCursor", "Failed to parse cursor"))?)
        }
    };
    let now = deployment.now().await?;
    let mut syncs = source.syncs();
    syncs.retain(|sync| now.0.saturating_sub(sync.updated.0) <= ACTIVE);
    syncs.sort_by(|a, b| (b.updated, &b.sync_id).cmp(&(a.updated, &a.sync_id)));
    syncs.retain(|sync| after.as_ref().is_none_or(|(ts, id)| (sync.updated, &sync.sync_id) < (*ts, id)));
    let more = syncs.len() > limit;
    syncs.truncate(limit);
    let next = match syncs.last().filter(|_| more) {
        Some(last) => format!(",\"nextCursor\":\"{}\"", seal(&(last.updated, &last.sync_id), secret)?),
        None => String::new(),
    };
    let listed = syncs.iter().map(|sync| {
        let status = serde_json::to_string(&sync.status).map_err(|_| Refusal::internal())?;
        let (id, updated) = (&sync.sync_id, sync.updated.0 / 1_000_000);
        Ok(format!(r#"{{"syncId":"{id}","lastUpdated":{updated},"status":{status}}}"#))
    });
    let listed = listed.collect::<Result<Vec<_>, Refusal>>()?.join(",");
    Ok(json(format!(r#"{{"syncs":[{listed}],"pagination":{{"hasMore":{more}{next}}}}}"#)))
}
