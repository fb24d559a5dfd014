//! Live files as one sorted stream: the lines of a checkpoint, merged with what the commits after it added and removed.
//!
//! Memory: one line of the checkpoint, and of the changes at most
//! [`MemoryBudget::CHANGES`] bytes: what is more lies sorted in temporary
//! files, without a name, that vanish with the process.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Seek, Write},
};

use futures::{StreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};

use crate::{
    budget::MemoryBudget,
    data::DataFile,
    document::TableRef,
    error::{Error, Result},
    layout, temporary,
};

use super::{
    checkpoint::Checkpoint,
    commit::{Commit, RemovedFile},
    log::Log,
    manifest::Head,
};

/// All files that live at one version, sorted by table and path.
///
/// Guarantee: each commit since the checkpoint added only files that did not live and removed only files that did;
/// otherwise the stream ends with a Corrupt error. Each file says which commit brought its rows (`brought_by`).
pub struct LiveFiles {
    checkpoint: Option<Checkpoint>,
    line: Option<DataFile>,
    changes: Sorted,
    change: Option<Change>,
}

impl LiveFiles {
    /// The files that live at `head`.
    pub(super) async fn open(log: &Log, head: &Head) -> Result<Self> {
        let mut checkpoint = match log.checkpoint_at(head.version()).await? {
            Some(version) => Checkpoint::open(log.store(), version).await?,
            None => None,
        };
        let (after, mut before) = match &checkpoint {
            Some(c) => (c.head().version(), Some(c.head().digest().to_owned())),
            None => (0, None),
        };
        let mut changes = Changes::new(MemoryBudget::CHANGES);
        log.replay(after, head.version(), |stored| {
            let previous = before.replace(stored.digest);
            if previous.is_some_and(|p| p != stored.commit.previous) {
                let path = layout::commit(stored.commit.version);
                return Err(Error::corrupt(format!("{path} does not follow on what is before it")));
            }
            changes.push_commit(stored.commit)
        })
        .await?;
        if before.is_some_and(|digest| digest != head.digest()) {
            let path = layout::commit(head.version());
            return Err(Error::corrupt(format!("{path} is not the one that was read before; restore it from a copy")));
        }
        let line = match &mut checkpoint {
            Some(c) => c.next().await?,
            None => None,
        };
        let mut changes = changes.sorted()?;
        let change = changes.next()?;
        Ok(Self { checkpoint, line, changes, change })
    }

    /// The next file; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<DataFile>> {
        loop {
            let line_first = match (&self.line, &self.change) {
                (None, None) => return Ok(None),
                (Some(line), Some(change)) => (&line.table, &line.path) < change.key(),
                (line, _) => line.is_some(),
            };
            if line_first {
                return self.next_line().await;
            }
            let Some(mut change) = self.change.take() else { return Ok(None) };
            let listed = self.line.as_ref().is_some_and(|l| (&l.table, &l.path) == change.key());
            let mut alive = if listed { self.next_line().await? } else { None };
            loop {
                let next = self.changes.next()?;
                let same = next.as_ref().is_some_and(|n| n.key() == change.key());
                alive = change.apply(alive)?;
                match next {
                    Some(next) if same => change = next,
                    next => {
                        self.change = next;
                        break;
                    }
                }
            }
            if alive.is_some() {
                return Ok(alive);
            }
        }
    }

    /// As a stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<DataFile>> {
        stream::try_unfold(self, |mut files| async move { Ok(files.next().await?.map(|f| (f, files))) }).boxed()
    }

    /// Takes the held line and reads the next.
    async fn next_line(&mut self) -> Result<Option<DataFile>> {
        let next = match &mut self.checkpoint {
            Some(c) => c.next().await?,
            None => None,
        };
        Ok(std::mem::replace(&mut self.line, next))
    }
}

/// One file, added or removed by one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    version: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    Add(Box<DataFile>),
    Remove(Box<RemovedFile>),
}

impl Change {
    fn key(&self) -> (&TableRef, &String) {
        match &self.what {
            What::Add(file) => (&file.table, &file.path),
            What::Remove(file) => (&file.table, &file.path),
        }
    }

    fn order(&self) -> ((&TableRef, &String), u64) {
        (self.key(), self.version)
    }

    fn apply(self, alive: Option<DataFile>) -> Result<Option<DataFile>> {
        let commit = layout::commit(self.version);
        match (self.what, alive) {
            (What::Add(mut file), None) => {
                file.brought_by.get_or_insert(self.version);
                Ok(Some(*file))
            }
            (What::Remove(file), Some(alive)) if RemovedFile::from(&alive) == *file => Ok(None),
            (What::Add(file), Some(_)) => {
                Err(Error::corrupt(format!("{commit} adds {}, which was already live", file.path)))
            }
            (What::Remove(file), _) => {
                Err(Error::corrupt(format!("{commit} removes {}, which was not live", file.path)))
            }
        }
    }
}

/// Gathers changes, in memory up to a limit.
struct Changes {
    limit: usize,
    held: Vec<Change>,
    bytes: usize,
    runs: Vec<BufReader<File>>,
}

impl Changes {
    fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    fn push_commit(&mut self, commit: Commit) -> Result<()> {
        let version = commit.version;
        let add = commit.draft.add.into_iter().map(|f| What::Add(f.into()));
        let remove = commit.draft.remove.into_iter().map(|f| What::Remove(f.into()));
        add.chain(remove).try_for_each(|what| self.push(Change { version, what }))
    }

    fn push(&mut self, change: Change) -> Result<()> {
        self.bytes += match &change.what {
            // Allocations around the texts; the maps of misfits count by their texts.
            What::Add(f) => {
                let misfits: usize = f.misfits.iter().map(|(p, k)| p.len() + 96 + k.len() * 64).sum();
                640 + f.path.len() + f.min_id.len() + f.max_id.len() + misfits
            }
            What::Remove(f) => 384 + f.path.len(),
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

    fn sorted(mut self) -> Result<Sorted> {
        self.held.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut sorted = Sorted { heads: Vec::new(), runs: vec![Sequence::Held(self.held.into_iter())] };
        sorted.runs.extend(self.runs.into_iter().map(Sequence::Spilled));
        for run in &mut sorted.runs {
            sorted.heads.push(run.next()?);
        }
        Ok(sorted)
    }
}

/// The changes in order.
struct Sorted {
    heads: Vec<Option<Change>>,
    runs: Vec<Sequence>,
}

enum Sequence {
    Held(std::vec::IntoIter<Change>),
    Spilled(BufReader<File>),
}

impl Sorted {
    fn next(&mut self) -> Result<Option<Change>> {
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
                let what = if add { What::Add(file.into()) } else { What::Remove(Box::new((&file).into())) };
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
