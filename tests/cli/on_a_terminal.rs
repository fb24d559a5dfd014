//! What is printed on a terminal: nothing that strangers have typed steers it. `script` (util-linux) gives the program one.

#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::{Simulation, a_document, archiver, run};

#[test]
fn control_characters_and_turned_letters_are_spelled_on_a_terminal_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    // U+009B begins a command for a terminal, as ESC [ does; U+202E turns what follows around.
    let odd = "a\u{9b}31mb\u{202e}c\u{e9}";
    std::fs::write(dir.path().join("d/t.ndjson"), format!("{{\"k\":1,\"v\":\"{odd}\"}}\n")).unwrap();
    let simulation = Simulation::start(["--documents", dir.path().join("d").to_str().unwrap()]);
    let archive = dir.path().join("a");
    run(&mut simulation.sync(&archive)).with(0);
    let id = a_document(&archive, "t");
    for verb in ["documents t", &format!("get t {id}"), &format!("history t {id}"), "documents t --json"] {
        let words: Vec<_> = verb.split(' ').collect();
        let plain = run(archiver([]).args(&words).arg("--archive").arg(&archive)).with(0).stdout;
        assert!(plain.contains(odd), "{verb}: {plain}");
        let line = format!("{} {verb} --archive {}", env!("CARGO_BIN_EXE_convex-archiver"), archive.display());
        let ended =
            Command::new("script").args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().unwrap();
        let shown = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{verb}: {shown}");
        assert!(shown.contains("a\\u009b31mb\\u202ec\u{e9}"), "{verb}: {shown}");
        assert!(!shown.contains(['\u{9b}', '\u{202e}']), "{verb}");
    }
}
