//! [`SnapshotZip`]: entries of text → one ZIP, which appears whole or not at all.
//!
//! ```text
//! entry(), write() ─ pieces of one size, a few at once ─> threads: deflate ─> thread: ZIP ─> a temporary file, renamed at the end
//!                                                                                        ─> parts of an upload, completed at the end
//!                                                                                        ─> a stream
//! ```
//!
//! The same entries give the same bytes, whatever the target, the memory limit, the time of day and the number of processors: times
//! are those of the ZIP format's beginning, modes are 0644, and pieces of one size are compressed each by itself. Nothing is
//! written twice, since neither an upload nor a pipe can go back: the size of an entry follows its bytes, as in the ZIPs that Convex
//! writes.
//!
//! `rawzip` writes the ZIP, since it takes pieces that are compressed already; the crate that reads ZIPs elsewhere compresses them itself, on the one
//! thread that writes.

use std::io::{self, BufWriter, ErrorKind, Write};

use bytes::Bytes;
use flate2::Crc;
use rawzip::{CompressionMethod, DataDescriptorOutput, ZipArchiveWriter, time::UtcDateTime};
use tokio::sync::{mpsc, oneshot};

use super::{
    deflate::{Deflated, END, deflate},
    target::{Opened, RestoreTarget, Sink},
};
use crate::{
    budget::MemoryBudget,
    error::{Error, Result},
    monitor::Monitor,
    store::disk_error,
};

/// 1980-01-01, the first moment that a ZIP can name, in seconds since 1970.
const BEGINNING: i64 = 315_532_800;
/// A regular file that everybody may read.
const MODE: u32 = 0o100_644;
/// Bytes of a piece.
const PIECE: usize = 256 << 10;

/// A ZIP on its way. To be ended with [`finish`](Self::finish) or [`give_up`](Self::give_up). Dropped before, it leaves nothing on
/// a disk, and in a store an upload in parts that nobody sees.
pub(in crate::read) struct SnapshotZip {
    steps: mpsc::Sender<Step>,
    held: Vec<u8>,
    /// The piece before, of the same entry.
    before: Bytes,
    outcome: Option<oneshot::Receiver<Result<u64>>>,
    target: Opened,
}

enum Step {
    Entry(String),
    /// A piece, which some thread compresses.
    Piece(oneshot::Receiver<Result<Deflated, flate2::CompressError>>),
    Finish,
}

impl SnapshotZip {
    /// Begins at `target`. Nothing is there before it is finished.
    ///
    /// # Errors
    /// Usage, if something is there and must not be overwritten, or there is no such folder; as the disk or the store has it.
    pub(in crate::read) async fn create(target: &RestoreTarget, overwrite: bool, budget: MemoryBudget) -> Result<Self> {
        let (target, sink) = Opened::open(target, overwrite, budget).await?;
        let (steps, queue) = mpsc::channel(pieces_at_once(budget));
        let (outcome, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("zip".into())
            // Whoever gave up does not want to know.
            .spawn(move || drop(outcome.send(run(sink, queue))))
            .map_err(|e| Error::resource("cannot start a thread to write the ZIP").with_source(e))?;
        let (held, before) = (Vec::with_capacity(PIECE), Bytes::new());
        Ok(Self { steps, held, before, outcome: Some(receiver), target })
    }

    /// Begins the next entry; what is written from now on is in it.
    pub(in crate::read) async fn entry(&mut self, name: String) -> Result<()> {
        self.flush().await?;
        self.before = Bytes::new();
        self.step(Step::Entry(name)).await
    }

    /// Appends to the entry.
    pub(in crate::read) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(PIECE - self.held.len()));
            self.held.extend_from_slice(taken);
            bytes = rest;
            if self.held.len() == PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Makes it appear; answers its bytes.
    ///
    /// # Errors
    /// Usage, if something has appeared there meanwhile; as the disk or the store has it.
    pub(in crate::read) async fn finish(&mut self) -> Result<u64> {
        self.flush().await?;
        self.step(Step::Finish).await?;
        while let Some(made) = self.target.made().await {
            self.target.take_on(made).await?;
        }
        let bytes = self.outcome().await?;
        self.target.appear().await?;
        Ok(bytes)
    }

