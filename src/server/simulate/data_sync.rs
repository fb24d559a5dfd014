//! What Data Sync needs of a simulated deployment.

use rand::Rng;

use super::{audit_log, deployment::SimulatedDeployment};
use crate::{
    document::Timestamp,
    error::Result,
    server::{
        sync_source::{DataSyncSource, SyncProgress, TabletRow},
        tablet::Tablet,
    },
};

/// A sync's progress is written down at its first page, and then so often at most.
const NOTED_EVERY: i64 = 5_000_000_000;

impl DataSyncSource for SimulatedDeployment {
    fn secret(&self) -> [u8; 16] {
        self.state().syncs.secret
    }

    fn new_sync_id(&self) -> String {
        let random: [u8; 16] = self.state().syncs.rng.random();
        let hex = hex::encode(random);
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    fn tablets(&self) -> Vec<Tablet> {
        let now = self.database().present();
        let state = self.state();
        state.tables.iter().filter(|table| table.is_kept_at(now)).map(|table| table.tablet.clone()).collect()
    }

    fn count(&self, tablet: &Tablet) -> usize {
        let state = self.state();
        let table = state.tables.iter().find(|table| table.tablet.id == tablet.id);
        table.map_or(0, |table| table.live_at(Timestamp(i64::MAX), None).count())
    }

    fn newest_write(&self) -> Timestamp {
        self.state().log.last().map_or(Timestamp(0), |entry| entry.ts)
    }

    fn tablet_log(&self, after: Timestamp, through: Timestamp, limit: usize) -> (Vec<TabletRow>, bool) {
        let state = self.state();
        let (entries, more) = state.log_entries(after, through, limit);
        let rows = entries.iter().map(|entry| TabletRow {
            ts: entry.ts,
            change: entry.change.as_ref().map(|(table, revision)| (state.tables[*table].tablet.id, revision.clone())),
        });
        (rows.collect(), more)
    }

    fn syncs(&self) -> Vec<SyncProgress> {
        self.state().syncs.progress.values().map(|(_, progress)| progress.clone()).collect()
    }

    fn note(&self, progress: SyncProgress) -> Result<()> {
        let known = self.state().syncs.progress.get(&progress.sync_id).map(|(written, _)| *written);
        let written = match known.filter(|written| progress.updated.0 - written.0 < NOTED_EVERY) {
            Some(written) => written,
            None => {
                let (ts, ()) = self.transaction(|t| {
                    t.write_hidden_rows(1);
                    Ok(())
                })?;
                if known.is_none() {
                    self.state().audit_log.push(audit_log::begun_sync(ts, &progress.sync_id));
                }
                ts
            }
        };
        self.state().syncs.progress.insert(progress.sync_id.clone(), (written, progress));
        Ok(())
    }
}
