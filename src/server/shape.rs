//! What the documents of a table look like together: a small inference, after the rules of Convex's
//! (`crates/shape_inference`).
//!
//! Exactness is not the point: a client must never take these shapes for a contract. What is kept are the forms that clients
//! meet: unions, optional fields, ids, floats with special values, records, arrays that were always empty.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Value;

/// Objects with more fields than this, together, are records (`crates/shape_inference`).
const MAX_FIELDS: usize = 64;

/// The kinds of value seen at one place; nothing seen is the shape of no value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one kind of value was seen")]
pub struct SampledShape {
    /// `null` was seen.
    pub null: bool,
    /// An int64 was seen.
    pub int64: bool,
    /// A float64 was seen; `Some(true)` if also one of NaN, the infinities and negative zero.
    pub float64: Option<bool>,
    /// A boolean was seen.
    pub boolean: bool,
    /// A string was seen that is no id.
    pub string: bool,
    /// Ids were seen, of these tables.
    pub ids: BTreeSet<String>,
    /// Bytes were seen.
    pub bytes: bool,
    /// An array was seen, with items of this shape.
    pub array: Option<Box<SampledShape>>,
    /// An object was seen.
    pub object: Option<ObjectShape>,
}

/// What the objects at one place look like together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectShape {
    /// Few fields, all identifiers.
    Fields {
        /// How many objects were seen.
        objects: usize,
        /// Their fields.
        fields: BTreeMap<String, FieldShape>,
    },
    /// Names that are no identifiers, or too many of them: a map.
    Record,
}

/// One field of the objects at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldShape {
    /// How many objects had it; optional if fewer than there were objects.
    pub seen: usize,
    /// Its values.
    pub shape: SampledShape,
}

impl SampledShape {
    /// The shape of a table before its first document: `_id` and `_creationTime`.
    pub fn of_empty_table(name: &str) -> Self {
        let id = Self { ids: [name.to_owned()].into(), ..Self::default() };
        let time = Self { float64: Some(false), ..Self::default() };
        let field = |shape| FieldShape { seen: 0, shape };
        let fields = [("_creationTime".to_owned(), field(time)), ("_id".to_owned(), field(id))].into();
        Self { object: Some(ObjectShape::Fields { objects: 0, fields }), ..Self::default() }
    }

    /// Adds one document.
    pub fn add_document(&mut self, document: &BTreeMap<String, Value>, table_of_id: &dyn Fn(&str) -> Option<String>) {
        add_object(&mut self.object, document, table_of_id);
    }

    fn add(&mut self, value: &Value, table_of_id: &dyn Fn(&str) -> Option<String>) {
        match value {
            Value::Null => self.null = true,
            Value::Boolean(_) => self.boolean = true,
            Value::Int64(_) => self.int64 = true,
            Value::Float64(f) => {
                let special = !f.is_finite() || (*f == 0.0 && f.is_sign_negative());
                self.float64 = Some(special || self.float64 == Some(true));
            }
            Value::String(s) => match table_of_id(s) {
                Some(table) if !self.string => {
                    self.ids.insert(table);
                }
                // Together with other strings an id is one.
                _ => {
                    self.string = true;
                    self.ids.clear();
                }
            },
            Value::Bytes(_) => self.bytes = true,
            Value::Array(items) => {
                let shape = self.array.get_or_insert_default();
                for item in items {
                    shape.add(item, table_of_id);
                }
            }
            Value::Object(fields) => add_object(&mut self.object, fields, table_of_id),
        }
    }
}

fn add_object(
    shape: &mut Option<ObjectShape>,
    object: &BTreeMap<String, Value>,
    table_of_id: &dyn Fn(&str) -> Option<String>,
) {
    let known = shape.get_or_insert_with(|| ObjectShape::Fields { objects: 0, fields: BTreeMap::new() });
    let ObjectShape::Fields { objects, fields } = known else { return };
    *objects += 1;
    for (name, value) in object {
        if !is_identifier(name) {
            *known = ObjectShape::Record;
            return;
        }
        let field = fields.entry(name.clone()).or_default();
        field.seen += 1;
        field.shape.add(value, table_of_id);
    }
    if fields.len() > MAX_FIELDS {
        *known = ObjectShape::Record;
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}
