//! `demo`.

use crate::support::{archiver, run, shell, status};

#[test]
fn it_needs_nothing_shows_the_way_back_and_leaves_an_archive_a_restore_and_queries() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    let demo = || run(archiver(["demo"]).current_dir(dir.path()).env("PATH", &empty));
    let ended = demo().with(0);
    for word in [
        "convex_phase=snapshot",
        "convex_phase=delta",
        "\"cursor\"",
        "$ convex-archiver log ",
        "\n  \"feature\": \"http.",
        "\nerror: no document ",
        "it was deleted at ",
        "first seen\n",
        "\n  ~ ",
        "Import      npx convex import --replace-all demo-archive/restore.zip\n",
        "FROM http_as_of(",
        "duckdb is not on the PATH",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {ended:?}");
    }
    // Whatever it typed can be typed again, with the same answer.
    let typed: Vec<_> = ended.stdout.split("\n$ ").skip(1).collect();
    assert!(typed.len() >= 7);
    for said in typed {
        let (command, answer) = said.split_once('\n').unwrap();
        let written = if command.contains(" --output ") { " --force" } else { "" };
        let again = run(shell(&format!("{command}{written} --quiet")).current_dir(dir.path()));
        let answered = again.stdout.clone() + &again.stderr;
        // What comes after it: an empty line, and a heading.
        let answer = answer.split("\n== ").next().unwrap().trim_end();
        assert_eq!(answered.trim_end(), answer, "{command}");
    }
    let archive = dir.path().join("demo-archive");
    let status = status(&archive);
    assert_eq!(status["deployment"]["name"], "demo");
    assert!(status["total"]["tombstones"].as_u64().unwrap() > 0);
    let queries = std::fs::read_to_string(archive.join("query.sql")).unwrap();
    assert!(
        queries.contains("demo-archive'")
            && queries.contains("/manifest.json")
            && queries.contains("FROM http_history")
    );

    let again = demo().with(2);
    assert!(again.stderr.contains("demo-archive is not empty") && again.stderr.contains("--dir"), "{again:?}");
}
