//! [`get`]: one document at a moment, without reading its table.
//!
//! The files that cannot hold it are passed over by the ranges of `_id` and `_ts` in their commits, row groups by their
//! statistics and Bloom filters, pages by the index of the pages. The newest changes are looked at first: where one is
//! found, everything older is left alone.

use std::sync::Arc;

use futures::{StreamExt, stream};
use object_store::ObjectStore;

use crate::{
    archive::{Archive, Head},
    codec::RowReader,
    data::WantedRows,
    document::{Revision, TableRef, Timestamp},
    error::{Result, ResultExt},
    rows::{
        files::{Part, TableFiles},
        moment::base_at,
    },
    schema::TableSchema,
};

/// Files that are looked at together.
const TOGETHER: usize = 8;

/// What became of a document until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It was there: its newest revision.
    Document(Box<Revision>),
    /// It had been deleted, at this `_ts`.
    Deleted(Timestamp),
    /// The archive knows of no such document at that moment: it was not there, or deleted before the base from which the
    /// state is computed.
    Nothing,
}

/// The document `id` of `table` at `at`.
///
/// # Errors
/// NotFound, if there is no such table, or the moment is not covered.
pub async fn get(archive: &Archive, head: &Head, table: &TableRef, id: &str, at: Timestamp) -> Result<Lookup> {
    // Before the files are looked up, which may take a while.
    base_at(head, table, at)?;
    get_of_files(archive, head, &TableFiles::of(archive, head, table).await?, id, at).await
}

/// The same, where the table's files are known.
pub(super) async fn get_of_files(
    archive: &Archive,
    head: &Head,
    files: &TableFiles,
    id: &str,
    at: Timestamp,
) -> Result<Lookup> {
    let table = &files.table;
    let (_, base) = base_at(head, table, at)?;
    let holds = |part: &&Part| part.may_hold(id);
    let mut wanted = WantedRows { ids: Some([id.to_owned()].into()), batch_bytes: 1 << 20, ..WantedRows::default() };
    let moments = Timestamp(base.ts.0.saturating_add(1))..=at;
    let deltas = files.parts.iter().filter(|part| at > base.ts && part.has_deltas(&moments)).filter(holds);
    let mut deltas: Vec<_> = deltas.cloned().collect();
    deltas.sort_by(|a, b| (b.file.max_ts, b.seniority()).cmp(&(a.file.max_ts, a.seniority())));
    (wanted.min_ts, wanted.max_ts) = (Some(*moments.start()), Some(at));
    let mut newest =
        newest(archive.store(), deltas, &wanted, &files.schema).await.context(|| format!("table {table}"))?;
    if newest.is_none() {
        (wanted.min_ts, wanted.max_ts) = (None, None);
        let of_base = files.parts.iter().filter(|part| part.is_of(base)).filter(holds).cloned().collect();
        newest = self::newest(archive.store(), of_base, &wanted, &files.schema)
            .await
            .context(|| format!("table {table}"))?;
    }
    Ok(match newest {
        None => Lookup::Nothing,
        Some(Revision { ts, document: None, .. }) => Lookup::Deleted(ts),
        Some(revision) => Lookup::Document(Box::new(revision)),
    })
}

/// The newest wanted row of the files: of deltas they come with the latest first, of a base in any order, since it has an id once.
async fn newest(
    store: &Arc<dyn ObjectStore>,
    parts: Vec<Part>,
    wanted: &WantedRows,
    schema: &TableSchema,
) -> Result<Option<Revision>> {
    let looks = stream::iter(parts).map(|part| async move {
        let found = look(store, &part, wanted, schema).await;
        (part, found)
    });
    let mut looks = std::pin::pin!(looks.buffered(TOGETHER));
    let mut newest: Option<(Revision, Part)> = None;
    while let Some((part, found)) = looks.next().await {
        if newest.as_ref().is_some_and(|(revision, _)| revision.ts > part.file.max_ts) {
            break;
        }
        if let Some(revision) = found? {
            let counts = |(known, of): &(Revision, Part)| (known.ts, of.seniority()) <= (revision.ts, part.seniority());
            if newest.as_ref().is_none_or(counts) {
                newest = Some((revision, part.clone()));
            }
        }
    }
    Ok(newest.map(|(revision, _)| revision))
}

/// The newest wanted row of one file.
async fn look(
    store: &Arc<dyn ObjectStore>,
    part: &Part,
    wanted: &WantedRows,
    schema: &TableSchema,
) -> Result<Option<Revision>> {
    let mut reader = part.open(Arc::clone(store), wanted).await?;
    let mut newest: Option<Revision> = None;
    while let Some(batch) = reader.next().await? {
        let rows = RowReader::new(schema, &batch)?;
        for row in 0..batch.num_rows() {
            let revision = rows.revision(row).context(|| format!("file {}", part.file.path))?;
            if newest.as_ref().is_none_or(|known| known.ts <= revision.ts) {
                newest = Some(revision);
            }
        }
    }
    Ok(newest)
}
