//! One table: three states, merged by `_id`.
//!
//! ```text
//! state before ──┐
//! state after  ──┼─ by _id ─> what becomes of the document ─> counted, told, written
//! state now    ──┘
//! ```
//!
//! # Why ids of another table number are passed over
//! A table that was dropped leaves no tombstones, so its documents seem to be there still, beside those of a later table of its
//! name. The deployment has none of them, and an import takes documents of one number only. They are counted.

use super::{
    later::Later,
    mutation::Batches,
    options::UndoOptions,
    report::{UndoFate, UndoneDocument, UndoneTable},
    verdict::{Revisions, Verdict},
};
use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    codec::write_value,
    document::{Encoding, Revision, Timestamp, Value, table_number},
    error::{Error, Result},
    monitor::{Event, Monitor},
    read::restore::zip::SnapshotZip,
    rows::{
        files::TableFiles,
        generations::{generations, numbers_at, numbers_of},
        moment::base_at,
        state::{Columns, State, StateDocuments, StateOptions},
        walk::StateWalk,
    },
};

/// Who gets the documents.
pub(super) enum Written<'a, 'w> {
    /// Nobody: they are counted.
    Nowhere,
    /// A ZIP: all documents of the table, as they are once the undo is done.
    Zip(&'a mut SnapshotZip),
    /// What came later: compared with all documents of the table, as they are once the undo is done.
    Compared(&'a mut Later<'w>),
    /// Batches of a mutation: those that change.
    Batches(&'a mut Batches),
}

/// What the tables of an undo have in common.
pub(super) struct Undo<'a> {
    pub(super) archive: &'a Archive,
    pub(super) head: &'a Head,
    pub(super) options: &'a UndoOptions,
    pub(super) monitor: &'a dyn Monitor,
}

/// The row of a document now.
#[derive(Clone, Copy)]
struct Now<'a> {
    ts: Timestamp,
    row: usize,
    /// None where only keys are read.
    documents: Option<&'a StateDocuments<'a>>,
}

/// Events are not told more often than once for so many documents.
const TOLD_AT_ONCE: u64 = 4096;

/// One table on its way.
pub(super) struct TableUndo<'a, 'w, 'l, T> {
    undo: &'a Undo<'a>,
    then: StateWalk,
    after: StateWalk,
    written: Written<'w, 'l>,
    tell: T,
    done: UndoneTable,
    /// Wanted documents that are known at one of the moments.
    known_ids: Vec<String>,
    text: String,
    expected: String,
    bytes: u64,
}

impl<'a, 'w, 'l, T: FnMut(UndoneDocument) -> Result<()>> TableUndo<'a, 'w, 'l, T> {
    /// Walks through the table; answers its counts, and which of the wanted ids it knows.
    pub(super) async fn walk(
        undo: &'a Undo<'a>,
        files: &TableFiles,
        number: Option<u32>,
        written: Written<'w, 'l>,
        tell: T,
    ) -> Result<(UndoneTable, Vec<String>)> {
        let options = undo.options;
        let (is_written, is_matched) = (!matches!(written, Written::Nowhere), !options.matching.is_empty());
        let columns = |all| if all { Columns::All } else { Columns::Keys };
        let state = |at, all| {
            let budget = options.budget.half().half();
            let state = StateOptions { budget, columns: columns(all), ..StateOptions::default() };
            State::of_files(undo.archive, undo.head, files, at, &state)
        };
        let mut now = state(options.now, is_written)?;
        let mut own = Self {
            undo,
            then: StateWalk::begin(state(options.from, is_written || is_matched)?).await?,
            after: StateWalk::begin(state(options.to, is_matched)?).await?,
            written,
            tell,
            done: UndoneTable::new(files.table.clone(), number),
            known_ids: Vec::new(),
            text: String::new(),
            expected: String::new(),
            bytes: 0,
        };
        let mut told = (0, 0);
        while let Some(batch) = now.next().await? {
            let documents = if is_written { Some(batch.documents()?) } else { None };
            for row in 0..batch.len() {
                let id = batch.id(row);
                while let Some(gone) = own.next_before(Some(id)) {
                    own.document(&gone, None).await?;
                }
                let ts = batch.ts(row);
                own.document(id, Some(Now { ts, row, documents: documents.as_ref() })).await?;
            }
            own.progress(&mut told, TOLD_AT_ONCE);
        }
        while let Some(gone) = own.next_before(None) {
            own.document(&gone, None).await?;
        }
        own.progress(&mut told, 0);
        Ok((own.done, own.known_ids))
    }

    fn progress(&self, told: &mut (u64, u64), at_least: u64) {
        let (documents, bytes) = (self.done.documents - told.0, self.bytes - told.1);
        if documents > at_least || (at_least == 0 && documents > 0) {
            self.undo.monitor.report(Event::Documents { documents, bytes });
            *told = (self.done.documents, self.bytes);
        }
    }

    /// The next document of the two earlier moments, if it comes before this id; the next one at all, if there is none.
    fn next_before(&self, id: Option<&str>) -> Option<String> {
        let keys = [self.then.key(), self.after.key()];
        let next = keys.into_iter().flatten().map(|(id, _)| id).min()?;
        id.is_none_or(|id| next < id).then(|| next.to_owned())
    }

