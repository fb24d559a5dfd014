//! Where an archive stands, for whoever looks at it: a pure function of the head and the time.

use std::time::Duration;

use serde::Serialize;

use crate::{
    document::{Encoding, TableRef, Timestamp, time_text},
    identity::DeploymentIdentity,
    position::Phase,
    selection::Selection,
};

use super::{
    head::{
        Head,
        base::{Gap, LossyEncoding},
        coverage::Span,
        owed::OwedBase,
        tables::{Counts, TableState},
        trust::DoubtedSpan,
    },
    proof::{self, TableProof},
};

/// How long a deployment keeps its change log: 14 days, `DOCUMENT_RETENTION_DELAY` of Convex's backend.
pub const DELTAS_KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How long a deployment serves a snapshot that has begun: 5 days, `LIST_SNAPSHOT_MAX_AGE_SECS`.
pub const SNAPSHOT_KEPT: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// Where an archive stood at a moment. Moments are RFC 3339 in JSON, durations whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The newest version; 0 before the first commit.
    pub version: u64,
    /// SHA-256 of the newest commit.
    pub digest: String,
    /// The deployment that the archive belongs to.
    pub deployment: DeploymentIdentity,
    /// The tables that are archived, as patterns; those that leave with `!` are not.
    pub selection: Selection,
    /// What the next run goes on with.
    pub phase: Phase,
    /// The unfinished snapshot.
    pub snapshot: Option<WalkStatus>,
    /// The last cursor of the change log, as the deployment spells it.
    pub cursor: Option<String>,
    /// The `_ts` reached: the archive covers up to here. Absent until the first snapshot is complete: nothing is covered.
    #[serde(serialize_with = "time_text::option")]
    pub through: Option<Timestamp>,
    /// When the newest commit was made.
    #[serde(serialize_with = "time_text::option")]
    pub committed_at: Option<Timestamp>,
    /// When the deployment was last asked and answered.
    #[serde(serialize_with = "time_text::option")]
    pub checked_at: Option<Timestamp>,
    /// Whether it had nothing more then.
    pub caught_up: bool,
    /// Whether tables that are selected are not covered at the cursor, and get a base once the changes are read.
    pub base_owed: bool,
    /// How the deployment spelled its values then. `json` loses types: what was read that way is archived as it came.
    pub encoding: Option<Encoding>,
    /// How far the archive is behind: since the last check if it had caught up (an idle deployment writes nothing that
    /// could be behind), else since the `_ts` reached. Absent while a base is owed: then not all tables are covered.
    #[serde(rename = "lag_seconds", serialize_with = "seconds")]
    pub lag: Option<Duration>,
    /// How long a run has to begin within, so that the deployment still knows the changes after the cursor. Zero when that
    /// time is over.
    #[serde(rename = "deltas_left_seconds", serialize_with = "seconds")]
    pub deltas_left: Option<Duration>,
    /// Up to here it is known that nothing happened to a table but what the change log tells and what `suspect` and `doubts` say. Absent, if
    /// nobody watches: the deployment has no Data Sync.
    #[serde(serialize_with = "time_text::option")]
    pub guarded: Option<Timestamp>,
    /// Every table, sorted.
    pub tables: Vec<TableStatus>,
    /// Live files of bases and of deltas, over all tables; those of withdrawn bases count while they are there.
    pub total: Counts,
    /// Spans that the archive knows it does not have.
    pub gaps: Vec<Gap>,
    /// What came without types.
    pub untyped: Vec<LossyEncoding>,
}

