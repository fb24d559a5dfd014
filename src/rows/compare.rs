//! What changed between two revisions of a document, field by field. Pure.

use std::{collections::BTreeMap, fmt};

use crate::document::Value;

/// One place that is different.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange<'a> {
    /// Where.
    pub path: FieldPath,
    /// What was there; None, if nothing.
    pub before: Option<&'a Value>,
    /// What is there now; None, if nothing.
    pub after: Option<&'a Value>,
}

/// Names and places of items, from the document in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Step>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// An item of an array, from 0.
    Item(usize),
}

/// `profile.roles[2]`; odd names as JSON strings, `profile."first name"`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Field(name) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    if plain { f.write_str(name)? } else { write!(f, "{name:?}")? }
                }
            }
        }
        Ok(())
    }
}

impl FieldPath {
    /// As a JSON Pointer (RFC 6901), `/profile/roles/2`.
    pub fn pointer(&self) -> String {
        self.0.iter().fold(String::new(), |mut out, step| {
            match step {
                Step::Field(name) => crate::schema::push_pointer(&mut out, name),
                Step::Item(item) => crate::schema::push_pointer(&mut out, &item.to_string()),
            }
            out
        })
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// The smallest places that are different, in the order of their names. Objects are compared field by field, arrays of
/// one length item by item; other arrays differ as a whole.
pub fn compare<'a>(before: &'a BTreeMap<String, Value>, after: &'a BTreeMap<String, Value>) -> Vec<FieldChange<'a>> {
    let mut changes = Vec::new();
    objects(&FieldPath::default(), before, after, &mut changes);
    changes
}

fn objects<'a>(
    path: &FieldPath,
    before: &'a BTreeMap<String, Value>,
    after: &'a BTreeMap<String, Value>,
    changes: &mut Vec<FieldChange<'a>>,
) {
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        values(&path.with(Step::Field(name.clone())), before.get(name), after.get(name), changes);
    }
}

fn values<'a>(
    path: &FieldPath,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    changes: &mut Vec<FieldChange<'a>>,
) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => objects(path, before, after, changes),
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                values(&path.with(Step::Item(i)), Some(before), Some(after), changes);
            }
        }
        (before, after) => changes.push(FieldChange { path: path.clone(), before, after }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::parse_value, document::Encoding};

    fn document(text: &str) -> BTreeMap<String, Value> {
        match parse_value(text, Encoding::ExportJson).unwrap() {
            Value::Object(fields) => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_smallest_places_that_differ_are_told() {
        for (before, after, expected) in [
            ("{}", "{}", vec![]),
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, vec![("b", "/b")]),
            (r#"{"a":1}"#, r#"{"b":1}"#, vec![("a", "/a"), ("b", "/b")]),
            (r#"{"a":null}"#, "{}", vec![("a", "/a")]),
            (r#"{"a":1}"#, r#"{"a":1.0}"#, vec![("a", "/a")]),
            (r#"{"o":{"x":1,"y":{"z":1}}}"#, r#"{"o":{"x":1,"y":{"z":2}}}"#, vec![("o.y.z", "/o/y/z")]),
            (r#"{"l":[1,{"q":2},3]}"#, r#"{"l":[1,{"q":5},4]}"#, vec![("l[1].q", "/l/1/q"), ("l[2]", "/l/2")]),
            (r#"{"l":[1]}"#, r#"{"l":[1,2]}"#, vec![("l", "/l")]),
            (r#"{"o":{"a b":1,"":{}}}"#, r#"{"o":{}}"#, vec![("o.\"\"", "/o/"), ("o.\"a b\"", "/o/a b")]),
            (r#"{"o":{"x/y":1}}"#, r#"{"o":[]}"#, vec![("o", "/o")]),
        ] {
            let (before, after) = (document(before), document(after));
            let changes = compare(&before, &after);
            let found: Vec<_> = changes.iter().map(|c| (c.path.to_string(), c.path.pointer())).collect();
            let expected: Vec<_> = expected.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(found, expected);
            assert!(changes.iter().all(|change| change.before != change.after));
        }
    }
}
