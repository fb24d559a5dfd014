//! Documents of a table by the number in their ids.
//!
//! A table has one number at a time. So where there are several, the one that was written last (tombstones are written too) is the
//! table's, and the documents of others are of a table of that name that was dropped before: Convex writes no tombstones then.
//!
//! # Why the list of files is mostly enough
//! An id begins with its table's number, and its text sorts as its bytes do. So if the least and the largest `_id` of a file
//! bear one number, all between them do. Only where files show several numbers the keys are read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    damage::Damage,
    files::{Part, TableFiles},
    moment::base_at,
    state::State,
};
use crate::{
    archive::{Archive, Base, Head},
    budget::MemoryBudget,
    document::{Timestamp, table_number},
    error::Result,
};

/// Documents with one table number, where those of a table have several: the table was dropped and made anew, and Convex
/// wrote no tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// The number in their ids.
    pub number: u32,
    /// How many there are.
    pub documents: u64,
    /// When the last of them was written or deleted, nanoseconds.
    #[serde(skip)]
    pub written: Timestamp,
}

/// The numbers of the least and the largest `_id` of a file.
pub(crate) fn numbers_of(part: &Part) -> (Option<u32>, Option<u32>) {
    let number = |id: &str| table_number(id);
    part.ids.as_ref().map_or((None, None), |(least, largest)| (number(least), number(largest)))
}

/// The numbers that the files of a state show.
pub(crate) fn numbers_at(files: &TableFiles, base: &Base, at: Timestamp) -> BTreeSet<u32> {
    let numbers = files.of_state(base, at).map(numbers_of);
    numbers.flat_map(|(least, largest)| least.into_iter().chain(largest)).collect()
}

/// The documents of a table at a moment by their number: the table's own last, also if it holds none.
pub(crate) async fn generations(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    at: Timestamp,
    budget: MemoryBudget,
    damage: Option<Damage>,
) -> Result<Vec<Generation>> {
    let mut state = State::of_keys_and_tombstones(archive, head, files, at, budget, damage)?;
    let mut found: BTreeMap<u32, Generation> = BTreeMap::new();
    while let Some(batch) = state.next().await? {
        for row in 0..batch.len() {
            let Some(number) = table_number(batch.id(row)) else { continue };
            let written = batch.ts(row);
            let generation = found.entry(number).or_insert(Generation { number, documents: 0, written });
            generation.documents += u64::from(!batch.is_tombstone(row));
            generation.written = generation.written.max(written);
        }
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|generation| (generation.written, generation.number));
    Ok(all)
}

/// What earlier tables of the name have left behind.
pub(crate) async fn left_behind(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    at: Timestamp,
    budget: MemoryBudget,
    damage: Option<Damage>,
) -> Result<Vec<Generation>> {
    let (_, base) = base_at(head, &files.table, at)?;
    if numbers_at(files, base, at).len() < 2 {
        return Ok(Vec::new());
    }
    let mut all = generations(archive, head, files, at, budget, damage).await?;
    all.pop();
    all.retain(|generation| generation.documents > 0);
    Ok(all)
}
