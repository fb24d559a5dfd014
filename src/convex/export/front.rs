//! What a document of a page says of itself: its table, `_ts`, tombstone or not; and where it ends.
//!
//! # Why two ways through a document
//! The server writes `_component`, `_table`, `_ts`, `_deleted` first, without white space, then the document's fields in
//! byte order. That front is read by comparing bytes, mostly with the front of the document before; from `_id` on only the
//! closing bracket is looked for. Anything else (old servers without `_component`, other writers) is read key by key.

use std::collections::HashMap;

use ahash::RandomState;

use crate::{
    convex::{
        scan::{end_of_container, end_of_scalar, end_of_string},
        tokens::{Reader, after, digits},
    },
    document::TableRef,
    error::{Error, Result, ResultExt},
    position::Phase,
};

/// The metadata of one document.
pub(super) struct DocumentFront {
    pub(super) table: u32,
    pub(super) ts: i64,
    pub(super) deleted: bool,
    /// Bytes of the document up to its first own key; 0 if it was read key by key.
    pub(super) read: usize,
}

/// Gives each table of the page its index.
#[derive(Default)]
pub(super) struct PageTables {
    pub(super) list: Vec<TableRef>,
    index: HashMap<TableRef, u32>,
}

impl PageTables {
    fn intern(&mut self, component: &[u8], name: &[u8]) -> Result<u32> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let table = TableRef::new(text(component), text(name))?;
        Ok(*self.index.entry(table).or_insert_with_key(|table| {
            self.list.push(table.clone());
            self.list.len() as u32 - 1
        }))
    }
}

/// Knows tables by the very bytes in which the server announces them.
#[derive(Default)]
pub(super) struct Fronts<'a> {
    known: HashMap<&'a [u8], u32, RandomState>,
    /// Front and index of the document before.
    last: (&'a [u8], u32),
}

impl<'a> Fronts<'a> {
    /// The index of the table that `text`, `{"_component":"","_table":"messages","_ts":`, announces.
    fn table(&mut self, text: &'a [u8], front: &TableFront<'_>, tables: &mut PageTables) -> Result<u32> {
        let index = if let Some(index) = self.known.get(text) {
            *index
        } else {
            let index = tables.intern(front.component, front.name)?;
            self.known.insert(text, index);
            index
        };
        self.last = (text, index);
        Ok(index)
    }
}

/// The grammar of a document.
impl<'a> Reader<'a> {
    /// A document as the server writes it; `None`, and nothing taken, if it is spelled in any other way.
    pub(super) fn plain_document(
        &mut self,
        tables: &mut PageTables,
        fronts: &mut Fronts<'a>,
        phase: Phase,
    ) -> Result<Option<DocumentFront>> {
        let (text, start) = (self.text, self.at);
        let (last, last_table) = fronts.last;
        let (table, from) = if !last.is_empty() && text[start..].starts_with(last) {
            (last_table, start + last.len())
        } else {
            let Some(front) = front(text, start) else { return Ok(None) };
            let named = fronts.table(&text[start..front.end], &front, tables);
            (named.context(|| format!("the document at byte {start}"))?, front.end)
        };
        let Some(RestOfFront { ts, deleted, end: read, after_id }) = rest_of_front(text, from, phase) else {
            return Ok(None);
        };
        let Some(end) = end_of_container(text, after_id) else {
            self.at = text.len();
            return Err(self.expected("the end of a document"));
        };
        if text[end - 1] != b'}' {
            self.at = end - 1;
            return Err(self.expected("`}`"));
        }
        self.at = end;
        Ok(Some(DocumentFront { table, ts, deleted, read: read - start }))
    }

    /// A document in any spelling, key by key.
    pub(super) fn any_document(&mut self, tables: &mut PageTables, phase: Phase) -> Result<DocumentFront> {
        let start = self.at;
        let (mut component, mut table, mut ts, mut deleted, mut id) = (None, None, None, None, false);
        self.object(|r, key| {
            match key {
                b"_component" => component = Some(r.string()?),
                b"_table" => table = Some(r.string()?),
                b"_ts" => ts = Some(r.integer()?),
                b"_deleted" if phase == Phase::Delta => deleted = Some(r.boolean()?),
                b"_id" => {
                    r.string()?;
                    id = true;
                }
                _ => r.skip()?,
            }
            Ok(())
        })?;
        let lacks = |name: &str| Error::protocol(format!("the document at byte {start} has no `{name}`"));
        let table = table.ok_or_else(|| lacks("_table"))?;
        let ts = ts.ok_or_else(|| lacks("_ts"))?;
        let deleted = match phase {
            Phase::Snapshot => false,
            Phase::Delta => deleted.ok_or_else(|| lacks("_deleted"))?,
        };
        if !id {
            return Err(lacks("_id"));
        }
        let table = tables.intern(component.as_deref().unwrap_or_default(), &table);
        let table = table.context(|| format!("the document at byte {start}"))?;
        Ok(DocumentFront { table, ts, deleted, read: 0 })
    }
}

/// How a document announces its table.
struct TableFront<'a> {
    component: &'a [u8],
    name: &'a [u8],
    /// The index of the first digit of `_ts`.
    end: usize,
}

/// `{"_component":"…","_table":"…","_ts":`. Without the first of them the front says nothing: it may come later.
fn front(text: &[u8], start: usize) -> Option<TableFront<'_>> {
    let from = after(text, start, b"{\"_component\":\"")?;
    let end = plain(text, from)?;
    let component = &text[from..end];
    let from = after(text, end, b"\",\"_table\":\"")?;
    let end = plain(text, from)?;
    Some(TableFront { component, name: &text[from..end], end: after(text, end, b"\",\"_ts\":")? })
}

/// What a document announces behind its table.
struct RestOfFront {
    ts: i64,
    deleted: bool,
    /// The index of the key that follows.
    end: usize,
    after_id: usize,
}

/// From the first digit of `_ts` on.
fn rest_of_front(text: &[u8], from: usize, phase: Phase) -> Option<RestOfFront> {
    let (ts, mut at) = digits(text, from)?;
    let mut deleted = false;
    if phase == Phase::Delta {
        at = after(text, at, b",\"_deleted\":")?;
        deleted = text.get(at) == Some(&b't');
        at = after(text, at, if deleted { b"true" } else { b"false" })?;
    }
    let end = at + 1;
    if let Some(number) = after(text, at, b",\"_creationTime\":") {
        at = end_of_scalar(text, number);
    }
    let after_id = match after(text, at, b",\"_id\":\"") {
        Some(id) => end_of_string(text, id)? + 1,
        None => id_behind_fields(text, at)?,
    };
    Some(RestOfFront { ts, deleted, end, after_id })
}

/// The index after `_id`, which fields in upper case precede, from the comma after another member on.
fn id_behind_fields(text: &[u8], at: usize) -> Option<usize> {
    let mut reader = Reader { text, at };
    loop {
        if !reader.take(b',') {
            return None;
        }
        let is_id = *reader.string().ok()? == *b"_id";
        if !reader.take(b':') {
            return None;
        }
        if is_id {
            return reader.string().ok().map(|_| reader.at);
        }
        reader.skip().ok()?;
    }
}

/// The index of the quote that ends a string of the letters that names consist of.
fn plain(text: &[u8], from: usize) -> Option<usize> {
    let run = text[from..].iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/')))?;
    (text[from + run] == b'"').then_some(from + run)
}
