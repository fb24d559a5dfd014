//! Passes through the three stages, until the deployment has nothing more and no base is owed.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    base,
    fetch::{FetchEnd, fetch},
    gap,
    gather::Gather,
    heal::{self, Healing, Next},
    input::RunInput,
    run::SyncRun,
    steps::Steps,
    write::write,
};
use crate::{
    archive::{OwedBase, Run},
    error::{Error, Result},
    position::{Phase, Progress},
};

/// Snapshots that may turn out too old in one run: one that was open, and one at a cursor that was old itself.
const SNAPSHOTS_REFUSED: u32 = 2;

/// Passes until the deployment has nothing more and no base is owed: true; or until a stop: whether it had.
pub(super) async fn catch_up(run: &mut SyncRun, input: &RunInput<'_>) -> Result<bool> {
    let mut progress = run.head.progress().clone();
    let (mut refused, mut walks) = (0, 0);
    let mut healing = Healing::default();
    loop {
        let end = pass(run, input, progress).await?;
        run.writer = Run::begin();
        if let FetchEnd::TooOld(phase, error) = end {
            // A deployment that goes on refusing is to be heard.
            match phase {
                Phase::Snapshot if refused < SNAPSHOTS_REFUSED => {
                    refused += 1;
                    close_walk(run, input, &error.to_string()).await?;
                }
                Phase::Delta if run.counts.gaps.is_empty() => {
                    let Some(draft) = gap::record(&run.head, input, error).await? else { return Ok(false) };
                    let gaps = draft.gaps.clone();
                    run.commit(input.archive, draft).await?;
                    run.counts.gaps.extend(gaps);
                    run.writer = Run::begin();
                }
                _ => return Err(error),
            }
            progress = run.head.progress().clone();
            continue;
        }
        if matches!(end, FetchEnd::Stopped) {
            return Ok(false);
        }
        let walk = tokio::select! {
            biased;
            () = input.options.stop.requested() => return Ok(run.head.owed() == OwedBase::Nothing),
            // What is due by its age only is walked once in a run: the changes behind it make it old at once.
            walk = base::begin(&run.head, &run.writer, input, walks == 0) => walk?,
        };
        walks += 1;
        if let Some(walk) = walk {
            progress = Progress { walk: Some(walk), ..run.head.progress().clone() };
            continue;
        }
        match heal::next(run, input, &mut healing).await? {
            Next::Done => return Ok(true),
            Next::Pass(next) => progress = next,
        }
    }
}

/// Ends the walk that is open, if one is, because of `why`.
pub(super) async fn close_walk(run: &mut SyncRun, input: &RunInput<'_>, why: &str) -> Result<()> {
    if let Some(draft) = base::close(&run.head, input, why).await? {
        run.commit(input.archive, draft).await?;
        run.writer = Run::begin();
    }
    Ok(())
}

/// One pass through the three stages: from `progress` until the deployment has nothing more.
async fn pass(run: &mut SyncRun, input: &RunInput<'_>, progress: Progress) -> Result<FetchEnd> {
    let (page_queue, pages) = mpsc::channel(1);
    let (step_queue, steps) = Steps::channel(input.options.budget.queued(), Handle::current(), &run.writer.id);
    let gather = Gather::new(&run.head, progress.clone(), &run.writer.id, input);
    let fetch = tokio::spawn(fetch(
        Arc::clone(&input.source),
        progress,
        page_queue,
        input.options.budget.pages_waiting(),
        input.options.stop.clone(),
        Arc::clone(&input.clock),
    ));
    let gather = tokio::task::spawn_blocking(move || gather.run(pages, step_queue));
    let written = write(input, run, steps).await;

    // Each stage ends once the one behind it has ended, so the last one's failure is the cause of the others'. A request
    // to the deployment may take a quarter of an hour: nobody waits for a page that nobody will take.
    if written.is_err() {
        fetch.abort();
    }
    let panicked = |e| Error::internal("a stage of the sync panicked").with_source(e);
    let gathered = gather.await.map_err(panicked)?;
    let fetched = match fetch.await {
        Err(e) if e.is_cancelled() => Ok(FetchEnd::Stopped),
        fetched => fetched.map_err(panicked)?,
    };
    written?;
    let gathered = gathered?;
    run.counts.pages += gathered.pages;
    run.counts.page_bytes += gathered.page_bytes;
    run.counts.oddities = run.counts.oddities.plus(gathered.oddities);
    fetched
}
