//! Archives a deployment, lets it change, and brings the archive up to date: the main job, through the library.
//!
//! The deployment is the simulation, behind real HTTP; the archive is a folder, which stays to be looked at:
//! `cargo run --example archive_a_deployment -- [FOLDER]`

#![allow(clippy::expect_used, clippy::print_stdout, reason = "an example prints, and may give up")]
#![allow(clippy::disallowed_methods, reason = "an example is a program of its own")]

mod support;

use std::{sync::Arc, time::Duration};

use convex_archiver::{
    Event, Monitor, Result, Timestamp,
    archive::{Archive, Location, Settings},
    convex::Source,
    server::{SimulatedDeployment, demo_documents},
    sync::{Stop, SyncOptions, sync},
};

/// Tells of each commit.
struct Commits;

impl Monitor for Commits {
    fn report(&self, event: Event<'_>) {
        if let Event::Commit { version, files, rows, through } = event {
            let through = through.map(|ts| ts.to_string()).unwrap_or_default();
            println!("  commit {version}: {files} files, {rows} rows, complete through {through}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // A deployment of real documents. For your own, see `served`: its URL and a deploy key with the permission deployment:data:view.
    let deployment = Arc::new(SimulatedDeployment::new("happy-otter-123", 1));
    deployment.insert_all(demo_documents(0)?)?;
    let client = support::served(Arc::clone(&deployment) as Arc<_>).await?;

    // Anything that `Location` takes: a folder, s3://bucket/prefix, …
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = std::env::args().nth(1).unwrap_or_else(|| scratch.path().display().to_string());
    let location = Location::create(&folder, &Settings::default())?;
    let identity = client.identity().await?;
    let now = Timestamp::now();
    let archive = Archive::open_or_create(Arc::clone(location.store()), location.url(), identity, now).await?;

    println!("snapshot:");
    sync(client.clone(), &archive, &SyncOptions::default(), Arc::new(Commits)).await?;
    deployment.change_to(demo_documents(1)?, "feature")?;
    println!("changes:");
    let options = SyncOptions::default().stop(Stop::default().within(Duration::from_secs(60)));
    let report = sync(client, &archive, &options, Arc::new(Commits)).await?;
    println!("{} documents and {} tombstones in {} files", report.documents, report.tombstones, report.files);
    assert!(report.caught_up && report.tombstones > 0);
    Ok(())
}
