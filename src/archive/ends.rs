//! The two ends of the chain. A commit holds the digest of what is before it, so everything between them is bound; nothing
//! in the log binds the newest commit, and `archive.json` is bound by commit 1, which readers that begin with a checkpoint do
//! not meet.
//!
//! So both are compared at each opening: the newest commit with the digest in `manifest.json`, where that names it;
//! `archive.json` with commit 1. A reader that has its answer from elsewhere tells what differs and goes on. A writer stops: the
//! next commit would hold the digest of what is damaged, and afterwards nobody could tell.

use std::sync::PoisonError;

use super::{Archive, altered::AlteredEnd, log::StoredCommit};
use crate::{
    error::{Error, ErrorKind, Result},
    layout,
};

impl Archive {
    /// Forgets what earlier openings found.
    pub(super) fn begin_to_look_at_ends(&self) {
        self.altered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells of an end that is not as it was written: from now on nothing is written.
    pub(super) fn note_altered(&self, end: AlteredEnd) {
        self.tell(&end.finding());
        self.altered.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    }

    /// # Errors
    /// Corrupt, if an end of the chain is not as it was written.
    pub(super) fn check_ends(&self) -> Result<()> {
        let altered = self.altered.lock().unwrap_or_else(PoisonError::into_inner);
        altered.first().map_or(Ok(()), |end| Err(Error::corrupt(end.finding().to_string())))
    }

    /// Compares `archive.json` with commit 1.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says.
    pub(super) async fn look_at_beginning(&self) -> Result<Option<AlteredEnd>> {
        let first = match self.log.read(1).await {
            Ok(first) => first,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Ok(Some(AlteredEnd::new(layout::commit(1), error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let Some(first) = first.filter(|first| first.commit.previous != self.header.digest) else { return Ok(None) };
        let second = self.log.read(2).await.ok().flatten();
        let is_bound = |second: &StoredCommit| second.commit.previous == first.digest;
        Ok(Some(match second {
            Some(second) if !is_bound(&second) => {
                AlteredEnd::new(layout::commit(1), "commit 2 and archive.json follow on another one")
            }
            Some(_) => AlteredEnd::new(layout::HEADER, "commit 1 follows on another one"),
            None => AlteredEnd::new(
                layout::HEADER,
                format!("or {} is not: the second does not follow on the first", layout::commit(1)),
            ),
        }))
    }
}
