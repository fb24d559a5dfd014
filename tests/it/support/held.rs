//! What an archive holds, read back file by file into maps: the plain oracle of the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use convex_archiver::{
    BaseId, DataFile, DigestShare, FileReader, Phase, Revision, RowReader, TableRef, Timestamp, WantedRows,
    archive::{Archive, Base, Covers, Head},
    server::SimulatedDeployment,
    testing::codec::ContentSum,
};

/// Moments at which a state is looked at, beside those of bases and the cursor.
const MOMENTS: usize = 16;

/// Per table the live documents by id.
pub(crate) type States = BTreeMap<TableRef, BTreeMap<String, Revision>>;

/// All that an archive holds and shows: rows of complete bases and of deltas.
pub(crate) struct Held {
    pub(crate) head: Head,
    /// Also of bases that no longer serve, while their files live.
    pub(crate) bases: Vec<(TableRef, BaseId, Revision)>,
    pub(crate) deltas: Vec<(TableRef, Revision)>,
}

/// Rows of files by their path, since files never change.
pub(crate) type FileRows = BTreeMap<String, Vec<Revision>>;

impl Held {
    pub(crate) async fn read(archive: &Archive) -> Self {
        Self::read_on(archive, &mut FileRows::new()).await
    }

    /// Reads what was not seen before.
    pub(crate) async fn read_on(archive: &Archive, seen: &mut FileRows) -> Self {
        let head = archive.head().await.unwrap();
        let complete: BTreeSet<_> = head.coverage().bases.iter().map(|b| b.id.clone()).collect();
        let mut live = archive.live_files(&head).await.unwrap();
        let (mut bases, mut deltas) = (Vec::new(), Vec::new());
        while let Some(file) = live.next().await.unwrap() {
            if !seen.contains_key(&file.path) {
                seen.insert(file.path.clone(), rows(archive, &head, &file).await);
            }
            let rows = seen[&file.path].iter().map(|revision| (file.table.clone(), revision.clone()));
            match (&file.phase, file.base.as_ref().map(|b| complete.get(b))) {
                (Phase::Snapshot, Some(Some(id))) => {
                    bases.extend(rows.map(|(table, revision)| (table, id.clone(), revision)));
                }
                (Phase::Snapshot, _) => {}
                (Phase::Delta, _) => deltas.extend(rows),
            }
        }
        Self { head, bases, deltas }
    }

    /// The delta cursor.
    pub(crate) fn through(&self) -> Timestamp {
        self.head.progress().delta.as_ref().unwrap().ts
    }

    /// The state of all tables at `at`: of each its newest base, and the newest revision after it.
    pub(crate) fn state_at(&self, at: Timestamp) -> States {
        let coverage = self.head.coverage();
        let mut newest: BTreeMap<&TableRef, Option<&Base>> = BTreeMap::new();
        let tables = self.bases.iter().map(|(table, ..)| table).chain(self.deltas.iter().map(|(table, _)| table));
        for table in tables {
            newest.entry(table).or_insert_with(|| {
                let bases = coverage.bases.iter().filter(|b| b.ts <= at && coverage.serves(b, table));
                bases.max_by_key(|b| (b.ts, b.version))
            });
        }
        let is_of_base = |table: &TableRef, id: &BaseId| newest[table].is_some_and(|base| base.id == *id);
        let is_later = |table: &TableRef, ts: Timestamp| newest[table].is_none_or(|base| ts > base.ts);
        let mut state = States::new();
        let base = self.bases.iter().filter(|(table, id, _)| is_of_base(table, id)).map(|(table, _, r)| (table, r));
        let deltas = self.deltas.iter().filter(|(table, r)| is_later(table, r.ts) && r.ts <= at);
        let mut deltas: Vec<_> = deltas.map(|(table, r)| (table, r)).collect();
        deltas.sort_by_key(|(_, r)| r.ts);
        for (table, revision) in base.chain(deltas) {
            state.entry(table.clone()).or_default().insert(revision.id.clone(), revision.clone());
        }
        without_tombstones(state)
    }

    pub(crate) fn assert_equal(&self, deployment: &SimulatedDeployment) {
        let through = self.through();
        let first = self.head.coverage().bases.iter().map(|b| b.ts).min().unwrap();
        assert_same_state(&self.state_at(through), &deployment_state(deployment, through));
        assert_same_state(&self.state_at(first), &deployment_state(deployment, first));
        let of_base = |base: &Base| {
            let serves = |table: &TableRef| self.head.coverage().serves(base, table);
            let tables = deployment_state(deployment, base.ts).into_iter().filter(|(table, _)| serves(table));
            tables.map(|(_, documents)| documents.len()).sum::<usize>()
        };
        let expected: usize = self.head.coverage().bases.iter().map(of_base).sum();
        let serves = |table: &TableRef, id: &BaseId| {
            self.head.coverage().bases.iter().any(|base| base.id == *id && self.head.coverage().serves(base, table))
        };
        let held = self.bases.iter().filter(|(table, id, _)| serves(table, id)).count();
        assert_eq!(held, expected, "every document of every base that serves at its S once");
        let revisions = deployment.revisions().into_iter().filter(|(_, r)| r.ts > first && r.ts <= through);
        self.assert_revisions(revisions.map(|(table, r)| ((*table).clone(), (*r).clone())).collect());
    }

