//! The file `README.md` of a ZIP: where its documents come from, for whoever finds it years later.
//!
//! It says nothing of when and by whom the ZIP was made, so that the same version of an archive and the same moment give the
//! same bytes.

use std::fmt::Write;

use super::options::RestoreOptions;
use crate::{
    archive::{Archive, Head},
    rows::{doubt::DoubtedTable, moment::in_full},
};

/// Its entry.
pub(super) const NAME: &str = "README.md";

/// Its text.
pub(super) fn text(archive: &Archive, head: &Head, options: &RestoreOptions, doubted: &[DoubtedTable]) -> String {
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
            "`npx convex import --append` adds them only to a deployment that never had them, because Convex refuses \
             an `_id` that its\n\
             table has or once had. To bring changed or deleted documents back in the same deployment, use\n\
             `convex-archiver restore --undo`.\n\n",
        );
    }
    let doubted: Vec<_> = doubted.iter().filter(|doubted| !doubted.unwatched).collect();
    if !doubted.is_empty() {
        text.push_str("For these tables the archive may differ from what the deployment held at that moment:\n\n");
    }
    for DoubtedTable { table, span, .. } in &doubted {
        let to = span.to.map_or_else(|| "until it is compared".to_owned(), |to| format!("before {}", in_full(to)));
        let _ = writeln!(text, "- {table}, after {}, {to}: {}", in_full(span.after), span.reason());
    }
    if !doubted.is_empty() {
        text.push('\n');
    }
    text.push_str(
        "The documents of a table are lines of JSON in TABLE/documents.jsonl; those of components are below\n\
         _components/COMPONENT. `npx convex import` accepts the ZIP as it is. It does not contain the contents of \
         stored files,\n\
         code, schema, indexes, environment variables, scheduled functions or cron jobs.\n",
    );
    text
}
