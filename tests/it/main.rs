//! What the library can do, one file per capability.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do, and start processes")]

mod advice;
mod audit;
mod broken_pages;
mod compact;
mod components;
mod conformance;
mod copy;
mod crash;
mod data_sync;
mod doubted;
mod download;
mod encodings;
mod explained;
mod fed;
mod forget;
mod histories;
mod imports;
mod keeping_up;
mod large;
mod lost;
mod noticed;
mod own_bases;
mod parts;
mod read;
mod recordings;
mod refusals;
mod repair;
mod restore;
mod rotation;
mod same_database;
mod second_protocol;
mod selecting;
mod selection;
mod served;
mod support;
mod sync;
mod undo;
mod untold;
mod vacuum;
mod verify;
mod windows;
mod years;
