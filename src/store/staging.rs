//! What a killed process leaves on a local disk: files are written as `name#N` and renamed when complete. One that nobody
//! has touched for a day has no writer any more.
//!
//! # Why a run looks at two months only
//! The store writes them beside the files that they become, so they may lie in any folder, and the folders of an archive grow for ever. A run
//! must not take longer because the archive is old. What takes space are data files, and runs write those of the newest months: so a run looks
//! at the folder of the archive itself, and of each table at this month and the one before. What lies elsewhere is small (commits, lists of files) or
//! rare (a run died while it joined files of an old month); `vacuum`, which goes through the whole archive in any case, removes that as well.

use std::{
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use chrono::Datelike;

use crate::{
    document::Timestamp,
    error::Result,
    layout,
    monitor::{Event, Finding, Monitor},
    position::Phase,
};

use super::disk_error;

/// How long an untouched staging file is left alone.
pub const STAGING_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Folders of the archive in which data files, commits and lists of files lie, however deep.
const FOLDERS: [&str; 4] = [layout::LOG, layout::PARTS, TABLES, COMPONENTS];
/// The folder of tables, in an archive and in a component.
const TABLES: &str = "tables";
/// The folder of components, in an archive and in a component.
const COMPONENTS: &str = "components";
/// Nanoseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

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

/// Where it is looked for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where the runs of this month and of the one before write data files.
    Recent,
    /// In all folders of the archive.
    All,
}

/// Removes the abandoned staging files of the archive in `root`; returns how many. Those that stay are told to `monitor`.
pub(super) fn clean(root: &Path, reach: Reach, now: Timestamp, monitor: &dyn Monitor) -> Result<u64> {
    let mut cleaning = Cleaning { now, monitor, removed: 0, looked_at: 0 };
    match reach {
        Reach::Recent => cleaning.clean_recent(root)?,
        Reach::All => cleaning.clean_all(root)?,
    }
    Ok(cleaning.removed)
}

/// A walk through folders.
struct Cleaning<'a> {
    now: Timestamp,
    monitor: &'a dyn Monitor,
    removed: u64,
    /// Files and folders that were come by: the work.
    looked_at: u64,
}

impl Cleaning<'_> {
    fn clean_all(&mut self, root: &Path) -> Result<()> {
        // What else lies beside an archive (`lost+found`, say) is neither ours to clean nor always ours to read.
        let ours = |folder: &PathBuf| FOLDERS.iter().any(|ours| folder.file_name().is_some_and(|name| name == *ours));
        let mut folders: Vec<_> = self.clean_folder(root)?.into_iter().filter(ours).collect();
        while let Some(folder) = folders.pop() {
            folders.extend(self.clean_folder(&folder)?);
        }
        Ok(())
    }

    fn clean_recent(&mut self, root: &Path) -> Result<()> {
        self.clean_folder(root)?;
        let months = [layout::month_of(self.now), layout::month_of(day_before_the_month(self.now))];
        let mut places = vec![root.to_owned()];
        while let Some(place) = places.pop() {
            for table in self.clean_folder(&place.join(TABLES))? {
                for phase in [Phase::Snapshot, Phase::Delta] {
                    let of_phase = table.join(layout::REVISIONS).join(format!("{}={phase}", layout::PHASE_KEY));
                    for month in &months {
                        self.clean_folder(&of_phase.join(format!("{}={month}", layout::MONTH_KEY)))?;
                    }
                }
            }
            places.extend(self.clean_folder(&place.join(COMPONENTS))?);
        }
        Ok(())
    }

    /// Cleans one folder, if it is there. The folders in it.
    fn clean_folder(&mut self, folder: &Path) -> Result<Vec<PathBuf>> {
        let failed =
            |e: std::io::Error| disk_error(e, &format!("cannot look for unfinished files in {}", folder.display()));
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            self.looked_at += 1;
            // Neither follows links. What vanishes while we look has been renamed or removed by its writer.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let touched = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            let Some(touched) = touched.and_then(|t| i64::try_from(t.as_nanos()).ok()) else { continue };
            let found = FoundFile { path: entry.path(), touched: Timestamp(touched) };
            if meta.is_file() && is_abandoned(&found, self.now) {
                match std::fs::remove_file(&found.path) {
                    Ok(()) => self.removed += 1,
                    Err(e) => self.monitor.report(Event::Finding(&Finding::StagingFileLeftBehind {
                        path: found.path.display().to_string(),
                        why: e.to_string(),
                    })),
                }
            }
        }
        Ok(folders)
    }
}

