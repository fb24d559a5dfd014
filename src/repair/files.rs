//! Data files: from the copy, from the files that they had joined, or lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::{LostRevisions, RepairSource, Repairing, loss};
use crate::{
    archive::{Archive, Covers, Draft, Head, Maintenance, RemovedFile, Replacement, ReplacementReason, Run},
    compact::{self, CompactOptions},
    data::{DataFile, IfExists, TransferError, is_intact, transfer},
    document::{TableRef, Timestamp},
    error::{ErrorKind, Result},
    position::BaseId,
    store::store_error,
    verify::{Problem, ProblemKind, VerifyReport},
};

/// Joined files whose inputs are looked for with one walk over the log: the inputs of all of them are held.
const AT_ONCE: usize = 64;

/// Files that were joined, and joined again. No more tiers than that.
const TIERS: usize = 8;

/// A live file that is damaged or missing.
type Damaged<'a> = (DataFile, &'a Problem);

impl Repairing<'_> {
    /// Makes the data files whole that `found` tells of. The head at the end; None, if readers find none.
    pub(super) async fn repair_files(&mut self, url: &str, found: &VerifyReport) -> Result<Option<Head>> {
        let Some((archive, head)) = self.open(url).await? else { return Ok(None) };
        let problems: BTreeMap<&str, &Problem> = found
            .problems
            .iter()
            .filter(|problem| problem.kind == ProblemKind::File)
            .map(|problem| (problem.object.as_str(), problem))
            .collect();
        if problems.is_empty() {
            return Ok(Some(head));
        }
        let mut damaged: Vec<Damaged<'_>> = Vec::new();
        let tables: BTreeSet<&TableRef> = problems.values().filter_map(|problem| problem.table.as_ref()).collect();
        for table in tables {
            let mut live = archive.live_files_of(&head, table).await?;
            while let Some(file) = live.next().await? {
                let Some(problem) = problems.get(file.path.as_str()) else { continue };
                // Bytes that are what was written cannot be had better anywhere.
                if !is_intact(Arc::clone(self.store), &file).await? {
                    damaged.push((file, problem));
                }
            }
        }
        let damaged = self.take_files(damaged).await?;
        let mut run = Run::begin();
        let (joined, mut damaged) = self.join_again(&archive, &head, damaged, &mut run).await?;
        damaged.retain(|(file, _)| loss::can_be_recorded(&head, file));
        let mut leaving = Vec::new();
        for (file, problem) in damaged {
            if !head.shows(&file) {
                self.repaired(problem, RepairSource::NotNeeded);
                leaving.push(file);
                continue;
            }
            self.report.lost.push(lost_revisions(&head, &file));
            if self.options.accept_loss {
                leaving.push(file);
            }
        }
        if self.options.plan || (joined.is_empty() && leaving.is_empty()) {
            return Ok(Some(head));
        }
        self.report.loss_recorded = self.options.accept_loss && !self.report.lost.is_empty();
        let tables: BTreeSet<TableRef> = leaving.iter().map(|file| file.table.clone()).collect();
        let mut repair = FileRepair { archive: &archive, joined, lost: leaving, now: self.now };
        let head = archive.update(&head, &mut run, &mut repair).await?;
        if archive.is_manifest_due(&head)? {
            archive.write_manifest(&head).await?;
        }
        let through = head.progress().delta.as_ref().map_or(Timestamp(i64::MIN), |delta| delta.ts);
        let lacks = |table: &TableRef| matches!(head.coverage().covers(table, through), Covers::NotCovered(_));
        self.report.lacking = tables.into_iter().filter(lacks).collect();
        Ok(Some(head))
    }

    /// Takes the files that the copy has. Those that it does not have are left.
    async fn take_files<'p>(&mut self, damaged: Vec<Damaged<'p>>) -> Result<Vec<Damaged<'p>>> {
        let Some(copy) = self.options.copy.clone() else { return Ok(damaged) };
        let mut left = Vec::new();
        for (file, problem) in damaged {
            let is_there = if self.options.plan {
                is_intact(Arc::clone(&copy), &file).await?
            } else {
                self.take_file(&copy, &file).await?
            };
            if is_there {
                self.repaired(problem, RepairSource::Copy);
            } else {
                left.push((file, problem));
            }
        }
        Ok(left)
    }

    /// Whether the file was in the copy, and is in the archive now.
    async fn take_file(&self, copy: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<bool> {
        let (budget, monitor) = (self.options.budget, self.monitor.as_ref());
        match transfer(file, Arc::clone(copy), self.store, IfExists::Replace, budget, monitor).await {
            Ok(_) => Ok(true),
            Err(TransferError::Read(error)) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(TransferError::Read(error) | TransferError::Write(error)) => Err(error),
        }
    }

    /// Joins the files again that damaged ones had joined, as far as they are intact. What was joined, and what is left.
    async fn join_again<'p>(
        &mut self,
        archive: &Archive,
        head: &Head,
        damaged: Vec<Damaged<'p>>,
        run: &mut Run,
    ) -> Result<(Vec<(DataFile, DataFile)>, Vec<Damaged<'p>>)> {
        let (mut joined, mut left, mut counter) = (Vec::new(), Vec::new(), 0..);
        let options = CompactOptions::default().budget(self.options.budget);
        let (were_joined, others): (Vec<_>, Vec<_>) =
            damaged.into_iter().partition(|(file, _)| file.base.is_none() && file.joined > 0);
        left.extend(others);
        let mut were_joined = were_joined.into_iter().peekable();
        while were_joined.peek().is_some() {
            let some: Vec<Damaged<'p>> = were_joined.by_ref().take(AT_ONCE).collect();
            let mut inputs = inputs_of(archive, head, &some).await?;
            for (file, problem) in some {
                let made = match inputs.remove(&file.path) {
                    None => None,
                    Some(_) if self.options.plan => Some(None),
                    Some(inputs) => {
                        let counter = counter.next().unwrap_or_default();
                        let monitor = Arc::clone(&self.monitor);
                        match compact::join(archive, head, &options, &inputs, (counter, run), monitor).await {
                            Ok(made) => same_rows(&file, made).map(Some),
                            Err(error) if error.kind() == ErrorKind::Corrupt => None,
                            Err(error) => return Err(error),
                        }
                    }
                };
                match made {
                    None => left.push((file, problem)),
                    Some(made) => {
                        self.repaired(problem, RepairSource::JoinedFiles);
                        joined.extend(made.map(|made| (file, made)));
                    }
                }
            }
        }
        Ok((joined, left))
    }
}

