//! The words for what a deployment holds: tables, documents, their revisions, and the lossless value model.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One table of the deployment. Table names are unique within a component only.
///
/// Guarantee: `name` and every segment of `component` match `[A-Za-z_][A-Za-z0-9_]*` and have at most 64 characters, as
/// in Convex (`crates/value/src/table_name.rs` of its backend); so they are safe in paths and SQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "TableRefParts", into = "TableRefParts")]
pub struct TableRef {
    component: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct TableRefParts {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    component: String,
    name: String,
}

impl TryFrom<TableRefParts> for TableRef {
    type Error = Error;
    fn try_from(p: TableRefParts) -> Result<Self> {
        Self::new(p.component, p.name)
    }
}

impl From<TableRef> for TableRefParts {
    fn from(t: TableRef) -> Self {
        Self { component: t.component, name: t.name }
    }
}

impl TableRef {
    /// A table by component path (`""` is the root, nested ones are `a/b`) and name.
    ///
    /// # Errors
    /// Protocol, if either cannot be a name in Convex.
    pub fn new(component: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let (component, name) = (component.into(), name.into());
        if !is_name(&name) {
            return Err(Error::protocol(format!("`{}` cannot be the name of a Convex table", name.escape_debug())));
        }
        if !component.is_empty() && !component.split('/').all(is_name) {
            let path = component.escape_debug();
            return Err(Error::protocol(format!("`{path}` cannot be the path of a Convex component")));
        }
        Ok(Self { component, name })
    }

    /// The component's path: `""` for the root, `a/b` for component `b` inside `a`.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The table's name inside its component.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `messages`, or `waitlist/users` for a table of a component.
impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.component.is_empty() {
            write!(f, "{}/", self.component)?;
        }
        f.write_str(&self.name)
    }
}

fn is_name(s: &str) -> bool {
    s.len() <= 64
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && s.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// A moment of the deployment's log: nanoseconds since the Unix epoch, UTC. Unique per transaction and strictly
/// increasing in commit order.
///
/// In JSON it is text: a number of 19 digits does not survive JavaScript or jq, which round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        // One spelling only: what was read is written again as it was.
        let number = text.parse().ok().filter(|number: &i64| number.to_string() == text);
        number.map(Self).ok_or_else(|| serde::de::Error::custom("a moment is nanoseconds as text"))
    }
}

impl Timestamp {
    /// The moment that this machine's clock shows. The one place that reads it: plans and decisions are given a moment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now() -> Self {
        // From 2262 on the clock stands still here.
        Self(Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
    }

    /// As a calendar time. Every `i64` of nanoseconds is one.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }
}

/// RFC 3339 with nanoseconds, `2026-11-24T07:45:39.000000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_datetime().to_rfc3339_opts(SecondsFormat::Nanos, true))
    }
}

/// Moments as text in reports: a number of 19 digits does not survive JavaScript or jq.
pub(crate) mod time_text {
    use serde::{Serialize, Serializer};

    use crate::document::Timestamp;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn one<S: Serializer>(ts: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(ts)
    }

    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn option<S: Serializer>(ts: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        ts.map(|ts| ts.to_string()).serialize(s)
    }
}

/// How a page spells the values that JSON lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `{"$integer":…}`, `{"$float":…}`, `{"$bytes":…}`; a bare number is a float64. Lossless, and every server has it.
    ConvexEncodedJson,
    /// `42` is an int64, `42.0` a float64, the rest wrapped. Lossless as text. Servers since 2026-03.
    ExportJson,
    /// Int64 and bytes as plain strings: loses types.
    Json,
}

impl Encoding {
    /// The name that the API's `format` parameter takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConvexEncodedJson => "convex_encoded_json",
            Self::ExportJson => "export_json",
            Self::Json => "json",
        }
    }
}

impl FromStr for Encoding {
    type Err = Error;
    /// Takes every spelling that the server takes (`crates/value/src/export.rs`).
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "convex_encoded_json" | "convex_json" => Ok(Self::ConvexEncodedJson),
            "export_json" => Ok(Self::ExportJson),
            "json" | "convex_clean_json" => Ok(Self::Json),
            other => Err(Error::usage(format!("unknown encoding `{}`", other.escape_debug()))),
        }
    }
}

/// A Convex value, lossless. Equality is by bits: NaN payloads and the sign of zero count, `1` is not `1.0`.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`. A field that is absent has no value at all.
    Null,
    /// `v.boolean()`
    Boolean(bool),
    /// `v.int64()`
    Int64(i64),
    /// `v.number()`: an IEEE double.
    Float64(f64),
    /// `v.string()` and `v.id()`: Convex does not tell them apart in data.
    String(String),
    /// `v.bytes()`
    Bytes(Vec<u8>),
    /// `v.array()`
    Array(Vec<Value>),
    /// `v.object()` and `v.record()`; keys in byte order, as Convex keeps them.
    Object(BTreeMap<String, Value>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Int64(a), Self::Int64(b)) => a == b,
            (Self::Float64(a), Self::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// One version of one document, as the archive gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The document's id, as text.
    pub id: String,
    /// When this version was written.
    pub ts: Timestamp,
    /// The document with `_id` and `_creationTime`, without any other name that begins with `_`; `None` for a tombstone.
    pub document: Option<BTreeMap<String, Value>>,
}

