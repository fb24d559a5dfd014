//! How the program ends: exit codes, and the one place where an error is printed.

use std::{error::Error as _, process::ExitCode};

use convex_archiver::{Error, ErrorKind};
use serde::Serialize;

use super::{Cli, output, telemetry};

/// How a verb ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, also when stopped at a commit.
    Done,
    /// Done, but there is something to look at.
    Findings,
    /// Failed, and why was told by the program that did.
    Failed,
    /// Ended by a signal, with nothing left behind.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Findings => Self::from(3),
            Outcome::Failed => Self::FAILURE,
            Outcome::Interrupted => Self::from(INTERRUPTED),
        }
    }
}

/// After an interrupt, as shells count signals; of a sync after a second one.
pub(crate) const INTERRUPTED: u8 = 130;

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Conflict => 4,
        ErrorKind::Unavailable => 5,
        _ => 1,
    }
}

/// An error as a report.
#[derive(Serialize)]
struct Failure {
    error: Described,
}

#[derive(Serialize)]
struct Described {
    kind: &'static str,
    message: String,
    /// From the nearest one down.
    causes: Vec<String>,
    exit_code: u8,
}

impl From<&Error> for Described {
    fn from(error: &Error) -> Self {
        let message = error.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut cause = error.source();
        while let Some(next) = cause {
            let text = next.to_string();
            // Many libraries repeat the cause of the cause in their own text.
            if !causes.iter().chain([&message]).any(|said| said.contains(&text)) {
                causes.push(text);
            }
            cause = next.source();
        }
        Self { kind: error.kind().as_str(), message, causes, exit_code: code(error.kind()) }
    }
}

/// Prints the error with its causes, on stderr, and as the report where one was asked for as JSON.
pub(crate) fn failure(error: &Error, cli: &Cli) -> ExitCode {
    let described = Described::from(error);
    let code = described.exit_code;
    telemetry::print_error(&cli.logging, &described.message, &described.causes);
    if cli.json() {
        // What cannot be written to stdout cannot be reported there either.
        let _ = output::print_json(&Failure { error: described });
    }
    code.into()
}

/// The runtime did not start.
pub(crate) fn no_threads(error: std::io::Error) -> Error {
    Error::resource("cannot start threads: raise the limit of processes or memory").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_code_of_what_the_caller_does() {
        for (kind, expected) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::Conflict, 4),
            (ErrorKind::Unavailable, 5),
            (ErrorKind::NotFound, 1),
            (ErrorKind::Access, 1),
            (ErrorKind::Protocol, 1),
            (ErrorKind::Window, 1),
            (ErrorKind::Corrupt, 1),
            (ErrorKind::Resource, 1),
            (ErrorKind::Unsupported, 1),
            (ErrorKind::Internal, 1),
        ] {
            assert_eq!(code(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn an_error_is_described_with_all_its_causes() {
        let inner = Error::access("no").with_source(std::io::Error::other("socket"));
        let error = Error::unavailable("try later").with_source(inner).context("sync");
        let described = Described::from(&error);
        assert_eq!(described.message, "sync: try later");
        assert_eq!(described.causes, ["no", "socket"]);
        let repeated = Error::unavailable("the socket broke").with_source(std::io::Error::other("socket"));
        assert!(Described::from(&repeated).causes.is_empty());
    }
}
