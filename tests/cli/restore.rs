//! `restore` and `export`, on the archive that `demo` leaves.

use std::path::PathBuf;

use crate::support::{Ended, Simulation, archiver, run};

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
    for words in [
        "npx convex import --replace-all FILE",
        "Never in a restore:",
        "the next sync of an archive of the target detects the import",
    ] {
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
fn a_zip_on_the_standard_output_is_that_of_the_file_and_the_report_goes_to_stderr() {
    let demo = Demo::new();
    demo.run(["restore", "--output", "a.zip"]).with(0);
    let zip = std::fs::read(demo.path("a.zip")).unwrap();
    let restore = |args: &[&str]| {
        let mut command = archiver(["-q", "restore", "--output", "-"]);
        command.args(args).env("CONVEX_ARCHIVE", demo.path("a"));
        command
    };
    let piped = restore(&[]).output().unwrap();
    assert!(piped.status.success() && piped.stdout == zip, "{piped:?}");
    let told = String::from_utf8(piped.stderr).unwrap();
    assert!(
        told.contains("Written     -, ") && told.contains("Import      npx convex import --replace-all FILE"),
        "{told}"
    );
    let piped = restore(&["--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&piped.stderr).unwrap();
    assert!(piped.stdout == zip && told["output"] == "-" && told["output_bytes"] == zip.len(), "{told}");

    // Of what fails nothing looks like a ZIP, and a reader that goes away is a failure.
    let refused = restore(&["--json", "--as-of", "1999-01-01"]).output().unwrap();
    assert!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{refused:?}");
    let mut left = restore(&[]).spawn().unwrap();
    drop(left.stdout.take());
    let left = left.wait_with_output().unwrap();
    let told = String::from_utf8(left.stderr).unwrap();
    assert!(left.status.code() == Some(1) && told.contains("its reader has closed it"), "{told}");

    // A terminal, which is Python's here, gets none.
    let program = env!("CARGO_BIN_EXE_convex-archiver");
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let archive = demo.path("a");
    let on_a_terminal = std::process::Command::new("python3")
        .args(["-c", script, program, "restore", "--output", "-", "--archive"])
        .arg(&archive)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&on_a_terminal.stdout);
    assert!(on_a_terminal.status.code() == Some(2) && told.contains("a ZIP cannot be printed on a terminal"), "{told}");
}

#[test]
fn a_component_that_holds_now_back_is_named_and_never_deleted_by_an_import() {
    let simulation = Simulation::start(["--server-of", "2026-07-01", "--writes-per-second", "50"]);
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a");
    let restore = |args: &[&str]| {
        let mut command = archiver([]);
        run(command.args(args).env("CONVEX_ARCHIVE", &archive).current_dir(dir.path()))
    };
    // Such a server tells no changes of components: they are covered at the snapshot only, and time goes on.
    let plan = loop {
        run(&mut simulation.sync(&archive)).with(0);
        let plan = restore(&["restore", "--plan", "--json"]);
        let told = plan.json();
        if told["asked"] != told["as_of"] {
            break plan.with(3).json();
        }
    };
    let held_back: Vec<_> = plan["held_back_by"].as_array().unwrap().iter().map(|table| &table["component"]).collect();
    assert_eq!(held_back, ["analytics", "analytics/daily"], "{plan}");
    assert_eq!((&plan["complete"], &plan["import"]), (&true.into(), &"npx convex import --replace-all".into()));

    let told = restore(&["restore", "--output", "a.zip"]).with(3).stdout;
    for words in [
        " before the newest moment\n",
        "* the archive reaches up to ",
        "but does not cover analytics/events, analytics/daily/counters at that moment",
        "npx convex import --replace-all a.zip",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    let told = restore(&["export", "--output", "b", "--json"]).with(3).json();
    assert_eq!((&told["as_of"], &told["held_back_by"]), (&plan["as_of"], &plan["held_back_by"]));
    let told = restore(&["diff", plan["as_of_ts"].as_str().unwrap(), "now", "--json"]).with(3).json();
    assert_eq!((&told["to"], &told["held_back_by"]), (&plan["as_of"], &plan["held_back_by"]));

    // Without them it is the newest, and an import must not delete them.
    let told = restore(&["restore", "--output", "c.zip", "--exclude", "*/**"]).with(0).stdout;
    assert!(told.contains("npx convex import --replace c.zip") && !told.contains("--replace-all"), "{told}");
    // A moment that lacks them is refused, with what to paste.
    let refused = restore(&["restore", "--output", "d.zip", "--as-of", plan["asked"].as_str().unwrap()]).with(1).stderr;
    let offer = format!("--as-of {} (", plan["as_of_ts"].as_str().unwrap());
    assert!(refused.contains(&offer) && refused.contains("--exclude '*/**'"), "{refused}");
    let told = restore(&["restore", "--plan", "--as-of", plan["asked"].as_str().unwrap()]).with(3).stdout;
    assert!(
        !told.contains("--replace-all") && told.contains("the nearest moment before at which all tables are covered"),
        "{told}"
    );
}

#[test]
fn a_restore_of_single_documents_or_of_nothing_prints_no_command_that_deletes() {
    let demo = Demo::new();
    let lines = {
        demo.run(["export", "--format", "ndjson", "--output", "n"]).with(0);
        std::fs::read_to_string(demo.path("n/tables/http/part-00000.ndjson")).unwrap()
    };
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let told = demo.run(["restore", "--output", "one.zip", "--id", first["_id"].as_str().unwrap()]).with(0).stdout;
    assert!(!told.contains("--replace-all"), "{told}");
    for words in ["npx convex import --append one.zip  # only into another deployment", "restore --undo"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    let told = demo.run(["restore", "--output", "none.zip", "--exclude", "**"]).with(0).stdout;
    assert!(told.contains("there is nothing to import") && !told.contains("npx convex import"), "{told}");
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
    assert!(again.stderr.contains("choose an empty location"), "{again:?}");
}
