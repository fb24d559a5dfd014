//! A history as it happens, and what must hold after each of its steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use convex_archiver::{
    DeploymentIdentity, DigestShare, Error, ErrorKind, Event, MemoryBudget, Monitor, NoMonitor, Position, Result,
    Selection, TableRef, Timestamp, Value,
    archive::{Archive, BaseMaker, Covers, Head, Span},
    compact::OwnBaseRule,
    convex::{
        Access, Client, ClientOptions, DeployKey, IdPage, Page, RetryPolicy, Sentinel, Shapes, SnapshotScope, Source,
    },
    server::{Components, Deployment, RouterOptions, SeededWriter, SimulatedDeployment},
    sync::{OnGap, Stop, SyncOptions, SyncReport, sync},
};
use object_store::ObjectStore;

use super::{
    steps::{Pace, Step, Wrong},
    told::Told,
    upkeep::Kept,
};
use crate::{
    conformance::Server,
    support::{
        FileRows, Held, KEY, assert_same_state,
        clocked::ClockedStore,
        faults::FaultyStore,
        not_told::NotTold,
        source::same_place,
        states::{covered_state, read_state},
    },
};

const START: i64 = 1_790_000_000_000_000_000;
/// Looks at the clock; each takes a millisecond.
const LOOK: i64 = 1_000_000;

/// The deployment as a sync sees it: over HTTP, with what goes wrong.
struct Seen {
    client: Client,
    identity: DeploymentIdentity,
    wrong: Option<Wrong>,
    clock: Arc<AtomicI64>,
    deployment: Arc<SimulatedDeployment>,
    writer: Arc<Mutex<SeededWriter>>,
    writes: AtomicUsize,
    pages: AtomicUsize,
}

fn write(writer: &Mutex<SeededWriter>, deployment: &SimulatedDeployment) {
    writer.lock().unwrap_or_else(PoisonError::into_inner).write(deployment).unwrap();
}

#[async_trait]
impl Source for Seen {
    /// Whatever the port it is asked on.
    async fn identity(&self) -> Result<DeploymentIdentity> {
        Ok(self.identity.clone())
    }

    async fn shapes(&self) -> Result<Shapes> {
        self.client.shapes().await
    }

    async fn ids(&self, table: &TableRef, ts: Timestamp, cursor: Option<&str>) -> Result<Option<IdPage>> {
        self.client.ids(table, ts, cursor).await
    }

    fn clock_offset(&self) -> Option<i64> {
        self.client.clock_offset()
    }

    fn sentinel(&self) -> Option<&dyn Sentinel> {
        self.client.sentinel()
    }

    fn snapshot_start(&self) -> Position {
        self.client.snapshot_start()
    }

    fn snapshot_of(&self, scope: &SnapshotScope, ts: Timestamp) -> Position {
        self.client.snapshot_of(scope, ts)
    }

    async fn deltas_after(&self, ts: Timestamp) -> Result<Position> {
        self.client.deltas_after(ts).await
    }

    async fn page(&self, at: &Position) -> Result<Page> {
        if self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            write(&self.writer, &self.deployment);
        }
        let number = self.pages.fetch_add(1, Ordering::SeqCst);
        match self.wrong {
            Some(Wrong::Gone(after)) if number >= after => return Err(Error::unavailable("gone")),
            Some(Wrong::Twice(which)) if number == which => drop(self.client.page(at).await?),
            Some(Wrong::Waits(which, time)) if number == which => {
                self.clock.fetch_add(time, Ordering::SeqCst);
            }
            _ => {}
        }
        self.client.page(at).await
    }
}

/// Asks for a stop when so many pages have come.
struct StopAt(Stop, AtomicUsize);

impl Monitor for StopAt {
    fn report(&self, event: Event<'_>) {
        if matches!(event, Event::Page { .. }) && self.1.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.request();
        }
    }
}

