//! [`CreationTime`]: a bound of the `_creationTime`s of a file.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A `_creationTime`, milliseconds since the Unix epoch, as Convex has it: with a fraction.
///
/// Guarantee: it is finite, so it is a number in JSON and has its place among all others. Equal by bits.
#[derive(Debug, Clone, Copy)]
pub struct CreationTime(f64);

impl CreationTime {
    /// `None` for infinities and NaN.
    pub fn new(ms: f64) -> Option<Self> {
        ms.is_finite().then_some(Self(ms))
    }

    /// Milliseconds since the Unix epoch.
    pub fn ms(self) -> f64 {
        self.0
    }
}

impl PartialEq for CreationTime {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for CreationTime {}

impl Serialize for CreationTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for CreationTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(d)?).ok_or_else(|| D::Error::custom("a creation time is a finite number"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_back_by_its_bits(bits: u64) {
            let Some(created) = CreationTime::new(f64::from_bits(bits)) else { return Ok(()) };
            let text = serde_json::to_string(&created).unwrap();
            prop_assert_eq!(serde_json::from_str::<CreationTime>(&text).unwrap(), created, "{}", text);
        }
    }
}
