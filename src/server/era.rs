//! Servers of other years: what they do not know yet, as switches, and the switches of a day.

use std::time::Duration;

use chrono::NaiveDate;

use super::RouterOptions;
use crate::document::{Encoding, TableRef};

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
pub enum Schemas {
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

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl RouterOptions {
    /// These options as a server of that day has them (dates of commits to Convex's backend; a deployment of one's own lags
    /// behind by as long as nobody upgrades it). What has no known date stays as it is: whether there are components at
    /// all, `byComponent`, `/instance_name`, `/instance_version`.
    #[must_use]
    pub fn server_of(self, day: NaiveDate) -> Self {
        let since =
            |year, month, of_month| NaiveDate::from_ymd_opt(year, month, of_month).is_some_and(|then| day >= then);
        let mut formats = vec![Encoding::ConvexEncodedJson, Encoding::Json];
        if since(2026, 3, 10) {
            formats.push(Encoding::ExportJson);
        }
        Self {
            formats,
            posts: if self.posts == Posts::Select && !since(2025, 8, 14) { Posts::Ignore } else { self.posts },
            table_parameter: match () {
                () if since(2026, 3, 17) => TableParameter::Both,
                () if since(2025, 8, 14) => TableParameter::Snake,
                () => TableParameter::Camel,
            },
            snapshot_window: match () {
                () if since(2026, 3, 9) => 5 * DAY,
                () if since(2025, 3, 4) => 30 * DAY,
                () => Duration::MAX,
            },
            deltas_window: match () {
                () if since(2026, 4, 23) => 14 * DAY,
                () if since(2025, 11, 30) => 30 * DAY,
                () => 79 * DAY,
            },
            components: match self.components {
                Components::Everywhere if !since(2026, 8, 11) => Components::NotInDeltas,
                components => components,
            },
            bad_cursor_code: since(2026, 8, 17),
            ..self
        }
    }
}
