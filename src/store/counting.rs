//! [`CountingStore`]: a store that counts what goes through it, for reports of what a verb asked of a store and for tests
//! of what it may ask.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

/// Requests to a store and what they brought, as our code makes them: a client may make several of one (a listing has a
/// request for each thousand names), and repeats what fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreTraffic {
    /// Objects read or looked at, each range of one counted once with the ranges that were asked for together.
    pub reads: u64,
    /// Bytes that were answered to them.
    pub read_bytes: u64,
    /// Objects and parts of objects written, begun, completed, aborted or copied.
    pub writes: u64,
    /// Bytes that were sent with them.
    pub written_bytes: u64,
    /// Listings.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
}

impl Counters {
    fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(bytes, Relaxed);
    }

    fn write(&self, bytes: usize) {
        self.writes.fetch_add(1, Relaxed);
        self.written_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// Forwards every call to another store, and counts it. What fails is counted as well, without its bytes.
#[derive(Debug, Clone)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    counts: fn(&Path) -> bool,
    counters: Arc<Counters>,
}

impl CountingStore {
    /// Counts everything.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self::only(inner, |_| true)
    }

    /// Counts what is done with objects of which `counts` says so, and every listing.
    pub fn only(inner: Arc<dyn ObjectStore>, counts: fn(&Path) -> bool) -> Self {
        Self { inner, counts, counters: Arc::default() }
    }

    /// What was counted since the last time that this was asked.
    pub fn take(&self) -> StoreTraffic {
        let take = |counter: &AtomicU64| counter.swap(0, Relaxed);
        let Counters { reads, read_bytes, writes, written_bytes, lists, deletes } = &*self.counters;
        StoreTraffic {
            reads: take(reads),
            read_bytes: take(read_bytes),
            writes: take(writes),
            written_bytes: take(written_bytes),
            lists: take(lists),
            deletes: take(deletes),
        }
    }

    fn of(&self, path: &Path) -> Option<&Counters> {
        (self.counts)(path).then_some(&*self.counters)
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counted {}", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length();
        let put = self.inner.put_opts(at, payload, options).await;
        self.of(at).inspect(|counters| counters.write(if put.is_ok() { bytes } else { 0 }));
        put
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(at, options).await;
        let Some(counters) = self.of(at) else { return begun };
        counters.write(0);
        Ok(Box::new(CountingUpload { inner: begun?, counters: Arc::clone(&self.counters) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let got = self.inner.get_opts(at, options).await;
        let bytes = got.as_ref().map_or(0, |got| if head { 0 } else { got.range.end - got.range.start });
        self.of(at).inspect(|counters| counters.read(bytes));
        got
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let got = self.inner.get_ranges(at, ranges).await;
        let bytes = got.iter().flatten().map(|bytes| bytes.len() as u64).sum();
        self.of(at).inspect(|counters| counters.read(bytes));
        got
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let asked = paths.inspect(move |path| {
            if let Some(counters) = path.as_ref().ok().and_then(|path| this.of(path)) {
                counters.deletes.fetch_add(1, Relaxed);
            }
        });
        self.inner.delete_stream(asked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.lists.fetch_add(1, Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counters.lists.fetch_add(1, Relaxed);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counters.lists.fetch_add(1, Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.of(to).inspect(|counters| counters.write(0));
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.of(to).inspect(|counters| counters.write(0));
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CountingUpload {
    inner: Box<dyn MultipartUpload>,
    counters: Arc<Counters>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, counters) = (data.content_length(), Arc::clone(&self.counters));
        let sent = self.inner.put_part(data);
        sent.inspect(move |sent| counters.write(if sent.is_ok() { bytes } else { 0 })).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counters.write(0);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.counters.write(0);
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn every_request_is_counted_once_with_what_it_brought() {
        let store = CountingStore::new(Arc::new(InMemory::new()));
        let path = Path::from("a/b");
        store.put(&path, PutPayload::from_static(b"12345")).await.unwrap();
        store.head(&path).await.unwrap();
        store.get(&path).await.unwrap().bytes().await.unwrap();
        store.get_ranges(&path, &[0..2, 4..5]).await.unwrap();
        assert!(store.get(&Path::from("none")).await.is_err());
        store.list(None).try_collect::<Vec<_>>().await.unwrap();
        let mut upload = store.put_multipart(&Path::from("a/c")).await.unwrap();
        upload.put_part(PutPayload::from_static(b"123")).await.unwrap();
        upload.complete().await.unwrap();
        store.delete(&path).await.unwrap();
        let told = StoreTraffic { reads: 4, read_bytes: 8, writes: 4, written_bytes: 8, lists: 1, deletes: 1 };
        assert_eq!(store.take(), told);
        assert_eq!(store.take(), StoreTraffic::default());
    }

    #[tokio::test]
    async fn objects_that_are_not_asked_about_are_not_counted() {
        let store = CountingStore::only(Arc::new(InMemory::new()), |path| path.as_ref().starts_with("a/"));
        for path in ["a/b", "b/b"] {
            store.put(&Path::from(path), PutPayload::from_static(b"12")).await.unwrap();
            store.get(&Path::from(path)).await.unwrap();
        }
        let told = StoreTraffic { reads: 1, read_bytes: 2, writes: 1, written_bytes: 2, ..StoreTraffic::default() };
        assert_eq!(store.take(), told);
    }
}
