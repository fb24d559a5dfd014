//! The rule about a lost race: what becomes of a draft whose number another writer took. Pure.
//!
//! Progress that has moved ends a data commit: what it brought was read from a place that is no longer the end. Maintenance in
//! between never does: it says nothing of the deployment, so the data stay true.
//!
//! Maintenance is carried over data commits too, or a compaction of minutes would lose to every sync for ever; but only what
//! stays true whatever came: files that hold the rows of others which still live, and the state of a table at a moment of
//! which nothing new was said. All other maintenance is planned anew, on the new head.

use std::collections::BTreeSet;

use super::{
    commit::{Draft, ReplacementReason},
    head::{
        Head,
        base::{Base, BaseMaker, WithdrawalReason},
    },
    log::Stored,
};
use crate::{
    data::DataFile,
    document::{TableRef, Timestamp},
};

/// What becomes of a draft that found its number taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It may be tried again, as this.
    Retry(Box<Draft>),
    /// Another writer has moved the archive on.
    Conflict,
    /// It is maintenance that has to be planned anew.
    Anew,
}

/// What becomes of `ours`, made for `before`, now that the archive stands at `now`; `between` are the commits since.
pub(super) fn rebase(ours: &Draft, before: &Head, between: &[Stored], now: &Head) -> Rebased {
    if !ours.maintenance {
        if between.iter().any(|stored| !is_silent(&stored.commit.draft, before)) || erases_of(ours, between) {
            return Rebased::Conflict;
        }
        let mut draft = ours.clone();
        return if drop_stale(&mut draft, between, now) { Rebased::Retry(Box::new(draft)) } else { Rebased::Conflict };
    }
    let mut draft = ours.clone();
    draft.progress = now.progress().clone();
    draft.selection = now.coverage().selected();
    if let Some(latest) = now.latest() {
        (draft.checked_at, draft.caught_up, draft.encoding) = (latest.checked_at, latest.caught_up, latest.encoding);
    }
    let only_files = draft.gaps.is_empty()
        && draft.doubts.is_empty()
        && draft.unmarked.is_empty()
        && draft.erased.is_empty()
        && draft.replaced.iter().all(|group| group.why == ReplacementReason::Compaction);
    let own = |base: &Base| base.made == BaseMaker::Archive && !base.cut;
    let own_bases = draft.bases.iter().all(own)
        && draft.withdrawn.iter().all(|w| w.why == WithdrawalReason::Superseded)
        && (draft.withdrawn.is_empty() || !draft.bases.is_empty());
    if !only_files || !own_bases || draft.bases.iter().any(|base| !stands(base, between, now)) {
        return Rebased::Anew;
    }
    let whole = drop_stale(&mut draft, between, now);
    let empty = draft.add.is_empty() && draft.remove.is_empty() && draft.bases.is_empty();
    if whole && !empty { Rebased::Retry(Box::new(draft)) } else { Rebased::Anew }
}

/// Whether the commit left everything where it was but the set of files that hold the same rows.
fn is_silent(draft: &Draft, before: &Head) -> bool {
    draft.maintenance
        || (draft.progress == *before.progress()
            && draft.selection == before.coverage().selected()
            && draft.tables.is_empty()
            && draft.bases.is_empty()
            && draft.gaps.is_empty()
            && draft.deployment.is_none()
            && draft.proofs.is_empty()
            && draft.add.iter().all(|file| outputs(draft).any(|path| *path == file.path)))
}

fn outputs(draft: &Draft) -> impl Iterator<Item = &String> {
    draft.replaced.iter().flat_map(|group| &group.outputs)
}

/// Whether an erasure in between names a table of which the data commit brings rows of a base: they were read before.
fn erases_of(ours: &Draft, between: &[Stored]) -> bool {
    let mut erased = between.iter().flat_map(|stored| {
        let draft = &stored.commit.draft;
        let groups = draft.replaced.iter().filter(|group| group.why == ReplacementReason::Erasure);
        groups.flat_map(|group| &group.inputs).filter_map(|path| draft.remove.iter().find(|file| file.path == *path))
    });
    erased.any(|file| ours.add.iter().any(|ours| ours.base.is_some() && ours.table == file.table))
}

