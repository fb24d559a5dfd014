//! The [`AuditLog`] of a deployment, exactly as it spells it. An entry that is not understood is passed over.
//!
//! Source: the recording `datasync`, and `crates/model/src/deployment_audit_log/types.rs` of get-convex/convex-backend. Servers have it since
//! 2026-06-22.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::Client;
use crate::{
    convex::{
        audit_log::{AuditLog, AuditLogEvent},
        wire::http::Reply,
    },
    document::{TableRef, Timestamp},
    error::{Error, Result, ResultExt},
};

/// The log, from a moment on.
const AUDIT_LOG: &str = "/api/v1/list_audit_log_events";
/// Entries that one page lists; the most that the server takes.
const ENTRIES_A_PAGE: u32 = 100;
/// Pages that are read: whatever lies beyond is not worth the requests.
const PAGES: usize = 5;
/// What is done to whole tables.
const ACTIONS: [&str; 4] = ["snapshot_import", "delete_tables", "clear_tables", "delete_component"];
/// The mode of an import whose documents the change log tells.
const APPEND: &str = "Append";
/// Longest word that is taken over, bytes.
const WORD: usize = 64;
/// Nanoseconds in a millisecond.
const MILLISECOND: i64 = 1_000_000;

/// Parameters of [`AUDIT_LOG`].
#[derive(Serialize)]
struct ListEvents<'a> {
    /// Milliseconds since 1970.
    from: i64,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

/// Answer of [`AUDIT_LOG`].
#[derive(Deserialize)]
struct EventsPage {
    items: Vec<Json>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    has_more: bool,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// An entry. Addresses and programs of those who asked are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    action: String,
    /// Milliseconds since 1970.
    create_time: i64,
    #[serde(default)]
    actor: Json,
    #[serde(default)]
    metadata: Json,
}

impl Entry {
    fn event(self) -> Option<AuditLogEvent> {
        let Self { action, create_time, actor, metadata } = self;
        if !ACTIONS.contains(&action.as_str()) {
            return None;
        }
        let mode = text(&metadata, "import_mode");
        if mode.as_deref() == Some(APPEND) {
            return None;
        }
        let lists = ["table_names", "table_names_deleted"];
        let tables = lists.iter().flat_map(|list| listed(&metadata[*list], &metadata["component"])).collect();
        let component = metadata["component"].as_str().filter(|_| action == "delete_component").map(ToOwned::to_owned);
        let at = Timestamp(create_time.checked_mul(MILLISECOND)?);
        Some(AuditLogEvent { at, who: actor.as_object().and_then(who), action, tables, component, mode })
    }
}

/// Who it was: the kind of actor, and the number or name that Convex gives it.
fn who(actor: &Map<String, Json>) -> Option<String> {
    let kind = word(actor.get("kind")?.as_str()?)?;
    let id = match actor.get(&format!("{kind}_id")) {
        Some(Json::Number(id)) => Some(id.to_string()),
        Some(Json::String(id)) => word(id),
        _ => None,
    };
    Some(id.map_or_else(|| kind.clone(), |id| format!("{kind} {id}")))
}

/// Tables of a list: names in `component`, or lists of them by component.
fn listed(list: &Json, component: &Json) -> Vec<TableRef> {
    let named = |name: &Json, component: &Json| {
        // Null is the root.
        TableRef::new(component.as_str().unwrap_or_default(), name.as_str()?).ok()
    };
    let mut tables = Vec::new();
    for entry in list.as_array().into_iter().flatten() {
        match entry["table_names"].as_array() {
            Some(names) => tables.extend(names.iter().filter_map(|name| named(name, &entry["component"]))),
            None => tables.extend(named(entry, component)),
        }
    }
    tables
}

fn text(metadata: &Json, name: &str) -> Option<String> {
    word(metadata[name].as_str()?)
}

/// A short word, which may be shown as it is.
fn word(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!text.is_empty() && text.len() <= WORD && text.chars().all(plain)).then(|| text.to_owned())
}

fn parse(body: &[u8]) -> Result<(Vec<AuditLogEvent>, Option<String>)> {
    let EventsPage { items, pagination } =
        serde_json::from_slice(body).map_err(|e| Error::protocol("cannot understand the answer").with_source(e))?;
    let entries = items.into_iter().filter_map(|item| serde_json::from_value::<Entry>(item).ok());
    Ok((entries.filter_map(Entry::event).collect(), pagination.next_cursor.filter(|_| pagination.has_more)))
}

