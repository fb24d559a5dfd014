//! [`RouterOptions`]: how a router answers, and how one of another day did.

use std::time::Duration;

use chrono::NaiveDate;
use derive_setters::Setters;

use super::{
    era::{AuditLogs, Components, JsonSchemas, Posts, TableParameter},
    fault::Fault,
};
use crate::document::Encoding;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a router answers, as plain data.
#[derive(Debug, Clone, Setters)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct RouterOptions {
    /// The deploy key that it takes.
    pub key: String,
    /// Keys that take its place: the one of a pair counts from the request of that number on (0 is the first that is asked with
    /// a key), and no other one does any more.
    pub rotations: Vec<(u64, String)>,
    /// Documents a page of list_snapshot. Real deployments: 1,024 (knob `SNAPSHOT_LIST_LIMIT`).
    pub snapshot_page: usize,
    /// Log rows *read* a page of document_deltas. Real deployments: 128 (knob `DOCUMENT_DELTAS_LIMIT`).
    pub delta_page: usize,
    /// How old a snapshot may be. Real deployments: 5 days (knob `LIST_SNAPSHOT_MAX_AGE_SECS`).
    pub snapshot_window: Duration,
    /// How old a delta cursor may be. Real deployments: 14 days (knob `DOCUMENT_RETENTION_DELAY`).
    pub deltas_window: Duration,
    /// Waited before each answer, to stand for a network.
    pub latency: Duration,
    /// What `/api/json_schemas` is like.
    pub schemas: JsonSchemas,
    /// Whether the first request for schemas or column names is answered with 503 `TableSummariesUnavailable`, as
    /// deployments do for a while after a restart.
    pub summaries_unavailable_once: bool,
    /// What is known of components.
    #[doc(hidden)]
    pub components: Components,
    /// The spellings of `format` that are understood; others are refused with `BadFormat`.
    pub formats: Vec<Encoding>,
    /// How the parameter that names a table is spelled.
    #[doc(hidden)]
    pub table_parameter: TableParameter,
    /// What becomes of a request for a page by POST.
    #[doc(hidden)]
    pub posts: Posts,
    /// What becomes of a request for `/api/v1/list_audit_log_events`.
    #[doc(hidden)]
    pub audit_logs: AuditLogs,
    /// Whether there is `/instance_name`.
    pub instance_name: bool,
    /// What `/instance_version` tells, if there is one: the number of a release, `0.0.0` where it was built from source.
    pub instance_version: Option<String>,
    /// Whether a bad cursor of list_snapshot has a code of its own. Otherwise it is a 500. Since 2026-08-17; no server has it that
    /// leaves the rows of components out of deltas.
    pub bad_cursor_code: bool,
    /// Whether there is `/api/data_sync_cursor_from_deltas`. Since 2026-08-17; the same holds of it.
    pub data_sync_cursor: bool,
    /// Whether there is Data Sync: `/api/v1/data/sync` and `/api/v1/data/list_active_syncs`. Since 2026-08-13; the same holds of
    /// it. A deployment that does not offer it has none in any case.
    pub data_sync: bool,
    /// Values a page of Data Sync; transactions stay whole. Real deployments: 16,384.
    pub data_sync_page: usize,
    /// Log rows *read* a page of Data Sync. Real deployments: 32,768.
    pub data_sync_rows: usize,
    /// How far the change log may run ahead of a sync that reads its tables through. Real deployments: 30 seconds.
    pub data_sync_freshness: Duration,
    /// Waited between two transactions of an import.
    #[doc(hidden)]
    pub import_pause: Duration,
    /// Answers that are given instead of the true ones.
    #[doc(hidden)]
    pub faults: Vec<Fault>,
}

impl Default for RouterOptions {
    /// As a real deployment, with the key `simulated|key`.
    fn default() -> Self {
        Self {
            key: "simulated|key".to_owned(),
            rotations: Vec::new(),
            snapshot_page: 1024,
            delta_page: 128,
            snapshot_window: 5 * DAY,
            deltas_window: 14 * DAY,
            latency: Duration::ZERO,
            schemas: JsonSchemas::Inferred,
            summaries_unavailable_once: false,
            components: Components::Everywhere,
            formats: vec![Encoding::ConvexEncodedJson, Encoding::ExportJson, Encoding::Json],
            table_parameter: TableParameter::Both,
            posts: Posts::Select,
            audit_logs: AuditLogs::Disabled,
            instance_name: true,
            instance_version: Some("0.0.0".to_owned()),
            bad_cursor_code: true,
            data_sync_cursor: true,
            data_sync: true,
            data_sync_page: 16_384,
            data_sync_rows: 32_768,
            data_sync_freshness: Duration::from_secs(30),
            import_pause: Duration::ZERO,
            faults: Vec::new(),
        }
    }
}

impl RouterOptions {
    /// What is of the same day as [`bad_cursor_code`](Self::bad_cursor_code),
    /// [`data_sync_cursor`](Self::data_sync_cursor) and [`data_sync`](Self::data_sync), which no server has that does not send the rows of components.
    pub(super) fn has(&self, feature: bool) -> bool {
        feature && self.components == Components::Everywhere
    }

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
            data_sync_cursor: since(2026, 8, 17),
            data_sync: since(2026, 8, 13),
            audit_logs: if since(2026, 6, 22) { self.audit_logs } else { AuditLogs::Absent },
            ..self
        }
    }
}
