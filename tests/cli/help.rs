//! The help texts, as they are: `UPDATE=1 cargo test --test cli help` rewrites the files after a change.

use std::path::Path;

use crate::support::{archiver, run};

#[test]
fn help_is_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    for verb in [
        "",
        "check",
        "init",
        "sync",
        "status",
        "tables",
        "schema",
        "documents",
        "get",
        "history",
        "log",
        "diff",
        "audit",
        "verify",
        "repair",
        "compact",
        "vacuum",
        "forget",
        "copy",
        "restore",
        "export",
        "serve",
        "query",
        "views",
        "demo",
        "simulate",
        "completions",
    ] {
        let mut command = archiver([]);
        let help = run(command.args((!verb.is_empty()).then_some(verb)).arg("--help")).with(0).stdout;
        let name = if verb.is_empty() { "convex-archiver" } else { verb };
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &help).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(help == expected, "{name} --help is not {} any more (UPDATE=1 rewrites it):\n{help}", file.display());
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let said = run(&mut archiver(["--version"])).with(0).stdout;
    assert_eq!(said, concat!("convex-archiver ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_verb_that_is_missing_or_unknown_is_a_usage_error() {
    for args in [vec![], vec!["snyc"], vec!["sync", "--archiv"]] {
        let ended = run(archiver([]).args(args)).with(2);
        assert!(ended.stderr.contains("Usage"), "{ended:?}");
    }
}

#[test]
fn a_word_of_another_program_is_answered_with_ours() {
    for (word, ours) in
        [("snapshots", "status"), ("ls", "tables"), ("backup", "sync"), ("prune", "vacuum"), ("snyc", "sync")]
    {
        let ended = run(&mut archiver([word])).with(2);
        assert!(ended.stderr.contains(&format!("a similar subcommand exists: '{ours}'")), "{word}: {ended:?}");
    }
}
