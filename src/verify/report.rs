//! What a verification found, for people and for scripts.

use std::fmt;

use serde::{Serialize, Serializer};

use super::sample::Sample;
use crate::document::{TableRef, Timestamp};

/// Problems that are kept; more are counted.
const KEPT: usize = 1_000;
/// Objects that are shown of those that are not needed.
const EXAMPLES: usize = 5;

/// What a verification looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The newest version in the log.
    pub version: u64,
    /// SHA-256 of its commit; absent, if nothing of it can be read.
    pub digest: Option<String>,
    /// How deep it went.
    pub depth: VerifyDepth,
    /// Which share of the data files was read, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Of which tables objects and data were looked at, if not of all: patterns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// The log.
    pub log: VerifiedLog,
    /// The objects; absent, if only the log was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<VerifiedObjects>,
    /// The data; absent, if none were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<VerifiedData>,
    /// The version whose commit has the digest that was expected; absent, if none was, or none has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_head: Option<u64>,
    /// What is wrong, by object; a thousand at most.
    pub problems: Vec<Problem>,
    /// How many problems there are, and what suffers from them.
    pub total: ProblemCounts,
    /// What should be known and is no damage.
    pub notes: Vec<String>,
    /// Why the archive does not remember this verification; absent, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_recorded: Option<String>,
}

/// How deep a verification went. Each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyDepth {
    /// The log: commits, checkpoints, lists of files, schemas.
    Log,
    /// Every live data file is there with its size.
    Objects,
    /// Data files were read.
    Data,
}

/// What was read of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifiedLog {
    /// Commits that could be read.
    pub commits: u64,
    /// Those of them that could not be added up, because one before them is damaged.
    pub unfolded: u64,
    /// Checkpoints that are what the commits add up to.
    pub checkpoints: u64,
    /// Lists of files that are what the commits say.
    pub parts: u64,
    /// Objects with schemas that are sound.
    pub schemas: u64,
}

/// What was seen of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifiedObjects {
    /// The version whose live files were looked for.
    pub version: u64,
    /// Live files that are there with their size.
    pub files: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Objects in the archive's folder that this version does not name.
    pub unneeded: UnneededObjects,
}

/// Objects that the archive does not need: those that later commits replaced, and those that no commit names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnneededObjects {
    /// How many.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// The paths of a few.
    pub examples: Vec<String>,
}

impl UnneededObjects {
    pub(super) fn add(&mut self, path: &str, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
        if self.examples.len() < EXAMPLES {
            self.examples.push(path.to_owned());
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }
}

/// What was read of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifiedData {
    /// Files that were read from their beginning to their end.
    pub files: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Their rows, all of which were decoded.
    pub rows: u64,
    /// Rows whose documents were compared with what the deployment sent, by the digest that was taken then.
    pub compared_rows: u64,
    /// Tables of which it was seen that each revision stands in the change files once. Only of all files can that be seen.
    pub unique_tables: u64,
}

/// How many problems, and what suffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ProblemCounts {
    /// All of them.
    pub problems: u64,
    /// Those from which the newest state suffers.
    pub state: u64,
    /// Those from which only the past suffers.
    pub history: u64,
    /// Those from which nothing suffers: what is damaged only repeats what others say.
    pub nothing: u64,
}

/// Something that is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of object it is about.
    pub kind: ProblemKind,
    /// The path of the object inside the archive; of several in a row that of the first.
    pub object: String,
    /// How many objects in a row it is about.
    pub objects: u64,
    /// The table, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableRef>,
    /// The first `_ts` concerned, if it is known; nanoseconds.
    #[serde(rename = "from_ts", skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The last `_ts` concerned, if it is known; nanoseconds.
    #[serde(rename = "to_ts", skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Revisions concerned, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revisions: Option<u64>,
    /// What suffers from it.
    pub suffers: Suffers,
    /// What is wrong.
    pub what: String,
    /// What repairs it, the best first.
    pub repairs: Vec<Repair>,
}

/// What kind of object a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// `archive.json`.
    Header,
    /// A commit.
    Commit,
    /// A checkpoint.
    Checkpoint,
    /// `manifest.json`.
    Manifest,
    /// A list of the live files of a table and month.
    Part,
    /// Schemas of tables.
    Schemas,
    /// The log does not have the commit that was expected.
    ExpectedHead,
    /// A moment lies ahead of this machine's clock.
    Clock,
    /// The live files cannot be listed.
    List,
    /// The files of a base are not all that it says.
    Base,
    /// A data file.
    File,
    /// Revisions that stand in two change files.
    Duplicate,
}

/// What suffers from a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suffers {
    /// The newest state of a table, or of all.
    State,
    /// Only what was before.
    History,
    /// Nothing: what is damaged only repeats what others say.
    Nothing,
}

/// What repairs a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// The object has to come from a copy of the archive.
    Copy,
    /// It is written again, from what else the archive has.
    Rewrite,
    /// It is recorded as lost.
    AcceptLoss,
    /// A sync writes it again.
    Sync,
    /// A sync takes a new base of the table from the deployment. It brings the newest state back, and no history.
    Rebase(TableRef),
    /// The object, which holds nothing, is deleted; then a sync fetches again what it may have brought.
    DeleteAndSync(String),
    /// The log has to come from a copy that has more of it.
    CopyOfLog,
    /// What else was found has to be repaired first.
    OthersFirst,
    /// The clock that is wrong is set: here, or where syncs run.
    Clock,
}

/// As a person would do it: `run sync --rebase messages`.
impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy => f.write_str("run repair --from COPY, where COPY is a copy of the archive"),
            Self::Rewrite => f.write_str("run repair"),
            Self::AcceptLoss => f.write_str("if no copy has it, record that it is lost: run repair --accept-loss"),
            Self::Sync => f.write_str("run sync"),
            Self::Rebase(table) => write!(f, "run sync --rebase {table}"),
            Self::DeleteAndSync(path) => write!(f, "if there is no copy, delete {path} and run sync"),
            Self::CopyOfLog => f.write_str("restore the archive from a copy that has this commit"),
            Self::OthersFirst => f.write_str("repair the damaged lists and commits that are listed here"),
            Self::Clock => f.write_str("set the clock of this machine, or of the one where sync runs"),
        }
    }
}

impl Serialize for Repair {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, object: impl Into<String>, suffers: Suffers, what: impl Into<String>) -> Self {
        Self {
            kind,
            object: object.into(),
            objects: 1,
            table: None,
            from: None,
            to: None,
            revisions: None,
            suffers,
            what: what.into(),
            repairs: Vec::new(),
        }
    }

    pub(super) fn repairs(self, repairs: impl IntoIterator<Item = Repair>) -> Self {
        Self { repairs: repairs.into_iter().collect(), ..self }
    }

    /// It can only come from a copy.
    pub(super) fn with_copy(self) -> Self {
        self.repairs([Repair::Copy])
    }
}

/// The problems, as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) kept: Vec<Problem>,
    pub(super) total: ProblemCounts,
}

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        self.total.problems += 1;
        match problem.suffers {
            Suffers::State => self.total.state += 1,
            Suffers::History => self.total.history += 1,
            Suffers::Nothing => self.total.nothing += 1,
        }
        if self.kept.len() < KEPT {
            self.kept.push(problem);
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.add(problem));
    }
}
