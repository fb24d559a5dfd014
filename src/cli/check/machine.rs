//! What this machine has: room on its disks, and DuckDB.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use convex_archiver::check::{Check, Subject};

use super::super::{child_environment, units::bytes};

/// Less room is a note: a page of a snapshot of very large documents has 1 to 2 GiB, and two lie there at a time.
const ENOUGH: u64 = 4 << 30;
/// Less room than this is too little for any page that does not fit the memory.
const TOO_LITTLE: u64 = 64 << 20;

/// Room for temporary files.
pub(super) fn temporary_space() -> Check {
    let folder = std::env::temp_dir();
    let subject = Subject::TemporarySpace;
    if let Err(e) = tempfile::tempfile_in(tempfile::env::temp_dir()) {
        let told = format!("cannot create a file in {} ({e})", folder.display());
        return Check::wrong(subject, told, "choose another folder with --temp-dir or the variable TMPDIR");
    }
    room(
        subject,
        &tempfile::env::temp_dir(),
        "choose a folder with more space with --temp-dir or the variable TMPDIR",
        |free| {
            (free < ENOUGH).then(|| {
                "enough unless documents have hundreds of kilobytes, in which case a page of them needs up to 4 GiB"
                    .to_owned()
            })
        },
    )
}

/// Room for an archive in a folder, of whose first snapshot so many bytes are read at most.
pub(super) fn archive_space(folder: &Path, snapshot: Option<f64>) -> Check {
    // It may not be there yet.
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    room(Subject::ArchiveSpace, there, "choose a larger disk", |free| {
        let snapshot = snapshot? as u64;
        (free < snapshot)
            .then(|| format!("the first snapshot reads up to {}, and takes less than that as Parquet", bytes(snapshot)))
    })
}

/// `doubt` says why that is little.
fn room(subject: Subject, folder: &Path, fix: &str, doubt: impl Fn(u64) -> Option<String>) -> Check {
    match free(folder) {
        None => Check::unknown(subject, format!("cannot determine how much space {} has", folder.display())),
        Some(free) => {
            let told = format!("{} free in {}", bytes(free), folder.display());
            match doubt(free) {
                _ if free < TOO_LITTLE => Check::wrong(subject, told, fix),
                Some(doubt) => Check::note(subject, format!("{told}: {doubt}")).with_fix(fix),
                None => Check::good(subject, told),
            }
        }
    }
}

/// Bytes that this process may still write there; None, if that cannot be told.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// The program `duckdb`, which `query` runs.
pub(super) fn duckdb() -> Check {
    let mut command = Command::new("duckdb");
    child_environment::clean(&mut command);
    let ran = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match ran {
        Ok(ended) if ended.status.success() => {
            let version = String::from_utf8_lossy(&ended.stdout);
            let version = version.split_whitespace().next().unwrap_or("of an unknown version").to_owned();
            if is_new_enough(&version) {
                Check::good(Subject::Duckdb, format!("DuckDB {version}"))
            } else {
                Check::note(Subject::Duckdb, format!("DuckDB {version}: query needs 1.5 or newer"))
                    .with_fix("install a newer one")
            }
        }
        _ => Check::note(
            Subject::Duckdb,
            "`duckdb` is not on the PATH: `query` does not work here, everything else does",
        )
        .with_fix("install DuckDB 1.5 or newer where you run queries"),
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(1), Some(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, enough) in [
            ("v1.5.5", true),
            ("v1.10.0", true),
            ("v2.0.0", true),
            ("v1.4.9", false),
            ("v0.10.2", false),
            ("nightly", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    #[test]
    fn room_that_is_too_little_for_the_snapshot_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("not/there/yet");
        let plenty = archive_space(&missing, Some(1.0));
        assert_eq!(plenty.result, convex_archiver::check::CheckResult::Good, "{plenty:?}");
        let short = archive_space(&missing, Some(1e18));
        assert_eq!(short.result, convex_archiver::check::CheckResult::Note, "{short:?}");
    }
}
