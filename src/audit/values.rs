//! A table of the archive beside the deployment's, value by value.
//!
//! Both come in the order of `_id`: the deployment's as pages of list_snapshot, the archive's as a state. They are laid side by side once, as
//! canonical text, in the memory of one page and one batch. That the ids ascend is not promised, so it is looked at.

use std::cmp::Ordering;

use serde::Deserialize;

use super::report::{AuditedTable, CANNOT_ASK, Difference, DifferingDocument, UNORDERED};
use crate::{
    archive::{Archive, BaseMaker, Head},
    budget::MemoryBudget,
    codec::{kept_text, parse_value, write_value},
    convex::{SnapshotScope, Source},
    document::{Encoding, Revision, TableRef, Timestamp, Value},
    error::{Error, Result, ResultExt},
    position::Scope,
    rows::state::{State, StateBatch, StateOptions},
};

/// What a table is compared with, and who hears of documents that differ.
pub(super) struct ValueWalk<'a> {
    pub(super) archive: &'a Archive,
    pub(super) head: &'a Head,
    pub(super) source: &'a dyn Source,
    pub(super) at: Timestamp,
    pub(super) budget: MemoryBudget,
    /// None, if only their number is wanted.
    pub(super) tell: Option<Tell<'a>>,
}

/// Hears of each document that differs.
pub(super) type Tell<'a> = &'a mut dyn FnMut(DifferingDocument) -> Result<()>;

impl ValueWalk<'_> {
    /// Compares `table`, which the archive covers or has never seen.
    ///
    /// # Errors
    /// As reading the archive has them, and as a page; whatever the listener returns.
    pub(super) async fn compare(&mut self, table: &TableRef) -> Result<AuditedTable> {
        let mut done = AuditedTable::new(table);
        let mut ours = OurDocuments::open(self, table).await?;
        let scope = SnapshotScope::Tables(Scope::Tables(vec![table.clone()]));
        let mut position = Some(self.source.snapshot_of(&scope, self.at));
        let (mut last, mut text): (Option<String>, String) = (None, String::new());
        while let Some(at) = position {
            let page = self.source.page(&at).await?;
            done.requests += 1;
            done.bytes += page.body.len();
            if page.through != Some(self.at) {
                return Err(Error::protocol(format!(
                    "the deployment answered for a moment other than {}: report it",
                    self.at
                )));
            }
            if page.tables.iter().any(|other| other != table) {
                return Ok(done.not_compared(CANNOT_ASK));
            }
            let mut texts = page.texts()?;
            for document in &page.documents {
                text.clear();
                let id = theirs(texts.text(document)?, page.encoding, &mut text)
                    .context(|| format!("table {table}, as the deployment has it"))?;
                if last.as_ref().is_some_and(|last| *last >= id) {
                    return Ok(done.not_compared(UNORDERED));
                }
                done.documents += 1;
                let theirs = Theirs { id: &id, ts: document.ts, text: &text, encoding: page.encoding };
                self.until(&mut done, &mut ours, &theirs).await?;
                last = Some(id);
            }
            position = page.next;
        }
        while let Some((id, _)) = ours.key() {
            done.note(id, Difference::Extra);
            self.tell(&mut ours, table, Difference::Extra, None)?;
            ours.step().await?;
        }
        Ok(done)
    }

    /// Passes the archive's documents up to this one of the deployment's.
    async fn until(&mut self, done: &mut AuditedTable, ours: &mut OurDocuments, theirs: &Theirs<'_>) -> Result<()> {
        let table = done.table.clone();
        loop {
            let order = ours.key().map_or(Ordering::Greater, |(id, _)| id.cmp(theirs.id));
            let difference = match order {
                Ordering::Less => Some(Difference::Extra),
                Ordering::Greater => Some(Difference::Missing),
                Ordering::Equal => ours.difference(self.head, theirs)?,
            };
            if let Some(difference) = difference {
                let id = if order.is_lt() { ours.key().map_or("", |(id, _)| id) } else { theirs.id };
                done.note(id, difference);
                self.tell(ours, &table, difference, Some(theirs).filter(|_| order.is_ge()))?;
            }
            if order.is_le() {
                ours.step().await?;
            }
            if order.is_ge() {
                return Ok(());
            }
        }
    }

    fn tell(
        &mut self,
        ours: &mut OurDocuments,
        table: &TableRef,
        difference: Difference,
        theirs: Option<&Theirs<'_>>,
    ) -> Result<()> {
        let Some(tell) = &mut self.tell else { return Ok(()) };
        let archive = if difference == Difference::Missing { None } else { ours.revision()? };
        let deployment = theirs.map(Theirs::revision).transpose()?;
        let id = deployment.as_ref().or(archive.as_ref()).map(|revision| revision.id.clone()).unwrap_or_default();
        tell(DifferingDocument { table: table.clone(), id, difference, archive, deployment })
    }
}