    /// Leaves nothing, also where [`finish`](Self::finish) has failed or was dropped.
    pub(in crate::read) async fn give_up(self, monitor: &dyn Monitor) {
        self.target.give_up(monitor).await;
    }

    async fn flush(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.held, Vec::with_capacity(PIECE)));
        let before = std::mem::replace(&mut self.before, piece.clone());
        let (made, deflated) = oneshot::channel();
        // Whoever gave up does not want to know.
        tokio::task::spawn_blocking(move || drop(made.send(deflate(&before, &piece))));
        self.step(Step::Piece(deflated)).await
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                // Or else the thread would wait for us while we wait for it.
                Some(made) = self.target.made() => self.target.take_on(made).await?,
                room = self.steps.reserve() => match room {
                    Ok(room) => {
                        room.send(step);
                        return Ok(());
                    }
                    Err(_) => break,
                },
            }
        }
        // The thread has ended early, and its outcome says why.
        self.outcome().await.and_then(|_| Err(Error::internal("a ZIP was complete before its last entry")))
    }

    async fn outcome(&mut self) -> Result<u64> {
        let ended = || Error::internal("the thread that writes the ZIP has ended without an error");
        match self.outcome.take() {
            Some(outcome) => outcome.await.map_err(|_| ended())?,
            None => Err(ended()),
        }
    }
}

/// What the thread does: bytes of the whole ZIP.
fn run(sink: Sink, steps: mpsc::Receiver<Step>) -> Result<u64> {
    let Sink { to, file, shown } = sink;
    let failed = |e: io::Error| match e.kind() {
        ErrorKind::BrokenPipe => {
            Error::resource(format!("cannot write {shown}: its reader has closed it")).with_source(e)
        }
        _ => disk_error(e, &format!("cannot write {shown}")),
    };
    let mut out = Out { to: BufWriter::with_capacity(PIECE, to), bytes: 0 };
    entries(&mut out, steps).map_err(|e| match e {
        Stopped::Zip(e) => match e.into_kind() {
            rawzip::ErrorKind::IO(e) => failed(e),
            e => Error::internal(format!("cannot write the ZIP ({e}): report it")),
        },
        Stopped::Deflate(e) => Error::internal("a text cannot be compressed: report it").with_source(e),
        Stopped::Abandoned => Error::internal("a ZIP was abandoned before it was complete"),
    })?;
    if let Some(file) = file {
        file.sync_all().map_err(failed)?;
    }
    Ok(out.bytes)
}

/// Why there is no whole ZIP. What goes out then has no end: half of the documents must not look like all of them.
enum Stopped {
    Zip(rawzip::Error),
    Deflate(flate2::CompressError),
    Abandoned,
}

impl<E: Into<rawzip::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Zip(error.into())
    }
}

fn entries<W: Write>(to: W, mut steps: mpsc::Receiver<Step>) -> Result<(), Stopped> {
    let mut zip = ZipArchiveWriter::new(to);
    let mut next = || steps.blocking_recv().ok_or(Stopped::Abandoned);
    let mut step = next()?;
    while let Step::Entry(name) = step {
        let entry = zip.new_file(&name).compression_method(CompressionMethod::DEFLATE);
        let (mut entry, _) = entry.last_modified(UtcDateTime::from_unix(BEGINNING)).unix_permissions(MODE).start()?;
        let (mut crc, mut text) = (Crc::new(), 0);
        step = loop {
            match next()? {
                Step::Piece(deflated) => {
                    let deflated = deflated.blocking_recv().map_err(|_| Stopped::Abandoned)?;
                    let deflated = deflated.map_err(Stopped::Deflate)?;
                    entry.write_all(&deflated.bytes)?;
                    crc.combine(&deflated.crc);
                    text += u64::from(deflated.crc.amount());
                }
                other => break other,
            }
        };
        entry.write_all(&END)?;
        entry.finish(DataDescriptorOutput::new(crc.sum(), text))?;
    }
    zip.finish()?;
    Ok(())
}

/// Pieces that are compressed at once, or wait to be written: two for each processor, as far as their share of memory goes. What
/// compresses one takes as much as the piece itself, and so does what comes of it.
fn pieces_at_once(budget: MemoryBudget) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (2 * processors).min(budget.deflating() / (3 * PIECE))
}

