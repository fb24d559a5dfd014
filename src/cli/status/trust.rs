//! What a status tells of trust: who watches, when each table was last proven, and what speaks against one.

use std::fmt::Write;

use convex_archiver::{
    TableRef,
    archive::{DoubtedSpan, ProvenBy, Status, TableProof},
};

use super::super::{units::time, words};

/// Up to where somebody watched; None before the first snapshot is complete.
pub(super) fn guarded(status: &Status) -> Option<String> {
    let through = status.through?;
    Some(match status.guarded {
        None => "no: the deployment has no Data Sync to detect imports and drops. Sync compares tables by ids every 24 h, unless --audit-every changes that"
            .to_owned(),
        Some(guarded) if guarded < through => format!(
            "through {}; the next sync asks whether an import or a drop touched a table after that",
            time(guarded)
        ),
        Some(guarded) => format!("through {}", time(guarded)),
    })
}

/// When tables were last proven, those of one proof together; and what speaks against some.
pub(super) fn of_tables(status: &Status) -> String {
    let mut text = String::new();
    let proofs = grouped(status.tables.iter().map(|table| (&table.table, &table.proven)));
    for (proof, tables) in &proofs {
        let tables = names(tables, proofs.len() == 1);
        // A String takes everything.
        let _ = writeln!(text, "Proven: {tables}: {}", proof.as_ref().map_or_else(|| "never".to_owned(), of_proof));
    }
    let suspects = status.tables.iter().filter_map(|table| Some((&table.table, table.suspect.as_ref()?)));
    for (span, tables) in grouped(suspects) {
        let _ = writeln!(
            text,
            "Suspect: {}: since {}: {}; the next sync compares it with the deployment",
            names(&tables, false),
            time(span.after),
            span.reason()
        );
    }
    let doubts = status.tables.iter().flat_map(|table| table.doubts.iter().map(move |span| (&table.table, span)));
    for (span, tables) in grouped(doubts) {
        let to = span.to.map_or_else(String::new, |to| format!(" and before {}", time(to)));
        let DoubtedSpan { after, .. } = span;
        let _ = writeln!(text, "In doubt: {}: after {}{to}: {}", names(&tables, false), time(*after), span.reason());
    }
    text
}

fn of_proof(proof: &TableProof) -> String {
    let at = time(proof.at);
    let by = match proof.by {
        ProvenBy::Base => format!("read in the snapshot of {at}"),
        ProvenBy::Ids => format!("compared by ids at {at}"),
        ProvenBy::Values => format!("compared by values at {at}"),
    };
    if proof.through == proof.at { by } else { format!("through {}; {by}", time(proof.through)) }
}

fn grouped<'a, T: PartialEq>(all: impl Iterator<Item = (&'a TableRef, T)>) -> Vec<(T, Vec<&'a TableRef>)> {
    let mut groups: Vec<(T, Vec<&TableRef>)> = Vec::new();
    for (table, of) in all {
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, tables)) => tables.push(table),
            None => groups.push((of, vec![table])),
        }
    }
    groups
}

fn names(tables: &[&TableRef], all: bool) -> String {
    if all && tables.len() > 1 { "all tables".to_owned() } else { words::list(tables.iter().copied()) }
}