/// The file that was made, as one that takes the place of the damaged one; None, if it has other rows.
fn same_rows(damaged: &DataFile, made: DataFile) -> Option<DataFile> {
    let rows = |file: &DataFile| (file.rows, file.tombstones, file.rescued_rows, file.min_ts, file.max_ts);
    let made = DataFile { joined: damaged.joined, brought_by: damaged.brought_by, ..made };
    (rows(damaged) == rows(&made)).then_some(made)
}

/// Of each joined file those that it had joined, in the order of their rows; where one of them is gone, those that it had joined itself. Files of which
/// some rows are in no file any more are left out.
async fn inputs_of(archive: &Archive, head: &Head, damaged: &[Damaged<'_>]) -> Result<BTreeMap<String, Vec<DataFile>>> {
    let mut wanted: BTreeSet<String> = damaged.iter().map(|(file, _)| file.path.clone()).collect();
    let (mut known, mut gone) = (BTreeMap::<String, Vec<DataFile>>::new(), BTreeSet::new());
    for _ in 0..TIERS {
        if wanted.is_empty() {
            break;
        }
        let inputs = archive.inputs_of(head, &wanted).await?;
        wanted.clear();
        for file in inputs.values().flatten() {
            if !is_there(archive.store(), file).await? {
                gone.insert(file.path.clone());
                wanted.extend((file.joined > 0).then(|| file.path.clone()));
            }
        }
        known.extend(inputs);
    }
    let mut all = BTreeMap::new();
    for (file, _) in damaged {
        let mut files = Vec::new();
        expand(&known, &file.path, &mut files, TIERS);
        let is_known = !files.is_empty() && files.iter().all(|file| !gone.contains(&file.path));
        if is_known {
            files.sort_by_key(|file: &DataFile| file.min_ts);
            all.insert(file.path.clone(), files);
        }
    }
    Ok(all)
}

/// The files that a joined one had joined; in place of one whose own inputs are known, those.
fn expand(known: &BTreeMap<String, Vec<DataFile>>, path: &str, into: &mut Vec<DataFile>, tiers: usize) {
    for input in known.get(path).into_iter().flatten() {
        if tiers > 0 && known.contains_key(&input.path) {
            expand(known, &input.path, into, tiers - 1);
        } else {
            into.push(input.clone());
        }
    }
}

async fn is_there(store: &Arc<dyn ObjectStore>, file: &DataFile) -> Result<bool> {
    match store.head(&Path::from(file.path.as_str())).await {
        Ok(found) => Ok(found.size == file.bytes),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(store_error(e, &format!("cannot look for {}", file.path))),
    }
}

fn lost_revisions(head: &Head, file: &DataFile) -> LostRevisions {
    let base = file.base.as_ref().and_then(|id| head.coverage().bases.iter().find(|base| base.id == *id));
    LostRevisions {
        object: file.path.clone(),
        table: file.table.clone(),
        from: file.min_ts,
        to: file.max_ts,
        revisions: file.rows,
        base: base.map(|base| base.ts),
        documents: base.and_then(|base| base.tables.iter().find(|said| said.table == file.table)).map(|said| said.rows),
    }
}

/// Files joined again, each with the one whose place it takes, and files that are lost.
struct FileRepair<'a> {
    archive: &'a Archive,
    joined: Vec<(DataFile, DataFile)>,
    lost: Vec<DataFile>,
    now: Timestamp,
}

