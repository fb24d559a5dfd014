//! Temporary files: without a name, so that they vanish with the process, however it ends.

use std::{
    fs::File,
    io::{self, ErrorKind},
};

use crate::error::{Error, Result};

/// A new one, in the folder that `--temp-dir` names, else `TMPDIR`, else the system.
///
/// # Errors
/// Resource, if that folder takes none.
pub(crate) fn file() -> Result<File> {
    tempfile::tempfile().map_err(failed)
}

/// A temporary file could not be made, written or read: which folder it is about, and what to do.
pub(crate) fn failed(e: io::Error) -> Error {
    let folder = tempfile::env::temp_dir();
    let folder = folder.display();
    let what = match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("the folder for temporary files, {folder}, is full: free space there")
        }
        ErrorKind::NotFound => format!("the folder for temporary files, {folder}, does not exist: create it"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("the folder for temporary files, {folder}, is not writable: change its permissions")
        }
        _ => format!("a temporary file in {folder} cannot be used"),
    };
    Error::resource(format!("{what}, or choose another folder (--temp-dir, TMPDIR)")).with_source(e)
}
