//! The destination as it is found: how far a copy in it is, or why there can be none.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;

use crate::{
    archive::{Archive, Commit, digest, probe, shown_version, unbroken_end},
    error::{Error, ErrorKind, Result},
    layout,
    monitor::Monitor,
    store::{self, PutNew, store_error},
};

/// A destination that may be copied to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The newest commit, which is one of the source's; None, if there is no header, so that nobody takes it for an archive.
    pub(super) version: Option<u64>,
    /// The version that its `manifest.json` shows: up to here it has what repeats the log.
    pub(super) shown: u64,
}

impl Place {
    /// Looks at a destination. `source` is an archive at version `newest`.
    ///
    /// # Errors
    /// Usage, if it holds another archive, something else, or commits that the source does not have. Unsupported, if a newer program made
    /// it. Corrupt, if its newest commit is damaged, or the source lacks a commit.
    pub(super) async fn look(source: &Archive, newest: u64, store: Arc<dyn ObjectStore>, url: &str) -> Result<Self> {
        let has_header = store::exists(store.as_ref(), layout::HEADER).await?;
        let shown = shown_version(&store).await?;
        if !has_header {
            let begun = store::get(store.as_ref(), &layout::commit(1)).await?;
            match begun {
                Some(first) if first == commit(source, 1).await? => {}
                Some(_) => return Err(another(url)),
                None => refuse_strangers(store.as_ref(), url).await?,
            }
            return Ok(Self { store, version: None, shown });
        }
        let copied = Archive::open(Arc::clone(&store), url).await?;
        if copied.header_digest() != source.header_digest() {
            return Err(another(url));
        }
        let version = unbroken_end(&copied).await?;
        if is_same(source, &copied, version.min(newest)).await? {
            if version > newest {
                return Err(Error::usage(format!(
                    "{url} has commits {} to {version}, which {} does not have. Either a sync has written to the copy \
                     since it was made; then the copy is the archive now, and can be copied to another place. Or the \
                     archive has lost these commits; then restore them from the copy",
                    newest + 1,
                    source.url()
                )));
            }
            return Ok(Self { store, version: Some(version), shown });
        }
        let first = first_other(source, &copied, version.min(newest)).await?;
        if !is_of_another_run(source, &copied, first).await? {
            let path = layout::commit(first);
            return Err(Error::corrupt(format!(
                "{path} in the destination is damaged; replace it with the one from {}, and run copy again",
                source.url()
            )));
        }
        Err(Error::usage(format!(
            "{url} has a different commit {first} than {}: the two have diverged since, because a sync has written to \
             the copy. Decide which of them is the archive, and copy it to another place",
            source.url()
        )))
    }

    /// Makes the destination that of this archive before anything else is put there: with the first commit, which names the header of its
    /// archive. Without the header nobody takes it for an archive, and no sync makes another one there. Tries whether the store refuses to
    /// overwrite. Gives whether the commit was absent.
    ///
    /// # Errors
    /// Usage, if it does not. Conflict, if somebody else was faster.
    pub(super) async fn claim(&self, source: &Archive, monitor: &dyn Monitor) -> Result<bool> {
        let (path, bytes) = (layout::commit(1), commit(source, 1).await?);
        let is_new = put_same(self.store.as_ref(), &path, &bytes).await?.ok_or_else(|| faster(&path))?;
        probe(self.store.as_ref(), &path, monitor).await?;
        Ok(is_new)
    }
}

/// Puts an object if it is absent. Some(whether it was absent), or None, if it holds something else.
pub(super) async fn put_same(store: &dyn ObjectStore, path: &str, bytes: &Bytes) -> Result<Option<bool>> {
    match store::put_new(store, path, bytes.clone()).await? {
        PutNew::Created => Ok(Some(true)),
        PutNew::Exists => {
            let found = store::get(store, path).await?;
            match found {
                Some(found) if found == *bytes => Ok(Some(false)),
                Some(_) => Ok(None),
                None => Err(Error::unavailable(format!(
                    "the store says both that {path} exists and that it does not; run again later"
                ))),
            }
        }
    }
}

/// Somebody has put another object there.
pub(super) fn faster(path: &str) -> Error {
    Error::conflict(format!(
        "something else has meanwhile written a different {path} to the destination; run copy again"
    ))
}

/// The stored bytes of a commit of the source.
pub(super) async fn commit(source: &Archive, version: u64) -> Result<Bytes> {
    let path = layout::commit(version);
    let bytes = store::get(source.store().as_ref(), &path).await?;
    bytes.ok_or_else(|| Error::corrupt(format!("{path} of {} is missing; restore it from a copy", source.url())))
}

async fn is_same(source: &Archive, copied: &Archive, version: u64) -> Result<bool> {
    if version == 0 {
        return Ok(true);
    }
    let (ours, theirs) = futures::try_join!(commit(source, version), commit(copied, version))?;
    Ok(digest(&ours) == digest(&theirs))
}

/// The first commit up to `last`, which differs, that differs: each holds the digest of the one before it, so those behind it differ too.
async fn first_other(source: &Archive, copied: &Archive, last: u64) -> Result<u64> {
    let (mut same, mut other) = (0, last);
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if is_same(source, copied, middle).await? { same = middle } else { other = middle }
    }
    Ok(other)
}

/// Whether the commit of the copy is one that somebody wrote there, and not that of the source with other bytes.
async fn is_of_another_run(source: &Archive, copied: &Archive, version: u64) -> Result<bool> {
    let (ours, theirs) = futures::try_join!(commit(source, version), commit(copied, version))?;
    let ours = Commit::from_bytes(version, &ours)?;
    match Commit::from_bytes(version, &theirs) {
        Ok(theirs) => Ok(theirs.run != ours.run),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}

fn another(url: &str) -> Error {
    Error::usage(format!("{url} holds another archive, or an unfinished copy of another one; choose another location"))
}

/// # Errors
/// Usage, if anything is there.
async fn refuse_strangers(store: &dyn ObjectStore, url: &str) -> Result<()> {
    let found = store.list(None).try_next().await.map_err(|e| store_error(e, &format!("cannot list {url}")))?;
    match found {
        None => Ok(()),
        Some(object) => Err(Error::usage(format!(
            "{url} contains something that is not an archive, such as {}; choose an empty location",
            object.location
        ))),
    }
}
