//! Checkpoints: the manifest of a version, packed, in the log, so that readers need not replay from its beginning.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::head::{Head, text::ReadHead};
use crate::{
    error::{Error, Result},
    layout,
    store::{self, store_error},
};

/// The longest text that is unpacked, bytes: it has some hundred bytes for a table and month. What is longer is no checkpoint.
const LONGEST: u64 = 64 << 20;

/// Writes the checkpoint of `head`, of which all parts are written.
pub(super) async fn write(store: &Arc<dyn ObjectStore>, archive: &str, head: &Head) -> Result<()> {
    let path = layout::checkpoint(head.version());
    let bytes = pack(&head.to_text(archive)?)?;
    store
        .put(&Path::from(path.as_str()), bytes.into())
        .await
        .map(drop)
        .map_err(|e| store_error(e, &format!("cannot write {path}")))
}

/// The head in the checkpoint of `version`; `None` if there is none.
///
/// # Errors
/// Corrupt, if it is not one, or that of another version. Unsupported, if a newer program wrote it.
pub(super) async fn read(store: &dyn ObjectStore, version: u64) -> Result<Option<ReadHead>> {
    let path = layout::checkpoint(version);
    let Some(bytes) = store::get(store, &path).await? else { return Ok(None) };
    let text = unpack(&path, &bytes)?;
    let head = ReadHead::parse(&path, &text)?;
    if head.version() == version { Ok(Some(head)) } else { Err(damaged(&path)) }
}

/// No time and no name in the gzip header: two writers of one text write the same bytes.
///
/// # Errors
/// Internal, if the text is longer than what is unpacked.
pub(super) fn pack(text: &[u8]) -> Result<Vec<u8>> {
    if text.len() as u64 >= LONGEST {
        return Err(Error::internal(format!("a text of {} bytes is too long to be read again", text.len())));
    }
    let failed = |e| Error::internal("gzip refused to write to memory").with_source(e);
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gzip.write_all(text).map_err(failed)?;
    gzip.finish().map_err(failed)
}

/// # Errors
/// Corrupt, if the object at `path` is no gzip or holds too much.
pub(super) fn unpack(path: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut gzip = GzDecoder::new(bytes);
    gzip.by_ref().take(LONGEST).read_to_end(&mut text).map_err(|e| damaged(path).with_source(e))?;
    // Nothing may follow: a second member, say.
    let rest = gzip.into_inner();
    if text.len() as u64 == LONGEST || !rest.is_empty() { Err(damaged(path)) } else { Ok(text) }
}

pub(super) fn damaged(path: &str) -> Error {
    Error::corrupt(format!("{path} is damaged; it only repeats what the commits contain"))
}
