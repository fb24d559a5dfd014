//! The lines of a head: each thing that holds at a version as one line of JSON, and the sum over them all.
//!
//! A commit carries the sum over what holds after it: a line for each entry of the head, and a line for each live file. So one
//! commit proves a head that was written down (`manifest.json`, a checkpoint) and the parts that it names: whatever was
//! altered, left out or doubled there gives another sum.
//!
//! Not in the sum: what a commit says of itself (`version`, `digest`, [`Latest`](super::Latest)) and the tokens of positions.

use serde::{Deserialize, Serialize};

use super::{
    Head,
    base::{Base, ComponentRows, Doubt, Gap, LossyEncoding, SelectionEntry, Withdrawal},
    tables::TableState,
};
use crate::{
    archive::needs::Needs,
    document::{TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    position::{BaseId, Position, Progress, Scope, Walk},
    sum::Sum,
};

/// One entry of a head. Its line is its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::archive) enum Entry {
    /// What a program must know.
    Needs(Needs),
    /// The deployment that the archive belongs to.
    Deployment(DeploymentIdentity),
    /// How far it is.
    Progress(ReachedMoments),
    /// S of the first walk.
    Origin(Timestamp),
    /// A base.
    Base(Base),
    /// A base that no longer serves.
    Withdrawal(Withdrawal),
    /// An own base whose files are no longer marked.
    Unmarked(BaseId),
    /// A gap.
    Gap(Gap),
    /// A doubt.
    Doubt(Doubt),
    /// A selection.
    Selection(SelectionEntry),
    /// What came without types.
    Untyped(LossyEncoding),
    /// That rows of components come.
    ComponentRows(ComponentRows),
    /// How far the archive is guarded.
    Guarded(Timestamp),
    /// A schema object that was erased.
    Erased(String),
    /// A table.
    Table(Box<TableState>),
}

/// Progress without the tokens of its positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::archive) struct ReachedMoments {
    /// The delta cursor's `_ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<Timestamp>,
    /// The open walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) walk: Option<ReachedWalk>,
}

/// A walk without its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReachedWalk {
    base: BaseId,
    ts: Timestamp,
    month: String,
    scope: Scope,
    done: Vec<TableRef>,
}

impl From<&Progress> for ReachedMoments {
    fn from(progress: &Progress) -> Self {
        Self {
            ts: progress.delta.as_ref().map(|delta| delta.ts),
            walk: progress.walk.as_ref().map(|walk| {
                let Walk { base, ts, month, scope, position: _, done } = walk.clone();
                ReachedWalk { base, ts, month, scope, done }
            }),
        }
    }
}

impl ReachedWalk {
    /// The walk, with its position.
    pub(super) fn at(self, position: Position) -> Walk {
        let Self { base, ts, month, scope, done } = self;
        Walk { base, ts, month, scope, position, done }
    }
}

impl Entry {
    /// Its line, without the end of the line.
    pub(in crate::archive) fn line(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| Error::internal("an entry of the head cannot be written as JSON").with_source(e))
    }

    /// The sum of its line; of a table, of the lines of its files too.
    pub(in crate::archive) fn sum(&self) -> Result<Sum> {
        let line = Sum::of(&self.line()?);
        Ok(match self {
            Self::Table(table) => line.plus(table.lines()),
            _ => line,
        })
    }
}

impl Head {
    /// All entries but the tables, in the order in which they are written.
    pub(in crate::archive) fn entries(&self) -> Vec<Entry> {
        let coverage = &self.coverage;
        let mut entries = vec![
            Entry::Needs(self.needs.clone()),
            Entry::Deployment(self.deployment.clone()),
            Entry::Progress(ReachedMoments::from(&self.progress)),
        ];
        entries.extend(self.origin.map(Entry::Origin));
        entries.extend(coverage.bases.iter().cloned().map(Entry::Base));
        entries.extend(coverage.withdrawals.iter().cloned().map(Entry::Withdrawal));
        entries.extend(coverage.unmarked.iter().cloned().map(Entry::Unmarked));
        entries.extend(coverage.gaps.iter().cloned().map(Entry::Gap));
        entries.extend(coverage.doubts.iter().cloned().map(Entry::Doubt));
        entries.extend(coverage.selections.iter().cloned().map(Entry::Selection));
        entries.extend(coverage.untyped.iter().cloned().map(Entry::Untyped));
        entries.extend(coverage.component_rows.map(Entry::ComponentRows));
        entries.extend(self.guarded.map(Entry::Guarded));
        entries.extend(self.erased.iter().cloned().map(Entry::Erased));
        entries
    }

    /// The sum over all lines, from the beginning.
    pub(super) fn summed(&self) -> Result<Sum> {
        let tables = self.tables.values().map(|table| Entry::Table(Box::new(table.as_ref().clone())));
        self.entries().into_iter().chain(tables).try_fold(Sum::default(), |sum, entry| Ok(sum.plus(entry.sum()?)))
    }

    /// The sum over all lines, from that of the head before, of which only what differs is spelled.
    pub(super) fn summed_after(&self, before: &Self) -> Result<Sum> {
        let (old, new) = (before.entries(), self.entries());
        let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        // Lists grow at their ends, so what is the same in front and behind is most of them.
        let same_behind =
            old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(old, new)| old == new).count();
        let mut sum = before.sum;
        for entry in &old[same..old.len() - same_behind] {
            sum = sum.minus(entry.sum()?);
        }
        for entry in &new[same..new.len() - same_behind] {
            sum = sum.plus(entry.sum()?);
        }
        let of_table = |table: &TableState| Entry::Table(Box::new(table.clone())).sum();
        for (name, table) in &self.tables {
            let known = before.tables.get(name);
            if known.is_some_and(|known| std::sync::Arc::ptr_eq(known, table)) {
                continue;
            }
            if let Some(known) = known {
                sum = sum.minus(of_table(known)?);
            }
            sum = sum.plus(of_table(table)?);
        }
        Ok(sum)
    }

    /// The sum without what moves with time alone: where the deployment's clock stands, and that somebody watched until then. While it
    /// stays, a head that was written down still shows everything else.
    pub(in crate::archive) fn substance(&self) -> Result<Sum> {
        let sum = self.sum.minus(Entry::Progress(ReachedMoments::from(&self.progress)).sum()?);
        match self.guarded {
            Some(guarded) => Ok(sum.minus(Entry::Guarded(guarded).sum()?)),
            None => Ok(sum),
        }
    }
}
