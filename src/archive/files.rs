//! Live files as one sorted stream: those of the parts that a head names, merged with what the commits after it added and
//! removed.
//!
//! Memory: the files of one part, those of a table in one month; a few parts on their way, packed; and of the changes at most
//! [`MemoryBudget::CHANGES`] bytes: what is more lies sorted in temporary files, without a name, that vanish with the
//! process.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Seek, Write},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};

use super::{
    commit::{Commit, RemovedFile},
    commits,
    head::{Head, tables::Month},
    log::Log,
    parts::{self, Key},
};
use crate::{
    budget::MemoryBudget,
    data::DataFile,
    document::TableRef,
    error::{Error, ErrorKind, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    temporary,
};

/// Parts that are read ahead.
const PARTS_AHEAD: usize = 4;

/// Which live files are wanted.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// All of them.
    All,
    /// Those of these tables.
    Tables(BTreeSet<TableRef>),
    /// Those of these tables and months.
    Parts(BTreeSet<Key>),
}

impl Wanted {
    fn has(&self, table: &TableRef, month: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tables(tables) => tables.contains(table),
            Self::Parts(parts) => parts.contains(&(table.clone(), month.to_owned())),
        }
    }
}

/// The files that live at one version, sorted by table, month and path.
///
/// Guarantee: each commit since the parts were written added only files that did not live and removed only files that did,
/// with all that was known of them; otherwise the stream ends with a Corrupt error. Each file says which commit brought it
/// (`brought_by`).
pub struct LiveFiles {
    /// Of parts, in order.
    listed: BoxStream<'static, Result<DataFile>>,
    line: Option<DataFile>,
    changes: Sorted,
    change: Option<Change>,
}

impl LiveFiles {
    /// The files that live at `head`.
    pub(super) async fn open(log: &Log, head: &Head, wanted: Wanted, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let after = head.anchor().map_or(0, |anchor| anchor.version);
        let mut changes = Changes::new(MemoryBudget::CHANGES);
        let mut last = None;
        commits::replay(log, after, head.version(), |stored| {
            let version = stored.commit.version;
            if last.replace(stored.digest).is_some_and(|before| before != stored.commit.previous) {
                return Err(Error::corrupt(format!(
                    "{} does not follow on what is before it",
                    layout::commit(version)
                )));
            }
            changes.push_commit(stored.commit, &wanted)
        })
        .await?;
        if last.is_some_and(|digest| digest != head.digest()) {
            let path = layout::commit(head.version());
            return Err(Error::corrupt(format!("{path} is not the one that was read before; restore it from a copy")));
        }
        let mut listed = listed(log.clone(), head, wanted, monitor);
        let line = listed.try_next().await?;
        let mut changes = changes.sorted()?;
        let change = changes.next()?;
        Ok(Self { listed, line, changes, change })
    }

    /// The next file; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<DataFile>> {
        loop {
            let line_first = match (&self.line, &self.change) {
                (None, None) => return Ok(None),
                (Some(line), Some(change)) => key(line) < change.key(),
                (line, _) => line.is_some(),
            };
            if line_first {
                return self.next_line().await;
            }
            let Some(mut change) = self.change.take() else { return Ok(None) };
            let listed = self.line.as_ref().is_some_and(|line| key(line) == change.key());
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
        let next = self.listed.try_next().await?;
        Ok(std::mem::replace(&mut self.line, next))
    }
}

/// The files of the parts that the head's anchor names. A part that is lost is made again from the log.
fn listed(log: Log, head: &Head, wanted: Wanted, monitor: Arc<dyn Monitor>) -> BoxStream<'static, Result<DataFile>> {
    let Some(anchor) = head.anchor().cloned() else { return stream::empty().boxed() };
    let named: Vec<(Key, String, Month)> = anchor
        .tables
        .values()
        .flat_map(|state| {
            let months = state.months.iter().filter(|(name, _)| wanted.has(&state.table, name));
            months.map(|(name, month)| ((state.table.clone(), name.clone()), state.folder.clone(), *month))
        })
        .collect();
    stream::iter(named)
        .map(move |(key, folder, month)| {
            let (log, monitor, version) = (log.clone(), Arc::clone(&monitor), anchor.version);
            async move {
                match parts::read(log.store().as_ref(), &folder, &key.1, month).await {
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        let path = layout::part(&folder, &key.1, month.version);
                        monitor.report(Event::Finding(&Finding::PartLost { path, why: error.to_string() }));
                        parts::from_log(&log, version, &key).await
                    }
                    read => read,
                }
            }
        })
        .buffered(PARTS_AHEAD)
        .map_ok(|files| stream::iter(files.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

fn key(file: &DataFile) -> (&TableRef, &str, &str) {
    (&file.table, &file.month, &file.path)
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
    fn key(&self) -> (&TableRef, &str, &str) {
        match &self.what {
            What::Add(file) => key(file),
            What::Remove(file) => (&file.table, &file.month, &file.path),
        }
    }

    fn order(&self) -> ((&TableRef, &str, &str), u64) {
        (self.key(), self.version)
    }

    fn apply(self, alive: Option<DataFile>) -> Result<Option<DataFile>> {
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

    fn push_commit(&mut self, commit: Commit, wanted: &Wanted) -> Result<()> {
        let version = commit.version;
        let add = commit.draft.add.into_iter().filter(|f| wanted.has(&f.table, &f.month));
        let remove = commit.draft.remove.into_iter().filter(|f| wanted.has(&f.table, &f.month));
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
