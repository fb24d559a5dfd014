//! A deployment, an archive of it, and the plain oracle: what the archive holds, read back file by file into maps.

pub(crate) mod faults;
pub(crate) mod replay;
pub(crate) mod source;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convex_archiver::{
    NoMonitor, Phase, Result, Revision, TableRef, Timestamp,
    archive::{Archive, Head},
    codec::RowReader,
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    data::{FileReader, Selection},
    server::{Deployment, RouterOptions, SimulatedDeployment},
    sync::{SyncOptions, SyncReport, sync},
};
use object_store::{ObjectStore, memory::InMemory};

use crate::conformance::Server;

/// The key of every test deployment.
pub(crate) const KEY: &str = "otter-1|secret";

/// A deployment behind real HTTP and a store for its archive.
pub(crate) struct World {
    pub(crate) deployment: Arc<SimulatedDeployment>,
    pub(crate) server: Server,
    pub(crate) store: Arc<dyn ObjectStore>,
}

/// Pages of `snapshot` and `deltas` rows, and windows that never close.
pub(crate) fn pages(snapshot: usize, deltas: usize) -> RouterOptions {
    RouterOptions {
        key: KEY.to_owned(),
        snapshot_page: snapshot,
        delta_page: deltas,
        snapshot_window: Duration::MAX,
        deltas_window: Duration::MAX,
        ..RouterOptions::default()
    }
}

impl World {
    pub(crate) async fn new(options: RouterOptions) -> Self {
        Self::of(SimulatedDeployment::new("otter-1", 7), options).await
    }

    pub(crate) async fn of(deployment: SimulatedDeployment, options: RouterOptions) -> Self {
        let deployment = Arc::new(deployment);
        let server = Server::start(Arc::clone(&deployment) as Arc<dyn Deployment>, options).await;
        Self { deployment, server, store: Arc::new(InMemory::new()) }
    }

    pub(crate) fn client(&self) -> Client {
        client(&self.server.url)
    }

    pub(crate) async fn archive(&self) -> Archive {
        self.archive_in(Arc::clone(&self.store)).await.unwrap()
    }

    pub(crate) async fn archive_in(&self, store: Arc<dyn ObjectStore>) -> Result<Archive> {
        let identity = self.client().identity().await?;
        Archive::open_or_create(store, "memory:///archive", identity, Timestamp(1)).await
    }

    pub(crate) async fn sync(&self) -> SyncReport {
        self.sync_with(&SyncOptions::default()).await.unwrap()
    }

    pub(crate) async fn sync_with(&self, options: &SyncOptions) -> Result<SyncReport> {
        sync(Arc::new(self.client()), &self.archive().await, options, Arc::new(NoMonitor)).await
    }

    /// Reads the archive back.
    pub(crate) async fn held(&self) -> Held {
        self.held_in(Arc::clone(&self.store)).await
    }

    pub(crate) async fn held_in(&self, store: Arc<dyn ObjectStore>) -> Held {
        Held::read(&self.archive_in(store).await.unwrap()).await
    }

    /// The archive is equal to the deployment, as far as its cursor reaches: every revision of deltas once, and the state.
    pub(crate) async fn assert_equal(&self) {
        self.held().await.assert_equal(&self.deployment);
    }
}

pub(crate) fn client(url: &str) -> Client {
    let access = Access::new(url, DeployKey::new(KEY).unwrap(), false).unwrap();
    Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap()
}

/// Per table the live documents by id.
pub(crate) type States = BTreeMap<TableRef, BTreeMap<String, Revision>>;

/// All that an archive holds and shows: rows of complete bases and of deltas.
pub(crate) struct Held {
    pub(crate) head: Head,
    /// Table, S, revision.
    pub(crate) bases: Vec<(TableRef, Timestamp, Revision)>,
    pub(crate) deltas: Vec<(TableRef, Revision)>,
}

impl Held {
    pub(crate) async fn read(archive: &Archive) -> Self {
        let head = archive.head().await.unwrap();
        let complete: BTreeMap<_, _> = head.coverage().bases.iter().map(|b| (b.id.clone(), b.ts)).collect();
        let mut live = archive.live_files(&head).await.unwrap();
        let (mut bases, mut deltas) = (Vec::new(), Vec::new());
        while let Some(file) = live.next().await.unwrap() {
            let schema = &head.table(&file.table).unwrap().schema;
            let mut reader = FileReader::open(Arc::clone(archive.store()), &file, &Selection::default()).await.unwrap();
            let mut rows = 0;
            while let Some(batch) = reader.next().await.unwrap() {
                let read = RowReader::new(schema, &batch).unwrap();
                for row in 0..batch.num_rows() {
                    rows += 1;
                    let revision = read.revision(row).unwrap();
                    assert!((file.min_ts..=file.max_ts).contains(&revision.ts));
                    assert!((&file.min_id..=&file.max_id).contains(&&revision.id));
                    match (&file.phase, file.base.as_ref().map(|b| complete.get(b))) {
                        (Phase::Snapshot, Some(Some(s))) => bases.push((file.table.clone(), *s, revision)),
                        (Phase::Snapshot, _) => {}
                        (Phase::Delta, _) => deltas.push((file.table.clone(), revision)),
                    }
                }
            }
            assert_eq!(rows, file.rows, "{}", file.path);
        }
        Self { head, bases, deltas }
    }

    /// The delta cursor.
    pub(crate) fn through(&self) -> Timestamp {
        self.head.progress().delta.as_ref().unwrap().ts
    }

    /// The state of all tables at `at`: of each its newest base, and the newest revision after it.
    pub(crate) fn state_at(&self, at: Timestamp) -> States {
        let base_of = |table: &TableRef| {
            let bases = self.head.coverage().bases.iter().filter(|b| b.ts <= at && b.scope.contains(table));
            bases.map(|b| b.ts).max().unwrap()
        };
        let mut state = States::new();
        let base = self.bases.iter().filter(|(table, ts, _)| *ts == base_of(table)).map(|(table, _, r)| (table, r));
        let deltas = self.deltas.iter().filter(|(table, r)| r.ts > base_of(table) && r.ts <= at);
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
        let base = deployment_state(deployment, first);
        assert_same_state(&self.state_at(first), &base);
        assert_eq!(self.bases.len(), base.values().map(BTreeMap::len).sum::<usize>(), "every document at S once");
        let revisions = deployment.revisions().into_iter().filter(|(_, r)| r.ts > first && r.ts <= through);
        self.assert_revisions(revisions.map(|(table, r)| ((*table).clone(), (*r).clone())).collect());
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
