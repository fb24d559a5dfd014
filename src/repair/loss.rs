//! What a commit says of data files that nobody has any more. Pure.
//!
//! A file of changes leaves a gap from just before its first `_ts` to its last. A file of a base takes the base with it, for its table: what is
//! left of it is no state. The archive's own bases of the table, which only repeated other files, may be the only ones now that hold their rows,
//! and are marked so.

use std::collections::BTreeSet;

use crate::{
    archive::{Base, BaseMaker, Draft, Gap, Head, RemovedFile, Withdrawal, WithdrawalReason},
    data::DataFile,
    document::{TableRef, Timestamp},
    error::Result,
    position::{BaseId, Scope},
};

/// Whether the loss of the file can be recorded: not while the base that it is of is being made.
pub(super) fn can_be_recorded(head: &Head, file: &DataFile) -> bool {
    let open = head.progress().walk.as_ref().map(|walk| &walk.base);
    file.base.is_none() || file.base.as_ref() != open
}

/// Adds to the draft that these files, which live at `head`, are lost. `files` has all live files of each base that loses one.
///
/// # Errors
/// Internal, if a file cannot be spelled.
pub(super) fn record(draft: &mut Draft, head: &Head, files: &[DataFile]) -> Result<()> {
    let coverage = head.coverage();
    let mut withdrawn: BTreeSet<(&BaseId, &TableRef)> = BTreeSet::new();
    for file in files {
        draft.remove.push(RemovedFile::of(file)?);
        match &file.base {
            None => draft.gaps.push(Gap {
                scope: Scope::Tables(vec![file.table.clone()]),
                from: Timestamp(file.min_ts.0.saturating_sub(1)),
                to: file.max_ts,
                why: "lost".to_owned(),
            }),
            Some(base) => drop(withdrawn.insert((base, &file.table))),
        }
    }
    for (base, table) in &withdrawn {
        let mut said = coverage.withdrawals.iter().filter(|w| w.base == **base && w.scope.contains(table));
        // One that was withdrawn does not serve any more.
        if said.all(|w| w.why == WithdrawalReason::Superseded) {
            let scope = Scope::Tables(vec![(*table).clone()]);
            draft.withdrawn.push(Withdrawal { base: (*base).clone(), scope, why: WithdrawalReason::Lost });
        }
    }
    let tables: BTreeSet<&TableRef> = files.iter().filter(|file| head.shows(file)).map(|file| &file.table).collect();
    let holds_any = |base: &Base| {
        tables.iter().any(|table| base.holds(table) && !base.cuts(table) && !withdrawn.contains(&(&base.id, table)))
    };
    let own = coverage.bases.iter().filter(|base| base.made == BaseMaker::Archive && holds_any(base));
    let unmarked = own.map(|base| base.id.clone()).filter(|id| !coverage.unmarked.contains(id));
    draft.unmarked.extend(unmarked);
    Ok(())
}
