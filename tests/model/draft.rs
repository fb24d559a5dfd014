//! A commit as plain data: what a writer planned, and what comes of it. Its parts are those of a commit of the archive, so
//! that one can be translated into the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::truth::{Id, Row, Table, Ts};

/// A data file's path.
pub(crate) type Path = u64;
pub(crate) type BaseId = u64;

/// Moments in a month.
const MONTH: Ts = 12;

pub(crate) fn month(ts: Ts) -> Ts {
    ts.div_euclid(MONTH)
}

/// A data file and the rows in it. With its table and month it belongs to one part of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: Path,
    pub(crate) table: Table,
    /// Of all its rows, or of the S of its base.
    pub(crate) month: Ts,
    /// Its base; a delta file has none.
    pub(crate) base: Option<BaseId>,
    /// Whether every row in it is in another file too.
    pub(crate) repeats: bool,
    pub(crate) rows: Vec<Row>,
}

/// Where the data stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) cursor: Ts,
    pub(crate) walk: Option<Walk>,
}

/// An unfinished base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    pub(crate) base: BaseId,
    pub(crate) ts: Ts,
    pub(crate) tables: BTreeSet<Table>,
    pub(crate) done: BTreeSet<Table>,
    /// How many documents of the table in hand have come.
    pub(crate) came: usize,
}

/// Who told a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Deployment,
    Archive,
}

/// Tables complete at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) id: BaseId,
    pub(crate) ts: Ts,
    pub(crate) made: Made,
    /// The tables for which it is a cut: what happened to them, the deltas did not tell. (Said of the whole base, a cut would
    /// end own bases of tables that did not differ, which may be all that covers them after a gap.)
    pub(crate) cuts: BTreeSet<Table>,
    /// Its tables with their rows.
    pub(crate) tables: BTreeMap<Table, usize>,
    /// The commit that completed it.
    pub(crate) version: usize,
}

/// Files in the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) inputs: BTreeSet<Path>,
    pub(crate) outputs: BTreeSet<Path>,
    pub(crate) why: GroupReason,
    /// Rows that an erasure left out.
    pub(crate) left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupReason {
    Compaction,
    Cut,
    Erasure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withdrawal {
    pub(crate) base: BaseId,
    pub(crate) table: Table,
    pub(crate) why: WithdrawalReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithdrawalReason {
    Expired,
    Lost,
    Superseded,
}

/// A span (from, to] that the archive does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) tables: BTreeSet<Table>,
    pub(crate) from: Ts,
    pub(crate) to: Ts,
    pub(crate) why: GapReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapReason {
    Window,
    Expired,
    Lost,
}

/// A span (after, to) in which the archive may differ from what the deployment held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) table: Table,
    pub(crate) after: Ts,
    pub(crate) to: Ts,
}

/// A document whose rows up to a moment are nowhere any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) table: Table,
    pub(crate) id: Id,
    pub(crate) through: Ts,
}

impl Erasure {
    pub(crate) fn names(&self, table: Table, row: &Row) -> bool {
        self.table == table && self.id == row.id && row.ts <= self.through
    }
}

/// What a writer calls its commit: for the trace, and for promises that only some give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    // Data.
    Begin,
    Look,
    Sync,
    Select,
    WalkOpens,
    WalkGoesOn,
    WalkIsGivenUp,
    WalkIsTooOld,
    Window,
    Drop,
    // Maintenance.
    Compaction,
    OwnBase,
    OwnCorrection,
    Correction,
    Forget,
    Erase,
    LostBase,
    LostFile,
}

/// The head that a draft was planned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedOn {
    pub(crate) version: usize,
    pub(crate) progress: Option<Progress>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) planned_on: PlannedOn,
    /// Says nothing of the deployment: progress and selection stay.
    pub(crate) maintenance: bool,
    pub(crate) progress: Option<Progress>,
    /// The tables that are archived from now on, if that changes.
    pub(crate) selection: Option<BTreeSet<Table>>,
    pub(crate) add: Vec<File>,
    /// All that leaves, inputs of groups too.
    pub(crate) remove: BTreeSet<Path>,
    pub(crate) replaced: Vec<Group>,
    pub(crate) bases: Vec<Base>,
    pub(crate) withdrawn: Vec<Withdrawal>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) doubts: Vec<Doubt>,
    /// Own bases whose files may be the only holders of their rows from now on.
    pub(crate) unmarked: BTreeSet<BaseId>,
    pub(crate) erased: Vec<Erasure>,
}

impl File {
    pub(crate) fn min_ts(&self) -> Ts {
        self.rows.iter().map(|r| r.ts).min().expect("a file has rows")
    }

    pub(crate) fn max_ts(&self) -> Ts {
        self.rows.iter().map(|r| r.ts).max().expect("a file has rows")
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.base.is_none()
    }

    /// Whether a delta file has rows on both sides of a moment.
    pub(crate) fn lies_across(&self, ts: Ts) -> bool {
        self.is_delta() && self.min_ts() <= ts && ts < self.max_ts()
    }

    pub(crate) fn belongs_to(&self, base: BaseId, table: Table) -> bool {
        self.base == Some(base) && self.table == table
    }
}

impl Walk {
    /// The table in hand.
    pub(crate) fn table(&self) -> Option<Table> {
        self.tables.difference(&self.done).next().copied()
    }
}

impl Base {
    pub(crate) fn holds(&self, table: Table) -> bool {
        self.tables.contains_key(&table)
    }

    /// A base of the archive itself that only repeats what other files hold.
    pub(crate) fn repeats(&self) -> bool {
        self.made == Made::Archive && self.cuts.is_empty()
    }
}

impl Draft {
    /// Whether a file lies in a group of this commit.
    pub(crate) fn is_output(&self, path: Path) -> bool {
        self.replaced.iter().any(|g| g.outputs.contains(&path))
    }

    /// Takes a group out, with what it adds and removes.
    pub(crate) fn without_groups(&mut self, dropped: impl Fn(&Group) -> bool) {
        let (gone, kept) = std::mem::take(&mut self.replaced).into_iter().partition::<Vec<_>, _>(dropped);
        self.replaced = kept;
        for group in gone {
            self.add.retain(|f| !group.outputs.contains(&f.path));
            self.remove.retain(|p| !group.inputs.contains(p));
        }
    }

    /// Whether it says nothing, but perhaps where the data stand.
    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.remove.is_empty()
            && self.bases.is_empty()
            && self.withdrawn.is_empty()
            && self.gaps.is_empty()
    }
}

/// What a trace shows of it.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        if let Some(Progress { cursor, walk }) = &self.progress {
            write!(f, " to {cursor}")?;
            walk.iter().try_for_each(|w| write!(f, ", walk {} at {} of {:?}", w.base, w.ts, w.tables))?;
        }
        for Base { id, ts, made, cuts, tables, .. } in &self.bases {
            write!(f, ", base {id} of the {made:?} at {ts} of {tables:?}, cuts {cuts:?}")?;
        }
        for Withdrawal { base, table, why } in &self.withdrawn {
            write!(f, ", base {base} of {table} is {why:?}")?;
        }
        for Gap { tables, from, to, why } in &self.gaps {
            write!(f, ", {why:?} gap of {tables:?} ({from}, {to}]")?;
        }
        for Doubt { table, after, to } in &self.doubts {
            write!(f, ", doubt of {table} ({after}, {to})")?;
        }
        for Erasure { table, id, through } in &self.erased {
            write!(f, ", erases {id} of {table} through {through}")?;
        }
        Ok(())
    }
}
