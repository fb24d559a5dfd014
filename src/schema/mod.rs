//! What a table's columns are. Pure: types and decisions, no I/O.
//!
//! A [`TableSchema`] belongs to a table and only grows: columns and struct fields are added, a column never changes its
//! type, an id is never used twice. So every file of a table can be read with the newest schema of that table, matching
//! by field id, and DuckDB's `union_by_name` and Spark's `mergeSchema` always work.
//!
//! The walk: [`Shape`] is what documents and hints show → [`evolve()`] decides the schema of the next file →
//! `convex_types` spells it for Arrow, `spellings` for everybody else.

mod convex_types;
mod evolve;
mod infer;
mod json_schema;
mod misfits;
mod spellings;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    convex_types::{FIRST_FIELD_ID, OwnColumn, arrow_schema, element_field, struct_fields},
    evolve::{KEYS_OF_DATA, LEAF_COLUMNS, pointer, push_pointer},
    infer::{STRUCT_FIELDS, is_struct_key},
    spellings::{Engine, duckdb_cast, rows, served},
};
pub use self::{
    evolve::{Misfits, SIBLING_AFTER, evolve},
    infer::{DocumentShape, Keys, Kind, ObjectShape, Shape},
    json_schema::hint,
    misfits::{misfits_by_id, misfits_by_path},
};

/// The columns of one table, in the order in which they were born.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Version of this table's schema, from 1; a schema that grew has the next.
    pub id: u32,
    /// The largest field id given so far in this table, list elements and struct fields included.
    pub last_field_id: i32,
    /// Top-level fields of the documents that have a column, without `_id` and `_creationTime`.
    pub fields: Vec<Field>,
}

/// A field of documents (or of objects in a struct column) that has a column.
///
/// Fields of one object with the same `name` are siblings, a *family*: one for each type that the field was found to hold;
/// the first in the list is the oldest. At most one of a family is non-NULL in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// `PARQUET:field_id`, unique in the table for ever.
    pub id: i32,
    /// The name in documents.
    pub name: String,
    /// The name of the column or struct field in Parquet.
    pub column: String,
    /// What the column holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The table that Ids in this column point to, as json_schemas told when the field was born.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
}

/// What a column holds. A table of the mapping to Arrow stands in `convex_types`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// `v.boolean()`
    Boolean,
    /// `v.int64()`
    Int64,
    /// `v.number()`
    Float64,
    /// `v.string()`, `v.id()`
    String,
    /// `v.bytes()`
    Bytes,
    /// Any value, as text in export_json; an explicit null is the text `null`.
    Json,
    /// `v.array()` whose items are of one type.
    List(Box<Element>),
    /// `v.object()` with few, well-named keys.
    Struct(Vec<Field>),
}

/// The items of a list column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// `PARQUET:field_id`.
    pub id: i32,
    /// What the items are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The table that Ids in this list point to, as json_schemas told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
}

impl TableSchema {
    /// The schema of a table that has no columns of its own yet.
    pub fn empty() -> Self {
        Self { id: 0, last_field_id: FIRST_FIELD_ID - 1, fields: Vec::new() }
    }

    /// Number of leaf columns of the fields: what Parquet stores one by one.
    pub fn leaves(&self) -> usize {
        self.fields.iter().map(|f| f.column_type.leaves()).sum()
    }
}

/// What is inside a column's values: all that there is to know for who looks for something in a schema and asks nothing of the
/// types themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NestedTypes<'a> {
    /// One value.
    Nothing,
    /// The items of a list.
    Items(&'a Element),
    /// The fields of a struct.
    Fields(&'a [Field]),
}

impl ColumnType {
    /// What is inside.
    pub(crate) fn nested(&self) -> NestedTypes<'_> {
        match self {
            Self::Boolean | Self::Int64 | Self::Float64 | Self::String | Self::Bytes | Self::Json => {
                NestedTypes::Nothing
            }
            Self::List(element) => NestedTypes::Items(element),
            Self::Struct(fields) => NestedTypes::Fields(fields),
        }
    }

    /// Number of leaf columns.
    pub fn leaves(&self) -> usize {
        match self.nested() {
            NestedTypes::Nothing => 1,
            NestedTypes::Items(element) => element.column_type.leaves(),
            NestedTypes::Fields(fields) => fields.iter().map(|f| f.column_type.leaves()).sum(),
        }
    }
}
