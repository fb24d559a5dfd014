//! [`RestoreTarget`]: where a ZIP goes; and how it appears there.
//!
//! | target | appears | until then |
//! |---|---|---|
//! | a file | by a rename, which replaces nothing unless it may | a file `.restore-….partial` beside it |
//! | an object | with the last request of its upload | parts that nobody sees, given up if it fails |
//! | a stream | as it is made: no promise | a ZIP without its end, which no reader takes |
//!
//! # What an object may replace
//! Stores do not complete an upload in parts only if the object is absent. So it is looked for before the first byte and
//! again before the last request: of two restores that end there at the same moment, the later one stays.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::{ObjectStore, path::Path as ObjectPath};
use tempfile::TempPath;
use tokio::sync::mpsc;

use crate::{
    budget::MemoryBudget,
    error::{Error, Result},
    monitor::{Event, Monitor},
    store::{FilePlace, Settings, Upload, disk_error, exists_at},
};

/// Where a restore's ZIP goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RestoreTarget {
    /// A file on a local disk. It appears whole or not at all.
    File(PathBuf),
    /// An object of a store. It appears whole or not at all.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The object's path in it.
        path: ObjectPath,
        /// The place as messages name it.
        url: String,
    },
    /// A pipe or a socket, say, written to as the ZIP is made. Of a restore that fails it gets a ZIP without its end.
    Stream(Arc<File>),
}

impl RestoreTarget {
    /// The target that an URL names: `s3://bucket/a.zip`, `gs://…`, `az://…`, `file:///…` or a path.
    ///
    /// # Errors
    /// Usage, if it names no file or object, or a setting is missing; Access, if there are no credentials.
    pub fn open(url: &str, settings: &Settings) -> Result<Self> {
        Ok(match FilePlace::open(url, settings)? {
            FilePlace::Disk(path) => Self::File(path),
            FilePlace::Object { store, path, url } => Self::Object { store, path, url },
        })
    }
}

impl Default for RestoreTarget {
    /// The file without a name, which cannot be written.
    fn default() -> Self {
        Self::File(PathBuf::new())
    }
}

impl<P: AsRef<Path>> From<P> for RestoreTarget {
    fn from(path: P) -> Self {
        Self::File(path.as_ref().to_owned())
    }
}

/// A target, while the ZIP is made.
pub(super) enum Opened {
    File(NewFile),
    Object(NewObject),
    Stream,
}

/// A file that appears at the end.
pub(super) struct NewFile {
    /// The temporary file until it has appeared, removed when this is dropped.
    partial: Option<TempPath>,
    /// Where it is to appear.
    path: PathBuf,
    overwrite: bool,
}

/// An object that appears at the end.
pub(super) struct NewObject {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    url: String,
    overwrite: bool,
    upload: Upload,
    /// What is to be uploaded.
    made: mpsc::Receiver<Vec<u8>>,
}

/// Where the thread that makes the ZIP puts it.
pub(super) struct Sink {
    pub(super) to: Box<dyn Write + Send>,
    /// The file, to be made durable at the end.
    pub(super) file: Option<File>,
    /// The place as messages name it.
    pub(super) shown: String,
}

