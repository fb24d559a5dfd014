//! The audit log explains what was noticed without it. It detects nothing, and nothing depends on it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{extract::Request, middleware};
use convex_archiver::{
    Event, Monitor, Timestamp,
    server::{AuditLogs, Deployment, Fault, ImportMode, RouterOptions, router},
    sync::{SyncOptions, SyncReport, sync},
};
use serde_json::Value as Json;

use crate::{
    conformance::Server,
    noticed::{MINUTE, Watched, blind, fields, healed, named, watched},
};

const AUDIT_LOG: &str = "/api/v1/list_audit_log_events";

/// A deployment whose audit log is counted on.
struct Explained {
    watched: Watched,
    asked: Arc<AtomicU64>,
}

impl Explained {
    async fn new(options: RouterOptions) -> Self {
        let mut watched = Watched::new(options.clone()).await;
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let deployment = Arc::clone(&watched.world.deployment) as Arc<dyn Deployment>;
        let counted = middleware::from_fn(move |request: Request, next: middleware::Next| {
            count.fetch_add(u64::from(request.uri().path() == AUDIT_LOG), Ordering::SeqCst);
            next.run(request)
        });
        watched.world.server = Server::serve(router(deployment, options).layer(counted)).await;
        Self { watched, asked }
    }

    /// A run of some minutes later, and how often it asked for the audit log.
    async fn sync(&self) -> (SyncReport, u64) {
        self.watched.pass(MINUTE);
        let report = self.watched.sync().await;
        (report, self.asked.swap(0, Ordering::SeqCst))
    }

    fn replace(&self, table: &str) {
        let mut import = self.watched.world.deployment.begin_import(ImportMode::Replace, &[named(table)]).unwrap();
        import.insert(&named(table), (0..7).map(fields).collect()).unwrap();
        import.finish().unwrap();
    }

    fn now(&self) -> i64 {
        self.watched.world.deployment.clock().unwrap().0
    }
}

fn kept(options: RouterOptions) -> RouterOptions {
    options.audit_logs(AuditLogs::Kept)
}

/// What explains: the action, its mode, who, the tables.
fn explained(report: &SyncReport) -> Vec<String> {
    let words = report.explained.iter().map(|explanation| {
        let tables: Vec<_> = explanation.tables.iter().map(ToString::to_string).collect();
        let [mode, who] = [&explanation.mode, &explanation.who].map(|word| word.as_deref().unwrap_or("-"));
        format!("{} {mode} {who}: {}", explanation.action, tables.join(" "))
    });
    words.collect()
}

#[tokio::test]
async fn a_replacement_a_drop_and_a_clear_are_explained_and_a_quiet_run_does_not_ask() {
    for options in [blind(), watched()] {
        let w = Explained::new(kept(options)).await;
        let deployment = &w.watched.world.deployment;
        w.watched.insert("t", 25);
        w.watched.insert("gone", 5);
        w.watched.insert("kept", 3);
        // None of these needs an explanation: the first run, nothing new, new rows, and an import that appends.
        let mut import = deployment.begin_import(ImportMode::Append, &[named("kept")]).unwrap();
        assert_eq!(w.sync().await.1, 0);
        import.insert(&named("kept"), vec![fields(1)]).unwrap();
        import.finish().unwrap();
        for rows in [0, 0, 2] {
            w.watched.insert("t", rows);
            let (report, asked) = w.sync().await;
            assert_eq!((explained(&report), asked), (vec![], 0));
        }

        let before = w.now();
        w.replace("t");
        let after = w.now();
        let (report, asked) = w.sync().await;
        assert_eq!(healed(&report), [("t".into(), "Replaced".into(), 27, 0)]);
        assert_eq!((explained(&report), asked), (vec!["snapshot_import Replace member 0: t".to_owned()], 1));
        let Timestamp(at) = report.explained[0].at;
        assert!((before / 1_000_000 * 1_000_000..=after).contains(&at), "{at}");

        deployment.drop_table(&named("gone")).unwrap();
        let (report, asked) = w.sync().await;
        assert_eq!((explained(&report), asked), (vec!["delete_tables - system: gone".to_owned()], 1));

        deployment.clear_tables(&[named("t")]).unwrap();
        let (report, asked) = w.sync().await;
        assert_eq!((explained(&report), asked), (vec!["clear_tables - member 0: ".to_owned()], 1));
        w.watched.assert_true().await;
        let (report, asked) = w.sync().await;
        assert_eq!((explained(&report), healed(&report), asked), (vec![], vec![], 0));
    }
}

