//! [`Importer`]: imports a snapshot ZIP into a deployment, as `npx convex import` does.
//!
//! ```text
//! upload in parts ─> "uploaded" ─> "waiting_for_confirmation" ─ perform ─> "in_progress" ─> "completed" or "failed"
//! ```
//!
//! # What can be resumed
//! A part that does not arrive is sent again, by number, as often as the retry policy says. An upload that is given up is begun anew
//! by the next run: Convex does not tell which parts it has. Once performed, an import goes on in the deployment without this
//! program; the tables change at its end, all at once (but for [`ImportMode::Append`]).

mod protocol;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{fs::File, io::AsyncReadExt};

use self::protocol::{
    Answer, CANCEL, FINISH_UPLOAD, Finish, How, LIST_IMPORTS, Named, Nothing, PERFORM, Part, QUERY, QUERY_IMPORT,
    START_UPLOAD, Started, State, SystemQuery, Told, UPLOAD_PART,
};
use super::wire::{
    access::Access,
    http::Reply,
    keyed_client::{KeyedClient, Posted},
    refusal::Refusal,
    retry::RetryPolicy,
};
use crate::{
    budget::MemoryBudget,
    error::{Error, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::Monitor,
};

/// The least that a part but the last has, bytes.
const PART: u64 = 5 << 20;
/// Parts of an upload, at most.
const PARTS: u64 = 9_999;
/// How often the state of an import is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What an import does with what the deployment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// It is refused if one of its tables has documents.
    RequireEmpty,
    /// It adds documents. Convex refuses an `_id` that the table has or had.
    Append,
    /// It replaces the tables of the ZIP, and leaves others alone.
    Replace,
    /// It replaces the tables of the ZIP, and empties or deletes every other one.
    ReplaceAll,
}

impl ImportMode {
    /// As Convex spells it.
    fn as_str(self) -> &'static str {
        match self {
            Self::RequireEmpty => "requireEmpty",
            Self::Append => "append",
            Self::Replace => "replace",
            Self::ReplaceAll => "replaceAll",
        }
    }
}

/// An import of a deployment.
#[derive(Debug, Clone)]
pub struct ImportId(Named);

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportState {
    /// The deployment reads the ZIP.
    Uploaded,
    /// It asks whether to go on, and says what the import will do.
    WaitingForConfirmation(String),
    /// It writes documents, and says how far it is.
    InProgress(String),
    /// It has written so many documents.
    Completed(u64),
    /// It was refused or cancelled, for this reason.
    Failed(String),
}

impl ImportState {
    /// Whether it does not go on by itself.
    pub fn is_stable(&self) -> bool {
        !matches!(self, Self::Uploaded | Self::InProgress(_))
    }
}

/// Imports into one deployment. The deploy key never leaves it but to that deployment.
pub struct Importer {
    client: KeyedClient,
}

impl Importer {
    /// Of the deployment that `access` opens. The key must allow writing data.
    ///
    /// # Errors
    /// Usage, if the system's certificates cannot be used.
    pub fn new(access: Access, budget: MemoryBudget, retry: RetryPolicy, monitor: Arc<dyn Monitor>) -> Result<Self> {
        Ok(Self { client: KeyedClient::new(access, budget, retry, monitor)? })
    }

    /// Which deployment it is.
    ///
    /// # Errors
    /// As asking it has them.
    pub async fn identity(&self) -> Result<DeploymentIdentity> {
        self.client.identity().await
    }

    /// Whether an import is being performed already.
    ///
    /// # Errors
    /// As asking the deployment has them.
    pub async fn is_busy(&self) -> Result<bool> {
        let all: Vec<Told> = self.query(LIST_IMPORTS, Nothing {}).await?;
        Ok(all.iter().any(|told| matches!(told.state, State::InProgress { .. })))
    }

