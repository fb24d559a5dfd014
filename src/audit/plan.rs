//! What an audit will read, before it reads it.

use std::collections::BTreeSet;

use crate::{
    archive::{Archive, Head, TableState},
    convex::{self, Source},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    selection::Selection,
    sync::compare::{self, documents},
};

/// How many bytes of JSON one stored byte stands for, roughly.
const JSON_OF_STORED: u64 = 4;

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
    /// The tables, those first that were proven longest ago or never.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &TableRef> {
        let proven = |table: &TableRef| self.head.table(table).and_then(|state| state.proven).map(|proven| proven.ts);
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|table| proven(table));
        tables.into_iter()
    }

    /// Bytes that the deployment will send of a table, estimated.
    pub(super) fn bytes_of(&self, table: &TableRef, full: bool) -> u64 {
        bytes(&self.head, table, self.at, full)
    }

    /// What the answers cost beyond what a plan of Convex includes, dollars: about, and only where the deployment is Convex's.
    pub fn dollars(&self) -> f64 {
        convex::dollars(self.bytes)
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
            "the archive {} belongs to the deployment {}, but this key and URL belong to {identity}. To compare it \
             with a deployment that has \
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

fn bytes(head: &Head, table: &TableRef, at: Timestamp, full: bool) -> u64 {
    let visible = head.table(table).map(TableState::visible).unwrap_or_default();
    let values = if full { JSON_OF_STORED * visible.bytes / visible.rows.max(1) } else { 0 };
    compare::bytes(head, table, at) + documents(head, table, at) * values
}
