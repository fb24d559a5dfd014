//! Checkpoints, written and streamed.
//!
//! One is gzip over lines of JSON: first the format and the head (with the digest of its commit), then one live
//! file a line, sorted by table and path. Neither side ever holds the whole.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, GzBuilder, write::GzDecoder};
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    data::DataFile,
    error::{Error, Result},
    layout,
    store::{Upload, store_error},
};

use super::{commit::json_line, files::LiveFiles, header::FORMAT, manifest::Head};

/// The first line of a checkpoint.
#[derive(Serialize, Deserialize)]
struct HeaderLine<H> {
    format: u32,
    head: H,
}

/// Writes the checkpoint of `head`.
pub(super) async fn write(store: &Arc<dyn ObjectStore>, head: &Head, mut files: LiveFiles) -> Result<()> {
    let mut upload = Upload::new(store.clone(), layout::checkpoint(head.version()));
    // No time and no name in the gzip header: two writers of one checkpoint write the same bytes.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let wrote = async {
        let failed = |e| Error::internal("gzip refused to write to memory").with_source(e);
        gzip.write_all(&json_line(&HeaderLine { format: FORMAT, head })?).map_err(failed)?;
        while let Some(file) = files.next().await? {
            gzip.write_all(&json_line(&file)?).map_err(failed)?;
            upload.push(gzip.get_mut()).await?;
        }
        upload.push(&mut gzip.finish().map_err(failed)?).await
    };
    match wrote.await {
        Ok(()) => upload.finish().await,
        Err(e) => {
            upload.abort().await;
            Err(e)
        }
    }
}

/// A checkpoint that is being read.
pub(super) struct Checkpoint {
    lines: Lines,
    head: Head,
    files: u64,
}

impl Checkpoint {
    /// Opens the checkpoint of `version` and reads its head; `None` if there is none.
    ///
    /// # Errors
    /// Corrupt, if it is not one, or that of another version. Unsupported, if a newer program wrote it.
    pub(super) async fn open(store: &dyn ObjectStore, version: u64) -> Result<Option<Self>> {
        let path = layout::checkpoint(version);
        let body = match store.get(&Path::from(path.as_str())).await {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(store_error(e, &format!("cannot read {path}"))),
        };
        let mut lines = Lines { path, body, gunzip: Some(GzDecoder::new(Vec::new())), text: Vec::new(), taken: 0 };
        let line = lines.next().await?.unwrap_or_default();
        // The number first: a newer format may spell everything else differently.
        let HeaderLine { format, .. } =
            serde_json::from_slice::<HeaderLine<IgnoredAny>>(&line).map_err(|e| lines.damaged(Some(e.into())))?;
        if format > FORMAT {
            let path = lines.path;
            return Err(Error::unsupported(format!("{path} has format {format}: upgrade convex-archiver")));
        }
        let HeaderLine { head, .. } =
            serde_json::from_slice::<HeaderLine<Head>>(&line).map_err(|e| lines.damaged(Some(e.into())))?;
        if head.version() != version {
            return Err(lines.damaged(None));
        }
        Ok(Some(Self { lines, head, files: 0 }))
    }

    /// The head as of its version.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The head alone.
    pub(super) fn into_head(self) -> Head {
        self.head
    }

    /// The next live file, in order; `None` after the last, when the whole has been checked.
    pub(super) async fn next(&mut self) -> Result<Option<DataFile>> {
        let Some(line) = self.lines.next().await? else {
            let whole = self.files == self.head.live().files;
            return if whole { Ok(None) } else { Err(self.lines.damaged(None)) };
        };
        self.files += 1;
        serde_json::from_slice(&line).map(Some).map_err(|e| self.lines.damaged(Some(e.into())))
    }
}

/// The lines of a gzip object, as they arrive.
struct Lines {
    path: String,
    body: BoxStream<'static, object_store::Result<Bytes>>,
    /// `None` once the end has been seen and its checksum was right.
    gunzip: Option<GzDecoder<Vec<u8>>>,
    text: Vec<u8>,
    /// How much of `text` has been given out.
    taken: usize,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = self.taken;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.text[searched..]) {
                let end = searched + at;
                let line = self.text[self.taken..end].to_vec();
                self.taken = end + 1;
                return Ok(Some(line));
            }
            self.text.drain(..self.taken);
            self.taken = 0;
            searched = self.text.len();
            if self.gunzip.is_none() {
                return if self.text.is_empty() { Ok(None) } else { Err(self.damaged(None)) };
            }
            self.inflate().await?;
        }
    }

    /// Inflates one more piece, or notes the end.
    async fn inflate(&mut self) -> Result<()> {
        let piece = self.body.try_next().await.map_err(|e| store_error(e, &format!("cannot read {}", self.path)))?;
        let Some(gunzip) = &mut self.gunzip else { return Ok(()) };
        let inflated = match &piece {
            Some(piece) => gunzip.write_all(piece),
            None => gunzip.try_finish(),
        };
        self.text.append(gunzip.get_mut());
        inflated.map_err(|e| self.damaged(Some(e.into())))?;
        if piece.is_none() {
            self.gunzip = None;
        }
        Ok(())
    }

    fn damaged(&self, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let path = &self.path;
        let error = Error::corrupt(format!(
            "{path} is damaged; it only repeats the commits before it: delete it, and the next sync writes it again"
        ));
        match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}
