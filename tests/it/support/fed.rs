//! A real deployment's recorded past, fed into a simulated one stage by stage: the same `_ts`s, ids, values and tablets.
//!
//! What it is built of: the walks of list_snapshot say which documents were true at the end of each stage, and their cursors
//! name the tablets; the deltas give every revision after stage 1. A revision that is in no walk of its stage, whose
//! document was neither there before nor deleted, is one of a hidden table: of the one that a later walk shows it in, or of
//! one that an import left behind.
//!
//! Where it differs from the recorded deployment, as far as the recording can tell:
//! - Rows of system tables are fewer: pages of deltas are cut elsewhere, and a sync takes fewer `stale` pages. Their values
//!   are the same, in the same order.
//! - When a table was dropped, replaced or cleared is not recorded to the nanosecond: it happens right after the last row of
//!   the new table, or right before the stage's walk.
//! - The history before stage 1 is not recorded; of each document there is the newest revision.
//! - The ids of three tablets are not recorded, only where they stand among the others: the first of each walk, and those of
//!   imports that came to nothing ([`LEFT_BEHIND`]).
//! - In stage 5 of `datasync` a first walk of Data Sync had writes between its pages; here they come before it. Stages 11
//!   and 12, errors and another retention, are not fed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use convex_archiver::{
    Revision, TableRef, Timestamp,
    server::{FedChange, RouterOptions, SimulatedDeployment, Tablet},
};
use serde_json::{Value as Json, json};

use super::{States, World, pages};
use crate::conformance::row;

/// Where a first walk of Data Sync met the tablets that imports had left behind: recording, stage, table, first byte.
const LEFT_BEHIND: [(&str, u64, &str, u8); 2] = [("datasync", 8, "late", 0x7e), ("datasync", 9, "users", 0xf0)];

/// The last stage of each recording that tells a state.
const STAGES: [(&str, u64); 2] = [("datasync", 10), ("holes", 4)];

type TabletId = [u8; 16];

/// What a recording says of one stage.
pub(crate) struct Stage {
    pub(crate) number: u64,
    /// The moment of its walk.
    pub(crate) at: Timestamp,
    /// The rows of its walk, as they came.
    pub(crate) walk: Vec<Json>,
    /// The rows of its deltas, as they came, and the cursors from which and up to which.
    pub(crate) deltas: Vec<Json>,
    pub(crate) after: Timestamp,
    pub(crate) through: Timestamp,
    /// The tables in the order of their tablets.
    pub(crate) tablets: Vec<(TabletId, TableRef)>,
    /// The documents of the walk.
    pub(crate) state: States,
}

/// A deployment that becomes what the recorded one was.
pub(crate) struct Fed {
    pub(crate) world: World,
    pub(crate) exchanges: Arc<Vec<Json>>,
    name: String,
    stages: Vec<Stage>,
    /// The number of stages that it has been through.
    reached: usize,
    clock: Arc<AtomicI64>,
    created: BTreeSet<TabletId>,
}

/// The exchanges of a recording.
pub(crate) fn exchanges(name: &str) -> Vec<Json> {
    let path = format!("{}/tests/data/recordings/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The body of an exchange.
pub(crate) fn body(exchange: &Json) -> Json {
    serde_json::from_str(exchange["body"].as_str().unwrap()).unwrap()
}

/// Answered requests of a stage, in order.
pub(crate) fn asked<'a>(
    exchanges: &'a [Json],
    stage: u64,
    method: &'static str,
    path: &'static str,
) -> impl Iterator<Item = &'a Json> {
    let of = move |x: &&Json| x["stage"] == stage && x["path"] == path && x["method"] == method && x["status"] == 200;
    exchanges.iter().filter(of)
}

/// The page limits of `datasync`; windows never close.
pub(crate) fn options() -> RouterOptions {
    pages(7, 5).data_sync_page(6).data_sync_rows(14).data_sync_freshness(Duration::from_secs(3))
}

