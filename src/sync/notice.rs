//! What a commit says of what the change log does not tell: which tables are suspect from now on. Pure.

use std::collections::BTreeSet;

use super::watch::{Heard, Watch};
use crate::{
    archive::{BaseMaker, Covers, Doubt, Draft, Head, Suspect, Suspicion, TableEntry},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    layout,
    position::Scope,
    schema::TableSchema,
    selection::Selection,
};

/// The tables that become suspect with `draft`, which follows on `head`, each with one word why.
pub(super) fn suspects(head: &Head, draft: &Draft, heard: &Heard, watch: &Watch) -> Vec<(TableRef, &'static str)> {
    let selection = &draft.selection;
    let mut found: Vec<(TableRef, &'static str)> = Vec::new();
    let mut add = |table: &TableRef, why| {
        if selection.contains(table) && !found.iter().any(|(known, _)| known == table) {
            found.push((table.clone(), why));
        }
    };
    for table in &heard.touched {
        add(table, if head.table(table).is_some() { "import" } else { Suspect::NEW });
    }
    for entry in &draft.tables {
        let before = head.table(&entry.table).and_then(|state| state.number);
        if before.is_some() && entry.number.is_some() && before != entry.number {
            add(&entry.table, "number");
        }
    }
    if let Some(listed) = &heard.listed {
        for table in not_listed(head, draft, listed, selection, watch) {
            add(&table, "dropped");
        }
        let strangers = listed.iter().filter(|table| heard.strangers && head.table(table).is_none());
        strangers.for_each(|table| add(table, Suspect::NEW));
    }
    if let Some(why) = heard.all {
        let open = head.tables().filter(|state| state.suspect.is_none()).map(|state| &state.table);
        let new = draft.tables.iter().map(|entry| &entry.table).filter(|table| head.table(table).is_none());
        open.chain(new).for_each(|table| add(table, why));
    }
    found
}

/// Tables with rows that the deployment does not list any more, and that are not known to be gone.
fn not_listed(
    head: &Head,
    draft: &Draft,
    listed: &BTreeSet<TableRef>,
    selection: &Selection,
    watch: &Watch,
) -> Vec<TableRef> {
    let Some(cursor) = head.progress().delta.as_ref().map(|delta| delta.ts) else { return Vec::new() };
    let comes = |table: &TableRef| draft.add.iter().any(|file| file.table == *table);
    let states = head.tables().filter(|state| selection.contains(&state.table) && !listed.contains(&state.table));
    states
        .filter(|state| state.suspect.is_none() && (state.visible().rows > 0 || comes(&state.table)))
        .filter(|state| comes(&state.table) || !watch.is_gone(&state.table, state.delta.rows))
        .filter(|state| matches!(head.coverage().covers(&state.table, cursor), Covers::Covered(_)))
        .map(|state| state.table.clone())
        .collect()
}

/// What a run fails with that is to fail where a table is suspect.
pub(super) fn refused(table: &TableRef, why: &str) -> Error {
    Error::protocol(format!(
        "table {table} may differ from the deployment ({why}), and the run was told to fail in this case, so nothing \
         about it was committed. Run again with --on-suspicion heal, which compares the table and corrects it"
    ))
}

/// Says in `draft` that these tables are suspect. One that nobody knows yet is known from then on.
pub(super) fn say(head: &Head, draft: &mut Draft, suspects: Vec<(TableRef, &'static str)>) {
    say_after(head, draft, suspects, |table, cursor| last_proven(head, table, cursor));
}

/// The same of tables that were found to differ, or that somebody asked to have anew: whatever was taken for proven at the cursor, be it
/// that somebody watched, says nothing any more.
pub(super) fn say_at_odds(head: &Head, draft: &mut Draft, tables: Vec<(TableRef, &'static str)>) {
    say_after(head, draft, tables, |table, cursor| seen_before(head, table, cursor));
}

fn say_after(
    head: &Head,
    draft: &mut Draft,
    suspects: Vec<(TableRef, &'static str)>,
    after: impl Fn(&TableRef, Timestamp) -> Timestamp,
) {
    let Some(cursor) = draft.progress.delta.as_ref().map(|delta| delta.ts) else { return };
    let mut folders = head.folders();
    folders.extend(draft.tables.iter().map(|entry| (entry.table.clone(), entry.folder.clone())));
    for (table, why) in suspects {
        if !folders.contains_key(&table) {
            let folder = layout::folder(&table, &folders);
            folders.insert(table.clone(), folder.clone());
            draft.tables.push(TableEntry::new(table.clone(), folder, None, TableSchema::empty()));
        }
        let after = after(&table, cursor);
        draft.suspects.push(Suspect { table, after, why: why.to_owned() });
    }
}

/// The last moment at which the table was known to be what the deployment held; the beginning, if nobody ever knew.
pub(super) fn last_proven(head: &Head, table: &TableRef, cursor: Timestamp) -> Timestamp {
    head.last_proven(table).or(head.origin()).unwrap_or(cursor).min(cursor)
}

/// The last moment before the cursor at which the deployment itself told what the table held, by a base or in a comparison.
fn seen_before(head: &Head, table: &TableRef, cursor: Timestamp) -> Timestamp {
    let coverage = head.coverage();
    let told = coverage.bases.iter().filter(|base| base.made == BaseMaker::Deployment && coverage.serves(base, table));
    let compared = head.table(table).and_then(|state| state.proven).map(|proven| proven.ts);
    let seen = told.map(|base| base.ts).chain(compared).filter(|seen| *seen < cursor).max();
    seen.or(head.origin()).unwrap_or(cursor).min(cursor)
}

/// A draft of somebody who has not asked for what is new: it leaves the archive where it is, and what was last heard.
pub(super) fn draft(head: &Head, now: Timestamp) -> Result<Draft> {
    let latest = head.latest().ok_or_else(|| Error::internal("nothing was archived yet: report it"))?;
    let mut draft = head.unchanged(latest.encoding, latest.selection.clone(), now);
    (draft.checked_at, draft.caught_up) = (latest.checked_at, latest.caught_up);
    Ok(draft)
}

/// Whether no commit has said yet what happened to the table: it is no suspect, or nobody watched it.
pub(super) fn says_nothing_yet(head: &Head, table: &TableRef) -> bool {
    let suspect = head.table(table).and_then(|state| state.suspect.as_ref());
    suspect.is_none_or(|suspect| Suspect::is_vague(&suspect.why))
}

/// The doubts of tables that something has touched since they were compared last, and that are equal at `at`: what was written to a table that
/// was then replaced, and not read before, has vanished from the change log.
pub(super) fn touched_doubts(head: &Head, equal: &[TableRef], at: Timestamp, watch: &Watch) -> Vec<Doubt> {
    let touched = equal.iter().filter(|table| !says_nothing_yet(head, table) && watch.is_news(table));
    let doubt = |table: &TableRef| {
        let Suspicion { after, why } = head.table(table)?.suspect.clone()?;
        let scope = Scope::Tables(vec![table.clone()]);
        (after < at).then_some(Doubt { scope, after, to: at, why })
    };
    touched.filter_map(doubt).collect()
}
