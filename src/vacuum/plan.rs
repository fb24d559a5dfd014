//! Whether an object of a listing may go: pure.

use std::collections::BTreeSet;

use crate::{
    document::Timestamp,
    layout::{self, LogObject},
};

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundObject {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// When it was written, nanoseconds.
    pub(super) written: Timestamp,
}

/// What an object is to the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is needed, or may be.
    Kept,
    /// Nobody needs it, but it is too young.
    Young,
    /// It may go.
    Useless,
    /// It bears no name of ours.
    Stray,
}

/// What is needed, and what was until a short while ago.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// Paths of data files and lists that live, or that `manifest.json` or a kept checkpoint names.
    pub(super) live: BTreeSet<String>,
    /// Paths of what was replaced not long enough ago.
    pub(super) recent: BTreeSet<String>,
    /// The oldest checkpoint that is kept.
    pub(super) checkpoints_from: u64,
}

/// What becomes of the object, if what is useless may go once it is older than `until`.
pub(super) fn judge(object: &FoundObject, needed: &Needed, until: Timestamp) -> Judgement {
    let path = object.path.as_str();
    let age = |at: Timestamp| if at < until { Judgement::Useless } else { Judgement::Young };
    match layout::parse_log(path) {
        Some(LogObject::Commit(_) | LogObject::Schemas(_)) => return Judgement::Kept,
        Some(LogObject::Checkpoint(version)) if version >= needed.checkpoints_from => return Judgement::Kept,
        Some(LogObject::Checkpoint(_)) => return age(object.written),
        None => {}
    }
    if layout::is_kept(path) || needed.live.contains(path) {
        return Judgement::Kept;
    }
    if !layout::is_data_file(path) && !layout::is_part(path) {
        return Judgement::Stray;
    }
    if needed.recent.contains(path) {
        return Judgement::Young;
    }
    // It was replaced long ago, or no commit names it: its run has died, or has not committed yet.
    age(object.written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "tables/a/revisions/convex_phase=delta/convex_month=2026-11-01/20261123T101500.123456789Z-00017-5f3a9c01.parquet";
    const PART: &str = "parts/tables/a/2026-11-01/00000000000000000042.jsonl.gz";

    #[test]
    fn only_what_bears_our_name_is_not_needed_and_is_old_may_go() {
        let mut needed = Needed { checkpoints_from: 128, ..Needed::default() };
        needed.live.insert(PART.replace("42", "43"));
        needed.recent.insert(DATA.to_owned());
        for (path, written, expected) in [
            (DATA, 10, Judgement::Young),
            (PART, 10, Judgement::Useless),
            (PART, 40, Judgement::Young),
            (&PART.replace("42", "43"), 10, Judgement::Kept),
            (&DATA.replace("00017", "00018"), 10, Judgement::Useless),
            (&DATA.replace("00017", "00018"), 41, Judgement::Young),
            (&layout::commit(3), 1, Judgement::Kept),
            (&layout::schemas(3, &"0".repeat(64)), 1, Judgement::Kept),
            (&layout::checkpoint(64), 1, Judgement::Useless),
            (&layout::checkpoint(128), 1, Judgement::Kept),
            ("archive.json", 1, Judgement::Kept),
            ("manifest.json", 1, Judgement::Kept),
            ("sentinel.json", 1, Judgement::Kept),
            ("lease.json", 1, Judgement::Kept),
            ("runs/vacuumed.json", 1, Judgement::Kept),
            ("tables/a/_delta_log/00000000000000000000.json", 1, Judgement::Kept),
            ("tables/a/revisions/deletion_vector_x.bin", 1, Judgement::Kept),
            ("tables/a/iceberg/metadata/v1.metadata.json", 1, Judgement::Kept),
            ("tables/a/notes.txt", 1, Judgement::Stray),
            ("tables/a/revisions/convex_phase=delta/convex_month=2026-11-01/mine.parquet", 1, Judgement::Stray),
            ("parts/mine.jsonl.gz", 1, Judgement::Stray),
            ("log/00000000000000000042.txt", 1, Judgement::Stray),
            ("README", 1, Judgement::Stray),
        ] {
            let object = FoundObject { path: path.to_owned(), bytes: 1, written: Timestamp(written) };
            assert_eq!(judge(&object, &needed, Timestamp(40)), expected, "{path} {written}");
        }
        needed.recent.clear();
        let object = FoundObject { path: DATA.to_owned(), bytes: 1, written: Timestamp(10) };
        assert_eq!(judge(&object, &needed, Timestamp(40)), Judgement::Useless);
    }
}
