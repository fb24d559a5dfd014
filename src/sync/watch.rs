//! The watchman's memory: where the [`Sentinel`] of the deployment stands, and what was found out with its help. It lies in `sentinel.json`
//! beside the archive.
//!
//! It is advisory. A name that the sentinel gives comes once, so the object moves on only after a commit holds the name: to ask twice
//! is harmless, to lose a name is not. Without the object, or with one that is older than the archive, nobody knows what happened in
//! between, and every table is suspect until it has been compared.
//!
//! # The excess
//! A sync goes over all tables, the hidden ones of imports included; the list of tables has the others only. What is too many is the
//! *excess*: so many imports are being filled, or have left something behind. A suspect is settled by a comparison at an S behind an
//! answer without excess. An excess without any name is of before the sentinel's first answer: every table is suspect, and once it is an hour
//! old and all have been compared, it is *harmless*.

use std::collections::{BTreeMap, BTreeSet};

use object_store::{ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};

use super::input::RunInput;
use crate::{
    archive::{Archive, Head, Suspect},
    convex::{Sentinel, SentinelAnswer},
    document::{TableRef, Timestamp},
    error::{Error, Result},
    layout,
    monitor::{Event, Finding, Monitor},
    selection::Selection,
    store,
};

/// An import that began so long ago, nanoseconds, is taken for one that has ended: most take minutes.
pub(super) const HOUR: i64 = 3600 * 1_000_000_000;
/// A suspect that cannot be settled is compared anew after so long, nanoseconds.
pub(super) const DAY: i64 = 24 * HOUR;
/// How far behind the deployment's clock the sentinel begins: no moment of the future can be asked for.
const MARGIN: i64 = 60 * 1_000_000_000;
/// Pages that are asked for in one go: an answer that never ends is none.
const PAGES: usize = 100_000;
/// How often the list of tables is asked for until it is the same before and behind an answer.
const LISTS: usize = 3;

/// What is remembered from run to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// The archive that it is of.
    archive: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sync: Option<WatchedSync>,
    /// Every table becomes suspect with the next commit: nobody knows what was before the sentinel's first answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    blind: bool,
    /// S at which a suspect was compared last, under the present excess, by the table's path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    compared: BTreeMap<String, Timestamp>,
    /// Tables that differed when they were compared last, and were left as they are: an import was filling them, say. That they are equal later
    /// proves nothing of before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    differed: BTreeSet<String>,
    /// Tables that are not listed and were found empty, with the delta rows that they had then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    gone: BTreeMap<String, u64>,
    /// Where large tables lay when they were compared last: without a sentinel that tells a replaced table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    places: BTreeMap<String, String>,
}

/// Where the sentinel stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WatchedSync {
    cursor: String,
    /// The tables that are watched.
    #[serde(default)]
    selection: Selection,
    /// How far it answered.
    through: Timestamp,
    /// Tables too many; None, if that could not be found out.
    excess: Option<u64>,
    /// Since when they are that many.
    since: Timestamp,
    /// So many of them have been there before, and all tables were compared beside them.
    harmless: u64,
    /// When that was; 0, if it never was.
    #[serde(default)]
    compared: Timestamp,
    /// The first answer since the last one that named a table, or showed an excess that is not harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clean: Option<Timestamp>,
}

impl Memory {
    /// Without where the sentinel stands.
    fn learned(&self) -> Self {
        let mut learned = self.clone();
        if let Some(sync) = &mut learned.sync {
            sync.cursor.clear();
            sync.through = Timestamp(0);
        }
        learned
    }
}

/// What an answer of the sentinel, and the list of tables, say.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Tables that an import touched.
    pub(super) touched: BTreeSet<TableRef>,
    /// Why every table is suspect, if they are.
    pub(super) all: Option<&'static str>,
    /// Whether tables that the archive has never seen are suspect too: one that an import filled before anybody watched, and that it has
    /// made now, has no row behind the cursor.
    pub(super) strangers: bool,
    /// Up to here somebody watched.
    pub(super) guarded: Option<Timestamp>,
    /// The tables that the deployment lists; None, if it does not tell all.
    pub(super) listed: Option<BTreeSet<TableRef>>,
}

