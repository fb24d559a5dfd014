//! [`ArchivedDeployment`]: an archive as a deployment. Whoever reads a deployment by its streaming export reads the archive
//! in the same way, at any moment that it covers, years back.
//!
//! # What is refused
//! A client takes what it is told for the whole truth. So a snapshot is only answered if the state of every table that is
//! asked for is in the archive at that moment, and changes only if nothing between the cursor and now is missing: no gap, no
//! time before the first snapshot, no component whose changes cannot be trusted. A client that cannot do without asks for
//! other tables. Tables that the archive was not told to keep are not there at all.
//!
//! # Why nothing moves
//! The archive is looked at once. What a sync adds meanwhile is not served: `now` stands still, and answers agree with one
//! another.

mod covered;
mod shapes;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::{shapes::shape_of, walk::Walk};
use super::{
    deployment::{Deployment, LogRow, LogRows},
    requested::RequestedTables,
    shape::SampledShape,
    tablet::Tablet,
};
use crate::{
    archive::{Archive, Head},
    budget::MemoryBudget,
    document::{Revision, TableRef, Timestamp},
    error::{Error, Result},
    read::{FilesByTable, Replay, TableFiles, in_full},
    rows::moment::whole_span,
    selection::Selection,
};

/// Walks through tables that can be under way at once; one more, and the one that was asked for least lately begins anew
/// when its next page is asked for.
const WALKS: usize = 2;

/// An archive, as a deployment that stands still at one moment.
///
/// Guarantees:
/// 1. What it answers is what the deployment held, or a refusal of kind Window.
/// 2. What is held is bounded by the budget and the page that is asked for, but for some 300 bytes per data file of the
///    archive.
pub struct ArchivedDeployment {
    archive: Archive,
    head: Head,
    now: Timestamp,
    tables: Vec<Table>,
    files: Vec<TableFiles>,
    budget: MemoryBudget,
    /// The one asked for last comes first.
    walks: Mutex<Vec<Walk>>,
    /// Where the client that was answered last goes on.
    replay: Mutex<Option<Replay>>,
}

/// A table of which the archive has anything.
struct Table {
    tablet: Tablet,
    /// The first moment at which it was there for all the archive knows.
    first: Timestamp,
    /// Its place in the list of files.
    files: usize,
}

impl ArchivedDeployment {
    /// The archive as it is now, at `as_of`; without it, as far as the archive reaches. Clients see the selected tables, as if there were no
    /// others.
    ///
    /// # Errors
    /// NotFound, if it covers no table at that moment.
    pub async fn open(
        archive: Archive,
        as_of: Option<Timestamp>,
        selection: &Selection,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let head = archive.head().await?;
        let (first, through) = whole_span(&head)?.into_inner();
        let now = as_of.unwrap_or(through);
        let mut by_table = FilesByTable::open(&archive, &head).await?;
        let (mut tables, mut files) = (Vec::new(), Vec::new());
        while let Some(of_table) = by_table.next().await? {
            if let Some(first) = of_table.first(&head).filter(|_| selection.contains(&of_table.table)) {
                let tablet = tablet(&of_table.table);
                tables.push(Table { tablet, first, files: files.len() });
                files.push(of_table);
            }
        }
        // One share for each walk, one for the changes, one for the page.
        let budget = budget.half().half();
        let (walks, replay) = (Mutex::new(Vec::new()), Mutex::new(None));
        let open = Self { archive, head, now, tables, files, budget, walks, replay };
        if !open.covers_anything() {
            return Err(Error::not_found(format!(
                "the archive covers no table at {}: choose a moment from {} to {}, or run `status` to see what it \
                 covers",
                in_full(now),
                in_full(first),
                in_full(through)
            )));
        }
        Ok(open)
    }

    /// The moment that is `now`.
    pub fn as_of(&self) -> Timestamp {
        self.now
    }

    /// What it is computed from.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The tables that there are at this moment: kept by the archive then, and there.
    fn tables_at(&self, at: Timestamp) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(move |table| table.first <= at && self.selects(&table.tablet.table, at))
    }
}

/// A table's tablet: its id follows from the name.
fn tablet(table: &TableRef) -> Tablet {
    let digest = Sha256::digest(table.to_string());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Tablet { id, table: Arc::new(table.clone()) }
}

#[async_trait]
impl Deployment for ArchivedDeployment {
    fn name(&self) -> String {
        self.head.deployment().name.clone().unwrap_or_else(|| "archive".to_owned())
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.now)
    }

    fn covers_state(&self, asked: &RequestedTables<'_>, at: Timestamp) -> Result<()> {
        self.check_state(asked, at)
    }

    fn covers_log(&self, asked: &RequestedTables<'_>, after: Timestamp, through: Timestamp) -> Result<()> {
        self.check_log(asked, after, through)
    }

    async fn tables(&self, at: Timestamp) -> Result<Vec<Tablet>> {
        Ok(self.tables_at(at).map(|table| table.tablet.clone()).collect())
    }

    async fn documents(
        &self,
        tablet: &Tablet,
        at: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Revision>>> {
        let Some(table) = self.tables_at(at).find(|table| table.tablet.id == tablet.id) else { return Ok(Vec::new()) };
        self.check_table(&table.tablet.table, at)?;
        // One page at a time, so that what is held is known.
        let mut walks = self.walks.lock().await;
        let files = &self.files[table.files];
        let mut walk = match walks.iter().position(|walk| walk.stands_at(&files.table, at, after)) {
            // Taken: after an error, or if the client goes away meanwhile, nobody goes on with it.
            Some(walk) => walks.remove(walk),
            None => {
                walks.truncate(WALKS - 1);
                Walk::begin(&self.archive, &self.head, files, at, after, self.budget)?
            }
        };
        let documents = walk.next(limit).await?;
        if documents.len() == limit {
            walks.insert(0, walk);
        }
        Ok(documents)
    }

    async fn log(&self, after: Timestamp, through: Timestamp, limit: usize) -> Result<LogRows> {
        let through = through.min(self.now);
        if after >= through {
            return Ok(LogRows::default());
        }
        self.check_begin(after)?;
        let mut replay = self.replay.lock().await;
        let mut going = match replay.take().filter(|replay| replay.goes_on(after, through)) {
            Some(going) => going,
            None => Replay::of_files(self.archive.store(), &self.head, &self.files, after, through, self.budget)?,
        };
        let (written, more) = going.next(limit).await?;
        if more {
            *replay = Some(going);
        }
        let rows =
            written.into_iter().map(|row| LogRow { ts: row.revision.ts, change: Some((row.table, row.revision)) });
        Ok(LogRows { rows: rows.collect(), more })
    }

    async fn shapes(&self) -> Result<Vec<(Arc<TableRef>, SampledShape)>> {
        let shape = |table: &Table| {
            let files = &self.files[table.files];
            let table = &table.tablet.table;
            let shape = self.head.table(table).map(|known| shape_of(known, &files.schema));
            (Arc::clone(table), shape.unwrap_or_else(|| SampledShape::of_empty_table(table.name())))
        };
        let mut tables: Vec<_> = self.tables_at(self.now).collect();
        tables.sort_by_key(|table| table.tablet.id);
        Ok(tables.into_iter().map(shape).collect())
    }
}
