//! `/api/list_snapshot`: all documents as they were at one moment, one table a page at most.

use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    deployment::Deployment, options::RouterOptions, page::PageWriter, params::Params, refusal::Refusal,
    requested::RequestedTables, selection::SelectedColumns,
};
use crate::document::{Timestamp, is_document_id};

/// The id that stands before every other: table number 1, sixteen zeros, footer. Real cursors carry it where a table
/// begins.
const BEFORE_ALL: &str = "0400000000000000000000000000248";

/// The code for a snapshot that is no longer kept.
const TOO_OLD: &str = "SnapshotTooOld";

/// The next position, JSON text within JSON: opaque to clients.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    tablet: String,
    id: String,
}

impl Cursor {
    fn new(tablet: [u8; 16], id: &str) -> Self {
        Self { tablet: URL_SAFE_NO_PAD.encode(tablet), id: id.to_owned() }
    }

    /// The tablet, and the last `_id` of it that was sent already.
    fn parse(text: &str) -> Result<([u8; 16], Option<String>), Refusal> {
        let invalid = || {
            Refusal::bad_request(
                "InvalidListSnapshotCursor",
                "Invalid value for the `cursor` argument of list_snapshot. Use a `cursor` returned by a previous \
                 list_snapshot call, and treat it as an opaque value.",
            )
        };
        let cursor: Self = serde_json::from_str(text).map_err(|_| invalid())?;
        let tablet = URL_SAFE_NO_PAD.decode(&cursor.tablet).ok().and_then(|id| id.try_into().ok());
        if !is_document_id(&cursor.id) {
            return Err(invalid());
        }
        Ok((tablet.ok_or_else(invalid)?, Some(cursor.id).filter(|id| id != BEFORE_ALL)))
    }
}

/// Answers one page. A table that ends with a full page is followed by an empty one, as in Convex: a page is the last of its
/// table only if it is short.
pub(crate) async fn answer(
    deployment: &dyn Deployment,
    options: &RouterOptions,
    params: &Params,
) -> Result<Response, Refusal> {
    let selection = params.selection(options)?;
    let snapshot = params.moment("snapshot")?.map(Timestamp);
    let cursor = params.text("cursor")?;
    let now = deployment.now().await?;
    let snapshot = snapshot.unwrap_or(now);
    if snapshot > now {
        return Err(Refusal::bad_request("SnapshotTooNew", format!("Snapshot value {} is in the future.", snapshot.0)));
    }
    if now.0 - snapshot.0 > i64::try_from(options.snapshot_window.as_nanos()).unwrap_or(i64::MAX) {
        let message = format!("Snapshot value {} is too far in the past.", snapshot.0);
        return Err(Refusal::bad_request(TOO_OLD, message));
    }
    let cursor = cursor.map(Cursor::parse).transpose();
    let cursor =
        cursor.map_err(|refusal| if options.has(options.bad_cursor_code) { refusal } else { Refusal::internal() })?;

    let too_old = |error| Refusal::outside(TOO_OLD, error);
    deployment.covers_state(&RequestedTables::new(&selection, options.components, false), snapshot).map_err(too_old)?;

    let mut tablets = deployment.tables(snapshot).await?;
    tablets.retain(|t| options.components.show(&t.table, false));
    tablets.retain(|t| !matches!(selection.of(&t.table), SelectedColumns::Nothing));
    tablets.sort_by_key(|t| t.id);
    let (at, after) = match cursor {
        // A tablet that is not among those asked for ends the walk; it is no error.
        Some((id, after)) => (tablets.iter().position(|t| t.id == id), after),
        None => (Some(0), None),
    };
    let (mut documents, mut next) = (Vec::new(), None);
    let tablet = at.and_then(|at| tablets.get(at));
    if let Some((at, tablet)) = at.zip(tablet) {
        documents =
            deployment.documents(tablet, snapshot, after.as_deref(), options.snapshot_page).await.map_err(too_old)?;
        next = match documents.last() {
            Some(last) if documents.len() >= options.snapshot_page => Some(Cursor::new(tablet.id, &last.id)),
            _ => tablets.get(at + 1).map(|t| Cursor::new(t.id, BEFORE_ALL)),
        };
    }

    let mut page = PageWriter::new(params.encoding(&options.formats)?, false, options.components);
    for (document, tablet) in documents.iter().zip(tablet.into_iter().cycle()) {
        page.push(&tablet.table, document, selection.of(&tablet.table));
    }
    let more = next.is_some();
    let cursor = match next {
        // Twice: the cursor is a string that holds JSON.
        Some(cursor) => serde_json::to_string(&cursor).and_then(|text| serde_json::to_string(&text)),
        None => Ok("null".to_owned()),
    };
    let cursor = cursor.map_err(|_| Refusal::internal())?;
    Ok(page.finish(&format!("\"snapshot\":{},\"cursor\":{cursor},\"hasMore\":{more}", snapshot.0)))
}
