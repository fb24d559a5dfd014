//! `views` and `query`, without DuckDB.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Ended, Running, archiver, run};

fn demo(dir: &Path) {
    let empty = dir.join("bin");
    std::fs::create_dir(&empty).unwrap();
    run(archiver(["demo", "--dir", "a"]).current_dir(dir).env("PATH", &empty)).with(0);
}

/// A shell script that stands for `duckdb`.
fn program(dir: &Path, text: &str) -> String {
    let path = dir.join("fake-duckdb");
    fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// One that tells what it was started with, what it could read and with which permissions.
fn telling(dir: &Path) -> String {
    program(
        dir,
        "echo \"arguments: $*\"\n\
         if [ \"$1\" = -init ]; then echo \"mode: $(stat -c %a \"$2\")\"; cat \"$2\"; else cat; fi\n",
    )
}

/// One that answers with a line, and then fails if there is nonsense in the SQL.
fn answering(dir: &Path) -> String {
    program(dir, "echo 42\nif grep -q nonsense; then echo no such column >&2; exit 1; fi\n")
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
fn the_script_reaches_duckdb_through_a_pipe_or_a_file_of_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let program = telling(dir.path());
    let ask = |sql: &[&str]| -> Ended {
        let mut command = archiver(["query", "--archive", "a", "--duckdb", &program]);
        run(command.args(sql).current_dir(dir.path()).env("TMPDIR", dir.path())).with(0)
    };
    let said = ask(&["SELECT 42 FROM HTTP"]).stdout;
    assert!(said.starts_with("arguments: -batch -bail -no-init -csv :memory:\n"), "{said}");
    assert!(said.contains("CREATE OR REPLACE VIEW \"main\".\"http\""), "{said}");
    assert!(said.ends_with("SELECT 42 FROM HTTP\n;\n"), "{said}");
    // Of tables that it does not name there are no views; who asks which there are, or makes names, finds all.
    assert_eq!(said.matches("CREATE OR REPLACE VIEW").count(), 3, "{said}");
    assert!(!ask(&["SELECT 42"]).stdout.contains("CREATE OR REPLACE VIEW"));
    assert_eq!(ask(&["SHOW TABLES"]).stdout.matches("CREATE OR REPLACE VIEW").count(), 9);
    // Patterns mean what they mean elsewhere.
    assert_eq!(ask(&["SHOW TABLES", "--exclude", "h*"]).stdout.matches("CREATE OR REPLACE VIEW").count(), 3);
    assert!(!ask(&["SELECT 42 FROM http", "--table", "svg"]).stdout.contains("CREATE OR REPLACE VIEW"));
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
fn duckdb_finds_the_clouds_variables_in_its_environment_and_no_key_of_a_deployment() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let program = program(dir.path(), "cat > /dev/null\nenv\n");
    let secret = "0123456789abcdef-secret";
    let key = format!("prod:happy-otter-1|{secret}");
    for (variable, kept) in [
        ("CONVEX_DEPLOY_KEY", false),
        ("CONVEX_SELF_HOSTED_ADMIN_KEY", false),
        ("CONVEX_ARCHIVER_SERVE_KEY", false),
        // As `--key-env` may name it.
        ("OTTERS_KEY", false),
        ("AWS_SESSION_TOKEN", true),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", true),
        ("AZURE_CLIENT_SECRET", true),
    ] {
        let value = if kept { secret.to_owned() } else { key.clone() };
        for words in [&["SELECT 1"][..], &[]] {
            let mut query = archiver(["query", "--archive", "a", "--duckdb", &program]);
            let query = query.args(words).current_dir(dir.path()).env(variable, &value).env("OTHERS", "theirs");
            let said = run(query).with(0).stdout;
            assert_eq!(said.contains(secret), kept, "{variable} {words:?}");
            assert!(
                said.contains("OTHERS=theirs\n") && !said.contains("CONVEX_") && !said.contains("MALLOC_ARENA_MAX")
            );
        }
    }
}

/// Asks it, in the folder of the demo's archive.
fn ask(dir: &Path, program: &str, args: &[&str]) -> Ended {
    run(archiver(["query", "--archive", "a", "--duckdb", program]).args(args).current_dir(dir))
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn an_answer_appears_whole_or_not_at_all_and_replaces_no_file_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    demo(dir);
    let program = answering(dir);
    let (out, new, link, usual) = (dir.join("out"), dir.join("new"), dir.join("link"), dir.join("usual"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::write(&usual, "").unwrap();
    fs::write(&out, "mine").unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("out", &link).unwrap();
    let before = names(dir);

    let said = ask(dir, &program, &["SELECT 1", "--output", "out"]).with(2).stderr;
    assert!(said.contains("out already exists") && said.contains("--force"), "{said}");
    let said = ask(dir, &program, &["SELECT nonsense", "--output", "out", "--force"]).with(1).stderr;
    assert!(said.contains("no such column") && said.contains("DuckDB ended with exit status: 1"), "{said}");
    ask(dir, &program, &["SELECT nonsense", "--output", "new"]).with(1);
    ask(dir, "./nothing-here", &["SELECT 1", "--output", "out", "--force"]).with(2);
    ask(dir, &program, &["SELECT 1", "--output", "a"]).with(2);
    ask(dir, &program, &["SELECT 1", "--output", "no/folder"]).with(2);
    assert_eq!((names(dir), fs::read_to_string(&out).unwrap()), (before, "mine".to_owned()));

    ask(dir, &program, &["SELECT 1", "--output", "new"]).with(0);
    assert_eq!((fs::read_to_string(&new).unwrap().as_str(), mode(&new)), ("42\n", mode(&usual)));
    ask(dir, &program, &["SELECT 1", "--output", "link", "--force"]).with(0);
    assert_eq!((fs::read_to_string(&out).unwrap().as_str(), mode(&out)), ("42\n", 0o640));
    assert!(link.is_symlink());
}

#[test]
fn a_pipe_or_a_device_is_written_to_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    demo(dir);
    let program = answering(dir);
    let pipe = dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (sql, code) in [("SELECT nonsense", 1), ("SELECT 1", 0)] {
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        ask(dir, &program, &[sql, "--output", "pipe"]).with(code);
        assert_eq!(reader.join().unwrap(), "42\n");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        // A link, so that nobody's device is at stake.
        let null = dir.join(format!("null-{code}"));
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        ask(dir, &program, &[sql, "--output", null.to_str().unwrap()]).with(code);
        assert!(null.is_symlink() && fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(ask(dir, &program, &[sql, "--output", "/dev/stdout"]).with(code).stdout, "42\n");
    }
}

/// `query` in a process group of its own, with an own folder for temporary files.
fn under_way(dir: &Path, program: &str, args: &[&str]) -> (Running, PathBuf) {
    let temporary = dir.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut command = archiver(["query", "--archive", "a", "--duckdb", program]);
    let mut running = Running::start(command.args(args).current_dir(dir).env("TMPDIR", &temporary).process_group(0));
    running.wait_for("at work");
    (running, temporary)
}

/// As a terminal does on Ctrl-C.
fn interrupt_all(running: &Running) {
    let group = format!("-{}", running.id());
    assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
}

#[test]
fn an_interrupt_is_the_shells_own_and_we_end_after_it() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    // It goes on after the interrupt, and can still read.
    let program = program(
        dir.path(),
        "trap 'interrupted=yes; echo interrupted >&2' INT\necho at work >&2\n\
         while [ -z \"$interrupted\" ]; do sleep 0.05; done\n\
         trap '' INT\necho again >&2\nsleep 0.5\ngrep -c 'CREATE OR REPLACE VIEW' \"$2\"\n",
    );
    let (mut running, temporary) = under_way(dir.path(), &program, &[]);
    assert_eq!(names(&temporary).len(), 1);
    interrupt_all(&running);
    running.wait_for("again");
    interrupt_all(&running);
    let ended = running.end().with(0);
    assert!(ended.stdout.trim().parse::<u32>().unwrap() > 3, "{ended:?}");
    assert_eq!(names(&temporary), [] as [PathBuf; 0]);
}

#[test]
fn asked_to_terminate_the_shell_ends_and_leaves_no_credentials() {
    for signal in ["TERM", "HUP"] {
        let dir = tempfile::tempdir().unwrap();
        demo(dir.path());
        let program = program(
            dir.path(),
            &format!("trap 'echo asked >&2; exit 3' {signal}\necho at work >&2\nwhile true; do sleep 0.05; done\n"),
        );
        let (running, temporary) = under_way(dir.path(), &program, &[]);
        running.signal(&[signal]);
        let ended = running.end().with(130);
        assert!(ended.stderr.contains("asked") && ended.stderr.contains("exit status: 3"), "{ended:?}");
        assert_eq!(names(&temporary), [] as [PathBuf; 0]);
    }
}

#[test]
fn an_answer_that_is_interrupted_is_not_left_behind_nor_is_duckdb() {
    for signal in ["INT", "TERM", "Ctrl-C"] {
        let dir = tempfile::tempdir().unwrap();
        demo(dir.path());
        // The shell itself waits, so that nobody outlives it.
        let program = program(dir.path(), "echo 42\necho $$ > pid\necho at work >&2\nexec sleep 600\n");
        let (running, temporary) = under_way(dir.path(), &program, &["SELECT 1", "--output", "out"]);
        let before = names(dir.path());
        assert!(before.iter().any(|name| name.to_string_lossy().contains("/.convex-archiver-")), "{before:?}");
        if signal == "Ctrl-C" {
            interrupt_all(&running);
        } else {
            running.signal(&[signal]);
        }
        running.end().with(130);
        let left: Vec<_> =
            before.iter().filter(|name| !name.to_string_lossy().contains("/.convex-archiver-")).collect();
        assert_eq!(names(dir.path()).iter().collect::<Vec<_>>(), left);
        assert_eq!(names(&temporary), [] as [PathBuf; 0]);
        let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists());
    }
}

#[test]
fn a_duckdb_that_does_not_listen_is_killed_at_the_second_request() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let program = program(
        dir.path(),
        "trap 'echo not yet >&2' TERM\ntrap '' PIPE\necho at work >&2\nwhile true; do sleep 0.05; done\n",
    );
    let (mut running, temporary) = under_way(dir.path(), &program, &[]);
    running.signal(&["TERM"]);
    running.wait_for("not yet");
    running.signal(&["TERM"]);
    let ended = running.end().with(130);
    assert!(ended.stderr.contains("signal: 9"), "{ended:?}");
    assert_eq!(names(&temporary), [] as [PathBuf; 0]);
}

