//! Document ids, made: `crates/value/src/id_v6.rs` and `base32.rs` of Convex's backend.
//!
//! Bytes: the table number (little-endian groups of 7 bits), 14 random bytes, the day as two big-endian bytes, and
//! Fletcher-16 over all of them. Text: Crockford's base 32 in lower case.

use rand::RngCore;

use crate::document::Timestamp;
pub(crate) use crate::document::table_number;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id for a document of the table with this number, written at `ts`.
pub(crate) fn new_document_id(number: u32, ts: Timestamp, rng: &mut impl RngCore) -> String {
    let mut random = [0; 14];
    rng.fill_bytes(&mut random);
    let day = (ts.0 / 86_400_000_000_000) as u16;
    let mut bytes = varint(number);
    bytes.extend_from_slice(&random);
    bytes.extend_from_slice(&day.to_be_bytes());
    let (mut low, mut high) = (0u8, 0u8);
    for b in &bytes {
        low = low.wrapping_add(*b);
        high = high.wrapping_add(low);
    }
    bytes.extend_from_slice(&[low, high]);
    base32(&bytes)
}

fn varint(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn base32(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::with_capacity(37), 0u32, 0);
    for b in bytes {
        held = (held << 8 | u32::from(*b)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(DIGITS[(held << (5 - bits) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::document::is_document_id;

    #[test]
    fn makes_ids_that_are_ids_and_tell_their_table() {
        let mut rng = StdRng::seed_from_u64(1);
        for number in [1, 127, 128, 10_001, 16_383, 16_384, 2_097_152, u32::MAX] {
            for _ in 0..50 {
                let id = new_document_id(number, Timestamp(1_795_434_575_833_065_791), &mut rng);
                assert!(is_document_id(&id), "{id}");
                assert_eq!(table_number(&id), Some(number), "{id}");
            }
        }
        assert_eq!(table_number("j5700221pceb603t7je2hkqn0s8jrtmp"), Some(10_001));
        assert_eq!(table_number("no id"), None);
    }
}
