//! The tokens of JSON, as far as a page's own grammar needs them: every error names the byte.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::scan::{end_of_container, end_of_scalar, end_of_string};
use crate::error::{Error, Result};

/// Reads tokens from `at` on.
pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn expected(&self, what: &str) -> Error {
        let (at, length) = (self.at, self.text.len());
        if at >= length {
            return Error::protocol(format!("the answer is cut off after byte {length}, where {what} was expected"));
        }
        Error::protocol(format!("the answer is not a page of the streaming export: expected {what} at byte {at}"))
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.expected(&format!("`{}`", char::from(byte)))) }
    }

    /// The text of a string, decoded only if it holds escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        self.expect(b'"')?;
        let from = self.at;
        let Some(end) = end_of_string(self.text, from) else {
            self.at = self.text.len();
            return Err(self.expected("the end of a string"));
        };
        self.at = end + 1;
        let raw = &self.text[from..end];
        if raw.iter().all(|b| *b != b'\\' && *b >= 0x20) {
            return Ok(Cow::Borrowed(raw));
        }
        match serde_json::from_slice::<String>(&self.text[from - 1..=end]) {
            Ok(text) => Ok(Cow::Owned(text.into_bytes())),
            Err(e) => Err(Error::protocol(format!("the string at byte {from} is not JSON")).with_source(e)),
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        let end = end_of_scalar(self.text, self.at);
        let value = match &self.text[self.at..end] {
            b"true" => true,
            b"false" => false,
            _ => return Err(self.expected("`true` or `false`")),
        };
        self.at = end;
        Ok(value)
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        let Some((value, end)) = digits(self.text, self.at) else {
            return Err(self.expected("an integer of 64 bits that is not negative"));
        };
        self.at = end;
        Ok(value)
    }

    /// Skips one value by its brackets and quotes.
    pub(super) fn skip(&mut self) -> Result<()> {
        let end = match self.peek() {
            Some(b'"') => end_of_string(self.text, self.at + 1).map(|end| end + 1),
            Some(b'{' | b'[') => end_of_container(self.text, self.at + 1),
            _ => Some(end_of_scalar(self.text, self.at)),
        };
        match end {
            Some(end) if end > self.at => self.at = end,
            Some(_) => return Err(self.expected("a value")),
            None => {
                self.at = self.text.len();
                return Err(self.expected("the end of a value"));
            }
        }
        Ok(())
    }

    /// Skips one value that nobody will ever look at again, so that it must be proved JSON here.
    pub(super) fn skip_checked(&mut self) -> Result<()> {
        let from = self.at;
        self.skip()?;
        serde_json::from_slice::<IgnoredAny>(&self.text[from..self.at])
            .map(|_| ())
            .map_err(|e| Error::protocol(format!("the value at byte {from} is not JSON")).with_source(e))
    }

    /// Reads an object; `member` is called with each key, before its value, and must take the value.
    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Result<()>) -> Result<()> {
        self.expect(b'{')?;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            member(self, &key)?;
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }
}

/// The index after `literal`, if it stands at `at`.
pub(super) fn after(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(literal).then_some(at + literal.len())
}

/// An integer that is not negative, and the index after it. `None` also for what goes on as another number.
pub(super) fn digits(text: &[u8], from: usize) -> Option<(i64, usize)> {
    let mut value = 0i64;
    let mut at = from;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        at += 1;
    }
    let padded = at > from + 1 && text[from] == b'0';
    let goes_on = end_of_scalar(text, at) > at;
    (at > from && !padded && !goes_on).then_some((value, at))
}
