//! A sync beside another one, and syncs that follow on each other in one process.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    reports,
    support::{KEY, Running, Simulation, archiver, run},
};

/// Another run, far away, that says again and again that it is alive.
struct Other {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Other {
    fn start(archive: &Path) -> Self {
        let (ends, file) = (Arc::new(AtomicBool::new(false)), archive.join("lease.json"));
        let write = move |beat: u64, ended: bool| {
            let text = format!(
                r#"{{"run":"0badcafe","host":"far-away","started":"1790000000000000000","beat":{beat},"ended":{ended}}}"#
            );
            let beside = file.with_extension("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, &file).unwrap();
        };
        write(1, false);
        let thread = std::thread::spawn({
            let ends = Arc::clone(&ends);
            move || {
                let mut beat = 2;
                while !ends.load(Ordering::SeqCst) {
                    write(beat, false);
                    beat += 1;
                    std::thread::sleep(Duration::from_millis(100));
                }
                write(beat, true);
            }
        });
        Self { ends, thread: Some(thread) }
    }

    fn end(mut self) {
        self.ends.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn beside_a_run_that_is_alive_a_sync_does_nothing_and_with_wait_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "30"]);
    let version = run(simulation.sync(&archive).arg("--json")).with(0).json()["version"].as_u64().unwrap();
    let other = Other::start(&archive);

    let said = run(simulation.sync(&archive).arg("--json")).with(0).json();
    reports::is("sync_running", &said);
    assert_eq!((&said["running"]["run"], &said["running"]["host"]), (&"0badcafe".into(), &"far-away".into()));
    let text = run(&mut simulation.sync(&archive)).with(0);
    assert!(
        text.stdout.contains("has been running on this archive since 2026-09-21 14:13:20 UTC on far-away"),
        "{text:?}"
    );
    assert!(text.stderr.contains("another one is running"), "{text:?}");
    let quiet = run(simulation.sync(&archive).arg("-q")).with(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(fs::read_dir(archive.join("runs/sync")).unwrap().count(), 1, "of these runs no report is kept");

    let mut waiting = Running::start(simulation.sync(&archive).args(["--json", "--wait"]));
    waiting.wait_for("waiting: a sync has been running");
    other.end();
    let waited = waiting.end().with(0).json();
    assert!(waited["version"].as_u64().unwrap() > version, "{waited}");
    assert!(
        fs::read_to_string(archive.join("lease.json")).unwrap().contains("0badcafe"),
        "a short run writes no lease"
    );
}

#[cfg(unix)]
#[test]
fn runs_follow_on_each_other_until_somebody_ends_them() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let simulation = Simulation::start(["--generate", "30"]);
    let mut running = Running::start(simulation.sync(&archive).args(["--every", "100ms", "--max-download", "16MiB"]));
    for _ in 0..3 {
        running.wait_for("sync ended, caught up");
    }
    running.signal(&["TERM"]);
    let ended = running.end().with(0);
    assert!(ended.stdout.matches("State").count() >= 3, "{ended:?}");
    assert!(fs::read_dir(archive.join("runs/sync")).unwrap().count() >= 3);
}

#[test]
fn a_run_that_fails_ends_them_only_as_the_first_or_as_one_of_many() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, key) = (dir.path().join("a"), dir.path().join("key"));
    let simulation = Simulation::start(["--generate", "30"]);
    let every = || {
        let mut command =
            archiver(["sync", "--every", "100ms", "--max-failures", "3", "--deployment", &simulation.url]);
        command.arg("--deploy-key-file").arg(&key).arg("--archive").arg(&archive);
        command
    };
    fs::write(&key, "otter-1|wrong").unwrap();
    let first = run(&mut every()).with(2);
    assert_eq!(first.stderr.matches("sync failed").count(), 1, "{first:?}");

    fs::write(&key, KEY).unwrap();
    let mut running = Running::start(&mut every());
    running.wait_for("sync ended, caught up");
    fs::write(&key, "otter-1|wrong").unwrap();
    running.wait_for("sync failed");
    fs::write(&key, KEY).unwrap();
    running.wait_for("sync ended, caught up");
    fs::write(&key, "otter-1|wrong").unwrap();
    let ended = running.end().with(2);
    assert_eq!(ended.stderr.matches("sync failed").count(), 1 + 3, "{ended:?}");
}
