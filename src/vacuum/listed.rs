//! The verb `vacuum`: the prefix is listed, and each object is judged.
//!
//! Objects come folder by folder, from every store that we know. So what lives is held for one month of one table at a time.

use std::{collections::BTreeSet, time::Duration};

use derive_setters::Setters;
use futures::TryStreamExt;
use object_store::{ObjectMeta, path::Path};

use super::plan::{FoundObject, Judgement, Needed, judge};
use crate::{
    archive::{Archive, Head, lists},
    document::{TableRef, Timestamp},
    error::Result,
    layout,
    store::{self, store_error},
};

/// Objects that are deleted at once.
const AT_ONCE: usize = 1_000;

/// Strays that are named.
const EXAMPLES: usize = 5;

/// How an archive is vacuumed.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct VacuumOptions {
    /// What is useless is deleted once it is so old: a reader of yesterday's version, and a run that has not committed yet, need it. At least
    /// two days.
    pub min_age: Duration,
    /// Only tell.
    pub plan: bool,
}

impl VacuumOptions {
    /// The least age.
    pub const LEAST: Duration = Duration::from_secs(2 * 24 * 60 * 60);
}

impl Default for VacuumOptions {
    fn default() -> Self {
        Self { min_age: Duration::from_secs(7 * 24 * 60 * 60), plan: false }
    }
}

/// What a vacuum found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VacuumReport {
    /// Objects that nobody needs, and that are old enough: deleted, unless it was a plan.
    pub useless: u64,
    /// Their bytes.
    pub useless_bytes: u64,
    /// Objects that nobody needs, and that are too young.
    pub young: u64,
    /// Their bytes.
    pub young_bytes: u64,
    /// Objects that are needed.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Objects that bear no name of ours. They are left alone.
    pub strays: u64,
    /// Their bytes.
    pub stray_bytes: u64,
    /// Some of them.
    pub stray_examples: Vec<String>,
}

/// Deletes what no version of the archive needs. `min_age` below two days counts as two days.
///
/// # Errors
/// Access, if the credentials may not list or delete; Corrupt, Unavailable, as reading the log has them.
pub async fn vacuum(archive: &Archive, head: &Head, options: &VacuumOptions, now: Timestamp) -> Result<VacuumReport> {
    let min_age = i64::try_from(options.min_age.max(VacuumOptions::LEAST).as_nanos()).unwrap_or(i64::MAX);
    let until = Timestamp(now.0.saturating_sub(min_age));
    let needed = archive.needed_since(head, until).await?;
    let mut judging = Judging {
        archive,
        head,
        until,
        folder: String::new(),
        lists: lists(head).collect(),
        needed: Needed { live: BTreeSet::new(), recent: needed.paths, checkpoints_from: needed.checkpoints_from },
    };
    let mut report = VacuumReport::default();
    let mut useless = Vec::new();
    let mut listing = archive.store().list(None);
    let failed = |e| store_error(e, "cannot list the archive");
    while let Some(object) = listing.try_next().await.map_err(failed)? {
        let object = found(object);
        let judgement = judging.judge(&object).await?;
        report.note(&object, judgement);
        if judgement == Judgement::Useless && !options.plan {
            useless.push(object.path);
        }
        if useless.len() == AT_ONCE {
            store::delete(archive.store().as_ref(), std::mem::take(&mut useless)).await?;
        }
    }
    store::delete(archive.store().as_ref(), useless).await?;
    Ok(report)
}

fn found(object: ObjectMeta) -> FoundObject {
    let written = object.last_modified.timestamp_nanos_opt().map_or(Timestamp(i64::MAX), Timestamp);
    FoundObject { path: path_text(&object.location), bytes: object.size, written }
}

fn path_text(path: &Path) -> String {
    path.as_ref().to_owned()
}

/// Judges object after object.
struct Judging<'a> {
    archive: &'a Archive,
    head: &'a Head,
    until: Timestamp,
    /// The folder of the object before.
    folder: String,
    /// Lists that the head names.
    lists: BTreeSet<String>,
    /// What is needed of this folder.
    needed: Needed,
}

impl Judging<'_> {
    async fn judge(&mut self, object: &FoundObject) -> Result<Judgement> {
        let folder = object.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if layout::is_data_file(&object.path) && self.folder != folder {
            self.needed.live = self.live_in(folder).await?;
            folder.clone_into(&mut self.folder);
        }
        if self.lists.contains(&object.path) {
            return Ok(Judgement::Kept);
        }
        Ok(judge(object, &self.needed, self.until))
    }

    /// The data files that live in a folder: those of one month of one table.
    async fn live_in(&self, folder: &str) -> Result<BTreeSet<String>> {
        let Some((table, month)) = self.month_of(folder) else { return Ok(BTreeSet::new()) };
        let mut files = self.archive.live_files_in(self.head, BTreeSet::from([(table, month)])).await?;
        let mut live = BTreeSet::new();
        while let Some(file) = files.next().await? {
            live.insert(file.path);
        }
        Ok(live)
    }

    fn month_of(&self, folder: &str) -> Option<(TableRef, String)> {
        let (of_phase, month) = folder.rsplit_once('/')?;
        let month = month.strip_prefix(layout::MONTH_KEY)?.strip_prefix('=')?;
        let (of_table, _) = of_phase.rsplit_once('/')?;
        let of_table = of_table.strip_suffix(layout::REVISIONS)?.strip_suffix('/')?;
        let state = self.head.tables().find(|state| state.folder == of_table)?;
        Some((state.table.clone(), month.to_owned()))
    }
}

impl VacuumReport {
    fn note(&mut self, object: &FoundObject, judgement: Judgement) {
        let (count, bytes) = match judgement {
            Judgement::Useless => (&mut self.useless, &mut self.useless_bytes),
            Judgement::Young => (&mut self.young, &mut self.young_bytes),
            Judgement::Kept => (&mut self.kept, &mut self.kept_bytes),
            Judgement::Stray => {
                if self.stray_examples.len() < EXAMPLES {
                    self.stray_examples.push(object.path.clone());
                }
                (&mut self.strays, &mut self.stray_bytes)
            }
        };
        *count += 1;
        *bytes += object.bytes;
    }
}
