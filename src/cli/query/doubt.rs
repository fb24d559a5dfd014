//! What a query may be told wrongly: tables that it names, in doubt at the moments at which it names them.
//!
//! Where the moment stands in the query, a table in doubt is refused. Where it does not (a moment that is computed, a history, names that the
//! query makes, the shell), the spans are told, and the query runs.

use convex_archiver::{
    Result, Selection, TableRef, Timestamp,
    archive::Head,
    read::{doubted_at, doubted_within, refuse_doubted},
};

use super::{
    super::doubt::warn_of,
    named::{Named, makes_names, may_name},
};

/// Tells of selected tables in doubt. Whether there is something to look at, in what the query asks for.
///
/// # Errors
/// NotFound, if a table is in doubt and that is not `accepted`.
pub(super) fn check(
    head: &Head,
    selection: &Selection,
    sql: Option<&str>,
    at: Option<Timestamp>,
    accepted: bool,
) -> Result<bool> {
    let Some(through) = head.coverage().through else { return Ok(false) };
    let tables = head.tables().map(|state| &state.table).filter(|table| selection.contains(table));
    let at = at.unwrap_or(through);
    let (mut plain, mut moments, mut told): (Vec<&TableRef>, Vec<_>, Vec<&TableRef>) =
        (Vec::new(), Vec::new(), Vec::new());
    for table in tables {
        let Some(sql) = sql else {
            told.push(table);
            continue;
        };
        let named = Named::of(sql, table, makes_names(sql));
        if named.plain {
            plain.push(table);
        }
        moments.extend(named.moments.iter().map(|moment| (table, *moment)));
        if named.past || named.unknown || (!named.is_any() && makes_names(sql) && may_name(sql, table)) {
            told.push(table);
        }
    }
    if !accepted {
        refuse_doubted(head, &plain, at, Some("--as-of "))?;
        for (table, moment) in &moments {
            refuse_doubted(head, &[*table], *moment, Some(""))?;
        }
    }
    let mut doubted = doubted_at(head, plain, at);
    doubted.extend(moments.into_iter().flat_map(|(table, moment)| doubted_at(head, [table], moment)));
    let is_finding = doubted.iter().any(|doubted| !doubted.unwatched);
    doubted.extend(doubted_within(head, told, &(Timestamp(i64::MIN)..=through)));
    let mut once = Vec::new();
    for one in doubted {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    warn_of(&once);
    Ok(is_finding)
}
