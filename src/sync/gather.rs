//! Second stage: pages → rows per table → files and commits. It decides where both end; the next stage only does it.
//!
//! Files end between two `_ts`, commits at the ends of pages. Where, follows from the pages and the sizes alone, except
//! for the periodic commit (time) and the size of snapshot files (how far the writer is).

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    clock::Clock,
    commit::NextCommit,
    deltas::GatheredDeltas,
    fetch::FetchedPage,
    input::RunInput,
    steps::{Halt, Step, Steps},
    tables::Tables,
    walk::SnapshotWalk,
};
use crate::{
    archive::Head,
    codec::Oddities,
    error::{Error, Result},
    monitor::{Event, Monitor},
    position::{Phase, Progress},
    selection::Selection,
};

/// The pages that were gathered.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PageCounts {
    pub(super) pages: u64,
    pub(super) page_bytes: u64,
    pub(super) oddities: Oddities,
}

/// What becomes of the pages.
pub(super) struct Gather {
    tables: Tables,
    walk: SnapshotWalk,
    deltas: GatheredDeltas,
    next: NextCommit,
    selection: Selection,
    commit_every: Duration,
    monitor: Arc<dyn Monitor>,
    clock: Arc<Clock>,
    counts: PageCounts,
}

impl Gather {
    /// Goes on from `progress` in an archive at `head`; `writer` is the run's id.
    pub(super) fn new(head: &Head, progress: Progress, writer: &str, input: &RunInput<'_>) -> Self {
        let (options, monitor) = (input.options, || Arc::clone(&input.monitor));
        Self {
            tables: Tables::of(
                head,
                input.archive.schemas().clone(),
                Handle::current(),
                options.content_digest,
                input.shapes.clone(),
            ),
            walk: SnapshotWalk::new(head, progress.walk, writer, options.target_file_bytes, monitor()),
            deltas: GatheredDeltas::new(progress.delta, options.budget.gathered() as usize),
            next: NextCommit::first(head),
            selection: options.selection.clone(),
            commit_every: options.commit_every,
            monitor: monitor(),
            clock: Arc::clone(&input.clock),
            counts: PageCounts::default(),
        }
    }

    /// Works through all pages. On a thread of its own: decoding is what it does, and it waits by blocking.
    pub(super) fn run(mut self, mut pages: mpsc::Receiver<FetchedPage>, mut steps: Steps) -> Result<PageCounts> {
        let mut work = || {
            while let Some(fetched) = pages.blocking_recv() {
                self.page(&fetched, &mut steps)?;
            }
            // The end of the pages: caught up, stopped, or the deployment failed. What came until then counts.
            self.commit(&mut steps)
        };
        match work() {
            Ok(()) | Err(Halt::WriterEnded) => Ok(self.counts),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn page(&mut self, fetched: &FetchedPage, steps: &mut Steps) -> Result<(), Halt> {
        let page = &fetched.page;
        // What came until now counts, whether it will ever be known how far this page reaches or not.
        if self.next.is_of_another(page.encoding) || page.through.is_none() {
            self.commit(steps)?;
        }
        if self.next.is_of_another(page.encoding) {
            let message = "the encoding changed before it was known how far the changes reach: report it";
            return Err(Error::protocol(message).into());
        }
        self.next.answered(fetched);
        self.counts.pages += 1;
        self.counts.page_bytes += page.body.len();
        self.monitor.report(Event::Page {
            phase: page.phase,
            documents: page.documents.len() as u64,
            bytes: page.body.len(),
            through: page.through,
        });
        if let Some(cursor) = &fetched.deltas_begin {
            self.deltas.begin(cursor.clone());
        }
        let Self { tables, walk, deltas, next, selection, .. } = self;
        match page.phase {
            Phase::Snapshot => walk.page(fetched, selection, tables, next, steps)?,
            Phase::Delta => deltas.page(page, selection, tables, next, steps)?,
        }
        let walk_ended = page.phase == Phase::Snapshot && page.next.is_none();
        let late = self.next.is_late(self.commit_every);
        let enough = self.deltas.are_enough();
        if walk_ended || fetched.ends_the_log() || late || enough {
            self.commit(steps)?;
        }
        // Files may end where a commit may not.
        let Self { tables, deltas, next, .. } = self;
        if enough && !next.is_whole() { deltas.write(tables, next, steps) } else { Ok(()) }
    }

    /// Ends all files and commits them with the progress, if a page came since the last commit and its reach is known.
    fn commit(&mut self, steps: &mut Steps) -> Result<(), Halt> {
        let Self { tables, walk, deltas, next, selection, .. } = self;
        if !next.is_whole() {
            return Ok(());
        }
        walk.end_file(tables, next, steps)?;
        deltas.write(tables, next, steps)?;
        self.counts.oddities = self.counts.oddities.plus(next.oddities());
        let progress = Progress { delta: deltas.progress(), walk: walk.progress() };
        match next.draft(tables, progress, selection, self.clock.now()) {
            Some(draft) => steps.send(Step::Commit(Box::new(draft))),
            None => Ok(()),
        }
    }
}
