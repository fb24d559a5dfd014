//! [`Finding`]: what a person should know, though the verb goes on.

use std::fmt;

use serde::Serialize;

use crate::document::{Encoding, Timestamp};

/// Something that a person should know, though the verb goes on: its `Display` is the sentence, [`kind`](Self::kind) the
/// word for programs. As JSON it is the fields beside `"kind"`.
///
/// `why` is always the text of the error that was met, without the deploy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Changes that the deployment no longer keeps were recorded as a gap.
    Gap {
        /// The archive has everything up to here.
        from: Timestamp,
        /// It goes on with what came after this.
        to: Timestamp,
    },
    /// A walk ended before it was complete: what it finished counts, the rest is walked anew.
    SnapshotCutShort {
        /// The cause.
        why: String,
    },
    /// A snapshot is walked so slowly that the deployment will stop serving it before it is complete.
    SnapshotTooSlow {
        /// Its `_ts`.
        snapshot: Timestamp,
        /// Documents that it has so far.
        seen: u64,
        /// Documents that it will have, about.
        documents: u64,
        /// Days that it needs at this rate, from its beginning on.
        days: u64,
    },
    /// For a day or more each run ended with more waiting, and at this rate the archive does not catch up before the deployment drops changes.
    FallsBehind {
        /// When the first of these runs began.
        since: Timestamp,
        /// How many there were.
        runs: u64,
        /// How far the archive was behind after the first, hours.
        before_hours: u64,
        /// How far it is behind now, hours.
        now_hours: u64,
        /// In about how many days the deployment drops what the archive lacks; None, if it does not fall further behind.
        days_left: Option<u64>,
    },
    /// A selection includes a table by its name that the deployment does not have.
    NoSuchTable {
        /// The name, as the selection has it.
        name: String,
        /// Names of tables that the deployment has and that are spelled alike, the nearest first.
        nearest: Vec<String>,
    },
    /// A pattern of the selection, or the name of a table that it leaves out, fits no table of the deployment.
    PatternFitsNothing {
        /// The pattern, as the selection has it.
        pattern: String,
    },
    /// The deployment has tables, and the selection holds none of them.
    NothingSelected {
        /// The selection.
        selection: String,
        /// How many tables the deployment lists.
        tables: u64,
    },
    /// A source says that a table may have been replaced. It only raises suspicion: nothing is removed on such a word. The
    /// streaming export cannot tell: only a [`Source`](crate::convex::Source) of another protocol makes this.
    TableSuspected {
        /// The table, `messages` or `waitlist/users`.
        table: String,
    },
    /// A table was dropped in the deployment: it is empty from now on, and keeps its history.
    TableDropped {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// Documents that it had.
        documents: u64,
    },
    /// A table was replaced, cleared or imported into, of which the change log says nothing: it was corrected.
    TableReplaced {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// Documents that it does not have any more.
        extra: u64,
        /// Documents that had not come.
        missing: u64,
        /// Documents that had come in another revision.
        different: u64,
    },
    /// A table that may have differed from the deployment was fetched anew; whether it had differed is not known.
    TableFetchedAnew {
        /// The table, `messages` or `waitlist/users`.
        table: String,
    },
    /// The change log told documents that never became true: an import did not finish. They are no longer shown.
    ImportLeftovers {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// How many.
        documents: u64,
        /// `_ts` of the first.
        from: Timestamp,
        /// `_ts` of the last.
        to: Timestamp,
        /// Whether the deployment tells that an import has left something behind.
        watched: bool,
    },
    /// An import is filling a table: its documents stand in the change log, and the table does not have them yet.
    ImportUnderWay {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// How many.
        documents: u64,
    },
    /// A table differs from the deployment, and was not corrected.
    TableDiffers {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// Documents that the deployment does not have.
        extra: u64,
        /// Documents that the archive does not have.
        missing: u64,
        /// Documents that the two have in different revisions.
        different: u64,
    },
    /// A table could not be compared with the deployment.
    NotCompared {
        /// The table, `messages` or `waitlist/users`.
        table: String,
        /// The cause.
        why: String,
    },
    /// Small files of a table could not be joined, or no base be made of it.
    NotCompacted {
        /// The table; empty, if it was no matter of one.
        table: String,
        /// The cause.
        why: String,
    },
    /// What older commits have replaced could not be deleted.
    NotVacuumed {
        /// The cause.
        why: String,
    },
    /// Nobody could ask for what the change log does not tell.
    NotWatched {
        /// The cause.
        why: String,
    },
    /// `sentinel.json` was not written: the next run asks again.
    SentinelNotWritten {
        /// The cause.
        why: String,
    },
    /// The deployment does not tell the shapes of its tables.
    ShapesUnknown {
        /// The cause.
        why: String,
    },
    /// The deployment lists a table under a name that no table can have: it is left out.
    ImpossibleTable {
        /// The cause.
        why: String,
    },
    /// The deployment does not know an encoding; another that loses nothing either takes its place.
    OtherEncoding {
        /// The one that it does not know.
        before: Encoding,
        /// The one in force now.
        now: Encoding,
    },
    /// The deployment knows no encoding that keeps types.
    TypesLost {
        /// The last one that was tried.
        before: Encoding,
    },
    /// The deployment sends, and bills, the rows of tables that are not selected, too.
    SelectionNotHeeded {
        /// How it refused the selection; `None`, if it said nothing and sent everything.
        refusal: Option<String>,
    },
    /// A snapshot goes on for all tables, since it was begun when other tables were known.
    SnapshotOfAllTables,
    /// The deploy key was refused, and the file that it came from holds another one now.
    KeyRenewed {
        /// Where the other key stands.
        place: String,
    },
    /// Documents had fields beside `_id` and `_creationTime` that begin with `_` and are unknown; those were not kept.
    UnknownFields {
        /// How many.
        documents: u64,
    },
    /// Documents had more levels or fields than Convex documents; they were archived all the same.
    BeyondLimits {
        /// How many.
        documents: u64,
    },
    /// This machine's clock and the deployment's differ by more than five minutes: the deployment's time is written.
    ClocksDiffer {
        /// What this machine's said.
        ours: Timestamp,
        /// What the deployment's said.
        theirs: Timestamp,
    },
    /// A server announced a change.
    Deprecation {
        /// The server.
        who: String,
        /// The state that it announces.
        state: String,
        /// Its own words.
        message: Option<String>,
    },
    /// `manifest.json` could not be read, so the log was listed instead.
    ManifestUnreadable {
        /// The cause.
        why: String,
    },
    /// `manifest.json` names a version that the log does not have, so the log was listed instead.
    ManifestAhead {
        /// The version that it names.
        version: u64,
    },
    /// `manifest.json`, or a part of it, is not what the log says.
    ManifestDamaged {
        /// The cause.
        why: String,
    },
    /// `manifest.json` was not rewritten: it shows an older version.
    ManifestNotRewritten {
        /// The cause.
        why: String,
    },
    /// A checkpoint that is due was not written; the next commit tries again.
    CheckpointNotWritten {
        /// The version whose checkpoint it is.
        version: u64,
        /// The cause.
        why: String,
    },
    /// A checkpoint is damaged: an older one was taken, and the commits after it.
    CheckpointDamaged {
        /// The version whose checkpoint it is.
        version: u64,
        /// The cause.
        why: String,
    },
    /// The header or the newest commit is not as it was written; no later commit holds its digest.
    EndAltered {
        /// Its path inside the archive.
        path: String,
        /// How that is known.
        why: String,
    },
    /// An object of the log has a number far behind the newest commit, with none between.
    StrayObject {
        /// Its path inside the archive.
        path: String,
    },
    /// A part, the list of the live files of a table in one month, is damaged or missing: the commits were read instead.
    PartLost {
        /// Its path inside the archive.
        path: String,
        /// The cause.
        why: String,
    },
    /// A store that is none for archives keeps a header that could not be deleted again.
    HeaderLeftBehind {
        /// Its path inside the archive.
        path: String,
        /// The cause.
        why: String,
    },
    /// An upload that will not be completed could not be aborted: its parts stay in the store, unseen.
    UploadLeftBehind {
        /// The path that the object would have had.
        path: String,
        /// The cause.
        why: String,
    },
    /// A file that a killed process left on the disk could not be removed.
    StagingFileLeftBehind {
        /// Where it is.
        path: String,
        /// The cause.
        why: String,
    },
    /// Our own server failed to answer a request: whoever asked was told no more than that.
    RequestFailed {
        /// The path that was asked for.
        path: String,
        /// The cause.
        why: String,
    },
}

