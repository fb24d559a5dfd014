//! A page's bytes → where its documents stand, without parsing their values.
//!
//! # Guarantees of [`split()`]
//! 1. The whole text is UTF-8; nobody after has to check again.
//! 2. The text is one JSON object with the members of its endpoint, in any order and with anything between tokens that
//!    JSON allows; members that are not known are skipped. A text that is cut off anywhere is an error.
//! 3. Every document is an object by its brackets and has `_table`, `_ts`, `_id` (in deltas also `_deleted`), in any place
//!    and spelling. Whether the values inside are JSON, and JSON that Convex can hold, is for the codec to find.
//! 4. `_ts`, `snapshot` and the delta cursor are read as 64-bit integers: around 1.8e18 a double has steps of 256.
//! 5. No `_ts` is beyond `snapshot` or the delta cursor; in deltas they ascend.
//!
//! # Why in steps
//! A large page lies in a file and is read in parts. Each step of [`Splitter`] takes one document or member and the bracket
//! or comma behind it, which shows that it was whole; one that fails takes nothing, and is made again once more of the text
//! is there. So one grammar serves both, and a page in memory is a page of one part.

use std::ops::Range;

use super::front::{DocumentFront, Fronts, PageTables};
use crate::{
    convex::{span::DocumentSpan, tokens::Reader},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    position::Phase,
};

/// What [`split()`] finds in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The tables that documents of this page belong to, each once, in the order of their first document.
    pub tables: Vec<TableRef>,
    /// The documents, in the order of the answer; `table` is an index into `tables`.
    pub documents: Vec<DocumentSpan>,
    /// Where the page ends.
    pub end: End,
    /// `hasMore`.
    pub more: bool,
}

/// Where a page ends, in the words of its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Of `list_snapshot`.
    Snapshot {
        /// `snapshot`: the `_ts` at which all documents are seen.
        snapshot: Timestamp,
        /// `cursor`: where to go on; opaque. `None` on the last page only.
        cursor: Option<String>,
    },
    /// Of `document_deltas`.
    Delta {
        /// `cursor`: everything at or below it has been delivered.
        cursor: Timestamp,
    },
}

/// Documents in one page at most. The server sends 1,024, or 128 and the rest of a transaction, which has 16,000 at most.
const MAX_DOCUMENTS: usize = 1 << 17;
/// One document has less text than this, bytes: of a document's 1 MiB each two bytes may become 14 (`{"$bytes":""},`), and
/// nothing grows more.
pub(super) const MAX_DOCUMENT: usize = 16 << 20;

/// Finds the documents of a page of `phase` and where the next one begins; see the module's guarantees.
///
/// # Errors
/// Protocol, with the byte position, when the text is not such a page. Resource, when it has more documents than any
/// deployment sends.
pub fn split(body: &[u8], phase: Phase) -> Result<Parts> {
    let mut splitter = Splitter::new(phase);
    match splitter.take(body, 0, true)?.stopped {
        Some(error) => Err(error),
        None => splitter.finish(),
    }
}

/// Splits a page that comes in parts.
pub(super) struct Splitter {
    phase: Phase,
    place: Place,
    tables: PageTables,
    documents: Vec<DocumentSpan>,
    values: Option<()>,
    more: Option<bool>,
    snapshot: Option<i64>,
    cursor: Option<Cursor>,
}

/// Between two steps of [`Splitter`]: what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    FirstMember,
    Member,
    FirstDocument,
    Document,
    EndOfMember,
    End,
}

/// What became of a part of a page.
pub(super) struct PartOutcome {
    /// How many bytes of it are done with.
    pub(super) bytes: usize,
    /// Why not all of them are. In a part that is not the last it may only mean that what stands there is not whole.
    pub(super) stopped: Option<Error>,
}

impl Splitter {
    pub(super) fn new(phase: Phase) -> Self {
        Self {
            phase,
            place: Place::Start,
            tables: PageTables::default(),
            documents: Vec::new(),
            values: None,
            more: None,
            snapshot: None,
            cursor: None,
        }
    }

