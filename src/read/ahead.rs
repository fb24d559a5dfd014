//! [`Ahead`]: the batches of several data files, one after another, decoded on a thread of their own.
//!
//! The thread is owned by its channel: it ends by itself when nobody listens any more. While it decodes, the footers of
//! the next files are on their way.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use tokio::{runtime::Handle, sync::mpsc};

use super::files::Part;
use crate::{
    data::Wanted,
    error::{Error, Result},
};

/// Files whose footers are read ahead, at most 64 KiB each: what a small file takes in the end is one request.
const FOOTERS: usize = 8;

/// Batches on their way.
pub(super) struct Ahead {
    batches: mpsc::Receiver<Result<Option<RecordBatch>>>,
    ended: bool,
}

impl Ahead {
    /// Reads what is wanted of `parts`, in their order. One batch waits in the channel, one is being made.
    ///
    /// # Errors
    /// Internal, outside a tokio runtime.
    pub(super) fn read(store: Arc<dyn ObjectStore>, parts: Vec<(Part, Wanted)>) -> Result<Self> {
        let (sender, batches) = mpsc::channel(1);
        if parts.is_empty() {
            return Ok(Self { batches, ended: true });
        }
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("data files are read outside the runtime").with_source(e))?;
        runtime.clone().spawn_blocking(move || {
            let end = match runtime.block_on(read(store, parts, &sender)) {
                Ok(()) => Ok(None),
                Err(error) => Err(error),
            };
            // Whoever stopped listening does not want to know.
            let _ = sender.blocking_send(end);
        });
        Ok(Self { batches, ended: false })
    }

    /// The next batch; None after the last. For threads of their own: it waits.
    pub(super) fn next_blocking(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.batches.blocking_recv();
        self.take(next)
    }

    /// The next batch; None after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.batches.recv().await;
        self.take(next)
    }

    fn take(&mut self, next: Option<Result<Option<RecordBatch>>>) -> Result<Option<RecordBatch>> {
        let next = next.unwrap_or_else(|| Err(Error::internal("the reader of data files ended too early")));
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }
}

async fn read(
    store: Arc<dyn ObjectStore>,
    parts: Vec<(Part, Wanted)>,
    sender: &mpsc::Sender<Result<Option<RecordBatch>>>,
) -> Result<()> {
    let opened = stream::iter(parts).map(|(part, wanted)| {
        let store = Arc::clone(&store);
        async move { part.open(store, &wanted).await }
    });
    let mut opened = std::pin::pin!(opened.buffered(FOOTERS));
    while let Some(reader) = opened.next().await {
        let mut reader = reader?;
        while let Some(batch) = reader.next().await? {
            if sender.send(Ok(Some(batch))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
