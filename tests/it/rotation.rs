//! A deploy key that is rotated while a run goes on: the file is read again, and only what it says anew is tried.

use std::{path::PathBuf, sync::Arc};

use convex_archiver::{
    ErrorKind, Monitor, NoMonitor, Timestamp,
    archive::Archive,
    convex::{Access, AccessOptions, Client, ClientOptions, DeployKey, Source},
    server::SeededWriter,
    sync::{SyncOptions, sync},
};

use crate::support::{Warnings, World, pages};

const OLD: &str = "otter-1|first-secret-of-all";
const NEW: &str = "otter-1|second-secret-of-all";

/// A deployment that knows the old key for `requests` requests, and a file that holds it.
struct Rotated {
    world: World,
    folder: tempfile::TempDir,
}

impl Rotated {
    async fn new(requests: u64) -> Self {
        let rotations = vec![(requests, NEW.to_owned())];
        let world = World::new(pages(5, 5).key(OLD.to_owned()).rotations(rotations)).await;
        let mut writer = SeededWriter::new(3);
        for _ in 0..60 {
            writer.write(&world.deployment).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), OLD).unwrap();
        Self { world, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    async fn access(&self) -> Access {
        let options =
            AccessOptions::default().deployment(Some(self.world.server.url.clone())).deploy_key_file(Some(self.file()));
        options.resolve(Arc::new(NoMonitor)).await.unwrap()
    }

    /// A client that has read the old key from the file, and hears everything.
    async fn client(&self) -> (Arc<Client>, Arc<Warnings>) {
        let warnings = Arc::new(Warnings::default());
        let monitor = Arc::clone(&warnings) as Arc<dyn Monitor>;
        (Arc::new(Client::new(self.access().await, ClientOptions::default(), monitor).unwrap()), warnings)
    }
}

#[tokio::test]
async fn a_key_that_is_rotated_in_the_middle_of_a_run_is_read_again_and_the_run_goes_on() {
    let rotated = Rotated::new(8).await;
    let (client, warnings) = rotated.client().await;
    let archive = rotated_archive(&rotated, &client).await;
    // The client holds the old key, and looks at the file again only when the deployment refuses it, eight requests later.
    std::fs::write(rotated.file(), NEW).unwrap();
    let monitor = Arc::clone(&warnings) as Arc<dyn Monitor>;
    let report =
        sync(Arc::clone(&client) as Arc<dyn Source>, &archive, &SyncOptions::default(), monitor).await.unwrap();
    assert!(report.caught_up && report.pages > 8);
    let heard = warnings.0.lock().unwrap();
    let [told] = &heard[..] else { panic!("{heard:?}") };
    assert!(told.contains("now holds another one") && !told.contains("secret"), "{told}");
    // One request more than there were answers.
    let asked = report.pages + 1 + 2 + 1;
    // Its cursor; and at the beginning and the end what happened, over how many tables, and which.
    let watched = 1 + 2 * 3;
    assert_eq!(
        client.traffic().requests,
        asked + watched,
        "schemas, pages, how new the server is, the one that was refused, and the sentinel"
    );
}

async fn rotated_archive(rotated: &Rotated, client: &Client) -> Archive {
    let identity = client.identity().await.unwrap();
    let store = Arc::clone(&rotated.world.store);
    Archive::open_or_create(store, "memory:///a", identity, Timestamp(1)).await.unwrap()
}

#[tokio::test]
async fn the_same_key_is_not_tried_again_and_no_other_deployments_key_is_taken() {
    // What the file holds when the key is refused, the kind of the error, a piece of it, requests made.
    let table = [
        (OLD, ErrorKind::Access, "key was read again and holds the same key", 1),
        ("", ErrorKind::Access, "the deploy key is empty", 1),
        ("otter-1|third-secret", ErrorKind::Access, "key was read again and holds the same key", 2),
        ("otter-2|second-secret-of-all", ErrorKind::Usage, "it is a key of the deployment otter-2", 1),
    ];
    for (text, kind, expected, requests) in table {
        let rotated = Rotated::new(0).await;
        let (client, _) = rotated.client().await;
        client.identity().await.unwrap();
        std::fs::write(rotated.file(), text).unwrap();
        let error = client.page(&client.snapshot_start()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected) && !format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(client.traffic().requests, requests, "{text}");
    }
}

#[tokio::test]
async fn a_key_that_came_from_no_file_is_refused_at_once() {
    let rotated = Rotated::new(0).await;
    let access = Access::new(&rotated.world.server.url, DeployKey::new(OLD).unwrap(), false);
    let client = Client::new(access.unwrap(), ClientOptions::default(), Arc::new(NoMonitor)).unwrap();
    let error = client.page(&client.snapshot_start()).await.unwrap_err();
    assert_eq!((error.kind(), client.traffic().requests), (ErrorKind::Access, 1));
}
