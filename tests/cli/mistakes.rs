//! What people get wrong, and what they are told to do about it.

use crate::support::{Ended, KEY, Simulation, archiver, run, shell};

const ID: &str = "j976b1wbqj0texx9d615pn3b0d8jsr60";

/// What is typed, the exit code, and the words that say what to do.
type Mistake = (&'static str, i32, &'static str);

#[track_caller]
fn told(typed: &str, ended: Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{typed}: {ended:?}");
    // As a person reads it, wherever the lines break.
    let said = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(words), "{typed}: {words}\n{said}");
    assert!(!said.contains("panicked"), "{said}");
}

const COMMANDS: [Mistake; 14] = [
    ("", 2, "Usage: convex-archiver [OPTIONS] <COMMAND>"),
    ("snyc", 2, "a similar subcommand exists: 'sync'"),
    ("snapshots", 2, "a similar subcommand exists: 'status'"),
    ("ls", 2, "a similar subcommand exists: 'tables'"),
    ("backup", 2, "a similar subcommand exists: 'sync'"),
    ("dump", 2, "a similar subcommand exists: 'restore'"),
    ("import", 2, "a similar subcommand exists: 'restore'"),
    ("prune", 2, "a similar subcommand exists: 'vacuum'"),
    ("status", 2, "the archive may also stand in the environment variable CONVEX_ARCHIVE"),
    ("status --archiv a", 2, "a similar argument exists: '--archive'"),
    ("restore --archive a", 2, "--output <FILE>"),
    ("diff now --archive a", 2, "<T1> <T2>"),
    ("export --format xlsx --output x --archive a", 2, "[possible values: parquet, ndjson, csv]"),
    ("serve --listen 3218 --archive a", 2, "write an address and a port, such as 127.0.0.1:3217"),
];

