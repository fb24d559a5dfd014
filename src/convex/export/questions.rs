//! What a run asks besides pages: how new the server is, and whether it is still the same database.

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