/// What goes out, and how much.
struct Out {
    to: BufWriter<Box<dyn Write + Send>>,
    bytes: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python's opinion of a file: how many entries, bytes of the first, and whether all can be read.
    fn python(path: &std::path::Path) -> String {
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nprint(len(z.infolist()), z.infolist()[0].file_size, z.testzip())";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn begun(path: &std::path::Path) -> SnapshotZip {
        SnapshotZip::create(&path.into(), false, MemoryBudget::default()).await.unwrap()
    }

    #[test]
    fn the_bytes_are_the_same_whatever_the_memory_and_the_threads() {
        let lines = |n: usize| (0..n).flat_map(|i| format!("{{\"_id\":\"{}\"}}\n", i * i % 1009).into_bytes());
        let texts: Vec<Vec<u8>> = [0, 10, PIECE, PIECE + 1, 5 * PIECE + 7].map(|n| lines(n).take(n).collect()).into();
        let make = async |budget| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.zip");
            let mut zip = SnapshotZip::create(&path.as_path().into(), false, budget).await.unwrap();
            for (n, text) in texts.iter().enumerate() {
                zip.entry(format!("t{n}/documents.jsonl")).await.unwrap();
                for part in text.chunks(100_003) {
                    zip.write(part).await.unwrap();
                }
            }
            let bytes = zip.finish().await.unwrap();
            let made = std::fs::read(path).unwrap();
            assert_eq!(bytes, made.len() as u64);
            made
        };
        let alone = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let made = alone.block_on(make(MemoryBudget::new(MemoryBudget::MINIMUM).unwrap()));
        let many = tokio::runtime::Runtime::new().unwrap();
        assert!(made == many.block_on(make(MemoryBudget::new(4 << 30).unwrap())));

        let mut zip = zip::ZipArchive::new(io::Cursor::new(made)).unwrap();
        assert_eq!(zip.len(), texts.len());
        for (n, text) in texts.iter().enumerate() {
            let mut entry = zip.by_name(&format!("t{n}/documents.jsonl")).unwrap();
            assert_eq!((entry.size(), entry.unix_mode()), (text.len() as u64, Some(0o100_644)));
            assert_eq!(entry.last_modified(), Some(zip::DateTime::default()));
            let mut read = Vec::new();
            // It compares the checksum.
            io::Read::read_to_end(&mut entry, &mut read).unwrap();
            assert!(read == *text);
        }
    }

    #[tokio::test]
    async fn more_entries_than_16_bits_count_are_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut zip = begun(&path).await;
        for n in 0..66_000 {
            zip.entry(format!("t{n}/documents.jsonl")).await.unwrap();
            zip.write(b"{}\n").await.unwrap();
        }
        zip.finish().await.unwrap();
        assert_eq!(python(&path), "66000 3 None");
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_a_stream_without_the_end_of_a_zip() {
        let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
        let target = RestoreTarget::Stream(std::sync::Arc::clone(&file));
        let mut zip = SnapshotZip::create(&target, false, MemoryBudget::default()).await.unwrap();
        drop(target);
        let noise: Vec<u8> = (0..PIECE as u32 * 4).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        zip.entry("t/documents.jsonl".into()).await.unwrap();
        zip.write(&noise).await.unwrap();
        zip.give_up(&crate::monitor::NoMonitor).await;
        // The thread ends by itself.
        while std::sync::Arc::strong_count(&file) > 1 {
            tokio::task::yield_now().await;
        }
        let mut bytes = Vec::new();
        io::Seek::seek(&mut &*file, io::SeekFrom::Start(0)).unwrap();
        io::Read::read_to_end(&mut &*file, &mut bytes).unwrap();
        assert!(bytes.starts_with(b"PK\x03\x04"), "something was written");
        assert!(!bytes.windows(4).any(|magic| magic == b"PK\x01\x02" || magic == b"PK\x05\x06"), "no directory");
    }

    #[tokio::test]
    #[ignore = "half a minute"]
    async fn an_entry_of_more_than_32_bits_of_bytes_is_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut zip = begun(&path).await;
        zip.entry("t/documents.jsonl".into()).await.unwrap();
        let (line, lines) = (vec![b'x'; 1 << 20], 4200u64);
        for _ in 0..lines {
            zip.write(&line).await.unwrap();
        }
        zip.finish().await.unwrap();
        assert_eq!(python(&path), format!("1 {} None", lines << 20));
    }
}
