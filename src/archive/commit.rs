//! A commit: data files of all tables, the progress, and whatever else became true with them, in one object.

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    data::DataFile,
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    position::{BaseId, Phase, Progress},
    schema::TableSchema,
    selection::Selection,
};

use super::{
    coverage::{Base, Gap},
    manifest::Head,
};

/// One object of the log, as it is stored.
///
/// Guarantees:
/// 1. `version` is the number in its name, `previous` the digest of the object before it.
/// 2. `run` is unique to this commit, so two processes never write the same bytes.
/// 3. It names files that were complete in the store before it was written, and no user values but `_id`s.
///
/// Fields that this program does not know are ignored: a program that adds one on which the meaning of others depends
/// raises the format number in `archive.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its number; the first is 1.
    pub version: u64,
    /// Lower-case hexadecimal SHA-256 of the stored bytes of the commit before it; of `archive.json` for commit 1.
    pub previous: String,
    /// Who wrote it.
    pub run: Run,
    /// The program that wrote it, `convex-archiver/0.1.0`.
    pub program: String,
    /// What became true.
    #[serde(flatten)]
    pub draft: Draft,
}

/// A commit without its place in the log: all that the writer of the data knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Wall time of the writer, nanoseconds since 1970.
    pub at: Timestamp,
    /// When the deployment was last asked and answered, nanoseconds since 1970.
    pub checked_at: Timestamp,
    /// Whether it had nothing more then. An idle deployment's lag is now minus `checked_at`.
    pub caught_up: bool,
    /// The encoding in which documents were asked for.
    pub encoding: Encoding,
    /// The tables that are archived from now on.
    pub selection: Selection,
    /// Where the archive stands afterwards.
    pub progress: Progress,
    /// New tables, and tables whose schema has grown, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableEntry>,
    /// Files that live from now on, sorted by table and path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<DataFile>,
    /// Files that no longer live, sorted by table and path. Their objects stay until vacuum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<RemovedFile>,
    /// Bases complete from now on. A dropped table is an empty base of just that table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Base>,
    /// Gaps known from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The deployment's identity from now on, if it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentIdentity>,
    /// Whether the deltas of this commit held a row of a component.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub component_rows: bool,
}

/// Which run wrote a commit, and how many commits it had begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// 8 random lower-case hexadecimal digits, also in the names of the run's files.
    pub id: String,
    /// Ascends within the run.
    pub counter: u64,
}

/// Where a table lives and what its columns are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// The table.
    pub table: TableRef,
    /// Its folder, never changed.
    pub folder: String,
    /// The newest schema: grown from the one before.
    pub schema: TableSchema,
}

/// A file that a commit removes: enough of it to find it among the live files and to count it off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedFile {
    /// Its table.
    pub table: TableRef,
    /// Its path inside the archive.
    pub path: String,
    /// Its phase.
    pub phase: Phase,
    /// Its base, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseId>,
    /// Stored bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
}

impl From<&DataFile> for RemovedFile {
    fn from(file: &DataFile) -> Self {
        Self {
            table: file.table.clone(),
            path: file.path.clone(),
            phase: file.phase,
            base: file.base.clone(),
            bytes: file.bytes,
            rows: file.rows,
            tombstones: file.tombstones,
            rescued_rows: file.rescued_rows,
        }
    }
}

impl Run {
    /// A run with a new random id.
    pub fn begin() -> Self {
        Self { id: format!("{:08x}", rand::rng().random::<u32>()), counter: 0 }
    }

    /// Counts one commit that is begun.
    pub(super) fn next(&mut self) -> Self {
        self.counter += 1;
        self.clone()
    }
}

impl Draft {
    /// A draft that leaves everything as `head` has it: what a run commits when nothing changed.
    pub fn unchanged(head: &Head, encoding: Encoding, selection: Selection, at: Timestamp) -> Self {
        Self {
            at,
            checked_at: at,
            caught_up: false,
            encoding,
            selection,
            progress: head.progress().clone(),
            tables: Vec::new(),
            add: Vec::new(),
            remove: Vec::new(),
            bases: Vec::new(),
            gaps: Vec::new(),
            deployment: None,
            component_rows: false,
        }
    }

    /// The commit that follows `head`.
    pub(super) fn after(mut self, head: &Head, run: Run) -> Commit {
        self.tables.sort_by(|a, b| a.table.cmp(&b.table));
        self.add.sort_by(|a, b| (&a.table, &a.path).cmp(&(&b.table, &b.path)));
        self.remove.sort_by(|a, b| (&a.table, &a.path).cmp(&(&b.table, &b.path)));
        Commit {
            version: head.version() + 1,
            previous: head.digest().to_owned(),
            run,
            program: super::PROGRAM.into(),
            draft: self,
        }
    }
}

impl Commit {
    /// The bytes to store: one line of JSON, fields in the order of this type. The same commit gives the same bytes.
    pub fn to_bytes(&self) -> Result<Bytes> {
        json_line(self)
    }

    /// The commit in the stored bytes of version `version`.
    ///
    /// # Errors
    /// Corrupt, if they are not a commit or one of another number.
    pub fn from_bytes(version: u64, bytes: &[u8]) -> Result<Self> {
        let path = layout::commit(version);
        let commit: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::corrupt(format!("{path} is not a commit; restore it from a copy")).with_source(e))?;
        if commit.version != version {
            let found = commit.version;
            return Err(Error::corrupt(format!("{path} says that it is commit {found}; restore it from a copy")));
        }
        Ok(commit)
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// `value` as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|e| Error::internal("a record of the archive cannot be written as JSON").with_source(e))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::testing;

    proptest! {
        #[test]
        fn a_commit_reads_back_as_it_was_written(commit in testing::any_commit()) {
            let bytes = commit.to_bytes().unwrap();
            prop_assert_eq!(memchr::memchr(b'\n', &bytes), Some(bytes.len() - 1));
            let read = Commit::from_bytes(commit.version, &bytes).unwrap();
            prop_assert_eq!(read.to_bytes().unwrap(), bytes);
            prop_assert_eq!(read, commit);
        }

        #[test]
        fn a_commit_cut_off_anywhere_is_corrupt(commit in testing::any_commit(), at in any::<prop::sample::Index>()) {
            let bytes = commit.to_bytes().unwrap();
            let cut = &bytes[..at.index(bytes.len() - 1)];
            let error = Commit::from_bytes(commit.version, cut).unwrap_err();
            prop_assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        }
    }

    #[test]
    fn fields_of_a_newer_program_are_ignored() {
        let commit = testing::first_commit();
        let text = String::from_utf8(commit.to_bytes().unwrap().to_vec()).unwrap();
        let newer = text.replacen('{', r#"{"novelty":{"a":[1]},"#, 1);
        assert_eq!(Commit::from_bytes(1, newer.as_bytes()).unwrap(), commit);
    }

    #[test]
    fn digests_are_those_of_sha256() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
