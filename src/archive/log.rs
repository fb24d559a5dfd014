//! The log: numbered objects, each put if absent. Finding the newest, reading, and the lost race.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};

use crate::{
    budget::MemoryBudget,
    error::{Error, Result},
    layout::{self, CHECKPOINT_EVERY, LogObject},
    position::Progress,
    selection::Selection,
    store::{self, PutNew, store_error},
};

use super::commit::{Commit, digest};

/// Waits between attempts when a store says "exists" of an object that does not.
const PENDING: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// A commit as it was read.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) commit: Commit,
    /// SHA-256 of the stored bytes.
    pub(super) digest: String,
}

/// Whose bytes a number of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Ours: it is committed.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// What the store knows of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Survey {
    /// The newest checkpoint found.
    pub(super) checkpoint: Option<u64>,
    /// The newest commit listed; there may be newer ones by now.
    pub(super) newest: u64,
}

/// The objects below `log/`.
#[derive(Debug, Clone)]
pub(super) struct Log {
    store: Arc<dyn ObjectStore>,
}

impl Log {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Commit `version`; `None` if there is none (yet).
    pub(super) async fn read(&self, version: u64) -> Result<Option<Stored>> {
        let Some(bytes) = store::get(&self.store, &layout::commit(version)).await? else { return Ok(None) };
        Ok(Some(Stored { commit: Commit::from_bytes(version, &bytes)?, digest: digest(&bytes) }))
    }

    /// Whether commit `version` exists.
    pub(super) async fn has(&self, version: u64) -> Result<bool> {
        self.exists(&layout::commit(version)).await
    }

    /// Calls `each` with the commits behind `after` in order, up to `until`, all of which must exist.
    pub(super) async fn replay(
        &self,
        after: u64,
        until: u64,
        mut each: impl FnMut(Stored) -> Result<()>,
    ) -> Result<()> {
        let mut commits = stream::iter(after + 1..=until)
            .map(|version| async move {
                let found = self.read(version).await?;
                found.ok_or_else(|| {
                    let path = layout::commit(version);
                    Error::corrupt(format!("{path} is missing, though later ones exist; restore it from a copy"))
                })
            })
            .buffered(MemoryBudget::COMMITS_AHEAD);
        while let Some(stored) = commits.try_next().await? {
            each(stored)?;
        }
        Ok(())
    }

    /// Writes commit `version`, if absent.
    pub(super) async fn put(&self, version: u64, bytes: &Bytes) -> Result<Put> {
        let path = layout::commit(version);
        let mut waits = PENDING.into_iter();
        loop {
            let refused = match store::put_new(&self.store, &path, bytes.clone()).await {
                Ok(PutNew::Created) => return Ok(Put::Ours),
                Ok(PutNew::Exists) => None,
                Err(e) => Some(e),
            };
            // Perhaps the put succeeded and only its answer was lost: what is there tells.
            match (store::get(&self.store, &path).await, refused) {
                (Ok(Some(found)), _) if found == *bytes => return Ok(Put::Ours),
                (Ok(Some(_)), _) => return Ok(Put::Theirs),
                (_, Some(error)) | (Err(error), None) => return Err(error),
                // S3 says "conflict" while another put is under way that may yet fail.
                (Ok(None), None) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => {
                        return Err(Error::unavailable(format!(
                            "the store says that {path} exists and that it does not; run again later"
                        )));
                    }
                },
            }
        }
    }

    /// Looks for the newest checkpoint and the newest commit. `hint` is a version that probably exists.
    pub(super) async fn survey(&self, hint: Option<u64>) -> Result<Survey> {
        let Some(hint) = hint else { return self.list(0).await };
        let from = floor(hint);
        let mut survey = self.list(from).await?;
        if survey.newest < hint && !self.has(hint).await? {
            tracing::warn!(
                version = hint,
                "{} names a commit that does not exist; listing the whole log",
                layout::MANIFEST
            );
            return self.list(0).await;
        }
        survey.newest = survey.newest.max(hint);
        let mut below = from;
        while survey.checkpoint.is_none() && below > 0 {
            // Also the one that should have been listed: a listing may lag behind.
            survey.checkpoint = self.exists(&layout::checkpoint(below)).await?.then_some(below);
            below -= CHECKPOINT_EVERY;
        }
        Ok(survey)
    }

    /// The newest checkpoint at or below `version`, asked for by name.
    pub(super) async fn checkpoint_at(&self, version: u64) -> Result<Option<u64>> {
        let mut at = floor(version);
        while at > 0 {
            if self.exists(&layout::checkpoint(at)).await? {
                return Ok(Some(at));
            }
            at -= CHECKPOINT_EVERY;
        }
        Ok(None)
    }

    async fn exists(&self, path: &str) -> Result<bool> {
        use object_store::ObjectStoreExt;
        match self.store.head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(store_error(e, &format!("cannot look for {path}"))),
        }
    }

    /// Lists the log from `from` on. Holds two numbers, whatever the length.
    async fn list(&self, from: u64) -> Result<Survey> {
        // A proper prefix of every name of that version sorts before all of them.
        let offset = Path::from(format!("{}/{from:020}", layout::LOG));
        let mut objects = self.store.list_with_offset(Some(&Path::from(layout::LOG)), &offset);
        let mut survey = Survey { checkpoint: None, newest: from.saturating_sub(1) };
        let failed = |e| store_error(e, &format!("cannot list {}/", layout::LOG));
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            match layout::parse_log(object.location.as_ref()) {
                Some(LogObject::Commit(version)) => survey.newest = survey.newest.max(version),
                Some(LogObject::Checkpoint(version)) => survey.checkpoint = survey.checkpoint.max(Some(version)),
                None => {}
            }
        }
        // A checkpoint is written after its commit, so a listing that lacks the commit lags.
        survey.newest = survey.newest.max(survey.checkpoint.unwrap_or(0));
        Ok(survey)
    }
}

