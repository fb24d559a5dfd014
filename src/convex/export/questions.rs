//! What a run asks besides pages: how new the server is, and whether it is still the same database.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{
    Client, End, Parts,
    data_sync::CURSOR_FROM_DELTAS,
    protocol::{BAD_BODY, BAD_SNAPSHOT_CURSOR, LIST_SNAPSHOT, ListSnapshot},
    spooled::split_body,
};
use crate::{
    convex::{
        source::IdPage,
        span::DocumentSpan,
        wire::{body::Body, http::Reply},
    },
    document::{TableRef, Timestamp},
    error::{Error, Result},
    position::Phase,
};

impl Client {
    /// Whether its changes have those of components. Only servers whose changes have them know a route and a code, both of
    /// 2026-08-17. Asked once, and never for long: a server that does not answer proves nothing.
    pub(super) async fn ask_for_components(&self) -> Option<bool> {
        let refusal = self.http.probe_post(CURSOR_FROM_DELTAS).await?;
        match (refusal.status, refusal.code.as_str()) {
            (400, BAD_BODY) => return Some(true),
            (404 | 405, _) => {}
            _ => return None,
        }
        let nonsense = ListSnapshot { snapshot: None, cursor: Some("nonsense"), component: None, format: "json" };
        let refusal = self.http.probe(LIST_SNAPSHOT, &nonsense).await?;
        match (refusal.status, refusal.code.as_str()) {
            (400, BAD_SNAPSHOT_CURSOR) => Some(true),
            (400 | 500, _) => Some(false),
            _ => None,
        }
    }

    /// The next ids of a table as it was at `ts`: a page of ids and nothing else, by a selection. None of a server that knows no selection
    /// or does not heed it.
    pub(super) async fn ask_for_ids(
        &self,
        table: &TableRef,
        ts: Timestamp,
        cursor: Option<&str>,
    ) -> Result<Option<IdPage>> {
        let selection = only_ids(table);
        let format = self.dialect.encoding().as_str();
        let arguments = ListSnapshot { snapshot: Some(ts.0), cursor, component: None, format };
        let body = match self.http.page(LIST_SNAPSHOT, &arguments, Some(&selection)).await? {
            Reply::Answer(body) => body,
            Reply::Refused(refusal) if refusal.means_no_post() => return Ok(None),
            Reply::Refused(refusal) => return Err(refusal.into_error()),
        };
        let parts = split_body(&body, Phase::Snapshot).await?;
        if parts.tables.iter().any(|other| other != table) {
            return Ok(None);
        }
        let End::Snapshot { snapshot, cursor: next } = &parts.end else {
            return Err(Error::internal("a page of the wrong phase: report it"));
        };
        // Who does not read the body answers of another moment, or begins anew each time.
        if *snapshot != ts || (parts.more && next.as_deref() == cursor) {
            return Ok(None);
        }
        let next = next.clone().filter(|_| parts.more);
        Ok(Some(IdPage {
            ids: ids_of(&body, &parts)?,
            place: next.as_deref().and_then(place_of),
            next,
            bytes: body.len(),
        }))
    }
}

impl Client {
    /// The newest moment that the deployment can show. Of a server that heeds selections nothing else is sent.
    ///
    /// # Errors
    /// As of a page.
    pub(crate) async fn newest_moment(&self) -> Result<Timestamp> {
        let nothing = serde_json::json!({ "_other": "excluded" });
        let format = self.dialect.encoding().as_str();
        let arguments = ListSnapshot { snapshot: None, cursor: None, component: None, format };
        let body = match self.http.page(LIST_SNAPSHOT, &arguments, Some(&nothing)).await? {
            Reply::Answer(body) => body,
            Reply::Refused(refusal) if refusal.means_no_post() => {
                match self.http.page(LIST_SNAPSHOT, &arguments, None::<&()>).await? {
                    Reply::Answer(body) => body,
                    Reply::Refused(refusal) => return Err(refusal.into_error()),
                }
            }
            Reply::Refused(refusal) => return Err(refusal.into_error()),
        };
        match split_body(&body, Phase::Snapshot).await?.end {
            End::Snapshot { snapshot, .. } => Ok(snapshot),
            End::Delta { .. } => Err(Error::internal("a page of the wrong phase: report it")),
        }
    }

    /// The first documents of a table as it was at `ts`: no more than `most` bytes and a little, however large the page is. None of a server
    /// that knows no selection.
    ///
    /// # Errors
    /// As of a page.
    pub(crate) async fn beginning(&self, table: &TableRef, ts: Timestamp, most: u64) -> Result<Option<Beginning>> {
        let tables = serde_json::json!({ (table.name()): "included", "_other": "excluded" });
        let selection = serde_json::json!({ (table.component()): tables, "_other": "excluded" });
        let format = self.dialect.encoding().as_str();
        let arguments = ListSnapshot { snapshot: Some(ts.0), cursor: None, component: None, format };
        let started = Instant::now();
        let text = match self.http.beginning(LIST_SNAPSHOT, &arguments, &selection, most).await? {
            Reply::Answer(text) => text,
            Reply::Refused(refusal) if refusal.means_no_post() => return Ok(None),
            Reply::Refused(refusal) => return Err(refusal.into_error()),
        };
        // Each document says which table it is of, once. Inside of a text the quotes would be escaped.
        let documents = memchr::memmem::find_iter(&text, b"\"_table\":").count() as u64;
        Ok(Some(Beginning { documents, bytes: text.len() as u64, took: started.elapsed() }))
    }
}

/// The first bytes of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    /// Documents that begin in it.
    pub(crate) documents: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// How long it took, with the question.
    pub(crate) took: Duration,
}

/// Where the documents of a table lie, as a cursor inside of it says. It is opaque: whether two are the same is all that counts.
fn place_of(cursor: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Place {
        tablet: String,
    }
    serde_json::from_str(cursor).ok().map(|Place { tablet }| tablet)
}

/// Of all documents the ids of one table.
fn only_ids(table: &TableRef) -> serde_json::Value {
    let columns = serde_json::json!({ "_id": "included", "_other": "excluded" });
    let tables = serde_json::json!({ (table.name()): columns, "_other": "excluded" });
    serde_json::json!({ (table.component()): tables, "_other": "excluded" })
}

fn ids_of(body: &Body, parts: &Parts) -> Result<Vec<(String, Timestamp)>> {
    #[derive(Deserialize)]
    struct Id {
        #[serde(rename = "_id")]
        id: String,
    }
    let mut texts = body.texts()?;
    let id = |document: &DocumentSpan| {
        let text = texts.text(document)?;
        let odd = |e| Error::protocol("a document has no `_id`").with_source(e);
        serde_json::from_str(text).map(|Id { id }| (id, document.ts)).map_err(odd)
    };
    parts.documents.iter().map(id).collect()
}
