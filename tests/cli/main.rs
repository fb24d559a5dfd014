//! The real program as a child process: exit codes, stdout, JSON, what never appears anywhere. One file per verb.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test ends where something is missing.
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment how much to do, and start processes")]

mod audit;
mod check;
mod compact;
mod completions;
mod copy;
mod damage;
mod demo;
mod documents;
mod doubted;
mod forget;
#[path = "../it/support/held.rs"]
mod held;
mod help;
mod init;
mod into;
mod job;
mod kill;
#[cfg(target_os = "linux")]
mod large_pages;
mod listeners;
mod memory;
mod mistakes;
mod newer_program;
#[path = "../it/support/not_told.rs"]
mod not_told;
mod on_a_terminal;
mod overlap;
mod own_bases;
mod past;
#[cfg(target_os = "linux")]
mod query;
mod reading;
mod refusals;
mod repair;
mod reports;
mod restore;
mod selection;
mod serve;
mod simulate;
mod status;
mod support;
#[cfg(unix)]
mod surroundings;
mod sync;
mod undo;
#[cfg(target_os = "linux")]
mod unwritable;
mod verify;
#[cfg(target_os = "linux")]
mod wide;
