//! What an audit will read, before it reads it.

use std::collections::BTreeSet;

use crate::{
    archive::{Archive, Covers, Head, TableState},
    convex::Source,
    document::{TableRef, Timestamp},
    error::{Error, Result},
    selection::Selection,
};

/// Bytes on the wire of a document of which only `_id` is asked for: `{"_component":…,"_id":…,"_table":…,"_ts":…}`.
const ID_BYTES: u64 = 110;
/// Bytes of a page without documents.
const PAGE_BYTES: u64 = 150;
/// Documents of a page.
const PAGE_DOCUMENTS: u64 = 1024;
/// How many bytes of JSON one stored byte stands for, roughly.
const JSON_OF_STORED: u64 = 4;
/// Dollars a byte that Convex asks for beyond what a plan includes: database I/O, and egress. List prices of August 2026, United States.
const DOLLARS_PER_BYTE: f64 = (0.20 + 0.12) / 1e9;

/// What an audit will read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditPlan {
    /// The moment that is compared: the archive's changes have passed it.
    pub at: Timestamp,
    /// The tables, by component and name.
    pub tables: Vec<TableRef>,
    /// Documents that they have, estimated from what the archive counts.
    pub documents: u64,
    /// Bytes that the deployment will send, estimated.
    pub bytes: u64,
    /// Whether the deployment told which tables it has.
    pub all_tables_known: bool,
    /// The archive as it is compared.
    pub(super) head: Head,
}

impl AuditPlan {
    /// What the answers cost beyond what a plan of Convex includes, dollars: about, and only where the deployment is Convex's.
    pub fn dollars(&self) -> f64 {
        self.bytes as f64 * DOLLARS_PER_BYTE
    }
}

/// Plans an audit of the tables that `selection` holds. The deployment is asked who it is, and which tables it has.
///
/// # Errors
/// Usage, if the archive is of another deployment, or nothing was archived yet. NotFound, if a pattern fits no table of either.
pub async fn plan_audit(
    source: &dyn Source,
    archive: &Archive,
    selection: &Selection,
    full: bool,
) -> Result<AuditPlan> {
    let head = archive.head().await?;
    let Some(at) = head.progress().delta.as_ref().map(|delta| delta.ts) else {
        return Err(Error::usage(format!("nothing was archived to {} yet: run sync first", archive.url())));
    };
    let identity = source.identity().await?;
    if !head.deployment().is_same(&identity) {
        return Err(Error::usage(format!(
            "the archive {} belongs to the deployment {}, and this key and URL lead to {identity}. To compare it with a deployment that has \
             moved, run sync with --accept-deployment first",
            archive.url(),
            head.deployment(),
        )));
    }
    let listed = source.tables().await?;
    let archived = head.coverage().selected();
    let known: BTreeSet<_> =
        head.tables().map(|state| state.table.clone()).chain(listed.iter().flatten().cloned()).collect();
    let known: Vec<_> = known.into_iter().filter(|table| archived.contains(table)).collect();
    if let Some(pattern) = selection.fitting_none_of(known.iter()).first() {
        return Err(Error::not_found(format!(
            "neither the archive nor the deployment has a table `{}` that the archive selects: `tables` shows those of the archive",
            pattern.text
        )));
    }
    let tables: Vec<_> = known.into_iter().filter(|table| selection.contains(table)).collect();
    let documents: u64 = tables.iter().map(|table| documents(&head, table, at)).sum();
    let bytes = tables.iter().map(|table| bytes(&head, table, at, full)).sum();
    Ok(AuditPlan { at, documents, bytes, all_tables_known: listed.is_some(), tables, head })
}

/// How many documents a table has, from above: revisions of one document in changes are counted as many.
fn documents(head: &Head, table: &TableRef, at: Timestamp) -> u64 {
    let Some(state) = head.table(table) else { return 0 };
    let Covers::Covered(base) = head.coverage().covers(table, at) else { return 0 };
    let of_base = base.tables.iter().find(|held| held.table == *table).map_or(0, |held| held.rows);
    // A tombstone ends one document, and is none.
    let of_deltas = state.delta.rows.saturating_sub(state.delta.tombstones);
    (of_base + of_deltas).saturating_sub(state.delta.tombstones)
}

fn bytes(head: &Head, table: &TableRef, at: Timestamp, full: bool) -> u64 {
    let documents = documents(head, table, at);
    let pages = (documents / PAGE_DOCUMENTS + 1) * PAGE_BYTES;
    let visible = head.table(table).map(TableState::visible).unwrap_or_default();
    let each = if full { ID_BYTES + JSON_OF_STORED * visible.bytes / visible.rows.max(1) } else { ID_BYTES };
    pages + documents * each
}
