//! `/api/data_sync_cursor_from_deltas`: a cursor of document_deltas becomes one of Data Sync.

use axum::{body::Bytes, response::Response};

use super::{
    args::{ConvertArgs, Selection, parse},
    cursor::SyncState,
    sync::{expired, tracked},
};
use crate::{
    document::Timestamp,
    server::{
        deployment::Deployment, options::RouterOptions, page::json, refusal::Refusal, sync_source::DataSyncSource,
    },
};

/// Answers with a cursor of a new sync for which every tablet that is there *now*, hidden ones too, was read through up to the
/// given moment. So what was replaced or dropped before is never mentioned.
pub(crate) async fn cursor_from_deltas(
    deployment: &dyn Deployment,
    source: &dyn DataSyncSource,
    options: &RouterOptions,
    body: &Bytes,
) -> Result<Response, Refusal> {
    let args: ConvertArgs = parse(body)?;
    let selection = Selection::requested(args.selection)?;
    let invalid = |message: &str| Refusal::bad_request("InvalidDataSyncCursor", message);
    let now = deployment.now().await?;
    if args.cursor < 0 {
        return Err(invalid("The document_deltas cursor is not a valid timestamp"));
    }
    if args.cursor > now.0 {
        return Err(invalid("document_deltas cursor is ahead of the deployment's latest timestamp"));
    }
    if now.0 - args.cursor > i64::try_from(options.deltas_window.as_nanos()).unwrap_or(i64::MAX) {
        return Err(expired());
    }
    let state = SyncState {
        sync_id: source.new_sync_id(),
        ts: Timestamp(args.cursor),
        sent: 0,
        synced: tracked(source, options, &selection).into_keys().collect(),
        current: None,
    };
    Ok(json(format!("{{\"cursor\":\"{}\"}}", state.to_text(source.secret())?)))
}