impl Maintenance for FileRepair<'_> {
    async fn plan(&mut self, head: &Head) -> Result<Option<Draft>> {
        let live = self.live(head).await?;
        self.joined.retain(|(damaged, _)| live.contains_key(&damaged.path));
        let (joined, lost) = (&self.joined, lost_with(&self.lost, &live));
        let Some(mut draft) = head.maintenance(self.now).filter(|_| !joined.is_empty() || !lost.is_empty()) else {
            return Ok(None);
        };
        for (damaged, made) in joined {
            draft.replaced.push(Replacement {
                inputs: vec![damaged.path.clone()],
                outputs: vec![made.path.clone()],
                why: ReplacementReason::Repair,
                left: None,
            });
            draft.remove.push(RemovedFile::of(damaged)?);
            draft.add.push(made.clone());
        }
        loss::record(&mut draft, head, &lost)?;
        Ok(Some(draft))
    }
}

impl FileRepair<'_> {
    /// Those of the files concerned that live at `head`, and all files of bases that lose one; by path.
    async fn live(&self, head: &Head) -> Result<BTreeMap<String, DataFile>> {
        let damaged: BTreeSet<&str> =
            self.joined.iter().map(|(damaged, _)| damaged).chain(&self.lost).map(|file| file.path.as_str()).collect();
        let bases: BTreeSet<&BaseId> = self.lost.iter().filter_map(|file| file.base.as_ref()).collect();
        let tables: BTreeSet<&TableRef> =
            self.joined.iter().map(|(damaged, _)| damaged).chain(&self.lost).map(|file| &file.table).collect();
        let mut found = BTreeMap::new();
        for table in tables {
            let mut live = self.archive.live_files_of(head, table).await?;
            while let Some(file) = live.next().await? {
                let is_of_base = file.base.as_ref().is_some_and(|base| bases.contains(base));
                if is_of_base || damaged.contains(file.path.as_str()) {
                    found.insert(file.path.clone(), file);
                }
            }
        }
        Ok(found)
    }
}

/// The lost files that still live, and what else leaves with them: the other files of their bases.
fn lost_with(lost: &[DataFile], live: &BTreeMap<String, DataFile>) -> Vec<DataFile> {
    let still: Vec<&DataFile> = lost.iter().filter(|file| live.contains_key(&file.path)).collect();
    let bases: BTreeSet<(&BaseId, &TableRef)> =
        still.iter().filter_map(|file| Some((file.base.as_ref()?, &file.table))).collect();
    let paths: BTreeSet<&str> = still.iter().map(|file| file.path.as_str()).collect();
    let leaves = |file: &&DataFile| match &file.base {
        Some(base) => bases.contains(&(base, &file.table)),
        None => paths.contains(file.path.as_str()),
    };
    live.values().filter(leaves).cloned().collect()
}
