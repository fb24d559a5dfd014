//! A model of the format, and random histories of it: which rules does an archive need that lives, is compacted, corrected,
//! forgotten and erased in, by two writers who do not know of each other?
//!
//! Everything is plain data in memory. [`truth`] is the deployment, [`draft`] a commit, [`archive`] and [`fold`] what commits add
//! up to, [`plans`] what the writers want, [`race`] what becomes of it on a later head, [`check`] what is promised, [`harms`]
//! what no commit may say, [`rules`] the rules, each with a switch, [`history`] one random run. A failing seed prints itself and its commits:
//! `CONVEX_ARCHIVER_SEEDS=17..18 cargo test --test model` runs it alone, `0..1000000` many.
//!
//! The archive itself lives through the same histories, as a [`history::Twin`]: `src/archive/model_tests`.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

pub(crate) mod archive;
mod check;
pub(crate) mod draft;
mod fold;
pub(crate) mod harms;
pub(crate) mod history;
mod plans;
pub(crate) mod race;
pub(crate) mod rules;
pub(crate) mod truth;