/// The documents keep their ids: the table is what it was, and what was written before and not read is in doubt.
#[tokio::test]
async fn a_table_that_was_touched_and_is_equal_is_explained_too() {
    let w = Explained::new(kept(watched())).await;
    w.watched.insert("t", 3);
    w.watched.insert("other", 3);
    w.sync().await;
    let deployment = &w.watched.world.deployment;
    let documents = deployment.state_at(Timestamp(i64::MAX)).remove(&named("t")).unwrap();
    let mut import = deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    let documents = documents.values().map(|revision| revision.document.clone().unwrap()).collect();
    import.insert(&named("t"), documents).unwrap();
    import.finish().unwrap();
    let (report, asked) = w.sync().await;
    assert_eq!((healed(&report), report.suspects.len()), (vec![], 0));
    assert_eq!((explained(&report), asked), (vec!["snapshot_import Replace member 0: t".to_owned()], 1));
    assert_eq!(w.sync().await.1, 0);
}

/// A report as JSON, with nothing of where and when it ran.
fn comparable(report: &SyncReport) -> Json {
    let mut json = serde_json::to_value(report).unwrap();
    let moving = ["deployment", "digest", "checked_at", "page_bytes", "file_bytes", "explained", "through", "guarded"];
    moving.iter().for_each(|name| drop(json.as_object_mut().unwrap().remove(*name)));
    for list in ["healed", "suspects"] {
        for of in json[list].as_array_mut().unwrap() {
            ["after", "at"].iter().for_each(|name| drop(of.as_object_mut().unwrap().remove(*name)));
        }
    }
    json
}

/// What becomes of an import that fails, and then of a table that is replaced.
async fn story(options: RouterOptions) -> (Vec<SyncReport>, Vec<u64>) {
    let w = Explained::new(options).await;
    w.watched.insert("t", 20);
    let mut told = vec![w.sync().await];
    let mut import = w.watched.world.deployment.begin_import(ImportMode::Replace, &[named("t")]).unwrap();
    import.insert(&named("t"), (0..300).map(fields).collect()).unwrap();
    import.fail();
    told.push(w.sync().await);
    w.watched.pass(61 * MINUTE);
    told.push(w.sync().await);
    w.watched.assert_true().await;
    w.watched.insert("u", 3);
    told.push(w.sync().await);
    w.replace("u");
    told.push(w.sync().await);
    w.watched.assert_true().await;
    told.push(w.sync().await);
    told.into_iter().unzip()
}

#[tokio::test]
async fn a_failed_import_is_healed_without_an_explanation_and_every_refusal_leaves_a_run_as_it_is() {
    for options in [blind(), watched()] {
        let (with, asked) = story(kept(options.clone())).await;
        let (leftovers, replaced) = (vec![("t".into(), "Leftovers".into(), 300, 0)], 4);
        assert_eq!(with.iter().flat_map(healed).take(1).collect::<Vec<_>>(), leftovers);
        let told: Vec<_> = with.iter().map(explained).collect();
        assert_eq!(told[replaced], ["snapshot_import Replace member 0: u"]);
        assert_eq!(told.concat().len(), 1, "{told:?}");
        let with: Vec<_> = with.iter().map(comparable).collect();
        let fault = |fault: Fault| kept(options.clone()).faults(vec![fault.on(AUDIT_LOG)]);
        let text = |body: &str| Fault { body: body.to_owned(), ..Fault::status(200) };
        for refusing in [
            // A server of one's own, an older one, a key without the permission, and what may pass elsewhere.
            options.clone(),
            options.clone().audit_logs(AuditLogs::Absent),
            fault(Fault::refusal(401, "BadAdminKey")),
            fault(Fault::refusal(403, "Unauthorized")),
            fault(Fault::refusal(429, "TooManyRequests").with_header("retry-after", "600")),
            fault(Fault::status(500)),
            fault(Fault::status(503)),
            fault(Fault::html(200)),
            fault(text("{}")),
            fault(text(r#"{"items":[{"action":"clear_tables"},7],"pagination":{"hasMore":false}}"#)),
        ] {
            let (without, asked_then) = story(refusing).await;
            assert!(without.iter().all(|report| report.explained.is_empty()));
            assert_eq!(asked_then, asked, "it is asked once all the same");
            for (with, without) in with.iter().zip(&without) {
                assert_eq!(comparable(without), *with);
            }
        }
        assert!(asked.iter().all(|asked| *asked <= 1) && asked[replaced] == 1, "{asked:?}");
    }
}

/// Keeps why nothing was explained.
#[derive(Default)]
struct Unexplained(Mutex<Vec<String>>);

impl Monitor for Unexplained {
    fn report(&self, event: Event<'_>) {
        if let Event::NotExplained { error } = event {
            self.0.lock().unwrap().push(error.to_string());
        }
    }
}

#[tokio::test]
async fn a_log_without_end_is_read_for_some_pages_and_a_refusal_is_told_to_the_monitor_alone() {
    let endless = r#"{"items":[{"action":"clear_tables","createTime":1795434695000}],"pagination":{"hasMore":true,"nextCursor":"1"}}"#;
    let endless = Fault { body: endless.to_owned(), ..Fault::status(200) };
    let w = Explained::new(kept(watched()).faults(vec![endless.on(AUDIT_LOG)])).await;
    w.watched.insert("t", 3);
    w.sync().await;
    w.watched.world.deployment.clear_tables(&[named("t")]).unwrap();
    let (report, asked) = w.sync().await;
    assert_eq!((report.explained.len(), asked, report.has_findings()), (5, 5, false));

    let w = Explained::new(watched()).await;
    w.watched.insert("t", 3);
    w.sync().await;
    w.watched.world.deployment.clear_tables(&[named("t")]).unwrap();
    let (client, archive, monitor) =
        (w.watched.world.client(), w.watched.world.archive().await, Arc::new(Unexplained::default()));
    let report = sync(Arc::new(client), &archive, &SyncOptions::default(), Arc::clone(&monitor) as _).await.unwrap();
    assert_eq!((report.healed.len(), report.has_findings()), (1, false));
    let told = monitor.0.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].contains("AuditLogsDisabled"), "{told:?}");
    assert!(!told[0].contains("secret"), "{told:?}");
}