/// Who watches, and what is remembered.
#[derive(Debug, Default)]
pub(super) struct Watch {
    memory: Memory,
    /// As it was read or written last.
    written: Memory,
    /// The tables that the deployment listed last.
    listed: Option<BTreeSet<TableRef>>,
    /// Tables that are asked for by `_id` alone.
    known: BTreeSet<TableRef>,
    /// Whether the deployment was found to take no question for the ids of one table.
    mute: bool,
}

impl Watch {
    /// What the archive remembers. An object of another archive, or one that cannot be read, is none.
    ///
    /// # Errors
    /// Access, Unavailable, as the store says.
    pub(super) async fn read(archive: &Archive) -> Result<Self> {
        let stored = store::get(archive.store().as_ref(), layout::SENTINEL).await?;
        let memory = stored.and_then(|stored| serde_json::from_slice::<Memory>(&stored).ok());
        let id = &archive.header().archive;
        let memory = memory.filter(|memory| memory.archive == *id).unwrap_or_default();
        let memory = Memory { archive: id.clone(), ..memory };
        Ok(Self { written: memory.clone(), memory, ..Self::default() })
    }

    /// Begins to watch, if nobody does: before the first page, so that what is snapshotted next is guarded.
    pub(super) async fn begin(&mut self, head: &Head, input: &RunInput<'_>) {
        self.listed = input.shapes.complete.then(|| input.shapes.listed.clone());
        self.know(head, input);
        // Of another selection nothing can be counted: it begins anew.
        if self.memory.sync.as_ref().is_some_and(|sync| sync.selection == input.source.selection()) {
            return;
        }
        // A base that is still being walked counts: its first tables were read when nobody watched.
        let (was_watched, has_rows) = (head.guarded().is_some(), head.progress().delta.is_some());
        let Some(sentinel) = input.source.sentinel() else { return };
        self.memory.sync = None;
        match self.watch_anew(sentinel, head, input).await {
            Ok(began) => self.memory.blind |= has_rows && (began || was_watched),
            Err(error) => not_watched(input.monitor.as_ref(), &error),
        }
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.memory.sync.is_some()
    }

    async fn watch_anew(&mut self, sentinel: &dyn Sentinel, head: &Head, input: &RunInput<'_>) -> Result<bool> {
        // No page came yet that would have told what time it is there.
        let now = input.clock.answered(None)?;
        let cursor = head.progress().delta.as_ref().map(|delta| delta.ts);
        let mut begun = None;
        for after in [Some(Timestamp(now.0.saturating_sub(MARGIN))), cursor].into_iter().flatten() {
            begun = sentinel.begin(after, &self.known).await?;
            if begun.is_some() {
                break;
            }
        }
        let Some(cursor) = begun else { return Ok(false) };
        self.memory.compared.clear();
        let through = Timestamp(i64::MIN);
        self.memory.sync = Some(WatchedSync {
            cursor,
            selection: input.source.selection(),
            through,
            excess: None,
            since: now,
            harmless: 0,
            compared: Timestamp(0),
            clean: None,
        });
        let heard = self.answers(sentinel, input).await?;
        // What it names now, and an excess, are of before it could watch.
        let excess = self.memory.sync.as_ref().and_then(|sync| sync.excess);
        self.memory.blind |= heard.is_none() || excess != Some(0);
        Ok(self.memory.sync.is_some())
    }

    fn know(&mut self, head: &Head, input: &RunInput<'_>) {
        self.known = head.tables().map(|state| state.table.clone()).collect();
        self.known.extend(self.listed.iter().flatten().cloned());
        self.known.extend(input.shapes.listed.iter().cloned());
    }

