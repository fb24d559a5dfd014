//! The archive object by object, as it lies there, for whoever verifies it: what cannot be read is a value here, and nothing is
//! passed over in silence.
//!
//! An error is one of the store, or says that a newer program is needed. Everything else is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use super::{
    Archive, advisory,
    checkpoint::unpack,
    commit::{Commit, SchemaSize, digest},
    ends::is_commit_altered,
    growth,
    head::{Head, text::ReadHead},
    header::{self, Header, StoredHeader},
    heads::FAR,
    parts::{self, Part},
};
use crate::{
    document::{TableRef, Timestamp},
    error::{Error, ErrorKind, Result},
    identity::DeploymentIdentity,
    layout::{self, LogObject},
    schema::TableSchema,
    store::{self, store_error},
};

/// A commit as it lies there.
#[derive(Debug)]
pub(crate) struct FoundCommit {
    /// SHA-256 of the stored bytes.
    pub(crate) digest: String,
    /// Whether there are no bytes at all.
    pub(crate) is_empty: bool,
    /// What it says. An error is Corrupt or Unsupported.
    pub(crate) commit: Result<Commit>,
}

/// A head that is written down and not proven.
#[derive(Debug)]
pub(crate) struct WrittenHead {
    head: ReadHead,
    text: Vec<u8>,
}

/// What a listing of the log shows.
#[derive(Debug, Default)]
pub(crate) struct FoundLog {
    /// The largest number that belongs to the log; 0 if there is none.
    pub(crate) newest: u64,
    /// The largest number up to which none is missing; 0 if there is none.
    pub(crate) unbroken: u64,
    /// Checkpoints up to there.
    pub(crate) checkpoints: BTreeSet<u64>,
    /// Objects with schemas, and their bytes.
    pub(crate) schemas: BTreeMap<String, u64>,
    /// Objects that belong to no log, and their bytes.
    pub(crate) others: Vec<(String, u64)>,
}

/// Whose bytes are not those that were written, where a commit names another digest than the object before it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The object before it.
    Before,
    /// The one that names the digest: a few bytes of the digest itself were altered.
    Itself,
}

impl Blame {
    /// `named` is the digest that is named, `found` the one that the object has.
    pub(crate) fn of(named: &str, found: &str) -> Self {
        if is_commit_altered(named, found, true) { Self::Before } else { Self::Itself }
    }
}

impl WrittenHead {
    /// The version that it says it describes.
    pub(crate) fn version(&self) -> u64 {
        self.head.version()
    }

    /// The digest that it says the commit of that version has.
    pub(crate) fn digest(&self) -> &str {
        self.head.digest()
    }

    /// The id of the archive that it says it is of.
    pub(crate) fn archive(&self) -> Option<String> {
        advisory::archive(&self.text)
    }

    /// The head, if the commit of its version says the same. Whether what it repeats beside that follows from it, as far as that is
    /// known, comes with it.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub(crate) fn proven_by(self, commit: &Commit, digest: &str, archive: &str) -> Result<Option<(Head, bool)>> {
        let Some(head) = self.head.proven_by(commit, digest) else { return Ok(None) };
        let follows = advisory::follows(&self.text, &head, archive)?;
        Ok(Some((head, follows)))
    }

    /// The head, if `next` follows on it. The commit of its own version is not as it was written; `next` proves the head when it is
    /// folded into it.
    pub(crate) fn followed_by(self, next: &Commit) -> Option<Head> {
        self.head.followed_by(next)
    }
}

impl Archive {
    /// Opens an archive whose header may be lost or damaged: then what is wrong with it comes with it, and the header that it goes on
    /// with says nothing.
    ///
    /// # Errors
    /// NotFound, if there is neither a header nor a log. Unsupported, if a newer program made it.
    pub(crate) async fn open_damaged(store: Arc<dyn ObjectStore>, url: &str) -> Result<(Self, Option<Error>)> {
        let lost = match header::read(&store).await {
            Ok(Some(header)) => return Ok((Self::new(store, url.to_owned(), header), None)),
            Ok(None) => Error::corrupt(format!("{} is missing, although there are commits", layout::HEADER)),
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            Err(error) => return Err(error),
        };
        let header = Header {
            format: header::FORMAT,
            archive: String::new(),
            deployment: DeploymentIdentity { name: None, origin: String::new() },
            created_at: Timestamp::default(),
            program: String::new(),
        };
        let archive = Self::new(Arc::clone(&store), url.to_owned(), StoredHeader { header, digest: String::new() });
        if archive.found_log().await?.newest == 0 {
            return Err(Error::not_found(format!("there is no archive at {url}; check the URL")));
        }
        // Another writer may have created both since we looked: the header comes first.
        if let Ok(Some(header)) = header::read(&store).await {
            return Ok((Self::new(store, url.to_owned(), header), None));
        }
        Ok((archive, Some(lost)))
    }

