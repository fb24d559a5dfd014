//! [`Sample`]: which data files are read where not all are. Which, the path and a seed say alone, so verifications with ascending
//! seeds read different files, and after some of them each was read.

use serde::{Deserialize, Serialize};

use crate::{
    document::Timestamp,
    error::{Error, Result},
};

/// A share of all data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Percent of the files, about: 1 to 99.
    pub percent: u8,
    /// Which of the shares. `100 / percent` seeds in a row, rounded up, reach every file.
    pub seed: u64,
}

impl Sample {
    /// The share of this many percent that the seed chooses.
    ///
    /// # Errors
    /// Usage, if that is not 1 to 99.
    pub fn new(percent: u8, seed: u64) -> Result<Self> {
        if (1..100).contains(&percent) {
            Ok(Self { percent, seed })
        } else {
            Err(Error::usage(format!("a sample has 1% to 99% of the files, not {percent}%")))
        }
    }

    /// The seed of a day: days since 1970, UTC.
    pub fn seed_of(now: Timestamp) -> u64 {
        const DAY: i64 = 86_400_000_000_000;
        u64::try_from(now.0.div_euclid(DAY)).unwrap_or_default()
    }

    /// Whether the file at this path is in it.
    pub(super) fn takes(self, path: &str) -> bool {
        let place = u64::from(crc_fast::crc32_iscsi(path.as_bytes())) % 100;
        let percent = u64::from(self.percent);
        // Shares follow one another; the last one of a round may begin the next.
        let begin = self.seed % 100 * percent % 100;
        (place + 100 - begin) % 100 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_seeds_as_there_are_shares_reach_every_file_wherever_they_begin() {
        let paths: Vec<String> = (0..2_000).map(|n| format!("tables/a/revisions/{n:05}.parquet")).collect();
        for (percent, seeds) in [(10, 10), (50, 2), (1, 100), (30, 4), (99, 2)] {
            for begin in [0, 7, 20_787] {
                let reached = paths.iter().filter(|path| {
                    (begin..begin + seeds).any(|seed| Sample::new(percent, seed).is_ok_and(|s| s.takes(path)))
                });
                assert_eq!(reached.count(), paths.len(), "{percent}% from {begin}");
            }
        }
        let tenth = paths.iter().filter(|path| Sample { percent: 10, seed: 3 }.takes(path)).count();
        assert!((150..250).contains(&tenth), "{tenth}");
        assert!(Sample::new(0, 1).is_err() && Sample::new(100, 1).is_err());
    }
}
