//! Which tables and columns a request asks for.
//!
//! Convex tries four forms in turn and takes the first that fits, so a selection it cannot read never errs: it *falls
//! through*, in the end to everything (`crates/common/src/types/streaming_export/selection.rs`). Names that no table can
//! have are a plain 500.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::refusal::Refusal;
use crate::document::TableRef;

/// The tables and columns that are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestedSelection {
    /// Everything.
    Everything,
    /// One table.
    Table(TableRef),
    /// All tables of one component.
    Component(String),
    /// As the `selection` object says.
    Tree(Level<Level<Columns>>),
}

/// Named children and what holds for the others; `None` is excluded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Level<T> {
    named: BTreeMap<String, Option<T>>,
    others: bool,
}

/// Per column whether it is included, and the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    named: BTreeMap<String, bool>,
    others: bool,
}

impl<T> Level<T> {
    pub(crate) fn new(named: BTreeMap<String, Option<T>>, others: bool) -> Self {
        Self { named, others }
    }
}

impl Columns {
    pub(crate) fn new(named: BTreeMap<String, bool>, others: bool) -> Self {
        Self { named, others }
    }

    /// Whether the column is asked for. `_id` always is.
    pub(crate) fn includes(&self, name: &str) -> bool {
        name == "_id" || *self.named.get(name).unwrap_or(&self.others)
    }
}

/// What is asked for of one table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SelectedColumns<'a> {
    Nothing,
    AllColumns,
    Some(&'a Columns),
}

impl RequestedSelection {
    /// Whether tables of the root are asked for beside those that are `known`.
    pub(crate) fn reaches_beyond(&self, known: impl Fn(&TableRef) -> bool) -> bool {
        match self {
            Self::Everything => true,
            Self::Table(table) => table.component().is_empty() && !known(table),
            Self::Component(component) => component.is_empty(),
            Self::Tree(components) => match components.named.get("") {
                None => components.others,
                Some(None) => false,
                Some(Some(tables)) => {
                    let unknown = |name: &str| TableRef::new("", name).is_ok_and(|table| !known(&table));
                    tables.others || tables.named.iter().any(|(name, of)| of.is_some() && unknown(name))
                }
            },
        }
    }

    /// What is asked for of `table`.
    pub(crate) fn of(&self, table: &TableRef) -> SelectedColumns<'_> {
        let all = |included| if included { SelectedColumns::AllColumns } else { SelectedColumns::Nothing };
        match self {
            Self::Everything => SelectedColumns::AllColumns,
            Self::Table(one) => all(one == table),
            Self::Component(component) => all(component == table.component()),
            Self::Tree(components) => match components.named.get(table.component()) {
                None => all(components.others),
                Some(None) => SelectedColumns::Nothing,
                Some(Some(tables)) => match tables.named.get(table.name()) {
                    None => all(tables.others),
                    Some(None) => SelectedColumns::Nothing,
                    Some(Some(columns)) => SelectedColumns::Some(columns),
                },
            },
        }
    }
}

/// Reads the selection keys out of a request's arguments.
pub(crate) fn select(values: &Map<String, Json>, duplicates: &[String]) -> Result<RequestedSelection, Refusal> {
    let once = |name: &str| !duplicates.iter().any(|d| d == name);
    // `Some(None)` is absent, `None` does not fit.
    let component = match values.get("component") {
        None | Some(Json::Null) => Some(None),
        Some(Json::String(c)) if once("component") => Some(Some(c.as_str())),
        Some(_) => None,
    };
    if let Some(tree) = values.get("selection").filter(|_| once("selection")).and_then(tree) {
        // A name that no table can have is not a bad selection for Convex, but an error without a code.
        let tables = |(component, tables): (&String, &Option<Level<Columns>>)| {
            let names = tables.iter().flat_map(|tables| tables.named.keys().map(String::as_str));
            names.chain(["x"]).all(|name| TableRef::new(component.as_str(), name).is_ok())
        };
        return if tree.named.iter().all(tables) {
            Ok(RequestedSelection::Tree(tree))
        } else {
            Err(Refusal::internal())
        };
    }
    let name = match (values.get("table_name"), values.get("tableName")) {
        (Some(Json::String(name)), None) if once("table_name") => Some(name),
        (None, Some(Json::String(name))) if once("tableName") => Some(name),
        _ => None,
    };
    let table = |component: &str, name: &str| {
        let all_underscores = name.bytes().all(|b| b == b'_');
        TableRef::new(component, name).ok().filter(|_| !all_underscores).ok_or_else(Refusal::internal)
    };
    match (name, component) {
        (Some(name), Some(component)) => Ok(RequestedSelection::Table(table(component.unwrap_or(""), name)?)),
        (_, Some(Some(component))) => {
            table(component, "x")?;
            Ok(RequestedSelection::Component(component.to_owned()))
        }
        _ => Ok(RequestedSelection::Everything),
    }
}

fn tree(json: &Json) -> Option<Level<Level<Columns>>> {
    level(json, |tables| level(tables, columns))
}

