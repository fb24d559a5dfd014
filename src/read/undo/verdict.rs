//! What becomes of a document, by its revisions at three moments. Pure.
//!
//! One `_ts` of one `_id` is one revision, so moments of revisions are enough to compare documents.

use super::options::UndoOptions;
use crate::document::Timestamp;

/// The `_ts` of the revision in force at each moment; None where there is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revisions {
    /// Before the changes that are undone.
    pub(super) then: Option<Timestamp>,
    /// After them.
    pub(super) after: Option<Timestamp>,
    /// Now.
    pub(super) now: Option<Timestamp>,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did not change between the two moments.
    Unchanged,
    /// It changed, but is as it was before.
    AsThen,
    /// It was inserted, and stays.
    StaysInserted,
    /// It was changed again since, and stays.
    ChangedSince,
    /// It was deleted and comes back.
    PutBack,
    /// It was changed and becomes what it was.
    Reverted,
    /// It was inserted and goes.
    Removed,
}

impl Revisions {
    pub(super) fn verdict(self, options: &UndoOptions) -> Verdict {
        let Self { then, after, now } = self;
        if then == after {
            return Verdict::Unchanged;
        }
        if now == then {
            return Verdict::AsThen;
        }
        if then.is_none() && !options.inserted {
            return Verdict::StaysInserted;
        }
        if now != after && !options.over_later_writes {
            return Verdict::ChangedSince;
        }
        match (then, now) {
            (Some(_), Some(_)) => Verdict::Reverted,
            (Some(_), None) => Verdict::PutBack,
            (None, _) => Verdict::Removed,
        }
    }
}

impl Verdict {
    /// Whether the document becomes another.
    pub(super) fn is_undone(self) -> bool {
        matches!(self, Self::PutBack | Self::Reverted | Self::Removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_again_stays_unless_it_is_asked_for() {
        use Verdict::{AsThen, ChangedSince, PutBack, Removed, Reverted, StaysInserted, Unchanged};
        let ts = |n: i64| (n > 0).then_some(Timestamp(n));
        // then, after, now; without anything, with `over_later_writes`, with `inserted`, with both.
        for (then, after, now, expected) in [
            (0, 0, 0, [Unchanged; 4]),
            (0, 0, 3, [Unchanged; 4]),
            (1, 1, 1, [Unchanged; 4]),
            (1, 1, 3, [Unchanged; 4]),
            (1, 1, 0, [Unchanged; 4]),
            (1, 0, 0, [PutBack; 4]),
            (1, 0, 3, [ChangedSince, Reverted, ChangedSince, Reverted]),
            (1, 2, 2, [Reverted; 4]),
            (1, 2, 3, [ChangedSince, Reverted, ChangedSince, Reverted]),
            (1, 2, 0, [ChangedSince, PutBack, ChangedSince, PutBack]),
            (1, 2, 1, [AsThen; 4]),
            (0, 2, 2, [StaysInserted, StaysInserted, Removed, Removed]),
            (0, 2, 3, [StaysInserted, StaysInserted, ChangedSince, Removed]),
            (0, 2, 0, [AsThen; 4]),
        ] {
            let revisions = Revisions { then: ts(then), after: ts(after), now: ts(now) };
            let found = [(false, false), (true, false), (false, true), (true, true)].map(|(over, inserted)| {
                revisions.verdict(&UndoOptions::default().over_later_writes(over).inserted(inserted))
            });
            assert_eq!(found, expected, "{revisions:?}");
        }
    }
}
