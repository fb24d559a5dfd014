//! The [`Sentinel`] of a deployment: its Data Sync, exactly as it spells it.
//!
//! Source: `crates/streaming_export` and `crates/common/src/types/streaming_export/` of get-convex/convex-backend (commit 94a42c3d), and answers
//! of a running server.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufReader,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value as Json, json};

use super::Client;
use crate::{
    convex::{
        sentinel::{Sentinel, SentinelAnswer, SentinelPage},
        wire::{body::Body, http::Reply, refusal::Refusal},
    },
    document::{TableRef, Timestamp},
    error::{Error, Result, ResultExt},
    selection::Selection,
};

/// Makes a cursor of Data Sync of one of the deltas: everything up to there counts as seen. Since 2026-08-17.
pub(super) const CURSOR_FROM_DELTAS: &str = "/api/data_sync_cursor_from_deltas";
/// One page of Data Sync.
const DATA_SYNC: &str = "/api/v1/data/sync";
/// The syncs that were asked for in the last three days.
const ACTIVE_SYNCS: &str = "/api/v1/data/list_active_syncs";
/// Syncs that one page lists; the most that the server takes.
const SYNCS_A_PAGE: u32 = 100;
/// Pages of the list of syncs that are read: a deployment has a handful.
const PAGES_OF_SYNCS: usize = 100;

/// Parameters of [`CURSOR_FROM_DELTAS`].
#[derive(Serialize)]
struct CursorFromDeltas {
    cursor: i64,
}

/// Answer of [`CURSOR_FROM_DELTAS`].
#[derive(Deserialize)]
struct MadeCursor {
    cursor: String,
}

/// Parameters of [`DATA_SYNC`].
#[derive(Serialize)]
struct DataSync<'a> {
    cursor: &'a str,
}

/// Answer of [`DATA_SYNC`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataSyncPage {
    status: SyncStatus,
    truncates: Vec<Truncated>,
    #[allow(dead_code, reason = "rows are read over: nothing of them is kept")]
    values: Vec<IgnoredAny>,
    sync_id: String,
    pagination: NextPage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum SyncStatus {
    Snapshotting,
    Stale,
    UpToDate { snapshot_ts: i64 },
}

