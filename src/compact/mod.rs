//! The verb `compact`, and what each `sync` does of it: many small files become few, in a commit that says nothing else; and a table whose changes
//! have outgrown its base gets a new one, of the archive's own.
//!
//! A run that comes every five minutes leaves 105,000 small files of changes for each table in a year. `plan` says which are joined with their
//! neighbours, and how often a row is written again; `join` writes them. `outgrown` says when a base is due; `bases` makes it.
//!
//! # What it never does
//! It never joins a file that was not live before its commit: otherwise a lost race would drop the rows that a run had just brought. It never removes an
//! object; vacuum does. It says nothing of the deployment, so a sync that commits meanwhile is no conflict: the commit is tried again behind it,
//! without what has died in between.
//!
//! # How much it does
//! Each row is written again once for each tier that its file climbs, and once when its window ends or its month is over; never again once its file is
//! large. With a run every five minutes that is about four times. In a sync a run joins at most [`CompactOptions::bytes`]; what is left waits for the next one. Months that are over are looked at a few in each run, in
//! turn, since their tables may have become quiet and would never be looked at otherwise. Bases come at the end of a sync, when what the deployment had is in the
//! archive: whoever is stopped there has lost nothing.
//!
//! A damaged input is found here before anybody else reads it: its group stays as it is, no base is made of it, and that is told.

mod bases;
mod join;
mod outgrown;
mod plan;

use std::{collections::BTreeSet, sync::Arc};

use derive_setters::Setters;

#[doc(hidden)]
pub use self::outgrown::OwnBaseRule;
use self::{join::Joiner, plan::Group};
use crate::{
    archive::{Archive, Draft, Head, Maintenance, RemovedFile, Replacement, ReplacementReason, Run},
    budget::MemoryBudget,
    content::DigestShare,
    data::DataFile,
    document::{TableRef, Timestamp},
    error::{Error, ErrorKind, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    selection::Selection,
};

/// Months that are over which a sync looks at in one run.
const OVER_AT_ONCE: usize = 2;

/// How files are joined, and bases made.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct CompactOptions {
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Level of zstd, 1 to 22.
    pub compression_level: i32,
    /// Stored bytes at which a file of a base ends.
    pub target_file_bytes: u64,
    /// Of which documents each file of a base keeps a digest. A joined file keeps that of its inputs.
    pub content_digest: DigestShare,
    /// Stored bytes of the files that are joined in one commit at most; None: all that are due.
    pub bytes: Option<u64>,
    /// Only files of these tables.
    pub selection: Selection,
    /// All that is due, and not only what a run of sync does: files of all months, and bases of all tables, however large.
    pub everything: bool,
    /// So many files of a tier are joined; for tests.
    #[doc(hidden)]
    pub fan_in: usize,
    /// When a table gets a base; for tests.
    #[doc(hidden)]
    pub own_bases: OwnBaseRule,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            budget: MemoryBudget::default(),
            compression_level: 1,
            target_file_bytes: 128 << 20,
            content_digest: DigestShare::default(),
            bytes: None,
            selection: Selection::default(),
            everything: true,
            fan_in: plan::FAN_IN,
            own_bases: OwnBaseRule::default(),
        }
    }
}

/// What joins files and makes bases, and what that takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// Tables of which files are joined.
    pub tables: u64,
    /// Files that are joined.
    pub inputs: u64,
    /// Files that they become.
    pub outputs: u64,
    /// Rows in them.
    pub rows: u64,
    /// Stored bytes of the inputs.
    pub input_bytes: u64,
    /// Stored bytes of the outputs; 0 in a plan.
    pub output_bytes: u64,
    /// Groups of files that are due and wait for a later run.
    pub later: u64,
    /// Groups that stay as they are because one of their files is damaged.
    pub damaged: u64,
    /// Tables that get a base of the archive's own, because what came since their last one has outgrown it.
    pub bases: u64,
    /// Documents in these bases; in a plan, at most so many.
    pub base_rows: u64,
    /// Stored bytes that are read for them.
    pub base_input_bytes: u64,
    /// Stored bytes of the bases; 0 in a plan.
    pub base_bytes: u64,
    /// Tables whose base is due and waits: for a later run, or, if it is too large for a sync, for `compact`.
    pub bases_later: u64,
    /// Tables whose base is due, and that get none because their documents came in several encodings, or bear the numbers of several tables of that
    /// name.
    pub bases_mixed: u64,
    /// Tables whose base is due, and that get none because a file of theirs is damaged.
    pub bases_damaged: u64,
    /// The version of the archive that has the joined files and the bases; None, if there is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What would be joined now, and which bases made. Nothing is read but lists of files.
