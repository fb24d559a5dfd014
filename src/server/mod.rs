//! The same HTTP API from our side: what a [`Deployment`] holds, served as Convex serves it.
//!
//! [`router`] answers the streaming-export routes exactly as a real deployment was seen to (commit 94a42c3d of its open
//! backend): page limits, empty pages, cursors, the three encodings, the error answers. It knows nothing of where the
//! documents come from. [`SimulatedDeployment`] (`simulate/`) holds them in memory, for the demo and for tests;
//! [`ArchivedDeployment`] (`archived/`) reads them back from an archive.
//!
//! Law: *a client of `router(d)` sees what `d` holds*; the conformance suite in `tests/it/conformance.rs` holds it for
//! every implementation.

mod access;
mod archived;
mod audit_log;
mod audit_source;
mod data_sync;
mod deltas;
mod deployment;
mod era;
mod fault;
mod imports;
mod json_schemas;
mod options;
mod page;
mod params;
#[cfg(test)]
mod recorded;
mod refusal;
mod requested;
mod routes;
mod selection;
mod shape;
mod simulate;
mod snapshot;
mod sync_source;
mod tablet;

pub use self::{
    archived::ArchivedDeployment,
    deployment::Deployment,
    era::JsonSchemas,
    options::RouterOptions,
    routes::{answer, router},
    simulate::{
        Contents, Documents, ImportMode, LaterContents, OpenImport, OpenTransaction, SimulateOptions,
        SimulatedDeployment, demo_documents, serve,
    },
};

// What the program, the tests and the benches of this project see beyond that. There is no promise at all.
#[doc(hidden)]
pub use self::{
    audit_source::{Actor, AuditLogEntry, AuditLogSource},
    deployment::{LogRow, LogRows},
    era::{AuditLogs, Components, Posts, TableParameter},
    fault::Fault,
    imports::target::{PreparedImport, TakesImports},
    requested::RequestedTables,
    shape::{FieldShape, ObjectShape, SampledShape},
    simulate::{FedChange, SeededWriter, Write, read_directory, read_snapshot_zip},
    sync_source::{DataSyncSource, SyncProgress, SyncStatus, TabletRow},
    tablet::Tablet,
};
