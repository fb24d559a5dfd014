//! What tables, views and columns are called where case does not count.

use std::collections::BTreeSet;

use crate::{document::TableRef, schema::Field};

/// The names of a table's views.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Views<'a> {
    pub(super) table: &'a TableRef,
    /// The schema of its component, unquoted.
    pub(super) schema: String,
    /// The state.
    pub(super) plain: String,
    /// Every revision.
    pub(super) history: String,
    /// The state at a moment.
    pub(super) as_of: String,
}

/// Names that are free when case is ignored; one that is taken gets `-2`, `-3`, …, which no Convex name contains.
#[derive(Default)]
pub(super) struct UniqueNames(BTreeSet<String>);

impl UniqueNames {
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_lowercase).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_lowercase())
    }

    pub(super) fn take(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        let mut number = 2;
        while !self.0.insert(free.to_lowercase()) {
            free = format!("{name}-{number}");
            number += 1;
        }
        free
    }
}

/// Names for the views of all tables, given in order. Components are schemas, the root is `root`; `reserved` ones belong to the
/// engine. Tables have their own names before anything that is derived from one.
pub(super) fn views<'a>(
    tables: impl IntoIterator<Item = &'a TableRef>,
    root: &str,
    reserved: &[&str],
) -> Vec<Views<'a>> {
    let mut views: Vec<Views<'_>> = Vec::new();
    let mut schemas = UniqueNames::of(reserved.iter().copied().chain([root]));
    let mut taken = UniqueNames::default();
    let mut begin = 0;
    for table in tables {
        if views.last().is_none_or(|last| last.table.component() != table.component()) {
            derive(&mut views[begin..], &mut taken);
            (begin, taken) = (views.len(), UniqueNames::default());
        }
        let schema = match views.get(begin) {
            Some(first) => first.schema.clone(),
            None if table.component().is_empty() => root.to_owned(),
            None => schemas.take(table.component()),
        };
        let plain = taken.take(table.name());
        views.push(Views { table, schema, plain, history: String::new(), as_of: String::new() });
    }
    derive(&mut views[begin..], &mut taken);
    views
}

fn derive(views: &mut [Views<'_>], taken: &mut UniqueNames) {
    for view in views {
        view.history = taken.take(&format!("{}_history", view.plain));
        view.as_of = taken.take(&format!("{}_as_of", view.plain));
    }
}

/// Columns that are to be shown under the name that documents have: pairs of the column and that name. Others keep their
/// own: siblings, and what differs from another name in case only.
pub(super) fn renamed(fields: &[Field]) -> Vec<(&str, String)> {
    let mut taken = UniqueNames::of(fields.iter().map(|field| field.column.as_str()));
    let mut renamed: Vec<(&str, String)> = Vec::new();
    for field in fields.iter().filter(|field| field.column != field.name && !field.name.is_empty()) {
        // The oldest of its family, or a sibling of it.
        let first = fields.iter().find(|first| first.name == field.name).map_or("", |first| first.column.as_str());
        let Some(suffix) = field.column.strip_prefix(first) else { continue };
        if first == field.name {
            continue;
        }
        let name = format!("{}{suffix}", field.name);
        if !name.starts_with('_') && !taken.has(&name) {
            renamed.push((&field.column, taken.take(&name)));
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnType;

    #[test]
    fn every_view_has_a_name_of_its_own_also_where_case_does_not_count() {
        let tables = [
            ("", "Names"),
            ("", "messages"),
            ("", "messages_history"),
            ("", "names"),
            ("Main", "users"),
            ("a/b", "users"),
            ("main", "users"),
        ]
        .map(|(component, name)| TableRef::new(component, name).unwrap());
        let views = views(&tables, "main", &["temp"]);
        let names: Vec<_> =
            views.iter().map(|v| [&v.schema, &v.plain, &v.history, &v.as_of].map(String::as_str)).collect();
        assert_eq!(
            names,
            [
                ["main", "Names", "Names_history", "Names_as_of"],
                ["main", "messages", "messages_history-2", "messages_as_of"],
                ["main", "messages_history", "messages_history_history", "messages_history_as_of"],
                ["main", "names-2", "names-2_history", "names-2_as_of"],
                ["Main-2", "users", "users_history", "users_as_of"],
                ["a/b", "users", "users_history", "users_as_of"],
                ["main-3", "users", "users_history", "users_as_of"],
            ]
        );
    }

    #[test]
    fn columns_get_the_names_of_documents_back_where_those_are_free() {
        let field = |name: &str, column: &str| Field {
            id: 16,
            name: name.into(),
            column: column.into(),
            column_type: ColumnType::String,
            references: None,
        };
        let fields = [
            field("case", "case"),
            field("Case", "f_43617365"),
            field("has space", "f_1"),
            field("has space", "f_1__int64"),
            field("Has Space", "f_2"),
            field("price", "price"),
            field("price", "price__string"),
            field("", "f_"),
        ];
        let expected = [("f_1", "has space".to_owned()), ("f_1__int64", "has space__int64".to_owned())];
        assert_eq!(renamed(&fields), expected);
    }
}
