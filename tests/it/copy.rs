//! `copy`: at every moment the destination is the source at a version that was copied whole, or says that it is none; in the end it is the
//! source, byte for byte.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use convex_archiver::{
    DataFile, DigestShare, ErrorKind, NoMonitor, Result, Timestamp, Value,
    archive::{Archive, Location, Settings},
    compact::{CompactOptions, compact},
    copy::{CopyOptions, CopyReport, CopySide, copy},
    sync::SyncOptions,
    testing::layout,
    vacuum::{VacuumOptions, vacuum},
    verify::{VerifyDepth, VerifyOptions, verify},
};
use futures::{FutureExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions as CopyOptionsOfStore, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

use crate::support::{
    Warnings, World, assert_same_state,
    clock::{BEGINNING, DAY, MINUTE, named},
    counted::{CountedStore, Verb},
    faults::{Fault, FaultyStore, How},
    pages,
    states::read_state,
};

const URL: &str = "memory:///copy";

type Store = Arc<dyn ObjectStore>;
type Objects = BTreeMap<String, Bytes>;

fn empty() -> Store {
    Arc::new(InMemory::new())
}

/// A store that replaces nothing: a bucket with a retention policy.
#[derive(Debug)]
struct Locked(Store);

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "locked {}", self.0)
    }
}

#[async_trait]
impl ObjectStore for Locked {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, mut options: PutOptions) -> object_store::Result<PutResult> {
        let replaces = options.mode == PutMode::Overwrite;
        options.mode = PutMode::Create;
        self.0.put_opts(at, bytes, options).await.map_err(|error| match error {
            object_store::Error::AlreadyExists { path, source } if replaces => {
                object_store::Error::PermissionDenied { path, source }
            }
            other => other,
        })
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptionsOfStore) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

/// A source, and what it was at the versions that were copied.
struct Source {
    world: World,
    clock: Arc<AtomicI64>,
    runs: i64,
    copied: BTreeMap<u64, Copied>,
}

/// The source at a version.
struct Copied {
    digest: String,
    files: Vec<DataFile>,
    bytes: Objects,
    through: Timestamp,
    state: crate::support::States,
}

fn unjoined() -> SyncOptions {
    SyncOptions::default().compact(None).vacuum_after(None).content_digest(DigestShare::All)
}

impl Source {
    async fn new() -> Self {
        let (world, clock) = World::clocked(BEGINNING, 7, pages(100, 100)).await;
        let mut source = Self { world, clock, runs: 0, copied: BTreeMap::new() };
        source.runs(2).await;
        source
    }

    /// Writes, and a sync, so often. The columns grow now and then.
    async fn runs(&mut self, count: i64) {
        for _ in 0..count {
            self.runs += 1;
            self.clock.fetch_add(5 * MINUTE, Ordering::SeqCst);
            for table in ["t", "u"].into_iter().take(1 + (self.runs % 2) as usize) {
                let mut fields = BTreeMap::from([("n".to_owned(), Value::Int64(self.runs))]);
                if self.runs % 5 == 0 {
                    fields.insert(format!("more{}", self.runs), Value::Boolean(true));
                }
                let id = self.world.deployment.transaction(|tx| tx.insert(&named(table), fields.clone())).unwrap().1;
                if self.runs % 3 == 0 {
                    self.world.deployment.transaction(|tx| tx.delete(&named(table), &id)).unwrap();
                }
            }
            assert!(self.world.sync_with(&unjoined()).await.unwrap().caught_up);
        }
    }

    async fn reach(&mut self, version: u64) {
        while self.version().await < version {
            self.runs(1).await;
        }
    }

    async fn version(&self) -> u64 {
        self.archive().await.head().await.unwrap().version()
    }

    async fn archive(&self) -> Archive {
        self.world.archive().await
    }

    async fn join(&self) {
        join(&self.world.store, self.clock.load(Ordering::SeqCst)).await;
    }

    async fn vacuum(&self) {
        clear(&self.world.store).await;
    }

    /// Notes what the newest version is.
    async fn note(&mut self) -> u64 {
        let archive = self.archive().await;
        let head = archive.head().await.unwrap();
        let files = files(&archive).await;
        let mut bytes = Objects::new();
        for file in &files {
            bytes.insert(file.path.clone(), get(&self.world.store, &file.path).await);
        }
        let through = head.coverage().through.unwrap();
        let state = read_state(&archive, &head, through).await;
        let digest = head.digest().to_owned();
        self.copied.insert(head.version(), Copied { digest, files, bytes, through, state });
        head.version()
    }

