//! The verb `forget`: history that is older than what is to be kept leaves, table by table. It never happens by itself.
//!
//! For each table a *border* is chosen, at or before the limit (`plan`). A base there becomes the new beginning: one that lies there already, if the
//! deployment told it or it is a cut, else one of the archive's own, a cut, with the state of the table at that moment. All earlier bases are withdrawn,
//! `expired`, and the files of changes up to the border leave under a gap `expired`. What is newer is answered as before, at every moment; what is
//! older is not covered, and readers say that it was forgotten. `vacuum` frees the bytes later.
//!
//! The limit is counted back from where the archive stands, or from now, whichever is earlier: an archive that nobody brings up to date does not lose
//! the history that it has.
//!
//! # What stays as it is
//! - A table of which a walk is under way that began before the border: its base, once complete, would lie there again.
//! - A table whose documents at the border came in several encodings, or bear the numbers of several tables of that name, has no base of the archive's
//!   own. An older base that lies there already is its new beginning; where that is its first one, it is held up, and told.
//! - Doubts and suspicions: the new beginning is what the archive showed.
//!
//! # Commits
//! A table is forgotten in one commit, or, if very many files leave, in several: the first has the new base, and each is true by itself. A commit that came in between
//! plans it anew. Whoever is stopped goes on where it was; done twice there is nothing left to do.

mod plan;

use std::{sync::Arc, time::Duration};

use derive_setters::Setters;
use serde::Serialize;

use crate::{
    archive::{
        Archive, Base, BaseMaker, Covers, DELTAS_KEPT, Draft, Gap, Head, Maintenance, RemovedFile, Run, Withdrawal,
        WithdrawalReason,
    },
    budget::MemoryBudget,
    content::DigestShare,
    data::DataFile,
    document::{Encoding, TableRef, Timestamp, time_text},
    error::{Error, Result, ResultExt},
    monitor::Monitor,
    own_base::{BaseWriter, NewBase, OwnBase, encoding_of_one_generation},
    position::{BaseId, Scope},
    rows::files::TableFiles,
    selection::Selection,
};

/// Files that leave in one commit, at most: a commit says some 400 bytes of each.
const FILES_AT_ONCE: usize = 5_000;

/// What is kept, and how.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// So much history is kept; at least [`LEAST`](Self::LEAST).
    pub keep_within: Duration,
    /// Only the history of these tables leaves.
    pub selection: Selection,
    /// The memory that it may take.
    pub budget: MemoryBudget,
    /// Level of zstd of new bases, 1 to 22.
    pub compression_level: i32,
    /// Stored bytes at which a file of a base ends.
    pub target_file_bytes: u64,
    /// Of which documents each file of a base keeps a digest.
    pub content_digest: DigestShare,
    /// So many files leave in one commit; for tests.
    #[doc(hidden)]
    pub files_at_once: usize,
}

impl ForgetOptions {
    /// The deployment itself tells changes for so long. Who says less has mistaken the unit.
    pub const LEAST: Duration = DELTAS_KEPT;

    /// Keeps what is younger than this, of all tables.
    pub fn new(keep_within: Duration) -> Self {
        Self {
            keep_within,
            selection: Selection::default(),
            budget: MemoryBudget::default(),
            compression_level: 1,
            target_file_bytes: 128 << 20,
            content_digest: DigestShare::default(),
            files_at_once: FILES_AT_ONCE,
        }
    }

    /// What is older than this leaves. None, before the first commit.
    fn limit(&self, head: &Head, now: Timestamp) -> Result<Option<Timestamp>> {
        if self.keep_within < Self::LEAST {
            return Err(Error::usage(
                "forget keeps at least the 14 days for which the deployment itself keeps its changes: use \
                 --keep-within 2y, 18months or 90d",
            ));
        }
        let keep = i64::try_from(self.keep_within.as_nanos()).unwrap_or(i64::MAX);
        let reached = head.progress().delta.as_ref().map(|delta| delta.ts.min(now));
        Ok(reached.map(|reached| Timestamp(reached.0.saturating_sub(keep))))
    }
}

