//! What documents and hints show of a table: which types stand at which place.
//!
//! A [`Shape`] only collects. What follows from it, columns, is decided in `evolve`.
//!
//! Bounded: of an object at most 64 keys are remembered, and only those that may name a struct field; of a record (more
//! keys, or document ids as keys) none, so that it costs nothing and its keys never reach a schema.

use std::{collections::BTreeMap, fmt};

use super::ColumnType;
use crate::document::is_document_id;

/// A struct column has at most this many fields.
pub(crate) const STRUCT_FIELDS: usize = 64;
/// Objects and arrays nested deeper than this stay JSON text: the limit of Convex itself for documents.
pub(crate) const NESTING: usize = 16;
/// Top-level names that are remembered of one batch.
const DOCUMENT_FIELDS: usize = 4096;

/// The types seen at one place: a field, or the items of an array. Null is not a type: `string | null` is a string.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "a set of types, each seen or not")]
pub struct Shape {
    /// The hint says that anything may stand here.
    pub any: bool,
    /// A boolean was seen.
    pub boolean: bool,
    /// An int64 was seen.
    pub int64: bool,
    /// A float64 was seen.
    pub float64: bool,
    /// A string was seen.
    pub string: bool,
    /// Bytes were seen.
    pub bytes: bool,
    /// An array was seen; what stood in it.
    pub items: Option<Box<Shape>>,
    /// An object was seen; what stood in it.
    pub object: Option<ObjectShape>,
    /// The table that every string here is an Id of, as the hint says.
    pub references: Option<String>,
}

/// The keys of the objects seen at one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectShape {
    /// Keys that may name a struct field, at most 64; none of a record.
    pub fields: BTreeMap<String, Shape>,
    /// What all keys together say.
    pub keys: Keys,
}

/// What the keys of objects say of them; of two places together, the later of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keys {
    /// Few and well named: a struct may be born.
    #[default]
    Names,
    /// One is no identifier, or differs from another by case only: no struct is born, one that exists may still grow.
    Odd,
    /// More than 64, or one is a document id: keys are data here, and never reach a schema.
    Record,
}

/// The top-level fields of documents, without those that begin with `_`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DocumentShape {
    fields: BTreeMap<String, Shape>,
}

impl DocumentShape {
    /// The shape of the field `name`; `None` for one that is not remembered, since there are too many.
    pub fn field(&mut self, name: &str) -> Option<&mut Shape> {
        if !self.fields.contains_key(name) {
            if self.fields.len() >= DOCUMENT_FIELDS {
                return None;
            }
            self.fields.insert(name.to_owned(), Shape::default());
        }
        self.fields.get_mut(name)
    }

    /// Fields by name.
    pub fn fields(&self) -> &BTreeMap<String, Shape> {
        &self.fields
    }

    /// What either of them shows.
    pub fn merge(&mut self, other: &Self) {
        for (name, shape) in &other.fields {
            if let Some(known) = self.field(name) {
                known.merge(shape);
            }
        }
    }
}

impl Shape {
    /// What stood in the arrays seen here.
    pub fn items(&mut self) -> &mut Shape {
        self.items.get_or_insert_default()
    }

    /// Notes that an object was seen here.
    pub fn object(&mut self) -> &mut ObjectShape {
        self.object.get_or_insert_default()
    }

    /// What either of them shows.
    pub fn merge(&mut self, other: &Self) {
        // An Id stays one only if nobody saw another kind of string here; `string` says whether anybody saw one at all.
        self.references = match (self.string, other.string) {
            (true, true) if self.references != other.references => None,
            (true, _) => self.references.take(),
            (false, _) => other.references.clone(),
        };
        self.any |= other.any;
        self.boolean |= other.boolean;
        self.int64 |= other.int64;
        self.float64 |= other.float64;
        self.string |= other.string;
        self.bytes |= other.bytes;
        if let Some(items) = &other.items {
            self.items().merge(items);
        }
        if let Some(other) = &other.object {
            let object = self.object();
            object.found(other.keys);
            for (key, shape) in &other.fields {
                if let Some(known) = object.field(key) {
                    known.merge(shape);
                }
            }
        }
    }

    /// How many types were seen.
    pub(crate) fn types(&self) -> usize {
        [self.boolean, self.int64, self.float64, self.string, self.bytes, self.items.is_some(), self.object.is_some()]
            .into_iter()
            .filter(|seen| *seen)
            .count()
    }
}

impl ObjectShape {
    /// The shape of the key `name`; `None` for one that may not name a struct field beside those seen before.
    pub fn field(&mut self, name: &str) -> Option<&mut Shape> {
        if !self.fields.contains_key(name) {
            let twin = || self.fields.keys().any(|k| k.eq_ignore_ascii_case(name));
            let keys = if self.fields.len() >= STRUCT_FIELDS || is_document_id(name) {
                Keys::Record
            } else if !is_identifier(name) || twin() {
                Keys::Odd
            } else {
                Keys::Names
            };
            self.found(keys);
            if keys.max(self.keys) == Keys::Record || keys == Keys::Odd {
                return None;
            }
            self.fields.insert(name.to_owned(), Shape::default());
        }
        self.fields.get_mut(name)
    }

