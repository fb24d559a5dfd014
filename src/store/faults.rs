//! For tests: a store that does one thing wrong, given as plain data. It stands on another store, numbers the calls and
//! keeps what they were.
//!
//! The tests under `tests/` take this very file (`#[path]`): so it knows nothing of the library, and no build of the
//! library for others holds it.

#![allow(dead_code, reason = "the unit tests need other parts of it than the tests under `tests/`")]

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
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// With the call of this number, from 0.
    pub(crate) call: usize,
    /// How.
    pub(crate) how: How,
    /// Nothing works any more: where the call fails, because the process is gone, all later ones fail and do nothing; where
    /// it hangs, all later ones do, except an abort. Otherwise later calls succeed.
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
    /// It does nothing and never answers. An abort is done all the same.
    Hangs,
}

impl Fault {
    /// The call of this number fails, and no other.
    pub(crate) fn fails(call: usize) -> Self {
        Self { call, how: How::Fails, gone: false }
    }

    /// The answer to the call of this number is lost, and no other.
    pub(crate) fn loses_the_answer(call: usize) -> Self {
        Self { call, how: How::LosesItsAnswer, gone: false }
    }

    /// The store never answers again, from the call of this number on.
    pub(crate) fn hangs(call: usize) -> Self {
        Self { call, how: How::Hangs, gone: true }
    }

    /// Every way in which one call can go wrong and the run ends, or goes on, by itself.
    pub(crate) fn all(call: usize) -> impl Iterator<Item = Self> {
        let hows = [How::Fails, How::LosesItsAnswer, How::IsRepeated];
        hows.into_iter().flat_map(move |how| [false, true].map(|gone| Self { call, how, gone }))
    }
}

/// Forwards to another store, and applies the fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Script>,
    /// "Create" is taken for "overwrite".
    overwrites: bool,
}

/// A call of a store: `put`, `begin`, `part`, `complete`, `abort`, `get`, `ranges`, `delete`, `list`, `copy`, `rename`.
#[derive(Debug, Clone)]
struct Call {
    what: &'static str,
    /// The object, or the prefix of a listing.
    at: String,
    /// Bytes that it sends.
    bytes: Option<usize>,
}

impl Call {
    fn new(what: &'static str, at: impl fmt::Display) -> Self {
        Self { what, at: at.to_string(), bytes: None }
    }

    fn list(prefix: Option<&Path>) -> Self {
        Self::new("list", prefix.map_or("", AsRef::as_ref))
    }

    fn sends(self, payload: &PutPayload) -> Self {
        Self { bytes: Some(payload.content_length()), ..self }
    }
}

