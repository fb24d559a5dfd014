//! The program: flags → one verb → one exit code. Everything it does is a call of the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, exit, memory, telemetry};

/// musl's own allocator has one lock for all threads. What this one keeps of freed memory counts against a limit, see `cli/memory.rs`.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::with_one_arena();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return exit::not_run(&exit::with_our_words(told)),
    };
    let screen = telemetry::init(&cli.logging);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&exit::no_threads(error), &screen, cli.json()),
    };
    let ended = runtime.block_on(cli::run(&cli, &screen));
    // What a second stage still waits for (a name look-up, say) must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::failure(&error, &screen, cli.json()),
    }
}