    /// Notes what keys say. Those of a record are forgotten at once.
    pub(crate) fn found(&mut self, keys: Keys) {
        self.keys = self.keys.max(keys);
        if self.keys == Keys::Record {
            self.fields.clear();
        }
    }
}

/// Whether a key may name a struct field: an identifier of at most 64 characters that is not a document id.
pub(crate) fn is_struct_key(name: &str) -> bool {
    is_identifier(name) && !is_document_id(name)
}

/// `[A-Za-z_][A-Za-z0-9_]{0,63}`
pub(crate) fn is_identifier(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// The kind of a value or column: what decides which sibling it goes to. For arrays it includes the items'.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A boolean.
    Boolean,
    /// An int64.
    Int64,
    /// A float64.
    Float64,
    /// A string.
    String,
    /// Bytes.
    Bytes,
    /// An object.
    Object,
    /// Items of more than one kind.
    Json,
    /// An array whose non-null items are of one kind, or of several (`Json`).
    Array(Box<Kind>),
}

impl Kind {
    /// Arrays in arrays are told apart down to this depth.
    const DEPTH: usize = 3;

    /// The kind of an array of items of this kind.
    pub fn array_of(item: Self) -> Self {
        let mut depth = 1;
        let mut inner = &item;
        while let Self::Array(next) = inner {
            depth += 1;
            inner = next;
        }
        Self::Array(Box::new(if depth > Self::DEPTH { Self::Json } else { item }))
    }

    /// The kind of value that a column is for.
    pub fn of_column(column: &ColumnType) -> Self {
        match column {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Int64 => Self::Int64,
            ColumnType::Float64 => Self::Float64,
            ColumnType::String => Self::String,
            ColumnType::Bytes => Self::Bytes,
            ColumnType::Json => Self::Json,
            ColumnType::List(element) => Self::array_of(Self::of_column(&element.column_type)),
            ColumnType::Struct(_) => Self::Object,
        }
    }
}

/// `string`, `array_object`: as in column names and commits.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Object => f.write_str("object"),
            Self::Json => f.write_str("json"),
            Self::Array(item) => write!(f, "array_{item}"),
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        Ok(match s {
            "boolean" => Self::Boolean,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "object" => Self::Object,
            "json" => Self::Json,
            other => Self::array_of(other.strip_prefix("array_").ok_or(())?.parse()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_an_odd_key_remembers_the_others() {
        for odd in ["a b", "", "1", "é", "Name"] {
            let mut shape = Shape::default();
            shape.object().field("name").unwrap().string = true;
            assert!(shape.object().field(odd).is_none(), "{odd}");
            assert!(shape.object().field("other").is_some());
            assert_eq!((shape.object().keys, shape.object().fields.len()), (Keys::Odd, 2), "{odd}");
        }
    }

    #[test]
    fn a_record_forgets_its_keys_for_good() {
        let record = |shape: &mut Shape| {
            assert_eq!((shape.object().keys, shape.object().fields.len()), (Keys::Record, 0));
            assert!(shape.object().field("name").is_none(), "nothing is remembered any more");
        };
        let mut by_id = Shape::default();
        by_id.object().field("name").unwrap().string = true;
        assert!(by_id.object().field("j5700221pceb603t7je2hkqn0s8jrtmp").is_none());
        record(&mut by_id);
        let mut many = Shape::default();
        for n in 0..STRUCT_FIELDS {
            assert!(many.object().field(&format!("k{n}")).is_some());
        }
        assert_eq!(many.object().keys, Keys::Names);
        assert!(many.object().field("one_more").is_none());
        record(&mut many);
        let mut merged = Shape::default();
        merged.object().field("name").unwrap().string = true;
        merged.merge(&many);
        record(&mut merged);
    }

    #[test]
    fn kinds_read_back() {
        for text in
            ["boolean", "int64", "float64", "string", "bytes", "object", "json", "array_object", "array_array_json"]
        {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
        assert_eq!("array_array_array_array_string".parse::<Kind>().unwrap().to_string(), "array_json");
        assert!("array_".parse::<Kind>().is_err());
    }

    #[test]
    fn a_string_that_is_not_an_id_ends_the_reference() {
        let id = |table: &str| Shape { string: true, references: Some(table.into()), ..Shape::default() };
        let mut both = id("users");
        both.merge(&id("users"));
        assert_eq!(both.references.as_deref(), Some("users"));
        both.merge(&Shape { int64: true, ..Shape::default() });
        assert_eq!(both.references.as_deref(), Some("users"));
        both.merge(&id("teams"));
        assert_eq!(both.references, None);
    }
}
