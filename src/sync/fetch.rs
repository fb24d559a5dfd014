//! First stage: asks for page after page, as soon as the next position is known. It alone decides where the deltas begin.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{clock::Clock, steps::PERMIT, stop::Stop};
use crate::{
    archive::{Proof, ProofSource},
    convex::{Page, Source},
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    position::{DeltaCursor, Phase, Position, Progress},
};

/// A page on its way to the next stage, and the memory that it holds.
pub(super) struct FetchedPage {
    pub(super) page: Page,
    /// Where it was asked for.
    pub(super) asked: Position,
    /// Where the deltas begin, if this page told: the first one of the archive's first walk.
    pub(super) deltas_begin: Option<DeltaCursor>,
    /// When it came. It may wait for its turn, and what is written meanwhile is not in it.
    pub(super) at: Timestamp,
    /// What the deployment told of the rows of components before its first page of the pass, and after its last.
    pub(super) proofs: Vec<Proof>,
    pub(super) _held: OwnedSemaphorePermit,
}

impl FetchedPage {
    /// Whether the deployment had nothing more.
    pub(super) fn ends_the_log(&self) -> bool {
        ends_the_log(&self.page)
    }
}

fn ends_the_log(page: &Page) -> bool {
    page.phase == Phase::Delta && !page.more && page.through.is_some()
}

/// Why there are no more pages.
#[derive(Debug)]
pub(super) enum FetchEnd {
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
    pages: mpsc::Sender<FetchedPage>,
    waiting: u64,
    stop: Stop,
    clock: Arc<Clock>,
) -> Result<FetchEnd> {
    let all = (waiting as usize / PERMIT).max(1);
    let memory = Arc::new(Semaphore::new(all));
    let mut deltas = progress.delta;
    let mut at = match (progress.walk, &deltas) {
        (Some(walk), _) => walk.position,
        (None, Some(cursor)) => cursor.position.clone(),
        (None, None) => source.snapshot_start(),
    };
    let work = async {
        let mut before = source.sends_components().await;
        loop {
            // Where one page takes the whole share, the next is not asked for before it is decoded.
            if memory.acquire().await.is_err() {
                return Ok(FetchEnd::Stopped);
            }
            let page = match source.page(&at).await {
                Err(error) if error.kind() == ErrorKind::Window => return Ok(FetchEnd::TooOld(at.phase(), error)),
                page => page?,
            };
            let answered = clock.answered(page.through)?;
            let caught_up = ends_the_log(&page);
            let deltas_begin = match deltas {
                None => Some(begin_deltas(source.as_ref(), &page).await?),
                Some(_) => None,
            };
            deltas = deltas.or_else(|| deltas_begin.clone());
            let after = if caught_up { source.sends_components().await } else { None };
            // The changes behind the cursor come from now on.
            let begins = deltas.as_ref().map(|cursor| cursor.ts);
            let told = [(before.take(), ProofSource::Beginning, begins), (after, ProofSource::End, page.through)];
            let proofs = told.into_iter().filter_map(|(told, by, ts)| Some(proof(told?, by, ts?))).collect();
            let asked = std::mem::replace(&mut at, next(&page, deltas.as_ref())?);
            let bytes = page.body.len();
            let size = (held(&page, waiting) as usize / PERMIT + 1).min(all) as u32;
            let Ok(held) = Arc::clone(&memory).acquire_many_owned(size).await else { return Ok(FetchEnd::Stopped) };
            if pages.send(FetchedPage { page, asked, deltas_begin, at: answered, proofs, _held: held }).await.is_err() {
                return Ok(FetchEnd::Stopped);
            }
            // Once it is on its way: a page that a limit stops would be asked for again by each run.
            stop.downloaded(bytes);
            if caught_up {
                return Ok(FetchEnd::CaughtUp);
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => Ok(FetchEnd::Stopped),
        () = pages.closed() => Ok(FetchEnd::Stopped),
        end = work => end,
    }
}

/// What it proves that the deployment tells whether it sends the rows of components, at this moment of the log.
fn proof(sends: bool, by: ProofSource, ts: Timestamp) -> Proof {
    Proof { ts, by: if sends { by } else { ProofSource::Gone } }
}

/// What a page takes of the bytes that may wait.
///
/// One in a temporary file takes half of them, for what is read of it at a time: so at most two lie there, one that is read
/// and the next one.
fn held(page: &Page, waiting: u64) -> u64 {
    let spans = std::mem::size_of_val(page.documents.as_slice()) as u64;
    spans + page.body.held().map_or(waiting / 2, |text| text.len() as u64)
}

/// Where the archive's deltas begin: after the S that the first page of its first walk tells. Asked for at once, and not at the
/// end of the walk, which may come after days: each commit of the walk holds it already.
async fn begin_deltas(source: &dyn Source, page: &Page) -> Result<DeltaCursor> {
    let ts = page.through.ok_or_else(snapshot_without_moment)?;
    Ok(DeltaCursor { position: source.deltas_after(ts).await?, ts })
}

/// Rows of a base's files name its S.
pub(super) fn snapshot_without_moment() -> Error {
    Error::protocol("a page of a snapshot does not name its moment: report it")
}

/// Where to ask after `page`. A finished snapshot is followed by the deltas.
fn next(page: &Page, deltas: Option<&DeltaCursor>) -> Result<Position> {
    let after_snapshot = || deltas.filter(|_| page.phase == Phase::Snapshot).map(|cursor| &cursor.position);
    let next = page.next.as_ref().or_else(after_snapshot).cloned();
    next.ok_or_else(|| Error::internal("a page of deltas does not name the next position"))
}
