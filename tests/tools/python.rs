//! A Python and a folder for Node with the packages that the tests need, made once under `target/test-tools`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The interpreter. Installs the packages first where that has not happened: a minute or two, and 1 GB on the disk.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| tools().join("python/bin/python"))
}

/// The folder with the next versions of some packages: for `PYTHONPATH`.
pub(crate) fn next() -> &'static Path {
    static NEXT: OnceLock<PathBuf> = OnceLock::new();
    NEXT.get_or_init(|| tools().join("next"))
}

/// The interpreter with clients of Convex.
pub(crate) fn clients() -> &'static Path {
    static CLIENTS: OnceLock<PathBuf> = OnceLock::new();
    CLIENTS.get_or_init(|| tools().join("clients/bin/python"))
}

/// The interpreter with dbt.
pub(crate) fn dbt() -> &'static Path {
    static DBT: OnceLock<PathBuf> = OnceLock::new();
    DBT.get_or_init(|| tools().join("dbt/bin/python"))
}

/// The interpreter with what reads the files of schedulers.
pub(crate) fn schedules() -> &'static Path {
    static SCHEDULES: OnceLock<PathBuf> = OnceLock::new();
    SCHEDULES.get_or_init(|| tools().join("schedules/bin/python"))
}

/// The folder `node_modules` with the servers that run on Node, and Convex's client.
pub(crate) fn node_modules() -> &'static Path {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    MODULES.get_or_init(|| tools().join("node/node_modules"))
}

fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-tools");
        let mut install = Command::new("python3");
        install.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/install.py")).arg(&root);
        let output = install.output().unwrap_or_else(|e| panic!("these tests need python3 (3.11 or later): {e}"));
        assert!(output.status.success(), "the packages of the tests cannot be installed:\n{}", text(&output));
        root
    })
}

/// Runs a script of `tests/`, such as `readers/duckdb_reads.py`, and answers what it printed.
///
/// # Panics
/// If it ends with an error: with everything that it said.
pub(crate) fn run(script: &str, arguments: &[impl AsRef<OsStr>]) -> String {
    try_run(script, arguments).unwrap_or_else(|said| panic!("{script} says no:\n{said}"))
}

/// As [`run`], for scripts that may say no: `Err` is everything that was said then.
pub(crate) fn try_run(script: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String, String> {
    try_run_in(&mut Command::new(python()), script, arguments)
}

/// As [`try_run`], under this interpreter.
pub(crate) fn try_run_in(
    python: &mut Command,
    script: &str,
    arguments: &[impl AsRef<OsStr>],
) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = python.arg("-B").arg(path).args(arguments).output().unwrap();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(text(&output)) }
}

pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
