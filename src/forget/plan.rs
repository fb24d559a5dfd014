//! Where a history may be cut off: pure.
//!
//! A *border* is a moment that no file of changes of the table lies across, so that a file is kept whole or leaves whole: the end of a file, or S of a
//! base that serves. The newest one at or before the limit is taken. What is newer than the limit stays, and a little more than that may.

use crate::document::Timestamp;

/// The least and the largest `_ts` of a file of changes.
pub(super) type Span = (Timestamp, Timestamp);

/// The newest border at or before `limit`; None, if there is none.
pub(super) fn border(deltas: &[Span], bases: &[Timestamp], limit: Timestamp) -> Option<Timestamp> {
    newest(deltas.iter().map(|(_, last)| *last).chain(bases.iter().copied()), deltas, limit)
}

/// The same, where only bases may be the border.
pub(super) fn border_of_bases(deltas: &[Span], bases: &[Timestamp], limit: Timestamp) -> Option<Timestamp> {
    newest(bases.iter().copied(), deltas, limit)
}

fn newest(candidates: impl Iterator<Item = Timestamp>, deltas: &[Span], limit: Timestamp) -> Option<Timestamp> {
    let mut candidates: Vec<_> = candidates.filter(|at| *at <= limit).collect();
    candidates.sort_unstable();
    candidates.dedup();
    // Of one file none of its moments but the last is a border, so few are looked at.
    candidates.into_iter().rev().find(|at| !deltas.iter().any(|(first, last)| first <= at && at < last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(deltas: &[(i64, i64)], bases: &[i64], limit: i64) -> Option<i64> {
        let deltas: Vec<_> = deltas.iter().map(|(a, b)| (Timestamp(*a), Timestamp(*b))).collect();
        let bases: Vec<_> = bases.iter().map(|s| Timestamp(*s)).collect();
        border(&deltas, &bases, Timestamp(limit)).map(|at| at.0)
    }

    #[test]
    fn the_border_is_the_newest_end_of_a_file_or_base_that_nothing_lies_across() {
        let files = [(11, 20), (21, 30), (35, 40)];
        for (bases, limit, expected) in [
            (&[10][..], 9, None),
            (&[10], 10, Some(10)),
            (&[10], 19, Some(10)),
            (&[10], 20, Some(20)),
            (&[10], 33, Some(30)),
            (&[10, 32], 33, Some(32)),
            // A file lies across the S of a base.
            (&[10, 25], 29, Some(20)),
            (&[10], 100, Some(40)),
            (&[], 15, None),
        ] {
            assert_eq!(of(&files, bases, limit), expected, "{bases:?} {limit}");
        }
    }

    proptest! {
        #[test]
        fn no_moment_between_the_border_and_the_limit_would_let_more_leave(
            lengths in prop::collection::vec((0..4i64, 0..6i64), 0..8), bases in prop::collection::vec(0..40i64, 0..4), limit in 0..50i64,
        ) {
            let mut at = 0;
            let deltas: Vec<_> = lengths.into_iter().map(|(apart, length)| {
                let first = at + apart + 1;
                at = first + length;
                (first, at)
            }).collect();
            let across = |moment: i64| deltas.iter().any(|(first, last)| *first <= moment && moment < *last);
            let leave = |border: i64| {
                let files = deltas.iter().filter(|(_, last)| *last <= border).count();
                files + bases.iter().filter(|s| **s <= border && !across(**s)).count()
            };
            match of(&deltas, &bases, limit) {
                Some(border) => {
                    prop_assert!(border <= limit && !across(border));
                    let most = (0..=limit).filter(|at| !across(*at)).map(leave).max();
                    prop_assert_eq!(Some(leave(border)), most);
                }
                None => prop_assert!((0..=limit).filter(|at| !across(*at)).all(|at| leave(at) == 0)),
            }
        }
    }
}
