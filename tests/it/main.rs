//! What the library can do, one file per capability.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod advice;
mod broken_pages;
mod conformance;
mod crash;
mod encodings;
mod histories;
mod large;
mod read;
mod recordings;
mod refusals;
mod restore;
mod rotation;
mod second_protocol;
mod selecting;
mod selection;
mod served;
mod support;
mod sync;
mod windows;
mod years;
