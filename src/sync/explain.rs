//! Why tables differed, as far as the deployment's audit log tells. It explains what was found without it, and finds nothing.
//!
//! It is asked once, at the end of a run that found tables newly suspect or corrected some: a quiet run makes no request more. Whatever comes
//! of it, the run is as good as it was.

use std::{collections::BTreeSet, time::Duration};

use super::{
    input::RunInput,
    report::{Correction, Explanation, SyncReport},
};
use crate::{
    archive::{Doubt, Head, Suspect},
    convex::AuditLogEvent,
    document::{TableRef, Timestamp},
    error::{Error, Result},
    monitor::Event,
    position::Scope,
};

/// An entry is written a little before or after what it tells of, nanoseconds.
const MARGIN: i64 = 10 * 1_000_000_000;
/// How long is waited for all of the log.
const PATIENCE: Duration = Duration::from_secs(30);

/// A table that something happened to, and when that was.
struct Touched<'a> {
    table: &'a TableRef,
    after: Timestamp,
    to: Timestamp,
}

impl Touched<'_> {
    /// Whether it may be what happened.
    fn is_explained_by(&self, event: &AuditLogEvent) -> bool {
        let (from, to) = (self.after.0.saturating_sub(MARGIN), self.to.0.saturating_add(MARGIN));
        (from..=to).contains(&event.at.0) && (event.is_nameless() || event.names(self.table))
    }
}

/// What the archive said of its tables when the run began.
pub(super) struct Before {
    suspects: BTreeSet<TableRef>,
    /// How many spans were in doubt. More are added at the end.
    doubts: usize,
}

impl Before {
    pub(super) fn of(head: &Head) -> Self {
        let suspects = head.tables().filter(|state| state.suspect.is_some()).map(|state| state.table.clone());
        Self { suspects: suspects.collect(), doubts: head.coverage().doubts.len() }
    }

    /// The spans that are in doubt since.
    pub(super) fn new_doubts(&self, head: &Head) -> Vec<Doubt> {
        head.coverage().doubts.iter().skip(self.doubts).cloned().collect()
    }
}

/// What the audit log says of the tables that this run corrected, of those that became suspect, and of those that have a span in doubt
/// since: they were touched, and may have been found equal. Nothing, where there are none, or it cannot be read.
pub(super) async fn explain(
    report: &SyncReport,
    before: &Before,
    doubts: &[Doubt],
    input: &RunInput<'_>,
) -> Vec<Explanation> {
    let touched = touched(report, before, doubts);
    let (Some(after), Some(log)) = (touched.iter().map(|of| of.after).min(), input.source.audit_log()) else {
        return Vec::new();
    };
    let events = async {
        let asked = log.events(Timestamp(after.0.saturating_sub(MARGIN)));
        let late = |_| Error::unavailable("the audit log takes too long");
        tokio::time::timeout(PATIENCE, asked).await.map_err(late)?
    };
    let events: Result<_> = tokio::select! {
        biased;
        () = input.options.stop.requested() => return Vec::new(),
        events = events => events,
    };
    match events {
        Ok(events) => explanations(&events, &touched),
        Err(error) => {
            input.monitor.report(Event::NotExplained { error: &error });
            Vec::new()
        }
    }
}

/// The tables that something happened to. Whoever asked for a table to be fetched anew knows why.
fn touched<'a>(report: &'a SyncReport, before: &Before, doubts: &'a [Doubt]) -> Vec<Touched<'a>> {
    let healed = report.healed.iter().filter(|healed| healed.what != Correction::Asked);
    let suspects = report.suspects.iter().filter(|of| of.why != Suspect::ASKED && !before.suspects.contains(&of.table));
    let healed = healed.map(|of| Touched { table: &of.table, after: of.after, to: of.at });
    let suspects = suspects.map(|of| Touched { table: &of.table, after: of.after, to: Timestamp(i64::MAX) });
    let doubts = doubts.iter().filter(|doubt| doubt.why != Suspect::ASKED);
    let doubted = doubts.flat_map(|doubt| match &doubt.scope {
        Scope::Tables(tables) => {
            tables.iter().map(|table| Touched { table, after: doubt.after, to: doubt.to }).collect()
        }
        Scope::All | Scope::Except(_) => Vec::new(),
    });
    healed.chain(suspects).chain(doubted).collect()
}

/// The events that concern these tables, in their order.
fn explanations(events: &[AuditLogEvent], touched: &[Touched<'_>]) -> Vec<Explanation> {
    let explanation = |event: &AuditLogEvent| {
        let mut concerned = touched.iter().filter(|of| of.is_explained_by(event)).peekable();
        concerned.peek()?;
        let tables: BTreeSet<_> = concerned.map(|of| of.table).filter(|table| event.names(table)).collect();
        Some(Explanation {
            at: event.at,
            action: event.action.clone(),
            mode: event.mode.clone(),
            who: event.who.clone(),
            tables: tables.into_iter().cloned().collect(),
        })
    };
    events.iter().filter_map(explanation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * 1_000_000_000;

    fn event(minute: i64, tables: &[TableRef]) -> AuditLogEvent {
        let tables = tables.to_vec();
        let (action, who, component, mode) = ("clear_tables".to_owned(), None, None, None);
        AuditLogEvent { at: Timestamp(minute * MINUTE), action, who, tables, component, mode }
    }

    #[test]
    fn what_names_another_table_or_was_at_another_time_explains_nothing() {
        let [a, b, c] = ["a", "b", "c"].map(|name| TableRef::new("", name).unwrap());
        let touched = [
            Touched { table: &a, after: Timestamp(10 * MINUTE), to: Timestamp(20 * MINUTE) },
            Touched { table: &b, after: Timestamp(30 * MINUTE), to: Timestamp(i64::MAX) },
        ];
        let told = |events: &[AuditLogEvent]| -> Vec<(i64, Vec<TableRef>)> {
            let told = explanations(events, &touched).into_iter();
            told.map(|explanation| (explanation.at.0 / MINUTE, explanation.tables)).collect()
        };
        let both = [c.clone(), b.clone(), a.clone()];
        let events = [9, 10, 15, 20, 21, 29, 30, 99].map(|minute| event(minute, &both));
        let of = |table: &TableRef| vec![table.clone()];
        assert_eq!(told(&events), [(10, of(&a)), (15, of(&a)), (20, of(&a)), (30, of(&b)), (99, of(&b))]);
        assert_eq!(told(&[event(15, &[b.clone(), c])]), []);
        let nameless = [9, 15, 25, 99].map(|minute| event(minute, &[]));
        assert_eq!(told(&nameless), [(15, Vec::new()), (99, Vec::new())]);
    }
}
