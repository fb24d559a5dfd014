//! What the demo prints of its own, and what it says of a folder that cannot be used.

use std::{io, path::Path};

use convex_archiver::{Error, Result};

use super::super::output;

pub(super) fn failed(path: &Path, e: io::Error) -> Error {
    Error::resource(format!("cannot use {}: choose another folder with --dir", path.display())).with_source(e)
}

pub(super) fn heading(text: &str) -> Result<()> {
    output::print(&format!("\n== {text}\n"))
}

pub(super) fn say(text: &str) -> Result<()> {
    output::print(text)
}