/// What leaves, and what that takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ForgetReport {
    /// What is older than this was to leave. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub limit: Option<Timestamp>,
    /// The tables of which something leaves, or would if something did not hold it up.
    pub tables: Vec<ForgottenTable>,
    /// Data files that leave.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their stored bytes. They are freed by `vacuum`, once they are old enough.
    pub bytes: u64,
    /// Tables that get a new base of the archive's own.
    pub bases: u64,
    /// Documents in these bases; in a plan, at most so many.
    pub base_rows: u64,
    /// Stored bytes that are read for them.
    pub base_input_bytes: u64,
    /// Stored bytes of the bases; 0 in a plan.
    pub base_bytes: u64,
    /// The version of the archive that has forgotten it; None, if nothing left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// A table of which something leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ForgottenTable {
    /// The table.
    pub table: TableRef,
    /// Its new beginning: no earlier moment is kept. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub kept_from: Timestamp,
    /// Data files that leave.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Whether it gets a new base of the archive's own.
    pub new_base: bool,
    /// Documents in it; in a plan, at most so many.
    pub base_rows: u64,
    /// Stored bytes that are read for it.
    pub base_input_bytes: u64,
    /// Its stored bytes; 0 in a plan.
    pub base_bytes: u64,
    /// Why nothing of it leaves now. Absent, if nothing holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_up: Option<HeldUp>,
}

/// Why nothing of a table leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldUp {
    /// A walk of it is under way: once `sync` has finished it, the table can be forgotten.
    Walk,
    /// Its documents came in several encodings, or bear the numbers of several tables of that name, so the archive cannot make a base; and there
    /// is none that could be the new beginning.
    Mixed,
}

impl ForgetReport {
    fn count(&mut self, table: ForgottenTable) {
        if table.held_up.is_none() {
            self.files += table.files;
            self.rows += table.rows;
            self.bytes += table.bytes;
            self.bases += u64::from(table.new_base);
            self.base_rows += table.base_rows;
            self.base_input_bytes += table.base_input_bytes;
            self.base_bytes += table.base_bytes;
        }
        self.tables.push(table);
    }
}

/// What would leave now. Nothing is read but lists of files.
///
/// # Errors
/// Usage, if less is to be kept than [`ForgetOptions::LEAST`]; otherwise as reading the lists of files has them.
pub async fn plan_forget(
    archive: &Archive,
    head: &Head,
    options: &ForgetOptions,
    now: Timestamp,
) -> Result<ForgetReport> {
    let mut report = ForgetReport { limit: options.limit(head, now)?, ..ForgetReport::default() };
    let Some(limit) = report.limit else { return Ok(report) };
    for table in tables(head, options) {
        let files = TableFiles::of(archive, head, &table).await?;
        if let Some(cut) = Cut::of(head, &files, limit) {
            report.count(cut.told(head, &files));
        }
    }
    Ok(report)
}

/// Forgets what is older than what is to be kept, table by table. The head at the end, and what left.
///
/// # Errors
/// Usage, if less is to be kept than [`ForgetOptions::LEAST`]. Corrupt, if a file of which the new base is to be made is damaged: this table stays as it is.
/// Otherwise as archive and store say. What was committed before stays.
pub async fn forget(
    archive: &Archive,
    head: &Head,
    options: &ForgetOptions,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
) -> Result<(Head, ForgetReport)> {
    let mut report = ForgetReport { limit: options.limit(head, now)?, ..ForgetReport::default() };
    let mut head = head.clone();
    let Some(limit) = report.limit else { return Ok((head, report)) };
    archive.check_writable(&head).await?;
    let mut run = Run::begin();
    for table in tables(&head, options) {
        let mut forgetting = Forgetting {
            archive,
            options,
            table: &table,
            limit,
            now,
            monitor: Arc::clone(&monitor),
            told: None,
            planned: None,
            made: None,
            is_done: false,
        };
        while !forgetting.is_done {
            head = archive.update(&head, &mut run, &mut forgetting).await.context(|| format!("table {table}"))?;
            if let Some(planned) = forgetting.planned.take() {
                forgetting.told = Some(planned);
                report.version = Some(head.version());
            }
        }
        if let Some(told) = forgetting.told {
            report.count(told);
        }
    }
    Ok((head, report))
}

