//! A data file byte by byte, for whoever reads all of it: copies, comparisons.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use sha2::{Digest, Sha256};

use super::{DataFile, StoredFile, object::Object};
use crate::error::{ErrorKind, Result};

/// The stored bytes of `file`, in order.
///
/// Guarantee: if the stream ends without an error, the bytes were `file.bytes` many and have its `sha256`. Until then nothing
/// is said of them.
///
/// # Errors
/// Corrupt, if the object is gone, and as the last item, if it is not what was written; Access and Unavailable, as the
/// store says.
pub fn whole(store: Arc<dyn ObjectStore>, file: &DataFile) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let file = StoredFile::from(file);
    let begun = async move {
        let sha256 = file.sha256.clone();
        let object = Object::new(store, file)?;
        let chunks = object.stream().await?;
        Ok(stream::try_unfold(
            (object, chunks, Sha256::new(), sha256),
            |(object, mut chunks, mut hash, sha256)| async move {
                if let Some(chunk) = chunks.next().await.transpose()? {
                    hash.update(&chunk);
                    return Ok(Some((chunk, (object, chunks, hash, sha256))));
                }
                if format!("{:x}", hash.finalize()) != sha256 {
                    return Err(object.replaced());
                }
                Ok(None)
            },
        ))
    };
    stream::once(begun).flat_map(|begun| match begun {
        Ok(chunks) => chunks.boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    })
}

/// Whether the stored bytes of `file` are those that were written: false, if it is missing, too.
///
/// # Errors
/// Access, Unavailable, as the store says.
pub(crate) async fn is_intact(store: Arc<dyn ObjectStore>, file: &DataFile) -> Result<bool> {
    let read = std::pin::pin!(whole(store, file)).try_for_each(|_| std::future::ready(Ok(()))).await;
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}
