//! Archives a [Convex](https://convex.dev) deployment: a consistent snapshot, then every later change, as per-table
//! Parquet files on object storage, with one atomic commit log.

pub mod archive;
mod budget;
pub mod codec;
pub mod convex;
pub mod data;
mod document;
mod error;
mod identity;
pub mod layout;
mod monitor;
mod position;
pub mod schema;
pub mod server;
mod store;
pub mod sync;

pub use crate::{
    budget::MemoryBudget,
    document::{Encoding, Revision, TableRef, Timestamp, Value, is_document_id},
    error::{Error, ErrorKind, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::{Event, Monitor, NoMonitor},
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope, Walk},
};
