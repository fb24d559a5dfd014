//! [`History`]: every revision of one document that the archive has.

use std::{collections::BTreeSet, sync::Arc};

use super::get::{Lookup, get_of_files};
use crate::{
    archive::{Archive, Covers, Head},
    budget::MemoryBudget,
    codec::RowReader,
    data::WantedRows,
    document::{Revision, TableRef, Timestamp},
    error::{Result, ResultExt},
    rows::{
        doubt::{DoubtedTable, doubted_within},
        feed::Feed,
        files::{Part, TableFiles, complete_base},
        keyed::PickedRows,
        merge::Keep,
        moment::{MissingSpan, known_table, missing, whole_span},
        sort::Limits,
        sorted::{Plan, columns, sorted},
    },
    schema::TableSchema,
};

/// Rows that are made into documents at once.
const ROWS: usize = 64;

/// The revisions of one document, oldest first, each once: tombstones too. Bounded by the budget, however often it was
/// written.
pub struct History {
    table: TableRef,
    schema: Arc<TableSchema>,
    missing: Vec<MissingSpan>,
    doubted: Vec<DoubtedTable>,
    /// S of the bases behind a gap that lack the document, ascending.
    absent: Vec<Timestamp>,
    rows: Feed<PickedRows>,
    /// Rows that have come, and how many of them were handed on.
    ready: (PickedRows, usize),
}

impl History {
    /// The history of the document `id` of `table`.
    ///
    /// # Errors
    /// NotFound, if there is no such table, or no snapshot was ever complete. A document that the archive does not know has an empty history.
    pub async fn open(
        archive: &Archive,
        head: &Head,
        table: &TableRef,
        id: &str,
        budget: MemoryBudget,
    ) -> Result<Self> {
        known_table(head, table)?;
        let files = TableFiles::of(archive, head, table).await?;
        let limits = Limits { rows: ROWS, ..Limits::from(budget) };
        let wanted =
            WantedRows { ids: Some([id.to_owned()].into()), batch_bytes: limits.file_batch, ..WantedRows::default() };
        let visible = |part: &&Part| part.base().is_none_or(|base| complete_base(head, base, table).is_some());
        let holds = |part: &&Part| part.may_hold(id);
        let mut parts: Vec<_> = files.parts.iter().filter(holds).filter(visible).cloned().collect();
        parts.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        let plan = Plan {
            in_order: Vec::new(),
            unsorted: parts.into_iter().map(|part| (part, wanted.clone())).collect(),
            columns: columns(&files.schema, false)?,
            keep: Keep::EachTs,
            tombstones: true,
            limits,
            damage: None,
        };
        let mut absent = Vec::new();
        for s in bases_behind_gaps(head, table) {
            if get_of_files(archive, head, &files, id, s).await? == Lookup::Nothing {
                absent.push(s);
            }
        }
        Ok(Self {
            absent,
            table: table.clone(),
            schema: Arc::clone(&files.schema),
            missing: missing(head, std::iter::once(table), &whole_span(head)?),
            doubted: doubted_within(head, [table], &whole_span(head)?),
            rows: sorted(archive.store(), plan)?,
            ready: (PickedRows::default(), 0),
        })
    }

    /// The spans in which revisions may be missing.
    pub fn missing(&self) -> &[MissingSpan] {
        &self.missing
    }

    /// The spans in which the archive may show something else of the table than the deployment held: revisions in them may never
    /// have been true, and what ended there may have been true on.
    pub fn doubted(&self) -> &[DoubtedTable] {
        &self.doubted
    }

    /// Between two revisions, or after the last: the first snapshot, if any, in which the document is not there although nothing
    /// that the archive has deleted it. That happened in a [gap](Self::missing), or without a tombstone.
    pub fn gone_between(&self, revision: Timestamp, next: Option<Timestamp>) -> Option<Timestamp> {
        let later = self.absent.iter().copied().find(|s| *s >= revision)?;
        next.is_none_or(|next| later < next).then_some(later)
    }

    /// The next revision; None after the newest.
    pub async fn next(&mut self) -> Result<Option<Revision>> {
        while self.ready.1 == self.ready.0.rows.len() {
            let Some(picked) = self.rows.next().await.context(|| format!("table {}", self.table))? else {
                return Ok(None);
            };
            self.ready = (picked, 0);
        }
        let (picked, next) = &mut self.ready;
        let (source, row) = picked.place(*next);
        *next += 1;
        RowReader::new(&self.schema, &source.batch)?.revision(row).map(Some)
    }
}

/// S of the bases before which changes are missing, and of cuts, ascending.
fn bases_behind_gaps(head: &Head, table: &TableRef) -> BTreeSet<Timestamp> {
    let coverage = head.coverage();
    let bases = coverage.bases.iter().filter(|base| coverage.serves(base, table)).map(|base| base.ts);
    let known = |at: Timestamp| matches!(coverage.covers(table, at), Covers::Covered(_));
    let cut = |s: Timestamp| coverage.bases.iter().any(|base| base.ts == s && base.cuts(table));
    bases.filter(|s| known(*s) && (cut(*s) || !known(Timestamp(s.0.saturating_sub(1))))).collect()
}