    /// What is promised of a destination at every moment. Gives its version; None, if it is no archive or says that a commit is missing.
    async fn assert_sound(&self, to: &Store, story: &str) -> Option<u64> {
        let opened = async {
            let archive = Archive::open(Arc::clone(to), URL).await?;
            let head = archive.head().await?;
            Ok::<_, convex_archiver::Error>((archive, head))
        };
        let (archive, head) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                let says = error.to_string();
                let unfinished = error.kind() == ErrorKind::Corrupt && says.contains("run copy again");
                assert!(unfinished || error.kind() == ErrorKind::NotFound, "{error:?}: {story}");
                return None;
            }
        };
        let expected = self.copied.get(&head.version());
        let expected = expected.unwrap_or_else(|| panic!("{} was never copied whole: {story}", head.version()));
        assert_eq!(head.digest(), expected.digest, "{story}");
        let found = files(&archive).await;
        assert!(found == expected.files, "other files live at {}: {story}", head.version());
        for (path, bytes) in &expected.bytes {
            assert!(get(to, path).await == bytes, "{path}: {story}");
        }
        assert_same_state(&read_state(&archive, &head, expected.through).await, &expected.state);
        Some(head.version())
    }
}

async fn join(store: &Store, now: i64) {
    let archive = Archive::open(Arc::clone(store), "memory:///archive").await.unwrap();
    let head = archive.head().await.unwrap();
    let options = CompactOptions::default().fan_in(3);
    let (head, _) = compact(&archive, &head, &options, Timestamp(now), Arc::new(NoMonitor)).await.unwrap();
    archive.write_manifest(&head).await.unwrap();
}

/// All that nobody needs goes, as if years had passed.
async fn clear(store: &Store) {
    let archive = Archive::open(Arc::clone(store), "memory:///archive").await.unwrap();
    let head = archive.head().await.unwrap();
    let later = Timestamp(Timestamp::now().0.max(BEGINNING) + 400 * DAY);
    vacuum(&archive, &head, &VacuumOptions::default(), later).await.unwrap();
}

async fn files(archive: &Archive) -> Vec<DataFile> {
    let head = archive.head().await.unwrap();
    let mut live = archive.live_files(&head).await.unwrap();
    let mut files = Vec::new();
    while let Some(file) = live.next().await.unwrap() {
        files.push(file);
    }
    files
}

async fn get(store: &Store, path: &str) -> Bytes {
    store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap()
}

async fn objects(store: &Store) -> Objects {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut all = Objects::new();
    for object in listed {
        all.insert(object.location.to_string(), get(store, object.location.as_ref()).await);
    }
    all
}

async fn store_of(objects: &Objects) -> Store {
    let store = empty();
    for (path, bytes) in objects {
        store.put(&Path::from(path.as_str()), bytes.clone().into()).await.unwrap();
    }
    store
}

/// What a process does from its start.
async fn run(from: Store, to: &Store, options: &CopyOptions) -> Result<CopyReport> {
    let archive = Archive::open(from, "memory:///archive").await?;
    copy(&archive, to, URL, options, Arc::new(NoMonitor)).await
}

async fn copied(source: &Source, to: &Store) -> CopyReport {
    let report = run(Arc::clone(&source.world.store), to, &CopyOptions::default()).await.unwrap();
    assert!(report.complete && report.problems.is_empty(), "{report:#?}");
    report
}

async fn assert_verified(store: &Store, digest: &str) {
    let options = VerifyOptions::default().depth(VerifyDepth::Data).expect_head(Some(digest.to_owned())).dry_run(true);
    let report =
        verify(Arc::clone(store), URL, &options, Timestamp(BEGINNING + 400 * DAY), Arc::new(NoMonitor)).await.unwrap();
    assert_eq!(report.problems, [], "{report:#?}");
    assert_eq!(report.digest.as_deref(), Some(digest));
}

