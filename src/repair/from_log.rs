//! What repeats the log is written again: lists of files, checkpoints, `manifest.json`.

use std::collections::BTreeSet;

use super::{RepairSource, Repairing};
use crate::{
    archive::{Archive, Head},
    error::{Error, ErrorKind, Result},
    layout::{self, CHECKPOINT_EVERY, LogObject},
    verify::{Problem, ProblemKind, VerifyReport},
};

impl Repairing<'_> {
    /// Writes again what is damaged or missing of it.
    pub(super) async fn rewrite_lists(&mut self, url: &str, found: &VerifyReport) -> Result<()> {
        let of = |kind| found.problems.iter().filter(move |problem: &&Problem| problem.kind == kind);
        let (parts, checkpoints) = (of(ProblemKind::Part), of(ProblemKind::Checkpoint));
        let manifest = of(ProblemKind::Manifest).next();
        let wanted: BTreeSet<String> = parts.clone().map(|problem| problem.object.clone()).collect();
        if wanted.is_empty() && manifest.is_none() && checkpoints.clone().next().is_none() {
            return Ok(());
        }
        // Without a head nothing can be written again.
        let Some((archive, head)) = self.open(url).await? else { return Ok(()) };
        let plan = self.options.plan;
        let written = if plan { wanted } else { rewrite_parts(&archive, &head, wanted).await? };
        for problem in parts.filter(|problem| written.contains(&problem.object)) {
            self.repaired(problem, RepairSource::Log);
        }
        for problem in checkpoints {
            let Some(LogObject::Checkpoint(version)) = layout::parse_log(&problem.object) else { continue };
            if plan || told(archive.write_checkpoint_at(version).await)?.is_some() {
                self.repaired(problem, RepairSource::Log);
            }
        }
        if let Some(problem) = manifest {
            if !plan {
                archive.write_manifest(&head).await?;
            }
            self.repaired(problem, RepairSource::Log);
        }
        Ok(())
    }
}

/// The lists that could be written. Most of them the newest head names, or the newest checkpoint; others are named by an older one.
async fn rewrite_parts(archive: &Archive, head: &Head, wanted: BTreeSet<String>) -> Result<BTreeSet<String>> {
    let (mut left, mut written) = (wanted, BTreeSet::new());
    let newest = head.version() - head.version() % CHECKPOINT_EVERY;
    let mut versions = vec![head.version(), newest];
    versions.extend(left.iter().filter_map(|path| layout::part_version(path)));
    for version in versions {
        if left.is_empty() || version == 0 {
            continue;
        }
        let rewritten = async {
            let head = archive.head_at(version).await?;
            archive.rewrite_parts(&head, &left).await
        };
        for path in told(rewritten.await)?.unwrap_or_default() {
            left.remove(&path);
            written.insert(path);
        }
    }
    Ok(written)
}

/// None, if the log does not tell what was asked for: that is found by itself.
fn told<T>(result: Result<T, Error>) -> Result<Option<T>> {
    match result {
        Ok(told) => Ok(Some(told)),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
