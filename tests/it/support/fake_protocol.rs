//! A fake of a second protocol, to prove that [`Source`] is the only thing that another one needs. Its deltas have what is odd
//! about Convex's Data Sync:
//! - a cursor says nothing to anybody else, and the first one costs a request, which may fail;
//! - documents come nested, `{"component","table","ts","deleted","value":{…}}`;
//! - how far the first pages reach is told by a later one only;
//! - a page may name tables that it wants truncated, which need not be true.
//!
//! Its bases come from `list_snapshot`. It stands before a simulated deployment's own API, and remembers nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, Encoding, Error, Event, Finding, Monitor, Phase, Position, Result, TableRef, Timestamp,
    convex::{Client, DocumentSpan, Page, Shapes, SnapshotScope, Source},
};
use serde::{Deserialize, Serialize};
use serde_json::{value::RawValue, value::to_raw_value};

/// What makes a cursor unreadable.
const MASK: u64 = 0x5eed_0f0d_d5ea_1ed1;

/// The fake's own server: a nested page for a cursor.
pub(crate) struct FakeServer {
    /// Asks for [`Encoding::ExportJson`], as this protocol always does.
    pub(crate) deployment: Client,
    /// How many pages behind a new cursor do not tell how far they reach.
    pub(crate) unknown: u64,
    /// Tables that the first page behind a new cursor wants truncated.
    pub(crate) truncates: Vec<TableRef>,
}

/// One answer, as it goes over the wire.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// Absent while "snapshotting".
    reached: Option<i64>,
    up_to_date: bool,
    truncates: Vec<(String, String)>,
    values: Vec<NestedTypes>,
    cursor: String,
}

#[derive(Serialize, Deserialize)]
struct NestedTypes {
    component: String,
    table: String,
    ts: i64,
    deleted: bool,
    value: Box<RawValue>,
}

impl FakeServer {
    /// "Turn this moment into a cursor."
    fn cursor(ts: i64, page: u64) -> String {
        format!("{:016x}{:016x}", ts as u64 ^ MASK, page ^ MASK)
    }

    async fn answer(&self, cursor: &str) -> Result<String> {
        let number = |text: &str| u64::from_str_radix(text, 16).map(|n| n ^ MASK);
        let (front, back) = cursor.split_at_checked(16).ok_or_else(|| Error::internal("no cursor of this server"))?;
        let (Ok(ts), Ok(page)) = (number(front), number(back)) else {
            return Err(Error::internal("no cursor of this server"));
        };
        let at = self.deployment.deltas_after(Timestamp(ts as i64)).await?;
        let flat = self.deployment.page(&at).await?;
        let mut texts = flat.texts()?;
        let values = flat.documents.iter().map(|document| {
            let table = &flat.tables[document.table as usize];
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(texts.text(document)?).unwrap();
            let own = |name: &str| ["_component", "_table", "_ts", "_deleted"].contains(&name);
            let value: BTreeMap<_, _> = members.into_iter().filter(|(name, _)| !own(name)).collect();
            Ok(NestedTypes {
                component: table.component().to_owned(),
                table: table.name().to_owned(),
                ts: document.ts.0,
                deleted: document.deleted,
                value: to_raw_value(&value).unwrap(),
            })
        });
        let values = values.collect::<Result<_>>()?;
        let reached = flat.through.unwrap().0;
        let known = page >= self.unknown;
        let named = self.truncates.iter().filter(|_| page == 0);
        Ok(serde_json::to_string(&Answer {
            reached: known.then_some(reached),
            up_to_date: known && !flat.more,
            truncates: named.map(|table| (table.component().to_owned(), table.name().to_owned())).collect(),
            values,
            cursor: Self::cursor(reached, page + 1),
        })
        .unwrap())
    }
}

/// The fake's client: a [`Source`].
pub(crate) struct FakeProtocol {
    pub(crate) server: FakeServer,
    /// Requests of this protocol that are answered before the deployment is gone.
    pub(crate) answers: AtomicU64,
    pub(crate) monitor: Arc<dyn Monitor>,
}

impl FakeProtocol {
    fn ask(&self) -> Result<()> {
        let left = self.answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Error::unavailable("gone"))
    }

    async fn delta_page(&self, cursor: &str) -> Result<Page> {
        self.ask()?;
        let answer: Answer = serde_json::from_str(&self.server.answer(cursor).await?).unwrap();
        for (component, name) in answer.truncates {
            let table = TableRef::new(component, name)?;
            self.monitor.report(Event::Finding(&Finding::TableSuspected { table: table.to_string() }));
        }
        let (mut body, mut tables, mut documents) = (String::new(), Vec::new(), Vec::new());
        for nested in answer.values {
            let table = TableRef::new(nested.component, nested.table)?;
            let known = tables.iter().position(|other| *other == table);
            let number = known.unwrap_or_else(|| {
                tables.push(table);
                tables.len() - 1
            });
            let begin = body.len();
            body.push_str(nested.value.get());
            documents.push(DocumentSpan {
                table: number as u32,
                ts: Timestamp(nested.ts),
                deleted: nested.deleted,
                range: begin..body.len(),
                read: 0,
            });
        }
        Ok(Page {
            phase: Phase::Delta,
            encoding: Encoding::ExportJson,
            body: bytes::Bytes::from(body).into(),
            tables,
            documents,
            next: Some(Position::new(Phase::Delta, answer.cursor)),
            more: !answer.up_to_date,
            through: answer.reached.map(Timestamp),
        })
    }
}

#[async_trait]
impl Source for FakeProtocol {
    async fn identity(&self) -> Result<DeploymentIdentity> {
        self.server.deployment.identity().await
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.server.deployment.shapes().await
    }

    fn snapshot_start(&self) -> Position {
        self.server.deployment.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.server.deployment.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.ask()?;
        Ok(Position::new(Phase::Delta, FakeServer::cursor(ts.0, 0)))
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        match at.phase() {
            Phase::Snapshot => self.server.deployment.page(at).await,
            Phase::Delta => self.delta_page(at.token()).await,
        }
    }
}