/// A snapshot under way: readers see nothing of it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WalkStatus {
    /// Its `_ts`.
    #[serde(serialize_with = "time_text::one")]
    pub ts: Timestamp,
    /// Tables of which every document has been seen.
    pub tables_done: u64,
    /// What was written so far.
    pub written: Counts,
    /// How long the deployment goes on serving it. Zero when that time is over.
    #[serde(rename = "left_seconds", serialize_with = "some_seconds")]
    pub left: Duration,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableStatus {
    /// The table.
    pub table: TableRef,
    /// Its live files of bases and of deltas; those of withdrawn bases count while they are there.
    #[serde(flatten)]
    pub counts: Counts,
    /// What the unfinished snapshot has written of it.
    #[serde(skip_serializing_if = "Counts::is_zero")]
    pub unfinished: Counts,
    /// Columns of its newest schema, our own not counted.
    pub columns: u64,
    /// Values of any depth that fitted no column when they came, and were rescued.
    pub rescued_values: u64,
    /// The moments at which its state is in the archive.
    #[serde(serialize_with = "spans")]
    pub covered: Vec<Span>,
    /// When it was last proven to be what the deployment held; absent, if it never was.
    pub proven: Option<TableProof>,
    /// How long ago that was: since the last check, if somebody watched until then and the deployment had nothing more, else since
    /// [`through`](TableProof::through).
    #[serde(rename = "unproven_seconds", serialize_with = "seconds")]
    pub unproven: Option<Duration>,
    /// Since when it may be another than the deployment's, and why; absent, if nothing speaks against it. The next sync compares it.
    pub suspect: Option<DoubtedSpan>,
    /// Spans of the past in which it may have been another than the deployment's: it was corrected at their end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<DoubtedSpan>,
    /// Whether it belongs to a component and no change of any component was ever seen: the deployment may be one that
    /// sends none, so after the snapshot nothing is known of this table.
    pub component_doubt: bool,
}

impl Status {
    /// Where the archive stood at `now`, nanoseconds since 1970.
    pub fn of(head: &Head, now: Timestamp) -> Self {
        let (progress, latest) = (head.progress(), head.latest());
        let cursor = progress.delta.as_ref().map(|d| d.ts);
        let through = head.covered_through();
        let owed = head.owed() != OwedBase::Nothing;
        let caught_up = latest.is_some_and(|l| l.caught_up) && progress.walk.is_none();
        let known_at = if caught_up { latest.map(|l| l.checked_at) } else { through };
        let unfinished = || head.tables().fold(Counts::default(), |sum, t| sum.plus(t.unfinished));
        Self {
            version: head.version(),
            digest: head.digest().to_owned(),
            deployment: head.deployment().clone(),
            selection: head.coverage().selected(),
            phase: if cursor.is_none() || progress.walk.is_some() { Phase::Snapshot } else { Phase::Delta },
            snapshot: progress.walk.as_ref().map(|walk| WalkStatus {
                ts: walk.ts,
                tables_done: walk.done.len() as u64,
                written: unfinished(),
                left: SNAPSHOT_KEPT.saturating_sub(since(walk.ts, now)),
            }),
            cursor: progress.delta.as_ref().map(|d| d.position.token().to_owned()),
            through,
            committed_at: latest.map(|l| l.at),
            checked_at: latest.map(|l| l.checked_at),
            caught_up,
            encoding: latest.map(|l| l.encoding),
            base_owed: owed,
            lag: known_at.filter(|_| !owed).map(|at| since(at, now)),
            deltas_left: cursor.map(|at| DELTAS_KEPT.saturating_sub(since(at, now))),
            guarded: head.guarded(),
            tables: head.tables().map(|t| table_status(head, t, now)).collect(),
            total: head.visible(),
            gaps: head.coverage().gaps.clone(),
            untyped: head.coverage().untyped.clone(),
        }
    }
}

fn table_status(head: &Head, state: &TableState, now: Timestamp) -> TableStatus {
    let coverage = head.coverage();
    let of_component = !state.table.component().is_empty();
    TableStatus {
        table: state.table.clone(),
        counts: state.visible(),
        unfinished: state.unfinished,
        columns: state.schema.size.fields,
        rescued_values: state.misfits.values().flat_map(|kinds| kinds.values()).sum(),
        covered: coverage.spans(&state.table),
        proven: TableProof::of(head, state),
        unproven: unproven(head, state, now),
        suspect: proof::suspect(state),
        doubts: proof::doubts(head, state),
        component_doubt: of_component && coverage.component_rows.is_none(),
    }
}

/// A deployment that writes nothing does not move the cursor, and yet it was watched.
fn unproven(head: &Head, state: &TableState, now: Timestamp) -> Option<Duration> {
    let through = TableProof::of(head, state)?.through;
    let latest = head.latest().filter(|latest| latest.caught_up);
    let cursor = head.progress().delta.as_ref().map(|delta| delta.ts);
    let watched = head.guarded().is_some_and(|guarded| Some(guarded) >= cursor && guarded == through);
    Some(since(latest.filter(|_| watched).map_or(through, |latest| latest.checked_at.max(through)), now))
}

