//! When a table was last proven to be what the deployment held, and what speaks against it: pure functions of the head.

use serde::Serialize;

use super::head::{
    Head,
    base::{BaseMaker, Depth},
    tables::TableState,
    trust::DoubtedSpan,
};
use crate::document::{Timestamp, time_text};

/// When a table was last proven to be what the deployment held. RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableProof {
    /// The newest moment at which it is known: later than `at`, if somebody has watched since that nothing touched the table unseen.
    #[serde(serialize_with = "time_text::one")]
    pub through: Timestamp,
    /// The moment at which it was told or compared last.
    #[serde(serialize_with = "time_text::one")]
    pub at: Timestamp,
    /// By what.
    pub by: ProvenBy,
}

/// By what a table was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvenBy {
    /// The deployment told all of it: a base.
    Base,
    /// It was compared by its ids, which tell which revision of which document lives.
    Ids,
    /// It was compared by all values.
    Values,
}

impl TableProof {
    /// None, if it never was.
    pub(super) fn of(head: &Head, state: &TableState) -> Option<Self> {
        let (coverage, table) = (head.coverage(), &state.table);
        let told = coverage.bases.iter().filter(|b| b.made == BaseMaker::Deployment && coverage.serves(b, table));
        let told = told.map(|base| base.ts).max().map(|ts| (ts, ProvenBy::Base));
        let compared = state.proven.map(|proven| {
            let by = if proven.depth == Depth::Ids { ProvenBy::Ids } else { ProvenBy::Values };
            (proven.ts, by)
        });
        // Of one moment what the deployment told says more than a comparison.
        let (at, by) = [compared, told].into_iter().flatten().max_by_key(|(ts, _)| *ts)?;
        Some(Self { through: head.last_proven(table).unwrap_or(at), at, by })
    }
}

/// What makes the table suspect now.
pub(super) fn suspect(state: &TableState) -> Option<DoubtedSpan> {
    let suspicion = state.suspect.as_ref()?;
    Some(DoubtedSpan { after: suspicion.after, to: None, why: suspicion.why.clone() })
}

/// The spans of the past in which the table was corrected later.
pub(super) fn doubts(head: &Head, state: &TableState) -> Vec<DoubtedSpan> {
    let mut spans = head.doubted(&state.table);
    spans.retain(|span| span.to.is_some());
    spans
}
