//! The rule about a lost race: a draft was planned on one head and lands on a later one.
//!
//! A data commit is carried over maintenance, and is a conflict where somebody else brought data. Of maintenance only compactions and own
//! bases that are no cuts are carried over whatever came between; all other is planned anew. Whatever is carried is fitted to
//! the new head: files that now lie across its S are cut, own bases that its cuts end are withdrawn, rows that were
//! erased stay out.

use std::collections::BTreeSet;

use super::{
    archive::Head,
    draft::{Doubt, Draft, File, Group, GroupReason, Kind, Path, Progress, Withdrawal, WithdrawalReason},
    truth::Table,
};

/// What becomes of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is committed, as this.
    Lands(Box<Draft>),
    /// Nothing of it is left.
    Nothing,
    /// Another writer has moved the archive on: nothing of it counts.
    Conflict,
    /// It is to be planned anew.
    Anew,
}

/// What becomes of `planned` on `head`, if the commits `between` have landed since it was planned. Pure but for the paths of
/// files that it cuts.
pub(crate) fn land(planned: &Draft, head: &Head, between: &[Draft], paths: &mut Path) -> Outcome {
    let mut draft = planned.clone();
    if !between.is_empty() {
        if draft.maintenance {
            if !is_carried(&draft) && head.rules.other_maintenance_is_planned_anew {
                return Outcome::Anew;
            }
            carry_own_bases(&mut draft, head, between);
        } else if has_moved(&draft, head, between) && head.rules.moved_progress_is_a_conflict {
            return Outcome::Conflict;
        }
        carry_told_bases(&mut draft, head, between);
        carry_groups(&mut draft, head);
        if head.rules.rebased_walks_leave_out_erased_rows {
            leave_out_erased(&mut draft, between);
        }
    }
    fit(&mut draft, head, paths);
    if draft.maintenance && draft.is_empty() { Outcome::Nothing } else { Outcome::Lands(Box::new(draft)) }
}

/// Whether somebody else brought data. Progress alone does not tell: a walk of one commit ends where it began. Who only joins
/// files brings none.
fn has_moved(draft: &Draft, head: &Head, between: &[Draft]) -> bool {
    let says = |b: &Draft| b.selection.is_some() || !b.bases.is_empty() || !b.gaps.is_empty();
    let brings = |b: &Draft| !b.maintenance && (says(b) || b.add.iter().any(|f| !b.is_output(f.path)));
    head.progress != draft.planned_on.progress || between.iter().any(brings)
}

/// Whether maintenance has nothing in it but compactions and own bases that are no cuts.
fn is_carried(draft: &Draft) -> bool {
    draft.replaced.iter().all(|g| g.why == GroupReason::Compaction)
        && draft.bases.iter().all(super::draft::Base::repeats)
        && draft.withdrawn.iter().all(|w| w.why == WithdrawalReason::Superseded)
        && draft.gaps.is_empty()
        && draft.doubts.is_empty()
        && draft.erased.is_empty()
}

/// An own base is dropped, with all that it withdraws, if something was said of its table or a file lies across its S.
fn carry_own_bases(draft: &mut Draft, head: &Head, between: &[Draft]) {
    let rules = head.rules;
    let own: Vec<_> = draft.bases.iter().filter(|b| b.repeats()).cloned().collect();
    for base in own {
        let table = *base.tables.keys().next().expect("an own base holds a table");
        let said = rules.own_bases_mind_what_was_said && between.iter().any(|b| says_something(b, table));
        let replaced = rules.own_bases_mind_replacements && between.iter().any(|b| has_replaced(b, table));
        let across =
            rules.own_bases_mind_files_across && head.delta_files(table).iter().any(|f| f.lies_across(base.ts));
        if said || replaced || across {
            draft.bases.retain(|b| b.id != base.id);
            draft.add.retain(|f| f.base != Some(base.id));
            draft.withdrawn.retain(|w| w.table != table);
            // What its withdrawals would have removed stays, or is gone already.
            let groups = &draft.replaced;
            draft.remove.retain(|p| groups.iter().any(|g| g.inputs.contains(p)));
        }
    }
}

/// A base that the deployment told was compared with what the archive held. If a moment before its S was corrected meanwhile,
/// the archive holds something else now, which nobody has compared: the base is a cut, and what lies between is in doubt.
fn carry_told_bases(draft: &mut Draft, head: &Head, between: &[Draft]) {
    if draft.maintenance || draft.kind == Kind::Drop || !head.rules.rebased_bases_mind_corrections {
        return;
    }
    let corrected: Vec<_> = between.iter().flat_map(|b| &b.doubts).map(|d| (d.table, d.to)).collect();
    for base in &mut draft.bases {
        let (ts, tables) = (base.ts, &base.tables);
        for table in corrected.iter().filter(|(t, to)| tables.contains_key(t) && *to < ts).map(|(t, _)| *t) {
            let after = head.last_proven(table, ts);
            if after < ts {
                base.cuts.insert(table);
                draft.doubts.retain(|d| d.table != table);
                draft.doubts.push(Doubt { table, after, to: ts });
            }
        }
    }
}

fn says_something(commit: &Draft, table: Table) -> bool {
    commit.bases.iter().any(|b| b.holds(table))
        || commit.gaps.iter().any(|g| g.tables.contains(&table))
        || commit.doubts.iter().any(|d| d.table == table)
        || commit.withdrawn.iter().any(|w| w.table == table)
}

