//! Deflate in pieces: each is compressed by itself, on whatever thread is free, and one behind the other they are one stream.
//!
//! A piece begins where the one before ended on a whole byte (a *sync flush*), and may refer to the 32 KiB before it, as if one
//! compressor had made all. So what comes of an entry depends on its text and where it is cut, never on threads.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Level of deflate. Text of documents shrinks little further above it, and takes twice the time.
const LEVEL: u32 = 4;
/// How far back deflate can refer.
const WINDOW: usize = 32 << 10;
/// The end of a stream: a last block with nothing in it.
pub(super) const END: [u8; 2] = [3, 0];

/// A compressed piece.
pub(super) struct Deflated {
    pub(super) bytes: Vec<u8>,
    /// Of the text; it also knows how long that is.
    pub(super) crc: Crc,
}

/// Compresses `text`, which follows `before` in its entry.
pub(super) fn deflate(before: &Bytes, text: &Bytes) -> Result<Deflated, flate2::CompressError> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let window = &before[before.len().saturating_sub(WINDOW)..];
    if !window.is_empty() {
        compress.set_dictionary(window)?;
    }
    let mut bytes = Vec::with_capacity(text.len() / 2 + 64);
    loop {
        let taken = compress.total_in() as usize;
        let status = compress.compress_vec(&text[taken..], &mut bytes, FlushCompress::Sync)?;
        // It is done once it has taken everything and left room behind it.
        if compress.total_in() as usize == text.len() && bytes.len() < bytes.capacity() || status == Status::StreamEnd {
            break;
        }
        bytes.reserve(text.len() / 4 + 64);
    }
    let mut crc = Crc::new();
    crc.update(text);
    Ok(Deflated { bytes, crc })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_one_stream_whatever_is_in_them(
            words in prop::collection::vec(prop::sample::select(vec!["the ", "of ", "{\"_id\":\"j57\"}\n", "\u{0}"]), 0..60),
            noise in prop::collection::vec(any::<u8>(), 0..300), copies in 1usize..900, size in 1usize..100_000,
        ) {
            let mut text = words.concat().repeat(copies).into_bytes();
            text.extend(noise.repeat(copies / 100 + 1));
            let (mut stream, mut crc, mut before) = (Vec::new(), Crc::new(), Bytes::new());
            for piece in text.chunks(size.max(text.len() / 40 + 1)) {
                let piece = Bytes::copy_from_slice(piece);
                let made = deflate(&before, &piece).unwrap();
                stream.extend(made.bytes);
                crc.combine(&made.crc);
                before = piece;
            }
            stream.extend(END);
            let mut read = Vec::new();
            DeflateDecoder::new(&stream[..]).read_to_end(&mut read).unwrap();
            prop_assert!(read == text);
            let mut whole = Crc::new();
            whole.update(&text);
            prop_assert_eq!((crc.sum(), crc.amount()), (whole.sum(), text.len() as u32));
        }
    }
}
