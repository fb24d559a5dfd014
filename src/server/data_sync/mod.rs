//! `/api/v1/data/sync` and what belongs to it: whole tables first, then every change, with a word where a table begins anew.
//!
//! A page says which tables to empty (`truncates`) before its documents are taken. Tables are told apart as they are stored:
//! one that an import replaced is another, and one that an import is still filling, or left behind, counts as well, under
//! the same name. So around imports what a client is told differs from what a snapshot shows, here as in Convex. Tables that
//! are dropped or no longer asked for are not mentioned.

mod active;
mod args;
mod convert;
mod cursor;
mod page;
mod sync;

pub(crate) use self::{
    active::active_syncs,
    convert::cursor_from_deltas,
    cursor::{open, seal},
    sync::sync,
};
