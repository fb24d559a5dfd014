//! `/api/v1/data/sync`: one page of a sync.
//!
//! A sync first reads its tablets through, in the order of their ids, all at one moment; when the change log has run ahead
//! of that moment too far, it reads the log up, of the tablets that were read, and goes on at a later moment. Afterwards it
//! reads the log alone. A tablet that appears later is read through first, at the moment that the sync had reached, which
//! is often before its first document.

use std::collections::BTreeMap;

use axum::{body::Bytes, response::Response};

use super::{
    args::{DataSyncArgs, Selection, parse},
    cursor::{Current, SyncState},
    page::{Reached, SyncPage},
};
use crate::{
    document::Timestamp,
    server::{
        deployment::Deployment,
        options::RouterOptions,
        page::json,
        refusal::Refusal,
        selection::{RequestedSelection, SelectedColumns},
        sync_source::{DataSyncSource, SyncProgress, SyncStatus},
        tablet::Tablet,
    },
};

/// The refusal of a cursor that is no longer served.
pub(super) fn expired() -> Refusal {
    Refusal::bad_request(
        "DataSyncCursorExpired",
        "The cursor is outside the deployment's data retention window and can no longer be resumed. Restart the sync \
         from scratch by calling /data/sync without a cursor.",
    )
}

/// Answers one page.
pub(crate) async fn sync(
    deployment: &dyn Deployment,
    source: &dyn DataSyncSource,
    options: &RouterOptions,
    body: &Bytes,
) -> Result<Response, Refusal> {
    let args: DataSyncArgs = parse(body)?;
    let selection = Selection::requested(args.selection)?;
    let secret = source.secret();
    let now = deployment.now().await?;
    let state = match args.cursor {
        Some(cursor) => SyncState::parse(&cursor, secret)?,
        None => SyncState { sync_id: source.new_sync_id(), ts: now, sent: 0, synced: Vec::new(), current: None },
    };
    if state.ts > now {
        let message = "The data sync cursor is ahead of the deployment's latest timestamp";
        return Err(Refusal::bad_request("InvalidDataSyncCursor", message));
    }
    if now.0.saturating_sub(state.ts.0) > i64::try_from(options.deltas_window.as_nanos()).unwrap_or(i64::MAX) {
        return Err(expired());
    }
    let tablets = tracked(source, options, &selection);
    let mut sync =
        RunningSync { deployment, source, options, selection, tablets, now, state, page: SyncPage::default() };
    let reached = sync.run().await?;
    let RunningSync { tablets, mut state, page, .. } = sync;
    state.sent += page.len as u64;
    let status = status(source, &tablets, &state, reached);
    source.note(SyncProgress { sync_id: state.sync_id.clone(), updated: now, status })?;
    Ok(json(page.finish(reached, &state.sync_id, &state.to_text(secret)?)))
}

/// The tablets that are there now and asked for, by id.
pub(super) fn tracked(
    source: &dyn DataSyncSource,
    options: &RouterOptions,
    selection: &RequestedSelection,
) -> BTreeMap<[u8; 16], Tablet> {
    let tablets = source.tablets().into_iter().filter(|tablet| {
        options.components.show(&tablet.table, true) && !matches!(selection.of(&tablet.table), SelectedColumns::Nothing)
    });
    tablets.map(|tablet| (tablet.id, tablet)).collect()
}

/// A sync while one of its pages is made.
struct RunningSync<'a> {
    deployment: &'a dyn Deployment,
    source: &'a dyn DataSyncSource,
    options: &'a RouterOptions,
    selection: RequestedSelection,
    tablets: BTreeMap<[u8; 16], Tablet>,
    now: Timestamp,
    state: SyncState,
    page: SyncPage,
}

