//! A commit of the model, spelled as one of the archive.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::model::{
    draft::{self as plain, GroupReason, Path},
    truth::{TABLES, Table, Ts},
};
use crate::{
    archive::{
        Base, BaseMaker, BaseTable, Doubt, Draft, Gap, Head, LeftOut, RemovedFile, Replacement, ReplacementReason,
        TableEntry, Withdrawal, WithdrawalReason, testing,
    },
    data::DataFile,
    document::{Encoding, TableRef, Timestamp},
    layout,
    position::{BaseId, DeltaCursor, Phase, Position, Progress, Scope, Walk},
    selection::Selection,
};

/// Wall time of every commit.
const AT: Timestamp = Timestamp(5000);
/// Moments of the model in a month of the model.
const DAYS: Ts = 12;

/// A moment of the model: one of its months has twelve moments, each is a day.
pub(super) fn moment(ts: Ts) -> Timestamp {
    let (month, day) = (ts.div_euclid(DAYS) as i32, ts.rem_euclid(DAYS) as u32);
    let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12) as u32 + 1);
    let day = NaiveDate::from_ymd_opt(year, month, day + 1).expect("a day");
    Timestamp(day.and_hms_opt(0, 0, 0).expect("midnight").and_utc().timestamp_nanos_opt().expect("not so far away"))
}

fn month(month: Ts) -> String {
    layout::month_of(moment(month * DAYS))
}

pub(super) fn table(table: Table) -> TableRef {
    testing::table(["a", "b", "c"][table])
}

pub(super) fn base_id(base: plain::BaseId) -> BaseId {
    BaseId(format!("{base:020}"))
}

fn path(of: Table, path: Path) -> String {
    format!("tables/{}/revisions/{path:020}.parquet", table(of).name())
}

fn scope<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Scope {
    Scope::Tables(tables.into_iter().map(|t| table(*t)).collect())
}

fn selection(tables: &BTreeSet<Table>) -> Selection {
    if tables.len() == TABLES {
        return Selection::default();
    }
    let names: Vec<_> = tables.iter().map(|t| table(*t).name().to_owned()).collect();
    names.join(" ").parse().expect("a selection")
}

/// A live file as the commit that adds it says.
pub(super) fn file(of: &plain::File) -> DataFile {
    let (tables, phase) = (table(of.table), if of.is_delta() { Phase::Delta } else { Phase::Snapshot });
    let moments = || of.rows.iter().map(|row| moment(row.ts));
    DataFile {
        path: path(of.table, of.path),
        phase,
        base: of.base.map(base_id),
        month: month(of.month),
        repeats: of.repeats,
        rows: of.rows.len() as u64,
        tombstones: of.rows.iter().filter(|row| row.tombstone).count() as u64,
        min_ts: moments().min().unwrap_or_default(),
        max_ts: moments().max().unwrap_or_default(),
        misfits: BTreeMap::new(),
        ..testing::delta(tables.name(), of.path, 0, 0)
    }
}

/// A file that never was there, and that nothing covers. (A head knows no paths: whether a file that may leave is live is found where
/// live files are streamed.)
fn unknown(of: Path) -> RemovedFile {
    let file = DataFile { path: path(0, of), ..testing::delta("a", 0, i64::MAX, i64::MAX) };
    RemovedFile::of(&file).expect("a file can be spelled")
}

/// What a writer that sees `head` makes of the plan. `files` are all that ever were added.
pub(super) fn draft(plan: &plain::Draft, head: &Head, files: &BTreeMap<Path, RemovedFile>) -> Draft {
    let selected = plan.selection.as_ref().map_or_else(|| head.coverage().selected(), selection);
    let empty = if plan.maintenance { head.maintenance(AT) } else { None };
    let empty = empty.unwrap_or_else(|| head.unchanged(Encoding::ConvexEncodedJson, selected.clone(), AT));
    let said = plan.progress.as_ref().map(progress);
    // Maintenance repeats where the data stand.
    let silent = || if plan.maintenance { head.progress().clone() } else { Progress::default() };
    let removed = |path: &Path| files.get(path).cloned().unwrap_or_else(|| unknown(*path));
    let first = plan.kind == plain::Kind::Begin;
    let named =
        |t| TableEntry::new(table(t), format!("tables/{}", table(t).name()), None, crate::schema::TableSchema::empty());
    let mut draft = Draft {
        selection: selected,
        progress: said.unwrap_or_else(silent),
        tables: if first { (0..TABLES).map(named).collect() } else { Vec::new() },
        add: plan.add.iter().map(file).collect(),
        remove: plan.remove.iter().map(removed).collect(),
        replaced: plan.replaced.iter().map(|group| replacement(group, plan, files)).collect(),
        bases: plan.bases.iter().map(base).collect(),
        withdrawn: plan.withdrawn.iter().map(withdrawal).collect(),
        unmarked: plan.unmarked.iter().copied().map(base_id).collect(),
        gaps: plan.gaps.iter().map(gap).collect(),
        doubts: plan.doubts.iter().map(doubt).collect(),
        ..empty
    };
    draft.sort();
    draft
}

