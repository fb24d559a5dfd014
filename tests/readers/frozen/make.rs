//! Makes the archive that is kept: small, and with everything that an archive of this format can hold. What no verb writes yet is
//! written by drafts.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    compute::concat_batches,
};
use convex_archiver::{
    BaseId, DataFile, DigestShare, Encoding, Event, FileReader, MemoryBudget, Monitor, NoMonitor, Phase, Scope,
    Selection, TableRef, Timestamp, Value, WantedRows,
    archive::{
        Archive, Base, BaseMaker, Doubt, Draft, Head, Location, RemovedFile, Replacement, ReplacementReason, Run,
        Settings, Withdrawal, WithdrawalReason,
    },
    convex::{Access, Client, ClientOptions, DeployKey, Source},
    read::{State, StateOptions},
    server::{Deployment, RouterOptions, SimulatedDeployment, router},
    sync::{Stop, SyncOptions, SyncReport, sync},
    testing::{
        codec::ContentSum,
        data::{FileWriter, NewFile},
        layout,
        schema::SIBLING_AFTER,
    },
};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
/// 2026-09-21.
const START: i64 = 1_790_000_000_000_000_000;
/// Documents a page of a snapshot.
const PAGE: usize = 64;
const KEY: &str = "otter-1|secret";

type Fields = BTreeMap<String, Value>;

/// Writes the archive into `folder`, which must not have one.
pub(super) async fn archive(folder: &Path) {
    let maker = Maker::begin(folder).await;
    maker.drift().await;
    maker.many_commits().await;
    maker.compaction("notes").await;
    let own = maker.own_base().await;
    maker.changes(4);
    maker.sync("**").await;
    maker.correction(&own).await;
    maker.selection_and_untyped().await;
    maker.gap().await;
    maker.drop_of_a_table().await;
    maker.loss_of_a_base(&own).await;
    maker.changes(5);
    maker.sync("**").await;
    maker.walk_that_stays_open().await;
    // Behind what manifest.json shows.
    maker.compaction("orders").await;
}

struct Maker {
    deployment: Arc<SimulatedDeployment>,
    clock: Arc<AtomicI64>,
    archive: Archive,
    /// Documents a page of a snapshot: each page is a commit with files of its own.
    page: AtomicUsize,
}