#[derive(Deserialize)]
struct Truncated {
    #[serde(default)]
    component: String,
    table: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NextPage {
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Parameters of [`ACTIVE_SYNCS`].
#[derive(Serialize)]
struct ListSyncs<'a> {
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

/// Answer of [`ACTIVE_SYNCS`].
#[derive(Deserialize)]
struct ActiveSyncs {
    syncs: Vec<ActiveSync>,
    pagination: NextPage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveSync {
    sync_id: String,
    status: ActiveStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveStatus {
    #[serde(default)]
    total_tables: Option<u64>,
}

/// Everything that is selected; of tables that are known `_id` alone. Columns can be chosen for named tables only.
fn ids_of_known(selection: &Selection, known: &BTreeSet<TableRef>) -> Json {
    let word = |included: bool| Json::from(if included { "included" } else { "excluded" });
    let mut components: BTreeMap<String, Map<String, Json>> = BTreeMap::new();
    components.entry(String::new()).or_default();
    for component in selection.component_names() {
        components.entry(component).or_default();
    }
    for table in known {
        let of_table =
            if selection.contains(table) { json!({ "_id": "included", "_other": "excluded" }) } else { word(false) };
        components.entry(table.component().to_owned()).or_default().insert(table.name().to_owned(), of_table);
    }
    let mut tree = Map::new();
    for (component, mut tables) in components {
        for name in selection.table_names(&component) {
            let selected = TableRef::new(&*component, name).is_ok_and(|table| selection.contains(&table));
            tables.entry(name).or_insert_with(|| if selected { json!({ "_other": "included" }) } else { word(false) });
        }
        tables.insert("_other".to_owned(), word(selection.opens(&component)));
        tree.insert(component, Json::Object(tables));
    }
    tree.insert("_other".to_owned(), word(selection.opens_other_components()));
    Json::Object(tree)
}

/// What a refusal says of the watchman.
enum Refused {
    Lost,
    Absent,
    Error(Error),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match (refusal.status, refusal.code.as_str()) {
            (400, "DataSyncCursorExpired" | "InvalidDataSyncCursor") => Self::Lost,
            (404 | 405, _) | (400, "DataSyncNotServed") => Self::Absent,
            _ => Self::Error(refusal.into_error()),
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &Body) -> Result<T> {
    serde_json::from_reader(BufReader::new(body.reader()))
        .map_err(|e| Error::protocol("cannot understand the answer").with_source(e))
}

#[async_trait]
impl Sentinel for Client {
    async fn begin(&self, after: Timestamp, known: &BTreeSet<TableRef>) -> Result<Option<String>> {
        let context = || format!("POST {CURSOR_FROM_DELTAS}");
        let selection = ids_of_known(self.selection.selection(), known);
        let arguments = CursorFromDeltas { cursor: after.0 };
        match self.http.page(CURSOR_FROM_DELTAS, &arguments, Some(&selection)).await.context(context)? {
            Reply::Answer(body) => parse(&body).map(|MadeCursor { cursor }| Some(cursor)).context(context),
            Reply::Refused(refusal) => match refusal.into() {
                Refused::Absent | Refused::Lost => Ok(None),
                Refused::Error(error) => Err(error).context(context),
            },
        }
    }

    async fn ask(&self, cursor: &str, known: &BTreeSet<TableRef>) -> Result<SentinelAnswer> {
        let context = || format!("POST {DATA_SYNC}");
        let selection = ids_of_known(self.selection.selection(), known);
        let reply = self.http.page(DATA_SYNC, &DataSync { cursor }, Some(&selection)).await.context(context)?;
        let body = match reply {
            Reply::Answer(body) => body,
            Reply::Refused(refusal) => {
                return match refusal.into() {
                    Refused::Lost => Ok(SentinelAnswer::Lost),
                    Refused::Absent => Ok(SentinelAnswer::Absent),
                    Refused::Error(error) => Err(error).context(context),
                };
            }
        };
        let page: DataSyncPage = parse(&body).context(context)?;
        let next =
            page.pagination.next_cursor.ok_or_else(|| Error::protocol("the answer has no cursor")).context(context)?;
        let table = |Truncated { component, table }: Truncated| TableRef::new(component, table);
        let touched: BTreeSet<_> = page.truncates.into_iter().map(table).collect::<Result<_>>().context(context)?;
        Ok(SentinelAnswer::Page(SentinelPage {
            cursor: next,
            sync: page.sync_id,
            touched: touched.into_iter().filter(|table| self.selection.selection().contains(table)).collect(),
            through: match page.status {
                SyncStatus::Snapshotting | SyncStatus::Stale => None,
                SyncStatus::UpToDate { snapshot_ts } => Some(Timestamp(snapshot_ts)),
            },
        }))
    }

    async fn total_tables(&self, sync: &str) -> Result<Option<u64>> {
        let context = || format!("GET {ACTIVE_SYNCS}");
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_OF_SYNCS {
            let query = ListSyncs { limit: SYNCS_A_PAGE, cursor: cursor.as_deref() };
            let listed: ActiveSyncs = match self.http.page(ACTIVE_SYNCS, &query, None::<&()>).await.context(context)? {
                Reply::Answer(body) => parse(&body).context(context)?,
                Reply::Refused(refusal) if matches!(refusal.status, 404 | 405) => return Ok(None),
                Reply::Refused(refusal) => return Err(refusal.into_error()).context(context),
            };
            if let Some(found) = listed.syncs.into_iter().find(|listed| listed.sync_id == sync) {
                return Ok(found.status.total_tables);
            }
            match listed.pagination.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(component: &str, name: &str) -> TableRef {
        TableRef::new(component, name).unwrap()
    }

    #[test]
    fn of_known_tables_ids_alone_are_asked_for_and_of_others_everything_that_is_selected() {
        let known = BTreeSet::from([table("", "users"), table("", "logs"), table("waitlist", "users")]);
        let ids = || json!({ "_id": "included", "_other": "excluded" });
        assert_eq!(
            ids_of_known(&Selection::default(), &known),
            json!({
                "": { "users": ids(), "logs": ids(), "_other": "included" },
                "waitlist": { "users": ids(), "_other": "included" },
                "_other": "included",
            })
        );
        assert_eq!(
            ids_of_known(&Selection::new(["users"], ["logs"]).unwrap(), &known),
            json!({
                "": { "users": ids(), "logs": "excluded", "_other": "excluded" },
                "waitlist": { "users": "excluded", "_other": "excluded" },
                "_other": "excluded",
            })
        );
        let late = Selection::new(["late"], std::iter::empty::<&str>()).unwrap();
        assert_eq!(
            ids_of_known(&late, &BTreeSet::new())[""],
            json!({ "late": { "_other": "included" }, "_other": "excluded" })
        );
    }

    #[test]
    fn pages_are_understood_as_they_were_seen() {
        let text = r#"{"status":{"type":"upToDate","snapshotTs":1795910502816781533},"truncates":[{"component":"shop","table":"users"}],
            "values":[{"component":"","table":"late","ts":1,"deleted":true,"value":{"_id":"x"}}],"syncId":"s",
            "pagination":{"hasMore":true,"nextCursor":"01"}}"#;
        let page: DataSyncPage = serde_json::from_str(text).unwrap();
        assert!(matches!(page.status, SyncStatus::UpToDate { snapshot_ts: 1_795_910_502_816_781_533 }));
        assert_eq!((page.truncates[0].table.as_str(), page.sync_id.as_str()), ("users", "s"));
        for status in [r#"{"type":"snapshotting"}"#, r#"{"type":"stale","snapshotTs":1}"#] {
            assert!(!matches!(serde_json::from_str(status).unwrap(), SyncStatus::UpToDate { .. }), "{status}");
        }
        let syncs = r#"{"syncs":[{"syncId":"s","lastUpdated":1,"status":{"type":"stale","totalTables":9,"numDocumentsSynced":1,"syncedTs":1}}],
            "pagination":{"hasMore":false}}"#;
        let syncs: ActiveSyncs = serde_json::from_str(syncs).unwrap();
        assert_eq!((syncs.syncs[0].status.total_tables, syncs.pagination.next_cursor), (Some(9), None));
    }
}
