//! [`caught`]: what came into the tables of an undo while it was imported.
//!
//! An import fills a new table and puts it in the place of the old one. What the app writes to the old table meanwhile is lost, and
//! no change log delivers it afterwards. Whoever syncs until the import has ended has it in the archive.
//!
//! # Why the import's own rows are told apart by what they hold
//! The change log tells the rows of the new table beside those of the old one, under the same name. An app that writes exactly what
//! the ZIP holds has lost nothing.

use super::{
    later::Later,
    options::UndoOptions,
    report::UndoReport,
    table::{TableUndo, Undo, Written},
};
use crate::{
    archive::{Archive, Head},
    document::{Revision, TableRef, Timestamp},
    error::Result,
    monitor::NoMonitor,
    rows::files::FilesByTable,
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
