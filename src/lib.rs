//! Archives a [Convex](https://convex.dev) deployment: a consistent snapshot, then every later change, as per-table
//! Parquet files on object storage, with one atomic commit log. The program `convex-archiver` is a thin shell around this
//! library.
//!
//! # What an archive promises
//! - **One `_ts` over all tables**: what it shows is the deployment as it was at one moment.
//! - **Lossless**: int64, NaN payloads, −0.0, bytes, absent against null come back as they were.
//! - **Whole and once**: every revision after the snapshot is in it exactly once, whatever crashed in between; what it
//!   cannot have is recorded as a gap.
//! - **Queryable as it lies there**: typed columns that DuckDB, Spark, polars and pyarrow read.
//! - **Bounded**: one number limits the memory, whatever the size of tables and history.
//!
//! # The walk
//! 1. [`convex::Client`] asks the deployment for a page and splits it into documents, without parsing their values.
//! 2. [`sync`] gathers them per table; a table's first documents and the deployment's own hints fix the columns
//!    (`schema`).
//! 3. `codec::TableDecoder` puts each document into those columns, and what has no place there into `_rescued`.
//! 4. `data::FileWriter` writes batches as Parquet into the object store, hashing what it uploads.
//! 5. [`archive::Archive::commit`] puts one numbered object if absent. It names the files of all tables and the position to
//!    go on from: the only moment at which anything becomes true.
//!
//! A crash before step 5 leaves objects that nobody names; a crash after it leaves nothing to repair.
//!
//! # The way back
//! [`read::State`] gives the documents of a table at any moment that the archive covers, in the order of their ids; what
//! looks at the past stands on it or beside it in [`read`].
//!
//! # Example
//! A simulated deployment, archived into memory. For your own: its URL and a deploy key that may view data.
//!
//! ```
//! use std::sync::Arc;
//! use convex_archiver::{NoMonitor, Timestamp, archive::Archive, convex::{Access, Client, ClientOptions, DeployKey, Source},
//!     server::{RouterOptions, SimulatedDeployment, demo_documents, router}, sync::{SyncOptions, sync}};
//!
//! # #[tokio::main(flavor = "multi_thread")]
//! # async fn main() -> convex_archiver::Result<()> {
//! let deployment = Arc::new(SimulatedDeployment::new("happy-otter-123", 1));
//! deployment.insert_all(demo_documents(0)?)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
//! let url = format!("http://{}", listener.local_addr().expect("a bound port"));
//! let app = router(deployment, RouterOptions::default().key("happy-otter-123|k".into()));
//! tokio::spawn(async move { axum::serve(listener, app).await });
//!
//! let access = Access::new(&url, DeployKey::new("happy-otter-123|k")?, false)?;
//! let client = Arc::new(Client::new(access, ClientOptions::default(), Arc::new(NoMonitor))?);
//! let store = Arc::new(object_store::memory::InMemory::new());
//! let archive = Archive::create(store, "memory:///a", client.identity().await?, Timestamp(0)).await?;
//! let report = sync(client, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await?;
//! assert!(report.caught_up);
//! assert_eq!(report.documents, 1581);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test takes objects away to see what is said of it"))]

pub mod archive;
pub mod audit;
mod budget;
mod certificates;
pub mod check;
mod child;
mod codec;
pub mod compact;
mod content;
pub mod convex;
pub mod copy;
mod data;
mod document;
mod error;
pub mod forget;
mod identity;
mod layout;
pub mod lease;
mod monitor;
mod own_base;
pub mod ping;
mod position;
pub mod read;
pub mod repair;
mod rows;
pub mod runs;
mod schema;
mod selection;
pub mod server;
mod store;
mod sum;
pub mod sync;
mod temporary;
pub mod vacuum;
pub mod verify;

pub use crate::{
    budget::MemoryBudget,
    codec::{RowReader, write_value},
    content::DigestShare,
    data::{DataFile, FileReader, WantedRows},
    document::{Encoding, Revision, TableRef, Timestamp, Value},
    error::{Error, ErrorKind, Result, ResultExt},
    identity::DeploymentIdentity,
    monitor::{Event, Finding, FindingCounter, FindingCounts, Monitor, NoMonitor},
    position::{Phase, Scope},
    schema::{ColumnType, Element, Field, TableSchema},
    selection::Selection,
};

// What the program, the tests and the benches of this project see beyond that. There is no promise at all.
#[doc(hidden)]
pub use crate::{
    child::without_keys,
    content::ContentDigest,
    data::{CreationTime, Footer},
    document::{is_document_id, table_number},
    position::{BaseId, DeltaCursor, Position, Progress, Walk},
    sum::{Sum, Sum256},
};

/// More of that, from modules that have no other names outside. Neither is a feature: `cargo test` works as it is, and a feature
/// that a dependency turns on would be on for everybody.
#[doc(hidden)]
pub mod testing {
    pub mod codec {
        pub use crate::codec::*;
    }
    pub mod convex {
        pub use crate::convex::export::{End, Parts, split};
    }
    pub mod data {
        pub use crate::data::*;
    }
    pub mod layout {
        pub use crate::layout::*;
    }
    pub mod schema {
        pub use crate::schema::*;
    }
}