#[async_trait]
impl AuditLog for Client {
    async fn events(&self, from: Timestamp) -> Result<Vec<AuditLogEvent>> {
        let context = || format!("GET {AUDIT_LOG}");
        let from = from.0.max(0) / MILLISECOND;
        let (mut events, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let query = ListEvents { from, limit: ENTRIES_A_PAGE, cursor: cursor.as_deref() };
            let body = match self.http.once(AUDIT_LOG, &query).await.context(context)? {
                Reply::Answer(body) => body,
                Reply::Refused(refusal) => return Err(refusal.into_error()).context(context),
            };
            let (more, next) = parse(&body).context(context)?;
            events.extend(more);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(component: &str, name: &str) -> TableRef {
        TableRef::new(component, name).unwrap()
    }

    fn events(items: &str) -> Vec<AuditLogEvent> {
        parse(format!(r#"{{"items":[{items}],"pagination":{{"hasMore":false}}}}"#).as_bytes()).unwrap().0
    }

    #[test]
    fn entries_are_understood_as_they_were_seen() {
        let seen = events(
            r#"{"actor":{"kind":"member","member_id":0},"action":"create_data_sync","createTime":1795910497999,
                "metadata":{"sync_id":"ef9a2bcb"},"clientIp":"127.0.0.1","clientUserAgent":"Python-urllib/3.11"},
            {"actor":{"kind":"member","member_id":0},"action":"snapshot_import","createTime":1795910501425,"metadata":{
                "import_format":{"format":"zip"},"import_mode":"Replace","requestor":{"type":"snapshotImport"},"table_count":"1",
                "table_count_deleted":"0","table_names":[{"component":null,"table_names":["orders"]}],"table_names_deleted":[]},
                "clientIp":null,"clientUserAgent":null},
            {"actor":{"kind":"system"},"action":"delete_tables","createTime":1795910501584,
                "metadata":{"component":null,"component_id":null,"table_names":["dropme"]},"clientIp":null,"clientUserAgent":null},
            {"actor":{"kind":"member","member_id":0},"action":"snapshot_import","createTime":1795910502110,"metadata":{
                "import_format":{"format":"jsonl","table":"users"},"import_mode":"Append","requestor":{"type":"snapshotImport"},
                "table_count":"1","table_count_deleted":"0","table_names":[{"component":null,"table_names":["users"]}],
                "table_names_deleted":[]},"clientIp":null,"clientUserAgent":null},
            {"actor":{"kind":"member","member_id":0},"action":"clear_tables","createTime":1795910503502,"metadata":{},
                "clientIp":"127.0.0.1","clientUserAgent":"Python-urllib/3.11"}"#,
        );
        let event = |ms: i64, action: &str, who: &str, tables: Vec<TableRef>| AuditLogEvent {
            at: Timestamp(ms * 1_000_000),
            action: action.to_owned(),
            who: Some(who.to_owned()),
            tables,
            component: None,
            mode: (action == "snapshot_import").then(|| "Replace".to_owned()),
        };
        let expected = [
            event(1_795_910_501_425, "snapshot_import", "member 0", vec![table("", "orders")]),
            event(1_795_910_501_584, "delete_tables", "system", vec![table("", "dropme")]),
            event(1_795_910_503_502, "clear_tables", "member 0", Vec::new()),
        ];
        assert_eq!(seen, expected);
        assert_eq!(seen.iter().map(AuditLogEvent::is_nameless).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn tables_are_those_of_their_components_and_deleted_ones_count() {
        let seen = events(
            r#"{"action":"snapshot_import","createTime":1,"metadata":{"import_mode":"ReplaceAll",
                "table_names":[{"component":"shop/cart","table_names":["users","orders"]},{"component":null,"table_names":["users"]}],
                "table_names_deleted":[{"component":"shop","table_names":["old"]}]}},
            {"action":"snapshot_import","createTime":2,"metadata":{"table_names":["flat"]}},
            {"action":"delete_tables","createTime":3,"metadata":{"component":"shop","table_names":["late"]}},
            {"action":"delete_component","createTime":4,"metadata":{"component":"shop"}}"#,
        );
        let tables: Vec<_> = seen.iter().map(|event| event.tables.clone()).collect();
        let [users, orders] = ["users", "orders"].map(|name| table("shop/cart", name));
        let expected = [
            vec![users.clone(), orders, table("", "users"), table("shop", "old")],
            vec![table("", "flat")],
            vec![table("shop", "late")],
            vec![],
        ];
        assert_eq!(tables, expected);
        assert!(seen[3].names(&users) && seen[3].names(&table("shop", "any")) && !seen[3].is_nameless());
        assert!(!seen[3].names(&table("shopping", "any")) && !seen[3].names(&table("", "shop")));
    }

    #[test]
    fn what_is_odd_is_passed_over_and_nothing_odd_is_shown() {
        let odd = events(
            r#"null, 7, [], {}, {"action":"clear_tables"}, {"action":7,"createTime":1}, {"action":"clear_tables","createTime":"1"},
            {"action":"clear_tables","createTime":9223372036854775807}, {"action":"push_config","createTime":1}"#,
        );
        assert_eq!(odd, []);
        let odd = events(
            r#"{"action":"snapshot_import","createTime":1,"actor":"me","metadata":[1]},
            {"action":"snapshot_import","createTime":1,"actor":{"kind":"a\u001b[2J"},"metadata":{"import_mode":7,"table_names":"x"}},
            {"action":"snapshot_import","createTime":1,"actor":{"kind":"member","member_id":{"ip":"127.0.0.1"}},"metadata":{
                "import_mode":"Replace\n","table_names":[7,null,{},"a b",{"component":"x y","table_names":["t"]},
                {"component":null,"table_names":[{"component":null,"table_names":["deep"]}]},"good"]}}"#,
        );
        let whos: Vec<_> = odd.iter().map(|event| event.who.as_deref()).collect();
        assert_eq!((whos, odd[2].tables.clone()), (vec![None, None, Some("member")], vec![table("", "good")]));
        assert!(odd.iter().all(|event| event.mode.is_none()));
    }

    #[test]
    fn an_answer_that_is_no_page_is_an_error_and_a_cursor_counts_with_more_to_come_only() {
        for text in ["", "<html>", "[]", "{}", r#"{"items":{},"pagination":{"hasMore":false}}"#, r#"{"items":[]}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let next = |more: &str| {
            parse(format!(r#"{{"items":[],"pagination":{{"hasMore":{more},"nextCursor":"01"}}}}"#).as_bytes())
                .unwrap()
                .1
        };
        assert_eq!((next("true").as_deref(), next("false")), (Some("01"), None));
    }
}