/// A moment of the last day of the month before.
fn day_before_the_month(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::from(now.to_datetime().day()) * DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::NoMonitor;

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

    /// Empty files below `root`.
    fn write(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    fn cleaned(root: &Path, reach: Reach, now: Timestamp) -> u64 {
        clean(root, reach, now, &NoMonitor).unwrap()
    }

    #[test]
    fn cleaning_takes_them_from_every_folder_of_an_archive_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let kept = ["tables/a/x.parquet", "lost+found/y.parquet#2"];
        write(dir.path(), &kept);
        write(
            dir.path(),
            &[
                "archive.json#1",
                "tables/a/x.parquet#1",
                "components/c/tables/a/revisions/y.parquet#2",
                "log/1.json#3",
                "parts/tables/a/2026-11-01/1.jsonl.gz#4",
            ],
        );
        let now = Timestamp::now().0;
        assert_eq!(cleaned(dir.path(), Reach::All, Timestamp(now)), 0);
        assert_eq!(cleaned(dir.path(), Reach::All, Timestamp(now + 2 * DAY)), 5);
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn a_run_takes_them_from_the_newest_months_and_what_is_older_is_left_to_vacuum() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp(Timestamp::now().0 + 2 * DAY);
        let (this, before) = (layout::month_of(now), layout::month_of(day_before_the_month(now)));
        assert!(before < this);
        let of = |table: &str, phase: &str, month: &str| {
            format!("{table}/revisions/convex_phase={phase}/convex_month={month}/x.parquet#1")
        };
        let recent = [
            "manifest.json#1".to_owned(),
            of("tables/a", "delta", &this),
            of("tables/a", "snapshot", &before),
            of("components/c/tables/b", "delta", &this),
            of("components/c/components/d/tables/b", "delta", &before),
        ];
        let older = [
            of("tables/a", "delta", "2019-01-01"),
            "log/1.json#3".to_owned(),
            format!("parts/tables/a/{this}/1.jsonl.gz#4"),
        ];
        for names in [&recent[..], &older] {
            write(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        assert_eq!(cleaned(dir.path(), Reach::Recent, now), recent.len() as u64);
        assert!(recent.iter().all(|name| !dir.path().join(name).exists()));
        assert!(older.iter().all(|name| dir.path().join(name).exists()));
        assert_eq!(cleaned(dir.path(), Reach::All, now), older.len() as u64);
    }

    #[test]
    fn what_a_run_looks_at_does_not_grow_with_the_age_of_the_archive() {
        let now = Timestamp(1_795_434_575_000_000_000);
        let looks = [1, 12, 36].map(|months: i64| {
            let dir = tempfile::tempdir().unwrap();
            for ago in 0..months {
                let month = layout::month_of(Timestamp(now.0 - ago * 30 * DAY));
                for n in 0..5 {
                    let file = format!("tables/a/revisions/convex_phase=delta/convex_month={month}/{n}.parquet");
                    let (commit, part) =
                        (format!("log/{month}-{n}.json"), format!("parts/tables/a/{month}/{n}.jsonl.gz"));
                    write(dir.path(), &[&file, &commit, &part]);
                }
            }
            let mut cleaning = Cleaning { now, monitor: &NoMonitor, removed: 0, looked_at: 0 };
            cleaning.clean_recent(dir.path()).unwrap();
            cleaning.looked_at
        });
        // Three folders of the archive, the table, and five files a month.
        assert_eq!(looks, [3 + 1 + 5, 3 + 1 + 10, 3 + 1 + 10]);
    }
}
