//! From a URL to a store, and the few calls of a store whose outcome we branch on.
//!
//! [`Location`] is a place that an URL names, opened by [`Settings`] that are handed in. Below it everything is an
//! [`ObjectStore`]; what its errors mean for us stands in [`sentences`].

mod aws_profile;
mod azure_account;
mod clouds;
mod conflict;
#[cfg(test)]
pub(crate) mod faults;
mod location;
mod machine_role;
mod process_credentials;
mod sentences;
mod settings;
mod staging;
mod upload;

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::error::{Error, Result};

pub use self::{location::Location, settings::Settings, staging::STAGING_KEPT};
pub(crate) use self::{
    location::{FilePlace, refuse_partition_keys},
    sentences::{disk_error, store_error},
    upload::Upload,
};

/// What became of a put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutNew {
    /// The object did not exist and now holds our bytes.
    Created,
    /// The store says that it exists, or that somebody else is writing it.
    Exists,
}

/// Objects that are read whole are no larger, bytes: the header, commits, and what repeats them.
const LARGEST: u64 = 256 << 20;

/// The bytes of an object; `None` if it does not exist. Not for data files.
///
/// # Errors
/// Corrupt, if it is larger than anything that we write and read whole.
pub(crate) async fn get(store: &dyn ObjectStore, path: &str) -> Result<Option<Bytes>> {
    let failed = |e| store_error(e, &format!("cannot read {path}"));
    let got = match store.get(&Path::from(path)).await {
        Ok(got) => got,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if got.meta.size > LARGEST {
        return Err(Error::corrupt(format!(
            "{path} has {} bytes, so it is damaged or was not written by this program",
            got.meta.size
        )));
    }
    got.bytes().await.map(Some).map_err(failed)
}

/// Whether an object exists.
pub(crate) async fn exists(store: &dyn ObjectStore, path: &str) -> Result<bool> {
    exists_at(store, &Path::from(path)).await
}

/// The same of a path that a person has named.
pub(crate) async fn exists_at(store: &dyn ObjectStore, path: &Path) -> Result<bool> {
    match store.head(path).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(store_error(e, &format!("cannot look for {path}"))),
    }
}

/// Writes an object unless it exists: the only call on which correctness rests.
pub(crate) async fn put_new(store: &dyn ObjectStore, path: &str, bytes: Bytes) -> Result<PutNew> {
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(&Path::from(path), PutPayload::from_bytes(bytes), options).await {
        Ok(_) => Ok(PutNew::Created),
        // Precondition is how some S3-compatible stores say it.
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(PutNew::Exists),
        Err(e) => Err(store_error(e, &format!("cannot write {path}"))),
    }
}

/// Deletes objects. How many of them were there. The only place where anything of ours is deleted: `clippy.toml` says so.
///
/// # Errors
/// Access, if the credentials may not delete; Unavailable, as the store says. What was deleted before stays deleted.
pub(crate) async fn delete(store: &dyn ObjectStore, paths: Vec<String>) -> Result<u64> {
    let paths = stream::iter(paths).map(|path| Ok(Path::from(path))).boxed();
    #[expect(clippy::disallowed_methods, reason = "this is that place")]
    let mut deleted = store.delete_stream(paths);
    let mut count = 0;
    while let Some(done) = deleted.next().await {
        match done {
            Ok(_) => count += 1,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(store_error(e, "cannot delete files that are no longer needed")),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;

    use super::*;

    #[tokio::test]
    async fn the_second_put_of_an_object_is_refused_and_the_first_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(dir.path()).unwrap().with_fsync(true);
        assert_eq!(put_new(&store, "a/b", "1".into()).await.unwrap(), PutNew::Created);
        assert_eq!(put_new(&store, "a/b", "2".into()).await.unwrap(), PutNew::Exists);
        assert_eq!(get(&store, "a/b").await.unwrap().unwrap(), "1");
        assert_eq!(get(&store, "a/c").await.unwrap(), None);
    }
}