/// Whether `s` has the form of a Convex document id: canonical base 32 of a table number, 16 random bytes and a
/// Fletcher-16 footer (`crates/value/src/id_v6.rs` of Convex's backend).
pub fn is_document_id(s: &str) -> bool {
    table_number(s).is_some()
}

/// The number of the table to whose documents this id belongs; `None` if it is no document id ([`is_document_id`]).
///
/// A number is unique within a component only. User tables are numbered from 10,001 on, in older deployments below 513;
/// system tables, such as that of stored files, lie between.
pub fn table_number(id: &str) -> Option<u32> {
    decode_id(id).map(|(number, _)| number)
}

/// Where a document's id lies among all ids that its table could have, from 0 to 1. Ids are random and sorted, so this share of the table's
/// documents, about, lies before it. None, if it is no document id.
pub(crate) fn id_position(id: &str) -> Option<f64> {
    let (_, random) = decode_id(id)?;
    let front = random.first_chunk().map(|front| u64::from_be_bytes(*front))?;
    Some(front as f64 / u64::MAX as f64)
}

/// The table's number and the 16 bytes of an id, of which the last two are a date and the others random.
fn decode_id(id: &str) -> Option<(u32, [u8; 16])> {
    if !(31..=37).contains(&id.len()) {
        return None;
    }
    let bytes = decode_base32(id)?;
    let (body, footer) = bytes.split_last_chunk::<2>()?;
    let (mut low, mut high) = (0u8, 0u8);
    for b in body {
        low = low.wrapping_add(*b);
        high = high.wrapping_add(low);
    }
    let length = varint_length(body)?;
    let random = body.get(length..)?.try_into().ok()?;
    if *footer != [low, high] {
        return None;
    }
    let groups = body[..length].iter().enumerate();
    let number = groups.fold(0u64, |number, (i, byte)| number | u64::from(byte & 0x7f) << (7 * i));
    Some((u32::try_from(number).ok()?, random))
}

/// Crockford's base 32 in lower case, most significant bit first, no padding; the left-over bits must be zero.
fn decode_base32(s: &str) -> Option<Vec<u8>> {
    let (mut out, mut held, mut bits) = (Vec::with_capacity(24), 0u32, 0u32);
    for c in s.bytes() {
        let digit = digit(c)?;
        held = (held << 5 | digit) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    (bits < 5 && held & ((1 << bits) - 1) == 0).then_some(out)
}

fn digit(c: u8) -> Option<u32> {
    b"0123456789abcdefghjkmnpqrstvwxyz".iter().position(|d| *d == c).map(|digit| digit as u32)
}

/// Length of the table number at the front: little-endian groups of 7 bits, no more than 5, no empty last group.
fn varint_length(bytes: &[u8]) -> Option<usize> {
    let n = bytes.iter().take(5).position(|b| b & 0x80 == 0)? + 1;
    (n == 1 || bytes[n - 1] != 0).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_real_deployment_are_ids_and_their_neighbours_are_not() {
        let id = "j5700221pceb603t7je2hkqn0s8jrtmp";
        assert!(is_document_id(id));
        for (at, c) in [(0, "k"), (10, "0"), (31, "q")] {
            let mut other = id.to_owned();
            other.replace_range(at..=at, c);
            assert!(!is_document_id(&other), "{other}");
        }
        assert!(!is_document_id(""));
        assert!(!is_document_id("J5700221PCEB603T7JE2HKQN0S8JRTMP"));
        assert!(!is_document_id(&"0".repeat(33)));
    }

    #[test]
    fn refuses_names_that_convex_refuses() {
        for name in ["", "a-b", "1a", "a b", "ä", &"x".repeat(65), "../x"] {
            assert!(TableRef::new("", name).is_err(), "{name}");
        }
        assert!(TableRef::new("a//b", "t").is_err());
        assert_eq!(TableRef::new("a/b", "t").unwrap().to_string(), "a/b/t");
    }

    #[test]
    fn values_are_equal_by_bits() {
        let nan = |bits| Value::Float64(f64::from_bits(bits));
        assert_eq!(nan(0x7ff8_0000_0000_0001), nan(0x7ff8_0000_0000_0001));
        assert_ne!(nan(0x7ff8_0000_0000_0001), nan(0x7ff8_0000_0000_0000));
        assert_ne!(Value::Float64(0.0), Value::Float64(-0.0));
        assert_ne!(Value::Float64(1.0), Value::Int64(1));
    }
}