impl Maker {
    async fn begin(folder: &Path) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let looks = Arc::clone(&clock);
        let look = move || Timestamp(looks.fetch_add(1_000_000, Ordering::Relaxed));
        let deployment = Arc::new(SimulatedDeployment::with_clock("otter-1", 7, look));
        let identity = client(&deployment, Encoding::ConvexEncodedJson, "**", PAGE).await.identity().await.unwrap();
        let location = Location::create(folder.to_str().unwrap(), &Settings::default()).unwrap();
        let archive =
            Archive::create(Arc::clone(location.store()), location.url(), identity, Timestamp(START)).await.unwrap();
        Self { deployment, clock, archive, page: AtomicUsize::new(PAGE) }
    }

    fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::Relaxed);
    }

    fn insert(&self, name: &str, all: impl IntoIterator<Item = Fields>) {
        let table = table(name);
        self.deployment.transaction(|tx| all.into_iter().try_for_each(|one| tx.insert(&table, one).map(drop))).unwrap();
    }

    /// The first documents of a table are deleted, changed, or left.
    fn change(&self, name: &str, round: usize) {
        let table = table(name);
        let live: Vec<_> = self.deployment.state_at(Timestamp(i64::MAX))[&table]
            .iter()
            .map(|(id, revision)| (id.clone(), revision.document.clone().unwrap()))
            .collect();
        for (n, (id, mut document)) in live.into_iter().take(8).enumerate() {
            match (n + round) % 4 {
                0 => {
                    self.deployment.transaction(|tx| tx.delete(&table, &id)).unwrap();
                }
                1 => {
                    document.insert("note".into(), text(format!("changed {round}")));
                    self.deployment.transaction(|tx| tx.replace(&table, &id, document)).unwrap();
                }
                _ => {}
            }
        }
    }

    fn changes(&self, round: usize) {
        self.insert("orders", (0..4).map(|n| order(n + 10 * round as i64)));
        self.insert("waitlist/users", (0..3).map(|n| note(n + 10 * round as i64)));
        self.insert("notes", (0..2).map(note));
        self.change("orders", round);
        self.change("waitlist/users", round);
    }

    async fn sync(&self, selection: &str) {
        let report = self.sync_as(Encoding::ConvexEncodedJson, selection, Stop::default(), Arc::new(NoMonitor)).await;
        assert!(report.caught_up);
    }

    async fn sync_as(&self, encoding: Encoding, selection: &str, stop: Stop, monitor: Arc<dyn Monitor>) -> SyncReport {
        let client = client(&self.deployment, encoding, selection, self.page.load(Ordering::Relaxed)).await;
        let options = SyncOptions::default()
            .commit_every(Duration::ZERO)
            .content_digest(DigestShare::All)
            .selection(selection.parse().unwrap())
            .accept_selection(true)
            .accept_deployment(Some(client.identity().await.unwrap().origin))
            .stop(stop);
        sync(client, &self.archive, &options, monitor).await.unwrap()
    }

    /// Columns, struct fields and siblings that come later, month by month.
    async fn drift(&self) {
        self.insert("orders", (0..12).map(order));
        self.insert("waitlist/users", (0..6).map(note));
        self.insert("names", (0..9).map(odd_names));
        self.insert("gone", (0..2).map(note));
        self.deployment.create_table(&table("without_documents")).unwrap();
        self.sync("**").await;
        let many = i64::try_from(SIBLING_AFTER).unwrap() + 5;
        for round in 1..=3 {
            self.pass(12 * DAY);
            self.insert("orders", (0..if round == 1 { many } else { 4 }).map(|n| drifted(n, round)));
            self.changes(round as usize);
            self.sync("**").await;
        }
    }

    /// Enough for a checkpoint.
    async fn many_commits(&self) {
        for n in 0..50 {
            self.pass(HOUR);
            if n % 3 == 0 {
                self.insert("notes", [note(n)]);
            }
            self.sync("**").await;
        }
    }

    /// The delta files of a table in the month that has the most are joined, as far as they are of one kind.
    async fn compaction(&self, name: &str) {
        let table = table(name);
        let head = self.head().await;
        let mut alike: BTreeMap<(String, u32), Vec<DataFile>> = BTreeMap::new();
        for file in self.live(&head, &table).await {
            if file.phase == Phase::Delta && file.encoding != Encoding::Json {
                alike.entry((file.month.clone(), file.schema)).or_default().push(file);
            }
        }
        let mut inputs = alike.into_values().max_by_key(Vec::len).unwrap();
        inputs.sort_by_key(|file| file.min_ts);
        assert!(inputs.len() > 1, "there is something to join");
        let mut batches = Vec::new();
        for file in &inputs {
            batches.extend(self.batches(file).await);
        }
        let folder = &head.table(&table).unwrap().folder;
        let file = NewFile {
            path: layout::delta_file(folder, inputs[0].min_ts, 0, &run_id()),
            base: None,
            repeats: false,
            schema_id: inputs[0].schema,
            ..new_file(&table, Phase::Delta, &inputs[0].month)
        };
        let joined = concat_batches(&batches[0].schema(), &batches).unwrap();
        let output = self.write(&head, file, joined).await;
        let mut draft = head.maintenance(Timestamp::now()).unwrap();
        draft.replaced.push(Replacement {
            inputs: inputs.iter().map(|file| file.path.clone()).collect(),
            outputs: vec![output.path.clone()],
            why: ReplacementReason::Compaction,
            left: None,
        });
        draft.remove.extend(inputs.iter().map(|file| RemovedFile::of(file).unwrap()));
        draft.add.push(output);
        self.commit(head, draft).await;
    }

    /// A base that the archive makes of its own state.
    async fn own_base(&self) -> Base {
        let head = self.head().await;
        let at = head.coverage().through.unwrap();
        let tables = ["orders", "waitlist/users"].map(table);
        let base = own("a", at, &tables);
        let mut draft = head.maintenance(Timestamp::now()).unwrap();
        for table in &tables {
            let state = self.state(&head, table, at).await;
            draft.add.push(self.of_base(&head, table, &base, true, state).await);
        }
        draft.bases.push(base.clone());
        self.commit(head, draft).await;
        base
    }

    /// The deltas told of a document that was not there: a cut without it, at the S of the own base, which it withdraws.
    async fn correction(&self, of: &Base) {
        let head = self.head().await;
        let users = table("waitlist/users");
        let cut = Base { cuts: vec![users.clone()], ..own("b", of.ts, std::slice::from_ref(&users)) };
        let state = self.state(&head, &users, of.ts).await;
        let mut draft = head.maintenance(Timestamp::now()).unwrap();
        draft.add.push(self.of_base(&head, &users, &cut, false, state.slice(1, state.num_rows() - 1)).await);
        let scope = Scope::Tables(vec![users.clone()]);
        let after = Timestamp(of.ts.0 - 20 * HOUR);
        draft.doubts.push(Doubt { scope: scope.clone(), after, to: of.ts, why: "import".into() });
        draft.withdrawn.push(Withdrawal { base: of.id.clone(), scope, why: WithdrawalReason::Superseded });
        self.remove_of_base(&head, &mut draft, of, &users).await;
        draft.bases.push(cut);
        self.commit(head, draft).await;
    }

    /// A table leaves the selection and comes back while the deployment does not tell types.
    async fn selection_and_untyped(&self) {
        self.insert("names", [odd_names(20)]);
        self.sync("** !names").await;
        self.insert("names", [odd_names(21)]);
        self.insert("notes", [note(21)]);
        self.pass(DAY);
        self.sync("** !names").await;
        self.insert("notes", [note(22)]);
        let report = self.sync_as(Encoding::Json, "**", Stop::default(), Arc::new(NoMonitor)).await;
        assert!(report.caught_up);
        self.insert("names", [odd_names(23)]);
        self.sync_as(Encoding::Json, "**", Stop::default(), Arc::new(NoMonitor)).await;
        self.sync("**").await;
    }

    /// The deployment no longer keeps some changes.
    async fn gap(&self) {
        self.changes(6);
        self.pass(20 * DAY);
        self.changes(7);
        let report = self.sync_as(Encoding::ConvexEncodedJson, "**", Stop::default(), Arc::new(NoMonitor)).await;
        assert!(report.caught_up && report.gaps.len() == 1);
    }

    /// A base of just that table, without documents.
    async fn drop_of_a_table(&self) {
        let gone = table("gone");
        self.deployment.drop_table(&gone).unwrap();
        self.sync("**").await;
        let head = self.head().await;
        let at = head.coverage().through.unwrap();
        let base = Base::new(base_id("c"), at, Scope::Tables(vec![gone.clone()]), Vec::new());
        let mut draft = head.maintenance(Timestamp::now()).unwrap();
        draft.bases.push(Base { cuts: vec![gone], ..base });
        self.commit(head, draft).await;
    }

    /// The first base loses its file of a table, so files that only repeated others may be the only ones that have their rows.
    async fn loss_of_a_base(&self, own: &Base) {
        let head = self.head().await;
        let orders = table("orders");
        let first = head.coverage().bases[0].clone();
        let mut draft = head.maintenance(Timestamp::now()).unwrap();
        let scope = Scope::Tables(vec![orders.clone()]);
        draft.withdrawn.push(Withdrawal { base: first.id.clone(), scope, why: WithdrawalReason::Lost });
        self.remove_of_base(&head, &mut draft, &first, &orders).await;
        draft.unmarked.push(own.id.clone());
        self.commit(head, draft).await;
    }

    async fn walk_that_stays_open(&self) {
        self.sync("** !names").await;
        self.insert("names", [odd_names(30)]);
        self.sync("** !names").await;
        self.page.store(2, Ordering::Relaxed);
        let stop = Stop::default();
        let monitor = Arc::new(StopInWalk(stop.clone()));
        self.sync_as(Encoding::ConvexEncodedJson, "**", stop, monitor).await;
        let head = self.head().await;
        assert!(head.progress().walk.is_some() && head.table(&table("names")).unwrap().unfinished.files > 0);
    }

    // What drafts are made of.

    async fn head(&self) -> Head {
        self.archive.head().await.unwrap()
    }

    async fn commit(&self, head: Head, draft: Draft) {
        let outcome = self.archive.commit(&head, &mut Run::begin(), draft).await.unwrap();
        assert!(matches!(outcome, convex_archiver::archive::CommitOutcome::Committed(_)));
    }

    async fn live(&self, head: &Head, table: &TableRef) -> Vec<DataFile> {
        let mut files = self.archive.live_files(head).await.unwrap();
        let mut found = Vec::new();
        while let Some(file) = files.next().await.unwrap() {
            found.extend((file.table == *table).then_some(file));
        }
        found
    }

    async fn remove_of_base(&self, head: &Head, draft: &mut Draft, base: &Base, table: &TableRef) {
        let files = self.live(head, table).await.into_iter().filter(|file| file.base.as_ref() == Some(&base.id));
        draft.remove.extend(files.map(|file| RemovedFile::of(&file).unwrap()));
    }

    async fn batches(&self, file: &DataFile) -> Vec<RecordBatch> {
        let store = Arc::clone(self.archive.store());
        let mut reader = FileReader::open(store, file, &WantedRows::default()).await.unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = reader.next().await.unwrap() {
            batches.push(batch);
        }
        batches
    }

    /// All rows of a state, as rows of a base.
    async fn state(&self, head: &Head, table: &TableRef, at: Timestamp) -> RecordBatch {
        let mut state = State::open(&self.archive, head, table, at, &StateOptions::default()).await.unwrap();
        let schema = Arc::clone(state.arrow_schema());
        let mut batches = Vec::new();
        while let Some(batch) = state.next().await.unwrap() {
            batches.push(batch.to_record_batch().unwrap());
        }
        let rows = concat_batches(&schema, &batches).unwrap();
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns[schema.index_of("_base").unwrap()] = Arc::new(Int64Array::from(vec![at.0; rows.num_rows()]));
        RecordBatch::try_new(schema, columns).unwrap()
    }

    async fn of_base(&self, head: &Head, table: &TableRef, base: &Base, repeats: bool, rows: RecordBatch) -> DataFile {
        let month = layout::month_of(Timestamp::now());
        let state = head.table(table).unwrap();
        let file = NewFile {
            path: layout::snapshot_file(&state.folder, &month, &base.id, 0, &run_id()),
            base: Some(base.id.clone()),
            repeats,
            schema_id: state.schema.size.schema,
            ..new_file(table, Phase::Snapshot, &month)
        };
        self.write(head, file, rows).await
    }

    async fn write(&self, head: &Head, file: NewFile, rows: RecordBatch) -> DataFile {
        let schema = self.archive.schema(head, &file.table).await.unwrap();
        let mut content = ContentSum::new(&file.table, DigestShare::All);
        content.take_rows(&schema, &rows).unwrap();
        let (store, options) = (Arc::clone(self.archive.store()), MemoryBudget::default().into());
        let mut writer = FileWriter::open(store, file, rows.schema(), options, Arc::new(NoMonitor)).unwrap();
        writer.write(rows).await.unwrap();
        writer.close(BTreeMap::new(), content.digest()).await.unwrap()
    }
}