    /// SHA-256 of the stored header.
    pub(crate) fn header_digest(&self) -> &str {
        &self.header.digest
    }

    /// The head before the first commit.
    ///
    /// # Errors
    /// Internal, if it cannot be spelled.
    pub(crate) fn beginning(&self) -> Result<Head> {
        Head::before_all(self.header().deployment.clone(), self.header_digest().to_owned())
    }

    /// Lists the log. Of commits it holds nothing but ranges of numbers.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says.
    pub(crate) async fn found_log(&self) -> Result<FoundLog> {
        let (mut found, mut numbers) = (FoundLog::default(), Numbers::default());
        let mut objects = self.store().list(Some(&Path::from(layout::LOG)));
        let failed = |e| store_error(e, &format!("cannot list {}/", layout::LOG));
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let path = object.location.as_ref();
            match layout::parse_log(path) {
                Some(LogObject::Commit(version)) => numbers.insert(version),
                Some(LogObject::Checkpoint(version)) => {
                    numbers.insert(version);
                    found.checkpoints.insert(version);
                }
                Some(LogObject::Schemas(_)) => drop(found.schemas.insert(path.to_owned(), object.size)),
                None => found.others.push((path.to_owned(), object.size)),
            }
        }
        found.newest = numbers.end();
        found.unbroken = numbers.unbroken();
        let far = found.checkpoints.split_off(&(found.newest + 1));
        found.others.extend(far.into_iter().map(|version| (layout::checkpoint(version), 0)));
        found.others.extend(numbers.beyond(found.newest).map(|version| (layout::commit(version), 0)));
        Ok(found)
    }

    /// Commit `version`, in whatever condition; None, if there is none.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says.
    pub(crate) async fn found_commit(&self, version: u64) -> Result<Option<FoundCommit>> {
        let path = layout::commit(version);
        let bytes = match store::get(self.store(), &path).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            // It is too large for a commit.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Ok(Some(FoundCommit { digest: String::new(), is_empty: false, commit: Err(error) }));
            }
            Err(error) => return Err(error),
        };
        let commit = Commit::from_bytes(version, &bytes);
        Ok(Some(FoundCommit { digest: digest(&bytes), is_empty: bytes.is_empty(), commit }))
    }

    /// What the checkpoint of `version` says; None, if there is none.
    ///
    /// # Errors
    /// Corrupt, if it is damaged; Unsupported, if a newer program wrote it.
    pub(crate) async fn found_checkpoint(&self, version: u64) -> Result<Option<WrittenHead>> {
        let path = layout::checkpoint(version);
        let Some(bytes) = store::get(self.store(), &path).await? else { return Ok(None) };
        let text = unpack(&path, &bytes)?;
        let head = ReadHead::parse(&path, &text)?;
        if head.version() != version {
            return Err(super::checkpoint::damaged(&path));
        }
        Ok(Some(WrittenHead { head, text }))
    }

    /// What `manifest.json` says; None, if it is not there.
    ///
    /// # Errors
    /// As [`found_checkpoint`](Self::found_checkpoint).
    pub(crate) async fn found_manifest(&self) -> Result<Option<WrittenHead>> {
        let Some(text) = store::get(self.store(), layout::MANIFEST).await? else { return Ok(None) };
        let head = ReadHead::parse(layout::MANIFEST, &text)?;
        Ok(Some(WrittenHead { head, text: text.to_vec() }))
    }

    /// The parts that a head which is written down names.
    pub(crate) fn parts_of(head: &Head) -> impl Iterator<Item = Part> {
        parts::anchored(head)
    }

    /// Whether the part is there; it is what the head says, then.
    ///
    /// # Errors
    /// Corrupt, if it is damaged.
    pub(crate) async fn found_part(&self, part: &Part) -> Result<bool> {
        match parts::read(self.store(), part).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                if store::exists(self.store(), &part.path()).await? {
                    Err(error)
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What is wrong with the schemas that `commit` brings, if they can be read: whether they are those that it speaks of, and only
    /// grew from what was known at `before`.
    ///
    /// # Errors
    /// Corrupt, if the object is missing or damaged.
    pub(crate) async fn check_schemas(&self, before: Option<&Head>, commit: &Commit) -> Result<()> {
        let Some(named) = &commit.schemas else { return Ok(()) };
        let path = layout::schemas(commit.version, named);
        let found = self.schemas().found(&path, named).await?;
        for entry in &commit.draft.tables {
            let known = before.and_then(|before| before.table(&entry.table));
            let Some(new) = found.get(&entry.table) else {
                // Its columns did not change with this commit; or it is new, and has none.
                let columns = known.map_or(SchemaSize::default(), |known| known.schema.size);
                if before.is_some() && columns != entry.columns {
                    return Err(Error::corrupt(format!("{path} lacks the schema of {}", entry.table)));
                }
                continue;
            };
            if entry.columns != SchemaSize::of(new) {
                return Err(Error::corrupt(format!("{path} has another schema of {} than its commit", entry.table)));
            }
            if let Some(before) = before {
                self.check_growth(before, &entry.table, new)
                    .await
                    .map_err(|why| Error::corrupt(format!("{path}: the schema of {}: {why}", entry.table)))?;
            }
        }
        Ok(())
    }

    /// What was known cannot always be read: it may have been erased, or be damaged itself, which is found elsewhere.
    async fn check_growth(&self, before: &Head, table: &TableRef, new: &TableSchema) -> Result<(), String> {
        match before.table(table) {
            None => growth::check(None, new),
            Some(state) => match self.schemas().of(before, state).await {
                Ok(old) => growth::check(Some(&old), new),
                Err(_) => Ok(()),
            },
        }
    }
}

/// Numbers, as ranges.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<u64, u64>);

impl Numbers {
    fn insert(&mut self, number: u64) {
        let before = self.0.range(..=number).next_back().map(|(from, to)| (*from, *to));
        let (mut from, mut to) = (number, number);
        match before {
            Some((_, last)) if number <= last => return,
            Some((first, last)) if last + 1 == number => from = first,
            _ => {}
        }
        if let Some(last) = number.checked_add(1).and_then(|next| self.0.remove(&next)) {
            to = last;
        }
        self.0.insert(from, to);
    }

    /// The largest number that is not far behind the one before it.
    fn end(&self) -> u64 {
        let near = self.0.iter().scan(0, |end, (from, to)| {
            (from - *end <= FAR).then(|| {
                *end = *to;
                *to
            })
        });
        near.last().unwrap_or(0)
    }

    /// The end of the range that begins with 1.
    fn unbroken(&self) -> u64 {
        self.0.get(&1).copied().unwrap_or(0)
    }

    /// The first numbers of the ranges behind `end`.
    fn beyond(&self, end: u64) -> impl Iterator<Item = u64> {
        self.0.range(end + 1..).map(|(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_end_before_the_first_that_is_far_from_the_one_before_it(
            mut numbers in proptest::collection::vec(prop_oneof![1..40u64, 990..1_030u64, 5_000..5_003u64], 0..40),
        ) {
            let mut found = Numbers::default();
            numbers.iter().for_each(|number| found.insert(*number));
            numbers.sort_unstable();
            let mut end = 0;
            for number in &numbers {
                if number - end > FAR {
                    break;
                }
                end = *number;
            }
            prop_assert_eq!(found.end(), end);
            let unbroken = (1..6_000u64).find(|number| !numbers.contains(number)).map_or(0, |hole| hole - 1);
            prop_assert_eq!(found.unbroken(), unbroken);
            prop_assert_eq!(found.beyond(end).next(), numbers.into_iter().find(|number| *number > end));
        }
    }
}
