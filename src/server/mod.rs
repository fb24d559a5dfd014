//! The same HTTP API from our side: what a [`Deployment`] holds, served as Convex serves it.
//!
//! [`router`] answers the streaming-export routes exactly as a real deployment was seen to (commit 94a42c3d of its open
//! backend): page limits, empty pages, cursors, the three encodings, the error answers. It knows nothing of where the
//! documents come from. [`SimulatedDeployment`] holds them in memory, for the demo and for tests; [`ArchivedDeployment`]
//! reads them back from an archive.
//!
//! Law: *a client of `router(d)` sees what `d` holds*; the conformance suite in `tests/it/conformance.rs` holds it for
//! every implementation.

mod access;
mod archived;
mod asked;
mod deltas;
mod documents;
mod era;
mod fault;
mod generate;
mod id;
mod json_schemas;
mod load;
mod page;
mod params;
#[cfg(test)]
mod recorded;
mod refusal;
mod routes;
mod selection;
mod serve;
mod shape;
mod simulate;
mod snapshot;
mod snapshot_zip;
mod transaction;
mod writer;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    archived::ArchivedDeployment,
    asked::Asked,
    documents::demo_documents,
    era::{Components, Posts, Schemas, TableParameter},
    fault::Fault,
    load::{Documents, read_directory},
    routes::router,
    serve::{Contents, SimulateOptions, Then, answer, serve},
    shape::{FieldShape, ObjectShape, SampledShape},
    simulate::SimulatedDeployment,
    snapshot_zip::read_snapshot_zip,
    transaction::Transaction,
    writer::{SeededWriter, Write},
};
use crate::{
    document::{Encoding, Revision, TableRef, Timestamp},
    error::Result,
};

/// What the routes need to know of a deployment.
#[async_trait]
pub trait Deployment: Send + Sync + 'static {
    /// The deployment's name, as `/instance_name` tells it.
    fn name(&self) -> String;

    /// The newest moment whose state is settled: nothing is ever written at or before it afterwards. Never goes back.
    async fn now(&self) -> Result<Timestamp>;

    /// Whether it can tell the state of the tables `asked` for at `at`; by default it can.
    ///
    /// # Errors
    /// Window, if it does not have that: the request is refused as one for too old a snapshot.
    fn covers_state(&self, asked: &Asked<'_>, at: Timestamp) -> Result<()> {
        let _ = (asked, at);
        Ok(())
    }

    /// Whether it can tell all changes of the tables `asked` for after `after`, up to and including `through`; by default
    /// it can.
    ///
    /// # Errors
    /// Window, if it does not have that: the request is refused as one for changes that are no longer kept.
    fn covers_log(&self, asked: &Asked<'_>, after: Timestamp, through: Timestamp) -> Result<()> {
        let _ = (asked, after, through);
        Ok(())
    }

    /// The tables as they were at `at`, in any order.
    async fn tables(&self, at: Timestamp) -> Result<Vec<Tablet>>;

    /// Up to `limit` live documents of a table as they were at `at`, in ascending order of `_id`, strictly after `after`.
    /// Fewer than `limit` mean that there are no more.
    async fn documents(
        &self,
        tablet: &Tablet,
        at: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Revision>>>;

    /// The rows of the change log strictly after `after`, up to and including `through`, in `_ts` order: at least `limit`
    /// of them where there are as many, and always whole transactions.
    async fn log(&self, after: Timestamp, through: Timestamp, limit: usize) -> Result<LogRows>;

    /// The shapes of the documents that live now, per table, in the order in which they shall be listed.
    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>>;
}

/// One table in its storage. A table that was dropped and created again, or replaced by an import, is another tablet with
/// the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablet {
    /// The tablet's own id; a snapshot walks the tablets in this order.
    pub id: [u8; 16],
    /// The table's name.
    pub table: Arc<TableRef>,
}

/// A part of the change log.
#[derive(Debug, Clone, Default)]
pub struct LogRows {
    /// The rows.
    pub rows: Vec<LogRow>,
    /// Whether there are more after them, up to the bound that was asked for.
    pub more: bool,
}

/// One row of the change log.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// When it was written.
    pub ts: Timestamp,
    /// What was written; `None` where the row counts but is not shown: it belongs to a system table or to a table that has
    /// been dropped since.
    pub change: Option<(Arc<TableRef>, Arc<Revision>)>,
}

/// How a router answers, as plain data.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// The deploy key that it takes.
    pub key: String,
    /// Keys that take its place: the one of a pair counts from the request of that number on (0 is the first that is asked with
    /// a key), and no other one does any more.
    pub rotations: Vec<(u64, String)>,
    /// Documents a page of list_snapshot. Real deployments: 1,024 (knob `SNAPSHOT_LIST_LIMIT`).
    pub snapshot_page: usize,
    /// Log rows *read* a page of document_deltas. Real deployments: 128 (knob `DOCUMENT_DELTAS_LIMIT`).
    pub delta_page: usize,
    /// How old a snapshot may be. Real deployments: 5 days (knob `LIST_SNAPSHOT_MAX_AGE_SECS`).
    pub snapshot_window: Duration,
    /// How old a delta cursor may be. Real deployments: 14 days (knob `DOCUMENT_RETENTION_DELAY`).
    pub deltas_window: Duration,
    /// Waited before each answer, to stand for a network.
    pub latency: Duration,
    /// What `/api/json_schemas` is like.
    pub schemas: Schemas,
    /// Whether the first request for schemas or column names is answered with 503 `TableSummariesUnavailable`, as
    /// deployments do for a while after a restart.
    pub summaries_unavailable_once: bool,
    /// What is known of components.
    pub components: Components,
    /// The spellings of `format` that are understood; others are refused with `BadFormat`.
    pub formats: Vec<Encoding>,
    /// How the parameter that names a table is spelled.
    pub table_parameter: TableParameter,
    /// What becomes of a request for a page by POST.
    pub posts: Posts,
    /// Whether there is `/instance_name`.
    pub instance_name: bool,
    /// What `/instance_version` tells, if there is one: the number of a release, `0.0.0` where it was built from source.
    pub instance_version: Option<String>,
    /// Whether a bad cursor of list_snapshot has a code of its own. Otherwise it is a 500.
    pub bad_cursor_code: bool,
    /// Answers that are given instead of the true ones.
    pub faults: Vec<Fault>,
}

impl Default for RouterOptions {
    /// As a real deployment, with the key `simulated|key`.
    fn default() -> Self {
        Self {
            key: "simulated|key".to_owned(),
            rotations: Vec::new(),
            snapshot_page: 1024,
            delta_page: 128,
            snapshot_window: Duration::from_secs(5 * 24 * 3600),
            deltas_window: Duration::from_secs(14 * 24 * 3600),
            latency: Duration::ZERO,
            schemas: Schemas::Inferred,
            summaries_unavailable_once: false,
            components: Components::Everywhere,
            formats: vec![Encoding::ConvexEncodedJson, Encoding::ExportJson, Encoding::Json],
            table_parameter: TableParameter::Both,
            posts: Posts::Select,
            instance_name: true,
            instance_version: Some("0.0.0".to_owned()),
            bad_cursor_code: true,
            faults: Vec::new(),
        }
    }
}
