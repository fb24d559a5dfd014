//! The streaming-export API as a [`Source`], over HTTP.
//!
//! # How it asks
//! For everything: unfiltered, by GET. For a [`Selection`]: by POST with a `selection` object, the one spelling whose meaning
//! never changed since there is one (August 2025); older servers send everything then, which is noticed. `table_name` and
//! `tableName` are never sent: that name changed twice, in a way that silently returned everything or nothing. A walk of some
//! components names them, one after another, to save the egress of the rest. In any case what comes is checked.
//! One chain of requests; the server holds the state of exactly one snapshot walk.
//!
//! # Positions
//! Snapshot: `{"snapshot":1795434090113780153,"cursor":"…"}`, both absent at the start of a new one; a cursor never goes
//! without its snapshot, since the server would take another one in silence. `components` are those that are still to
//! be walked, the current one first, or `tables` those that are walked alone; `selection` names the words in which the cursor was got, and it goes on in them or in
//! none: `everything` says that the component is not named any more either. Deltas: the cursor, `1795434104928097578`.

mod audit_log;
mod data_sync;
mod dialect;
mod front;
mod protocol;
mod questions;
mod selecting;
mod shapes;
mod split;
mod spooled;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use derive_setters::Setters;
use serde::{Deserialize, Serialize};

pub use self::split::{End, Parts, split};
use self::{
    dialect::{Dialect, Lesson},
    protocol::{
        DOCUMENT_DELTAS, DocumentDeltas, JSON_SCHEMAS, JsonSchemas, LIST_SNAPSHOT, ListSnapshot, TABLE_COLUMN_NAMES,
        TableColumnNames,
    },
    selecting::{AskedPart, SelectionCompat, SelectionRequest},
    shapes::{add_names, parse_schemas},
    spooled::split_body,
};
use super::{
    audit_log::AuditLog,
    page::Page,
    sentinel::Sentinel,
    source::{IdPage, Shapes, SnapshotScope, Source},
    wire::{
        access::Access,
        body::Body,
        http::{Reply, Traffic},
        keyed_client::KeyedClient,
        retry::RetryPolicy,
    },
};
use crate::{
    budget::MemoryBudget,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, ErrorKind, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::{Finding, Monitor},
    position::{Phase, Position, Scope},
    selection::Selection,
};

/// How a [`Client`] asks.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How values are asked for. Where a deployment does not know it, the next one of `convex_encoded_json`, `export_json`,
    /// `json` is, with a warning; pages say how they are spelled.
    pub encoding: Encoding,
    /// The tables that are asked for. Rows of others are dropped before anybody sees them, should the deployment send them.
    pub selection: Selection,
    /// Memory of the run: a page that is larger than its share lies in a temporary file.
    pub budget: MemoryBudget,
    /// When to give up.
    pub retry: RetryPolicy,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            encoding: Encoding::ConvexEncodedJson,
            selection: Selection::default(),
            budget: MemoryBudget::default(),
            retry: RetryPolicy::default(),
        }
    }
}

/// A deployment, over HTTP.
pub struct Client {
    http: KeyedClient,
    dialect: Dialect,
    selection: SelectionRequest,
}

/// What came of asking for a page.
struct Answer {
    body: Body,
    parts: Parts,
    encoding: Encoding,
    /// The digest of the selection that was told.
    selection: Option<String>,
}

/// What a snapshot position's token holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SnapshotToken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    components: Vec<String>,
    /// Only these; empty for all that are selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<TableRef>,
    /// The digest of the selection with which the cursor was got; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selection: Option<String>,
    /// The cursor may stand in a table of another component: without its selection the walk goes on for everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    everything: bool,
}

impl SnapshotToken {
    fn position(&self) -> Position {
        // A struct of an integer and a text can always be spelled.
        Position::new(Phase::Snapshot, serde_json::to_string(self).unwrap_or_default())
    }
}

impl Client {
    /// A client; nothing is asked yet. `monitor` hears of retries and findings.
    pub fn new(access: Access, options: ClientOptions, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let ClientOptions { encoding, selection, budget, retry } = options;
        let http = KeyedClient::new(access, budget, retry, monitor)?;
        Ok(Self { http, dialect: Dialect::new(encoding), selection: SelectionRequest::new(selection) })
    }

