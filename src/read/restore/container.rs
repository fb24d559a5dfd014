//! The ZIP around compressed entries, as it goes out: forward only, each entry followed by its size.
//!
//! # Why not the crate that reads ZIPs
//! It compresses what is written to it, on the one thread that writes. Here the pieces come compressed, and what is left to
//! write of a ZIP (PKWARE's APPNOTE 6.3: 4.3.7 to 4.3.16, 4.4, 4.5.3) is this page.
//!
//! How long an entry becomes is not known when it begins. So each has the long form of sizes (ZIP64), whatever its length; names
//! are ASCII, times are those of the format's beginning, modes are 0644.

use std::io::{self, Write};

use flate2::Crc;

/// The version whose readers know ZIP64.
const VERSION: u16 = 45;
/// The version, made on Unix: where modes are Unix's.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// Sizes and checksum follow the entry.
const SIZES_FOLLOW: u16 = 1 << 3;
const DEFLATED: u16 = 8;
/// Midnight of 1980-01-01.
const TIME_AND_DATE: [u16; 2] = [0, 1 << 5 | 1];
/// A regular file, mode 0644.
const MODE: u32 = 0o100_644 << 16;
/// Stands in a short form whose long form counts.
const LONG: u32 = u32::MAX;

/// Writes a ZIP to `W`.
pub(super) struct Container<W> {
    to: W,
    /// Bytes so far.
    at: u64,
    entry: Option<Entry>,
    /// What the ZIP will end with, so far, and for how many entries.
    directory: Vec<u8>,
    entries: u64,
}

/// The entry that is open.
struct Entry {
    name: String,
    /// Where it begins.
    at: u64,
    /// Bytes of its text, and of what was written of it.
    text: u64,
    stored: u64,
    crc: Crc,
}

/// Numbers one behind the other, little-endian.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn short(mut self, numbers: impl IntoIterator<Item = u16>) -> Self {
        self.0.extend(numbers.into_iter().flat_map(u16::to_le_bytes));
        self
    }

    fn int(mut self, numbers: impl IntoIterator<Item = u32>) -> Self {
        self.0.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
        self
    }

    fn long(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.0.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

impl<W: Write> Container<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, at: 0, entry: None, directory: Vec::new(), entries: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Begins an entry. The one before has ended.
    pub(super) fn begin(&mut self, name: String) -> io::Result<()> {
        let header = Record::default()
            .int([0x0403_4b50])
            .short([VERSION, SIZES_FOLLOW, DEFLATED])
            .short(TIME_AND_DATE)
            .int([0, LONG, LONG])
            .short([name.len() as u16, 20])
            .text(&name)
            .short([1, 16])
            .long([0, 0]);
        self.entry = Some(Entry { name, at: self.at, text: 0, stored: 0, crc: Crc::new() });
        self.write(&header.0)
    }

    /// Appends a compressed piece of so much text to the entry that is open.
    pub(super) fn append(&mut self, deflated: &[u8], text: u64, crc: &Crc) -> io::Result<()> {
        if let Some(entry) = &mut self.entry {
            entry.text += text;
            entry.stored += deflated.len() as u64;
            entry.crc.combine(crc);
        }
        self.write(deflated)
    }

    /// Ends the entry that is open, if one is, with what ends its stream.
    pub(super) fn end(&mut self, stream: &[u8]) -> io::Result<()> {
        let Some(Entry { name, at, text, mut stored, crc }) = self.entry.take() else { return Ok(()) };
        self.write(stream)?;
        stored += stream.len() as u64;
        let entry = Record(std::mem::take(&mut self.directory))
            .int([0x0201_4b50])
            .short([MADE_BY, VERSION, SIZES_FOLLOW, DEFLATED])
            .short(TIME_AND_DATE)
            .int([crc.sum(), LONG, LONG])
            .short([name.len() as u16, 28, 0, 0, 0])
            .int([MODE, LONG])
            .text(&name)
            .short([1, 24])
            .long([text, stored, at]);
        self.directory = entry.0;
        self.entries += 1;
        let sizes = Record::default().int([0x0807_4b50, crc.sum()]).long([stored, text]);
        self.write(&sizes.0)
    }

    /// Ends the ZIP, which no reader takes before.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let (directory, begins) = (std::mem::take(&mut self.directory), self.at);
        self.write(&directory)?;
        let end = self.at;
        let short = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        let int = |n: u64| u32::try_from(n).unwrap_or(LONG);
        let (entries, length) = (self.entries, directory.len() as u64);
        let ends = Record::default()
            .int([0x0606_4b50])
            .long([44])
            .short([MADE_BY, VERSION])
            .int([0, 0])
            .long([entries, entries, length, begins])
            .int([0x0706_4b50, 0])
            .long([end])
            .int([1, 0x0605_4b50])
            .short([0, 0, short(entries), short(entries)])
            .int([int(length), int(begins)])
            .short([0]);
        self.write(&ends.0)?;
        self.to.flush()
    }
}
