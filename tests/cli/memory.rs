//! The program begins again with fewer arenas: nobody notices.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{os::unix::fs::symlink, process::Command};

use crate::support::{Running, archiver, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-archiver");

#[test]
fn it_begins_again_once_under_its_own_name() {
    let mut command = archiver(["simulate", "--listen", "127.0.0.1:0"]);
    command.env_remove("MALLOC_ARENA_MAX");
    let mut running = Running::start(&mut command);
    let of = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", running.id())).unwrap();
    while !of("environ").contains("CONVEX_ARCHIVER_ARENAS=1") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(of("environ").contains("MALLOC_ARENA_MAX=1\0"));
    assert!("convex-archiver".starts_with(of("comm").trim()), "{}", of("comm"));
    let line = of("cmdline").replace('\0', " ");
    assert!(line.ends_with("/convex-archiver simulate --listen 127.0.0.1:0 "), "{line}");
    assert!(!running.has_ended());
    assert!(running.kill());
}

#[test]
fn under_another_name_behind_a_loader_or_where_arenas_are_told_it_goes_on_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("other");
    symlink(PROGRAM, &link).unwrap();
    let loader = std::path::Path::new("/lib64/ld-linux-x86-64.so.2");
    let mut commands = vec![Command::new(&link), Command::new(PROGRAM)];
    commands[1].env("MALLOC_ARENA_MAX", "3");
    if loader.exists() {
        let mut behind = Command::new(loader);
        behind.arg(PROGRAM);
        commands.push(behind);
    }
    for command in &mut commands {
        let output = command.arg("--version").output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"convex-archiver "), "{command:?}: {output:?}");
    }
}

#[test]
fn what_it_runs_has_as_many_arenas_as_it_wants() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let within = |name: &str| folder.path().join(name);
    std::fs::create_dir(within("bin")).unwrap();
    run(archiver(["demo", "--dir", "a"]).current_dir(folder.path()).env("PATH", within("bin"))).with(0);
    std::fs::write(within("duckdb"), "#!/bin/sh\necho \"arenas: $MALLOC_ARENA_MAX $CONVEX_ARCHIVER_ARENAS\"\n")
        .unwrap();
    std::fs::set_permissions(within("duckdb"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut query = archiver(["query", "SELECT 1", "--archive", "a", "--duckdb", "./duckdb"]);
    let said = run(query.current_dir(folder.path()).env_remove("MALLOC_ARENA_MAX")).with(0).stdout;
    assert_eq!(said, "arenas:  \n");
}
