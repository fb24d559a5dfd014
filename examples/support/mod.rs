//! What the examples share: an archive of a simulated deployment that changed, since examples need no account.

#![allow(clippy::disallowed_methods, reason = "an example is a program of its own")]
// Each example is a program of its own, and uses some of it.
#![allow(dead_code, clippy::expect_used, reason = "an example may give up")]

use std::sync::Arc;

use convex_archiver::{
    DeploymentIdentity, NoMonitor, Result, TableRef, Timestamp,
    archive::{Archive, Head, Location, Settings},
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    read::{Change, LogOptions, Transactions},
    server::{Deployment, RouterOptions, SimulatedDeployment, demo_documents, router},
    sync::{SyncOptions, sync},
};

/// The table that the examples look at.
pub(crate) const TABLE: &str = "http";

/// Serves a deployment on a free port of this machine, as long as the example runs, and returns a client of it.
pub(crate) async fn served(deployment: Arc<dyn Deployment>) -> Result<Arc<Client>> {
    let key = "happy-otter-123|example";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound port"));
    let app = router(deployment, RouterOptions::default().key(key.into()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let access = Access::new(&url, DeployKey::new(key)?, false)?;
    Ok(Arc::new(Client::new(access, ClientOptions::default(), Arc::new(NoMonitor))?))
}

/// The archive at the folder or URL that is given on the command line; else one of the simulation, in a folder that vanishes.
pub(crate) async fn archive() -> Result<(Archive, Head, Option<tempfile::TempDir>)> {
    let given = std::env::args().nth(1);
    let (url, scratch) = match given {
        Some(url) => (url, None),
        None => {
            let scratch = tempfile::tempdir().expect("a temporary folder");
            let folder = scratch.path().join("archive").display().to_string();
            of_the_simulation(&folder).await?;
            (folder, Some(scratch))
        }
    };
    let location = Location::open(&url, &std::env::vars().collect())?;
    let archive = Archive::open(Arc::clone(location.store()), location.url()).await?;
    let head = archive.head().await?;
    Ok((archive, head, scratch))
}

async fn of_the_simulation(folder: &str) -> Result<()> {
    let deployment = Arc::new(SimulatedDeployment::new("happy-otter-123", 1));
    deployment.insert_all(demo_documents(0)?)?;
    let client = served(Arc::clone(&deployment) as Arc<_>).await?;
    let archive = new_archive(folder, client.identity().await?).await?;
    for step in 1..=2 {
        sync(client.clone(), &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await?;
        deployment.change_to(demo_documents(step)?, "feature")?;
    }
    sync(client, &archive, &SyncOptions::default(), Arc::new(NoMonitor)).await?;
    Ok(())
}

/// A new archive at a folder or URL.
pub(crate) async fn new_archive(url: &str, identity: DeploymentIdentity) -> Result<Archive> {
    let location = Location::create(url, &Settings::default())?;
    let now = Timestamp::now();
    Archive::create(Arc::clone(location.store()), location.url(), identity, now).await
}

/// A document of [`TABLE`] that was deleted, and the last moment before.
pub(crate) async fn a_deletion(archive: &Archive, head: &Head) -> Result<(String, Timestamp)> {
    let options = LogOptions::default().tables(vec![TableRef::new("", TABLE)?]);
    let mut log = Transactions::open(archive, head, &options).await?;
    while let Some(transaction) = log.next().await? {
        if let Some(gone) = transaction.changes.into_iter().find(|change| change.change == Change::Deleted) {
            return Ok((gone.id, Timestamp(transaction.ts.0 - 1)));
        }
    }
    panic!("nothing was deleted in {TABLE}")
}
