//! The file `README.md` of the ZIP of an undo.
//!
//! It says nothing of when and by whom the ZIP was made, so that the same version of an archive and the same moments give the
//! same bytes.

use std::fmt::Write as _;

use super::options::UndoOptions;
use crate::{
    archive::{Archive, Head},
    rows::{doubt::DoubtedTable, moment::in_full},
};

/// Its entry.
pub(super) const NAME: &str = "README.md";

/// Its text.
pub(super) fn text(archive: &Archive, head: &Head, options: &UndoOptions, doubted: &[DoubtedTable]) -> String {
    let mut text = format!(
        "# An undo for the Convex deployment {}\n\n\
         It undoes changes made after {}, up to {}.\n\
         It holds each table in full, as it was at {}, except for the documents that are undone.\n\n\
         Written by convex-archiver from the archive {}, version {}\n({}).\n\n\
         Import it with `npx convex import --replace`, which replaces these tables and leaves the others alone. The \
         import loses what\n\
         was written to these tables after {}: stop the app's writes to them, run sync\n\
         once more, and make the ZIP again if anything was written.\n",
        head.deployment(),
        in_full(options.from),
        in_full(options.to),
        in_full(options.now),
        archive.url(),
        head.version(),
        head.digest(),
        in_full(options.now),
    );
    for DoubtedTable { table, span, .. } in doubted.iter().filter(|doubted| !doubted.unwatched) {
        let after = in_full(span.after);
        let why = span.reason();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\nFor table {table} after {after} the archive may differ from what the deployment held: {why}."
        );
    }
    text
}
