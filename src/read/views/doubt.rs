//! A note in the head of a script: of which tables it may show something else than the deployment held.

use std::fmt::Write;

use crate::{
    archive::Head,
    document::{TableRef, Timestamp},
    rows::{
        doubt::{DoubtedTable, doubted_within},
        moment::in_full,
    },
};

/// Comments that name the spans up to `until` in which these tables are in doubt; nothing, if there are none. What is only unwatched is not
/// told: a script is mostly run after the next sync.
pub(super) fn note<'a>(head: &Head, tables: impl IntoIterator<Item = &'a TableRef>, until: Timestamp) -> String {
    let mut doubted = doubted_within(head, tables, &(Timestamp(i64::MIN)..=until));
    doubted.retain(|doubted| !doubted.unwatched);
    let mut text = String::new();
    if !doubted.is_empty() {
        text.push_str(
            "-- When this was made, the archive could differ from what the deployment held in these tables:\n",
        );
    }
    for DoubtedTable { table, span, .. } in &doubted {
        let to = span.to.map_or_else(|| "until a sync compares it".to_owned(), |to| format!("before {}", in_full(to)));
        // A word of a newer program is text of the archive: it must not end the comment. A String takes everything.
        let why = span.reason().escape_debug();
        let _ = writeln!(text, "--   {table}, after {}, {to}: {why}", in_full(span.after));
    }
    text
}
