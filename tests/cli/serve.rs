//! `serve`: an archive as the deployment it came from.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::support::{KEY, Server, Simulation, archiver, run};

fn serve(archive: &Path, args: &[&str]) -> std::process::Command {
    let mut command = archiver(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--archive").arg(archive).args(args);
    command
}

/// What `diff` says of two moments, with every document.
fn diff(archive: &Path, from: &str, to: &str) -> BTreeSet<String> {
    let said = run(archiver(["diff", from, to, "--documents", "--json"]).arg("--archive").arg(archive)).with(0).stdout;
    // The last line has the sums.
    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
    lines.pop();
    lines.into_iter().collect()
}

/// The documents of all tables at a moment: what came since before there was any.
fn counts(archive: &Path, at: &str) -> Vec<(String, u64)> {
    let counted = run(archiver(["tables", "--count", "--as-of", at, "--json"]).arg("--archive").arg(archive));
    let counted = counted.with(0).json();
    let count = |t: &Value| (t["table"].to_string(), t["documents"].as_u64().unwrap());
    counted["tables"].as_array().unwrap().iter().map(count).collect()
}

#[test]
fn a_copy_made_of_a_served_archive_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, lines: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, lines).unwrap();
    };
    write("old/t.ndjson", "{\"k\":1,\"v\":1.0}\n{\"k\":2,\"v\":2.0}\n{\"k\":3,\"v\":null}\n");
    write("old/u.ndjson", "{\"k\":1,\"b\":{\"$bytes\":\"AAEC\"}}\n");
    write("new/t.ndjson", "{\"k\":2,\"v\":2.5}\n{\"k\":3,\"v\":null}\n{\"k\":4,\"v\":\"x\"}\n");
    write("new/u.ndjson", "{\"k\":1,\"b\":{\"$bytes\":\"AAEC\"}}\n{\"k\":9223372036854775807}\n");
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name).to_string_lossy().into_owned());
    let simulation = Simulation::start(["--documents", &old, "--then", &new, "--by", "k", "--after", "1500ms"]);
    let archive = dir.path().join("archive");
    let first = run(simulation.sync(&archive).arg("--json")).with(0).json()["through"].as_str().unwrap().to_owned();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let last = run(simulation.sync(&archive).arg("--json")).with(0).json()["through"].as_str().unwrap().to_owned();
    drop(simulation);

    // As it was first, then as it is now: on one port, so that it is one deployment.
    let copy = dir.path().join("copy");
    let past = Server::start(serve(&archive, &["--as-of", &first]).env("CONVEX_ARCHIVER_SERVE_KEY", KEY));
    assert!(
        !past.said.contains(KEY) && past.said.contains("Key: the one in CONVEX_ARCHIVER_SERVE_KEY"),
        "{}",
        past.said
    );
    let sync = |server: &Server| {
        let key = dir.path().join("key");
        std::fs::write(&key, KEY).unwrap();
        let mut command = archiver(["sync", "--json", "--accept-deployment", &server.url, "--deployment", &server.url]);
        command.arg("--archive").arg(&copy).arg("--deploy-key-file").arg(key);
        run(&mut command).with(0).json()
    };
    let report = sync(&past);
    assert_eq!((&report["documents"], &report["through"]), (&4.into(), &first.as_str().into()));
    #[cfg(unix)]
    assert_eq!(past.interrupt(), Some(0));
    let now = Server::start(serve(&archive, &["--key-env", "MY_KEY"]).env("MY_KEY", KEY));
    let report = sync(&now);
    assert_eq!(
        (&report["documents"], &report["tombstones"], &report["through"]),
        (&3.into(), &1.into(), &last.as_str().into())
    );

    let changed = diff(&archive, &first, &last);
    assert_eq!((changed.len(), &changed), (4, &diff(&copy, &first, &last)));
    for at in [&first, &last] {
        assert_eq!(counts(&archive, at), counts(&copy, at));
    }
}

#[test]
fn a_key_is_made_and_printed_and_nothing_is_told_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulation = Simulation::start(["--generate", "20"]);
    run(&mut simulation.sync(&archive)).with(0);
    let keys: Vec<_> = (0..2)
        .map(|n| {
            let server = Server::start(&mut serve(&archive, &[]));
            let key = server.said.lines().find_map(|line| line.strip_prefix("Key: ")).unwrap().to_owned();
            let sync = |key: &str| {
                let mut command = archiver(["sync", "--exclude", "*/**", "--deployment", &server.url]);
                run(command.arg("--archive").arg(dir.path().join(format!("copy{n}"))).env("CONVEX_DEPLOY_KEY", key))
            };
            let refused = sync(&format!("{key}0")).with(2);
            assert!(refused.stderr.contains("deploy key"), "{refused:?}");
            sync(&key).with(0);
            key
        })
        .collect();
    assert!(keys[0] != keys[1] && keys.iter().all(|key| key.len() > 64 && key.contains('|')), "{keys:?}");
}

#[test]
fn tables_that_are_not_selected_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, copy) = (dir.path().join("archive"), dir.path().join("copy"));
    let simulation = Simulation::start(["--generate", "50"]);
    run(&mut simulation.sync(&archive)).with(0);
    let selected = ["--exclude", "*/**", "--table", "*e*", "--component", "analytics"];
    let server = Server::start(serve(&archive, &selected).env("CONVEX_ARCHIVER_SERVE_KEY", KEY));
    assert!(server.said.contains("with 3 tables."), "{}", server.said);
    let mut command = archiver(["sync", "--json", "--deployment", &server.url, "--archive"]);
    run(command.arg(&copy).env("CONVEX_DEPLOY_KEY", KEY)).with(0);
    let names: Vec<_> = counts(&copy, "now").into_iter().map(|(table, _)| table).collect();
    let wanted =
        counts(&archive, "now").into_iter().map(|(table, _)| table).filter(|table| !table.contains("analytics"));
    assert_eq!(names, wanted.collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_served_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let simulation = Simulation::start(["--generate", "20"]);
    run(&mut simulation.sync(&archive)).with(0);
    for (args, code, word) in [
        (&["--as-of", "2020-01-01"][..], 1, "the archive covers no table at 2020-01-01"),
        (&["--as-of", "the day before"], 2, "is not a moment"),
        (&["--key-env", "NOT_SET_ANYWHERE"], 2, "this environment variable is not set"),
        (&["--key", "x"], 2, "unexpected argument"),
        (&["--table", "ghost"], 1, "no table ghost"),
        (&["--listen", "127.0.0.1:3210"], 2, "real local deployment"),
    ] {
        let mut command = archiver(["serve", "--archive"]);
        let ended = run(command.arg(&archive).args(args)).with(code);
        assert!(ended.stderr.contains(word), "{args:?}: {ended:?}");
    }
    let empty = run(serve(&archive, &[]).env("CONVEX_ARCHIVER_SERVE_KEY", "a key")).with(2);
    assert!(
        empty.stderr.contains("CONVEX_ARCHIVER_SERVE_KEY holds no valid key") && !empty.stderr.contains("a key"),
        "{empty:?}"
    );
    run(archiver(["serve", "--archive"]).arg(dir.path().join("none"))).with(1);
}
