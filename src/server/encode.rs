//! [`Value`] ↔ the API's JSON: three encodings out, `export_json` in.
//!
//! How each value is spelled was read in Convex's backend (`crates/value/src/export.rs`, `crates/value/src/json/`) and
//! seen on a running server: finite floats always carry a point or an exponent, wrapped values are base64 of eight
//! little-endian bytes.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

use crate::{
    document::{Encoding, Value},
    error::{Error, Result},
};

/// Appends `value` as JSON text.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value, encoding: Encoding) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int64(i) => match encoding {
            Encoding::Json => write_string(out, &i.to_string()),
            Encoding::ExportJson => out.extend_from_slice(i.to_string().as_bytes()),
            Encoding::ConvexEncodedJson => write_wrapped(out, "$integer", &i.to_le_bytes()),
        },
        Value::Float64(f) => write_float(out, *f, encoding),
        Value::String(s) => write_string(out, s),
        Value::Bytes(b) if encoding == Encoding::Json => write_string(out, &STANDARD.encode(b)),
        Value::Bytes(b) => write_wrapped(out, "$bytes", b),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item, encoding);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (i, (name, field)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write_value(out, field, encoding);
            }
            out.push(b'}');
        }
    }
}

fn write_float(out: &mut Vec<u8>, f: f64, encoding: Encoding) {
    let negative_zero = f == 0.0 && f.is_sign_negative();
    if f.is_finite() && !(negative_zero && encoding == Encoding::ConvexEncodedJson) {
        out.extend_from_slice(ryu::Buffer::new().format_finite(f).as_bytes());
    } else if encoding != Encoding::Json {
        write_wrapped(out, "$float", &f.to_le_bytes());
    } else if f.is_nan() {
        write_string(out, "NaN");
    } else {
        write_string(out, if f > 0.0 { "Infinity" } else { "-Infinity" });
    }
}

fn write_wrapped(out: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    out.extend_from_slice(format!("{{\"{key}\":\"{}\"}}", STANDARD.encode(bytes)).as_bytes());
}

/// Appends `s` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, s: &str) {
    // Writing text into memory cannot fail.
    let _ = serde_json::to_writer(out, s);
}

/// One value as `export_json` spells it: a number that fits an int64 is one, every other number is a float64.
///
/// # Errors
/// Usage, when the text is not JSON, or holds what Convex cannot hold.
pub(crate) fn parse_export(text: &str) -> Result<Value> {
    let json: Json = serde_json::from_str(text).map_err(|e| Error::usage("this is not JSON").with_source(e))?;
    from_export(json)
}

fn from_export(json: Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Boolean(b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => Value::Int64(i),
            None => Value::Float64(n.as_f64().ok_or_else(|| Error::usage(format!("`{n}` is not a float64")))?),
        },
        Json::String(s) => Value::String(s),
        Json::Array(items) => Value::Array(items.into_iter().map(from_export).collect::<Result<_>>()?),
        Json::Object(fields) => {
            if fields.len() == 1
                && let Some((key, Json::String(text))) = fields.iter().next()
                && key.starts_with('$')
            {
                return from_wrapped(key, text);
            }
            if let Some(name) = fields.keys().find(|name| !is_field_name(name)) {
                let name = name.escape_debug();
                return Err(Error::usage(format!(
                    "Convex has no field named `{name}`: ASCII without `$` at the front"
                )));
            }
            let fields = fields.into_iter().map(|(name, value)| Ok((name, from_export(value)?)));
            Value::Object(fields.collect::<Result<_>>()?)
        }
    })
}

fn from_wrapped(key: &str, text: &str) -> Result<Value> {
    let bytes = STANDARD.decode(text).map_err(|e| Error::usage(format!("`{key}` holds no base64")).with_source(e))?;
    let eight = || <[u8; 8]>::try_from(&*bytes).map_err(|_| Error::usage(format!("`{key}` must hold eight bytes")));
    match key {
        "$integer" => Ok(Value::Int64(i64::from_le_bytes(eight()?))),
        "$float" => Ok(Value::Float64(f64::from_le_bytes(eight()?))),
        "$bytes" => Ok(Value::Bytes(bytes)),
        _ => Err(Error::usage(format!("no value is wrapped in `{}`", key.escape_debug()))),
    }
}

/// What Convex takes as the name of a field (`crates/value/src/field_name.rs`): printable ASCII, at most 1,024 characters,
/// no `$` at the front; the empty name passes.
fn is_field_name(name: &str) -> bool {
    name.len() <= 1024 && !name.starts_with('$') && name.bytes().all(|b| (b' '..=b'~').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value, encoding: Encoding) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value, encoding);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn spells_every_kind_of_value_as_the_server_was_seen_to() {
        use Encoding::{ConvexEncodedJson, ExportJson, Json};
        let table = [
            (Value::Null, "null", "null", "null"),
            (Value::Boolean(true), "true", "true", "true"),
            (Value::Int64(42), r#""42""#, r#"{"$integer":"KgAAAAAAAAA="}"#, "42"),
            (
                Value::Int64(i64::MAX),
                r#""9223372036854775807""#,
                r#"{"$integer":"/////////38="}"#,
                "9223372036854775807",
            ),
            (Value::Float64(33.0), "33.0", "33.0", "33.0"),
            (Value::Float64(1e300), "1e300", "1e300", "1e300"),
            (Value::Float64(-0.0), "-0.0", r#"{"$float":"AAAAAAAAAIA="}"#, "-0.0"),
            (Value::Float64(f64::NAN), r#""NaN""#, r#"{"$float":"AAAAAAAA+H8="}"#, r#"{"$float":"AAAAAAAA+H8="}"#),
            (
                Value::Float64(f64::NEG_INFINITY),
                r#""-Infinity""#,
                r#"{"$float":"AAAAAAAA8P8="}"#,
                r#"{"$float":"AAAAAAAA8P8="}"#,
            ),
            (Value::String("é\0\"".into()), r#""é\u0000\"""#, r#""é\u0000\"""#, r#""é\u0000\"""#),
            (Value::Bytes(vec![0, 1, 199]), r#""AAHH""#, r#"{"$bytes":"AAHH"}"#, r#"{"$bytes":"AAHH"}"#),
            (
                Value::Array(vec![Value::Object([("a".to_owned(), Value::Int64(1))].into()), Value::Null]),
                r#"[{"a":"1"},null]"#,
                r#"[{"a":{"$integer":"AQAAAAAAAAA="}},null]"#,
                r#"[{"a":1},null]"#,
            ),
        ];
        for (value, json, encoded, export) in table {
            assert_eq!(text(&value, Json), json);
            assert_eq!(text(&value, ConvexEncodedJson), encoded);
            assert_eq!(text(&value, ExportJson), export);
            assert_eq!(parse_export(export).unwrap(), value, "{export}");
        }
    }

    #[test]
    fn refuses_text_that_no_convex_value_has() {
        for text in ["", "{", r#"{"$int":"1"}"#, r#"{"$integer":"AA=="}"#, r#"{"$x":1,"y":2}"#, r#"{"ä":1}"#] {
            assert!(parse_export(text).is_err(), "{text}");
        }
    }
}
