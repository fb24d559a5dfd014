//! Counters of values that did not fit, by path while they are used, and by field id where they are kept.
//!
//! What is kept stands in commits for ever, and names of fields may be people's. So a path that leads to a column is kept as the
//! id of that column: `17` for `/price`, `17/~1key` for what is inside of it and has no column of its own. A path of which no part
//! has a column stays a path, which begins with a slash.

use super::{ColumnType, Field, Misfits, TableSchema, push_pointer};

/// The counters with the ids of the columns in `schema`, for commits. Counters of one column stay apart if their rests differ.
pub fn misfits_by_id(misfits: &Misfits, schema: &TableSchema) -> Misfits {
    let key_of = |path: &String| {
        let tokens: Vec<&str> = path.split('/').skip(1).collect();
        let key = match deepest(&schema.fields, &tokens) {
            Some((id, depth)) => tokens[depth..].iter().fold(id.to_string(), |key, token| key + "/" + token),
            None => path.clone(),
        };
        Some(key)
    };
    with_keys(misfits, key_of)
}

/// The counters with the paths of the columns in `schema`: the inverse of [`misfits_by_id`]. What counts for a column that the
/// schema does not have is left out.
pub fn misfits_by_path(misfits: &Misfits, schema: &TableSchema) -> Misfits {
    let path_of = |key: &String| {
        if key.is_empty() || key.starts_with('/') {
            return Some(key.clone());
        }
        let (id, rest) = key.split_at(key.find('/').unwrap_or(key.len()));
        Some(path_of(&schema.fields, id.parse().ok()?, "")? + rest)
    };
    with_keys(misfits, path_of)
}

/// The same counters under other keys; those that come under one key add up: a path may have got a column meanwhile.
fn with_keys(misfits: &Misfits, key_of: impl Fn(&String) -> Option<String>) -> Misfits {
    let mut keyed = Misfits::new();
    for (key, kinds) in misfits {
        let Some(key) = key_of(key) else { continue };
        let sums = keyed.entry(key).or_default();
        for (kind, count) in kinds {
            let sum = sums.entry(kind.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    keyed
}

/// The column that the tokens lead to, or as near to it as there are columns, and how many tokens lead there. Of a family the
/// oldest, unless another one leads further.
fn deepest(fields: &[Field], tokens: &[&str]) -> Option<(i32, usize)> {
    let (name, rest) = tokens.split_first()?;
    let name = name.replace("~1", "/").replace("~0", "~");
    let mut found: Option<(i32, usize)> = None;
    for field in fields.iter().filter(|field| field.name == name) {
        let inside = within(&field.column_type, rest).map(|(id, depth)| (id, depth + 1));
        let reached = inside.unwrap_or((field.id, 1));
        if found.is_none_or(|(_, depth)| reached.1 > depth) {
            found = Some(reached);
        }
    }
    found
}

fn within(column: &ColumnType, tokens: &[&str]) -> Option<(i32, usize)> {
    match column {
        ColumnType::Struct(fields) => deepest(fields, tokens),
        ColumnType::List(element) => {
            let (first, rest) = tokens.split_first()?;
            if *first != "*" {
                return None;
            }
            let inside = within(&element.column_type, rest).map(|(id, depth)| (id, depth + 1));
            Some(inside.unwrap_or((element.id, 1)))
        }
        ColumnType::Boolean
        | ColumnType::Int64
        | ColumnType::Float64
        | ColumnType::String
        | ColumnType::Bytes
        | ColumnType::Json => None,
    }
}

fn path_of(fields: &[Field], id: i32, prefix: &str) -> Option<String> {
    fields.iter().find_map(|field| {
        let mut path = prefix.to_owned();
        push_pointer(&mut path, &field.name);
        if field.id == id { Some(path) } else { path_within(&field.column_type, id, &path) }
    })
}

fn path_within(column: &ColumnType, id: i32, prefix: &str) -> Option<String> {
    match column {
        ColumnType::Struct(fields) => path_of(fields, id, prefix),
        ColumnType::List(element) => {
            let path = format!("{prefix}/*");
            if element.id == id { Some(path) } else { path_within(&element.column_type, id, &path) }
        }
        ColumnType::Boolean
        | ColumnType::Int64
        | ColumnType::Float64
        | ColumnType::String
        | ColumnType::Bytes
        | ColumnType::Json => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::schema::Element;

    fn field(id: i32, name: &str, column: &str, column_type: ColumnType) -> Field {
        Field { id, name: name.into(), column: column.into(), column_type, references: None }
    }

    /// `price` is text, and since later also an object; `tags` lists objects; one name has a slash.
    fn schema() -> TableSchema {
        let list = |id, column_type| ColumnType::List(Box::new(Element { id, column_type, references: None }));
        let tag = ColumnType::Struct(vec![field(19, "label", "label", ColumnType::String)]);
        let price = ColumnType::Struct(vec![field(22, "amount", "amount", ColumnType::Float64)]);
        let fields = vec![
            field(16, "price", "price", ColumnType::String),
            field(17, "tags", "tags", list(18, tag)),
            field(20, "a/b", "f_612f62", ColumnType::Int64),
            field(21, "price", "price__object", price),
        ];
        TableSchema { id: 2, last_field_id: 22, fields }
    }

    fn counted(key: &str) -> Misfits {
        BTreeMap::from([(key.to_owned(), BTreeMap::from([("string".to_owned(), 3)]))])
    }

    #[test]
    fn a_path_is_kept_as_the_id_of_the_column_that_it_leads_to() {
        for (path, key) in [
            ("/price", "16"),
            ("/price/amount", "22"),
            ("/price/currency", "16/currency"),
            ("/tags/*", "18"),
            ("/tags/*/label", "19"),
            ("/tags/*/x~1y", "18/x~1y"),
            ("/a~1b", "20"),
            ("/new", "/new"),
            ("/new/*/deep", "/new/*/deep"),
        ] {
            assert_eq!(misfits_by_id(&counted(path), &schema()), counted(key), "{path}");
        }
    }

    #[test]
    fn what_was_counted_before_a_path_had_a_column_and_after_adds_up() {
        let both = [counted("/price"), counted("16")].into_iter().flatten().collect();
        assert_eq!(misfits_by_path(&both, &schema())["/price"]["string"], 6);
    }

    proptest! {
        #[test]
        fn paths_come_back_from_the_ids(
            tokens in proptest::collection::vec(
                proptest::sample::select(vec!["price", "tags", "*", "label", "amount", "a~1b", "x", ""]), 1..5),
        ) {
            let misfits = counted(&tokens.iter().fold(String::new(), |path, token| path + "/" + token));
            prop_assert_eq!(misfits_by_path(&misfits_by_id(&misfits, &schema()), &schema()), misfits);
        }
    }
}
