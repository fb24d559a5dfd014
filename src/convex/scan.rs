//! Where a JSON value ends, without looking at what it says.
//!
//! # Why by blocks
//! Every byte of a deployment passes through here once. A loop over bytes, or a search for the next quote, stops at every
//! one of the short strings that documents consist of. A block of 64 bytes becomes four words of 64 bits instead (quotes,
//! backslashes, opening and closing brackets), and a block in which the value cannot end costs some hundred instructions,
//! whatever is in it.

use memchr::memchr2;
use wide::u8x16;

/// Which bytes of a block are what: bit `i` speaks of byte `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    quotes: u64,
    backslashes: u64,
    /// `{` and `[`.
    opening: u64,
    /// `}` and `]`.
    closing: u64,
}

/// Byte 0x20 turns `[` into `{` and `]` into `}`, and makes no other byte one of the two.
const FOLD: u8 = 0x20;

fn marks(block: &[u8; 64]) -> Marks {
    let mut marks = Marks { quotes: 0, backslashes: 0, opening: 0, closing: 0 };
    let equal = |bytes: u8x16, wanted| u64::from(bytes.simd_eq(u8x16::splat(wanted)).to_bitmask());
    let (quarters, _) = block.as_chunks::<16>();
    for (i, quarter) in quarters.iter().enumerate() {
        let (bytes, place) = (u8x16::new(*quarter), 16 * i);
        let folded = bytes | u8x16::splat(FOLD);
        marks.quotes |= equal(bytes, b'"') << place;
        marks.backslashes |= equal(bytes, b'\\') << place;
        marks.opening |= equal(folded, b'{') << place;
        marks.closing |= equal(folded, b'}') << place;
    }
    marks
}

/// The index after the bracket that closes the object or list which is open at `from`; `None` if the text ends before.
/// `from` must not lie inside a string. Kinds of brackets are not told apart: `[}` closes.
pub(super) fn end_of_container(text: &[u8], from: usize) -> Option<usize> {
    let mut depth = 1u32;
    let mut inside = 0u64; // all ones while a string is open at the end of the block before
    let mut escaped = 0u64; // 1 if the block before ended with a backslash that escapes
    let mut at = from;
    while at < text.len() {
        let mut padded = [b' '; 64];
        let block = text[at..].first_chunk::<64>().unwrap_or_else(|| {
            padded[..text.len() - at].copy_from_slice(&text[at..]);
            &padded
        });
        let marks = marks(block);
        let mut quotes = marks.quotes;
        if marks.backslashes | escaped != 0 {
            let (bits, next) = escapes(marks.backslashes, escaped);
            quotes &= !bits;
            escaped = next;
        }
        let strings = parity(quotes) ^ inside;
        inside = ((strings as i64) >> 63) as u64;
        let (opening, closing) = (marks.opening & !strings, marks.closing & !strings);
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
        } else {
            let mut brackets = opening | closing;
            while brackets != 0 {
                let i = brackets.trailing_zeros();
                brackets &= brackets - 1;
                if closing >> i & 1 == 0 {
                    depth += 1;
                } else if depth == 1 {
                    return Some(at + i as usize + 1);
                } else {
                    depth -= 1;
                }
            }
        }
        at += 64;
    }
    None
}

/// Which bytes are escaped by a backslash before them, and whether the next block's first byte is (1 or 0).
fn escapes(backslashes: u64, first: u64) -> (u64, u64) {
    let (mut escaped, mut next) = (first, 0);
    let mut rest = backslashes & !first;
    while rest != 0 {
        let backslash = rest & rest.wrapping_neg();
        let after = backslash << 1;
        next = u64::from(after == 0);
        escaped |= after;
        rest &= !(backslash | after);
    }
    (escaped, next)
}

/// Bit `i` of the answer: whether an odd number of bits is set from bit 0 up to and with bit `i`.
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The index of the quote that ends the string whose text begins at `from`; `None` if the text ends before.
pub(super) fn end_of_string(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let i = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[i] == b'"' {
            return Some(i);
        }
        at = i + 2;
    }
}

/// The index after the run of bytes that a number, `true`, `false` or `null` may consist of.
pub(super) fn end_of_scalar(text: &[u8], from: usize) -> usize {
    let run = text[from..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'-' | b'+' | b'E'));
    from + run.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One byte after the other.
    fn end_by_bytes(text: &[u8], from: usize) -> Option<usize> {
        let (mut depth, mut string, mut at) = (1, false, from);
        while at < text.len() {
            match text[at] {
                b'\\' if string => at += 1,
                b'"' => string = !string,
                b'{' | b'[' if !string => depth += 1,
                b'}' | b']' if !string => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// Text dense in what matters; backslashes only inside strings, where JSON has them.
    fn text() -> impl Strategy<Value = String> {
        let inside = prop::sample::select(vec!["\\\\", "\\\"", "{", "}", "[", "]", "é", "a", "          ", "\\n"]);
        let string = prop::collection::vec(inside, 0..40).prop_map(|s| format!("\"{}\"", s.concat()));
        let outside = prop::sample::select(vec!["{", "}", "[", "]", ",", "1", "      "]).prop_map(str::to_owned);
        prop::collection::vec(prop_oneof![string, outside], 0..30).prop_map(|s| s.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_container_ends_where_a_byte_by_byte_scan_says(text in text(), cut in 0usize..400) {
            let text = &text.as_bytes()[..cut.min(text.len())];
            prop_assert_eq!(end_of_container(text, 0), end_by_bytes(text, 0));
        }

        #[test]
        fn every_byte_is_marked_as_what_it_is(bytes in prop::collection::vec(any::<u8>(), 64)) {
            let block: &[u8; 64] = bytes.as_slice().try_into().unwrap();
            let bits = |is: fn(u8) -> bool| (0..64).filter(|i| is(block[*i])).fold(0, |word, i| word | 1u64 << i);
            prop_assert_eq!(marks(block), Marks {
                quotes: bits(|b| b == b'"'),
                backslashes: bits(|b| b == b'\\'),
                opening: bits(|b| b == b'{' || b == b'['),
                closing: bits(|b| b == b'}' || b == b']'),
            });
        }
    }

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        for (text, end) in
            [(&b"ab\"c"[..], Some(2)), (b"\\\"\"", Some(2)), (b"\\\\\"", Some(2)), (b"\\", None), (b"", None)]
        {
            assert_eq!(end_of_string(text, 0), end, "{text:?}");
        }
    }
}
