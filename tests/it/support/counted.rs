//! A store that counts what is read of data files, and keeps what was asked of it.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Bytes of an object.
    Get,
    /// Whether an object is there.
    Look,
    /// To write an object.
    Put,
    /// Names of objects.
    List,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) path: String,
    /// Bytes that went over the wire for it, without what every request costs; 0 if there was no such object.
    pub(crate) bytes: u64,
}

/// Forwards to another store.
#[derive(Debug)]
pub(crate) struct CountedStore {
    inner: Arc<dyn ObjectStore>,
    calls: AtomicU64,
    bytes: AtomicU64,
    requests: Mutex<Vec<Request>>,
}

impl CountedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, calls: AtomicU64::new(0), bytes: AtomicU64::new(0), requests: Mutex::default() })
    }

    /// All requests since the last time, in order.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn note(&self, verb: Verb, path: &str, bytes: u64) {
        self.requests.lock().unwrap().push(Request { verb, path: path.to_owned(), bytes });
    }

    /// Calls and bytes since the last time.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.calls.swap(0, Ordering::SeqCst), self.bytes.swap(0, Ordering::SeqCst))
    }

    fn count(&self, path: &Path, bytes: u64) {
        if path.as_ref().ends_with(".parquet") {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counted {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.note(Verb::Put, at.as_ref(), payload.content_length() as u64);
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note(Verb::Put, at.as_ref(), 0);
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let look = options.head;
        let got = self.inner.get_opts(at, options).await;
        let bytes = got.as_ref().map_or(0, |got| if look { 0 } else { got.range.end - got.range.start });
        self.note(if look { Verb::Look } else { Verb::Get }, at.as_ref(), bytes);
        let got = got?;
        self.count(at, got.range.end - got.range.start);
        Ok(got)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let got = self.inner.get_ranges(at, ranges).await?;
        let bytes = got.iter().map(|bytes| bytes.len() as u64).sum();
        self.note(Verb::Get, at.as_ref(), bytes);
        self.count(at, bytes);
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note(Verb::List, prefix.map_or("", AsRef::as_ref), 0);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note(Verb::List, prefix.map_or("", AsRef::as_ref), 0);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
