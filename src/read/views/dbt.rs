//! [`dbt_macro`] and [`dbt_sources`].
//!
//! dbt renders what it reads with Jinja: whatever looks like that in a name is written as an expression that gives it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use super::{
    columns::{Column, shown},
    duckdb::RESERVED,
    names::{Views, views},
};
use crate::{
    archive::{Head, TableState},
    document::TableRef,
    schema::{ColumnType, NestedTypes, TableSchema},
};

/// A file for the folder `macros` of a dbt project: the macro `convex_archive`, which gives this SQL.
pub fn dbt_macro(sql: &str) -> String {
    // Jinja makes a line feed of a carriage return.
    let raw = sql.replace("{%", "{% endraw %}{{ '{%' }}{% raw %}").replace('\r', "{% endraw %}{{ '\\r' }}{% raw %}");
    format!(
        "{{#
  Views of an archive of convex-archiver, for dbt-duckdb. In dbt_project.yml:

    on-run-start: \"{{{{ convex_archive() }}}}\"

  It has the list of the archive's files from when it was created: create it again before each run of dbt.
  It contains no keys of a store: put them into the profile, under `secrets`.
#}}
{{% macro convex_archive() %}}{{% raw %}}
{raw}{{% endraw %}}{{% endmacro %}}
"
    )
}

/// `sources.yml` of a dbt project, for the views that [`permanent_views`](super::permanent_views) makes: a source for each schema, with
/// `messages`, `messages_history` and `messages_versions` for each table whose columns are given. Tests ask whether each `_id` stands once, and warn of Ids
/// without a document in a table that is given too.
pub fn dbt_sources(head: &Head, given: &BTreeMap<TableRef, Arc<TableSchema>>) -> String {
    let names = views(head.tables().map(|state| (&state.table, state.folder.as_str())), "main", RESERVED);
    let sources = source_names(&names);
    let all: BTreeMap<_, _> = names.iter().map(|names| (names.table, names)).collect();
    let mut text = String::from(
        "# Sources for the views of `convex-archiver views --engine dbt`. For dbt 1.10.8 and later, with the flag\n\
         # require_generic_test_arguments_property. Create it again for new tables and columns.\n\
         version: 2\nsources:",
    );
    let mut last = None;
    for (state, names) in head.tables().zip(&names) {
        let Some(schema) = given.get(&state.table) else { continue };
        let component = state.table.component();
        if last.replace(component) != Some(component) {
            let source = sources.get(component).map_or("", String::as_str);
            let _ = write!(text, "\n  - name: {}\n    schema: {}\n    tables:", yaml(source), yaml(&names.schema));
        }
        // An Id points into its own component.
        let target = |table: &str| {
            let table = TableRef::new(component, table).ok().filter(|table| given.contains_key(table))?;
            Some(format!("source('{}', '{}')", sources.get(component)?, all.get(&table)?.plain))
        };
        text += &tables(state, schema, names, target);
    }
    if last.is_none() {
        text.push_str(" []");
    }
    text + "\n"
}

/// The names of the sources, by component: `convex` for the root, `convex_a_b` for `a/b`.
fn source_names<'a>(names: &[Views<'a>]) -> BTreeMap<&'a str, String> {
    let (mut sources, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for component in names.iter().map(|names| names.table.component()) {
        sources.entry(component).or_insert_with(|| {
            let wanted = if component.is_empty() {
                "convex".to_owned()
            } else {
                format!("convex_{}", component.replace('/', "_"))
            };
            let numbered = (2..).map(|number| format!("{wanted}_{number}"));
            let free = std::iter::once(wanted.clone()).chain(numbered).find(|name| taken.insert(name.to_lowercase()));
            free.unwrap_or(wanted)
        });
    }
    sources
}

