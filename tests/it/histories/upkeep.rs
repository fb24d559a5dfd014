//! What is done to an archive beside syncs, and what must hold after it: small files are joined, what nobody needs goes, a copy is brought up to date,
//! what is too old is forgotten. Every moment that is said to be covered stays what it was, in the archive and in its copy.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convex_archiver::{
    DigestShare, ErrorKind, NoMonitor, Result, TableRef, Timestamp,
    archive::{Archive, Covers, Head, Withdrawal, WithdrawalReason},
    compact::{CompactOptions, CompactReport, OwnBaseRule, compact},
    copy::{CopyOptions, CopyReport, copy},
    forget::{ForgetOptions, ForgetReport, forget},
    read::{State, StateOptions},
    testing::layout,
    vacuum::{VacuumOptions, VacuumReport, vacuum},
    verify::{VerifyDepth, VerifyOptions, verify},
};
use futures::FutureExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tokio::runtime::Handle;

use super::{
    history::History,
    steps::{Pace, Side, Upkeep},
};
use crate::support::{
    assert_same_state,
    clocked::ClockedStore,
    faults::{Fault, FaultyStore},
    states::read_state,
};

type Store = Arc<dyn ObjectStore>;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const ARCHIVE: &str = "memory:///archive";
const COPY: &str = "memory:///copy";

/// What else there is of a history.
pub(crate) struct Kept {
    /// A second archive elsewhere.
    copy: Store,
    /// Where tables begin of which something was forgotten.
    pub(super) from: BTreeMap<TableRef, Timestamp>,
    /// Versions, and until when each was the newest.
    versions: Vec<(Timestamp, u64)>,
    /// Versions that were the newest after this can be read: no vacuum has taken what they need.
    readable_after: Timestamp,
}

impl Kept {
    pub(super) fn new(clock: &Arc<AtomicI64>) -> Self {
        Self {
            copy: Arc::new(ClockedStore::new(clock)),
            from: BTreeMap::new(),
            versions: Vec::new(),
            readable_after: Timestamp(0),
        }
    }
}

/// What upkeep has done.
enum Done {
    /// There was nothing to keep up.
    Nothing,
    Compacted(CompactReport),
    Vacuumed(VacuumReport),
    Copied(CopyReport),
    Forgotten(ForgetReport),
}

/// One piece of upkeep, on a thread of its own.
async fn keep_up(what: Upkeep, archive: Store, copy: Store, now: Timestamp) -> Result<Done> {
    let work = move || Handle::current().block_on(upkeep(what, archive, copy, now));
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// The same, as a process does it from its start.
async fn upkeep(what: Upkeep, archive: Store, copy: Store, now: Timestamp) -> Result<Done> {
    let is_of_copy = matches!(what, Upkeep::VacuumCopy(_));
    let (archive, head) = match newest(if is_of_copy { &copy } else { &archive }, ARCHIVE).await {
        Ok((_, head)) if head.version() == 0 => return Ok(Done::Nothing),
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Done::Nothing),
        // What a copy says that is not whole yet.
        Err(error) if is_of_copy && error.kind() == ErrorKind::Corrupt => return Ok(Done::Nothing),
        Err(error) => return Err(error),
    };
    let (done, head) = match what {
        Upkeep::Compact(fan_in, floor) => {
            let options = CompactOptions::default()
                .fan_in(fan_in)
                .own_bases(OwnBaseRule { floor, apart: 0 })
                .content_digest(DigestShare::All);
            let (head, done) = compact(&archive, &head, &options, now, Arc::new(NoMonitor)).await?;
            (Done::Compacted(done), head)
        }
        Upkeep::Vacuum(days) | Upkeep::VacuumCopy(days) => {
            let options = VacuumOptions::default().min_age(Duration::from_secs(days * 24 * 3600));
            return vacuum(&archive, &head, &options, now).await.map(Done::Vacuumed);
        }
        Upkeep::Copy => {
            let done = copy_to(&archive, &copy).await?;
            return Ok(Done::Copied(done));
        }
        Upkeep::Forget(days, at_once) => {
            let options = ForgetOptions::new(Duration::from_secs(days * 24 * 3600))
                .files_at_once(at_once)
                .content_digest(DigestShare::All);
            let (head, done) = forget(&archive, &head, &options, now, Arc::new(NoMonitor)).await?;
            (Done::Forgotten(done), head)
        }
    };
    if archive.is_manifest_due(&head)? {
        archive.write_manifest(&head).await?;
    }
    Ok(done)
}