/// The last version at or below `version` to which a checkpoint belongs; 0 if there is none.
pub(super) fn floor(version: u64) -> u64 {
    version - version % CHECKPOINT_EVERY
}

/// What becomes of a commit that found its number taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It may be tried again, as this.
    Retry(Box<Commit>),
    /// Another writer has moved the archive on.
    Conflict,
}

/// The rule about a lost race. `ours` was made for an archive that stood at `progress` with `selection`; `between` are the
/// commits since, the last with `digest`. Pure.
///
/// If anything but maintenance came between, it is a conflict. Maintenance assigns no schema, field or folder ids and
/// brings no rows, so our data stay true: only replacements whose inputs are no longer live are dropped (their objects
/// stay behind for vacuum), and with them every replacement that shares an input.
pub(super) fn rebase(ours: &Commit, progress: &Progress, selection: &Selection, between: &[Stored]) -> Rebased {
    if between.iter().any(|s| !is_maintenance(&s.commit, progress, selection)) {
        return Rebased::Conflict;
    }
    let Some(last) = between.last() else { return Rebased::Retry(Box::new(ours.clone())) };
    let mut gone: BTreeSet<&str> =
        between.iter().flat_map(|s| &s.commit.draft.remove).map(|f| f.path.as_str()).collect();
    let mut dropped: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = dropped.len();
        for file in &ours.draft.add {
            let Some(replaces) = &file.replaces else { continue };
            if replaces.paths.iter().any(|p| gone.contains(p.as_str())) && dropped.insert(&file.path) {
                gone.extend(replaces.paths.iter().map(String::as_str));
            }
        }
        if dropped.len() == before {
            break;
        }
    }
    let mut draft = ours.draft.clone();
    draft.add.retain(|f| !dropped.contains(f.path.as_str()));
    draft.remove.retain(|f| !gone.contains(f.path.as_str()));
    Rebased::Retry(Box::new(Commit {
        version: last.commit.version + 1,
        previous: last.digest.clone(),
        draft,
        ..ours.clone()
    }))
}