/// Hands on what is written, and waits until it is wanted.
struct Pieces(mpsc::Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Pieces of an object that wait to be uploaded.
const WAITING: usize = 2;

impl Opened {
    /// Begins at `target`. Nothing is to be seen there before it has appeared.
    ///
    /// # Errors
    /// Usage, if something is there and must not be overwritten, or there is no such folder; as the disk or the store has it.
    pub(super) async fn open(target: &RestoreTarget, overwrite: bool, budget: MemoryBudget) -> Result<(Self, Sink)> {
        match target {
            RestoreTarget::File(path) => {
                let (new, file) = NewFile::create(path, overwrite)?;
                let kept = file.try_clone().map_err(|e| disk_error(e, &format!("cannot write {}", path.display())))?;
                let sink = Sink { to: Box::new(file), file: Some(kept), shown: path.display().to_string() };
                Ok((Self::File(new), sink))
            }
            RestoreTarget::Object { store, path, url } => {
                let (sender, made) = mpsc::channel(WAITING);
                let upload = Upload::new(Arc::clone(store), path.clone()).in_parts_of(budget.zip_part());
                let (store, path, url) = (Arc::clone(store), path.clone(), url.clone());
                let mut new = NewObject { store, path, url: url.clone(), overwrite, upload, made };
                new.refuse_other().await?;
                Ok((Self::Object(new), Sink { to: Box::new(Pieces(sender)), file: None, shown: url }))
            }
            RestoreTarget::Stream(stream) => {
                let sink = Sink { to: Box::new(Arc::clone(stream)), file: None, shown: "the output".to_owned() };
                Ok((Self::Stream, sink))
            }
        }
    }

    /// What was made meanwhile and is to be [taken on](Self::take_on); None once nothing more is to come. Dropping the future
    /// before it is ready loses nothing.
    pub(super) async fn made(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Object(new) => new.made.recv().await,
            Self::File(_) | Self::Stream => None,
        }
    }

    pub(super) async fn take_on(&mut self, mut made: Vec<u8>) -> Result<()> {
        match self {
            Self::Object(new) => new.upload.push(&mut made).await,
            Self::File(_) | Self::Stream => Ok(()),
        }
    }

    /// Makes it appear.
    ///
    /// # Errors
    /// Usage, if something has appeared there meanwhile; as the disk or the store has it.
    pub(super) async fn appear(&mut self) -> Result<()> {
        match self {
            Self::File(new) => new.appear(),
            Self::Object(new) => new.appear().await,
            Self::Stream => Ok(()),
        }
    }

    /// Leaves nothing.
    pub(super) async fn give_up(self, monitor: &dyn Monitor) {
        let Self::Object(NewObject { upload, .. }) = self else { return };
        if let Some(finding) = upload.abort().await {
            monitor.report(Event::Finding(&finding));
        }
    }
}

impl NewFile {
    fn create(path: &Path, overwrite: bool) -> Result<(Self, File)> {
        let shown = path.display();
        if path.is_dir() {
            return Err(Error::usage(format!("{shown} is a folder: name a file in it, such as {shown}/backup.zip")));
        }
        if !overwrite && fs::symlink_metadata(path).is_ok() {
            return Err(is_there(&shown));
        }
        // A link stays, and what it leads to is replaced; a pipe or a device cannot appear whole.
        let path = &match fs::metadata(path) {
            Ok(there) if !there.is_file() => {
                return Err(Error::usage(format!(
                    "{shown} is not a regular file: name another one, or - for standard output"
                )));
            }
            Ok(_) => path.canonicalize().map_err(|e| disk_error(e, &format!("cannot access {shown}")))?,
            Err(_) => path.to_owned(),
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::usage(format!("the folder {} does not exist: create it first", folder.display())));
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
        Ok((Self { partial: Some(partial), path: path.to_owned(), overwrite }, file))
    }

    fn appear(&mut self) -> Result<()> {
        let (Some(partial), path) = (self.partial.take(), &self.path) else { return Ok(()) };
        let kept = if self.overwrite { partial.persist(path) } else { partial.persist_noclobber(path) };
        match kept {
            Ok(()) => Ok(()),
            Err(e) if !self.overwrite && e.error.kind() == ErrorKind::AlreadyExists => Err(is_there(&path.display())),
            Err(e) => Err(disk_error(e.error, &format!("cannot write {}", path.display()))),
        }
    }
}

impl NewObject {
    /// Of itself alone, since an upload cannot be shared between threads.
    async fn refuse_other(&mut self) -> Result<()> {
        let there = !self.overwrite && exists_at(&self.store, &self.path).await?;
        if there { Err(is_there(&self.url)) } else { Ok(()) }
    }

    async fn appear(&mut self) -> Result<()> {
        self.refuse_other().await?;
        self.upload.finish().await
    }
}

fn is_there(place: &impl std::fmt::Display) -> Error {
    Error::usage(format!("{place} already exists: choose another location, or replace it with --force"))
}