///
/// # Errors
/// As reading the lists of files has them.
pub async fn plan_compact(archive: &Archive, head: &Head, options: &CompactOptions) -> Result<CompactReport> {
    let (groups, later) = due(archive, head, options).await?;
    let mut report = CompactReport { later: later as u64, ..bases::plan(archive, head, options).await? };
    groups.iter().for_each(|group| report.count(group));
    report.count_tables(&groups);
    report.outputs = groups.len() as u64;
    Ok(report)
}

/// Makes the bases that are due, each in a commit, and joins what is due, in one commit. The head at the end, and what was done.
///
/// # Errors
/// Corrupt, Access, Unavailable, as archive and store say; what was committed before stays. A damaged file is no error: its group stays, no base is made
/// of it, and the monitor hears of it.
pub async fn compact(
    archive: &Archive,
    head: &Head,
    options: &CompactOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
) -> Result<(Head, CompactReport)> {
    // A base comes first: what lies before its S is then joined for good.
    let (head, made) = make_bases(archive, head, options, now, &monitor).await?;
    let (head, joined) = join_files(archive, &head, options, now, monitor).await?;
    Ok((head, made.plus(&joined)))
}

/// Makes the bases that are due, each in a commit.
///
/// # Errors
/// As [`compact`].
pub(crate) async fn make_bases(
    archive: &Archive,
    head: &Head,
    options: &CompactOptions,
    now: Timestamp,
    monitor: &Arc<dyn Monitor>,
) -> Result<(Head, CompactReport)> {
    bases::make(archive, head, options, now, monitor).await
}

/// Joins the files that are due, in one commit.
///
/// # Errors
/// As [`compact`].
pub(crate) async fn join_files(
    archive: &Archive,
    head: &Head,
    options: &CompactOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
) -> Result<(Head, CompactReport)> {
    let (groups, later) = due(archive, head, options).await?;
    let mut report = CompactReport { later: later as u64, ..CompactReport::default() };
    let mut run = Run::begin();
    let mut joined = Vec::new();
    for (counter, group) in (0..).zip(groups) {
        match join(archive, head, options, &group, (counter, &run), Arc::clone(&monitor)).await {
            Ok(file) => joined.push((group, file)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                report.damaged += 1;
                let table = group.first().map(|file| file.table.to_string()).unwrap_or_default();
                monitor.report(Event::Finding(&Finding::NotCompacted { table, why: error.to_string() }));
            }
            Err(error) => return Err(error),
        }
    }
    let (head, joined) = replace(archive, head, &mut run, joined, now).await?;
    if !joined.is_empty() {
        for (group, file) in &joined {
            report.count(group);
            report.outputs += 1;
            report.output_bytes += file.bytes;
        }
        report.count_tables(joined.iter().map(|(group, _)| group));
        report.version = Some(head.version());
    }
    Ok((head, report))
}

/// Commits files that are complete in the store in place of the groups that were joined into them: those that still live when it comes to that. The head
/// at the end, and which they were.
///
/// # Errors
/// As [`Archive::update`].
#[doc(hidden)]
pub async fn replace(
    archive: &Archive,
    head: &Head,
    run: &mut Run,
    joined: Vec<(Vec<DataFile>, DataFile)>,
    now: Timestamp,
) -> Result<(Head, Vec<(Vec<DataFile>, DataFile)>)> {
    let mut joining = Joining { archive, joined, now, planned_on: None };
    let head = archive.update(head, run, &mut joining).await?;
    let Joining { mut joined, planned_on, .. } = joining;
    if planned_on.is_some_and(|version| head.version() > version + 1) {
        // It stands behind another writer's commit: without what had died.
        let live = live_paths(archive, &head, &joined).await?;
        joined.retain(|(_, file)| live.contains(&file.path));
    }
    Ok((head, joined))
}

