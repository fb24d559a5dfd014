//! A Python with the packages that the tests need, made once under `target/test-tools`.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The interpreter. Installs the packages first where that has not happened: a minute or two, and 1 GB on the disk.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-tools");
        let venv = root.join("python");
        let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
        fs::create_dir_all(&root).unwrap();
        // Test programs run side by side: one installs, the others wait. The lock ends with the process.
        let lock = File::create(root.join("lock")).unwrap();
        lock.lock().unwrap();
        let marker = root.join("installed");
        let wanted = format!("{:x}", Sha256::digest(REQUIREMENTS));
        if fs::read_to_string(&marker).is_ok_and(|there| there == wanted) {
            return python;
        }
        let _ = fs::remove_file(&marker);
        let _ = fs::remove_dir_all(&venv);
        eprintln!("installing the Python packages of tests/tools/requirements.txt into {}", venv.display());
        must(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let blocks = REQUIREMENTS.split("\n\n").map(|block| block.lines().filter(|l| !l.starts_with('#')));
        for packages in blocks.map(Iterator::collect::<Vec<_>>).filter(|packages| !packages.is_empty()) {
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            must(Command::new(&python).args(pip).args(packages));
        }
        fs::write(marker, wanted).unwrap();
        python
    })
}

fn must(command: &mut Command) {
    const ADVICE: &str =
        "these tests need Python 3.11 with venv and pip (Debian: apt install python3-venv), and a package index";
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{command:?} failed: {ADVICE}\n{}", text(&output)),
        Err(error) => panic!("{command:?} cannot be started: {error}; {ADVICE}"),
    }
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(python()).arg("-B").arg(path).args(arguments).output().unwrap();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(text(&output)) }
}

pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}
