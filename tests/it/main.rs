//! What the library can do, one file per capability.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod broken_pages;
mod conformance;
mod crash;
mod model;
mod read;
mod recordings;
mod support;
mod sync;