impl RunningSync<'_> {
    async fn run(&mut self) -> Result<Reached, Refusal> {
        // Of tablets that were dropped, or are not asked for any more, nothing is said.
        self.state.synced.retain(|id| self.tablets.contains_key(id));
        self.state.current = self.state.current.take().filter(|current| self.tablets.contains_key(&current.tablet));
        self.begin_next();
        let Some(current) = self.state.current.clone() else {
            let more = self.read_log();
            return Ok(if more { Reached::Stale(self.state.ts) } else { Reached::UpToDate(self.state.ts) });
        };
        let behind = self.source.newest_write().0.saturating_sub(self.state.ts.0);
        if behind > i64::try_from(self.options.data_sync_freshness.as_nanos()).unwrap_or(i64::MAX) {
            self.read_log();
            return Ok(Reached::Snapshotting);
        }
        self.read_table(current).await?;
        Ok(match self.state.current {
            Some(_) => Reached::Snapshotting,
            None if self.state.ts < self.now => Reached::Stale(self.state.ts),
            None => Reached::UpToDate(self.state.ts),
        })
    }

    /// Begins with the first tablet that was not read through, unless one is being read.
    fn begin_next(&mut self) {
        if self.state.current.is_some() {
            return;
        }
        if let Some(tablet) = self.tablets.values().find(|tablet| !self.state.synced.contains(&tablet.id)) {
            self.page.truncate(&tablet.table);
            self.state.current = Some(Current { tablet: tablet.id, after: None, read: 0 });
        }
    }

    /// Reads on in a tablet. Where it ends the next one begins, and the page ends.
    async fn read_table(&mut self, mut current: Current) -> Result<(), Refusal> {
        let Some(tablet) = self.tablets.get(&current.tablet) else { return Ok(()) };
        let limit = self.options.data_sync_page.max(1);
        let documents = self.deployment.documents(tablet, self.state.ts, current.after.as_deref(), limit).await?;
        for document in &documents {
            self.page.push(&tablet.table, document, self.selection.of(&tablet.table));
        }
        current.read += documents.len() as u64;
        if let Some(last) = documents.last().filter(|_| documents.len() >= limit) {
            current.after = Some(last.id.clone());
            self.state.current = Some(current);
        } else {
            self.state.synced.push(current.tablet);
            self.state.current = None;
            self.begin_next();
        }
        Ok(())
    }

    /// Reads the log on, whole transactions; answers whether there is more of it.
    fn read_log(&mut self) -> bool {
        let (rows, mut more) = self.source.tablet_log(self.state.ts, self.now, self.options.data_sync_rows);
        let mut reached = None;
        for row in &rows {
            if reached.is_some_and(|ts| ts != row.ts) && self.page.len >= self.options.data_sync_page {
                more = true;
                break;
            }
            reached = Some(row.ts);
            let Some((tablet, revision)) = &row.change else { continue };
            if let Some(tablet) = self.tablets.get(tablet).filter(|tablet| self.state.knows(tablet.id, &revision.id)) {
                self.page.push(&tablet.table, revision, self.selection.of(&tablet.table));
            }
        }
        // A log that was read to its end tells everything up to now.
        self.state.ts = reached.filter(|_| more).unwrap_or(self.now);
        more
    }
}

fn status(
    source: &dyn DataSyncSource,
    tablets: &BTreeMap<[u8; 16], Tablet>,
    state: &SyncState,
    reached: Reached,
) -> SyncStatus {
    let (total_tables, num_documents_synced) = (tablets.len(), state.sent);
    match (reached, state.current.as_ref().and_then(|current| Some((current, tablets.get(&current.tablet)?)))) {
        (Reached::Snapshotting, Some((current, tablet))) => SyncStatus::Snapshotting {
            num_tables_synced: state.synced.len(),
            total_tables,
            current_component: tablet.table.component().to_owned(),
            current_table: tablet.table.name().to_owned(),
            num_documents_in_current_table: current.read,
            total_documents_in_current_table: source.count(tablet),
            num_documents_synced,
            total_documents: tablets.values().map(|tablet| source.count(tablet)).sum(),
        },
        (Reached::UpToDate(synced_ts), _) => {
            SyncStatus::UpToDate { total_tables, num_documents_synced, synced_ts: synced_ts.0 }
        }
        _ => SyncStatus::Stale { total_tables, num_documents_synced, synced_ts: state.ts.0 },
    }
}
