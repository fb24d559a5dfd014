//! [`SnapshotZip`]: entries of text → one ZIP file on a local disk, which appears whole or not at all.
//!
//! ```text
//! entry(), write() ─ pieces of one size, a few queued ─> thread: deflate ─> temporary file beside ─ renamed at the end
//! ```
//!
//! The same entries give the same bytes, whatever the memory limit and the time of day: times are those of the ZIP format's
//! beginning, modes are 0644, and the compressor is fed pieces of one size.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;
use tokio::sync::{mpsc, oneshot};
use zip::{CompressionMethod, DateTime, ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::{
    error::{Error, Result},
    store::disk_error,
};

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Pieces that wait for the compressor.
const QUEUED: usize = 4;
/// Level of deflate. Text of documents shrinks little further above it, and takes twice the time.
const LEVEL: i64 = 4;

/// A ZIP file on its way. Dropped before [`finish`](Self::finish), it leaves nothing.
pub(super) struct SnapshotZip {
    steps: mpsc::Sender<Step>,
    held: Vec<u8>,
    outcome: Option<oneshot::Receiver<Result<u64>>>,
    /// The temporary file, removed when this is dropped.
    partial: TempPath,
    /// Where it is to appear.
    path: PathBuf,
    overwrite: bool,
}

enum Step {
    Entry(String),
    Bytes(Vec<u8>),
    Finish,
}

impl SnapshotZip {
    /// Begins the file at `path`. Nothing is there before it is finished.
    ///
    /// # Errors
    /// Usage, if something is there and must not be overwritten, or there is no such folder; Access or Resource, as the disk has
    /// it.
    pub(super) fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let shown = path.display();
        if path.is_dir() {
            return Err(Error::usage(format!("{shown} is a folder: name a file in it, such as {shown}/backup.zip")));
        }
        if !overwrite && fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        // A link stays, and what it leads to is replaced; a pipe or a device cannot appear whole.
        let path = &match fs::metadata(path) {
            Ok(there) if !there.is_file() => {
                return Err(Error::usage(format!("{shown} is no regular file: name another one")));
            }
            Ok(_) => path.canonicalize().map_err(|e| disk_error(e, &format!("cannot look at {shown}")))?,
            Err(_) => path.to_owned(),
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::usage(format!("there is no folder {}: make it first", folder.display())));
        }
        let mut builder = tempfile::Builder::new();
        // Whoever may read it is for the umask to say, as of any file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.prefix(".restore-").suffix(".partial").tempfile_in(folder);
        let on_disk = |e| disk_error(e, &format!("cannot write to {}", folder.display()));
        let file = file.map_err(on_disk)?;
        if let Ok(there) = fs::metadata(path) {
            // What is replaced may be for its owner only.
            file.as_file().set_permissions(there.permissions()).map_err(on_disk)?;
        }
        let (file, partial) = file.into_parts();
        let (steps, queue) = mpsc::channel(QUEUED);
        let (outcome, receiver) = oneshot::channel();
        let shown = shown.to_string();
        std::thread::Builder::new()
            .name("zip".into())
            // Whoever gave up does not want to know.
            .spawn(move || drop(outcome.send(run(file, &shown, queue))))
            .map_err(|e| Error::resource("the system gives no thread to write the ZIP").with_source(e))?;
        let path = path.to_owned();
        Ok(Self { steps, held: Vec::with_capacity(PIECE), outcome: Some(receiver), partial, path, overwrite })
    }

    /// Begins the next entry; what is written from now on is in it.
    pub(super) async fn entry(&mut self, name: String) -> Result<()> {
        self.flush().await?;
        self.step(Step::Entry(name)).await
    }

    /// Appends to the entry.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
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

    /// Makes the file appear; answers its bytes.
    ///
    /// # Errors
    /// Usage, if something has appeared there meanwhile; as the disk has it.
    pub(super) async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        self.step(Step::Finish).await?;
        let bytes = self.outcome().await?;
        let Self { partial, path, overwrite, .. } = self;
        let kept = if overwrite { partial.persist(&path) } else { partial.persist_noclobber(&path) };
        match kept {
            Ok(()) => Ok(bytes),
            Err(e) if !overwrite && e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(e) => Err(disk_error(e.error, &format!("cannot write {}", path.display()))),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(PIECE));
        self.step(Step::Bytes(piece)).await
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        if self.steps.send(step).await.is_ok() {
            return Ok(());
        }
        // The thread has ended early, and its outcome says why.
        self.outcome().await.and_then(|_| Err(Error::internal("a ZIP was complete before its last entry")))
    }

    async fn outcome(&mut self) -> Result<u64> {
        let ended = || Error::internal("the thread that writes the ZIP has ended without a word");
        match self.outcome.take() {
            Some(outcome) => outcome.await.map_err(|_| ended())?,
            None => Err(ended()),
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::usage(format!("{} is there already: name another file, or say --force to replace it", path.display()))
}

fn run(file: File, shown: &str, mut steps: mpsc::Receiver<Step>) -> Result<u64> {
    let on_disk = |e| disk_error(e, &format!("cannot write {shown}"));
    let failed = |e| match e {
        ZipError::Io(e) => on_disk(e),
        e => Error::internal("the ZIP cannot be written: report it").with_source(e),
    };
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        // How long an entry becomes is not known when it begins.
        .large_file(true);
    let mut zip = ZipWriter::new(BufWriter::with_capacity(PIECE, file));
    loop {
        match steps.blocking_recv() {
            Some(Step::Entry(name)) => zip.start_file(name, options).map_err(failed)?,
            Some(Step::Bytes(bytes)) => zip.write_all(&bytes).map_err(on_disk)?,
            Some(Step::Finish) => break,
            None => return Err(Error::internal("a ZIP was abandoned before it was complete")),
        }
    }
    let file = zip.finish().map_err(failed)?.into_inner().map_err(|e| on_disk(e.into_error()))?;
    file.sync_all().map_err(on_disk)?;
    file.metadata().map(|there| there.len()).map_err(on_disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python's opinion of a file: how many entries, bytes of the first, and whether all can be read.
    fn python(path: &Path) -> String {
        let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nprint(len(z.infolist()), z.infolist()[0].file_size, z.testzip())";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[tokio::test]
    async fn more_entries_than_16_bits_count_are_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut zip = SnapshotZip::create(&path, false).unwrap();
        for n in 0..66_000 {
            zip.entry(format!("t{n}/documents.jsonl")).await.unwrap();
            zip.write(b"{}\n").await.unwrap();
        }
        zip.finish().await.unwrap();
        assert_eq!(python(&path), "66000 3 None");
    }

    #[tokio::test]
    #[ignore = "half a minute"]
    async fn an_entry_of_more_than_32_bits_of_bytes_is_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut zip = SnapshotZip::create(&path, false).unwrap();
        zip.entry("t/documents.jsonl".into()).await.unwrap();
        let (line, lines) = (vec![b'x'; 1 << 20], 4200u64);
        for _ in 0..lines {
            zip.write(&line).await.unwrap();
        }
        zip.finish().await.unwrap();
        assert_eq!(python(&path), format!("1 {} None", lines << 20));
    }
}
