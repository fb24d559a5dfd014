//! [`FieldMatch`]: which documents are meant, by the value of a field.

use std::{collections::BTreeMap, str::FromStr};

use crate::{
    codec::parse_value,
    document::{Encoding, Value},
    error::{Error, Result},
};

/// A field and the value that it has: `author=j57d8m…`, `status.done=true`.
///
/// The value is JSON, or plain text if it is no JSON: `42` matches the int64 42 and the float64 42.0, `"42"` the text.
/// A field inside an object is named with dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch {
    path: String,
    value: Value,
}

impl FromStr for FieldMatch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((path, value)) = text.split_once('=').filter(|(path, _)| !path.is_empty()) else {
            let odd = text.escape_debug();
            return Err(Error::usage(format!(
                "`{odd}` does not name a field and a value: write FIELD=VALUE, such as status=done or author.age=42"
            )));
        };
        let value = parse_value(value, Encoding::ExportJson).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { path: path.to_owned(), value })
    }
}

impl FieldMatch {
    /// Whether the document has the field with this value.
    pub fn matches(&self, document: &BTreeMap<String, Value>) -> bool {
        field(document, &self.path).is_some_and(|value| same(value, &self.value))
    }
}

/// The field of this name; if there is none, the one inside an object that the dots lead to.
fn field<'a>(object: &'a BTreeMap<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| match object.get(&path[..dot]) {
        Some(Value::Object(inner)) => field(inner, &path[dot + 1..]),
        _ => None,
    })
}

/// Equal; an integer is also equal to the float of its value, since people write 42 for both.
#[allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "the float nearest to the integer is the one that is meant"
)]
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Float64(found), Value::Int64(wanted)) => *found == *wanted as f64,
        (Value::Int64(found), Value::Float64(wanted)) => *found as f64 == *wanted,
        (Value::Float64(found), Value::Float64(wanted)) => found == wanted || found.to_bits() == wanted.to_bits(),
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_or_plain_text_and_a_field_is_found_in_objects() {
        let document = r#"{"a":42,"b":42.0,"c":"42","d":null,"e":{"f":{"g":true}},"e.h":"dot","i":"not json","j":[1,2.0],"k":{"l.m":1}}"#;
        let Value::Object(document) = parse_value(document, Encoding::ExportJson).unwrap() else { panic!() };
        for (text, expected) in [
            ("a=42", true),
            ("a=42.0", true),
            ("b=42", true),
            ("a=\"42\"", false),
            ("c=42", false),
            ("c=\"42\"", true),
            ("d=null", true),
            ("x=null", false),
            ("e.f.g=true", true),
            ("e.f={\"g\":true}", true),
            ("e.f.g.h=true", false),
            ("e.h=dot", true),
            ("i=not json", true),
            ("i=", false),
            ("j=[1,2.0]", true),
            ("k.l.m=1", true),
        ] {
            assert_eq!(text.parse::<FieldMatch>().unwrap().matches(&document), expected, "{text}");
        }
        for odd in ["", "a", "=1"] {
            assert!(odd.parse::<FieldMatch>().unwrap_err().to_string().contains("FIELD=VALUE"));
        }
    }
}