#[tokio::test]
async fn a_copy_is_the_source_byte_for_byte_and_later_ones_bring_what_is_new() {
    let mut source = Source::new().await;
    source.reach(62).await;
    let to = empty();
    let first = copied(&source, &to).await;
    source.note().await;
    assert_eq!((first.before, first.version), (None, source.version().await));
    let theirs = objects(&source.world.store).await;
    let ours = objects(&to).await;
    for (path, bytes) in &ours {
        assert!(theirs[path] == bytes, "{path}");
    }
    assert_eq!(first.log.copied, ours.keys().filter(|path| path.starts_with("log/")).count() as u64 + 1);
    assert_eq!(first.files.copied, ours.keys().filter(|path| path.ends_with(".parquet")).count() as u64);
    assert_verified(&to, &first.digest).await;

    // Files of before are joined, some come and go between the two copies, and a checkpoint comes.
    source.reach(66).await;
    source.join().await;
    source.runs(3).await;
    source.vacuum().await;
    source.note().await;
    let second = copied(&source, &to).await;
    assert_eq!(source.assert_sound(&to, "").await, Some(second.version));
    assert_eq!(
        (second.before, second.log.copied),
        (Some(first.version), {
            let log = |objects: &Objects| objects.keys().filter(|path| path.starts_with("log/")).count() as u64;
            // The checkpoint is made and not copied.
            log(&objects(&to).await) - log(&ours) - 1
        })
    );
    assert!(second.files.copied < 8 && second.files.present == 0, "{second:?}");
    assert_verified(&to, &second.digest).await;
    // What both have is the same, what repeats the log included.
    let (theirs, ours) = (objects(&source.world.store).await, objects(&to).await);
    let live: Vec<_> = source.copied[&second.version].files.iter().map(|file| file.path.as_str()).collect();
    for (path, bytes) in &ours {
        match theirs.get(path) {
            Some(theirs) => assert!(theirs == bytes, "{path}"),
            None => assert!(!live.contains(&path.as_str()), "{path}"),
        }
    }
    assert!(theirs.keys().filter(|path| path.starts_with("log/")).all(|path| ours.contains_key(path)));
    // What the older version needed goes with a vacuum of the copy.
    clear(&to).await;
    assert_eq!(source.assert_sound(&to, "after a vacuum of the copy").await, Some(second.version));
    assert_verified(&to, &second.digest).await;
    let without = copied(&source, &to).await;
    assert_eq!((without.files.copied, without.log.copied, without.before), (0, 0, Some(second.version)));
}

#[tokio::test]
async fn a_copy_that_has_everything_asks_little_and_writes_nothing() {
    let mut source = Source::new().await;
    source.reach(66).await;
    let to = empty();
    copied(&source, &to).await;
    let (from, counted) = (CountedStore::new(Arc::clone(&source.world.store)), CountedStore::new(Arc::clone(&to)));
    let to = Arc::clone(&counted) as Store;
    let report = run(Arc::clone(&from) as Store, &to, &CopyOptions::default()).await.unwrap();
    assert!(report.complete && report.files.copied + report.log.copied == 0, "{report:?}");
    let (asked, there) = (from.take_requests(), counted.take_requests());
    assert!(asked.len() <= 16 && there.len() <= 12, "{} {}: {there:#?}", asked.len(), there.len());
    assert!(asked.iter().chain(&there).all(|request| matches!(request.verb, Verb::Get | Verb::Look)), "{there:#?}");
}

#[tokio::test]
async fn a_plan_tells_what_would_be_copied_and_writes_nothing() {
    let mut source = Source::new().await;
    source.runs(5).await;
    let to = empty();
    let plan = CopyOptions::default().plan(true);
    let planned = run(Arc::clone(&source.world.store), &to, &plan).await.unwrap();
    assert!(objects(&to).await.is_empty() && !planned.complete);
    let done = copied(&source, &to).await;
    assert_eq!((planned.files, planned.log, &planned.digest), (done.files, done.log, &done.digest));
    source.runs(4).await;
    let before = objects(&to).await;
    let planned = run(Arc::clone(&source.world.store), &to, &plan).await.unwrap();
    assert!(objects(&to).await == before && !planned.complete);
    let done = copied(&source, &to).await;
    assert_eq!((planned.files, planned.log, planned.before), (done.files, done.log, done.before));
    let planned = run(Arc::clone(&source.world.store), &to, &plan).await.unwrap();
    assert!(planned.complete && planned.files.copied + planned.log.copied == 0, "{planned:?}");
}

