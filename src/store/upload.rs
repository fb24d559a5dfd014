//! One object, written as a stream: small ones with one put, long ones in parts of one size. It appears whole or not at all,
//! and replaces what was there.

use std::{sync::Arc, time::Duration};

use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use tokio::task::JoinSet;

use super::{PutNew, put_new, store_error};
use crate::{
    budget::MemoryBudget,
    error::{Error, Result},
    monitor::Finding,
};

/// Bytes of one part, unless said otherwise. The one being filled and the one on its way are the memory that an upload holds.
const PART: usize = MemoryBudget::EXPORT_PART;
/// Parts that an upload may have, on S3 and Google Cloud Storage.
const PARTS: u32 = 10_000;
/// How long giving up may take: whoever waits for the error that led to it is not kept longer.
const ABORT: Duration = Duration::from_secs(10);

/// An object on its way. To be ended with [`finish`](Upload::finish), or with [`abort`](Upload::abort) also where that has failed
/// or was dropped; if neither happens, because the process was killed or the task dropped, a started upload in parts stays
/// behind in the store, unseen, as it does for data files.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    held: Vec<u8>,
    part: usize,
    parts: u32,
    bytes: u64,
    /// One at most. A task of its own: its answer says what there is to give up, also where nobody waits for it any more.
    opening: JoinSet<object_store::Result<Box<dyn MultipartUpload>>>,
    open: Option<Box<dyn MultipartUpload>>,
    /// One at most.
    on_its_way: JoinSet<object_store::Result<()>>,
}

impl Upload {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: impl Into<Path>) -> Self {
        Self {
            store,
            path: path.into(),
            held: Vec::new(),
            part: PART,
            parts: 0,
            bytes: 0,
            opening: JoinSet::new(),
            open: None,
            on_its_way: JoinSet::new(),
        }
    }

    /// The same in parts of so many bytes: an object has 10,000 of them at most.
    pub(crate) fn in_parts_of(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Takes `bytes` out of the vector.
    pub(crate) async fn push(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.held.append(bytes);
        while self.held.len() >= self.part {
            let rest = self.held.split_off(self.part);
            let full = std::mem::replace(&mut self.held, rest);
            self.send(full).await?;
        }
        Ok(())
    }

    /// Makes the object appear. What was on its way before a failure is given back by [`abort`](Self::abort).
    pub(crate) async fn finish(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.held);
        if self.open.is_none() {
            let put = self.store.put(&self.path, PutPayload::from(rest)).await;
            return put.map(drop).map_err(|e| self.failed(e));
        }
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        self.arrived().await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(e) = open.complete().await {
            // Perhaps only the answer was lost, and the store knows the upload no more when it is asked again.
            if !self.store.head(&self.path).await.is_ok_and(|found| found.size == self.bytes) {
                return Err(self.failed(e));
            }
        }
        self.open = None;
        Ok(())
    }

    /// The same of an object that should not exist. One that was pushed in less than a part is put if absent; of a longer one stores
    /// cannot be asked for that, and it replaces what was there.
    pub(crate) async fn finish_new(&mut self) -> Result<PutNew> {
        if self.open.is_some() {
            return self.finish().await.map(|()| PutNew::Created);
        }
        let rest = std::mem::take(&mut self.held);
        put_new(self.store.as_ref(), self.path.as_ref(), rest.into()).await
    }

    /// Gives the parts back. What was there before stays. If that fails, this is what to tell the person.
    pub(crate) async fn abort(mut self) -> Option<Finding> {
        self.on_its_way.shutdown().await;
        let given_back = async {
            if let Some(Ok(Ok(open))) = self.opening.join_next().await {
                self.open = Some(open);
            }
            match &mut self.open {
                Some(open) => open.abort().await,
                None => Ok(()),
            }
        };
        let why = match tokio::time::timeout(ABORT, given_back).await {
            Ok(Ok(())) => return None,
            Ok(Err(e)) => e.to_string(),
            Err(_) => "the store does not answer".to_owned(),
        };
        Some(Finding::UploadLeftBehind { path: self.path.to_string(), why })
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<()> {
        self.arrived().await?;
        if self.parts == PARTS {
            let (path, mib) = (&self.path, self.part >> 20);
            return Err(Error::resource(format!(
                "cannot write {path}: stores accept at most {PARTS} parts, here of {mib} MiB; a higher memory limit \
                 makes the parts larger"
            )));
        }
        if self.open.is_none() {
            let (store, path) = (Arc::clone(&self.store), self.path.clone());
            self.opening.spawn(async move { store.put_multipart(&path).await });
            self.open = join(&mut self.opening).await?.transpose().map_err(|e| self.failed(e))?;
        }
        let Some(open) = &mut self.open else { return Err(Error::internal("an upload was not begun: report it")) };
        self.parts += 1;
        self.bytes += part.len() as u64;
        self.on_its_way.spawn(open.put_part(part.into()));
        Ok(())
    }

    /// Waits for the part on its way.
    async fn arrived(&mut self) -> Result<()> {
        while let Some(sent) = join(&mut self.on_its_way).await? {
            sent.map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    fn failed(&self, e: object_store::Error) -> Error {
        store_error(e, &format!("cannot write {}", self.path))
    }
}

/// What a task has made; None, if there is none.
async fn join<T: 'static>(tasks: &mut JoinSet<T>) -> Result<Option<T>> {
    let ended = tasks.join_next().await.transpose();
    ended.map_err(|e| Error::internal("a request to the store was not completed: report it").with_source(e))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn small_and_long_objects_arrive_whole_and_aborted_ones_not_at_all() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for pieces in [0usize, 1, 5, 6, 23] {
            let mut expected = Vec::new();
            let mut upload = Upload::new(store.clone(), "x");
            for n in 0..pieces {
                let mut piece = vec![n as u8; 1 << 20];
                expected.extend_from_slice(&piece);
                upload.push(&mut piece).await.unwrap();
                assert!(piece.is_empty());
            }
            upload.finish().await.unwrap();
            assert_eq!(upload.abort().await, None);
            assert!(crate::store::get(&store, "x").await.unwrap().unwrap() == expected, "{pieces}");
            let mut upload = Upload::new(store.clone(), "y");
            upload.push(&mut expected).await.unwrap();
            assert_eq!(upload.abort().await, None);
            assert!(crate::store::get(&store, "y").await.unwrap().is_none());
        }
    }
}
