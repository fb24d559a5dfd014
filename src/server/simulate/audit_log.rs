//! The audit log of a simulated deployment, spelled as it was seen of a real one (recording `datasync`).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{deployment::SimulatedDeployment, import::ImportMode};
use crate::{
    document::{TableRef, Timestamp},
    server::audit_source::{Actor, AuditLogEntry, AuditLogSource},
};

impl AuditLogSource for SimulatedDeployment {
    fn entries(&self) -> Vec<AuditLogEntry> {
        self.state().audit_log.clone()
    }
}

/// A table was dropped.
pub(super) fn dropped(at: Timestamp, table: &TableRef) -> AuditLogEntry {
    let metadata = json!({ "component": component(table), "component_id": null, "table_names": [table.name()] });
    AuditLogEntry { at, action: "delete_tables", actor: Actor::System, metadata }
}

/// Tables were cleared: which ones is not told.
pub(super) fn cleared(at: Timestamp) -> AuditLogEntry {
    AuditLogEntry { at, action: "clear_tables", actor: Actor::MemberByRequest, metadata: json!({}) }
}

/// An import into `tables` was completed, which dropped others.
pub(super) fn imported(at: Timestamp, mode: ImportMode, tables: &[TableRef], dropped: &[TableRef]) -> AuditLogEntry {
    let metadata = json!({
        "import_format": { "format": "zip" },
        "import_mode": format!("{mode:?}"),
        "requestor": { "type": "snapshotImport" },
        "table_count": tables.len().to_string(),
        "table_count_deleted": dropped.len().to_string(),
        "table_names": by_component(tables),
        "table_names_deleted": by_component(dropped),
    });
    AuditLogEntry { at, action: "snapshot_import", actor: Actor::Member, metadata }
}

/// A sync has had its first page.
pub(super) fn begun_sync(at: Timestamp, sync: &str) -> AuditLogEntry {
    let metadata = json!({ "sync_id": sync });
    AuditLogEntry { at, action: "create_data_sync", actor: Actor::MemberByRequest, metadata }
}

/// The root is null.
fn component(table: &TableRef) -> Option<&str> {
    Some(table.component()).filter(|component| !component.is_empty())
}

fn by_component(tables: &[TableRef]) -> Vec<Json> {
    let mut names: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for table in tables {
        names.entry(component(table)).or_default().push(table.name());
    }
    names.into_iter().map(|(component, names)| json!({ "component": component, "table_names": names })).collect()
}