#[tokio::test]
async fn the_source_is_only_read() {
    let mut source = Source::new().await;
    source.runs(3).await;
    let from = CountedStore::new(Arc::clone(&source.world.store));
    run(Arc::clone(&from) as Store, &empty(), &CopyOptions::default()).await.unwrap();
    assert!(from.take_requests().iter().all(|request| request.verb != Verb::Put));
}

/// A copy with every fault of every call, of the destination or of the source; then the rerun.
async fn crash_everywhere(source: &Source, before: &Objects, is_source: bool) -> Vec<String> {
    let healthy = FaultyStore::new(store_of(before).await, None);
    let counted = FaultyStore::new(Arc::clone(&source.world.store), None);
    let to = Arc::new(healthy.clone()) as Store;
    let done = run(Arc::new(counted.clone()), &to, &CopyOptions::default()).await.unwrap();
    assert!(done.complete, "{done:?}");
    let calls = if is_source { counted.calls() } else { healthy.calls() };
    let whole = objects(&to).await;
    assert_verified(&to, &done.digest).await;
    let mut unfinished = 0;
    for (number, name) in calls.iter().enumerate() {
        for fault in Fault::all(number) {
            if fault.how == How::IsRepeated && !name.starts_with("put ") {
                continue;
            }
            let to = store_of(before).await;
            let (mut from, mut faulty) = (Arc::clone(&source.world.store), Arc::clone(&to));
            let side = if is_source { &mut from } else { &mut faulty };
            *side = Arc::new(FaultyStore::new(Arc::clone(side), Some(fault)));
            let ended = run(from, &faulty, &CopyOptions::default()).await;
            let story = format!("{fault:?} at {name}, after which the copy ended with {ended:?}");
            let found = source.assert_sound(&to, &story).await;
            match &ended {
                Ok(report) => assert!(report.complete && found == Some(done.version), "{story}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{story}"),
            }
            unfinished += u64::from(found.is_none());
            // What is there is never another object than in the end.
            for (path, bytes) in objects(&to).await {
                let may_differ = before.contains_key(&path) || bytes == whole[&path];
                assert!(may_differ, "{path}: {story}");
            }
            let again = run(Arc::clone(&source.world.store), &to, &CopyOptions::default()).await;
            let again = again.unwrap_or_else(|error| panic!("the rerun failed with {error:?}: {story}"));
            assert!(again.complete, "{again:?}: {story}");
            assert!(objects(&to).await == whole, "{story}");
        }
    }
    assert!(is_source || unfinished > 0);
    calls
}

#[tokio::test]
async fn a_first_copy_that_crashes_at_any_call_is_no_archive_until_it_is_whole() {
    let mut source = Source::new().await;
    source.runs(3).await;
    source.note().await;
    let calls = crash_everywhere(&source, &Objects::new(), false).await;
    assert!(calls.iter().any(|call| call.starts_with("put tables/")), "{calls:?}");
    let last = calls.iter().rfind(|call| call.starts_with("put ")).unwrap();
    assert_eq!(last, "put archive.json");
    crash_everywhere(&source, &Objects::new(), true).await;
}

#[tokio::test]
async fn a_later_copy_that_crashes_at_any_call_leaves_the_version_of_before_or_the_new_one() {
    let mut source = Source::new().await;
    source.reach(61).await;
    source.note().await;
    let to = empty();
    copied(&source, &to).await;
    let before = objects(&to).await;
    // What came meanwhile is joined and cleared away, so versions in between cannot be read any more.
    source.reach(64).await;
    source.join().await;
    source.runs(2).await;
    source.vacuum().await;
    source.note().await;
    let calls = crash_everywhere(&source, &before, false).await;
    let puts: Vec<_> = calls.iter().filter_map(|call| call.strip_prefix("put ")).collect();
    let at = |path: &str| puts.iter().position(|put| *put == path).unwrap_or_else(|| panic!("{path}: {puts:?}"));
    let (first, second) = (at(&layout::commit(62)), at(&layout::commit(63)));
    assert!(puts.iter().filter(|put| put.ends_with(".parquet")).all(|file| at(file) < second), "{puts:?}");
    let commits = puts.iter().filter(|put| matches!(layout::parse_log(put), Some(layout::LogObject::Commit(_))));
    assert!(commits.clone().all(|commit| (second..=first).contains(&at(commit))), "{puts:?}");
    assert!(commits.count() >= 5);
    assert!(at(&layout::checkpoint(64)) > first && *puts.last().unwrap() == "manifest.json", "{puts:?}");
    crash_everywhere(&source, &before, true).await;
}

