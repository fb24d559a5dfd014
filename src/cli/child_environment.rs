//! What a program that we run finds in its environment: ours, without the keys of deployments.
//!
//! SQL can read the environment of DuckDB (`getenv`), and what it reads ends in answers, files and logs. Variables of clouds stay:
//! DuckDB finds credentials of stores by itself there.

use std::process::Command;

use super::memory;

/// Takes keys, and what is only for this program, out of the environment of a child.
pub(super) fn clean(child: &mut Command) {
    memory::unset_for(child);
    convex_archiver::without_keys(child);
}