/// One file with the rows of `files`, which are of one table and month and in order of `_ts`; its counter in the run is `counter`. It is complete
/// in the store, and in no commit yet.
///
/// # Errors
/// Corrupt, if one of them is damaged, or its rows are not the documents that came. Otherwise as the store says.
pub(crate) async fn join(
    archive: &Archive,
    head: &Head,
    options: &CompactOptions,
    files: &[DataFile],
    (counter, run): (u32, &Run),
    monitor: Arc<dyn Monitor>,
) -> Result<DataFile> {
    let first = files.first().and_then(|file| Some((head.table(&file.table)?.folder.as_str(), file.min_ts)));
    let Some((folder, first)) = first else { return Err(Error::internal("nothing is joined: report it")) };
    let joiner =
        Joiner { archive, head, budget: options.budget, compression_level: options.compression_level, monitor };
    joiner.join(files, layout::delta_file(folder, first, counter, &run.id)).await
}

impl CompactReport {
    /// Both together, of one archive: the files that are left for later are those of `next`.
    #[must_use]
    pub fn plus(self, next: &Self) -> Self {
        Self {
            tables: self.tables.max(next.tables),
            inputs: self.inputs + next.inputs,
            outputs: self.outputs + next.outputs,
            rows: self.rows + next.rows,
            input_bytes: self.input_bytes + next.input_bytes,
            output_bytes: self.output_bytes + next.output_bytes,
            later: next.later,
            damaged: self.damaged.max(next.damaged),
            bases: self.bases + next.bases,
            base_rows: self.base_rows + next.base_rows,
            base_input_bytes: self.base_input_bytes + next.base_input_bytes,
            base_bytes: self.base_bytes + next.base_bytes,
            bases_later: self.bases_later.max(next.bases_later),
            bases_mixed: self.bases_mixed.max(next.bases_mixed),
            bases_damaged: self.bases_damaged.max(next.bases_damaged),
            version: self.version.max(next.version),
        }
    }

    fn count(&mut self, group: &Group) {
        self.inputs += group.len() as u64;
        self.rows += group.iter().map(|file| file.rows).sum::<u64>();
        self.input_bytes += plan::bytes(group);
    }

    fn count_tables<'a>(&mut self, groups: impl IntoIterator<Item = &'a Group>) {
        let tables: BTreeSet<_> = groups.into_iter().flatten().map(|file| &file.table).collect();
        self.tables = tables.len() as u64;
    }
}

/// The groups that are to be joined, each oldest first, and how many are left for later.
///
/// # Errors
/// As reading the lists of files has them.
#[doc(hidden)]
pub async fn due(archive: &Archive, head: &Head, options: &CompactOptions) -> Result<(Vec<Vec<DataFile>>, usize)> {
    let Some(cursor) = head.progress().delta.as_ref().map(|delta| delta.ts) else { return Ok((Vec::new(), 0)) };
    let month = layout::month_of(cursor);
    let months = months(head, &month, options);
    if months.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut files = archive.live_files_in(head, months).await?;
    let (mut groups, mut part) = (Vec::new(), Vec::<DataFile>::new());
    loop {
        let next = files.next().await?;
        let is_other = |file: &DataFile| {
            part.first().is_some_and(|first| (&first.table, &first.month) != (&file.table, &file.month))
        };
        if next.as_ref().is_none_or(is_other) {
            let part = std::mem::take(&mut part);
            if let Some(first) = part.first() {
                let (moments, is_over) = (moments(head, &first.table), first.month < month);
                groups.extend(plan::groups(part, &moments, is_over, options.fan_in));
            }
        }
        let Some(next) = next else { break };
        if next.base.is_none() {
            part.push(next);
        }
    }
    Ok(match options.bytes {
        Some(most) => plan::within(groups, most),
        None => (groups, 0),
    })
}

