//! Bases and gaps, and what else commits say of them.

use serde::{Deserialize, Serialize};

use crate::{
    data::is_default,
    document::{TableRef, Timestamp},
    position::{BaseId, Scope},
    selection::Selection,
};

/// A complete base: every table of its scope as it was at `ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its id, that of the walk that made it.
    pub id: BaseId,
    /// S, nanoseconds.
    pub ts: Timestamp,
    /// The tables that it holds, as far as they are selected.
    pub scope: Scope,
    /// Who told it.
    #[serde(default, skip_serializing_if = "BaseMaker::is_deployment")]
    pub made: BaseMaker,
    /// The tables for which it is a cut, sorted: it stands here because the deltas did not tell what happened to them (a drop, a
    /// correction, the new beginning after something was forgotten). No earlier base serves a moment of theirs at or beyond it.
    /// Said by table, because a base of many tables may correct one of them, and the others are what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<TableRef>,
    /// The tables of its scope that had documents, with their number, sorted. The others in scope were empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<BaseTable>,
    /// The selection with which it was completed. In a commit that is the commit's own, and not repeated.
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selected: Selection,
    /// The commit that completed it: of two bases with one S the later counts. In a commit that is its own, and not
    /// repeated: 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: u64,
}

/// Who told a base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseMaker {
    /// The deployment, by list_snapshot.
    #[default]
    Deployment,
    /// The archive itself: the state of its tables, written down. It holds the tables that it names, whatever the
    /// selection.
    Archive,
}

/// A table of a base that had documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseTable {
    /// The table.
    pub table: TableRef,
    /// Its documents: the rows of its files in the base.
    pub rows: u64,
}

/// A base that no longer serves. Its files of these tables may leave from now on; those of a superseded one only while they repeat
/// what other files hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The base.
    pub base: BaseId,
    /// For which tables.
    pub scope: Scope,
    /// Why.
    pub why: WithdrawalReason,
}

/// Why a base no longer serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// It is older than what is to be kept.
    Expired,
    /// Its files are lost.
    Lost,
    /// It held what had to be erased.
    Erased,
    /// Another base serves every moment that it served. Only of a base that the archive made itself.
    Superseded,
}

/// A span (from, to] of `_ts` that the archive knows it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The tables concerned.
    pub scope: Scope,
    /// What comes after this is missing, nanoseconds.
    pub from: Timestamp,
    /// This and what is before is missing.
    pub to: Timestamp,
    /// One word: `window` (older than the deployment kept), `expired`, `lost`.
    pub why: String,
}

impl Gap {
    /// Why a gap is one that somebody asked for: its history was forgotten.
    pub const EXPIRED: &str = "expired";

    /// Whether what is missing was forgotten, because somebody asked for it.
    pub fn is_forgotten(&self) -> bool {
        self.why == Self::EXPIRED
    }
}

/// A span (after, to) of `_ts` in which what the archive shows of a table may differ from what the deployment held: from
/// the last moment at which they were known to be equal to the S of the base that corrected it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The tables concerned.
    pub scope: Scope,
    /// Up to this they were equal, nanoseconds.
    pub after: Timestamp,
    /// From this on they are again.
    pub to: Timestamp,
    /// One word, such as `import`.
    pub why: String,
}

/// A table that may differ from the deployment: something touched it that the change log does not tell (an import, a drop). It
/// stays one until it has been compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The table.
    pub table: TableRef,
    /// Up to this it was known to be equal, nanoseconds.
    pub after: Timestamp,
    /// One word: `import` (an import or a clear touched it), `dropped` (the deployment no longer lists it), `replaced` (its documents
    /// lie in another place), `number` (its ids bear another number), `unguarded` (nobody watched for some time), `new` (it had not
    /// been seen before), `differs` (it was compared, and differs), `asked` (a new base of it was asked for), `altered` (it was compared,
    /// and values differ within one revision).
    pub why: String,
}

impl Suspect {
    /// Nobody watched for some time.
    pub const UNGUARDED: &str = "unguarded";
    /// The table had not been seen before: an import may be making it.
    pub const NEW: &str = "new";
    /// A new base was asked for.
    pub const ASKED: &str = "asked";
    /// Values differ within one revision.
    pub const ALTERED: &str = "altered";

