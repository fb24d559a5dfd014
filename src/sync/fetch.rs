//! First stage: asks for page after page, as soon as the next position is known.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Stop, gather::now};
use crate::{
    convex::{Page, Source},
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    position::{Phase, Position, Progress},
};

/// Permits of a semaphore count KiB: its largest number is too small for bytes.
pub(super) const PERMIT: usize = 1024;

/// A page on its way to the next stage, and the memory that it holds.
pub(super) struct Fetched {
    pub(super) page: Page,
    /// When it came. It may wait for its turn, and what is written meanwhile is not in it.
    pub(super) at: Timestamp,
    pub(super) _held: OwnedSemaphorePermit,
}

/// Why there are no more pages.
#[derive(Debug)]
pub(super) enum End {
    /// The deployment has nothing more.
    CaughtUp,
    /// A stop was requested, or the next stage has ended.
    Stopped,
    /// What was asked for in this phase is older than the deployment keeps.
    TooOld(Phase, Error),
}

/// Sends the pages that follow `progress` until the deployment has nothing more: the rest of the snapshot, then deltas.
///
/// One page waits in the queue and one in hand, as far as `waiting` bytes allow; then no further one is asked for.
pub(super) async fn fetch(
    source: Arc<dyn Source>,
    progress: Progress,
    pages: mpsc::Sender<Fetched>,
    waiting: u64,
    stop: Stop,
) -> Result<End> {
    let all = (waiting as usize / PERMIT).max(1);
    let memory = Arc::new(Semaphore::new(all));
    let mut deltas = progress.delta.map(|d| d.position);
    let mut at = match (progress.walk, &deltas) {
        (Some(walk), _) => walk.position,
        (None, Some(position)) => position.clone(),
        (None, None) => source.snapshot_start(),
    };
    let work = async {
        loop {
            // Where one page takes the whole share, the next is not asked for before it is decoded.
            if memory.acquire().await.is_err() {
                return Ok(End::Stopped);
            }
            let page = match source.page(&at).await {
                Err(error) if error.kind() == ErrorKind::Window => return Ok(End::TooOld(at.phase(), error)),
                page => page?,
            };
            let answered = now();
            let caught_up = page.phase == Phase::Delta && !page.more;
            at = next(source.as_ref(), &page, &mut deltas)?;
            let size = (held(&page, waiting) as usize / PERMIT + 1).min(all) as u32;
            let Ok(held) = Arc::clone(&memory).acquire_many_owned(size).await else { return Ok(End::Stopped) };
            if pages.send(Fetched { page, at: answered, _held: held }).await.is_err() {
                return Ok(End::Stopped);
            }
            if caught_up {
                return Ok(End::CaughtUp);
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => Ok(End::Stopped),
        () = pages.closed() => Ok(End::Stopped),
        end = work => end,
    }
}

/// What a page takes of the bytes that may wait.
///
/// One in a temporary file takes half of them, for what is read of it at a time: so at most two lie there, one that is read
/// and the next one.
fn held(page: &Page, waiting: u64) -> u64 {
    let spans = std::mem::size_of_val(page.documents.as_slice()) as u64;
    spans + page.body.held().map_or(waiting / 2, |text| text.len() as u64)
}

/// Where to ask after `page`. A finished snapshot is followed by the deltas after the first S.
fn next(source: &dyn Source, page: &Page, deltas: &mut Option<Position>) -> Result<Position> {
    let after = deltas.get_or_insert_with(|| source.deltas_after(page.through));
    match (&page.next, page.phase) {
        (Some(next), Phase::Snapshot) => Ok(next.clone()),
        (None, Phase::Snapshot) => Ok(after.clone()),
        (Some(next), Phase::Delta) => {
            after.clone_from(next);
            Ok(next.clone())
        }
        (None, Phase::Delta) => Err(Error::internal("a page of deltas names no next position")),
    }
}
