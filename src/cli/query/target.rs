//! Where an answer is written: `--output`.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use convex_archiver::{Error, Result};
use tempfile::NamedTempFile;

/// A file that appears whole or not at all, or something else that is there already: a pipe, a device.
pub(super) enum Target {
    /// Beside the place until it is complete; removed when this is dropped before.
    File { written: NamedTempFile, path: PathBuf, force: bool },
    /// Written to as it is, and never removed.
    There(File),
}

/// Names for what this process has open: they may lead to a file, which is not to be replaced by another.
const OPEN: &[&str] = &["/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/"];

impl Target {
    /// # Errors
    /// Usage, if a file is there and is not to be replaced, or if the place cannot be written.
    pub(super) fn new(path: &Path, force: bool) -> Result<Self> {
        let failed = |e| cannot_write(path, e);
        let there = match fs::metadata(path) {
            Ok(there) => Some(there),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(failed(e)),
        };
        let is_open = OPEN.iter().any(|name| path.as_os_str().as_encoded_bytes().starts_with(name.as_bytes()));
        if there.as_ref().is_some_and(|there| is_open || !there.is_file()) {
            return Ok(Self::There(OpenOptions::new().append(true).open(path).map_err(failed)?));
        }
        if there.is_some() && !force {
            return Err(exists(path));
        }
        // A link stays one.
        let path = if there.is_some() { path.canonicalize().map_err(failed)? } else { path.to_owned() };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".convex-archiver-");
        #[cfg(unix)]
        // As every new file: what the umask leaves.
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let written = builder.tempfile_in(folder).map_err(failed)?;
        if let Some(there) = there {
            written.as_file().set_permissions(there.permissions()).map_err(failed)?;
        }
        Ok(Self::File { written, path, force })
    }

    /// For the child's standard output.
    ///
    /// # Errors
    /// Resource, if there are too many open files.
    pub(super) fn open(&self) -> Result<File> {
        match self {
            Self::File { written, .. } => written.as_file().try_clone(),
            Self::There(file) => file.try_clone(),
        }
        .map_err(|e| {
            Error::resource("cannot open the output a second time: raise the limit on open files").with_source(e)
        })
    }

    /// Makes the file appear.
    ///
    /// # Errors
    /// Usage, if something has appeared there meanwhile.
    pub(super) fn finish(self) -> Result<()> {
        let Self::File { written, path, force } = self else { return Ok(()) };
        let kept = if force { written.persist(&path) } else { written.persist_noclobber(&path) };
        match kept {
            Ok(_) => Ok(()),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(e) => Err(cannot_write(&path, e.error)),
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::usage(format!("{} already exists: name another file, or replace it with --force", path.display()))
}

fn cannot_write(path: &Path, e: std::io::Error) -> Error {
    Error::usage(format!("--output {}: cannot write to it", path.display())).with_source(e)
}
