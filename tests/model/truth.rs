//! The deployment: what its tables held at each moment, and what its change log says of that, which is not the same where
//! imports fail, where they end well late, and where tables are dropped.

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng};

/// A moment; moments are counted, and each has at most one transaction.
pub(crate) type Ts = i64;
/// A table, below [`TABLES`].
pub(crate) type Table = usize;
/// A document's `_id`.
pub(crate) type Id = i64;
/// A table's live documents and when each was written.
pub(crate) type Documents = BTreeMap<Id, Ts>;

pub(crate) const TABLES: Table = 3;
/// Ordinary documents; imports bring others.
const IDS: Id = 3;
const FAILED: Id = 1_000;
const LATE: Id = 2_000;

/// One revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) ts: Ts,
    pub(crate) id: Id,
    pub(crate) tombstone: bool,
}

/// One of the tables, mostly the first: what happens should meet.
pub(crate) fn some_table(rng: &mut StdRng) -> Table {
    if rng.random_bool(0.75) { 0 } else { rng.random_range(0..TABLES) }
}

/// A deployment and all of its past.
#[derive(Debug)]
pub(crate) struct World {
    /// What each table held at each moment.
    past: Vec<[Documents; TABLES]>,
    /// What the change log says, in the order of `ts`.
    log: [Vec<Row>; TABLES],
    /// Rows of imports that have not ended: the log says them, the tables do not hold them.
    late: [Vec<Row>; TABLES],
    /// Moments at which log and tables went apart.
    untold: [Vec<Ts>; TABLES],
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            past: vec![<[Documents; TABLES]>::default()],
            log: Default::default(),
            late: Default::default(),
            untold: Default::default(),
        }
    }

    pub(crate) fn now(&self) -> Ts {
        self.past.len() as Ts - 1
    }

    /// What the table held.
    pub(crate) fn at(&self, table: Table, ts: Ts) -> &Documents {
        &self.past[ts as usize][table]
    }

    /// What the change log says of (from, to].
    pub(crate) fn deltas(&self, table: Table, from: Ts, to: Ts) -> &[Row] {
        let log = &self.log[table];
        &log[log.partition_point(|r| r.ts <= from)..log.partition_point(|r| r.ts <= to)]
    }

    /// Since when log and tables may be apart, for each time that it happened.
    pub(crate) fn untold(&self, table: Table) -> &[Ts] {
        &self.untold[table]
    }

    /// Something happens, or nothing.
    pub(crate) fn turn(&mut self, rng: &mut StdRng) {
        for _ in 0..rng.random_range(0..3) {
            self.write(rng);
        }
        let table = some_table(rng);
        match rng.random_range(0..100) {
            0..8 => self.import(table, FAILED),
            8..22 => self.import(table, LATE),
            22..42 => self.end_import(table),
            _ => {}
        }
    }

    /// A transaction of one document or two.
    fn write(&mut self, rng: &mut StdRng) {
        let ts = self.next();
        let (first, id) = (some_table(rng), rng.random_range(0..IDS));
        let tables = if rng.random_bool(0.3) { vec![first, (first + 1) % TABLES] } else { vec![first] };
        for table in tables {
            let tombstone = self.past[ts as usize][table].contains_key(&id) && rng.random_bool(0.3);
            self.say(table, Row { ts, id, tombstone });
        }
    }

    /// A document is deleted; which one is for the caller to say.
    pub(crate) fn delete(&mut self, table: Table, rng: &mut StdRng) -> Id {
        let (ts, id) = (self.next(), rng.random_range(0..IDS));
        self.say(table, Row { ts, id, tombstone: true });
        id
    }

    /// Rows that only the log has: of an import that will fail, or that has not ended.
    fn import(&mut self, table: Table, ids: Id) {
        let ts = self.next();
        let row = Row { ts, id: ids + ts, tombstone: false };
        self.log[table].push(row);
        self.untold[table].push(ts);
        if ids == LATE {
            self.late[table].push(row);
        }
    }

    /// What an import brought is there from now on, with the moments at which it was written; the log is silent.
    fn end_import(&mut self, table: Table) {
        if self.late[table].is_empty() {
            return;
        }
        let ts = self.next();
        let documents = self.late[table].drain(..).map(|r| (r.id, r.ts));
        self.past[ts as usize][table].extend(documents);
        self.untold[table].push(ts);
    }

    /// The table is dropped; the log is silent.
    pub(crate) fn drop(&mut self, table: Table) {
        let ts = self.next();
        self.past[ts as usize][table].clear();
    }

    fn next(&mut self) -> Ts {
        self.past.extend(self.past.last().cloned());
        self.now()
    }

    fn say(&mut self, table: Table, row: Row) {
        self.log[table].push(row);
        let documents = &mut self.past[row.ts as usize][table];
        if row.tombstone {
            documents.remove(&row.id);
        } else {
            documents.insert(row.id, row.ts);
        }
    }
}
