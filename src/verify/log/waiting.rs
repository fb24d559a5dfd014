//! What is known of objects of the log before the next one was read.

use super::super::report::{Problem, ProblemKind, Repair, Suffers};
use crate::{
    archive::{Archive, Blame, Commit, WrittenHead},
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout,
};

/// `manifest.json`, as it was found.
pub(super) enum Manifest {
    Written(Box<WrittenHead>),
    /// What it names is known by now.
    Settled,
    Wrong(String),
}

impl Manifest {
    pub(super) async fn read(archive: &Archive) -> Result<Self> {
        match archive.found_manifest().await {
            Ok(Some(written)) => Ok(Self::Written(Box::new(written))),
            Ok(None) => Ok(Self::Wrong(format!("{} is missing", layout::MANIFEST))),
            Err(error) if is_unreadable(&error) => Ok(Self::Wrong(error.to_string())),
            Err(error) => Err(error),
        }
    }

    pub(super) fn archive(&self) -> Option<String> {
        match self {
            Self::Written(written) => written.archive(),
            Self::Settled | Self::Wrong(_) => None,
        }
    }

    pub(super) fn is_of(&self, version: u64) -> bool {
        matches!(self, Self::Written(written) if written.version() == version)
    }
}

fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}

/// A commit of which the next one has not told yet whether it is as it was written. Number 0 is the header.
pub(super) struct Waiting {
    pub(super) version: u64,
    pub(super) digest: String,
    pub(super) commit: Option<Commit>,
    /// Why it is not as it was written, as far as that is known.
    pub(super) altered: Option<String>,
    /// Why nothing can be made of it.
    pub(super) unreadable: Option<Error>,
    pub(super) is_empty: bool,
    /// What is wrong if it is as it was written.
    pub(super) tentative: Vec<(Option<u64>, Problem)>,
    /// Schemas that cannot be read, if it is as it was written: path, digest, why.
    pub(super) lost_schemas: Vec<LostSchemas>,
    /// `_ts` of the cursor before it.
    pub(super) after: Option<Timestamp>,
}

pub(super) struct LostSchemas {
    pub(super) path: String,
    pub(super) digest: String,
    pub(super) version: u64,
    pub(super) why: String,
}

impl Waiting {
    pub(super) fn new(version: u64, digest: String) -> Self {
        Self {
            version,
            digest,
            commit: None,
            altered: None,
            unreadable: None,
            is_empty: false,
            tentative: Vec::new(),
            lost_schemas: Vec::new(),
            after: None,
        }
    }
}

/// What the next commit says of the one that waits.
pub(super) enum Link<'a> {
    /// It follows on it.
    Fits(&'a Commit),
    /// It follows on another one.
    Broken(&'a Commit, Blame),
    /// It is missing, or cannot be read; or there is none.
    Unknown,
}

/// Some numbers of the log without an object.
pub(super) struct Hole {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) after: Option<Timestamp>,
}

/// Commits of a clock that was ahead of ours.
pub(super) struct Ahead {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) at: Timestamp,
}

/// A checkpoint is not what it should be.
pub(super) fn checkpoint_problem(version: u64, what: impl Into<String>) -> Problem {
    let path = layout::checkpoint(version);
    let problem = Problem::new(ProblemKind::Checkpoint, path.clone(), Suffers::Nothing, what);
    problem.repairs([Repair::Rewrite])
}
