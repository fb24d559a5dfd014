//! `init`: the files for each scheduler, which are those of `examples/schedule/`, and that it never writes over what is there.

use std::{fs, path::Path, process::Command};

use crate::support::{KEY, Simulation, archiver, run};

/// What the examples are made with.
fn init(folder: &Path, archive: &str, scheduler: &str) -> Command {
    let mut command = archiver(["init", "--skip-check", "--archive", archive, "--every", "1h", "--write", scheduler]);
    command.arg("--output").arg(folder);
    command
}

#[test]
fn the_examples_are_what_init_writes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/schedule");
    let made = tempfile::tempdir().unwrap();
    for (archive, scheduler, folder) in [
        ("s3://bucket/happy-otter", "cron", ""),
        ("s3://bucket/happy-otter", "systemd", ""),
        ("s3://bucket/happy-otter", "github", ""),
        ("s3://bucket/happy-otter", "kubernetes", ""),
        ("/srv/happy-otter", "compose", ""),
        ("s3://bucket/happy-otter", "terraform", "aws"),
        ("gs://bucket/happy-otter", "terraform", "gcp"),
        ("gs://bucket/happy-otter", "github", "gcp"),
    ] {
        run(&mut init(&made.path().join(folder), archive, scheduler)).with(0);
    }
    let mut seen = Vec::new();
    for folder in ["", "aws", "gcp"] {
        for entry in fs::read_dir(made.path().join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                continue;
            }
            let name = Path::new(folder).join(entry.file_name());
            let (text, file) = (fs::read_to_string(entry.path()).unwrap(), examples.join(&name));
            if std::env::var_os("UPDATE").is_some() {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, &text).unwrap();
            }
            let kept = fs::read_to_string(&file).unwrap_or_default();
            assert!(kept == text, "{} is not what init writes (UPDATE=1 rewrites it)", file.display());
            seen.push(name.display().to_string());
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn nothing_is_written_over_what_is_there_nor_where_something_must_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, folder) = (dir.path().join("archive"), dir.path().join("files"));
    let simulation = Simulation::start([]);
    let checked = || {
        let mut command = archiver(["init", "--every", "15m", "--write", "cron", "--write", "systemd"]);
        command.args(["--deployment", &simulation.url, "--archive"]).arg(&archive).arg("--output").arg(&folder);
        command
    };
    let refused = run(checked().env("CONVEX_DEPLOY_KEY", "otter-1|not-the-key")).with(3);
    assert!(refused.stdout.contains("WRONG") && refused.stdout.contains("Nothing was written"), "{refused:?}");
    assert!(!folder.exists());
    let written = run(checked().env("CONVEX_DEPLOY_KEY", KEY)).with(0);
    assert!(written.stdout.contains("No problems found"), "{written:?}");
    let cron = fs::read_to_string(folder.join("convex-archiver.cron")).unwrap();
    assert!(cron.contains("\n*/15 * * * * ") && cron.contains(archive.to_str().unwrap()), "{cron}");
    assert!(cron.contains(&format!("--deployment {}", simulation.url)), "{cron}");
    for entry in fs::read_dir(&folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("a1b2c3d4e5f6"), "a key: {text}");
    }
    fs::write(folder.join("convex-archiver.timer"), "mine").unwrap();
    fs::remove_file(folder.join("convex-archiver.cron")).unwrap();
    let there = run(checked().env("CONVEX_DEPLOY_KEY", KEY)).with(2);
    assert!(there.stderr.contains("already exists: choose another --output"), "{there:?}");
    assert!(!folder.join("convex-archiver.cron").exists(), "all or none");
    run(checked().env("CONVEX_DEPLOY_KEY", KEY).arg("--force")).with(0);
    assert_ne!(fs::read_to_string(folder.join("convex-archiver.timer")).unwrap(), "mine");
}

#[test]
fn who_cannot_be_asked_is_told_which_flag_is_missing() {
    for (args, flag) in [
        (&["init"][..], "--archive"),
        (&["init", "--archive", "s3://bucket/a"], "--every"),
        (&["init", "--archive", "s3://bucket/a", "--every", "1h"], "--write"),
        (&["init", "--archive", "s3://bucket/a", "--every", "7m", "--write", "cron"], "divides an hour or a day"),
        (&["init", "--skip-check", "--archive", "/srv/a", "--every", "1h", "--write", "github"], "use --archive s3://"),
    ] {
        let ended = run(archiver([]).args(args)).with(2);
        assert!(ended.stderr.contains(flag), "{args:?}: {ended:?}");
    }
}

/// `script` gives the program a terminal.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_it_asks_for_what_no_flag_says() {
    let dir = tempfile::tempdir().unwrap();
    let answers = "s3://bucket/happy-otter\n\n cron systemd\n";
    let program = env!("CARGO_BIN_EXE_convex-archiver");
    let line = format!("{program} init --skip-check --output {}", dir.path().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_remove("CONVEX_ARCHIVE");
    let child = script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn();
    let Ok(mut child) = child else { panic!("there is no `script` (util-linux)") };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), answers.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("How often? [1h]"), "{said}");
    assert!(
        dir.path().join("convex-archiver.cron").exists() && dir.path().join("convex-archiver.timer").exists(),
        "{said}"
    );
}
