//! Servers of other years: what they do not know yet, as switches. `options` knows the switches of a day.

use crate::document::TableRef;

/// What a server knows of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Components {
    /// Their rows come in snapshots and in deltas. Since 2026-08-11.
    #[default]
    Everywhere,
    /// Deltas leave their rows out without a word.
    NotInDeltas,
    /// There are none: rows bear no `_component`, and only tables of the root exist.
    Unknown,
}

impl Components {
    /// Whether there are rows of this table.
    pub(crate) fn show(self, table: &TableRef, deltas: bool) -> bool {
        match self {
            Self::Everywhere => true,
            Self::NotInDeltas => !deltas || table.component().is_empty(),
            Self::Unknown => table.component().is_empty(),
        }
    }
}

/// What becomes of a request for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditLogs {
    /// It is refused with 403, as by a server of one's own and under a plan without an audit log.
    #[default]
    Disabled,
    /// It is answered, if the deployment keeps one.
    Kept,
    /// There is no such route: before 2026-06-22.
    Absent,
}

/// What becomes of a request for a page by POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Posts {
    /// It is answered, and its `selection` heeded. Since 2025-08-14.
    #[default]
    Select,
    /// It is answered, and `selection` ignored as every argument that is not known.
    Ignore,
    /// It is refused with 405.
    Refuse,
}

/// How the parameter that names a table is spelled. Any other spelling is ignored: everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableParameter {
    /// Both ways, since 2026-03-17.
    #[default]
    Both,
    /// `table_name`, since 2025-08-14.
    Snake,
    /// `tableName`, before.
    Camel,
}

/// The forms in which `/api/json_schemas` was seen to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonSchemas {
    /// From the documents that live now. One table whose documents are no plain objects makes it fail for all.
    #[default]
    Inferred,
    /// As an older server: `byComponent` is ignored, a component's table overwrites the root's of the same name.
    Flat,
    /// As with a declared `any` schema: `_id` and `_creationTime`, and yet `additionalProperties: false`.
    Blank,
    /// 400 `NoSchemaForExport`, always.
    Failing,
}
