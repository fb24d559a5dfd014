//! Every object path of an archive, written and parsed in one place. All paths are relative to the archive's prefix.
//!
//! ```text
//! archive.json
//! log/00000000000000000042.json
//! log/00000000000000000042.schemas.SHA256.json
//! log/00000000000000000064.checkpoint.json.gz
//! manifest.json
//! runs/verified.json
//! runs/sync/000.json
//! runs/check.json
//! parts/tables/messages/2026-11-01/00000000000000000042.jsonl.gz
//! tables/messages/revisions/convex_phase=snapshot/convex_month=2026-11-01/20261120T101500Z-5f3a9c01-00000-5f3a9c01.parquet
//! tables/messages/revisions/convex_phase=delta/convex_month=2026-11-01/20261123T101500.123456789Z-00017-5f3a9c01.parquet
//! components/waitlist/tables/users/revisions/convex_phase=…
//! ```
//!
//! Other names are reserved, for what reads or guards an archive beside us: `_delta_log/`, `deletion_vector_*`, `iceberg/`,
//! `runs/`, `lease.json`, `sentinel.json`.
//!
//! Nothing is ever derived from the name of a data file: what a file holds is said by the commit that names it. Why the
//! partition keys are named so: see `archive/FORMAT.md`, "Layout".

use std::collections::BTreeMap;

use chrono::Datelike;

use crate::{
    document::{TableRef, Timestamp},
    position::{BaseId, Phase},
};

/// The header: format number, archive id, the deployment's identity.
pub const HEADER: &str = "archive.json";
/// The advisory manifest.
pub const MANIFEST: &str = "manifest.json";
/// What the watchman over the archive remembers.
pub const SENTINEL: &str = "sentinel.json";
/// Who is at work on the archive.
pub const LEASE: &str = "lease.json";
/// What was run over the archive and is worth remembering: nothing that holds.
pub const RUNS: &str = "runs";
/// The last verifications of the archive.
pub const VERIFIED: &str = "runs/verified.json";
/// The reports of the last syncs.
pub const SYNC_REPORTS: &str = "runs/sync";
/// What `check` writes, to see whether it may.
pub const PROBE: &str = "runs/check.json";
/// How far vacuum has gone through the log.
pub const VACUUMED: &str = "runs/vacuumed.json";
/// The folder of commits and checkpoints.
pub const LOG: &str = "log";
/// A checkpoint belongs to every version that is a multiple of this.
pub const CHECKPOINT_EVERY: u64 = 64;
/// The folder of the lists of live files.
pub const PARTS: &str = "parts";
/// The folder of a table's data files, inside the table's own.
pub const REVISIONS: &str = "revisions";
/// The partition key of the phase.
pub const PHASE_KEY: &str = "convex_phase";
/// The partition key of the month.
pub const MONTH_KEY: &str = "convex_month";

/// The object of the report of a sync in this place.
pub fn sync_report(place: usize) -> String {
    format!("{SYNC_REPORTS}/{place:03}.json")
}

/// The object of commit `version`.
pub fn commit(version: u64) -> String {
    format!("{LOG}/{version:020}.json")
}

/// The checkpoint that holds the manifest as of `version`.
pub fn checkpoint(version: u64) -> String {
    format!("{LOG}/{version:020}.checkpoint.json.gz")
}

/// The object beside commit `version` that holds the schemas which it brings; its content has this digest.
pub fn schemas(version: u64, digest: &str) -> String {
    format!("{LOG}/{version:020}.schemas.{digest}.json")
}

/// The list of the files of one month (first day) that lie in a table's folder, as commit `version` left them.
pub fn part(folder: &str, month: &str, version: u64) -> String {
    format!("{PARTS}/{folder}/{month}/{version:020}.jsonl.gz")
}

/// An object of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogObject {
    /// The commit of this version.
    Commit(u64),
    /// The checkpoint at this version.
    Checkpoint(u64),
    /// Schemas beside the commit of this version.
    Schemas(u64),
}

/// What the object at `path` is, if it belongs to the log. The inverse of [`commit`], [`checkpoint`] and [`schemas`].
pub fn parse_log(path: &str) -> Option<LogObject> {
    let name = path.strip_prefix(LOG)?.strip_prefix('/')?;
    let (digits, suffix) = name.split_at_checked(20)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let version = digits.parse().ok()?;
    match suffix {
        ".json" => Some(LogObject::Commit(version)),
        ".checkpoint.json.gz" => Some(LogObject::Checkpoint(version)),
        _ => {
            let digest = suffix.strip_prefix(".schemas.")?.strip_suffix(".json")?;
            let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            hex.then_some(LogObject::Schemas(version))
        }
    }
}

/// Whether an object is kept whatever names it: one of those that have one name, and all that is reserved for others beside us.
pub fn is_kept(path: &str) -> bool {
    let mut segments = path.split('/');
    [HEADER, MANIFEST, SENTINEL, LEASE].contains(&path)
        || path.starts_with("runs/")
        || segments.any(|name| name == "_delta_log" || name == "iceberg" || name.starts_with("deletion_vector_"))
}

