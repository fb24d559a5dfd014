//! The outside world: a deployment's streaming-export API, seen as pages.
//!
//! # The contract of [`Source::page`]
//! - A returned [`Page`] is **complete**: the end of the answer was seen, it was checked to be a page of this protocol
//!   (an object with the members of the endpoint, every document an object with `_table`, `_ts` and `_id`), and nothing of
//!   it needs the network any more: a large one lies in a temporary file without a name. The values inside the documents are *not* parsed: that is the codec's work.
//! - Asking again for the same position is always allowed and gives the same documents (in the delta phase: a prefix of
//!   the same log, possibly longer). So a retry is always of a whole page.
//! - In the delta phase a page never splits a transaction: everything with `_ts` at or below [`Page::through`] has been
//!   delivered once `through` is reached. An empty page with more to come is normal, and moves the position.
//! - Rows of tables that are not selected are not in it, whatever the deployment sent.
//! - Whether a server sends the changes of components cannot be asked: `/instance_version` is the number of a release, or
//!   `0.0.0` where the server was built from source, and neither tells a date. Only a row of one that has come tells.
//! - Errors have the kind that says what to do; after `Unavailable` the retries have been made already.

mod access;
mod asker;
mod body;
mod client;
mod dialect;
mod head;
mod http;
mod keys;
mod protocol;
#[cfg(test)]
mod recording;
mod refusal;
mod retry;
mod scan;
mod selecting;
mod split;
mod tables;
mod tokens;

use std::{collections::BTreeMap, ops::Range};

use async_trait::async_trait;

pub use self::{
    access::{Access, AccessOptions, DeployKey},
    body::{Body, Texts},
    client::{Client, ClientOptions, Traffic},
    retry::RetryPolicy,
    split::{End, Parts, split},
};
use crate::{
    document::{Encoding, TableRef, Timestamp},
    error::Result,
    identity::DeploymentIdentity,
    monitor::Finding,
    position::{Phase, Position},
    selection::Selection,
};

/// What a sync needs from a deployment.
#[async_trait]
pub trait Source: Send + Sync {
    /// Who the deployment is. Asked once, before the first page.
    async fn identity(&self) -> Result<DeploymentIdentity>;

    /// The tables of the deployment with what it says of their shapes. Advice only: it narrows what the documents show,
    /// and an answer without it is still a good answer.
    async fn shapes(&self) -> Result<Shapes>;

    /// The tables of which rows are sent; others may be left out without a word.
    fn selection(&self) -> Selection {
        Selection::default()
    }

    /// Where a new snapshot begins: at the deployment's newest `_ts`.
    fn snapshot_start(&self) -> Position;

    /// Where a walk of these components as they were at `ts` begins; of everything, if none is named. The deployment keeps
    /// old snapshots for some days only.
    fn snapshot_of(&self, components: &[String], ts: Timestamp) -> Position;

    /// Where the deltas after `ts` begin.
    fn deltas_after(&self, ts: Timestamp) -> Position;

    /// One complete page; see the module's contract.
    async fn page(&self, at: &Position) -> Result<Page>;
}

/// What the deployment says of its tables, as JSON text, because only `schema` knows what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Per table the JSON schema of its documents, as `/api/json_schemas` spells it. `None`: the deployment lists the
    /// table but tells no shape.
    pub tables: BTreeMap<TableRef, Option<String>>,
    /// Whether the list of tables is complete: false where the deployment could not tell it, or mixed all components into
    /// one list. (One odd table makes `/api/json_schemas` fail for all; the list then comes, without shapes, from
    /// `/api/get_table_column_names`, which does not.)
    pub complete: bool,
    /// What the person should know.
    pub findings: Vec<Finding>,
}

/// One complete answer of the source: documents still as JSON text, routed to their tables.
///
/// Guarantees: every span lies inside the body and holds one JSON object, as text; every `table` is an index into
/// `tables`; no `_ts` is beyond `through`; in the delta phase the spans are in `_ts` order, and beyond the `_ts` asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// The phase that it was asked for in.
    pub phase: Phase,
    /// How values are spelled.
    pub encoding: Encoding,
    /// The whole answer.
    pub body: Body,
    /// The tables that documents of this page belong to, each once.
    pub tables: Vec<TableRef>,
    /// The documents, in the order of the answer.
    pub documents: Vec<DocumentSpan>,
    /// Where to ask next. In the snapshot `None` means that the walk is complete.
    pub next: Option<Position>,
    /// Whether the deployment has more waiting in this phase.
    pub more: bool,
    /// The `_ts` reached: S in the snapshot, the response cursor in deltas.
    pub through: Timestamp,
}

/// Where one document stands in the body of its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSpan {
    /// Index into [`Page::tables`].
    pub table: u32,
    /// `_ts`, when this revision was written.
    pub ts: Timestamp,
    /// `_deleted`: a tombstone, of which only `_id` is known.
    pub deleted: bool,
    /// Byte range of the document in [`Page::body`], braces included.
    pub range: Range<usize>,
}

impl Page {
    /// Reads the documents of this page.
    ///
    /// # Errors
    /// Protocol, if the text is not UTF-8, which [`split()`] had refused.
    pub fn texts(&self) -> Result<Texts<'_>> {
        self.body.texts()
    }
}