#[tokio::test]
async fn between_its_first_and_last_new_commit_a_copy_takes_no_sync() {
    let mut source = Source::new().await;
    let to = empty();
    copied(&source, &to).await;
    let old = source.version().await;
    source.runs(4).await;
    let second = layout::commit(old + 2);
    to.put(&Path::from(second.as_str()), get(&source.world.store, &second).await.into()).await.unwrap();
    let theirs =
        World { store: Arc::clone(&to), deployment: Arc::clone(&source.world.deployment), server: source.world.server };
    let before = objects(&to).await;
    let error = theirs.sync_with(&unjoined()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("run copy again"), "{error}");
    assert!(objects(&to).await == before);
}

#[tokio::test]
async fn a_place_where_a_first_copy_was_begun_takes_no_sync_and_no_other_copy() {
    let mut source = Source::new().await;
    source.runs(2).await;
    let other = Source::new().await;
    let to = empty();
    let first = layout::commit(1);
    to.put(&Path::from(first.as_str()), get(&source.world.store, &first).await.into()).await.unwrap();
    let refused = run(Arc::clone(&other.world.store), &to, &CopyOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
    let error = other.world.archive_in(Arc::clone(&to)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("run copy again"), "{error}");
    assert_eq!(objects(&to).await.len(), 1);
    copied(&source, &to).await;
}

/// Whatever happens to the source between two copies, and wherever a copy dies.
#[tokio::test]
async fn of_random_histories_every_copy_is_the_source_at_every_moment() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut source = Source::new().await;
        // Near a checkpoint or far from it.
        if seed % 2 == 0 {
            source.reach(58).await;
        }
        let places = [empty(), empty()];
        for step in 0..14 {
            let story = format!("seed {seed}, step {step}");
            match random.random_range(0..10) {
                0..4 => source.runs(random.random_range(1..4)).await,
                4 => source.join().await,
                5 => source.vacuum().await,
                6 => {
                    let to = &places[random.random_range(0..2)];
                    if source.assert_sound(to, &story).await.is_some() {
                        clear(to).await;
                    }
                }
                _ => {
                    source.note().await;
                    let to = &places[random.random_range(0..2)];
                    let mut faults = Fault::all(random.random_range(0..90));
                    let fault = faults.nth(random.random_range(0..6));
                    let faulty = Arc::new(FaultyStore::new(Arc::clone(to), fault)) as Store;
                    let ended = run(Arc::clone(&source.world.store), &faulty, &CopyOptions::default()).await;
                    let story = format!("{story}: {fault:?}: {ended:?}");
                    let found = source.assert_sound(to, &story).await;
                    assert!(ended.is_err() || found == Some(source.version().await), "{story}");
                }
            }
            for to in &places {
                source.assert_sound(to, &story).await;
            }
        }
        source.note().await;
        for to in &places {
            let done = copied(&source, to).await;
            assert_eq!(source.assert_sound(to, "at the end").await, Some(done.version));
            assert_verified(to, &done.digest).await;
        }
    }
}

#[tokio::test]
async fn a_copy_begins_again_where_a_vacuum_takes_files_from_it() {
    let mut source = Source::new().await;
    source.runs(6).await;
    let start = objects(&source.world.store).await;
    let now = source.clock.load(Ordering::SeqCst);
    let calls = FaultyStore::new(store_of(&start).await, None);
    run(Arc::new(calls.clone()), &empty(), &CopyOptions::default()).await.unwrap();
    let mut restarts = 0;
    for number in 0..calls.calls().len() {
        let from = store_of(&start).await;
        let work = {
            let from = Arc::clone(&from);
            async move {
                join(&from, now).await;
                clear(&from).await;
            }
        };
        let busy = FaultyStore::with_meanwhile(Arc::clone(&from), None, number, work.boxed());
        let to = empty();
        let done = run(Arc::new(busy), &to, &CopyOptions::default()).await.unwrap();
        assert!(done.complete && done.problems.is_empty() && done.restarts < 2, "{number}: {done:#?}");
        restarts += done.restarts;
        assert_verified(&to, &done.digest).await;
        let again = run(from, &to, &CopyOptions::default()).await.unwrap();
        assert!(again.complete, "{again:?}");
        assert_verified(&to, &again.digest).await;
    }
    assert!(restarts > 0);
}

