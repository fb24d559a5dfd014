//! `views` and `query`, without DuckDB.

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Ended, archiver, run};

fn demo(dir: &Path) {
    let empty = dir.join("bin");
    std::fs::create_dir(&empty).unwrap();
    run(archiver(["demo", "--dir", "a"]).current_dir(dir).env("PATH", &empty)).with(0);
}

/// A program that tells what it was started with, what it could read and with which permissions.
fn fake(dir: &Path) -> String {
    let path = dir.join("fake-duckdb");
    std::fs::write(
        &path,
        "#!/bin/sh\necho \"arguments: $*\"\n\
         if [ \"$1\" = -init ]; then echo \"mode: $(stat -c %a \"$2\")\"; cat \"$2\"; else cat; fi\n",
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn without_duckdb_query_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let query = |args: [&str; 2]| run(archiver(["query", "--archive", "a"]).args(args).current_dir(dir.path()));
    let ended = query(["SELECT 1", "--duckdb=./nothing-here"]).with(2);
    assert!(ended.stderr.contains("https://duckdb.org") && ended.stderr.contains("--duckdb"), "{ended:?}");
}

#[test]
fn credentials_reach_duckdb_through_a_pipe_or_a_file_of_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let program = fake(dir.path());
    let ask = |sql: &[&str]| -> Ended {
        let mut command = archiver(["query", "--archive", "a", "--duckdb", &program]);
        run(command.args(sql).current_dir(dir.path()).env("TMPDIR", dir.path())).with(0)
    };
    let said = ask(&["SELECT 42"]).stdout;
    assert!(said.starts_with("arguments: -batch -bail -no-init -csv :memory:\n"), "{said}");
    assert!(said.contains("CREATE OR REPLACE VIEW \"main\".\"http\"") && said.ends_with("SELECT 42\n;\n"), "{said}");
    let said = ask(&[]).stdout;
    let (arguments, rest) = said.split_once('\n').unwrap();
    assert!(arguments.starts_with("arguments: -init ") && rest.starts_with("mode: 600\n"), "{said}");
    assert!(rest.contains("CREATE OR REPLACE VIEW"), "{said}");
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".sql"));
    assert_eq!(left.count(), 0);
}

#[test]
fn views_and_schemas_are_printed_for_every_engine() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let said =
        |args: &[&str]| run(archiver([]).args(args).current_dir(dir.path()).env("CONVEX_ARCHIVE", "a")).with(0).stdout;
    let script = said(&["views", "--engine", "duckdb"]);
    assert!(script.contains("CREATE OR REPLACE MACRO \"main\".\"http_as_of\"(moment)"), "{script}");
    assert!(said(&["views", "--engine", "spark"]).contains("\nAS_OF = None\n"));
    assert!(
        said(&["views", "--engine", "spark", "--as-of", "1795526893652560430"])
            .contains("\nAS_OF = 1795526893652560430\n")
    );
    for (format, word) in [
        ("pyarrow", "(\"feature\", pa.string())"),
        ("polars", "\"feature\": pl.String"),
        ("spark", "`feature` STRING"),
        ("sql", "\"feature\" VARCHAR"),
        ("json", "\"column\": \"feature\""),
    ] {
        let text = said(&["schema", "http", "--format", format]);
        assert!(text.contains(word), "{format}: {text}");
    }
}
