//! The seam between a deployment and a sync: what every protocol has to tell.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{audit_log::AuditLog, page::Page, sentinel::Sentinel};
use crate::{
    document::{TableRef, Timestamp},
    error::Result,
    identity::DeploymentIdentity,
    monitor::Finding,
    position::{Position, Scope},
    selection::Selection,
};

/// What a sync needs from a deployment.
#[async_trait]
pub trait Source: Send + Sync {
    /// Who the deployment is. Asked once, before the first page.
    async fn identity(&self) -> Result<DeploymentIdentity>;

    /// The tables of the deployment with what it says of their shapes. Advice only: it narrows what the documents show,
    /// and an answer without it is still a good answer.
    #[doc(hidden)]
    async fn shapes(&self) -> Result<Shapes>;

    /// The tables that the deployment has now, selected or not. None, if it does not tell all.
    ///
    /// # Errors
    /// As of a page.
    #[doc(hidden)]
    async fn tables(&self) -> Result<Option<BTreeSet<TableRef>>> {
        let shapes = self.shapes().await?;
        Ok(shapes.complete.then_some(shapes.listed))
    }

    /// The tables of which rows are sent; others may be left out without a word.
    fn selection(&self) -> Selection {
        Selection::default()
    }

    /// How far the deployment's clock was ahead of this machine's when it answered last, nanoseconds; None, if it does not tell.
    #[doc(hidden)]
    fn clock_offset(&self) -> Option<i64> {
        None
    }

    /// Whether the changes that it sends have those of tables in components. None, if that cannot be told: some servers leave
    /// them out without a word, and look like those where no component changes.
    #[doc(hidden)]
    async fn sends_components(&self) -> Option<bool> {
        None
    }

    /// Where a new snapshot begins: at the deployment's newest `_ts`.
    #[doc(hidden)]
    fn snapshot_start(&self) -> Position;

    /// Where a walk of these tables as they were at `ts` begins; it may bring others too. The deployment keeps old snapshots
    /// for some days only.
    #[doc(hidden)]
    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position;

    /// The next ids of a table as it was at `ts`, in the order in which a walk comes by them; from the beginning, or from the `next` of
    /// the page before. None, if that cannot be asked.
    ///
    /// # Errors
    /// As of a page.
    #[doc(hidden)]
    async fn ids(&self, table: &TableRef, ts: Timestamp, cursor: Option<&str>) -> Result<Option<IdPage>> {
        let _ = (table, ts, cursor);
        Ok(None)
    }

    /// Who watches what the deltas do not tell, if the protocol has somebody.
    #[doc(hidden)]
    fn sentinel(&self) -> Option<&dyn Sentinel> {
        None
    }

    /// Who tells what was done to whole tables, if the protocol has somebody. It explains what was found without it.
    #[doc(hidden)]
    fn audit_log(&self) -> Option<&dyn AuditLog> {
        None
    }

    /// Where the deltas after `ts` begin. The source alone knows: it may have to ask the deployment.
    ///
    /// # Errors
    /// Window, if the deployment no longer keeps them all; else as of a page.
    #[doc(hidden)]
    async fn deltas_after(&self, ts: Timestamp) -> Result<Position>;

    /// One complete page; see the module's contract.
    #[doc(hidden)]
    async fn page(&self, at: &Position) -> Result<Page>;
}

/// Some ids of a table at a moment. A page may be empty with more to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPage {
    /// `_id` and `_ts` of documents.
    pub ids: Vec<(String, Timestamp)>,
    /// Where to go on; None at the end.
    pub next: Option<String>,
    /// Where the documents lie, if the page tells: a table that was replaced lies in another place.
    pub place: Option<String>,
    /// Bytes of the answer: what Convex bills as egress.
    pub bytes: u64,
}

/// Which tables a walk is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotScope {
    /// Those that are named, or that are not.
    Tables(Scope),
    /// Every table of these components, at least one: tables that nobody has named yet too.
    Components(Vec<String>),
}

/// What the deployment says of its tables, as JSON text, because only `schema` knows what it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Per table the JSON schema of its documents, as `/api/json_schemas` spells it. `None`: the deployment lists the
    /// table but tells no shape.
    pub tables: BTreeMap<TableRef, Option<String>>,
    /// The tables that the deployment lists, selected or not: a source that leaves some out of `tables` names them here.
    pub listed: BTreeSet<TableRef>,
    /// Whether the list of tables is complete: false where the deployment could not tell it, or mixed all components into
    /// one list. (One odd table makes `/api/json_schemas` fail for all; the list then comes, without shapes, from
    /// `/api/get_table_column_names`, which does not.)
    pub complete: bool,
    /// What the person should know, one sentence each.
    pub findings: Vec<Finding>,
}
