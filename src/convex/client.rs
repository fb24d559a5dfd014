//! The streaming-export API as a [`Source`], over HTTP.
//!
//! # How it asks
//! Unfiltered: a filter saves the server nothing, and its spelling has changed twice in a way that silently returned
//! everything or nothing. Only a walk of some components names them, one after another, to save the egress of the rest; and
//! checks what comes. One chain of requests; the server holds the state of exactly one snapshot walk.
//!
//! # Positions
//! Snapshot: `{"snapshot":1795434090113780153,"cursor":"…"}`, both absent at the start of a new one; a cursor never goes
//! without its snapshot, since the server would take another one in silence. `components` are those that are still to
//! be walked, the current one first. Deltas: the cursor, `1795434104928097578`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use reqwest::{
    Method, Request,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Page, Shapes, Source,
    access::{Access, DeployKey, is_deployment_name},
    body::Body,
    http::{Http, Reply},
    keys::{Keys, Renewal},
    protocol::{
        DOCUMENT_DELTAS, DocumentDeltas, INSTANCE_NAME, JSON_SCHEMAS, JsonSchemas, LIST_SNAPSHOT, ListSnapshot,
        TABLE_COLUMN_NAMES, TableColumnNames,
    },
    refusal::Refusal,
    retry::RetryPolicy,
    split::{End, Parts},
};
use crate::{
    budget::MemoryBudget,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, ErrorKind, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::{Event, Monitor},
    position::{Phase, Position},
};

/// How a [`Client`] asks.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How values are spelled. Every server has [`Encoding::ConvexEncodedJson`].
    pub encoding: Encoding,
    /// Memory of the run: a page that is larger than its share lies in a temporary file.
    pub budget: MemoryBudget,
    /// When to give up.
    pub retry: RetryPolicy,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { encoding: Encoding::ConvexEncodedJson, budget: MemoryBudget::default(), retry: RetryPolicy::default() }
    }
}

/// What a [`Client`] has asked and got so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests made, repeated ones included.
    pub requests: u64,
    /// Bytes of all answers, uncompressed: what Convex bills as egress.
    pub response_bytes: u64,
}

/// A deployment, over HTTP.
pub struct Client {
    access: Access,
    keys: Arc<Keys>,
    /// Who the deployment said it is: another key must open the same one.
    identity: Mutex<Option<DeploymentIdentity>>,
    http: Http,
    encoding: Encoding,
    monitor: Arc<dyn Monitor>,
    /// Largest answer to what is advice only, bytes.
    shapes: u64,
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
}

impl SnapshotToken {
    fn position(&self) -> Position {
        // A struct of an integer and a text can always be spelled.
        Position::new(Phase::Snapshot, serde_json::to_string(self).unwrap_or_default())
    }
}

impl Client {
    /// A client; nothing is asked yet. `monitor` hears of retries and warnings.
    pub fn new(access: Access, options: ClientOptions, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let ClientOptions { encoding, budget, retry } = options;
        let keys = Arc::new(access.keys());
        let loopback = access.is_loopback();
        let http =
            Http::new("the deployment", Arc::clone(&keys), retry, budget.page(), loopback, Arc::clone(&monitor))?;
        Ok(Self { access, keys, identity: Mutex::default(), http, encoding, monitor, shapes: budget.shapes() })
    }

    /// What has been asked and got so far.
    pub fn traffic(&self) -> Traffic {
        Traffic { requests: self.http.requests(), response_bytes: self.http.response_bytes() }
    }

    fn request(&self, key: &DeployKey, path: &str, query: &impl Serialize) -> Result<Request> {
        let request = self
            .http
            .client()
            .request(Method::GET, self.access.url(path))
            .query(query)
            .header(AUTHORIZATION, key.header())
            .header("Convex-Client", HeaderValue::from_static(concat!("convex-archiver-", env!("CARGO_PKG_VERSION"))));
        request.build().map_err(|e| {
            Error::internal(format!("cannot spell a request for {path}: report it")).with_source(e.without_url())
        })
    }

    /// Asks for what one can do without.
    async fn advice(&self, path: &str, query: &(impl Serialize + Sync)) -> Result<Reply> {
        loop {
            let key = self.keys.current();
            match self.http.send_for_advice(&self.request(&key, path, query)?, self.shapes).await? {
                Reply::Refused(refusal) => {
                    if let Some(refusal) = self.refused(&key, refusal)? {
                        return Ok(Reply::Refused(refusal));
                    }
                }
                reply @ Reply::Answer(_) => return Ok(reply),
            }
        }
    }

    /// The refusal, unless another key has taken the place of the refused one.
    fn refused(&self, key: &DeployKey, refusal: Refusal) -> Result<Option<Refusal>> {
        if refusal.status != 401 {
            return Ok(Some(refusal));
        }
        match self.keys.renew(key, |other| self.opens_the_same(other))? {
            Renewal::Same(tried) => Ok(Some(refusal.tried(tried))),
            Renewal::Renewed(told) => {
                told.iter().for_each(|message| self.monitor.report(Event::Warning { message }));
                Ok(None)
            }
        }
    }

