//! [`FindingCounts`]: how often each kind of finding came up.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{Event, Monitor};

/// How often each kind of finding came up. As JSON an object: `{"gap": 1}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FindingCounts(BTreeMap<&'static str, u64>);

impl FindingCounts {
    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sums of both.
    pub fn plus(mut self, other: &Self) -> Self {
        for (kind, times) in &other.0 {
            *self.0.entry(kind).or_default() += times;
        }
        self
    }

    /// How often `kind` came up.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Kinds that came up, with how often, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(kind, times)| (*kind, *times))
    }
}

/// `gap 1, types_lost 2`
impl fmt::Display for FindingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, times)) in self.iter().enumerate() {
            let between = if i == 0 { "" } else { ", " };
            write!(f, "{between}{kind} {times}")?;
        }
        Ok(())
    }
}

/// Hands every event on, and counts the findings among them. To count those of a whole run, give the same one to all
/// who report: client, archive and verb.
#[derive(Debug, Default)]
pub struct FindingCounter<M> {
    listener: M,
    counts: Mutex<FindingCounts>,
}

impl<M: Monitor> FindingCounter<M> {
    /// Counts before `listener` hears.
    pub fn new(listener: M) -> Self {
        Self { listener, counts: Mutex::default() }
    }

    /// What came up so far.
    pub fn counts(&self) -> FindingCounts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<M: Monitor> Monitor for FindingCounter<M> {
    fn report(&self, event: Event<'_>) {
        if let Event::Finding(finding) = &event {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.0.entry(finding.kind()).or_default() += 1;
        }
        self.listener.report(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::monitor::{Finding, NoMonitor, finding::tests::some_of_each};

    #[test]
    fn findings_are_counted_by_kind_and_every_event_is_heard() {
        #[derive(Default)]
        struct Heard(Mutex<Vec<String>>);
        impl Monitor for Heard {
            fn report(&self, event: Event<'_>) {
                self.0.lock().unwrap().push(format!("{event:?}"));
            }
        }
        let heard = Arc::new(Heard::default());
        let counter = FindingCounter::new(Arc::clone(&heard));
        for finding in &some_of_each() {
            counter.report(Event::Finding(finding));
        }
        counter.report(Event::Documents { documents: 1, bytes: 2 });
        counter.report(Event::Finding(&Finding::ManifestAhead { version: 4 }));
        let counts = counter.counts();
        assert_eq!((counts.of("manifest_ahead"), counts.of("gap"), counts.of("other")), (2, 1, 0));
        assert_eq!(counts.iter().map(|(_, times)| times).sum::<u64>(), some_of_each().len() as u64 + 1);
        assert_eq!(heard.0.lock().unwrap().len(), some_of_each().len() + 2);
    }

    #[test]
    fn counts_are_an_object_in_json_and_a_list_for_people() {
        let counter = FindingCounter::new(NoMonitor);
        assert_eq!(serde_json::to_string(&counter.counts()).unwrap(), "{}");
        counter.report(Event::Finding(&Finding::SnapshotOfAllTables));
        counter.report(Event::Finding(&Finding::ManifestAhead { version: 4 }));
        let counts = counter.counts();
        assert_eq!(serde_json::to_string(&counts).unwrap(), r#"{"manifest_ahead":1,"snapshot_of_all_tables":1}"#);
        assert_eq!(counts.to_string(), "manifest_ahead 1, snapshot_of_all_tables 1");
        let other = FindingCounter::new(NoMonitor);
        other.report(Event::Finding(&Finding::ManifestAhead { version: 5 }));
        assert_eq!(counts.plus(&other.counts()).to_string(), "manifest_ahead 2, snapshot_of_all_tables 1");
    }
}
