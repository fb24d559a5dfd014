//! Where one document stands in a page.

use std::ops::Range;

use crate::document::Timestamp;

/// Where one document stands in the body of its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSpan {
    /// Index into [`Page::tables`](super::Page::tables).
    pub table: u32,
    /// `_ts`, when this revision was written.
    pub ts: Timestamp,
    /// `_deleted`: a tombstone, of which only `_id` is known.
    pub deleted: bool,
    /// Byte range of the document in [`Page::body`](super::Page::body), braces included.
    pub range: Range<usize>,
    /// How many of its first bytes hold nothing but its bracket and members that say what stands here: a key follows. 0 if it does
    /// not begin so.
    pub read: usize,
}
