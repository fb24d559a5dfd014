//! What commits add and remove, sorted by file: in memory up to [`MemoryBudget::CHANGES`] bytes; what is more lies sorted in
//! temporary files, without a name, that vanish with the process.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Seek, Write},
};

use serde::{Deserialize, Serialize};

use super::commit::{Commit, RemovedFile};
use crate::{
    budget::MemoryBudget,
    data::DataFile,
    document::TableRef,
    error::{Error, Result},
    layout, temporary,
};

pub(super) fn key(file: &DataFile) -> (&TableRef, &str, &str) {
    (&file.table, &file.month, &file.path)
}

/// One file, added or removed by one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    version: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    Add(Box<DataFile>),
    Remove(Box<RemovedFile>),
}

impl Change {
    pub(super) fn key(&self) -> (&TableRef, &str, &str) {
        match &self.what {
            What::Add(file) => key(file),
            What::Remove(file) => (&file.table, &file.month, &file.path),
        }
    }

    fn order(&self) -> ((&TableRef, &str, &str), u64) {
        (self.key(), self.version)
    }

    /// The file, if the change adds it.
    pub(super) fn into_added(self) -> Option<DataFile> {
        match self.what {
            What::Add(file) => Some(*file),
            What::Remove(_) => None,
        }
    }

    pub(super) fn apply(self, alive: Option<DataFile>) -> Result<Option<DataFile>> {
        let commit = layout::commit(self.version);
        match (self.what, alive) {
            (What::Add(mut file), None) => {
                file.brought_by.get_or_insert(self.version);
                Ok(Some(*file))
            }
            (What::Remove(file), Some(alive)) if RemovedFile::of(&alive)? == *file => Ok(None),
            (What::Add(file), Some(_)) => {
                Err(Error::corrupt(format!("{commit} adds {}, which was already live", file.path)))
            }
            (What::Remove(file), _) => {
                Err(Error::corrupt(format!("{commit} removes {}, which was not live", file.path)))
            }
        }
    }
}

/// Gathers changes.
pub(super) struct Changes {
    limit: usize,
    held: Vec<Change>,
    bytes: usize,
    runs: Vec<BufReader<File>>,
}

impl Default for Changes {
    fn default() -> Self {
        Self::new(MemoryBudget::CHANGES)
    }
}

impl Changes {
    fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    /// Takes what the commit changes in the wanted tables and months.
    pub(super) fn push_commit(&mut self, commit: Commit, wanted: impl Fn(&TableRef, &str) -> bool) -> Result<()> {
        let version = commit.version;
        let add = commit.draft.add.into_iter().filter(|f| wanted(&f.table, &f.month));
        let remove = commit.draft.remove.into_iter().filter(|f| wanted(&f.table, &f.month));
        let changes = add.map(|f| What::Add(f.into())).chain(remove.map(|f| What::Remove(f.into())));
        changes.map(|what| Change { version, what }).try_for_each(|change| self.push(change))
    }

    fn push(&mut self, change: Change) -> Result<()> {
        self.bytes += match &change.what {
            // Allocations around the texts; the maps of misfits count by their texts.
            What::Add(f) => {
                let misfits: usize = f.misfits.iter().map(|(p, k)| p.len() + 96 + k.len() * 64).sum();
                768 + f.path.len() + misfits
            }
            What::Remove(f) => 512 + f.path.len(),
        };
        self.held.push(change);
        if self.bytes >= self.limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.held.sort_by(|a, b| a.order().cmp(&b.order()));
        let file = temporary::file()?;
        let write = || -> std::io::Result<BufReader<File>> {
            let mut file = BufWriter::new(file);
            for change in self.held.drain(..) {
                serde_json::to_writer(&mut file, &change)?;
                file.write_all(b"\n")?;
            }
            let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok(BufReader::new(file))
        };
        let run = write().map_err(temporary::failed)?;
        self.runs.push(run);
        self.bytes = 0;
        Ok(())
    }

    pub(super) fn sorted(mut self) -> Result<SortedChanges> {
        self.held.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut sorted = SortedChanges { heads: Vec::new(), runs: vec![Sequence::Held(self.held.into_iter())] };
        sorted.runs.extend(self.runs.into_iter().map(Sequence::Spilled));
        for run in &mut sorted.runs {
            sorted.heads.push(run.next()?);
        }
        Ok(sorted)
    }
}

/// The changes in order.
pub(super) struct SortedChanges {
    heads: Vec<Option<Change>>,
    runs: Vec<Sequence>,
}

enum Sequence {
    Held(std::vec::IntoIter<Change>),
    Spilled(BufReader<File>),
}

impl SortedChanges {
    pub(super) fn next(&mut self) -> Result<Option<Change>> {
        let heads = self.heads.iter().enumerate().filter_map(|(i, h)| Some((i, h.as_ref()?)));
        let Some((i, _)) = heads.min_by(|(_, a), (_, b)| a.order().cmp(&b.order())) else { return Ok(None) };
        let next = self.runs[i].next()?;
        Ok(std::mem::replace(&mut self.heads[i], next))
    }
}

impl Sequence {
    fn next(&mut self) -> Result<Option<Change>> {
        match self {
            Self::Held(changes) => Ok(changes.next()),
            Self::Spilled(run) => {
                let mut line = String::new();
                if run.read_line(&mut line).map_err(temporary::failed)? == 0 {
                    return Ok(None);
                }
                serde_json::from_str(&line).map(Some).map_err(|e| temporary::failed(e.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::testing;

    proptest! {
        /// Few names and a tiny limit, so that one file comes and goes across many runs.
        #[test]
        fn changes_come_out_in_order_however_often_they_were_spilled(
            names in proptest::collection::vec((0u8..6, any::<bool>()), 0..60), limit in 1usize..4000
        ) {
            let mut changes = Changes::new(limit);
            let mut oracle = Vec::new();
            for (version, (name, add)) in (1u64..).zip(names) {
                let file = testing::delta("a", name.into(), 1, 1);
                let what = if add { What::Add(file.into()) } else { What::Remove(Box::new(RemovedFile::of(&file).unwrap())) };
                let change = Change { version, what };
                oracle.push(change.clone());
                changes.push(change).unwrap();
            }
            oracle.sort_by(|a, b| a.order().cmp(&b.order()));
            let mut sorted = changes.sorted().unwrap();
            for expected in oracle {
                prop_assert_eq!(sorted.next().unwrap(), Some(expected));
            }
            prop_assert_eq!(sorted.next().unwrap(), None);
        }
    }
}
