//! Whether a table of the archive is what the deployment held at a moment, by ids: (`_id`, `_ts`) names a revision.
//!
//! list_snapshot is the only source that tells the truth: it alone never shows what an import has left behind. It is asked for `_id`
//! alone, some 110 bytes a document.
//!
//! # Why a merge, and no digests
//! A walk comes by the documents of a table in the order of their ids, and so does a state of the archive. So the two are laid side by
//! side once, and each difference is found where it is, in the memory of two pages. Digests of ranges would need a second walk to
//! find what differs. That the ids ascend is not promised, so it is looked at; where they do not, nothing is concluded.

use crate::{
    archive::{Archive, Covers, Head},
    budget::MemoryBudget,
    convex::{IdPage, Source},
    document::{TableRef, Timestamp},
    error::Result,
    rows::state::{Columns, State, StateBatch, StateOptions},
};

/// Extra documents that are kept by their ids: some 12 MiB.
pub(super) const KEPT_EXTRAS: usize = 1 << 18;
/// Bytes on the wire of a document of which only `_id` is asked for: `{"_component":…,"_id":…,"_table":…,"_ts":…}`.
const ID_BYTES: u64 = 110;
/// Bytes of a page without documents.
const PAGE_BYTES: u64 = 150;
/// Documents of a page.
const PAGE_DOCUMENTS: u64 = 1024;
/// Differences that are kept to be shown.
const EXAMPLES: usize = 20;

/// How many documents a table has at `at`, from above: revisions of one document in changes are counted as many.
pub(crate) fn documents(head: &Head, table: &TableRef, at: Timestamp) -> u64 {
    let Some(state) = head.table(table) else { return 0 };
    let Covers::Covered(base) = head.coverage().covers(table, at) else { return 0 };
    let of_base = base.tables.iter().find(|held| held.table == *table).map_or(0, |held| held.rows);
    // A tombstone ends one document, and is none.
    let of_deltas = state.delta.rows.saturating_sub(state.delta.tombstones);
    (of_base + of_deltas).saturating_sub(state.delta.tombstones)
}

/// How many bytes a comparison of the table's ids reads, estimated.
pub(crate) fn bytes(head: &Head, table: &TableRef, at: Timestamp) -> u64 {
    let documents = documents(head, table, at);
    (documents / PAGE_DOCUMENTS + 1) * PAGE_BYTES + documents * ID_BYTES
}

/// One document that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The archive shows it, and the deployment did not have it.
    Extra,
    /// The deployment had it, and the archive does not show it.
    Missing,
    /// Both have it, in another revision.
    Different,
}

/// A table of the archive beside the deployment, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableComparison {
    /// The table.
    pub(crate) table: TableRef,
    /// The moment, nanoseconds.
    pub(crate) at: Timestamp,
    /// Documents that the deployment had.
    pub(crate) documents: u64,
    /// Documents that only the archive shows.
    pub(crate) extra: u64,
    /// Documents that only the deployment had.
    pub(crate) missing: u64,
    /// Documents that the two have in different revisions.
    pub(crate) different: u64,
    /// The first few that differ, by `_id`.
    pub(crate) examples: Vec<(String, Difference)>,
    /// `_ts` of the oldest and the newest extra document, nanoseconds.
    pub(crate) extra_between: Option<(Timestamp, Timestamp)>,
    /// Where the documents lie in the deployment, if that was told.
    pub(crate) place: Option<String>,
    /// Requests that it took.
    pub(crate) requests: u64,
    /// Bytes of their answers.
    pub(crate) bytes: u64,
    /// Ids of the extra documents, ascending; None, if they are too many to be kept.
    pub(crate) extras: Option<Vec<String>>,
}

impl TableComparison {
    fn new(table: &TableRef, at: Timestamp) -> Self {
        Self {
            table: table.clone(),
            at,
            documents: 0,
            extra: 0,
            missing: 0,
            different: 0,
            examples: Vec::new(),
            extra_between: None,
            place: None,
            requests: 0,
            bytes: 0,
            extras: Some(Vec::new()),
        }
    }

    /// Whether both are the same.
    pub(crate) fn is_equal(&self) -> bool {
        self.extra == 0 && self.missing == 0 && self.different == 0
    }

    /// Whether the archive has all that the deployment had, and more.
    pub(super) fn is_only_too_much(&self) -> bool {
        self.extra > 0 && self.missing == 0 && self.different == 0
    }

