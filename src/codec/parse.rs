//! A pull parser over JSON text that speaks in Convex values.
//!
//! # Why not serde
//! The decoder needs what no deserializer offers at once: to look at a value, append it to a column, take it back and read
//! it again as text when it does not fit. Here that is a copy of a [`Json`], which is a position. It is also the hot path:
//! a tree per document costs five times as much.
//!
//! The text comes from outside. Nothing here panics on it, nesting is bounded, and every refusal says at which byte.

use std::{borrow::Cow, cell::Cell};

use base64::{Engine, engine::general_purpose::STANDARD};
use wide::u8x16;

use super::spelling::{Spelling, is_plain};
use crate::{
    document::Encoding,
    error::{Error, Result},
};

/// Arrays and objects inside one another. Convex itself allows 16 in documents and 64 in any value
/// (`crates/value/src/lib.rs` of its backend).
const MAX_DEPTH: u8 = 64;

/// What Convex's documents may have, the document itself counted. What is deeper is archived all the same, and counted.
const DOCUMENTED_DEPTH: u8 = 16;

/// Why a text is not what a deployment may send, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Byte offset in the text.
    pub(crate) at: usize,
    /// What is wrong, to be read after "byte N: ".
    pub(crate) what: &'static str,
}

impl From<Bad> for Error {
    fn from(bad: Bad) -> Self {
        Self::protocol(format!("byte {} of the document: {}", bad.at, bad.what))
    }
}

/// The value at the current position. Of arrays and objects only the opening bracket has been consumed.
#[derive(Debug, Clone)]
pub(crate) enum Token<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    /// Finite or not.
    Float64(f64),
    String(Cow<'a, str>),
    /// Still in base64, its form not yet checked: see [`decode_bytes`].
    Bytes(Cow<'a, str>),
    Array,
    Object,
}

/// A position in JSON text. Copy it to be able to come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
    encoding: Encoding,
    /// Where it is noted that something lies deeper than documents of Convex may.
    deep: Option<&'a Cell<bool>>,
}

impl<'a> Json<'a> {
    pub(crate) fn new(text: &'a str, encoding: Encoding) -> Self {
        Self { text, at: 0, depth: 0, encoding, deep: None }
    }

    /// Inside of the object that `text` is, at byte `from`, where a key stands: [`Json::key`] goes on with it as the first.
    pub(crate) fn inside(text: &'a str, from: usize, encoding: Encoding) -> Self {
        Self { at: from, depth: 1, ..Self::new(text, encoding) }
    }

    /// The same; `deep` becomes true if something lies deeper than documents of Convex may.
    pub(crate) fn noting_depth(self, deep: &'a Cell<bool>) -> Self {
        Self { deep: Some(deep), ..self }
    }