    /// Asks what happened up to now, after the last page of a run and before the commit that moves the archive to `cursor`.
    pub(super) async fn ask(&mut self, head: &Head, cursor: Timestamp, input: &RunInput<'_>) -> Heard {
        self.know(head, input);
        let mut heard = Heard::default();
        if let (Some(sentinel), true) = (input.source.sentinel(), self.is_watched()) {
            let before = self.memory.sync.clone();
            match self.answers(sentinel, input).await {
                Ok(Some(touched)) => heard.touched = touched,
                // It has to begin anew, and nobody watched in between.
                Ok(None) => {
                    heard.all = Some(Suspect::UNGUARDED);
                    self.memory.sync = None;
                    if let Err(error) = self.watch_anew(sentinel, head, input).await {
                        not_watched(input.monitor.as_ref(), &error);
                    }
                }
                Err(error) => {
                    // What it named on its first pages it has to name again.
                    self.memory.sync = before;
                    not_watched(input.monitor.as_ref(), &error);
                    return heard;
                }
            }
            heard.guarded = self.guarded(cursor);
        } else {
            self.listed = list(input).await;
        }
        if self.memory.blind || self.is_unexplained(cursor) {
            heard.all = heard.all.or(Some(Suspect::UNGUARDED));
        }
        // As long as something is hidden that came before the sentinel, whatever comes is suspect.
        self.memory.blind &= self.has_excess();
        for table in &heard.touched {
            self.memory.compared.remove(&table.to_string());
        }
        let suspects = head.tables().any(|state| state.suspect.is_some());
        if let Some(changed) = self.excess_has_changed() {
            self.memory.compared.clear();
            heard.strangers = true;
            // What was hidden before the sentinel began has ended, well or not, and no name tells which table it was.
            let nameless = self.written.sync.as_ref().is_some_and(|before| before.harmless > 0);
            if nameless || (heard.touched.is_empty() && !suspects && changed) {
                heard.all = heard.all.or(Some("import"));
            }
        }
        heard.strangers |= heard.all.is_some();
        heard.listed.clone_from(&self.listed);
        heard
    }

    /// Up to where somebody watched, of an archive that is moved to `cursor`: not while something is hidden that the sentinel cannot name,
    /// nor without the list of tables, which alone tells of drops.
    fn guarded(&self, cursor: Timestamp) -> Option<Timestamp> {
        self.listed.as_ref()?;
        let sync = self.memory.sync.as_ref().filter(|sync| sync.through >= cursor)?;
        (sync.harmless == 0 || sync.excess == Some(0)).then_some(cursor)
    }

    /// Whether something is hidden that the sentinel cannot name, and all tables are to be compared beside it anew.
    fn is_unexplained(&self, cursor: Timestamp) -> bool {
        let is_old = |sync: &WatchedSync| cursor.0.saturating_sub(sync.compared.0) >= DAY;
        self.memory.sync.as_ref().is_some_and(|sync| sync.harmless > 0 && sync.excess != Some(0) && is_old(sync))
    }

    /// Whether the excess is another than it was when the object was written, and whether that is not harmless by itself.
    fn excess_has_changed(&self) -> Option<bool> {
        let (now, before) = (self.memory.sync.as_ref()?, self.written.sync.as_ref()?);
        (now.excess != before.excess && now.excess.is_some()).then(|| now.excess != Some(0) || before.harmless > 0)
    }

