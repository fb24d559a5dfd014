//! Who may import whom. Arrows point down only: what a folder may know of stands in [`TABLE`], and inside a folder files do
//! not import each other in circles. (Its front page, `mod.rs`, stands apart: it shows what the files have, and defines
//! what all of them are given.) Code of tests may import what it likes.
//!
//! What counts: paths that begin with `crate`, `self`, `super` or a module below, in `use` and elsewhere, followed through
//! re-exports to the file that defines the name. `pub use` alone is the front page of a folder and no import.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod graph;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use graph::circles;
use source::{Library, room};

/// The leaves: anybody may import them.
const LEAVES: [(&str, &[&str]); 10] = [
    ("error", &[]),
    ("document", &["error"]),
    ("identity", &["document", "error"]),
    ("sum", &["document", "error"]),
    ("budget", &["document", "error"]),
    ("position", &["document", "error"]),
    ("selection", &["document", "error"]),
    ("temporary", &["document", "error"]),
    ("layout", &["document", "error", "position"]),
    ("monitor", &["document", "error", "position"]),
];

/// What stands on them, and what each may import beside the leaves. Folders that do not exist yet have their place already.
const TABLE: [(&str, &[&str]); 17] = [
    ("schema", &[]),
    ("store", &[]),
    ("codec", &["schema"]),
    ("data", &["schema", "store"]),
    ("convex", &[]),
    ("archive", &["data", "schema", "store"]),
    ("rows", &["archive", "codec", "data", "schema", "store"]),
    ("compact", &["archive", "codec", "data", "rows", "schema", "store"]),
    // Verbs on an archive: never one another.
    ("read", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("verify", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("publish", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("vacuum", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("copy", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("erase", &["archive", "codec", "data", "rows", "schema", "store"]),
    ("sync", &["archive", "codec", "compact", "convex", "data", "rows", "schema", "store"]),
    ("server", &["archive", "codec", "data", "read", "rows", "schema", "store"]),
    ("audit", &["archive", "codec", "convex", "data", "read", "rows", "schema", "store", "sync"]),
];

/// One concept in several files, which cannot be told apart by who knows whom.
const ONE_CONCEPT: &[&[&str]] = &[&["server/simulate.rs", "server/transaction.rs"]];

/// Circles that are known, by the files that are in one. To be empty; until then no new one comes.
const KNOWN_CIRCLES: &[&[&str]] = &[
    &["archive/checkpoint.rs", "archive/files.rs"],
    &["archive/commit.rs", "archive/manifest.rs", "archive/tables.rs"],
    &["cli/config.rs", "cli/status.rs", "cli/sync.rs"],
    &["convex/access.rs", "convex/http.rs", "convex/keys.rs"],
    &["convex/asker.rs", "convex/client.rs"],
    &["sync/fetch.rs", "sync/gather.rs", "sync/steps.rs"],
];

#[test]
fn folders_import_only_what_stands_below_them() {
    let library = Library::read();
    let leaves: Vec<&str> = LEAVES.iter().map(|(leaf, _)| *leaf).collect();
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> =
        LEAVES.iter().map(|(who, whom)| (*who, whom.iter().copied().collect())).collect();
    allowed.extend(TABLE.iter().map(|(who, whom)| (*who, whom.iter().chain(&leaves).copied().collect())));
    let mut wrong = BTreeSet::new();
    for (file, imports) in library.imports() {
        let who = room(file);
        if who == "lib" || who == "cli" || who == "main" {
            // The front page; and the program, which is a crate of its own and sees what everybody sees.
            continue;
        }
        let Some(may) = allowed.get(who) else {
            wrong.insert(format!("{file}: `{who}` has no place in the table"));
            continue;
        };
        for import in imports {
            let whom = room(import);
            if whom != who && !may.contains(whom) {
                wrong.insert(format!("{file} imports {import}: `{who}` stands below `{whom}`, or beside it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn files_of_a_folder_do_not_import_each_other_in_circles() {
    let library = Library::read();
    let mut unknown = Vec::new();
    let mut imports = library.imports();
    for (file, imported) in &mut imports {
        imported.retain(|other| !is_front_page_of(other, file));
    }
    for circle in circles(&imports) {
        let mut known = ONE_CONCEPT.iter().chain(KNOWN_CIRCLES);
        if !known.any(|known| circle.iter().all(|file| known.contains(file))) {
            unknown.push(circle.join(" "));
        }
    }
    assert!(unknown.is_empty(), "files that import each other, if only through others:\n{}", unknown.join("\n"));
}

/// Whether `page` is the front page of a folder in which `file` lies: `a/mod.rs` of `a/b.rs`, or `a.rs`.
fn is_front_page_of(page: &str, file: &str) -> bool {
    let folder = page.strip_suffix("/mod.rs").or_else(|| page.strip_suffix(".rs")).unwrap();
    file.strip_prefix(folder).is_some_and(|below| below.starts_with('/'))
}
