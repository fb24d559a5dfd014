//! `_nulls` and `_rescued`: what a document holds that its typed columns do not.
//!
//! While a document is decoded it is collected here, can be taken back to a [`Mark`], and becomes two cells at the end:
//! both sorted by bytes, together prefix-free, because nothing inside something rescued is ever looked at.
//!
//! **The bound.** What one top-level field adds to the two cells (each path and text as it stands in the cell, with its
//! quotes and separators) is at most its own export_json text plus 1 KiB; a field that would add more is rescued whole.
//! Without it, documents of 36 kB and 1 MB made cells of 197 and 182 MB. It is checked while the field is read, so that
//! not even the attempt needs more.

use std::{fmt, ops::Range};

use super::{
    json::{string_length, transcode, write_string},
    parse::{Bad, Json},
};
use crate::schema::{KEYS_OF_DATA, Kind, push_pointer};

/// What a field may add to the two cells beyond its own text, bytes.
const SLACK: usize = 1024;

/// Places that the list items of one document may take in leaf columns: twice what the longest array of Convex (8,192) takes
/// in the widest struct of plain fields (64). Three bytes of text, `{},`, take a place in every leaf of their list; without
/// this, a document of 1 MiB could take gigabytes.
const PLACES: usize = 1 << 20;

/// Why a value was not appended.
#[derive(Debug)]
pub(super) enum Stop {
    /// It adds too much to the two cells, or its list items take too many places: take it back and rescue the top-level
    /// field whole.
    TooLong,
    /// The text is not what a deployment may send.
    Bad(Bad),
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

/// The way from a document to a value in it; written out only when it is needed.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Item(usize),
}

impl<'p> Path<'p> {
    pub(super) fn field(name: &'p str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }

    pub(super) fn name(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Name(name) }
    }

    pub(super) fn item(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Item(index) }
    }

    /// As a JSON Pointer (RFC 6901).
    fn pointer(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, &|out, index| push_pointer(out, &index.to_string()));
        out
    }

    /// As misfits are counted: `*` for every list item.
    fn place(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, &|out, _| out.push_str("/*"));
        out
    }

    fn write(&self, out: &mut String, item: &impl Fn(&mut String, usize)) {
        if let Some(parent) = self.parent {
            parent.write(out, item);
        }
        match self.step {
            Step::Name(name) => push_pointer(out, name),
            Step::Item(index) => item(out, index),
        }
    }
}

/// What did not fit the columns at a place.
#[derive(Debug)]
pub(super) enum Misfit {
    /// A value of this kind.
    Kind(Kind),
    /// A key of an object, that its struct can never have.
    Key,
}

impl fmt::Display for Misfit {
    /// As it is counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => kind.fmt(f),
            Self::Key => f.write_str(KEYS_OF_DATA),
        }
    }
}

/// Buffers that live from document to document.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    nulls: Vec<String>,
    rescued: Vec<(String, Range<usize>)>,
    text: String,
    misfits: Vec<(String, Misfit)>,
    newcomers: u64,
    scratch: String,
}

/// What of one document has no place in the typed columns.
pub(super) struct MisplacedFields<'a> {
    held: Buffers,
    /// The current top-level field: where its value begins.
    field: Json<'a>,
    /// What it has added so far, and what it may.
    added: usize,
    limit: Option<usize>,
    /// Places that list items took in leaf columns, taken back or not.
    pub(super) places: usize,
    /// Places that are left for this document.
    room: usize,
}

/// A state to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    nulls: usize,
    rescued: usize,
    text: usize,
    misfits: usize,
    newcomers: u64,
    added: usize,
    room: usize,
}

impl<'a> MisplacedFields<'a> {
    pub(super) fn new(mut held: Buffers, document: Json<'a>) -> Self {
        held.nulls.clear();
        held.rescued.clear();
        held.text.clear();
        held.misfits.clear();
        held.newcomers = 0;
        Self { held, field: document, added: 0, limit: None, places: 0, room: PLACES }
    }

    /// The next value as export_json text, on its way to a column.
    pub(super) fn text(&mut self, json: &mut Json<'a>) -> Result<&str, Bad> {
        self.held.scratch.clear();
        transcode(json, &mut self.held.scratch)?;
        Ok(&self.held.scratch)
    }

