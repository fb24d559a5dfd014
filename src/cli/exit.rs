//! How the program ends when it failed: exit codes, and how an error is printed. When it did not: `outcome`.

use std::{error::Error as _, ffi::OsString, io, process::ExitCode};

use clap::{
    CommandFactory,
    error::{
        ContextKind, ContextValue,
        ErrorKind::{InvalidSubcommand, MissingRequiredArgument, UnknownArgument},
    },
};
use convex_archiver::{Error, ErrorKind};
use serde::Serialize;

use super::{Cli, output, telemetry::Screen};

fn code(kind: ErrorKind) -> u8 {
    match kind {
        // What is set up wrong: a flag, a variable, a key, a permission. Nothing comes of running again.
        ErrorKind::Usage | ErrorKind::Access => 2,
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
pub(crate) struct ErrorDescription {
    pub(crate) kind: &'static str,
    message: String,
    /// From the nearest one down.
    causes: Vec<String>,
    pub(crate) exit_code: u8,
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
pub(crate) fn failure(error: &Error, screen: &Screen, json: bool) -> ExitCode {
    let described = ErrorDescription::from(error);
    let code = described.exit_code;
    print(&described, screen);
    if json {
        // What cannot be written to stdout cannot be reported there either.
        let _ = output::print_json(&Failure { error: described });
    }
    code.into()
}

/// Prints it on stderr.
pub(crate) fn print(described: &ErrorDescription, screen: &Screen) {
    screen.print_error(&described.message, &described.causes);
}

/// Verbs of other programs, and ours that do the same: of restic, pgBackRest, Convex's own CLI, and of shells.
const OTHER_WORDS: [(&[&str], &str); 14] = [
    (&["snapshots", "snapshot", "info", "stats", "show"], "status"),
    (&["ls", "list", "list-tables"], "tables"),
    (&["backup", "archive", "run", "pull"], "sync"),
    (&["dump", "recover", "import", "stanza-restore"], "restore"),
    (&["prune", "expire", "gc", "clean", "cleanup"], "vacuum"),
    (&["fsck", "validate"], "verify"),
    (&["doctor", "test", "ping"], "check"),
    (&["find", "revisions", "blame"], "history"),
    (&["cat", "document", "doc"], "get"),
    (&["data", "rows", "head", "peek"], "documents"),
    (&["changes", "transactions", "events"], "log"),
    (&["sql", "duckdb", "select"], "query"),
    (&["setup", "configure", "install", "schedule"], "init"),
    (&["replicate", "mirror", "clone"], "copy"),
];

/// With what clap does not know to say: our word for the verb that somebody knows from another program, and where an archive or a key may come from.
pub(crate) fn with_our_words(mut told: clap::Error) -> clap::Error {
    let tip = match (told.kind(), told.get(ContextKind::InvalidSubcommand), told.get(ContextKind::InvalidArg)) {
        (InvalidSubcommand, Some(ContextValue::String(word)), _) => {
            if let Some((_, ours)) = OTHER_WORDS.iter().find(|(words, _)| words.contains(&word.as_str())) {
                told.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![(*ours).to_owned()]));
            }
            return told;
        }
        (MissingRequiredArgument, _, Some(ContextValue::Strings(missing)))
            if missing.iter().any(|argument| argument.starts_with("--archive ")) =>
        {
            "the archive may also stand in the environment variable CONVEX_ARCHIVE"
        }
        (UnknownArgument, _, Some(ContextValue::String(flag)))
            if ["--deploy-key", "--admin-key", "--key"].contains(&flag.as_str()) =>
        {
            "a key is never a flag, because others on the machine can read flags: set CONVEX_DEPLOY_KEY, or use --deploy-key-file or --deploy-key-command"
        }
        _ => return told,
    };
    told.remove(ContextKind::SuggestedArg);
    told.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    told
}

/// The end of a command line that asks for help or for the version, or is wrong: then also as a report, where one was asked for.
pub(crate) fn not_run(told: &clap::Error) -> ExitCode {
    let printed = told.print();
    if !told.use_stderr() {
        return match printed {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    if asks_for_a_report(std::env::args_os()) {
        let text = told.to_string();
        // Behind the first empty line: how it is used.
        let text = text.split("\n\n").next().unwrap_or_default().trim();
        let error = Error::usage(text.strip_prefix("error: ").unwrap_or(text));
        // As in `failure`.
        let _ = output::print_json(&Failure { error: ErrorDescription::from(&error) });
    }
    code(ErrorKind::Usage).into()
}

/// Whether a command line that cannot be understood has `--json` behind a verb whose report is JSON then.
fn asks_for_a_report(mut words: impl Iterator<Item = OsString>) -> bool {
    let program = Cli::command();
    let verb = words.find_map(|word| program.find_subcommand(word));
    // The JSON of a query is DuckDB's.
    let reports = |verb: &clap::Command| {
        verb.get_name() != "query" && verb.get_arguments().any(|flag| flag.get_long() == Some("json"))
    };
    verb.is_some_and(reports) && words.take_while(|word| word != "--").any(|word| word == "--json")
}

/// The runtime did not start.
pub(crate) fn no_threads(error: std::io::Error) -> Error {
    Error::resource("cannot start threads: raise the limit on processes or memory").with_source(error)
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
            (ErrorKind::Access, 2),
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
    fn every_other_word_leads_to_a_verb_of_ours_and_is_none_itself() {
        let verbs: Vec<_> = Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        for (words, ours) in OTHER_WORDS {
            assert!(verbs.iter().any(|verb| verb == ours), "{ours}");
            assert!(!words.iter().any(|word| verbs.iter().any(|verb| verb == word)), "{words:?}");
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
