//! `archive.json`: what makes a prefix an archive. Written once, if absent, and never again.

use bytes::Bytes;
use object_store::ObjectStore;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    document::Timestamp,
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    monitor::{Event, Finding, Monitor, NoMonitor},
    store::{self, PutNew},
};

use super::{commit::digest, needs::PROGRAM};

/// The format that this program writes, and the newest that it reads. 0: no promise for ever yet.
pub const FORMAT: u32 = 0;

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Number of the format. A program refuses numbers above its own.
    pub format: u32,
    /// 32 random hexadecimal digits: two archives are never one, whatever their URLs.
    pub archive: String,
    /// The deployment that it belongs to, unless a later commit states another (a deployment that moved).
    pub deployment: DeploymentIdentity,
    /// When it was created, nanoseconds since 1970.
    pub created_at: Timestamp,
    /// The program that created it, `convex-archiver/0.1.0`.
    pub program: String,
}

/// A header as it is stored: commit 1 chains to the digest.
#[derive(Debug, Clone)]
pub(super) struct StoredHeader {
    pub(super) header: Header,
    pub(super) digest: String,
}

impl Header {
    fn new(deployment: DeploymentIdentity, now: Timestamp) -> Self {
        let archive = format!("{:032x}", rand::rng().random::<u128>());
        Self { format: FORMAT, archive, deployment, created_at: now, program: PROGRAM.into() }
    }

