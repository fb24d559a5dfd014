//! A data file on its way from one store into another: for copies and repairs.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use super::{DataFile, whole};
use crate::{
    budget::MemoryBudget,
    error::{Error, Result},
    monitor::{Event, Monitor},
    store::{PutNew, Upload},
};

/// Parts that an upload may have.
const PARTS: u64 = 10_000;

/// What becomes of an object that bears the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    /// It stays, as far as the store can be asked for that: see [`Upload::finish_new`].
    Keep,
    /// The file takes its place.
    Replace,
}

/// Which side ended a transfer.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The file could not be read, or is not what was written.
    Read(Error),
    /// It could not be written.
    Write(Error),
}

/// Streams `file` from one store into another, where it has the same path. Two parts of it are held.
///
/// Guarantee: it appears whole, with the digest that its commit names, or not at all. What was sent by then is given back.
///
/// # Errors
/// As [`whole()`] has them, or as the store says.
pub(crate) async fn transfer(
    file: &DataFile,
    from: Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    if_exists: IfExists,
    budget: MemoryBudget,
    monitor: &dyn Monitor,
) -> Result<PutNew, TransferError> {
    let path = Path::parse(&file.path).map_err(|e| {
        TransferError::Read(Error::corrupt(format!("`{}` is not a path of a store", file.path)).with_source(e))
    })?;
    let part = (budget.upload_part() as u64).max(file.bytes.div_ceil(PARTS)) as usize;
    let mut upload = Upload::new(Arc::clone(to), path).in_parts_of(part);
    let sent = send(file, from, &mut upload, if_exists).await;
    if sent.is_err()
        && let Some(finding) = upload.abort().await
    {
        monitor.report(Event::Finding(&finding));
    }
    sent
}

async fn send(
    file: &DataFile,
    from: Arc<dyn ObjectStore>,
    upload: &mut Upload,
    if_exists: IfExists,
) -> Result<PutNew, TransferError> {
    let mut chunks = std::pin::pin!(whole(from, file));
    // The last item says whether these are the bytes of the file: nothing has appeared until then.
    while let Some(chunk) = chunks.try_next().await.map_err(TransferError::Read)? {
        upload.push(&mut chunk.to_vec()).await.map_err(TransferError::Write)?;
    }
    let ended = match if_exists {
        IfExists::Keep => upload.finish_new().await,
        IfExists::Replace => upload.finish().await.map(|()| PutNew::Created),
    };
    ended.map_err(TransferError::Write)
}
