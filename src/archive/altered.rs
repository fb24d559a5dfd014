//! [`AlteredEnd`]: an object at an end of the chain that is not as it was written, and how that is known.

use crate::monitor::Finding;

/// Two texts of 64 digits of which as many agree are of one digest, a few bytes of which were altered. Of two other digests some 4
/// agree, and as many as half never do.
const SAME_DIGITS: usize = 56;

/// An object at an end of the chain that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlteredEnd {
    path: String,
    why: String,
}

impl AlteredEnd {
    pub(super) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    pub(super) fn finding(&self) -> Finding {
        Finding::EndAltered { path: self.path.clone(), why: self.why.clone() }
    }
}

/// The digest that `manifest.json` names for a version is not that of the commit: whether the commit is not as it was
/// written. The manifest is wrong if it is of another archive, or if the digest in it was altered.
pub(super) fn is_commit_altered(named: &str, found: &str, is_same_archive: bool) -> bool {
    let same = named.bytes().zip(found.bytes()).filter(|(a, b)| a == b).count();
    is_same_archive && (named.len() == found.len() && same < SAME_DIGITS)
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
