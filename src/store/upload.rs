//! One object, written as a stream: small ones with one put, long ones in parts. It appears whole or not at all, and
//! replaces what was there.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, path::Path};

use crate::{budget::MemoryBudget, error::Result, monitor::Finding};

use super::store_error;

/// Bytes of one part. The one being filled and the one on its way are the memory that an upload holds.
const PART: usize = MemoryBudget::EXPORT_PART;

/// An object on its way. To be ended with [`finish`](Upload::finish) or [`abort`](Upload::abort); if neither happens,
/// because the process was killed or the task dropped, a started upload in parts stays behind in the store, unseen, as it
/// does for data files.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: String,
    held: Vec<u8>,
    parts: Option<WriteMultipart>,
}

impl Upload {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: impl Into<String>) -> Self {
        Self { store, path: path.into(), held: Vec::new(), parts: None }
    }

    /// Takes `bytes` out of the vector.
    pub(crate) async fn push(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.held.append(bytes);
        if self.held.len() < PART {
            return Ok(());
        }
        let sent = async {
            let parts = if let Some(parts) = &mut self.parts {
                parts
            } else {
                let upload = self.store.put_multipart(&Path::from(self.path.as_str())).await?;
                self.parts.insert(WriteMultipart::new_with_chunk_size(upload, PART))
            };
            parts.wait_for_capacity(1).await?;
            parts.write(&std::mem::take(&mut self.held));
            Ok(())
        };
        sent.await.map_err(|e| store_error(e, &format!("cannot write {}", self.path)))
    }

    /// Makes the object appear.
    pub(crate) async fn finish(self) -> Result<()> {
        let done = match self.parts {
            None => {
                let payload = PutPayload::from(self.held);
                self.store.put(&Path::from(self.path.as_str()), payload).await.map(|_| ())
            }
            Some(mut parts) => {
                parts.write(&self.held);
                parts.finish().await.map(|_| ())
            }
        };
        done.map_err(|e| store_error(e, &format!("cannot write {}", self.path)))
    }

    /// Gives the parts back. What was there before stays. If that fails, this is what to tell the person.
    pub(crate) async fn abort(self) -> Option<Finding> {
        let aborted = self.parts?.abort().await;
        aborted.err().map(|e| Finding::UploadLeftBehind { path: self.path, why: e.to_string() })
    }
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
            assert!(crate::store::get(&store, "x").await.unwrap().unwrap() == expected, "{pieces}");
            let mut upload = Upload::new(store.clone(), "y");
            upload.push(&mut expected).await.unwrap();
            assert_eq!(upload.abort().await, None);
            assert!(crate::store::get(&store, "y").await.unwrap().is_none());
        }
    }
}
