//! `/api/json_schemas` → what it says of a table, as a shape.
//!
//! Advice, never a contract: the server infers it from the documents of the moment, widens and narrows it, and answers in
//! odd forms. So whatever is not understood here is left out, and the documents decide. The forms are those of
//! `crates/common/src/json_schemas/mod.rs` of Convex's backend in the format `convex_encoded_json`; the other two formats
//! differ in how an int64 and bytes are described, which is understood too.

use serde_json::Value as Json;

use super::infer::{DocumentShape, Keys, Shape};

/// What the JSON schema of one table says of its documents. Text that is no JSON schema says nothing.
pub fn hint(text: &str) -> DocumentShape {
    let mut shape = DocumentShape::default();
    let Ok(schema) = serde_json::from_str::<Json>(text) else { return shape };
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return shape };
    for (name, schema) in properties.iter().filter(|(name, _)| !name.starts_with('_')) {
        if let Some(field) = shape.field(name) {
            field.merge(&shape_of(schema));
        }
    }
    shape
}

fn shape_of(schema: &Json) -> Shape {
    let mut shape = Shape::default();
    let Some(members) = schema.as_object() else {
        // `items: false` stands for arrays that were always empty.
        shape.any = schema.as_bool() == Some(true);
        return shape;
    };
    let description = members.get("$description").and_then(Json::as_str).unwrap_or("");
    if let Some(variants) = members.get("anyOf").and_then(Json::as_array) {
        if description == "float64" {
            shape.float64 = true;
        } else {
            variants.iter().for_each(|v| shape.merge(&shape_of(v)));
        }
        return shape;
    }
    match members.get("type").and_then(Json::as_str) {
        Some("null") => {}
        Some("boolean") => shape.boolean = true,
        Some("number" | "integer" | "string") if description.starts_with("int64") => shape.int64 = true,
        Some("number" | "integer") => shape.float64 = true,
        Some("string") if description.starts_with("base64") => shape.bytes = true,
        Some("string") => {
            shape.string = true;
            shape.references = description.strip_prefix("Id(").and_then(|d| d.strip_suffix(')')).map(ToOwned::to_owned);
        }
        Some("array") => {
            let items = members.get("items").map(shape_of).unwrap_or_default();
            shape.items().merge(&items);
        }
        Some("object") => object(members, &mut shape),
        _ => shape.any = true,
    }
    shape
}

fn object(members: &serde_json::Map<String, Json>, shape: &mut Shape) {
    let properties = members.get("properties").and_then(Json::as_object);
    match properties.and_then(|p| p.keys().next()).map(String::as_str) {
        Some("$integer") => shape.int64 = true,
        Some("$float") => shape.float64 = true,
        Some("$bytes") => shape.bytes = true,
        _ => {
            let object = shape.object();
            for (key, schema) in properties.into_iter().flatten() {
                if let Some(field) = object.field(key) {
                    field.merge(&shape_of(schema));
                }
            }
            if members.get("additionalProperties").is_some_and(|a| a.as_bool() != Some(false)) {
                object.found(Keys::Record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(schema: &str) -> Shape {
        let shape = hint(&format!(r#"{{"type":"object","properties":{{"x":{schema},"_id":{{"type":"string"}}}}}}"#));
        assert_eq!(shape.fields().len(), 1);
        shape.fields()["x"].clone()
    }

    #[test]
    fn reads_every_form_that_the_server_sends() {
        let one = |set: fn(&mut Shape)| {
            let mut s = Shape::default();
            set(&mut s);
            s
        };
        for (schema, expected) in [
            ("{}", one(|s| s.any = true)),
            (r#"{"type":"null"}"#, Shape::default()),
            (r#"{"type":"boolean"}"#, one(|s| s.boolean = true)),
            (r#"{"type":"number"}"#, one(|s| s.float64 = true)),
            (
                r#"{"$description":"float64","anyOf":[{"type":"number"},{"type":"object","properties":{"$float":{"type":"string"}}}]}"#,
                one(|s| s.float64 = true),
            ),
            (
                r#"{"$description":"int64","type":"object","properties":{"$integer":{"type":"string"}}}"#,
                one(|s| s.int64 = true),
            ),
            (r#"{"$description":"int64 represented as base10 string","type":"string"}"#, one(|s| s.int64 = true)),
            (r#"{"type":"object","properties":{"$bytes":{"type":"string"}}}"#, one(|s| s.bytes = true)),
            (
                r#"{"$description":"Id(users)","type":"string"}"#,
                one(|s| {
                    s.string = true;
                    s.references = Some("users".into());
                }),
            ),
            (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, one(|s| s.string = true)),
            (
                r#"{"type":"array","items":false}"#,
                one(|s| {
                    s.items();
                }),
            ),
            (r#"{"type":"array","items":{"type":"string"}}"#, one(|s| s.items().string = true)),
            (
                r#"{"type":"object","properties":{"a":{"type":"number"}},"additionalProperties":false}"#,
                one(|s| s.object().field("a").unwrap().float64 = true),
            ),
            (
                r#"{"type":"object","properties":{},"additionalProperties":{"type":{"type":"number"}}}"#,
                one(|s| s.object().found(Keys::Record)),
            ),
        ] {
            assert_eq!(field(schema), expected, "{schema}");
        }
    }

    #[test]
    fn nonsense_says_nothing() {
        for text in ["", "null", "[]", "{", r#"{"properties":3}"#] {
            assert_eq!(hint(text), DocumentShape::default(), "{text}");
        }
    }
}