impl Fed {
    /// The deployment of this recording as it was in stage 1, behind a server with these options.
    pub(crate) async fn start(name: &str, options: RouterOptions) -> Self {
        let exchanges = Arc::new(exchanges(name));
        let last = STAGES.iter().find(|(known, _)| *known == name).unwrap().1;
        let mut stages: Vec<Stage> = Vec::new();
        for number in 1..=last {
            let stage = Stage::read(&exchanges, number, stages.last());
            stages.push(stage);
        }
        let clock = Arc::new(AtomicI64::new(0));
        let read = Arc::clone(&clock);
        let deployment = SimulatedDeployment::with_clock("otter-1", 1, move || Timestamp(read.load(Ordering::SeqCst)));
        let world = World::of(deployment, options).await;
        let (name, created) = (name.to_owned(), BTreeSet::new());
        let mut fed = Self { world, exchanges, name, stages, reached: 0, clock, created };
        fed.advance();
        fed
    }

    /// Time passes, in which nothing happens; nanoseconds.
    pub(crate) fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::SeqCst);
    }

    /// The stage that it is in.
    pub(crate) fn stage(&self) -> &Stage {
        &self.stages[self.reached - 1]
    }

    /// Goes on to the next stage, if there is one.
    pub(crate) fn advance(&mut self) -> bool {
        if self.reached == self.stages.len() {
            return false;
        }
        let events = if self.reached == 0 { self.first() } else { self.next() };
        for (ts, changes) in events {
            self.clock.fetch_max(ts, Ordering::SeqCst);
            self.world.deployment.feed(Timestamp(ts), changes).unwrap();
        }
        let stage = &self.stages[self.reached];
        self.clock.fetch_max(stage.at.0.max(stage.through.0), Ordering::SeqCst);
        self.reached += 1;
        true
    }

    /// The documents of the first walk, each at its own moment.
    fn first(&mut self) -> BTreeMap<i64, Vec<FedChange>> {
        let stage = &self.stages[0];
        let mut events: BTreeMap<i64, Vec<FedChange>> = BTreeMap::new();
        let rows: Vec<_> = stage.walk.iter().map(row).collect();
        let begin = rows.iter().map(|(_, revision)| revision.ts.0).min().unwrap() - 1;
        for (tablet, table) in &stage.tablets {
            self.created.insert(*tablet);
            events.entry(begin).or_default().extend([create(*tablet, table), FedChange::Activate(*tablet)]);
        }
        for (table, revision) in rows {
            let tablet = stage.tablet(&table).unwrap();
            events.entry(revision.ts.0).or_default().push(FedChange::Write(tablet, revision));
        }
        events
    }

    /// What happened between two walks.
    fn next(&mut self) -> BTreeMap<i64, Vec<FedChange>> {
        let (before, stage) = (&self.stages[self.reached - 1], &self.stages[self.reached]);
        let mut events: BTreeMap<i64, Vec<FedChange>> = BTreeMap::new();
        let mut last_rows: BTreeMap<TabletId, (TableRef, i64)> = BTreeMap::new();
        let deltas: Vec<_> = stage.deltas.iter().map(row).collect();
        let deleted: BTreeSet<_> =
            deltas.iter().filter(|(_, r)| r.document.is_none()).map(|(table, r)| (table, &r.id)).collect();
        for (table, revision) in &deltas {
            let has = |stage: &Stage| stage.state.get(table).is_some_and(|of| of.contains_key(&revision.id));
            let tablet = if has(before) || has(stage) || deleted.contains(&(table, &revision.id)) {
                stage.tablet(table).unwrap()
            } else {
                let later = self.stages[self.reached + 1..].iter().find(|later| has(later));
                later.map_or_else(|| self.left_behind(stage.number, table), |later| later.tablet(table).unwrap())
            };
            let ts = revision.ts.0;
            let event = events.entry(ts).or_default();
            if self.created.insert(tablet) {
                event.push(create(tablet, table));
                if before.tablet(table).is_none() {
                    event.push(FedChange::Activate(tablet));
                }
            }
            event.push(FedChange::Write(tablet, revision.clone()));
            last_rows.insert(tablet, (table.clone(), ts));
        }
        let (dropped, flipped) = (stage.at.0 - 20, stage.at.0 - 10);
        for (tablet, table) in &before.tablets {
            if stage.tablet(table).is_none() {
                events.entry(dropped).or_default().push(FedChange::Drop(*tablet));
            }
        }
        for (tablet, table) in &stage.tablets {
            let filled = last_rows.remove(tablet).map(|(_, ts)| ts);
            match before.tablet(table) {
                Some(old) if old == *tablet => continue,
                None if filled.is_some() => continue,
                _ => {}
            }
            let event = events.entry(filled.map_or(flipped, |ts| ts + 1)).or_default();
            if self.created.insert(*tablet) {
                event.push(create(*tablet, table));
            }
            event.push(FedChange::Activate(*tablet));
        }
        // What is left has rows and is not active: it is never seen, or not yet.
        for (tablet, (_, ts)) in last_rows {
            if !self.stages.iter().any(|stage| stage.tablets.iter().any(|(known, _)| *known == tablet)) {
                events.entry(ts + 1).or_default().push(FedChange::Leave(tablet));
            }
        }
        events
    }

    fn left_behind(&self, stage: u64, table: &TableRef) -> TabletId {
        let known = LEFT_BEHIND.iter().find(|(name, of, named, _)| {
            *name == self.name && *of == stage && table.component().is_empty() && *named == table.name()
        });
        [known.unwrap_or_else(|| panic!("nobody knows where {table} of stage {stage} is")).3; 16]
    }
}

