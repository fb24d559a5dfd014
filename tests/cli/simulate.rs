//! `simulate`.

use crate::support::{Simulation, archiver, run};

#[test]
fn the_ports_of_a_real_deployment_are_refused_with_the_reason() {
    for port in ["3210", "3211"] {
        let ended = run(archiver(["simulate", "--listen"]).arg(format!("127.0.0.1:{port}"))).with(2);
        assert!(ended.stderr.contains("real local deployment"), "{ended:?}");
    }
}

#[test]
fn what_belongs_together_must_be_given_together() {
    for args in [
        ["--then", "x"],
        ["--by", "x"],
        ["--documents", "/no/such/folder"],
        ["--snapshot-page", "0"],
        ["--key", ""],
        ["--key", " "],
        ["--key", "a b"],
        ["--server-of", "2025-8"],
    ] {
        run(archiver(["simulate", "--listen", "127.0.0.1:0"]).args(args)).with(2);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_0_after_it_has_told_how_to_sync() {
    let simulation = Simulation::start([]);
    assert!(simulation.said.contains(&format!("sync --deployment {} --archive ./archive", simulation.url)));
    assert_eq!(simulation.interrupt(), Some(0));
}

#[test]
fn documents_of_a_folder_become_those_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, lines: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, lines).unwrap();
    };
    write("old/t.ndjson", "{\"k\":1,\"v\":1.0}\n{\"k\":2,\"v\":2.0}\n");
    write("new/t.ndjson", "{\"k\":2,\"v\":2.5}\n{\"k\":3,\"v\":3.0}\n");
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name).to_string_lossy().into_owned());
    let simulation = Simulation::start(["--documents", &old, "--then", &new, "--by", "k", "--after", "1s"]);
    let archive = dir.path().join("a");
    let first = run(simulation.sync(&archive).arg("--json")).with(0).json();
    assert_eq!((&first["documents"], &first["tombstones"]), (&2.into(), &0.into()));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let second = run(simulation.sync(&archive).arg("--json")).with(0).json();
    assert_eq!((&second["documents"], &second["tombstones"]), (&2.into(), &1.into()));
}
