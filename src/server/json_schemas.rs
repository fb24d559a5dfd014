//! Shapes as `/api/json_schemas` and `/api/get_table_column_names` spell them
//! (`crates/common/src/json_schemas/mod.rs` of Convex's backend; compared with recorded answers, as text).

use std::sync::Arc;

use super::{
    Schemas,
    refusal::Refusal,
    shape::{ObjectShape, Shape},
};
use crate::{
    codec::write_string,
    document::{Encoding, TableRef},
};

type Shapes = [(Arc<TableRef>, Shape)];

/// The whole answer of `/api/json_schemas`.
pub(crate) fn schemas(
    shapes: &Shapes,
    form: Schemas,
    encoding: Encoding,
    delta_schema: bool,
    by_component: bool,
) -> Result<String, Refusal> {
    let any_record = shapes.iter().any(|(_, shape)| !matches!(shape.object, Some(ObjectShape::Fields { .. })));
    if form == Schemas::Failing || (any_record && form != Schemas::Blank) {
        let message = "There is no active schema, which is needed for streaming export.";
        return Err(Refusal::bad_request("NoSchemaForExport", message));
    }
    let table = |(table, shape): &(Arc<TableRef>, Shape)| {
        let blank = Shape::of_empty_table(table.name());
        let shape = if form == Schemas::Blank { &blank } else { shape };
        (table.name().to_owned(), table_schema(shape, encoding, delta_schema))
    };
    if by_component && form != Schemas::Flat {
        return Ok(object(components(shapes).into_iter().map(|c| {
            let tables = shapes.iter().filter(|(table, _)| table.component() == c);
            (c.to_owned(), object(tables.map(table)))
        })));
    }
    // One map for all components: the last table of a name wins, in the place of the first.
    let mut flat: Vec<(String, String)> = Vec::new();
    for c in components(shapes) {
        for (name, schema) in shapes.iter().filter(|(table, _)| table.component() == c).map(table) {
            match flat.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = schema,
                None => flat.push((name, schema)),
            }
        }
    }
    Ok(object(flat))
}

/// The whole answer of `/api/get_table_column_names`; it never fails on shapes.
pub(crate) fn column_names(shapes: &Shapes) -> String {
    let tables = |c: &str| {
        let tables = shapes.iter().filter(|(table, _)| table.component() == c).map(|(table, shape)| {
            let columns: Vec<String> = match &shape.object {
                Some(ObjectShape::Fields { fields, .. }) => fields.keys().map(|name| string(name)).collect(),
                _ => vec![string("_creationTime"), string("_id")],
            };
            format!("{{\"name\":{},\"columns\":[{}]}}", string(table.name()), columns.join(","))
        });
        format!("[{}]", tables.collect::<Vec<_>>().join(","))
    };
    let components = components(shapes).into_iter().map(|c| (c.to_owned(), tables(c)));
    format!("{{\"byComponent\":{}}}", object(components))
}