/// Zero where the clocks of writer and reader disagree.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(then.0).try_into().unwrap_or(0))
}

// The signatures are serde's.
#[allow(clippy::ref_option)]
fn seconds<S: serde::Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    duration.map(|d| d.as_secs()).serialize(s)
}

fn some_seconds<S: serde::Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(duration.as_secs())
}

fn spans<S: serde::Serializer>(spans: &[Span], s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Text {
        from: String,
        to: String,
    }
    s.collect_seq(spans.iter().map(|span| Text { from: span.from.to_string(), to: span.to.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{
        commit::Run,
        testing::{self, next_draft},
    };

    const SECOND: i64 = 1_000_000_000;

    /// The fixed history of the tests up to `version`; `caught_up` is what its last commit says.
    fn head(version: u64, caught_up: bool) -> Head {
        let empty = Head::before_all(testing::deployment(), "0".repeat(64)).unwrap();
        (1..=version).fold(empty, |head, n| {
            let mut draft = next_draft(&head);
            draft.caught_up = caught_up;
            let run = Run { id: "00000000".into(), counter: n };
            head.follow(draft, run, None).unwrap().1.with_digest(n.to_string())
        })
    }

    #[test]
    fn an_idle_deployment_lags_since_it_was_asked_and_a_busy_one_since_the_change_reached() {
        // S is 1000 ns, it was asked at 5000 ns.
        let later = Timestamp(5000 + 60 * SECOND);
        for (version, caught_up, expected) in [
            (0, true, None),
            // Nothing is covered before the first snapshot is complete, whatever the commit says.
            (1, true, None),
            (2, true, Some(60_000_000_000)),
            (2, false, Some(60_000_004_000)),
        ] {
            let status = Status::of(&head(version, caught_up), later);
            assert_eq!(status.lag, expected.map(Duration::from_nanos), "{version} {caught_up}");
        }
        assert_eq!(Status::of(&head(2, true), Timestamp(0)).lag, Some(Duration::ZERO), "a clock that is behind");
    }

    #[test]
    fn the_windows_close_14_and_5_days_after_the_moments_that_they_count_from() {
        let at = |days: u64| Timestamp(testing::S + days as i64 * 86_400 * SECOND);
        let day = Duration::from_secs(86_400);
        for (days, deltas, snapshot) in [(0, 14 * day, 5 * day), (4, 10 * day, day), (6, 8 * day, Duration::ZERO)] {
            let status = Status::of(&head(1, true), at(days));
            assert_eq!((status.deltas_left, status.snapshot.map(|s| s.left)), (Some(deltas), Some(snapshot)), "{days}");
        }
        assert_eq!(Status::of(&head(2, true), at(15)).deltas_left, Some(Duration::ZERO));
    }

    #[test]
    fn an_unfinished_snapshot_is_told_apart_from_what_readers_see() {
        let phase = |version| {
            let status = Status::of(&head(version, true), Timestamp(9000));
            (status.phase, status.total.files, status.snapshot.map(|s| s.written.files), status.tables.len())
        };
        assert_eq!(phase(0), (Phase::Snapshot, 0, None, 0));
        assert_eq!(phase(1), (Phase::Snapshot, 0, Some(1), 1));
        assert_eq!(phase(2), (Phase::Delta, 2, None, 1));
        assert_eq!(phase(4), (Phase::Delta, 4, None, 2));
    }

    #[test]
    fn moments_are_text_and_durations_seconds_in_json() {
        let json = serde_json::to_value(Status::of(&head(2, true), Timestamp(5000 + 90 * SECOND))).unwrap();
        assert_eq!(json["through"], "1970-01-01T00:00:00.000001000Z");
        assert_eq!((&json["lag_seconds"], &json["deltas_left_seconds"]), (&90.into(), &1_209_509.into()));
        let covered = &json["tables"][0]["covered"][0];
        assert_eq!((&covered["from"], &covered["to"]), (&json["through"], &json["through"]));
    }
}