pub(crate) struct History {
    pub(super) clock: Arc<AtomicI64>,
    pub(super) deployment: Arc<SimulatedDeployment>,
    writer: Arc<Mutex<SeededWriter>>,
    pub(super) store: Arc<dyn ObjectStore>,
    /// Version and cursor so far.
    reached: (u64, Timestamp),
    /// Gaps so far.
    gaps: usize,
    /// Whose archive it is.
    known_as: Option<DeploymentIdentity>,
    /// What was covered: it stays so.
    covered: BTreeMap<TableRef, Vec<Span>>,
    seen: FileRows,
    /// What is asked for from now on.
    selection: Selection,
    /// Where the deployment is.
    place: DeploymentIdentity,
    /// What the server tells of components.
    components: Components,
    /// What the deployment did not tell.
    pub(super) not_told: NotTold,
    /// What else is done to the archive, and what is left of it.
    pub(super) kept: Kept,
    pub(crate) told: Told,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let looks = Arc::clone(&clock);
        let look = move || Timestamp(looks.fetch_add(LOOK, Ordering::SeqCst));
        Self {
            store: Arc::new(ClockedStore::new(&clock)),
            kept: Kept::new(&clock),
            clock,
            deployment: Arc::new(SimulatedDeployment::with_clock("otter-1", seed, look)),
            writer: Arc::new(Mutex::new(SeededWriter::new(seed))),
            reached: (0, Timestamp(0)),
            gaps: 0,
            known_as: None,
            covered: BTreeMap::new(),
            seen: FileRows::new(),
            selection: Selection::default(),
            place: same_place(),
            components: Components::Everywhere,
            not_told: NotTold::default(),
            told: Told::default(),
        }
    }

    /// One sync into `store`, with its own server.
    pub(super) fn sync(
        &self,
        pace: Pace,
        store: Arc<dyn ObjectStore>,
        wrong: Option<Wrong>,
        stop_at: Option<u64>,
    ) -> impl Future<Output = Result<SyncReport>> + Send + use<> {
        let deployment = Arc::clone(&self.deployment);
        let (clock, writer, selection) = (Arc::clone(&self.clock), Arc::clone(&self.writer), self.selection.clone());
        let (identity, components) = (self.place.clone(), self.components);
        // Where something was dropped, and no server tells, each run compares all tables.
        let audit_every = Duration::from_secs(if self.not_told.dropped.is_empty() { 24 * 3600 } else { 0 });
        async move {
            let mut pages = RouterOptions::default()
                .key(KEY.to_owned())
                .snapshot_page(pace.snapshot_page)
                .delta_page(pace.delta_page)
                .components(components)
                .data_sync(components == Components::Everywhere);
            match &wrong {
                Some(Wrong::Answers(fault)) => pages.faults.push(fault.clone()),
                Some(Wrong::Knows(formats, posts)) => {
                    pages.formats.clone_from(formats);
                    pages.posts = *posts;
                }
                _ => {}
            }
            let server = Server::start(Arc::clone(&deployment) as Arc<dyn Deployment>, pages).await;
            let source = Seen {
                client: hasty_client(&server.url, selection.clone()),
                identity: identity.clone(),
                wrong,
                clock,
                deployment,
                writer,
                writes: pace.writes_meanwhile.into(),
                pages: AtomicUsize::new(0),
            };
            let archive = Archive::open_or_create(store, "memory:///archive", identity.clone(), Timestamp(1)).await?;
            let stop = Stop::default();
            let monitor = StopAt(stop.clone(), AtomicUsize::new(stop_at.map_or(usize::MAX, |page| page as usize)));
            let options = SyncOptions::default()
                .budget(MemoryBudget::new(pace.memory_mib << 20).unwrap())
                .target_file_bytes(pace.target_file_bytes)
                .commit_every(pace.commit_every)
                .content_digest(DigestShare::All)
                .audit_every(Some(audit_every))
                .selection(selection)
                .accept_selection(true)
                .accept_deployment(pace.accepts_a_move.then_some(identity.origin))
                .on_gap(pace.on_gap)
                .fan_in(pace.fan_in)
                .own_bases(OwnBaseRule { floor: pace.own_base_floor, apart: 0 })
                .stop(stop);
            sync(Arc::new(source), &archive, &options, Arc::new(monitor)).await
        }
    }

    pub(super) fn note(&mut self, outcome: &Result<SyncReport>) {
        self.told.add("syncs", 1);
        match outcome {
            // A gap is what the deployment truly no longer kept.
            Ok(report) => {
                if report.caught_up {
                    self.not_told.compared.extend(report.through);
                }
                let kept = Timestamp(self.clock.load(Ordering::SeqCst) - 13 * 24 * 3_600_000_000_000);
                self.told.add("small files joined", report.compacted.inputs);
                self.told.add("bases of its own", report.compacted.bases);
                assert_eq!((report.compacted.damaged, report.compacted.bases_damaged), (0, 0));
                assert!(report.gaps.iter().all(|gap| gap.from < gap.to && gap.to < kept), "{report:?}");
            }
            Err(error) if error.kind() == ErrorKind::Conflict => self.told.add("conflicts", 1),
            Err(_) => self.told.add("failed", 1),
        }
    }

    /// What came of a sync: nothing else than what was asked for, and of the errors none but these.
    async fn judge(&mut self, pace: Pace, outcome: Result<SyncReport>, errors: &[ErrorKind]) -> Option<SyncReport> {
        self.note(&outcome);
        let moved = self.known_as.as_ref().is_some_and(|known| *known != self.place);
        if moved && !pace.accepts_a_move {
            let error = outcome.expect_err("another deployment is refused");
            assert!(error.kind() == ErrorKind::Usage || errors.contains(&error.kind()), "{error:?}");
            let unmoved =
                Archive::open(Arc::clone(&self.store), "memory:///archive").await.unwrap().head().await.unwrap();
            assert_eq!(unmoved.version(), self.reached.0);
            return None;
        }
        if pace.on_gap == OnGap::Fail
            && let Ok(archive) = Archive::open(Arc::clone(&self.store), "memory:///archive").await
        {
            assert_eq!(archive.head().await.unwrap().coverage().gaps.len(), self.gaps, "no gap was to be made");
        }
        let may_be_too_old = pace.on_gap == OnGap::Fail;
        match outcome {
            Ok(report) => Some(report),
            Err(error) if error.kind() == ErrorKind::Window && may_be_too_old => None,
            Err(error) => {
                assert!(errors.contains(&error.kind()), "{error:?}");
                None
            }
        }
    }

    pub(crate) async fn take(&mut self, step: Step) {
        let store = Arc::clone(&self.store);
        match step {
            Step::Write(transactions) => (0..transactions).for_each(|_| write(&self.writer, &self.deployment)),
            Step::Appear(table) => {
                let fields = BTreeMap::from([("n".to_owned(), Value::Int64(self.clock.load(Ordering::SeqCst)))]);
                self.deployment.transaction(|tx| tx.insert(&table, fields)).unwrap();
            }
            Step::Select(text) => self.selection = text.parse().unwrap(),
            Step::Pass(time) => drop(self.clock.fetch_add(time, Ordering::SeqCst)),
            Step::Move => {
                self.told.add("moves", 1);
                let name = format!("otter-{}", self.told.times("moves") + 1);
                self.place = DeploymentIdentity { origin: format!("https://{name}.convex.cloud"), name: Some(name) };
            }
            Step::Old => self.components = Components::NotInDeltas,
            Step::Upgrade => {
                self.told.add("upgrades", u64::from(self.components != Components::Everywhere));
                self.components = Components::Everywhere;
            }
            Step::Sync(pace) => {
                let outcome = self.sync(pace, store, None, None).await;
                if let Some(report) = self.judge(pace, outcome, &[]).await {
                    assert!(report.caught_up && report.commits > 0);
                }
            }
            Step::Drop(number) => self.drop_table(number),
            Step::Upkeep(what, fault) => self.keep_up(what, fault).await,
            Step::Within(what, pace, call) => self.sync_within(what, pace, call).await,
            Step::During(pace, what, call) => self.keep_up_during(pace, what, call).await,
            Step::Faulty(pace, fault) => {
                let faulty = Arc::new(FaultyStore::new(store, Some(fault)));
                let outcome = self.sync(pace, faulty, None, None).await;
                self.judge(pace, outcome, &[ErrorKind::Unavailable]).await;
            }
            Step::Wrong(pace, wrong) => {
                let outcome = self.sync(pace, store, Some(wrong), None).await;
                let kinds = [ErrorKind::Access, ErrorKind::Protocol, ErrorKind::Unavailable, ErrorKind::Window];
                self.judge(pace, outcome, &kinds).await;
            }
            Step::Stopped(pace, page) => {
                let outcome = self.sync(pace, store, None, Some(page)).await;
                self.judge(pace, outcome, &[]).await;
            }
            Step::Two(one, other, call) => {
                let second = self.sync(other, Arc::clone(&store), None, None);
                let (first, second) = self.one_within_another(one, second, call).await;
                self.note(&first);
                self.note(&second);
                let failed: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
                assert!(failed.len() < 2, "one of two goes on: {failed:?}");
                assert!(failed.iter().all(|e| e.kind() == ErrorKind::Conflict), "{failed:?}");
            }
        }
    }

    /// All of `second` before this call of the first one's store; after the first, if it makes fewer.
    async fn one_within_another(
        &self,
        pace: Pace,
        second: impl Future<Output = Result<SyncReport>> + Send + 'static,
        call: usize,
    ) -> (Result<SyncReport>, Result<SyncReport>) {
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let meanwhile = Box::pin(async move {
            let report = second.await;
            *told.lock().unwrap() = Some(report);
        });
        let store = FaultyStore::with_meanwhile(Arc::clone(&self.store), None, call, meanwhile);
        let first = self.sync(pace, Arc::new(store.clone()), None, None).await;
        store.meanwhile(usize::MAX).await;
        let second = outcome.lock().unwrap().take();
        (first, second.unwrap())
    }

    /// What the archive says is true, and it has not gone back.
    pub(crate) async fn check(&mut self) {
        let archive = match Archive::open(Arc::clone(&self.store), "memory:///archive").await {
            Ok(archive) => archive,
            Err(error) => {
                assert!(error.kind() == ErrorKind::NotFound && self.reached.0 == 0, "{error:?}");
                return;
            }
        };
        let held = Held::read_on(&archive, &mut self.seen).await;
        let through = held.head.progress().delta.as_ref().map_or(Timestamp(0), |delta| delta.ts);
        let version = held.head.version();
        self.note_version(version);
        assert!(version >= self.reached.0 && through >= self.reached.1);
        let unmoved = version == self.reached.0;
        self.reached = (version, through);
        self.known_as = Some(held.head.deployment().clone());
        self.gaps = held.head.coverage().gaps.len();
        if self.components != Components::Everywhere {
            self.not_told.components = through;
        }
        if version == 0 || unmoved {
            return;
        }
        held.assert_true_but(&self.deployment, &self.not_told);
        for table in held.head.tables().map(|state| &state.table) {
            let spans = held.head.coverage().spans(table);
            let before = self.covered.insert(table.clone(), spans.clone()).unwrap_or_default();
            let kept_from = self.kept.from.get(table).copied().unwrap_or(Timestamp(i64::MIN));
            for span in before.iter().filter(|span| kept_from <= span.to) {
                assert!(
                    spans.iter().any(|now| now.from <= span.from.max(kept_from) && span.to <= now.to),
                    "{table} was covered in {span:?} and is now in {spans:?}"
                );
            }
        }
    }

    /// What readers are told of this moment is what the deployment held then.
    pub(super) async fn assert_answers(&mut self, archive: &Archive, head: &Head, at: Timestamp) {
        let (mut shown, mut held) = (read_state(archive, head, at).await, covered_state(&self.deployment, head, at));
        shown.retain(|table, _| self.not_told.is_known(head, table, at));
        held.retain(|table, _| self.not_told.is_known(head, table, at));
        assert_same_state(&shown, &held);
        self.told.add("states read back", 1);
    }

    /// After syncs that nothing disturbed: every table is covered up to the cursor, as far as the deployment lets it be.
    pub(crate) async fn check_whole(&mut self) {
        let archive = Archive::open(Arc::clone(&self.store), "memory:///archive").await.unwrap();
        // Every file once more, with the schemas that have grown.
        let held = Held::read(&archive).await;
        held.assert_true_but(&self.deployment, &self.not_told);
        let head = held.head;
        let (coverage, through) = (head.coverage(), head.progress().delta.as_ref().unwrap().ts);
        assert_eq!(coverage.selected(), self.selection);
        let tables = self.deployment.state_at(through).into_keys().filter(|table| self.selection.contains(table));
        for table in &tables.collect::<Vec<_>>() {
            let covered = matches!(coverage.covers(table, through), Covers::Covered(_));
            let in_doubt = !table.component().is_empty() && coverage.component_rows.is_none();
            assert!(covered || in_doubt, "{table} is not covered at {through}: {coverage:?}");
        }
        assert!(head.progress().walk.is_none());
        // As every reader has it: the first base, the last moment, and some between.
        let covered = coverage.bases.iter().map(|base| base.ts).min().unwrap();
        let mut moments: BTreeSet<_> = self.deployment.revisions().into_iter().map(|(_, r)| r.ts).collect();
        moments.retain(|ts| covered < *ts && *ts < through);
        let between = moments.iter().step_by(moments.len() / 3 + 1).copied();
        for at in between.chain([covered, through]) {
            self.assert_answers(&archive, &head, at).await;
        }
        self.told.add("gaps", coverage.gaps.iter().filter(|gap| !gap.is_forgotten()).count() as u64);
        self.told.add("selections", coverage.selections.len() as u64);
        let bases = &coverage.bases;
        let of_walks = bases.iter().filter(|base| base.made == BaseMaker::Deployment);
        let partial = of_walks.filter(|b| !b.scope.holds_unseen()).count() as u64;
        self.told.add("snapshots that grew too old", partial);
        let later = bases.iter().skip(1).filter(|b| b.scope.holds_unseen()).count() as u64;
        self.told.add("later bases", later);
    }
}

/// A client that does not wait long.
fn hasty_client(url: &str, selection: Selection) -> Client {
    let retry = RetryPolicy {
        base: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        budget: Duration::from_millis(40),
        first_contact: Duration::from_millis(40),
        internal_errors: 1,
    };
    let access = Access::new(url, DeployKey::new(KEY).unwrap(), false).unwrap();
    Client::new(access, ClientOptions::default().retry(retry).selection(selection), Arc::new(NoMonitor)).unwrap()
}