    /// All answers up to now: the tables that were touched. None, if the sentinel has to begin anew, or is gone.
    async fn answers(&mut self, sentinel: &dyn Sentinel, input: &RunInput<'_>) -> Result<Option<BTreeSet<TableRef>>> {
        let mut touched = BTreeSet::new();
        for _ in 0..LISTS {
            let Some(sync) = &mut self.memory.sync else { return Ok(None) };
            let mut asked = 0;
            let (id, through) = loop {
                let page = match sentinel.ask(&sync.cursor, &self.known).await? {
                    SentinelAnswer::Page(page) => page,
                    SentinelAnswer::Lost | SentinelAnswer::Absent => {
                        self.memory.sync = None;
                        return Ok(None);
                    }
                };
                touched.extend(page.touched);
                sync.cursor = page.cursor;
                asked += 1;
                match page.through {
                    Some(through) => break (page.sync, through),
                    None if asked == PAGES => return Err(Error::protocol("Data Sync does not end")),
                    None => {}
                }
            };
            sync.through = through;
            let total = sentinel.total_tables(&id).await?;
            let listed = list(input).await;
            let same = listed.is_some() && listed == self.listed;
            self.listed = listed;
            let count = self.listed.as_ref().map(|listed| selected(listed, &input.source.selection()));
            let excess = total.zip(count).and_then(|(total, listed)| total.checked_sub(listed));
            let Some(sync) = &mut self.memory.sync else { return Ok(None) };
            if same && sync.excess != excess {
                (sync.excess, sync.since) = (excess, through);
                sync.harmless = sync.harmless.min(excess.unwrap_or(0));
            }
            let is_clean = same && excess.is_some_and(|excess| excess <= sync.harmless);
            sync.clean = sync.clean.filter(|_| touched.is_empty()).or(Some(through)).filter(|_| is_clean);
            if same {
                break;
            }
        }
        Ok(Some(touched))
    }

    /// Whether a comparison at `at` settles a suspect: no import was under way or had left something behind when the sentinel answered
    /// before, and none has begun since.
    pub(super) fn settles(&self, at: Timestamp) -> bool {
        self.memory.sync.as_ref().is_none_or(|sync| sync.clean.is_some_and(|clean| clean <= at))
    }

    /// The same of a comparison that no sync made: if somebody should watch, and the object beside the archive does not say how far, nobody
    /// knows.
    pub(super) fn settles_for(&self, head: &Head, at: Timestamp) -> bool {
        let known = match &self.memory.sync {
            Some(sync) => head.guarded().is_none_or(|guarded| guarded <= sync.through),
            None => head.guarded().is_none(),
        };
        known && !self.memory.blind && self.settles(at)
    }

    /// Whether imports are under way, or have left something behind, that nobody has found harmless.
    pub(super) fn has_excess(&self) -> bool {
        self.memory.sync.as_ref().is_some_and(|sync| sync.excess.is_none_or(|excess| excess > sync.harmless))
    }

    /// Whether an import may still be filling tables at `now`.
    pub(super) fn may_be_filling(&self, now: Timestamp) -> bool {
        let young = |sync: &WatchedSync| now.0.saturating_sub(sync.since.0) < HOUR;
        self.has_excess() && self.memory.sync.as_ref().is_some_and(young)
    }

    /// How far the sentinel has answered.
    pub(super) fn through(&self) -> Option<Timestamp> {
        self.memory.sync.as_ref().map(|sync| sync.through)
    }

    /// Whether a suspect is to be compared at `at`.
    pub(super) fn is_due(&self, table: &TableRef, at: Timestamp) -> bool {
        let Some(before) = self.memory.compared.get(&table.to_string()) else { return true };
        let Some(sync) = &self.memory.sync else { return at.0.saturating_sub(before.0) >= DAY };
        // An excess that has just become old enough says more than it did.
        let old = Timestamp(sync.since.0.saturating_add(HOUR));
        !self.has_excess() || at.0.saturating_sub(before.0) >= DAY || (*before < old && old <= at)
    }

    /// Whether the table was not compared since it was named, or since the excess changed; or differed then.
    pub(super) fn is_news(&self, table: &TableRef) -> bool {
        let table = table.to_string();
        !self.memory.compared.contains_key(&table) || self.memory.differed.contains(&table)
    }

    /// The table differs, and is left as it is.
    pub(super) fn found_different(&mut self, table: &TableRef) {
        self.memory.differed.insert(table.to_string());
    }

    /// The table is equal, or was corrected.
    pub(super) fn found_equal(&mut self, table: &TableRef) {
        self.memory.differed.remove(&table.to_string());
    }

    /// A suspect was compared at `at`, and is not settled.
    pub(super) fn compared(&mut self, table: &TableRef, at: Timestamp) {
        self.memory.compared.insert(table.to_string(), at);
    }

