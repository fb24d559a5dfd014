//! Names and shapes of the streaming-export API, exactly as it spells them; serde only. Pages of documents are not here:
//! [`split`](super::split()) reads them without parsing.
//!
//! Source: `crates/common/src/types/streaming_export/` and `crates/local_backend/src/streaming_export.rs` of
//! get-convex/convex-backend (commit 94a42c3d).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One page of all documents at a snapshot.
pub(super) const LIST_SNAPSHOT: &str = "/api/list_snapshot";
/// One page of the change log after a cursor.
pub(super) const DOCUMENT_DELTAS: &str = "/api/document_deltas";
/// The shapes of all tables; one odd table makes it a 400 for everybody.
pub(super) const JSON_SCHEMAS: &str = "/api/json_schemas";
/// The tables with the names of their fields; never fails on shapes.
pub(super) const TABLE_COLUMN_NAMES: &str = "/api/get_table_column_names";

/// The code with which [`CURSOR_FROM_DELTAS`](super::data_sync::CURSOR_FROM_DELTAS) refuses a body without a cursor.
pub(super) const BAD_BODY: &str = "BadJsonBody";
/// The code with which [`LIST_SNAPSHOT`] refuses a cursor that it never gave, since 2026-08-17; before, that was a 500.
pub(super) const BAD_SNAPSHOT_CURSOR: &str = "InvalidListSnapshotCursor";

/// Parameters of [`LIST_SNAPSHOT`]. Without `snapshot` the server takes the newest; with `cursor` it must be given.
#[derive(Debug, Serialize)]
pub(super) struct ListSnapshot<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snapshot: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<&'a str>,
    /// Only the tables of this component. Servers that do not know it answer with everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<&'a str>,
    pub(super) format: &'a str,
}

/// Parameters of [`DOCUMENT_DELTAS`].
#[derive(Debug, Serialize)]
pub(super) struct DocumentDeltas<'a> {
    pub(super) cursor: i64,
    pub(super) format: &'a str,
}

/// Parameters of [`JSON_SCHEMAS`]. Booleans must read `true` or `false`; servers without components ignore `byComponent`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonSchemas<'a> {
    pub(super) delta_schema: bool,
    pub(super) by_component: bool,
    pub(super) format: &'a str,
}

/// Answer of [`TABLE_COLUMN_NAMES`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TableColumnNames {
    /// By component path, `""` for the root.
    pub(super) by_component: BTreeMap<String, Vec<TableColumns>>,
}

/// One table of [`TableColumnNames`]; its columns are not used.
#[derive(Debug, Deserialize)]
pub(super) struct TableColumns {
    pub(super) name: String,
}