    fn to_bytes(&self) -> Result<Bytes> {
        super::commit::json_line(self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |e| {
            Error::corrupt(format!("{} is not the header of an archive; restore it from a copy", layout::HEADER))
                .with_source(e)
        };
        // The number first: a newer format may spell everything else differently.
        let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            let program = PROGRAM;
            return Err(Error::unsupported(format!(
                "the archive has format {format}, but {program} reads only up to {FORMAT}: upgrade convex-archiver"
            )));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

/// Reads the header; `None` if there is no archive.
pub(super) async fn read(store: &dyn ObjectStore) -> Result<Option<StoredHeader>> {
    let Some(bytes) = store::get(store, layout::HEADER).await? else { return Ok(None) };
    Ok(Some(StoredHeader { header: Header::from_bytes(&bytes)?, digest: digest(&bytes) }))
}

/// Creates the header; `None` if there already is one. Afterwards it is known that the store honours put-if-absent.
///
/// # Errors
/// Usage, if the store overwrites where it should refuse: then nothing is left behind. Corrupt, if there are commits
/// whose header is lost: another one would not belong to them, and be in the way of the copy that does.
pub(super) async fn create(
    store: &dyn ObjectStore,
    deployment: DeploymentIdentity,
    now: Timestamp,
) -> Result<Option<StoredHeader>> {
    // In this order: another writer may create both at this very moment.
    if store::get(store, &layout::commit(1)).await?.is_some() && store::get(store, layout::HEADER).await?.is_none() {
        return Err(lost());
    }
    let header = Header::new(deployment, now);
    let bytes = header.to_bytes()?;
    if store::put_new(store, layout::HEADER, bytes.clone()).await? == PutNew::Exists {
        // Perhaps it was this very put, and only its answer was lost: the random id tells.
        let found = store::get(store, layout::HEADER).await?;
        if found.as_ref() != Some(&bytes) {
            return Ok(None);
        }
    }
    probe(store, layout::HEADER, &NoMonitor).await?;
    Ok(Some(StoredHeader { header, digest: digest(&bytes) }))
}

/// There are commits, and no header.
fn lost() -> Error {
    Error::corrupt(format!(
        "{} is missing, although there are commits. If this is an unfinished copy, run copy again; otherwise restore \
         the object from a copy",
        layout::HEADER
    ))
}

/// Reads the header of the archive at `url`.
///
/// # Errors
/// NotFound, if there is nothing of an archive. Corrupt, if there are commits and no header.
pub(super) async fn find(store: &dyn ObjectStore, url: &str) -> Result<StoredHeader> {
    if let Some(header) = read(store).await? {
        return Ok(header);
    }
    if !store::exists(store, &layout::commit(1)).await? {
        return Err(Error::not_found(format!("there is no archive at {url}; check the URL")));
    }
    // Another writer may have created both since we looked: the header comes first.
    read(store).await?.ok_or_else(|| lost().context(url))
}

/// Puts an object that was put if absent once more, with different bytes: unless that is refused, the store is not one to hold an
/// archive, and the object is deleted. Only for the header of an archive without commits, and for what is put first of a copy.
///
/// # Errors
/// Usage, if the store overwrites.
pub(crate) async fn probe(store: &dyn ObjectStore, path: &str, monitor: &dyn Monitor) -> Result<()> {
    let other = Bytes::from_static(b"{\"probe\":\"this must have been refused\"}\n");
    let failed = match store::put_new(store, path, other.clone()).await {
        Ok(PutNew::Exists) => return Ok(()),
        Ok(PutNew::Created) => Error::usage(
            "the store overwrote an object that it was told to create only if absent, so two writers could destroy each \
             other's commits: an archive cannot live there; choose a store with conditional puts (If-None-Match)",
        ),
        Err(e) => {
            let failed = e.context("testing whether the store refuses to overwrite");
            // Unless this put came through, the header stays: another writer may have committed by now. Whoever makes
            // the first commit tries again.
            match store::get(store, path).await {
                Ok(Some(found)) if found == other => failed,
                _ => return Err(failed),
            }
        }
    };
    if let Err(e) = store::delete(store, vec![path.to_owned()]).await {
        let left = Finding::HeaderLeftBehind { path: path.to_owned(), why: e.to_string() };
        monitor.report(Event::Finding(&left));
        return Err(failed.context(left.to_string()));
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{
        error::ErrorKind,
        store::faults::{Fault, FaultyStore},
    };

    fn identity() -> DeploymentIdentity {
        DeploymentIdentity { name: Some("otter".into()), origin: "https://otter.convex.cloud".into() }
    }

    #[tokio::test]
    async fn the_header_reads_back_and_is_created_once() {
        let store = InMemory::new();
        let made = create(&store, identity(), Timestamp(7)).await.unwrap().unwrap();
        let read = read(&store).await.unwrap().unwrap();
        assert_eq!((&made.header, &made.digest), (&read.header, &read.digest));
        assert!(create(&store, identity(), Timestamp(8)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lost_header_is_not_replaced_by_another() {
        let store = InMemory::new();
        store::put_new(&store, &layout::commit(1), Bytes::from_static(b"{}")).await.unwrap();
        assert_eq!(create(&store, identity(), Timestamp(7)).await.err().unwrap().kind(), ErrorKind::Corrupt);
        assert!(store::get(&store, layout::HEADER).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_store_that_overwrites_is_refused_and_left_empty() {
        let store = FaultyStore::that_overwrites(Arc::new(InMemory::new()));
        let error = create(&store, identity(), Timestamp(7)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(read(&store).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_broken_connection_while_trying_the_store_leaves_the_header_for_the_next_try() {
        // The first call looks for commits, the second is the put of the header, the third the try.
        for fault in [Fault::fails(2), Fault::loses_the_answer(2)] {
            let inner = Arc::new(InMemory::new());
            let store = FaultyStore::new(Arc::clone(&inner) as Arc<dyn object_store::ObjectStore>, Some(fault));
            let made = create(&store, identity(), Timestamp(7)).await;
            // Whether the store refused, nobody has heard.
            assert!(made.is_err(), "{fault:?}");
            let header = read(inner.as_ref()).await.unwrap().unwrap();
            assert_eq!(header.header.deployment, identity());
            probe(inner.as_ref(), layout::HEADER, &NoMonitor).await.unwrap();
        }
    }

    #[test]
    fn a_newer_format_is_unsupported_and_garbage_is_corrupt() {
        for (text, kind) in [
            (r#"{"format":1,"everything":"else"}"#, ErrorKind::Unsupported),
            (r#"{"format":0}"#, ErrorKind::Corrupt),
            ("", ErrorKind::Corrupt),
            ("\0\u{1}", ErrorKind::Corrupt),
            ("[]", ErrorKind::Corrupt),
        ] {
            assert_eq!(Header::from_bytes(text.as_bytes()).unwrap_err().kind(), kind, "{text}");
        }
    }
}