/// A deployment of which only the audit log is asked.
async fn log_of(audit_logs: AuditLogs) -> Watched {
    let w = Watched::new(watched().audit_logs(audit_logs)).await;
    let deployment = &w.world.deployment;
    w.insert("a", 1);
    w.insert("b", 1);
    deployment.drop_table(&named("b")).unwrap();
    deployment.clear_tables(&[named("a")]).unwrap();
    deployment.begin_import(ImportMode::Replace, &[named("a")]).unwrap().cancel();
    deployment.begin_import(ImportMode::RequireEmpty, &[named("c")]).unwrap().fail();
    w.pass(MINUTE);
    let mut import = deployment.begin_import(ImportMode::ReplaceAll, &[named("c")]).unwrap();
    import.insert(&named("c"), vec![fields(1)]).unwrap();
    import.finish().unwrap();
    w
}

#[tokio::test]
async fn the_route_refuses_as_it_was_seen_to_and_lists_what_was_completed() {
    let w = log_of(AuditLogs::Kept).await;
    let server = &w.world.server;
    let refusal = async |query: &[(&str, &str)]| {
        let (status, body) = server.get(AUDIT_LOG, query).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        (status, body["code"].as_str().unwrap().to_owned(), body["message"].as_str().unwrap().to_owned())
    };
    for (query, code, message) in [
        (vec![], "BadQueryArgs", "Failed to deserialize query string: missing field `from`"),
        (
            vec![("from", "x")],
            "BadQueryArgs",
            "Failed to deserialize query string: from: invalid digit found in string",
        ),
        (vec![("from", "0"), ("limit", "0")], "LimitOutOfRange", "The limit for audit logs must be between 1 and 100"),
        (
            vec![("from", "0"), ("limit", "101")],
            "LimitOutOfRange",
            "The limit for audit logs must be between 1 and 100",
        ),
        (vec![("from", "0"), ("cursor", "zz")], "InvalidCursor", "Failed to parse cursor"),
    ] {
        assert_eq!(refusal(&query).await, (400, code.to_owned(), message.to_owned()));
    }
    let all = server.page(AUDIT_LOG, &[("from", "0")]).await;
    let items = all["items"].as_array().unwrap();
    let actions: Vec<_> = items.iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["delete_tables", "clear_tables", "snapshot_import"]);
    let import = &items[2]["metadata"];
    assert_eq!((&import["import_mode"], &import["table_count"]), (&"ReplaceAll".into(), &"1".into()));
    let named = |name: &str| serde_json::json!([{ "component": null, "table_names": [name] }]);
    assert_eq!((&import["table_names"], &import["table_names_deleted"]), (&named("c"), &named("a")));
    assert_eq!(all["pagination"], serde_json::json!({ "hasMore": false }));
    // Page by page, and from a moment on.
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("from", "0"), ("limit", "1")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = server.page(AUDIT_LOG, &query).await;
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["pagination"]["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, *items);
    let from = items[2]["createTime"].to_string();
    assert_eq!(server.page(AUDIT_LOG, &[("from", &from)]).await["items"], serde_json::json!([items[2]]));

    let disabled = log_of(AuditLogs::Disabled).await;
    let (status, body) = disabled.world.server.get(AUDIT_LOG, &[("from", "0")]).await;
    assert!(status == 403 && body.contains("AuditLogsDisabled"), "{status} {body}");
    let absent = log_of(AuditLogs::Absent).await;
    assert_eq!(absent.world.server.get(AUDIT_LOG, &[("from", "0")]).await.0, 404);
}