fn progress(of: &plain::Progress) -> Progress {
    let cursor = DeltaCursor { position: Position::new(Phase::Delta, of.cursor.to_string()), ts: moment(of.cursor) };
    let walk = of.walk.as_ref().map(|walk| Walk {
        base: base_id(walk.base),
        ts: moment(walk.ts),
        month: month(plain::month(walk.ts)),
        scope: scope(&walk.tables),
        position: Position::new(Phase::Snapshot, walk.came.to_string()),
        done: walk.done.iter().map(|t| table(*t)).collect(),
    });
    Progress { delta: Some(cursor), walk }
}

fn replacement(of: &plain::Group, plan: &plain::Draft, files: &BTreeMap<Path, RemovedFile>) -> Replacement {
    let name = |p: &Path| {
        let added = plan.add.iter().find(|f| f.path == *p).map(|f| path(f.table, *p));
        added.or_else(|| files.get(p).map(|f| f.path.clone())).unwrap_or_else(|| unknown(*p).path)
    };
    let had: u64 = of.inputs.iter().filter_map(|p| files.get(p)).map(|f| f.tombstones).sum();
    let outputs = plan.add.iter().filter(|f| of.outputs.contains(&f.path));
    let has: u64 = outputs.map(|f| file(f).tombstones).sum();
    let left = LeftOut { rows: of.left as u64, tombstones: had.saturating_sub(has), rescued_rows: 0 };
    Replacement {
        inputs: of.inputs.iter().map(name).collect(),
        outputs: of.outputs.iter().map(name).collect(),
        why: match of.why {
            GroupReason::Compaction => ReplacementReason::Compaction,
            GroupReason::Cut => ReplacementReason::Cut,
            GroupReason::Erasure => ReplacementReason::Erasure,
        },
        left: (of.left > 0).then_some(left),
    }
}

fn base(of: &plain::Base) -> Base {
    Base {
        made: match of.made {
            plain::Made::Deployment => BaseMaker::Deployment,
            plain::Made::Archive => BaseMaker::Archive,
        },
        cuts: of.cuts.iter().map(|t| table(*t)).collect(),
        ..Base::new(base_id(of.id), moment(of.ts), scope(of.tables.keys()), Vec::new())
    }
}

/// What the base says of its tables. A draft of the archive does not say it: it is counted when the commit is made.
pub(super) fn said(of: &plain::Base) -> Vec<BaseTable> {
    let rows = of.tables.iter().filter(|(_, rows)| **rows > 0);
    rows.map(|(t, rows)| BaseTable { table: table(*t), rows: *rows as u64 }).collect()
}

fn withdrawal(of: &plain::Withdrawal) -> Withdrawal {
    let why = match of.why {
        plain::WithdrawalReason::Expired => WithdrawalReason::Expired,
        plain::WithdrawalReason::Lost => WithdrawalReason::Lost,
        plain::WithdrawalReason::Superseded => WithdrawalReason::Superseded,
    };
    Withdrawal { base: base_id(of.base), scope: scope([&of.table]), why }
}

fn gap(of: &plain::Gap) -> Gap {
    let why = match of.why {
        plain::GapReason::Window => "window",
        plain::GapReason::Expired => "expired",
        plain::GapReason::Lost => "lost",
    };
    Gap { scope: scope(&of.tables), from: moment(of.from), to: moment(of.to), why: why.into() }
}

fn doubt(of: &plain::Doubt) -> Doubt {
    Doubt { scope: scope([&of.table]), after: moment(of.after), to: moment(of.to), why: "import".into() }
}
