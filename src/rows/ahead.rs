//! The batches of several data files, one after another, decoded on a thread of their own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::{
    damage::Damage,
    feed::{Feed, Outlet},
    files::Part,
};
use crate::{
    data::{FileReader, WantedRows},
    error::{Error, ErrorKind, Result},
};

/// Files that are opened ahead, so that their footers come while others are decoded: at most 128 KiB each, and of a small
/// file that is all.
const OPEN: usize = 8;

/// Reads what is wanted of `parts`, in their order. With `damage` it leaves out the rows that cannot be read, and
/// lists them there.
pub(crate) fn read_ahead(
    store: Arc<dyn ObjectStore>,
    parts: Vec<(Part, WantedRows)>,
    damage: Option<Damage>,
) -> Result<Feed<RecordBatch>> {
    if parts.is_empty() {
        return Ok(Feed::empty());
    }
    Feed::start(move |runtime, outlet| runtime.block_on(read(store, parts, damage, outlet)))
}

async fn read(
    store: Arc<dyn ObjectStore>,
    parts: Vec<(Part, WantedRows)>,
    damage: Option<Damage>,
    outlet: &Outlet<RecordBatch>,
) -> Result<()> {
    let opened = stream::iter(parts).map(|(part, wanted)| {
        let store = Arc::clone(&store);
        async move {
            let reader = part.open(store, &wanted).await;
            (part, reader)
        }
    });
    let mut opened = std::pin::pin!(opened.buffered(OPEN));
    while let Some((part, reader)) = opened.next().await {
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                pass(damage.as_ref(), &part, part.file.rows, error)?;
                continue;
            }
        };
        if !hand_on(&part, &mut reader, damage.as_ref(), outlet).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// All batches of one file. False, if nobody wants them any more.
async fn hand_on(
    part: &Part,
    reader: &mut FileReader,
    damage: Option<&Damage>,
    outlet: &Outlet<RecordBatch>,
) -> Result<bool> {
    let mut lost = 0;
    loop {
        match reader.next().await {
            Ok(Some(batch)) => {
                if !outlet.send(batch).await {
                    return Ok(false);
                }
            }
            Ok(None) => return Ok(true),
            Err(error) => {
                let (more, rows) = reader.pass_group();
                lost += rows;
                pass(damage, part, lost, error)?;
                if !more {
                    return Ok(true);
                }
            }
        }
    }
}

/// Lists that `lost` rows of a file cannot be read, if that is accepted.
fn pass(damage: Option<&Damage>, part: &Part, lost: u64, error: Error) -> Result<()> {
    match damage {
        Some(damage) if error.kind() == ErrorKind::Corrupt => {
            damage.add(&part.file, lost, &error);
            Ok(())
        }
        _ => Err(error),
    }
}