/// Asks for the end of a run within a table. (Pages that were asked for before still come.)
struct StopInWalk(Stop);

impl Monitor for StopInWalk {
    fn report(&self, event: Event<'_>) {
        if let Event::Table { .. } = event {
            self.0.request();
        }
    }
}

/// A client of the deployment behind a server that knows one encoding.
async fn client(
    deployment: &Arc<SimulatedDeployment>,
    encoding: Encoding,
    selection: &str,
    snapshot_page: usize,
) -> Arc<Client> {
    let options = RouterOptions::default()
        .key(KEY.to_owned())
        .snapshot_page(snapshot_page)
        .delta_page(64)
        .formats(vec![encoding]);
    let routes = router(Arc::clone(deployment) as Arc<dyn Deployment>, options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let access = Access::new(&url, DeployKey::new(KEY).unwrap(), false).unwrap();
    let selection: Selection = selection.parse().unwrap();
    Arc::new(Client::new(access, ClientOptions::default().selection(selection), Arc::new(NoMonitor)).unwrap())
}

fn table(path: &str) -> TableRef {
    let (component, name) = path.rsplit_once('/').unwrap_or(("", path));
    TableRef::new(component, name).unwrap()
}

fn run_id() -> String {
    Run::begin().id
}

fn base_id(which: &str) -> BaseId {
    layout::base_id(Timestamp::now(), &which.repeat(8))
}

/// A base that the archive makes.
fn own(which: &str, ts: Timestamp, tables: &[TableRef]) -> Base {
    Base { made: BaseMaker::Archive, ..Base::new(base_id(which), ts, Scope::Tables(tables.to_vec()), Vec::new()) }
}

/// One of documents that came with types.
fn new_file(table: &TableRef, phase: Phase, month: &str) -> NewFile {
    NewFile {
        table: table.clone(),
        path: String::new(),
        phase,
        base: None,
        month: month.to_owned(),
        encoding: Encoding::ConvexEncodedJson,
        repeats: false,
        schema_id: 0,
    }
}

// Documents.

fn text(s: impl Into<String>) -> Value {
    Value::String(s.into())
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn object<const N: usize>(all: [(&str, Value); N]) -> Value {
    Value::Object(fields(all))
}

fn order(n: i64) -> Fields {
    let floats = [
        f64::from_bits(0x7ff8_0000_0000_0123),
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 4.0,
        f64::MAX,
        0.1,
        1e16,
        0.000_015,
    ];
    let line = |k: i64| {
        let gift = if k % 2 == 0 { Value::Null } else { Value::Boolean(true) };
        object([("sku", text(format!("sku-{k}"))), ("quantity", Value::Int64(k)), ("gift", gift)])
    };
    let mut order = fields([
        ("title", text(format!("order {n} — \u{1f980} \"quoted\" \u{0}"))),
        ("count", Value::Int64([i64::MIN, i64::MAX, 0, n][n as usize % 4])),
        ("price", Value::Float64(floats[n as usize % floats.len()])),
        ("open", Value::Boolean(n % 2 == 0)),
        ("blob", Value::Bytes((0..n as u8 % 20).collect())),
        (
            "address",
            object([
                ("street", text(format!("{n} Main St"))),
                ("zip", if n % 3 == 0 { Value::Null } else { text("12345") }),
            ]),
        ),
        ("lines", Value::Array((0..n % 4).map(line).collect())),
        ("matrix", Value::Array((0..n % 3).map(|r| Value::Array(vec![Value::Float64(r as f64)])).collect())),
        ("note", if n % 2 == 0 { Value::Null } else { text("") }),
        ("nothing", Value::Null),
        ("no_items", Value::Array(vec![])),
        ("no_fields", object([])),
        ("mixed", [Value::Int64(n), Value::Float64(n as f64), text("x"), Value::Null][n as usize % 4].clone()),
        ("votes", object([("by e-mail", Value::Int64(n))])),
    ]);
    if n % 5 == 0 {
        order.remove("address");
    }
    order
}

/// Types that change, fields that come later.
fn drifted(n: i64, round: i64) -> Fields {
    let mut new = fields([
        ("price", text(format!("{n} EUR"))),
        ("open", object([("since", Value::Float64(n as f64)), ("by", Value::Null)])),
        ("later", Value::Array(vec![object([("round", Value::Int64(round)), ("why", text("new"))])])),
    ]);
    if n % 10 == 0 {
        new.insert(
            "address".into(),
            object([("street", Value::Int64(n)), ("country", text("NL")), ("zip", Value::Null)]),
        );
        let odd = object([("sku", Value::Null), ("color", text("red")), ("odd key", Value::Null)]);
        new.insert("lines".into(), Value::Array(vec![text("no object"), Value::Null, odd]));
        new.insert("matrix".into(), Value::Array(vec![Value::Null, Value::Array(vec![Value::Int64(1), Value::Null])]));
    }
    new
}

fn note(n: i64) -> Fields {
    fields([("n", Value::Int64(n)), ("text", text(format!("note {n}"))), ("size", Value::Float64(n as f64 / 4.0))])
}

fn odd_names(n: i64) -> Fields {
    fields([
        ("case", Value::Int64(n)),
        ("Case", text("the other case")),
        ("has space", Value::Float64(0.5)),
        ("a/b", object([("c~d", Value::Null), ("", Value::Int64(1))])),
        ("a~1b", Value::Null),
        ("", Value::Boolean(true)),
        ("convex_month", Value::Int64(12)),
        (&"long_".repeat(20), text("cut")),
        ("0", Value::Array(vec![object([("0", Value::Bytes(vec![0, 255]))])])),
    ])
}
