//! The file `README.md` of a ZIP: where its documents come from, for whoever finds it years later.
//!
//! It says nothing of when and by whom the ZIP was made, so that the same version of an archive and the same moment give the
//! same bytes.

use std::fmt::Write;

use super::options::RestoreOptions;
use crate::{
    archive::{Archive, Head},
    rows::moment::in_full,
};

/// Its entry.
pub(super) const NAME: &str = "README.md";

/// Its text.
pub(super) fn text(archive: &Archive, head: &Head, options: &RestoreOptions) -> String {
    let mut text = format!(
        "# Documents of the Convex deployment {}\n\nAs they were at {}.\n\n\
         Written by convex-archiver from the archive {}, version {}\n({}).\n\n",
        head.deployment(),
        in_full(options.at),
        archive.url(),
        head.version(),
        head.digest()
    );
    // A String takes everything.
    let _ = if options.ids.is_empty() {
        writeln!(text, "Tables: {}\n", options.selection)
    } else {
        writeln!(text, "Single documents: {}\n", options.ids.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    if !options.ids.is_empty() {
        text.push_str(
            "`npx convex import --append` takes them only in a deployment that never had them: Convex refuses an `_id` that its table\n\
             has or had. To bring documents back where they were changed or deleted: `convex-archiver restore --undo`.\n\n",
        );
    }
    text.push_str(
        "The documents of a table are lines of JSON in TABLE/documents.jsonl; those of components are below\n\
         _components/COMPONENT. `npx convex import` takes the ZIP as it is. It does not hold the contents of stored files, code,\n\
         schema, indexes, environment variables, scheduled functions and cron jobs.\n",
    );
    text
}
