//! A deployment in memory, for the demo and for tests: what it holds (`state`), how it is written to (`transaction`, `writer`,
//! `change`, `import`, `feed`), where its documents come from (`generate`, `load`, `snapshot_zip`, `demo`), and how it is served (`serve`, `data_sync`, `audit_log`).
//!
//! It is seeded: the same steps with the same clock give the same ids, the same tablets and the same log.

mod audit_log;
mod change;
mod data_sync;
mod demo;
mod deployment;
mod feed;
mod generate;
mod id;
mod import;
mod imported;
mod load;
mod serve;
mod snapshot_zip;
mod state;
mod transaction;
mod writer;

pub use self::{
    demo::demo_documents,
    deployment::SimulatedDeployment,
    feed::FedChange,
    import::{ImportMode, OpenImport},
    load::{Documents, read_directory},
    serve::{Contents, LaterContents, SimulateOptions, serve},
    snapshot_zip::read_snapshot_zip,
    transaction::OpenTransaction,
    writer::{SeededWriter, Write},
};
#[cfg(test)]
pub(super) use self::{id::table_number, state::Fields};