fn tables(head: &Head, options: &ForgetOptions) -> Vec<TableRef> {
    let tables = head.tables().map(|state| &state.table);
    tables.filter(|table| options.selection.contains(table)).cloned().collect()
}

/// How a table is cut off.
struct Cut<'a> {
    at: Timestamp,
    beginning: Beginning<'a>,
    /// Complete bases of the table whose files leave: all before the beginning.
    before: Vec<&'a Base>,
}

/// What the table begins with.
enum Beginning<'a> {
    /// A base that is there.
    Kept(&'a Base),
    /// The state at the border, from this base, is written down.
    New { from: &'a Base, encoding: Encoding },
    /// The border is not covered, so nothing that is newer needs what is older: a later base is the beginning.
    Later,
    /// Nothing can be done.
    HeldUp(HeldUp),
}

impl<'a> Cut<'a> {
    /// None, if there is nothing that could leave.
    fn of(head: &'a Head, files: &TableFiles, limit: Timestamp) -> Option<Self> {
        let (table, coverage) = (&files.table, head.coverage());
        let deltas: Vec<_> = files.deltas().map(|part| (part.file.min_ts, part.file.max_ts)).collect();
        let serving = || coverage.bases.iter().filter(|base| coverage.serves(base, table));
        let moments: Vec<_> = serving().map(|base| base.ts).collect();
        let at = plan::border(&deltas, &moments, limit)?;
        let can_begin = |base: &Base| base.made == BaseMaker::Deployment || base.cuts(table);
        let (at, beginning) = match coverage.covers(table, at) {
            Covers::NotCovered(_) => (at, Beginning::Later),
            Covers::Covered(base) if base.ts == at && can_begin(base) => (at, Beginning::Kept(base)),
            Covers::Covered(from) => match encoding_of_one_generation(head, files, at) {
                Some(encoding) => (at, Beginning::New { from, encoding }),
                None => {
                    let told: Vec<_> = serving().filter(|base| can_begin(base)).map(|base| base.ts).collect();
                    let kept = plan::border_of_bases(&deltas, &told, limit);
                    let kept = kept.and_then(|at| match coverage.covers(table, at) {
                        Covers::Covered(base) if base.ts == at && can_begin(base) => Some((at, Beginning::Kept(base))),
                        _ => None,
                    });
                    // Where that base is the first already, something is older all the same, and whoever asked is told.
                    let older = |kept: &Base| serving().any(|base| (base.ts, base.version) < (kept.ts, kept.version));
                    let leaves = |at: Timestamp| deltas.iter().any(|(_, last)| *last <= at);
                    let kept = kept.filter(|(at, beginning)| match beginning {
                        Beginning::Kept(base) => older(base) || leaves(*at),
                        _ => false,
                    });
                    kept.unwrap_or((at, Beginning::HeldUp(HeldUp::Mixed)))
                }
            },
        };
        let walk = head.progress().walk.as_ref().filter(|walk| walk.scope.contains(table) && walk.ts < at);
        let beginning = if walk.is_some() { Beginning::HeldUp(HeldUp::Walk) } else { beginning };
        let is_before = |base: &&Base| match &beginning {
            Beginning::Kept(kept) => (base.ts, base.version) < (kept.ts, kept.version),
            _ => base.ts <= at,
        };
        let before = coverage.bases.iter().filter(|base| base.holds(table)).filter(is_before).collect();
        let cut = Self { at, beginning, before };
        cut.leaves_anything(head, files).then_some(cut)
    }

    /// Whether the file of a complete base, or of changes, leaves.
    fn takes(&self, base: Option<&BaseId>, last: Timestamp) -> bool {
        match base {
            None => last <= self.at,
            Some(id) => self.before.iter().any(|base| base.id == *id),
        }
    }

    fn leaves_anything(&self, head: &Head, files: &TableFiles) -> bool {
        let serves = |base: &&Base| head.coverage().serves(base, &files.table);
        files.parts.iter().any(|part| self.takes(part.base(), part.file.max_ts)) || self.before.iter().any(serves)
    }

    /// What leaves, and what the new base takes.
    fn told(&self, head: &Head, files: &TableFiles) -> ForgottenTable {
        let mut told = ForgottenTable {
            table: files.table.clone(),
            kept_from: self.at,
            files: 0,
            rows: 0,
            bytes: 0,
            new_base: false,
            base_rows: 0,
            base_input_bytes: 0,
            base_bytes: 0,
            held_up: None,
        };
        for part in files.parts.iter().filter(|part| self.takes(part.base(), part.file.max_ts)) {
            told.files += 1;
            told.rows += part.file.rows;
            told.bytes += part.file.bytes;
        }
        match &self.beginning {
            Beginning::New { from, .. } => {
                let read = files.of_state(from, self.at);
                (told.base_rows, told.base_input_bytes) =
                    read.fold((0, 0), |(rows, bytes), part| (rows + part.file.rows, bytes + part.file.bytes));
                told.new_base = true;
            }
            Beginning::Later => {
                let spans = head.coverage().spans(&files.table);
                let later = spans.iter().find(|span| span.from > self.at).map(|span| span.from);
                told.kept_from = later.unwrap_or(self.at);
            }
            Beginning::HeldUp(why) => told.held_up = Some(*why),
            Beginning::Kept(_) => {}
        }
        told
    }
}

/// A table on its way to its new beginning.
struct Forgetting<'a> {
    archive: &'a Archive,
    options: &'a ForgetOptions,
    table: &'a TableRef,
    limit: Timestamp,
    now: Timestamp,
    monitor: Arc<dyn Monitor>,
    /// What leaves, as the first commit had it.
    told: Option<ForgottenTable>,
    /// The same, of a commit that may still be too late: then it is planned anew, or there is nothing left to do.
    planned: Option<ForgottenTable>,
    /// A base that was written for a commit which was too late, and of which base it was made.
    made: Option<(BaseId, OwnBase)>,
    is_done: bool,
}

