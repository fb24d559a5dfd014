//! What every protocol of a deployment shares, exactly as the server spells it; serde only.
//!
//! Source: `crates/errors`, `crates/local_backend` and `crates/convex/sync_types` of get-convex/convex-backend (commit 94a42c3d).

use serde::{Deserialize, Serialize};

/// The deployment's name as plain text. Not under `/api`, not on every server.
pub(in crate::convex) const INSTANCE_NAME: &str = "/instance_name";
/// Of `https://api.convex.dev`: which URL a deploy key belongs to.
pub(in crate::convex) const URL_FOR_KEY: &str = "/api/deployment/url_for_key";

/// Body of an error. A timeout (408) has none, a proxy sends HTML.
#[derive(Debug, Deserialize)]
pub(in crate::convex) struct ErrorBody {
    pub(in crate::convex) code: String,
    #[serde(default)]
    pub(in crate::convex) message: String,
}

/// Body of [`URL_FOR_KEY`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::convex) struct UrlForKey<'a> {
    pub(in crate::convex) deploy_key: &'a str,
}

/// Answer of [`URL_FOR_KEY`]: both forms have been seen by Convex's own CLI.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::convex) enum DeploymentUrl {
    Plain(String),
    Named { url: String },
}

/// Response headers by which a server announces that a client's or a route's days are numbered
/// (`crates/convex/sync_types/src/headers.rs`).
pub(in crate::convex) const DEPRECATION_STATE: &str = "x-convex-deprecation-state";
/// See [`DEPRECATION_STATE`].
pub(in crate::convex) const DEPRECATION_MESSAGE: &str = "x-convex-deprecation-message";
