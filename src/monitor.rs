//! How a verb tells what it is doing: typed events to whoever listens. The library writes no log of its own.

mod counts;
mod finding;

use std::{fmt, sync::Arc};

use crate::{
    document::{TableRef, Timestamp},
    error::Error,
    position::Phase,
};

pub use self::{
    counts::{FindingCounter, FindingCounts},
    finding::Finding,
};

/// Something worth telling while a verb runs. New kinds may be added: match with a wildcard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A complete page has arrived and been split.
    Page {
        /// The phase it belongs to.
        phase: Phase,
        /// Documents and tombstones in it; 0 is normal.
        documents: u64,
        /// Bytes of its body, uncompressed: what Convex bills as egress.
        bytes: u64,
        /// The `_ts` reached: S in the snapshot, the cursor in deltas; absent as long as the source does not know it.
        through: Option<Timestamp>,
    },
    /// A snapshot of tables that no base covers up to the cursor begins: after a gap, after a snapshot that grew too old, or
    /// since the changes of components are known to arrive.
    NewBase {
        /// Its S.
        ts: Timestamp,
        /// Whether it walks the tables of components only.
        components: bool,
    },
    /// A table is compared with the deployment.
    Comparing {
        /// The table.
        table: &'a TableRef,
    },
    /// A table differs from the deployment, and is fetched anew.
    Refetching {
        /// The table.
        table: &'a TableRef,
        /// As of this moment.
        ts: Timestamp,
    },
    /// The snapshot has come to this table.
    Table {
        /// The table whose rows begin.
        table: &'a TableRef,
        /// Tables of the deployment, where json_schemas told.
        tables: Option<u64>,
        /// Which one this is, from 1.
        number: u64,
    },
    /// A data file is complete in the store, but does not count before its commit.
    File {
        /// Its table.
        table: &'a TableRef,
        /// Its path inside the archive.
        path: &'a str,
        /// Rows, tombstones included.
        rows: u64,
        /// Stored bytes.
        bytes: u64,
    },
    /// A commit counts from now on.
    Commit {
        /// Its number.
        version: u64,
        /// Files that it added.
        files: u64,
        /// Rows that it added, tombstones included.
        rows: u64,
        /// The delta cursor after it.
        through: Option<Timestamp>,
    },
    /// A data file was copied to another archive, and does not count there before the copy is complete.
    Copied {
        /// Its table.
        table: &'a TableRef,
        /// Its path inside the archive.
        path: &'a str,
        /// Stored bytes.
        bytes: u64,
    },
    /// The past is being read: the documents of this table come next.
    Reading {
        /// The table.
        table: &'a TableRef,
        /// Which one this is, from 1.
        number: u64,
        /// How many there are.
        tables: u64,
    },
    /// Documents of the past have been read and handed on.
    Documents {
        /// How many.
        documents: u64,
        /// Bytes of their text, or of their columns.
        bytes: u64,
    },
    /// A request to the deployment failed and will be made again.
    Retry {
        /// What failed.
        error: &'a Error,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Wait before the next, milliseconds.
        after_ms: u64,
    },
    /// The deployment's audit log could not be read, which might have explained why tables differed. Most deployments and keys have none to
    /// read.
    NotExplained {
        /// Why.
        error: &'a Error,
    },
    /// Something that the person should know, though the verb goes on.
    Finding(&'a Finding),
}

/// Listens to events. Called from the thread that does the work: be quick.
pub trait Monitor: Send + Sync {
    /// One event.
    fn report(&self, event: Event<'_>);
}

impl fmt::Debug for dyn Monitor + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Monitor")
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMonitor;

impl<M: Monitor + ?Sized> Monitor for &M {
    fn report(&self, event: Event<'_>) {
        (**self).report(event);
    }
}

impl<M: Monitor + ?Sized> Monitor for Arc<M> {
    fn report(&self, event: Event<'_>) {
        (**self).report(event);
    }
}

impl Monitor for NoMonitor {
    fn report(&self, _event: Event<'_>) {}
}
