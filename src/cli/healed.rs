//! What a sync says of what the change log does not tell: tables that it corrected, tables that may differ, what the audit log says of them, and who
//! watches.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use convex_archiver::{
    TableRef,
    sync::{Correction, Explanation, HealedTable, SyncReport},
};

use super::{
    units::{counted, long, time},
    words,
};

/// Corrected tables, and entries of the audit log, that are listed one by one.
const SHOWN: usize = 10;

/// A line for each table that was corrected, for each reason why tables may differ now, and for what the audit log says of them.
pub(super) fn lines(report: &SyncReport) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> = report.healed.iter().take(SHOWN).map(|table| ("Healed", healed(table))).collect();
    let left = report.healed.len().saturating_sub(SHOWN) as u64;
    if left > 0 {
        lines.push(("Healed", format!("{} (all with --json)", counted(left, "more table"))));
    }
    let mut suspects: BTreeMap<&str, Vec<&TableRef>> = BTreeMap::new();
    for suspect in &report.suspects {
        suspects.entry(&suspect.why).or_default().push(&suspect.table);
    }
    lines.extend(suspects.into_iter().map(|(why, tables)| {
        let (count, names) = (counted(tables.len() as u64, "table"), words::list(tables.into_iter()));
        ("Suspect", format!("{count} may differ from the deployment, because {}: {names}", reason(why)))
    }));
    if !report.postponed.is_empty() {
        let (count, names) = (counted(report.postponed.len() as u64, "table"), words::list(report.postponed.iter()));
        lines.push((
            "Postponed",
            format!(
                "{count} due to be compared with the deployment; left to the next run because of --max-download: \
                {names}"
            ),
        ));
    }
    lines.extend(report.explained.iter().take(SHOWN).map(|explanation| ("Audit log", explained(explanation))));
    let left = report.explained.len().saturating_sub(SHOWN) as u64;
    if left > 0 {
        lines.push(("Audit log", format!("{} (all with --json)", counted(left, "more event"))));
    }
    lines
}

/// How far somebody watches, or how often tables are compared instead.
pub(super) fn watching(report: &SyncReport, audit_every: Option<Duration>) -> Option<(&'static str, String)> {
    let text = match (report.guarded, audit_every) {
        (Some(guarded), _) => format!("the server reported every import and dropped table up to {}", time(guarded)),
        (None, None) => {
            "no: this server does not report imports, and --audit-every is off, so an import that replaces a table is \
             not detected"
                .to_owned()
        }
        // Until the first snapshot is complete there is nothing to guard.
        (None, Some(_)) if report.through.is_none() => return None,
        (None, Some(every)) if every.is_zero() => {
            "no: this server does not report imports, so every run compares all ids".to_owned()
        }
        (None, Some(every)) => {
            format!("no: this server does not report imports, so all ids are compared at intervals of {}", long(every))
        }
    };
    Some(("Guarded", text))
}

/// One table that was corrected.
fn healed(table: &HealedTable) -> String {
    let HealedTable { table, what, after, at, extra, missing, different, .. } = table;
    let what = match what {
        Correction::Dropped => "was dropped in the deployment".to_owned(),
        Correction::Replaced => "was replaced, cleared or imported into".to_owned(),
        Correction::Leftovers => "had documents of an import that did not finish".to_owned(),
        Correction::Asked => return format!("{table} was fetched again as it was at {}", time(*at)),
    };
    let counts = [(extra, "removed"), (missing, "added"), (different, "replaced")];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(n, _)| **n > 0)
        .map(|(n, verb)| format!("{} {verb}", counted(*n, "document")))
        .collect();
    let counts = if counts.is_empty() { "fetched again".to_owned() } else { counts.join(", ") };
    format!(
        "{table} {what}: {counts}. It is correct from {} on; between {} and then it is in doubt",
        time(*at),
        time(*after)
    )
}

/// One entry of the audit log.
fn explained(explanation: &Explanation) -> String {
    let Explanation { at, action, mode, who, tables, .. } = explanation;
    let mut text = format!("{}: {action}", time(*at));
    if let Some(mode) = mode {
        let _ = write!(text, " ({mode})");
    }
    if !tables.is_empty() {
        let _ = write!(text, " of {}", words::list(tables.iter()));
    }
    if let Some(who) = who {
        let _ = write!(text, ", by {who}");
    }
    text
}

/// Why a table may differ, to be read after "since".
fn reason(why: &str) -> &str {
    match why {
        "import" => "an import or a clear touched it",
        "dropped" => "the deployment no longer lists it",
        "number" => "its ids have another table number",
        "replaced" => "its documents are stored in another place",
        "unguarded" => "imports and drops could not be detected for some time",
        "new" => "it is new, so an import may be creating it",
        "differs" => "a comparison found differences",
        "altered" => "a comparison found different values in the same revision",
        "asked" => "a new snapshot of it was requested and is not complete",
        other => other,
    }
}
