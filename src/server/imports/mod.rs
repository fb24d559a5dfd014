//! Imports over HTTP, as `npx convex import` and the dashboard make them: an upload in parts, a question, the import itself.
//!
//! ```text
//! POST /api/import/start_upload                                  {uploadToken}
//! POST /api/import/upload_part?uploadToken=…&partNumber=1        "part token"
//! POST /api/import/finish_upload  {import,uploadToken,partTokens} {importId}
//! POST /api/query                 _system/cli/queryImport         {state: …}
//! GET  /api/1.2.3/sync            the same query, subscribed to over a WebSocket
//! POST /api/perform_import, /api/cancel_import  {importId}
//! POST /api/import?format=zip&mode=…                              {numWritten}: all at once
//! ```
//!
//! A deployment that takes imports says so ([`Deployment::imports`](super::Deployment)); others have none of these routes. Of files
//! only snapshot ZIPs are known.

mod socket;
mod state;
pub(super) mod target;
mod uploads;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use self::{
    state::ImportState,
    target::PreparedImport,
    uploads::{Uploads, bad_body, refused, whole},
};
use super::{deployment::Deployment, refusal::Refusal};
use crate::error::{Error, Result};

/// Bytes of a part, at most.
const LARGEST_PART: usize = 256 << 20;

/// The imports of one deployment.
pub(super) struct Imports {
    deployment: Arc<dyn Deployment>,
    /// Waited between two transactions of an import.
    pause: Duration,
    /// Whether this is the deploy key.
    opens: Box<dyn Fn(&str) -> bool + Send + Sync>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    uploads: Uploads,
    imports: BTreeMap<String, Import>,
}

struct Import {
    state: ImportState,
    /// Until it is performed.
    prepared: Option<Box<dyn PreparedImport>>,
}

type Answer = Result<Json<Value>, Refusal>;

impl Imports {
    pub(super) fn new(
        deployment: Arc<dyn Deployment>,
        pause: Duration,
        opens: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { deployment, pause, opens: Box::new(opens), inner: Mutex::default() })
    }

    /// The routes that ask for a key, without the check of it.
    pub(super) fn routes(self: &Arc<Self>) -> Router {
        let large = DefaultBodyLimit::max(LARGEST_PART);
        Router::new()
            .route("/api/import/start_upload", post(start_upload))
            .route("/api/import/upload_part", post(upload_part).layer(large))
            .route("/api/import/finish_upload", post(finish_upload))
            .route("/api/import", post(import_at_once).layer(large))
            .route("/api/perform_import", post(perform))
            .route("/api/cancel_import", post(cancel))
            .route("/api/query", post(query))
            .with_state(Arc::clone(self))
    }

    /// The WebSocket, where the key is said later.
    pub(super) fn socket(self: &Arc<Self>) -> Router {
        Router::new().route("/api/{version}/sync", get(socket::sync)).with_state(Arc::clone(self))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, zip: &NamedTempFile, mode: &str) -> Result<Box<dyn PreparedImport>> {
        let target = self.deployment.imports();
        target.ok_or_else(|| Error::usage("this deployment takes no imports"))?.prepare(zip.path(), mode)
    }

    /// Names an import that is uploaded.
    fn begin(&self, zip: &NamedTempFile, mode: &str) -> String {
        let import = match self.prepare(zip, mode) {
            Ok(prepared) => {
                Import { state: ImportState::WaitingForConfirmation(prepared.question()), prepared: Some(prepared) }
            }
            Err(error) => Import { state: ImportState::Failed(error.to_string()), prepared: None },
        };
        let mut inner = self.inner();
        let id = format!("import-{}", inner.imports.len() + 1);
        inner.imports.insert(id.clone(), import);
        id
    }

    /// What the system queries tell.
    fn told(&self, path: &str, id: Option<&str>) -> Result<Value, Refusal> {
        let inner = self.inner();
        match (path, id) {
            ("_system/cli/queryImport:list", _) => Ok(inner
                .imports
                .iter()
                .map(|(id, import)| json!({ "_id": id, "state": import.state.to_json() }))
                .collect()),
            ("_system/cli/queryImport" | "_system/cli/queryImport:default", Some(id)) => {
                let import = inner.imports.get(id).ok_or_else(unknown)?;
                Ok(json!({ "_id": id, "state": import.state.to_json() }))
            }
            _ => Err(Refusal::bad_request("FunctionNotFound", format!("Could not find public function for '{path}'"))),
        }
    }

    fn set(&self, id: &str, state: ImportState) -> bool {
        let mut inner = self.inner();
        // One that was cancelled stays so.
        match inner.imports.get_mut(id) {
            Some(import) if !matches!(import.state, ImportState::Failed(_)) => {
                import.state = state;
                true
            }
            _ => false,
        }
    }

    /// Writes all of it; the documents that were written. `tell` hears of each step, and says whether to go on.
    async fn run(
        &self,
        mut prepared: Box<dyn PreparedImport>,
        mut tell: impl FnMut(u64) -> bool,
    ) -> Result<Option<u64>> {
        let mut written = 0;
        while let Some(more) = prepared.write()? {
            written += more;
            if !tell(written) {
                return Ok(None);
            }
            tokio::time::sleep(self.pause).await;
        }
        prepared.finish()?;
        Ok(Some(written))
    }
}

