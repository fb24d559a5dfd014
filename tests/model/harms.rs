//! What a commit must not say: each harm is done to every commit of a history that it fits, and each is refused.

use std::collections::BTreeMap;

use super::{
    archive::Head,
    draft::{Draft, GapReason, GroupReason, Made, Progress, Withdrawal, WithdrawalReason},
    history::{Landing, Twin},
    race::Outcome,
};

/// Does harm to a commit that was to follow a head, if it can.
type Harm = fn(&mut Draft, &Head) -> Option<()>;

/// Every harm by its name.
pub(crate) const HARMS: &[(&str, Harm)] = &[
    ("a file leaves that is not live", |draft, _| {
        draft.remove.insert(u64::MAX);
        Some(())
    }),
    ("a file leaves and nothing takes its place", |draft, _| {
        let group = draft.replaced.pop()?;
        draft.add.retain(|f| !group.outputs.contains(&f.path));
        Some(())
    }),
    ("a base's files leave and the base stays", |draft, head| {
        let gone = draft.withdrawn.pop()?;
        head.live.values().any(|f| draft.remove.contains(&f.path) && f.belongs_to(gone.base, gone.table)).then_some(())
    }),
    ("a file leaves and no gap is said", |draft, _| {
        let gap = draft.gaps.pop()?;
        (gap.why == GapReason::Lost).then_some(())
    }),
    ("a path is added that was there before", |draft, head| {
        let path = *head.paths.first()?;
        let file = draft.add.first_mut()?;
        for group in &mut draft.replaced {
            if group.outputs.remove(&file.path) {
                group.outputs.insert(path);
            }
        }
        file.path = path;
        Some(())
    }),
    ("a replacement lacks a row", |draft, _| {
        let outputs = &draft.replaced.first()?.outputs;
        let file = draft.add.iter_mut().find(|f| outputs.contains(&f.path) && f.rows.len() > 1)?;
        file.rows.pop();
        Some(())
    }),
    ("a compaction leaves rows out and says so", |draft, _| {
        let group = draft.replaced.iter_mut().find(|g| g.why == GroupReason::Compaction)?;
        let file = draft.add.iter_mut().find(|f| group.outputs.contains(&f.path))?;
        file.rows.pop();
        group.left = 1;
        Some(())
    }),
    ("an erasure does not add up", |draft, _| {
        draft.replaced.iter_mut().find(|g| g.why == GroupReason::Erasure)?.left += 1;
        Some(())
    }),
    ("an input stands in two groups", |draft, _| {
        let group = draft.replaced.first()?.clone();
        draft.replaced.push(group);
        Some(())
    }),
    ("a base says more rows than it has", |draft, _| {
        *draft.bases.first_mut()?.tables.values_mut().next()? += 1;
        Some(())
    }),
    ("a base lies beyond the cursor", |draft, head| {
        let cursor = draft.progress.as_ref().map_or(head.cursor(), |p| p.cursor);
        draft.bases.first_mut()?.ts = cursor + 1;
        Some(())
    }),
    ("a base is completed twice", |draft, _| {
        let base = draft.bases.first()?.clone();
        draft.bases.push(base);
        Some(())
    }),
    ("the cursor goes back", |draft, head| {
        let cursor = head.progress.as_ref()?.cursor;
        draft.progress.as_mut()?.cursor = cursor - 1;
        Some(())
    }),
    ("data do not say where they stand", |draft, _| (!draft.maintenance).then(|| draft.progress = None)),
    ("maintenance says where data stand", |draft, head| {
        draft.maintenance.then(|| draft.progress.clone_from(&head.progress))
    }),
    ("an open walk gets another S", |draft, head| {
        let before = head.progress.as_ref()?.walk.as_ref()?.base;
        let walk = draft.progress.as_mut()?.walk.as_mut().filter(|w| w.base == before)?;
        walk.ts -= 1;
        Some(())
    }),
    ("a walk forgets a table that was done", |draft, head| {
        let before = head.progress.as_ref()?.walk.as_ref().filter(|w| !w.done.is_empty())?;
        let walk = draft.progress.as_mut()?.walk.as_mut().filter(|w| w.base == before.base)?;
        walk.done.clear();
        Some(())
    }),
    ("a walk ends and its files stay", |draft, head| {
        let Progress { walk, .. } = head.progress.as_ref()?;
        let walk = walk.as_ref()?.base;
        let files: Vec<_> =
            head.live.values().filter(|f| f.base == Some(walk) && draft.remove.contains(&f.path)).collect();
        let path = files.iter().map(|f| f.path).find(|p| !draft.replaced.iter().any(|g| g.inputs.contains(p)))?;
        draft.remove.remove(&path).then_some(())
    }),
    ("a base of the deployment is superseded", |draft, head| {
        let base = head.bases.iter().find(|b| b.made == Made::Deployment)?;
        let table = *base.tables.keys().next()?;
        draft.withdrawn.push(Withdrawal { base: base.id, table, why: WithdrawalReason::Superseded });
        Some(())
    }),
    ("a base is lost twice", |draft, head| {
        let ((base, table), _) = head.withdrawn.iter().find(|(_, why)| **why != WithdrawalReason::Superseded)?;
        draft.withdrawn.push(Withdrawal { base: *base, table: *table, why: WithdrawalReason::Lost });
        Some(())
    }),
    ("a base is superseded twice", |draft, head| {
        let ((base, table), _) = head.withdrawn.iter().find(|(_, why)| **why == WithdrawalReason::Superseded)?;
        draft.withdrawn.push(Withdrawal { base: *base, table: *table, why: WithdrawalReason::Superseded });
        Some(())
    }),
    ("a page leaves as its base is completed", |draft, head| {
        let walk = head.progress.as_ref()?.walk.as_ref()?.base;
        let base = draft.bases.iter_mut().find(|b| b.id == walk)?;
        let mut files = head.live.values().filter(|f| f.base == Some(walk) && !draft.remove.contains(&f.path));
        let file = files.find(|f| base.holds(f.table))?;
        *base.tables.get_mut(&file.table)? -= file.rows.len();
        draft.remove.insert(file.path).then_some(())
    }),
    ("rows do not ascend", |draft, _| {
        let file = draft.add.iter_mut().find(|f| f.is_delta() && f.min_ts() < f.max_ts())?;
        file.rows.reverse();
        Some(())
    }),
    ("a file lies in another month", |draft, _| {
        draft.add.iter_mut().find(|f| f.is_delta())?.month += 1;
        Some(())
    }),
    ("new rows are older than the cursor", |draft, head| {
        let outputs: Vec<_> = draft.replaced.iter().flat_map(|g| &g.outputs).copied().collect();
        let cursor = head.progress.as_ref()?.cursor;
        let file = draft.add.iter_mut().find(|f| f.is_delta() && !outputs.contains(&f.path))?;
        let row = file.rows.first_mut()?;
        (row.ts, file.month) = (cursor, super::draft::month(cursor));
        Some(())
    }),
    ("maintenance brings rows", |draft, _| {
        (draft.maintenance && !draft.replaced.is_empty()).then(|| draft.replaced.clear())
    }),
    ("a gap ends beyond the cursor", |draft, head| {
        let cursor = draft.progress.as_ref().map_or(head.cursor(), |p| p.cursor);
        draft.gaps.first_mut()?.to = cursor + 1;
        Some(())
    }),
    ("a doubt ends before it begins", |draft, _| {
        let doubt = draft.doubts.first_mut()?;
        doubt.to = doubt.after;
        Some(())
    }),
];

/// Does every harm to every commit.
#[derive(Default)]
pub(crate) struct Harmer {
    /// How often each was refused.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

impl Twin for Harmer {
    fn sees(&mut self, landing: &Landing<'_>) -> Result<(), String> {
        let Outcome::Lands(draft) = landing.outcome else { return Ok(()) };
        for (name, harm) in HARMS {
            let mut harmed = (**draft).clone();
            if harm(&mut harmed, landing.before).is_some() {
                if landing.before.clone().apply(&harmed).is_ok() {
                    return Err(format!("{name}, and nobody minds: {harmed}"));
                }
                *self.refused.entry(name).or_default() += 1;
            }
        }
        Ok(())
    }
}
