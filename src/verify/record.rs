//! What an archive remembers of its verifications: `runs/verified.json`, one small object that is written anew each time. It says
//! nothing that holds: without it, or with another, the archive is the same.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};

use super::{
    report::{ProblemCounts, VerifyDepth, VerifyReport},
    sample::Sample,
};
use crate::{
    archive::Archive,
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout,
    store::{self, store_error},
};

/// Verifications that are remembered at most: of each depth the last one of all, and the last one of a part.
const KEPT: usize = 6;
/// What is larger is none of ours, bytes.
const LONGEST: usize = 64 << 10;

/// A verification that an archive remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verification {
    /// When it began, nanoseconds since 1970.
    pub at: Timestamp,
    /// The program that did it.
    pub program: String,
    /// The newest version then.
    pub version: u64,
    /// How deep it went.
    pub depth: VerifyDepth,
    /// Which share of the data files it read, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Of which tables it looked at objects and data, if not of all: patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// What it found.
    pub total: ProblemCounts,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    verifications: Vec<Verification>,
}

/// What the archive remembers, the newest first; nothing, if its record cannot be read.
///
/// # Errors
/// Access, Unavailable, as the store says.
pub async fn verifications(archive: &Archive) -> Result<Vec<Verification>> {
    read(archive.store()).await
}

async fn read(store: &Arc<dyn ObjectStore>) -> Result<Vec<Verification>> {
    let bytes = match store::get(store, layout::VERIFIED).await {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let record: Record =
        if bytes.len() > LONGEST { Record::default() } else { serde_json::from_slice(&bytes).unwrap_or_default() };
    Ok(record.verifications)
}

/// Writes down what was done at `now`.
///
/// # Errors
/// As the store says: whoever verifies goes on all the same.
pub(super) async fn write(store: &Arc<dyn ObjectStore>, report: &VerifyReport, now: Timestamp) -> Result<()> {
    let this = Verification {
        at: now,
        program: concat!("convex-archiver/", env!("CARGO_PKG_VERSION")).to_owned(),
        version: report.version,
        depth: report.depth,
        sample: report.sample,
        tables: report.tables.clone(),
        total: report.total,
    };
    let record = Record { verifications: with(this, read(store).await?) };
    let spelled = |e| Error::internal("a verification cannot be written as JSON").with_source(e);
    let mut bytes = serde_json::to_vec(&record).map_err(spelled)?;
    bytes.push(b'\n');
    let failed = |e| store_error(e, &format!("cannot write {}", layout::VERIFIED));
    store.put(&Path::from(layout::VERIFIED), bytes.into()).await.map(drop).map_err(failed)
}

/// The verifications to be remembered: `this` takes the place of those that it goes as far as.
fn with(this: Verification, before: Vec<Verification>) -> Vec<Verification> {
    let mut kept = before;
    kept.retain(|old| !this.replaces(old));
    kept.insert(0, this);
    kept.sort_by_key(|verification| std::cmp::Reverse(verification.at));
    kept.truncate(KEPT);
    kept
}

impl Verification {
    /// Whether it looked at everything of its depth.
    pub fn is_whole(&self) -> bool {
        self.sample.is_none() && self.tables.is_none()
    }

    /// Whether it looked at all that the older one looked at.
    fn replaces(&self, old: &Self) -> bool {
        let wide = self.is_whole() || (self.is_whole() == old.is_whole() && self.depth == old.depth);
        wide && self.depth >= old.depth
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn of(at: i64, depth: VerifyDepth, percent: Option<u8>) -> Verification {
        Verification {
            at: Timestamp(at),
            program: "p".into(),
            version: 1,
            depth,
            sample: percent.map(|percent| Sample { percent, seed: at as u64 }),
            tables: None,
            total: ProblemCounts::default(),
        }
    }

    #[test]
    fn the_last_of_each_depth_is_remembered_and_a_deeper_one_takes_the_place_of_others() {
        use VerifyDepth::{Data, Log, Objects};
        let mut kept = Vec::new();
        for this in [
            of(1, Data, None),
            of(2, Objects, None),
            of(3, Data, Some(10)),
            of(4, Data, Some(10)),
            of(5, Log, None),
            of(6, Objects, None),
        ] {
            kept = with(this, kept);
        }
        let told: Vec<_> = kept.iter().map(|one| one.at.0).collect();
        assert_eq!(told, [6, 4, 1], "the log is part of what looked at the objects");
        kept = with(of(7, Data, None), kept);
        assert_eq!(kept, [of(7, Data, None)]);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_none() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        assert_eq!(read(&store).await.unwrap(), []);
        for text in ["", "{", "[]", r#"{"verifications":[{"at":1}]}"#] {
            store.put(&Path::from(layout::VERIFIED), text.into()).await.unwrap();
            assert_eq!(read(&store).await.unwrap(), [], "{text}");
        }
    }
}
