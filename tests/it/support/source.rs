//! Sources that are another one, but for one thing.

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, Position, Result, Timestamp,
    convex::{Client, Page, Shapes, Source},
};

/// A deployment that keeps its identity, whatever the port it is asked on.
pub(crate) struct SamePlace(pub(crate) Client);

/// Its identity.
pub(crate) fn same_place() -> DeploymentIdentity {
    DeploymentIdentity { name: Some("otter-1".into()), origin: "https://otter-1.convex.cloud".into() }
}

#[async_trait]
impl Source for SamePlace {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        Ok(same_place())
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.0.shapes().await
    }

    fn snapshot_start(&self) -> Position {
        self.0.snapshot_start()
    }

    fn deltas_after(&self, ts: Timestamp) -> Position {
        self.0.deltas_after(ts)
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        self.0.page(at).await
    }
}