    /// All tables have been compared at `at`, and nothing names an import: an excess that is an hour old is harmless.
    pub(super) fn all_compared(&mut self, at: Timestamp) {
        let Some(sync) = &mut self.memory.sync else { return };
        if let Some(excess) = sync.excess.filter(|excess| *excess > 0)
            && at.0.saturating_sub(sync.since.0) >= HOUR
        {
            (sync.harmless, sync.clean, sync.compared) = (excess, Some(sync.since), at);
            self.memory.blind = false;
        }
    }

    /// Whether the table, which is not listed, was found empty before, and has had no row since.
    pub(super) fn is_gone(&self, table: &TableRef, delta_rows: u64) -> bool {
        self.memory.gone.get(&table.to_string()) == Some(&delta_rows)
    }

    /// The table is empty in the deployment, or not there.
    pub(super) fn found_gone(&mut self, table: &TableRef, delta_rows: u64) {
        self.memory.gone.insert(table.to_string(), delta_rows);
    }

    /// The tables that the deployment listed last.
    pub(super) fn listed(&self) -> impl Iterator<Item = &TableRef> {
        self.listed.iter().flatten()
    }

    /// Whether the deployment listed the table last; None, if it did not tell all.
    pub(super) fn is_listed(&self, table: &TableRef) -> Option<bool> {
        self.listed.as_ref().map(|listed| listed.contains(table))
    }

    /// Whether the deployment was found to take no question for the ids of one table.
    pub(super) fn cannot_ask(&self) -> bool {
        self.mute
    }

    /// The deployment takes no question for the ids of one table.
    pub(super) fn found_unable_to_ask(&mut self) {
        self.mute = true;
    }

    /// Where the table lay when it was compared last.
    pub(super) fn place(&self, table: &TableRef) -> Option<&str> {
        self.memory.places.get(&table.to_string()).map(String::as_str)
    }

    /// The table lies here.
    pub(super) fn lies_at(&mut self, table: &TableRef, place: String) {
        self.memory.places.insert(table.to_string(), place);
    }

    /// Remembers all of it, once a commit holds what was named. Of an `idle` run that learned nothing new it is enough to remember it now and
    /// then: the next one asks from where this one began.
    pub(super) async fn write(&mut self, archive: &Archive, idle: bool, monitor: &dyn Monitor) {
        let reached = |memory: &Memory| memory.sync.as_ref().map_or(0, |sync| sync.through.0);
        let recent = reached(&self.memory).saturating_sub(reached(&self.written)) < HOUR;
        if self.memory == self.written || (idle && recent && self.memory.learned() == self.written.learned()) {
            return;
        }
        let written = async {
            let mut text = serde_json::to_vec(&self.memory)
                .map_err(|e| Error::internal("the sentinel's memory cannot be written as JSON").with_source(e))?;
            text.push(b'\n');
            let path = Path::from(layout::SENTINEL);
            archive.store().put(&path, text.into()).await.map(drop).map_err(|e| store::store_error(e, layout::SENTINEL))
        };
        match written.await {
            Ok(()) => self.written = self.memory.clone(),
            Err(error) => monitor.report(Event::Finding(&Finding::SentinelNotWritten { why: error.to_string() })),
        }
    }
}

fn selected(listed: &BTreeSet<TableRef>, selection: &Selection) -> u64 {
    listed.iter().filter(|table| selection.contains(table)).count() as u64
}

/// The tables that the deployment lists now; None, if it does not tell all.
async fn list(input: &RunInput<'_>) -> Option<BTreeSet<TableRef>> {
    match input.source.tables().await {
        Ok(Some(listed)) => Some(listed),
        Ok(None) => None,
        Err(error) => {
            not_watched(input.monitor.as_ref(), &error);
            None
        }
    }
}

fn not_watched(monitor: &dyn Monitor, error: &Error) {
    monitor.report(Event::Finding(&Finding::NotWatched { why: error.to_string() }));
}