    /// The next top-level field begins.
    pub(super) fn begin_field(&mut self, value: Json<'a>) -> Mark {
        (self.field, self.added, self.limit) = (value, 0, None);
        self.mark()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            nulls: self.held.nulls.len(),
            rescued: self.held.rescued.len(),
            text: self.held.text.len(),
            misfits: self.held.misfits.len(),
            newcomers: self.held.newcomers,
            added: self.added,
            room: self.room,
        }
    }

    pub(super) fn roll_back(&mut self, mark: Mark) {
        self.held.nulls.truncate(mark.nulls);
        self.held.rescued.truncate(mark.rescued);
        self.held.text.truncate(mark.text);
        self.held.misfits.truncate(mark.misfits);
        self.held.newcomers = mark.newcomers;
        self.added = mark.added;
        self.room = mark.room;
    }

    /// The same for a whole field, which is rescued instead. What did not fit in it, as far as it was read, stays counted:
    /// columns for it come by these counts alone.
    pub(super) fn roll_back_field(&mut self, mark: Mark) {
        self.roll_back(Mark { misfits: self.held.misfits.len(), newcomers: self.held.newcomers, ..mark });
    }

    /// A list item takes its place in `leaves` leaf columns.
    pub(super) fn place(&mut self, leaves: usize) -> Result<(), Stop> {
        self.places += leaves;
        self.room = self.room.checked_sub(leaves).ok_or(Stop::TooLong)?;
        Ok(())
    }

    /// Whether anything was rescued since.
    pub(super) fn rescued_since(&self, mark: Mark) -> bool {
        self.held.rescued.len() > mark.rescued
    }

    /// An explicit null with no place in a JSON column, and no list item.
    pub(super) fn null(&mut self, path: &Path<'_>) -> Result<(), Stop> {
        let path = path.pointer();
        let length = string_length(&path);
        self.held.nulls.push(path);
        self.add(length + 1)
    }

    /// The next value has no place: keeps it as text.
    pub(super) fn rescue(&mut self, path: &Path<'_>, json: &mut Json<'a>) -> Result<(), Stop> {
        let length = self.keep(path, json)?;
        self.add(length)
    }

    /// The next value is a whole top-level field that has no place: kept whatever its length.
    pub(super) fn rescue_field(&mut self, path: &Path<'_>, json: &mut Json<'a>) -> Result<(), Bad> {
        self.keep(path, json).map(drop)
    }

    fn keep(&mut self, path: &Path<'_>, json: &mut Json<'a>) -> Result<usize, Bad> {
        let from = self.held.text.len();
        transcode(json, &mut self.held.text)?;
        let path = path.pointer();
        let length = string_length(&path) + self.held.text.len() - from + 2;
        self.held.rescued.push((path, from..self.held.text.len()));
        Ok(length)
    }

    /// A value of `kind` did not fit the columns of the field at `path`.
    pub(super) fn misfit(&mut self, path: &Path<'_>, kind: Kind) {
        self.held.misfits.push((path.place(), Misfit::Kind(kind)));
    }

    /// The object at `path` has a key that its struct can never have.
    pub(super) fn key(&mut self, path: &Path<'_>) {
        self.held.misfits.push((path.place(), Misfit::Key));
    }

    /// The value rescued last stands under a name that the next file may have a column for.
    pub(super) fn newcomer(&mut self) {
        if let Some((_, range)) = self.held.rescued.last() {
            self.held.newcomers += u64::from(!matches!(&self.held.text[range.clone()], "[]" | "{}"));
        }
    }

    fn add(&mut self, length: usize) -> Result<(), Stop> {
        self.added += length;
        if self.added <= SLACK {
            return Ok(());
        }
        let limit = match self.limit {
            Some(limit) => limit,
            None => {
                let mut text = String::new();
                transcode(&mut self.field.clone(), &mut text)?;
                *self.limit.insert(text.len() + SLACK)
            }
        };
        if self.added > limit { Err(Stop::TooLong) } else { Ok(()) }
    }

    /// The cell of `_nulls`; `None` when there is none.
    pub(super) fn nulls_cell(&mut self) -> Option<String> {
        if self.held.nulls.is_empty() {
            return None;
        }
        self.held.nulls.sort_unstable();
        let mut cell = String::from("[");
        for (i, path) in self.held.nulls.iter().enumerate() {
            if i > 0 {
                cell.push(',');
            }
            write_string(&mut cell, path);
        }
        cell.push(']');
        Some(cell)
    }

    /// The cell of `_rescued`; `None` when there is none.
    pub(super) fn rescued_cell(&mut self) -> Option<String> {
        if self.held.rescued.is_empty() {
            return None;
        }
        self.held.rescued.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut cell = String::with_capacity(self.held.text.len() + 16);
        cell.push('{');
        for (i, (path, text)) in self.held.rescued.iter().enumerate() {
            if i > 0 {
                cell.push(',');
            }
            write_string(&mut cell, path);
            cell.push(':');
            cell.push_str(&self.held.text[text.clone()]);
        }
        cell.push('}');
        Some(cell)
    }

    /// Gives the buffers back, with what the document adds to the counters.
    pub(super) fn finish(mut self) -> (Buffers, Vec<(String, Misfit)>, u64) {
        let misfits = std::mem::take(&mut self.held.misfits);
        let newcomers = self.held.newcomers;
        (self.held, misfits, newcomers)
    }
}
