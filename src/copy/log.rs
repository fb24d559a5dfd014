//! The log: schemas, commits, the header. What of them comes last makes all of it true at once.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use super::{
    place::{Place, commit, faster, put_same},
    report::{CopiedLog, CopyProblem, CopyReport, CopySide},
};
use crate::{
    archive::{Archive, digest},
    error::{Error, ErrorKind, Result},
    layout, store,
};

/// Objects that are copied at the same time.
const AT_ONCE: usize = 8;

/// Copies objects with schemas: their commit and digest.
///
/// # Errors
/// As the stores say.
pub(super) async fn copy_schemas(
    source: &Archive,
    to: &Arc<dyn ObjectStore>,
    schemas: Vec<(u64, String)>,
    plan: bool,
    report: &mut CopyReport,
) -> Result<()> {
    let copies = stream::iter(schemas).map(|(version, named)| async move {
        let path = layout::schemas(version, &named);
        copy_schemas_at(source.store().as_ref(), to.as_ref(), &path, &named, plan).await
    });
    let mut copies = copies.buffer_unordered(AT_ONCE);
    while let Some(copied) = copies.next().await {
        match copied? {
            Ok(is_new) => report.log.add(is_new),
            Err(problem) => report.add(problem),
        }
    }
    Ok(())
}

/// Whether it was absent, or what is wrong.
async fn copy_schemas_at(
    source: &dyn ObjectStore,
    to: &dyn ObjectStore,
    path: &str,
    named: &str,
    plan: bool,
) -> Result<Result<bool, CopyProblem>> {
    let lost = |is: &str| CopyProblem::new(CopySide::Source, path, format!("{path} is {is}; restore it from a copy"));
    let bytes = match store::get(source, path).await {
        Ok(Some(bytes)) if digest(&bytes) == named => bytes,
        Ok(Some(_)) => return Ok(Err(lost("damaged"))),
        Ok(None) => return Ok(Err(lost("missing"))),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Err(lost("damaged"))),
        Err(error) => return Err(error),
    };
    if plan {
        return store::exists(to, path).await.map(|is_there| Ok(!is_there));
    }
    Ok(put_same(to, path, &bytes).await?.ok_or_else(|| CopyProblem::differs(path)))
}

/// Copies the commits behind the newest one of the destination up to `newest`, and the header of an archive that was not one so far.
///
/// # The order
/// What lives at the version before and what lives at `newest` is in the destination, and nothing in between: a file may have come and gone
/// meanwhile. So no reader may see a version in between. Commits are found by name, one behind the other; so all go there but the first,
/// and it goes last. The second goes before all others: by it readers and writers know that one is missing, and no sync takes its number.
/// Where there is no archive yet, all commits go there and the header last.
///
/// # Errors
/// Corrupt, if a commit is not the one that was read before. Conflict, if another one is there.
pub(super) async fn copy_commits(
    source: &Archive,
    place: &Place,
    newest: u64,
    expected: &str,
    report: &mut CopyReport,
) -> Result<()> {
    let (to, after) = (place.store.as_ref(), place.version.unwrap_or(0));
    // The one before is there already, or makes the others true.
    let begin = after + 2;
    if begin <= newest {
        report.log.add(copy_commit(source, to, begin).await?);
    }
    let mut rest =
        stream::iter(begin + 1..=newest).map(|version| copy_commit(source, to, version)).buffer_unordered(AT_ONCE);
    while let Some(is_new) = rest.try_next().await? {
        report.log.add(is_new);
    }
    // What was read before was compared from one to the next; this proves that the end is the same.
    if digest(&commit(source, newest).await?) != expected {
        let path = layout::commit(newest);
        return Err(Error::corrupt(format!("{path} has changed since it was read; restore it from a copy")));
    }
    if place.version.is_some() && after < newest {
        report.log.add(copy_commit(source, to, after + 1).await?);
    }
    Ok(())
}

/// Copies the header, which makes a place an archive.
///
/// # Errors
/// Conflict, if another one is there.
pub(super) async fn copy_header(source: &Archive, place: &Place, report: &mut CopyReport) -> Result<()> {
    let bytes = store::get(source.store().as_ref(), layout::HEADER).await?;
    let bytes = bytes.filter(|bytes| digest(bytes) == source.header_digest());
    let lost = || Error::corrupt(format!("{} has changed since it was read", layout::HEADER));
    let is_new = put(place.store.as_ref(), layout::HEADER, &bytes.ok_or_else(lost)?).await?;
    report.log.add(is_new);
    Ok(())
}

async fn copy_commit(source: &Archive, to: &dyn ObjectStore, version: u64) -> Result<bool> {
    put(to, &layout::commit(version), &commit(source, version).await?).await
}

async fn put(to: &dyn ObjectStore, path: &str, bytes: &Bytes) -> Result<bool> {
    put_same(to, path, bytes).await?.ok_or_else(|| faster(path))
}

impl CopiedLog {
    pub(super) fn add(&mut self, is_new: bool) {
        if is_new { self.copied += 1 } else { self.present += 1 }
    }
}
