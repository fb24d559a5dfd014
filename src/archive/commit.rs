//! A commit: data files of all tables, the progress, and whatever else became true with them, in one object.

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    data::{DataFile, is_default},
    document::{Encoding, TableRef, Timestamp},
    error::{Error, Result},
    identity::DeploymentIdentity,
    layout,
    position::{BaseId, Phase, Progress},
    schema::TableSchema,
    selection::Selection,
    sum::Sum,
};

use super::{
    head::base::{Base, Comparison, Doubt, Gap, Proof, Suspect, Withdrawal},
    needs::{Needs, PROGRAM},
};

/// One object of the log, as it is stored.
///
/// Guarantees:
/// 1. `version` is the number in its name, `previous` the digest of the object before it.
/// 2. `run` is unique to this commit, so two processes never write the same bytes.
/// 3. It names files that were complete in the store before it was written, and no user values but `_id`s.
/// 4. `state` is the sum over everything that holds after it: it proves a checkpoint or a manifest of this version.
///
/// Fields that this program does not know are ignored: a program that adds one on which the meaning of others depends adds
/// a word to `needs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its number; the first is 1.
    pub version: u64,
    /// The program that wrote it, `convex-archiver/0.1.0`.
    pub program: String,
    /// What a program must know from here on.
    pub needs: Needs,
    /// Lower-case hexadecimal SHA-256 of the stored bytes of the commit before it; of `archive.json` for commit 1.
    pub previous: String,
    /// Who wrote it.
    pub run: Run,
    /// The sum over the lines of all that holds after it: see `archive/head/lines.rs`.
    pub state: Sum,
    /// SHA-256 of the object beside it that holds the schemas of its `tables`, where one has a new schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<String>,
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
    /// Whether it is maintenance: it says nothing of the deployment. Progress, selection and schemas stay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maintenance: bool,
    /// The encoding in which documents were asked for.
    pub encoding: Encoding,
    /// The tables that are archived from now on.
    pub selection: Selection,
    /// Where the archive stands afterwards.
    pub progress: Progress,
    /// New tables, and tables whose schema or number has changed, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableEntry>,
    /// Files that live from now on, sorted by table and path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<DataFile>,
    /// Files that no longer live, sorted by table and path. Their objects stay until vacuum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<RemovedFile>,
    /// Files that leave because others hold their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replacement>,
    /// Bases complete from now on. A dropped table is an empty base of just that table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Base>,
    /// Bases that no longer serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawal>,
    /// Bases whose files are no longer marked as repeating others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmarked: Vec<BaseId>,
    /// Gaps known from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Spans in which the archive may differ from the deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// Tables that may differ from the deployment from a moment on, until they have been compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// What was compared with the deployment and is equal now, with what the commit corrects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Comparison>,
    /// Up to here nothing happened, beside what the suspects tell, that the change log does not tell; nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded: Option<Timestamp>,
    /// The deployment's identity from now on, if it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentIdentity>,
    /// That the deployment sends rows of components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    /// SHA-256 of schema objects that were erased: they are not missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
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
    /// The number that its ids bear, once one was seen. It changes when the name is used again after a drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The newest schema, grown from the one before. It does not stand in the commit, but in an object beside it: names of
    /// fields may be people's and must be erasable.
    #[serde(skip, default = "TableSchema::empty")]
    pub schema: TableSchema,
    /// What a commit says of the schema. Computed when it is written.
    pub columns: SchemaSize,
}

/// What a commit says of a schema: enough to know that it grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaSize {
    /// Version of the table's schema; 0 while it has no columns of its own.
    pub schema: u32,
    /// The largest field id given so far.
    pub last_field_id: i32,
    /// Top-level columns, our own not counted.
    pub fields: u64,
}

/// A file that a commit removes: enough of it to know it among the live files, and to count it off.
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
    /// Its month, first day.
    pub month: String,
    /// The encoding in which its documents came.
    pub encoding: Encoding,
    /// Stored bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
    /// Smallest `_ts`.
    pub min_ts: Timestamp,
    /// Largest `_ts`.
    pub max_ts: Timestamp,
    /// How often its rows were written again to join small files.
    #[serde(default, skip_serializing_if = "is_default")]
    pub joined: u8,
    /// The sum of its line: all that was known of it.
    pub line: Sum,
}

/// Files that hold exactly the rows of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Paths of files that the commit removes. Never empty, and each in one replacement only.
    pub inputs: Vec<String>,
    /// Paths of files that the commit adds. None only where all rows were left out.
    pub outputs: Vec<String>,
    /// Why.
    pub why: ReplacementReason,
    /// Rows of the inputs that the outputs leave out: for an erasure only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftOut>,
}