/// Name, type and description of a column that a view has beside those of documents.
type Added = (&'static str, &'static str, &'static str);

const VALID: [Added; 5] = [
    ("_valid_from", "TIMESTAMP", "When this state of the document began, UTC"),
    ("_valid_to", "TIMESTAMP", "When this state ended, UTC; NULL if it is current"),
    ("_valid_from_ts", "BIGINT", "_valid_from in nanoseconds since 1970"),
    ("_valid_to_ts", "BIGINT", "_valid_to in nanoseconds since 1970"),
    ("_is_current", "BOOLEAN", "Whether this state is current"),
];

/// The views of a table.
fn tables(
    state: &TableState,
    schema: &TableSchema,
    names: &Views<'_>,
    target: impl Fn(&str) -> Option<String>,
) -> String {
    let columns = shown(state, schema).columns;
    let mut text = String::new();
    let (tombstone, valid) = ([("_tombstone", "BOOLEAN", "The document was deleted")], VALID);
    let views: [(_, _, &[Added]); 3] = [
        (&names.plain, "The documents of", &[]),
        (&names.history, "Every revision of the documents of", &tombstone),
        (&names.versions, "The states of the documents with the span in which each was current, of", &valid),
    ];
    for (name, what, added) in views {
        let is_plain = added.is_empty();
        let _ = write!(
            text,
            "\n      - name: {}\n        description: {}\n        columns:",
            yaml(name),
            yaml(&format!("{what} {}", state.table))
        );
        let before = [
            ("_id", "VARCHAR", ""),
            ("_creationTime", "DOUBLE", "When the document was created: milliseconds since 1970, UTC"),
            ("_creationTime_utc", "TIMESTAMP", ""),
            ("_ts", "BIGINT", "When the revision was written: nanoseconds since 1970, UTC"),
            ("_ts_utc", "TIMESTAMP", ""),
        ];
        for (name, kind, description) in before {
            text += &column(name, kind, description);
            if name == "_id" {
                text += if is_plain {
                    "\n            data_tests: [unique, not_null]"
                } else {
                    "\n            data_tests: [not_null]"
                };
            }
        }
        for (name, kind, description) in added {
            text += &column(name, kind, description);
        }
        for held in &columns {
            text += &column(&held.name, &held.kind, &description(held));
            if let Some(to) = points_to(held).filter(|_| is_plain).and_then(&target) {
                // Convex does not hold anyone to it.
                let _ = write!(
                    text,
                    "\n            quote: true\n            data_tests:\n              - relationships:\n                  arguments: {{to: {}, field: _id}}\n                  \
                     config: {{severity: warn}}",
                    yaml(&to)
                );
            }
        }
        text += &column("_nulls", "JSON", "Paths of fields that are null and not absent");
        text += &column("_rescued", "JSON", "Fields without a column, by their paths");
    }
    text
}

fn column(name: &str, kind: &str, description: &str) -> String {
    let mut text = format!("\n          - name: {}\n            data_type: {}", yaml(name), yaml(kind));
    if !description.is_empty() {
        let _ = write!(text, "\n            description: {}", yaml(description));
    }
    text
}

fn description(column: &Column<'_>) -> String {
    let field = column.field;
    if column.is_beside {
        return format!("Of the field `{}` what fits no column of it", field.name);
    }
    let mut said = Vec::new();
    if column.name != field.name {
        said.push(format!("Field `{}`", field.name));
    }
    if let Some(table) = &field.references {
        said.push(format!("Points to {table}"));
    }
    let mut inside = &field.column_type;
    while let NestedTypes::Items(element) = inside.nested() {
        if let Some(table) = &element.references {
            said.push(format!("Its items point to {table}"));
        }
        inside = &element.column_type;
    }
    said.join(". ")
}

/// The table that each value of a column is an Id of.
fn points_to<'a>(column: &Column<'a>) -> Option<&'a str> {
    // dbt quotes a name, and takes a quote in it for its end.
    let can_be_asked =
        !column.is_beside && column.field.column_type == ColumnType::String && !column.name.contains('"');
    column.field.references.as_deref().filter(|_| can_be_asked)
}

/// A text for YAML that dbt renders.
fn yaml(text: &str) -> String {
    let mut jinja = String::new();
    for (at, c) in text.char_indices() {
        let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
        match (c, next) {
            ('{', Some('{' | '%' | '#')) => jinja.push_str("{{ '{' }}"),
            (c, _) => jinja.push(c),
        }
    }
    serde_json::Value::from(jinja).to_string()
}
