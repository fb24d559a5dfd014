//! Shapes as `/api/json_schemas` and `/api/get_table_column_names` spell them
//! (`crates/common/src/json_schemas/mod.rs` of Convex's backend; compared with recorded answers, as text).

use std::sync::Arc;

use super::{
    era::JsonSchemas,
    refusal::Refusal,
    shape::{ObjectShape, SampledShape},
};
use crate::{
    codec::write_string,
    document::{Encoding, TableRef},
    schema::{Kind, served},
};

type Shapes = [(Arc<TableRef>, SampledShape)];

/// The whole answer of `/api/json_schemas`.
pub(crate) fn schemas(
    shapes: &Shapes,
    form: JsonSchemas,
    encoding: Encoding,
    delta_schema: bool,
    by_component: bool,
) -> Result<String, Refusal> {
    let any_record = shapes.iter().any(|(_, shape)| !matches!(shape.object, Some(ObjectShape::Fields { .. })));
    if form == JsonSchemas::Failing || (any_record && form != JsonSchemas::Blank) {
        let message = "There is no active schema, which is needed for streaming export.";
        return Err(Refusal::bad_request("NoSchemaForExport", message));
    }
    let table = |(table, shape): &(Arc<TableRef>, SampledShape)| {
        let blank = SampledShape::of_empty_table(table.name());
        let shape = if form == JsonSchemas::Blank { &blank } else { shape };
        (table.name().to_owned(), table_schema(shape, encoding, delta_schema))
    };
    if by_component && form != JsonSchemas::Flat {
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

fn table_schema(shape: &SampledShape, encoding: Encoding, delta_schema: bool) -> String {
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
fn schema(shape: &SampledShape, encoding: Encoding) -> String {
    let mut kinds = alternatives(shape, encoding);
    match kinds.len() {
        0 => "false".to_owned(),
        1 => kinds.remove(0),
        _ => format!("{{\"anyOf\":[{}]}}", kinds.join(",")),
    }
}

/// In the order in which the server lists them.
fn alternatives(shape: &SampledShape, encoding: Encoding) -> Vec<String> {
    let SampledShape { null, int64, float64, boolean, string, ids, bytes, array, object } = shape;
    let one = |seen: bool, kind: Kind| seen.then(|| served(&kind, encoding)).flatten().map(str::to_owned);
    let mut kinds = Vec::new();
    kinds.extend(null.then(|| r#"{"type":"null"}"#.to_owned()));
    kinds.extend(one(*int64, Kind::Int64));
    kinds.extend((*float64 == Some(false)).then(|| r#"{"type":"number"}"#.to_owned()));
    kinds.extend(one(*float64 == Some(true), Kind::Float64));
    kinds.extend(one(*boolean, Kind::Boolean));
    kinds.extend(ids.iter().map(|t| format!(r#"{{"$description":"Id({t})","type":"string"}}"#)));
    kinds.extend(one(*string, Kind::String));
    kinds.extend(one(*bytes, Kind::Bytes));
    kinds.extend(array.iter().map(|items| format!(r#"{{"type":"array","items":{}}}"#, schema(items, encoding))));
    kinds.extend(object.iter().map(|object| object_schema(object, encoding, &[], "")));
    kinds
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

    fn answer(names: impl Iterator<Item = String>, form: JsonSchemas) -> Result<String, Refusal> {
        let mut document: std::collections::BTreeMap<_, _> = names.map(|name| (name, Value::Null)).collect();
        document.insert("_id".into(), Value::String("x".into()));
        document.insert("_creationTime".into(), Value::Float64(1.0));
        let mut shape = SampledShape::default();
        shape.add_document(&document, &|_| None);
        let odd = (Arc::new(TableRef::new("", "odd").unwrap()), shape);
        let plain = (Arc::new(TableRef::new("a", "plain").unwrap()), SampledShape::of_empty_table("plain"));
        schemas(&[odd, plain], form, Encoding::Json, false, true)
    }

    #[test]
    fn one_table_with_sixty_three_fields_or_an_odd_name_fails_for_all() {
        let many = |n: u32| (0..n).map(|i| format!("f{i}"));
        assert!(answer(many(62), JsonSchemas::Inferred).unwrap().contains("plain"));
        assert!(answer(many(63), JsonSchemas::Inferred).is_err());
        assert!(answer(["a b".to_owned()].into_iter(), JsonSchemas::Inferred).is_err());
        assert!(answer([String::new()].into_iter(), JsonSchemas::Flat).is_err());
        let blank = answer(many(63), JsonSchemas::Blank).unwrap();
        assert!(blank.contains(r#""required":["_creationTime","_id"]"#) && !blank.contains("f0"), "{blank}");
    }

    #[test]
    fn an_array_that_was_always_empty_has_no_items() {
        let shape = SampledShape { array: Some(Box::default()), ..SampledShape::default() };
        assert_eq!(schema(&shape, Encoding::Json), r#"{"type":"array","items":false}"#);
    }
}
