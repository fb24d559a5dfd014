//! The verb `copy`: a second archive elsewhere, which is brought up to date as often as one likes.
//!
//! The copy has the same header, the same commits and the same data files, byte for byte and under the same names. So it is an archive of
//! its own: every verb works on it, and the digest of its newest commit is that of the source at that version.
//!
//! # Guarantees
//! - *The source is only read.*
//! - *One version*: the newest one when the copy began. What older versions needed and this one does not is not copied, and not looked for.
//! - *At every moment*, whatever died, the destination is no archive and says so; or it is the source at a version that was copied whole; or,
//!   between its first and its last new commit, it says that a commit is missing. See `copy_commits` for the order that makes it so.
//! - *Verified as it goes*: data files by the SHA-256 that their commit names, schemas by theirs, commits by the chain. What is not right
//!   never appears in the destination. It is told, the rest is copied, and the log of the destination stays where it was until all is right.
//! - *Resumable*: nothing is remembered of a copy that died. What lies in the destination already is compared, and not sent again. An object
//!   there that holds something else is never replaced.
//! - *Incremental*: the newest commit of the destination is one of the source's, or it is refused. Only what later commits brought is
//!   looked at.
//! - *Bounded memory*: files are streamed, some at a time; which files there are is sorted in temporary files where it is much.
//!
//! # Beside a sync
//! The source may be synced, compacted and vacuumed meanwhile. If vacuum deletes a file of the version that is copied, the copy begins again
//! on the newest one.
//!
//! # What is not copied
//! `sentinel.json` and `runs/`, which say what was done with an archive where it is. And all that no version needs.

mod files;
mod log;
mod place;
mod report;

use std::{collections::BTreeSet, sync::Arc};

use derive_setters::Setters;
use object_store::ObjectStore;

pub use self::report::{CopiedFiles, CopiedLog, CopyProblem, CopyReport, CopySide};
use self::{
    files::{Files, source_problem},
    place::Place,
};
use crate::{
    archive::{Archive, Head, digest},
    budget::MemoryBudget,
    data::DataFile,
    error::{Error, ErrorKind, Result},
    monitor::{Event, Finding, Monitor},
    store::refuse_partition_keys,
};

/// How often a copy begins at most. A vacuum deletes what was replaced days ago: it takes files from a copy that lasts for days.
const BEGINNINGS: u32 = 5;

/// How an archive is copied.
#[derive(Debug, Clone, Default, Setters)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Only tell what would be copied.
    pub plan: bool,
}

/// Copies the newest version of `source` to a store whose root is the destination's prefix; `url` names it in messages.
///
/// What could not be copied is in the report, and no error.
///
/// # Errors
/// NotFound, if the source has no commit yet. Usage, if the destination holds another archive, something else, or commits that the source
/// does not have; or if its store overwrites what it should only create. Unsupported, if a newer program made either of them. Corrupt, if
/// the newest version of the source cannot be told. Conflict, if another writer is at work in the destination. Access, Unavailable, Resource,
/// as the stores say.
pub async fn copy(
    source: &Archive,
    to: &Arc<dyn ObjectStore>,
    url: &str,
    options: &CopyOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<CopyReport> {
    refuse_partition_keys(url)?;
    let mut report = CopyReport::default();
    loop {
        let head = source.head().await?;
        if head.version() == 0 {
            return Err(Error::not_found(format!("{} has no version yet; run sync first", source.url())));
        }
        // The ends of its log are as they were written, and this program may write what repeats it.
        source.check_writable(&head).await?;
        let vanished = copy_version(source, &head, to, url, options, monitor.as_ref(), &mut report).await?;
        if !vanished {
            return Ok(report);
        }
        report.restarts += 1;
        report.files.present = 0;
        report.files.present_bytes = 0;
        (report.problems, report.problem_count) = (Vec::new(), 0);
    }
}

/// Copies a version. Whether it has to begin again on a newer one, because files of this one are gone.
async fn copy_version(
    source: &Archive,
    head: &Head,
    to: &Arc<dyn ObjectStore>,
    url: &str,
    options: &CopyOptions,
    monitor: &dyn Monitor,
    report: &mut CopyReport,
) -> Result<bool> {
    let place = Place::look(source, head.version(), Arc::clone(to), url).await?;
    report.version = head.version();
    head.digest().clone_into(&mut report.digest);
    report.before = report.before.or(place.version);
    let after = place.version.unwrap_or(0);
    let before = match after {
        0 => source.header_digest().to_owned(),
        version => digest(&place::commit(source, version).await?),
    };
    let brought = source.brought(after, &before, head).await?;
    for (path, what) in &brought.damaged {
        report.add(CopyProblem::new(CopySide::Source, path, what));
    }
    if !options.plan && place.version.is_none() {
        report.log.add(place.claim(source, monitor).await?);
    }
    let schemas = brought.schemas.clone();
    let missing = Files::new(source, to, options.budget, monitor, options.plan).copy(brought, report).await?;
    if is_deleted(source, head, &missing, report.restarts).await? {
        return Ok(true);
    }
    missing.iter().for_each(|(file, what)| report.add(source_problem(file, what)));
    log::copy_schemas(source, to, schemas, options.plan, report).await?;
    if options.plan {
        report.log.copied += head.version() - after + u64::from(place.version.is_none());
        report.complete = after == head.version() && place.version.is_some();
        return Ok(false);
    }
    if report.problem_count > 0 {
        return Ok(false);
    }
    log::copy_commits(source, &place, head.version(), head.digest(), report).await?;
    match source.write_lists_of_copy(head, place.shown, to).await {
        // A place where objects are locked: readers begin with the older manifest and go on from there.
        Err(error) if error.kind() == ErrorKind::Access && place.version.is_some() => {
            monitor.report(Event::Finding(&Finding::ManifestNotRewritten { why: error.to_string() }));
        }
        written => written?,
    }
    if place.version.is_none() {
        log::copy_header(source, &place, report).await?;
    }
    report.complete = true;
    Ok(false)
}

/// Whether vacuum has deleted one of the files that are missing: there is a newer version, which does not need it.
async fn is_deleted(source: &Archive, head: &Head, missing: &[(DataFile, String)], restarts: u32) -> Result<bool> {
    if missing.is_empty() || restarts + 1 >= BEGINNINGS {
        return Ok(false);
    }
    let newest = source.head().await?;
    if newest.version() == head.version() {
        return Ok(false);
    }
    let months = missing.iter().map(|(file, _)| (file.table.clone(), file.month.clone())).collect();
    let mut left: BTreeSet<&str> = missing.iter().map(|(file, _)| file.path.as_str()).collect();
    let mut live = source.live_files_in(&newest, months).await?;
    let all = left.len();
    let mut needed = 0;
    while let Some(file) = live.next().await? {
        needed += usize::from(left.remove(file.path.as_str()));
    }
    Ok(needed < all)
}