    /// Takes what is whole of a part, which begins at byte `offset`, where the bytes that are done with end. Positions in
    /// its errors are those in the part.
    ///
    /// # Errors
    /// Protocol, if it is not UTF-8.
    pub(super) fn take(&mut self, part: &[u8], offset: usize, last: bool) -> Result<PartOutcome> {
        let text = whole_characters(part, last)?;
        let mut reader = Reader { text, at: 0 };
        let mut fronts = Fronts::default();
        loop {
            reader.space();
            let begin = reader.at;
            if begin == text.len() && (!last || self.place == Place::End) {
                return Ok(PartOutcome { bytes: begin, stopped: None });
            }
            match self.step(&mut reader, &mut fronts, offset) {
                Ok(place) => self.place = place,
                Err(error) => return Ok(PartOutcome { bytes: begin, stopped: Some(error) }),
            }
        }
    }

    /// One step. If it fails nothing was taken.
    fn step<'a>(&mut self, r: &mut Reader<'a>, fronts: &mut Fronts<'a>, offset: usize) -> Result<Place> {
        match self.place {
            Place::Start => r.expect(b'{').map(|()| Place::FirstMember),
            Place::FirstMember | Place::EndOfMember if r.take(b'}') => Ok(Place::End),
            Place::FirstMember | Place::Member => self.member(r),
            Place::FirstDocument if r.take(b']') => Ok(Place::EndOfMember),
            Place::FirstDocument | Place::Document => {
                let start = r.at;
                let front = match r.plain_document(&mut self.tables, fronts, self.phase)? {
                    Some(front) => front,
                    None => r.any_document(&mut self.tables, self.phase)?,
                };
                let range = start + offset..r.at + offset;
                r.space();
                let next = if r.take(b']') {
                    Place::EndOfMember
                } else {
                    r.expect(b',')?;
                    Place::Document
                };
                self.push(front, range)?;
                Ok(next)
            }
            Place::EndOfMember => r.expect(b',').map(|()| Place::Member),
            Place::End => Err(r.expected("the end of the answer")),
        }
    }

    /// A member that is no list of documents, up to the end of its value; of that list the bracket.
    fn member(&mut self, r: &mut Reader<'_>) -> Result<Place> {
        let key = r.string()?;
        r.space();
        r.expect(b':')?;
        r.space();
        let at = r.at;
        let ended = |r: &mut Reader<'_>| {
            r.space();
            if r.peek().is_some() { Ok(()) } else { Err(r.expected("`,`")) }
        };
        match key.as_ref() {
            b"values" => {
                r.expect(b'[')?;
                return once(&mut self.values, &key, at, ()).map(|()| Place::FirstDocument);
            }
            b"hasMore" => {
                let value = r.boolean()?;
                ended(r)?;
                once(&mut self.more, &key, at, value)?;
            }
            b"snapshot" if self.phase == Phase::Snapshot => {
                let value = r.integer()?;
                ended(r)?;
                once(&mut self.snapshot, &key, at, value)?;
            }
            b"cursor" => {
                let value = r.cursor(self.phase)?;
                ended(r)?;
                once(&mut self.cursor, &key, at, value)?;
            }
            _ => {
                r.skip_checked()?;
                ended(r)?;
            }
        }
        Ok(Place::EndOfMember)
    }

    fn push(&mut self, front: DocumentFront, range: Range<usize>) -> Result<()> {
        if self.documents.len() == MAX_DOCUMENTS {
            return Err(Error::resource(format!(
                "the page has more than {MAX_DOCUMENTS} documents: configure the deployment to send fewer \
                 (SNAPSHOT_LIST_LIMIT, \
                 DOCUMENT_DELTAS_LIMIT)"
            )));
        }
        if range.len() > MAX_DOCUMENT {
            return Err(Error::protocol(format!(
                "the document has {} bytes, more than any in Convex can have: report it",
                range.len()
            )));
        }
        let DocumentFront { table, ts, deleted, read } = front;
        self.documents.push(DocumentSpan { table, ts: Timestamp(ts), deleted, range, read });
        Ok(())
    }

    /// All parts were taken.
    pub(super) fn finish(self) -> Result<Parts> {
        let more = self.more.ok_or_else(|| lacks("hasMore"))?;
        self.values.ok_or_else(|| lacks("values"))?;
        let end = match self.phase {
            Phase::Snapshot => {
                let snapshot = self.snapshot.ok_or_else(|| lacks("snapshot"))?;
                let cursor = match self.cursor {
                    Some(Cursor::Text(text)) => Some(text),
                    _ if more => {
                        return Err(Error::protocol("the answer has `hasMore` but no `cursor` to continue from"));
                    }
                    _ => None,
                };
                End::Snapshot { snapshot: Timestamp(snapshot), cursor }
            }
            Phase::Delta => match self.cursor {
                Some(Cursor::Ts(ts)) => End::Delta { cursor: ts },
                _ => return Err(lacks("cursor")),
            },
        };
        let parts = Parts { tables: self.tables.list, documents: self.documents, end, more };
        parts.check_times()?;
        Ok(parts)
    }
}

