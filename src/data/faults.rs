//! A store that does one thing wrong, given as plain data; for tests.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

/// What happens to the call with that number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// It fails before it does anything.
    Fail(usize),
    /// It never answers, nor does any later one but an abort.
    Hang(usize),
}

/// Numbers the calls that write or read objects, keeps their names, and applies the fault.
#[derive(Debug)]
pub(super) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Script>,
}

#[derive(Debug)]
struct Script {
    fault: Fault,
    calls: Mutex<Vec<String>>,
}

impl Script {
    /// None: go on.
    fn call(&self, name: String) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(name);
        let number = calls.len() - 1;
        match self.fault {
            Fault::Fail(k) if k == number => Some(self.fault),
            Fault::Hang(k) if k <= number => Some(self.fault),
            _ => None,
        }
    }

    async fn pass(&self, name: &str) -> Result<()> {
        match self.call(name.to_owned()) {
            None | Some(Fault::None) => Ok(()),
            Some(Fault::Fail(_)) => Err(broken()),
            Some(Fault::Hang(_)) => future::pending().await,
        }
    }
}

fn broken() -> Error {
    Error::Generic { store: "faults", source: "broken on purpose".into() }
}

impl FaultStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, script: Arc::new(Script { fault, calls: Mutex::default() }) })
    }

    /// The names of the calls so far: `put 10`, `begin`, `part 10`, `complete`, `abort`, `get`, `ranges`.
    pub(super) fn calls(&self) -> Vec<String> {
        self.script.calls.lock().unwrap().clone()
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.calls().iter().filter(|call| call.split(' ').next() == Some(name)).count()
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults in {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.script.pass(&format!("put {}", payload.content_length())).await?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.script.pass("begin").await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultUpload { inner, script: Arc::clone(&self.script) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.script.pass("get").await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.script.pass("ranges").await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn MultipartUpload>,
    script: Arc<Script>,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.script.call(format!("part {}", data.content_length())) {
            None | Some(Fault::None) => self.inner.put_part(data),
            Some(Fault::Fail(_)) => future::ready(Err(broken())).boxed(),
            Some(Fault::Hang(_)) => future::pending().boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.script.pass("complete").await?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.script.call("abort".to_owned());
        self.inner.abort().await
    }
}
