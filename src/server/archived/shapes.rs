//! What the documents of a table look like, as far as its columns tell: what `/api/json_schemas` answers, advice and no
//! contract. Nothing is read for it, so any field may be absent or null here, and one that was null whenever it was there
//! is not known.

use crate::{
    archive::TableState,
    schema::{ColumnType, Field, Kind, NestedTypes, TableSchema, misfits_by_path},
    server::shape::{FieldShape, ObjectShape, SampledShape},
};

/// The shape of a table's documents.
pub(super) fn shape_of(table: &TableState, schema: &TableSchema) -> SampledShape {
    let mut shape = SampledShape::of_empty_table(table.table.name());
    if let Some(ObjectShape::Fields { objects, fields }) = &mut shape.object {
        // `_id` and `_creationTime` are in each.
        *objects = 1;
        fields.values_mut().for_each(|field| field.seen = 1);
        for field in &schema.fields {
            add_column(&mut optional(fields, &field.name).shape, &field.column_type, field.references.as_ref());
        }
        for (path, kinds) in &misfits_by_path(&table.misfits, schema) {
            let Some(name) = top_level(path) else { continue };
            let field = optional(fields, &name);
            kinds.keys().for_each(|kind| add_kind(&mut field.shape, kind.parse().ok().as_ref()));
        }
    }
    shape
}

fn optional<'a>(fields: &'a mut std::collections::BTreeMap<String, FieldShape>, name: &str) -> &'a mut FieldShape {
    let field = fields.entry(name.to_owned()).or_default();
    field.shape.null = true;
    field
}

/// The field that a pointer means, if it leads into nothing.
fn top_level(path: &str) -> Option<String> {
    let name = path.strip_prefix('/').filter(|name| !name.contains('/'))?;
    Some(name.replace("~1", "/").replace("~0", "~"))
}

fn add_column(shape: &mut SampledShape, column: &ColumnType, references: Option<&String>) {
    match (column.nested(), references) {
        // Only strings refer to a table.
        (NestedTypes::Nothing, Some(table)) => drop(shape.ids.insert(table.clone())),
        (NestedTypes::Nothing, None) => add_kind(shape, Some(&Kind::of_column(column))),
        (NestedTypes::Items(element), _) => {
            let items = shape.array.get_or_insert_default();
            items.null = true;
            add_column(items, &element.column_type, element.references.as_ref());
        }
        (NestedTypes::Fields(inner), _) => add_fields(&mut shape.object, inner),
    }
}

fn add_fields(object: &mut Option<ObjectShape>, inner: &[Field]) {
    let known =
        object.get_or_insert_with(|| ObjectShape::Fields { objects: 1, fields: std::collections::BTreeMap::new() });
    if let ObjectShape::Fields { fields, .. } = known {
        for field in inner {
            add_column(&mut optional(fields, &field.name).shape, &field.column_type, field.references.as_ref());
        }
    }
}

/// Something of this kind; without one, anything.
fn add_kind(shape: &mut SampledShape, kind: Option<&Kind>) {
    match kind {
        Some(Kind::Boolean) => shape.boolean = true,
        Some(Kind::Int64) => shape.int64 = true,
        Some(Kind::Float64) => shape.float64 = Some(true),
        Some(Kind::String) => shape.string = true,
        Some(Kind::Bytes) => shape.bytes = true,
        Some(Kind::Array(item)) => add_kind(shape.array.get_or_insert_default(), Some(item)),
        Some(Kind::Object | Kind::Json) | None => shape.object = Some(ObjectShape::Record),
    }
}
