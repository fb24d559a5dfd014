//! [`Spelling`]: a name as the key of a member is usually written, compared with a text without reading it as a string.
//!
//! Two numbers decide, of the first and of the last eight bytes: names of one table often begin alike (`page_url_05`, `page_url_11`), so that the
//! first alone would leave most to a comparison of all bytes.

/// Whether JSON writes this byte of a string as it is.
#[inline]
pub(super) fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// `name":`
#[derive(Debug, Default)]
pub(super) struct Spelling {
    text: String,
    /// Its first eight bytes as a number, and which bits of it count if there are fewer.
    begin: u64,
    mask: u64,
    /// Its last eight bytes as a number, if there are as many.
    end: u64,
}

impl Spelling {
    pub(super) fn of(name: &str) -> Self {
        let text = format!("{name}\":");
        if !name.bytes().all(is_plain) {
            // JSON writes the name with escapes: no key begins with this, so that such keys are read.
            return Self { text, begin: 1, mask: 0, end: 0 };
        }
        let mut begin = [0; 8];
        let length = text.len().min(8);
        begin[..length].copy_from_slice(&text.as_bytes()[..length]);
        let end = text.as_bytes().last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
        Self { begin: u64::from_le_bytes(begin), mask: u64::MAX >> (64 - 8 * length), end, text }
    }

    /// Its length, bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether `text` begins with it. `begin` is the first eight bytes of `text` as a number: read once, compared with many.
    #[inline]
    pub(super) fn begins(&self, text: &[u8], begin: u64) -> bool {
        if begin & self.mask != self.begin {
            return false;
        }
        let Some(first) = self.text.len().checked_sub(8) else { return true };
        let end = text.get(first..).and_then(|rest| rest.first_chunk()).map(|end| u64::from_le_bytes(*end));
        end == Some(self.end) && (first <= 8 || text[8..first] == self.text.as_bytes()[8..first])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn says_what_a_comparison_of_all_bytes_says(name in "[ab\"\\\\é]{0,20}", text in "[ab\"é:]{8,30}", same: bool) {
            let text = if same { format!("{name}\":{text}") } else { text };
            let spelling = Spelling::of(&name);
            let begin = u64::from_le_bytes(*text.as_bytes().first_chunk().unwrap());
            prop_assert_eq!(spelling.begins(text.as_bytes(), begin), !name.contains(['"', '\\']) && text.starts_with(&format!("{name}\":")));
        }
    }
}
