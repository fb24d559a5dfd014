//! Data Sync (`POST /api/v1/data/sync`) as a watchman: it names the tables that an import, a clear or a replacement touched, of which the
//! change log says nothing. **Never a source of rows**: around imports it hands out documents that never became true, and says that it
//! is up to date (seen on a running server, commit 94a42c3d).
//!
//! # What it can tell
//! - *Names.* A page carries `truncates`: a table that has begun to lie in another place since the cursor. So it is told at the
//!   beginning of an import already, whether that ends well or not. A name comes once, on any page.
//! - *A number.* `list_active_syncs` says over how many tables the sync goes. The hidden tables of imports count, also those that a
//!   failed import left behind, for the 14 days that they live. The list of tables does not have them.
//!
//! It says nothing of a table that is dropped, which the list of tables tells, and it knows nothing of what was before the cursor was made.
//!
//! # What it costs
//! A page carries the rows that changed too. So each table that is known is asked for by `_id` alone, the others as they come: their
//! rows are the first of a new table. Nothing of a row is kept.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::{
    document::{TableRef, Timestamp},
    error::Result,
};

/// What a deployment can be asked besides its log. None of it is a row.
#[async_trait]
pub trait Sentinel: Send + Sync {
    /// Begins to watch: the cursor behind `after`, a moment of the last days that has passed. None, if the deployment cannot do it.
    ///
    /// # Errors
    /// Unavailable, if it does not answer. Access, if the key may not ask.
    async fn begin(&self, after: Timestamp, known: &BTreeSet<TableRef>) -> Result<Option<String>>;

    /// What happened behind the cursor. Of the `known` tables only ids come.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    async fn ask(&self, cursor: &str, known: &BTreeSet<TableRef>) -> Result<SentinelAnswer>;

    /// Over how many tables the sync goes, hidden ones included. None, if the deployment does not list it.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    async fn total_tables(&self, sync: &str) -> Result<Option<u64>>;
}

/// An answer of the watchman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentinelAnswer {
    /// A page.
    Page(SentinelPage),
    /// The cursor is too old, or of another deployment: it has to begin anew, and nobody knows what happened meanwhile.
    Lost,
    /// The deployment has no Data Sync (any more).
    Absent,
}

/// A page of Data Sync, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelPage {
    /// Where to ask next.
    pub cursor: String,
    /// The sync, as [`Sentinel::total_tables`] takes it.
    pub sync: String,
    /// Tables that lie in another place since; of those that are selected.
    pub touched: BTreeSet<TableRef>,
    /// How far everything was told, nanoseconds; None, if more has to be asked for first.
    pub through: Option<Timestamp>,
}
