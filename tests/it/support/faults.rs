//! A store that does one thing wrong, given as plain data.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// With the call of this number, from 0.
    pub(crate) call: usize,
    /// It is done, and its answer lost; otherwise it fails and does nothing.
    pub(crate) done: bool,
    /// The process is gone: all later calls fail and do nothing. Otherwise they succeed.
    pub(crate) gone: bool,
}

impl Fault {
    /// Everything that can go wrong with one call.
    pub(crate) fn all(call: usize) -> [Self; 4] {
        [(false, false), (false, true), (true, false), (true, true)].map(|(done, gone)| Self { call, done, gone })
    }
}

/// Forwards to another store, numbers the calls, keeps their names, and applies the fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Script>,
}

#[derive(Debug)]
struct Script {
    fault: Option<Fault>,
    calls: Mutex<Vec<String>>,
}

/// What a call meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
    LosesItsAnswer,
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "broken on purpose".into() }
}

impl Script {
    fn fate(&self, name: String) -> Fate {
        let mut calls = self.calls.lock().unwrap();
        calls.push(name);
        let number = calls.len() - 1;
        match self.fault {
            Some(f) if f.call == number && f.done => Fate::LosesItsAnswer,
            Some(f) if f.call == number || f.gone && f.call < number => Fate::Fails,
            _ => Fate::Works,
        }
    }

    async fn call<T>(&self, name: String, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fate(name) {
            Fate::Works => work.await,
            Fate::Fails => Err(broken()),
            Fate::LosesItsAnswer => {
                // If it did not succeed, that is its answer.
                work.await?;
                Err(broken())
            }
        }
    }
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fault: Option<Fault>) -> Self {
        Self { inner, script: Arc::new(Script { fault, calls: Mutex::default() }) }
    }

    /// The calls so far: what, and of which object.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.script.calls.lock().unwrap().clone()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults in {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.script.call(format!("put {at}"), self.inner.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begin = self.inner.put_multipart_opts(at, options);
        let inner = self.script.call(format!("begin {at}"), begin).await?;
        Ok(Box::new(FaultyUpload { inner, at: at.clone(), script: Arc::clone(&self.script) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.script.call(format!("get {at}"), self.inner.get_opts(at, options)).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.script.call(format!("get {at}"), self.inner.get_ranges(at, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let Self { inner, script } = self.clone();
        let delete = move |path: Result<Path>| -> BoxFuture<'static, Result<Path>> {
            let (inner, script) = (Arc::clone(&inner), Arc::clone(&script));
            async move {
                let path = path?;
                let one = stream::once(future::ready(Ok(path.clone()))).boxed();
                let work = async { inner.delete_stream(one).next().await.unwrap_or(Ok(path.clone())) };
                script.call(format!("delete {path}"), work).await
            }
            .boxed()
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(self.inner.list(prefix), prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(self.inner.list_with_offset(prefix, offset), prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.script.call(format!("list {prefix:?}"), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.script.call(format!("copy {from} {to}"), self.inner.copy_opts(from, to, options)).await
    }
}

impl FaultyStore {
    /// A listing whose answer is lost breaks off after its first object.
    fn list_from(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
        prefix: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let broken = stream::once(async { Err(broken()) });
        match self.script.fate(format!("list {prefix:?}")) {
            Fate::Works => objects,
            Fate::Fails => broken.boxed(),
            Fate::LosesItsAnswer => objects.take(1).chain(broken).boxed(),
        }
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    at: Path,
    script: Arc<Script>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.script.fate(format!("part {}", self.at)) {
            Fate::Works => self.inner.put_part(data),
            Fate::Fails => future::ready(Err(broken())).boxed(),
            Fate::LosesItsAnswer => {
                let part = self.inner.put_part(data);
                async {
                    part.await?;
                    Err(broken())
                }
                .boxed()
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.script.call(format!("complete {}", self.at), self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.script.call(format!("abort {}", self.at), self.inner.abort()).await
    }
}
