//! How the program ends when it failed: exit codes, and the one place where an error is printed. When it did not: `outcome`.

use std::{error::Error as _, process::ExitCode};

use convex_archiver::{Error, ErrorKind};
use serde::Serialize;

use super::{output, telemetry};

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
    error: ErrorDescription,
}

#[derive(Serialize)]
struct ErrorDescription {
    kind: &'static str,
    message: String,
    /// From the nearest one down.
    causes: Vec<String>,
    exit_code: u8,
}

impl From<&Error> for ErrorDescription {
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

/// Prints the error with its causes, on stderr, and with `json` as the report too.
pub(crate) fn failure(error: &Error, logging: &telemetry::Logging, json: bool) -> ExitCode {
    let described = ErrorDescription::from(error);
    let code = described.exit_code;
    telemetry::print_error(logging, &described.message, &described.causes);
    if json {
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
        let described = ErrorDescription::from(&error);
        assert_eq!(described.message, "sync: try later");
        assert_eq!(described.causes, ["no", "socket"]);
        let repeated = Error::unavailable("the socket broke").with_source(std::io::Error::other("socket"));
        assert!(ErrorDescription::from(&repeated).causes.is_empty());
    }
}
