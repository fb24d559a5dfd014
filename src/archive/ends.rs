//! The two ends of the chain. A commit holds the digest of what is before it, so everything between them is bound; nothing
//! in the log binds the newest commit, and `archive.json` is bound by commit 1, which readers that begin with a checkpoint do
//! not meet.
//!
//! So both are compared at each opening: the newest commit with the digest in `manifest.json`, where that names it;
//! `archive.json` with commit 1. A reader that has its answer from elsewhere tells what differs and goes on. A writer stops: the
//! next commit would hold the digest of what is damaged, and afterwards nobody could tell.

use std::sync::PoisonError;

use super::{Archive, log::StoredCommit};
use crate::{
    error::{Error, ErrorKind, Result},
    layout,
    monitor::Finding,
};

/// Two texts of 64 digits of which as many agree are of one digest, a few bytes of which were altered. Of two other digests some 4
/// agree, and as many as half never do.
const SAME_DIGITS: usize = 56;

/// The digest that `manifest.json` names for a version is not that of the commit: whether the commit is not as it was
/// written. The manifest is wrong if it is of another archive, or if the digest in it was altered.
pub(super) fn is_commit_altered(named: &str, found: &str, is_same_archive: bool) -> bool {
    let same = named.bytes().zip(found.bytes()).filter(|(a, b)| a == b).count();
    is_same_archive && (named.len() == found.len() && same < SAME_DIGITS)
}

impl Archive {
    /// Forgets what earlier openings found.
    pub(super) fn begin_to_look_at_ends(&self) {
        *self.altered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells of an end that is not as it was written: from now on nothing is written.
    pub(super) fn note_altered(&self, finding: Finding) {
        self.tell(&finding);
        self.altered.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(finding);
    }

    /// # Errors
    /// Corrupt, if an end of the chain is not as it was written.
    pub(super) fn check_ends(&self) -> Result<()> {
        let altered = self.altered.lock().unwrap_or_else(PoisonError::into_inner);
        altered.as_ref().map_or(Ok(()), |finding| Err(Error::corrupt(finding.to_string())))
    }

    /// Compares `archive.json` with commit 1.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says.
    pub(super) async fn look_at_beginning(&self) -> Result<Option<Finding>> {
        let first = match self.log.read(1).await {
            Ok(first) => first,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Ok(Some(altered(layout::commit(1), error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let Some(first) = first.filter(|first| first.commit.previous != self.header.digest) else { return Ok(None) };
        let second = self.log.read(2).await.ok().flatten();
        let is_bound = |second: &StoredCommit| second.commit.previous == first.digest;
        Ok(Some(match second {
            Some(second) if !is_bound(&second) => {
                altered(layout::commit(1), "commit 2 and archive.json belong to a different commit 1")
            }
            Some(_) => altered(layout::HEADER, "commit 1 belongs to a different archive.json"),
            None => altered(
                layout::HEADER,
                format!("or {} is not: commit 1 belongs to a different archive.json", layout::commit(1)),
            ),
        }))
    }
}

/// An object at an end of the chain that is not as it was written.
pub(super) fn altered(path: impl Into<String>, why: impl Into<String>) -> Finding {
    Finding::EndAltered { path: path.into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::digest;

    #[test]
    fn of_two_digests_that_differ_in_a_byte_the_text_was_altered_else_the_commit() {
        let (written, other) = (digest(b"a"), digest(b"b"));
        assert!(is_commit_altered(&written, &other, true));
        assert!(!is_commit_altered(&written, &other, false), "a manifest of another archive");
        for at in 0..written.len() - 1 {
            let mut altered = written.clone();
            altered.replace_range(at..at + 2, "zz");
            assert!(!is_commit_altered(&altered, &written, true), "{at}");
        }
        assert!(!is_commit_altered("", &written, true));
    }
}
