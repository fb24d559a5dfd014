//! Parts: the live files of one table in one month, as lines, in an object of their own.
//!
//! Nothing that grows with the number of files is written whole each time: a head names for each table and month the commit that
//! last changed it, and that number is in the name of the part. So the log alone says which parts there are, and when each was
//! superseded; and since a part follows from the log, two writers write the same one. It is put if absent; one that exists
//! is read back and compared.
//!
//! The head has count and sum of a part's lines, and a commit has the sum over all: what is altered, left out or doubled in a
//! part is found when it is read. Nothing is lost with it: it is made again from the log.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{
    checkpoint::{damaged, pack, unpack},
    commit::json_line,
    head::{Head, tables::Month},
};
use crate::{
    data::DataFile,
    document::TableRef,
    error::{Error, ErrorKind, Result},
    layout::{self, CHECKPOINT_EVERY},
    store::{self, PutNew, store_error},
    sum::Sum,
};

/// Parts that are written at the same time.
const AT_ONCE: usize = 8;

/// Parts that are looked at with each checkpoint.
const LOOKED_AT: usize = 64;

/// Which part: a table and a month (first day).
pub(crate) type Key = (TableRef, String);

/// A part that a head names.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) key: Key,
    /// The folder of the table.
    pub(super) folder: String,
    pub(crate) month: Month,
}

impl Part {
    pub(crate) fn path(&self) -> String {
        layout::part(&self.folder, &self.key.1, self.month.version)
    }
}

/// The parts that the head's anchor names, sorted by key.
pub(super) fn anchored(head: &Head) -> impl Iterator<Item = Part> {
    let states = head.anchor().into_iter().flat_map(|anchor| anchor.tables.values());
    states.flat_map(|state| {
        state.months.iter().map(|(name, month)| Part {
            key: (state.table.clone(), name.clone()),
            folder: state.folder.clone(),
            month: *month,
        })
    })
}

/// The files of a part, sorted by path.
///
/// # Errors
/// Corrupt, if it is missing, or is not what the head says.
pub(super) async fn read(store: &dyn ObjectStore, part: &Part) -> Result<Vec<DataFile>> {
    let path = part.path();
    let Some(bytes) = store::get(store, &path).await? else {
        return Err(Error::corrupt(format!("{path} is missing; it only repeats what the commits contain")));
    };
    let text = unpack(&path, &bytes)?;
    let (mut files, mut sum) = (Vec::new(), Sum::default());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        files.push(serde_json::from_slice(line).map_err(|e| damaged(&path).with_source(e))?);
        sum.add(line);
    }
    if sum == part.month.lines { Ok(files) } else { Err(damaged(&path)) }
}

/// The parts of `head` that are not written yet, as far as its anchor tells.
pub(super) fn unwritten(head: &Head) -> Vec<Key> {
    let known = |table: &TableRef, month: &str| {
        let state = head.anchor()?.tables.get(table)?;
        state.months.get(month).map(|month| month.version)
    };
    let mut keys = Vec::new();
    for state in head.tables() {
        let changed = state.months.iter().filter(|(name, month)| known(&state.table, name) != Some(month.version));
        keys.extend(changed.map(|(name, _)| (state.table.clone(), name.clone())));
    }
    keys
}

/// The parts of `head`'s anchor that are lost or damaged, of those that are looked at with this version's checkpoint: always
/// as many at most, in turn, so that no run's work grows with their number.
///
/// # Errors
/// As the store says.
pub(super) async fn lost(store: &Arc<dyn ObjectStore>, head: &Head) -> Result<Vec<Key>> {
    let turns = anchored(head).count().div_ceil(LOOKED_AT).max(1);
    let turn = (head.version() / CHECKPOINT_EVERY) as usize % turns;
    let looked_at: Vec<_> = anchored(head).skip(turn * LOOKED_AT).take(LOOKED_AT).collect();
    let lost: Vec<Option<Key>> = stream::iter(looked_at)
        .map(|part| async move {
            match read(store.as_ref(), &part).await {
                Ok(_) => Ok(None),
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Some(part.key)),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(lost.into_iter().flatten().collect())
}

/// Writes parts whose files come one after another, sorted by table, month and path.
pub(super) async fn write(
    store: &Arc<dyn ObjectStore>,
    head: &Head,
    files: BoxStream<'static, Result<DataFile>>,
) -> Result<()> {
    let parts = stream::try_unfold(
        (files, None),
        |(mut files, first): (BoxStream<'static, Result<DataFile>>, Option<DataFile>)| async move {
            let first = match first {
                Some(first) => first,
                None => match files.try_next().await? {
                    Some(first) => first,
                    None => return Ok::<_, Error>(None),
                },
            };
            let key = (first.table.clone(), first.month.clone());
            let mut text = json_line(&first)?.to_vec();
            while let Some(file) = files.try_next().await? {
                if (&file.table, &file.month) != (&key.0, &key.1) {
                    return Ok(Some(((key, text), (files, Some(file)))));
                }
                text.extend_from_slice(&json_line(&file)?);
            }
            Ok(Some(((key, text), (files, None))))
        },
    );
    parts
        .try_for_each_concurrent(AT_ONCE, |((table, month), text)| async move {
            put(store, head, &table, &month, &text).await
        })
        .await
}

async fn put(store: &Arc<dyn ObjectStore>, head: &Head, table: &TableRef, month: &str, text: &[u8]) -> Result<()> {
    let named = head.table(table).and_then(|state| Some((state.folder.clone(), *state.months.get(month)?)));
    let Some((folder, named)) = named else {
        return Err(Error::internal(format!("a part of {table} that the head does not name")));
    };
    let part = Part { key: (table.clone(), month.to_owned()), folder, month: named };
    let mut sum = Sum::default();
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| sum.add(line));
    if sum != named.lines {
        return Err(Error::internal(format!("the live files of {table} in {month} are not those of the head")));
    }
    let path = part.path();
    let bytes = pack(text)?;
    match store::put_new(store, &path, bytes.clone().into()).await? {
        PutNew::Created => Ok(()),
        // Another writer's, or one of ours that was not named: the same, unless it is damaged.
        PutNew::Exists if read(store, &part).await.is_ok() => Ok(()),
        PutNew::Exists => store
            .put(&Path::from(path.as_str()), bytes.into())
            .await
            .map(drop)
            .map_err(|e| store_error(e, &format!("cannot write {path}"))),
    }
}