    /// Whether the word says nothing of what happened.
    pub fn is_vague(why: &str) -> bool {
        [Self::UNGUARDED, Self::NEW].contains(&why)
    }
}

impl Suspicion {
    /// Whether no comparison of ids can end it: only a base that comes from the deployment does.
    pub fn wants_base(&self) -> bool {
        [Suspect::ASKED, Suspect::ALTERED].contains(&self.why.as_str())
    }
}

/// What a suspect table is suspected of: a [`Suspect`] of a table that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Up to this it was known to be equal, nanoseconds.
    pub after: Timestamp,
    /// One word; see [`Suspect::why`].
    pub why: String,
}

/// That tables were compared with the deployment as it was at one moment, and are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The tables.
    pub scope: Scope,
    /// The moment, nanoseconds.
    pub ts: Timestamp,
    /// How closely.
    pub depth: Depth,
    /// Whether that ends the suspicion. It does not while an import that may still change the tables is not known to have ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settles: bool,
}

/// When a table was last proven equal to the deployment, and how closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The moment at which it was equal, nanoseconds.
    pub ts: Timestamp,
    /// How closely it was compared.
    pub depth: Depth,
}

/// How closely a table was compared with the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Which revision of which documents: (`_id`, `_ts`) names a revision.
    Ids,
    /// Every value of every document.
    Values,
}

/// That the deployment sends the rows of components in its change log: servers before August 2026 leave them out without a
/// word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The `_ts` reached when it was seen, nanoseconds.
    pub ts: Timestamp,
    /// By what.
    pub by: ProofSource,
}

/// By what it was seen that a deployment sends the rows of components, or that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofSource {
    /// A row of a component came.
    Row,
    /// The deployment has a route that only servers have which send them, asked at the beginning of a run.
    Beginning,
    /// The same, asked at the end of a run.
    End,
    /// The deployment no longer has such a route: an older server took its place, and nothing that was known of it holds any
    /// more. (A row proves by itself; it is forgotten with the rest only where a route had told before.)
    Gone,
}

/// Since when it is known that the deployment sends the rows of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRows {
    /// First, nanoseconds.
    pub since: Timestamp,
    /// When a row came last; the same, if none did.
    pub seen: Timestamp,
    /// Whether a route told, too: then the deployment is of 2026-08-17 or later, and one that lacks the route is another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

/// A selection that is in force after a moment, until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionEntry {
    /// Deltas after this, nanoseconds.
    pub after: Timestamp,
    /// Of these tables only.
    pub tables: Selection,
    /// The commit that said so: of two after one moment the later counts.
    pub version: u64,
}

/// Documents that came in the encoding `json`, which does not tell int64 and bytes from text: they are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossyEncoding {
    /// Those of this base; else of deltas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(hidden)]
    pub base: Option<BaseId>,
    /// Deltas after this, nanoseconds; S of the base.
    pub after: Timestamp,
    /// Up to this; S of the base.
    pub to: Timestamp,
}

impl Base {
    /// A base that the deployment told, as a commit states it; `tables` are those that had documents.
    pub fn new(id: BaseId, ts: Timestamp, scope: Scope, tables: Vec<BaseTable>) -> Self {
        Self {
            id,
            ts,
            scope,
            made: BaseMaker::Deployment,
            cuts: Vec::new(),
            tables,
            selected: Selection::default(),
            version: 0,
        }
    }

    /// Whether the table is in it.
    pub fn holds(&self, table: &TableRef) -> bool {
        self.scope.contains(table) && (self.made == BaseMaker::Archive || self.selected.contains(table))
    }

    /// Whether it is a cut for the table.
    pub fn cuts(&self, table: &TableRef) -> bool {
        self.cuts.contains(table)
    }

    /// Which of two bases of a table counts where both could: the newer, and of one S that of the later commit.
    pub(super) fn rank(&self) -> (Timestamp, u64) {
        (self.ts, self.version)
    }
}

impl BaseMaker {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_deployment(&self) -> bool {
        *self == Self::Deployment
    }
}
