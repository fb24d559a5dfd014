//! Live files as one sorted stream: those of the parts that a head names, merged with what the commits after it added and
//! removed.
//!
//! A part that is lost or damaged only repeats what commits say: it is made again from the log, with one walk over it for all
//! that are lost, and told as a finding.
//!
//! Memory: the files of one part, those of a table in one month; a few parts on their way, packed; and of the changes at most
//! what [`Changes`] holds, once more where parts are made again.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    changes::{Change, Changes, SortedChanges, key},
    commit::json_text,
    commits,
    head::Head,
    log::Log,
    parts::{self, Key, Part},
};
use crate::{
    data::DataFile,
    document::TableRef,
    error::{Error, ErrorKind, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    sum::Sum,
};

/// Parts that are read ahead.
const PARTS_AHEAD: usize = 4;

/// Which live files are wanted.
#[derive(Debug, Clone)]
pub(super) enum WantedFiles {
    /// All of them.
    All,
    /// Those of these tables.
    Tables(BTreeSet<TableRef>),
    /// Those of these tables and months.
    Parts(BTreeSet<Key>),
}

impl WantedFiles {
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
    changes: SortedChanges,
    change: Option<Change>,
}

impl LiveFiles {
    /// The files that live at `head`.
    pub(super) async fn open(log: &Log, head: &Head, wanted: WantedFiles, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let after = head.anchor().map_or(0, |anchor| anchor.version);
        let mut changes = Changes::default();
        let mut last = None;
        commits::replay(log, after, head.version(), |stored| {
            let version = stored.commit.version;
            if last.replace(stored.digest).is_some_and(|before| before != stored.commit.previous) {
                return Err(Error::corrupt(format!("{} does not fit the commits before it", layout::commit(version))));
            }
            changes.push_commit(stored.commit, |table, month| wanted.has(table, month))
        })
        .await?;
        if last.is_some_and(|digest| digest != head.digest()) {
            let path = layout::commit(head.version());
            return Err(Error::corrupt(format!("{path} has changed since it was read; restore it from a copy")));
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

/// The files of the parts that the head's anchor names.
fn listed(
    log: Log,
    head: &Head,
    wanted: WantedFiles,
    monitor: Arc<dyn Monitor>,
) -> BoxStream<'static, Result<DataFile>> {
    let named: Vec<Part> = parts::anchored(head).filter(|part| wanted.has(&part.key.0, &part.key.1)).collect();
    let version = head.anchor().map_or(0, |anchor| anchor.version);
    let from_log = FromLog { log: log.clone(), version, wanted, live: None };
    let reads = stream::iter(named)
        .map(move |part| {
            let store = Arc::clone(log.store());
            async move {
                let read = parts::read(store.as_ref(), &part).await;
                (part, read)
            }
        })
        .buffered(PARTS_AHEAD);
    let parts = stream::try_unfold((reads.boxed(), from_log), move |(mut reads, mut from_log)| {
        let monitor = Arc::clone(&monitor);
        async move {
            let Some((part, read)) = reads.next().await else { return Ok::<_, Error>(None) };
            let files = match read {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let why = error.to_string();
                    monitor.report(Event::Finding(&Finding::PartLost { path: part.path(), why }));
                    from_log.files(&part).await?
                }
                read => read?,
            };
            Ok(Some((stream::iter(files.into_iter().map(Ok)), (reads, from_log))))
        }
    });
    parts.try_flatten().boxed()
}

/// Lost parts, made again from the log, which is read once, for the first of them.
struct FromLog {
    log: Log,
    version: u64,
    wanted: WantedFiles,
    /// The files of that part and those behind it, and the next of them.
    live: Option<(LiveFiles, Option<DataFile>)>,
}

impl FromLog {
    /// The files of the part, which is behind those that were asked for before.
    ///
    /// # Errors
    /// Corrupt, if what the log says is not what the head says.
    async fn files(&mut self, part: &Part) -> Result<Vec<DataFile>> {
        let (mut live, mut next) = match self.live.take() {
            Some(live) => live,
            None => {
                let mut live = live_from(&self.log, self.version, &self.wanted, &part.key).await?;
                let first = live.next().await?;
                (live, first)
            }
        };
        let (mut files, mut sum) = (Vec::new(), Sum::default());
        while let Some(file) = next {
            match (&file.table, file.month.as_str()).cmp(&(&part.key.0, part.key.1.as_str())) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    sum.add(&json_text(&file)?);
                    files.push(file);
                }
                std::cmp::Ordering::Greater => {
                    next = Some(file);
                    break;
                }
            }
            next = live.next().await?;
        }
        self.live = Some((live, next));
        if sum == part.month.lines {
            return Ok(files);
        }
        let (table, month) = &part.key;
        Err(Error::corrupt(format!("the files of {table} in {month} do not match the commits")))
    }
}

/// The wanted files at `version` of the part with this key, and of those behind it, from the log alone.
async fn live_from(log: &Log, version: u64, wanted: &WantedFiles, first: &Key) -> Result<LiveFiles> {
    let mut changes = Changes::default();
    let wanted =
        |table: &TableRef, month: &str| wanted.has(table, month) && (table, month) >= (&first.0, first.1.as_str());
    commits::replay(log, 0, version, |stored| changes.push_commit(stored.commit, wanted)).await?;
    let mut changes = changes.sorted()?;
    let change = changes.next()?;
    Ok(LiveFiles { listed: stream::empty().boxed(), line: None, changes, change })
}
