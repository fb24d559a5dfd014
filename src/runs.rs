//! The reports of the last syncs, kept beside the archive in `runs/sync/`: what `status --runs` shows.
//!
//! Each report is an object of its own, in one of [`KEPT`] places. A run takes a place that is free, else that of the oldest report. So nothing has
//! to be deleted, which a writer may not be allowed to do, and no run reads what the others wrote. Two runs that end at one moment may take one
//! place: then one report is lost.
//!
//! The objects are advisory. Nothing follows from them, and a copy of the archive has none of them.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    layout,
    store::{self, store_error},
};

/// So many reports are kept.
pub const KEPT: usize = 200;

/// A report has a few kB; what is longer than so many bytes is none.
const LONGEST: usize = 1 << 20;

/// Reports that are read at the same time.
const AT_ONCE: usize = 16;

/// Keeps the report of a sync, in the archive whose prefix is the root of `store`.
///
/// # Errors
/// Access, Unavailable, Resource, as the store says: the run is as good without it.
pub async fn keep_report(store: &Arc<dyn ObjectStore>, report: &Value) -> Result<()> {
    let path = Path::from(layout::sync_report(place(store).await?));
    let mut text = serde_json::to_vec(report)
        .map_err(|e| Error::internal("the report of a run cannot be written as JSON").with_source(e))?;
    text.push(b'\n');
    let failed = |e| store_error(e, &format!("cannot write {path}"));
    store.put(&path, text.into()).await.map(drop).map_err(failed)
}

/// The place of the next report.
async fn place(store: &Arc<dyn ObjectStore>) -> Result<usize> {
    let mut written = vec![None; KEPT];
    let mut objects = list(store);
    while let Some(object) = objects.try_next().await.map_err(failed_to_list)? {
        let number = object.location.filename().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        let is_ours = |place: &usize| *place < KEPT && object.location.as_ref() == layout::sync_report(*place);
        if let Some(place) = number.filter(is_ours) {
            written[place] = Some(object.last_modified);
        }
    }
    // A place without a report comes before all others.
    Ok((0..KEPT).min_by_key(|place| written[*place]).unwrap_or_default())
}

/// The reports that are kept, the newest first. What is no report is passed over.
///
/// # Errors
/// Access, Unavailable, Resource, as the store says.
pub async fn reports(store: &Arc<dyn ObjectStore>) -> Result<Vec<Value>> {
    let paths: Vec<_> = list(store).map_ok(|object| object.location).try_collect().await.map_err(failed_to_list)?;
    let read = stream::iter(paths).map(|path| async move { store::get(store, path.as_ref()).await });
    let mut read = read.buffer_unordered(AT_ONCE);
    let mut reports = Vec::new();
    while let Some(text) = read.next().await {
        let text = match text {
            Ok(Some(text)) if text.len() <= LONGEST => text,
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => continue,
        };
        if let Ok(report) = serde_json::from_slice(&text)
            && let Some(started) = started(&report)
        {
            reports.push((started, report));
        }
    }
    reports.sort_by_key(|(started, _)| std::cmp::Reverse(*started));
    reports.truncate(KEPT);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn list(store: &Arc<dyn ObjectStore>) -> stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
    store.list(Some(&Path::from(layout::SYNC_REPORTS)))
}

fn failed_to_list(error: object_store::Error) -> Error {
    store_error(error, &format!("cannot list {}", layout::SYNC_REPORTS))
}

/// When the run began that a report is of.
fn started(report: &Value) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(report.get("started")?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use object_store::memory::InMemory;
    use serde_json::json;

    use super::*;

    fn report(n: usize) -> Value {
        json!({ "run": n, "started": format!("2026-11-{:02}T{:02}:00:00.5Z", 1 + n / 24, n % 24) })
    }

    async fn shown(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
        reports(store).await.unwrap().iter().map(|report| report["run"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn the_newest_are_kept_and_shown_newest_first() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        assert_eq!(shown(&store).await, [0; 0]);
        for n in 0..KEPT + 30 {
            keep_report(&store, &report(n)).await.unwrap();
            // The store tells milliseconds.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let newest: Vec<u64> = (30..KEPT as u64 + 30).rev().collect();
        assert_eq!(shown(&store).await, newest);
        assert_eq!(list(&store).count().await, KEPT);
    }

    #[tokio::test]
    async fn what_is_no_report_is_passed_over() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        keep_report(&store, &report(7)).await.unwrap();
        let long = format!("{{\"started\":\"2026-11-01T00:00:00Z\",\"x\":\"{}\"}}", "x".repeat(LONGEST));
        for (name, text) in [("001.json", "{"), ("002.json", "{}"), ("other.txt", "x"), ("003.json", long.as_str())] {
            let path = Path::from(format!("runs/sync/{name}"));
            store.put(&path, text.to_owned().into()).await.unwrap();
        }
        assert_eq!(shown(&store).await, [7]);
        keep_report(&store, &report(8)).await.unwrap();
        assert_eq!(shown(&store).await, [8, 7]);
        assert_eq!(list(&store).count().await, 6, "a free place comes first");
    }
}
