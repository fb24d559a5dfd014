//! [`Csv`]: documents as lines of RFC 4180.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    codec::write_value,
    document::{Encoding, Value},
    schema::{OwnColumn, TableSchema},
};

/// The columns of a CSV file: one for each field of the documents, whatever its types.
pub(super) struct Csv {
    columns: Vec<String>,
    /// Whether there is a last column for fields that have none.
    rescued: bool,
}

impl Csv {
    /// Fields in the order in which they were born.
    pub(super) fn new(schema: &TableSchema, rescued: bool) -> Self {
        let own = [OwnColumn::Id, OwnColumn::CreationTime].map(|own| own.name().to_owned());
        let fields = schema.fields.iter().map(|field| field.name.clone());
        let mut known = BTreeSet::new();
        let columns = own.into_iter().chain(fields).filter(|name| known.insert(name.clone())).collect();
        Self { columns, rescued }
    }

    /// The first line.
    pub(super) fn header(&self) -> String {
        let mut line = String::new();
        let rescued = self.rescued.then(|| OwnColumn::Rescued.name());
        for (i, name) in self.columns.iter().map(String::as_str).chain(rescued).enumerate() {
            if i > 0 {
                line.push(',');
            }
            push_text(&mut line, name);
        }
        line.push_str("\r\n");
        line
    }

    /// Appends the line of one document.
    pub(super) fn line(&self, mut document: BTreeMap<String, Value>, out: &mut String) {
        for (i, name) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            if let Some(value) = document.remove(name) {
                push_value(out, &value);
            }
        }
        if self.rescued {
            out.push(',');
            if !document.is_empty() {
                push_value(out, &Value::Object(document));
            }
        }
        out.push_str("\r\n");
    }
}

fn push_value(out: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Boolean(b) => write!(out, "{b}"),
        Value::Int64(n) => write!(out, "{n}"),
        Value::Float64(n) if n.is_finite() => out.write_str(ryu::Buffer::new().format_finite(*n)),
        Value::Float64(n) if n.is_nan() => out.write_str("NaN"),
        Value::Float64(n) => out.write_str(if *n > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::String(text) => {
            push_text(out, text);
            Ok(())
        }
        Value::Bytes(bytes) => out.write_str(&STANDARD.encode(bytes)),
        Value::Array(_) | Value::Object(_) => {
            let mut text = String::new();
            write_value(&mut text, value, Encoding::ExportJson);
            push_text(out, &text);
            Ok(())
        }
    };
}

/// Quoted where it must be; an empty text too, since nothing at all is null.
fn push_text(out: &mut String, text: &str) {
    let outer_space = text.starts_with(' ') || text.ends_with(' ');
    if !text.is_empty() && !outer_space && !text.contains(['"', ',', '\r', '\n']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_as_far_as_text_can() {
        for (value, expected) in [
            (Value::Null, ""),
            (Value::String(String::new()), "\"\""),
            (Value::String("a \"b\", c".into()), "\"a \"\"b\"\", c\""),
            (Value::String("two\nlines".into()), "\"two\nlines\""),
            (Value::String(" x".into()), "\" x\""),
            (Value::Int64(i64::MIN), "-9223372036854775808"),
            (Value::Float64(-0.0), "-0.0"),
            (Value::Float64(f64::NEG_INFINITY), "-Infinity"),
            (Value::Bytes(vec![0, 255]), "AP8="),
            (Value::Array(vec![Value::Int64(1), Value::String("x".into())]), "\"[1,\"\"x\"\"]\""),
        ] {
            let mut text = String::new();
            push_value(&mut text, &value);
            assert_eq!(text, expected, "{value:?}");
        }
    }
}
