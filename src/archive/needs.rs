//! What a program must know to read an archive, or to write to it.
//!
//! The header of an archive is never rewritten, so an archive that lives cannot be raised to a newer format there. Instead
//! each commit may name words: who does not know a word of the readers must not read on, who does not know a word of the
//! writers must not write on. From that commit on they hold for ever: the head keeps them all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// This program, as commits name it.
pub(super) const PROGRAM: &str = concat!("convex-archiver/", env!("CARGO_PKG_VERSION"));

/// Words that this program knows, for readers. The scripts for other engines know as many.
pub(crate) const READERS: &[&str] = &[];
/// Words that this program knows, for writers.
const WRITERS: &[&str] = &[];

/// Words that name what a program must know. None so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// To read: without knowing them all, what the archive says may be misunderstood.
    pub readers: BTreeSet<String>,
    /// To write: without knowing them all, what is written may break what holds.
    pub writers: BTreeSet<String>,
}

impl Needs {
    /// All words of both.
    pub(super) fn add(&mut self, more: &Self) {
        self.readers.extend(more.readers.iter().cloned());
        self.writers.extend(more.writers.iter().cloned());
    }

    /// # Errors
    /// Unsupported, if there is a word for readers that this program does not know; `of` is what needs it, written by
    /// `program`.
    pub(super) fn check_reader(&self, of: &str, program: &str) -> Result<()> {
        check(&self.readers, READERS, of, program, "read")
    }

    /// # Errors
    /// Unsupported, if there is a word for writers that this program does not know.
    pub(super) fn check_writer(&self, of: &str, program: &str) -> Result<()> {
        check(&self.writers, WRITERS, of, program, "write to")
    }
}

fn check(words: &BTreeSet<String>, known: &[&str], of: &str, program: &str, verb: &str) -> Result<()> {
    let unknown: Vec<_> = words.iter().filter(|word| !known.contains(&word.as_str())).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{of} was written by {program} and needs a program that supports `{}`, which {} does not: use {program} or a \
         newer one to {verb} this archive",
        unknown.join("`, `"),
        PROGRAM,
    )))
}