fn unknown() -> Refusal {
    Refusal::bad_request("ImportNotFound", "There is no such import")
}

async fn start_upload(State(s): State<Arc<Imports>>) -> Answer {
    Ok(Json(json!({ "uploadToken": s.inner().uploads.begin()? })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    upload_token: String,
    part_number: u32,
}

async fn upload_part(State(s): State<Arc<Imports>>, Query(part): Query<Part>, body: Bytes) -> Answer {
    Ok(Json(s.inner().uploads.part(&part.upload_token, part.part_number, &body)?.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    import: Wanted,
    upload_token: String,
    part_tokens: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default = "require_empty")]
    mode: String,
    format: Value,
    table_name: Option<String>,
    component_path: Option<String>,
}

fn require_empty() -> String {
    "requireEmpty".to_owned()
}

impl Wanted {
    fn check(&self) -> Result<(), Refusal> {
        if self.format != "zip" || self.table_name.is_some() || self.component_path.is_some() {
            let message = "This deployment takes whole snapshot ZIPs only.";
            return Err(Refusal::bad_request("ImportNotSimulated", message));
        }
        Ok(())
    }
}

async fn finish_upload(State(s): State<Arc<Imports>>, body: Bytes) -> Answer {
    let Finished { import, upload_token, part_tokens } = serde_json::from_slice(&body).map_err(|e| bad_body(&e))?;
    import.check()?;
    let zip = s.inner().uploads.finish(&upload_token, &part_tokens)?;
    Ok(Json(json!({ "importId": s.begin(&zip, &import.mode) })))
}

async fn import_at_once(State(s): State<Arc<Imports>>, Query(wanted): Query<Wanted>, body: Bytes) -> Answer {
    wanted.check()?;
    let prepared = s.prepare(&whole(&body)?, &wanted.mode).map_err(refused)?;
    let written = s.run(prepared, |_| true).await.map_err(refused)?;
    Ok(Json(json!({ "numWritten": written })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    import_id: String,
}

async fn perform(State(s): State<Arc<Imports>>, body: Bytes) -> Answer {
    let Named { import_id } = serde_json::from_slice(&body).map_err(|e| bad_body(&e))?;
    let prepared = {
        let mut inner = s.inner();
        let import = inner.imports.get_mut(&import_id).ok_or_else(unknown)?;
        let Some(prepared) = import.prepared.take() else {
            return Err(Refusal::bad_request("CannotPerformImport", "The import does not wait for a confirmation"));
        };
        import.state = ImportState::InProgress(0);
        prepared
    };
    tokio::spawn(async move {
        let done = s.run(prepared, |written| s.set(&import_id, ImportState::InProgress(written))).await;
        match done {
            Ok(Some(written)) => s.set(&import_id, ImportState::Completed(written)),
            Ok(None) => false,
            Err(error) => s.set(&import_id, ImportState::Failed(error.to_string())),
        }
    });
    Ok(Json(Value::Null))
}

async fn cancel(State(s): State<Arc<Imports>>, body: Bytes) -> Answer {
    let Named { import_id } = serde_json::from_slice(&body).map_err(|e| bad_body(&e))?;
    let mut inner = s.inner();
    let import = inner.imports.get_mut(&import_id).ok_or_else(unknown)?;
    if matches!(import.state, ImportState::Completed(_)) {
        return Err(Refusal::bad_request("CannotCancelImport", "The import has been completed"));
    }
    import.state = ImportState::Failed("Import canceled".to_owned());
    import.prepared = None;
    Ok(Json(Value::Null))
}

#[derive(Deserialize)]
struct SystemQuery {
    path: String,
    #[serde(default)]
    args: Value,
}

/// The argument `importId`, of arguments as an object or as a list of one.
fn import_id(args: &Value) -> Option<&str> {
    args.get(0).unwrap_or(args).get("importId")?.as_str()
}

async fn query(State(s): State<Arc<Imports>>, body: Bytes) -> Answer {
    let SystemQuery { path, args } = serde_json::from_slice(&body).map_err(|e| bad_body(&e))?;
    Ok(Json(json!({ "status": "success", "value": s.told(&path, import_id(&args))?, "logLines": [] })))
}