const ARCHIVES: [Mistake; 16] = [
    ("status --archive s3:/bucket/a", 2, "did you mean s3://bucket/a?"),
    ("status --archive s3//bucket/a", 2, "did you mean s3://bucket/a?"),
    ("status --archive s3://", 2, "has no bucket name; write s3://bucket/prefix"),
    ("status --archive s3a://bucket/a", 2, "did you mean s3://bucket/a?"),
    ("status --archive https://bucket.s3.eu-west-1.amazonaws.com/a", 2, "did you mean s3://bucket/a?"),
    ("status --archive https://storage.googleapis.com/bucket/a", 2, "did you mean gs://bucket/a?"),
    ("status --archive https://shop.blob.core.windows.net/box/a", 2, "did you mean az://box/a?"),
    ("status --archive abfss://box@shop.dfs.core.windows.net/a", 2, "did you mean az://box/a?"),
    (
        "status --archive dropbox://a",
        2,
        "use s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///path or a path",
    ),
    ("status --archive az://box/a", 2, "set AZURE_STORAGE_ACCOUNT"),
    ("AWS_PROFILE=nobody convex-archiver status --archive s3://bucket/a", 2, "nobody"),
    (
        "GOOGLE_APPLICATION_CREDENTIALS=none.json convex-archiver status --archive gs://bucket/a",
        2,
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    ("status --archive nowhere", 1, "does not exist; check the archive's URL"),
    ("status --archive file", 1, "is a file, not a folder; check the archive's URL"),
    ("status --archive other", 1, "there is no archive at"),
    ("copy --archive demo-archive --to demo-archive", 2, "choose another location"),
];

const DEPLOYMENTS: [Mistake; 18] = [
    (
        "convex-archiver sync --archive a",
        2,
        "Give --deployment URL and --deploy-key-file FILE, or set CONVEX_DEPLOY_KEY",
    ),
    ("CONVEX_DEPLOY_KEY= convex-archiver sync --archive a", 2, "set CONVEX_DEPLOY_KEY"),
    ("CONVEX_DEPLOY_KEY=hello convex-archiver sync --archive a", 2, "A key without `|` was not copied completely"),
    (
        "CONVEX_DEPLOY_KEY='simulated|wrong' convex-archiver sync --deployment URL --archive a",
        2,
        "create a new one for this deployment",
    ),
    ("CONVEX_URL=URL convex-archiver sync --archive a", 2, "there is no key: set CONVEX_DEPLOY_KEY"),
    ("CONVEX_SELF_HOSTED_URL=URL convex-archiver sync --archive a", 2, "CONVEX_SELF_HOSTED_ADMIN_KEY"),
    ("convex-archiver sync --deploy-key 'prod:a|b' --archive a", 2, "set CONVEX_DEPLOY_KEY, or use --deploy-key-file"),
    ("convex-archiver sync --deploy-key-file none --archive a", 2, "--deploy-key-file none: cannot read the file"),
    ("convex-archiver sync --deploy-key-command false --archive a", 2, "--deploy-key-command `false …`"),
    (
        "CONVEX_DEPLOY_KEY='prod:happy-otter-1|x' convex-archiver sync --deployment https://other-cat-1.convex.cloud --archive a",
        2,
        "use a URL and a key of the same deployment",
    ),
    (
        "CONVEX_DEPLOY_KEY='a|b' convex-archiver sync --deployment https://dashboard.convex.dev/t/team/app/happy-otter-1 --archive a",
        2,
        "give the deployment's own URL, https://NAME.convex.cloud",
    ),
    (
        "CONVEX_DEPLOY_KEY='a|b' convex-archiver sync --deployment https://happy-otter-1.convex.site --archive a",
        2,
        "ends with .convex.cloud",
    ),
    (
        "CONVEX_DEPLOY_KEY='a|b' convex-archiver sync --deployment happy-otter-1.convex.cloud --archive a",
        2,
        "did you mean https://happy-otter-1.convex.cloud?",
    ),
    (
        "CONVEX_DEPLOY_KEY='a|b' convex-archiver sync --deployment happy-otter-1 --archive a",
        2,
        "such as https://happy-otter-123.convex.cloud",
    ),
    (
        "CONVEX_DEPLOY_KEY='a|b' convex-archiver sync --deployment http://example.com --archive a",
        2,
        "use https, or add --allow-http",
    ),
    (
        "CONVEX_DEPLOY_KEY='KEY' convex-archiver sync --deployment URL --archive demo-archive",
        2,
        "use another archive for it",
    ),
    (
        "CONVEX_DEPLOY_KEY='KEY' convex-archiver sync --deployment URL --include mesages --archive a",
        2,
        "is `messages` meant?",
    ),
    (
        "CONVEX_DEPLOY_KEY='KEY' convex-archiver sync --deployment URL --max-download 30 --archive a",
        2,
        "at least 16MiB",
    ),
];

const QUESTIONS: [Mistake; 23] = [
    ("get mesages ID", 1, "it has html, http, svg"),
    ("get a.b ID", 2, "write TABLE or COMPONENT/TABLE"),
    ("get http", 2, "give TABLE ID, or ID alone"),
    ("get http x", 1, "run `history http x`"),
    ("get ID", 1, "choose an earlier --as-of"),
    ("history http x", 1, "check the table and the id"),
    ("schema ghost", 1, "it has html, http, svg"),
    ("log --table ghost", 1, "run `tables` to see what it has"),
    ("tables --count --as-of 2020-01-01", 1, "choose a moment in"),
    ("get ID --as-of 24.11.2026", 2, "write 2026-11-24 07:45:39"),
    ("get ID --as-of soon", 2, "`2 hours ago`"),
    ("get ID --as-of 1795534570", 2, "It looks like seconds"),
    ("get ID --as-of 1795534570000", 2, "It looks like milliseconds"),
    ("log --since now --until 2026-11-24", 2, "swap --since and --until"),
    ("status --max-lag 6", 2, "write numbers and units, such as 10s"),
    ("status --fail-on lagg=6h", 2, "use lag=TIME, window=TIME"),
    ("tables --memory-limit 1MiB", 2, "at least 64MiB"),
    ("restore --output file", 2, "replace it with --force"),
    ("restore --table ghost --output g.zip", 1, "run `tables`"),
    ("restore --into https://kind-fox-7.convex.cloud --mode replace --into-key-env K", 2, "add --yes"),
    ("forget --keep-within 2m", 2, "at least 14d"),
    ("verify --expect-head abc", 2, "status and sync print it"),
    ("query 'SELECT 1' --duckdb ./none", 2, "install DuckDB 1.5 or later"),
];

#[test]
fn every_mistake_is_answered_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    run(archiver(["-q", "demo"]).current_dir(&dir).env("PATH", "/nowhere")).with(0);
    std::fs::write(dir.path().join("file"), "x").unwrap();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    let simulation = Simulation::start(["--generate", "20"]);
    let typed = |line: &str| {
        let mut command = shell(line);
        // Nothing of this machine's cloud.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["AZURE_", "GOOGLE_"].iter().any(|family| name.starts_with(family)) {
                command.env_remove(name);
            }
        }
        run(command.current_dir(&dir).env("HOME", dir.path()))
    };
    for (words, code, says) in COMMANDS.iter().chain(&ARCHIVES) {
        let line =
            if words.contains("convex-archiver") { (*words).to_owned() } else { format!("convex-archiver {words}") };
        told(words, typed(&line), *code, says);
    }
    for (words, code, says) in DEPLOYMENTS {
        told(
            words,
            typed(&words.replace("URL ", &format!("{} ", simulation.url)).replace("'KEY'", &format!("'{KEY}'"))),
            code,
            says,
        );
    }
    for (words, code, says) in QUESTIONS {
        let line = format!("K='a|b' convex-archiver {} --archive demo-archive", words.replace("ID", ID));
        told(words, typed(&line), code, says);
    }
    // What nothing answers is tried again for a while, and has an exit code of its own.
    let away = "CONVEX_DEPLOY_KEY='a|b' convex-archiver -q sync --deployment http://127.0.0.1:9 --archive a";
    told(away, typed(away), 5, "the deployment does not answer");
}
