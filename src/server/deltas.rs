//! `/api/document_deltas`: the change log after a cursor, whole transactions, a bounded number of log rows *read* a page.

use axum::response::Response;

use super::{
    deployment::Deployment, options::RouterOptions, page::PageWriter, params::Params, refusal::Refusal,
    requested::RequestedTables,
};
use crate::document::Timestamp;

/// The code for changes that are no longer kept.
const NOT_KEPT: &str = "InvalidWindowToReadDocuments";

/// Answers one page. Rows that are not shown (system tables, dropped tables, tables not asked for) are read all the same, so
/// a page may be empty and yet be followed by more.
pub(crate) async fn answer(
    deployment: &dyn Deployment,
    options: &RouterOptions,
    params: &Params,
) -> Result<Response, Refusal> {
    let selection = params.selection(options)?;
    let Some(after) = params.moment("cursor")?.map(Timestamp) else {
        let message = "/api/document_deltas requires a cursor";
        return Err(Refusal::bad_request("DocumentDeltasCursorRequired", message));
    };
    let now = deployment.now().await?;
    let window = i64::try_from(options.deltas_window.as_nanos()).unwrap_or(i64::MAX);
    let oldest = Timestamp(now.0.saturating_sub(window));
    if after.0.saturating_add(1) < oldest.0 {
        let message =
            format!("Deltas after {} are no longer kept; the oldest retained moment is {}.", after.0, oldest.0);
        return Err(Refusal::bad_request(NOT_KEPT, message));
    }

    let not_kept = |error| Refusal::outside(NOT_KEPT, error);
    deployment.covers_log(&RequestedTables::new(&selection, options.components, true), after, now).map_err(not_kept)?;

    // A cursor from the future finds nothing, and the answer's cursor goes back to now.
    let log = deployment.log(after, now, options.delta_page).await.map_err(not_kept)?;
    let cursor = match log.rows.last() {
        Some(last) if log.more || log.rows.len() >= options.delta_page => last.ts,
        // The log was read to its end, so everything up to now is told.
        _ => now,
    };
    let mut page = PageWriter::new(params.encoding(&options.formats)?, true, options.components);
    let changes = log.rows.iter().filter_map(|row| row.change.as_ref());
    for (table, revision) in changes.filter(|(table, _)| options.components.show(table, true)) {
        page.push(table, revision, selection.of(table));
    }
    Ok(page.finish(&format!("\"cursor\":{},\"hasMore\":{}", cursor.0, log.more)))
}