    /// Whatever happened between: every revision that the archive does not say it lacks is there once, and each table is,
    /// at every moment for which the archive claims it, what it was in the deployment.
    pub(crate) fn assert_true(&self, deployment: &SimulatedDeployment) {
        self.assert_true_but(deployment, Timestamp(i64::MIN));
    }

    /// The same, where up to `untold` the deployment told nothing of what components changed.
    pub(crate) fn assert_true_but(&self, deployment: &SimulatedDeployment, untold: Timestamp) {
        let (coverage, through) = (self.head.coverage(), self.through());
        let lost = |table: &TableRef, ts: Timestamp| {
            let in_force = coverage.selections.iter().rfind(|s| s.after < ts);
            in_force.is_some_and(|s| !s.tables.contains(table))
                || (!table.component().is_empty() && ts <= untold)
                || coverage.gaps.iter().any(|gap| gap.from < ts && ts <= gap.to)
        };
        let revisions: Vec<_> =
            deployment.revisions().into_iter().map(|(table, r)| ((*table).clone(), (*r).clone())).collect();
        let origin = self.head.origin().expect("a walk has begun");
        let kept = revisions.iter().filter(|(t, r)| r.ts > origin && r.ts <= through && !lost(t, r.ts));
        self.assert_revisions(kept.cloned().collect());

        let written: BTreeSet<Timestamp> = revisions.iter().map(|(_, r)| r.ts).filter(|ts| *ts <= through).collect();
        let mut moments: BTreeSet<Timestamp> = coverage.bases.iter().map(|base| base.ts).chain([through]).collect();
        moments.extend(written.iter().step_by(written.len().div_ceil(MOMENTS).max(1)));
        let tables: BTreeSet<&TableRef> = revisions.iter().map(|(table, _)| table).collect();
        for at in moments {
            let expected = deployment_state(deployment, at);
            for table in &tables {
                let Covers::Covered(base) = coverage.covers(table, at) else { continue };
                let mut found = BTreeMap::new();
                for (_, _, r) in self.bases.iter().filter(|(t, id, _)| t == *table && *id == base.id) {
                    assert!(
                        found.insert(r.id.clone(), r).is_none(),
                        "{table} {} twice in the base of {}",
                        r.id,
                        base.ts
                    );
                }
                let mut deltas: Vec<_> =
                    self.deltas.iter().filter(|(t, r)| t == *table && r.ts > base.ts && r.ts <= at).collect();
                deltas.sort_by_key(|(_, r)| r.ts);
                found.extend(deltas.into_iter().map(|(_, r)| (r.id.clone(), r)));
                found.retain(|_, r| r.document.is_some());
                let none = BTreeMap::new();
                let expected = expected.get(*table).unwrap_or(&none);
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{table} at {at}");
                for (id, revision) in expected {
                    assert_eq!(found[id], revision, "{table} {id} at {at}");
                }
            }
        }
    }

    /// The deltas are these revisions, each once.
    pub(crate) fn assert_revisions(&self, mut expected: Vec<(TableRef, Revision)>) {
        let mut held = self.deltas.clone();
        let key = |a: &(TableRef, Revision)| (a.0.clone(), a.1.ts, a.1.id.clone());
        expected.sort_by_key(key);
        held.sort_by_key(key);
        assert_eq!(held.len(), expected.len(), "every revision after S once");
        for (held, expected) in held.iter().zip(&expected) {
            assert_eq!(held, expected);
        }
    }
}

/// The rows of a file, which are as many and lie where its commit says, and are what the deployment sent.
async fn rows(archive: &Archive, head: &Head, file: &DataFile) -> Vec<Revision> {
    let schema = archive.schema(head, &file.table).await.unwrap();
    let mut reader = FileReader::open(Arc::clone(archive.store()), file, &WantedRows::default()).await.unwrap();
    let content = reader.content().unwrap();
    let mut sum = ContentSum::new(&file.table, content.map_or(DigestShare::Off, |content| content.share));
    let mut rows = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        sum.take_rows(&schema, &batch).unwrap();
        let read = RowReader::new(&schema, &batch).unwrap();
        rows.extend((0..batch.num_rows()).map(|row| read.revision(row).unwrap()));
    }
    assert_eq!(rows.len() as u64, file.rows, "{}", file.path);
    assert_eq!(sum.digest(), content, "{}", file.path);
    let (least, largest) = (file.min_id.as_ref().unwrap(), file.max_id.as_ref().unwrap());
    for revision in &rows {
        assert!((file.min_ts..=file.max_ts).contains(&revision.ts));
        assert!((least..=largest).contains(&&revision.id));
    }
    rows
}

pub(crate) fn deployment_state(deployment: &SimulatedDeployment, at: Timestamp) -> States {
    let state = deployment.state_at(at).into_iter();
    without_tombstones(
        state
            .map(|(table, documents)| (table, documents.into_iter().map(|(id, r)| (id, Revision::clone(&r))).collect()))
            .collect(),
    )
}

fn without_tombstones(mut state: States) -> States {
    state.values_mut().for_each(|documents| documents.retain(|_, r| r.document.is_some()));
    state.retain(|_, documents| !documents.is_empty());
    state
}

pub(crate) fn assert_same_state(held: &States, expected: &States) {
    assert_eq!(held.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (table, documents) in expected {
        let found = &held[table];
        assert_eq!(found.keys().collect::<Vec<_>>(), documents.keys().collect::<Vec<_>>(), "{table}");
        for (id, revision) in documents {
            assert_eq!(&found[id], revision, "{table} {id}");
        }
    }
}
