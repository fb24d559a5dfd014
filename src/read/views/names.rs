//! What tables, views and columns are called where case does not count.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Every document with the span of moments in which it was so.
    pub(super) versions: String,
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

    /// A name for each of these, given with what they are called in folders: their own, where it is free and none that equals it when case is
    /// ignored has a smaller suffix there.
    fn like_folders<'a>(&mut self, named: &[(&'a str, String)]) -> BTreeMap<&'a str, String> {
        let mut named: Vec<_> = named.iter().collect();
        // Suffixes are numbers, and twins are of one length: none, `-2`, …, `-10`.
        named.sort_by_key(|(_, folder)| (folder.len(), folder.as_str()));
        let mut names = BTreeMap::new();
        for (name, folder) in named {
            let wanted = if self.has(name) { folder } else { *name };
            names.insert(*name, self.take(wanted));
        }
        names
    }
}

/// Names for the views of all tables, given in order with their folders. Components are schemas, the root is `root`; `reserved` ones belong to
/// the engine. Tables have their own names before anything that is derived from one. Where case alone tells two apart, the one whose folder has
/// no suffix has the plain name, and the other is called like its folder: `-2` means the same table everywhere.
pub(super) fn views<'a>(
    tables: impl IntoIterator<Item = (&'a TableRef, &'a str)>,
    root: &str,
    reserved: &[&str],
) -> Vec<Views<'a>> {
    let tables: Vec<_> = tables.into_iter().collect();
    let mut components: Vec<_> =
        tables.iter().map(|(table, folder)| (table.component(), component_folder(folder))).collect();
    components.retain(|(component, _)| !component.is_empty());
    components.dedup();
    let mut taken = UniqueNames::of(reserved.iter().copied().chain([root]));
    let mut schemas = taken.like_folders(&components);
    schemas.insert("", root.to_owned());
    let mut views: Vec<Views<'_>> = Vec::new();
    for of_one in tables.chunk_by(|(one, _), (next, _)| one.component() == next.component()) {
        let mut taken = UniqueNames::default();
        let named: Vec<_> = of_one.iter().map(|(table, folder)| (table.name(), last(folder))).collect();
        let mut plain = taken.like_folders(&named);
        let first = views.len();
        for (table, _) in of_one {
            views.push(Views {
                table,
                schema: schemas.get(table.component()).cloned().unwrap_or_default(),
                plain: plain.remove(table.name()).unwrap_or_default(),
                history: String::new(),
                versions: String::new(),
                as_of: String::new(),
            });
        }
        for view in &mut views[first..] {
            view.history = taken.take(&format!("{}_history", view.plain));
            view.as_of = taken.take(&format!("{}_as_of", view.plain));
            view.versions = taken.take(&format!("{}_versions", view.plain));
        }
    }
    views
}

/// The component as the folder of one of its tables has it.
fn component_folder(folder: &str) -> String {
    let segments: Vec<_> = folder.split('/').skip(1).step_by(2).collect();
    segments.split_last().map_or(String::new(), |(_, component)| component.join("/"))
}

fn last(folder: &str) -> String {
    folder.rsplit('/').next().unwrap_or_default().to_owned()
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
            ("", "CON", "tables/CON-2"),
            ("", "Names", "tables/Names-2"),
            ("", "con", "tables/con-3"),
            ("", "messages", "tables/messages"),
            ("", "messages_history", "tables/messages_history"),
            ("", "names", "tables/names"),
            ("Main", "users", "components/Main/tables/users"),
            ("a/B", "users", "components/a/components/B-2/tables/users"),
            ("a/b", "users", "components/a/components/b/tables/users"),
            ("main", "Users", "components/main-2/tables/Users"),
            ("main", "users", "components/main-2/tables/users-2"),
        ]
        .map(|(component, name, folder)| (TableRef::new(component, name).unwrap(), folder));
        let views = views(tables.iter().map(|(table, folder)| (table, *folder)), "main", &["temp"]);
        let names: Vec<_> =
            views.iter().map(|v| [&v.schema, &v.plain, &v.history, &v.as_of].map(String::as_str)).collect();
        assert_eq!(
            names,
            [
                // A name that a disk cannot have is free here.
                ["main", "CON", "CON_history", "CON_as_of"],
                ["main", "Names-2", "Names-2_history", "Names-2_as_of"],
                ["main", "con-3", "con-3_history", "con-3_as_of"],
                ["main", "messages", "messages_history-2", "messages_as_of"],
                ["main", "messages_history", "messages_history_history", "messages_history_as_of"],
                ["main", "names", "names_history", "names_as_of"],
                // The root is called `main` already.
                ["Main-2", "users", "users_history", "users_as_of"],
                ["a/B-2", "users", "users_history", "users_as_of"],
                ["a/b", "users", "users_history", "users_as_of"],
                ["main-2-2", "Users", "Users_history", "Users_as_of"],
                ["main-2-2", "users-2", "users-2_history", "users-2_as_of"],
            ]
        );
        assert_eq!(views[3].versions, "messages_versions");
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
