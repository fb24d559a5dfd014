//! Data files: each is read from the source as a stream, compared with the SHA-256 that its commit names, and appears in the destination
//! only if it is right. Several at a time, as many as the memory limit has room for.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::report::{CopyProblem, CopyReport, CopySide};
use crate::{
    archive::{Archive, Brought},
    budget::MemoryBudget,
    data::{DataFile, IfExists, TransferError, is_intact, transfer},
    error::{Error, ErrorKind, Result, ResultExt},
    monitor::{Event, Monitor},
    store::{self, PutNew, store_error},
};

/// Files at a time at most, whatever the limit.
const AT_ONCE: u64 = 16;
/// Parts of a file that are held: one fills, one is on its way, one more while it is handed on.
const HELD: u64 = 3;
/// Files whose absence is looked into. More is no vacuum.
const MISSING: usize = 1_000;

/// Copies data files.
pub(super) struct Files<'a> {
    source: &'a Archive,
    to: &'a Arc<dyn ObjectStore>,
    budget: MemoryBudget,
    monitor: &'a dyn Monitor,
    /// Only look.
    plan: bool,
}

/// What became of a file.
enum Fate {
    Copied,
    /// It was there.
    Present,
    /// It is not in the source.
    Missing(String),
    Problem(CopyProblem),
}

impl<'a> Files<'a> {
    pub(super) fn new(
        source: &'a Archive,
        to: &'a Arc<dyn ObjectStore>,
        budget: MemoryBudget,
        monitor: &'a dyn Monitor,
        plan: bool,
    ) -> Self {
        Self { source, to, budget, monitor, plan }
    }

    /// Copies what was brought, and goes on behind what is damaged. Gives the files that the source lacks, with what is said of them.
    ///
    /// # Errors
    /// As the stores say.
    pub(super) async fn copy(&self, brought: Brought, report: &mut CopyReport) -> Result<Vec<(DataFile, String)>> {
        let part = self.budget.upload_part() as u64;
        let at_once = (self.budget.limit() / 2 / (HELD * part)).clamp(1, AT_ONCE) as usize;
        let files = stream::try_unfold(brought, |mut brought| async move {
            Ok::<_, Error>(brought.next()?.map(|file| (file, brought)))
        });
        let fates = files.map_ok(|file| async move {
            let fate = self.copy_one(&file).await?;
            Ok((file, fate))
        });
        let mut fates = std::pin::pin!(fates.try_buffer_unordered(at_once));
        let mut missing = Vec::new();
        while let Some((file, fate)) = fates.next().await.transpose()? {
            match fate {
                Fate::Copied => {
                    report.files.copied += 1;
                    report.files.copied_bytes += file.bytes;
                }
                Fate::Present => {
                    report.files.present += 1;
                    report.files.present_bytes += file.bytes;
                }
                Fate::Missing(what) if missing.len() < MISSING => missing.push((file, what)),
                Fate::Missing(what) => report.add(source_problem(&file, what)),
                Fate::Problem(problem) => report.add(problem),
            }
        }
        Ok(missing)
    }

    async fn copy_one(&self, file: &DataFile) -> Result<Fate> {
        let path = Path::parse(&file.path)
            .map_err(|e| Error::corrupt(format!("`{}` is not a path of a store", file.path)).with_source(e))?;
        match self.to.head(&path).await {
            Ok(found) if found.size != file.bytes => return Ok(differs(file)),
            Ok(_) if self.plan => return Ok(Fate::Present),
            Ok(_) => return self.compare(file).await,
            Err(object_store::Error::NotFound { .. }) if self.plan => return Ok(Fate::Copied),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(store_error(e, &format!("cannot look for {path} in the destination"))),
        }
        let from = Arc::clone(self.source.store());
        match transfer(file, from, self.to, IfExists::Keep, self.budget, self.monitor).await {
            Ok(PutNew::Created) => {
                self.monitor.report(Event::Copied { table: &file.table, path: &file.path, bytes: file.bytes });
                Ok(Fate::Copied)
            }
            // Another copy runs beside this one, or only the answer to our put was lost.
            Ok(PutNew::Exists) => self.compare(file).await,
            Err(TransferError::Write(error)) => Err(error),
            Err(TransferError::Read(error)) => self.damaged(file, error).await,
        }
    }

    /// The file is there with its size: whether it has its digest.
    async fn compare(&self, file: &DataFile) -> Result<Fate> {
        let is_intact = is_intact(Arc::clone(self.to), file).await.context(|| "reading the destination")?;
        Ok(if is_intact { Fate::Present } else { differs(file) })
    }

    /// What an error while a file is read means: that it is damaged, or missing, or an error.
    async fn damaged(&self, file: &DataFile, error: Error) -> Result<Fate> {
        if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
            return Err(error);
        }
        let is_there = store::exists(self.source.store().as_ref(), &file.path).await?;
        let what = error.to_string();
        Ok(if is_there { Fate::Problem(source_problem(file, what)) } else { Fate::Missing(what) })
    }
}

/// A file of the source that cannot be copied.
pub(super) fn source_problem(file: &DataFile, what: impl Into<String>) -> CopyProblem {
    CopyProblem { table: Some(file.table.clone()), ..CopyProblem::new(CopySide::Source, &file.path, what) }
}

fn differs(file: &DataFile) -> Fate {
    Fate::Problem(CopyProblem { table: Some(file.table.clone()), ..CopyProblem::differs(&file.path) })
}
