//! What commits have replaced, found in the log: a step behind the other, as far as `runs/vacuumed.json` says that it was done.
//!
//! That object is advisory. Without it the steps are done once more: what is gone is not there to be deleted.

use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    archive::{Archive, Head},
    document::Timestamp,
    error::{Error, ErrorKind, Result},
    layout,
    store::{self, store_error},
};

/// Steps of the log that one run takes at most: more than come in a run, so that an archive that was never vacuumed catches up.
const STEPS: usize = 4;

/// After a refusal nobody asks again for so long.
const REFUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// How far it was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Vacuumed {
    /// What the commits up to this one have replaced is deleted.
    through: u64,
    /// When the store refused to delete; absent, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Timestamp>,
}

/// Deletes what commits that are older than `min_age` have replaced. How many objects that were. A store that refuses is asked again
/// a day later: nothing is lost but space.
///
/// # Errors
/// As reading the log has them. A refusal is none.
pub async fn vacuum_behind(archive: &Archive, head: &Head, min_age: Duration, now: Timestamp) -> Result<u64> {
    let store = archive.store().as_ref();
    let known = store::get(store, layout::VACUUMED).await?;
    let known = known.and_then(|text| serde_json::from_slice::<Vacuumed>(&text).ok()).unwrap_or_default();
    let refused = known.refused.is_some_and(|at| i128::from(now.0) - i128::from(at.0) < REFUSED.as_nanos() as i128);
    if refused {
        return Ok(0);
    }
    let until = Timestamp(now.0.saturating_sub(i64::try_from(min_age.as_nanos()).unwrap_or(i64::MAX)));
    let (mut done, mut deleted) = (Vacuumed { refused: None, ..known.clone() }, 0);
    for _ in 0..STEPS {
        let Some(step) = archive.superseded(head, done.through, until).await? else { break };
        match store::delete(store, step.paths).await {
            Ok(count) => deleted += count,
            Err(error) if error.kind() == ErrorKind::Access => {
                done.refused = Some(now);
                break;
            }
            Err(error) => return Err(error),
        }
        done.through = step.through;
    }
    if done != known {
        let text = serde_json::to_vec(&done)
            .map_err(|e| Error::internal("the progress of the vacuum cannot be written as JSON").with_source(e))?;
        let failed = |e| store_error(e, &format!("cannot write {}", layout::VACUUMED));
        store.put(&Path::from(layout::VACUUMED), Bytes::from(text).into()).await.map_err(failed)?;
    }
    Ok(deleted)
}
