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
//! - How far a page of deltas reaches may be told by a later one only: `through` is `None` until then, and the encoding stays
//!   the same. Such pages are asked for again if the run ends before. A snapshot's S is known from its first page on, since
//!   each row of a base's files names it.
//! - What the source finds odd, and does not know to be true (a table that may have been replaced, say), it tells its monitor:
//!   it never sends a tombstone for it.
//! - Rows of tables that are not selected are not in it, whatever the deployment sent.
//! - Whether a server sends the changes of components cannot be asked: `/instance_version` is the number of a release, or
//!   `0.0.0` where the server was built from source, and neither tells a date. Only a row of one that has come tells.
//! - Errors have the kind that says what to do; after `Unavailable` the retries have been made already.

mod audit_log;
pub(crate) mod export;
mod import;
mod page;
mod price;
#[cfg(test)]
mod recording;
mod scan;
mod sentinel;
mod source;
mod span;
mod tokens;
mod wire;

pub(crate) use self::price::dollars;
pub use self::{
    export::{Client, ClientOptions},
    import::{ImportId, ImportMode, ImportState, Importer},
    source::Source,
    wire::{
        access::{Access, AccessOptions},
        http::Traffic,
        keys::DeployKey,
        retry::RetryPolicy,
    },
};

// What the program, the tests and the benches of this project see beyond that. There is no promise at all.
#[doc(hidden)]
pub use self::{
    audit_log::{AuditLog, AuditLogEvent},
    page::Page,
    sentinel::{Sentinel, SentinelAnswer, SentinelPage},
    source::{IdPage, Shapes, SnapshotScope},
    span::DocumentSpan,
    wire::body::{Body, Texts},
};