    /// What has been asked and got so far.
    pub fn traffic(&self) -> Traffic {
        self.http.traffic()
    }

    /// A page's body and what is in it, asked for in words that the deployment understands: those of `spell`, in an encoding
    /// and for a request with or without a selection, of a part of what is selected.
    async fn ask<T: Serialize + Send + Sync>(
        &self,
        path: &str,
        phase: Phase,
        part: AskedPart<'_>,
        compat: SelectionCompat<'_>,
        spell: impl Fn(Encoding, bool) -> T + Send + Sync,
    ) -> Result<Answer> {
        loop {
            let encoding = self.dialect.encoding();
            let tree = if self.dialect.selects() { self.selection.tree(part) } else { None };
            let tree = tree.filter(|tree| compat.allow(tree));
            let arguments = spell(encoding, tree.is_some());
            let body = match self.http.page(path, &arguments, tree.as_deref()).await? {
                Reply::Answer(body) => body,
                Reply::Refused(refusal) => match self.dialect.learn(&refusal, encoding, tree.is_some()) {
                    Lesson::None => return Err(refusal.into_error()),
                    Lesson::AskAgain(told) => {
                        told.iter().for_each(|finding| self.http.tell(finding));
                        continue;
                    }
                },
            };
            let parts = match split_body(&body, phase).await {
                Ok(parts) => parts,
                Err(e) if body.held().is_some_and(|text| is_html(text)) => return Err(html().with_source(e)),
                Err(e) => return Err(e),
            };
            if tree.as_ref().is_some_and(|tree| parts.tables.iter().any(|table| !tree.asks_for(table))) {
                let told = self.dialect.selection_was_ignored();
                told.iter().for_each(|finding| self.http.tell(finding));
                continue;
            }
            return Ok(Answer { body, parts, encoding, selection: tree.map(|tree| tree.digest()) });
        }
    }

    async fn snapshot_page(&self, token: &str) -> Result<Page> {
        let asked: SnapshotToken = serde_json::from_str(token)
            .map_err(|e| Error::internal("this is not a position in a snapshot: report it").with_source(e))?;
        if asked.cursor.is_some() && asked.snapshot.is_none() {
            return Err(Error::internal("a snapshot's cursor without its snapshot would begin another one: report it"));
        }
        let component = asked.components.first().map(String::as_str);
        // Who does not heed a selection has sent everything so far, although nothing else may have come yet: named now, the component
        // would end the walk in silence where the cursor stands in another one.
        let everything = asked.cursor.is_some() && (asked.everything || asked.selection.is_some());
        let spell = |encoding: Encoding, selects: bool| ListSnapshot {
            snapshot: asked.snapshot,
            cursor: asked.cursor.as_deref(),
            // A selection names it already.
            component: component.filter(|_| !selects && !everything),
            format: encoding.as_str(),
        };
        let compat =
            if asked.cursor.is_some() { SelectionCompat::As(asked.selection.as_deref()) } else { SelectionCompat::Any };
        let part = match component {
            Some(component) => AskedPart::Component(component),
            None if asked.tables.is_empty() => AskedPart::All,
            None => AskedPart::Tables(&asked.tables),
        };
        let mut answer = self.ask(LIST_SNAPSHOT, Phase::Snapshot, part, compat, spell).await?;
        let Answer { parts, selection, .. } = &mut answer;
        let selection = selection.take();
        let everything = everything && selection.is_none();
        if everything && asked.selection.is_some() && self.dialect.selects() {
            self.http.tell(&Finding::SnapshotOfAllTables);
        }
        let End::Snapshot { snapshot, cursor } = &parts.end else {
            return Err(Error::internal("a page of the wrong phase: report it"));
        };
        if let Some(asked) = asked.snapshot.map(Timestamp).filter(|asked| asked != snapshot) {
            return Err(Error::protocol(format!(
                "the answer belongs to another snapshot: asked for {asked}, got {snapshot}"
            )));
        }
        if parts.more && *cursor == asked.cursor {
            return Err(Error::protocol(
                "the snapshot makes no progress: the answer has the same cursor as the request",
            ));
        }
        let (snapshot, cursor) = (Some(snapshot.0), cursor.clone());
        if let Some(component) = component {
            match parts.tables.iter().find(|table| table.component() != component) {
                Some(other) if !everything => {
                    return Err(Error::protocol(format!(
                        "the deployment was asked only for the component {component}, but sent table {other}: does it \
                         support components?"
                    )));
                }
                Some(_) => parts.retain(|table| table.component() == component),
                None => {}
            }
        }
        let next = match asked.components.get(1..) {
            _ if parts.more => Some(SnapshotToken { snapshot, cursor, selection, everything, ..asked }),
            Some([]) | None => None,
            Some(rest) => Some(SnapshotToken { snapshot, components: rest.to_vec(), ..SnapshotToken::default() }),
        };
        parts.more = next.is_some();
        let next = next.map(|token| token.position());
        Ok(self.page_of(Phase::Snapshot, answer, next))
    }

