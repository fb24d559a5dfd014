//! The log, commit by commit: several are read ahead, and handed on in order.

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    head::Head,
    log::{Log, StoredCommit, missing},
};
use crate::{budget::MemoryBudget, error::Result};

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

/// `head` after all commits that are there, found by name: nothing is listed.
pub(super) async fn follow(log: &Log, mut head: Head) -> Result<Head> {
    // Mostly there is none: one question. Where there is one there may be many.
    let Some(next) = log.read(head.version() + 1).await? else { return Ok(head) };
    head = head.apply(&next.commit, next.digest)?;
    let mut commits =
        stream::iter(head.version() + 1..).map(|version| log.read(version)).buffered(MemoryBudget::COMMITS_AHEAD);
    while let Some(Some(next)) = commits.try_next().await? {
        head = head.apply(&next.commit, next.digest)?;
    }
    Ok(head)
}