struct Script {
    fault: Option<Fault>,
    calls: Mutex<Vec<Call>>,
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
    fn fate(&self, call: Call) -> Option<How> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(call);
        let number = calls.len() - 1;
        let fault = self.fault.as_ref()?;
        if fault.call == number {
            return Some(fault.how);
        }
        let later = if fault.how == How::Hangs { How::Hangs } else { How::Fails };
        (fault.gone && fault.call < number).then_some(later)
    }

    /// Does what is to be done before the call of this number.
    async fn meanwhile(&self, call: usize) {
        let due = self.meanwhile.lock().unwrap().take_if(|(at, _)| *at <= call);
        if let Some((_, work)) = due {
            work.await;
        }
    }

    async fn call<T, F: Future<Output = Result<T>>>(&self, call: Call, work: impl Fn() -> F) -> Result<T> {
        let number = self.calls.lock().unwrap().len();
        self.meanwhile(number).await;
        match self.fate(call) {
            None => work().await,
            Some(How::Fails) => Err(broken()),
            Some(How::Hangs) => future::pending().await,
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

    /// A listing whose answer is lost breaks off after its first object.
    fn list(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
        prefix: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let broken = stream::once(async { Err(broken()) });
        match self.fate(Call::list(prefix)) {
            None | Some(How::IsRepeated) => objects,
            Some(How::Fails) => broken.boxed(),
            Some(How::Hangs) => stream::pending().boxed(),
            Some(How::LosesItsAnswer) => objects.take(1).chain(broken).boxed(),
        }
    }
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fault: Option<Fault>) -> Self {
        let script = Script { fault, calls: Mutex::default(), meanwhile: Mutex::default() };
        Self { inner, script: Arc::new(script), overwrites: false }
    }

    /// A store that takes "create" for "overwrite".
    pub(crate) fn that_overwrites(inner: Arc<dyn ObjectStore>) -> Self {
        Self { overwrites: true, ..Self::new(inner, None) }
    }

    /// A store while somebody else does something before the call of this number.
    pub(crate) fn with_meanwhile(
        inner: Arc<dyn ObjectStore>,
        fault: Option<Fault>,
        call: usize,
        work: BoxFuture<'static, ()>,
    ) -> Self {
        let meanwhile = Mutex::new(Some((call, work)));
        let script = Script { fault, calls: Mutex::default(), meanwhile };
        Self { inner, script: Arc::new(script), overwrites: false }
    }

    /// Does now what was to be done before a later call.
    pub(crate) async fn meanwhile(&self, call: usize) {
        self.script.meanwhile(call).await;
    }

    /// The calls so far: what, and of which object.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.script.calls.lock().unwrap().iter().map(|call| format!("{} {}", call.what, call.at)).collect()
    }

    /// The calls so far: what, and how many bytes it sends.
    pub(crate) fn sent(&self) -> Vec<(&'static str, Option<usize>)> {
        self.script.calls.lock().unwrap().iter().map(|call| (call.what, call.bytes)).collect()
    }

    /// Calls of one kind so far.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.script.calls.lock().unwrap().iter().filter(|call| call.what == what).count()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults in {}", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.overwrites {
            options.mode = PutMode::Overwrite;
        }
        let put = || self.inner.put_opts(at, payload.clone(), options.clone());
        self.script.call(Call::new("put", at).sends(&payload), put).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begin = || self.inner.put_multipart_opts(at, options.clone());
        let inner = self.script.call(Call::new("begin", at), begin).await?;
        Ok(Box::new(FaultyUpload { inner, at: at.clone(), script: Arc::clone(&self.script) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.script.call(Call::new("get", at), || self.inner.get_opts(at, options.clone())).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.script.call(Call::new("ranges", at), || self.inner.get_ranges(at, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, script) = (Arc::clone(&self.inner), Arc::clone(&self.script));
        let delete = move |path: Result<Path>| {
            let (inner, script) = (Arc::clone(&inner), Arc::clone(&script));
            async move {
                let path = path?;
                script.call(Call::new("delete", &path), || inner.delete(&path)).await.map(|()| path.clone())
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
        self.script.call(Call::list(prefix), || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let call = Call::new("copy", format_args!("{from} {to}"));
        self.script.call(call, || self.inner.copy_opts(from, to, options.clone())).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let call = Call::new("rename", format_args!("{from} {to}"));
        self.script.call(call, || self.inner.rename_opts(from, to, options.clone())).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    at: Path,
    script: Arc<Script>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.script.fate(Call::new("part", &self.at).sends(&data)) {
            None | Some(How::IsRepeated) => self.inner.put_part(data),
            Some(How::Fails) => future::ready(Err(broken())).boxed(),
            Some(How::Hangs) => future::pending().boxed(),
            Some(How::LosesItsAnswer) => self.inner.put_part(data).map(|_| Err(broken())).boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.script.fate(Call::new("complete", &self.at)) {
            None | Some(How::IsRepeated) => self.inner.complete().await,
            Some(How::Fails) => Err(broken()),
            Some(How::Hangs) => future::pending().await,
            Some(How::LosesItsAnswer) => {
                drop(self.inner.complete().await);
                Err(broken())
            }
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.script.fate(Call::new("abort", &self.at)) {
            None | Some(How::IsRepeated | How::Hangs) => self.inner.abort().await,
            Some(How::Fails) => Err(broken()),
            Some(How::LosesItsAnswer) => {
                drop(self.inner.abort().await);
                Err(broken())
            }
        }
    }
}
