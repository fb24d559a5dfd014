//! Where an archive stands: what a commit records beside its files, so that the next run goes on from there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{TableRef, Timestamp};

/// The two phases of a sync, as Convex names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Walking all documents as they were at one `_ts`.
    Snapshot,
    /// Following the change log.
    Delta,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "snapshot",
            Self::Delta => "delta",
        })
    }
}

/// Where to ask next in one phase. Only the `convex::Source` that made it looks inside; the archive
/// stores it as it is.
///
/// Guarantee: a position names its phase, and a source refuses one of the other phase, so a snapshot cursor can never be
/// sent to the deltas endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    phase: Phase,
    /// The source's own text.
    token: String,
}

impl Position {
    /// A position as its source spells it.
    pub fn new(phase: Phase, token: impl Into<String>) -> Self {
        Self { phase, token: token.into() }
    }

    /// The phase in which this position may be asked for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The source's own text.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// How far the change log has been read: everything with `_ts` at or below `ts` is in the archive or in a recorded gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaCursor {
    /// Where to ask for the next deltas.
    pub position: Position,
    /// The `_ts` reached, nanoseconds.
    pub ts: Timestamp,
}

/// Names a base before its `_ts` is known: start second and id of the run that began it, `20261120T101500Z-5f3a9c01`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BaseId(pub String);

impl fmt::Display for BaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which tables a base or a gap speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every selected table, whether it exists or not.
    All,
    /// Just these, sorted.
    Tables(Vec<TableRef>),
    /// Every selected table but these, sorted.
    Except(Vec<TableRef>),
}

impl Scope {
    /// Whether `table` is meant.
    pub fn contains(&self, table: &TableRef) -> bool {
        match self {
            Self::All => true,
            Self::Tables(tables) => tables.contains(table),
            Self::Except(tables) => !tables.contains(table),
        }
    }

    /// Whether tables are meant that nobody has named.
    pub fn holds_unseen(&self) -> bool {
        matches!(self, Self::All | Self::Except(_))
    }
}

/// A snapshot that has begun and is not complete: invisible to readers until it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The base that it will become.
    pub base: BaseId,
    /// S, the `_ts` of the snapshot, nanoseconds.
    pub ts: Timestamp,
    /// The UTC month in which the walk began, first day, `2026-11-01`; all its files lie under it.
    pub month: String,
    /// The tables that it walks.
    pub scope: Scope,
    /// Where to ask for the next page of the snapshot.
    pub position: Position,
    /// Tables of which every document has been seen, in the order of the walk.
    pub done: Vec<TableRef>,
}

/// What a commit records of where the archive stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Absent only before the first commit of the first walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaCursor>,
    /// At most one unfinished walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Walk>,
}