/// Why files replace others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplacementReason {
    /// Many small ones were joined.
    Compaction,
    /// One lay on both sides of the S of a base.
    Cut,
    /// What was damaged was written again.
    Repair,
    /// Rows that had to be erased.
    Erasure,
    /// They are encrypted in another way.
    Encryption,
}

/// Rows that a replacement leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Rows, tombstones included.
    pub rows: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Rows with a value in `_rescued`.
    pub rescued_rows: u64,
}

impl RemovedFile {
    /// A live file, as [`LiveFiles`](super::LiveFiles) gives it.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub fn of(file: &DataFile) -> Result<Self> {
        Ok(Self {
            table: file.table.clone(),
            path: file.path.clone(),
            phase: file.phase,
            base: file.base.clone(),
            month: file.month.clone(),
            encoding: file.encoding,
            bytes: file.bytes,
            rows: file.rows,
            tombstones: file.tombstones,
            rescued_rows: file.rescued_rows,
            min_ts: file.min_ts,
            max_ts: file.max_ts,
            joined: file.joined,
            line: Sum::of(&json_text(file)?),
        })
    }

    /// As [`DataFile::is_fresh`].
    pub(super) fn is_fresh(&self) -> bool {
        self.phase == Phase::Delta && self.joined == 0
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

impl TableEntry {
    /// A table with its newest schema.
    pub fn new(table: TableRef, folder: String, number: Option<u32>, schema: TableSchema) -> Self {
        let columns = SchemaSize::of(&schema);
        Self { table, folder, number, schema, columns }
    }
}

impl Default for SchemaSize {
    /// Of a table that has no columns of its own yet.
    fn default() -> Self {
        Self::of(&TableSchema::empty())
    }
}

impl SchemaSize {
    /// What a commit says of `schema`.
    pub(super) fn of(schema: &TableSchema) -> Self {
        Self { schema: schema.id, last_field_id: schema.last_field_id, fields: schema.fields.len() as u64 }
    }
}

impl Draft {
    /// Everything in the order in which it is stored.
    pub(super) fn sort(&mut self) {
        self.tables.sort_by(|a, b| a.table.cmp(&b.table));
        self.add.sort_by(|a, b| (&a.table, &a.path).cmp(&(&b.table, &b.path)));
        self.remove.sort_by(|a, b| (&a.table, &a.path).cmp(&(&b.table, &b.path)));
        self.bases.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

/// What stands at the beginning of every commit, whatever the program that wrote it.
#[derive(Deserialize)]
struct Envelope {
    version: u64,
    program: String,
    needs: Needs,
}

impl Commit {
    /// The bytes to store: one line of JSON, fields in the order of this type. The same commit gives the same bytes.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub fn to_bytes(&self) -> Result<Bytes> {
        json_line(self)
    }

    /// The commit in the stored bytes of version `version`.
    ///
    /// # Errors
    /// Unsupported, if another program wrote it and this one cannot read it. Corrupt, if they are not a commit, or one of
    /// another number.
    pub fn from_bytes(version: u64, bytes: &[u8]) -> Result<Self> {
        let path = layout::commit(version);
        // What a reader must know comes first: a newer program may spell everything else differently.
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| unreadable(&path, bytes, e))?;
        envelope.needs.check_reader(&path, &envelope.program)?;
        if envelope.version != version {
            let found = envelope.version;
            return Err(Error::corrupt(format!("{path} says that it is commit {found}; restore it from a copy")));
        }
        serde_json::from_slice(bytes).map_err(|e| unreadable(&path, bytes, e))
    }
}

/// An object of the log at `path` cannot be read. It is healthy, as far as anybody can tell, if another program wrote it.
pub(super) fn unreadable(path: &str, bytes: &[u8], cause: serde_json::Error) -> Error {
    #[derive(Deserialize)]
    struct WrittenBy {
        program: String,
    }
    let error = match serde_json::from_slice::<WrittenBy>(bytes) {
        Ok(WrittenBy { program }) if program != PROGRAM => Error::unsupported(format!(
            "{path} was written by {program}, and {PROGRAM} cannot read it: use {program} or a newer one"
        )),
        _ => Error::corrupt(format!("{path} is damaged; restore it from a copy")),
    };
    error.with_source(cause)
}

/// Lower-case hexadecimal SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    Sum::of(bytes).sum.to_string()
}

/// `value` as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> Result<Bytes> {
    let mut bytes = json_text(value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

/// `value` as JSON, without the end of its line.
pub(super) fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Error::internal("a record of the archive cannot be written as JSON").with_source(e))
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