/// Whether a path is of the form that [`snapshot_file`] and [`delta_file`] give.
pub fn is_data_file(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').collect();
    let [.., revisions, phase, month, name] = segments.as_slice() else { return false };
    let is_folder = ["tables/", "components/"].iter().any(|root| path.starts_with(root)) && *revisions == REVISIONS;
    let is_partition = |text: &str, key: &str| text.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
    let is_ours = || {
        let stem = name.strip_suffix(".parquet")?;
        let (rest, run) = stem.rsplit_once('-')?;
        let (_, counter) = rest.rsplit_once('-')?;
        let is_run = run.len() == 8 && run.bytes().all(|b| b.is_ascii_hexdigit());
        Some(is_run && counter.len() >= 5 && counter.bytes().all(|b| b.is_ascii_digit()))
    };
    is_folder && is_partition(phase, PHASE_KEY) && is_partition(month, MONTH_KEY) && is_ours() == Some(true)
}

/// Whether a path is of the form that [`part`] gives.
pub fn is_part(path: &str) -> bool {
    part_version(path).is_some()
}

/// The version in a path that [`part`] gave; None, if it is of another form.
pub fn part_version(path: &str) -> Option<u64> {
    let rest = path.strip_prefix(PARTS)?.strip_prefix('/')?;
    let (folder, name) = rest.rsplit_once('/')?;
    let digits = name.strip_suffix(".jsonl.gz")?;
    let is_folder = folder.starts_with("tables/") || folder.starts_with("components/");
    let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_folder && is_number)
}

/// The first day of the UTC month of `ts`, `2026-11-01`.
pub fn month_of(ts: Timestamp) -> String {
    let date = ts.to_datetime();
    format!("{:04}-{:02}-01", date.year(), date.month())
}

/// Whether both lie in one UTC month. Asked for every row of deltas, so a day, which is a division, answers first.
pub fn same_month(a: Timestamp, b: Timestamp) -> bool {
    const DAY: i64 = 86_400_000_000_000;
    a.0.div_euclid(DAY) == b.0.div_euclid(DAY) || month_of(a) == month_of(b)
}

/// Names a run in file names and base ids: 8 lower-case hexadecimal digits.
pub type RunId = str;

/// The id of a base that begins at `began` in run `run`.
pub fn base_id(began: Timestamp, run: &RunId) -> BaseId {
    BaseId(format!("{}-{run}", began.to_datetime().format("%Y%m%dT%H%M%SZ")))
}

/// The path of a file of a base: named by the base, because its upload begins before anything else is known.
pub fn snapshot_file(folder: &str, month: &str, base: &BaseId, counter: u32, run: &RunId) -> String {
    data_file(folder, Phase::Snapshot, month, &base.0, counter, run)
}

/// The path of a delta file: named by the first `_ts` in it.
pub fn delta_file(folder: &str, first: Timestamp, counter: u32, run: &RunId) -> String {
    let stem = first.to_datetime().format("%Y%m%dT%H%M%S%.9fZ").to_string();
    data_file(folder, Phase::Delta, &month_of(first), &stem, counter, run)
}

/// `counter` runs over all files of the run, so that no two paths are one, also where two folders are.
fn data_file(folder: &str, phase: Phase, month: &str, stem: &str, counter: u32, run: &RunId) -> String {
    format!("{folder}/{REVISIONS}/{PHASE_KEY}={phase}/{MONTH_KEY}={month}/{stem}-{counter:05}-{run}.parquet")
}

/// The folder of `table`, given the folders that tables already have.
///
/// It is `tables/NAME`, below `components/NAME` for each level of the component; a name that equals an earlier one's when
/// case is ignored, or is a Windows device name, gets a suffix `-N`, which no Convex name contains, so that the folder can
/// be reversed and lives on a disk that ignores case.
pub fn folder(table: &TableRef, taken: &BTreeMap<TableRef, String>) -> String {
    if let Some(folder) = taken.get(table) {
        return folder.clone();
    }
    let mut path = String::new();
    let mut component = String::new();
    for segment in table.component().split('/').filter(|s| !s.is_empty()) {
        let parent = component.clone();
        if !component.is_empty() {
            component.push('/');
        }
        component.push_str(segment);
        let siblings = taken.iter().filter_map(|(t, f)| {
            let child = child_component(&parent, t.component())?;
            let depth = component.split('/').count() * 2;
            let name = f.split('/').nth(depth - 1)?;
            Some((child, name))
        });
        let name = free_name(segment, siblings);
        path.push_str("components/");
        path.push_str(&name);
        path.push('/');
    }
    let siblings = taken.iter().filter(|(t, _)| t.component() == table.component());
    let siblings = siblings.filter_map(|(t, f)| Some((t.name(), f.rsplit('/').next()?)));
    let name = free_name(table.name(), siblings);
    format!("{path}tables/{name}")
}