/// The components' paths: the root first, always; then the others by name.
fn components(shapes: &Shapes) -> Vec<&str> {
    let mut all: Vec<&str> = shapes.iter().map(|(table, _)| table.component()).chain([""]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn table_schema(shape: &Shape, encoding: Encoding, delta_schema: bool) -> String {
    let metadata = [("_table", "string"), ("_component", "string"), ("_ts", "integer"), ("_deleted", "boolean")]
        .map(|(name, kind)| (name.to_owned(), format!("{{\"type\":\"{kind}\"}}")));
    let metadata = if delta_schema { &metadata[..] } else { &[] };
    let tail = "\"$schema\":\"http://json-schema.org/draft-07/schema#\"";
    match &shape.object {
        Some(object) => object_schema(object, encoding, metadata, &format!(",{tail}")),
        None => format!("{{{tail}}}"),
    }
}

fn object_schema(shape: &ObjectShape, encoding: Encoding, more: &[(String, String)], tail: &str) -> String {
    let ObjectShape::Fields { objects, fields } = shape else { return "{}".to_owned() };
    let properties = fields.iter().map(|(name, field)| (name.clone(), schema(&field.shape, encoding)));
    let properties = object(properties.chain(more.iter().cloned()));
    let required = fields.iter().filter(|(_, field)| field.seen == *objects).map(|(name, _)| string(name));
    let required = required.collect::<Vec<_>>().join(",");
    format!(
        "{{\"type\":\"object\",\"properties\":{properties},\"additionalProperties\":false,\"required\":[{required}]{tail}}}"
    )
}

/// One alternative bare, several as `anyOf`, none as `false`.
fn schema(shape: &Shape, encoding: Encoding) -> String {
    let mut kinds = alternatives(shape, encoding);
    match kinds.len() {
        0 => "false".to_owned(),
        1 => kinds.remove(0),
        _ => format!("{{\"anyOf\":[{}]}}", kinds.join(",")),
    }
}

/// In the order in which the server lists them.
fn alternatives(shape: &Shape, encoding: Encoding) -> Vec<String> {
    let mut kinds = Vec::new();
    if shape.null {
        kinds.push(r#"{"type":"null"}"#.to_owned());
    }
    if shape.int64 {
        kinds.push(int64(encoding).to_owned());
    }
    if let Some(special) = shape.float64 {
        kinds.push(if special { special_float(encoding) } else { r#"{"type":"number"}"# }.to_owned());
    }
    if shape.boolean {
        kinds.push(r#"{"type":"boolean"}"#.to_owned());
    }
    kinds.extend(shape.ids.iter().map(|t| format!(r#"{{"$description":"Id({t})","type":"string"}}"#)));
    if shape.string {
        kinds.push(r#"{"type":"string"}"#.to_owned());
    }
    if shape.bytes {
        kinds.push(bytes(encoding).to_owned());
    }
    if let Some(items) = &shape.array {
        kinds.push(format!(r#"{{"type":"array","items":{}}}"#, schema(items, encoding)));
    }
    if let Some(object) = &shape.object {
        kinds.push(object_schema(object, encoding, &[], ""));
    }
    kinds
}

fn int64(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => r#"{"$description":"int64 represented as base10 string","type":"string"}"#,
        Encoding::ConvexEncodedJson => {
            r#"{"$description":"int64","type":"object","properties":{"$integer":{"$description":"int64 -> little-endian -> base64","type":"string"}}}"#
        }
        Encoding::ExportJson => r#"{"$description":"int64","type":"number"}"#,
    }
}

fn special_float(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => {
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"string","$description":"-inf, inf, or NaN"}]}"#
        }
        Encoding::ConvexEncodedJson => {
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"object","$description":"-0, -inf, inf, or NaN","properties":{"$float":{"$description":"float64 -> little-endian -> base64","type":"string"}}}]}"#
        }
        Encoding::ExportJson => {
            r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"object","$description":"-inf, inf, or NaN","properties":{"$float":{"$description":"float64 -> little-endian -> base64","type":"string"}}}]}"#
        }
    }
}

fn bytes(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => r#"{"$description":"base64 bytes","type":"string"}"#,
        Encoding::ConvexEncodedJson | Encoding::ExportJson => {
            r#"{"type":"object","$description":"base64 bytes","properties":{"$bytes":{"type":"string"}}}"#
        }
    }
}

fn string(s: &str) -> String {
    let mut out = String::new();
    write_string(&mut out, s);
    out
}

/// A JSON object of members whose values are JSON text already.
fn object(members: impl IntoIterator<Item = (String, String)>) -> String {
    let members = members.into_iter().map(|(name, text)| format!("{}:{text}", string(&name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Value;

    fn answer(names: impl Iterator<Item = String>, form: Schemas) -> Result<String, Refusal> {
        let mut document: std::collections::BTreeMap<_, _> = names.map(|name| (name, Value::Null)).collect();
        document.insert("_id".into(), Value::String("x".into()));
        document.insert("_creationTime".into(), Value::Float64(1.0));
        let mut shape = Shape::default();
        shape.add_document(&document, &|_| None);
        let odd = (Arc::new(TableRef::new("", "odd").unwrap()), shape);
        let plain = (Arc::new(TableRef::new("a", "plain").unwrap()), Shape::of_empty_table("plain"));
        schemas(&[odd, plain], form, Encoding::Json, false, true)
    }

    #[test]
    fn one_table_with_sixty_three_fields_or_an_odd_name_fails_for_all() {
        let many = |n: u32| (0..n).map(|i| format!("f{i}"));
        assert!(answer(many(62), Schemas::Inferred).unwrap().contains("plain"));
        assert!(answer(many(63), Schemas::Inferred).is_err());
        assert!(answer(["a b".to_owned()].into_iter(), Schemas::Inferred).is_err());
        assert!(answer([String::new()].into_iter(), Schemas::Flat).is_err());
        let blank = answer(many(63), Schemas::Blank).unwrap();
        assert!(blank.contains(r#""required":["_creationTime","_id"]"#) && !blank.contains("f0"), "{blank}");
    }

    #[test]
    fn an_array_that_was_always_empty_has_no_items() {
        let shape = Shape { array: Some(Box::default()), ..Shape::default() };
        assert_eq!(schema(&shape, Encoding::Json), r#"{"type":"array","items":false}"#);
    }
}