#[tokio::test]
async fn what_is_damaged_in_the_source_is_told_the_rest_is_copied_and_the_log_stays() {
    let mut source = Source::new().await;
    source.note().await;
    let to = empty();
    let old = copied(&source, &to).await;
    let start = objects(&to).await;
    source.runs(8).await;
    source.note().await;
    let good = objects(&source.world.store).await;
    let new: Vec<_> = good.keys().filter(|path| path.ends_with(".parquet") && !start.contains_key(*path)).collect();
    let schemas = good.keys().rfind(|path| path.contains(".schemas.")).unwrap();
    assert!(!start.contains_key(schemas));
    let commit = layout::commit(old.version + 3);
    for path in [new[1], new[new.len() - 1], schemas, &commit] {
        for harm in ["flipped", "cut off", "deleted", "emptied"] {
            let from = store_of(&good).await;
            let at = Path::from(path.as_str());
            let bytes = &good[path];
            match harm {
                "flipped" => {
                    let mut bytes = bytes.to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    from.put(&at, bytes.into()).await.unwrap();
                }
                "cut off" => drop(from.put(&at, bytes.slice(..bytes.len() / 2).into()).await.unwrap()),
                "emptied" => drop(from.put(&at, Bytes::new().into()).await.unwrap()),
                _ => from.delete(&at).await.unwrap(),
            }
            let story = format!("{path} {harm}");
            let to = store_of(&start).await;
            let report = run(Arc::clone(&from), &to, &CopyOptions::default()).await.unwrap();
            assert!(!report.complete && report.problem_count == 1, "{story}: {report:#?}");
            let problem = &report.problems[0];
            assert_eq!((problem.side, &problem.object), (CopySide::Source, path), "{story}: {report:#?}");
            assert_eq!(problem.table.is_some(), path.ends_with(".parquet"), "{story}");
            assert!(problem.what.contains("copy"), "what to do: {problem:?}");
            assert_eq!(source.assert_sound(&to, &story).await, Some(old.version));
            let there = objects(&to).await;
            assert!(!there.contains_key(path) && there.keys().filter(|p| new.contains(p)).count() >= new.len() - 2);
            let planned = run(Arc::clone(&from), &store_of(&start).await, &CopyOptions::default().plan(true)).await;
            assert_eq!(planned.unwrap().problem_count, u64::from(!path.ends_with(".parquet")), "{story}");
            // A first copy is no archive then.
            let fresh = empty();
            let report = run(Arc::clone(&from), &fresh, &CopyOptions::default()).await.unwrap();
            assert!(report.problem_count == 1 && !report.complete, "{story}: {report:#?}");
            assert_eq!(source.assert_sound(&fresh, &story).await, None);
            // Once it is repaired, both become whole.
            from.put(&at, bytes.clone().into()).await.unwrap();
            for to in [to, fresh] {
                let report = run(Arc::clone(&from), &to, &CopyOptions::default()).await.unwrap();
                assert!(report.complete && report.files.present > 0, "{story}: {report:#?}");
                assert_verified(&to, &report.digest).await;
            }
        }
    }
}

#[tokio::test]
async fn what_only_repeats_the_log_is_made_anew_where_it_is_damaged() {
    let mut source = Source::new().await;
    source.reach(67).await;
    let good = objects(&source.world.store).await;
    let healthy = empty();
    copied(&source, &healthy).await;
    let whole = objects(&healthy).await;
    let repeats = good
        .keys()
        .filter(|path| path.starts_with("parts/") || path.contains(".checkpoint.") || *path == "manifest.json");
    for path in repeats.rev().take(6) {
        let from = store_of(&good).await;
        from.put(&Path::from(path.as_str()), Bytes::from_static(b"damaged").into()).await.unwrap();
        let to = empty();
        let report = run(from, &to, &CopyOptions::default()).await.unwrap();
        assert!(report.complete, "{path}: {report:#?}");
        assert!(objects(&to).await == whole, "{path}");
    }
}

