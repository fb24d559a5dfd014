//! Circles in a graph of files.

use std::collections::{BTreeMap, BTreeSet};

/// Whom each file imports.
pub(crate) type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The sets of files of which each reaches each other, of two or more, sorted.
pub(crate) fn circles<'a>(imports: &Imports<'a>) -> BTreeSet<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&'a str>> = imports.keys().map(|file| (*file, reach(imports, file))).collect();
    let circle = |file: &&'a str| -> Vec<&'a str> {
        reached[file].iter().copied().filter(|other| reached.get(other).is_some_and(|r| r.contains(file))).collect()
    };
    imports.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

/// What `from` imports, and what that imports, and so on.
fn reach<'a>(imports: &Imports<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(file) = todo.pop() {
        for import in imports.get(file).into_iter().flatten() {
            if reached.insert(*import) {
                todo.push(import);
            }
        }
    }
    reached
}

#[test]
fn a_circle_is_found_through_others_and_what_hangs_on_it_is_not_in_it() {
    let imports = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "f")];
    let imports = imports.map(|(who, whom)| (who, BTreeSet::from([whom]))).into();
    assert_eq!(circles(&imports), BTreeSet::from([vec!["a", "b", "c"]]));
}