    /// Uploads a ZIP in parts, one held in memory at a time. Nothing is written to tables before [`perform`](Self::perform). `tell`
    /// hears of the bytes that have arrived.
    ///
    /// # Errors
    /// Resource, if the file cannot be read; as asking the deployment has them.
    pub async fn upload(&self, zip: &mut File, mode: ImportMode, mut tell: impl FnMut(u64)) -> Result<ImportId> {
        let unreadable = |e| Error::resource("cannot read the ZIP").with_source(e);
        let size = zip.metadata().await.map_err(unreadable)?.len();
        let part_size = PART.max(size.div_ceil(PARTS));
        let started: Started = self.post(START_UPLOAD, &(), Posted::empty()).await?;
        let (mut part_tokens, mut sent) = (Vec::new(), 0);
        while sent < size {
            let mut part = Vec::with_capacity(part_size.min(size - sent) as usize);
            (&mut *zip).take(part_size).read_to_end(&mut part).await.map_err(unreadable)?;
            if part.is_empty() {
                return Err(Error::resource("the ZIP became shorter while it was uploaded"));
            }
            sent += part.len() as u64;
            let number = part_tokens.len() + 1;
            let wanted = Part { upload_token: &started.upload_token, part_number: number };
            let token = self.post(UPLOAD_PART, &wanted, Posted::bytes(Bytes::from(part))).await;
            part_tokens.push(token.context(|| format!("part {number}"))?);
            tell(sent);
        }
        let import = How { mode: mode.as_str(), format: "zip" };
        let finish = Finish { import, upload_token: &started.upload_token, part_tokens: &part_tokens };
        Ok(ImportId(self.post_json(FINISH_UPLOAD, &finish).await?))
    }

    /// How far it is.
    ///
    /// # Errors
    /// As asking the deployment has them.
    pub async fn state(&self, id: &ImportId) -> Result<ImportState> {
        let told: Told = self.query(QUERY_IMPORT, &id.0).await?;
        Ok(match told.state {
            State::Uploaded | State::Unknown => ImportState::Uploaded,
            State::WaitingForConfirmation { message_to_confirm } => {
                ImportState::WaitingForConfirmation(message_to_confirm.unwrap_or_default())
            }
            State::InProgress { progress_message } => ImportState::InProgress(progress_message.unwrap_or_default()),
            State::Completed { num_rows_written } => ImportState::Completed(num_rows_written.count()),
            State::Failed { error_message } => ImportState::Failed(error_message),
        })
    }

    /// Waits until it does not go on by itself: it asks to be performed, or has ended. `tell` hears of each other state.
    ///
    /// # Errors
    /// As asking the deployment has them.
    pub async fn wait(&self, id: &ImportId, mut tell: impl FnMut(&ImportState)) -> Result<ImportState> {
        loop {
            let state = self.state(id).await?;
            if state.is_stable() {
                return Ok(state);
            }
            tell(&state);
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Answers yes to its question. It goes on in the deployment, whatever becomes of this program.
    ///
    /// # Errors
    /// As asking the deployment has them.
    pub async fn perform(&self, id: &ImportId) -> Result<()> {
        match self.post_json::<serde_json::Value>(PERFORM, &id.0).await {
            Ok(_) => Ok(()),
            // An answer may have been lost, and the request made again.
            Err(error) => match self.state(id).await {
                Ok(ImportState::InProgress(_) | ImportState::Completed(_)) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Answers no, or ends it.
    ///
    /// # Errors
    /// As asking the deployment has them.
    pub async fn cancel(&self, id: &ImportId) -> Result<()> {
        self.post_json::<serde_json::Value>(CANCEL, &id.0).await.map(drop)
    }

    async fn query<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> Result<T> {
        let query = SystemQuery { path, format: "convex_encoded_json", args: [args] };
        match self.post_json(QUERY, &query).await.context(|| path)? {
            Answer::Success { value } => Ok(value),
            Answer::Error { error_message } => {
                Err(Error::protocol(format!("the deployment does not report its imports: {error_message}")))
            }
        }
    }

    async fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body).map_err(|e| Error::internal("cannot encode a request").with_source(e))?;
        self.post(path, &(), Posted::json(body.into())).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, query: &(impl Serialize + Sync), body: Posted) -> Result<T> {
        let context = || format!("POST {path}");
        match self.client.post(path, query, body).await.context(context)? {
            Reply::Answer(body) => {
                // Some answers are empty.
                let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
                let odd = |e| Error::protocol("the answer is not that of an import: report it").with_source(e);
                serde_json::from_slice(&body).map_err(odd).context(context)
            }
            Reply::Refused(refusal) => Err(refused(refusal)).context(context),
        }
    }
}

/// What a refusal means for an import.
fn refused(refusal: Refusal) -> Error {
    match refusal.status {
        400 => Error::usage(format!("the deployment refuses the import ({refusal})")),
        401 | 403 => Error::access(format!(
            "the deployment does not let this key import: create one that may write data (the deployment answered {refusal})"
        )),
        404 => Error::usage(format!(
            "there is no Convex deployment that accepts imports at this URL: check the URL (the answer was {refusal})"
        )),
        _ => refusal.into_error(),
    }
}
