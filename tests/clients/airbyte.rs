//! Airbyte's source for Convex, `airbyte-source-convex` 0.4.51, with its source as it is.

use std::path::Path;

use convex_archiver::{
    Timestamp,
    server::{Contents, SeededWriter, SimulatedDeployment},
};

use crate::{
    Archived, drift, run, support,
    tools::{process::block_on, world},
};

/// All that it can do at this URL; it goes on from the state that it left in `folder` when it was there last.
fn reads(archived: &Archived, url: &str, key: &str, at: Timestamp, folder: &Path) {
    let at = at.0.to_string();
    let arguments = [Path::new(url), Path::new(key), &archived.expected(), Path::new(&at), folder];
    run("airbyte_reads.py", &arguments);
}

fn write(deployment: &SimulatedDeployment, seed: u64) {
    let mut writer = SeededWriter::new(seed);
    for _ in 0..100 {
        writer.write(deployment).unwrap();
    }
}

/// With the documents and the writes of `simulate`: where fields have odd names, `/api/json_schemas` fails for all, as that
/// of a real deployment does, and Airbyte has no streams.
#[test]
fn airbyte_reads_a_simulated_deployment_and_then_what_changed() {
    block_on(async {
        let archived = Archived::with(|deployment| {
            deployment.insert_all(Contents::Generated(1000).documents(0).unwrap()).unwrap();
            write(deployment, 1);
        });
        let archived = archived.await;
        let (world, state, now) = (&archived.world, tempfile::tempdir().unwrap(), Timestamp(i64::MAX));
        reads(&archived, &world.url, world::KEY, now, state.path());
        write(&world.deployment, 2);
        reads(&archived, &world.url, world::KEY, now, state.path());
    });
}

#[test]
fn airbyte_reads_a_served_archive_and_then_what_a_sync_added() {
    block_on(async {
        let archived = Archived::hard().await;
        let (state, pages) = (tempfile::tempdir().unwrap(), ["--snapshot-page", "50", "--delta-page", "64"]);
        let first = archived.through().await;
        let server = archived.serve(&pages);
        reads(&archived, &server.url, support::KEY, first, state.path());
        drop(server);

        drift::change(&archived.world.deployment, 4);
        archived.world.catch_up(&archived.place()).await;
        let second = archived.through().await;
        assert!(second > first);
        let server = archived.serve(&pages);
        reads(&archived, &server.url, support::KEY, second, state.path());
    });
}

#[test]
fn airbyte_reads_an_archive_as_it_was_at_a_moment_and_goes_on_from_there() {
    block_on(async {
        let archived = Archived::hard().await;
        let (state, middle) = (tempfile::tempdir().unwrap(), archived.middle().await);
        let server = archived.serve(&["--snapshot-page", "50", "--as-of", &middle.0.to_string()]);
        reads(&archived, &server.url, support::KEY, middle, state.path());
        drop(server);
        let server = archived.serve(&["--snapshot-page", "50"]);
        reads(&archived, &server.url, support::KEY, archived.through().await, state.path());
    });
}
