//! What no version needs goes, what somebody may need stays, and nothing that is shown changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    NoMonitor, Timestamp, Value,
    archive::Archive,
    compact::{CompactOptions, compact},
    sync::SyncOptions,
    vacuum::{VacuumOptions, vacuum},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::support::{
    World,
    clock::{BEGINNING, DAY, MINUTE, named},
    pages,
};

async fn world() -> (World, Arc<AtomicI64>) {
    World::clocked(BEGINNING, 7, pages(100, 100)).await
}

async fn runs(world: &World, clock: &AtomicI64, count: i64, every: i64, options: &SyncOptions) {
    for run in 0..count {
        clock.fetch_add(every, Ordering::SeqCst);
        for table in ["t", "u"] {
            let fields = BTreeMap::from([("n".to_owned(), Value::Int64(run))]);
            world.deployment.transaction(|tx| tx.insert(&named(table), fields)).unwrap();
        }
        assert!(world.sync_with(options).await.unwrap().caught_up);
    }
}

async fn objects(world: &World) -> BTreeSet<String> {
    world.store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap()
}

async fn live(archive: &Archive) -> BTreeSet<String> {
    let head = archive.head().await.unwrap();
    let (mut files, mut paths) = (archive.live_files(&head).await.unwrap(), BTreeSet::new());
    while let Some(file) = files.next().await.unwrap() {
        paths.insert(file.path);
    }
    paths
}

fn count(objects: &BTreeSet<String>, what: &str) -> usize {
    objects.iter().filter(|path| path.contains(what)).count()
}

/// The objects of an archive of many runs stay few: each run of a year would leave some behind otherwise.
#[tokio::test]
async fn syncs_delete_what_their_older_versions_needed_and_the_archive_stays_whole() {
    let (world, clock) = world().await;
    let options = SyncOptions::default();
    // Four hours between two runs: a week is 42 of them.
    runs(&world, &clock, 460, DAY / 6, &options).await;
    let all = objects(&world).await;
    let head = world.archive().await.head().await.unwrap();
    let (files, parts, checkpoints) = (count(&all, ".parquet"), count(&all, "parts/"), count(&all, ".checkpoint."));
    assert_eq!(count(&all, "log/") - checkpoints - count(&all, ".schemas."), head.version() as usize);
    // Of each of the steps of 64 commits that are neither of the last week nor of the two newest checkpoints nothing is left.
    assert!(files < 3 * 64 * 2 && parts < 4 * 64 * 2 && checkpoints < 5, "{files} {parts} {checkpoints}");
    assert!(live(&world.archive().await).await.is_subset(&all));
    world.assert_equal().await;
    // Without manifest.json, too.
    world.store.delete(&Path::from("manifest.json")).await.unwrap();
    world.assert_equal().await;
    // How far it got is advisory.
    world.store.delete(&Path::from("runs/vacuumed.json")).await.unwrap();
    runs(&world, &clock, 70, DAY / 6, &options).await;
    world.assert_equal().await;
}

#[tokio::test]
async fn files_of_dead_runs_and_replaced_ones_go_once_they_are_old_and_strays_stay() {
    let (world, clock) = world().await;
    let options = SyncOptions::default().compact(None).vacuum_after(None);
    runs(&world, &clock, 30, MINUTE, &options).await;
    let archive = world.archive().await;
    let head = archive.head().await.unwrap();
    let before = live(&archive).await;
    let (all_due, at) = (CompactOptions::default(), Timestamp(clock.load(Ordering::SeqCst)));
    let (head, done) = compact(&archive, &head, &all_due, at, Arc::new(NoMonitor)).await.unwrap();
    let head = archive.write_manifest(&head).await.unwrap();
    let replaced: BTreeSet<_> = before.difference(&live(&archive).await).cloned().collect();
    assert_eq!(replaced.len() as u64, done.inputs);
    let dead = replaced.iter().next().unwrap().replace("-00000-", "-00099-");
    for path in [dead.as_str(), "tables/t/notes.txt", "tables/t/_delta_log/0.json"] {
        world.store.put(&Path::from(path), "x".into()).await.unwrap();
    }
    let all = objects(&world).await;
    // The store's clock is this machine's, and the log's that of the deployment.
    let now = Timestamp(Timestamp::now().0.max(clock.load(Ordering::SeqCst)));
    let later = |days: i64| Timestamp(now.0 + days * DAY);
    let week = VacuumOptions::default();

    let young = vacuum(&archive, &head, &week, later(1)).await.unwrap();
    assert_eq!((young.useless, young.strays), (0, 1));
    assert_eq!(young.stray_examples, ["tables/t/notes.txt"]);
    assert!(young.young > done.inputs, "{young:?}");
    // Less than two days is two days.
    let hasty = VacuumOptions::default().min_age(Duration::ZERO);
    assert_eq!(vacuum(&archive, &head, &hasty, later(1)).await.unwrap().useless, 0);
    assert_eq!(objects(&world).await, all);

    let plan = vacuum(&archive, &head, &week.clone().plan(true), later(8)).await.unwrap();
    assert_eq!(objects(&world).await, all);
    let gone = vacuum(&archive, &head, &week, later(8)).await.unwrap();
    assert_eq!(plan, gone);
    let left = objects(&world).await;
    assert_eq!(all.difference(&left).count() as u64, gone.useless);
    assert!(!left.contains(&dead) && left.is_disjoint(&replaced), "{gone:?}");
    assert_eq!(count(&left, "parts/"), 2);
    assert!(
        ["tables/t/notes.txt", "tables/t/_delta_log/0.json", "manifest.json"].iter().all(|path| left.contains(*path))
    );
    assert!(live(&archive).await.is_subset(&left));
    world.assert_equal().await;
    let again = vacuum(&archive, &head, &week, later(8)).await.unwrap();
    assert_eq!((again.useless, again.kept), (0, gone.kept));
    runs(&world, &clock, 3, MINUTE, &options).await;
    world.assert_equal().await;
}