fn create(id: TabletId, table: &TableRef) -> FedChange {
    FedChange::Create(Tablet { id, table: Arc::new(table.clone()) })
}

impl Stage {
    fn read(exchanges: &[Json], number: u64, before: Option<&Self>) -> Self {
        let walks: Vec<_> = asked(exchanges, number, "GET", "/api/list_snapshot").collect();
        let encoded = |x: &&&Json| x["query"]["format"] == "convex_encoded_json";
        let first = walks.iter().filter(encoded).find(|x| x["query"].get("cursor").is_none()).unwrap();
        let at = body(first)["snapshot"].as_i64().unwrap();
        // Pages with the tablet that their request named.
        let mut pages: Vec<(Option<TabletId>, Vec<Json>)> = Vec::new();
        let mut page = *first;
        loop {
            let asked_for = page["query"]["cursor"].as_str().map(|cursor| {
                let cursor: Json = serde_json::from_str(cursor).unwrap();
                URL_SAFE_NO_PAD.decode(cursor["tablet"].as_str().unwrap()).unwrap().try_into().unwrap()
            });
            let answer = body(page);
            pages.push((asked_for, answer["values"].as_array().unwrap().clone()));
            let Some(cursor) = answer["cursor"].as_str() else { break };
            let query = json!({ "format": "convex_encoded_json", "snapshot": at.to_string(), "cursor": cursor });
            page = walks.iter().copied().find(|x| x["query"] == query).unwrap();
        }
        let walk: Vec<_> = pages.iter().flat_map(|(_, rows)| rows.clone()).collect();
        let mut state = States::new();
        for (table, revision) in walk.iter().map(row) {
            state.entry(table).or_default().insert(revision.id.clone(), revision);
        }
        let tablets = tablets(exchanges, number, before, &pages, &state);
        let (deltas, after, through) = deltas(exchanges, number);
        Self { number, at: Timestamp(at), walk, deltas, after, through, tablets, state }
    }

    pub(crate) fn tablet(&self, table: &TableRef) -> Option<TabletId> {
        self.tablets.iter().find(|(_, of)| of == table).map(|(id, _)| *id)
    }
}