/// The name of the component below `parent` through which `component` is reached.
fn child_component<'a>(parent: &str, component: &'a str) -> Option<&'a str> {
    let rest = if parent.is_empty() { component } else { component.strip_prefix(parent)?.strip_prefix('/')? };
    rest.split('/').next().filter(|s| !s.is_empty())
}

/// The folder name for `name` among `siblings` (name, folder name).
fn free_name<'a>(name: &str, siblings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let siblings: Vec<_> = siblings.collect();
    if let Some((_, folder)) = siblings.iter().find(|(n, _)| *n == name) {
        return (*folder).to_owned();
    }
    let taken = |folder: &str| siblings.iter().any(|(_, f)| f.eq_ignore_ascii_case(folder));
    if !is_device(name) && !taken(name) {
        return name.to_owned();
    }
    let mut n = 2u32;
    loop {
        let folder = format!("{name}-{n}");
        if !taken(&folder) {
            return folder;
        }
        n += 1;
    }
}

/// Names that Windows reserves, whatever the case.
fn is_device(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "con" | "prn" | "aux" | "nul")
        || (name.len() == 4
            && (name.starts_with("com") || name.starts_with("lpt"))
            && name.ends_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(component: &str, name: &str) -> TableRef {
        TableRef::new(component, name).unwrap()
    }

    proptest! {
        #[test]
        fn two_moments_are_in_one_month_if_its_name_is_the_same(a: i64, near in -3_000_000_000_000_000i64..3_000_000_000_000_000) {
            let (a, b) = (Timestamp(a), Timestamp(a.saturating_add(near)));
            prop_assert_eq!(same_month(a, b), month_of(a) == month_of(b));
        }
    }

    #[test]
    fn spells_paths_as_the_format_says() {
        let ts = Timestamp(1_795_434_575_833_065_791);
        assert_eq!(commit(42), "log/00000000000000000042.json");
        assert_eq!(checkpoint(64), "log/00000000000000000064.checkpoint.json.gz");
        assert_eq!(part("tables/a", "2026-11-01", 42), "parts/tables/a/2026-11-01/00000000000000000042.jsonl.gz");
        assert_eq!(month_of(ts), "2026-11-01");
        assert_eq!(
            delta_file("tables/a", ts, 17, "5f3a9c01"),
            "tables/a/revisions/convex_phase=delta/convex_month=2026-11-01/20261123T114935.833065791Z-00017-5f3a9c01.parquet"
        );
        let base = base_id(ts, "5f3a9c01");
        assert_eq!(base.0, "20261123T114935Z-5f3a9c01");
        assert_eq!(
            snapshot_file("tables/a", "2026-11-01", &base, 0, "00000000"),
            "tables/a/revisions/convex_phase=snapshot/convex_month=2026-11-01/20261123T114935Z-5f3a9c01-00000-00000000.parquet"
        );
    }

    #[test]
    fn the_first_of_case_twins_keeps_its_name() {
        let mut taken = BTreeMap::new();
        for (component, name, expected) in [
            ("", "Users", "tables/Users"),
            ("", "users", "tables/users-2"),
            ("", "USERS", "tables/USERS-3"),
            ("", "con", "tables/con-2"),
            ("", "Lpt1", "tables/Lpt1-2"),
            ("", "console", "tables/console"),
            ("wait", "users", "components/wait/tables/users"),
            ("Wait", "users", "components/Wait-2/tables/users"),
            ("Wait/inner", "t", "components/Wait-2/components/inner/tables/t"),
            ("Wait/INNER", "t", "components/Wait-2/components/INNER-2/tables/t"),
            ("wait/INNER", "t", "components/wait/components/INNER/tables/t"),
            ("Wait", "Users", "components/Wait-2/tables/Users-2"),
        ] {
            let table = table(component, name);
            let folder = folder(&table, &taken);
            assert_eq!(folder, expected);
            taken.insert(table, folder);
        }
    }

    proptest! {
        #[test]
        fn log_paths_read_back(version in any::<u64>()) {
            prop_assert_eq!(parse_log(&commit(version)), Some(LogObject::Commit(version)));
            prop_assert_eq!(parse_log(&checkpoint(version)), Some(LogObject::Checkpoint(version)));
            let digest = "0123456789abcdef".repeat(4);
            prop_assert_eq!(parse_log(&schemas(version, &digest)), Some(LogObject::Schemas(version)));
            prop_assert_eq!(parse_log(&schemas(version, "x")), None);
        }

        #[test]
        fn no_two_tables_share_a_folder_on_a_disk_that_ignores_case(
            names in proptest::collection::vec(("([aAbB](/[aA])?)?", "[aA][bB]?|con|CON"), 1..24)
        ) {
            let mut taken = BTreeMap::new();
            for (component, name) in names {
                let table = table(&component, &name);
                let folder = folder(&table, &taken);
                taken.insert(table, folder);
            }
            let lower: std::collections::BTreeSet<_> = taken.values().map(|f| f.to_ascii_lowercase()).collect();
            prop_assert_eq!(lower.len(), taken.len());
        }
    }
}