    async fn delta_page(&self, token: &str) -> Result<Page> {
        let asked = token.parse().ok().filter(|cursor| *cursor >= 0).map(Timestamp);
        let asked = asked.ok_or_else(|| Error::internal("this is not a position in the deltas: report it"))?;
        let spell = |encoding: Encoding, _| DocumentDeltas { cursor: asked.0, format: encoding.as_str() };
        let answer = self.ask(DOCUMENT_DELTAS, Phase::Delta, AskedPart::All, SelectionCompat::Any, spell).await?;
        let parts = &answer.parts;
        let reached = parts.through();
        if reached < asked {
            return Err(Error::protocol(format!(
                "the change log goes backwards: changes after {asked} were requested, but the deployment is at \
                 {reached}. Was it restored \
                 from a backup, or is it another deployment? Nothing was committed"
            )));
        }
        if parts.more && reached == asked {
            return Err(Error::protocol(format!(
                "the change log makes no progress: there is more after {asked}, but the page has none of it"
            )));
        }
        // They ascend, so the first one tells.
        if let Some(first) = parts.documents.first().filter(|first| first.ts <= asked) {
            return Err(Error::protocol(format!(
                "the change at byte {} was made at {}, but changes after {asked} were requested",
                first.range.start, first.ts
            )));
        }
        Ok(self.page_of(Phase::Delta, answer, Some(deltas_after(reached))))
    }

    /// The page, without the rows that nobody selected.
    fn page_of(&self, phase: Phase, answer: Answer, next: Option<Position>) -> Page {
        let Answer { body, mut parts, encoding, .. } = answer;
        parts.retain(|table| self.selection.contains(table));
        let through = Some(parts.through());
        let Parts { tables, documents, more, .. } = parts;
        Page { phase, encoding, body, tables, documents, next, more, through }
    }

    /// The shapes of all tables, selected or not.
    async fn all_shapes(&self) -> Result<Shapes> {
        let name = || format!("GET {JSON_SCHEMAS}");
        // What lasts after the retries, or makes no sense, is no reason to fail: this is advice.
        let (why, doubt) = loop {
            let encoding = self.dialect.encoding();
            let query = JsonSchemas { delta_schema: false, by_component: true, format: encoding.as_str() };
            break match self.http.advice(JSON_SCHEMAS, &query).await {
                Ok(Reply::Answer(body)) => match parse_schemas(&body) {
                    Ok(shapes) => return Ok(shapes),
                    Err(e) => {
                        let doubt = is_html(&body).then(|| html().with_source(e).context(name()));
                        ("cannot understand its answer".to_owned(), doubt)
                    }
                },
                Ok(Reply::Refused(refusal)) => {
                    if let Lesson::AskAgain(told) = self.dialect.learn(&refusal, encoding, false) {
                        told.iter().for_each(|finding| self.http.tell(finding));
                        continue;
                    }
                    if !(refusal.may_pass() || matches!(refusal.status, 400 | 404 | 405)) {
                        return Err(refusal.into_error()).context(name);
                    }
                    let why = format!("{} {}", refusal.status, refusal.code).trim().to_owned();
                    (why, (refusal.status == 404).then(|| refusal.into_error().context(name())))
                }
                Err(e) if e.kind() == ErrorKind::Resource => ("its answer is too large".to_owned(), None),
                Err(e) => return Err(e).context(name),
            };
        };
        let shapes = Shapes { findings: vec![Finding::ShapesUnknown { why }], ..Shapes::default() };
        self.table_names(shapes, doubt).await.context(|| format!("GET {TABLE_COLUMN_NAMES}"))
    }

