//! What only a local disk can do to an archive: be full, or be mounted read-only. Each story has a small file system of
//! its own, in memory, which the process that tells it mounts where nobody else sees it.

use std::{path::Path, process::Command};

use convex_archiver::server::demo_documents;

use crate::{
    place::{PREFIX, Place},
    suite::{noise, same},
    tools::{
        process::{Settings, apart_under, test_name},
        world::World,
    },
};

const FOLDER: &str = "CONVEX_ARCHIVER_TEST_FOLDER";

/// Tells a story on a disk of 4 MiB.
fn on_a_small_disk<F: Future<Output = ()>>(test: &str, story: impl FnOnce(Place) -> F) {
    let unshare =
        if Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) { "-m" } else { "-rm" };
    if !Command::new("unshare").args([unshare, "true"]).status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no file system can be mounted here");
        println!("NOT RUN: this user may not mount a file system, and without one no disk can be filled");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let mount = r#"mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@""#;
    let launcher = || ["unshare", unshare, "sh", "-c", mount, &path].map(str::to_owned).to_vec();
    apart_under(test, launcher, || Settings::from([(FOLDER, path.clone())]), async {
        story(Place::on_disk(Path::new(&std::env::var(FOLDER).unwrap()))).await;
    });
}

fn remount(place: &Place, options: &str) {
    let mut command = Command::new("mount");
    command.args(["-o", &format!("remount,{options}")]).arg(place.folder().unwrap());
    assert!(command.status().unwrap().success());
}

#[test]
fn a_full_disk_is_a_resource_error_and_the_next_run_heals() {
    on_a_small_disk(test_name!(a_full_disk_is_a_resource_error_and_the_next_run_heals), |place| async move {
        let (world, url) = (World::start(200, 4).await, place.url(PREFIX));
        world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
        world.catch_up(&url).await;
        let before = place.objects().await;
        world.deployment.insert_all(noise()).unwrap();
        let words = [r#""kind": "resource""#, "the disk is full; free some space and run again"];
        world.program(&url, &[]).await.with(1, &words);
        assert!(place.unfinished().await.is_empty(), "{:?}", place.unfinished().await);
        // What was there is there, and can be read.
        assert!(before.iter().all(|name| place.folder().unwrap().join(name).exists()));
        world.archive(&url).await.unwrap().head().await.unwrap();
        remount(&place, "size=64m");
        world.program(&url, &[]).await.with(0, &[]);
        same(&world, &place, PREFIX).await;
    });
}

#[test]
fn a_disk_mounted_read_only_is_an_access_error_and_the_next_run_heals() {
    on_a_small_disk(
        test_name!(a_disk_mounted_read_only_is_an_access_error_and_the_next_run_heals),
        |place| async move {
            let (world, url) = (World::start(200, 64).await, place.url(PREFIX));
            world.deployment.insert_all(demo_documents(0).unwrap()).unwrap();
            let words = [r#""kind": "access""#, "the disk is mounted read-only"];
            remount(&place, "ro");
            world.program(&url, &[]).await.with(2, &words);
            remount(&place, "rw");
            world.catch_up(&url).await;
            world.deployment.change_to(demo_documents(1).unwrap(), "feature").unwrap();
            remount(&place, "ro");
            world.program(&url, &[]).await.with(2, &words);
            remount(&place, "rw");
            world.program(&url, &[]).await.with(0, &[]);
            same(&world, &place, PREFIX).await;
        },
    );
}