impl Finding {
    /// A stable lower-case word, as it appears in JSON reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::SnapshotCutShort { .. } => "snapshot_cut_short",
            Self::SnapshotTooSlow { .. } => "snapshot_too_slow",
            Self::FallsBehind { .. } => "falls_behind",
            Self::NoSuchTable { .. } => "no_such_table",
            Self::PatternFitsNothing { .. } => "pattern_fits_nothing",
            Self::NothingSelected { .. } => "nothing_selected",
            Self::TableSuspected { .. } => "table_suspected",
            Self::TableDropped { .. } => "table_dropped",
            Self::TableReplaced { .. } => "table_replaced",
            Self::TableFetchedAnew { .. } => "table_fetched_anew",
            Self::ImportLeftovers { .. } => "import_leftovers",
            Self::ImportUnderWay { .. } => "import_under_way",
            Self::TableDiffers { .. } => "table_differs",
            Self::NotCompared { .. } => "not_compared",
            Self::NotCompacted { .. } => "not_compacted",
            Self::NotVacuumed { .. } => "not_vacuumed",
            Self::NotWatched { .. } => "not_watched",
            Self::SentinelNotWritten { .. } => "sentinel_not_written",
            Self::ShapesUnknown { .. } => "shapes_unknown",
            Self::ImpossibleTable { .. } => "impossible_table",
            Self::OtherEncoding { .. } => "other_encoding",
            Self::TypesLost { .. } => "types_lost",
            Self::SelectionNotHeeded { .. } => "selection_not_heeded",
            Self::SnapshotOfAllTables => "snapshot_of_all_tables",
            Self::KeyRenewed { .. } => "key_renewed",
            Self::UnknownFields { .. } => "unknown_fields",
            Self::BeyondLimits { .. } => "beyond_limits",
            Self::ClocksDiffer { .. } => "clocks_differ",
            Self::Deprecation { .. } => "deprecation",
            Self::ManifestUnreadable { .. } => "manifest_unreadable",
            Self::ManifestAhead { .. } => "manifest_ahead",
            Self::ManifestDamaged { .. } => "manifest_damaged",
            Self::ManifestNotRewritten { .. } => "manifest_not_rewritten",
            Self::CheckpointNotWritten { .. } => "checkpoint_not_written",
            Self::CheckpointDamaged { .. } => "checkpoint_damaged",
            Self::EndAltered { .. } => "end_altered",
            Self::StrayObject { .. } => "stray_object",
            Self::PartLost { .. } => "part_lost",
            Self::HeaderLeftBehind { .. } => "header_left_behind",
            Self::UploadLeftBehind { .. } => "upload_left_behind",
            Self::StagingFileLeftBehind { .. } => "staging_file_left_behind",
            Self::RequestFailed { .. } => "request_failed",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { from, to } => write!(
                f,
                "the changes after {from} up to {to} are lost: the deployment no longer keeps them, and no sync ran in \
                 time. The archive records the gap, continues with the changes after it, and takes a new base of all \
                 tables"
            ),
            Self::SnapshotCutShort { why } => write!(
                f,
                "a snapshot ended before it was complete; the tables that it finished are kept, and the others are \
                 read again after the changes: {why}"
            ),
            Self::SnapshotTooSlow { snapshot, seen, documents, days } => write!(
                f,
                "the snapshot of {snapshot} has {seen} of about {documents} documents so far. At this rate it needs \
                 {days} days, but a deployment serves a snapshot for only 5 days: let runs take longer \
                 (--max-duration, --max-download), or run more often"
            ),
            Self::FallsBehind { since, runs, before_hours, now_hours, days_left } => {
                write!(
                    f,
                    "each of the {runs} runs since {since} ended with more changes waiting, and the archive is now \
                     {now_hours} hours behind, up from {before_hours} hours then. "
                )?;
                match days_left {
                    Some(days) => write!(
                        f,
                        "At this rate the deployment drops changes that the archive lacks in about {days} days"
                    )?,
                    None => f.write_str("At this rate it does not catch up in time")?,
                }
                f.write_str(": let runs take longer (--max-duration, --max-download), or run more often")
            }
            Self::NoSuchTable { name, nearest } => {
                write!(f, "the deployment has no table `{name}`, which the selection includes: ")?;
                match nearest.as_slice() {
                    [] => f.write_str("is it spelled right?"),
                    names => write!(f, "is `{}` meant?", names.join("` or `")),
                }
            }
            Self::PatternFitsNothing { pattern } => {
                write!(f, "no table of the deployment matches `{pattern}` of the selection: is it spelled right?")
            }
            Self::NothingSelected { selection, tables } => write!(
                f,
                "the selection `{selection}` matches none of the deployment's tables ({tables}), so nothing is \
                 archived; change --include and --exclude"
            ),
            Self::TableSuspected { table } => write!(
                f,
                "table {table} may have been replaced in the deployment: its old documents may still be in the archive"
            ),
            Self::TableDropped { table, documents } => write!(
                f,
                "table {table} was dropped in the deployment, which the change log does not record: its {documents} \
                 documents were removed from its present state, and stay in its history"
            ),
            Self::TableReplaced { table, extra, missing, different } => write!(
                f,
                "table {table} was replaced, cleared or imported into, which the change log does not record. The \
                 archive now matches the deployment again: {extra} documents were removed from its present state, \
                 {missing} were added, {different} were changed"
            ),
            Self::TableFetchedAnew { table } => write!(
                f,
                "table {table} may have differed from the deployment and was fetched again: from now on it matches the \
                 deployment"
            ),
            Self::ImportLeftovers { table, documents, from, to, watched: true } => write!(
                f,
                "an import into {table} between {from} and {to} did not finish: {documents} documents that it left \
                 behind were removed from the table's present state"
            ),
            Self::ImportLeftovers { table, documents, from, to, watched: false } => write!(
                f,
                "{documents} documents of {table}, written between {from} and {to}, are not in the deployment, \
                 although the change log records no deletion: an unfinished import leaves such documents. They were \
                 removed from the table's present state"
            ),
            Self::ImportUnderWay { table, documents } => write!(
                f,
                "an import is filling table {table}, or has failed within the last hour: the change log has \
                 {documents} documents that the table does not have. The archive shows them until a later run knows \
                 the result of the import"
            ),
            Self::TableDiffers { table, extra, missing, different } => write!(
                f,
                "table {table} differs from the deployment, and was not corrected: {extra} documents are extra, \
                 {missing} are missing, {different} are different. Run sync with --on-suspicion heal"
            ),
            Self::NotCompared { table, why } => {
                write!(f, "table {table} could not be compared with the deployment: {why}")
            }
            Self::NotCompacted { table, why } if table.is_empty() => {
                write!(f, "nothing was compacted; the next run tries again: {why}")
            }
            Self::NotCompacted { table, why } => {
                write!(f, "table {table} was not compacted, and stays as it is: {why}")
            }
            Self::NotVacuumed { why } => {
                write!(f, "files that only older versions need were not deleted; a later run tries again: {why}")
            }
            Self::NotWatched { why } => write!(
                f,
                "could not ask the deployment about imports and dropped tables, which the change log does not record; \
                 the next run asks again: {why}"
            ),
            Self::SentinelNotWritten { why } => {
                write!(f, "sentinel.json was not written; the next run asks the deployment again: {why}")
            }
            Self::ShapesUnknown { why } => write!(
                f,
                "the deployment cannot describe the shapes of its tables ({why}; a single unusual table makes \
                 /api/json_schemas fail for all): columns are derived from the documents alone"
            ),
            Self::ImpossibleTable { why } => {
                write!(f, "the deployment lists a table with an impossible name, which is left out: {why}")
            }
            Self::OtherEncoding { before, now } => write!(
                f,
                "the deployment does not support the encoding {}: documents are requested as {}, which is lossless, \
                 too",
                before.as_str(),
                now.as_str()
            ),
            Self::TypesLost { before } => write!(
                f,
                "the deployment does not support the encoding {}: documents arrive as `json`, which LOSES TYPES. An \
                 int64 or bytes arrive as text, NaN and infinities as words, and are archived like that; their \
                 original types cannot be recovered later. Upgrade the deployment; `status` shows the encoding in use",
                before.as_str()
            ),
            Self::SelectionNotHeeded { refusal } => {
                match refusal {
                    Some(refusal) => write!(f, "the deployment does not accept a selection ({refusal})")?,
                    None => f.write_str("the deployment ignores the selection")?,
                }
                f.write_str(
                    ", so it sends (and bills) the rows of all tables; rows of tables that are not selected are \
                     discarded here and not archived",
                )
            }
            Self::SnapshotOfAllTables => f.write_str(
                "the snapshot was begun when other tables were known, and continues for all of them: rows that are not \
                 selected are sent and billed, but discarded here",
            ),
            Self::KeyRenewed { place } => write!(
                f,
                "the deployment no longer accepts the deploy key; {place} now holds another one, and the run continues \
                 with it"
            ),
            Self::UnknownFields { documents } => write!(
                f,
                "{documents} documents have a field that begins with `_` and that this program does not know: the \
                 field was left out, and the documents were archived. A newer version of this program may know it"
            ),
            Self::BeyondLimits { documents } => write!(
                f,
                "{documents} documents have more than 16 levels or 1,024 fields, which exceeds Convex's documented \
                 limits: they were archived as they are"
            ),
            Self::ClocksDiffer { ours, theirs } => write!(
                f,
                "this machine's clock says {ours}, but the deployment's says {theirs}: the archive records the \
                 deployment's time. Set this machine's clock, or `status` will show a wrong lag"
            ),
            Self::Deprecation { who, state, message } => {
                write!(f, "{who} announces a change ({state}): {}", message.as_deref().unwrap_or("no text"))
            }
            Self::ManifestUnreadable { why } => {
                write!(f, "manifest.json cannot be read, so the whole log was listed instead: {why}")
            }
            Self::ManifestAhead { version } => write!(
                f,
                "manifest.json names version {version}, which does not exist, so the whole log was listed instead"
            ),
            Self::ManifestDamaged { why } => {
                write!(f, "manifest.json does not match the log; the next sync writes it again: {why}")
            }
            Self::ManifestNotRewritten { why } => {
                write!(f, "manifest.json was not rewritten and shows an older version: {why}")
            }
            Self::CheckpointNotWritten { version, why } => {
                write!(f, "the checkpoint of version {version} was not written; the next commit tries again: {why}")
            }
            Self::CheckpointDamaged { version, why } => write!(
                f,
                "the checkpoint of version {version} is damaged, so other objects were read instead; the next sync \
                 writes it again: {why}"
            ),
            Self::EndAltered { path, why } => write!(
                f,
                "{path} is not as it was written ({why}). Restore it from a copy; until then nothing is written to the \
                 archive, because the next commit would build on it"
            ),
            Self::StrayObject { path } => write!(
                f,
                "{path} does not belong to the log, which ends long before that number, and was ignored: find out \
                 where it comes from, and delete it"
            ),
            Self::PartLost { path, why } => {
                write!(f, "the list of files {path} is not usable, so the commits were read instead: {why}")
            }
            Self::HeaderLeftBehind { path, why } => {
                write!(f, "{path} could not be deleted afterwards; delete it by hand: {why}")
            }
            Self::UploadLeftBehind { path, why } => write!(
                f,
                "an unfinished upload of {path} could not be aborted; its parts stay in the store until a lifecycle \
                 rule of the bucket removes them: {why}"
            ),
            Self::StagingFileLeftBehind { path, why } => {
                write!(f, "the unfinished file {path} cannot be removed; delete it by hand: {why}")
            }
            Self::RequestFailed { path, why } => {
                write!(f, "a request for {path} could not be answered: {why}")
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::monitor) fn some_of_each() -> Vec<Finding> {
        let (why, path) = (|| "the store is away".to_owned(), || "a/b".to_owned());
        let (before, now) = (Encoding::ConvexEncodedJson, Encoding::ExportJson);
        vec![
            Finding::Gap { from: Timestamp(1), to: Timestamp(2) },
            Finding::SnapshotCutShort { why: why() },
            Finding::SnapshotTooSlow { snapshot: Timestamp(1), seen: 2, documents: 3, days: 7 },
            Finding::FallsBehind { since: Timestamp(1), runs: 3, before_hours: 4, now_hours: 5, days_left: Some(6) },
            Finding::NoSuchTable { name: "user".into(), nearest: vec!["users".into()] },
            Finding::PatternFitsNothing { pattern: "log_*".into() },
            Finding::NothingSelected { selection: "user".into(), tables: 3 },
            Finding::TableSuspected { table: "a".into() },
            Finding::TableDropped { table: "a".into(), documents: 3 },
            Finding::TableReplaced { table: "a".into(), extra: 1, missing: 2, different: 3 },
            Finding::TableFetchedAnew { table: "a".into() },
            Finding::ImportLeftovers {
                table: "a".into(),
                documents: 3,
                from: Timestamp(1),
                to: Timestamp(2),
                watched: true,
            },
            Finding::ImportUnderWay { table: "a".into(), documents: 3 },
            Finding::TableDiffers { table: "a".into(), extra: 1, missing: 2, different: 3 },
            Finding::NotCompared { table: "a".into(), why: why() },
            Finding::NotCompacted { table: "a".into(), why: why() },
            Finding::NotVacuumed { why: why() },
            Finding::NotWatched { why: why() },
            Finding::SentinelNotWritten { why: why() },
            Finding::ShapesUnknown { why: why() },
            Finding::ImpossibleTable { why: why() },
            Finding::OtherEncoding { before, now },
            Finding::TypesLost { before },
            Finding::SelectionNotHeeded { refusal: None },
            Finding::SnapshotOfAllTables,
            Finding::KeyRenewed { place: path() },
            Finding::UnknownFields { documents: 3 },
            Finding::BeyondLimits { documents: 1 },
            Finding::ClocksDiffer { ours: Timestamp(1), theirs: Timestamp(2) },
            Finding::Deprecation { who: "it".into(), state: "soon".into(), message: None },
            Finding::ManifestUnreadable { why: why() },
            Finding::ManifestAhead { version: 3 },
            Finding::ManifestDamaged { why: why() },
            Finding::ManifestNotRewritten { why: why() },
            Finding::CheckpointNotWritten { version: 64, why: why() },
            Finding::CheckpointDamaged { version: 64, why: why() },
            Finding::EndAltered { path: path(), why: why() },
            Finding::StrayObject { path: path() },
            Finding::PartLost { path: path(), why: why() },
            Finding::HeaderLeftBehind { path: path(), why: why() },
            Finding::UploadLeftBehind { path: path(), why: why() },
            Finding::StagingFileLeftBehind { path: path(), why: why() },
            Finding::RequestFailed { path: path(), why: why() },
        ]
    }

    #[test]
    fn the_runbook_has_an_entry_for_each_kind() {
        let runbook = include_str!("../../examples/RUNBOOK.md");
        for finding in some_of_each() {
            let entry = format!("`{}`", finding.kind());
            let has_one = runbook.lines().any(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&entry)));
            assert!(has_one, "examples/RUNBOOK.md has no entry for {entry}");
        }
    }

    #[test]
    fn every_kind_is_spelled_in_json_as_programs_ask_for_it() {
        for finding in some_of_each() {
            let json = serde_json::to_value(&finding).unwrap();
            assert_eq!(json["kind"], finding.kind(), "{finding}");
        }
    }
}
