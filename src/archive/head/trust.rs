//! Whether what the archive shows of a table at a moment is known to be what the deployment held. Pure.
//!
//! The change log does not tell everything: a table may be dropped, replaced or filled by an import without a row for it
//! (FORMAT.md, "Trust"). What a commit said of that is a *doubt* where it was corrected, a *suspect* where it was not compared yet,
//! and `guarded` is the moment up to which somebody watched.

use serde::Serialize;

use crate::document::{TableRef, Timestamp, time_text};

use super::{
    Head,
    base::{BaseMaker, Doubt, Suspect},
};

/// A span (after, to] of `_ts` in which what the archive shows of a table may differ from what the deployment held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoubtedSpan {
    /// Up to this it is known to be equal, nanoseconds. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub after: Timestamp,
    /// From this on it is again, nanoseconds; None, if nobody has compared it since. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::option")]
    pub to: Option<Timestamp>,
    /// One word: see [`Suspect::why`](super::base::Suspect::why).
    pub why: String,
}

impl DoubtedSpan {
    fn of(doubt: &Doubt) -> Self {
        Self { after: doubt.after, to: Some(doubt.to), why: doubt.why.clone() }
    }

    /// What the word means, as a sentence for people; a word of a newer program is its own.
    pub fn reason(&self) -> &str {
        match self.why.as_str() {
            "import" => "an import or a clear touched the table",
            "dropped" => "the deployment no longer listed the table",
            "replaced" => {
                "the documents of the table were stored in another place, as after an import that replaces the table"
            }
            "number" => "the ids of the table had another table number, as after it was dropped and created again",
            "unguarded" => "imports and drops could not be detected",
            "differs" => "a comparison with the deployment found that the table differed",
            other => other,
        }
    }

    /// Whether the moment lies in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.after < at && self.to.is_none_or(|to| at < to)
    }
}

impl Head {
    /// Up to here nothing happened, beside what doubts and suspects tell, that the change log does not tell; None, if nobody watches.
    pub fn guarded(&self) -> Option<Timestamp> {
        self.guarded
    }

    /// The newest moment at which the table is known to be what the deployment held: S of a base that came from there, a moment at which
    /// it was compared, or as far as it is guarded. None, if it has no base.
    pub fn last_proven(&self, table: &TableRef) -> Option<Timestamp> {
        let told = |base: &&super::Base| base.made == BaseMaker::Deployment && self.coverage.serves(base, table);
        let base = self.coverage.bases.iter().filter(told).map(|base| base.ts).max();
        let state = self.table(table);
        let compared = state.and_then(|state| state.proven).map(|proven| proven.ts);
        let suspect = state.is_some_and(|state| state.suspect.is_some());
        let guarded =
            self.guarded.filter(|guarded| !suspect && base.max(compared).is_some_and(|known| known <= *guarded));
        base.max(compared).max(guarded)
    }

    /// The spans in which the table may differ, in order. They may overlap.
    pub fn doubted(&self, table: &TableRef) -> Vec<DoubtedSpan> {
        let doubts = self.coverage.doubts.iter().filter(|doubt| doubt.scope.contains(table)).map(DoubtedSpan::of);
        let suspect = self.table(table).and_then(|state| state.suspect.as_ref());
        let suspect = suspect.map(|suspect| DoubtedSpan { after: suspect.after, to: None, why: suspect.why.clone() });
        let behind = self.guarded.filter(|guarded| self.cursor().is_some_and(|cursor| *guarded < cursor));
        let unguarded = behind
            .filter(|_| suspect.is_none())
            .and_then(|_| self.last_proven(table))
            .map(|after| DoubtedSpan { after, to: None, why: Suspect::UNGUARDED.to_owned() });
        let mut spans: Vec<_> = doubts.chain(suspect).chain(unguarded).collect();
        spans.sort_by_key(|span| (span.after, span.to));
        spans
    }

    /// Why the state of the table at `at` may differ from what the deployment held; None, if nothing speaks for that.
    pub fn doubted_at(&self, table: &TableRef, at: Timestamp) -> Option<DoubtedSpan> {
        // A base behind the beginning of a doubt of its own moment tells the truth.
        let base = self.coverage.bases.iter().filter(|base| base.made == BaseMaker::Deployment && base.ts == at);
        let proven = base.clone().any(|base| self.coverage.serves(base, table))
            || self.table(table).and_then(|state| state.proven).is_some_and(|proven| proven.ts == at);
        if proven {
            return None;
        }
        self.doubted(table).into_iter().find(|span| span.holds(at))
    }
}
