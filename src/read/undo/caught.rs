//! [`caught`]: what came into the tables of an undo while it was imported.
//!
//! An import fills a new table and puts it in the place of the old one. What the app writes to the old table meanwhile is lost, and
//! no change log delivers it afterwards. Whoever syncs until the import has ended has it in the archive.
//!
//! # Why the import's own rows are told apart by what they hold
//! The change log tells the rows of the new table beside those of the old one, under the same name. An app that writes exactly what
//! the ZIP holds has lost nothing.

use super::{
    options::UndoOptions,
    report::UndoReport,
    table::{TableUndo, Undo, Written},
};
use crate::{
    archive::{Archive, Head},
    codec::write_value,
    document::{Encoding, Revision, TableRef, Timestamp, Value},
    error::Result,
    monitor::NoMonitor,
    rows::{
        files::{FilesByTable, TableFiles},
        state::State,
        walk::StateWalk,
    },
};

/// Tells every revision that was written to the touched tables of an undo after its `now`, up to `through`, and is not what its ZIP
/// holds: in the order of tables, ids and moments. How many there are.
///
/// # Errors
/// Whatever `tell` returns; as reading the archive's files has them.
pub async fn caught(
    archive: &Archive,
    head: &Head,
    options: &UndoOptions,
    report: &UndoReport,
    through: Timestamp,
    mut tell: impl FnMut(&TableRef, Revision) -> Result<()>,
) -> Result<u64> {
    let undo = Undo { archive, head, options, monitor: &NoMonitor };
    let mut files = FilesByTable::open(archive, head).await?;
    let mut count = 0;
    for touched in report.touched() {
        let files = files.of(&touched.table).await?;
        let mut tell = |revision| tell(&touched.table, revision);
        let mut later = Later::open(archive, head, &files, options, through, &mut tell).await?;
        TableUndo::walk(&undo, &files, touched.number, Written::Compared(&mut later), |_| Ok(())).await?;
        count += later.end().await?;
    }
    Ok(count)
}

/// What was written to one table later, beside what the ZIP holds of it.
pub(super) struct Later<'a> {
    written: StateWalk,
    tell: &'a mut dyn FnMut(Revision) -> Result<()>,
    count: u64,
    text: String,
}

impl<'a> Later<'a> {
    async fn open(
        archive: &Archive,
        head: &Head,
        files: &TableFiles,
        options: &UndoOptions,
        through: Timestamp,
        tell: &'a mut dyn FnMut(Revision) -> Result<()>,
    ) -> Result<Self> {
        let budget = options.budget.half().half();
        let written = State::revisions(archive, head, files, options.now, through, budget)?;
        Ok(Self { written: StateWalk::begin(written).await?, tell, count: 0, text: String::new() })
    }

    /// Comes to the next document of the ZIP.
    pub(super) async fn compare(&mut self, id: &str, document: &str) -> Result<()> {
        while let Some((own, _)) = self.written.key() {
            if own > id {
                break;
            }
            let is_same_id = own == id;
            self.take(is_same_id.then_some(document)).await?;
        }
        Ok(())
    }

    async fn take(&mut self, expected: Option<&str>) -> Result<()> {
        if let Some(revision) = self.written.revision()? {
            self.text.clear();
            if let Some(document) = &revision.document {
                write_value(&mut self.text, &Value::Object(document.clone()), Encoding::ExportJson);
            }
            if expected != Some(self.text.as_str()) {
                self.count += 1;
                (self.tell)(revision)?;
            }
        }
        self.written.step().await
    }

    async fn end(mut self) -> Result<u64> {
        while self.written.key().is_some() {
            self.take(None).await?;
        }
        Ok(self.count)
    }
}
