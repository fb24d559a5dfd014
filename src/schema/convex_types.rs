//! Convex value types ↔ Arrow types: the one table of the mapping.
//!
//! | Convex | column type | Arrow / Parquet |
//! |---|---|---|
//! | `v.boolean()` | `boolean` | Boolean |
//! | `v.int64()` | `int64` | Int64 |
//! | `v.number()` | `float64` | Float64, bit-exact |
//! | `v.string()`, `v.id()` | `string` | Utf8; an Id's target table in the metadata |
//! | `v.bytes()` | `bytes` | Binary |
//! | `v.array()` of one type | `list` | List, its element named `element` |
//! | `v.object()` with few, well-named keys | `struct` | Struct |
//! | anything else | `json` | Utf8 with export_json text |
//!
//! JSON text is a plain string column on purpose: Parquet's JSON logical type becomes binary in polars, an extension type
//! without `equal` in pyarrow, and "unsupported" in pyiceberg. That it is JSON stands in the field's metadata.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::{ColumnType, Element, Field, Kind, TableSchema};

/// Metadata key: the name in documents, where the column has another.
const NAME: &str = "convex.name";
/// Metadata key: the kind of value, `json` for JSON text.
const TYPE: &str = "convex.type";
/// Metadata key: the table that Ids in this column point to.
const REFERENCES: &str = "convex.references";

/// The first id for fields of documents; those below belong to [`OwnColumn`] and the partition keys.
pub(crate) const FIRST_FIELD_ID: i32 = 16;

/// The columns that every file has beside the fields of its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnColumn {
    /// The document's id.
    Id,
    /// Milliseconds since the epoch as Convex has them; NULL in tombstones.
    CreationTime,
    /// When the revision was written, nanoseconds.
    Ts,
    /// Whether the document was deleted by this revision.
    Tombstone,
    /// S in files of a base, NULL in deltas.
    Base,
    /// Explicit nulls: JSON array of JSON Pointers.
    Nulls,
    /// What has no place in the typed columns: JSON object from JSON Pointer to value.
    Rescued,
}

impl OwnColumn {
    /// All, in the order of their field ids; the first five stand before the fields of a document, the others after.
    pub(crate) const ALL: [Self; 7] =
        [Self::Id, Self::CreationTime, Self::Ts, Self::Tombstone, Self::Base, Self::Nulls, Self::Rescued];
    /// How many stand before the fields of a document.
    pub(crate) const LEADING: usize = 5;
    /// Names that no field of a document may take, whatever the case: ours, and the partition keys (field ids 8 and 9).
    pub(crate) const RESERVED: [&'static str; 9] = {
        let mut names = [crate::layout::PHASE_KEY, crate::layout::MONTH_KEY, "", "", "", "", "", "", ""];
        let mut own = 0;
        while own < Self::ALL.len() {
            names[own + 2] = Self::ALL[own].name();
            own += 1;
        }
        names
    };

    /// Its name, what it holds, and whether it may be NULL.
    const fn row(self) -> &'static (&'static str, ColumnType, bool) {
        match self {
            Self::Id => &("_id", ColumnType::String, false),
            Self::CreationTime => &("_creationTime", ColumnType::Float64, true),
            Self::Ts => &("_ts", ColumnType::Int64, false),
            Self::Tombstone => &("_tombstone", ColumnType::Boolean, false),
            Self::Base => &("_base", ColumnType::Int64, true),
            Self::Nulls => &("_nulls", ColumnType::String, true),
            Self::Rescued => &("_rescued", ColumnType::String, true),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.row().0
    }

    /// What it holds.
    pub(crate) fn column_type(self) -> &'static ColumnType {
        &self.row().1
    }

    /// `PARQUET:field_id`.
    pub(crate) fn id(self) -> i32 {
        self as i32 + 1
    }

    fn field(self) -> ArrowField {
        let (name, column_type, nullable) = self.row();
        let metadata = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), self.id().to_string())]);
        ArrowField::new(*name, data_type(column_type), *nullable).with_metadata(metadata)
    }
}

/// The Arrow schema of a file written under `schema`.
pub(crate) fn arrow_schema(schema: &TableSchema) -> SchemaRef {
    let (before, after) = OwnColumn::ALL.split_at(OwnColumn::LEADING);
    let fields = before.iter().map(|own| own.field());
    let fields = fields.chain(schema.fields.iter().map(arrow_field)).chain(after.iter().map(|own| own.field()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn arrow_field(field: &Field) -> ArrowField {
    let mut metadata = metadata(field.id, &field.column_type, field.references.as_ref());
    if field.name != field.column {
        metadata.insert(NAME.to_owned(), field.name.clone());
    }
    ArrowField::new(&field.column, data_type(&field.column_type), true).with_metadata(metadata)
}

/// The Arrow fields of a struct column.
pub(crate) fn struct_fields(fields: &[Field]) -> Fields {
    fields.iter().map(arrow_field).collect()
}

/// The Arrow field of the items of a list column.
pub(crate) fn element_field(element: &Element) -> ArrowField {
    ArrowField::new("element", data_type(&element.column_type), true).with_metadata(metadata(
        element.id,
        &element.column_type,
        element.references.as_ref(),
    ))
}

fn metadata(id: i32, column: &ColumnType, references: Option<&String>) -> HashMap<String, String> {
    let mut metadata = HashMap::from([
        (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string()),
        (TYPE.to_owned(), Kind::of_column(column).to_string()),
    ]);
    if let Some(table) = references {
        metadata.insert(REFERENCES.to_owned(), table.clone());
    }
    metadata
}

/// The Arrow type of a column.
pub(crate) fn data_type(column: &ColumnType) -> DataType {
    match column {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Bytes => DataType::Binary,
        ColumnType::List(element) => DataType::List(Arc::new(element_field(element))),
        ColumnType::Struct(fields) => DataType::Struct(struct_fields(fields)),
    }
}
