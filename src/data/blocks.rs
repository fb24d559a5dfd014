//! Checksums of a data file: a CRC-32C for each block of 64 KiB before the footer, in the footer; one for the footer, in the
//! commit. So every byte is checked before it is decoded, whatever part of the file is read.
//!
//! # Why blocks
//! Parquet has a place for a checksum in the header of each page. The writer that we use cannot fill it, other readers check
//! it only when told to, and it leaves out what else is decoded: the page headers themselves, Bloom filters, indexes. A
//! checksum per page in the footer would have to learn from the writer where its pages are, and the reader again. Blocks ask
//! for nothing: the sink that sees all bytes counts to 64 KiB, the reader widens each range to whole blocks, and no byte is
//! left out. The price: up to two blocks more for each stretch of a file that is read (stores join ranges that are nearer than
//! a megabyte anyway), and 6 bytes of footer a block, which is one in ten thousand.
//!
//! Against accident: any change within 32 bits in a row of a block, and any one, two or three bits, is found for certain;
//! of other harm all but one in four billion. Against a forger there is the SHA-256 of the whole.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use super::Footer;

/// Bytes of a block; the last one before the footer may be shorter.
pub(super) const BLOCK: u64 = 64 << 10;

/// CRC-32C (Castagnoli, as in iSCSI and ext4).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The checksums of the blocks of a file, as they stand in its footer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks(Vec<u32>);

/// In JSON, so that it says what it is. The checksums one after another, each little-endian, in base64.
#[derive(Serialize, Deserialize)]
struct BlocksText {
    block: u64,
    crc32c: String,
}

impl Blocks {
    /// Their key in the footer.
    pub(super) const KEY: &str = "convex.blocks";

    pub(super) fn to_text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|crc| crc.to_le_bytes()).collect();
        serde_json::json!(BlocksText { block: BLOCK, crc32c: STANDARD.encode(bytes) }).to_string()
    }

    /// `None`, if it is no text of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let BlocksText { block, crc32c } = serde_json::from_str(text).ok()?;
        let bytes = STANDARD.decode(crc32c).ok()?;
        let crcs = bytes.chunks_exact(4).map(|crc| crc.iter().rev().fold(0, |crc, byte| crc << 8 | u32::from(*byte)));
        (block == BLOCK && bytes.len().is_multiple_of(4)).then(|| Self(crcs.collect()))
    }

    /// Bytes before the footer that as many blocks may cover.
    pub(super) fn cover(&self, body: u64) -> bool {
        self.0.len() as u64 == body.div_ceil(BLOCK)
    }

    /// The place of the first block of `bytes` that is not as it was written. They begin with a block, at `from`, and end with
    /// one.
    pub(super) fn harmed(&self, from: u64, bytes: &Bytes) -> Option<u64> {
        let first = from / BLOCK;
        let blocks = bytes.chunks(BLOCK as usize).zip(first..);
        let mut harmed = blocks.filter(|(bytes, n)| self.0.get(*n as usize) != Some(&crc32c(bytes)));
        harmed.next().map(|(_, n)| n * BLOCK)
    }
}

/// The checksums of bytes as they are written: first those of the blocks, then that of the footer.
#[derive(Debug)]
pub(super) struct Checksums {
    blocks: Blocks,
    /// Of the open block, or of the footer.
    open: Digest,
    filled: u64,
    in_footer: bool,
}

impl Checksums {
    pub(super) fn new() -> Self {
        Self { blocks: Blocks::default(), open: Self::empty(), filled: 0, in_footer: false }
    }

    fn empty() -> Digest {
        Digest::new(CrcAlgorithm::Crc32Iscsi)
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = if self.in_footer { u64::MAX } else { BLOCK - self.filled };
            let (taken, rest) = bytes.split_at((bytes.len() as u64).min(room) as usize);
            self.open.update(taken);
            self.filled += taken.len() as u64;
            if self.filled == BLOCK && !self.in_footer {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        self.blocks.0.push(std::mem::replace(&mut self.open, Self::empty()).finalize() as u32);
        self.filled = 0;
    }

    /// What follows is the footer. The checksums of all blocks before it.
    pub(super) fn begin_footer(&mut self) -> Blocks {
        if self.filled > 0 {
            self.end_block();
        }
        self.in_footer = true;
        std::mem::take(&mut self.blocks)
    }

    /// What was written since the footer began.
    pub(super) fn footer(self) -> Footer {
        Footer { bytes: self.filled, crc32c: self.open.finalize() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn blocks_are_the_same_however_the_bytes_come_and_each_harmed_one_is_found(
            length in 0..300_000usize, seed: u32, cuts in proptest::collection::vec(1..200_000usize, 1..5),
            at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let mut bytes: Vec<u8> = (0..length as u32).map(|i| (i.wrapping_mul(seed | 1) >> 13) as u8).collect();
            let mut sums = Checksums::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                sums.update(now);
                rest = later;
            }
            let blocks = sums.begin_footer();
            let expected: Vec<u32> = bytes.chunks(65_536).map(crc32c).collect();
            prop_assert_eq!(&blocks.0, &expected);
            let read = Blocks::parse(&blocks.to_text());
            prop_assert_eq!(read.as_ref(), Some(&blocks));
            prop_assert!(blocks.cover(length as u64) && !blocks.cover(length as u64 + 65_536));
            sums.update(b"the ");
            sums.update(b"end");
            prop_assert_eq!(sums.footer(), Footer { bytes: 7, crc32c: crc32c(b"the end") });

            prop_assert_eq!(blocks.harmed(0, &bytes.clone().into()), None);
            if length > 0 {
                let at = at.index(length);
                bytes[at] ^= 1 << bit;
                let block = at / 65_536 * 65_536;
                prop_assert_eq!(blocks.harmed(0, &bytes.clone().into()), Some(block as u64));
                let next = (block + 65_536).min(length);
                prop_assert_eq!(blocks.harmed(block as u64, &bytes[block..next].to_vec().into()), Some(block as u64));
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!((crc32c(&[0; 32]), crc32c(&[0xff; 32])), (0x8a91_36aa, 0x62a8_ab43));
    }

    #[test]
    fn other_texts_are_none_of_ours() {
        for text in ["", "{}", r#"{"block":4096,"crc32c":""}"#, r#"{"block":65536,"crc32c":"AAA="}"#] {
            assert_eq!(Blocks::parse(text), None, "{text}");
        }
    }
}