impl Maintenance for Forgetting<'_> {
    async fn plan(&mut self, head: &Head) -> Result<Option<Draft>> {
        self.planned = None;
        let files = TableFiles::of(self.archive, head, self.table).await?;
        let cut = Cut::of(head, &files, self.limit);
        let (Some(cut), Some(mut draft)) = (cut, head.maintenance(self.now)) else {
            self.is_done = true;
            return Ok(None);
        };
        if let Beginning::HeldUp(_) = cut.beginning {
            self.is_done = true;
            self.told.get_or_insert_with(|| cut.told(head, &files));
            return Ok(None);
        }
        let mut told = cut.told(head, &files);
        if let Beginning::New { from, encoding } = cut.beginning {
            let own = self.base(head, &files, cut.at, from, encoding).await?;
            (told.base_rows, told.base_bytes) =
                own.files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
            draft.add.clone_from(&own.files);
            draft.bases = vec![own.base.clone()];
            self.made = Some((from.id.clone(), own));
        }
        let (leaving, all) = self.leaving(head, &cut).await?;
        self.is_done = all;
        draft.withdrawn = withdrawn(head, self.table, &cut, &leaving);
        draft.gaps = gap(head, self.table, &cut, &leaving, all);
        draft.remove = leaving.iter().map(RemovedFile::of).collect::<Result<_>>()?;
        // Of what leaves in several commits the first has told all of it.
        let first = self.told.clone();
        let goes_on = first.filter(|first| first.kept_from == told.kept_from && first.files > told.files);
        self.planned = Some(goes_on.unwrap_or(told));
        Ok(Some(draft))
    }
}

