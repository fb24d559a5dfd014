//! The simulated deployment against recordings of a real one: fed with its log, it answers as that did.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::{
    conformance::values,
    data_sync::{ACTIVE, CONVERT, Follower, SYNC},
    support::{
        assert_same_state, deployment_state,
        fed::{Fed, asked, body, listed_tables, options, true_state},
    },
};

/// The `_ts` of the one write of stage 10 of `datasync`.
const ONE_WRITE: i64 = 1_795_910_584_501_230_300;

const FORMAT: &str = "convex_encoded_json";

/// Everything but Data Sync, in the stage that it is in.
async fn assert_answers_as_recorded(fed: &Fed, name: &str) {
    let (stage, server) = (fed.stage(), &fed.world.server);
    let at = stage.at.0.to_string();
    // The very rows in the very order: tablets are walked by id.
    assert_eq!(values(&server.walk(FORMAT, &[("snapshot", &at)]).await), stage.walk, "stage {}", stage.number);
    let held = deployment_state(&fed.world.deployment, stage.at);
    assert_same_state(&held, &stage.state);
    if let Some(state) = true_state(name, stage.at) {
        assert_same_state(&held, &state);
    }
    let mut told = values(&server.deltas(FORMAT, stage.after.0, &[]).await);
    told.retain(|row| row["_ts"].as_i64().unwrap() <= stage.through.0);
    assert_eq!(told, stage.deltas, "stage {}", stage.number);
    if let Some(recorded) = asked(&fed.exchanges, stage.number, "GET", "/api/get_table_column_names").next() {
        let ours = server.page("/api/get_table_column_names", &[]).await;
        assert_eq!(listed_tables(&ours), listed_tables(&body(recorded)));
    }
}

#[tokio::test]
async fn holes_is_answered_row_for_row_in_every_stage() {
    let mut fed = Fed::start("holes", options()).await;
    let mut stages = 1;
    assert_answers_as_recorded(&fed, "holes").await;
    while fed.advance() {
        assert_answers_as_recorded(&fed, "holes").await;
        stages += 1;
    }
    assert_eq!(stages, 4);
}

#[tokio::test]
async fn datasync_is_answered_row_for_row_in_every_stage() {
    let mut fed = Fed::start("datasync", options()).await;
    let mut earlier = Vec::new();
    loop {
        assert_answers_as_recorded(&fed, "datasync").await;
        earlier.push((fed.stage().at.0, fed.stage().walk.clone()));
        // A snapshot before a flip or a drop is the same afterwards.
        for (at, walk) in &earlier {
            let again = fed.world.server.walk(FORMAT, &[("snapshot", &at.to_string())]).await;
            assert_eq!(values(&again), *walk);
        }
        if !fed.advance() {
            break;
        }
    }
    assert_eq!(earlier.len(), 10);
    // By POST, ids alone: deltas from the first cursor, with the tables as they are in the last stage; and a walk.
    for path in ["/api/document_deltas", "/api/list_snapshot"] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        let exchanges: Vec<_> = asked(&fed.exchanges, 10, "POST", path).collect();
        let mut request = exchanges[0]["requestBody"].clone();
        for exchange in &exchanges {
            let same = |name: &str| exchange["requestBody"][name] == request[name];
            if same("selection") && same("snapshot") {
                theirs.extend(body(exchange)["values"].as_array().unwrap().clone());
                // The walk was recorded twice.
                if body(exchange)["hasMore"] == false {
                    break;
                }
            }
        }
        loop {
            let (status, text) = fed.world.server.post(path, &request).await;
            assert_eq!(status, 200, "{text}");
            let page: Json = serde_json::from_str(&text).unwrap();
            ours.extend(page["values"].as_array().unwrap().clone());
            if page["hasMore"] == false {
                break;
            }
            request["cursor"] = page["cursor"].clone();
        }
        assert!(theirs.len() > 20 && ours == theirs, "{path}: {} of {}", ours.len(), theirs.len());
    }
}

