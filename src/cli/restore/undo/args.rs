//! [`UndoArgs`]: the flags, whose comments are the help.

use clap::{Args, ValueEnum};
use convex_archiver::read::{FieldMatch, Moment};

/// What belongs to an undo.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[command(next_help_heading = "Undo")]
pub(in super::super) struct UndoArgs {
    /// Undo the changes that were made between two moments, document by document: deleted documents come back, changed
    /// ones get their earlier values. Documents that were changed again later are reported and left alone. Writes a ZIP
    /// for `npx convex import --replace` that holds each touched table in full as it is now, with these documents put
    /// back
    #[arg(long, requires_all = ["from", "to"], conflicts_with_all = ["as_of", "accept_damage"])]
    pub(in super::super) undo: bool,
    /// The last moment before the changes that are to be undone
    #[arg(long, value_name = "MOMENT", requires = "undo")]
    pub(in super::super) from: Option<Moment>,
    /// The moment after the changes; 'now' undoes everything since --from
    #[arg(long, value_name = "MOMENT", requires = "undo")]
    pub(in super::super) to: Option<Moment>,
    /// Only documents in which this field had this value before the changes. FIELD may use dots for a field of an
    /// object (author.name); VALUE is JSON or plain text. May be repeated: all must match
    #[arg(long = "match", value_name = "FIELD=VALUE", requires = "undo")]
    pub(super) matching: Vec<FieldMatch>,
    /// Also undo documents that were changed again after --to; those later changes are lost
    #[arg(long, requires = "undo")]
    pub(super) over_later_writes: bool,
    /// Also remove the documents that were inserted between the two moments
    #[arg(long, requires = "undo")]
    pub(super) inserted: bool,
    /// What to write: a ZIP, or a new folder with a mutation and batches to call it with. The mutation changes
    /// documents while the app runs, but cannot bring deleted ones back
    #[arg(long = "as", value_enum, value_name = "FORM", default_value = "zip", requires = "undo")]
    pub(super) form: Form,
    /// With --plan: list each document and what happens to it
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
