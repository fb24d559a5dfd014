//! What an audit found, for people and for scripts.

use serde::Serialize;

use crate::{
    archive::Depth,
    document::{Revision, TableRef, Timestamp, time_text},
};

/// Differences of a table that are kept to be shown.
pub(super) const EXAMPLES: usize = 5;

/// Why a table is not compared whose deployment cannot be asked for it alone.
pub(super) const CANNOT_ASK: &str =
    "the deployment sends all tables when it is asked for one, because its server is too old";
/// Why a table is not compared whose ids come in another order.
pub(super) const UNORDERED: &str =
    "the deployment did not send its documents in the order of their ids, so they could not be compared";

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditReport {
    /// The moment that was compared. RFC 3339 in JSON.
    #[serde(serialize_with = "time_text::one")]
    pub at: Timestamp,
    /// How closely: by `_id` and `_ts`, or by every value.
    pub depth: Depth,
    /// The tables, by component and name.
    pub tables: Vec<AuditedTable>,
    /// Whether the deployment told which tables it has. If not, tables that the archive has never seen were not looked for.
    pub all_tables_known: bool,
    /// The version of the archive that records this; absent, if nothing was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What was found of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditedTable {
    /// The table.
    pub table: TableRef,
    /// In one word.
    pub result: AuditResult,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Documents that the deployment had.
    pub documents: u64,
    /// Documents that the deployment had, and the archive does not show.
    pub missing: u64,
    /// Documents that the archive shows, and the deployment did not have.
    pub extra: u64,
    /// Documents that the two have in different revisions.
    pub different: u64,
    /// Documents that the two have in the same revision, with different values. Only a comparison of values finds them.
    pub altered: u64,
    /// The first few that differ, by `_id`.
    pub examples: Vec<DifferingId>,
    /// Pages that were asked for.
    pub requests: u64,
    /// Bytes of their answers, uncompressed.
    pub bytes: u64,
}

/// What came of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// Both hold the same.
    Equal,
    /// They do not.
    Differs,
    /// It is not known.
    NotCompared,
}

/// A document that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingId {
    /// Its id.
    pub id: String,
    /// How it differs.
    pub difference: Difference,
}

/// How a document differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The deployment had it, and the archive does not show it.
    Missing,
    /// The archive shows it, and the deployment did not have it.
    Extra,
    /// Both have it, in different revisions.
    Different,
    /// Both have it in the same revision, with different values.
    Altered,
}

/// A document that differs, as both have it.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferingDocument {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: String,
    /// How it differs.
    pub difference: Difference,
    /// As the archive shows it; None, if it does not.
    pub archive: Option<Revision>,
    /// As the deployment had it; None, if it did not.
    pub deployment: Option<Revision>,
}

impl AuditReport {
    /// The tables of which this came.
    pub fn with(&self, result: AuditResult) -> impl Iterator<Item = &AuditedTable> {
        self.tables.iter().filter(move |table| table.result == result)
    }

    /// Whether every table is equal.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.result == AuditResult::Equal)
    }
}

impl AuditedTable {
    /// One that is not compared yet.
    pub(super) fn new(table: &TableRef) -> Self {
        Self {
            table: table.clone(),
            result: AuditResult::Equal,
            why: None,
            documents: 0,
            missing: 0,
            extra: 0,
            different: 0,
            altered: 0,
            examples: Vec::new(),
            requests: 0,
            bytes: 0,
        }
    }

    /// The same, of which nothing is known.
    pub(super) fn not_compared(self, why: impl Into<String>) -> Self {
        Self {
            requests: self.requests,
            bytes: self.bytes,
            result: AuditResult::NotCompared,
            why: Some(why.into()),
            ..Self::new(&self.table)
        }
    }

    /// Whether only values within one revision differ.
    pub(super) fn is_only_altered(&self) -> bool {
        self.altered > 0 && self.missing + self.extra + self.different == 0
    }

    /// A document differs.
    pub(super) fn note(&mut self, id: &str, difference: Difference) {
        self.result = AuditResult::Differs;
        let count = match difference {
            Difference::Missing => &mut self.missing,
            Difference::Extra => &mut self.extra,
            Difference::Different => &mut self.different,
            Difference::Altered => &mut self.altered,
        };
        *count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(DifferingId { id: id.to_owned(), difference });
        }
    }
}
