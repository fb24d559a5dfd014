//! A deployment in memory: pages made beforehand, split when they are asked for, as the client does.

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, Encoding, Error, Phase, Position, Result, Timestamp,
    convex::{Page, Shapes, SnapshotScope, Source},
    testing::convex::{Parts, split},
};

use super::Pages;

/// A snapshot, then deltas. Positions are places in the list.
pub struct Premade {
    snapshot: Pages,
    deltas: Pages,
}

impl Premade {
    /// `snapshot` alone, or with the deltas that follow it.
    pub fn new(snapshot: &Pages, deltas: Option<&Pages>) -> Self {
        let nothing = || {
            let mut nothing = Pages::new("", Phase::Delta);
            nothing.push(b"", false, snapshot.split()[0].through().0);
            nothing
        };
        Self { snapshot: snapshot.clone(), deltas: deltas.cloned().unwrap_or_else(nothing) }
    }

    /// `deltas` after a snapshot without a document.
    pub fn after_nothing(deltas: &Pages) -> Self {
        let mut snapshot = Pages::new("", Phase::Snapshot);
        snapshot.push(b"", false, 0);
        Self { snapshot, deltas: deltas.clone() }
    }
}

#[async_trait]
impl Source for Premade {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        Ok(DeploymentIdentity { name: None, origin: "http://127.0.0.1:1".into() })
    }

    async fn shapes(&self) -> Result<Shapes> {
        Ok(Shapes::default())
    }

    fn snapshot_start(&self) -> Position {
        Position::new(Phase::Snapshot, "0")
    }

    /// Everything, whatever is asked for: no bench has components.
    fn snapshot_of(&self, _scope: &SnapshotScope, _ts: Timestamp) -> Position {
        self.snapshot_start()
    }

    async fn deltas_after(&self, _: Timestamp) -> Result<Position> {
        Ok(Position::new(Phase::Delta, "0"))
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        let phase = at.phase();
        let pages = if phase == Phase::Snapshot { &self.snapshot } else { &self.deltas };
        let place: usize = at.token().parse().map_err(|_| Error::internal("no such position"))?;
        let body = pages.bodies.get(place).cloned().ok_or_else(|| Error::internal("no such page"))?;
        let parts = split(&body, phase)?;
        let through = Some(parts.through());
        let more = place + 1 < pages.bodies.len();
        let next = (more || phase == Phase::Delta).then(|| Position::new(phase, (place + 1).to_string()));
        let Parts { tables, documents, .. } = parts;
        Ok(Page {
            phase,
            encoding: Encoding::ConvexEncodedJson,
            body: body.into(),
            tables,
            documents,
            next,
            more,
            through,
        })
    }
}