/// The part without the character at its end that goes on in the next one.
fn whole_characters(part: &[u8], last: bool) -> Result<&[u8]> {
    if simdutf8::basic::from_utf8(part).is_ok() {
        return Ok(part);
    }
    match simdutf8::compat::from_utf8(part) {
        Err(e) if last || e.error_len().is_some() => {
            Err(Error::protocol(format!("the answer is not UTF-8 at byte {}", e.valid_up_to())))
        }
        Err(e) => Ok(&part[..e.valid_up_to()]),
        Ok(_) => Ok(part),
    }
}

impl Parts {
    /// Drops the rows of all tables but these.
    pub(super) fn retain(&mut self, wanted: impl Fn(&TableRef) -> bool) {
        if self.tables.iter().all(&wanted) {
            return;
        }
        let mut kept = Vec::new();
        // Where each table stands now.
        let places: Vec<Option<u32>> = std::mem::take(&mut self.tables)
            .into_iter()
            .map(|table| {
                wanted(&table).then(|| {
                    kept.push(table);
                    kept.len() as u32 - 1
                })
            })
            .collect();
        self.tables = kept;
        self.documents.retain_mut(|document| match places.get(document.table as usize) {
            Some(Some(place)) => {
                document.table = *place;
                true
            }
            _ => false,
        });
    }

    /// The `_ts` reached: S in the snapshot, the response cursor in deltas.
    pub fn through(&self) -> Timestamp {
        match self.end {
            End::Snapshot { snapshot, .. } => snapshot,
            End::Delta { cursor } => cursor,
        }
    }

    fn check_times(&self) -> Result<()> {
        let through = self.through();
        let ascending = matches!(self.end, End::Delta { .. });
        let mut before = Timestamp(0);
        for document in &self.documents {
            if document.ts > through {
                let (at, ts) = (document.range.start, document.ts);
                return Err(Error::protocol(format!(
                    "the document at byte {at} was written at {ts}, but its page reaches only up to {through}"
                )));
            }
            if ascending && document.ts < before {
                let (at, ts) = (document.range.start, document.ts);
                return Err(Error::protocol(format!(
                    "the change at byte {at} was made at {ts}, earlier than the change before it ({before})"
                )));
            }
            before = document.ts;
        }
        Ok(())
    }
}

fn lacks(member: &str) -> Error {
    Error::protocol(format!("the answer has no `{member}`: it is not a page of the streaming export"))
}

fn once<T>(slot: &mut Option<T>, key: &[u8], at: usize, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        let key = String::from_utf8_lossy(key);
        return Err(Error::protocol(format!("the answer names `{key}` twice, the second time before byte {at}")));
    }
    Ok(())
}

/// The member `cursor`, which is text in one phase and an integer in the other.
enum Cursor {
    Text(String),
    Ts(Timestamp),
    Null,
}

impl Reader<'_> {
    fn cursor(&mut self, phase: Phase) -> Result<Cursor> {
        match (self.peek(), phase) {
            (Some(b'n'), Phase::Snapshot) => self.skip_checked().map(|()| Cursor::Null),
            (_, Phase::Snapshot) => {
                let text = self.string()?;
                Ok(Cursor::Text(String::from_utf8_lossy(&text).into_owned()))
            }
            (_, Phase::Delta) => Ok(Cursor::Ts(Timestamp(self.integer()?))),
        }
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