/// A document as the deployment has it.
struct Theirs<'a> {
    id: &'a str,
    ts: Timestamp,
    /// What an archive keeps of it, canonical.
    text: &'a str,
    /// What it came in.
    encoding: Encoding,
}

impl Theirs<'_> {
    fn revision(&self) -> Result<Revision> {
        let Value::Object(document) = parse_value(self.text, Encoding::ExportJson)? else {
            return Err(Error::protocol(format!("the document {} is not an object", self.id)));
        };
        Ok(Revision { id: self.id.to_owned(), ts: self.ts, document: Some(document) })
    }
}

/// The `_id` of a document; appends what an archive keeps of it.
fn theirs(text: &str, encoding: Encoding, kept: &mut String) -> Result<String> {
    #[derive(Deserialize)]
    struct Id {
        #[serde(rename = "_id")]
        id: String,
    }
    let Id { id } =
        serde_json::from_str(text).map_err(|e| Error::protocol("a document has no `_id`").with_source(e))?;
    kept_text(text, encoding, kept)?;
    Ok(id)
}

/// The documents as the archive has them.
struct OurDocuments {
    /// None of a table that the archive has never seen.
    state: Option<State>,
    batch: Option<StateBatch>,
    row: usize,
    /// The texts of the batch, one behind the other, and where each ends.
    texts: String,
    ends: Vec<usize>,
}

impl OurDocuments {
    async fn open(walk: &ValueWalk<'_>, table: &TableRef) -> Result<Self> {
        let state = match walk.head.table(table) {
            Some(_) => {
                let all = StateOptions { budget: walk.budget.half(), ..StateOptions::default() };
                Some(State::open(walk.archive, walk.head, table, walk.at, &all).await?)
            }
            None => None,
        };
        let mut ours = Self { state, batch: None, row: 0, texts: String::new(), ends: Vec::new() };
        ours.load().await?;
        Ok(ours)
    }

    async fn load(&mut self) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        (self.row, self.batch) = (0, state.next().await?);
        self.texts.clear();
        self.ends.clear();
        if let Some(batch) = &self.batch {
            let documents = batch.documents()?;
            for row in 0..batch.len() {
                documents.write_json(row, Encoding::ExportJson, &mut self.texts)?;
                self.ends.push(self.texts.len());
            }
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<()> {
        self.row += 1;
        if self.batch.as_ref().is_some_and(|batch| self.row >= batch.len()) {
            self.load().await?;
        }
        Ok(())
    }

    fn key(&self) -> Option<(&str, Timestamp)> {
        self.batch.as_ref().map(|batch| (batch.id(self.row), batch.ts(self.row)))
    }

    fn revision(&self) -> Result<Option<Revision>> {
        self.batch.as_ref().map(|batch| batch.revision(self.row)).transpose()
    }

    fn text(&self) -> &str {
        let begin = self.row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[begin..self.ends[self.row]]
    }

    /// How the document, which both have, differs.
    fn difference(&self, head: &Head, theirs: &Theirs<'_>) -> Result<Option<Difference>> {
        let Some((_, ts)) = self.key() else { return Ok(None) };
        if ts != theirs.ts {
            return Ok(Some(Difference::Different));
        }
        if self.text() == theirs.text {
            return Ok(None);
        }
        // What came as `json` is kept as it came: nobody can tell an int64 from its text.
        let untyped = theirs.encoding == Encoding::Json || self.is_untyped(head, ts);
        let same = untyped && without_types(self.text())? == without_types(theirs.text)?;
        Ok((!same).then_some(Difference::Altered))
    }

    /// Whether a revision of this moment may have come without types.
    fn is_untyped(&self, head: &Head, ts: Timestamp) -> bool {
        let base = self.state.as_ref().map(State::base);
        let own = base.is_some_and(|base| base.made == BaseMaker::Archive && ts <= base.ts);
        head.coverage().untyped.iter().any(|untyped| match &untyped.base {
            // The archive made it of what came before.
            Some(_) if own => untyped.after >= ts,
            Some(id) => base.is_some_and(|base| base.id == *id && ts <= base.ts),
            None => untyped.after < ts && ts <= untyped.to,
        })
    }
}

fn without_types(text: &str) -> Result<String> {
    let mut out = String::new();
    write_value(&mut out, &parse_value(text, Encoding::ExportJson)?, Encoding::Json);
    Ok(out)
}
