//! [`Later`]: the revisions of a table that came after an undo was made, beside what its ZIP holds.

use super::options::UndoOptions;
use crate::{
    archive::{Archive, Head},
    codec::write_value,
    document::{Encoding, Revision, Timestamp, Value},
    error::Result,
    rows::{files::TableFiles, state::State, walk::StateWalk},
};

/// What was written to one table later, beside what the ZIP holds of it.
pub(super) struct Later<'a> {
    written: StateWalk,
    tell: &'a mut dyn FnMut(Revision) -> Result<()>,
    count: u64,
    text: String,
}

impl<'a> Later<'a> {
    /// Begins with what was written after the undo's `now`, up to `through`.
    pub(super) async fn open(
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

    /// Tells the rest; how many it has told.
    pub(super) async fn end(mut self) -> Result<u64> {
        while self.written.key().is_some() {
            self.take(None).await?;
        }
        Ok(self.count)
    }
}