async fn copy_to(archive: &Archive, to: &Store) -> Result<CopyReport> {
    copy(archive, to, COPY, &CopyOptions::default(), Arc::new(NoMonitor)).await
}

/// An archive and its newest head.
async fn newest(store: &Store, url: &str) -> Result<(Archive, Head)> {
    let archive = Archive::open(Arc::clone(store), url).await?;
    let head = archive.head().await?;
    Ok((archive, head))
}

/// The same; None, if there is no version.
async fn open(store: &Store, url: &str) -> Option<(Archive, Head)> {
    newest(store, url).await.ok().filter(|(_, head)| head.version() > 0)
}

async fn commit(store: &Store, version: u64) -> bytes::Bytes {
    store.get(&Path::from(layout::commit(version))).await.unwrap().bytes().await.unwrap()
}

impl History {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::SeqCst))
    }

    /// Of the tables that lie in no component.
    pub(super) fn drop_table(&mut self, number: usize) {
        let tables = self.deployment.state_at(Timestamp(i64::MAX)).into_keys();
        let tables: Vec<_> = tables.filter(|table| table.component().is_empty()).collect();
        if let Some(table) = tables.get(number % tables.len().max(1)) {
            self.deployment.drop_table(table).unwrap();
            self.told.add("drops", 1);
            let told = self.not_told.compared.last().copied().unwrap_or(Timestamp(i64::MIN));
            self.not_told.dropped.entry(table.clone()).or_insert(told);
        }
    }

    pub(super) async fn keep_up(&mut self, what: Upkeep, fault: Option<(Side, Fault)>) {
        let at = |side, store: &Store| match fault {
            Some((broken, fault)) if broken == side => Arc::new(FaultyStore::new(Arc::clone(store), Some(fault))),
            _ => Arc::clone(store),
        };
        let (archive, copy) = (at(Side::Archive, &self.store), at(Side::Copy, &self.kept.copy));
        let done = keep_up(what, archive, copy, self.now()).await;
        self.judge_upkeep(what, done, fault.is_some()).await;
    }

    /// All of a sync before this call of the archive's store; after the upkeep, if that makes fewer.
    pub(super) async fn sync_within(&mut self, what: Upkeep, pace: Pace, call: usize) {
        let outcome = Arc::new(Mutex::new(None));
        let (told, sync) = (Arc::clone(&outcome), self.sync(pace, Arc::clone(&self.store), None, None));
        let meanwhile = async move {
            let report = sync.await;
            *told.lock().unwrap() = Some(report);
        };
        let store = FaultyStore::with_meanwhile(Arc::clone(&self.store), None, call, meanwhile.boxed());
        let done = keep_up(what, Arc::new(store.clone()), Arc::clone(&self.kept.copy), self.now()).await;
        store.meanwhile(usize::MAX).await;
        let synced = outcome.lock().unwrap().take().unwrap();
        self.note(&synced);
        synced.expect("nothing that is done to an archive disturbs a sync");
        self.judge_upkeep(what, done, false).await;
    }

    /// All of the upkeep before this call of the archive's store; after the sync, if that makes fewer.
    pub(super) async fn keep_up_during(&mut self, pace: Pace, what: Upkeep, call: usize) {
        let outcome = Arc::new(Mutex::new(None));
        let (told, archive, copy, now) =
            (Arc::clone(&outcome), Arc::clone(&self.store), Arc::clone(&self.kept.copy), self.now());
        let meanwhile = async move {
            let done = keep_up(what, archive, copy, now).await;
            *told.lock().unwrap() = Some(done);
        };
        let store = FaultyStore::with_meanwhile(Arc::clone(&self.store), None, call, meanwhile.boxed());
        let mut synced = self.sync(pace, Arc::new(store.clone()), None, None).await;
        store.meanwhile(usize::MAX).await;
        self.note(&synced);
        // A base that the sync completes says nothing of a table that has got a new beginning meanwhile: the format calls that a conflict. All
        // that was lost comes again.
        let ended = synced.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict);
        if matches!(what, Upkeep::Forget(..)) && ended {
            self.told.add("syncs that forget has ended", 1);
            synced = self.sync(pace, Arc::clone(&self.store), None, None).await;
            self.note(&synced);
        }
        synced.expect("nothing that is done to an archive disturbs a sync");
        let done = outcome.lock().unwrap().take().unwrap();
        self.judge_upkeep(what, done, false).await;
    }

    /// What came of upkeep; where a store was broken it may have failed, and then anything of it may have been done.
    async fn judge_upkeep(&mut self, what: Upkeep, done: Result<Done>, is_broken: bool) {
        self.told.add("pieces of upkeep", 1);
        if let Upkeep::Vacuum(days) = what {
            // Commits know the time to a second.
            let after = Timestamp(self.now().0 - days.max(2) as i64 * DAY + HOUR);
            self.kept.readable_after = self.kept.readable_after.max(after);
        }
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                assert!(is_broken && error.kind() == ErrorKind::Unavailable, "{error:?}");
                self.told.add("pieces of upkeep that failed", 1);
                match what {
                    Upkeep::Forget(..) => self.find_beginnings().await,
                    Upkeep::Copy | Upkeep::VacuumCopy(_) => self.check_copy().await,
                    _ => self.check_answers().await,
                }
                Done::Nothing
            }
        };
        match done {
            Done::Nothing => {}
            Done::Compacted(report) => {
                assert_eq!((report.damaged, report.bases_damaged), (0, 0));
                self.told.add("small files joined by compact", report.inputs);
                self.told.add("bases made by compact", report.bases);
                self.check_answers().await;
            }
            Done::Vacuumed(report) => {
                assert_eq!(report.strays, 0, "{report:?}");
                self.told.add("objects vacuumed", report.useless);
                self.told.add_any("vacuums that deleted something", report.useless);
                if let Upkeep::Vacuum(_) = what {
                    self.check_older_version().await;
                    self.check_answers().await;
                } else {
                    self.check_copy().await;
                }
            }
            Done::Copied(report) => {
                assert!(report.complete && report.problems.is_empty(), "{report:#?}");
                self.told.add("copies", 1);
                self.told.add_any("copies that went on with an older one", report.before.unwrap_or_default());
                self.told.add("files that a copy which died had left", report.files.present);
                self.check_complete_copy(&report).await;
            }
            Done::Forgotten(report) => {
                self.told.add("files forgotten", report.files);
                self.told.add(
                    "tables that could not be forgotten",
                    report.tables.iter().filter(|t| t.held_up.is_some()).count() as u64,
                );
                for table in report.tables.into_iter().filter(|table| table.held_up.is_none()) {
                    self.told.add("tables forgotten", 1);
                    self.forgotten(table.table, table.kept_from);
                }
                self.check_answers().await;
            }
        }
    }

    fn forgotten(&mut self, table: TableRef, kept_from: Timestamp) {
        let from = self.kept.from.entry(table).or_insert(kept_from);
        *from = kept_from.max(*from);
    }

    /// Where tables begin of which something was forgotten by somebody who could not tell it any more.
    async fn find_beginnings(&mut self) {
        let Some((_, head)) = open(&self.store, ARCHIVE).await else { return };
        for state in head.tables() {
            let is_expired = |w: &Withdrawal| w.why == WithdrawalReason::Expired && w.scope.contains(&state.table);
            if head.coverage().withdrawals.iter().any(is_expired) {
                let begins = head.coverage().spans(&state.table).first().map(|span| span.from);
                self.forgotten(state.table.clone(), begins.unwrap_or(Timestamp(i64::MAX)));
            }
        }
    }

    /// What readers are told at the end, and where tables begin; and nothing of what was forgotten.
    async fn check_answers(&mut self) {
        let Some((archive, head)) = open(&self.store, ARCHIVE).await else { return };
        let begins = self.kept.from.values().copied().max();
        for at in begins.into_iter().chain(head.covered_through()) {
            self.assert_answers(&archive, &head, at).await;
        }
        for (table, from) in self.kept.from.clone() {
            assert!(head.coverage().spans(&table).iter().all(|span| from <= span.from), "{table} is kept from {from}");
            let before = Timestamp(from.0.saturating_sub(1));
            assert!(matches!(head.coverage().covers(&table, before), Covers::NotCovered(_)));
            let refused = State::open(&archive, &head, &table, before, &StateOptions::default()).await.map(drop);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound, "{table} at {before}");
            self.told.add("moments refused", 1);
        }
    }

    /// The oldest version that no vacuum has taken anything from is answered as it was: its readers may still be at it.
    async fn check_older_version(&mut self) {
        let Some((archive, _)) = open(&self.store, ARCHIVE).await else { return };
        let after = self.kept.readable_after;
        let Some((_, version)) = self.kept.versions.iter().find(|(until, version)| *until > after && *version > 0)
        else {
            return;
        };
        let head = archive.head_at(*version).await.unwrap();
        if let Some(through) = head.covered_through() {
            self.assert_answers(&archive, &head, through).await;
            self.told.add("older versions read", 1);
        }
    }

    /// A copy that is complete answers as its source, and nothing is wrong with it.
    async fn check_complete_copy(&mut self, report: &CopyReport) {
        let (theirs, their_head) = open(&self.kept.copy, COPY).await.expect("a complete copy is an archive");
        assert_eq!((their_head.version(), their_head.digest()), (report.version, report.digest.as_str()));
        let (ours, our_head) = open(&self.store, ARCHIVE).await.unwrap();
        if our_head.version() == report.version {
            for at in moments(&our_head, &self.kept.from) {
                let (copied, held) =
                    (read_state(&theirs, &their_head, at).await, read_state(&ours, &our_head, at).await);
                assert_same_state(&copied, &held);
            }
        }
        self.verify(&self.kept.copy, VerifyDepth::Data, Some(report.digest.clone())).await;
    }

    /// The copy is none, or says that it is not whole, or is the archive at some version, and tells the truth.
    async fn check_copy(&mut self) {
        let copy = Arc::clone(&self.kept.copy);
        let (archive, head) = match newest(&copy, COPY).await {
            Ok(opened) => opened,
            Err(error) => {
                let is_unfinished = error.kind() == ErrorKind::Corrupt && error.to_string().contains("run copy again");
                assert!(is_unfinished || error.kind() == ErrorKind::NotFound, "{error:?}");
                return;
            }
        };
        assert!(head.version() > 0);
        assert_eq!(commit(&copy, head.version()).await, commit(&self.store, head.version()).await);
        if let Some(through) = head.covered_through() {
            self.assert_answers(&archive, &head, through).await;
        }
    }

    async fn verify(&self, store: &Store, depth: VerifyDepth, digest: Option<String>) {
        let options = VerifyOptions::default().depth(depth).expect_head(digest).dry_run(true);
        let report = verify(Arc::clone(store), COPY, &options, self.now(), Arc::new(NoMonitor)).await.unwrap();
        assert_eq!(report.problems, [], "{report:#?}");
    }

    /// Notes which version is the newest now.
    pub(super) fn note_version(&mut self, version: u64) {
        self.kept.versions.push((self.now(), version));
    }

    /// Whether anything was done to it beside syncs.
    pub(crate) fn is_kept_up(&self) -> bool {
        self.told.times("pieces of upkeep") > 0
    }

    /// At the end nothing is wrong with the archive, and nothing with a last copy of it.
    pub(crate) async fn check_upkeep(&mut self) {
        self.verify(&self.store, VerifyDepth::Objects, None).await;
        self.keep_up(Upkeep::Copy, None).await;
        let (_, head) = open(&self.kept.copy, COPY).await.expect("the copy is whole in the end");
        let (_, ours) = open(&self.store, ARCHIVE).await.unwrap();
        assert_eq!((head.version(), head.digest()), (ours.version(), ours.digest()));
    }
}

/// The newest moment, the first one, where tables begin, and some between.
fn moments(head: &Head, kept_from: &BTreeMap<TableRef, Timestamp>) -> Vec<Timestamp> {
    let (Some(first), Some(last)) = (head.origin(), head.covered_through()) else { return Vec::new() };
    let between = [first, Timestamp(first.0 / 2 + last.0 / 2), last];
    let mut moments: Vec<_> = between.into_iter().chain(kept_from.values().copied()).filter(|at| *at <= last).collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}