/// The tables and months whose files may be due: a count in the head says so, and nothing is read for the others.
fn months(head: &Head, now: &str, options: &CompactOptions) -> BTreeSet<(TableRef, String)> {
    let (mut due, mut over) = (BTreeSet::new(), Vec::new());
    for state in head.tables().filter(|state| options.selection.contains(&state.table)) {
        for (name, month) in &state.months {
            let key = || (state.table.clone(), name.clone());
            if name.as_str() >= now && month.fresh >= options.fan_in as u64 {
                due.insert(key());
            } else if name.as_str() < now && month.lines.count > 1 && (month.fresh > 0 || options.everything) {
                over.push(key());
            }
        }
    }
    if options.everything {
        due.extend(over);
    } else if !over.is_empty() {
        // In turn, so that one that cannot be joined does not hold up the others.
        let begin = (head.version() as usize).wrapping_mul(OVER_AT_ONCE) % over.len();
        due.extend(over.iter().cycle().skip(begin).take(OVER_AT_ONCE.min(over.len())).cloned());
    }
    due
}

/// S of the bases of a table, and of the walk that is open.
fn moments(head: &Head, table: &TableRef) -> Vec<Timestamp> {
    let bases = head.coverage().bases.iter().filter(|base| base.scope.contains(table)).map(|base| base.ts);
    let walk = head.progress().walk.as_ref().filter(|walk| walk.scope.contains(table)).map(|walk| walk.ts);
    bases.chain(walk).collect()
}

/// Files that are joined and complete in the store, on their way into a commit.
struct Joining<'a> {
    archive: &'a Archive,
    joined: Vec<(Group, DataFile)>,
    now: Timestamp,
    /// The version of the head on which it was planned last.
    planned_on: Option<u64>,
}

impl Maintenance for Joining<'_> {
    async fn plan(&mut self, head: &Head) -> Result<Option<Draft>> {
        if self.planned_on.replace(head.version()).is_some() {
            // Another writer joined or removed some of them, or took a base between them.
            self.joined = still_whole(self.archive, head, std::mem::take(&mut self.joined)).await?;
        }
        draft(head, &self.joined, self.now)
    }
}

/// Those of the groups whose files all live at `head`, and between which no S of a base lies.
async fn still_whole(archive: &Archive, head: &Head, joined: Vec<(Group, DataFile)>) -> Result<Vec<(Group, DataFile)>> {
    let live = live_paths(archive, head, &joined).await?;
    let stands = |(group, file): &(Group, DataFile)| {
        group.iter().all(|file| live.contains(&file.path))
            && !moments(head, &file.table).iter().any(|s| file.lies_across(*s))
    };
    Ok(joined.into_iter().filter(stands).collect())
}

/// Paths of the files that live at `head` where files were joined.
async fn live_paths(archive: &Archive, head: &Head, joined: &[(Group, DataFile)]) -> Result<BTreeSet<String>> {
    let keys = joined.iter().map(|(_, file)| (file.table.clone(), file.month.clone())).collect();
    let (mut live, mut files) = (BTreeSet::new(), archive.live_files_in(head, keys).await?);
    while let Some(file) = files.next().await? {
        live.insert(file.path);
    }
    Ok(live)
}

fn draft(head: &Head, joined: &[(Group, DataFile)], now: Timestamp) -> Result<Option<Draft>> {
    let Some(draft) = head.maintenance(now).filter(|_| !joined.is_empty()) else { return Ok(None) };
    let paths = |group: &Group| group.iter().map(|file| file.path.clone()).collect();
    let replaced = joined.iter().map(|(group, file)| Replacement {
        inputs: paths(group),
        outputs: vec![file.path.clone()],
        why: ReplacementReason::Compaction,
        left: None,
    });
    Ok(Some(Draft {
        add: joined.iter().map(|(_, file)| file.clone()).collect(),
        remove: joined.iter().flat_map(|(group, _)| group).map(RemovedFile::of).collect::<Result<_>>()?,
        replaced: replaced.collect(),
        ..draft
    }))
}
