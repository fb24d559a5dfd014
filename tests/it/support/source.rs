//! Sources that are another one, but for one thing.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, Error, Phase, Position, Result, Timestamp,
    convex::{Client, Page, Shapes, SnapshotScope, Source},
};

/// The identity of a deployment that is the same, whatever the port it is asked on.
pub(crate) fn same_place() -> DeploymentIdentity {
    DeploymentIdentity { name: Some("otter-1".into()), origin: "https://otter-1.convex.cloud".into() }
}

/// A deployment that answers only so many pages.
pub(crate) struct Ending {
    pub(crate) inner: Client,
    pub(crate) pages: AtomicUsize,
    /// What comes then: silence, or else a failure.
    pub(crate) silent: bool,
}

impl Ending {
    pub(crate) fn after(pages: usize, silent: bool, inner: Client) -> Self {
        Self { inner, pages: pages.into(), silent }
    }
}

#[async_trait]
impl Source for Ending {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.inner.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.inner.shapes().await
    }

    fn snapshot_start(&self) -> Position {
        self.inner.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.inner.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.inner.deltas_after(ts).await
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        let left = self.pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.inner.page(at).await,
            Err(_) if self.silent => std::future::pending().await,
            Err(_) => Err(Error::unavailable("no more pages")),
        }
    }
}

/// A deployment that at first knows nothing of a component, and whose deltas lack it throughout: an old server that is
/// replaced by a new one while a sync runs.
pub(crate) struct Late {
    pub(crate) inner: Client,
    pub(crate) component: &'static str,
    pub(crate) asked: AtomicBool,
}

#[async_trait]
impl Source for Late {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.inner.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        let mut shapes = self.inner.shapes().await?;
        if !self.asked.swap(true, Ordering::Relaxed) {
            shapes.tables.retain(|table, _| table.component() != self.component);
        }
        Ok(shapes)
    }

    fn snapshot_start(&self) -> Position {
        self.inner.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.inner.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.inner.deltas_after(ts).await
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        let mut page = self.inner.page(at).await?;
        if page.phase == Phase::Delta {
            let Page { tables, documents, .. } = &mut page;
            documents.retain(|document| tables[document.table as usize].component() != self.component);
        }
        Ok(page)
    }
}

/// A deployment whose answers to whether it sends the changes of components are these: a server that is replaced while a sync
/// runs.
pub(crate) struct Replaced {
    pub(crate) inner: Client,
    pub(crate) sends: Mutex<VecDeque<bool>>,
}

#[async_trait]
impl Source for Replaced {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.inner.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.inner.shapes().await
    }

    async fn sends_components(&self) -> Option<bool> {
        self.sends.lock().unwrap().pop_front()
    }

    fn snapshot_start(&self) -> Position {
        self.inner.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.inner.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.inner.deltas_after(ts).await
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        self.inner.page(at).await
    }
}
