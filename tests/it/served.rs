//! An archive that answers as the deployment did: it conforms, it is a source like any other, and what it does not have it
//! refuses.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    ErrorKind, MemoryBudget, NoMonitor, Revision, Selection, TableRef, TableSchema, Timestamp, Value,
    archive::{Archive, Covers, Location, Settings},
    read::{History, State, StateOptions},
    server::{
        ArchivedDeployment, Contents, Deployment, RequestedTables, SeededWriter, SimulatedDeployment, demo_documents,
    },
    sync::{SyncOptions, SyncReport, sync},
};
use object_store::{ObjectStore, memory::InMemory};
use serde_json::Value as Json;

use crate::{
    conformance::{Server, conforms_after},
    support::{
        Held, World, assert_same_state, client, counted::CountedStore, deployment_state, pages, source::same_place,
        unproven,
    },
};

const DAY: i64 = 86_400_000_000_000;

async fn opened(store: &Arc<dyn ObjectStore>, as_of: Option<Timestamp>) -> convex_archiver::Result<ArchivedDeployment> {
    let archive = Archive::open(Arc::clone(store), "memory:///archive").await?;
    ArchivedDeployment::open(archive, as_of, &Selection::default(), MemoryBudget::default()).await
}

/// The archive of a world, as a deployment.
async fn served(world: &World, as_of: Option<Timestamp>) -> Arc<ArchivedDeployment> {
    Arc::new(opened(&world.store, as_of).await.unwrap())
}

/// Archives what is served into `store`, or brings that up to date.
async fn copy(deployment: Arc<dyn Deployment>, store: &Arc<dyn ObjectStore>) -> SyncReport {
    let server = Server::start(deployment, pages(7, 5)).await;
    let archive =
        Archive::open_or_create(Arc::clone(store), "memory:///copy", same_place(), Timestamp(1)).await.unwrap();
    let options = SyncOptions::default().accept_deployment(Some(server.url.clone()));
    sync(Arc::new(client(&server.url)), &archive, &options, Arc::new(NoMonitor)).await.unwrap()
}

async fn held(store: &Arc<dyn ObjectStore>) -> Held {
    Held::read(&Archive::open(Arc::clone(store), "memory:///copy").await.unwrap()).await
}

fn store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// Documents of every kind, in components too, archived in several runs.
async fn busy() -> World {
    let world = World::new(pages(20, 16)).await;
    world.deployment.insert_all(Contents::Generated(200).documents(3).unwrap()).unwrap();
    let mut writer = SeededWriter::new(3);
    for _ in 0..4 {
        for _ in 0..40 {
            writer.write(&world.deployment).unwrap();
        }
        world.sync().await;
    }
    world
}

/// The names of the fields of all tables.
async fn fields(store: &Arc<dyn ObjectStore>) -> BTreeMap<TableRef, BTreeSet<String>> {
    let archive = Archive::open(Arc::clone(store), "memory:///archive").await.unwrap();
    let schemas = archive.all_schemas(&archive.head().await.unwrap()).await.unwrap();
    let names = |schema: &TableSchema| schema.fields.iter().map(|f| f.name.clone()).collect();
    schemas.into_iter().map(|(table, schema)| (table, names(&schema))).collect()
}

