//! A deployment behind real HTTP, and an archive of it wherever an URL leads.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use convex_archiver::{
    NoMonitor, Result, Timestamp,
    archive::{Archive, Location},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    server::{Deployment, JsonSchemas, RouterOptions, SimulatedDeployment, router},
    sync::{SyncOptions, SyncReport, sync},
};
use object_store::ObjectStore;
use tokio::task::JoinHandle;

use super::{expected, process::environment, python};

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Report and log.
    pub(crate) said: String,
}

impl Ended {
    /// Itself, if it ended with `code` and said each of the words.
    #[track_caller]
    pub(crate) fn with(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "`{word}` in {}", self.said);
        }
        self
    }
}

/// The deploy key of every such deployment.
pub(crate) const KEY: &str = "otter-1|secret";

/// A deployment, served until this is dropped.
pub(crate) struct World {
    pub(crate) deployment: Arc<SimulatedDeployment>,
    pub(crate) url: String,
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

    /// The same of a server that proves in no way whether it sends what components change: one of the week from 2026-08-11 on.
    pub(crate) async fn unproven(snapshot: usize, deltas: usize) -> Self {
        let options = Self::options(snapshot, deltas).data_sync_cursor(false).bad_cursor_code(false);
        Self::serve(SimulatedDeployment::new("otter-1", 7), options, |routes| routes).await
    }

    /// The same of one that tells no shapes: columns come from the documents alone.
    pub(crate) async fn without_shapes() -> Self {
        let options = Self::options(1024, 128).schemas(JsonSchemas::Failing);
        Self::serve(SimulatedDeployment::new("otter-1", 7), options, |routes| routes).await
    }

    /// Of a deployment of the test's own.
    pub(crate) async fn of(deployment: SimulatedDeployment) -> Self {
        Self::serve(deployment, Self::options(1024, 128), |routes| routes).await
    }

    fn options(snapshot: usize, deltas: usize) -> RouterOptions {
        RouterOptions::default()
            .key(KEY.to_owned())
            .snapshot_page(snapshot)
            .delta_page(deltas)
            .snapshot_window(Duration::MAX)
            .deltas_window(Duration::MAX)
    }

    /// A deployment with the windows of a real one, that tells shapes or does not.
    pub(crate) async fn aging(deployment: SimulatedDeployment, tells_shapes: bool) -> Self {
        let options = RouterOptions::default().key(KEY.to_owned()).snapshot_page(512).delta_page(128);
        let options = if tells_shapes { options } else { options.schemas(JsonSchemas::Failing) };
        Self::serve(deployment, options, |routes| routes).await
    }

    /// Another deployment than all the others.
    pub(crate) async fn named(name: &str) -> Self {
        Self::serve(SimulatedDeployment::new(name, 8), Self::options(3, 3), |routes| routes).await
    }

    /// With something of the test's own around the routes.
    pub(crate) async fn behind(snapshot: usize, deltas: usize, wrap: impl FnOnce(Router) -> Router) -> Self {
        Self::serve(SimulatedDeployment::new("otter-1", 7), Self::options(snapshot, deltas), wrap).await
    }

    async fn serve(
        deployment: SimulatedDeployment,
        options: RouterOptions,
        wrap: impl FnOnce(Router) -> Router,
    ) -> Self {
        let deployment = Arc::new(deployment);
        let routes = wrap(router(Arc::clone(&deployment) as Arc<dyn Deployment>, options));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { deployment, url, task }
    }

    /// Opens or creates the archive at `place`, as the program does.
    pub(crate) async fn archive(&self, place: &str) -> Result<Archive> {
        let identity = self.client().identity().await?;
        let location = Location::create(place, &environment())?;
        Archive::open_or_create(Arc::clone(location.store()), location.url(), identity, Timestamp(1)).await
    }

    /// Creates the archive in a store that no URL leads to.
    pub(crate) async fn archive_in(&self, store: Arc<dyn ObjectStore>) -> Archive {
        let identity = self.client().identity().await.unwrap();
        Archive::create(store, "memory:///", identity, Timestamp(1)).await.unwrap()
    }

    /// One sync into the archive at `place`.
    pub(crate) async fn sync(&self, place: &str, options: &SyncOptions) -> Result<SyncReport> {
        let archive = self.archive(place).await?;
        self.sync_to(&archive, options).await
    }

    /// One sync into an open archive.
    pub(crate) async fn sync_to(&self, archive: &Archive, options: &SyncOptions) -> Result<SyncReport> {
        sync(Arc::new(self.client()), archive, options, Arc::new(NoMonitor)).await
    }

    /// One sync that must succeed and catch up.
    pub(crate) async fn catch_up(&self, place: &str) -> SyncReport {
        let report = self.sync(place, &SyncOptions::default()).await.unwrap();
        assert!(report.caught_up);
        report
    }

    /// One sync by the program itself, to its end.
    pub(crate) async fn program(&self, place: &str, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convex-archiver"));
        command.args(["sync", "--json", "--deployment", &self.url, "--archive", place]).args(arguments);
        command.env("CONVEX_DEPLOY_KEY", KEY).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        Ended { code: output.status.code(), said: python::text(&output) }
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
