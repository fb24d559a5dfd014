//! Which files are joined: pure.
//!
//! # Windows
//! The delta files of a table in one month stand in the order of `_ts`. They are joined with neighbours only, so that rows stay in order and
//! nothing is sorted. What separates neighbours ends a *window*: another encoding, a file that is large already, and the S of a base between
//! them. Nothing will ever come to a window behind which something stands, nor to one of a month that is over. Those are *closed*.
//!
//! # Tiers
//! A file that a run brought has tier 0 ([`DataFile::joined`]). In an open window [`FAN_IN`] files of a tier become one of the next, as a counter
//! to the base of 12 carries: so at most 11 files of each tier lie there, and each row is written again once for each tier. Four tiers hold
//! 20,736 runs, more than one in two minutes for a month. What is carried through several tiers at once is written once.
//!
//! A closed window becomes one file, or files of at most [`JOINED`] bytes: that is once more for each row.

use std::cmp::Reverse;

use crate::{data::DataFile, document::Timestamp};

/// So many files of a tier are joined.
pub(super) const FAN_IN: usize = 12;

/// A file of so many bytes is large: it is never written again.
pub(super) const LARGE: u64 = 16 << 20;

/// Bytes that a joined file has at most, about: those of its inputs together.
pub(super) const JOINED: u64 = 32 << 20;

/// Files that become one, oldest first: at least two.
pub(super) type Group = Vec<DataFile>;

/// What is joined of the delta files of one table and month. `moments` are S of the bases of the table and of its open walk, in any order; `is_over`
/// says that no change of the month can come any more.
pub(super) fn groups(mut files: Vec<DataFile>, moments: &[Timestamp], is_over: bool, fan_in: usize) -> Vec<Group> {
    files.sort_by(|a, b| (a.min_ts, a.max_ts, &a.path).cmp(&(b.min_ts, b.max_ts, &b.path)));
    let mut windows = windows(files, moments);
    let open = if is_over { None } else { windows.pop() };
    let closed = windows.into_iter().flat_map(|window| cut(window, JOINED));
    let open = open.map(|open| due(open, fan_in)).unwrap_or_default();
    closed.chain(cut(open, JOINED)).collect()
}

/// Files between which nothing stands. The last window is the one to which more may come: it may have no file.
fn windows(files: Vec<DataFile>, moments: &[Timestamp]) -> Vec<Vec<DataFile>> {
    let mut windows = vec![Vec::new()];
    let mut last: Option<(Timestamp, crate::document::Encoding)> = None;
    for file in files {
        let separated = last.is_some_and(|(before, encoding)| {
            let between = |s: &Timestamp| before <= *s && *s < file.max_ts;
            encoding != file.encoding || moments.iter().any(between)
        });
        let lies_across = moments.iter().any(|s| file.lies_across(*s));
        last = Some((file.max_ts, file.encoding));
        if separated {
            windows.push(Vec::new());
        }
        if file.bytes >= LARGE || lies_across {
            // It stays as it is, and what is on both sides of it is apart.
            windows.push(Vec::new());
        } else if let Some(window) = windows.last_mut() {
            window.push(file);
        }
    }
    let newest = last.map(|(ts, _)| ts);
    // The S of a base behind the newest file: what comes next lies on its other side.
    if newest.is_some_and(|newest| moments.iter().any(|s| newest <= *s)) {
        windows.push(Vec::new());
    }
    windows
}

/// The end of an open window that carries: empty, if it has less than `fan_in` files of the lowest tier.
fn due(mut window: Vec<DataFile>, fan_in: usize) -> Vec<DataFile> {
    let (mut taken, mut carried, mut tier) = (0, 0, 0);
    let mut due = 0;
    loop {
        let more = window.iter().rev().skip(taken).take_while(|file| file.joined <= tier).count();
        if more + carried < fan_in.max(2) {
            break;
        }
        (taken, carried) = (taken + more, 1);
        due = taken;
        let Some(next) = tier.checked_add(1) else { break };
        tier = next;
    }
    window.split_off(window.len() - due)
}

