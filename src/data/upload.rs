//! The bytes of a file on their way into the store: cut into parts and hashed on the encode thread ([`PartSink`]), sent
//! by a task on the runtime ([`upload`]).
//!
//! Bounded: one part fills, one is queued, one is in flight. An upload that was opened is completed or aborted, also when
//! the writer is dropped; what a killed process leaves is for the store's own lifecycle rule.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, path::Path};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{
    Footer,
    blocks::{Blocks, Checksums},
};
use crate::{
    error::{Error, Result},
    monitor::{Event, Finding, Monitor},
    store::store_error,
};

/// How long an abort may take: whoever waits for the error that led to it is not kept longer.
const ABORT: Duration = Duration::from_secs(10);

/// A piece of the object, in order.
#[derive(Debug)]
pub(super) enum Part {
    /// Exactly one part's bytes; more follows.
    More(Bytes),
    /// The rest, perhaps empty. Without it the object is not complete and must not appear.
    Last(Bytes),
}

/// Where the encoder writes.
pub(super) struct PartSink {
    parts: mpsc::Sender<Part>,
    part_bytes: usize,
    filling: Vec<u8>,
    written: u64,
    hash: Sha256,
    checksums: Checksums,
}

/// What was sent.
#[derive(Debug)]
pub(super) struct SentFile {
    pub(super) bytes: u64,
    /// Of all bytes, lower-case hexadecimal.
    pub(super) sha256: String,
    pub(super) footer: Footer,
}

impl PartSink {
    pub(super) fn new(parts: mpsc::Sender<Part>, part_bytes: usize) -> Self {
        Self {
            parts,
            part_bytes: part_bytes.max(1),
            filling: Vec::new(),
            written: 0,
            hash: Sha256::new(),
            checksums: Checksums::new(),
        }
    }

    /// What is written from here on is the footer. The checksums of what came before it.
    pub(super) fn begin_footer(&mut self) -> Blocks {
        self.checksums.begin_footer()
    }

    /// Sends the rest.
    pub(super) fn finish(mut self) -> io::Result<SentFile> {
        let rest = std::mem::take(&mut self.filling);
        self.send(Part::Last(rest.into()))?;
        Ok(SentFile { bytes: self.written, sha256: hex::encode(self.hash.finalize()), footer: self.checksums.footer() })
    }

    fn send(&self, part: Part) -> io::Result<()> {
        self.parts.blocking_send(part).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl io::Write for PartSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Parts of one size: some stores insist.
        let taken = &bytes[..bytes.len().min(self.part_bytes - self.filling.len())];
        self.hash.update(taken);
        self.checksums.update(taken);
        self.filling.extend_from_slice(taken);
        self.written += taken.len() as u64;
        if self.filling.len() == self.part_bytes {
            // A small file never grows to a part; where one part was filled, the next is likely to be.
            let full = std::mem::replace(&mut self.filling, Vec::with_capacity(self.part_bytes));
            self.send(Part::More(full.into()))?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts the parts into the store as one object: by a single put if there is only one, else by a multipart upload.
/// When the sender of `cancelled` is dropped, or the parts end without the last one, nothing is left behind; if the
/// store refuses even that, `monitor` is told.
pub(super) async fn upload(
    store: Arc<dyn ObjectStore>,
    path: Path,
    parts: mpsc::Receiver<Part>,
    cancelled: oneshot::Receiver<Infallible>,
    monitor: Arc<dyn Monitor>,
) -> Result<()> {
    let mut open = None;
    let outcome = tokio::select! {
        biased;
        _ = cancelled => Err(abandoned()),
        outcome = send(store.as_ref(), &path, parts, &mut open) => outcome,
    };
    if let (Err(_), Some(mut upload)) = (&outcome, open) {
        let left = match tokio::time::timeout(ABORT, upload.abort()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the store does not answer".to_owned()),
        };
        if let Some(why) = left {
            monitor.report(Event::Finding(&Finding::UploadLeftBehind { path: path.to_string(), why }));
        }
    }
    outcome
}

async fn send(
    store: &dyn ObjectStore,
    path: &Path,
    mut parts: mpsc::Receiver<Part>,
    open: &mut Option<Box<dyn MultipartUpload>>,
) -> Result<()> {
    let failed = |e| store_error(e, "cannot be written");
    let mut sent = 0;
    while let Some(part) = parts.recv().await {
        match (part, open.as_mut()) {
            (Part::More(bytes), Some(upload)) => {
                sent += bytes.len() as u64;
                upload.put_part(bytes.into()).await.map_err(failed)?;
            }
            (Part::More(bytes), None) => {
                sent += bytes.len() as u64;
                let upload = open.insert(store.put_multipart(path).await.map_err(failed)?);
                upload.put_part(bytes.into()).await.map_err(failed)?;
            }
            (Part::Last(bytes), Some(upload)) => {
                if !bytes.is_empty() {
                    sent += bytes.len() as u64;
                    upload.put_part(bytes.into()).await.map_err(failed)?;
                }
                return match upload.complete().await {
                    Ok(_) => Ok(()),
                    // Perhaps only the answer was lost, and the store knows the upload no more when it is asked again.
                    // No other writer ever has this name, and objects appear whole: the size tells.
                    Err(_) if store.head(path).await.is_ok_and(|found| found.size == sent) => Ok(()),
                    Err(e) => Err(failed(e)),
                };
            }
            // No other writer ever has this name, so overwriting is only ever a retry.
            (Part::Last(bytes), None) => {
                return match store.put(path, bytes.clone().into()).await {
                    Ok(_) => Ok(()),
                    // Of a store that replaces nothing, whose answer to our first attempt was lost.
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
                        if holds(store, path, &bytes).await =>
                    {
                        Ok(())
                    }
                    Err(e) => Err(failed(e)),
                };
            }
        }
    }
    Err(abandoned())
}

/// Whether the object is there, with these bytes.
async fn holds(store: &dyn ObjectStore, path: &Path, bytes: &Bytes) -> bool {
    let read = async { store.get(path).await?.bytes().await };
    read.await.is_ok_and(|found| found == *bytes)
}

fn abandoned() -> Error {
    Error::internal("a data file was abandoned before it was complete")
}
