//! What a killed process leaves on a local disk: files are written as `name#N` and renamed when complete. One that nobody
//! has touched for a day has no writer any more.

use std::{
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use crate::{
    document::Timestamp,
    error::Result,
    layout,
    monitor::{Event, Finding, Monitor},
};

use super::disk_error;

/// How long an untouched staging file is left alone.
pub const STAGING_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The folders of an archive.
const FOLDERS: [&str; 4] = [layout::LOG, layout::PARTS, "tables", "components"];

/// A file on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FoundFile {
    path: PathBuf,
    touched: Timestamp,
}

/// Whether `file` is a staging file of ours that its writer has abandoned. Pure.
fn is_abandoned(file: &FoundFile, now: Timestamp) -> bool {
    let name = file.path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let staged = name.rsplit_once('#').is_some_and(|(base, n)| {
        let ours = [".parquet", ".json", ".gz"].iter().any(|suffix| base.ends_with(suffix));
        ours && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())
    });
    staged && i128::from(now.0) - i128::from(file.touched.0) >= STAGING_KEPT.as_nanos() as i128
}

/// Removes the abandoned staging files below `root`; returns how many. Those that stay are told to `monitor`.
pub(super) fn clean(root: &Path, now: Timestamp, monitor: &dyn Monitor) -> Result<u64> {
    let mut removed = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed =
            |e: std::io::Error| disk_error(e, &format!("cannot look for unfinished files in {}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Neither follows links. What vanishes while we look has been renamed or removed by its writer.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                // What else lies beside an archive (`lost+found`, say) is neither ours to clean nor always ours to read.
                if folder != root || FOLDERS.iter().any(|ours| entry.file_name() == *ours) {
                    folders.push(entry.path());
                }
                continue;
            }
            let touched = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            let Some(touched) = touched.and_then(|t| i64::try_from(t.as_nanos()).ok()) else { continue };
            let found = FoundFile { path: entry.path(), touched: Timestamp(touched) };
            if meta.is_file() && is_abandoned(&found, now) {
                match std::fs::remove_file(&found.path) {
                    Ok(()) => removed += 1,
                    Err(e) => monitor.report(Event::Finding(&Finding::StagingFileLeftBehind {
                        path: found.path.display().to_string(),
                        why: e.to_string(),
                    })),
                }
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::NoMonitor;

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn only_our_staging_files_untouched_for_a_day_are_abandoned() {
        for (name, age, abandoned) in [
            ("a.parquet#1", DAY, true),
            ("a.json#12", DAY + 1, true),
            ("a.checkpoint.json.gz#3", 2 * DAY, true),
            ("a.parquet#1", DAY - 1, false),
            ("a.parquet", 9 * DAY, false),
            ("a.parquet#", 9 * DAY, false),
            ("a.parquet#1x", 9 * DAY, false),
            ("notes.txt#1", 9 * DAY, false),
            ("#1", 9 * DAY, false),
        ] {
            let file = FoundFile { path: PathBuf::from("x").join(name), touched: Timestamp(5) };
            assert_eq!(is_abandoned(&file, Timestamp(5 + age)), abandoned, "{name} {age}");
        }
    }

    #[test]
    fn cleaning_takes_them_from_every_folder_of_an_archive_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tables/a");
        for (folder, name) in [
            ("tables/a", "x.parquet"),
            ("tables/a", "x.parquet#1"),
            ("components/c/tables/a/revisions", "y.parquet#2"),
            ("log", "1.json#3"),
            ("parts/tables/a/2026-11-01", "1.jsonl.gz#4"),
        ] {
            let folder = dir.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        }
        std::fs::write(dir.path().join("archive.json#1"), "").unwrap();
        let neighbour = dir.path().join("lost+found/y.parquet#2");
        std::fs::create_dir(neighbour.parent().unwrap()).unwrap();
        std::fs::write(&neighbour, "").unwrap();
        let now = Timestamp::now().0;
        assert_eq!(clean(dir.path(), Timestamp(now), &NoMonitor).unwrap(), 0);
        assert_eq!(clean(dir.path(), Timestamp(now + 2 * DAY), &NoMonitor).unwrap(), 5);
        assert!(folder.join("x.parquet").exists() && neighbour.exists());
    }
}