/// The syncs of a recording by id, in the order in which they began, with their pages by stage.
fn syncs(exchanges: &[Json]) -> Vec<(String, BTreeMap<u64, Vec<Json>>)> {
    let mut syncs: Vec<(String, BTreeMap<u64, Vec<Json>>)> = Vec::new();
    for stage in 1..=10 {
        for exchange in asked(exchanges, stage, "POST", SYNC) {
            let page = body(exchange);
            let id = page["syncId"].as_str().unwrap().to_owned();
            let at = syncs.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                syncs.push((id, BTreeMap::new()));
                syncs.len() - 1
            });
            syncs[at].1.entry(stage).or_default().push(json!({ "page": page, "asked": exchange["requestBody"] }));
        }
    }
    syncs
}

/// What list_active_syncs told last in a stage of a sync: how many tables it has.
fn total_tables(exchanges: &[Json], stage: u64, id: &str) -> Option<Json> {
    let listed = asked(exchanges, stage, "GET", ACTIVE).filter_map(|exchange| {
        let listed = body(exchange);
        let syncs = listed["syncs"].as_array().unwrap();
        let found = syncs.iter().find(|sync| sync["syncId"] == id && sync["status"]["type"] == "upToDate")?;
        Some(found["status"]["totalTables"].clone())
    });
    listed.last()
}

/// Follows the recorded sync's pages of a stage, and our server, to the same truncates and the same documents.
async fn assert_syncs_alike(fed: &Fed, ours: &mut Follower, theirs: &mut Follower, id: &str, pages: &[Json]) {
    let stage = fed.stage().number;
    for page in pages {
        theirs.take(&page["page"]);
    }
    let mut recorded = std::mem::take(&mut theirs.truncates);
    recorded.sort();
    let (_, truncates) = ours.follow(&fed.world.server).await;
    assert_eq!(truncates, recorded, "stage {stage}");
    assert_eq!(ours.held, theirs.held, "stage {stage}");
    if let Some(total) = total_tables(&fed.exchanges, stage, id) {
        let listed = fed.world.server.page(ACTIVE, &[]).await;
        let found = listed["syncs"].as_array().unwrap().iter().find(|sync| sync["syncId"] == json!(ours.sync_id));
        assert_eq!(found.unwrap()["status"]["totalTables"], total, "stage {stage}");
    }
}

#[tokio::test]
async fn syncs_see_the_truncates_and_the_phantoms_that_were_recorded() {
    let mut fed = Fed::start("datasync", options()).await;
    let recorded = syncs(&fed.exchanges);
    // Syncs of everything: those of the stages before 10, continued.
    let whole: Vec<_> = recorded.iter().filter(|(_, stages)| *stages.keys().next().unwrap() < 10).collect();
    let mut followers: Vec<_> = whole.iter().map(|_| (Follower::default(), Follower::default())).collect();
    let (mut compared, mut phantoms) = (0, BTreeSet::new());
    loop {
        let stage = fed.stage().number;
        for ((id, stages), (ours, theirs)) in whole.iter().zip(&mut followers) {
            let Some(pages) = stages.get(&stage) else { continue };
            assert_syncs_alike(&fed, ours, theirs, id, pages).await;
            compared += 1;
            for (table, documents) in &ours.held {
                let live = fed.stage().state.get(table);
                if documents.keys().any(|id| live.is_none_or(|live| !live.contains_key(id))) {
                    phantoms.insert((stage, table.to_string()));
                }
            }
        }
        if !fed.advance() {
            break;
        }
    }
    assert_eq!((whole.len(), compared), (4, 14));
    let shown: BTreeSet<_> = [(6, "late"), (8, "late"), (9, "late"), (9, "users"), (10, "late"), (10, "users")].into();
    for (stage, table) in shown {
        assert!(phantoms.contains(&(stage, table.to_owned())), "{stage} {table}: {phantoms:?}");
    }
}