    /// Byte offset of the next thing to read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn bad<T>(&self, what: &'static str) -> Result<T, Bad> {
        Err(Bad { at: self.at, what })
    }

    /// The byte at the current position; 0 at the end, which no JSON contains.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Nothing may follow but white space.
    pub(crate) fn end(&mut self) -> Result<(), Bad> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.bad("something follows the value") }
    }

    /// Reads the next value; of an array or object the opening bracket, so that [`Json::item`] or [`Json::key`] goes on.
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Bad> {
        self.skip_space();
        match self.peek() {
            b'"' => Ok(Token::String(self.string()?)),
            b'{' => self.object(),
            b'[' => {
                self.open()?;
                Ok(Token::Array)
            }
            b't' => self.word("true", Token::Boolean(true)),
            b'f' => self.word("false", Token::Boolean(false)),
            b'n' => self.word("null", Token::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.bad("a value is expected"),
        }
    }

    fn open(&mut self) -> Result<(), Bad> {
        if self.depth >= DOCUMENTED_DEPTH {
            if self.depth >= MAX_DEPTH {
                return self.bad("nested deeper than any value of Convex");
            }
            self.deep.inspect(|deep| deep.set(true));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Bad> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(token);
        }
        self.bad("a value is expected")
    }

    /// Moves to the next item of an array; false at its end, which is consumed. `first` is true before the first.
    pub(crate) fn item(&mut self, first: &mut bool) -> Result<bool, Bad> {
        self.skip_space();
        match self.peek() {
            b']' => {
                self.close();
                return Ok(false);
            }
            b',' if !*first => self.at += 1,
            _ if *first => {}
            _ => return self.bad("`,` or `]` is expected"),
        }
        *first = false;
        Ok(true)
    }

    /// Reads the next key of an object and its colon; `None` at its end, which is consumed. `first` is true before the
    /// first.
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Bad> {
        self.skip_space();
        match self.peek() {
            b'}' => {
                self.close();
                return Ok(None);
            }
            b',' if !*first => {
                self.at += 1;
                self.skip_space();
            }
            _ if *first => {}
            _ => return self.bad("`,` or `}` is expected"),
        }
        *first = false;
        if self.peek() != b'"' {
            return self.bad("a key is expected");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return self.bad("`:` is expected");
        }
        self.at += 1;
        if key.starts_with('$') {
            return self.bad("no field name in Convex begins with `$`");
        }
        Ok(Some(key))
    }

    /// The text from the next key's name on, if the key is written without white space before it.
    #[inline]
    pub(super) fn name_ahead(&self, first: bool) -> Option<&'a [u8]> {
        let bytes = self.text.as_bytes();
        let quote = self.at + usize::from(!first);
        let comma = first || self.peek() == b',';
        (comma && bytes.get(quote) == Some(&b'"')).then(|| &bytes[quote + 1..])
    }

    /// Passes the key of this spelling, which stands in [`name_ahead`](Self::name_ahead), and its colon. Its name.
    #[inline]
    pub(super) fn pass_key(&mut self, first: &mut bool, spelling: &Spelling) -> &'a str {
        let from = self.at + usize::from(!*first) + 1;
        (self.at, *first) = (from + spelling.len(), false);
        &self.text[from..self.at - 2]
    }

    /// `{`, or one of the wrappers `{"$integer":…}`, `{"$float":…}`, `{"$bytes":…}`: an object whose first key begins with
    /// `$`. No field name in Convex does, so there is no doubt.
    fn object(&mut self) -> Result<Token<'a>, Bad> {
        let outer = *self;
        self.open()?;
        self.skip_space();
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') || bytes.get(self.at + 1) != Some(&b'$') {
            return Ok(Token::Object);
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return self.bad("`:` is expected");
        }
        self.at += 1;
        self.skip_space();
        if self.peek() != b'"' {
            return self.bad("a wrapper of Convex holds a string");
        }
        let text = self.string()?;
        self.skip_space();
        if self.peek() != b'}' {
            return self.bad("a wrapper of Convex has one key");
        }
        self.close();
        let number = || eight_bytes(&text).ok_or(Bad { at: outer.at, what: "a wrapped number is 8 bytes in base64" });
        match key.as_ref() {
            "$integer" => Ok(Token::Int64(i64::from_le_bytes(number()?))),
            "$float" => Ok(Token::Float64(f64::from_le_bytes(number()?))),
            "$bytes" => Ok(Token::Bytes(text)),
            _ => outer.bad("no field name in Convex begins with `$`"),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, Bad> {
        let start = *self;
        let float = match self.pass_decimal() {
            Some(decimal) => match decimal.exactly() {
                Some(n) => return Ok(Token::Float64(n)),
                None => true,
            },
            None => self.skip_number()?,
        };
        let text = &self.text[start.at..self.at];
        if !float
            && self.encoding == Encoding::ExportJson
            && let Ok(n) = text.parse()
        {
            return Ok(Token::Int64(n));
        }
        match text.parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Token::Float64(n)),
            _ => start.bad("a number beyond what a double holds"),
        }
    }

    /// Passes a number as most are spelled: with a point, without an exponent, of at most 19 digits. `None`, and nothing passed, if it
    /// is any other.
    fn pass_decimal(&mut self) -> Option<Decimal> {
        const DIGITS: usize = 19; // as many as 64 bits hold, whichever they are
        let bytes = self.text.as_bytes();
        let negative = self.peek() == b'-';
        let from = self.at + usize::from(negative);
        let mut mantissa = 0u64;
        let mut take = |mut at: usize, most: usize| {
            while let Some(digit @ b'0'..=b'9') = bytes.get(at).filter(|_| at < most) {
                mantissa = mantissa * 10 + u64::from(digit - b'0');
                at += 1;
            }
            at
        };
        let point = take(from, from + DIGITS);
        let padded = point > from + 1 && bytes[from] == b'0';
        if point == from || padded || bytes.get(point) != Some(&b'.') {
            return None;
        }
        let end = take(point + 1, from + DIGITS + 1);
        let decimals = end - point - 1;
        if decimals == 0 || matches!(bytes.get(end), Some(b'0'..=b'9' | b'e' | b'E')) {
            return None;
        }
        self.at = end;
        Some(Decimal { negative, mantissa, decimals })
    }

    /// Passes a number; true if it has a point or an exponent.
    fn skip_number(&mut self) -> Result<bool, Bad> {
        let mut float = false;
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.skip_digits(),
            _ => return self.bad("a digit is expected"),
        }
        if self.peek() == b'.' {
            float = true;
            self.at += 1;
            self.expect_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            float = true;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.expect_digits()?;
        }
        Ok(float)
    }

    fn expect_digits(&mut self) -> Result<(), Bad> {
        if !self.peek().is_ascii_digit() {
            return self.bad("a digit is expected");
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    /// The string whose opening quote is next.
    #[allow(
        clippy::inline_always,
        reason = "handing a wide result back costs as much as reading a short key: 5 % of a sync"
    )]
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'a, str>, Bad> {
        let from = self.at + 1;
        self.at = skip_plain(self.text.as_bytes(), from);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[from..self.at - 1]));
        }
        let mut out = String::with_capacity((self.at - from) * 2 + 16);
        out.push_str(&self.text[from..self.at]);
        self.rest_of_string(|text| out.push_str(text))?;
        Ok(Cow::Owned(out))
    }

    /// Appends the string whose opening quote is next.
    pub(crate) fn string_into(&mut self, out: &mut impl TakesText) -> Result<(), Bad> {
        let from = self.at + 1;
        self.at = skip_plain(self.text.as_bytes(), from);
        out.take(&self.text.as_bytes()[from..self.at]);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.rest_of_string(|text| out.take(text.as_bytes()))
    }

    /// Whether a string is next.
    pub(crate) fn at_string(&mut self) -> bool {
        self.skip_space();
        self.peek() == b'"'
    }

    /// Hands on a string from its first special character on.
    fn rest_of_string(&mut self, mut out: impl FnMut(&str)) -> Result<(), Bad> {
        loop {
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => out(self.escape()?.encode_utf8(&mut [0; 4])),
                _ if self.at >= self.text.len() => return self.bad("the string does not end"),
                _ => return self.bad("a control character in a string"),
            }
            let from = self.at;
            self.at = skip_plain(self.text.as_bytes(), from);
            out(&self.text[from..self.at]);
        }
    }

    fn escape(&mut self) -> Result<char, Bad> {
        self.at += 1;
        let c = self.peek();
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.four_hex()?;
                let code = if (0xd800..0xdc00).contains(&high) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.four_hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.bad("half of a surrogate pair");
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                match char::from_u32(code) {
                    Some(c) => c,
                    None => return self.bad("half of a surrogate pair"),
                }
            }
            _ => return self.bad("an escape that JSON does not know"),
        })
    }

    fn four_hex(&mut self) -> Result<u32, Bad> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = (self.peek() as char).to_digit(16) else { return self.bad("four hexadecimal digits") };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// Passes the next value, checking its form but not its content.
    pub(crate) fn skip(&mut self) -> Result<(), Bad> {
        self.skip_space();
        match self.peek() {
            b'"' => self.string_into(&mut ()),
            b'-' | b'0'..=b'9' => self.skip_number().map(drop),
            _ => match self.token()? {
                Token::Array => self.skip_items(),
                Token::Object => {
                    let mut first = true;
                    while self.key(&mut first)?.is_some() {
                        self.skip()?;
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    fn skip_items(&mut self) -> Result<(), Bad> {
        let mut first = true;
        while self.item(&mut first)? {
            self.skip()?;
        }
        Ok(())
    }

    /// Refuses an object, whose opening bracket has been consumed, that has a key twice.
    pub(crate) fn refuse_twins(mut self) -> Result<(), Bad> {
        let mut seen = std::collections::BTreeSet::new();
        let mut first = true;
        while let Some(key) = self.key(&mut first)? {
            if !seen.insert(key) {
                return self.bad("a key occurs twice in one object");
            }
            self.skip()?;
        }
        Ok(())
    }
}

/// Where the text of a string goes, piece by piece.
pub(crate) trait TakesText {
    fn take(&mut self, text: &[u8]);
}

impl TakesText for Vec<u8> {
    fn take(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// Of a string that is passed over.
impl TakesText for () {
    fn take(&mut self, _: &[u8]) {}
}

/// A decimal number as it is written: `mantissa` divided by the power of ten that `decimals` names.
struct Decimal {
    negative: bool,
    mantissa: u64,
    decimals: usize,
}

impl Decimal {
    /// The nearest double, if its mantissa is a double exactly, as is the power of ten: a single division rounds once, and so gives
    /// the nearest (Clinger, *How to Read Floating Point Numbers Accurately*).
    fn exactly(&self) -> Option<f64> {
        if self.mantissa > 1 << f64::MANTISSA_DIGITS {
            return None;
        }
        let n = self.mantissa as f64 / POWERS_OF_TEN[self.decimals];
        Some(if self.negative { -n } else { n })
    }
}

/// Powers of ten. Those up to 22 are doubles exactly.
const POWERS_OF_TEN: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The first byte at or after `at` that is a quote, a backslash or a control character, sixteen bytes at a step; the length
/// if there is none.
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let text = u8x16::new(*chunk);
        let control = text.min(u8x16::splat(0x1f)).simd_eq(text);
        let hit = text.simd_eq(u8x16::splat(b'"')) | text.simd_eq(u8x16::splat(b'\\')) | control;
        let hit = hit.to_bitmask();
        if hit != 0 {
            return at + hit.trailing_zeros() as usize;
        }
        at += 16;
    }
    while bytes.get(at).is_some_and(|b| is_plain(*b)) {
        at += 1;
    }
    at
}

fn eight_bytes(text: &str) -> Option<[u8; 8]> {
    let mut out = [0; 9];
    match STANDARD.decode_slice(text, &mut out) {
        Ok(8) => out.first_chunk().copied(),
        _ => None,
    }
}

/// Appends the bytes that `text` means. Nothing is appended in the error case.
pub(crate) fn decode_bytes(text: &str, at: usize, out: &mut Vec<u8>) -> Result<(), Bad> {
    let before = out.len();
    STANDARD.decode_vec(text, out).map_err(|_| {
        out.truncate(before);
        Bad { at, what: "bytes are not in base64" }
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    /// Digits around the lengths at which another way is taken, with and without what makes a number odd.
    fn number() -> impl Strategy<Value = String> {
        let whole = prop_oneof!["0", "[1-9][0-9]{0,4}", "[0-9]{14,21}", "900719925474099[0-9]"];
        let decimals = prop_oneof![2 => "\\.[0-9]{1,5}", 2 => "\\.[0-9]{1,24}", 1 => "\\.?"];
        let exponent = prop_oneof![3 => "", 1 => "[eE][+-]?[0-9]{0,2}"];
        ("-?", whole, decimals, exponent)
            .prop_map(|(sign, whole, decimals, exponent)| sign + &whole + &decimals + &exponent)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{}",:0-9eE.+\\/a-f \n-]{0,24}|"[ -~\n\u{e9}\u{1F600}]{0,20}"|[\[{]{60,70}"#) {
            let mut json = Json::new(&text, Encoding::ConvexEncodedJson);
            let ours = json.skip().and_then(|()| json.end());
            // What is more than JSON: keys with `$`, which this alphabet lacks. What is less: depth.
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", text, ours, theirs);
        }

        #[test]
        fn reads_every_string_that_serde_json_writes(s in any::<String>(), tail in "[ -~]{0,9}") {
            let text = serde_json::to_string(&s).unwrap();
            let mut json = Json::new(&text, Encoding::ConvexEncodedJson);
            prop_assert!(matches!(json.token(), Ok(Token::String(t)) if t == s));
            let mut ascii = String::new();
            for c in text.chars() {
                if c.is_ascii() {
                    ascii.push(c);
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(ascii, "\\u{unit:04x}").unwrap());
                }
            }
            let mut json = Json::new(&ascii, Encoding::ConvexEncodedJson);
            prop_assert!(matches!(json.token(), Ok(Token::String(t)) if t == s));
            let mut appended = b"before".to_vec();
            let mut json = Json::new(&ascii, Encoding::ConvexEncodedJson);
            prop_assert!(json.at_string());
            json.string_into(&mut appended).unwrap();
            prop_assert_eq!(appended, format!("before{s}").into_bytes());
            prop_assert!(json.end().is_ok());
            let at = skip_plain(tail.as_bytes(), 0);
            prop_assert_eq!(at, tail.find(['"', '\\']).unwrap_or(tail.len()));
        }

        #[test]
        fn plain_text_ends_where_a_byte_by_byte_scan_says(bytes in prop::collection::vec(any::<u8>(), 0..80), from in 0usize..80) {
            let ends = |b: &u8| matches!(b, 0..0x20 | b'"' | b'\\');
            let expected = bytes.iter().skip(from).position(ends).map_or(bytes.len().max(from), |run| from + run);
            prop_assert_eq!(skip_plain(&bytes, from), expected);
        }

        #[test]
        fn a_string_is_appended_as_it_is_read_or_refused_alike(text in r#""([a\\"\n\u{e9}]|\\\\u[0-9dD][0-9a-f8]{3}|\\\\[nrtbf/"\\x]){0,12}"?"#) {
            let (mut reads, mut appends) = (Json::new(&text, Encoding::ConvexEncodedJson), Vec::new());
            let mut json = reads;
            match (reads.token(), json.string_into(&mut appends)) {
                (Ok(Token::String(read)), Ok(())) => {
                    prop_assert_eq!(read.as_bytes(), appends);
                    prop_assert_eq!(reads.at(), json.at());
                }
                (Err(read), Err(appended)) => prop_assert_eq!(read, appended),
                (read, appended) => prop_assert!(false, "{:?} {:?}", read, appended),
            }
        }

        #[test]
        fn a_number_is_what_std_and_serde_json_read(text in number(), behind in "[,} \\]]?") {
            let written = format!("{text}{behind}");
            let mut json = Json::new(&written, Encoding::ConvexEncodedJson);
            let ours = json.token();
            match serde_json::from_str::<f64>(&text) {
                Ok(theirs) => {
                    prop_assert!(matches!(ours, Ok(Token::Float64(n)) if n.to_bits() == theirs.to_bits()), "{} {:?} {}", text, ours, theirs);
                    prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), theirs.to_bits());
                    prop_assert_eq!(json.at(), text.len());
                }
                Err(_) => prop_assert!(ours.is_err() || json.at() < text.len(), "{} {:?}", text, ours),
            }
        }

        #[test]
        fn every_double_is_read_back_from_its_shortest_spelling(bits in any::<u64>(), small in -1_000_000_000i64..1_000_000_000, cents in 0u32..6) {
            for n in [f64::from_bits(bits), small as f64 / 10f64.powi(cents as i32), 1.79e12 + small as f64 / 4096.0] {
                for text in [format!("{n:?}"), format!("{n:.3}"), format!("{n}")] {
                    if let Ok(n) = serde_json::from_str::<f64>(&text) {
                        let read = Json::new(&text, Encoding::ConvexEncodedJson).token();
                        prop_assert!(matches!(read, Ok(Token::Float64(m)) if m.to_bits() == n.to_bits()), "{} {:?}", text, read);
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_what_convex_cannot_hold() {
        for text in [
            r#"{"$integer":"AAAA"}"#,
            r#"{"$integer":5}"#,
            r#"{"$integer":"KgAAAAAAAAA=","x":1}"#,
            r#"{"$set":"x"}"#,
            r#"{"a":1,"$integer":"KgAAAAAAAAA="}"#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            "\"\u{1}\"",
            "01",
            "",
        ] {
            let mut json = Json::new(text, Encoding::ConvexEncodedJson);
            assert!(json.skip().and_then(|()| json.end()).is_err(), "{text}");
        }
        assert!(Json::new(&"[".repeat(65), Encoding::ConvexEncodedJson).skip().unwrap_err().what.contains("deeper"));
    }

    #[test]
    fn a_bare_number_is_a_float_unless_the_encoding_says_otherwise() {
        let read = |text, encoding| Json::new(text, encoding).token().unwrap();
        assert!(matches!(read("5", Encoding::ConvexEncodedJson), Token::Float64(5.0)));
        assert!(matches!(read("5", Encoding::ExportJson), Token::Int64(5)));
        assert!(matches!(read("5.0", Encoding::ExportJson), Token::Float64(5.0)));
        assert!(matches!(read("-9223372036854775808", Encoding::ExportJson), Token::Int64(i64::MIN)));
        assert!(
            matches!(read("9223372036854775808", Encoding::ExportJson), Token::Float64(n) if n.to_bits() == 0x43e0_0000_0000_0000)
        );
        assert!(matches!(read(r#"{"$integer":"//////////8="}"#, Encoding::ConvexEncodedJson), Token::Int64(-1)));
    }
}
