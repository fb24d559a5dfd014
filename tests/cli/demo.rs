//! `demo`.

use crate::support::{archiver, run, status};

#[test]
fn it_needs_nothing_and_leaves_an_archive_and_queries() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    let demo = || run(archiver(["demo"]).current_dir(dir.path()).env("PATH", &empty));
    let ended = demo().with(0);
    for word in
        ["convex_phase=snapshot", "convex_phase=delta", "\"cursor\"", "FROM http_history", "duckdb is not on the PATH"]
    {
        assert!(ended.stdout.contains(word), "{word}: {ended:?}");
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