    /// The next document in the order of ids, at all three moments.
    async fn document(&mut self, id: &str, now: Option<Now<'_>>) -> Result<()> {
        let revisions =
            Revisions { then: self.then.ts_of(id), after: self.after.ts_of(id), now: now.map(|now| now.ts) };
        if self.undo.options.ids.contains(id) {
            self.known_ids.push(id.to_owned());
        }
        let number = table_number(id);
        let is_foreign = self.done.number.is_some() && number != self.done.number;
        if is_foreign && number.is_none() {
            return Err(Error::corrupt(format!(
                "`{}` is not an id of table {}: a file of the table is damaged; take that file from a copy of the \
                 archive",
                id.escape_debug(),
                self.done.table
            )));
        }
        if is_foreign {
            self.done.of_dropped += u64::from(revisions.then.is_some() && self.is_wanted(id)?);
        } else {
            let verdict = revisions.verdict(self.undo.options);
            let wanted = verdict != Verdict::Unchanged && self.is_wanted(id)?;
            let verdict = if wanted { verdict } else { Verdict::Unchanged };
            self.count(id, verdict, revisions)?;
            self.write(id, verdict, now).await?;
        }
        self.then.pass(id).await?;
        self.after.pass(id).await
    }

    /// Whether the document is among those that were asked for.
    fn is_wanted(&self, id: &str) -> Result<bool> {
        let options = self.undo.options;
        if !options.ids.is_empty() && !options.ids.contains(id) {
            return Ok(false);
        }
        if options.matching.is_empty() {
            return Ok(true);
        }
        let earliest = [&self.then, &self.after].into_iter().find(|state| state.ts_of(id).is_some());
        let revision = earliest.map(StateWalk::revision).transpose()?.flatten();
        let document = revision.and_then(|revision| revision.document);
        Ok(document.is_some_and(|document| options.matching.iter().all(|field| field.matches(&document))))
    }

    fn count(&mut self, id: &str, verdict: Verdict, revisions: Revisions) -> Result<()> {
        let done = &mut self.done;
        let (count, fate) = match verdict {
            Verdict::Unchanged => return Ok(()),
            Verdict::AsThen => (&mut done.as_then, None),
            Verdict::StaysInserted => (&mut done.stay_inserted, None),
            Verdict::ChangedSince => (&mut done.changed_since, Some(UndoFate::ChangedSince)),
            Verdict::PutBack => (&mut done.put_back, Some(UndoFate::PutBack)),
            Verdict::Reverted => (&mut done.reverted, Some(UndoFate::Reverted)),
            Verdict::Removed => (&mut done.removed, Some(UndoFate::Removed)),
        };
        *count += 1;
        match fate {
            Some(fate) => {
                (self.tell)(UndoneDocument { table: done.table.clone(), id: id.to_owned(), fate, now: revisions.now })
            }
            None => Ok(()),
        }
    }

    async fn write(&mut self, id: &str, verdict: Verdict, now: Option<Now<'_>>) -> Result<()> {
        let stays = match verdict {
            Verdict::PutBack | Verdict::Reverted => true,
            Verdict::Removed => false,
            _ => now.is_some(),
        };
        self.done.documents += u64::from(stays);
        let encoding = match self.written {
            Written::Nowhere => return Ok(()),
            Written::Zip(_) | Written::Compared(_) => Encoding::ExportJson,
            Written::Batches(_) => Encoding::ConvexEncodedJson,
        };
        self.text.clear();
        self.expected.clear();
        if matches!(verdict, Verdict::PutBack | Verdict::Reverted) {
            write_document(self.then.revision()?, encoding, &mut self.text);
        }
        let is_zip = !matches!(self.written, Written::Batches(_));
        // A ZIP wants what stays as it is, batches want what they replace.
        if (is_zip && !verdict.is_undone()) || (!is_zip && verdict.is_undone()) {
            let text = if is_zip { &mut self.text } else { &mut self.expected };
            if let Some(Now { row, documents: Some(documents), .. }) = now {
                documents.write_json(row, encoding, text)?;
            }
        }
        match &mut self.written {
            Written::Nowhere => Ok(()),
            Written::Zip(_) | Written::Compared(_) if !stays => Ok(()),
            Written::Compared(later) => later.compare(id, &self.text).await,
            Written::Zip(zip) => {
                self.text.push('\n');
                self.bytes += self.text.len() as u64;
                zip.write(self.text.as_bytes()).await
            }
            Written::Batches(batches) => match verdict {
                Verdict::Reverted => batches.replace(&self.done.table, &self.expected, &self.text),
                Verdict::Removed => batches.delete(&self.done.table, &self.expected),
                _ => Ok(()),
            },
        }
    }
}

fn write_document(revision: Option<Revision>, encoding: Encoding, text: &mut String) {
    let document = revision.and_then(|revision| revision.document).unwrap_or_default();
    write_value(text, &Value::Object(document), encoding);
}

/// The number that the ids of a table's documents bear at a moment: of several the one that was written last.
pub(super) async fn number_at(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    at: Timestamp,
    budget: MemoryBudget,
) -> Result<Option<u32>> {
    let (_, base) = base_at(head, &files.table, at)?;
    let mut numbers = numbers_at(files, base, at);
    if numbers.len() > 1 {
        let mut generations = generations(archive, head, files, at, budget, None).await?;
        if let Some(newest) = generations.pop() {
            return Ok(Some(newest.number));
        }
    }
    // Of a table that was emptied the base shows nothing.
    let until = files.parts.iter().filter(|part| part.file.min_ts <= at);
    let newest = until.max_by_key(|part| part.file.max_ts);
    Ok(numbers.pop_last().or_else(|| newest.and_then(|part| numbers_of(part).1)))
}
