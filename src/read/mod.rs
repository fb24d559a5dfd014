//! Verbs that look at the past. Everything here works from the archive alone, without the deployment, on every store, and
//! says at which `_ts` it reads.
//!
//! [`Moment`] is what a person says of time; [`State`] is a table at a moment, and what restore, export, comparison and our
//! own server stand on.

mod ahead;
mod files;
mod keyed;
mod merge;
mod moment;
mod sort;
mod state;
#[cfg(test)]
mod testing;

pub use self::{
    files::{FilesByTable, TableFiles},
    moment::{Moment, base_at, in_full},
    state::{Columns, State, StateBatch, StateDocuments, StateOptions},
};