#[tokio::test]
async fn selections_and_converted_cursors_bring_what_was_recorded() {
    let mut fed = Fed::start("datasync", options()).await;
    while fed.stage().number < 9 {
        fed.advance();
    }
    let recorded = syncs(&fed.exchanges);
    let mut converted: BTreeMap<String, Json> = BTreeMap::new();
    for exchange in asked(&fed.exchanges, 10, "POST", CONVERT) {
        converted.insert(body(exchange)["cursor"].as_str().unwrap().to_owned(), exchange["requestBody"].clone());
    }
    let (mut selections, mut conversions) = (0, 0);
    for (_, stages) in recorded.iter().filter(|(_, stages)| *stages.keys().next().unwrap() == 10) {
        let pages = &stages[&10];
        let (mut ours, mut theirs) = (Follower::default(), Follower::default());
        if let Some(made_of) = pages[0]["asked"]["cursor"].as_str().and_then(|cursor| converted.get(cursor)) {
            let (status, text) = fed.world.server.post(CONVERT, made_of).await;
            assert_eq!(status, 200, "{text}");
            let made: Json = serde_json::from_str(&text).unwrap();
            ours.cursor = Some(made["cursor"].as_str().unwrap().to_owned());
            conversions += 1;
        }
        // What is selected changes in the midst of a sync.
        let mut at = 0;
        while at < pages.len() {
            let selection = pages[at]["asked"].get("selection");
            let same = pages[at..].iter().take_while(|page| page["asked"].get("selection") == selection).count();
            let reached = pages[at + same - 1]["page"]["status"]["snapshotTs"].as_i64().unwrap();
            // The one write of stage 10 came between the first of them.
            if fed.stage().number == 9 && reached >= ONE_WRITE {
                fed.advance();
            }
            ours.selection = selection.cloned();
            for page in &pages[at..at + same] {
                theirs.take(&page["page"]);
            }
            let mut truncates = std::mem::take(&mut theirs.truncates);
            truncates.sort();
            assert_eq!(ours.follow(&fed.world.server).await.1, truncates, "{selection:?}");
            assert!(ours.held == theirs.held, "{selection:?}");
            (at, selections) = (at + same, selections + 1);
        }
    }
    assert!(conversions == 4 && selections == 11, "{conversions} {selections}");
}

/// Refusals with the code and, where it does not tell a place in the text, the message of the real one.
#[tokio::test]
async fn refusals_are_those_that_were_recorded() {
    let mut fed = Fed::start("datasync", options().deltas_window(std::time::Duration::from_secs(14 * 86_400))).await;
    while fed.advance() {}
    let server = &fed.world.server;
    let mut compared = 0;
    for x in fed.exchanges.iter().filter(|x| x["stage"] == 11 && x["status"] != 200) {
        let path = x["path"].as_str().unwrap();
        let of_sync = [SYNC, ACTIVE, CONVERT].contains(&path);
        // What the recording's own user directory says is not Convex's; and who asks is tried elsewhere.
        if !of_sync || x.get("auth").is_some() || x.get("client").is_some() || x["status"] == 403 {
            continue;
        }
        let request = if x["method"] == "GET" {
            server.http().get(format!("{}{path}", server.url)).query(&x["query"])
        } else {
            let text = match x.get("requestText").and_then(Json::as_str) {
                Some(text) => text.to_owned(),
                None => x["requestBody"].to_string(),
            };
            let content_type = match (x.get("requestText"), x.get("requestType").and_then(Json::as_str)) {
                (_, Some(content_type)) => content_type,
                (None, None) => "application/json",
                (Some(_), None) => "",
            };
            let request = server.http().post(format!("{}{path}", server.url)).body(text);
            if content_type.is_empty() { request } else { request.header("Content-Type", content_type) }
        };
        let request = request.header("Authorization", format!("Convex {}", crate::support::KEY));
        let (status, text) = server.send(request).await;
        assert_eq!(u64::from(status), x["status"].as_u64().unwrap(), "{x}");
        // The place in the text is left out: the recorded request was written with other spaces.
        let told = |text: &str| text.split(" at line ").next().unwrap().trim_end_matches("\"}").to_owned();
        assert_eq!(told(&text), told(x["body"].as_str().unwrap()), "{x}");
        compared += 1;
    }
    assert!(compared >= 25, "{compared}");
}
