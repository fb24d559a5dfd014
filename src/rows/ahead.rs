//! The batches of several data files, one after another, decoded on a thread of their own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::{
    feed::{Feed, Outlet},
    files::Part,
};
use crate::{data::WantedRows, error::Result};

/// Files that are opened ahead, so that their footers come while others are decoded: at most 128 KiB each, and of a small
/// file that is all.
const OPEN: usize = 8;

/// Reads what is wanted of `parts`, in their order.
pub(crate) fn read_ahead(store: Arc<dyn ObjectStore>, parts: Vec<(Part, WantedRows)>) -> Result<Feed<RecordBatch>> {
    if parts.is_empty() {
        return Ok(Feed::empty());
    }
    Feed::start(move |runtime, outlet| runtime.block_on(read(store, parts, outlet)))
}

async fn read(store: Arc<dyn ObjectStore>, parts: Vec<(Part, WantedRows)>, outlet: &Outlet<RecordBatch>) -> Result<()> {
    let opened = stream::iter(parts).map(|(part, wanted)| {
        let store = Arc::clone(&store);
        async move { part.open(store, &wanted).await }
    });
    let mut opened = std::pin::pin!(opened.buffered(OPEN));
    while let Some(reader) = opened.next().await {
        let mut reader = reader?;
        while let Some(batch) = reader.next().await? {
            if !outlet.send(batch).await {
                return Ok(());
            }
        }
    }
    Ok(())
}
