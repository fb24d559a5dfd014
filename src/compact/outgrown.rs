//! When a table gets a base of the archive's own: pure.
//!
//! Whoever reads what a table is now reads its newest base, with B documents, and the D rows that came after it, T of them tombstones. At least
//! B - T documents are left. The rule:
//!
//! **A base is due once D > 2 (B - T) + [`FLOOR`], and [`APART`] after the one before.**
//!
//! # What that promises
//! - *Reading `now` is proportional to the table.* While no base is due, D <= 2 (B - T) + FLOOR; with N >= B - T documents now that is
//!   D <= 2 N + FLOOR, and since each document of the base that is gone has a tombstone, B <= N + T <= N + D. So at most 5 N + 2 FLOOR rows are read,
//!   and what came within a day.
//! - *Writing is paid for by what came.* A base has at most B - T + D documents, fewer than 3/2 D: over the life of an archive each row that came is
//!   written less than one and a half times more.
//! - *There are few bases.* No more than one a day for a table, and none that fewer than FLOOR rows paid for: each stays in the head of the archive
//!   for ever, with some 400 bytes.
//!
//! # What a run may do
//! `compact` makes what is due, whatever it takes. In a sync a base waits until its turn is paid for: with every commit since the last base
//! a table saves what a run may join, so that on average no run does more, and a large table gets there too. What is larger than [`LARGEST`] is
//! left to `compact`: nobody expects a run of cron to take minutes; its report tells how many tables wait.

/// Rows behind a base that are read in no time, whatever the table.
const FLOOR: u64 = 100_000;

/// A day of `_ts`, nanoseconds.
const APART: i64 = 24 * 3_600 * 1_000_000_000;

/// Stored bytes that a sync reads for one base, at most.
pub(super) const LARGEST: u64 = 1 << 30;

/// When changes have outgrown a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnBaseRule {
    /// So many rows behind a base are always few.
    pub floor: u64,
    /// The S of two bases of a table are so far apart, nanoseconds.
    pub apart: i64,
}

impl Default for OwnBaseRule {
    fn default() -> Self {
        Self { floor: FLOOR, apart: APART }
    }
}

/// What is read to know what a table is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// Documents of the newest base.
    pub(super) base: u64,
    /// Rows that came after it.
    pub(super) rows: u64,
    /// Those that are tombstones.
    pub(super) tombstones: u64,
}

impl OwnBaseRule {
    /// Whether the changes have outgrown the base. If it is so of all changes that a table ever had it need not be so of those after its base;
    /// the other way round it must.
    pub(super) fn is_outgrown(&self, behind: Behind) -> bool {
        let left = behind.base.saturating_sub(behind.tombstones);
        behind.rows > left.saturating_mul(2).saturating_add(self.floor)
    }
}

impl Behind {
    /// Documents of the table now, at most.
    pub(super) fn documents(self) -> u64 {
        (self.base + self.rows).saturating_sub(self.tombstones)
    }
}

/// Whether a sync may read so many stored bytes for one base, `commits` after the last one of the table, where a run may join `each` bytes.
pub(super) fn is_paid_for(bytes: u64, commits: u64, each: u64) -> bool {
    bytes <= each.saturating_mul(commits).min(LARGEST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const RULE: OwnBaseRule = OwnBaseRule { floor: 100, apart: 0 };

    #[test]
    fn what_outgrows_a_base() {
        for (base, rows, tombstones, expected) in [
            (0, 100, 0, false),
            (0, 101, 0, true),
            (1_000, 2_100, 0, false),
            (1_000, 2_101, 0, true),
            // Most of it is gone: little is left to be read, and much is.
            (1_000, 1_000, 1_000, true),
            (1_000, 1_000, 500, false),
            (u64::MAX, u64::MAX, 0, false),
            (0, u64::MAX, 0, true),
        ] {
            assert_eq!(RULE.is_outgrown(Behind { base, rows, tombstones }), expected, "{base} {rows} {tombstones}");
        }
    }

    #[test]
    fn a_large_table_waits_until_its_turn_is_paid_for_and_the_largest_is_left_to_compact() {
        for (bytes, commits, each, expected) in [
            (10, 1, 10, true),
            (11, 1, 10, false),
            (100, 9, 10, false),
            (100, 10, 10, true),
            (LARGEST, u64::MAX, 32 << 20, true),
            (LARGEST + 1, u64::MAX, 32 << 20, false),
            (1, u64::MAX, 0, false),
        ] {
            assert_eq!(is_paid_for(bytes, commits, each), expected, "{bytes} {commits}");
        }
    }

    /// What happens to a table: documents that come, that are written again and that are deleted.
    #[derive(Debug, Clone, Copy)]
    struct Mood {
        inserts: u32,
        updates: u32,
        deletes: u32,
        /// So many rows.
        rows: u64,
    }

    fn mood() -> impl Strategy<Value = Mood> {
        (0..10u32, 0..10u32, 0..10u32, 1..3_000u64).prop_map(|(inserts, updates, deletes, rows)| Mood {
            inserts,
            updates,
            deletes,
            rows,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Years of a table, in which its moods change: what the header promises, after each run.
        #[test]
        fn reading_is_proportional_to_the_table_and_writing_to_what_came(
            begin in 0..2_000u64, moods in prop::collection::vec(mood(), 1..24), a_run in 1..60u64, seed in any::<u64>(),
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            // Documents, and whether the base has them.
            let mut documents: BTreeMap<u64, bool> = (0..begin).map(|id| (id, true)).collect();
            let (mut next, mut behind) = (begin, Behind { base: begin, ..Behind::default() });
            let (mut came, mut written, mut bases, mut waiting) = (0u64, 0u64, 0u64, 0u64);
            for mood in moods {
                for _ in 0..mood.rows {
                    let dice = rng.random_range(0..=mood.inserts + mood.updates + mood.deletes);
                    let chosen = documents.range(rng.random_range(0..=next)..).next().map(|(id, _)| *id);
                    match chosen {
                        Some(id) if dice > mood.inserts + mood.updates => {
                            documents.remove(&id);
                            behind.tombstones += 1;
                        }
                        Some(_) if dice > mood.inserts => {}
                        _ => {
                            documents.insert(next, false);
                            next += 1;
                        }
                    }
                    behind.rows += 1;
                    came += 1;
                    waiting += 1;
                    if waiting < a_run {
                        continue;
                    }
                    waiting = 0;
                    let now = documents.len() as u64;
                    prop_assert!(now <= behind.documents());
                    if RULE.is_outgrown(behind) {
                        written += now;
                        bases += 1;
                        behind = Behind { base: now, ..Behind::default() };
                    }
                    let read = behind.base + behind.rows;
                    prop_assert!(read <= 5 * now + 2 * RULE.floor, "{read} rows are read for {now} documents");
                }
            }
            prop_assert!(2 * written <= 3 * came, "{written} rows were written for {came} that came");
            prop_assert!(bases * RULE.floor <= came, "{bases} bases for {came} rows");
        }
    }
}
