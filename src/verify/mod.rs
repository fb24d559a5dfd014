//! The verb `verify`: the archive against itself, object by object. It needs no deployment, so it does the same on a copy.
//!
//! # Levels
//! 1. *The log*: each commit is the one on which the next follows, from `archive.json` to the newest; what they add up to is what
//!    checkpoints, lists of files and `manifest.json` say; schemas only grew.
//! 2. *The objects*: every live data file is there with its size, every base has the rows that it says.
//! 3. *The data*: each file has its SHA-256 and its checksums, its rows are those of which its commit speaks, every row can be
//!    decoded, each revision stands once; and the documents, decoded, have the content digest that was taken of what the deployment
//!    sent. That is the claim that nobody else can make: *wire = file*.
//!
//! # Guarantees
//! - It goes on behind damage. What is wrong is a [`Problem`], not an error. An error is one of the store, or says that a newer program
//!   is needed.
//! - It changes nothing, but for `runs/verified.json`, which says when the archive was last verified and how deep.
//! - Objects that no live version names are no damage. They are counted.
//! - Memory is bounded by the limit: beside what the [`MemoryBudget`] shares out it holds the paths and sizes of the objects of a table.
//!
//! # What it does not find
//! Whoever can write to the store can forge an archive that fits. Against that there is `--expect-head`: a digest that was noted
//! elsewhere proves all that came before it.

mod data;
mod file;
#[cfg(test)]
mod forged_tests;
mod lists;
mod log;
mod objects;
mod record;
mod report;
mod sample;
mod unique;

use std::sync::Arc;

use derive_setters::Setters;
use object_store::ObjectStore;

use self::data::{DataLevel, Wanted};
pub use self::{
    record::{Verification, verifications},
    report::{
        Problem, ProblemCounts, ProblemKind, Repair, Suffers, UnneededObjects, VerifiedData, VerifiedLog,
        VerifiedObjects, VerifyDepth, VerifyReport,
    },
    sample::Sample,
};
use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    monitor::Monitor,
    selection::Selection,
};

/// How an archive is verified.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// How deep it goes.
    pub depth: VerifyDepth,
    /// Which share of the data files is read, if not all.
    pub sample: Option<Sample>,
    /// The tables whose objects and data are looked at.
    pub tables: Selection,
    /// SHA-256 of a commit that was noted elsewhere, in 64 lower-case hexadecimal digits: the log has to have it.
    pub expect_head: Option<String>,
    /// Leave `runs/verified.json` as it is.
    pub dry_run: bool,
}

impl Default for VerifyOptions {
    /// The log and the objects of all tables.
    fn default() -> Self {
        Self {
            budget: MemoryBudget::default(),
            depth: VerifyDepth::Objects,
            sample: None,
            tables: Selection::default(),
            expect_head: None,
            dry_run: false,
        }
    }
}

/// Verifies the archive in a store whose root is the archive's prefix; `url` names it in messages. `now` is the wall time, nanoseconds
/// since 1970.
///
/// # Errors
/// NotFound, if there is no archive, or a pattern fits none of its tables. Usage, if the digest that is expected is none. Unsupported,
/// if a newer program is needed to read it. Access, Unavailable, as the store says. Resource, if a temporary file cannot be written.
pub async fn verify(
    store: Arc<dyn ObjectStore>,
    url: &str,
    options: &VerifyOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
) -> Result<VerifyReport> {
    if let Some(digest) = &options.expect_head {
        check_digest(digest)?;
    }
    let (archive, lost) = Archive::open_damaged(Arc::clone(&store), url).await?;
    let has_header = lost.is_none();
    let mut problems = report::Problems::default();
    let found = log::check(&archive, lost, options.expect_head.as_deref(), now, &mut problems).await?;
    let mut report = VerifyReport {
        version: found.newest,
        digest: found.digest,
        depth: options.depth,
        sample: options.sample.filter(|_| options.depth == VerifyDepth::Data),
        tables: (!options.tables.is_everything()).then(|| options.tables.to_string()),
        log: found.read,
        objects: None,
        data: None,
        expected_head: found.expected,
        problems: Vec::new(),
        total: ProblemCounts::default(),
        notes: found.notes,
        not_recorded: None,
    };
    let head = readable_head(&archive, has_header, found.head).await?;
    if options.depth >= VerifyDepth::Objects
        && let Some(head) = &head
    {
        refuse_unknown(head, &options.tables)?;
        let wanted = match (options.depth, options.sample) {
            (VerifyDepth::Data, Some(sample)) => Some(Wanted::Sample(sample)),
            (VerifyDepth::Data, None) => Some(Wanted::All),
            _ => None,
        };
        let mut data = DataLevel::new(Arc::clone(&store), options.budget, wanted);
        let objects =
            objects::check(&archive, head, &options.tables, monitor.as_ref(), &mut data, &mut problems).await?;
        report.data = wanted.map(|_| data.read);
        let mut objects = objects;
        if options.tables.is_everything() {
            objects.unneeded.join(found.unneeded);
        }
        if head.version() != found.newest {
            let (at, newest) = (head.version(), found.newest);
            report
                .notes
                .push(format!("the files were checked for version {at}, but the log has commits up to {newest}"));
        }
        report.objects = Some(objects);
    }
    (report.problems, report.total) = (problems.kept, problems.total);
    if !options.dry_run {
        report.not_recorded = record::write(&store, &report, now).await.err().map(|error| error.to_string());
    }
    Ok(report)
}

/// The head whose files are looked for: the one that readers find; where they find none, the newest that the log tells.
async fn readable_head(archive: &Archive, has_header: bool, found: Option<Head>) -> Result<Option<Head>> {
    if !has_header {
        return Ok(found);
    }
    match archive.head().await {
        Ok(head) => Ok(Some(head)),
        // That no newer program is needed is known by now: what says so was altered.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(found),
        Err(error) => Err(error),
    }
}

fn refuse_unknown(head: &Head, tables: &Selection) -> Result<()> {
    let known: Vec<_> = head.tables().map(|state| &state.table).collect();
    match tables.fitting_none_of(known.iter().copied()).first() {
        Some(pattern) => Err(Error::not_found(format!(
            "the archive has no table `{}`; run `tables` to see what it has",
            pattern.text
        ))),
        None => Ok(()),
    }
}

/// # Errors
/// Usage, if it is no SHA-256 as reports print it.
fn check_digest(digest: &str) -> Result<()> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digest.len() == 64 && digest.bytes().all(is_digit) {
        return Ok(());
    }
    Err(Error::usage("the digest of a commit has 64 lower-case hexadecimal digits: status and sync print it"))
}