fn has_replaced(commit: &Draft, table: Table) -> bool {
    let outputs = commit.replaced.iter().filter(|g| g.why != GroupReason::Compaction).flat_map(|g| &g.outputs);
    let outputs: BTreeSet<_> = outputs.collect();
    commit.erased.iter().any(|e| e.table == table)
        || commit.add.iter().any(|f| f.table == table && outputs.contains(&f.path))
}

/// A group is dropped where an input is dead, or where its output would lie across an S.
fn carry_groups(draft: &mut Draft, head: &Head) {
    let rules = head.rules;
    let outputs: Vec<File> = draft.add.iter().filter(|f| draft.is_output(f.path)).cloned().collect();
    let dropped = |group: &Group| {
        let dead = group.inputs.iter().any(|p| !head.live.contains_key(p));
        let mut outputs = outputs.iter().filter(|f| group.outputs.contains(&f.path));
        let across = outputs.any(|f| head.moments(f.table).iter().any(|s| f.lies_across(*s)));
        rules.dead_inputs_drop_groups && dead || rules.new_moments_drop_groups && across
    };
    draft.without_groups(dropped);
}

/// Pages of a walk that came before an erasure.
fn leave_out_erased(draft: &mut Draft, between: &[Draft]) {
    let erased = |table, row: &_| between.iter().flat_map(|b| &b.erased).any(|e| e.names(table, row));
    for file in draft.add.iter_mut().filter(|f| f.base.is_some()) {
        file.rows.retain(|r| !erased(file.table, r));
    }
    draft.add.retain(|f| !f.rows.is_empty());
}

/// What a commit has to say because of where it lands.
fn fit(draft: &mut Draft, head: &Head, paths: &mut Path) {
    end_walk(draft, head);
    end_own_bases(draft, head);
    cut_files(draft, head, paths);
    for base in &mut draft.bases {
        for (table, rows) in &mut base.tables {
            let stays = head.live.values().filter(|f| !draft.remove.contains(&f.path));
            let files = stays.chain(&draft.add).filter(|f| f.belongs_to(base.id, *table));
            *rows = files.map(|f| f.rows.len()).sum();
        }
    }
}

/// A walk that ends takes the files of the tables that it did not finish with it.
fn end_walk(draft: &mut Draft, head: &Head) {
    let open = |p: &Option<Progress>| p.as_ref().and_then(|p| p.walk.clone());
    let Some(walk) = open(&head.progress).filter(|_| !draft.maintenance) else { return };
    if open(&draft.progress).is_some_and(|w| w.base == walk.base) || !head.rules.walks_take_their_files {
        return;
    }
    let finished = draft.bases.iter().find(|b| b.id == walk.base);
    let unfinished = |f: &&File| f.base == Some(walk.base) && !finished.is_some_and(|b| b.holds(f.table));
    draft.remove.extend(head.live.values().filter(unfinished).map(|f| f.path));
}

/// A correction ends the archive's own bases at or beyond its S: they were made of what it corrects. Other cuts end none: what
/// is forgotten was true, and after a gap an own base may be all that covers what comes later.
fn end_own_bases(draft: &mut Draft, head: &Head) {
    let rules = head.rules;
    let corrections = draft.doubts.iter().filter(|_| rules.corrections_withdraw_own_bases);
    let cuts: Vec<_> = corrections.map(|d| (d.table, d.to)).collect();
    for (table, ts) in cuts {
        for own in head.in_force(table).filter(|b| b.repeats() && b.ts >= ts) {
            let known = own.version <= draft.planned_on.version || rules.rebased_corrections_withdraw_again;
            let said = draft.withdrawn.iter().any(|w| (w.base, w.table) == (own.id, table));
            if known && !said {
                draft.withdrawn.push(Withdrawal { base: own.id, table, why: WithdrawalReason::Superseded });
                draft.remove.extend(head.leave_with(own, table));
            }
        }
    }
}

/// Who commits a base at an S inside a live delta file cuts it: one file becomes two. Own bases lie where no file does.
fn cut_files(draft: &mut Draft, head: &Head, paths: &mut Path) {
    if !head.rules.bases_cut_files {
        return;
    }
    let bases = draft.bases.iter().filter(|b| !b.repeats());
    let moments: Vec<_> = bases.flat_map(|b| b.tables.keys().map(|t| (*t, b.ts))).collect();
    let outputs: Vec<File> = draft.add.iter().filter(|f| draft.is_output(f.path)).cloned().collect();
    let crosses = |f: &File| moments.iter().any(|(table, ts)| f.table == *table && f.lies_across(*ts));
    draft.without_groups(|g| outputs.iter().any(|f| g.outputs.contains(&f.path) && crosses(f)));
    let across: Vec<_> =
        head.live.values().filter(|f| !draft.remove.contains(&f.path) && crosses(f)).cloned().collect();
    for file in across {
        let inside: BTreeSet<_> = moments.iter().filter(|(t, ts)| *t == file.table && file.lies_across(*ts)).collect();
        let part = |ts| inside.iter().filter(|(_, s)| *s < ts).count();
        let mut group = Group { inputs: [file.path].into(), outputs: BTreeSet::new(), why: GroupReason::Cut, left: 0 };
        draft.remove.insert(file.path);
        for rows in file.rows.chunk_by(|a, b| part(a.ts) == part(b.ts)) {
            *paths += 1;
            group.outputs.insert(*paths);
            draft.add.push(File { path: *paths, rows: rows.to_vec(), ..file.clone() });
        }
        draft.replaced.push(group);
    }
}
