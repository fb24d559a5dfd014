//! Whether each revision, (`_id`, `_ts`), stands once in the change files of a table: their keys are sorted, on disk where memory does
//! not hold them, and neighbours compared.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{
    budget::MemoryBudget,
    data::WantedRows,
    document::Timestamp,
    error::Result,
    rows::{
        damage::Damage,
        files::Part,
        merge::Keep,
        sort::Limits,
        sorted::{Plan, columns, key_columns, sorted},
    },
    schema::TableSchema,
};

/// Revisions that stand more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Twice {
    /// How many rows are too many.
    pub(super) count: u64,
    /// `_id` of the first.
    pub(super) id: String,
    /// Its `_ts`, nanoseconds.
    pub(super) ts: Timestamp,
}

/// Reads the keys of these files; None, if not all of them can be read, which whoever reads the files in full tells.
///
/// # Errors
/// As the store says; Resource, if a temporary file cannot be written.
pub(super) async fn check(
    store: &Arc<dyn ObjectStore>,
    deltas: Vec<Part>,
    schema: &TableSchema,
    budget: MemoryBudget,
) -> Result<Option<Twice>> {
    let limits = Limits::from(budget);
    let wanted = WantedRows {
        columns: Some(key_columns()),
        batch_rows: limits.rows,
        batch_bytes: limits.file_batch,
        ..WantedRows::default()
    };
    let damage = Damage::default();
    let plan = Plan {
        in_order: Vec::new(),
        unsorted: deltas.into_iter().map(|part| (part, wanted.clone())).collect(),
        columns: columns(schema, true)?,
        keep: Keep::All,
        tombstones: true,
        limits,
        damage: Some(damage.clone()),
    };
    let mut rows = sorted(store, plan)?;
    let mut seen = Seen::default();
    while let Some(picked) = rows.next().await? {
        for row in 0..picked.rows.len() {
            let (batch, row) = picked.place(row);
            seen.take(batch.id(row), Timestamp(batch.ts(row)));
        }
    }
    Ok(damage.files().is_empty().then_some(seen.twice))
}

/// Compares each revision with the one before it.
#[derive(Default)]
struct Seen {
    last: Option<(String, Timestamp)>,
    twice: Twice,
}

impl Seen {
    fn take(&mut self, id: &str, ts: Timestamp) {
        match &mut self.last {
            Some((last, last_ts)) if last.as_str() == id => {
                if *last_ts == ts {
                    if self.twice.count == 0 {
                        (self.twice.id, self.twice.ts) = (id.to_owned(), ts);
                    }
                    self.twice.count += 1;
                }
                *last_ts = ts;
            }
            Some((last, last_ts)) => {
                id.clone_into(last);
                *last_ts = ts;
            }
            none => *none = Some((id.to_owned(), ts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sorted_revisions_those_are_counted_that_are_the_one_before_them() {
        let mut seen = Seen::default();
        for (id, ts) in [("a", 1), ("a", 2), ("b", 2), ("b", 2), ("b", 2), ("b", 3), ("c", 3), ("d", 3), ("d", 3)] {
            seen.take(id, Timestamp(ts));
        }
        assert_eq!(seen.twice, Twice { count: 3, id: "b".into(), ts: Timestamp(2) });
    }
}