/// Whether the commit left everything where it was but the set of files that hold the same rows.
fn is_maintenance(commit: &Commit, progress: &Progress, selection: &Selection) -> bool {
    let d = &commit.draft;
    d.progress == *progress
        && d.selection == *selection
        && d.tables.is_empty()
        && d.bases.is_empty()
        && d.gaps.is_empty()
        && d.deployment.is_none()
        && !d.component_rows
        && d.add.iter().all(|f| f.replaces.is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        archive::{
            Draft, RemovedFile, Run,
            testing::{cursor, delta, draft, first_commit},
        },
        data::{DataFile, Replaces},
    };

    /// Live files with the rows in each: what the oracle looks at.
    type Live = BTreeMap<String, Vec<u64>>;

    /// Joins some of the live files into one; the new one is called `n`.
    fn compact(live: &Live, chosen: &[prop::sample::Index], n: u64) -> Draft {
        let inputs: BTreeSet<_> = chosen.iter().filter_map(|i| live.keys().nth(i.index(live.len().max(1)))).collect();
        let remove = inputs.iter().map(|p| RemovedFile { path: (*p).clone(), ..(&delta("a", 0, 1, 1)).into() });
        let replaces = Replaces { paths: inputs.iter().map(|p| (*p).clone()).collect(), why: "compaction".into() };
        let joined = DataFile { replaces: Some(replaces), ..delta("a", n, 1, 1) };
        let add = if inputs.is_empty() { vec![] } else { vec![joined] };
        Draft { remove: remove.collect(), add, ..draft(progress(5)) }
    }

    fn progress(ts: i64) -> Progress {
        Progress { delta: Some(cursor(ts)), walk: None }
    }

    /// Plain reading of a commit: takes the removed files away and adds the new ones with their rows.
    fn apply(live: &mut Live, commit: &Commit, own_rows: &BTreeMap<String, Vec<u64>>) -> Result<(), String> {
        let before = live.clone();
        for file in &commit.draft.remove {
            live.remove(&file.path).ok_or(format!("{} was not live", file.path))?;
        }
        for file in &commit.draft.add {
            let rows = match &file.replaces {
                Some(r) => r.paths.iter().flat_map(|p| before.get(p).cloned().unwrap_or_default()).collect(),
                None => own_rows[&file.path].clone(),
            };
            if live.insert(file.path.clone(), rows).is_some() {
                return Err(format!("{} was live already", file.path));
            }
        }
        Ok(())
    }

    proptest! {
        /// We bring a file of new rows and compact some old ones, while others compact as they like.
        #[test]
        fn after_a_lost_race_against_maintenance_every_row_is_there_once(
            files in 1u64..8,
            others in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 1..4),
            mine in proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 1..4), 0..3),
        ) {
            let mut live: Live = (0..files).map(|n| (delta("a", n, 1, 1).path, vec![n])).collect();
            let new = delta("b", 50, 6, 9);
            let own = BTreeMap::from([(new.path.clone(), vec![50])]);
            let mut ours = Draft { add: vec![new.clone()], ..draft(progress(9)) };
            let mut left = live.clone();
            for (n, chosen) in (60..).zip(&mine) {
                let one = compact(&left, chosen, n);
                left.retain(|p, _| one.remove.iter().all(|r| r.path != *p));
                ours.add.extend(one.add);
                ours.remove.extend(one.remove);
            }
            let ours = Commit { draft: ours, ..first_commit() };
            let mut between = Vec::new();
            for (n, chosen) in (100..).zip(&others) {
                let commit = Commit {
                    version: n,
                    draft: compact(&live, chosen, n),
                    run: Run { id: "other".into(), counter: n },
                    ..first_commit()
                };
                apply(&mut live, &commit, &own).unwrap();
                between.push(Stored { commit, digest: n.to_string() });
            }
            let Rebased::Retry(again) = rebase(&ours, &progress(5), &Selection::default(), &between) else {
                return Err(TestCaseError::fail("maintenance is no conflict"));
            };
            prop_assert_eq!(again.version, between.last().unwrap().commit.version + 1);
            prop_assert_eq!(&again.previous, &between.last().unwrap().digest);
            prop_assert_eq!((&again.run, &again.draft.progress), (&ours.run, &ours.draft.progress));
            prop_assert!(again.draft.add.contains(&new));
            apply(&mut live, &again, &own).map_err(TestCaseError::fail)?;
            let mut rows: Vec<_> = live.into_values().flatten().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..files).chain([50]).collect::<Vec<_>>());
        }

        #[test]
        fn anything_else_in_between_is_a_conflict(commit in crate::archive::testing::any_commit()) {
            // Such commits always complete a base.
            let between = [Stored { digest: "x".into(), commit: commit.clone() }];
            prop_assert_eq!(rebase(&first_commit(), &commit.draft.progress, &Selection::default(), &between), Rebased::Conflict);
        }
    }

    #[test]
    fn a_moved_progress_is_a_conflict_and_an_empty_commit_is_not() {
        let commit = Commit { version: 8, draft: draft(progress(5)), ..first_commit() };
        let between = [Stored { digest: "x".into(), commit }];
        assert_eq!(rebase(&first_commit(), &progress(4), &Selection::default(), &between), Rebased::Conflict);
        assert!(
            matches!(rebase(&first_commit(), &progress(5), &Selection::default(), &between), Rebased::Retry(c) if c.version == 9)
        );
        for harm in [
            (|d: &mut Draft| d.add.push(delta("a", 1, 1, 1))) as fn(&mut Draft),
            |d| d.component_rows = true,
            |d| d.selection = "** !a".parse().unwrap(),
            |d| d.tables.push(crate::archive::testing::entry("x")),
            |d| d.deployment = Some(crate::archive::testing::deployment()),
        ] {
            let mut between = between.clone();
            harm(&mut between[0].commit.draft);
            assert_eq!(rebase(&first_commit(), &progress(5), &Selection::default(), &between), Rebased::Conflict);
        }
    }
}