#[tokio::test]
async fn another_object_in_the_destination_is_told_and_never_replaced() {
    let mut source = Source::new().await;
    source.runs(3).await;
    source.note().await;
    let healthy = empty();
    copied(&source, &healthy).await;
    let whole = objects(&healthy).await;
    let first = layout::commit(1);
    for path in whole.keys().filter(|path| path.ends_with(".parquet") || path.contains(".schemas.")) {
        for harm in ["longer", "of the same size"] {
            let mut bytes = whole[path].to_vec();
            if harm == "longer" {
                bytes.push(0);
            } else {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            let begun: Objects = [(first.clone(), whole[&first].clone()), (path.clone(), bytes.clone().into())].into();
            let to = store_of(&begun).await;
            let report = run(Arc::clone(&source.world.store), &to, &CopyOptions::default()).await.unwrap();
            assert!(!report.complete && report.problem_count == 1, "{path} {harm}: {report:#?}");
            let problem = &report.problems[0];
            assert_eq!((problem.side, &problem.object), (CopySide::Destination, path));
            assert!(get(&to, path).await == bytes);
            assert_eq!(source.assert_sound(&to, path).await, None);
            to.delete(&Path::from(path.as_str())).await.unwrap();
            copied(&source, &to).await;
            assert!(objects(&to).await == whole);
        }
    }
}

#[tokio::test]
async fn a_copy_that_somebody_synced_into_is_the_archive_now_and_is_not_copied_over() {
    let mut source = Source::new().await;
    source.runs(2).await;
    let to = empty();
    let old = copied(&source, &to).await.version;
    let Source { world, clock, .. } = source;
    let World { deployment, server, store } = world;
    let theirs = World { deployment, server, store: Arc::clone(&to) };
    let mut switched = Source { world: theirs, clock, runs: 100, copied: BTreeMap::new() };
    switched.runs(3).await;
    switched.world.assert_equal().await;
    let before = objects(&to).await;
    let ahead = run(Arc::clone(&store), &to, &CopyOptions::default()).await.unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Usage);
    let says = ahead.to_string();
    let reached = switched.version().await;
    assert!(
        says.contains(&format!("commits {} to {reached}", old + 1)) && says.contains("a sync has written to the copy"),
        "{says}"
    );

    // Both went on.
    switched.world.store = Arc::clone(&store);
    switched.runs(2).await;
    let parted = run(Arc::clone(&store), &to, &CopyOptions::default()).await.unwrap_err();
    assert_eq!(parted.kind(), ErrorKind::Usage);
    let says = parted.to_string();
    assert!(
        says.contains(&format!("different commit {}", old + 1)) && says.contains("the two have diverged"),
        "{says}"
    );
    assert!(objects(&to).await == before);
    // The other way round: the new archive is copied elsewhere.
    let third = empty();
    let report = run(Arc::clone(&to), &third, &CopyOptions::default()).await.unwrap();
    assert_verified(&third, &report.digest).await;
}

#[tokio::test]
async fn a_damaged_newest_commit_of_a_copy_is_told_from_one_that_somebody_wrote() {
    let mut source = Source::new().await;
    let to = empty();
    let old = copied(&source, &to).await.version;
    source.runs(2).await;
    let path = layout::commit(old);
    let good = get(&to, &path).await;
    for at in [good.len() / 2, good.len() - 10] {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        to.put(&Path::from(path.as_str()), bad.into()).await.unwrap();
        let before = objects(&to).await;
        let error = run(Arc::clone(&source.world.store), &to, &CopyOptions::default()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&path), "{error}");
        assert!(objects(&to).await == before);
    }
    to.put(&Path::from(path.as_str()), good.into()).await.unwrap();
    copied(&source, &to).await;
}

/// A place whose objects are locked: what only repeats the log stays behind, and the log does not.
#[tokio::test]
async fn a_manifest_that_may_not_be_replaced_keeps_no_commit_back() {
    let mut source = Source::new().await;
    let to = empty();
    copied(&source, &to).await;
    source.runs(3).await;
    source.note().await;
    let locked = Arc::new(Locked(Arc::clone(&to))) as Store;
    let warnings = Arc::new(Warnings::default());
    let archive = source.archive().await;
    let report = copy(&archive, &locked, URL, &CopyOptions::default(), warnings.clone()).await.unwrap();
    assert!(report.complete, "{report:#?}");
    assert!(warnings.0.lock().unwrap().iter().any(|said| said.contains("manifest.json was not rewritten")));
    assert_eq!(source.assert_sound(&to, "").await, Some(report.version));
    assert_verified(&to, &report.digest).await;
}

