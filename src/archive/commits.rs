//! The log, commit by commit: several are read ahead, and handed on in order.

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    head::Head,
    log::{Log, StoredCommit, missing},
};
use crate::{
    budget::MemoryBudget,
    error::{ErrorKind, Result},
};

/// Calls `each` with the commits behind `after` in order, up to `until`, all of which must exist.
pub(super) async fn replay(
    log: &Log,
    after: u64,
    until: u64,
    mut each: impl FnMut(StoredCommit) -> Result<()>,
) -> Result<()> {
    let mut commits = stream::iter(after + 1..=until)
        .map(|version| async move { log.read(version).await?.ok_or_else(|| missing(version)) })
        .buffered(MemoryBudget::COMMITS_AHEAD);
    while let Some(stored) = commits.try_next().await? {
        each(stored)?;
    }
    Ok(())
}

/// `head` after the commits up to `until`, all of which must exist.
pub(super) async fn fold(log: &Log, head: Head, until: u64) -> Result<Head> {
    let mut folded = Some(head);
    let after = folded.as_ref().map_or(0, Head::version);
    replay(log, after, until, |stored| {
        // Taken and given back: after an error nobody looks at it.
        folded = folded.take().map(|head| head.apply(&stored.commit, stored.digest)).transpose()?;
        Ok(())
    })
    .await?;
    folded.ok_or_else(|| crate::error::Error::internal("a head was lost while folding"))
}

/// The end of the log.
pub(super) struct End {
    pub(super) head: Head,
    /// The number behind it, if an empty object has it.
    pub(super) empty: Option<u64>,
}

/// `head` after all commits that are there, found by name: nothing is listed.
pub(super) async fn follow(log: &Log, mut head: Head) -> Result<End> {
    // Mostly there is none: one question. Where there is one there may be many.
    let first = log.read(head.version() + 1).await;
    let is_alone = matches!(first, Ok(None));
    let ahead = if is_alone { 0..0 } else { head.version() + 2..u64::MAX };
    let ahead = stream::iter(ahead).map(|version| log.read(version)).buffered(MemoryBudget::COMMITS_AHEAD);
    let mut commits = std::pin::pin!(stream::once(async { first }).chain(ahead));
    loop {
        match commits.next().await {
            Some(Ok(Some(next))) => head = head.apply(&next.commit, next.digest)?,
            Some(Err(error)) => {
                let version = head.version() + 1;
                if error.kind() == ErrorKind::Corrupt && log.is_empty_end(version).await? {
                    return Ok(End { head, empty: Some(version) });
                }
                return Err(error);
            }
            Some(Ok(None)) | None => return Ok(End { head, empty: None }),
        }
    }
}