/// Groups of neighbours with at most `most` bytes together.
fn cut(files: Vec<DataFile>, most: u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for file in files {
        bytes += file.bytes;
        match groups.last_mut().filter(|_| bytes <= most) {
            Some(group) => group.push(file),
            None => {
                bytes = file.bytes;
                groups.push(vec![file]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Bytes that a group takes to be read.
pub(super) fn bytes(group: &Group) -> u64 {
    group.iter().map(|file| file.bytes).sum()
}

/// Those of the groups that a run may write that writes at most `most` bytes: those that join most files first.
pub(super) fn within(mut groups: Vec<Group>, most: u64) -> (Vec<Group>, usize) {
    groups.sort_by_key(|group| Reverse(group.len()));
    let (mut left, all) = (most, groups.len());
    groups.retain(|group| {
        let fits = bytes(group) <= left;
        left -= if fits { bytes(group) } else { 0 };
        fits
    });
    let later = all - groups.len();
    (groups, later)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{archive::testing::delta, document::Encoding};

    /// File `n`, written `joined` times, of so many bytes.
    fn file(n: i64, joined: u8, bytes: u64) -> DataFile {
        DataFile { bytes, joined, ..delta("a", n as u64, 10 * n, 10 * n + 5) }
    }

    fn of_tiers(tiers: &[u8]) -> Vec<DataFile> {
        (1..).zip(tiers).map(|(n, tier)| file(n, *tier, 100)).collect()
    }

    fn sizes(groups: &[Group]) -> Vec<usize> {
        groups.iter().map(Vec::len).collect()
    }

    #[test]
    fn twelve_files_of_a_tier_carry_and_what_carries_through_two_is_written_once() {
        for (tiers, expected) in [
            (vec![0; 11], vec![]),
            (vec![0; 12], vec![12]),
            (vec![0; 13], vec![13]),
            ([vec![1; 11], vec![0; 11]].concat(), vec![]),
            ([vec![1; 10], vec![0; 12]].concat(), vec![12]),
            ([vec![1; 11], vec![0; 12]].concat(), vec![23]),
            ([vec![2; 11], vec![1; 11], vec![0; 12]].concat(), vec![34]),
            ([vec![3; 5], vec![2; 11], vec![1; 3], vec![0; 12]].concat(), vec![12]),
            // One that a lost race left behind is taken along with those around it.
            ([vec![1; 5], vec![0], vec![1; 5], vec![0; 12]].concat(), vec![23]),
        ] {
            assert_eq!(sizes(&groups(of_tiers(&tiers), &[], false, FAN_IN)), expected, "{tiers:?}");
        }
    }

    #[test]
    fn a_month_that_is_over_becomes_one_file_or_files_that_are_not_too_large() {
        assert_eq!(sizes(&groups(of_tiers(&[3, 2, 1, 0]), &[], true, FAN_IN)), [4]);
        assert_eq!(sizes(&groups(of_tiers(&[0]), &[], true, FAN_IN)), [] as [usize; 0]);
        let ten: Vec<_> = (1..=10).map(|n| file(n, 0, 10 << 20)).collect();
        assert_eq!(sizes(&groups(ten, &[], true, FAN_IN)), [3, 3, 3]);
    }

    #[test]
    fn what_is_large_stays_and_so_does_what_lies_across_a_base() {
        let mut files = of_tiers(&[0; 9]);
        files[4].bytes = LARGE;
        // On the left of it nothing will come any more.
        assert_eq!(sizes(&groups(files.clone(), &[], false, FAN_IN)), [4]);
        assert_eq!(sizes(&groups(files.clone(), &[], true, FAN_IN)), [4, 4]);
        files[4].bytes = 100;
        let across = Timestamp(files[4].min_ts.0 + 1);
        assert_eq!(sizes(&groups(files, &[across], true, FAN_IN)), [4, 4]);
    }

    #[test]
    fn no_joined_file_lies_across_a_base_and_what_is_before_it_is_closed() {
        let files = of_tiers(&[0; 9]);
        let [before, at, behind] =
            [files[3].max_ts, Timestamp(files[3].max_ts.0 + 1), Timestamp(files[4].min_ts.0 - 1)];
        for s in [before, at, behind] {
            assert_eq!(sizes(&groups(files.clone(), &[s], false, FAN_IN)), [4], "{s}");
        }
        // Behind all of them: nothing comes to them any more.
        assert_eq!(sizes(&groups(files.clone(), &[files[8].max_ts], false, FAN_IN)), [9]);
        assert_eq!(sizes(&groups(files.clone(), &[Timestamp(0)], false, FAN_IN)), [] as [usize; 0]);
    }

    #[test]
    fn files_of_another_encoding_are_not_joined() {
        let mut files = of_tiers(&[0; 6]);
        files[2].encoding = Encoding::Json;
        files[3].encoding = Encoding::Json;
        assert_eq!(sizes(&groups(files, &[], true, FAN_IN)), [2, 2, 2]);
    }

    #[test]
    fn a_run_takes_what_joins_most_files_and_leaves_the_rest_to_the_next() {
        let group = |len: i64, bytes| (1..=len).map(|n| file(n, 0, bytes)).collect::<Group>();
        let (now, later) = within(vec![group(2, 10), group(5, 10), group(3, 40)], 100);
        assert_eq!((sizes(&now), later), (vec![5, 2], 1));
    }

    /// A month of runs: as many files, and as many times that a row is written, as the header says.
    #[test]
    fn a_month_of_runs_has_few_files_and_writes_each_row_a_few_times() {
        let (mut files, mut written, mut most) = (Vec::<DataFile>::new(), 0, 0);
        for run in 1..=8_640 {
            for group in groups(files.clone(), &[], false, FAN_IN) {
                written += bytes(&group);
                files.retain(|file| !group.iter().any(|input| input.path == file.path));
                let joined = group.iter().map(|file| file.joined).max().unwrap() + 1;
                let (first, last) = (&group[0], &group[group.len() - 1]);
                files.push(DataFile { joined, bytes: bytes(&group), max_ts: last.max_ts, ..first.clone() });
            }
            files.push(file(run, 0, 1000));
            files.sort_by_key(|file| file.min_ts);
            most = most.max(files.len());
        }
        assert!(most <= 40, "{most}");
        let per_row = written as f64 / (8_640.0 * 1000.0);
        assert!(per_row < 3.0, "{per_row}");
        assert!(files.iter().all(|file| file.joined <= 3));
    }

    proptest! {
        #[test]
        fn groups_are_neighbours_of_one_kind_within_the_limits(
            tiers in prop::collection::vec((0..4u8, 1..LARGE * 5 / 4, any::<bool>()), 0..60),
            moments in prop::collection::vec(0..700i64, 0..4),
            is_over in any::<bool>(),
        ) {
            let files: Vec<_> = (1..).zip(tiers).map(|(n, (tier, bytes, json))| DataFile {
                encoding: if json { Encoding::Json } else { Encoding::ConvexEncodedJson },
                ..file(n, tier, bytes)
            }).collect();
            let moments: Vec<_> = moments.into_iter().map(Timestamp).collect();
            let mut seen = 0;
            for group in groups(files.clone(), &moments, is_over, FAN_IN) {
                prop_assert!(group.len() > 1 && bytes(&group) <= JOINED);
                let first = files.iter().position(|file| file.path == group[0].path).unwrap();
                // Neighbours, in order, each in one group.
                prop_assert!(first >= seen);
                prop_assert_eq!(&files[first..first + group.len()], group.as_slice());
                seen = first + group.len();
                prop_assert!(group.iter().all(|file| file.bytes < LARGE && file.encoding == group[0].encoding));
                let (from, to) = (group[0].min_ts, group[group.len() - 1].max_ts);
                prop_assert!(!moments.iter().any(|s| from <= *s && *s < to));
            }
        }
    }
}