/// The tablets of a walk, in order, with the names of those that are empty, too.
fn tablets(
    exchanges: &[Json],
    number: u64,
    before: Option<&Stage>,
    pages: &[(Option<TabletId>, Vec<Json>)],
    state: &States,
) -> Vec<(TabletId, TableRef)> {
    let mut found: Vec<(TabletId, Option<TableRef>)> = Vec::new();
    for (id, rows) in pages {
        let named = rows.first().map(|first| row(first).0);
        let id = id.unwrap_or_else(|| {
            // The first is not named by a cursor: the one of before, if it has a document of before.
            let table = named.as_ref().unwrap();
            let same = |before: &&Stage| {
                before.state.get(table).is_some_and(|of| of.keys().any(|id| state[table].contains_key(id)))
            };
            before.filter(same).and_then(|before| before.tablet(table)).unwrap_or([number as u8; 16])
        });
        let known = before.and_then(|before| before.tablets.iter().find(|(known, _)| *known == id));
        let named = named.or_else(|| known.map(|(_, table)| table.clone()));
        match found.last_mut().filter(|(last, _)| *last == id) {
            Some((_, name)) => *name = name.take().or(named),
            None => found.push((id, named)),
        }
    }
    // What the list of tables has and nobody named is the one that is left.
    let listed =
        (1..=number).rev().find_map(|stage| asked(exchanges, stage, "GET", "/api/get_table_column_names").next());
    let mut left = listed_tables(&body(listed.unwrap()));
    left.retain(|table| !found.iter().any(|(_, named)| named.as_ref() == Some(table)));
    let mut left = left.into_iter();
    found.into_iter().map(|(id, named)| (id, named.or_else(|| left.next()).unwrap())).collect()
}

/// The tables of an answer of get_table_column_names.
pub(crate) fn listed_tables(answer: &Json) -> BTreeSet<TableRef> {
    let components = answer["byComponent"].as_object().unwrap().iter();
    let tables = components.flat_map(|(component, tables)| {
        let names = tables.as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap());
        names.map(move |name| TableRef::new(component.as_str(), name).unwrap())
    });
    tables.collect()
}

/// The rows of a stage's deltas, and the cursors before and after them. Those of a stage without a poll are none.
fn deltas(exchanges: &[Json], number: u64) -> (Vec<Json>, Timestamp, Timestamp) {
    let polls: Vec<_> = asked(exchanges, number, "GET", "/api/document_deltas")
        .filter(|x| {
            x["query"].get("format").is_some_and(|f| f == "convex_encoded_json")
                && x["query"].get("table_name").is_none()
        })
        .collect();
    let after = polls[0]["query"]["cursor"].as_str().unwrap().to_owned();
    let (mut rows, mut cursor) = (Vec::new(), after.clone());
    loop {
        let page = body(polls.iter().find(|x| x["query"]["cursor"] == cursor).unwrap());
        rows.extend(page["values"].as_array().unwrap().clone());
        cursor = page["cursor"].to_string();
        if page["hasMore"] == false {
            return (rows, Timestamp(after.parse().unwrap()), Timestamp(cursor.parse().unwrap()));
        }
    }
}

/// The documents of a stage as its `.state` file has them, which was asked for by itself.
pub(crate) fn true_state(name: &str, at: Timestamp) -> Option<States> {
    let mut state = States::new();
    for mut line in exchanges(&format!("{name}.state")).into_iter().filter(|line| line["at"] == at.0) {
        let table = line["table"].as_str().unwrap().to_owned();
        let (component, name) = table.rsplit_once('/').unwrap_or(("", &table));
        line["doc"]["_component"] = json!(component);
        line["doc"]["_table"] = json!(name);
        let (table, revision): (TableRef, Revision) = row(&line["doc"]);
        state.entry(table).or_default().insert(revision.id.clone(), revision);
    }
    (!state.is_empty()).then_some(state)
}