#[tokio::test]
async fn a_destination_that_cannot_be_one_is_refused_and_left_as_it_was() {
    let source = Source::new().await;
    let other = Source::new().await;
    let theirs = empty();
    copied(&other, &theirs).await;
    let with = |path: &str, bytes: &'static [u8]| {
        let objects = Objects::from([(path.to_owned(), Bytes::from_static(bytes))]);
        async move { store_of(&objects).await }
    };
    for (to, kind) in [
        (theirs, ErrorKind::Usage),
        (with("notes.txt", b"mine").await, ErrorKind::Usage),
        (with("archive.json", br#"{"format":1,"more":"of it"}"#).await, ErrorKind::Unsupported),
        (with("archive.json", b"{").await, ErrorKind::Corrupt),
        (with(&layout::commit(1), b"{}").await, ErrorKind::Usage),
    ] {
        let before = objects(&to).await;
        let error = run(Arc::clone(&source.world.store), &to, &CopyOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(objects(&to).await == before);
    }
    let to = empty();
    let overwrites = Arc::new(FaultyStore::that_overwrites(Arc::clone(&to))) as Store;
    let error = run(Arc::clone(&source.world.store), &overwrites, &CopyOptions::default()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("overwrote"), "{error}");
    assert!(objects(&to).await.is_empty());
    let archive = source.archive().await;
    let options = CopyOptions::default();
    let partition = copy(&archive, &to, "s3://bucket/app=shop", &options, Arc::new(NoMonitor)).await;
    assert_eq!(partition.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn an_archive_without_a_version_is_not_copied() {
    let world = World::new(pages(10, 10)).await;
    world.archive().await;
    let to = empty();
    let error = run(Arc::clone(&world.store), &to, &CopyOptions::default()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("run sync first"), "{error}");
    assert!(objects(&to).await.is_empty());
}

#[tokio::test]
async fn a_copy_on_a_disk_of_files_in_parts_is_whole_whatever_part_fails() {
    let world = World::new(pages(4, 4)).await;
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..30 {
        let mut bytes = vec![0; 700_000];
        random.fill_bytes(&mut bytes);
        let fields = BTreeMap::from([("bytes".to_owned(), Value::Bytes(bytes))]);
        world.deployment.transaction(|t| t.insert(&named("blobs"), fields)).unwrap();
    }
    world.sync().await;
    let disk = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = disk.path().join(name);
        Arc::clone(Location::create(path.to_str().unwrap(), &Settings::default()).unwrap().store())
    };
    let healthy = FaultyStore::new(place("healthy"), None);
    let to = Arc::new(healthy.clone()) as Store;
    let done = run(Arc::clone(&world.store), &to, &CopyOptions::default()).await.unwrap();
    assert_verified(&to, &done.digest).await;
    world.held_in(Arc::clone(&to)).await.assert_equal(&world.deployment);
    let whole = objects(&to).await;
    let calls = healthy.calls();
    assert!(calls.iter().filter(|call| call.starts_with("part ")).count() >= 2, "{calls:?}");
    let in_parts = |call: &String| ["begin ", "part ", "complete "].iter().any(|what| call.starts_with(what));
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| in_parts(call)) {
        for fault in Fault::all(number).filter(|fault| fault.how != How::IsRepeated) {
            let to = place(&format!("{number} {fault:?}").replace([' ', ':', '{', '}', ','], ""));
            let faulty = Arc::new(FaultyStore::new(Arc::clone(&to), Some(fault))) as Store;
            let ended = run(Arc::clone(&world.store), &faulty, &CopyOptions::default()).await;
            assert!(ended.is_err() || objects(&to).await == whole, "{fault:?} at {call}: {ended:?}");
            let again = run(Arc::clone(&world.store), &to, &CopyOptions::default()).await.unwrap();
            assert!(again.complete && objects(&to).await == whole, "{fault:?} at {call}: {again:?}");
        }
    }
}
