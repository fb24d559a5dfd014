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

use super::not_told::NotTold;

/// Moments at which a state is looked at, beside those of bases and the cursor.
const MOMENTS: usize = 16;

/// Per table the live documents by id.
pub(crate) type States = BTreeMap<TableRef, BTreeMap<String, Revision>>;

/// All that an archive holds and shows: rows of complete bases and of deltas.
pub(crate) struct Held {
    pub(crate) head: Head,
    /// Also of bases that no longer serve, while their files live.
    pub(crate) bases: Vec<(TableRef, BaseId, Arc<Revision>)>,
    pub(crate) deltas: Vec<(TableRef, Arc<Revision>)>,
}

/// Rows of files by their path, since files never change.
pub(crate) type FileRows = BTreeMap<String, Vec<Arc<Revision>>>;

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
            let rows = seen[&file.path].iter().map(|revision| (file.table.clone(), Arc::clone(revision)));
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
            state.entry(table.clone()).or_default().insert(revision.id.clone(), Revision::clone(revision));
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
        self.assert_revisions(revisions.map(|(table, r)| ((*table).clone(), r)).collect());
    }

    /// Whatever happened between: every revision that the archive does not say it lacks is there once, and each table is,
    /// at every moment for which the archive claims it, what it was in the deployment.
    pub(crate) fn assert_true(&self, deployment: &SimulatedDeployment) {
        self.assert_true_but(deployment, &NotTold::default());
    }

    /// The same, but for what the deployment did not tell.
    pub(crate) fn assert_true_but(&self, deployment: &SimulatedDeployment, not_told: &NotTold) {
        let (coverage, through) = (self.head.coverage(), self.through());
        let lost = |table: &TableRef, ts: Timestamp| {
            let in_force = coverage.selections.iter().rfind(|s| s.after < ts);
            in_force.is_some_and(|s| !s.tables.contains(table))
                || (!table.component().is_empty() && ts <= not_told.components)
                || coverage.gaps.iter().any(|gap| gap.from < ts && ts <= gap.to && gap.scope.contains(table))
        };
        let revisions: Vec<_> = deployment.revisions().into_iter().map(|(table, r)| ((*table).clone(), r)).collect();
        let origin = self.head.origin().expect("a walk has begun");
        let kept = revisions.iter().filter(|(t, r)| r.ts > origin && r.ts <= through && !lost(t, r.ts));
        let told = kept.filter(|(table, _)| not_told.tells_rows_of(table)).cloned().collect();
        let (held, of_dropped): (Vec<_>, Vec<_>) =
            self.deltas.iter().cloned().partition(|(table, _)| not_told.tells_rows_of(table));
        assert_same_revisions(held, told);
        let distinct: BTreeSet<_> = of_dropped.iter().map(|(table, r)| (table, &r.id, r.ts)).collect();
        assert_eq!(distinct.len(), of_dropped.len(), "every revision once");

        let written: BTreeSet<Timestamp> = revisions.iter().map(|(_, r)| r.ts).filter(|ts| *ts <= through).collect();
        let mut moments: BTreeSet<Timestamp> = coverage.bases.iter().map(|base| base.ts).chain([through]).collect();
        moments.extend(written.iter().step_by(written.len().div_ceil(MOMENTS).max(1)));
        if !not_told.dropped.is_empty() {
            moments.extend(&not_told.compared);
        }
        let mut deltas: BTreeMap<&TableRef, Vec<&Arc<Revision>>> = BTreeMap::new();
        for (table, revision) in &self.deltas {
            deltas.entry(table).or_default().push(revision);
        }
        deltas.values_mut().for_each(|of_table| of_table.sort_by_key(|r| r.ts));
        let mut bases: BTreeMap<(&TableRef, &BaseId), Vec<&Arc<Revision>>> = BTreeMap::new();
        for (table, id, revision) in &self.bases {
            bases.entry((table, id)).or_default().push(revision);
        }
        let known = self.head.tables().map(|state| &state.table);
        let tables: BTreeSet<&TableRef> = revisions.iter().map(|(table, _)| table).chain(known).collect();
        for at in moments {
            let expected = deployment.state_at(at);
            for table in &tables {
                let Covers::Covered(base) = coverage.covers(table, at) else { continue };
                if !not_told.is_known(&self.head, table, at) {
                    continue;
                }
                let mut found = BTreeMap::new();
                for r in bases.get(&(*table, &base.id)).into_iter().flatten() {
                    let earlier = found.insert(&r.id, *r);
                    assert!(earlier.is_none(), "{table} {} twice in the base of {}", r.id, base.ts);
                }
                let after = deltas.get(table).into_iter().flatten().filter(|r| base.ts < r.ts && r.ts <= at);
                found.extend(after.map(|r| (&r.id, *r)));
                found.retain(|_, r| r.document.is_some());
                let expected = expected.get(*table).into_iter().flatten().filter(|(_, r)| r.document.is_some());
                let expected: BTreeMap<_, _> = expected.collect();
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{table} at {at}");
                for (id, revision) in expected {
                    assert_eq!(found[id], revision, "{table} {id} at {at}");
                }
            }
        }
    }

    /// The deltas are these revisions, each once.
    pub(crate) fn assert_revisions(&self, expected: Vec<(TableRef, Arc<Revision>)>) {
        assert_same_revisions(self.deltas.clone(), expected);
    }
}

fn assert_same_revisions(mut held: Vec<(TableRef, Arc<Revision>)>, mut expected: Vec<(TableRef, Arc<Revision>)>) {
    for revisions in [&mut held, &mut expected] {
        revisions.sort_by(|(t, a), (u, b)| (t, a.ts, &a.id).cmp(&(u, b.ts, &b.id)));
    }
    assert_eq!(held.len(), expected.len(), "every revision after S once");
    for (held, expected) in held.iter().zip(&expected) {
        assert_eq!(held, expected);
    }
}

/// The rows of a file, which are as many and lie where its commit says, and are what the deployment sent.
async fn rows(archive: &Archive, head: &Head, file: &DataFile) -> Vec<Arc<Revision>> {
    let schema = archive.schema(head, &file.table).await.unwrap();
    let mut reader = FileReader::open(Arc::clone(archive.store()), file, &WantedRows::default()).await.unwrap();
    let content = reader.content().unwrap();
    let mut sum = ContentSum::new(&file.table, content.map_or(DigestShare::Off, |content| content.share));
    let mut rows = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        sum.take_rows(&schema, &batch).unwrap();
        let read = RowReader::new(&schema, &batch).unwrap();
        rows.extend((0..batch.num_rows()).map(|row| Arc::new(read.revision(row).unwrap())));
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
