//! An order-independent sum over texts: what proves a set of lines without their order.
//!
//! Each text counts by its SHA-256, read as a big-endian number; the sum is taken modulo 2^256. So lines can be added and
//! taken away one by one, sums of parts add up to the sum of the whole, and one line too many, too few or changed gives
//! another sum. It proves against accident, not against somebody who chooses the texts.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// How many texts there are, and the sum of their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sum {
    /// Number of texts.
    pub count: u64,
    /// Sum of their SHA-256 modulo 2^256, 64 lower-case hexadecimal digits in JSON.
    pub sum: Sum256,
}

/// A number below 2^256: four words, the least significant first.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sum256([u64; 4]);

impl Sum {
    /// The sum of one text.
    pub fn of(text: &[u8]) -> Self {
        Self { count: 1, sum: Sum256::from_digest(&Sha256::digest(text).into()) }
    }

    /// Adds a text.
    pub fn add(&mut self, text: &[u8]) {
        *self = self.plus(Self::of(text));
    }

    /// The sum of both sets of texts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_add(other.count), sum: self.sum.plus(other.sum) }
    }

    /// What is left without the texts of `other`, which all must be among ours: otherwise the result is no sum of texts.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_sub(other.count), sum: self.sum.minus(other.sum) }
    }
}

impl Sum256 {
    fn from_digest(digest: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().rev().zip(digest.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Self(words)
    }

    fn plus(self, other: Self) -> Self {
        let mut carry = false;
        Self(std::array::from_fn(|i| {
            let (sum, first) = self.0[i].overflowing_add(other.0[i]);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first || second;
            sum
        }))
    }

    fn minus(self, other: Self) -> Self {
        let mut borrow = false;
        Self(std::array::from_fn(|i| {
            let (rest, first) = self.0[i].overflowing_sub(other.0[i]);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            borrow = first || second;
            rest
        }))
    }
}

impl fmt::Display for Sum256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for Sum256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Sum256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(digits) {
            return Err("a sum has 64 lower-case hexadecimal digits");
        }
        let mut words = [0; 4];
        for (i, word) in words.iter_mut().rev().enumerate() {
            *word = u64::from_str_radix(&text[i * 16..][..16], 16).map_err(|_| "no hexadecimal number")?;
        }
        Ok(Self(words))
    }
}

impl Serialize for Sum256 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sum256 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(texts: &[Vec<u8>]) -> Sum {
        texts.iter().fold(Sum::default(), |sum, text| sum.plus(Sum::of(text)))
    }

    proptest! {
        #[test]
        fn parts_add_up_in_any_order_and_what_is_taken_away_leaves_the_rest(
            texts in proptest::collection::vec(any::<Vec<u8>>(), 0..9), at in any::<prop::sample::Index>(),
        ) {
            let cut = at.index(texts.len() + 1);
            let (a, b) = texts.split_at(cut);
            let mut turned = texts.clone();
            turned.reverse();
            prop_assert_eq!(sum(a).plus(sum(b)), sum(&texts));
            prop_assert_eq!(sum(&turned), sum(&texts));
            prop_assert_eq!(sum(&texts).minus(sum(a)), sum(b));
            prop_assert_eq!(sum(&texts).sum.to_string().parse(), Ok(sum(&texts).sum));
        }

        /// Column by column on paper, in decimal-free base 256.
        #[test]
        fn sums_are_those_of_the_numbers(a: [u8; 32], b: [u8; 32]) {
            let mut carry = 0u16;
            let mut expected = [0u8; 32];
            for i in (0..32).rev() {
                let digit = u16::from(a[i]) + u16::from(b[i]) + carry;
                expected[i] = digit as u8;
                carry = digit >> 8;
            }
            let (a, b) = (Sum256::from_digest(&a), Sum256::from_digest(&b));
            prop_assert_eq!(a.plus(b), Sum256::from_digest(&expected));
            prop_assert_eq!(a.plus(b).minus(b), a);
        }
    }

    #[test]
    fn a_single_text_is_shown_as_its_sha256() {
        let abc = Sum::of(b"abc");
        assert_eq!(abc.sum.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((abc.count, sum(&[]).sum.to_string()), (1, "0".repeat(64)));
    }
}
