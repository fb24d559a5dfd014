//! `restore` and `export`, on the archive that `demo` leaves.

use std::path::PathBuf;

use crate::support::{Ended, archiver, run};

struct Demo {
    dir: tempfile::TempDir,
}

impl Demo {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("bin");
        std::fs::create_dir(&empty).unwrap();
        run(archiver(["demo", "--dir", "a"]).current_dir(dir.path()).env("PATH", &empty)).with(0);
        Self { dir }
    }

    fn run<const N: usize>(&self, args: [&str; N]) -> Ended {
        run(archiver(args).env("CONVEX_ARCHIVE", self.path("a")).current_dir(self.dir.path()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn a_plan_says_what_the_restore_then_holds_and_how_to_import_it() {
    let demo = Demo::new();
    let plan = demo.run(["restore", "--plan", "--json"]).with(0).json();
    assert!(plan["documents"].as_u64().unwrap() > 1000 && plan["output"].is_null(), "{plan}");
    let told = demo.run(["restore", "--plan"]).with(0).stdout;
    for words in ["npx convex import --replace-all FILE", "Never in a restore:", "archive the target anew"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    let written = demo.run(["restore", "--output", "b.zip", "--json"]).with(0).json();
    assert_eq!((&written["documents"], &written["tables"]), (&plan["documents"], &plan["tables"]));
    assert_eq!(written["output_bytes"], std::fs::metadata(demo.path("b.zip")).unwrap().len());
    let refused = demo.run(["restore", "--output", "b.zip"]).with(2);
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    demo.run(["restore", "--output", "b.zip", "--force"]).with(0);

    // Of one table: an import must not delete the others.
    let one = demo.run(["restore", "--output", "http.zip", "--table", "http"]).with(0).stdout;
    assert!(one.contains("npx convex import --replace http.zip"), "{one}");
    demo.run(["restore", "--output", "c.zip", "--table", "nonsense"]).with(1);
    demo.run(["restore", "--output", "c.zip", "--exclude", "nonsense"]).with(1);
    demo.run(["restore", "--output", "c.zip", "--as-of", "1999-01-01"]).with(1);
    demo.run(["restore"]).with(2);
    assert!(!demo.path("c.zip").exists());
}

#[test]
fn an_export_is_a_folder_of_plain_files_for_each_table() {
    let demo = Demo::new();
    for format in ["parquet", "ndjson", "csv"] {
        let told = demo.run(["export", "--format", format, "--output", format, "--json"]).with(0).json();
        for table in told["tables"].as_array().unwrap() {
            let folder = demo.path(format).join(table["folder"].as_str().unwrap());
            assert!(folder.join(format!("part-00000.{format}")).is_file(), "{table}");
        }
        assert!(demo.path(format).join("export.json").is_file());
    }
    let lines = std::fs::read_to_string(demo.path("ndjson/tables/http/part-00000.ndjson")).unwrap();
    assert!(lines.starts_with("{\"_creationTime\":") && !lines.contains("_ts"));
    let lines = std::fs::read_to_string(demo.path("csv/tables/http/part-00000.csv")).unwrap();
    assert!(lines.starts_with("_id,_creationTime,"));
    let again = demo.run(["export", "--output", "csv"]).with(2);
    assert!(again.stderr.contains("choose an empty place"), "{again:?}");
}
