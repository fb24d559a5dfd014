//! [`Outcome`]: how a verb ended, and the exit code for it.

use std::process::ExitCode;

/// How a verb ended whose end has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, also when stopped at a commit.
    Done,
    /// Done, but there is something to look at.
    Findings,
    /// Failed, and why was told: the exit code.
    Failed(u8),
    /// Ended by a signal, with nothing left behind.
    Interrupted,
}

impl Outcome {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 3,
            Self::Failed(code) => code,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        outcome.code().into()
    }
}

/// After an interrupt, as shells count signals; of a sync after a second one.
pub(crate) const INTERRUPTED: u8 = 130;
