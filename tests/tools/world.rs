//! A deployment behind real HTTP, and an archive of it wherever an URL leads.

use std::{path::Path, sync::Arc, time::Duration};

use axum::Router;
use convex_archiver::{
    NoMonitor, Result, Timestamp,
    archive::{Archive, Location},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
    sync::{SyncOptions, SyncReport, sync},
};
use tokio::task::JoinHandle;

use super::{expected, python};

const KEY: &str = "otter-1|secret";

/// A deployment, served until this is dropped.
pub(crate) struct World {
    pub(crate) deployment: Arc<SimulatedDeployment>,
    url: String,
    task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Pages of `snapshot` and `deltas` rows.
    pub(crate) async fn start(snapshot: usize, deltas: usize) -> Self {
        Self::behind(snapshot, deltas, |routes| routes).await
    }

    /// Another deployment than all the others.
    pub(crate) async fn named(name: &str) -> Self {
        Self::serve(SimulatedDeployment::new(name, 8), 3, 3, |routes| routes).await
    }

    /// With something of the test's own around the routes.
    pub(crate) async fn behind(snapshot: usize, deltas: usize, wrap: impl FnOnce(Router) -> Router) -> Self {
        Self::serve(SimulatedDeployment::new("otter-1", 7), snapshot, deltas, wrap).await
    }

    async fn serve(
        deployment: SimulatedDeployment,
        snapshot: usize,
        deltas: usize,
        wrap: impl FnOnce(Router) -> Router,
    ) -> Self {
        let deployment = Arc::new(deployment);
        let options = RouterOptions {
            key: KEY.to_owned(),
            snapshot_page: snapshot,
            delta_page: deltas,
            snapshot_window: Duration::MAX,
            deltas_window: Duration::MAX,
            ..RouterOptions::default()
        };
        let routes = wrap(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { deployment, url, task }
    }

    /// Opens or creates the archive at `place`, as the program does.
    pub(crate) async fn archive(&self, place: &str) -> Result<Archive> {
        let identity = self.client().identity().await?;
        let location = Location::create(place)?;
        Archive::open_or_create(Arc::clone(location.store()), location.url(), identity, Timestamp(1)).await
    }

    /// One sync into the archive at `place`.
    pub(crate) async fn sync(&self, place: &str, options: &SyncOptions) -> Result<SyncReport> {
        let archive = self.archive(place).await?;
        sync(Arc::new(self.client()), &archive, options, Arc::new(NoMonitor)).await
    }

    /// One sync that must succeed and catch up.
    pub(crate) async fn catch_up(&self, place: &str) -> SyncReport {
        let report = self.sync(place, &SyncOptions::default()).await.unwrap();
        assert!(report.caught_up);
        report
    }

    /// Lets a script of `tests/readers` compare the archive at `place` with what the deployment holds. Answers what it
    /// printed.
    pub(crate) fn compare(&self, script: &str, place: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        expected::write(&self.deployment, file.path());
        python::run(&format!("readers/{script}"), &[Path::new(place), file.path()])
    }

    fn client(&self) -> Client {
        let access = Access::new(&self.url, DeployKey::new(KEY).unwrap(), false).unwrap();
        Client::new(access, ClientOptions::default(), Arc::new(NoMonitor)).unwrap()
    }
}
