//! A delta cursor that is older than the deployment keeps its changes: what is lost is measured and recorded, and what is
//! left is read on.
//!
//! Convex keeps its log for 14 days (`DOCUMENT_RETENTION_DELAY`; the deletion lags, so in truth a little longer) and does not
//! tell where it begins: a cursor before that is answered with 400 `InvalidWindowToReadDocuments`. So the oldest cursor that
//! it still reads is found by halving. The span up to there becomes a gap in the archive; after the deltas behind it the
//! tables get a new base ([`super::base`]).

use crate::{
    archive::{Draft, Gap, Head},
    convex::Source,
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    monitor::{Event, Finding},
    position::{DeltaCursor, Scope},
};

use super::{fetch::snapshot_without_moment, input::RunInput, options::OnGap};

/// Questions to the deployment: of an absence of a month, the last 160 seconds of what is lost may have been readable.
const PROBES: u32 = 14;

/// Moments closer than this are as good as one, nanoseconds.
const CLOSE: i64 = 1_000_000;

/// The edge of what is kept moves on while the archive commits the gap and asks for the changes behind it: at most so many
/// nanoseconds of what is still readable are left behind, so that it stays readable.
const MARGIN: i64 = 60_000_000_000;

/// The commit that records the gap between the cursor, which was refused with `why`, and what the deployment still reads, and
/// moves the cursor behind it. None, if the run was to stop before that was known.
///
/// # Errors
/// Window, if that was not allowed.
pub(super) async fn record(head: &Head, input: &RunInput<'_>, why: Error) -> Result<Option<Draft>> {
    if input.options.on_gap == OnGap::Fail {
        let message =
            "changes after the archive's cursor are lost, and the run was told to fail on a gap; nothing was committed";
        return Err(Error::new(ErrorKind::Window, message).with_source(why));
    }
    let (Some(cursor), Some(latest)) = (head.progress().delta.clone(), head.latest()) else {
        return Err(Error::internal("a gap in an archive that has no cursor yet"));
    };
    let source = input.source.as_ref();
    let behind = async {
        let to = oldest_kept(source, cursor.ts).await?;
        Ok::<_, Error>(DeltaCursor { position: source.deltas_after(to).await?, ts: to })
    };
    let behind = tokio::select! {
        biased;
        () = input.options.stop.requested() => return Ok(None),
        behind = behind => behind?,
    };
    let to = behind.ts;
    let gap = Gap { scope: Scope::All, from: cursor.ts, to, why: "window".to_owned() };
    input.monitor.report(Event::Finding(&Finding::Gap { from: cursor.ts, to }));
    let mut draft = head.unchanged(latest.encoding, latest.selection.clone(), input.clock.now());
    draft.gaps.push(gap);
    draft.progress.delta = Some(behind);
    Ok(Some(draft))
}

/// The oldest moment after `lost` from which the deployment still reads on, as near as some probes come.
async fn oldest_kept(source: &dyn Source, lost: Timestamp) -> Result<Timestamp> {
    // The deployment's own clock: the newest snapshot is of now.
    let newest = source.page(&source.snapshot_start()).await?.through.ok_or_else(snapshot_without_moment)?;
    if newest <= lost {
        return Err(Error::protocol(format!(
            "the deployment says that it no longer keeps its changes after {lost}, but also that it has reached only \
             {newest}. Was it restored from a backup, or is it another deployment? Nothing was committed"
        )));
    }
    let (mut lost, mut kept) = (lost.0, newest.0);
    for _ in 0..PROBES {
        if kept - lost <= CLOSE {
            break;
        }
        let middle = lost + (kept - lost) / 2;
        match read_after(source, Timestamp(middle)).await {
            Ok(()) => kept = middle,
            Err(error) if error.kind() == ErrorKind::Window => lost = middle,
            Err(error) => return Err(error),
        }
    }
    Ok(Timestamp(kept + ((newest.0 - kept) / 8).min(MARGIN)))
}

/// # Errors
/// Window, if the changes after `ts` are no longer kept.
async fn read_after(source: &dyn Source, ts: Timestamp) -> Result<()> {
    source.page(&source.deltas_after(ts).await?).await.map(drop)
}