async fn demo() -> World {
    let world = World::new(pages(100, 16)).await;
    world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
    world.sync().await;
    for step in 1..=2 {
        world.deployment.change_to(demo_documents(step).unwrap(), "feature").unwrap();
        world.sync().await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_conforms() {
    let empty = World::new(pages(20, 16)).await;
    empty.sync().await;
    for world in [empty, demo().await, busy().await] {
        let deployment = served(&world, None).await;
        assert!(deployment.uncovered().is_empty());
        let after = deployment.changes_after();
        conforms_after(deployment, after).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archiving_a_served_archive_gives_an_equal_archive() {
    for world in [demo().await, busy().await] {
        let copied = store();
        // First as it was when its changes became complete, so that the copy begins there; then as it is now.
        let begin = served(&world, None).await.changes_after();
        let first = copy(served(&world, Some(begin)).await, &copied).await;
        assert_eq!((first.through, first.caught_up), (Some(begin), true));
        let second = copy(served(&world, None).await, &copied).await;
        assert!(second.gaps.is_empty() && second.caught_up);

        // No table has become another one.
        assert_eq!(fields(&copied).await, fields(&world.store).await);
        let (original, copied) = (world.held().await, held(&copied).await);
        assert_eq!(copied.through(), original.through());
        let later = original.deltas.iter().filter(|(_, revision)| revision.ts > begin);
        copied.assert_revisions(later.cloned().collect());
        assert!(copied.deltas.len() > 300);
        copied.assert_true(&world.deployment);
        assert_same_state(&copied.state_at(copied.through()), &original.state_at(original.through()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_of_the_past_is_served_as_it_was() {
    let world = busy().await;
    let now = served(&world, None).await;
    let (begin, through) = (now.changes_after(), now.as_of());
    let revisions = world.deployment.revisions();
    let moments: Vec<_> = revisions.iter().map(|(_, r)| r.ts).filter(|ts| *ts > begin && *ts < through).collect();
    for at in moments.into_iter().step_by(40) {
        let copied = store();
        copy(served(&world, Some(at)).await, &copied).await;
        let copied = held(&copied).await;
        assert_eq!(copied.through(), at);
        assert_same_state(&copied.state_at(at), &deployment_state(&world.deployment, at));
        // Whoever asks the archive as of now for that moment is told the same.
        let mut state = BTreeMap::new();
        for tablet in now.tables(at).await.unwrap() {
            for document in now.documents(&tablet, at, None, usize::MAX).await.unwrap() {
                state
                    .entry((*tablet.table).clone())
                    .or_insert_with(BTreeMap::new)
                    .insert(document.id.clone(), Revision::clone(&document));
            }
        }
        assert_same_state(&state, &deployment_state(&world.deployment, at));
    }
}

/// Status and code of a refusal, `200` of an answer.
async fn answer(server: &Server, path: &str, query: &[(&str, &str)]) -> String {
    let (status, body) = server.get(path, query).await;
    match status {
        200 => "200".to_owned(),
        _ => format!("{status} {}", serde_json::from_str::<Json>(&body).unwrap()["code"].as_str().unwrap()),
    }
}

async fn snapshot(server: &Server, at: i64, more: &[(&str, &str)]) -> String {
    answer(server, "/api/list_snapshot", &[&[("snapshot", &*at.to_string())], more].concat()).await
}

async fn deltas(server: &Server, after: i64, more: &[(&str, &str)]) -> String {
    answer(server, "/api/document_deltas", &[&[("cursor", &*after.to_string())], more].concat()).await
}

const OLD: &str = "400 SnapshotTooOld";
const NEW: &str = "400 SnapshotTooNew";
const LOST: &str = "400 InvalidWindowToReadDocuments";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_before_the_first_snapshot_in_a_gap_or_after_now_is_refused() {
    let clock = Arc::new(AtomicI64::new(1_790_000_000_000_000_000));
    let ticks = Arc::clone(&clock);
    let tick = move || Timestamp(ticks.fetch_add(1_000_000, Ordering::Relaxed));
    let deployment = SimulatedDeployment::with_clock("otter-1", 7, tick);
    let options = pages(10, 3).deltas_window(Duration::from_nanos(14 * DAY as u64));
    let world = World::of(deployment, options).await;
    let table = TableRef::new("", "a").unwrap();
    let insert = |n| {
        let fields = [("n".to_owned(), Value::Int64(n))].into();
        world.deployment.transaction(|tx| tx.insert(&table, fields)).unwrap().0
    };
    insert(1);
    world.sync().await;
    for n in 0..40 {
        clock.fetch_add(DAY, Ordering::Relaxed);
        insert(n);
        if n == 3 {
            world.sync().await;
        }
    }
    world.sync().await;
    let head = world.held().await.head;
    let [gap] = &head.coverage().gaps[..] else { panic!("one gap") };
    let [first, second] = head.coverage().spans(&table)[..] else { panic!("two spans") };
    let (begin, from, to, now) = (first.from.0, gap.from.0, gap.to.0, second.to.0);
    assert!(head.origin() == Some(first.from) && first.to.0 == from && to < second.from.0);

    let server = Server::start(served(&world, None).await, pages(10, 3)).await;
    for (at, expected) in [
        (0, OLD),
        (begin - 1, OLD),
        (begin, "200"),
        (from, "200"),
        (from + 1, OLD),
        (to, OLD),
        (second.from.0 - 1, OLD),
        (second.from.0, "200"),
        (now, "200"),
        (now + 1, NEW),
    ] {
        assert_eq!(snapshot(&server, at, &[]).await, expected, "{at}");
    }
    // The changes from before the gap until now are not all there, even if those of the first page were.
    for (after, expected) in [
        (0, LOST),
        (begin - 1, LOST),
        (begin, LOST),
        (from, LOST),
        (to - 1, LOST),
        (to, "200"),
        (now, "200"),
        (now + 1, "200"),
    ] {
        assert_eq!(deltas(&server, after, &[]).await, expected, "{after}");
    }
    assert_eq!(served(&world, None).await.changes_after().0, to);
    // For whom now was before the gap, they are.
    let past = served(&world, Some(Timestamp(from))).await;
    assert_eq!(past.changes_after().0, begin);
    let server = Server::start(past, pages(10, 3)).await;
    assert_eq!(deltas(&server, begin, &[]).await, "200");
    assert_eq!(
        (snapshot(&server, from, &[]).await.as_str(), snapshot(&server, from + 1, &[]).await.as_str()),
        ("200", NEW)
    );
    for odd in [begin - 1, from + 1, now + 1] {
        let error = opened(&world.store, Some(Timestamp(odd))).await.err().expect("not covered");
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(&begin.to_string()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_whose_changes_are_in_doubt_is_refused_and_the_rest_is_answered_to_who_asks_for_it() {
    let world = World::new(unproven(20, 16)).await;
    world.deployment.insert_all(Contents::Generated(100).documents(3).unwrap()).unwrap();
    world.sync().await;
    let begin = world.held().await.head.origin().unwrap().0;
    let messages = TableRef::new("", "messages").unwrap();
    let fields = [("body".to_owned(), Value::Null)].into();
    world.deployment.transaction(|tx| tx.insert(&messages, fields)).unwrap();
    let now = world.sync().await.through.unwrap().0;

    let deployment = served(&world, None).await;
    let uncovered: Vec<_> = deployment.uncovered().into_iter().map(ToString::to_string).collect();
    assert_eq!(uncovered, ["analytics/events", "analytics/daily/counters"]);
    let (root, part) = ([("component", "")], [("component", "analytics")]);
    let server = Server::start(deployment, pages(20, 16)).await;
    assert_eq!(snapshot(&server, begin, &[]).await, "200");
    assert_eq!(snapshot(&server, begin, &part).await, "200");
    assert_eq!(snapshot(&server, now, &[]).await, OLD);
    assert_eq!(snapshot(&server, now, &part).await, OLD);
    assert_eq!(snapshot(&server, now, &root).await, "200");
    assert_eq!(deltas(&server, begin, &[]).await, LOST);
    assert_eq!(deltas(&server, begin, &root).await, "200");
    assert_eq!(deltas(&server, now, &[]).await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_not_to_be_kept_is_not_there_and_its_changes_cannot_be_followed_over_the_edge() {
    let world = World::new(pages(20, 16)).await;
    let (users, logs) = (TableRef::new("", "users").unwrap(), TableRef::new("", "logs").unwrap());
    let sync_of = async |selection: &str| {
        for table in [&users, &logs] {
            let fields = [("n".to_owned(), Value::Int64(1))].into();
            world.deployment.transaction(|tx| tx.insert(table, fields)).unwrap();
        }
        let options = SyncOptions::default().selection(selection.parse().unwrap()).accept_selection(true);
        world.sync_with(&options).await.unwrap().through.unwrap()
    };
    let begin = sync_of("**").await;
    let left = sync_of("** !logs").await;
    let without = sync_of("** !logs").await;
    let now = sync_of("**").await;
    assert!(matches!(world.held().await.head.coverage().covers(&logs, now), Covers::Covered(_)));

    let deployment = served(&world, None).await;
    let names = async |at| -> Vec<String> {
        let mut names: Vec<_> = deployment.tables(at).await.unwrap().iter().map(|t| t.table.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(begin).await, ["logs", "users"]);
    assert_eq!(names(without).await, ["users"]);
    assert_eq!(names(now).await, ["logs", "users"]);
    let server = Server::start(Arc::clone(&deployment) as Arc<dyn Deployment>, pages(20, 16)).await;
    for at in [begin, left, without, now] {
        assert_eq!(snapshot(&server, at.0, &[]).await, "200", "{at}");
        let of_users = [("tableName", "users")];
        assert_eq!(deltas(&server, at.0, &of_users).await, "200", "{at}");
    }
    assert_eq!(deltas(&server, begin.0, &[]).await, LOST);
    assert_eq!(deltas(&server, without.0, &[]).await, LOST);
    // While it was not kept, nobody who began then misses it.
    let past = Server::start(served(&world, Some(without)).await, pages(20, 16)).await;
    assert_eq!(deltas(&past, left.0, &[]).await, "200");
    assert_eq!(deltas(&past, begin.0, &[]).await, LOST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_where_the_last_one_ended_without_reading_what_was_told() {
    let world = World::new(pages(1_000, 1_000)).await;
    let tables: Vec<_> = (0..40).map(|n| TableRef::new("", format!("t{n}")).unwrap()).collect();
    let text = |n: usize| Value::String(format!("{n:04}").repeat(40));
    let insert = |table: &TableRef, count: usize| {
        let write = |t: &mut convex_archiver::server::OpenTransaction<'_>| {
            (0..count).try_for_each(|n| t.insert(table, [("body".to_owned(), text(n))].into()).map(drop))
        };
        world.deployment.transaction(write).unwrap();
    };
    (0..20).for_each(|_| insert(&tables[0], 500));
    let begin = world.sync().await.through.unwrap();
    for _ in 0..3 {
        for _ in 0..10 {
            tables.iter().for_each(|table| insert(table, 3));
        }
        world.sync().await;
    }

    let counted = CountedStore::new(Arc::clone(&world.store));
    let store = Arc::clone(&counted) as Arc<dyn ObjectStore>;
    let deployment = opened(&store, None).await.unwrap();
    let now = deployment.as_of();
    let tablets = deployment.tables(now).await.unwrap();
    let tablet = tablets.iter().find(|tablet| *tablet.table == tables[0]).unwrap();
    counted.take();
    let whole = deployment.documents(tablet, now, None, usize::MAX).await.unwrap();
    let (at_once, _) = counted.take();
    let (mut walked, mut after): (Vec<Arc<Revision>>, Option<String>) = (Vec::new(), None);
    loop {
        let page = deployment.documents(tablet, now, after.as_deref(), 100).await.unwrap();
        let ended = page.len() < 100;
        after = page.last().map(|document| document.id.clone());
        walked.extend(page);
        if ended {
            break;
        }
    }
    assert!(walked.len() > 10_000 && walked == whole);
    assert_eq!(counted.take().0, at_once, "a hundred pages read what one reads");

    // 1,200 transactions of forty tables, in 120 files.
    let whole = deployment.log(begin, now, usize::MAX).await.unwrap();
    let (at_once, _) = counted.take();
    let (mut told, mut cursor, mut asked) = (0, begin, 0);
    loop {
        let page = deployment.log(cursor, now, 32).await.unwrap();
        told += page.rows.len();
        asked += 1;
        let Some(last) = page.rows.last().filter(|_| page.more) else { break };
        cursor = last.ts;
    }
    assert_eq!((told, whole.rows.len()), (3_600, 3_600));
    assert!(asked > 100 && counted.take().0 <= at_once);
}

/// The archive that is kept (`tests/data/archives`) has corrections: documents left of which no delta says so.
#[tokio::test]
async fn changes_across_a_cut_are_refused_and_a_history_says_what_left_there() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/archives/0/archive");
    let location = Location::open(kept, &Settings::default()).unwrap();
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await.unwrap();
    let head = archive.head().await.unwrap();
    let users = TableRef::new("waitlist", "users").unwrap();
    let s = head.coverage().bases.iter().find(|base| base.cuts(&users)).unwrap().ts;
    let [before, after] = [Timestamp(s.0 - 1), Timestamp(s.0 + 1)];

    let mut states = Vec::new();
    for at in [before, s] {
        let mut state = State::open(&archive, &head, &users, at, &StateOptions::default()).await.unwrap();
        let mut documents = BTreeMap::new();
        while let Some(batch) = state.next().await.unwrap() {
            documents.extend((0..batch.len()).map(|row| (batch.id(row).to_owned(), batch.ts(row))));
        }
        states.push(documents);
    }
    let left: Vec<_> = states[0].iter().filter(|(id, _)| !states[1].contains_key(*id)).collect();
    assert_eq!(left.len(), 1);
    for (id, ts) in &states[0] {
        let history = History::open(&archive, &head, &users, id, MemoryBudget::default()).await.unwrap();
        let gone = history.gone_between(*ts, None).filter(|at| *at == s);
        assert_eq!(gone.is_some(), left.contains(&(id, ts)), "{id}");
    }

    let deployment =
        ArchivedDeployment::open(archive, None, &Selection::default(), MemoryBudget::default()).await.unwrap();
    let everything = RequestedTables::everything();
    deployment.covers_log(&everything, s, after).unwrap();
    let refused = deployment.covers_log(&everything, before, s).unwrap_err();
    assert!(refused.to_string().starts_with("changes of table waitlist/users up to "), "{refused}");
}