    /// # Errors
    /// Usage, if the key names another deployment.
    fn opens_the_same(&self, key: &DeployKey) -> Result<()> {
        let now = self.access.with_key(key.clone())?.identity();
        let told = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let told = told.unwrap_or_else(|| self.access.identity());
        if told.is_same(&now) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "it is a key of the deployment {now}, but this run archives {told}: give one of that"
        )))
    }

    /// A page's body and what is in it.
    async fn split_page(&self, path: &str, query: &(impl Serialize + Sync), phase: Phase) -> Result<(Body, Parts)> {
        loop {
            let key = self.keys.current();
            match self.http.send_for_page(&self.request(&key, path, query)?).await? {
                Reply::Refused(refusal) => {
                    if let Some(refusal) = self.refused(&key, refusal)? {
                        return Err(refusal.into_error());
                    }
                }
                Reply::Answer(body) => {
                    return match body.split(phase).await {
                        Ok(parts) => Ok((body, parts)),
                        Err(e) if body.held().is_some_and(|text| is_html(text)) => Err(html().with_source(e)),
                        Err(e) => Err(e),
                    };
                }
            }
        }
    }

    async fn snapshot_page(&self, token: &str) -> Result<Page> {
        let asked: SnapshotToken = serde_json::from_str(token)
            .map_err(|e| Error::internal("this is no position of a snapshot: report it").with_source(e))?;
        if asked.cursor.is_some() && asked.snapshot.is_none() {
            return Err(Error::internal("a snapshot's cursor without its snapshot would begin another one: report it"));
        }
        let component = asked.components.first().map(String::as_str);
        let query = ListSnapshot {
            snapshot: asked.snapshot,
            cursor: asked.cursor.as_deref(),
            component,
            format: self.encoding.as_str(),
        };
        let (body, mut parts) = self.split_page(LIST_SNAPSHOT, &query, Phase::Snapshot).await?;
        let End::Snapshot { snapshot, cursor } = &parts.end else {
            return Err(Error::internal("a page of the wrong phase: report it"));
        };
        if let Some(asked) = asked.snapshot.map(Timestamp).filter(|asked| asked != snapshot) {
            return Err(Error::protocol(format!(
                "the answer belongs to another snapshot: asked for {asked}, got {snapshot}"
            )));
        }
        if parts.more && *cursor == asked.cursor {
            return Err(Error::protocol("the walk does not move: the answer's cursor is the one that was asked with"));
        }
        if let Some(other) = parts.tables.iter().find(|table| component.is_some_and(|c| c != table.component())) {
            return Err(Error::protocol(format!(
                "asked for the component {} alone, the deployment sent table {other}: does it know components?",
                component.unwrap_or_default()
            )));
        }
        let (snapshot, cursor) = (Some(snapshot.0), cursor.clone());
        let next = match asked.components.get(1..) {
            _ if parts.more => Some(SnapshotToken { snapshot, cursor, components: asked.components }),
            Some([]) | None => None,
            Some(rest) => Some(SnapshotToken { snapshot, cursor: None, components: rest.to_vec() }),
        };
        parts.more = next.is_some();
        let next = next.map(|token| token.position());
        Ok(self.page_of(Phase::Snapshot, body, parts, next))
    }

    async fn delta_page(&self, token: &str) -> Result<Page> {
        let asked = token.parse().ok().filter(|cursor| *cursor >= 0).map(Timestamp);
        let asked = asked.ok_or_else(|| Error::internal("this is no position of the deltas: report it"))?;
        let query = DocumentDeltas { cursor: asked.0, format: self.encoding.as_str() };
        let (body, parts) = self.split_page(DOCUMENT_DELTAS, &query, Phase::Delta).await?;
        let reached = parts.through();
        if reached < asked {
            return Err(Error::protocol(format!(
                "the change log goes backwards: asked for changes after {asked}, the deployment is at {reached}. Was it restored \
                 from a backup, or is it another deployment? Nothing was committed"
            )));
        }
        if parts.more && reached == asked {
            return Err(Error::protocol(format!(
                "the change log does not move: there is more after {asked}, but no page of it"
            )));
        }
        // They ascend, so the first one tells.
        if let Some(first) = parts.documents.first().filter(|first| first.ts <= asked) {
            return Err(Error::protocol(format!(
                "the change at byte {} was made at {}, but changes after {asked} were asked for",
                first.range.start, first.ts
            )));
        }
        Ok(self.page_of(Phase::Delta, body, parts, Some(self.deltas_after(reached))))
    }

    fn page_of(&self, phase: Phase, body: Body, parts: Parts, next: Option<Position>) -> Page {
        let through = parts.through();
        let Parts { tables, documents, more, .. } = parts;
        Page { phase, encoding: self.encoding, body, tables, documents, next, more, through }
    }

    /// The tables without their shapes, for deployments that cannot tell those.
    ///
    /// `doubt`: what made one doubt that this is a deployment; the error, unless it answers now.
    async fn table_names(&self, mut shapes: Shapes, doubt: Option<Error>) -> Result<Shapes> {
        let names: Option<TableColumnNames> = match self.advice(TABLE_COLUMN_NAMES, &()).await {
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
        for (component, tables) in names.into_iter().flat_map(|names| names.by_component) {
            for table in tables {
                add_table(&mut shapes, &component, table.name, None);
            }
        }
        Ok(shapes)
    }
}

fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

fn html() -> Error {
    Error::protocol("the answer is an HTML page: is this the deployment's URL?")
}

fn add_table(shapes: &mut Shapes, component: &str, name: String, shape: Option<String>) {
    match TableRef::new(component, name) {
        Ok(table) => drop(shapes.tables.insert(table, shape)),
        Err(e) => {
            shapes.complete = false;
            shapes.warnings.push(format!("{JSON_SCHEMAS} lists a table that cannot exist: {e}"));
        }
    }
}

/// The answer of `json_schemas`: component → table → schema, or from servers that know no `byComponent` table → schema.
fn parse_schemas(body: &[u8]) -> serde_json::Result<Shapes> {
    type Members<'a> = BTreeMap<String, &'a RawValue>;
    /// `type` of a schema is text; a table named `type` has an object there.
    #[derive(Deserialize)]
    struct Schema {
        #[serde(rename = "type")]
        _type: String,
    }
    let members: Members<'_> = serde_json::from_slice(body)?;
    let is_schema = |text: &&RawValue| serde_json::from_str::<Schema>(text.get()).is_ok();
    let flat = !members.is_empty() && members.values().all(is_schema);
    let mut shapes = Shapes { complete: !flat, ..Shapes::default() };
    for (name, text) in members {
        if flat {
            add_table(&mut shapes, "", name, Some(text.get().to_owned()));
        } else {
            let tables: Members<'_> = serde_json::from_str(text.get())?;
            for (table, schema) in tables {
                add_table(&mut shapes, &name, table, Some(schema.get().to_owned()));
            }
        }
    }
    Ok(shapes)
}

#[async_trait]
impl Source for Client {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        let mut identity = self.access.identity();
        if identity.name.is_none()
            && let Reply::Answer(body) =
                self.advice(INSTANCE_NAME, &()).await.context(|| format!("GET {INSTANCE_NAME}"))?
        {
            // Where there is no such route, some servers answer 200 and a web page.
            let name = String::from_utf8_lossy(&body).trim().trim_matches('"').to_owned();
            identity.name = Some(name).filter(|name| is_deployment_name(name));
        }
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Ok(identity)
    }

    async fn shapes(&self) -> Result<Shapes> {
        let query = JsonSchemas { delta_schema: false, by_component: true, format: self.encoding.as_str() };
        let name = || format!("GET {JSON_SCHEMAS}");
        // What lasts after the retries, or makes no sense, is no reason to fail: this is advice.
        let (why, doubt) = match self.advice(JSON_SCHEMAS, &query).await {
            Ok(Reply::Answer(body)) => match parse_schemas(&body) {
                Ok(shapes) => return Ok(shapes),
                Err(e) => {
                    let doubt = is_html(&body).then(|| html().with_source(e).context(name()));
                    ("its answer is not understood".to_owned(), doubt)
                }
            },
            Ok(Reply::Refused(refusal)) if refusal.may_pass() || matches!(refusal.status, 400 | 404 | 405) => {
                let why = format!("{} {}", refusal.status, refusal.code).trim().to_owned();
                (why, (refusal.status == 404).then(|| refusal.into_error().context(name())))
            }
            Ok(Reply::Refused(refusal)) => return Err(refusal.into_error()).context(name),
            Err(e) if e.kind() == ErrorKind::Resource => ("its answer is too large".to_owned(), None),
            Err(e) => return Err(e).context(name),
        };
        let warning = format!(
            "the deployment cannot tell the shapes of its tables ({why}; one odd table makes {JSON_SCHEMAS} fail for all): columns \
             come from the documents alone"
        );
        let shapes = Shapes { warnings: vec![warning], ..Shapes::default() };
        self.table_names(shapes, doubt).await.context(|| format!("GET {TABLE_COLUMN_NAMES}"))
    }

    fn snapshot_start(&self) -> Position {
        SnapshotToken::default().position()
    }

    fn snapshot_of(&self, components: &[String], ts: Timestamp) -> Position {
        SnapshotToken { snapshot: Some(ts.0), cursor: None, components: components.to_vec() }.position()
    }

    fn deltas_after(&self, ts: Timestamp) -> Position {
        Position::new(Phase::Delta, ts.0.to_string())
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        match at.phase() {
            Phase::Snapshot => self.snapshot_page(at.token()).await.context(|| format!("GET {LIST_SNAPSHOT}")),
            Phase::Delta => self.delta_page(at.token()).await.context(|| format!("GET {DOCUMENT_DELTAS}")),
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
