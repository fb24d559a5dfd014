//! A store that lives in the time of a test: what it says of when an object was written is said by the clock that somebody moves.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use convex_archiver::Timestamp;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// Objects in memory, and when each was written.
#[derive(Debug)]
pub(crate) struct ClockedStore {
    inner: InMemory,
    clock: Arc<AtomicI64>,
    written: Arc<Mutex<BTreeMap<Path, Timestamp>>>,
}

impl ClockedStore {
    pub(crate) fn new(clock: &Arc<AtomicI64>) -> Self {
        Self { inner: InMemory::new(), clock: Arc::clone(clock), written: Arc::default() }
    }

    fn note(&self, at: &Path) {
        self.written.lock().unwrap().insert(at.clone(), Timestamp(self.clock.load(Ordering::SeqCst)));
    }
}

fn dated(written: &Mutex<BTreeMap<Path, Timestamp>>, mut object: ObjectMeta) -> ObjectMeta {
    if let Some(at) = written.lock().unwrap().get(&object.location) {
        object.last_modified = at.to_datetime();
    }
    object
}

impl fmt::Display for ClockedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in a time of its own", self.inner)
    }
}

#[async_trait]
impl ObjectStore for ClockedStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(at, payload, options).await?;
        self.note(at);
        Ok(put)
    }

    /// The object counts as written when its upload begins.
    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note(at);
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.inner.get_opts(at, options).await?;
        Ok(GetResult { meta: dated(&self.written, got.meta.clone()), ..got })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let written = Arc::clone(&self.written);
        self.inner.list(prefix).map(move |object| object.map(|object| dated(&written, object))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(|object| dated(&self.written, object)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.note(to);
        Ok(())
    }
}
