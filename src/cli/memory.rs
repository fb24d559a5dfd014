//! glibc's allocator, kept small.
//!
//! It gives each thread an arena of its own, up to eight a core, and what a thread frees stays with its arena: threads that take turns
//! at the same work each keep the most that it ever took. The restore of 2 M documents under a limit of 256 MiB took 327 MiB so, and
//! takes 130 to 152 with two arenas, in the same CPU time; `sync` takes 88 to 133 MiB instead of 116 to 149. With one arena the threads wait for
//! each other (deltas: 10 % more CPU).
//!
//! The number of arenas is read from the environment when a program begins, and can otherwise be set only through unsafe code: so the
//! program begins once more, in the same process. Where that is in any doubt it goes on as it is, with more memory.

/// The variable that glibc reads.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Says that the program has begun again. A variable of our own: glibc removes its own from the environment of a program with
/// privileges that its user has not.
const BEGUN_AGAIN: &str = "CONVEX_ARCHIVER_ARENAS";

/// Begins the program again with two arenas, unless the environment says how many there are to be.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn with_two_arenas() {
    use std::os::unix::process::CommandExt;
    let told = |name| std::env::var_os(name).is_some();
    if told(BEGUN_AGAIN) || told(ARENAS) || told("GLIBC_TUNABLES") {
        return;
    }
    let mut arguments = std::env::args_os();
    // By its own path and name, so that it keeps its name. Behind a loader, or a link of another name, it is not this program.
    let (Some(name), Ok(program)) = (arguments.next(), std::fs::read_link("/proc/self/exe")) else { return };
    if program.file_name() != std::path::Path::new(&name).file_name() || !program.is_file() {
        return;
    }
    let mut again = std::process::Command::new(program);
    // A failure leaves everything as it was, but that a reader that goes away would end the program: `signals` mends that.
    drop(again.arg0(name).args(arguments).env(ARENAS, "2").env(BEGUN_AGAIN, "2").exec());
}

/// Only glibc has arenas.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn with_two_arenas() {}

/// Takes what is ours out of the environment of a program that we run.
pub(super) fn unset_for(child: &mut std::process::Command) {
    if std::env::var_os(BEGUN_AGAIN).is_some() {
        child.env_remove(ARENAS).env_remove(BEGUN_AGAIN);
    }
}
