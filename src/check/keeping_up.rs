//! Whether runs that end with more waiting will ever catch up. One such run is nothing; night after night it is something that somebody has to change, before
//! the deployment drops what the archive lacks.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::first_snapshot::count_documents;
use crate::{
    archive::{Archive, DELTAS_KEPT, SNAPSHOT_KEPT, Status, WalkStatus},
    convex::{Client, Source},
    document::Timestamp,
    error::Result,
    monitor::Finding,
    runs::reports,
};

/// Runs that lie no further apart tell nothing about the nights.
const A_NIGHT: Duration = Duration::from_secs(20 * 60 * 60);

/// What to say at `now`, after a run that ended with more waiting. Nothing, if that is new, or if the archive will catch up in time.
///
/// While the first snapshot is walked and older than a night, that asks the deployment for a page of ids of each table; afterwards it
/// reads the reports in `runs/`.
///
/// # Errors
/// As deployment or store say.
pub async fn check_keeping_up(archive: &Archive, client: &Client, now: Timestamp) -> Result<Option<Finding>> {
    let status = archive.head().await.map(|head| Status::of(&head, now))?;
    if let Some(walk) = &status.snapshot {
        if between(walk.ts, now) < A_NIGHT {
            return Ok(None);
        }
        let listed = client.tables().await?.unwrap_or_default();
        let selection = client.selection();
        let tables: BTreeSet<_> = listed.into_iter().filter(|table| selection.contains(table)).collect();
        let counted = count_documents(client, &tables, walk.ts).await?;
        let whole = counted.filter(|counted| counted.tables.len() == tables.len());
        return Ok(whole.and_then(|counted| walking(walk, counted.documents().low, now)));
    }
    let Some(lag) = status.lag else { return Ok(None) };
    Ok(following(&reports(archive.store()).await?, lag, now))
}

/// Of a walk that has so many documents to see.
fn walking(walk: &WalkStatus, documents: f64, now: Timestamp) -> Option<Finding> {
    let (age, seen) = (between(walk.ts, now), walk.written.rows as f64);
    let needs = age.as_secs_f64() * documents / seen.max(1.0);
    (needs > SNAPSHOT_KEPT.as_secs_f64()).then(|| Finding::SnapshotTooSlow {
        snapshot: walk.ts,
        seen: walk.written.rows,
        documents: documents as u64,
        // Whatever is more than a century is a century.
        days: (needs / 86_400.0).ceil().min(36_500.0) as u64,
    })
}

/// Of the change log: `lag` is that of the newest run, which is not among the reports yet.
fn following(reports: &[Value], lag: Duration, now: Timestamp) -> Option<Finding> {
    let in_a_row = reports.iter().take_while(|report| report["more_waiting"] == true);
    let of = |report: &Value| {
        let started = chrono::DateTime::parse_from_rfc3339(report["started"].as_str()?).ok()?;
        Some((Timestamp(started.timestamp_nanos_opt()?), Duration::from_secs(report["lag_seconds"].as_u64()?)))
    };
    let known: Vec<_> = in_a_row.filter_map(of).collect();
    let (since, before) = *known.last()?;
    let took = between(since, now).as_secs_f64();
    // Who is hours behind a busy deployment is well.
    if took < A_NIGHT.as_secs_f64() || lag < A_NIGHT {
        return None;
    }
    // Seconds by which it falls behind, or catches up, in each second.
    let slope = (lag.as_secs_f64() - before.as_secs_f64()) / took;
    let left = DELTAS_KEPT.saturating_sub(lag).as_secs_f64();
    let catches_up = slope < 0.0 && lag.as_secs_f64() / -slope < left;
    (!catches_up).then(|| Finding::FallsBehind {
        since,
        runs: known.len() as u64 + 1,
        before_hours: before.as_secs() / 3600,
        now_hours: lag.as_secs() / 3600,
        days_left: (slope > 0.0).then(|| (left / slope / 86_400.0).min(36_500.0) as u64),
    })
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_nanos(to.0.saturating_sub(from.0).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn report(hour: i64, lag_hours: u64, more: bool) -> Value {
        json!({
            "started": Timestamp(hour * HOUR).to_datetime().to_rfc3339(),
            "lag_seconds": lag_hours * 3600,
            "more_waiting": more,
        })
    }

    fn told(reports: &[Value], lag_hours: u64, now: i64) -> Option<Finding> {
        following(reports, Duration::from_secs(lag_hours * 3600), Timestamp(now * HOUR))
    }

    #[test]
    fn who_falls_further_behind_each_night_is_told_and_who_catches_up_is_not() {
        // The newest first: 30 hours behind, then 20, then 10.
        let nights = [report(72, 30, true), report(48, 20, true), report(24, 10, true), report(0, 0, false)];
        let Some(Finding::FallsBehind { runs, before_hours, now_hours, days_left, .. }) = told(&nights, 40, 96) else {
            panic!("it falls behind by ten hours a day")
        };
        // 296 hours are left of 14 days, at ten hours a day.
        assert_eq!((runs, before_hours, now_hours, days_left), (4, 10, 40, Some(29)));
        let catching_up = [report(72, 100, true), report(48, 150, true), report(24, 200, true)];
        assert_eq!(told(&catching_up, 50, 96), None, "two days more");
        let too_slowly = [report(24, 301, true)];
        assert!(matches!(told(&too_slowly, 300, 96), Some(Finding::FallsBehind { days_left: None, .. })));
        // One bad night, or runs of one evening, are nothing.
        assert_eq!(told(&[report(72, 0, false), report(48, 20, true)], 40, 96), None);
        assert_eq!(told(&[report(95, 1, true), report(94, 1, true)], 2, 96), None);
        assert_eq!(told(&[], 2, 96), None);
        let busy = [report(72, 2, true), report(48, 1, true), report(24, 1, true)];
        assert_eq!(told(&busy, 2, 96), None, "two hours are no danger");
    }

    #[test]
    fn a_walk_that_needs_more_than_five_days_is_told() {
        let walk = |seen| WalkStatus {
            ts: Timestamp(0),
            tables_done: 0,
            written: crate::archive::Counts { rows: seen, ..Default::default() },
            left: Duration::ZERO,
        };
        let told = |seen, documents| walking(&walk(seen), documents, Timestamp(24 * HOUR));
        assert_eq!(told(300, 1_000.0), None, "done on the fourth day");
        let Some(Finding::SnapshotTooSlow { seen: 100, documents: 1_000, days: 10, .. }) = told(100, 1_000.0) else {
            panic!("a tenth a day")
        };
        assert!(told(0, 1e12).is_some());
    }
}