#[test]
fn views_and_schemas_are_printed_for_every_engine() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let said =
        |args: &[&str]| run(archiver([]).args(args).current_dir(dir.path()).env("CONVEX_ARCHIVE", "a")).with(0).stdout;
    let script = said(&["views", "--engine", "duckdb"]);
    assert!(script.contains("CREATE OR REPLACE MACRO \"main\".\"http_as_of\"(moment)"), "{script}");
    let one = said(&["views", "--engine", "duckdb", "--table", "http"]);
    assert!(one.matches("CREATE OR REPLACE VIEW").count() == 3 && one.contains("\"http_history\""), "{one}");
    let spark = ["views", "--engine", "spark", "--table", "http", "--archive", "a"];
    assert!(run(archiver(spark).current_dir(dir.path())).with(2).stderr.contains("omit --table"));
    assert!(said(&["views", "--engine", "spark"]).contains("\nAS_OF = None\n"));
    assert!(
        said(&["views", "--engine", "spark", "--as-of", "1795526893652560430"])
            .contains("\nAS_OF = 1795526893652560430\n")
    );
    let refused = |code: i32, args: &[&str], word: &str| {
        let refused = run(archiver([]).args(args).args(["--archive", "a"]).current_dir(dir.path())).with(code);
        assert!(refused.stderr.contains(word), "{refused:?}");
    };
    // Views that stay name their files, and want nothing of a session.
    let kept = said(&["views", "--engine", "duckdb", "--permanent", "--table", "http"]);
    assert!(kept.contains(".parquet'") && kept.matches("CREATE OR REPLACE VIEW").count() == 3, "{kept}");
    let as_macro = said(&["views", "--engine", "dbt", "--table", "http"]);
    assert!(
        as_macro.contains(&format!("{{% macro convex_archive() %}}{{% raw %}}\n{kept}{{% endraw %}}")),
        "{as_macro}"
    );
    refused(2, &["views", "--engine", "spark", "--permanent"], "omit --permanent");
    refused(1, &["views", "--engine", "dbt", "--as-of", "2001-01-01"], "is not covered at 2001-01-01T00:00:00");
    let sources = said(&["schema", "--format", "dbt"]);
    assert!(sources.matches("\n      - name:").count() > 2 && sources.contains("name: \"http_history\""), "{sources}");
    assert_eq!(said(&["schema", "http", "--format", "dbt"]).matches("\n      - name:").count(), 3);
    refused(2, &["schema"], "name a table");
    refused(2, &["schema", "--format", "sql"], "only --format dbt works without one");
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
