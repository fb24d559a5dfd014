//! [`DataSyncSource`]: what Data Sync needs of a deployment, beside what the other routes ask for.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    document::{Revision, Timestamp},
    error::Result,
    server::tablet::Tablet,
};

/// A deployment that has Data Sync. Documents of a tablet are asked for by
/// [`Deployment::documents`](crate::server::Deployment), hidden ones too.
pub trait DataSyncSource: Send + Sync {
    /// What its cursors are bound to. Other deployments have another.
    fn secret(&self) -> [u8; 16];

    /// A name for a sync that begins.
    fn new_sync_id(&self) -> String;

    /// The tablets that are there at the moment of the request, hidden ones among them.
    fn tablets(&self) -> Vec<Tablet>;

    /// The number of documents of a tablet.
    fn count(&self, tablet: &Tablet) -> usize;

    /// When the newest row of the change log was written.
    fn newest_write(&self) -> Timestamp;

    /// The rows of the change log strictly after `after`, up to and including `through`: at least `limit` where there are as
    /// many, always whole transactions. And whether there are more.
    fn tablet_log(&self, after: Timestamp, through: Timestamp, limit: usize) -> (Vec<TabletRow>, bool);

    /// How far each sync is, in any order.
    fn syncs(&self) -> Vec<SyncProgress>;

    /// Keeps how far a sync is, in the place of what was known of it: a row of a system table, now and then.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn note(&self, progress: SyncProgress) -> Result<()>;
}

/// One row of the change log, with the tablet that it belongs to.
#[derive(Debug, Clone)]
pub struct TabletRow {
    /// When it was written.
    pub ts: Timestamp,
    /// What was written; `None` for a row of a system table.
    pub change: Option<([u8; 16], Arc<Revision>)>,
}

/// How far a sync is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncProgress {
    /// The sync.
    pub sync_id: String,
    /// When its last page was asked for.
    pub updated: Timestamp,
    /// What that page was.
    pub status: SyncStatus,
}

/// What `list_active_syncs` tells of a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SyncStatus {
    /// Not every table was read through yet.
    Snapshotting {
        /// Tables that were.
        num_tables_synced: usize,
        /// Tables in all, hidden ones too.
        total_tables: usize,
        /// Component of the table that is read.
        current_component: String,
        /// The table that is read.
        current_table: String,
        /// Documents of it that were sent.
        num_documents_in_current_table: u64,
        /// Documents that it has.
        total_documents_in_current_table: usize,
        /// Values that were sent in all.
        num_documents_synced: u64,
        /// Documents of all tables.
        total_documents: usize,
    },
    /// Every table was read, and changes are left.
    Stale {
        /// Tables in all, hidden ones too.
        total_tables: usize,
        /// Values that were sent in all.
        num_documents_synced: u64,
        /// What was sent is the state at this moment.
        synced_ts: i64,
    },
    /// Nothing is left.
    UpToDate {
        /// Tables in all, hidden ones too.
        total_tables: usize,
        /// Values that were sent in all.
        num_documents_synced: u64,
        /// What was sent is the state at this moment.
        synced_ts: i64,
    },
}