    /// The tables without their shapes, for deployments that cannot tell those.
    ///
    /// `doubt`: what made one doubt that this is a deployment; the error, unless it answers now.
    async fn table_names(&self, mut shapes: Shapes, doubt: Option<Error>) -> Result<Shapes> {
        let names: Option<TableColumnNames> = match self.http.advice(TABLE_COLUMN_NAMES, &()).await {
            Ok(Reply::Answer(body)) => serde_json::from_slice(&body).ok(),
            Ok(Reply::Refused(refusal)) if matches!(refusal.status, 401 | 403) => return Err(refusal.into_error()),
            Ok(Reply::Refused(_)) => None,
            Err(e) if e.kind() == ErrorKind::Resource => None,
            Err(e) => return Err(e),
        };
        if let (None, Some(doubt)) = (&names, doubt) {
            return Err(doubt);
        }
        shapes.complete = names.is_some();
        names.into_iter().for_each(|names| add_names(&mut shapes, names));
        Ok(shapes)
    }
}

fn deltas_after(ts: Timestamp) -> Position {
    Position::new(Phase::Delta, ts.0.to_string())
}

fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

fn html() -> Error {
    Error::protocol("the answer is an HTML page: is this the deployment's URL?")
}

#[async_trait]
impl Source for Client {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.http.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        let mut shapes = self.all_shapes().await?;
        shapes.listed = shapes.tables.keys().cloned().collect();
        self.selection.learn(shapes.listed.iter().cloned());
        shapes.tables.retain(|table, _| self.selection.contains(table));
        // They tell what the values are, not what they come as.
        if self.dialect.encoding() == Encoding::Json {
            shapes.tables.values_mut().for_each(|shape| *shape = None);
        }
        Ok(shapes)
    }

    async fn tables(&self) -> Result<Option<BTreeSet<TableRef>>> {
        let named = self.table_names(Shapes::default(), None).await.context(|| format!("GET {TABLE_COLUMN_NAMES}"))?;
        // A deployment without that route may have the other.
        let shapes = if named.complete { named } else { self.all_shapes().await? };
        Ok(shapes.complete.then(|| shapes.tables.into_keys().collect()))
    }

    fn selection(&self) -> Selection {
        self.selection.selection().clone()
    }

    fn snapshot_start(&self) -> Position {
        SnapshotToken::default().position()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        let (components, tables) = match scope {
            SnapshotScope::Components(components) => (components.clone(), Vec::new()),
            SnapshotScope::Tables(Scope::Tables(tables)) => (Vec::new(), tables.clone()),
            SnapshotScope::Tables(Scope::All | Scope::Except(_)) => (Vec::new(), Vec::new()),
        };
        SnapshotToken { snapshot: Some(ts.0), components, tables, ..SnapshotToken::default() }.position()
    }

    async fn ids(&self, table: &TableRef, ts: Timestamp, cursor: Option<&str>) -> Result<Option<IdPage>> {
        self.ask_for_ids(table, ts, cursor).await.context(|| format!("POST {LIST_SNAPSHOT}"))
    }

    fn sentinel(&self) -> Option<&dyn Sentinel> {
        Some(self)
    }

    fn audit_log(&self) -> Option<&dyn AuditLog> {
        Some(self)
    }

    fn clock_offset(&self) -> Option<i64> {
        self.http.clock_offset()
    }

    async fn sends_components(&self) -> Option<bool> {
        self.ask_for_components().await
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        Ok(deltas_after(ts))
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        let (path, page) = match at.phase() {
            Phase::Snapshot => (LIST_SNAPSHOT, self.snapshot_page(at.token()).await),
            Phase::Delta => (DOCUMENT_DELTAS, self.delta_page(at.token()).await),
        };
        let method = if self.dialect.selects() && self.selection.selects() { "POST" } else { "GET" };
        page.context(|| format!("{method} {path}"))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
