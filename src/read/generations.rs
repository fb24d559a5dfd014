//! Documents of a table by the number in their ids.
//!
//! A table has one number at a time. So where there are several, those of the number that was written last are the table's, and
//! the others are of a table of that name that was dropped before: Convex writes no tombstones then.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::{Timestamp, table_number};

/// Documents with one table number, where those of a table have several: the table was dropped and made anew, and Convex
/// wrote no tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// The number in their ids.
    pub number: u32,
    /// How many there are.
    pub documents: u64,
    /// When the last of them was written, nanoseconds.
    #[serde(skip)]
    pub written: Timestamp,
}

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Generations(BTreeMap<u32, Generation>);

impl Generations {
    /// A live document, written at `written`. What is no id of Convex has no number.
    pub(super) fn count(&mut self, id: &str, written: Timestamp) {
        let Some(number) = table_number(id) else { return };
        let generation = self.0.entry(number).or_insert(Generation { number, documents: 0, written });
        generation.documents += 1;
        generation.written = generation.written.max(written);
    }

    /// All of them: the table's own last.
    pub(super) fn into_sorted(self) -> Vec<Generation> {
        let mut all: Vec<_> = self.0.into_values().collect();
        all.sort_by_key(|generation| (generation.written, generation.number));
        all
    }
}
