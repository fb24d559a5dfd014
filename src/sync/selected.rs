//! Whether the selection is one for this deployment: what of it fits none of the tables that the deployment lists.
//!
//! A deployment that cannot tell all its tables is believed in silence.

use crate::{
    convex::Shapes,
    document::TableRef,
    error::{Error, Result},
    monitor::Finding,
    selection::Selection,
};

/// How many names are told of those that may be meant.
const NEAREST: usize = 3;

/// What a person should know of the selection.
pub(super) fn findings(shapes: &Shapes, selection: &Selection) -> Vec<Finding> {
    if !shapes.complete {
        return Vec::new();
    }
    let unused = selection.fitting_none_of(listed(shapes)).into_iter().map(|pattern| {
        if pattern.names_a_table {
            Finding::NoSuchTable { nearest: nearest(&pattern.text, shapes), name: pattern.text }
        } else {
            Finding::PatternFitsNothing { pattern: pattern.text }
        }
    });
    unused.chain(nothing_selected(shapes, selection)).collect()
}

/// Refuses a selection that holds none of the tables of a deployment that has some: asked before there is an archive, so that
/// none is made.
///
/// # Errors
/// Usage, with what may be meant.
pub fn refuse_empty_selection(shapes: &Shapes, selection: &Selection) -> Result<()> {
    let found = findings(shapes, selection);
    match found.split_last() {
        Some((nothing @ Finding::NothingSelected { .. }, others)) => {
            let others = others.iter().map(|finding| format!("; {finding}"));
            Err(Error::usage(format!("{nothing}{}", others.collect::<String>())))
        }
        _ => Ok(()),
    }
}

fn nothing_selected(shapes: &Shapes, selection: &Selection) -> Option<Finding> {
    let tables = listed(shapes).collect::<std::collections::BTreeSet<_>>().len() as u64;
    let nothing = tables > 0 && !listed(shapes).any(|table| selection.contains(table));
    nothing.then(|| Finding::NothingSelected { selection: selection.to_string(), tables })
}

fn listed(shapes: &Shapes) -> impl Iterator<Item = &TableRef> + Clone {
    shapes.listed.iter().chain(shapes.tables.keys())
}

/// Tables whose names are spelled alike, or are the same in another component.
fn nearest(name: &str, shapes: &Shapes) -> Vec<String> {
    let of_table = |path: &str| path.rsplit_once('/').map_or(path, |(_, name)| name).to_lowercase();
    let wanted = (name.to_lowercase(), of_table(name));
    let distance = |other: &str| {
        let elsewhere = strsim::osa_distance(&wanted.1, &of_table(other)) + 1;
        strsim::osa_distance(&wanted.0, &other.to_lowercase()).min(elsewhere)
    };
    let most = 2.max(wanted.1.chars().count() / 3);
    let near = listed(shapes).map(ToString::to_string).map(|other| (distance(&other), other));
    let mut near: Vec<_> = near.filter(|(distance, _)| *distance <= most).collect();
    near.sort();
    near.dedup();
    near.into_iter().take(NEAREST).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(tables: &[&str], complete: bool) -> Shapes {
        let table = |path: &&str| {
            let (component, name) = path.rsplit_once('/').unwrap_or(("", path));
            TableRef::new(component, name).unwrap()
        };
        Shapes { listed: tables.iter().map(table).collect(), complete, ..Shapes::default() }
    }

    fn told(shapes: &Shapes, selection: &str) -> Vec<&'static str> {
        findings(shapes, &selection.parse().unwrap()).iter().map(Finding::kind).collect()
    }

    #[test]
    fn each_pattern_that_fits_nothing_is_told_by_what_it_was_for() {
        let some = shapes(&["users", "messages", "waitlist/users"], true);
        for (selection, kinds) in [
            ("**", &[][..]),
            ("users", &[]),
            ("** !users", &[]),
            ("users !logs", &["pattern_fits_nothing"]),
            ("users log_*", &["pattern_fits_nothing"]),
            ("users logs", &["no_such_table"]),
            ("user", &["no_such_table", "nothing_selected"]),
            ("log_*", &["pattern_fits_nothing", "nothing_selected"]),
            ("** !**", &["nothing_selected"]),
        ] {
            assert_eq!(told(&some, selection), kinds, "{selection}");
            let refused = refuse_empty_selection(&some, &selection.parse().unwrap());
            assert_eq!(refused.is_err(), kinds.contains(&"nothing_selected"), "{selection}");
        }
        assert_eq!(told(&shapes(&["users"], false), "logs"), [] as [&str; 0], "the list is not complete");
        assert_eq!(told(&shapes(&[], true), "** !logs"), ["pattern_fits_nothing"]);
        assert_eq!(told(&shapes(&[], true), "**"), [] as [&str; 0], "an empty deployment is archived as it is");
    }

    #[test]
    fn the_names_that_may_be_meant_are_told_nearest_first() {
        let some = shapes(&["users", "user_logs", "messages", "waitlist/users", "a", "b"], true);
        for (name, expected) in [
            ("user", &["users", "waitlist/users"][..]),
            ("Users", &["users", "waitlist/users"]),
            ("wait/users", &["users", "waitlist/users"]),
            ("mesages", &["messages"]),
            ("userlogs", &["user_logs"]),
            ("invoices", &[]),
        ] {
            let mut near = nearest(name, &some);
            if name == "wait/users" {
                near.sort();
            }
            assert_eq!(near, expected, "{name}");
        }
    }
}
