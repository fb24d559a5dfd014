//! Whether the deployment is still the database that the archive was made of.
//!
//! A self-hosted server that lost its volume is made anew behind its old name and URL. Its cursors go on, its tables mostly bear
//! the same numbers; but of what lived before it knows nothing. So before the first rows of a run are committed, and before a table is
//! emptied because the deployment does not have it any more, it is asked for the ids of a small table as it was at the archive's own cursor
//! when the run began: a database that goes on knows them.
//!
//! One small page, and only in runs that bring or correct something. Beyond five days a deployment does not answer such a question, and a
//! table that was replaced since proves nothing: so several are asked for before anything is said.

use std::collections::BTreeSet;

use super::{input::RunInput, run::SyncRun};
use crate::{
    archive::{Archive, Covers, Head, SNAPSHOT_KEPT},
    convex::Source,
    document::{TableRef, Timestamp},
    error::{Error, ErrorKind, Result},
    position::DeltaCursor,
    rows::state::{Columns, State, StateOptions},
};

/// Tables that are asked for, the smallest first.
const TABLES: usize = 4;

/// Pages of ids that are asked for: a table may begin with empty ones.
const PAGES: usize = 4;

/// What the archive and the deployment say of one table.
enum Answer {
    /// The deployment knows documents that the archive holds.
    Same,
    /// It knows none of so many.
    Strange(usize),
    /// Nothing is known.
    Unknown,
}

/// Looks, once in a run, whether the deployment knows what the archive held when the run began.
///
/// # Errors
/// Usage, if the deployment knows none of the documents that the archive held at its cursor. Access, Unavailable, if the
/// deployment or the store does not answer.
pub(super) async fn check(run: &mut SyncRun, input: &RunInput<'_>) -> Result<()> {
    let (archive, source, now) = (input.archive, input.source.as_ref(), input.clock.now());
    let Some(head) = run.doubted.take() else { return Ok(()) };
    let head = &head;
    let Some(cursor) = &head.progress().delta else { return Ok(()) };
    let mut strange = None;
    for (table, at) in small_tables(head, cursor, now, input.options.audit_every.is_some()) {
        match ask(archive, head, source, &table, at).await? {
            Answer::Same => return Ok(()),
            Answer::Strange(documents) => drop(strange.get_or_insert((table, at, documents))),
            Answer::Unknown => {}
        }
    }
    let Some((table, at, documents)) = strange else { return Ok(()) };
    Err(Error::usage(format!(
        "the deployment {} has none of the {documents} documents of table {table} that the archive {} holds as of {}: \
         its database was created anew, an import replaced everything in it, or it is another database. Nothing was \
         committed. Archive it to another location, where its history begins; this archive keeps what was before. If \
         it is the same database nevertheless, add --accept-deployment {}",
        head.deployment(),
        archive.url(),
        at,
        head.deployment().origin,
    )))
}

/// Selected tables with documents, the smallest first, and for each the newest moment at which it is known to be what the deployment held:
/// behind that it may have been dropped or replaced, and proves nothing. Where nobody looks, that is the cursor.
fn small_tables(head: &Head, cursor: &DeltaCursor, now: Timestamp, audits: bool) -> Vec<(TableRef, Timestamp)> {
    let selected = head.coverage().selected();
    let looked = audits || head.guarded().is_some() || head.tables().any(|state| state.proven.is_some());
    // An hour less: the deployment's own clock decides.
    let kept = SNAPSHOT_KEPT.as_nanos() as i128 - 3_600_000_000_000;
    let mut tables: Vec<_> = head
        .tables()
        .filter(|state| selected.contains(&state.table))
        .map(|state| (state.visible(), &state.table))
        .filter(|(counts, _)| counts.rows > counts.tombstones)
        .filter_map(|(counts, table)| {
            let at = if looked { head.last_proven(table)? } else { cursor.ts };
            let is_told = i128::from(now.0) - i128::from(at.0) <= kept;
            let covered = matches!(head.coverage().covers(table, at), Covers::Covered(_));
            (is_told && covered).then_some((counts.rows, table, at))
        })
        .collect();
    tables.sort_by_key(|(rows, table, _)| (*rows, *table));
    tables.into_iter().take(TABLES).map(|(_, table, at)| (table.clone(), at)).collect()
}

/// Compares the first ids of a table as both know them.
async fn ask(archive: &Archive, head: &Head, source: &dyn Source, table: &TableRef, at: Timestamp) -> Result<Answer> {
    let ours = match first_ids(archive, head, table, at).await {
        // A damaged file stops readers. What comes now is to be archived all the same.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Answer::Unknown),
        ours => ours?,
    };
    if ours.is_empty() {
        return Ok(Answer::Unknown);
    }
    let theirs = match their_first_ids(source, table, at).await {
        Ok(Some(theirs)) => theirs,
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        Ok(None) | Err(_) => return Ok(Answer::Unknown),
    };
    let known = theirs.iter().any(|(id, _)| ours.contains(id));
    Ok(if known { Answer::Same } else { Answer::Strange(ours.len()) })
}

/// Some ids of a table as the deployment knows it; None, if it does not tell.
async fn their_first_ids(
    source: &dyn Source,
    table: &TableRef,
    at: Timestamp,
) -> Result<Option<Vec<(String, Timestamp)>>> {
    let mut cursor = None;
    for _ in 0..PAGES {
        let Some(page) = source.ids(table, at, cursor.as_deref()).await? else { return Ok(None) };
        if !page.ids.is_empty() || page.next.is_none() {
            return Ok(Some(page.ids));
        }
        cursor = page.next;
    }
    Ok(None)
}

/// Some ids of a table as the archive knows it, the first by bytes.
async fn first_ids(archive: &Archive, head: &Head, table: &TableRef, at: Timestamp) -> Result<BTreeSet<String>> {
    let keys = StateOptions { columns: Columns::Keys, ..StateOptions::default() };
    let mut state = State::open(archive, head, table, at, &keys).await?;
    let batch = state.next().await?;
    Ok(batch.map_or_else(BTreeSet::new, |batch| (0..batch.len()).map(|row| batch.id(row).to_owned()).collect()))
}
