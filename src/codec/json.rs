//! [`Value`] ↔ the encodings of the API, and one encoding's text → export_json without a tree between.
//!
//! Spellings as in `crates/value/src/export.rs` of Convex's backend; export_json is also what restores import.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    parse::{Bad, Json, Token, decode_bytes},
    spelling::is_plain,
};
use crate::{
    document::{Encoding, Value},
    error::Result,
};

/// Reads one value from text in `encoding`. In [`Encoding::Json`] an int64 and bytes come back as strings: that encoding
/// does not tell them apart.
///
/// # Errors
/// Protocol, if the text is not JSON or holds what Convex cannot hold.
pub fn parse_value(text: &str, encoding: Encoding) -> Result<Value> {
    let mut json = Json::new(text, encoding);
    let value = read_value(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Reads the next value.
pub(crate) fn read_value(json: &mut Json<'_>) -> Result<Value, Bad> {
    let at = json.at();
    Ok(match json.token()? {
        Token::Null => Value::Null,
        Token::Boolean(b) => Value::Boolean(b),
        Token::Int64(n) => Value::Int64(n),
        Token::Float64(n) => Value::Float64(n),
        Token::String(s) => Value::String(s.into_owned()),
        Token::Bytes(text) => {
            let mut bytes = Vec::new();
            decode_bytes(&text, at, &mut bytes)?;
            Value::Bytes(bytes)
        }
        Token::Array => {
            let mut items = Vec::new();
            let mut first = true;
            while json.item(&mut first)? {
                items.push(read_value(json)?);
            }
            Value::Array(items)
        }
        Token::Object => Value::Object(read_object(json)?),
    })
}

/// Reads the rest of an object whose opening bracket has been consumed.
fn read_object(json: &mut Json<'_>) -> Result<BTreeMap<String, Value>, Bad> {
    let mut object = BTreeMap::new();
    let mut first = true;
    while let Some(key) = json.key(&mut first)? {
        if object.insert(key.into_owned(), read_value(json)?).is_some() {
            return json.bad("a key occurs twice in one object");
        }
    }
    Ok(object)
}

/// Appends a value as JSON text in `encoding`, as the server writes it: keys sorted, no white space.
pub fn write_value(out: &mut String, value: &Value, encoding: Encoding) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int64(n) => write_int64(out, *n, encoding),
        Value::Float64(n) => write_float64(out, *n, encoding),
        Value::String(s) => write_string(out, s),
        Value::Bytes(bytes) => write_bytes(out, bytes, encoding),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item, encoding);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (i, (key, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, value, encoding);
            }
            out.push('}');
        }
    }
}

pub(super) fn write_int64(out: &mut String, n: i64, encoding: Encoding) {
    match encoding {
        Encoding::ConvexEncodedJson => wrap(out, "$integer", &n.to_le_bytes()),
        Encoding::ExportJson => out.push_str(&n.to_string()),
        Encoding::Json => {
            out.push('"');
            out.push_str(&n.to_string());
            out.push('"');
        }
    }
}

pub(super) fn write_float64(out: &mut String, n: f64, encoding: Encoding) {
    let negative_zero = n == 0.0 && n.is_sign_negative();
    if n.is_finite() && !(negative_zero && encoding == Encoding::ConvexEncodedJson) {
        out.push_str(ryu::Buffer::new().format_finite(n));
    } else if encoding != Encoding::Json {
        wrap(out, "$float", &n.to_le_bytes());
    } else {
        out.push_str(if n.is_nan() {
            "\"NaN\""
        } else if n > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }
}

pub(super) fn write_bytes(out: &mut String, bytes: &[u8], encoding: Encoding) {
    if encoding == Encoding::Json {
        out.push('"');
        STANDARD.encode_string(bytes, out);
        out.push('"');
    } else {
        wrap(out, "$bytes", bytes);
    }
}

fn wrap(out: &mut String, key: &str, bytes: &[u8]) {
    out.push_str("{\"");
    out.push_str(key);
    out.push_str("\":\"");
    STANDARD.encode_string(bytes, out);
    out.push_str("\"}");
}

/// Length of what [`write_string`] appends.
pub(crate) fn string_length(s: &str) -> usize {
    let escapes = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..0x20 => 5,
        _ => 0,
    };
    s.len() + 2 + s.bytes().map(escapes).sum::<usize>()
}

/// Appends a string with quotes, escaped as serde_json does: what must be, and nothing else.
pub(crate) fn write_string(out: &mut String, s: &str) {
    out.push('"');
    let mut plain = 0;
    for (i, b) in s.bytes().enumerate() {
        if is_plain(b) {
            continue;
        }
        out.push_str(&s[plain..i]);
        plain = i + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            b => {
                out.push_str("\\u00");
                out.push(char::from_digit(u32::from(b >> 4), 16).unwrap_or('0'));
                out.push(char::from_digit(u32::from(b & 15), 16).unwrap_or('0'));
            }
        }
    }
    out.push_str(&s[plain..]);
    out.push('"');
}

/// Appends the next value as canonical export_json text: the same text as [`write_value`] of the value, without making it
/// where its keys are already sorted, as the server sends them.
pub(crate) fn transcode(json: &mut Json<'_>, out: &mut String) -> Result<(), Bad> {
    let start = *json;
    let at = json.at();
    match json.token()? {
        Token::Null => out.push_str("null"),
        Token::Boolean(b) => out.push_str(if b { "true" } else { "false" }),
        Token::Int64(n) => write_int64(out, n, Encoding::ExportJson),
        Token::Float64(n) => write_float64(out, n, Encoding::ExportJson),
        Token::String(s) => write_string(out, &s),
        Token::Bytes(text) => {
            let mut bytes = Vec::new();
            decode_bytes(&text, at, &mut bytes)?;
            write_bytes(out, &bytes, Encoding::ExportJson);
        }
        Token::Array => {
            out.push('[');
            let (mut first, mut follows) = (true, false);
            while json.item(&mut first)? {
                if follows {
                    out.push(',');
                }
                follows = true;
                transcode(json, out)?;
            }
            out.push(']');
        }
        Token::Object => {
            let before = out.len();
            let mut previous = None;
            let mut first = true;
            out.push('{');
            while let Some(key) = json.key(&mut first)? {
                if previous.as_ref().is_some_and(|p| *p >= key) {
                    out.truncate(before);
                    *json = start;
                    let value = read_value(json)?;
                    write_value(out, &value, Encoding::ExportJson);
                    return Ok(());
                }
                if previous.is_some() {
                    out.push(',');
                }
                write_string(out, &key);
                out.push(':');
                previous = Some(key);
                transcode(json, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value, encoding: Encoding) -> String {
        let mut out = String::new();
        write_value(&mut out, value, encoding);
        out
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
        for s in ["", "é\0\"\\/", "\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} \u{7f}"] {
            let written = text(&Value::String(s.into()), ExportJson);
            assert_eq!((written.len(), written), (string_length(s), serde_json::to_string(s).unwrap()));
        }
        for (value, json, encoded, export) in table {
            assert_eq!(text(&value, Json), json);
            assert_eq!(text(&value, ConvexEncodedJson), encoded);
            assert_eq!(text(&value, ExportJson), export);
            assert_eq!(parse_value(export, ExportJson).unwrap(), value, "{export}");
        }
    }
}
