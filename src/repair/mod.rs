//! The verb `repair`: what [`verify`](crate::verify) finds is made whole again, as far as anything still tells what it was.
//!
//! # Where it comes from, the best first
//! 1. *The log* tells what checkpoints, lists of files and `manifest.json` repeat: they are written again.
//! 2. *A copy of the archive* (`--from`) has the objects themselves. Each is taken only if its digest is the one that the log names: of a commit
//!    the one in the next commit, of the newest the one in `manifest.json`; of schemas and data files the one in their commit.
//! 3. *The files that a joined file had joined* lie in the store for a week. They are joined again, under another name.
//!
//! # What is lost
//! A data file that none of them has is lost. That is told, and recorded only if somebody accepts it: a copy may turn up, and what is recorded
//! stays. The record is a gap for a file of changes, and a base that is withdrawn for a file of a base. From then on readers refuse the moments
//! concerned by name instead of failing at a file, and a new base (`sync --rebase`) brings the newest state back.
//!
//! # Guarantees
//! - Nothing is deleted. An object is written over only by bytes that have the digest which the log names for it, or by what the log tells.
//! - A repair that breaks off leaves nothing half done; another one goes on.
//! - Data files are records of commits, so a repair of them is a commit: maintenance, beside which syncs go on. If another writer is faster it is
//!   planned again on what that one left.
//! - One repair takes on as many problems as a verification keeps; more wait for the next one. Its memory does not grow with the archive.

mod files;
mod from_copy;
mod from_log;
mod loss;
mod report;

use std::{collections::BTreeSet, sync::Arc};

use derive_setters::Setters;
use object_store::ObjectStore;

pub use self::report::{LostRevisions, RepairReport, RepairSource, RepairedObject};
use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    document::Timestamp,
    error::{Error, ErrorKind, Result, ResultExt},
    monitor::Monitor,
    verify::{Problem, VerifyDepth, VerifyOptions, VerifyReport, verify},
};

/// How an archive is repaired.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct RepairOptions {
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Read all data files, to find those that are damaged inside.
    pub read_data: bool,
    /// A copy of the archive, from which intact objects are taken; its root is the copy's prefix.
    pub copy: Option<Arc<dyn ObjectStore>>,
    /// Record what is lost.
    pub accept_loss: bool,
    /// Change nothing.
    pub plan: bool,
}

/// What a repair works with.
struct Repairing<'a> {
    store: &'a Arc<dyn ObjectStore>,
    options: &'a RepairOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
    report: RepairReport,
    /// So many of what was repaired lie before the last verification.
    settled: usize,
}

/// Repairs the archive in a store whose root is the archive's prefix; `url` names it in messages. `now` is the wall time, nanoseconds since 1970.
///
/// # Errors
/// NotFound, if there is no archive, or none where the copy should be. Usage, if the copy is one of another archive. Unsupported, if a newer program is needed. Access, Unavailable, as
/// the stores say.
pub async fn repair(
    store: Arc<dyn ObjectStore>,
    url: &str,
    options: &RepairOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
) -> Result<RepairReport> {
    if let Some(copy) = &options.copy {
        from_copy::refuse_other(&store, copy).await.context(|| "the copy")?;
    }
    let report = RepairReport { plan: options.plan, ..RepairReport::default() };
    let mut repairing = Repairing { store: &store, options, now, monitor, report, settled: 0 };
    let log = repairing.verify(url, VerifyDepth::Log).await?;
    repairing.take_log(url, &log).await?;
    repairing.rewrite_lists(url, &log).await?;
    let depth = if options.read_data { VerifyDepth::Data } else { VerifyDepth::Objects };
    let found = repairing.verify(url, depth).await?;
    if !options.plan {
        // What is whole again is not found any more.
        repairing.settled = repairing.report.repaired.len();
    }
    let head = repairing.repair_files(url, &found).await?;
    Ok(repairing.end(head.as_ref(), found))
}

impl Repairing<'_> {
    async fn verify(&self, url: &str, depth: VerifyDepth) -> Result<VerifyReport> {
        let options = VerifyOptions::default().budget(self.options.budget).depth(depth).dry_run(true);
        verify(Arc::clone(self.store), url, &options, self.now, Arc::clone(&self.monitor)).await
    }

    /// The archive as readers find it, with its newest head; None, if they find none.
    async fn open(&self, url: &str) -> Result<Option<(Archive, Head)>> {
        let opened = async {
            let archive = Archive::open(Arc::clone(self.store), url).await?.with_monitor(Arc::clone(&self.monitor));
            let head = archive.head().await?;
            Ok::<_, Error>((archive, head))
        };
        match opened.await {
            Ok(opened) => Ok(Some(opened)),
            // Told by the verification.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_repaired(&self, problem: &Problem) -> bool {
        self.report.repaired[self.settled..].iter().any(|repaired| repaired.object == problem.object)
    }

    /// What is left of what the last verification found.
    fn end(mut self, head: Option<&Head>, found: VerifyReport) -> RepairReport {
        let lost: BTreeSet<&str> = self.report.lost.iter().map(|lost| lost.object.as_str()).collect();
        self.report.more = found.total.problems - found.problems.len() as u64;
        let left = found.problems.into_iter();
        self.report.left =
            left.filter(|problem| !self.is_repaired(problem) && !lost.contains(problem.object.as_str())).collect();
        self.report.version = head.map_or(0, Head::version);
        self.report
    }
}
