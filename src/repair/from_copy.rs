//! Objects of the log that a copy of the archive still has. Which one is the right one the log itself says: the digest of a commit stands in the
//! one behind it, that of the newest in `manifest.json`, that of schemas in their name.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{RepairSource, RepairedObject, Repairing};
use crate::{
    archive::{Archive, Commit, digest},
    error::{Error, ErrorKind, Result},
    layout::{self, LogObject},
    store::{self, PutNew, store_error},
    verify::{Problem, ProblemKind, VerifyReport},
};

/// What tells a commit from every other one of its number.
#[derive(Debug, Clone)]
enum Named {
    /// Its digest.
    Digest(String),
    /// Nothing names it: it is the newest. It follows on the commit with this digest.
    FollowsOn(String),
}

/// Commits in a row that are damaged or missing; the header is number 0.
#[derive(Debug, Clone, Copy)]
struct Row {
    from: u64,
    to: u64,
}

/// Refuses a copy that is one of another archive.
///
/// # Errors
/// Usage, if it is. NotFound, if there is no archive.
pub(super) async fn refuse_other(store: &Arc<dyn ObjectStore>, copy: &Arc<dyn ObjectStore>) -> Result<()> {
    let theirs = Archive::open(Arc::clone(copy), "the place of the copy").await?;
    match Archive::open(Arc::clone(store), "").await {
        Ok(ours) if ours.header().archive != theirs.header().archive => {
            Err(Error::usage("that is not a copy of this archive but another archive; check the URL"))
        }
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Repairing<'_> {
    /// Takes the header, commits and schemas that are damaged or missing from the copy, if there is one.
    pub(super) async fn take_log(&mut self, url: &str, found: &VerifyReport) -> Result<()> {
        let Some(copy) = self.options.copy.clone() else { return Ok(()) };
        let (archive, _) = Archive::open_damaged(Arc::clone(self.store), url).await?;
        for problem in found.problems.iter().filter(|problem| problem.kind == ProblemKind::Schemas) {
            self.take_schemas(&copy, problem).await?;
        }
        let mut rows: Vec<(Row, &Problem)> =
            found.problems.iter().filter_map(|problem| Some((Row::of(problem)?, problem))).collect();
        // The newest first: it names the one before.
        rows.sort_by_key(|(row, _)| std::cmp::Reverse(row.to));
        let mut open: Vec<Row> = rows.iter().map(|(row, _)| *row).collect();
        let mut below = None;
        for (row, problem) in rows {
            let named = match below.take() {
                Some((number, previous)) if number == row.to => Some(Named::Digest(previous)),
                _ => named(&archive, row, &open).await?,
            };
            let Some(named) = named else { continue };
            let Some(previous) = self.take_row(&copy, row, &named).await? else { continue };
            below = row.from.checked_sub(1).map(|number| (number, previous));
            open.retain(|other| other.to != row.to);
            self.repaired(problem, RepairSource::Copy);
        }
        Ok(())
    }

    /// Takes all of a row, or nothing. The digest that its first commit names.
    async fn take_row(&self, copy: &Arc<dyn ObjectStore>, row: Row, named: &Named) -> Result<Option<String>> {
        let Some(previous) = self.walk_row(copy, row, named, false).await? else { return Ok(None) };
        if !self.options.plan {
            self.walk_row(copy, row, named, true).await?;
        }
        Ok(Some(previous))
    }

    async fn walk_row(
        &self,
        copy: &Arc<dyn ObjectStore>,
        row: Row,
        named: &Named,
        writes: bool,
    ) -> Result<Option<String>> {
        let mut named = named.clone();
        for number in (row.from..=row.to).rev() {
            let Some(bytes) = fetch(copy, &path_of(number)).await? else { return Ok(None) };
            let previous = match number {
                0 => String::new(),
                _ => match Commit::from_bytes(number, &bytes) {
                    Ok(commit) => commit.previous,
                    Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
                    Err(error) => return Err(error),
                },
            };
            let is_it = match &named {
                Named::Digest(wanted) => digest(&bytes) == *wanted,
                Named::FollowsOn(before) => previous == *before,
            };
            if !is_it {
                return Ok(None);
            }
            if writes {
                put(self.store, &path_of(number), bytes).await?;
            }
            named = Named::Digest(previous);
        }
        let Named::Digest(previous) = named else { return Ok(None) };
        Ok(Some(previous))
    }

    async fn take_schemas(&mut self, copy: &Arc<dyn ObjectStore>, problem: &Problem) -> Result<()> {
        let Some(LogObject::Schemas(_)) = layout::parse_log(&problem.object) else { return Ok(()) };
        let Some(bytes) = fetch(copy, &problem.object).await? else { return Ok(()) };
        // Its digest stands in its name.
        if !problem.object.contains(&digest(&bytes)) {
            return Ok(());
        }
        if !self.options.plan {
            put(self.store, &problem.object, bytes).await?;
        }
        self.repaired(problem, RepairSource::Copy);
        Ok(())
    }

    pub(super) fn repaired(&mut self, problem: &Problem, from: RepairSource) {
        let (object, objects, table) = (problem.object.clone(), problem.objects, problem.table.clone());
        self.report.repaired.push(RepairedObject { object, objects, table, from });
    }
}

impl Row {
    fn of(problem: &Problem) -> Option<Self> {
        match problem.kind {
            ProblemKind::Header => Some(Self { from: 0, to: 0 }),
            ProblemKind::Commit => {
                let Some(LogObject::Commit(from)) = layout::parse_log(&problem.object) else { return None };
                Some(Self { from, to: from + problem.objects.saturating_sub(1) })
            }
            _ => None,
        }
    }
}

fn path_of(number: u64) -> String {
    if number == 0 { layout::HEADER.to_owned() } else { layout::commit(number) }
}

/// What tells the last commit of a row, as far as the archive itself knows. `open` are the rows that are not whole yet.
async fn named(archive: &Archive, row: Row, open: &[Row]) -> Result<Option<Named>> {
    let is_open = |number: u64| open.iter().any(|other| (other.from..=other.to).contains(&number));
    if !is_open(row.to + 1)
        && let Some(next) = archive.found_commit(row.to + 1).await?
    {
        return Ok(next.commit.ok().map(|commit| Named::Digest(commit.previous)));
    }
    match archive.found_manifest().await {
        Ok(Some(manifest)) if manifest.version() == row.to => {
            return Ok(Some(Named::Digest(manifest.digest().to_owned())));
        }
        Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => return Err(error),
        _ => {}
    }
    let before = row.from.saturating_sub(1);
    if row.from != row.to || row.from == 0 || is_open(before) {
        return Ok(None);
    }
    if before == 0 {
        return Ok(Some(Named::FollowsOn(archive.header_digest().to_owned())));
    }
    Ok(archive.found_commit(before).await?.map(|found| Named::FollowsOn(found.digest)))
}

/// An object of the copy; None, if it lacks it or has something that none of ours can be.
async fn fetch(copy: &Arc<dyn ObjectStore>, path: &str) -> Result<Option<Bytes>> {
    match store::get(copy.as_ref(), path).await {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        got => got,
    }
}

/// Puts an object that is missing, or writes over a damaged one.
///
/// # Errors
/// Conflict, if it was missing and another writer has taken its place this very moment.
async fn put(store: &Arc<dyn ObjectStore>, path: &str, bytes: Bytes) -> Result<()> {
    if !store::exists(store.as_ref(), path).await? {
        return match store::put_new(store, path, bytes).await? {
            PutNew::Created => Ok(()),
            PutNew::Exists => Err(Error::conflict(format!(
                "{path} was missing, and another writer has just written it: run it again"
            ))),
        };
    }
    let failed = |e| store_error(e, &format!("cannot write {path}"));
    store.put(&Path::from(path), bytes.into()).await.map(drop).map_err(failed)
}
