//! A deployment and an archive of it.

pub(crate) mod answers;
pub(crate) mod clock;
pub(crate) mod clocked;
pub(crate) mod counted;
pub(crate) mod fake_protocol;
#[path = "../../../src/store/faults.rs"]
pub(crate) mod faults;
pub(crate) mod fed;
pub(crate) mod harmed;
mod held;
pub(crate) mod not_told;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod states;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use convex_archiver::{
    Event, Monitor, NoMonitor, Result, Timestamp,
    archive::Archive,
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, RouterOptions, SimulatedDeployment},
    sync::{SyncOptions, SyncReport, sync},
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

pub(crate) use self::held::{FileRows, Held, States, assert_same_state, deployment_state};
use crate::conformance::Server;

/// Keeps the warnings.
#[derive(Default)]
pub(crate) struct Warnings(pub(crate) Mutex<Vec<String>>);

impl Monitor for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Finding(finding) = event {
            self.0.lock().unwrap().push(finding.to_string());
        }
    }
}

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
    RouterOptions::default()
        .key(KEY.to_owned())
        .snapshot_page(snapshot)
        .delta_page(deltas)
        .snapshot_window(Duration::MAX)
        .deltas_window(Duration::MAX)
}

/// The same of a server that proves in no way whether it sends what components change: one of the week from 2026-08-11 on.
pub(crate) fn unproven(snapshot: usize, deltas: usize) -> RouterOptions {
    pages(snapshot, deltas).data_sync(false).data_sync_cursor(false).bad_cursor_code(false)
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

    /// The same database behind another server.
    pub(crate) async fn serve_as(&mut self, options: RouterOptions) {
        self.server.restart(Arc::clone(&self.deployment) as Arc<dyn Deployment>, options).await;
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

    /// The text of an object.
    pub(crate) async fn store_text(&self, path: &str) -> String {
        let object = self.store.get(&object_store::path::Path::from(path)).await.unwrap();
        String::from_utf8(object.bytes().await.unwrap().to_vec()).unwrap()
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
