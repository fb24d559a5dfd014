//! Names and shapes of the streaming-export API, exactly as it spells them; serde only. Pages of documents are not here:
//! [`split`](super::split()) reads them without parsing.
//!
//! Source: `crates/common/src/types/streaming_export/` and `crates/local_backend/src/streaming_export.rs` of
//! get-convex/convex-backend (commit 94a42c3d).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One page of all documents at a snapshot.
pub(crate) const LIST_SNAPSHOT: &str = "/api/list_snapshot";
/// One page of the change log after a cursor.
pub(crate) const DOCUMENT_DELTAS: &str = "/api/document_deltas";
/// The shapes of all tables; one odd table makes it a 400 for everybody.
pub(crate) const JSON_SCHEMAS: &str = "/api/json_schemas";
/// The tables with the names of their fields; never fails on shapes.
pub(crate) const TABLE_COLUMN_NAMES: &str = "/api/get_table_column_names";
/// The deployment's name as plain text. Not under `/api`, not on every server.
pub(crate) const INSTANCE_NAME: &str = "/instance_name";
/// Of `https://api.convex.dev`: which URL a deploy key belongs to.
pub(crate) const URL_FOR_KEY: &str = "/api/deployment/url_for_key";

/// Parameters of [`LIST_SNAPSHOT`]. Without `snapshot` the server takes the newest; with `cursor` it must be given.
#[derive(Debug, Serialize)]
pub(crate) struct ListSnapshot<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<&'a str>,
    /// Only the tables of this component. Servers that do not know it answer with everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<&'a str>,
    pub(crate) format: &'a str,
}

/// Parameters of [`DOCUMENT_DELTAS`].
#[derive(Debug, Serialize)]
pub(crate) struct DocumentDeltas<'a> {
    pub(crate) cursor: i64,
    pub(crate) format: &'a str,
}

/// Parameters of [`JSON_SCHEMAS`]. Booleans must read `true` or `false`; servers without components ignore `byComponent`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonSchemas<'a> {
    pub(crate) delta_schema: bool,
    pub(crate) by_component: bool,
    pub(crate) format: &'a str,
}

/// Answer of [`TABLE_COLUMN_NAMES`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TableColumnNames {
    /// By component path, `""` for the root.
    pub(crate) by_component: BTreeMap<String, Vec<TableColumns>>,
}

/// One table of [`TableColumnNames`]; its columns are not used.
#[derive(Debug, Deserialize)]
pub(crate) struct TableColumns {
    pub(crate) name: String,
}

/// Body of an error. A timeout (408) has none, a proxy sends HTML.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// Body of [`URL_FOR_KEY`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UrlForKey<'a> {
    pub(crate) deploy_key: &'a str,
}

/// Answer of [`URL_FOR_KEY`]: both forms have been seen by Convex's own CLI.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum DeploymentUrl {
    Plain(String),
    Named { url: String },
}

/// Response headers by which a server announces that a client's or a route's days are numbered
/// (`crates/convex/sync_types/src/headers.rs`).
pub(crate) const DEPRECATION_STATE: &str = "x-convex-deprecation-state";
/// See [`DEPRECATION_STATE`].
pub(crate) const DEPRECATION_MESSAGE: &str = "x-convex-deprecation-message";