impl Forgetting<'_> {
    /// The new base. One that was written for a commit which was too late is taken again, if it would be the same.
    async fn base(
        &mut self,
        head: &Head,
        files: &TableFiles,
        at: Timestamp,
        from: &Base,
        encoding: Encoding,
    ) -> Result<OwnBase> {
        match self.made.take() {
            Some((of, own)) if of == from.id && own.base.ts == at => return Ok(own),
            _ => {}
        }
        let writer = BaseWriter {
            archive: self.archive,
            head,
            budget: self.options.budget,
            compression_level: self.options.compression_level,
            target_file_bytes: self.options.target_file_bytes,
            content_digest: self.options.content_digest,
            monitor: Arc::clone(&self.monitor),
        };
        let new = NewBase { table: self.table, at, is_cut: true, run: &Run::begin(), now: self.now };
        writer.write(&new, files, encoding, &[]).await
    }

    /// The files that leave next, oldest first, and whether these are all.
    async fn leaving(&self, head: &Head, cut: &Cut<'_>) -> Result<(Vec<DataFile>, bool)> {
        let mut live = self.archive.live_files_of(head, self.table).await?;
        let mut leaving = Vec::new();
        while let Some(file) = live.next().await? {
            if cut.takes(file.base.as_ref(), file.max_ts) {
                leaving.push(file);
            }
        }
        // Changes first, in their order: the gap of a commit ends with the last of them.
        leaving.sort_by(|a, b| (a.base.is_some(), a.min_ts, &a.path).cmp(&(b.base.is_some(), b.min_ts, &b.path)));
        let all = leaving.len() <= self.options.files_at_once;
        leaving.truncate(self.options.files_at_once.max(1));
        Ok((leaving, all))
    }
}

/// The bases before the beginning that still serve, and superseded ones whose files leave now.
fn withdrawn(head: &Head, table: &TableRef, cut: &Cut<'_>, leaving: &[DataFile]) -> Vec<Withdrawal> {
    let coverage = head.coverage();
    let is_superseded = |base: &Base| {
        let mut said = coverage.withdrawals.iter().filter(|w| w.base == base.id && w.scope.contains(table));
        said.all(|w| w.why == WithdrawalReason::Superseded)
    };
    let leaves = |base: &Base| leaving.iter().any(|file| file.base.as_ref() == Some(&base.id));
    let bases = cut.before.iter().filter(|base| coverage.serves(base, table) || (is_superseded(base) && leaves(base)));
    let withdrawal = |base: &&Base| Withdrawal {
        base: base.id.clone(),
        scope: Scope::Tables(vec![table.clone()]),
        why: WithdrawalReason::Expired,
    };
    bases.map(withdrawal).collect()
}

/// The gap that covers the changes which leave now; none, if there are none. It begins where the last one ended.
fn gap(head: &Head, table: &TableRef, cut: &Cut<'_>, leaving: &[DataFile], all: bool) -> Vec<Gap> {
    let mut deltas = leaving.iter().filter(|file| file.base.is_none());
    let Some(first) = deltas.next() else { return Vec::new() };
    let last = deltas.map(|file| file.max_ts).max().unwrap_or(first.max_ts);
    let before = head.coverage().gaps.iter().filter(|gap| gap.is_forgotten() && gap.scope.contains(table));
    let before = before.map(|gap| gap.to).filter(|to| *to < first.min_ts).max();
    // The S of the first base, and with it the first moment, is not kept either.
    let from = before.or(head.origin().map(|origin| Timestamp(origin.0.saturating_sub(1))));
    let from = from.filter(|from| *from < first.min_ts).unwrap_or(Timestamp(first.min_ts.0.saturating_sub(1)));
    let to = if all || leaving.last().is_some_and(|file| file.base.is_some()) { cut.at } else { last };
    vec![Gap { scope: Scope::Tables(vec![table.clone()]), from, to, why: Gap::EXPIRED.to_owned() }]
}