    fn note(&mut self, id: &str, what: Difference, ts: Timestamp) {
        match what {
            Difference::Missing => self.missing += 1,
            Difference::Different => self.different += 1,
            Difference::Extra => {
                self.extra += 1;
                let (first, last) = self.extra_between.unwrap_or((ts, ts));
                self.extra_between = Some((first.min(ts), last.max(ts)));
                match &mut self.extras {
                    Some(extras) if extras.len() < KEPT_EXTRAS => extras.push(id.to_owned()),
                    extras => *extras = None,
                }
            }
        }
        if self.examples.len() < EXAMPLES {
            self.examples.push((id.to_owned(), what));
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It was made.
    Whole(TableComparison),
    /// The table lies where it lay when it was compared last, and is too large for one page: the rest was not asked for.
    SamePlace,
    /// The deployment cannot be asked for ids of one table.
    CannotAsk,
    /// The ids did not ascend: nothing is known.
    Unordered,
}

/// Where the ids of the deployment are.
struct TheirIds<'a> {
    source: &'a dyn Source,
    table: &'a TableRef,
    at: Timestamp,
    page: std::vec::IntoIter<(String, Timestamp)>,
    next: Option<String>,
    last: Option<String>,
}

/// What a page of theirs says before it is compared.
enum Begun<'a> {
    Ids(TheirIds<'a>),
    No(Compared),
}

impl<'a> TheirIds<'a> {
    /// Asks for the first page. If the table is larger and lies at `place`, that is all.
    async fn begin(
        source: &'a dyn Source,
        table: &'a TableRef,
        at: Timestamp,
        place: Option<&str>,
        done: &mut TableComparison,
    ) -> Result<Begun<'a>> {
        let Some(page) = source.ids(table, at, None).await? else { return Ok(Begun::No(Compared::CannotAsk)) };
        if place.is_some() && page.place.as_deref() == place {
            return Ok(Begun::No(Compared::SamePlace));
        }
        let mut ids = Self { source, table, at, page: Vec::new().into_iter(), next: None, last: None };
        ids.take(page, done);
        Ok(Begun::Ids(ids))
    }

    fn take(&mut self, page: IdPage, done: &mut TableComparison) {
        let IdPage { ids, next, place, bytes } = page;
        done.requests += 1;
        done.bytes += bytes;
        done.place = done.place.take().or(place);
        (self.page, self.next) = (ids.into_iter(), next);
    }

    /// The next one; the outer None, if the ids do not ascend.
    async fn next(&mut self, done: &mut TableComparison) -> Result<Option<Option<(String, Timestamp)>>> {
        loop {
            if let Some((id, ts)) = self.page.next() {
                if self.last.as_ref().is_some_and(|last| *last >= id) {
                    return Ok(None);
                }
                done.documents += 1;
                self.last = Some(id.clone());
                return Ok(Some(Some((id, ts))));
            }
            let Some(cursor) = self.next.take() else { return Ok(Some(None)) };
            // A deployment that heeded the selection once goes on to.
            let Some(page) = self.source.ids(self.table, self.at, Some(&cursor)).await? else { return Ok(None) };
            self.take(page, done);
        }
    }
}

/// The documents of the archive, by their keys.
struct OurIds {
    /// None of a table that the archive has never seen.
    state: Option<State>,
    batch: Option<StateBatch>,
    row: usize,
}

impl OurIds {
    async fn open(
        archive: &Archive,
        head: &Head,
        table: &TableRef,
        at: Timestamp,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let state = match head.table(table) {
            Some(_) => {
                let keys = StateOptions { columns: Columns::Keys, budget, ..StateOptions::default() };
                Some(State::open(archive, head, table, at, &keys).await?)
            }
            None => None,
        };
        Ok(Self { state, batch: None, row: 0 })
    }

    async fn next(&mut self) -> Result<Option<(String, Timestamp)>> {
        let Some(state) = &mut self.state else { return Ok(None) };
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.len()
            {
                let row = self.row;
                self.row += 1;
                return Ok(Some((batch.id(row).to_owned(), batch.ts(row))));
            }
            self.batch = state.next().await?;
            self.row = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Compares `table` at `at`, which the archive covers. With a `place` it goes on only if the table fits in one page or lies elsewhere.
///
/// # Errors
/// As reading the archive has them, and as a page.
pub(crate) async fn compare(
    archive: &Archive,
    head: &Head,
    source: &dyn Source,
    table: &TableRef,
    at: Timestamp,
    place: Option<&str>,
    budget: MemoryBudget,
) -> Result<Compared> {
    let mut done = TableComparison::new(table, at);
    let mut theirs = match TheirIds::begin(source, table, at, place, &mut done).await? {
        Begun::Ids(ids) => ids,
        Begun::No(why) => return Ok(why),
    };
    let mut ours = OurIds::open(archive, head, table, at, budget).await?;
    let Some(mut their) = theirs.next(&mut done).await? else { return Ok(Compared::Unordered) };
    let mut our = ours.next().await?;
    loop {
        let order = match (&our, &their) {
            (None, None) => return Ok(Compared::Whole(done)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((our, _)), Some((their, _))) => our.cmp(their),
        };
        match (order, &our, &their) {
            (std::cmp::Ordering::Less, Some((id, ts)), _) => done.note(id, Difference::Extra, *ts),
            (std::cmp::Ordering::Greater, _, Some((id, ts))) => done.note(id, Difference::Missing, *ts),
            (_, Some((id, ours)), Some((_, theirs))) if ours != theirs => done.note(id, Difference::Different, *ours),
            _ => {}
        }
        if order.is_le() {
            our = ours.next().await?;
        }
        if order.is_ge() {
            match theirs.next(&mut done).await? {
                Some(next) => their = next,
                None => return Ok(Compared::Unordered),
            }
        }
    }
}

/// Whether the archive can be compared for `table` at `at`: it says what it was then.
pub(crate) fn is_comparable(head: &Head, table: &TableRef, at: Timestamp) -> bool {
    match head.table(table) {
        Some(_) => matches!(head.coverage().covers(table, at), Covers::Covered(_)),
        None => head.coverage().covers_unseen(!table.component().is_empty(), at),
    }
}