/// Takes out compactions of which an input is dead, or which would lie across the S of a base or walk that came. False, if
/// something else than a compaction lost an input.
fn drop_stale(draft: &mut Draft, between: &[Stored], now: &Head) -> bool {
    let gone: BTreeSet<&String> =
        between.iter().flat_map(|stored| &stored.commit.draft.remove).map(|file| &file.path).collect();
    let came = between.iter().flat_map(|stored| &stored.commit.draft.bases);
    let mut moments: Vec<(Timestamp, &dyn Fn(&TableRef) -> bool)> = Vec::new();
    let holds: Vec<_> = came.map(|base| (base.ts, |table: &TableRef| base.scope.contains(table))).collect();
    moments.extend(holds.iter().map(|(ts, holds)| (*ts, holds as &dyn Fn(&TableRef) -> bool)));
    let walk = now.progress().walk.as_ref().map(|walk| (walk.ts, |table: &TableRef| walk.scope.contains(table)));
    moments.extend(walk.as_ref().map(|(ts, holds)| (*ts, holds as &dyn Fn(&TableRef) -> bool)));
    let across = |file: &DataFile| {
        file.base.is_none()
            && moments.iter().any(|(s, holds)| lies_across(file, *s) && holds(&file.table))
    };
    let stale: Vec<bool> = draft
        .replaced
        .iter()
        .map(|group| {
            group.inputs.iter().any(|path| gone.contains(path))
                || draft.add.iter().any(|file| group.outputs.contains(&file.path) && across(file))
        })
        .collect();
    let mut groups = draft.replaced.iter().zip(&stale);
    if groups.any(|(group, stale)| *stale && group.why != ReplacementReason::Compaction) {
        return false;
    }
    let (mut dropped, mut kept) = (BTreeSet::new(), Vec::new());
    for (group, stale) in std::mem::take(&mut draft.replaced).into_iter().zip(stale) {
        if stale {
            dropped.extend(group.inputs.into_iter().chain(group.outputs));
        } else {
            kept.push(group);
        }
    }
    draft.replaced = kept;
    draft.add.retain(|file| !dropped.contains(&file.path));
    draft.remove.retain(|file| !dropped.contains(&file.path));
    draft.remove.iter().all(|file| !gone.contains(&file.path))
}

/// Whether an own base still tells the state of its tables at its S, and no delta file lies across it now.
fn stands(base: &Base, between: &[Stored], now: &Head) -> bool {
    let named = |table: &TableRef| base.scope.contains(table);
    let in_scope = |holds: &dyn Fn(&TableRef) -> bool| now.tables().any(|state| named(&state.table) && holds(&state.table));
    between.iter().all(|stored| {
        let draft = &stored.commit.draft;
        let spoken = draft.bases.iter().any(|other| in_scope(&|table| other.scope.contains(table)))
            || draft.gaps.iter().any(|gap| in_scope(&|table| gap.scope.contains(table)))
            || draft.doubts.iter().any(|doubt| in_scope(&|table| doubt.scope.contains(table)))
            || draft.withdrawn.iter().any(|w| in_scope(&|table| w.scope.contains(table)));
        let rewritten = draft.replaced.iter().filter(|group| group.why != ReplacementReason::Compaction).any(|group| {
            draft.remove.iter().any(|file| group.inputs.contains(&file.path) && named(&file.table))
        });
        let across = draft.add.iter().any(|file| file.base.is_none() && named(&file.table) && lies_across(file, base.ts));
        !(spoken || rewritten || across)
    })
}

/// Whether the file has rows on both sides of S.
fn lies_across(file: &DataFile, s: Timestamp) -> bool {
    file.min_ts <= s && s < file.max_ts
}
