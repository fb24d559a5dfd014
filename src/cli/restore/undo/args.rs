//! [`UndoArgs`]: the flags, whose comments are the help.

use clap::{Args, ValueEnum};
use convex_archiver::read::{FieldMatch, Moment};

/// What belongs to an undo.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(next_help_heading = "Undo")]
pub(in super::super) struct UndoArgs {
    /// Undo the changes that were made between two moments, document by document: what was deleted comes back, what was changed
    /// becomes what it was. Documents that were changed again since are listed and left alone. Writes a ZIP with the whole of each
    /// touched table as it is now, with these documents put back, for `npx convex import --replace`
    #[arg(long, requires_all = ["from", "to"], conflicts_with_all = ["as_of", "accept_damage"])]
    pub(in super::super) undo: bool,
    /// The last moment before the changes that are to be undone
    #[arg(long, value_name = "MOMENT", requires = "undo")]
    pub(in super::super) from: Option<Moment>,
    /// The moment after them; 'now' undoes everything since
    #[arg(long, value_name = "MOMENT", requires = "undo")]
    pub(in super::super) to: Option<Moment>,
    /// Only documents whose field had this value before the changes: a field of the document, or of an object in it with dots
    /// (author.name); the value as JSON, or as plain text. May be repeated: all must hold
    #[arg(long = "match", value_name = "FIELD=VALUE", requires = "undo")]
    pub(super) matching: Vec<FieldMatch>,
    /// Also undo documents that were changed again after --to: those later changes are lost
    #[arg(long, requires = "undo")]
    pub(super) over_later_writes: bool,
    /// Also remove the documents that were inserted between the two moments
    #[arg(long, requires = "undo")]
    pub(super) inserted: bool,
    /// What is written: a ZIP; or a mutation and batches that it is called with, into a new folder, which changes documents while
    /// the app runs but cannot bring deleted ones back
    #[arg(long = "as", value_enum, value_name = "FORM", default_value = "zip", requires = "undo")]
    pub(super) form: Form,
    /// With --plan: name each document, and what becomes of it
    #[arg(long, requires = "undo", requires = "plan")]
    pub(super) documents: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A ZIP for `npx convex import --replace`
    Zip,
    /// A folder with a mutation
    Mutation,
}
