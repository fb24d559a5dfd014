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
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// With the call of this number, from 0.
    pub(crate) call: usize,
    /// How.
    pub(crate) how: How,
    /// The process is gone: all later calls fail and do nothing. Otherwise they succeed.
    pub(crate) gone: bool,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It fails and does nothing.
    Fails,
    /// It is done, and its answer lost.
    LosesItsAnswer,
    /// It is done, its answer lost, and the store's client makes it again by itself: what that answers is the answer.
    /// Only a put can tell the difference.
    IsRepeated,
}

impl Fault {
    /// Everything that can go wrong with one call.
    pub(crate) fn all(call: usize) -> impl Iterator<Item = Self> {
        let hows = [How::Fails, How::LosesItsAnswer, How::IsRepeated];
        hows.into_iter().flat_map(move |how| [false, true].map(|gone| Self { call, how, gone }))
    }
}

/// Forwards to another store, numbers the calls, keeps their names, and applies the fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Script>,
}

struct Script {
    fault: Option<Fault>,
    calls: Mutex<Vec<String>>,
    /// What somebody else does before the call of this number.
    meanwhile: Mutex<Option<(usize, BoxFuture<'static, ()>)>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("fault", &self.fault).finish_non_exhaustive()
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "broken on purpose".into() }
}

impl Script {
    /// `None`: the call works.
    fn fate(&self, name: String) -> Option<How> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(name);
        let number = calls.len() - 1;
        let fault = self.fault.as_ref()?;
        if fault.call == number {
            return Some(fault.how);
        }
        (fault.gone && fault.call < number).then_some(How::Fails)
    }

    /// Does what is to be done before the call of this number.
    async fn meanwhile(&self, call: usize) {
        let due = self.meanwhile.lock().unwrap().take_if(|(at, _)| *at <= call);
        if let Some((_, work)) = due {
            work.await;
        }
    }

    async fn call<T, F: Future<Output = Result<T>>>(&self, name: String, work: impl Fn() -> F) -> Result<T> {
        let number = self.calls.lock().unwrap().len();
        self.meanwhile(number).await;
        match self.fate(name) {
            None => work().await,
            Some(How::Fails) => Err(broken()),
            Some(How::LosesItsAnswer) => {
                drop(work().await);
                Err(broken())
            }
            Some(How::IsRepeated) => {
                drop(work().await);
                work().await
            }
        }
    }
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fault: Option<Fault>) -> Self {
        Self { inner, script: Arc::new(Script { fault, calls: Mutex::default(), meanwhile: Mutex::default() }) }
    }

    /// A store while somebody else does something before the call of this number.
    pub(crate) fn with_meanwhile(
        inner: Arc<dyn ObjectStore>,
        fault: Option<Fault>,
        call: usize,
        work: BoxFuture<'static, ()>,
    ) -> Self {
        let meanwhile = Mutex::new(Some((call, work)));
        Self { inner, script: Arc::new(Script { fault, calls: Mutex::default(), meanwhile }) }
    }

    /// Does now what was to be done before a later call.
    pub(crate) async fn meanwhile(&self, call: usize) {
        self.script.meanwhile(call).await;
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
        let put = || self.inner.put_opts(at, payload.clone(), options.clone());
        self.script.call(format!("put {at}"), put).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begin = || self.inner.put_multipart_opts(at, options.clone());
        let inner = self.script.call(format!("begin {at}"), begin).await?;
        Ok(Box::new(FaultyUpload { inner, at: at.clone(), script: Arc::clone(&self.script) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.script.call(format!("get {at}"), || self.inner.get_opts(at, options.clone())).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.script.call(format!("get {at}"), || self.inner.get_ranges(at, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let Self { inner, script } = self.clone();
        let delete = move |path: Result<Path>| {
            let (inner, script) = (Arc::clone(&inner), Arc::clone(&script));
            async move {
                let path = path?;
                script.call(format!("delete {path}"), || inner.delete(&path)).await.map(|()| path.clone())
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.script.list(self.inner.list(prefix), prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.script.list(self.inner.list_with_offset(prefix, offset), prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.script.call(listing(prefix), || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.script.call(format!("copy {from} {to}"), || self.inner.copy_opts(from, to, options.clone())).await
    }
}

fn listing(prefix: Option<&Path>) -> String {
    format!("list {}", prefix.map_or("", AsRef::as_ref))
}

impl Script {
    /// A listing whose answer is lost breaks off after its first object.
    fn list(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
        prefix: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let broken = stream::once(async { Err(broken()) });
        match self.fate(listing(prefix)) {
            None | Some(How::IsRepeated) => objects,
            Some(How::Fails) => broken.boxed(),
            Some(How::LosesItsAnswer) => objects.take(1).chain(broken).boxed(),
        }
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    at: Path,
    script: Arc<Script>,
}

impl FaultyUpload {
    fn fate(&self, what: &str) -> Option<How> {
        self.script.fate(format!("{what} {}", self.at))
    }
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.fate("part") {
            None | Some(How::IsRepeated) => self.inner.put_part(data),
            Some(How::Fails) => future::ready(Err(broken())).boxed(),
            Some(How::LosesItsAnswer) => self.inner.put_part(data).map(|_| Err(broken())).boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.fate("complete") {
            None | Some(How::IsRepeated) => self.inner.complete().await,
            Some(How::Fails) => Err(broken()),
            Some(How::LosesItsAnswer) => {
                drop(self.inner.complete().await);
                Err(broken())
            }
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.fate("abort") {
            None | Some(How::IsRepeated) => self.inner.abort().await,
            Some(How::Fails) => Err(broken()),
            Some(How::LosesItsAnswer) => {
                drop(self.inner.abort().await);
                Err(broken())
            }
        }
    }
}