fn level<T>(json: &Json, child: impl Fn(&Json) -> Option<T>) -> Option<Level<T>> {
    let fields = json.as_object()?;
    let others = inclusion(fields.get("_other")?)?;
    let named = fields.iter().filter(|(name, _)| *name != "_other").map(|(name, value)| match inclusion(value) {
        Some(false) => Some((name.clone(), None)),
        Some(true) => None,
        None => Some((name.clone(), Some(child(value)?))),
    });
    Some(Level { named: named.collect::<Option<_>>()?, others })
}

fn columns(json: &Json) -> Option<Columns> {
    let fields = json.as_object()?;
    let others = inclusion(fields.get("_other")?)?;
    let named = fields.iter().filter(|(name, _)| *name != "_other");
    let named: BTreeMap<_, _> =
        named.map(|(name, value)| Some((name.clone(), inclusion(value)?))).collect::<Option<_>>()?;
    (named.get("_id") != Some(&false)).then_some(Columns { named, others })
}

fn inclusion(json: &Json) -> Option<bool> {
    match json.as_str()? {
        "included" | "incl" => Some(true),
        "excluded" | "excl" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(values: Json) -> RequestedSelection {
        select(values.as_object().unwrap(), &[]).unwrap()
    }

    #[test]
    fn what_cannot_be_read_falls_through_to_the_component_or_to_everything() {
        let users = || RequestedSelection::Table(TableRef::new("", "users").unwrap());
        assert_eq!(of(json!({"tableName": "users"})), users());
        assert_eq!(of(json!({"table_name": "users"})), users());
        assert_eq!(of(json!({"table_name": "users", "tableName": "users"})), RequestedSelection::Everything);
        assert_eq!(
            of(json!({"table_name": "users", "tableName": "users", "component": "a"})),
            RequestedSelection::Component("a".into())
        );
        assert_eq!(of(json!({"component": ""})), RequestedSelection::Component(String::new()));
        assert_eq!(of(json!({"tablename": "users"})), RequestedSelection::Everything);
        assert_eq!(of(json!({"selection": "{}"})), RequestedSelection::Everything);
        assert_eq!(of(json!({"selection": {"": "excluded"}})), RequestedSelection::Everything);
        assert_eq!(of(json!({"selection": {"": "some", "_other": "incl"}})), RequestedSelection::Everything);
        let without_id =
            json!({"selection": {"": {"t": {"_id": "excl", "_other": "incl"}, "_other": "incl"}, "_other": "incl"}});
        assert_eq!(of(without_id), RequestedSelection::Everything);
    }

    #[test]
    fn names_that_no_table_can_have_are_refused() {
        for values in [
            json!({"tableName": "a-b"}),
            json!({"tableName": ""}),
            json!({"component": "a-b"}),
            json!({"tableName": "__"}),
            json!({"selection": {"a-b": "excluded", "_other": "included"}}),
            json!({"selection": {"": {"a-b": "excluded", "_other": "included"}, "_other": "included"}}),
        ] {
            assert!(select(values.as_object().unwrap(), &[]).is_err(), "{values}");
        }
        assert!(select(json!({"tableName": "_storage"}).as_object().unwrap(), &[]).is_ok());
    }

    #[test]
    fn tables_that_nobody_knows_are_asked_for_by_name_or_as_the_others_of_the_root() {
        let known = |table: &TableRef| table.name() == "users";
        for (values, beyond) in [
            (json!({}), true),
            (json!({"tableName": "users"}), false),
            (json!({"tableName": "ghosts"}), true),
            (json!({"tableName": "ghosts", "component": "a"}), false),
            (json!({"component": ""}), true),
            (json!({"component": "a"}), false),
            (json!({"selection": {"": "excl", "_other": "incl"}}), false),
            (json!({"selection": {"a": "excl", "_other": "incl"}}), true),
            (json!({"selection": {"": {"users": {"_other": "incl"}, "_other": "excl"}, "_other": "incl"}}), false),
            (json!({"selection": {"": {"ghosts": {"_other": "incl"}, "_other": "excl"}, "_other": "excl"}}), true),
            (json!({"selection": {"": {"users": "excl", "_other": "incl"}, "_other": "excl"}}), true),
        ] {
            assert_eq!(of(values.clone()).reaches_beyond(known), beyond, "{values}");
        }
    }

    #[test]
    fn a_selection_object_picks_components_tables_and_columns() {
        let selection = of(json!({"selection": {
            "": {"users": {"secret": "excluded", "_other": "included"}, "logs": "excl", "_other": "incl"},
            "_other": "excluded",
        }}));
        let shown = |component: &str, name: &str| match selection.of(&TableRef::new(component, name).unwrap()) {
            SelectedColumns::Nothing => "nothing",
            SelectedColumns::AllColumns => "all",
            SelectedColumns::Some(columns) if columns.includes("secret") => "secret",
            SelectedColumns::Some(_) => "some",
        };
        assert_eq!(shown("", "users"), "some");
        assert_eq!(shown("", "logs"), "nothing");
        assert_eq!(shown("", "messages"), "all");
        assert_eq!(shown("waitlist", "users"), "nothing");
    }
}
