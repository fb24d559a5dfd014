//! What a simulated deployment holds: every table that ever was, every revision, and the log of all of them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use crate::{
    document::{Revision, TableRef, Timestamp, Value},
    error::{Error, Result},
    server::{audit_source::AuditLogEntry, sync_source::SyncProgress, tablet::Tablet},
};

/// A document's fields.
pub(crate) type Fields = BTreeMap<String, Value>;

/// How long a table that an import left behind stays hidden, counted from when it was made.
pub(crate) const HIDDEN_FOR: i64 = 14 * 24 * 60 * 60 * 1_000_000_000;

/// Guarantees: `log` is sorted by `_ts` (then tablet, then `_id`), and every `_ts` is at most `newest`. Of the tables of one
/// name, one is active at most; the others are hidden or dropped.
pub(crate) struct State {
    /// The newest moment that was written at or told to anybody: later writes come after it.
    pub(super) newest: Timestamp,
    /// Never removed: what was dropped can still be asked for at an earlier moment.
    pub(crate) tables: Vec<SimulatedTable>,
    /// The active tables, by name: indexes into `tables`.
    pub(crate) names: BTreeMap<Arc<TableRef>, usize>,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) rng: StdRng,
    pub(super) syncs: Syncs,
    /// Entries of the audit log, oldest first.
    pub(super) audit_log: Vec<AuditLogEntry>,
}

/// What there is of Data Sync.
pub(crate) struct Syncs {
    /// What its cursors are bound to.
    pub(super) secret: [u8; 16],
    /// By their ids: when it was last written down how far they were, and how far they are.
    pub(super) progress: BTreeMap<String, (Timestamp, SyncProgress)>,
    /// Of its own, so that who reads a deployment does not change what is written to it.
    pub(super) rng: StdRng,
}

impl Syncs {
    pub(super) fn new(name: &str, seed: u64) -> Self {
        let mut bound_to = [0; 32];
        bound_to.copy_from_slice(&Sha256::new().chain_update(seed.to_be_bytes()).chain_update(name).finalize());
        let mut rng = StdRng::from_seed(bound_to);
        Self { secret: rng.random(), progress: BTreeMap::new(), rng }
    }
}

pub(crate) struct SimulatedTable {
    pub(crate) tablet: Tablet,
    /// Part of every `_id`; unique among the active tables of a component.
    pub(crate) number: u32,
    /// When it was made: hidden, if it was not activated at the same moment.
    pub(super) created: Timestamp,
    /// When it became the table of its name. A hidden one never did so far: an import fills it, or left it behind.
    pub(super) activated: Option<Timestamp>,
    /// When it was dropped. For a hidden one that was left behind, when it will be.
    pub(crate) dropped: Option<Timestamp>,
    /// By `_id`, each with its revisions in the order in which they were written.
    pub(crate) documents: BTreeMap<String, Vec<Arc<Revision>>>,
}

pub(crate) struct LogEntry {
    pub(crate) ts: Timestamp,
    /// Index into the tables and what was written; `None` for a row of a system table.
    pub(crate) change: Option<(usize, Arc<Revision>)>,
}

impl State {
    /// Makes an active table; `number` where its documents' ids tell it already.
    pub(crate) fn create(&mut self, table: &TableRef, number: Option<u32>, ts: Timestamp) -> Result<usize> {
        let number = number.unwrap_or_else(|| self.fresh_number(table));
        if let Some(other) = self.table_of_number(table, number) {
            let other = &other.tablet.table;
            return Err(Error::usage(format!(
                "ids of table {table} bear the number of table {other}: leave `_id` out"
            )));
        }
        let index = self.add(table, number, ts);
        self.tables[index].activated = Some(ts);
        self.names.insert(Arc::clone(&self.tables[index].tablet.table), index);
        Ok(index)
    }

    /// Makes a hidden table of that name and number.
    pub(crate) fn add(&mut self, table: &TableRef, number: u32, ts: Timestamp) -> usize {
        let tablet = Tablet { id: self.rng.random(), table: Arc::new(table.clone()) };
        let documents = BTreeMap::new();
        self.tables.push(SimulatedTable { tablet, number, created: ts, activated: None, dropped: None, documents });
        self.tables.len() - 1
    }

    /// A number that no table of the component ever had: user tables are numbered from 10001 on.
    pub(crate) fn fresh_number(&self, table: &TableRef) -> u32 {
        self.siblings(table).map(|t| t.number + 1).max().unwrap_or(0).max(10_001)
    }

    /// The active table of the component of `table`, with another name, that has this number.
    pub(crate) fn table_of_number(&self, table: &TableRef, number: u32) -> Option<&SimulatedTable> {
        self.siblings(table).find(|t| t.is_active() && t.number == number && *t.tablet.table != *table)
    }

    fn siblings(&self, table: &TableRef) -> impl Iterator<Item = &SimulatedTable> {
        self.tables.iter().filter(move |t| t.tablet.table.component() == table.component())
    }

    /// The entries of the log strictly after `after`, up to and including `through`: at least `limit` where there are as many,
    /// always whole transactions. And whether there are more.
    pub(super) fn log_entries(&self, after: Timestamp, through: Timestamp, limit: usize) -> (&[LogEntry], bool) {
        let begin = self.log.partition_point(|entry| entry.ts <= after);
        let end = self.log.partition_point(|entry| entry.ts <= through).max(begin);
        let entries = &self.log[begin..end];
        let Some(last) = entries.get(limit.max(1) - 1) else { return (entries, false) };
        let whole = entries.partition_point(|entry| entry.ts <= last.ts);
        (&entries[..whole], whole < entries.len())
    }

    /// A log entry as it is told at `now`. Rows of hidden tables are told under their table's name; those of tables that
    /// have been dropped by then are not, however old they are.
    pub(super) fn shown(&self, entry: &LogEntry, now: Timestamp) -> Option<(Arc<TableRef>, Arc<Revision>)> {
        let (table, revision) = entry.change.as_ref()?;
        let table = &self.tables[*table];
        table.is_kept_at(now).then(|| (Arc::clone(&table.tablet.table), Arc::clone(revision)))
    }
}

impl SimulatedTable {
    /// Whether it was the table of its name at `at`.
    pub(super) fn exists_at(&self, at: Timestamp) -> bool {
        self.activated.is_some_and(|activated| activated <= at) && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// Whether it was there at `at`, be it hidden.
    pub(super) fn is_kept_at(&self, at: Timestamp) -> bool {
        self.created <= at && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// Whether it is the table of its name now.
    pub(super) fn is_active(&self) -> bool {
        self.activated.is_some() && self.dropped.is_none()
    }

    /// Leaves a hidden table behind: it stays until it is old enough.
    pub(super) fn leave(&mut self, now: Timestamp) {
        self.dropped = Some(Timestamp(self.created.0.saturating_add(HIDDEN_FOR).max(now.0)));
    }

    /// The documents that live at `at`, in `_id` order, strictly after `after`.
    pub(crate) fn live_at(
        &self,
        at: Timestamp,
        after: Option<&str>,
    ) -> impl Iterator<Item = (String, Arc<Revision>)> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.documents.range::<str, _>((from, Bound::Unbounded)).filter_map(move |(id, revisions)| {
            let newest = revisions.iter().rev().find(|r| r.ts <= at)?;
            newest.document.is_some().then(|| (id.clone(), Arc::clone(newest)))
        })
    }
}
