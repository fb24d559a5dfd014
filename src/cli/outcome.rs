//! [`Outcome`]: how a verb ended that did not fail, and the exit code for it.

use std::process::ExitCode;

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
