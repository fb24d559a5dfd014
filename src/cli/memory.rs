//! glibc's allocator, kept small.
//!
//! It gives each thread an arena of its own, up to eight a core, and what a thread frees stays with its arena: threads that take turns
//! at the same work each keep the most that it ever took. With 60 tables of 960 columns, of which one column takes 100 KiB to write or to
//! read (zstd's contexts), a snapshot took 289 MiB under a limit of 256 with two arenas, deltas 332, a restore 416; with one
//! 199, 232 and 220. Where threads make many small files they wait for each other: `benches/README.md` has what that costs. mimalloc
//! was tried in its place: it keeps what is freed for a while, so that a restore of 2 M documents took 329 MiB (here 116), and a sync of
//! many small files half as much CPU time again where it is told not to.
//!
//! The number of arenas is read from the environment when a program begins, and can otherwise be set only through unsafe code: so the
//! program begins once more, in the same process. Where that is in any doubt it goes on as it is, with more memory.

/// The variable that glibc reads.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Says that the program has begun again. A variable of our own: glibc removes its own from the environment of a program with
/// privileges that its user has not.
const BEGUN_AGAIN: &str = "CONVEX_ARCHIVER_ARENAS";

/// Begins the program again with one arena, unless the environment says how many there are to be.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn with_one_arena() {
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
    drop(again.arg0(name).args(arguments).env(ARENAS, "1").env(BEGUN_AGAIN, "1").exec());
}

/// Only glibc has arenas.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn with_one_arena() {}

/// Takes what is ours out of the environment of a program that we run.
pub(super) fn unset_for(child: &mut std::process::Command) {
    if std::env::var_os(BEGUN_AGAIN).is_some() {
        child.env_remove(ARENAS).env_remove(BEGUN_AGAIN);
    }
}
