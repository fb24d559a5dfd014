//! Deletes what no version of the archive needs any more. Nothing else of this program deletes anything.
//!
//! Two ways lead to it:
//! - [`vacuum_behind`], which each sync does now and then: what commits of more than a week ago have replaced, found in the log. Nothing is
//!   listed, and the work is that of a few commits.
//! - [`vacuum`], the verb: the whole prefix is listed, so that files of runs that died before they could commit are found as well.
//!
//! # What is kept
//! What lives now; what `manifest.json` names; what the two newest checkpoints name; commits, schemas, and what is younger than
//! [`VacuumOptions::min_age`]: a reader of yesterday's version and a run that has not committed yet need it. What does not bear one of our names is left
//! alone and counted.

mod behind;
mod listed;
mod plan;

pub use self::{
    behind::vacuum_behind,
    listed::{VacuumOptions, VacuumReport, vacuum},
};
