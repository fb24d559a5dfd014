//! A page: what every protocol's answers become.

use super::{
    span::DocumentSpan,
    wire::body::{Body, Texts},
};
use crate::{
    document::{Encoding, TableRef, Timestamp},
    error::Result,
    position::{Phase, Position},
};

/// One complete answer of the source: documents still as JSON text, routed to their tables.
///
/// Guarantees: every span lies inside the body and holds one JSON object, as text; every `table` is an index into
/// `tables`; no `_ts` is beyond `through`; in the delta phase the spans are in `_ts` order, and beyond the `_ts` asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// The phase that it was asked for in.
    pub phase: Phase,
    /// How values are spelled.
    pub encoding: Encoding,
    /// The whole answer.
    pub body: Body,
    /// The tables that documents of this page belong to, each once.
    pub tables: Vec<TableRef>,
    /// The documents, in the order of the answer.
    pub documents: Vec<DocumentSpan>,
    /// Where to ask next. In the snapshot `None` means that the walk is complete.
    pub next: Option<Position>,
    /// Whether the deployment has more waiting in this phase.
    pub more: bool,
    /// The `_ts` reached: S in the snapshot, the response cursor in deltas. `None` in deltas if the source will only know it
    /// with a later page: until then nothing is committed.
    pub through: Option<Timestamp>,
}

impl Page {
    /// Reads the documents of this page.
    ///
    /// # Errors
    /// Protocol, if the text is not UTF-8, which the split of the page had refused.
    pub fn texts(&self) -> Result<Texts<'_>> {
        self.body.texts()
    }
}
