//! The content digest of a data file: what its documents are, whatever the columns and pages they are in.
//!
//! The decoder sums what came over the wire, and the file keeps the sum in its footer; a reader sums what it decodes. Where
//! the two differ, a value was lost on the way through columns and pages, which no checksum of bytes would show. How a
//! revision is spelled for it says `codec::digest`.
//!
//! # Why one document of 64
//! Over all of them it would cost a tenth of a snapshot's CPU; a defect that harms more than a few documents is found by one
//! of 64 too. Which, the `_id` says alone: so sums of files add up to the sum of the file that joins them, every revision of
//! a document is in or out, and any reader finds the same.

use serde::{Deserialize, Serialize};

use crate::sum::Sum;

/// Of which documents a content digest is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestShare {
    /// Of none: there is no digest.
    Off,
    /// Of those whose `_id` has a CRC-32C (Castagnoli, as in iSCSI, of its UTF-8) that 64 divides.
    #[default]
    Sampled,
    /// Of all.
    All,
}

impl DigestShare {
    /// Whether revisions of the document `id` are in it.
    pub(crate) fn takes(self, id: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Sampled => crc_fast::crc32_iscsi(id.as_bytes()).is_multiple_of(64),
            Self::All => true,
        }
    }
}

/// The order-independent sum of the texts of a file's revisions, and of which of them. As JSON in the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDigest {
    /// Which documents are in it.
    pub share: DigestShare,
    /// How many of their revisions there are, tombstones too, and the sum of their texts.
    #[serde(flatten)]
    pub sum: Sum,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_what_any_reader_finds() {
        // Bit by bit: the reversed polynomial of Castagnoli.
        let crc = |id: &str| {
            !id.bytes().fold(!0u32, |crc, byte| {
                (0..8)
                    .fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
            })
        };
        assert_eq!(crc("123456789"), 0xe306_9283);
        let ids: Vec<String> = (0..64_000).map(|n| format!("j57{n:029}")).collect();
        let taken = ids.iter().filter(|id| {
            assert_eq!(DigestShare::Sampled.takes(id), crc(id).is_multiple_of(64), "{id}");
            DigestShare::Sampled.takes(id)
        });
        let taken = taken.count();
        assert!((900..1_100).contains(&taken), "{taken} of 64,000");
    }

    #[test]
    fn the_digest_stands_in_a_footer_as_one_object() {
        let digest = ContentDigest { share: DigestShare::Sampled, sum: Sum::of(b"abc") };
        let text = serde_json::to_string(&digest).unwrap();
        assert!(text.starts_with(r#"{"share":"sampled","count":1,"sum":"ba7816bf8f01cfea"#), "{text}");
        assert_eq!(serde_json::from_str::<ContentDigest>(&text).unwrap(), digest);
    }
}
