//! The text of a page: documents stand by themselves under `value`, always in export_json.

use crate::{
    codec::{write_string, write_value},
    document::{Encoding, Revision, TableRef, Timestamp},
    server::selection::SelectedColumns,
};

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct SyncPage {
    truncates: String,
    values: String,
    /// Values that are in it.
    pub(super) len: usize,
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Snapshotting,
    Stale(Timestamp),
    UpToDate(Timestamp),
}

impl SyncPage {
    /// What is held of a table of that name is to go.
    pub(super) fn truncate(&mut self, table: &TableRef) {
        let separator = if self.truncates.is_empty() { "{" } else { ",{" };
        self.truncates.push_str(separator);
        write_table(&mut self.truncates, table);
        self.truncates.push('}');
    }

    /// Appends a document, or the end of one: nothing of that but its `_id`.
    pub(super) fn push(&mut self, table: &TableRef, revision: &Revision, selected: SelectedColumns<'_>) {
        let includes = |name: &str| match selected {
            SelectedColumns::Nothing => false,
            SelectedColumns::AllColumns => true,
            SelectedColumns::Some(columns) => columns.includes(name),
        };
        let out = &mut self.values;
        out.push_str(if self.len == 0 { "{" } else { ",{" });
        self.len += 1;
        write_table(out, table);
        let deleted = revision.document.is_none();
        out.push_str(",\"ts\":");
        out.push_str(&revision.ts.0.to_string());
        out.push_str(if deleted { ",\"deleted\":true,\"value\":{" } else { ",\"deleted\":false,\"value\":{" });
        match &revision.document {
            None => {
                out.push_str("\"_id\":");
                write_string(out, &revision.id);
            }
            Some(document) => {
                for (i, (name, value)) in document.iter().filter(|(name, _)| includes(name)).enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(out, name);
                    out.push(':');
                    write_value(out, value, Encoding::ExportJson);
                }
            }
        }
        out.push_str("}}");
    }

    /// The whole answer.
    pub(super) fn finish(self, reached: Reached, sync_id: &str, cursor: &str) -> String {
        let status = match reached {
            Reached::Snapshotting => r#"{"type":"snapshotting"}"#.to_owned(),
            Reached::Stale(ts) => format!(r#"{{"type":"stale","snapshotTs":{}}}"#, ts.0),
            Reached::UpToDate(ts) => format!(r#"{{"type":"upToDate","snapshotTs":{}}}"#, ts.0),
        };
        let Self { truncates, values, .. } = self;
        format!(
            r#"{{"status":{status},"truncates":[{truncates}],"values":[{values}],"syncId":"{sync_id}","pagination":{{"hasMore":true,"nextCursor":"{cursor}"}}}}"#
        )
    }
}

fn write_table(out: &mut String, table: &TableRef) {
    out.push_str("\"component\":");
    write_string(out, table.component());
    out.push_str(",\"table\":");
    write_string(out, table.name());
}
