//! A commit that is lost, though later objects of the log are there: its number is never taken again.

use std::sync::Arc;

use convex_archiver::{ErrorKind, TableRef, server::SimulatedDeployment, sync::SyncOptions, testing::layout};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};

use crate::{
    crash::{numbered, objects, run},
    support::{World, pages},
};

/// A deployment, and a store in which its archive grows.
struct Lost {
    world: World,
    store: Arc<InMemory>,
}

impl Lost {
    async fn new() -> Self {
        let world = World::of(SimulatedDeployment::new("otter-1", 5), pages(4, 4)).await;
        Self { world, store: Arc::new(InMemory::new()) }
    }

    fn change(&self) {
        let table = TableRef::new("", "messages").unwrap();
        self.world.deployment.transaction(|t| t.insert(&table, numbered(1)).map(drop)).unwrap();
    }

    /// Runs until the archive stands at `version` or later.
    async fn run_to(&self, version: u64) -> u64 {
        loop {
            let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
            let reached = run(&self.world, store, &SyncOptions::default()).await.unwrap().version;
            if reached >= version {
                return reached;
            }
        }
    }

    async fn manifest(&self) -> Vec<u8> {
        self.store.get(&Path::from(layout::MANIFEST)).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// Lets a run meet the store without these commits, and with this `manifest.json`, or none.
    async fn assert_found_and_nothing_written(&self, lost: &[u64], manifest: Option<&[u8]>) {
        let store = self.store.fork();
        for version in lost {
            store.delete(&Path::from(layout::commit(*version))).await.unwrap();
        }
        let hint = Path::from(layout::MANIFEST);
        match manifest {
            Some(text) => drop(store.put(&hint, text.to_vec().into()).await.unwrap()),
            None => store.delete(&hint).await.unwrap(),
        }
        let (before, store) = (objects(&store).await, Arc::new(store));
        let error = run(&self.world, Arc::clone(&store) as Arc<dyn ObjectStore>, &SyncOptions::default()).await;
        let story =
            format!("without the commits {lost:?}, and {} hint", if manifest.is_some() { "an old" } else { "no" });
        let error = error.expect_err(&story);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}: {story}");
        assert!(error.to_string().contains(&layout::commit(lost[0])), "{error}: {story}");
        let after = objects(store.as_ref()).await;
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{story}");
        assert!(after == before, "it wrote an object anew: {story}");
    }
}

#[tokio::test]
async fn a_commit_lost_beyond_the_hint_is_found_and_its_number_not_taken_again() {
    let archive = Lost::new().await;
    archive.change();
    let before = archive.run_to(1).await;
    let hint = archive.manifest().await;
    archive.change();
    let lost = archive.run_to(before + 1).await;
    assert_eq!(lost, before + 1);
    archive.change();
    archive.run_to(lost + 1).await;
    for manifest in [Some(hint.as_slice()), None] {
        // An idle run, and one that has something to write.
        archive.assert_found_and_nothing_written(&[lost], manifest).await;
        archive.change();
        archive.assert_found_and_nothing_written(&[lost], manifest).await;
    }
}

#[tokio::test]
async fn two_commits_lost_beyond_the_hint_are_found_by_the_next_checkpoint() {
    let archive = Lost::new().await;
    archive.change();
    archive.run_to(layout::CHECKPOINT_EVERY - 2).await;
    archive.change();
    assert_eq!(archive.run_to(layout::CHECKPOINT_EVERY - 1).await, layout::CHECKPOINT_EVERY - 1);
    let hint = archive.manifest().await;
    archive.change();
    assert_eq!(archive.run_to(layout::CHECKPOINT_EVERY + 1).await, layout::CHECKPOINT_EVERY + 1);
    let lost = [layout::CHECKPOINT_EVERY, layout::CHECKPOINT_EVERY + 1];
    archive.change();
    for manifest in [Some(hint.as_slice()), None] {
        archive.assert_found_and_nothing_written(&lost, manifest).await;
    }
}
