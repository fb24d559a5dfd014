//! What of a table has to be read for a span of the log.

use std::{ops::RangeInclusive, sync::Arc};

use crate::{
    archive::Head,
    document::{TableRef, Timestamp},
    rows::files::{Part, TableFiles, complete_base},
    schema::TableSchema,
};

/// A table that was changed in the span.
pub(super) struct WindowTable {
    pub(super) table: TableRef,
    pub(super) schema: Arc<TableSchema>,
    /// Deltas of the span.
    pub(super) window: Vec<Part>,
    /// All that says what was there before a revision of the span.
    pub(super) known: Vec<Part>,
    pub(super) known_since: Timestamp,
}

impl WindowTable {
    /// None, if nothing of it was changed in the span.
    pub(super) fn new(head: &Head, files: TableFiles, span: &RangeInclusive<Timestamp>) -> Option<Self> {
        head.table(&files.table)?;
        let mut parts = files.parts.to_vec();
        parts.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        let window: Vec<_> = parts.iter().filter(|part| part.has_deltas(span)).cloned().collect();
        if window.is_empty() {
            return None;
        }
        let coverage = head.coverage();
        let of_table = coverage.bases.iter().filter(|base| coverage.serves(base, &files.table));
        let before = of_table.map(|base| base.ts).filter(|s| s < span.start()).max();
        let known_since = before.unwrap_or(Timestamp(i64::MIN));
        let later = known_since..=*span.end();
        let counts = |part: &Part| match part.base() {
            Some(id) => complete_base(head, id, &files.table).is_some_and(|base| {
                // Rows tell only their S: of two bases with one S those of the one that does not count would mix in.
                let loses = coverage.bases.iter().any(|other| {
                    other.id != base.id
                        && other.ts == base.ts
                        && coverage.serves(other, &files.table)
                        && (other.version > base.version || !coverage.serves(base, &files.table))
                });
                later.contains(&base.ts) && !loses
            }),
            None => part.has_deltas(&later),
        };
        parts.retain(counts);
        Some(Self { table: files.table.clone(), schema: Arc::clone(&files.schema), window, known: parts, known_since })
    }
}
