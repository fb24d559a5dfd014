//! The log: numbered objects, each put if absent.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use super::commit::{Commit, digest};
use crate::{
    error::{Error, Result},
    layout::{self, CHECKPOINT_EVERY, LogObject},
    store::{self, PutNew, store_error},
};

/// Waits between attempts when a store says "exists" of an object that does not.
const PENDING: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// A commit as it was read.
#[derive(Debug, Clone)]
pub(super) struct StoredCommit {
    pub(super) commit: Commit,
    /// SHA-256 of the stored bytes.
    pub(super) digest: String,
}

/// Whose bytes a number of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Ours: it is committed.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// A look at the end of the log says so long that nothing is lost there. What is lost within it, a look just before would not have found either.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// Checkpoints that a listing remembers.
const CHECKPOINTS: usize = 8;

/// What a listing of the log shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// The newest checkpoints, newest first: several, because a damaged one is passed over.
    pub(super) checkpoints: Vec<u64>,
    /// The newest commit; there may be newer ones by now.
    pub(super) newest: u64,
}

/// The objects below `log/`.
#[derive(Debug, Clone)]
pub(super) struct Log {
    store: Arc<dyn ObjectStore>,
    /// The version behind which nothing was found last, and when.
    looked: Arc<Mutex<Option<(u64, Instant)>>>,
}

impl Log {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, looked: Arc::default() }
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Commit `version`; `None` if there is none (yet).
    pub(super) async fn read(&self, version: u64) -> Result<Option<StoredCommit>> {
        let Some(bytes) = store::get(&self.store, &layout::commit(version)).await? else { return Ok(None) };
        Ok(Some(StoredCommit { commit: Commit::from_bytes(version, &bytes)?, digest: digest(&bytes) }))
    }

    /// Whether the object of commit `version` is empty, and no commit is behind it.
    pub(super) async fn is_empty_end(&self, version: u64) -> Result<bool> {
        let bytes = store::get(&self.store, &layout::commit(version)).await?;
        Ok(bytes.is_some_and(|bytes| bytes.is_empty()) && !self.has(version + 1).await?)
    }

    /// Whether commit `version` exists.
    pub(super) async fn has(&self, version: u64) -> Result<bool> {
        store::exists(&self.store, &layout::commit(version)).await
    }

    /// Whether the checkpoint of `version` exists.
    pub(super) async fn has_checkpoint(&self, version: u64) -> Result<bool> {
        store::exists(&self.store, &layout::checkpoint(version)).await
    }

    /// Makes sure that the log ends at `newest`: that a commit behind it which is not there never was.
    ///
    /// A number that is taken twice would be worse than one that is lost: so the one behind it and the next checkpoint are
    /// asked for by name, once a minute at most.
    ///
    /// # Errors
    /// Corrupt, if a later object exists.
    pub(super) async fn check_end(&self, newest: u64) -> Result<()> {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_some_and(|(version, at)| version == newest && at.elapsed() < LOOKED_AT) {
            return Ok(());
        }
        let begun = Instant::now();
        let checkpoint = floor(newest) + CHECKPOINT_EVERY;
        let (after, checkpoint) = futures::try_join!(self.has(newest + 2), self.has_checkpoint(checkpoint))?;
        if (after || checkpoint) && !self.has(newest + 1).await? {
            return Err(missing(newest + 1));
        }
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((newest, begun));
        Ok(())
    }

    /// Writes commit `version`, if absent.
    pub(super) async fn put(&self, version: u64, bytes: &Bytes) -> Result<Put> {
        let path = layout::commit(version);
        let mut waits = PENDING.into_iter();
        loop {
            let refused = match store::put_new(&self.store, &path, bytes.clone()).await {
                Ok(PutNew::Created) => return Ok(Put::Ours),
                Ok(PutNew::Exists) => None,
                Err(e) => Some(e),
            };
            // Perhaps the put succeeded and only its answer was lost: what is there tells.
            match (store::get(&self.store, &path).await, refused) {
                (Ok(Some(found)), _) if found == *bytes => return Ok(Put::Ours),
                (Ok(Some(_)), _) => return Ok(Put::Theirs),
                (_, Some(error)) | (Err(error), None) => return Err(error),
                // S3 says "conflict" while another put is under way that may yet fail.
                (Ok(None), None) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => {
                        return Err(Error::unavailable(format!(
                            "the store says both that {path} exists and that it does not; run again later"
                        )));
                    }
                },
            }
        }
    }

    /// The least number above `version` that an object of the log has; the whole log is listed.
    pub(super) async fn next_after(&self, version: u64) -> Result<Option<u64>> {
        let mut next: Option<u64> = None;
        self.each(|object| {
            let (LogObject::Commit(number) | LogObject::Checkpoint(number)) = object else { return };
            if number > version {
                next = Some(next.map_or(number, |next| next.min(number)));
            }
        })
        .await?;
        Ok(next)
    }

    /// Calls `of` with every object of the log.
    async fn each(&self, mut of: impl FnMut(LogObject)) -> Result<()> {
        let mut objects = self.store.list(Some(&Path::from(layout::LOG)));
        let failed = |e| store_error(e, &format!("cannot list {}/", layout::LOG));
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            layout::parse_log(object.location.as_ref()).into_iter().for_each(&mut of);
        }
        Ok(())
    }

    /// Lists the whole log. Holds a few numbers, whatever the length.
    pub(super) async fn list(&self) -> Result<Listing> {
        let mut listing = Listing { checkpoints: Vec::new(), newest: 0 };
        self.each(|object| match object {
            LogObject::Commit(version) => listing.newest = listing.newest.max(version),
            LogObject::Checkpoint(version) => {
                let at = listing.checkpoints.partition_point(|newer| *newer > version);
                listing.checkpoints.insert(at, version);
                listing.checkpoints.truncate(CHECKPOINTS);
            }
            LogObject::Schemas(_) => {}
        })
        .await?;
        // A checkpoint is written after its commit, so a listing that lacks the commit lags.
        listing.newest = listing.newest.max(listing.checkpoints.first().copied().unwrap_or(0));
        Ok(listing)
    }
}

/// The last version at or below `version` to which a checkpoint belongs; 0 if there is none.
pub(super) fn floor(version: u64) -> u64 {
    version - version % CHECKPOINT_EVERY
}

/// A commit is not there, though later ones are.
pub(super) fn missing(version: u64) -> Error {
    let path = layout::commit(version);
    Error::corrupt(format!(
        "{path} is missing, although later ones exist. If this is an unfinished copy, run copy again; otherwise \
         restore the object from a copy"
    ))
}
