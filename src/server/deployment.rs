//! [`Deployment`]: what the routes need to know of a deployment, and what it answers with.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    audit_source::AuditLogSource, imports::target::TakesImports, requested::RequestedTables, shape::SampledShape,
    sync_source::DataSyncSource, tablet::Tablet,
};
use crate::{
    document::{Revision, TableRef, Timestamp},
    error::Result,
};

/// What the routes need to know of a deployment.
#[async_trait]
pub trait Deployment: Send + Sync + 'static {
    /// The deployment's name, as `/instance_name` tells it.
    fn name(&self) -> String;

    /// The newest moment whose state is settled: nothing is ever written at or before it afterwards. Never goes back.
    async fn now(&self) -> Result<Timestamp>;

    /// What its clock says, if it has one of its own: the `Date` of its answers.
    fn clock(&self) -> Option<Timestamp> {
        None
    }

    /// What takes imports into it, if it takes any; by default it does not.
    #[doc(hidden)]
    fn imports(&self) -> Option<&dyn TakesImports> {
        None
    }

    /// Whether it can tell the state of the tables `asked` for at `at`; by default it can.
    ///
    /// # Errors
    /// Window, if it does not have that: the request is refused as one for too old a snapshot.
    #[doc(hidden)]
    fn covers_state(&self, asked: &RequestedTables<'_>, at: Timestamp) -> Result<()> {
        let _ = (asked, at);
        Ok(())
    }

    /// Whether it can tell all changes of the tables `asked` for after `after`, up to and including `through`; by default
    /// it can.
    ///
    /// # Errors
    /// Window, if it does not have that: the request is refused as one for changes that are no longer kept.
    #[doc(hidden)]
    fn covers_log(&self, asked: &RequestedTables<'_>, after: Timestamp, through: Timestamp) -> Result<()> {
        let _ = (asked, after, through);
        Ok(())
    }

    /// The tables as they were at `at`, in any order.
    #[doc(hidden)]
    async fn tables(&self, at: Timestamp) -> Result<Vec<Tablet>>;

    /// Up to `limit` live documents of a table as they were at `at`, in ascending order of `_id`, strictly after `after`.
    /// Fewer than `limit` mean that there are no more.
    #[doc(hidden)]
    async fn documents(
        &self,
        tablet: &Tablet,
        at: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Revision>>>;

    /// The rows of the change log strictly after `after`, up to and including `through`, in `_ts` order: at least `limit`
    /// of them where there are as many, and always whole transactions.
    #[doc(hidden)]
    async fn log(&self, after: Timestamp, through: Timestamp, limit: usize) -> Result<LogRows>;

    /// The shapes of the documents that live now, per table, in the order in which they shall be listed.
    #[doc(hidden)]
    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>>;

    /// What Data Sync asks of it, if it has that; by default it has not.
    #[doc(hidden)]
    fn data_sync(&self) -> Option<&dyn DataSyncSource> {
        None
    }

    /// Its audit log, if it keeps one; by default it does not.
    #[doc(hidden)]
    fn audit_log(&self) -> Option<&dyn AuditLogSource> {
        None
    }
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
